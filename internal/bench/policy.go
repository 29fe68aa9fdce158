package bench

import (
	"math"

	"github.com/tapctl/tapctl/internal/evidence"
)

// Policy is how a release is stepped and judged.
type Policy struct {
	Name   string
	Source string // where the model's numbers come from
	Undo   Actuator
	// Own marks tapctl's: these probe, and judge latency in every world.
	Own bool
	// tick is how many seconds apart it decides: a block, or 1.
	tick int
	// compares tells that it looks at blue too.
	compares bool
	// start makes the decider for one release.
	start func(w World, d *dice) decider
}

// decider is asked every tick what weight green should have.
type decider interface {
	decide(t int, seen *history) decision
}

// decision is the weight wanted, 0..1, and whether the release is over.
type decision struct {
	weight   float64
	promoted bool
	rejected bool
}

// planned is the weight by time, and when the plan is over.
type planned struct {
	weight func(t int) float64
	end    int
}

// linear adds step every seconds, from step at 0; weight 1 is watched for one
// more interval.
func linear(step float64, every int) planned {
	steps := int(math.Round(1 / step))
	return planned{func(t int) float64 { return math.Min(1, step*float64(t/every+1)) }, (steps + 1) * every}
}

// staged holds each weight for the time, then ends.
func staged(hold int, weights ...float64) planned {
	return planned{func(t int) float64 { return weights[min(t/hold, len(weights)-1)] }, hold * len(weights)}
}

// geometric grows from first to 1 over the time, on a dial of a hundredth of a
// percent, and watches one minute.
func geometric(first float64, seconds int) planned {
	tau := float64(seconds) / math.Log(1/first)
	weights := make([]float64, seconds+1)
	for t := range weights {
		weights[t] = math.Floor(math.Min(1, first*math.Exp(float64(t)/tau))*10_000+1e-9) / 10_000
	}
	return planned{func(t int) float64 { return weights[min(t, seconds)] }, seconds + 60}
}

// rule tells whether a window is bad.
type rule func(c counts) bool

// rateAbove blames a failure rate, anyError a single one. A rate that is the
// limit, as expectations may be, is not above it, however it was rounded.
func rateAbove(limit float64) rule {
	return func(c counts) bool { return c.greenE > limit*c.greenN*(1+1e-9) }
}

func anyError(c counts) bool { return c.greenE >= 1 }

// slowAbove is the latency rule lent to who has none: more than one in twenty
// answers slower than blue's 99th percentile. A limit at the percentile itself
// would blame every second healthy window.
func slowAbove(c counts) bool { return c.greenSlow > 0.05*c.greenN }

// in is the rule that matters in the world. Others than tapctl have a rule for
// latency only where green is slow: it costs them no false rollback.
func (r rule) in(w World) rule {
	if w.GreenSlow > w.Slow {
		return slowAbove
	}
	return r
}

// alarmed is a plan under a CloudWatch alarm: buckets of period seconds,
// visible lag after they end, evaluated every eval seconds at a random phase,
// polled every poll seconds. Missing data does not breach.
type alarmed struct {
	planned
	period, lag, eval, poll int
	phase                   int
	breached                rule
	alarmAt                 int // second the alarm went red; -1 before
}

func (p *alarmed) decide(t int, seen *history) decision {
	if p.alarmAt < 0 && t%p.eval == p.phase {
		newest := (t - p.lag) / p.period * p.period // end of the newest visible bucket
		if c := seen.window(newest-p.period, newest); newest >= p.period && c.greenN > 0 && p.breached(c) {
			p.alarmAt = t
		}
	}
	if p.alarmAt >= 0 && t%p.poll == 0 && t > p.alarmAt {
		return decision{rejected: true}
	}
	return decision{weight: p.weight(t), promoted: t >= p.end}
}

func startAlarmed(plan planned, period, lag, eval, poll int, breached rule) func(World, *dice) decider {
	return func(w World, d *dice) decider {
		return &alarmed{planned: plan, period: period, lag: lag, eval: eval, poll: poll, phase: d.phase(eval), breached: breached.in(w), alarmAt: -1}
	}
}

// silence is what a controller makes of a window without a green request.
type silence int

const (
	passes silence = iota // no rule was broken
	fails                 // it counts as a failed look
	errs                  // it is an error; errorsLimit of them in a row undo
)

// errorsLimit is Argo's consecutiveErrorLimit, 4, exceeded.
const errorsLimit = 5

// ticked is a controller that looks every interval at its window: a failed
// look does not advance, and threshold of them undo.
type ticked struct {
	weights               []float64
	interval, window, lag int
	bad                   rule
	threshold             int
	silence               silence
	delayedUndo           bool // Flagger counts now and undoes a tick later
	at, failures, errors  int
	undoNext, promoted    bool
}

func (p *ticked) decide(t int, seen *history) decision {
	if p.promoted {
		return decision{weight: 1, promoted: true}
	}
	current := decision{weight: p.weights[p.at]}
	if t == 0 || t%p.interval != 0 {
		return current
	}
	if p.undoNext {
		return decision{rejected: true}
	}
	c := seen.window(t-p.lag-p.window, t-p.lag)
	if c.greenN == 0 && p.silence == errs {
		p.errors++
		current.rejected = p.errors >= errorsLimit
		return current
	}
	p.errors = 0
	if c.greenN == 0 && p.silence == fails || c.greenN > 0 && p.bad(c) {
		p.failures++
		if p.failures >= p.threshold {
			p.undoNext, current.rejected = p.delayedUndo, !p.delayedUndo
		}
		return current
	}
	if p.at == len(p.weights)-1 {
		p.promoted = true
		return decision{weight: 1, promoted: true}
	}
	p.at++
	return decision{weight: p.weights[p.at]}
}

// judged is a plan under tapctl's tests of errors, every period seconds on
// counts that are lag old.
type judged struct {
	planned
	judge       *evidence.Judge
	period, lag int
}

func startJudged(plan planned, period, lag int) func(World, *dice) decider {
	return func(w World, _ *dice) decider {
		policy := evidence.DefaultPolicy(3*w.Base, 1800/period)
		if w.GreenSlow > w.Slow {
			policy.Slow = w.Slow
		}
		return &judged{plan, evidence.NewJudge(policy), period, lag}
	}
}

func (p *judged) decide(t int, seen *history) decision {
	if end := t - p.lag; end > 0 && end%p.period == 0 {
		if p.judge.Add(seen.window(end-p.period, end).evidence(), p.weight(t)) == evidence.Bad {
			return decision{rejected: true}
		}
	}
	return decision{weight: p.weight(t), promoted: t >= p.end}
}

func (c counts) evidence() evidence.Counts {
	return evidence.Counts{
		GreenRequests: c.greenN, GreenErrors: c.greenE, GreenSlow: c.greenSlow,
		BlueRequests: c.blueN, BlueErrors: c.blueE, BlueSlow: c.blueSlow,
	}
}
