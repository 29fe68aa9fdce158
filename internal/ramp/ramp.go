// Package ramp decides how far green may go next, so that a release harms no
// more than its budget of requests however much traffic there is. It is pure:
// it reads no clock, turns no dial and does not judge green (internal/evidence
// does). Who drives it asks Next after each dwell, while green is not blamed.
//
// The law: while green fails with excess probability d beyond blue, and it
// takes L seconds from a failure to everybody being back, R requests a second
// at weight w harm d*w*R*L in that time. Asking that to stay below the budget B
// for the worst d that the evidence does not exclude gives
//
//	first  w = B / (R L)
//	next   w = min(m w, (B - harm seen) / (R L excess))
//
// so the ramp is slow where little is known and free where much is. Equivalent
// in spirit to the ruin bound of Li, Mao and Bojinov (2023),
// https://arxiv.org/abs/2305.09626.
package ramp

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
)

// Budget is what a release may cost and how fast things are. Weights and rates
// are shares, 0..1.
type Budget struct {
	// Harm is B: the requests that may fail at green, in one latency, that would
	// not have failed at blue.
	Harm float64
	// Rate is R: requests a second of everybody, blue and green.
	Rate float64
	// Latency is L: from a failed answer to everybody being back on blue. It is
	// telemetry, decision and the dial together.
	Latency time.Duration
	// Dwell is the least time at a weight. Not below Latency: a step begun
	// before the last one could be seen is blind.
	Dwell time.Duration
	// Growth is m, how many times its weight green may have after a step. Two
	// makes the worst overshoot least (the doubling of an unknown size).
	Growth float64
	// Grain is the dial's resolution: 0.0001 where a percent has two decimals,
	// 1/255 for Route 53's weights.
	Grain float64
	// Least and Most bound the first weight.
	Least, Most float64
	// Enough is how many requests green must have answered at a weight before
	// the next. Three failures prove a green that is down.
	Enough float64
	// Tolerated is the ratio to blue's failure rate that is not held against
	// green, evidence.Policy.R0.
	Tolerated float64
	// Doubt is the level of the bounds on green's failure rate.
	Doubt float64
}

// Default is detection.md's budget of five requests, on API Gateway's canary.
func Default(rate float64, latency time.Duration) Budget {
	return Budget{
		Harm: 5, Rate: rate, Latency: latency, Dwell: max(latency, time.Minute), Growth: 2,
		Grain: 0.0001, Least: 0.0001, Most: 0.01, Enough: 3, Tolerated: 1.5, Doubt: 0.05,
	}
}

// Check says everything that is wrong with the budget.
func (b Budget) Check() error {
	var problems []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf("ramp: "+format, args...))
		}
	}
	want(b.Harm > 0, "harm %v: want more than 0 requests", b.Harm)
	want(b.Rate > 0, "rate %v: want more than 0 requests a second", b.Rate)
	want(b.Latency > 0, "latency %v: want more than 0", b.Latency)
	want(b.Dwell >= b.Latency, "dwell %v is below the latency of %v: the next step would be blind", b.Dwell, b.Latency)
	want(b.Grain > 0 && b.Grain <= b.Least, "grain %v: want above 0, and at most the least weight %v", b.Grain, b.Least)
	want(b.Least <= b.Most && b.Most <= 1, "first weight %v to %v: want an interval within 1", b.Least, b.Most)
	want(b.Growth > 1 && b.Growth*b.Least >= b.Least+b.Grain*(1-1e-9), "growth %v moves a weight of %v by less than the grain %v", b.Growth, b.Least, b.Grain)
	want(b.Tolerated >= 1, "tolerated ratio %v: want at least 1", b.Tolerated)
	want(b.Doubt > 0 && b.Doubt < 1, "doubt %v: want 0 to 1", b.Doubt)
	return errors.Join(problems...)
}

// Within sets the dwell so that a healthy release takes about total from its
// first weight to its last dwell, and no less than the latency allows.
func (b Budget) Within(total time.Duration) Budget {
	steps := math.Ceil(math.Log(1/b.First())/math.Log(b.Growth)-1e-9) + 1
	b.Dwell = max(b.Latency, (total / time.Duration(steps)).Truncate(time.Second))
	return b
}

// inFlight is how many requests everybody sends in one latency: R L.
func (b Budget) inFlight() float64 { return b.Rate * b.Latency.Seconds() }

// grains rounds down to what the dial can show.
func (b Budget) grains(w float64) float64 {
	if w >= 1 {
		return 1
	}
	return math.Floor(w/b.Grain+1e-9) * b.Grain
}

// First is the first weight: nothing is known, so green may be down. Where the
// dial is too coarse for the budget it is Least, and WorstCase says what that
// costs.
func (b Budget) First() float64 {
	return max(b.grains(max(b.Least, min(b.Most, b.Harm/b.inFlight()))), b.Grain)
}

// Seen is the evidence so far. Counts are of the whole release, Fresh is the
// requests that green answered since the last change of weight took effect.
type Seen struct {
	evidence.Counts
	Fresh float64
}

// excess is the worst failure rate of green beyond what is tolerated that the
// evidence does not exclude. Blue's own rate is its average; without blue it is
// taken as 0, which is the careful side.
func (b Budget) excess(s Seen) float64 {
	return max(0, evidence.UpperBound(s.GreenErrors, s.GreenRequests, b.Doubt)-b.Tolerated*blueRate(s))
}

func blueRate(s Seen) float64 {
	if s.BlueRequests <= 0 {
		return 0
	}
	return s.BlueErrors / s.BlueRequests
}

// HarmSeen is how many requests green has provably harmed: by the lower bound
// of its failure rate. Errors minus expectation would call the luck of a
// healthy green harm, and stop every long release.
func (b Budget) HarmSeen(s Seen) float64 {
	lower := evidence.LowerBound(s.GreenErrors, s.GreenRequests, b.Doubt)
	return s.GreenRequests * max(0, lower-b.Tolerated*blueRate(s))
}

// Allowed is the highest weight at which one latency of the worst green that
// the evidence does not exclude costs no more than what is left of the budget.
func (b Budget) Allowed(s Seen) float64 {
	left := b.Harm - b.HarmSeen(s)
	if left <= 0 {
		return 0
	}
	worst := b.inFlight() * b.excess(s)
	if worst <= left {
		return 1
	}
	return b.grains(left / worst)
}

// Next is the weight after w, and why. It is w itself where the evidence does
// not carry more: a ramp holds, it never guesses, and never goes down (that is
// the judge's decision, and it goes to zero).
func (b Budget) Next(w float64, s Seen) (next float64, why string) {
	if w >= 1 {
		return 1, "everybody is on green"
	}
	if s.GreenRequests <= 0 || s.Fresh < max(b.Enough, 1) {
		return w, fmt.Sprintf("hold: green answered %.0f requests at this weight, %.0f are wanted", s.Fresh, max(b.Enough, 1))
	}
	allowed, grown := b.Allowed(s), b.grains(b.Growth*w)
	next = min(allowed, grown)
	switch {
	case next <= w && allowed == 0:
		return w, fmt.Sprintf("hold: %.1f requests were harmed, of a budget of %v", b.HarmSeen(s), b.Harm)
	case next <= w:
		return w, fmt.Sprintf("hold: green may still fail %.2g%% more than tolerated (%.0f failed of %.0f)", 100*b.excess(s), s.GreenErrors, s.GreenRequests)
	case next == grown:
		return next, fmt.Sprintf("grow %v times: the budget would allow %.4g%%", b.Growth, 100*allowed)
	default:
		return next, fmt.Sprintf("up to the budget: green may still fail %.2g%% more than tolerated", 100*b.excess(s))
	}
}
