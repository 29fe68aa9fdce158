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
	// start makes the decider for one release.
	start func(w World, d *dice) decider
}

// decider is asked once a second what weight green should have.
type decider interface {
	decide(t int, seen *history) decision
}

// decision is the weight wanted, 0..1, and whether the release is over.
type decision struct {
	weight   float64
	promoted bool
	rejected bool
}

// history is the cumulated counts per second, for windows that end in the
// past: a policy sees nothing younger than its signal's lag.
type history struct{ sums []counts }

func (h *history) add(c counts) {
	last := counts{}
	if len(h.sums) > 0 {
		last = h.sums[len(h.sums)-1]
	}
	h.sums = append(h.sums, counts{last.greenN + c.greenN, last.greenE + c.greenE, last.blueN + c.blueN, last.blueE + c.blueE})
}

// window is the counts of the seconds from (inclusive) to to (exclusive).
func (h *history) window(from, to int) counts {
	from, to = max(from, 0), min(to, len(h.sums))
	if to <= from {
		return counts{}
	}
	end, start := h.sums[to-1], counts{}
	if from > 0 {
		start = h.sums[from-1]
	}
	return counts{end.greenN - start.greenN, end.greenE - start.greenE, end.blueN - start.blueN, end.blueE - start.blueE}
}

func (c counts) rate() float64 {
	if c.greenN == 0 {
		return 0
	}
	return c.greenE / c.greenN
}

// ramp is the planned weight by time, and when the plan is over.
type ramp struct {
	weight func(t int) float64
	end    int
}

// linear adds step every seconds, from step at 0; weight 1 is watched for one
// more interval.
func linear(step float64, every int) ramp {
	steps := int(math.Round(1 / step))
	return ramp{func(t int) float64 { return math.Min(1, step*float64(t/every+1)) }, (steps + 1) * every}
}

// staged holds each weight for the time, then ends.
func staged(hold int, weights ...float64) ramp {
	return ramp{func(t int) float64 { return weights[min(t/hold, len(weights)-1)] }, hold * len(weights)}
}

// geometric doubles from first to 1 over ramp seconds, and watches one minute.
func geometric(first float64, seconds int) ramp {
	tau := float64(seconds) / math.Log(1/first)
	return ramp{func(t int) float64 { return math.Min(1, first*math.Exp(float64(t)/tau)) }, seconds + 60}
}

// alarmed is a ramp under a CloudWatch alarm on one-minute metrics: buckets of
// period seconds, visible lag after they end, evaluated every eval seconds at
// a random phase, polled every poll seconds.
type alarmed struct {
	ramp
	period, lag, eval, poll int
	phase                   int
	breached                func(c counts) bool
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

func startAlarmed(r ramp, period, lag, eval, poll int, breached func(counts) bool) func(World, *dice) decider {
	return func(_ World, d *dice) decider {
		phase := eval / 2
		if d.rng != nil {
			phase = d.rng.IntN(eval)
		}
		return &alarmed{ramp: r, period: period, lag: lag, eval: eval, poll: poll, phase: phase, breached: breached, alarmAt: -1}
	}
}

func rateAbove(limit float64) func(counts) bool {
	return func(c counts) bool { return c.rate() > limit }
}

func anyError(c counts) bool { return c.greenE >= 1 }

// ticked is a controller that looks every interval at the success rate of its
// window: a failed look does not advance, and threshold of them undo at the
// next look.
type ticked struct {
	weights               []float64
	interval, window, lag int
	success               float64
	threshold             int
	at, failures          int
	undoNext              bool // Flagger counts now and undoes a tick later
	delayedUndo           bool
	promoted              bool
}

func (p *ticked) decide(t int, seen *history) decision {
	if p.promoted {
		return decision{weight: 1, promoted: true}
	}
	current := p.weights[p.at]
	if t == 0 || t%p.interval != 0 {
		return decision{weight: current}
	}
	if p.undoNext {
		return decision{rejected: true}
	}
	c := seen.window(t-p.lag-p.window, t-p.lag)
	if c.greenN > 0 && 1-c.rate() < p.success {
		p.failures++
		if p.failures >= p.threshold {
			if !p.delayedUndo {
				return decision{rejected: true}
			}
			p.undoNext = true
		}
		return decision{weight: current}
	}
	if p.at == len(p.weights)-1 {
		p.promoted = true
		return decision{weight: 1, promoted: true}
	}
	p.at++
	return decision{weight: p.weights[p.at]}
}

// budget is tapctl's: the first weight from the harm budget and the loop's
// latency, growth by evidence, verdict by the anytime-valid tests every
// second on counts that are lag old.
type budget struct {
	world     World
	judge     *evidence.Judge
	lag       int
	latency   float64 // lag plus undo
	dwell     int
	grow      float64
	weight    float64
	next      int // second of the next step
	end       int
	wholeFrom int // second at which weight reached 1; 0 before
}

// The knobs of the budget ramp. harmBudget is in requests.
const (
	harmBudget  = 5
	firstMax    = 0.01
	firstFloor  = 0.0001
	growth      = 2
	finalBake   = 60
	rampSeconds = 600
	// excessFloor is the excess failure rate below which the ramp stops asking:
	// no evidence ever excludes every excess.
	excessFloor = 0.0001
)

func startBudget(lag int, undo Actuator) func(World, *dice) decider {
	return func(w World, _ *dice) decider {
		latency := float64(lag + undo.Lag + 1)
		first := math.Max(firstFloor, math.Min(firstMax, harmBudget/(float64(w.RPS)*latency)))
		steps := math.Ceil(math.Log(1/first) / math.Log(growth))
		return &budget{
			world: w, judge: evidence.NewJudge(evidence.DefaultPolicy(3*w.Base, 1800)), lag: lag, latency: latency,
			dwell: int(rampSeconds / (steps + 1)), grow: growth, weight: first, next: int(rampSeconds / (steps + 1)), end: 4 * rampSeconds,
		}
	}
}

func (p *budget) decide(t int, seen *history) decision {
	c := seen.window(t-p.lag-1, t-p.lag)
	finding := p.judge.Add(evidence.Counts{GreenRequests: c.greenN, GreenErrors: c.greenE, BlueRequests: c.blueN, BlueErrors: c.blueE}, p.weight)
	switch {
	case finding == evidence.Bad:
		return decision{rejected: true}
	case p.wholeFrom > 0 && t >= p.wholeFrom+finalBake:
		return decision{weight: 1, promoted: true}
	case finding == evidence.Shared || t < p.next || t >= p.end:
		return decision{weight: p.weight} // hold: advance only on evidence
	}
	p.step(t, seen)
	return decision{weight: p.weight}
}

// step advances by at most grow, and no further than the harm budget allows
// for the worst failure rate that the evidence does not exclude.
func (p *budget) step(t int, seen *history) {
	c := seen.window(0, t-p.lag)
	worst := evidence.UpperBound(c.greenE, c.greenN, 0.05) - p.world.Base
	allowed := 4 * harmBudget / (float64(p.world.RPS) * p.latency * math.Max(worst, excessFloor))
	p.weight = math.Min(1, math.Max(p.weight, math.Min(p.grow*p.weight, allowed)))
	p.next = t + p.dwell
	if p.weight == 1 && p.wholeFrom == 0 {
		p.wholeFrom = t
	}
}

// Policies are every model, tapctl's last.
func Policies() []Policy {
	s5 := func(r ramp, breached func(counts) bool) func(World, *dice) decider {
		return startAlarmed(r, 60, 60, 60, 10, breached)
	}
	tick := func(p ticked) func(World, *dice) decider {
		return func(World, *dice) decider { q := p; return &q }
	}
	flagger := func(interval, threshold int, weights ...float64) ticked {
		return ticked{weights: weights, interval: interval, window: interval, lag: 15, success: 0.99, threshold: threshold, delayedUndo: true}
	}
	return []Policy{
		{"CodeDeploy Canary10Percent5Minutes, 5XX>=1", "CodeDeploy deployment configurations; alarm poll assumed 10 s", stageUpdate, s5(staged(300, 0.1, 1), anyError)},
		{"CodeDeploy Canary10Percent5Minutes, rate>1%", "as above", stageUpdate, s5(staged(300, 0.1, 1), rateAbove(0.01))},
		{"CodeDeploy Linear10PercentEvery1Minute, rate>1%", "as above", stageUpdate, s5(linear(0.1, 60), rateAbove(0.01))},
		{"Flagger default (threshold 1)", "fluxcd/flagger canary.go, scheduler.go; Prometheus lag assumed 15 s", meshUpdate, tick(flagger(60, 1, 0.1, 0.2, 0.3, 0.4, 0.5))},
		{"Flagger docs (threshold 5)", "as above", meshUpdate, tick(flagger(60, 5, 0.1, 0.2, 0.3, 0.4, 0.5))},
		{"Argo Rollouts docs example", "argo-rollouts docs/features/analysis.md", meshUpdate, tick(ticked{weights: argoWeights(2), interval: 300, window: 300, lag: 15, success: 0.95, threshold: 4})},
		{"Argo Rollouts strict", "as above, 1 m, 99%, failureLimit 0", meshUpdate, tick(ticked{weights: argoWeights(10), interval: 60, window: 60, lag: 15, success: 0.99, threshold: 1})},
		{"Route 53 linear, CloudWatch rate>1%", "every step and the undo through DNS", dnsRecord, s5(linear(0.1, 60), rateAbove(0.01))},
		{"tuned: Flagger 10 s on 1/5/25/50/100", "hand-tuned rival", meshUpdate, tick(flagger(10, 1, tunedWeights()...))},
		{"tuned: geometric, 10 s alarm rate>1%", "hand-tuned rival, high-resolution metric", stageUpdate, startAlarmed(geometric(0.01, rampSeconds), 10, 5, 10, 10, rateAbove(0.01))},
		{"tapctl budget ramp", "internal/evidence; log lag assumed 5 s", stageUpdate, startBudget(5, stageUpdate)},
	}
}

// argoWeights are 20, 40, 60, 80 percent, each for ten minutes of looks.
func argoWeights(looks int) []float64 {
	var weights []float64
	for _, w := range []float64{0.2, 0.4, 0.6, 0.8} {
		for range looks {
			weights = append(weights, w)
		}
	}
	return weights
}

// tunedWeights hold each of 1, 5, 25, 50 and 100 percent for two minutes.
func tunedWeights() []float64 {
	var weights []float64
	for _, w := range []float64{0.01, 0.05, 0.25, 0.5, 1} {
		for range 12 {
			weights = append(weights, w)
		}
	}
	return weights
}
