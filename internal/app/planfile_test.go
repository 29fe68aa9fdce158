package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
)

// A plan's file says which steps there are. What the configuration keeps, it
// keeps of them as well: such a file once switched approvals and the limit off.
func TestAPlansFile(t *testing.T) {
	t.Parallel()
	d := func(dns, canary cutover.Percent) cutover.Dials { return cutover.Dials{DNS: dns, Canary: canary} }
	probed := cutover.Setting{Dials: d(0, 10), Base: cutover.Forwarder} // by nobody but probes
	const quarters = "steps: [{dns: 50, canary: 50}, {dns: 100, canary: 60}, {pause: approval, timeout: 2m}, {canary: 100}]"
	tests := []struct {
		name, text string
		live       cutover.Setting
		shift      config.Shift
		want       []cutover.Dials
		gates      []cutover.Gate
		next       string // of a refusal
	}{
		{name: "its own pause", text: quarters, live: fresh, want: []cutover.Dials{d(50, 50), d(100, 60), d(100, 100)}, gates: []cutover.Gate{{Step: 2, Timeout: 2 * time.Minute}}},
		{
			name: "beside the configured approvals", text: quarters, live: fresh, shift: config.Shift{Approve: []float64{30, 70}, ApprovePromotion: true, ApproveTimeout: time.Hour},
			want: []cutover.Dials{d(50, 50), d(100, 60), d(100, 100)}, gates: []cutover.Gate{{Step: 1, Timeout: time.Hour}, {Step: 2, Timeout: 2 * time.Minute}, {Step: 3, Timeout: time.Hour}},
		},
		{name: "the first step wants an approval", text: quarters, live: fresh, shift: config.Shift{Approve: []float64{10}}},
		{name: "as much as the limit", text: quarters, live: fresh, shift: config.Shift{MaxExposure: 100}, want: []cutover.Dials{d(50, 50), d(100, 60), d(100, 100)}, gates: []cutover.Gate{{Step: 2, Timeout: 2 * time.Minute}}},
		{name: "beyond it", text: quarters, live: fresh, shift: config.Shift{MaxExposure: 60}, next: "a smaller steps[4], or a larger shift.max_exposure"},
		{
			name: "the last pause keeps the promotion", text: "steps: [{dns: 100, canary: 100}, {pause: approval, timeout: 3m}]", live: fresh,
			want: []cutover.Dials{d(100, 100)}, gates: []cutover.Gate{{Step: 1, Timeout: 3 * time.Minute}},
		},
		{name: "of none it keeps nothing", text: "steps: [{dns: 50, canary: 0}, {pause: approval}]", live: fresh, want: []cutover.Dials{d(50, 0)}},
		{name: "the probes' percent is not inherited", text: "steps: [{dns: 50}]", live: probed, want: []cutover.Dials{d(50, 0)}},
		{name: "but that of an entry is, where the dials stand there already", text: "steps: [{canary: 10}, {dns: 50}]", live: probed, want: []cutover.Dials{d(50, 10)}},
		{name: "a pause behind such an entry keeps nothing", text: "steps: [{canary: 10}, {pause: approval}, {dns: 50}]", live: probed, want: []cutover.Dials{d(50, 10)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "plan.yaml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			plan, err := (&app.App{Config: config.Config{Shift: tt.shift}}).FilePlan(path, tt.live)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("plan %+v, error %v", plan, err)
			}
			if refused, is := errors.AsType[*app.Refused](err); is && refused.Next != tt.next {
				t.Errorf("%v; next: %q, want %q", err, refused.Next, tt.next)
			}
			if err == nil {
				same(t, "steps", tt.want, plan.Steps)
				same(t, "gates", tt.gates, plan.Gates)
			}
		})
	}
}
