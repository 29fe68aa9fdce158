package bench

import (
	"context"
	"math"
	"slices"

	"github.com/tapctl/tapctl/internal/ramp"
)

// Forecast is what the model says of one release of a bad green, before it is
// played for real. Seconds are of the world's clock; NaN where it never was.
type Forecast struct {
	HarmedMean, HarmedP95     float64 // requests
	RestoreMedian, RestoreP95 float64 // first exposure to the fault until everybody is back
	DetectMedian              float64 // first exposure until the undo is ordered
	Caught                    float64 // share of the releases that were sent back
	Seeds                     int
}

// Predict plays tapctl's budget ramp in the world, without a preflight where
// the fault is invisible to probes. The rate may be a fraction of a request a
// second: forty real ones under a clock that runs sixty times faster are 0.67.
// budget.Rate must be the world's, slo is the rate that evidence.slo tolerates.
// Seeds below 1 count as 1. Where ctx ends it, it is of fewer releases.
func Predict(ctx context.Context, w World, lags Lags, budget ramp.Budget, slo float64, seeds int) Forecast {
	p := Policy{
		Name: Ours, Undo: Actuator{Lag: lags.Undo}, Own: true, tick: 1, compares: true,
		start: startBudget(style{slo: slo, lastBake: LastBake, hold: HoldTimeout}, func(World) Lags { return lags }, func(World) ramp.Budget { return budget }),
	}
	seeds = max(seeds, 1)
	f := Forecast{Seeds: seeds}
	var harmed, restores, detects []float64
	for _, o := range outcomes(ctx, p, w, seeds, &history{}) {
		harmed = append(harmed, o.harmed)
		f.HarmedMean += o.harmed / float64(seeds)
		if !math.IsNaN(o.restore) {
			restores = append(restores, o.restore)
		}
		if !math.IsNaN(o.detect) {
			detects = append(detects, o.detect)
		}
		if o.rejected {
			f.Caught++
		}
	}
	f.Caught /= float64(seeds)
	f.HarmedP95 = percentile(harmed, 95)
	f.RestoreMedian, f.RestoreP95, f.DetectMedian = percentile(restores, 50), percentile(restores, 95), percentile(detects, 50)
	return f
}

// percentile sorts and picks; NaN of nothing.
func percentile(of []float64, percent int) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	slices.Sort(of)
	return of[min(len(of)-1, len(of)*percent/100)]
}
