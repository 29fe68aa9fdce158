package ramp

import (
	"math"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
)

// Step is one weight of the preview. At and Dwell are from the release's start
// and at the weight; Exposed is green's requests up to the step's end.
type Step struct {
	Weight  float64
	At      time.Duration
	Dwell   time.Duration
	Exposed float64
}

// longestPreview ends a preview whose traffic is too thin to carry a release.
const longestPreview = 7 * 24 * time.Hour

// Schedule is how a release goes if green fails as often as blue, base of all
// requests, and the counts are as expected. It ends with weight 1 and one
// dwell there; done is false where the traffic does not carry it in a week.
func (b Budget) Schedule(base float64) (steps []Step, done bool) {
	weight, at := b.First(), time.Duration(0)
	var seen Seen
	step := Step{Weight: weight}
	for at < longestPreview {
		at += b.Dwell
		n := b.Rate * b.Dwell.Seconds()
		seen.Fresh += n * weight
		seen.GreenRequests += n * weight
		seen.GreenErrors += n * weight * base
		seen.BlueRequests += n * (1 - weight)
		seen.BlueErrors += n * (1 - weight) * base
		step.Dwell += b.Dwell
		step.Exposed = seen.GreenRequests
		next, _ := b.Next(weight, seen)
		if next == weight && weight < 1 {
			continue
		}
		steps = append(steps, step)
		if weight == 1 {
			return steps, true
		}
		weight, seen.Fresh = next, 0
		step = Step{Weight: weight, At: at}
	}
	return append(steps, step), false
}

// Worst is the costliest release of a green that was bad from the start.
type Worst struct {
	Excess float64       // the failure rate beyond blue's that costs most, 0..1
	Harmed float64       // requests
	Proven time.Duration // from the start to the proof
	Weight float64       // when proven
}

// WorstCase is the most that a green which is bad from the start, by least or
// more beyond blue, is expected to harm: excess times what it answered until it
// was proven, and one latency more, along the schedule of a healthy one. base
// is blue's failure rate, alpha the level of one test
// (evidence.Policy.TestAlpha). The smaller a fault, the longer its proof: below
// about base there is no worst case but the traffic itself, hence least. The
// ramp holds where green looks bad, so what is measured is below this.
func (b Budget) WorstCase(base, alpha, least float64) Worst {
	steps, _ := b.Schedule(base)
	var worst Worst
	for excess := least; ; excess = min(excess*1.1, 1-base) {
		// Blue is estimated too, which takes half as many again (evidence.TestDelay).
		proven, weight := reach(steps, b.Rate, 1.5*evidence.Proof(base+excess, base, alpha))
		if harmed := excess * exposed(steps, b.Rate, proven+b.Latency); harmed > worst.Harmed {
			worst = Worst{excess, harmed, proven, weight}
		}
		if excess >= 1-base {
			return worst
		}
	}
}

// Late is what a fault that begins at weight w is expected to harm, by physics:
// excess times what green answers until it is proven and undone. No ramp makes
// it less, only a shorter latency.
func (b Budget) Late(w, excess, base, alpha float64) float64 {
	return excess * (evidence.Proof(base+excess, base, alpha) + w*b.inFlight())
}

// reach is when green has answered n requests, and the weight then. Past the
// schedule's end everybody stays on green.
func reach(steps []Step, rate, n float64) (time.Duration, float64) {
	before := 0.0
	for i, s := range steps {
		if n <= s.Exposed || i == len(steps)-1 {
			seconds := min((n-before)/(rate*s.Weight), longestPreview.Seconds())
			return s.At + time.Duration(seconds*float64(time.Second)), s.Weight
		}
		before = s.Exposed
	}
	return 0, 0
}

// exposed is how many requests green has answered at a time.
func exposed(steps []Step, rate float64, at time.Duration) float64 {
	n := 0.0
	for i, s := range steps {
		stay := at - s.At
		if i < len(steps)-1 {
			stay = min(stay, s.Dwell)
		}
		n += rate * s.Weight * math.Max(0, stay.Seconds())
	}
	return n
}
