package fault_test

import (
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/fault"
)

func TestDrawMatchesRegionKindAndTarget(t *testing.T) {
	t.Parallel()
	set := fault.NewSet(1)
	if err := set.Add(fault.Fault{Region: "eu-west-1", Kind: fault.Error, Target: fault.DefaultTarget(fault.Error), Rate: 1}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		region string
		kind   fault.Kind
		target string
		want   bool
	}{
		{"eu-west-1", fault.Error, "function/Team-Env-api:next", true},
		{"eu-west-1", fault.Error, "function/Team-Env-api", true},
		{"eu-west-1", fault.Error, "function/Team-Env-forward:live", false},
		{"eu-west-1", fault.Error, "stage/Team-Env-api/prod", false},
		{"eu-west-1", fault.Latency, "function/Team-Env-api:next", false},
		{"eu-central-1", fault.Error, "function/Team-Env-api:next", false},
	}
	for _, tt := range tests {
		if _, got := set.Draw(tt.region, tt.kind, tt.target); got != tt.want {
			t.Errorf("Draw(%s, %s, %s) = %v, want %v", tt.region, tt.kind, tt.target, got, tt.want)
		}
	}
	set.Clear("eu-west-1")
	if _, hit := set.Draw("eu-west-1", fault.Error, "function/Team-Env-api:next"); hit {
		t.Error("a cleared fault struck")
	}
}

func TestDrawFollowsTheRate(t *testing.T) {
	t.Parallel()
	set := fault.NewSet(7)
	if err := set.Add(fault.Fault{Region: "*", Kind: fault.Throttle, Target: "*", Rate: 0.25}); err != nil {
		t.Fatal(err)
	}
	hits := 0
	for range 10_000 {
		if _, hit := set.Draw("us-east-1", fault.Throttle, "table/items"); hit {
			hits++
		}
	}
	// Six standard deviations of Binomial(10000, 0.25) are 260.
	if hits < 2240 || hits > 2760 {
		t.Errorf("%d of 10000 draws struck at rate 0.25", hits)
	}
}

func TestValidateRejects(t *testing.T) {
	t.Parallel()
	good := fault.Fault{Region: "*", Kind: fault.Error, Target: "*", Rate: 0.5}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*fault.Fault){
		"kind":    func(f *fault.Fault) { f.Kind = "sabotage" },
		"region":  func(f *fault.Fault) { f.Region = "" },
		"rate 0":  func(f *fault.Fault) { f.Rate = 0 },
		"rate 2":  func(f *fault.Fault) { f.Rate = 2 },
		"latency": func(f *fault.Fault) { f.Kind = fault.Latency },
		"pattern": func(f *fault.Fault) { f.Target = "[" },
	} {
		bad := good
		bad.Latency = 0 * time.Second
		change(&bad)
		if err := fault.NewSet(1).Add(bad); err == nil {
			t.Errorf("%s: accepted %+v", name, bad)
		}
	}
}
