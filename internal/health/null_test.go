package health_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
)

// blamedByDelay plays two minutes of a green that fails as often as blue, with
// an incident of both, 400 requests a second, whose base lines come up to so much later than the
// canary's, and tells whether the judge blamed it.
func blamedByDelay(seed uint64, alpha float64, delay time.Duration) bool {
	rng := rand.New(rand.NewPCG(seed, 0xde1a))
	both := health.Sides{Base: true, Canary: true, Share: 0.1, DialsAt: stepAt}
	c := health.Counter{Settle: 5 * time.Second}
	c.Begin(stepAt)
	judge := evidence.NewJudge(evidence.Policy{Alpha: alpha, R0: 1.5, P0: 0.01, Ticks: 200})
	waiting := map[int][]health.Request{} // by the second they come
	for second := range 100 {
		failing := 0.01
		if second >= 30 && second < 60 {
			failing = 0.3
		}
		for range 400 {
			r := health.Request{At: stepAt.Add(time.Duration(second)*time.Second + time.Duration(rng.Int64N(int64(time.Second)))), Canary: rng.Float64() < 0.1, Status: 200}
			if rng.Float64() < failing {
				r.Status = 502
			}
			arrives := second
			if !r.Canary {
				arrives += rng.IntN(int(delay/time.Second) + 1)
			}
			waiting[arrives] = append(waiting[arrives], r)
		}
		c.Add(health.Batch{Requests: waiting[second]}, false)
		now := stepAt.Add(time.Duration(second+1) * time.Second)
		for tick, ok := c.Tick(now, both); ok; tick, ok = c.Tick(now, both) {
			if judge.Add(tick, 0.1) == evidence.Bad {
				return true
			}
		}
	}
	return false
}

// TestADelayedBaseBlamesFew: whoever's lines come later, green and blue are
// compared by when their requests came. Base's lines take up to 8 s longer here,
// at what Live Tail shows; judged as they come, more than half would be blamed.
func TestADelayedBaseBlamesFew(t *testing.T) {
	t.Parallel()
	const runs, alpha = 100, 0.05
	blamed := 0
	for seed := range uint64(runs) {
		if blamedByDelay(seed, alpha, 8*time.Second) {
			blamed++
		}
	}
	t.Logf("%d of %d healthy greens blamed", blamed, runs)
	if blamed > alpha*runs {
		t.Errorf("%d of %d healthy greens blamed, alpha %v allows %v", blamed, runs, alpha, alpha*runs)
	}
}
