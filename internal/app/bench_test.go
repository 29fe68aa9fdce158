package app_test

import (
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/bench"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
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

// TestTheDetectorsPayForTheLongestRun: alpha holds where each step waits for
// Route 53, for its gate and for a verdict as long as it may, and each look
// divides a tick.
func TestTheDetectorsPayForTheLongestRun(t *testing.T) {
	t.Parallel()
	plan := cutover.Plan{
		Steps: []cutover.Dials{{DNS: 10, Canary: 10}, {DNS: 50, Canary: 50}, {DNS: 100, Canary: 100}}, Promote: true,
		Bake: 5 * time.Minute, SyncTimeout: 4 * time.Minute, HoldTimeout: 10 * time.Minute, Poll: 2 * time.Second,
		Gates: []cutover.Gate{{Step: 1, Timeout: time.Hour}},
	}
	longest := 4*(5+10)*time.Minute + 3*4*time.Minute + time.Hour
	if got, want := app.Ticks(plan), int(longest/health.TickLength+longest/plan.Poll); got < want || got > want+1 {
		t.Errorf("%d ticks, want %d for a run of %v", got, want, longest)
	}
}
