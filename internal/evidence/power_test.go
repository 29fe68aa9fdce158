package evidence_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tapctl/tapctl/internal/evidence"
)

// tick draws a second in which green is a tenth of the traffic.
func tick(rng *rand.Rand, green int, g, b float64) evidence.Counts {
	return evidence.Counts{
		GreenRequests: float64(green), GreenErrors: binomial(rng, green, g),
		BlueRequests: float64(9 * green), BlueErrors: binomial(rng, 9*green, b),
	}
}

// TestDelay holds the time to a verdict to what was found before with
// another implementation: alpha 0.25 % a test, r0 1.5.
func TestDelay(t *testing.T) {
	t.Parallel()
	const runs = 101
	for _, tt := range []struct {
		fails float64
		green int     // requests a second
		want  float64 // median seconds
	}{{0.01, 10, 101}, {0.01, 100, 10}, {0.01, 1000, 1}, {0.05, 10, 9}, {0.05, 100, 1}, {0.5, 10, 1}, {1, 10, 1}} {
		delays := make([]float64, runs)
		for seed := range delays {
			rng := rand.New(rand.NewPCG(uint64(seed), 0xde1a))
			judge := evidence.NewJudge(evidence.DefaultPolicy(0.003, 900))
			for delays[seed] = 1; judge.Add(tick(rng, tt.green, tt.fails, 0.001), 0.1) != evidence.Bad; delays[seed]++ {
				if delays[seed] > 3600 {
					t.Fatalf("%v%% of %d rps: never proven (seed %d)", 100*tt.fails, tt.green, seed)
				}
			}
		}
		slices.Sort(delays)
		median := delays[runs/2]
		t.Logf("%4v%% of %4d rps: median %3.0f s, 95%% within %3.0f s; the other's median %v s", 100*tt.fails, tt.green, median, delays[runs*95/100], tt.want)
		if math.Abs(median-tt.want) > math.Max(1, 0.3*tt.want) {
			t.Errorf("%v%% of %d rps: median %v s, want about %v", 100*tt.fails, tt.green, median, tt.want)
		}
	}
}

// TestALateFaultIsNotHiddenByAGoodPast is what the detectors are for.
func TestALateFaultIsNotHiddenByAGoodPast(t *testing.T) {
	t.Parallel()
	const runs = 51
	delays := make([]float64, runs)
	for seed := range delays {
		rng := rand.New(rand.NewPCG(uint64(seed), 0x1a7e))
		judge := evidence.NewJudge(evidence.DefaultPolicy(0.003, 1800))
		second := func(g float64) evidence.Finding {
			return judge.Add(evidence.Counts{GreenRequests: 500, GreenErrors: binomial(rng, 500, g), BlueRequests: 500, BlueErrors: binomial(rng, 500, 0.001)}, 0.5)
		}
		for range 900 {
			if second(0.001) == evidence.Bad {
				t.Fatalf("seed %d: blamed while healthy: %s", seed, judge.Why())
			}
		}
		for delays[seed] = 1; second(0.01) != evidence.Bad; delays[seed]++ {
			if delays[seed] > 600 {
				t.Fatalf("seed %d: a good quarter of an hour hides 1%% for ever", seed)
			}
		}
	}
	slices.Sort(delays)
	t.Logf("1%% failing at half of 1,000 rps after 900 good seconds: median %v s", delays[runs/2])
	if delays[runs/2] > 20 {
		t.Errorf("median %v s, want at most 20", delays[runs/2])
	}
}

// TestNoiseOfItsOwn gives each side a factor of its own every minute, which the
// guarantee does not cover: what r0 is for.
func TestNoiseOfItsOwn(t *testing.T) {
	t.Parallel()
	const runs = 400
	share := func(sigma, r0 float64) float64 {
		blamed := 0
		for seed := range runs {
			rng := rand.New(rand.NewPCG(uint64(seed), 0x0153))
			policy := evidence.DefaultPolicy(0.1, 900)
			policy.R0 = r0
			judge := evidence.NewJudge(policy)
			for range 15 {
				g, b := 0.001*math.Exp(sigma*rng.NormFloat64()), 0.001*math.Exp(sigma*rng.NormFloat64())
				c := tick(rng, 6000, g, b) // a minute of 100 and 900 requests a second
				if judge.Add(c, 0.1) == evidence.Bad {
					blamed++
					break
				}
			}
		}
		return float64(blamed) / runs
	}
	for _, tt := range []struct{ sigma, r0, most float64 }{{0.3, 1.5, 0.01}, {0.6, 2, 0.1}} {
		got, strict := share(tt.sigma, tt.r0), share(tt.sigma, 1)
		t.Logf("sigma %v: %.2f%% blamed with r0 %v, %.2f%% with r0 1", tt.sigma, 100*got, tt.r0, 100*strict)
		if got > tt.most {
			t.Errorf("sigma %v, r0 %v: %v blamed, want at most %v", tt.sigma, tt.r0, got, tt.most)
		}
	}
}
