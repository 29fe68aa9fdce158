package cli

import (
	"context"
	"fmt"
	"math"

	"github.com/tapctl/tapctl/internal/bench"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/ramp"
	"github.com/tapctl/tapctl/internal/rehearse"
)

// model is the harm benchmark's, for the configuration under which the scenario
// is played; configure lays the scenario's keys over it.
func model(configure func(over map[string]any) (config.Config, error)) rehearse.Model {
	const releases = 200
	return func(ctx context.Context, s rehearse.Scenario, rate float64) (rehearse.Forecast, error) {
		cfg, err := configure(s.Config)
		if err != nil {
			return rehearse.Forecast{}, err
		}
		lags := bench.OurLags(rate)
		budget := ramp.Default(rate, lags.Latency())
		budget.Harm, budget.Tolerated = cfg.Shift.HarmBudget, cfg.Evidence.ToleratedRatio
		f := bench.Predict(ctx, worldOf(s, rate), lags, budget, cfg.Evidence.SLO, releases)
		forecast := rehearse.Forecast{Rate: rate, HarmedMean: f.HarmedMean, HarmedP95: f.HarmedP95, SentBack: f.Caught}
		if !math.IsNaN(f.RestoreMedian) {
			forecast.RestoreS = &f.RestoreMedian
		}
		return forecast, nil
	}
}

// worldOf is the scenario's fault as the benchmark has it. Nothing fails and
// nothing is slow but by the fault; what both sides have is blue's own rate.
func worldOf(s rehearse.Scenario, rate float64) bench.World {
	w := bench.World{Name: s.Name, RPS: rate}
	switch s.Fault.Kind {
	case rehearse.Errors:
		w.Green = s.Fault.Rate
	case rehearse.Slow:
		w.GreenSlow = s.Fault.Rate
	case rehearse.Down, "": // no Model is asked for these
	}
	if s.Fault.Both {
		w.Base, w.Slow = w.Green, w.GreenSlow
	}
	if s.At > 0 {
		w.OnsetWeight = float64(s.At) / 100
	}
	return w
}

// beside is what the model expected and how far that is from what was measured.
func beside(s rehearse.Score) string {
	m := s.Model
	if m == nil {
		return "no model: " + s.NoModel
	}
	text := fmt.Sprintf("the model expects %.1f harmed (95%%: at most %.0f), and %.0f%% sent back, at %.2f requests a second: measured %+.1f", m.HarmedMean, m.HarmedP95, 100*m.SentBack, m.Rate, m.Difference)
	if m.Ratio != nil {
		text += fmt.Sprintf(", %.1f times that", *m.Ratio)
	}
	if m.RestoreDifferenceS != nil {
		text += fmt.Sprintf("; restored %+.0f s beside its median of %.0f s", *m.RestoreDifferenceS, *m.RestoreS)
	}
	return text
}
