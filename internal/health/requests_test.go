package health_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/ramp"
)

const (
	lag    = 10 * time.Second
	silent = time.Minute
)

// fed is a tail that delivers what the test put in, and a clock.
type fed struct {
	batch health.Batch
	now   time.Time
}

func (f *fed) Drain() health.Batch {
	b := f.batch
	f.batch = health.Batch{Source: b.Source}
	return b
}

func (f *fed) Now() time.Time { return f.now }

// put adds n requests of a side, of which the first failed have status 502.
func (f *fed) put(at time.Time, canary bool, n, failed int) {
	for i := range n {
		status := 200
		if i < failed {
			status = 502
		}
		f.batch.Requests = append(f.batch.Requests, health.Request{At: at, Canary: canary, Status: status, Latency: 20 * time.Millisecond})
	}
}

func newFed() (*fed, *health.Evidence) {
	f := &fed{batch: health.Batch{Source: "live tail"}, now: stepAt}
	policy := evidence.DefaultPolicy(0.01, 1000)
	policy.Slow = 0.01
	return f, health.NewEvidence(f, f.Now, health.EvidenceOptions{
		Policy: policy, Lag: lag, Slow: 2 * time.Second, Silent: silent, MinRequests: 3,
	})
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	both := health.Sides{DialsAt: stepAt, Base: true, Canary: true}
	turning := health.Sides{Base: true, Canary: true}
	taken := stepAt.Add(lag)
	tests := []struct {
		name   string
		sides  health.Sides
		after  time.Duration // the look's, since the step began
		put    func(*fed)
		want   health.Verdict
		shared bool
		detail string // part of it
	}{
		{"nothing at all", both, time.Minute, func(*fed) {}, health.Unknown, false, "no request of this step"},
		{"dials that do not stand yet", turning, 20 * time.Second, func(f *fed) { f.put(taken, true, 50, 0); f.put(taken, false, 50, 0) }, health.Unknown, false, "not in force yet"},
		{"dials not in effect", both, lag - time.Second, func(f *fed) { f.put(stepAt, true, 50, 0); f.put(stepAt, false, 50, 0) }, health.Unknown, false, "nothing is counted until 12:00:10Z"},
		{"only from before the dials", both, time.Minute, func(f *fed) { f.put(taken.Add(-time.Millisecond), true, 50, 0) }, health.Unknown, false, "no request of this step"},
		{"fails before the dials stand", turning, 20 * time.Second, func(f *fed) { f.put(taken, true, 20, 10); f.put(taken, false, 180, 0) }, health.Unhealthy, false, "green fails"},
		{"fails before the dials take effect", both, lag - time.Second, func(f *fed) { f.put(stepAt, true, 20, 10); f.put(stepAt, false, 180, 0) }, health.Unhealthy, false, "green fails"},
		{"failed before the shift", both, 20 * time.Second, func(f *fed) {
			f.put(stepAt.Add(-time.Second), true, 20, 10)
			f.put(stepAt.Add(-time.Second), false, 180, 0)
		}, health.Unknown, false, "no request of this step"},
		{"all well", both, 20 * time.Second, func(f *fed) { f.put(taken, true, 3, 0); f.put(taken, false, 20, 0) }, health.Healthy, false, "canary failed 0 of 3 requests, base 0 of 20, by live tail"},
		{"too few", both, 20 * time.Second, func(f *fed) { f.put(taken, true, 2, 0); f.put(taken, false, 20, 0) }, health.Unknown, false, "2 of 3"},
		{"silent for too long", both, lag + silent + time.Second, func(f *fed) { f.put(taken, true, 30, 0); f.put(taken, false, 20, 0) }, health.Unknown, false, "no request was seen for 1m1s"},
		{"silent, not for too long", both, lag + silent, func(f *fed) { f.put(taken, true, 30, 0); f.put(taken, false, 20, 0) }, health.Healthy, false, ""},
		{"canary fails", both, 20 * time.Second, func(f *fed) { f.put(taken, true, 20, 10); f.put(taken, false, 180, 0) }, health.Unhealthy, false, "canary failed 10 of 20 requests, base 0 of 180"},
		{"canary is slow", both, 20 * time.Second, func(f *fed) {
			f.put(taken, true, 20, 0)
			for i := range f.batch.Requests {
				f.batch.Requests[i].Latency = 2001 * time.Millisecond
			}
			f.put(taken, false, 180, 0)
		}, health.Unhealthy, false, "slower than 2s were 20 and 0"},
		{"both fail", both, 20 * time.Second, func(f *fed) { f.put(taken, true, 20, 10); f.put(taken, false, 180, 90) }, health.Unknown, true, "base side fails as well"},
		{"fails with nobody left to compare", health.Sides{DialsAt: stepAt, Canary: true}, 20 * time.Second, func(f *fed) { f.put(taken, true, 200, 20) }, health.Unhealthy, false, "more often than 1%"},
		{"alone and well", health.Sides{DialsAt: stepAt, Canary: true}, 20 * time.Second, func(f *fed) { f.put(taken, true, 200, 1) }, health.Healthy, false, "canary failed 1 of 200"},
		{"no canary", health.Sides{DialsAt: stepAt, Base: true}, 20 * time.Second, func(f *fed) { f.put(taken, false, 200, 200) }, health.Healthy, false, "nothing to compare"},
		{"sampled and well", both, 20 * time.Second, func(f *fed) {
			f.put(taken, true, 300, 0)
			f.put(taken, false, 200, 0)
			f.batch.Partial = "sampled"
		}, health.Unknown, false, "sampled"},
		{"a sample by time, of a share that is none", both, 20 * time.Second, func(f *fed) {
			f.put(taken, true, 300, 0)
			f.put(taken, false, 20, 0)
			f.batch.Sample = "a sample of base"
		}, health.Healthy, false, "a sample of base"},
		{"sampled and bad", both, 20 * time.Second, func(f *fed) {
			f.put(taken, true, 20, 10)
			f.put(taken, false, 180, 0)
			f.batch.Partial = "sampled"
		}, health.Unhealthy, false, "at least (sampled)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, e := newFed()
			tt.put(f)
			f.now = stepAt.Add(tt.after)
			got := e.Look(context.Background(), stepAt, tt.sides)
			if got.Verdict != tt.want || got.Shared != tt.shared || !strings.Contains(got.Detail, tt.detail) {
				t.Errorf("%v, shared %v (%s); want %v, %v, with %q", got.Verdict, got.Shared, got.Detail, tt.want, tt.shared, tt.detail)
			}
		})
	}
}

// look puts requests that come now and looks.
func (f *fed) look(e *health.Evidence, since time.Time, canary, canaryFailed, base int) health.Finding {
	f.put(f.now, true, canary, canaryFailed)
	f.put(f.now, false, base, 0)
	return e.Look(context.Background(), since, health.Sides{DialsAt: since, Base: true, Canary: true})
}

func TestEvidenceOverSteps(t *testing.T) {
	t.Parallel()
	f, e := newFed()
	f.now = stepAt.Add(lag)
	if got := f.look(e, stepAt, 10, 0, 90); got.Verdict != health.Healthy {
		t.Fatalf("%v: %s", got.Verdict, got.Detail)
	}
	second := stepAt.Add(time.Minute)
	f.now = second.Add(lag)
	if got := f.look(e, second, 1, 0, 90); got.Verdict != health.Unknown {
		t.Errorf("the requests of the first step measured the second: %v, %s", got.Verdict, got.Detail)
	}
	// What green did is remembered where its faults are few in each step.
	failed := 0
	for range 40 {
		second = second.Add(time.Minute)
		f.now = second.Add(lag)
		failed++
		if got := f.look(e, second, 10, 1, 90); got.Verdict == health.Unhealthy {
			break
		}
	}
	if failed < 2 || failed == 40 {
		t.Errorf("a failure in ten requests of each step was red after %d steps", failed)
	}
	// Once red, red: blue failing more than ever afterwards takes nothing back.
	f.now = second.Add(time.Minute + lag)
	f.put(f.now, true, 1000, 0)
	f.put(f.now, false, 1000, 400)
	if got := e.Look(context.Background(), second.Add(time.Minute), health.Sides{DialsAt: second.Add(time.Minute), Base: true, Canary: true}); got.Verdict != health.Unhealthy {
		t.Errorf("red, and then %v: %s", got.Verdict, got.Detail)
	}
}

// After a gap a step is measured again only by what was seen whole.
func TestEvidenceAfterAGap(t *testing.T) {
	t.Parallel()
	f, e := newFed()
	f.now = stepAt.Add(lag)
	f.look(e, stepAt, 10, 0, 90)
	f.batch.Partial = "the connection broke"
	for _, want := range []health.Verdict{health.Unknown, health.Unknown, health.Healthy} {
		f.now = f.now.Add(time.Second)
		if got := f.look(e, stepAt, 2, 0, 10); got.Verdict != want {
			t.Errorf("%v (%s), want %v", got.Verdict, got.Detail, want)
		}
	}
}

// A side that has no request yet is waited for, so that the two are compared;
// else an ill world with little traffic looks like an ill green.
func TestEvidenceWaitsForTheOtherSide(t *testing.T) {
	t.Parallel()
	f, e := newFed()
	f.now = stepAt.Add(lag)
	if got := f.look(e, stepAt, 20, 10, 0); got.Verdict == health.Unhealthy {
		t.Fatalf("judged without the base side: %s", got.Detail)
	}
	f.now = f.now.Add(time.Second)
	f.put(f.now, false, 180, 90)
	if got := e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Canary: true}); !got.Shared {
		t.Errorf("%v (%s), want the shared incident", got.Verdict, got.Detail)
	}
	f, e = newFed()
	f.now = stepAt.Add(lag)
	f.look(e, stepAt, 20, 10, 0)
	f.now = f.now.Add(30 * time.Second)
	if got := f.look(e, stepAt, 0, 0, 0); got.Verdict != health.Unhealthy {
		t.Errorf("waited for a base side that never came: %v, %s", got.Verdict, got.Detail)
	}
}

func TestCounterCountsEveryOrderAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "requests")
		requests := make([]health.Request, n)
		var want evidence.Counts
		for i := range requests {
			r := health.Request{
				At:     stepAt.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "at")) * time.Second),
				Canary: rapid.Bool().Draw(t, "canary"), Status: rapid.SampledFrom([]int{200, 404, 499, 500, 503}).Draw(t, "status"),
				Latency: time.Duration(rapid.IntRange(1, 4).Draw(t, "latency")) * time.Second,
			}
			requests[i] = r
			if r.At.Before(stepAt.Add(lag)) {
				continue
			}
			failed, slow := 0.0, 0.0
			if r.Status >= 500 {
				failed = 1
			}
			if r.Latency > 2*time.Second {
				slow = 1
			}
			if r.Canary {
				want.GreenRequests, want.GreenErrors, want.GreenSlow = want.GreenRequests+1, want.GreenErrors+failed, want.GreenSlow+slow
			} else {
				want.BlueRequests, want.BlueErrors, want.BlueSlow = want.BlueRequests+1, want.BlueErrors+failed, want.BlueSlow+slow
			}
		}
		c := health.Counter{Lag: lag, Slow: 2 * time.Second, Began: stepAt.Add(lag)}
		var got evidence.Counts
		now := stepAt.Add(time.Minute)
		for rest := rapid.Permutation(requests).Draw(t, "order"); len(rest) > 0; {
			k := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			c.Begin(stepAt)
			c.Add(health.Batch{Requests: rest[:k]}, false)
			rest = rest[k:]
			for tick, ok := c.Tick(now, health.Sides{}); ok; tick, ok = c.Tick(now, health.Sides{}) {
				got.GreenRequests, got.GreenErrors = got.GreenRequests+tick.GreenRequests, got.GreenErrors+tick.GreenErrors
				got.BlueRequests, got.BlueErrors = got.BlueRequests+tick.BlueRequests, got.BlueErrors+tick.BlueErrors
				got.GreenSlow, got.BlueSlow = got.GreenSlow+tick.GreenSlow, got.BlueSlow+tick.BlueSlow
			}
		}
		if got != want {
			t.Fatalf("counted %+v, want %+v", got, want)
		}
	})
}

// again is a tail that always delivers the same.
type again struct{ batch health.Batch }

func (a *again) Drain() health.Batch { return a.batch }

// busy is a look's requests at 1,000 a second and a poll of 15 s.
func busy() (*again, *health.Evidence) {
	f := &fed{}
	f.put(stepAt.Add(lag), true, 1500, 2)
	f.put(stepAt.Add(lag), false, 13_500, 14)
	tail := &again{health.Batch{Requests: slices.Clone(f.batch.Requests)}}
	return tail, health.NewEvidence(tail, func() time.Time { return stepAt.Add(20 * time.Second) }, health.EvidenceOptions{
		Policy: evidence.DefaultPolicy(0.01, 1000), Lag: lag, Silent: silent, MinRequests: 1,
	})
}

func TestCountingAllocatesNothing(t *testing.T) {
	tail, _ := busy()
	c, now := health.Counter{Lag: lag}, stepAt.Add(20*time.Second)
	c.Begin(stepAt)
	if allocations := testing.AllocsPerRun(100, func() {
		c.Add(tail.batch, false)
		c.Tick(now, health.Sides{DialsAt: stepAt, Base: true, Canary: true})
	}); allocations > 0 {
		t.Errorf("%v allocations a tick", allocations)
	}
}

func BenchmarkLook(b *testing.B) {
	_, e := busy()
	b.ReportAllocs()
	for b.Loop() {
		e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Canary: true})
	}
}

// TestTheBudgetHoldsUntilTheEvidenceCarriesTheNextStep: few requests carry a
// small step and not a large one.
func TestTheBudgetHoldsUntilTheEvidenceCarriesTheNextStep(t *testing.T) {
	t.Parallel()
	budget := ramp.Default(1000, 12*time.Second)
	for _, tt := range []struct {
		requests int
		ahead    float64
		want     health.Verdict
	}{
		{2, 0.0008, health.Unknown}, // too few to know anything
		{40, 0.0008, health.Healthy},
		{40, 0.5, health.Unknown},
		{40, 0, health.Healthy}, // no step is ahead
		{40_000, 0.5, health.Healthy},
	} {
		f := &fed{batch: health.Batch{Source: "live tail"}, now: stepAt.Add(20 * time.Second)}
		e := health.NewEvidence(f, f.Now, health.EvidenceOptions{
			Policy: evidence.DefaultPolicy(0.01, 1000), Lag: lag, Silent: silent, MinRequests: 1, Budget: &budget,
		})
		f.put(stepAt.Add(lag), true, tt.requests, 0)
		f.put(stepAt.Add(lag), false, tt.requests, 0)
		got := e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Canary: true, Ahead: tt.ahead})
		if got.Verdict != tt.want {
			t.Errorf("%d requests, %v ahead: %v (%s), want %v", tt.requests, tt.ahead, got.Verdict, got.Detail, tt.want)
		}
	}
}

// TestPromotedIsJudgedAlone: with no canary left, green answers everybody, and
// its failures have nobody to be compared with.
func TestPromotedIsJudgedAlone(t *testing.T) {
	t.Parallel()
	for failed, want := range map[int]health.Verdict{0: health.Healthy, 30: health.Unhealthy} {
		f, e := newFed()
		f.now = stepAt.Add(20 * time.Second)
		f.put(stepAt.Add(lag), false, 200, failed)
		if got := e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Promoted: true}); got.Verdict != want {
			t.Errorf("%d of 200 failed: %v (%s), want %v", failed, got.Verdict, got.Detail, want)
		}
	}
}

// TestWhatFailedAtBlueBeforeThePromotionIsNotThePromotedVersions: the base side
// changes hands, and while the dial acts nobody can tell whose request it was.
func TestWhatFailedAtBlueBeforeThePromotionIsNotThePromotedVersions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		canary bool
		at     time.Time
		want   health.Verdict
	}{
		{false, stepAt, health.Healthy},
		{false, stepAt.Add(lag), health.Unhealthy},
		{true, stepAt, health.Unhealthy},
	} {
		f, e := newFed()
		f.now = stepAt.Add(20 * time.Second)
		f.put(tt.at, tt.canary, 200, 100)
		f.put(stepAt.Add(lag), false, 20, 0)
		if got := e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Promoted: true}); got.Verdict != tt.want {
			t.Errorf("canary %v at %v: %v (%s), want %v", tt.canary, tt.at, got.Verdict, got.Detail, tt.want)
		}
	}
}

// TestASharedIncidentThatHealsIsForgiven: what both sides failed in it is not
// held against green for the rest of the shift.
func TestASharedIncidentThatHealsIsForgiven(t *testing.T) {
	t.Parallel()
	both := health.Sides{DialsAt: stepAt, Base: true, Canary: true}
	f, e := newFed()
	look := func(failed int) health.Finding {
		f.now = f.now.Add(15 * time.Second)
		f.put(f.now, true, 20, failed)
		f.put(f.now, false, 180, 9*failed)
		return e.Look(context.Background(), stepAt, both)
	}
	if got := look(10); got.Verdict != health.Unknown || !got.Shared {
		t.Errorf("both fail: %+v", got)
	}
	if got := look(0); got.Verdict != health.Healthy {
		t.Errorf("both are well again: %+v", got)
	}
}

// TestPromotedIsMeasuredAgainAfterAGap: a run that resumes, or whose connection
// to the log broke, has missed requests. No request of a canary can make up for
// that any more.
func TestPromotedIsMeasuredAgainAfterAGap(t *testing.T) {
	t.Parallel()
	f, e := newFed()
	f.now = stepAt.Add(lag)
	f.batch.Partial = "the access log is not followed yet"
	for _, want := range []health.Verdict{health.Unknown, health.Unknown, health.Healthy} {
		f.now = f.now.Add(time.Second)
		f.put(f.now, false, 2, 0)
		if got := e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Promoted: true}); got.Verdict != want {
			t.Errorf("%v (%s), want %v", got.Verdict, got.Detail, want)
		}
	}
}

// TestAShareThatTheDialDoesNotExplain: a weight that was set and is not in force
// is no evidence about the step.
func TestAShareThatTheDialDoesNotExplain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked        float64
		canary, base int
		sample       string
		want         health.Verdict
	}{
		{0.5, 100, 110, "", health.Healthy},
		{0.5, 3, 200, "", health.Unknown},
		{0.01, 40, 160, "", health.Unknown},
		{0.01, 40, 160, "a sample of base", health.Healthy}, // its share says nothing
		{0.01, 3, 40, "", health.Healthy},                   // chance
		{0.2, 60, 400, "", health.Healthy},                  // the dial was late, and is in force
		{1, 200, 0, "", health.Healthy},
		{1, 100, 60, "", health.Healthy}, // the dial was late
		{1, 60, 100, "", health.Unknown},
		{0, 100, 60, "", health.Healthy}, // nobody said what was asked
	} {
		f, e := newFed()
		f.now = stepAt.Add(20 * time.Second)
		f.put(stepAt.Add(lag), true, tt.canary, 0)
		f.put(stepAt.Add(lag), false, tt.base, 0)
		f.batch.Sample = tt.sample
		if got := e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: tt.asked < 1, Canary: true, Share: tt.asked}); got.Verdict != tt.want {
			t.Errorf("asked %v, canary %d, base %d: %v (%s), want %v", tt.asked, tt.canary, tt.base, got.Verdict, got.Detail, tt.want)
		}
	}
}
