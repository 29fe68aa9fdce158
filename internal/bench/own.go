package bench

import (
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/ramp"
)

// Ours is tapctl's policy in the tables, as 'shift --plan budget' has it by
// default; its variants follow its name.
const (
	Ours       = "tapctl budget ramp"
	oursFast   = Ours + ", 2 minutes"
	oursCoarse = Ours + ", canary dial alone"
	oursErrors = Ours + ", no latency"
	oursAlarms = Ours + ", count alarms decide"
)

// The defaults of tapctl's configuration that decide, in seconds, shares and
// requests a second. A test of internal/app holds them to the configuration.
const (
	Poll        = 2 // between two looks
	Alpha       = 0.01
	SLO         = 0.01
	Tolerated   = 1.5 // ratio of green's rate to blue's
	Effect      = 10  // evidence.lag: until dials that stand act
	HoldTimeout = 600 // without a step, until it goes back
	LastBake    = 300 // of the last weight

	logLag       = 5               // a log line's way to tapctl (assumed)
	tailed       = 500             // Live Tail shows so many a second; of more the log is asked
	logPoll      = 5               // between two times of asking
	rampSeconds  = 600             // of the parts that ramp by time
	fastBake     = 60              // of the last weight, in two minutes' ramp
	rampMost     = 4 * rampSeconds // of a ramp that has no steps, until it goes back
	redFrom      = 180             // an alarm is red for what failed so long ago ...
	redUntil     = 60              // ... to so long ago: CloudWatch's delay, and a period
	unseen       = 300             // green may answer nobody that is counted for so long,
	unseenLeast  = 20              // where so many answers were expected
	probeRate    = 30              // synthetic requests a second before the first user
	plannedTicks = 11_400          // what the late-fault detectors pay for
)

// Lags are how fast a loop is, in whole seconds.
type Lags struct {
	Telemetry int // an answer's way to the judge
	Undo      int // from the order to everybody on blue
}

// Latency is the whole loop.
func (l Lags) Latency() time.Duration { return time.Duration(l.Telemetry+l.Undo) * time.Second }

// OurLags are tapctl's at so many requests a second: the log's lag and a look,
// and the stage's update.
func OurLags(rps float64) Lags {
	l := Lags{Telemetry: logLag + Poll, Undo: stageUpdate.Lag}
	if rps > tailed {
		l.Telemetry += logPoll
	}
	return l
}

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
	b := ramp.Default(float64(rps), OurLags(float64(rps)).Latency())
	return b.Harm/(b.Rate*b.Latency.Seconds()) < canaryGrain
}

// style is how a variant differs.
type style struct {
	errors   bool    // no latency is judged: evidence.slow is 0
	ramped   bool    // it takes any weight the budget allows, and not the plan's next
	alarms   bool    // an alarm that counts decides by itself
	slo      float64 // 0: SLO
	lastBake int
	hold     int // seconds without a step, until it goes back
	begun    int // seconds since the first user, until it goes back; 0: any
}

// budgeted is tapctl's: a preflight, then the budget ramp of internal/ramp
// under the tests of internal/evidence, every second on counts that are lag
// old, and under alarms that count.
type budgeted struct {
	style
	world     World
	dice      *dice
	preflight *evidence.Preflight
	judge     *evidence.Judge
	suspicion *evidence.Suspicion
	budget    ramp.Budget
	lag       int
	weight    float64
	began     int // second of the first user
	changed   int // second of the last step
	shared    int // second until which a fault of both sides is held for
}

// judging is what tapctl asks of a release: errors, latency, probes and what
// alarms count share one percent.
func judging(s style) evidence.Policy {
	policy := evidence.Policy{Alpha: Alpha, R0: Tolerated, P0: SLO, Probes: true, Alarms: !s.alarms, Ticks: plannedTicks}
	if s.slo > 0 {
		policy.P0 = s.slo
	}
	if !s.errors {
		policy.Slow = evidence.SlowShare
	}
	return policy
}

func startBudget(s style, lags func(World) Lags, budget func(World) ramp.Budget) func(World, *dice) decider {
	return func(w World, d *dice) decider {
		policy, b := judging(s), budget(w)
		return &budgeted{
			style: s, world: w, dice: d, preflight: evidence.NewPreflight(policy), judge: evidence.NewJudge(policy),
			suspicion: evidence.NewSuspicion(policy, policy.P0), budget: b, lag: lags(w).Telemetry,
		}
	}
}

func lagsOf(w World) Lags { return OurLags(w.RPS) }

// standard is the default budget.
func standard(w World) ramp.Budget {
	b := ramp.Default(w.RPS, lagsOf(w).Latency())
	b.Grain, b.Least = dialGrain, dialGrain
	return b
}

// pace is how long a step takes at least: the canary settles for a latency and
// is then watched for a dwell.
func (p *budgeted) pace() int {
	if p.ramped {
		return int(p.budget.Dwell.Seconds())
	}
	return int((p.budget.Dwell + p.budget.Latency).Seconds())
}

func (p *budgeted) decide(t int, seen *history) decision {
	if p.weight == 0 {
		return p.probe(t)
	}
	c := seen.window(t-p.lag-1, t-p.lag)
	finding, leaning := p.judge.Add(c.evidence(), p.weight), p.alarm(t, c, seen)
	silent := t >= p.changed+unseen+p.lag && p.weight*p.world.RPS*unseen >= unseenLeast && seen.window(t-p.lag-unseen, t-p.lag).greenN == 0
	switch {
	case finding == evidence.Bad, silent, leaning == evidence.Intolerable:
		return decision{rejected: true}
	case p.weight < 1 && (p.begun > 0 && t >= p.began+p.begun || p.hold > 0 && t >= p.changed+p.pace()+p.hold):
		return decision{rejected: true} // nothing is known for too long
	case finding == evidence.Shared || leaning == evidence.Doubtful || t < p.changed+p.pace():
		return decision{weight: p.weight}
	case p.weight == 1:
		return decision{weight: 1, promoted: t >= p.changed+p.lastBake}
	}
	evidenceSoFar := ramp.Seen{Counts: seen.window(p.began, t-p.lag).evidence(), Fresh: seen.window(p.changed+Effect, t-p.lag).greenN}
	next, _ := p.budget.Next(p.weight, evidenceSoFar)
	if planned := min(1, p.budget.Growth*p.weight); !p.ramped && next < planned*(1-planSlack) {
		return decision{weight: p.weight} // a plan's step is taken whole, or waited for
	}
	if next > p.weight {
		p.weight, p.changed = next, t
	}
	return decision{weight: p.weight}
}

// planSlack is by how much a planned weight may exceed the ramp's own.
const planSlack = 0.05

// alarm is what an alarm that counts single failures of the stage comes to:
// those of a while ago make it red, and the requests answer it.
func (p *budgeted) alarm(t int, c counts, seen *history) evidence.Leaning {
	if p.weight < 1 {
		p.suspicion.Add(0, c.greenN, c.greenE, c.blueN, c.blueE)
	} else {
		p.suspicion.AddAlone(c.greenN, c.greenE)
	}
	red := seen.window(max(t-redFrom, p.began), t-redUntil)
	if red.greenE+red.blueE < 1 {
		return evidence.Tolerable
	}
	if p.alarms {
		return evidence.Intolerable
	}
	alone := p.weight == 1
	leaning := p.suspicion.Leaning(alone)
	if leaning == evidence.Intolerable && !p.suspicion.Blames(alone) { // blue's alarm is red as well
		p.suspicion.Forgive()
		p.shared = t + redUntil
	}
	if t < p.shared {
		return evidence.Doubtful
	}
	return leaning
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

// Own are tapctl's policies: the one it has, without latency, with alarms
// that decide, a faster ramp, and one dial alone.
func Own() []Policy {
	const source = "internal/ramp and internal/evidence, by the defaults of internal/config; log lag assumed 5 s, canary percent 5 s"
	own := func(name string, s style, budget func(World) ramp.Budget) Policy {
		return Policy{Name: name, Source: source, Undo: stageUpdate, Own: true, tick: 1, compares: true, start: startBudget(s, lagsOf, budget)}
	}
	usual := style{lastBake: LastBake, hold: HoldTimeout}
	errors, alarms := usual, usual
	errors.errors, alarms.alarms = true, true
	coarse := func(w World) ramp.Budget {
		b := standard(w)
		b.Grain, b.Least = canaryGrain, canaryGrain
		return b
	}
	return []Policy{
		own(oursFast, style{ramped: true, lastBake: fastBake, begun: rampMost}, func(w World) ramp.Budget { return standard(w).Within(2 * time.Minute) }),
		own(oursAlarms, alarms, standard), own(oursErrors, errors, standard), own(oursCoarse, usual, coarse), own(Ours, usual, standard),
	}
}

// Policies are every model, tapctl's last.
func Policies() []Policy { return append(Rivals(), Own()...) }
