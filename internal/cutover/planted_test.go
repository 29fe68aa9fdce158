package cutover_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPlantedBugsAreFound builds the package with one planted mistake at a
// time: the simulation must fail, and by the invariant that names the mistake.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	if os.Getenv("TAPCTL_SIM_SEED") != "" {
		t.Skip("one seed is rerun")
	}
	tests := []struct{ tag, invariant string }{
		{"simbug1", `"exposure rises only on healthy"`},
		{"simbug2", `"completed only at the plan's end, read back"`},
		{"simbug3", `"intent is journalled before a write upward"`},
	}
	for _, tt := range tests {
		t.Run(tt.tag, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), "go", "test", "-short", "-count=1", "-tags", tt.tag, "-run", "^TestSim$", ".").CombinedOutput()
			if err == nil {
				t.Fatalf("the simulation passes with %s:\n%s", tt.tag, out)
			}
			if !strings.Contains(string(out), "rerun with its story: TAPCTL_SIM_SEED=") || !strings.Contains(string(out), tt.invariant) {
				t.Errorf("%s broke otherwise than by %s:\n%s", tt.tag, tt.invariant, out)
			}
		})
	}
}
