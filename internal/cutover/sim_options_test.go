package cutover_test

import (
	"math/rand/v2"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// options is what a seed makes of its world. Each hurt is in about half of the
// worlds (a swarm), since hurts that are always there hide each other.
type options struct {
	found cutover.Setting
	ask   cutover.Ask
	plan  cutover.Plan

	ttl, heartbeat time.Duration // of the lease
	sameOwner      bool          // every run has the same name, as a CI job started again

	slow, throttle, lost, late, stale, freeze, crash, unknown float64 // chance, per call or look
	staleness                                                 time.Duration
	maxSync                                                   time.Duration // of Route 53
	outages                                                   map[service]outage

	life      time.Duration // of a run's credentials, from its start; zero: they do not expire
	oneRecord bool          // a person edits the records one at a time

	abandoned cutover.OnAbandoned // policy of who comes after a crash; "": asks for --resume
	assent    float64             // chance that somebody approves what a gate keeps

	toBlue, shaped float64 // chance that a rollback is told so

	ambush float64 // chance that a rollback starts just as a write upward is sent

	badAt       time.Time // when green turns bad; zero never
	falseAlarms float64

	second, rollback, signal, human, leap []time.Duration // when, since the start
}

// service is what can be out of reach as a whole.
type service string

const (
	route53Service service = "route53"
	stageService   service = "apigateway"
	aliasService   service = "lambda"
	tableService   service = "dynamodb"
	watchService   service = "cloudwatch"
)

type outage struct{ from, to time.Time }

// lateness bounds how long after its caller gave up a request may still land.
const lateness = 10 * time.Second

// opTimeout is how long the driver waits for one call of a port.
const opTimeout = 30 * time.Second

func drawOptions(rng *rand.Rand) options {
	o := options{outages: map[service]outage{}}
	drawShift(rng, &o)
	drawHurts(rng, &o)
	span := o.plan.Length(0) + 4*time.Minute
	at := func(p float64) []time.Duration {
		var when []time.Duration
		for rng.Float64() < p && len(when) < 2 {
			when = append(when, drawBetween(rng, 0, span))
		}
		return when
	}
	o.second, o.rollback, o.signal = at(0.25), at(0.2), at(0.2)
	o.human, o.leap = at(0.1), at(0.15)
	if rng.Float64() < 0.25 {
		o.badAt = start.Add(drawBetween(rng, 0, span))
	}
	for _, name := range []service{route53Service, stageService, aliasService, tableService, watchService} {
		if rng.Float64() < 0.07 {
			from := start.Add(drawBetween(rng, 0, span))
			o.outages[name] = outage{from, from.Add(drawBetween(rng, 10*time.Second, 12*time.Minute))}
		}
	}
	return o
}

func drawShift(rng *rand.Rand, o *options) {
	pick := func(values ...cutover.Percent) cutover.Percent { return values[rng.IntN(len(values))] }
	o.found = cutover.Setting{Dials: cutover.Dials{Canary: pick(0, 10)}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	if rng.Float64() < 0.3 {
		o.found = cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1", NextVersion: "2"}
	}
	o.ask = cutover.Ask{Step: pick(25, 34, 50, 100), To: pick(50, 100, 100, 100), Via: []cutover.Via{cutover.ViaBoth, cutover.ViaBoth, cutover.ViaDNS, cutover.ViaCanary}[rng.IntN(4)]}
	o.plan = cutover.Plan{
		Settle: drawBetween(rng, 15*time.Second, time.Minute), Bake: drawBetween(rng, 30*time.Second, 4*time.Minute),
		SyncTimeout: drawBetween(rng, 45*time.Second, 3*time.Minute), HoldTimeout: drawBetween(rng, time.Minute, 5*time.Minute),
		Poll: drawBetween(rng, 5*time.Second, 15*time.Second), Linger: 75 * time.Second, WriteTries: 4, RetreatTries: 12,
		HoldOnSignal: rng.Float64() < 0.3,
	}
	if steps, err := cutover.Steps(o.found, o.ask); err == nil {
		o.plan.Steps = steps
		o.plan.Promote = cutover.Promotes(o.found, steps) && rng.Float64() < 0.7
	}
	o.ttl = drawBetween(rng, 90*time.Second, 10*time.Minute)
	o.heartbeat = o.ttl / 3
	o.sameOwner = rng.Float64() < 0.2
}

func drawHurts(rng *rand.Rand, o *options) {
	often := func(most float64) float64 {
		if rng.Float64() < 0.6 {
			return 0
		}
		return most * rng.Float64()
	}
	o.slow, o.throttle, o.lost, o.late = often(0.1), often(0.2), often(0.15), often(0.05)
	o.stale, o.freeze, o.crash = often(0.2), often(0.01), often(0.01)
	o.unknown, o.falseAlarms = often(0.3), often(0.005)
	o.staleness = drawBetween(rng, time.Second, 20*time.Second)
	o.ambush = often(0.5)
	o.maxSync = drawBetween(rng, 0, 100*time.Second)
}

// drawPolicies gives a world the policies that an operator may choose.
func drawPolicies(rng *rand.Rand, o *options) {
	chance := func(p float64) bool { return rng.Float64() < p }
	if chance(0.5) {
		o.plan.Shape = cutover.Shape{Step: []cutover.Percent{10, 20, 34, 50}[rng.IntN(4)], Pause: drawBetween(rng, 5*time.Second, time.Minute)}
	}
	o.assent = rng.Float64()
	for step := range len(o.plan.Steps) + 1 {
		if step > 0 && chance(0.3) {
			o.plan.Gates = append(o.plan.Gates, cutover.Gate{Step: step, Timeout: drawBetween(rng, time.Minute, 20*time.Minute)})
		}
	}
	if chance(0.25) {
		o.plan.Freeze, o.plan.HoldOnSignal = true, true
	}
	o.plan.HoldUnknown = chance(0.3)
	if chance(0.4) {
		o.plan.CanarySettle = drawBetween(rng, time.Second, o.plan.Settle)
		for range o.plan.Steps {
			o.plan.Bakes = append(o.plan.Bakes, drawBetween(rng, 10*time.Second, o.plan.Bake))
		}
	}
	policies := []cutover.OnAbandoned{"", cutover.RefuseAbandoned, cutover.FinishAbandoned, cutover.RevertAbandoned}
	o.abandoned = policies[rng.IntN(len(policies))]
	if o.plan.Freeze && o.abandoned == cutover.RevertAbandoned {
		o.abandoned = cutover.FinishAbandoned // the configuration refuses the pair
	}
}

// waits are how long the step settles and bakes.
func waits(p cutover.Plan, step int) (settle, bake time.Duration) {
	settle, bake = p.Settle, p.Bake
	if p.CanarySettle > 0 && step > 0 && p.Steps[step].DNS == p.Steps[step-1].DNS {
		settle = p.CanarySettle
	}
	if step < len(p.Bakes) {
		bake = p.Bakes[step]
	}
	return settle, bake
}
