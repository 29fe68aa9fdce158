package bench

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSameSeedsSameRows(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(Compare(5, []int{100}), Compare(5, []int{100})); diff != "" {
		t.Error(diff)
	}
}

func TestBinomialHasItsMeanAndSpread(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, p float64 }{{10, 0.001}, {100, 0.05}, {1000, 0.0005}, {10_000, 0.3}, {150, 0.1}} {
		d := newDice(3)
		const draws = 20_000
		sum, squares := 0.0, 0.0
		for range draws {
			x := d.binomial(tt.n, tt.p)
			if x < 0 || x > tt.n || x != math.Trunc(x) {
				t.Fatalf("Binomial(%v, %v) drew %v", tt.n, tt.p, x)
			}
			sum += x
			squares += x * x
		}
		mean, want, variance := sum/draws, tt.n*tt.p, tt.n*tt.p*(1-tt.p)
		if math.Abs(mean-want) > 5*math.Sqrt(variance/draws) {
			t.Errorf("Binomial(%v, %v): mean %v, want %v", tt.n, tt.p, mean, want)
		}
		if spread := squares/draws - mean*mean; math.Abs(spread-variance) > 0.1*variance {
			t.Errorf("Binomial(%v, %v): variance %v, want %v", tt.n, tt.p, spread, variance)
		}
	}
}

func TestResidualEndsWithTheStragglers(t *testing.T) {
	t.Parallel()
	if got := stageUpdate.residual(4); got != 1 {
		t.Errorf("before the lag: %v", got)
	}
	if got := stageUpdate.residual(5); got != 0 {
		t.Errorf("after the lag: %v", got)
	}
	if got := dnsRecord.residual(60); math.Abs(got-(0.95*0.5+0.05*math.Exp(-0.1))) > 1e-9 {
		t.Errorf("half a TTL after the lag: %v", got)
	}
}

func find(t *testing.T, rows []Row, policy, fault string) Row {
	t.Helper()
	for _, r := range rows {
		if r.Policy == policy && r.Fault == fault {
			return r
		}
	}
	t.Fatalf("no row for %s, %s", policy, fault)
	return Row{}
}

// TestExpectedHarm holds the models to arithmetic that can be done by hand.
func TestExpectedHarm(t *testing.T) {
	t.Parallel()
	rows := Compare(0, []int{1000})
	const us = "tapctl budget ramp"
	for _, tt := range []struct {
		policy, fault string
		low, high     float64
	}{
		// A tenth of 1,000 rps for about 165 s, all failing.
		{"CodeDeploy Canary10Percent5Minutes, rate>1%", "100%", 13_000, 20_000},
		// Two looks at 10 percent.
		{"Flagger default (threshold 1)", "100%", 10_000, 14_000},
		{us, "100%", 1, 10}, {us, "50%", 1, 10}, {us, "5%", 1, 10},
	} {
		if r := find(t, rows, tt.policy, tt.fault); r.HarmedMean < tt.low || r.HarmedMean > tt.high {
			t.Errorf("%s, %s: %.1f harmed, want %v to %v", tt.policy, tt.fault, r.HarmedMean, tt.low, tt.high)
		}
	}
	for _, r := range rows {
		if r.Fault == "healthy" && r.HarmedMean != 0 {
			t.Errorf("%s harmed %v in a healthy release", r.Policy, r.HarmedMean)
		}
	}
	if r := find(t, rows, us, "healthy"); r.FalseRollback != 0 || r.DoneS > 1500 {
		t.Errorf("healthy release: false rollback %v, done after %.0f s", r.FalseRollback, r.DoneS)
	}
}

func BenchmarkRelease(b *testing.B) {
	policies, world := Policies(), Worlds(1000)[0]
	for b.Loop() {
		release(policies[len(policies)-1], world, newDice(1))
	}
}
