package cutover_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
func (s standing) Promote(context.Context, cutover.Setting, cutover.Setting) error   { return nil }
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

// slowTable is a journal that answers no retreat within the time it is given.
type slowTable struct {
	aws   *sent
	given []time.Duration
	err   error
}

func (j *slowTable) Save(ctx context.Context, s cutover.State) error {
	until, _ := ctx.Deadline()
	if s.Phase == cutover.Retreating {
		j.given = append(j.given, until.Sub(clock.Real{}.Now()).Round(time.Second))
		j.aws.log = append(j.aws.log, "record")
		return j.err
	}
	return nil
}
func (j *slowTable) Beat(context.Context) error { return nil }

// sent is an AWS that keeps what a retreat did in order.
type sent struct {
	standing
	log []string
}

func (s *sent) Retreat(_ context.Context, to cutover.Setting) (string, error) {
	s.log, s.at = append(s.log, "retreat"), to
	return "", nil
}

// TestARetreatIsRecordedFirstButNeverWaits: whoever resumes must know of it,
// and a table that does not answer delays it by a second.
func TestARetreatIsRecordedFirstButNeverWaits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err   error
		log   []string
		given []time.Duration
		end   cutover.Phase
	}{
		"the table answers":      {nil, []string{"record", "retreat"}, []time.Duration{time.Second}, cutover.RolledBack},
		"the table is gone":      {context.DeadlineExceeded, []string{"record", "retreat", "record"}, []time.Duration{time.Second, 5 * time.Second}, cutover.RolledBack},
		"another run has it now": {cutover.ErrFenced, []string{"record"}, []time.Duration{time.Second}, cutover.Uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aws := &sent{standing: standing{cutover.Setting{Dials: plan().Steps[0], Base: cutover.Forwarder}}}
			s := cutover.Start("test", aws.at, plan(), start)
			s.Phase, s.Touched = cutover.Baking, true
			stop := make(chan struct{})
			close(stop)
			journal := &slowTable{aws: aws, err: tt.err}
			end := cutover.Run(t.Context(), cutover.Ports{Traffic: aws, Watch: standing{}, Journal: journal, Clock: &hasty{start}, Stop: stop, Heartbeat: time.Hour}, s)
			if diff := cmp.Diff(tt.log, aws.log) + cmp.Diff(tt.given, journal.given); diff != "" || end.Phase != tt.end {
				t.Errorf("ends %s: %s\n%s", end.Phase, end.Reason, diff)
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

// TestTheLastChangeOfARetreatIsWaitedFor: where somebody moved the records, or
// the write before was in sync already, the name of an earlier change says
// nothing of one whose reply was lost.
func TestTheLastChangeOfARetreatIsWaitedFor(t *testing.T) {
	t.Parallel()
	target := cutover.Setting{Base: cutover.Forwarder}
	moved, canary := target, target
	moved.DNS, canary.Canary = 45, 30
	for name, again := range map[string]cutover.Setting{"somebody moved the records": moved, "a look had them in place, and only the canary moved": canary} {
		s := cutover.StartRetreat("back", target, plan(), start)
		s.Plan.Linger = 3 * time.Second
		at := start
		tick := func(o cutover.Observation) {
			at = at.Add(time.Second)
			o.Now, o.LiveKnown = at, true
			s, _ = cutover.Next(s, o)
		}
		tick(cutover.Observation{Live: moved})
		tick(cutover.Observation{Live: target, Write: cutover.WriteResult{Sent: true, Change: "C1"}, InSync: true})
		tick(cutover.Observation{Live: again})
		tick(cutover.Observation{Live: target, Write: cutover.WriteResult{Sent: true, Error: "reply lost"}, InSync: s.Change != ""})
		for end := at.Add(s.Plan.SyncTimeout - time.Second); at.Before(end); {
			tick(cutover.Observation{Live: target, InSync: s.Change != ""})
		}
		if s.Phase != cutover.Retreating {
			t.Errorf("%s: ended %s by the name of another change (%s)", name, s.Phase, s.Reason)
		}
	}
}

// TestARetreatWhoseReplyWasLostIsWaitedFor: the look before it may have been
// old, so that only the failed call tells of a change that nobody has named.
func TestARetreatWhoseReplyWasLostIsWaitedFor(t *testing.T) {
	t.Parallel()
	target := cutover.Setting{Base: cutover.Forwarder}
	s := cutover.StartRetreat("back", target, plan(), start)
	s, _ = cutover.Next(s, cutover.Observation{Now: start, Live: cutover.Setting{Dials: cutover.Dials{Canary: 30}, Base: cutover.Forwarder}, LiveKnown: true})
	at := start.Add(time.Second)
	s, _ = cutover.Next(s, cutover.Observation{Now: at, Live: target, LiveKnown: true, Write: cutover.WriteResult{Sent: true, Error: "reply lost"}})
	if s.Phase != cutover.Retreating {
		t.Errorf("ended %s while a change may be on its way to Route 53's servers", s.Phase)
	}
	s, _ = cutover.Next(s, cutover.Observation{Now: at.Add(s.Plan.SyncTimeout + time.Second), Live: target, LiveKnown: true})
	if s.Phase != cutover.RolledBack {
		t.Errorf("%s after sync_timeout, want an end", s.Phase)
	}
}
