package app_test

import (
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/bench"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
)

// TestTheBenchmarkPlaysTheDefaults: what the harm benchmark says of tapctl is
// of the configuration that nobody touched.
func TestTheBenchmarkPlaysTheDefaults(t *testing.T) {
	t.Parallel()
	type played struct {
		Poll, Hold, LastBake, Effect float64 // seconds
		Alpha, SLO, R0               float64
		Slow                         time.Duration
		Answers                      string
	}
	c := config.Defaults()
	same(t, "defaults", played{bench.Poll, bench.HoldTimeout, bench.LastBake, bench.Effect, bench.Alpha, bench.SLO, bench.Tolerated, 2 * time.Second, "evidence"}, played{
		c.Evidence.Poll.Seconds(), c.Shift.HoldTimeout.Seconds(), c.Shift.Bake.Seconds(), c.Evidence.Lag.Seconds(), c.Evidence.Alpha, c.Evidence.SLO, c.Evidence.ToleratedRatio,
		c.Evidence.Slow, c.Shift.OnCountAlarm,
	})
	w := newWorld(t)
	for _, rate := range []float64{1, awsapi.LiveTailRate, awsapi.LiveTailRate + 1} {
		same(t, "latency", bench.OurLags(rate).Latency(), w.Latency(c.Evidence.Poll, rate))
	}
}

// TestAnAlarmCountsInOneLanguage: what infra says an alarm counts is what
// health has an answer for.
func TestAnAlarmCountsInOneLanguage(t *testing.T) {
	t.Parallel()
	same(t, "words", []health.Counted{health.CountedErrors, health.CountedRefused}, []health.Counted{infra.CountsErrors, infra.CountsRefused})
}
