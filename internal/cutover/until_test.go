package cutover_test

import (
	"context"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// TestUntilIsAskedAtEveryLook: credentials are renewed in the middle of a run,
// which is not left at the end that the first ones had.
func TestUntilIsAskedAtEveryLook(t *testing.T) {
	t.Parallel()
	live := cutover.Setting{Dials: plan().Steps[2], Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	for name, tt := range map[string]struct {
		renews bool
		want   cutover.Phase
	}{"renewed": {true, cutover.Completed}, "not renewed": {false, cutover.RolledBack}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &hasty{start}
			s := cutover.Start("s", live, plan(), start)
			s.Phase, s.Step, s.Touched, s.Plan.Promote, s.Plan.Bake = cutover.Baking, 2, true, false, time.Hour
			s.Last, s.Want, s.Target, s.WatchedAt = live, live, live, start
			end := cutover.Run(t.Context(), cutover.Ports{
				Traffic: standing{live}, Watch: standing{}, Journal: &refusing{}, Clock: k, Heartbeat: time.Hour,
				Until: func(context.Context) time.Time {
					if tt.renews {
						return k.Now().Add(30 * time.Minute)
					}
					return start.Add(30 * time.Minute)
				},
			}, s)
			if end.Phase != tt.want {
				t.Errorf("ends %s, want %s: %s", end.Phase, tt.want, end.Reason)
			}
		})
	}
}
