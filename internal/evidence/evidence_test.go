package evidence_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/evidence"
)

// vectors were computed independently from the formulae: three ticks of
// (green requests, green errors, blue requests, blue errors).
var ticks = []evidence.Counts{
	{GreenRequests: 100, GreenErrors: 0, BlueRequests: 900, BlueErrors: 1},
	{GreenRequests: 100, GreenErrors: 2, BlueRequests: 900, BlueErrors: 1},
	{GreenRequests: 100, GreenErrors: 3, BlueRequests: 900, BlueErrors: 0},
}

func TestVectors(t *testing.T) {
	t.Parallel()
	one, tolerant, absolute := evidence.NewRelative(1), evidence.NewRelative(1.5), evidence.NewAbsolute(0.003)
	tests := []struct {
		name string
		add  func(evidence.Counts)
		get  func() float64
		want [3]float64
	}{
		{"relative, r0 1", one.Add, one.LogE, [3]float64{-0.732620, 1.128228, 6.077214}},
		{"relative, r0 1.5", tolerant.Add, tolerant.LogE, [3]float64{-0.823435, 0.612949, 4.508230}},
		{"absolute", absolute.Add, absolute.LogE, [3]float64{-1.445806, 0.086893, 3.203208}},
	}
	for _, tt := range tests {
		for i, c := range ticks {
			tt.add(c)
			if got := tt.get(); math.Abs(got-tt.want[i]) > 1e-6 {
				t.Errorf("%s after tick %d: ln E = %.6f, want %.6f", tt.name, i+1, got, tt.want[i])
			}
		}
	}
	relativeSR, absoluteSR := evidence.NewRelative(1), evidence.NewAbsolute(0.003)
	for i, c := range ticks {
		relativeSR.Add(c)
		absoluteSR.Add(c)
		if want := [3]float64{-0.732620, 2.286647, 7.987967}[i]; math.Abs(relativeSR.LogSR()-want) > 1e-6 {
			t.Errorf("relative detector after tick %d: %.6f, want %.6f", i+1, relativeSR.LogSR(), want)
		}
		if want := [3]float64{-1.445806, 1.459473, 5.115735}[i]; math.Abs(absoluteSR.LogSR()-want) > 1e-6 {
			t.Errorf("absolute detector after tick %d: %.6f, want %.6f", i+1, absoluteSR.LogSR(), want)
		}
	}
}

func TestNothingIsLearntWithoutErrors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := evidence.NewRelative(1.5)
		for range rapid.IntRange(1, 20).Draw(t, "ticks") {
			r.Add(evidence.Counts{GreenRequests: float64(rapid.IntRange(0, 1000).Draw(t, "green")), BlueRequests: float64(rapid.IntRange(0, 1000).Draw(t, "blue"))})
		}
		if r.LogE() != 0 {
			t.Fatalf("ln E = %v without a single error", r.LogE())
		}
	})
}

func TestSplittingATickChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole, parts := evidence.NewRelative(1.5), evidence.NewRelative(1.5)
		green, blue := float64(rapid.IntRange(1, 50).Draw(t, "green")), float64(rapid.IntRange(1, 50).Draw(t, "blue"))
		var sum evidence.Counts
		for range rapid.IntRange(2, 8).Draw(t, "parts") {
			times := float64(rapid.IntRange(1, 20).Draw(t, "times")) // rho stays
			c := evidence.Counts{GreenRequests: green * times, BlueRequests: blue * times}
			c.GreenErrors = float64(rapid.IntRange(0, int(c.GreenRequests)).Draw(t, "green errors"))
			c.BlueErrors = float64(rapid.IntRange(0, int(c.BlueRequests)).Draw(t, "blue errors"))
			parts.Add(c)
			sum.GreenRequests += c.GreenRequests
			sum.GreenErrors += c.GreenErrors
			sum.BlueRequests += c.BlueRequests
			sum.BlueErrors += c.BlueErrors
		}
		whole.Add(sum)
		if math.Abs(whole.LogE()-parts.LogE()) > 1e-9*(1+math.Abs(whole.LogE())) {
			t.Fatalf("ln E %v whole, %v in parts", whole.LogE(), parts.LogE())
		}
	})
}

// TestAnOldSideIsNotCompared: five hours of a blue that fares well, told every
// half a minute, are no control of one green request that fails with blue's.
func TestAnOldSideIsNotCompared(t *testing.T) {
	t.Parallel()
	pooled, recent := evidence.NewRelative(1.5), evidence.NewRelative(1.5)
	const hours = 5 * 3600
	for at := 30.0; at <= hours; at += 30 {
		c := evidence.Counts{BlueRequests: 300, At: at}
		if at == hours {
			c.BlueErrors = 60
		}
		pooled.Add(c)
		if at > hours-120 {
			recent.Add(c)
		}
	}
	last := evidence.Counts{GreenRequests: 1, GreenErrors: 1, At: hours + 2}
	pooled.Add(last)
	recent.Add(last)
	if math.Abs(pooled.LogE()-recent.LogE()) > 1 { // one to two minutes are kept
		t.Errorf("ln E is %v, and %v of the last two minutes", pooled.LogE(), recent.LogE())
	}
}

func TestUpperBound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ e, n, want float64 }{
		{0, 100, 0.0733}, {0, 300, 0.0286}, {0, 1000, 0.0099}, {1, 1000, 0.0124}, {10, 10_000, 0.00316}, {100, 100_000, 0.00155},
	} {
		if got := evidence.UpperBound(tt.e, tt.n, 0.05); math.Abs(got-tt.want) > 0.00006 {
			t.Errorf("UpperBound(%v of %v) = %.5f, want %.5f", tt.e, tt.n, got, tt.want)
		}
	}
	if got := evidence.UpperBound(0, 0, 0.05); got != 1 {
		t.Errorf("with no request anything is possible, got %v", got)
	}
	if got := evidence.UpperBound(5, 5, 0.05); got != 1 {
		t.Errorf("all failed: %v", got)
	}
}

func TestJudgeTellsASharedIncidentFromABadGreen(t *testing.T) {
	t.Parallel()
	play := func(green, blue float64, weight float64) evidence.Finding {
		judge := evidence.NewJudge(evidence.DefaultPolicy(0.003, 600))
		finding := evidence.Fine
		for range 60 {
			c := evidence.Counts{GreenRequests: 1000 * weight, BlueRequests: 1000 * (1 - weight)}
			c.GreenErrors, c.BlueErrors = c.GreenRequests*green, c.BlueRequests*blue
			if finding = judge.Add(c, weight); finding == evidence.Bad {
				break
			}
		}
		return finding
	}
	tests := []struct {
		name                string
		green, blue, weight float64
		want                evidence.Finding
	}{
		{"both well", 0.001, 0.001, 0.1, evidence.Fine},
		{"green bad", 0.05, 0.001, 0.1, evidence.Bad},
		{"both bad", 0.05, 0.05, 0.1, evidence.Shared},
		{"green better", 0.001, 0.01, 0.1, evidence.Fine},
		{"no control", 0.05, 0, 1, evidence.Bad},
	}
	for _, tt := range tests {
		if got := play(tt.green, tt.blue, tt.weight); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := float64(rapid.IntRange(1, 100_000).Draw(t, "n"))
		e := float64(rapid.IntRange(0, int(n)).Draw(t, "e"))
		low, high := evidence.LowerBound(e, n, 0.05), evidence.UpperBound(e, n, 0.05)
		if !(0 <= low && low <= e/n && e/n <= high && high <= 1) {
			t.Fatalf("%v of %v: %v to %v", e, n, low, high)
		}
		if e < n && evidence.UpperBound(e+1, n, 0.05) < high {
			t.Fatalf("%v of %v: one failure more lowers the bound", e, n)
		}
		if evidence.UpperBound(e, n, 0.01) < high {
			t.Fatalf("%v of %v: surer is not wider", e, n)
		}
	})
}

func TestProof(t *testing.T) {
	t.Parallel()
	// By another implementation: alpha .25%, base .1%.
	for _, tt := range []struct{ bad, want float64 }{{0.01, 584}, {0.05, 55}, {0.5, 2.6}, {1, 1.2}} {
		if got := evidence.Proof(tt.bad, 0.001, 0.0025); math.Abs(got/tt.want-1) > 0.2 {
			t.Errorf("Proof(%v) = %.1f, want about %v", tt.bad, got, tt.want)
		}
	}
	if got := evidence.Proof(0.001, 0.001, 0.01); !math.IsInf(got, 1) {
		t.Errorf("nothing proves what is not so: %v", got)
	}
}

func TestJudgeSeesASlowGreen(t *testing.T) {
	t.Parallel()
	play := func(green, blue, weight float64, requests float64) (evidence.Finding, int, string) {
		p := evidence.DefaultPolicy(0.003, 600)
		p.Slow = 0.01
		judge := evidence.NewJudge(p)
		finding, at := evidence.Fine, 0
		for ; at < 300 && finding != evidence.Bad; at++ {
			c := evidence.Counts{GreenRequests: requests * weight, BlueRequests: requests * (1 - weight)}
			c.GreenSlow, c.BlueSlow = c.GreenRequests*green, c.BlueRequests*blue
			finding = judge.Add(c, weight)
		}
		return finding, at, judge.Why()
	}
	// By another implementation: 10 green requests a second, 10 percent slow: median 9 s.
	if finding, at, why := play(0.1, 0.01, 0.1, 100); finding != evidence.Bad || at < 5 || at > 15 || !strings.Contains(why, "is slow") {
		t.Errorf("slow green: %v after %d s (%s), want bad after about 9", finding, at, why)
	}
	if finding, _, why := play(0.1, 0.1, 0.1, 100); finding != evidence.Fine {
		t.Errorf("as slow as blue: %v (%s)", finding, why)
	}
	if finding, at, why := play(0.3, 0.1, 0.1, 100); finding != evidence.Bad || !strings.Contains(why, "is slow more than 1.5 times") {
		t.Errorf("slower than a slow blue: %v after %d s (%s), want bad", finding, at, why)
	}
	if finding, _, why := play(0.01, 0.01, 0.1, 1000); finding != evidence.Fine {
		t.Errorf("as fast as ever: %v (%s)", finding, why)
	}
	if finding, _, why := play(0.1, 0, 1, 100); finding != evidence.Bad {
		t.Errorf("slow, no control: %v (%s), want bad", finding, why)
	}
	if finding, _, why := play(0.0145, 0.01, 1, 10_000); finding != evidence.Fine {
		t.Errorf("slower than blue within what is tolerated, no control: %v (%s)", finding, why)
	}
}

// TestWhatBlueAlwaysExceededIsNotHeldAgainstGreen: the limit is no percentile of
// blue, which may be slower than it one time in ten. What blue has shown stays
// the measure once blue is gone; without blue it is the policy.
func TestWhatBlueAlwaysExceededIsNotHeldAgainstGreen(t *testing.T) {
	t.Parallel()
	play := func(blue, greenAlone float64) (evidence.Finding, string) {
		p := evidence.DefaultPolicy(0.003, 600)
		p.Slow = 0.01
		judge := evidence.NewJudge(p)
		finding := evidence.Fine
		for tick := range 600 {
			c, weight := evidence.Counts{GreenRequests: 100, GreenSlow: 100 * blue, BlueRequests: 900, BlueSlow: 900 * blue}, 0.1
			if tick >= 300 {
				c, weight = evidence.Counts{GreenRequests: 1000, GreenSlow: 1000 * greenAlone}, 1
			}
			if finding = max(finding, judge.Add(c, weight)); finding == evidence.Bad {
				break
			}
		}
		return finding, judge.Why()
	}
	for _, tt := range []struct {
		blue, green float64
		want        evidence.Finding
	}{
		{0.1, 0.1, evidence.Fine}, {0.1, 0.2, evidence.Fine}, {0.1, 0.5, evidence.Bad},
		{0.001, 0.014, evidence.Fine}, {0.001, 0.05, evidence.Bad},
	} {
		if got, why := play(tt.blue, tt.green); got != tt.want {
			t.Errorf("%v of blue's slow, alone %v of green's: %v (%s), want %v", tt.blue, tt.green, got, why, tt.want)
		}
	}
}

func TestAlphaIsSplit(t *testing.T) {
	t.Parallel()
	p := evidence.DefaultPolicy(0.003, 600)
	if got := p.TestAlpha(); math.Abs(got-0.0025) > 1e-12 {
		t.Errorf("errors alone: %v a test, want a quarter of a percent", got)
	}
	p.Slow, p.Probes = 0.01, true
	if got := 4 * 3 * p.TestAlpha(); math.Abs(got-p.Alpha) > 1e-12 {
		t.Errorf("three metrics of four tests spend %v of %v", got, p.Alpha)
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	policy := evidence.DefaultPolicy(0.003, 600)
	policy.Probes = true
	play := func(every int) (evidence.Clearance, int) {
		p := evidence.NewPreflight(policy)
		for n := 1; ; n++ {
			failed := 0.0
			if every > 0 && n%every == 0 {
				failed = 1
			}
			if said := p.Add(1, failed); said != evidence.Probing {
				return said, n
			}
		}
	}
	for _, tt := range []struct {
		name  string
		every int // every so many probes fail; 0: none
		want  evidence.Clearance
		most  int
	}{
		{"well", 0, evidence.Clear, 300}, {"as bad as blue", 1000, evidence.Clear, 300}, {"one in two fails", 2, evidence.Grounded, 10},
		{"all fail", 1, evidence.Grounded, 3}, {"one in twenty fails", 20, evidence.Grounded, 400}, {"one in twenty-two", 22, evidence.Grounded, 400},
	} {
		if got, n := play(tt.every); got != tt.want || n > tt.most {
			t.Errorf("%s: %v after %d probes, want %v within %d", tt.name, got, n, tt.want, tt.most)
		}
	}
}

// TestPreflightClearsWhatIsTolerated: whatever rate is tolerated, a green at its
// very edge is cleared, and 2.5 times of it is not.
func TestPreflightClearsWhatIsTolerated(t *testing.T) {
	t.Parallel()
	for _, slo := range []float64{0.01, 0.025, 0.05, 0.1, 0.3} {
		said := func(rate float64) (cleared int) {
			for seed := range 100 {
				rng := rand.New(rand.NewPCG(uint64(seed), 0x9f))
				p := evidence.NewPreflight(evidence.DefaultPolicy(slo, 1000))
				now := evidence.Probing
				for now == evidence.Probing {
					now = p.Add(40, binomial(rng, 40, rate))
				}
				if now == evidence.Clear {
					cleared++
				}
			}
			return cleared
		}
		if got := said(slo); got < 95 {
			t.Errorf("tolerated %v: %d of 100 greens at that rate are cleared", slo, got)
		}
		if got := said(max(evidence.PreflightExcludes, 2.5*slo)); got > 1 {
			t.Errorf("tolerated %v: %d of 100 greens at 2.5 times that rate are cleared", slo, got)
		}
	}
}

func TestATickAllocatesNothing(t *testing.T) {
	policy := evidence.DefaultPolicy(0.003, 1800)
	policy.Slow = 0.01
	judge := evidence.NewJudge(policy)
	c := evidence.Counts{GreenRequests: 10, GreenErrors: 1, BlueRequests: 990, BlueErrors: 1, GreenSlow: 1, BlueSlow: 9}
	if got := testing.AllocsPerRun(1000, func() { judge.Add(c, 0.01) }); got != 0 {
		t.Errorf("%v allocations a tick", got)
	}
}

func BenchmarkTick(b *testing.B) {
	quiet := evidence.Counts{GreenRequests: 10, BlueRequests: 990}
	busy := evidence.Counts{GreenRequests: 10, BlueRequests: 990, BlueErrors: 1, BlueSlow: 10}
	for _, bm := range []struct {
		name string
		slow float64
		c    evidence.Counts
	}{{"quiet", 0, quiet}, {"errors", 0, busy}, {"errors and latency", 0.01, busy}} {
		b.Run(bm.name, func(b *testing.B) {
			policy := evidence.DefaultPolicy(0.003, 1800)
			policy.Slow = bm.slow
			judge := evidence.NewJudge(policy)
			b.ReportAllocs()
			for b.Loop() {
				judge.Add(bm.c, 0.01)
			}
		})
	}
}
