package ramp_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/ramp"
)

const (
	latency = 11 * time.Second
	base    = 0.001
)

func TestFirst(t *testing.T) {
	t.Parallel()
	coarse := ramp.Default(1000, latency)
	coarse.Grain, coarse.Least = 1.0/255, 1.0/255
	tests := []struct {
		name   string
		budget ramp.Budget
		want   float64
	}{
		{"little traffic: capped", ramp.Default(10, latency), 0.01},
		{"5/(100*11) rounded down to a hundredth of a percent", ramp.Default(100, latency), 0.0045},
		{"5/(1000*11)", ramp.Default(1000, latency), 0.0004},
		{"below the dial's least", ramp.Default(10_000, latency), 0.0001},
		{"Route 53's weights", coarse, 1.0 / 255},
	}
	for _, tt := range tests {
		if got := tt.budget.First(); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: first weight %v, want %v", tt.name, got, tt.want)
		}
		if err := tt.budget.Check(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*ramp.Budget)
		want  string
	}{
		{"no harm", func(b *ramp.Budget) { b.Harm = 0 }, "harm 0"},
		{"no traffic", func(b *ramp.Budget) { b.Rate = 0 }, "rate 0"},
		{"no latency", func(b *ramp.Budget) { b.Latency = 0 }, "latency 0s"},
		{"blind", func(b *ramp.Budget) { b.Dwell = time.Second }, "blind"},
		{"no grain", func(b *ramp.Budget) { b.Grain = 0 }, "grain 0"},
		{"grain above the least", func(b *ramp.Budget) { b.Grain = 0.001 }, "grain 0.001"},
		{"least above most", func(b *ramp.Budget) { b.Least = 0.1 }, "interval"},
		{"growth below the grain", func(b *ramp.Budget) { b.Growth = 1.5 }, "growth 1.5"},
		{"tolerates nothing", func(b *ramp.Budget) { b.Tolerated = 0.5 }, "ratio 0.5"},
		{"certain", func(b *ramp.Budget) { b.Doubt = 0 }, "doubt 0"},
	}
	for _, tt := range tests {
		b := ramp.Default(1000, latency)
		tt.spoil(&b)
		if err := b.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func seen(fresh, green, greenErrors, blue, blueErrors float64) ramp.Seen {
	return ramp.Seen{Fresh: fresh, Counts: evidence.Counts{GreenRequests: green, GreenErrors: greenErrors, BlueRequests: blue, BlueErrors: blueErrors}}
}

func TestNext(t *testing.T) {
	t.Parallel()
	b := ramp.Default(1000, latency)
	tests := []struct {
		name   string
		weight float64
		seen   ramp.Seen
		want   float64
		why    string
	}{
		{"nothing was seen", 0.01, seen(0, 0, 0, 9000, 9), 0.01, "hold: green answered 0"},
		{"green is silent since the step", 0.01, seen(0, 500, 0, 9000, 9), 0.01, "hold: green answered 0"},
		{"too few since the step", 0.01, seen(2, 500, 0, 9000, 9), 0.01, "hold: green answered 2"},
		{"healthy: m times", 0.01, seen(600, 1000, 1, 90_000, 90), 0.02, "grow 2 times"},
		// U(0 of 100) is 7.33 %: 5/(11,000*0.0718) = 0.63 %.
		{"up to the law", 0.005, seen(100, 100, 0, 90_000, 90), 0.0063, "up to the budget"},
		{"beyond the law", 0.01, seen(100, 100, 0, 90_000, 90), 0.01, "hold: green may still fail"},
		{"the budget is spent", 0.0004, seen(200, 200, 60, 90_000, 90), 0.0004, "requests were harmed"},
		{"to everybody", 0.5, seen(30_000, 60_000, 60, 90_000, 90), 1, "grow"},
		{"there already", 1, seen(0, 0, 0, 0, 0), 1, "everybody"},
		{"no blue: its rate counts as 0", 0.5, seen(1000, 1000, 0, 0, 0), 0.5, "hold: green may still fail"},
	}
	for _, tt := range tests {
		got, why := b.Next(tt.weight, tt.seen)
		if math.Abs(got-tt.want) > 1e-9 || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %v (%s), want %v (%s)", tt.name, got, why, tt.want, tt.why)
		}
	}
}

func drawBudget(t *rapid.T) ramp.Budget {
	b := ramp.Default(math.Pow(10, rapid.Float64Range(0, 5).Draw(t, "log rate")), time.Duration(rapid.IntRange(1, 300).Draw(t, "latency"))*time.Second)
	b.Harm = rapid.Float64Range(0.5, 100).Draw(t, "harm")
	b.Growth = rapid.Float64Range(2, 5).Draw(t, "growth")
	b.Grain = rapid.SampledFrom([]float64{0.0001, 0.001, 1.0 / 255, 0.01}).Draw(t, "grain")
	b.Least = b.Grain
	b.Most = max(b.Most, b.Least)
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	return b
}

func onGrain(b ramp.Budget, w float64) bool {
	steps := w / b.Grain
	return w == 1 || math.Abs(steps-math.Round(steps)) < 1e-6
}

// TestTheLaw holds Next to what the package promises, whatever was seen.
func TestTheLaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := drawBudget(t)
		first := b.First()
		if first > max(b.Least, min(b.Most, b.Harm/(b.Rate*b.Latency.Seconds())))+1e-12 || first < b.Grain || !onGrain(b, first) {
			t.Fatalf("first weight %v", first)
		}
		w := max(1, math.Floor(rapid.Float64Range(0, 1).Draw(t, "weight")/b.Grain)) * b.Grain
		n := float64(rapid.IntRange(0, 1_000_000).Draw(t, "green"))
		e := math.Floor(n * rapid.SampledFrom([]float64{0, 0, 0.001, 0.002, 0.05, 1}).Draw(t, "failing"))
		m := float64(rapid.IntRange(0, 1_000_000).Draw(t, "blue"))
		s := seen(n*rapid.Float64Range(0, 1).Draw(t, "fresh"), n, e, m, math.Floor(m*base))
		next, why := b.Next(w, s)
		switch {
		case next == w:
			return
		case next < w || next > 1 || !onGrain(b, next):
			t.Fatalf("from %v to %v: %s", w, next, why)
		case next > b.Growth*w+1e-9:
			t.Fatalf("from %v to %v is more than %v times", w, next, b.Growth)
		case s.Fresh < b.Enough:
			t.Fatalf("went on after %v requests: %s", s.Fresh, why)
		}
		excess := max(0, evidence.UpperBound(e, n, b.Doubt)-b.Tolerated*s.BlueErrors/max(1, m))
		if cost := excess * next * b.Rate * b.Latency.Seconds(); cost > b.Harm-b.HarmSeen(s)+1e-6 {
			t.Fatalf("at %v the worst green costs %.2f of %.2f left", next, cost, b.Harm-b.HarmSeen(s))
		}
	})
}

// Better evidence never allows less, and more traffic never more.
func TestAllowedIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := drawBudget(t)
		n := float64(rapid.IntRange(1, 100_000).Draw(t, "green"))
		e := float64(rapid.IntRange(0, int(n)-1).Draw(t, "failed"))
		s, worse, longer := seen(n, n, e, 100_000, 100), seen(n, n, e+1, 100_000, 100), seen(n, 2*n, 2*e, 100_000, 100)
		if b.Allowed(worse) > b.Allowed(s) {
			t.Fatalf("one failure more allows %v, not %v", b.Allowed(worse), b.Allowed(s))
		}
		if e == 0 && b.Allowed(longer) < b.Allowed(s) {
			t.Fatalf("twice as many without a failure allow %v, not %v", b.Allowed(longer), b.Allowed(s))
		}
		busier := b
		busier.Rate *= 3
		if busier.Allowed(s) > b.Allowed(s) {
			t.Fatalf("three times the traffic allows %v, not %v", busier.Allowed(s), b.Allowed(s))
		}
	})
}

func TestAHealthyReleaseEndsAtOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := drawBudget(t)
		steps, done := b.Schedule(base)
		if !done {
			t.Fatalf("not done after %d steps, at %v", len(steps), steps[len(steps)-1])
		}
		at, previous := time.Duration(0), 0.0
		for _, s := range steps {
			if s.Weight <= previous || s.At != at || s.Dwell < b.Dwell {
				t.Fatalf("step %+v after weight %v at %v", s, previous, at)
			}
			at, previous = at+s.Dwell, s.Weight
		}
		if previous != 1 {
			t.Fatalf("ends at %v", previous)
		}
		if float64(len(steps)) > 1/b.Grain+1 {
			t.Fatalf("%d steps, more than the dial has", len(steps))
		}
	})
}

func TestThinTrafficWaits(t *testing.T) {
	t.Parallel()
	b := ramp.Default(40.0/60, latency)
	b.Dwell = 75 * time.Second
	steps, done := b.Schedule(base)
	// Three requests at 1 percent of 0.67 a second are 450 s, at 2 percent 225 s.
	if !done || steps[0].Dwell != 450*time.Second || steps[1].Dwell != 225*time.Second {
		t.Errorf("%+v", steps)
	}
	if steps[0].Exposed < 3-1e-9 || steps[0].Exposed > 3+1e-9 || steps[1].At != 450*time.Second {
		t.Errorf("%+v", steps[:2])
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{10, 100, 1000, 10_000} {
		b := ramp.Default(rate, latency).Within(10 * time.Minute)
		steps, done := b.Schedule(base)
		last := steps[len(steps)-1]
		if len(steps) > 16 {
			t.Errorf("%v rps: %d steps", rate, len(steps))
		}
		if took := last.At + last.Dwell; !done || took < 9*time.Minute || took > 14*time.Minute {
			t.Errorf("%v rps: done %v after %v, want about 10 minutes", rate, done, took)
		}
	}
	if b := ramp.Default(1000, latency).Within(time.Second); b.Dwell != latency {
		t.Errorf("a dwell of %v is blind", b.Dwell)
	}
}

func TestWorstCase(t *testing.T) {
	t.Parallel()
	alpha := evidence.DefaultPolicy(0.003, 600).TestAlpha()
	for _, tt := range []struct{ rate, low, high float64 }{{100, 5, 8}, {1000, 5, 8}, {10_000, 11, 15}} {
		b := ramp.Default(tt.rate, latency).Within(10 * time.Minute)
		if got := b.WorstCase(base, alpha, 0.05); got.Harmed < tt.low || got.Harmed > tt.high || got.Excess <= 0 || got.Weight < b.First() {
			t.Errorf("%v rps: %+v, want %v to %v harmed", tt.rate, got, tt.low, tt.high)
		}
	}
	small, big := ramp.Default(1000, latency), ramp.Default(1000, latency)
	big.Harm, big.Most = 200, 0.1
	if s, l := small.WorstCase(base, alpha, 0.05).Harmed, big.WorstCase(base, alpha, 0.05).Harmed; l < 2*s {
		t.Errorf("forty times the budget harms %v, not %v", l, s)
	}
	// At half of 1,000 rps a fault of 5 percent: the proof's few, and 0.05*0.5*11,000.
	if got := small.Late(0.5, 0.05, base, alpha); math.Abs(got-278) > 5 {
		t.Errorf("late: %v", got)
	}
}

func TestASilentGreenHoldsForEver(t *testing.T) {
	t.Parallel()
	b := ramp.Default(1000, latency)
	w := b.First()
	for n := range 1000 {
		next, why := b.Next(w, seen(0, 0, 0, float64(n)*60_000, float64(n)*60))
		if next != w {
			t.Fatalf("went to %v on no evidence: %s", next, why)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	budget, s := ramp.Default(1000, latency), seen(30, 1000, 1, 90_000, 90)
	for b.Loop() {
		budget.Next(0.01, s)
	}
}
