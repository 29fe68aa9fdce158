package cutover_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/cutover"
)

// Only what this shift goes beyond is kept. A shift that was left at 30 % could
// not be finished under approve: [10], whatever its steps.
func TestGatesOf(t *testing.T) {
	t.Parallel()
	// A release: the canary alone is the exposure.
	tests := []struct {
		name      string
		live      cutover.Percent
		steps     []cutover.Percent
		above     []cutover.Percent
		promotion bool
		want      []int
		refusal   string
	}{
		{name: "each limit", steps: []cutover.Percent{10, 20, 60}, above: []cutover.Percent{10, 50}, want: []int{1, 2}},
		{name: "two at once", steps: []cutover.Percent{10, 60}, above: []cutover.Percent{10, 50}, want: []int{1}},
		{name: "the promotion", steps: []cutover.Percent{100}, promotion: true, want: []int{1}},
		{name: "a limit that nothing reaches", steps: []cutover.Percent{10, 20}, above: []cutover.Percent{50}},
		{name: "a first step beyond", steps: []cutover.Percent{20}, above: []cutover.Percent{10}, refusal: "exposes 20% of users at once, and more than 10% needs an approval: make the step smaller"},
		{name: "live is beyond it", live: 30, steps: []cutover.Percent{40, 60}, above: []cutover.Percent{10, 50}, want: []int{1}},
		{name: "live is beyond one, the first step beyond the next", live: 30, steps: []cutover.Percent{60}, above: []cutover.Percent{10, 50}, refusal: "more than 50% needs an approval: make the step smaller"},
		{name: "live is at it, and no step is small enough", live: 10, steps: []cutover.Percent{11, 20}, above: []cutover.Percent{10}, refusal: "leave 10 out of shift.approve for this shift"},
		{name: "nobody is exposed, and nobody is to be", steps: []cutover.Percent{1}, above: []cutover.Percent{0}, refusal: "leave 0 out of shift.approve for this shift"},
	}
	for _, tt := range tests {
		plan := cutover.Plan{Promote: tt.promotion}
		for _, canary := range tt.steps {
			plan.Steps = append(plan.Steps, cutover.Dials{DNS: 100, Canary: canary})
		}
		live := cutover.Setting{Dials: cutover.Dials{DNS: 100, Canary: tt.live}, Base: cutover.Live}
		gates, err := cutover.GatesOf(plan, live, tt.above, tt.promotion, time.Minute)
		if (err != nil) != (tt.refusal != "") || err != nil && !strings.Contains(err.Error(), tt.refusal) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.refusal)
		}
		var got []int
		for _, g := range gates {
			got = append(got, g.Step)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: steps that are kept (-want +got):\n%s", tt.name, diff)
		}
	}
}
