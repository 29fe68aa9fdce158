package bench

import (
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/ramp"
)

// Ours is tapctl's policy in the tables; its variants follow its name.
const (
	Ours       = "tapctl budget ramp"
	oursFast   = Ours + ", 2 minutes"
	oursCoarse = Ours + ", canary dial alone"
)

// The knobs of tapctl's policy, in seconds and requests.
const (
	logLag      = 5 // a log line's way to tapctl (assumed)
	rampSeconds = 600
	finalBake   = 60
	// inconclusive is how long a ramp may take before it goes back for want of
	// evidence.
	inconclusive = 4 * rampSeconds
	// unseen is how long green may answer nobody that is counted, where so many
	// answers were expected.
	unseen      = 300
	unseenLeast = 20
	// probeRate is synthetic requests a second before the first user.
	probeRate = 30
	// plannedTicks is what the late-fault detectors pay for.
	plannedTicks = 1800
)

// Lags are how fast a loop is, in whole seconds.
type Lags struct {
	Telemetry int // an answer's way to the judge
	Undo      int // from the order to everybody on blue
}

// latency is the whole loop: what is seen is a second's counts at its end.
func (l Lags) latency() time.Duration {
	return time.Duration(l.Telemetry+l.Undo+1) * time.Second
}

func oursLags() Lags { return Lags{Telemetry: logLag, Undo: stageUpdate.Lag} }

// canaryGrain is the resolution assumed of API Gateway's canary percent. While
// a tenth of the entrance leads to green, the two dials multiply: dialGrain is
// what they resolve together, and what a budget plan begins with.
const (
	canaryGrain = 0.0001
	dialGrain   = canaryGrain / 10
)

// dialBinds tells whether the first weight that the budget allows is finer than
// the canary's dial alone, so that the row without the other shows its worth.
func dialBinds(rps int) bool {
	b := ramp.Default(float64(rps), oursLags().latency())
	return b.Harm/(b.Rate*b.Latency.Seconds()) < canaryGrain
}

// budgeted is tapctl's: a preflight, then the budget ramp of internal/ramp
// under the tests of internal/evidence, every second on counts that are lag
// old.
type budgeted struct {
	world     World
	dice      *dice
	preflight *evidence.Preflight
	judge     *evidence.Judge
	budget    ramp.Budget
	lag       int
	weight    float64
	began     int // second of the first user
	changed   int // second of the last step
}

// judging is what tapctl asks of a release: errors, latency and probes share
// one percent.
func judging(w World) evidence.Policy {
	policy := evidence.DefaultPolicy(3*w.Base, plannedTicks)
	policy.Slow, policy.Probes = w.Slow, true
	return policy
}

func startBudget(lags Lags, budget func(World) ramp.Budget) func(World, *dice) decider {
	return func(w World, d *dice) decider {
		policy, b := judging(w), budget(w)
		return &budgeted{
			world: w, dice: d, preflight: evidence.NewPreflight(policy), judge: evidence.NewJudge(policy),
			budget: b, lag: lags.Telemetry,
		}
	}
}

// standard is the default budget, spread over the time.
func standard(lags Lags, over time.Duration) func(World) ramp.Budget {
	return func(w World) ramp.Budget {
		b := ramp.Default(w.RPS, lags.latency())
		b.Grain, b.Least = dialGrain, dialGrain
		return b.Within(over)
	}
}

func (p *budgeted) decide(t int, seen *history) decision {
	if p.weight == 0 {
		return p.probe(t)
	}
	c := seen.window(t-p.lag-1, t-p.lag)
	finding := p.judge.Add(c.evidence(), p.weight)
	silent := t >= p.changed+unseen+p.lag && p.weight*p.world.RPS*unseen >= unseenLeast && seen.window(t-p.lag-unseen, t-p.lag).greenN == 0
	switch {
	case finding == evidence.Bad, silent, p.weight < 1 && t >= p.began+inconclusive:
		return decision{rejected: true}
	case p.weight == 1 && t >= p.changed+finalBake:
		return decision{weight: 1, promoted: true}
	case finding == evidence.Shared || t < p.changed+int(p.budget.Dwell.Seconds()):
		return decision{weight: p.weight}
	}
	evidenceSoFar := ramp.Seen{Counts: seen.window(p.began, t-p.lag).evidence(), Fresh: seen.window(p.changed, t-p.lag).greenN}
	if next, _ := p.budget.Next(p.weight, evidenceSoFar); next > p.weight {
		p.weight, p.changed = next, t
	}
	return decision{weight: p.weight}
}

// probe sends a second's synthetic requests to a green that serves nobody.
func (p *budgeted) probe(t int) decision {
	failing := p.world.Base
	if p.world.Visible {
		failing = p.world.Green
	}
	switch p.preflight.Add(probeRate, p.dice.binomial(probeRate, failing)) {
	case evidence.Probing:
		return decision{}
	case evidence.Clear:
		p.weight, p.began, p.changed = p.budget.First(), t, t
		return decision{weight: p.weight}
	default:
		return decision{rejected: true}
	}
}

// Own are tapctl's policies: the one it has, a faster ramp, and one dial alone.
func Own() []Policy {
	const source = "internal/ramp and internal/evidence; log lag assumed 5 s, canary percent 5 s"
	lags := oursLags()
	coarse := func(w World) ramp.Budget {
		b := ramp.Default(w.RPS, lags.latency())
		b.Grain, b.Least = canaryGrain, canaryGrain
		return b.Within(rampSeconds * time.Second)
	}
	own := func(name string, budget func(World) ramp.Budget) Policy {
		return Policy{Name: name, Source: source, Undo: stageUpdate, Own: true, tick: 1, compares: true, start: startBudget(lags, budget)}
	}
	return []Policy{own(oursFast, standard(lags, 2*time.Minute)), own(oursCoarse, coarse), own(Ours, standard(lags, rampSeconds*time.Second))}
}

// Policies are every model, tapctl's last.
func Policies() []Policy { return append(Rivals(), Own()...) }
