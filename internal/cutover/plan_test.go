package cutover_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/cutover"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	d := func(dns, canary cutover.Percent) cutover.Dials { return cutover.Dials{DNS: dns, Canary: canary} }
	fresh := cutover.Setting{Dials: d(0, 10), Base: cutover.Forwarder}
	promoted := cutover.Setting{Dials: d(100, 0), Base: cutover.Live}
	tests := []struct {
		name string
		live cutover.Setting
		ask  cutover.Ask
		want []cutover.Dials
	}{
		{"lockstep", fresh, cutover.Ask{Step: 25, To: 100}, []cutover.Dials{d(25, 25), d(50, 50), d(75, 75), d(100, 100)}},
		{"short last step", fresh, cutover.Ask{Step: 40, To: 100}, []cutover.Dials{d(40, 40), d(80, 80), d(100, 100)}},
		{"below the probing canary", fresh, cutover.Ask{Step: 5, To: 10}, []cutover.Dials{d(5, 5), d(10, 10)}},
		{"from the middle", cutover.Setting{Dials: d(40, 40), Base: cutover.Forwarder}, cutover.Ask{Step: 25, To: 75}, []cutover.Dials{d(50, 50), d(75, 75)}},
		{"dns only, which exposes nobody", fresh, cutover.Ask{Step: 50, To: 100, Via: cutover.ViaDNS}, []cutover.Dials{d(50, 0), d(100, 0)}},
		{"dns only, with users exposed", cutover.Setting{Dials: d(20, 10), Base: cutover.Forwarder}, cutover.Ask{Step: 50, To: 100, Via: cutover.ViaDNS}, []cutover.Dials{d(50, 10), d(100, 10)}},
		{"canary only", fresh, cutover.Ask{Step: 50, To: 100, Via: cutover.ViaCanary}, []cutover.Dials{d(0, 50), d(0, 100)}},
		{"release", promoted, cutover.Ask{Step: 50, To: 100}, []cutover.Dials{d(100, 50), d(100, 100)}},
		{"dns first", fresh, cutover.Ask{Step: 50, To: 100, DNSFirst: true}, []cutover.Dials{d(50, 0), d(100, 0), d(100, 50), d(100, 100)}},
		{"dns first, resumed by hand", cutover.Setting{Dials: d(60, 20), Base: cutover.Forwarder}, cutover.Ask{Step: 50, To: 100, DNSFirst: true}, []cutover.Dials{d(100, 20), d(100, 50), d(100, 100)}},
		{"dns first, weights of its own", fresh, cutover.Ask{Step: 100, To: 100, DNSFirst: true, Weights: []cutover.Percent{0.5, 1, 100}}, []cutover.Dials{d(100, 0), d(100, 0.5), d(100, 1), d(100, 100)}},
		{"a narrow entrance first", fresh, cutover.Ask{Step: 100, To: 100, DNSFirst: true, Via: cutover.ViaBoth, Narrow: []cutover.Percent{0.04, 0.08}, Weights: []cutover.Percent{0.01, 0.03, 100}},
			[]cutover.Dials{d(10, 0), d(10, 0.04), d(10, 0.08), d(100, 0.01), d(100, 0.03), d(100, 100)}},
		{"no narrow entrance once users are there", cutover.Setting{Dials: d(20, 1), Base: cutover.Forwarder}, cutover.Ask{Step: 100, To: 100, DNSFirst: true, Via: cutover.ViaBoth, Narrow: []cutover.Percent{0.04}, Weights: []cutover.Percent{2, 100}},
			[]cutover.Dials{d(100, 1), d(100, 2), d(100, 100)}},
		{"weights of a release", promoted, cutover.Ask{Step: 100, To: 100, Weights: []cutover.Percent{0.5, 1, 100}}, []cutover.Dials{d(100, 0.5), d(100, 1), d(100, 100)}},
		{"dns first, to 40, capped", fresh, cutover.Ask{Step: 20, To: 40, DNSFirst: true, MaxExposure: 10}, []cutover.Dials{d(20, 0), d(40, 0), d(40, 20)}},
		{"capped exposure", fresh, cutover.Ask{Step: 10, To: 100, MaxExposure: 5}, []cutover.Dials{d(10, 10), d(20, 20)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := cutover.Steps(tt.live, tt.ask)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStepsNothingToDo: no step is left, which is not the same as none that is
// allowed, nor as done.
func TestStepsNothingToDo(t *testing.T) {
	t.Parallel()
	at := func(dns, canary cutover.Percent, base cutover.Base, next string) cutover.Setting {
		return cutover.Setting{Dials: cutover.Dials{DNS: dns, Canary: canary}, Base: base, LiveVersion: "1", NextVersion: next}
	}
	for _, tt := range []struct {
		name       string
		live       cutover.Setting
		ask        cutover.Ask
		capped     string
		unpromoted bool
	}{
		{"everybody on the candidate", at(100, 100, cutover.Forwarder, "2"), cutover.Ask{Step: 10, To: 100}, "", true},
		{"a release, everybody on the candidate", at(100, 100, cutover.Live, "2"), cutover.Ask{Step: 10, To: 100}, "", true},
		{"promoted", at(100, 0, cutover.Live, "1"), cutover.Ask{Step: 10, To: 100}, "", false},
		{"half of it, as asked", at(50, 50, cutover.Forwarder, "2"), cutover.Ask{Step: 10, To: 50}, "", false},
		{"as far as the cap allows", at(50, 50, cutover.Forwarder, "2"), cutover.Ask{Step: 10, To: 100, MaxExposure: 30}, "", false},
		{"a cap below the first step", at(0, 10, cutover.Forwarder, "2"), cutover.Ask{Step: 10, To: 100, MaxExposure: 0.5}, "the first step exposes 1% of users, and at most 0.5%", false},
		{"a cap below a release's first step", at(100, 0, cutover.Live, "2"), cutover.Ask{Step: 10, To: 100, MaxExposure: 5}, "the first step exposes 10% of users, and at most 5%", false},
	} {
		steps, err := cutover.Steps(tt.live, tt.ask)
		switch {
		case tt.capped == "" && !errors.Is(err, cutover.ErrNothingToDo):
			t.Errorf("%s: %v, %v; want ErrNothingToDo", tt.name, steps, err)
		case tt.capped != "" && (err == nil || errors.Is(err, cutover.ErrNothingToDo) || !strings.Contains(err.Error(), tt.capped)):
			t.Errorf("%s: %v, %v; want %q", tt.name, steps, err, tt.capped)
		}
		if got := cutover.Unpromoted(tt.live); got != tt.unpromoted {
			t.Errorf("%s: unpromoted %v", tt.name, got)
		}
	}
}

func TestStepsRiseToTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		live := cutover.Setting{Base: cutover.Forwarder, Dials: cutover.Dials{
			DNS: cutover.Percent(rapid.IntRange(0, 100).Draw(t, "dns")), Canary: cutover.Percent(rapid.IntRange(0, 100).Draw(t, "canary")),
		}}
		ask := cutover.Ask{Step: cutover.Percent(rapid.IntRange(1, 100).Draw(t, "step")), To: cutover.Percent(rapid.IntRange(1, 100).Draw(t, "to"))}
		ask.DNSFirst = rapid.Bool().Draw(t, "dns first")
		steps, err := cutover.Steps(live, ask)
		if errors.Is(err, cutover.ErrNothingToDo) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		before := cutover.Setting{Dials: cutover.Dials{DNS: live.DNS}}
		for _, step := range steps {
			after := cutover.Setting{Dials: step}
			if after.Exposure() < before.Exposure() || after.DNS < before.DNS {
				t.Fatalf("%v after %v", step, before)
			}
			before = after
		}
		if end := steps[len(steps)-1]; end.DNS < ask.To || end.Canary < ask.To {
			t.Fatalf("ends at %v, asked for %v", end, ask.To)
		}
	})
}

// TestJobTimes: the times that are told are the smallest in which every step is
// begun, in one run or in a run each.
func TestJobTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(1, 900).Draw(t, name)) * time.Second
		}
		p := cutover.Plan{
			Settle: seconds("settle"), Bake: seconds("bake"), CanarySettle: seconds("canary settle"), SyncTimeout: seconds("sync"), HoldTimeout: seconds("hold"),
			Linger: seconds("linger"), Speaks: seconds("speaks"), Promote: rapid.Bool().Draw(t, "promote"), Paced: rapid.Bool().Draw(t, "paced"),
		}
		for i := range rapid.IntRange(1, 5).Draw(t, "steps") {
			p.Steps = append(p.Steps, cutover.Dials{DNS: cutover.Percent(rapid.IntRange(0, 100).Draw(t, "dns")), Canary: cutover.Percent(20 * (i + 1))})
			p.Bakes = append(p.Bakes, seconds("its bake"))
		}
		last := len(p.Steps) - 1
		if p.Promote {
			last++
		}
		// begun is whether a job of this length begins all of them, or each.
		begun := func(job time.Duration, together bool) bool {
			now := start
			for step := 0; step <= last; step++ {
				if p.Outlives(step, now, start.Add(job)) != "" {
					return false
				}
				if !together && step+1 == len(p.Steps) { // the promotion's run sees this one well before
					now = start.Add(p.Length(step) - p.Length(step+1) + max(4*p.Poll, time.Minute))
				}
				if together && step < len(p.Steps) {
					now = now.Add(p.Length(step) - p.Length(step+1))
				}
			}
			return true
		}
		for name, job := range map[string]time.Duration{"each": p.EachNeeds(0), "all": p.AllNeed(0)} {
			if !begun(job, name == "all") || begun(job-time.Second, name == "all") {
				t.Fatalf("%s: %v is not the least", name, job)
			}
		}
	})
}
