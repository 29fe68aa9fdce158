package cutover_test

import (
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// TestBehind: what a run left on its way to Route 53's servers is waited for by
// the next one.
func TestBehind(t *testing.T) {
	t.Parallel()
	ended := func(phase cutover.Phase, change string, unsynced bool) cutover.State {
		return cutover.State{Phase: phase, Change: change, Unsynced: unsynced, PhaseAt: start, Ended: start}
	}
	shift := cutover.Start("new", found, plan(), start)
	back := cutover.StartRetreat("new", cutover.TargetOf(found), plan(), start)
	within, after := plan().SyncTimeout-time.Second, plan().SyncTimeout
	for _, tt := range []struct {
		name     string
		s        cutover.State
		before   cutover.State
		later    time.Duration
		change   string
		unsynced bool
	}{
		{"nothing before", shift, cutover.State{}, 0, "", false},
		{"all in sync", shift, ended(cutover.RolledBack, "C1", false), within, "", false},
		{"a signalled retreat", shift, ended(cutover.RolledBack, "C1", true), after, "C1", true},
		{"long ago", shift, ended(cutover.RolledBack, "C1", true), time.Hour, "", false},
		{"its name was lost", shift, ended(cutover.RolledBack, "", true), within, "", true},
		{"its name was lost, some time ago", shift, ended(cutover.RolledBack, "", true), after, "", false},
		{"a rollback", back, ended(cutover.RolledBack, "C1", true), after, "C1", true},
		{"a rollback of an open shift", back, ended(cutover.Syncing, "C1", true), after, "C1", true},
		{"a rollback does not wait for what may never have been sent", back, ended(cutover.Turning, "", true), within, "", false},
		{"nor where it was", back, ended(cutover.RolledBack, "", true), within, "", false},
	} {
		got := tt.s.Behind(tt.before, start.Add(tt.later))
		if got.Change != tt.change || got.Unsynced != tt.unsynced {
			t.Errorf("%s: waits for %q (%v), want %q (%v)", tt.name, got.Change, got.Unsynced, tt.change, tt.unsynced)
		}
	}
}

// TestTheChangeBeforeIsWaitedFor, by a first step that has no change of its own,
// by a rollback that finds its target set, and by a retreat from the one and a
// first try of the other.
func TestTheChangeBeforeIsWaitedFor(t *testing.T) {
	t.Parallel()
	before := cutover.State{Phase: cutover.RolledBack, Change: "C1", Unsynced: true, Ended: start}
	canaryOnly := plan()
	canaryOnly.Steps, canaryOnly.Linger, canaryOnly.SyncTimeout = []cutover.Dials{{Canary: 20}}, 2*time.Second, time.Minute
	shift := cutover.Start("new", found, canaryOnly, start).Behind(before, start)
	look := func(at time.Duration, live cutover.Percent, in bool) cutover.Observation {
		return cutover.Observation{Now: start.Add(at), Live: cutover.Setting{Dials: cutover.Dials{Canary: live}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}, LiveKnown: true, InSync: in}
	}
	stopped, red := look(2*time.Second, 20, false), look(2*time.Second, 20, false)
	stopped.Stop, red.Health = true, health.Fold(health.Finding{Verdict: health.Unhealthy, Source: "test"})
	sent := look(0, 10, false)
	sent.Write = cutover.WriteResult{Sent: true}
	back := cutover.StartRetreat("new", cutover.TargetOf(found), canaryOnly, start).Behind(before, start)
	for name, tt := range map[string]struct {
		s     cutover.State
		looks []cutover.Observation
		want  cutover.Phase
	}{
		"a first step":             {shift, []cutover.Observation{look(0, 10, false), look(time.Second, 20, false), look(2*time.Second, 20, false)}, cutover.Syncing},
		"a first step, in sync":    {shift, []cutover.Observation{look(0, 10, false), look(time.Second, 20, false), look(2*time.Second, 20, true)}, cutover.Settling},
		"a rollback":               {back, []cutover.Observation{look(0, 0, false), look(3*time.Second, 0, false)}, cutover.Retreating},
		"a rollback, in sync":      {back, []cutover.Observation{look(0, 0, false), look(3*time.Second, 0, true)}, cutover.RolledBack},
		"a rollback's first try":   {back, []cutover.Observation{look(0, 10, false), sent, look(time.Second, 0, false), look(4*time.Second, 0, false)}, cutover.Retreating},
		"the way back from a step": {shift, []cutover.Observation{look(0, 10, false), look(time.Second, 20, false), red, look(3*time.Second, 0, false), look(6*time.Second, 0, false)}, cutover.Retreating},
		"but not at a signal":      {shift, []cutover.Observation{look(0, 10, false), stopped, look(3*time.Second, 0, false)}, cutover.RolledBack},
	} {
		s := tt.s
		for _, o := range tt.looks {
			s, _ = cutover.Next(s, o)
		}
		if s.Phase != tt.want || s.Change != "C1" && s.Unsynced {
			t.Errorf("%s: %s, change %q; want %s", name, s.Phase, s.Change, tt.want)
		}
	}
}

// TestARetreatJournalsThatAChangeMayBeOnItsWay before it is sent: whoever takes
// it up after a crash finds the target set, and has no other way to know.
func TestARetreatJournalsThatAChangeMayBeOnItsWay(t *testing.T) {
	t.Parallel()
	at := func(dns cutover.Percent) cutover.Setting {
		return cutover.Setting{Dials: cutover.Dials{DNS: dns, Canary: 20}, Base: cutover.Forwarder}
	}
	for name, tt := range map[string]struct {
		begun    bool // it retreats already
		last     cutover.Percent
		want     cutover.Percent
		now      cutover.Percent
		unread   bool
		unsynced bool
	}{
		"the records never moved":                  {unsynced: false},
		"they stand elsewhere":                     {last: 30, want: 30, now: 30, unsynced: true},
		"they were just sent elsewhere":            {want: 30, unsynced: true},
		"they stand elsewhere by themselves":       {last: 30, now: 30, unsynced: true},
		"they cannot be read":                      {unread: true, unsynced: true},
		"on its way, they never moved":             {begun: true, unsynced: false},
		"on its way, somebody turned them":         {begun: true, now: 30, unsynced: true},
		"on its way, they cannot be read any more": {begun: true, unread: true, unsynced: true},
	} {
		p := plan()
		p.Steps = []cutover.Dials{{DNS: tt.want, Canary: 20}}
		s := cutover.Start("test", at(tt.last), p, start)
		s.Touched = true
		if s.Want = at(tt.want); tt.begun {
			s.Phase, s.Want = cutover.Retreating, s.Target
		}
		o := cutover.Observation{Now: start, Live: at(tt.now), LiveKnown: !tt.unread, Stop: !tt.begun}
		next, actions := cutover.Next(s, o)
		if next.Unsynced != tt.unsynced || next.Phase != cutover.Retreating || !sends(actions) {
			t.Errorf("%s: %s with %v, a change on its way: %v; want %v", name, next.Phase, actions, next.Unsynced, tt.unsynced)
		}
	}
}

// sends is true where the retreat goes out after its record.
func sends(actions []cutover.Action) bool {
	saved := false
	for _, a := range actions {
		switch a.(type) {
		case cutover.Save:
			saved = true
		case cutover.Retreat:
			return saved
		}
	}
	return false
}

// TestATargetMustStandWhileSomebodyWatches: a runner that slept through it knows
// of two looks only.
func TestATargetMustStandWhileSomebodyWatches(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Poll, p.Linger = 10*time.Second, 75*time.Second
	s := cutover.StartRetreat("test", cutover.TargetOf(found), p, start)
	for _, tt := range []struct {
		at   time.Duration
		want cutover.Phase
	}{
		{0, cutover.Retreating}, {10 * time.Second, cutover.Retreating},
		{10 * time.Minute, cutover.Retreating}, // asleep in between: it counts anew
		{10*time.Minute + 60*time.Second, cutover.Retreating}, {10*time.Minute + 75*time.Second, cutover.RolledBack},
	} {
		s, _ = cutover.Next(s, cutover.Observation{Now: start.Add(tt.at), Live: s.Target, LiveKnown: true})
		if s.Phase != tt.want {
			t.Fatalf("after %v: %s, want %s", tt.at, s.Phase, tt.want)
		}
	}
}

// TestANewWriteForgetsTheChangeBefore: its own reply may be lost, and then only
// time tells.
func TestANewWriteForgetsTheChangeBefore(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Steps = []cutover.Dials{{DNS: 30, Canary: 10}}
	before := cutover.State{Phase: cutover.RolledBack, Change: "C1", Unsynced: true, Ended: start}
	s := cutover.Start("new", found, p, start).Behind(before, start)
	at := found
	for i, o := range []cutover.Observation{
		{}, {Write: cutover.WriteResult{Sent: true, Error: "reply lost"}, InSync: true}, {InSync: true},
	} {
		if i > 0 {
			at.DNS = 30
		}
		o.Now, o.Live, o.LiveKnown = start.Add(time.Duration(i)*time.Second), at, true
		s, _ = cutover.Next(s, o)
	}
	if s.Phase != cutover.Syncing || s.Change != "" || !s.Unsynced {
		t.Errorf("%s, change %q (%v)", s.Phase, s.Change, s.Unsynced)
	}
}

// TestAReadingThatIsNoSettingStops, once it has stood, with what was read; a
// green that is red meanwhile is left all the same.
func TestAReadingThatIsNoSettingStops(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Linger, p.HoldTimeout, p.Poll = 75*time.Second, 10*time.Second, 15*time.Second
	s := cutover.Start("test", found, p, start)
	s.Touched, s.Phase = true, cutover.Baking
	s.Last = s.Want
	look := cutover.Observation{Foreign: "A and AAAA disagree", ReadError: "A and AAAA disagree"}
	var actions []cutover.Action
	for at := time.Duration(0); at <= p.Linger; at += p.Poll {
		look.Now = start.Add(at)
		if red := look; at == p.Poll {
			red.Health = health.Fold(health.Finding{Verdict: health.Unhealthy, Source: "test"})
			if back, _ := cutover.Next(s, red); back.Phase != cutover.Retreating {
				t.Errorf("red: %s", back.Phase)
			}
		}
		if s.Phase != cutover.Baking {
			t.Fatalf("after %v: %s: %s", at, s.Phase, s.Reason)
		}
		before := s
		s, actions = cutover.Next(s, look)
		if err := cutover.Check(before, look, s, actions); err != nil {
			t.Error(err)
		}
	}
	if s.Phase != cutover.Uncertain || s.Reason != "A and AAAA disagree: somebody else turned it" {
		t.Errorf("%s: %s", s.Phase, s.Reason)
	}
}

// TestWeightsThatMoveByThemselvesAreWaitedFor: they stand where the step wants
// them, but by a late call of another run, whose change has no name here.
func TestWeightsThatMoveByThemselvesAreWaitedFor(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Steps = []cutover.Dials{{DNS: 30, Canary: 10}}
	for dns, want := range map[cutover.Percent]cutover.Phase{0: cutover.Syncing, 30: cutover.Settling} {
		at := found
		at.DNS = dns
		s := cutover.Start("test", at, p, start)
		o := cutover.Observation{Now: start, Live: at, LiveKnown: true}
		o.Live.DNS = 30
		if next, _ := cutover.Next(s, o); next.Phase != want {
			t.Errorf("from %v%%, found at 30%%: %s, want %s", dns, next.Phase, want)
		}
	}
}

// TestABlindRollbackForgetsTheChangeBefore: its first call may have made a newer
// one, though its reply was lost.
func TestABlindRollbackForgetsTheChangeBefore(t *testing.T) {
	t.Parallel()
	before := cutover.State{ID: "before", Phase: cutover.Syncing, Change: "C1", Unsynced: true, PhaseAt: start}
	p := plan()
	p.SyncTimeout = time.Hour
	s := cutover.StartRetreat("new", cutover.Setting{Base: cutover.Forwarder}, p, start).Behind(before, start)
	for i, o := range []cutover.Observation{
		{}, {LiveKnown: true, Write: cutover.WriteResult{Sent: true, Error: "reply lost"}, InSync: true}, {LiveKnown: true, InSync: true},
	} {
		o.Now, o.Live = start.Add(time.Duration(i)*time.Minute), cutover.Setting{Base: cutover.Forwarder}
		s, _ = cutover.Next(s, o)
	}
	if s.Phase != cutover.Retreating || s.Change != "" || !s.Unsynced {
		t.Errorf("%s, change %q (%v)", s.Phase, s.Change, s.Unsynced)
	}
}
