package awsapi_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// TestTailReadsTheSameSecondsOfBoth: of more than can be read both groups have
// the same seconds delivered, the newest of them, and what is left out is said.
// The canary's whole beside a part of the base side would be green's alone in
// any incident of the world.
func TestTailReadsTheSameSecondsOfBoth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		perSecond int // of the base side
		sample    bool
	}{{20, false}, {300, true}} { // of 2,000 lines; 15 s are asked for again
		t.Run(fmt.Sprint(tt.perSecond), func(t *testing.T) {
			t.Parallel()
			w := newTailed(t)
			w.tail.SetLines(2000, 500)
			var asked atomic.Int64
			w.watch(func(r request) error {
				if isOperation(r, "FilterLogEvents") {
					asked.Add(1)
				}
				return deny("StartLiveTail", "AccessDeniedException")(r)
			})
			w.run()
			w.whole("polling")
			const seconds = 40
			before, told := asked.Load(), false
			both := func() {
				if base, canary := w.got["base 200"], w.got["canary 500"]; base != tt.perSecond*canary && !told {
					told = true
					t.Errorf("%d seconds of the canary were delivered, and %d of %d requests each of the base side", canary, base, tt.perSecond)
				}
			}
			for second := range seconds {
				w.log(false, 200, tt.perSecond, 0)
				w.log(true, 500, 1, 0)
				w.advance(time.Second)
				w.drain()
				both()
				if second%5 < 4 {
					continue
				}
				w.eventually("both groups are asked", func() bool {
					both()
					return asked.Load() >= before+3 // the base's may be one page
				})
				before = asked.Load()
			}
			w.eventually("all that can be read", func() bool {
				both()
				return w.got["canary 500"] >= seconds/3 && (tt.sample || w.got["canary 500"] == seconds)
			})
			if w.sampled != tt.sample || len(w.partial) > 0 {
				t.Errorf("sampled %v, want %v; partial %q; base delivered %d of %d", w.sampled, tt.sample, w.partial, w.got["base 200"], seconds*tt.perSecond)
			}
			if whole := w.got["base 200"] == seconds*tt.perSecond; whole == tt.sample {
				t.Errorf("of the base side %d of %d were delivered", w.got["base 200"], seconds*tt.perSecond)
			}
		})
	}
}

// A page may be empty or short and have a successor, and AWS has its quota: what
// the pages of one time of asking do not carry, the next one does.
func TestTailReadsShortPages(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.thin.Store(true)
	w.tail.SetLines(60_000, 60) // 20 to a short page
	w.watch(deny("StartLiveTail", "AccessDeniedException"))
	w.run()
	w.whole("polling")
	for round := 1; round <= 3; round++ {
		w.send()
		w.eventually(fmt.Sprint("round ", round), func() bool { return w.same(round) })
	}
	if len(w.partial) > 0 || w.sampled {
		t.Errorf("incomplete: %q, a sample: %v", w.partial, w.sampled)
	}
}

// AWS throttles the account for others' sake too. That loses nothing and is not
// told, unless it lasts.
func TestTailBearsAThrottle(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	var throttled, throttles atomic.Int64
	w.watch(func(r request) error {
		if isOperation(r, "FilterLogEvents") && throttled.Load() > 0 {
			throttled.Add(-1)
			throttles.Add(1)
			return wire.Errorf(400, "ThrottlingException", "Rate exceeded")
		}
		return deny("StartLiveTail", "AccessDeniedException")(r)
	})
	w.run()
	w.whole("polling")
	w.send()
	throttled.Store(4) // the SDK tries each call twice
	w.eventually("throttled", func() bool { return throttled.Load() == 0 })
	w.eventually("all of it", func() bool { return w.same(1) })
	if len(w.partial) > 0 || throttles.Load() != 4 {
		t.Errorf("incomplete: %q, after %d throttles", w.partial, throttles.Load())
	}
	throttled.Store(1 << 30)
	w.eventually("said", func() bool { return strings.Contains(w.last.Partial, "AWS throttles") })
	w.send()
	throttled.Store(0)
	w.eventually("all of it, later", func() bool { return w.same(2) && w.last.Partial == "" })
}

// The quota is kept by itself.
func TestTailKeepsToTheQuota(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.tail.SetLines(60_000, 10) // many pages
	var calls []time.Time
	var mu sync.Mutex
	w.watch(func(r request) error {
		if isOperation(r, "FilterLogEvents") {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, w.clock.Now())
		}
		return deny("StartLiveTail", "AccessDeniedException")(r)
	})
	w.run()
	w.whole("polling")
	w.send()
	w.eventually("all of it", func() bool { return w.same(1) })
	mu.Lock()
	defer mu.Unlock()
	for i := range calls { // of any ten seconds
		n := 0
		for _, at := range calls[i:] {
			if at.Sub(calls[i]) < 10*time.Second {
				n++
			}
		}
		if n > 50 {
			t.Fatalf("%d calls in ten seconds", n)
		}
	}
	if len(w.partial) > 0 {
		t.Errorf("incomplete: %q", w.partial)
	}
}
