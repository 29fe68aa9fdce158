package evidence_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/evidence"
)

// vectors were computed independently from the formulae: three ticks of
// (green requests, green errors, blue requests, blue errors).
var ticks = []evidence.Counts{{100, 0, 900, 1}, {100, 2, 900, 1}, {100, 3, 900, 0}}

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
	whole, parts := evidence.NewRelative(1.5), evidence.NewRelative(1.5)
	whole.Add(evidence.Counts{GreenRequests: 100, GreenErrors: 3, BlueRequests: 900, BlueErrors: 4})
	parts.Add(evidence.Counts{GreenRequests: 40, GreenErrors: 1, BlueRequests: 360, BlueErrors: 4})
	parts.Add(evidence.Counts{GreenRequests: 60, GreenErrors: 2, BlueRequests: 540})
	if math.Abs(whole.LogE()-parts.LogE()) > 1e-9 {
		t.Errorf("ln E %v whole, %v in parts", whole.LogE(), parts.LogE())
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

// nullRelease plays a release of a green that is as good as blue, under a base
// rate that moves, and tells whether the judge blamed it.
func nullRelease(seed uint64, alpha float64) bool {
	rng := rand.New(rand.NewPCG(seed, 0x4e11))
	const length = 300
	judge := evidence.NewJudge(evidence.Policy{Alpha: alpha, R0: 1, P0: 0.3, Ticks: length})
	base := 0.001 * math.Pow(100, rng.Float64()) // 0.1 to 10 percent
	requests := 20 + rng.IntN(200)
	for tick := range length {
		p := base * (1 + 0.8*math.Sin(float64(tick)/20)) // both sides breathe together
		weight := []float64{0.01, 0.05, 0.25, 0.5, 0.9}[tick*5/length]
		var c evidence.Counts
		for range requests {
			failed := 0.0
			if rng.Float64() < p {
				failed = 1
			}
			if rng.Float64() < weight {
				c.GreenRequests++
				c.GreenErrors += failed
			} else {
				c.BlueRequests++
				c.BlueErrors += failed
			}
		}
		if judge.Add(c, weight) == evidence.Bad {
			return true
		}
	}
	return false
}

func TestHealthyReleasesAreRarelyBlamed(t *testing.T) {
	t.Parallel()
	const alpha = 0.05
	runs := 2000
	if testing.Short() {
		runs = 500
	}
	blamed := 0
	for seed := range uint64(runs) {
		if nullRelease(seed, alpha) {
			blamed++
		}
	}
	limit := alpha*float64(runs) + 3*math.Sqrt(alpha*(1-alpha)*float64(runs))
	t.Logf("%d of %d healthy releases blamed; alpha %v allows %.0f", blamed, runs, alpha, limit)
	if float64(blamed) > limit {
		t.Errorf("%d of %d healthy releases blamed, more than %.0f", blamed, runs, limit)
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

func BenchmarkTick(b *testing.B) {
	judge := evidence.NewJudge(evidence.DefaultPolicy(0.003, 1800))
	c := evidence.Counts{GreenRequests: 10, GreenErrors: 0, BlueRequests: 990, BlueErrors: 1}
	b.ReportAllocs()
	for b.Loop() {
		judge.Add(c, 0.01)
	}
}
