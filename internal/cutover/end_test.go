package cutover_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// standing is an AWS whose dials stand, and a green that is well.
type standing struct{ at cutover.Setting }

func (s standing) Read(context.Context) (cutover.Setting, error)            { return s.at, nil }
func (s standing) Retreat(context.Context, cutover.Setting) (string, error) { return "", nil }
func (s standing) SetDNS(context.Context, cutover.Percent, cutover.Percent) (string, error) {
	return "", nil
}
func (s standing) SetCanary(context.Context, cutover.Percent, cutover.Percent) error { return nil }
func (s standing) Promote(context.Context) error                                     { return nil }
func (s standing) InSync(context.Context, string) (bool, error)                      { return true, nil }
func (s standing) Judge(context.Context, time.Time, health.Sides) health.Assessment {
	return health.Fold(health.Finding{Verdict: health.Healthy})
}

// refusing is a journal that answers its first saves with an error.
type refusing struct {
	err   error
	times int
	saved []cutover.Phase
}

func (j *refusing) Save(_ context.Context, s cutover.State) error {
	if j.times--; j.times >= 0 {
		return j.err
	}
	j.saved = append(j.saved, s.Phase)
	return nil
}
func (j *refusing) Beat(context.Context) error { return nil }

// TestTheEndIsWhatTheJournalTook: an end that the journal did not take is not
// the one that is reported.
func TestTheEndIsWhatTheJournalTook(t *testing.T) {
	t.Parallel()
	ended := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	first := cutover.Setting{Dials: plan().Steps[0], Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	confirmed := func(s *cutover.State) { s.Phase, s.Step, s.Last = cutover.Confirming, 2, ended }
	oneStep := func(s *cutover.State) { s.Phase, s.Plan.Once, s.Last = cutover.Baking, true, first }
	back := func(s *cutover.State) { s.Phase, s.Tries, s.Last = cutover.Retreating, 1, s.Target }
	gone := errors.New("table gone")
	for name, tt := range map[string]struct {
		state  func(*cutover.State)
		err    error
		times  int
		want   cutover.Phase
		heldIn cutover.Phase
		reason string
	}{
		"completed, fenced":       {confirmed, cutover.ErrFenced, 99, cutover.Uncertain, "", "newer token"},
		"held, fenced":            {oneStep, cutover.ErrFenced, 99, cutover.Uncertain, "", "newer token"},
		"rolled back, fenced":     {back, cutover.ErrFenced, 99, cutover.Uncertain, "", "newer token"},
		"completed, not at once":  {confirmed, gone, 3, cutover.Completed, "", "confirmed"},
		"completed, never told":   {confirmed, gone, 99, cutover.Held, cutover.Confirming, "table gone"},
		"rolled back, never told": {back, gone, 99, cutover.RolledBack, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cutover.Start("test", found, plan(), start.Add(-time.Minute))
			s.Touched = true
			tt.state(&s)
			s.Want, s.WatchedAt = s.Last, start
			var told []string
			end := cutover.Run(t.Context(), cutover.Ports{
				Traffic: standing{s.Last}, Watch: standing{}, Journal: &refusing{err: tt.err, times: tt.times}, Clock: &hasty{start}, Heartbeat: time.Hour,
				Emit: func(e cutover.Event) {
					if e.Kind == cutover.EventFinish {
						told = append(told, e.Text)
					}
				},
			}, s)
			if end.Phase != tt.want || end.HeldIn != tt.heldIn || !strings.Contains(end.Reason, tt.reason) {
				t.Errorf("ends %s (in %q): %s; want %s (in %q), %q", end.Phase, end.HeldIn, end.Reason, tt.want, tt.heldIn, tt.reason)
			}
			if len(told) != 1 || told[0] != end.Reason {
				t.Errorf("told %q, ended: %s", told, end.Reason)
			}
		})
	}
}

// hasty is a clock whose pauses take no time.
type hasty struct{ now time.Time }

var _ clock.Clock = (*hasty)(nil)

func (c *hasty) Now() time.Time { return c.now }
func (c *hasty) Sleep(_ context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return nil
}
