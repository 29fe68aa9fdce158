package cutover_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	anew, resume, once := cutover.Intent{}, cutover.Intent{Resume: true}, cutover.Intent{Once: true}
	tests := []struct {
		name    string
		phase   cutover.Phase // "" where the journal is empty
		ask     cutover.Intent
		resumed bool
		next    string // the hint of a refusal
	}{
		{"nothing open", "", anew, false, ""},
		{"nothing to resume", "", resume, false, "tapctl shift"},
		{"one step, nothing open", "", once, false, ""},
		{"after one that completed", cutover.Completed, anew, false, ""},
		{"completed is not resumed", cutover.Completed, resume, false, "tapctl shift"},
		{"after one that rolled back", cutover.RolledBack, anew, false, ""},
		{"over an open one", cutover.Baking, anew, false, "tapctl shift --resume, or tapctl rollback"},
		{"resumed", cutover.Baking, resume, true, ""},
		{"held, resumed", cutover.Held, resume, true, ""},
		{"held, one more step", cutover.Held, once, true, ""},
		{"retreating, resumed", cutover.Retreating, resume, true, ""},
		{"uncertain", cutover.Uncertain, resume, false, "tapctl status, then tapctl rollback"},
		{"uncertain, anew", cutover.Uncertain, anew, false, "tapctl status, then tapctl rollback"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			newest := newWorld().state
			newest.Phase = tt.phase
			s, resumed, err := cutover.Admit(newest, tt.phase != "", tt.ask, start.Add(time.Hour))
			refusal, refused := errors.AsType[*cutover.NotAdmitted](err)
			if refused != (tt.next != "") || refused && (refusal.Hint() != tt.next || refusal.ExitCode() != 3 || refusal.Error() == "") {
				t.Fatalf("err = %v, want the hint %q", err, tt.next)
			}
			if resumed != tt.resumed || resumed && s.Plan.Once != tt.ask.Once {
				t.Errorf("resumed %v (once %v), want %v (once %v)", resumed, s.Plan.Once, tt.resumed, tt.ask.Once)
			}
		})
	}
}

// TestAdmitAgain: a cron does not expose users to what was just sent back.
func TestAdmitAgain(t *testing.T) {
	t.Parallel()
	live := cutover.Setting{Base: cutover.Forwarder, NextVersion: "2"}
	tests := []struct {
		name    string
		phase   cutover.Phase // "" where the journal is empty
		last    string        // the candidate of the newest shift
		once    bool
		noTouch bool
		refused bool
	}{
		{"the same candidate", cutover.RolledBack, "2", true, false, true},
		{"a whole shift", cutover.RolledBack, "2", false, false, false},
		{"another candidate", cutover.RolledBack, "1", true, false, false},
		{"a candidate that was not read", cutover.RolledBack, "", true, false, false},
		{"ended before any change", cutover.RolledBack, "2", true, true, false},
		{"completed", cutover.Completed, "2", true, false, false},
		{"no shift", "", "", true, false, false},
	}
	for _, tt := range tests {
		newest := cutover.State{ID: "s", Phase: tt.phase, Touched: !tt.noTouch, Reason: "red", Last: cutover.Setting{NextVersion: tt.last}}
		err := cutover.AdmitAgain(newest, tt.phase != "", cutover.Intent{Once: tt.once}, live)
		refusal, refused := errors.AsType[*cutover.NotAdmitted](err)
		if refused != tt.refused {
			t.Errorf("%s: %v", tt.name, err)
		} else if refused && (refusal.ExitCode() != 3 || !strings.Contains(refusal.Error(), "version 2) was sent back by s: red") || !strings.HasPrefix(refusal.Hint(), "tapctl deploy, ")) {
			t.Errorf("%s: %v, next: %s", tt.name, err, refusal.Hint())
		}
	}
	unread := cutover.State{Phase: cutover.RolledBack, Touched: true}
	if err := cutover.AdmitAgain(unread, true, cutover.Intent{Once: true}, cutover.Setting{}); err != nil {
		t.Errorf("two candidates that nobody read are not the same: %v", err)
	}
}

// TestResumeGoesOnWhereItStopped: what was held while it promoted does not come
// back to a step it has left.
func TestResumeGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	for held, want := range map[cutover.Phase]cutover.Phase{
		cutover.Turning: cutover.Turning, cutover.Syncing: cutover.Turning, cutover.Settling: cutover.Turning, cutover.Baking: cutover.Turning,
		cutover.Promoting: cutover.Promoting, cutover.Confirming: cutover.Confirming,
	} {
		s := newWorld().state
		s.Phase, s.Touched, s.Plan.HoldOnSignal = held, true, true
		s, _ = cutover.Next(s, cutover.Observation{Now: start, Live: found, LiveKnown: true, Stop: true})
		if s.Phase != cutover.Held {
			t.Errorf("a signal in %s: %s, want held", held, s.Phase)
		}
		if got := cutover.Resume(s, start.Add(time.Hour)); got.Phase != want || !got.StepAt.Equal(start.Add(time.Hour)) {
			t.Errorf("held in %s, resumed in %s since %v; want %s since now", held, got.Phase, got.StepAt, want)
		}
	}
}

// TestHoldTriesTheJournal: that it is back shows only by trying.
func TestHoldTriesTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld()
	o := w.observe(noJournal)
	_, actions := cutover.Next(w.state, o)
	if len(actions) != 3 || actions[1] != (cutover.Action)(cutover.Save{}) {
		t.Errorf("without a journal: %v, want it announced, tried and waited for", actions)
	}
	_, actions = cutover.Next(w.state, w.observe(unread))
	for _, a := range actions {
		if _, saves := a.(cutover.Save); saves {
			t.Errorf("unread dials: %v, nothing to save", actions)
		}
	}
}

func TestRetreatTarget(t *testing.T) {
	t.Parallel()
	toBlue := cutover.Setting{Base: cutover.Forwarder}
	promoted := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	tests := []struct {
		name         string
		found, known bool
		want         cutover.Setting
	}{
		{"the journal's", true, true, toBlue},
		{"the journal's, dials unread", true, false, toBlue},
		{"no shift was ever begun: the version that is live", false, true, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2"}},
		{"neither", false, false, toBlue},
	}
	for _, tt := range tests {
		got := cutover.RetreatTarget(cutover.State{Target: toBlue}, tt.found, promoted, tt.known)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestBlindTarget: after a promotion the mode says to stay, which is no answer
// to who wants to leave.
func TestBlindTarget(t *testing.T) {
	t.Parallel()
	toBlue := cutover.Setting{Base: cutover.Forwarder}
	promoted := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	migrating := cutover.Setting{Dials: cutover.Dials{DNS: 40, Canary: 40}, Base: cutover.Forwarder, NextVersion: "2"}
	for _, tt := range []struct {
		name      string
		live      cutover.Setting
		seen      bool
		want      cutover.Setting
		wantKnown bool
	}{
		{"blue answers", migrating, true, toBlue, true},
		{"green answers", promoted, true, cutover.Setting{}, false},
		{"dials unread", cutover.Setting{}, false, toBlue, true},
	} {
		got, known := cutover.BlindTarget(tt.live, tt.seen)
		if diff := cmp.Diff(tt.want, got); diff != "" || known != tt.wantKnown {
			t.Errorf("%s: known %v, %s", tt.name, known, diff)
		}
	}
}

// counted is a journal that counts.
type counted struct{ saves, beats int }

func (c *counted) Save(context.Context, cutover.State) error { c.saves++; return nil }
func (c *counted) Beat(context.Context) error                { c.beats++; return nil }

func TestLateJournalAsksAgain(t *testing.T) {
	t.Parallel()
	var real counted
	opened := 0
	j := &cutover.LateJournal{Open: func(context.Context) (cutover.Journal, error) {
		if opened++; opened < 3 {
			return (*counted)(nil), errors.New("table out of reach")
		}
		return &real, nil
	}}
	ctx := t.Context()
	if j.Take(ctx) == nil || j.Save(ctx, cutover.State{}) == nil {
		t.Error("no lease, and no error")
	}
	for range 2 {
		if err := errors.Join(j.Save(ctx, cutover.State{}), j.Beat(ctx)); err != nil {
			t.Error(err)
		}
	}
	if real.saves != 2 || real.beats != 2 || opened != 3 {
		t.Errorf("%d saves, %d beats after opening %d times; want 2, 2 and 3", real.saves, real.beats, opened)
	}
}

// TestAnOldReadIsNotForeign: a dial seen elsewhere once is looked at again, and
// red outranks the doubt.
func TestAnOldReadIsNotForeign(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.Linger = 10 * time.Second
	look := func(after time.Duration, dns cutover.Percent, v health.Verdict) cutover.Phase {
		o := w.observe(healthy)
		o.Now, o.Live.DNS = start.Add(after), dns
		o.Health = health.Fold(health.Finding{Verdict: v})
		w.state, _ = cutover.Next(w.state, o)
		return w.state.Phase
	}
	for _, tt := range []struct {
		after time.Duration
		dns   cutover.Percent
		want  cutover.Phase
	}{{0, 7, cutover.Turning}, {9 * time.Second, 7, cutover.Turning}, {10 * time.Second, 0, cutover.Turning}, {11 * time.Second, 7, cutover.Turning}, {21 * time.Second, 7, cutover.Uncertain}} {
		if got := look(tt.after, tt.dns, health.Healthy); got != tt.want {
			t.Fatalf("after %v at %v%%: %s, want %s", tt.after, tt.dns, got, tt.want)
		}
	}
	w.state = newWorld().state
	w.state.Plan.Linger = 10 * time.Second
	if got := look(0, 7, health.Unhealthy); got != cutover.Retreating {
		t.Errorf("red at a foreign value: %s, want retreating", got)
	}
}

// TestEveryForeignDialIsNamed: whoever looks for who turned them looks once.
func TestEveryForeignDialIsNamed(t *testing.T) {
	t.Parallel()
	for want, turn := range map[string]func(*cutover.Setting){
		"dns stands at 7, which this run neither found (0) nor set (10): somebody else turned it": func(s *cutover.Setting) { s.DNS = 7 },
		"dns stands at 7, which this run neither found (0) nor set (10); base stands at live, which this run neither found (forwarder) nor set (forwarder); candidate version stands at 9, which this run neither found (2) nor set (2): somebody else turned them": func(s *cutover.Setting) {
			s.DNS, s.Base, s.NextVersion = 7, cutover.Live, "9"
		},
	} {
		w := newWorld()
		w.state.Last.NextVersion, w.state.Want.NextVersion, w.state.Plan.Linger = "2", "2", 0
		w.state.Last.DNS, w.state.Want.DNS = 0, 10
		o := w.observe(healthy)
		o.Live = w.state.Last
		turn(&o.Live)
		got, _ := cutover.Next(w.state, o)
		if got.Phase != cutover.Uncertain || got.Reason != want {
			t.Errorf("%s:\nwant %q\n got %q", got.Phase, want, got.Reason)
		}
	}
}
