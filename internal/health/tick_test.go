package health_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/ramp"
)

// running is a shift at 1,000 requests a second that is looked at every two
// seconds, of which one request in a thousand fails; it makes nothing anew.
type running struct {
	requests []health.Request
	now      time.Time
	evidence *health.Evidence
}

func newRunning() *running {
	r := &running{requests: make([]health.Request, 2000), now: stepAt.Add(time.Minute)}
	for i := range r.requests {
		r.requests[i] = health.Request{Canary: i%10 == 0, Status: 200, Latency: 20 * time.Millisecond}
		if i%1000 == 1 {
			r.requests[i].Status = 502
		}
	}
	budget := ramp.Default(1000, 12*time.Second)
	policy := evidence.DefaultPolicy(0.01, 1000)
	policy.Slow, policy.Probes, policy.Alarms = 0.01, true, true
	r.evidence = health.NewEvidence(r, func() time.Time { return r.now }, health.EvidenceOptions{
		Policy: policy, Lag: lag, Slow: 2 * time.Second, Silent: silent, MinRequests: 1, Budget: &budget,
	})
	return r
}

func (r *running) Drain() health.Batch {
	return health.Batch{Requests: r.requests, Source: "live tail"}
}

// tick is two seconds, and look a look at them with the answer that an alarm
// asks for.
func (r *running) tick() health.Finding {
	r.pass()
	return r.look()
}

func (r *running) pass() {
	r.now = r.now.Add(2 * time.Second)
	for i := range r.requests {
		r.requests[i].At = r.now
	}
}

func (r *running) look() health.Finding {
	f := r.evidence.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Canary: true, Share: 0.1, Ahead: 0.02})
	r.evidence.Answer(health.CountedErrors)
	return f
}

// cost is how many allocations a tick makes, and how many bytes.
func (r *running) cost() (allocations float64, bytes uint64) {
	const ticks = 100
	allocations = testing.AllocsPerRun(ticks, func() { r.tick() })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range ticks {
		r.tick()
	}
	runtime.ReadMemStats(&after)
	return allocations, (after.TotalAlloc - before.TotalAlloc) / ticks
}

// TestATickAllocatesNoMoreAfterHours: ten thousand ticks of two seconds are a
// shift of five hours and a half. Not parallel: allocations are the process's.
func TestATickAllocatesNoMoreAfterHours(t *testing.T) {
	if underRace {
		t.Skip("under the race detector a sync.Pool drops at random what it is given, and fmt allocates anew")
	}
	r := newRunning()
	run := func(ticks int) {
		var f health.Finding
		for range ticks {
			f = r.tick()
		}
		if f.Verdict != health.Healthy { // another verdict has other words
			t.Fatalf("a healthy green: %s", f.Detail)
		}
	}
	run(10)
	early, earlyBytes := r.cost()
	run(10_000)
	late, lateBytes := r.cost()
	// The words of larger numbers are a few bytes longer.
	if late != early || lateBytes > earlyBytes+earlyBytes/4 {
		t.Errorf("a tick makes %v allocations of %d bytes after 10 ticks, and %v of %d after 10,000", early, earlyBytes, late, lateBytes)
	}
	t.Logf("%v allocations of %d bytes a tick", late, lateBytes)
}

// TestATickTakesLessThanAMillisecond, with two seconds of 1,000 requests a
// second in it: the median of the best of ten batches, so that a machine that is
// busy with something else for a while fails nothing.
func TestATickTakesLessThanAMillisecond(t *testing.T) {
	if underRace {
		t.Skip("the race detector costs ten times as much")
	}
	r := newRunning()
	best := time.Hour
	for range 10 {
		took := make([]time.Duration, 31)
		for i := range took {
			r.pass()
			began := (clock.Real{}).Now()
			r.look()
			took[i] = (clock.Real{}).Now().Sub(began)
		}
		slices.Sort(took)
		best = min(best, took[len(took)/2])
	}
	if best >= time.Millisecond {
		t.Errorf("a tick takes %v", best)
	}
	t.Logf("a tick takes %v", best)
}
