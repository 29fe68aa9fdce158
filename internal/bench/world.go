// Package bench plays bad and healthy releases against models of release
// policies, tapctl's and others', and counts the requests each one harms. It
// is a model, deterministic from its seeds, and touches no AWS: every lag is
// an input, named where it is set.
package bench

import "math"

// World is one release: how much traffic there is and what is wrong with
// green. Rates are probabilities, times seconds.
type World struct {
	Name  string
	RPS   float64 // requests a second, of both sides
	Base  float64 // failure rate of blue, and of a healthy green
	Green float64 // failure rate of green once it is bad
	// Slow is the share of requests slower than the limit fixed before the
	// release, blue's 99th percentile; GreenSlow is green's once it is bad.
	Slow, GreenSlow float64
	// Onset is the second at which green turns bad; OnsetWeight, where set, the
	// weight at which it does.
	Onset       int
	OnsetWeight float64
	// Shared makes blue as bad as green for this many seconds, and then ends it.
	Shared int
	// Visible tells that synthetic requests meet the fault too. Only who sends
	// them before the first user can make use of that.
	Visible bool
	// Blind loses green's telemetry: it is counted as having served nobody.
	Blind bool
}

// Harmful tells whether green gets bad while blue does not.
func (w World) Harmful() bool { return (w.Green > w.Base || w.GreenSlow > w.Slow) && w.Shared == 0 }

// excess is green's rate of harm beyond blue's once it is bad.
func (w World) excess() float64 { return w.Green - w.Base + w.GreenSlow - w.Slow }

// ill tells whether the fault is in force when it is age seconds old.
func (w World) ill(age int) bool { return age >= 0 && (w.Shared == 0 || age < w.Shared) }

// rates are of failures and of slow answers, at both sides.
type rates struct{ green, blue, greenSlow, blueSlow float64 }

func (w World) rates(age int) rates {
	r := rates{w.Base, w.Base, w.Slow, w.Slow}
	if w.ill(age) {
		r.green, r.greenSlow = w.Green, w.GreenSlow
		if w.Shared > 0 {
			r.blue, r.blueSlow = w.Green, w.GreenSlow
		}
	}
	return r
}

// BaseRate is the failure rate of a healthy side, slowRate the share of its
// answers that are slower than its own 99th percentile.
const (
	BaseRate = 0.001
	slowRate = 0.01
)

// Rates are the traffic levels, requests a second.
var Rates = []int{10, 100, 1000, 10_000}

// Fault is a release whose green fails with probability green, from its first
// request on.
func Fault(name string, rps, green float64) World {
	return World{Name: name, RPS: rps, Base: BaseRate, Green: green, Slow: slowRate, GreenSlow: slowRate}
}

// The faults that targets and notes name.
const (
	healthy     = "healthy"
	shared      = "shared incident"
	lateHalf    = "5% from weight 50%"
	lateOne     = "1% from weight 50%"
	visibleFew  = "5%, probes see it"
	visibleHalf = "50%, probes see it"
)

// Worlds are the releases at one traffic level.
func Worlds(rps int) []World {
	r := float64(rps)
	change := func(w World, f func(*World)) World { f(&w); return w }
	return []World{
		Fault(healthy, r, BaseRate), Fault("0.5%", r, 0.005), Fault("1%", r, 0.01), Fault("5%", r, 0.05), Fault("50%", r, 0.5), Fault("100%", r, 1),
		change(Fault("10% slow", r, BaseRate), func(w *World) { w.GreenSlow = 0.1 }),
		change(Fault("5% from 400 s", r, 0.05), func(w *World) { w.Onset = 400 }),
		change(Fault(lateHalf, r, 0.05), func(w *World) { w.OnsetWeight = 0.5 }),
		change(Fault(lateOne, r, 0.01), func(w *World) { w.OnsetWeight = 0.5 }),
		change(Fault(visibleFew, r, 0.05), func(w *World) { w.Visible = true }),
		change(Fault(visibleHalf, r, 0.5), func(w *World) { w.Visible = true }),
		change(Fault("5%, no data", r, 0.05), func(w *World) { w.Blind = true }),
		change(Fault(shared, r, 0.05), func(w *World) { w.Onset, w.Shared = 200, 30 }),
	}
}

// Actuator is how a decided weight reaches the users.
type Actuator struct {
	Lag int // seconds until the first user moves
	TTL int // seconds over which users move, evenly; 0 is at once
	// Stragglers is the share that ignores the TTL and decays with StragglerTau.
	Stragglers   float64
	StragglerTau float64
}

// The actuators. Lags are assumptions, to be measured.
var (
	stageUpdate = Actuator{Lag: 5}
	meshUpdate  = Actuator{Lag: 1}
	dnsRecord   = Actuator{Lag: 30, TTL: 60, Stragglers: 0.05, StragglerTau: 300}
)

// residual is the share of users still on the old weight t seconds after the
// decision.
func (a Actuator) residual(t int) float64 {
	if t < a.Lag {
		return 1
	}
	if a.TTL == 0 {
		return 0
	}
	compliant := math.Max(0, 1-float64(t-a.Lag)/float64(a.TTL))
	return (1-a.Stragglers)*compliant + a.Stragglers*math.Exp(-float64(t-a.Lag)/a.StragglerTau)
}
