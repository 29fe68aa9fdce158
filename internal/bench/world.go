// Package bench plays bad and healthy releases against models of release
// policies, tapctl's and others', and counts the requests each one harms. It
// is a model, deterministic from its seeds, and touches no AWS: every lag is
// an input, named where it is set.
package bench

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// World is one release: how much traffic there is and what is wrong with
// green. Rates are probabilities, times seconds.
type World struct {
	Name  string
	RPS   int
	Base  float64 // failure rate of blue, and of a healthy green
	Green float64 // failure rate of green from Onset on
	Onset int     // second at which green turns bad
	// Shared makes blue as bad as green for this many seconds from Onset on.
	Shared int
}

// Harmful tells whether green is bad while blue is not.
func (w World) Harmful() bool { return w.Green > w.Base && w.Shared == 0 }

func (w World) greenRate(t int) float64 {
	switch {
	case t < w.Onset, w.Shared > 0 && t >= w.Onset+w.Shared:
		return w.Base
	default:
		return w.Green
	}
}

func (w World) blueRate(t int) float64 {
	if w.Shared > 0 && t >= w.Onset && t < w.Onset+w.Shared {
		return w.Green
	}
	return w.Base
}

// BaseRate is the failure rate of a healthy side.
const BaseRate = 0.001

// Rates are the traffic levels, requests a second.
var Rates = []int{10, 100, 1000, 10_000}

// Worlds are the releases at one traffic level.
func Worlds(rps int) []World {
	fault := func(name string, green float64) World {
		return World{Name: name, RPS: rps, Base: BaseRate, Green: green}
	}
	return []World{
		fault("healthy", BaseRate), fault("0.5%", 0.005), fault("1%", 0.01), fault("5%", 0.05), fault("50%", 0.5), fault("100%", 1),
		{Name: "onset 400 s, 5%", RPS: rps, Base: BaseRate, Green: 0.05, Onset: 400},
		{Name: "shared incident", RPS: rps, Base: BaseRate, Green: 0.05, Onset: 200, Shared: 30},
	}
}

// counts is one second's requests.
type counts struct{ greenN, greenE, blueN, blueE float64 }

// dice draws what happens; nil draws are expectations.
type dice struct{ rng *rand.Rand }

func newDice(seed uint64) *dice { return &dice{rand.New(rand.NewPCG(seed, 0xbe9c4))} }

// binomial draws the number of successes; without a generator, their mean.
func (d *dice) binomial(n, p float64) float64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case d.rng == nil:
		return n * p
	case n*p < 20 && n < 200 || n*p < 2:
		return d.rare(n, p)
	}
	return math.Min(n, distuv.Binomial{N: n, P: p, Src: d.rng}.Rand())
}

// rare skips from success to success: quick where there are few.
func (d *dice) rare(n, p float64) float64 {
	hits, at := 0.0, 0.0
	logQ := math.Log1p(-p)
	for {
		at += math.Floor(math.Log(1-d.rng.Float64())/logQ) + 1
		if at > n {
			return hits
		}
		hits++
	}
}

func (d *dice) second(w World, t int, weight float64) counts {
	n := float64(w.RPS)
	green := d.binomial(n, weight)
	c := counts{greenN: green, blueN: n - green}
	c.greenE = d.binomial(c.greenN, w.greenRate(t))
	c.blueE = d.binomial(c.blueN, w.blueRate(t))
	return c
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
