package cutover_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// event is what befalls one tick of the small world.
type event byte

const (
	healthy   event = 'H'
	unknown   event = 'U'
	unhealthy event = 'X'
	failed    event = 'E' // the tick's write fails and has no effect
	lost      event = 'L' // the tick's write takes effect, its reply is lost
	unread    event = 'R' // the dials cannot be read
	stop      event = 'S' // a signal arrives
	foreign   event = 'F' // somebody turns the weights
	fenced    event = 'T' // another run takes the lease
	noJournal event = 'J' // the journal cannot be written
)

// world is the smallest world a shift can run in: two dials that follow
// writes at once, and a clock that moves a poll a tick.
type world struct {
	state   cutover.State
	live    cutover.Setting
	now     time.Time
	write   cutover.WriteResult
	stopped bool
	fenced  bool
	meddled bool
	twice   bool // ask Next twice and compare
	done    bool
	// deadline is when the run cannot act any more, approvedBy who opens gates.
	deadline   time.Time
	approvedBy string
	approvedAt time.Time
}

func plan() cutover.Plan {
	return cutover.Plan{
		Steps:  []cutover.Dials{{DNS: 30, Canary: 30}, {DNS: 60, Canary: 60}, {DNS: 100, Canary: 100}},
		Settle: time.Second, Bake: time.Second, Poll: time.Second,
		SyncTimeout: 5 * time.Second, HoldTimeout: 4 * time.Second, WriteTries: 3, RetreatTries: 10, Promote: true,
	}
}

var found = cutover.Setting{Dials: cutover.Dials{Canary: 10}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}

func newWorld() *world {
	return &world{state: cutover.Start("test", found, plan(), start), live: found, now: start}
}

func (w *world) observe(e event) cutover.Observation {
	w.stopped = w.stopped || e == stop
	w.fenced = w.fenced || e == fenced
	if e == foreign && !w.meddled {
		w.meddled = true
		w.live.DNS = 77
	}
	o := cutover.Observation{Now: w.now, Live: w.live, LiveKnown: e != unread, InSync: true, Write: w.write, Stop: w.stopped, Fenced: w.fenced, Until: w.deadline, Approval: cutover.Approval{By: w.approvedBy, At: w.approvedAt}}
	verdict := health.Healthy
	switch e {
	case unknown:
		verdict = health.Unknown
	case unhealthy:
		verdict = health.Unhealthy
	case noJournal:
		o.Journal = "table gone"
	}
	o.Health = health.Fold(health.Finding{Verdict: verdict, Source: "test", Detail: "as scripted"})
	return o
}

func (w *world) tick(e event) error {
	o := w.observe(e)
	next, actions := cutover.Next(w.state, o)
	if w.twice {
		if again, _ := cutover.Next(w.state, o); !cmp.Equal(next, again) {
			return fmt.Errorf("Next is not a function: %s", cmp.Diff(next, again))
		}
	}
	if err := cutover.Check(w.state, o, next, actions); err != nil {
		return err
	}
	w.state, w.write = next, cutover.WriteResult{}
	w.now = w.now.Add(time.Second)
	for _, action := range actions {
		w.perform(action, e)
	}
	return nil
}

func (w *world) perform(action cutover.Action, e event) {
	turned := w.live
	switch a := action.(type) {
	case cutover.SetCanary:
		turned.Canary = a.To
	case cutover.SetDNS:
		turned.DNS = a.To
	case cutover.Promote:
		switch {
		case turned.LiveVersion != a.To.LiveVersion:
			turned.LiveVersion = a.To.LiveVersion
		case turned.Base != a.To.Base:
			turned.Base = a.To.Base
		default:
			turned.Canary = a.To.Canary
		}
	case cutover.Retreat:
		turned.Dials, turned.Base = a.To.Dials, a.To.Base
	case cutover.Finish:
		w.done = true
		return
	case cutover.Wait:
		w.now = w.now.Add(a.For)
		return
	case cutover.Save, cutover.Announce:
		return
	}
	w.write = cutover.WriteResult{Sent: true, Change: "C1"}
	switch e {
	case failed:
		w.write = cutover.WriteResult{Sent: true, Error: "refused"}
		return
	case lost:
		w.write = cutover.WriteResult{Sent: true, Error: "reply lost"}
	}
	w.live = turned
}

// run plays the script and then a healthy world until the shift ends.
func (w *world) run(script string) error {
	const enough = 200
	for tick := 0; !w.done; tick++ {
		if tick > enough {
			return fmt.Errorf("not over after %d ticks, in %s", enough, w.state.Phase)
		}
		e := healthy
		if tick < len(script) {
			e = event(script[tick])
		}
		if err := w.tick(e); err != nil {
			return fmt.Errorf("tick %d (%c): %w", tick, e, err)
		}
	}
	return w.verify()
}

// verify holds the end against what an operator may rely on.
func (w *world) verify() error {
	switch w.state.Phase {
	case cutover.Completed:
		if w.live.DNS != 100 || w.live.Base != cutover.Live || w.live.Canary != 0 {
			return fmt.Errorf("completed at %v", w.live)
		}
	case cutover.RolledBack:
		if w.live.Exposure() != 0 {
			return fmt.Errorf("rolled back at %v", w.live)
		}
	case cutover.Uncertain:
		if !w.meddled && !w.fenced {
			return fmt.Errorf("uncertain without cause: %s", w.state.Reason)
		}
	default:
		return fmt.Errorf("ended in %s: %s", w.state.Phase, w.state.Reason)
	}
	return nil
}

// TestEverySmallWorld plays every script of six events over the first ticks,
// and again from the middle of a shift.
func TestEverySmallWorld(t *testing.T) {
	t.Parallel()
	alphabet := []byte{byte(healthy), byte(unknown), byte(unhealthy), byte(failed), byte(lost), byte(unread)}
	for _, prefix := range []string{"", "HHHHHHHHHHH", "HHHHHHHHHHHHHHHHH"} {
		count := 0
		var play func(script []byte)
		play = func(script []byte) {
			if len(script) < 6 {
				for _, e := range alphabet {
					play(append(script[:len(script):len(script)], e))
				}
				return
			}
			count++
			if err := newWorld().run(prefix + string(script)); err != nil {
				t.Fatalf("script %q: %v", prefix+string(script), err)
			}
		}
		play(nil)
		if count != 46656 {
			t.Fatalf("%d scripts played, want 6^6", count)
		}
	}
}

// TestInterruptedEverywhere lets one rare event strike at every tick of a
// whole shift, followed by every script of three.
func TestInterruptedEverywhere(t *testing.T) {
	t.Parallel()
	for _, rare := range []event{stop, foreign, fenced, noJournal, unhealthy} {
		for at := range 30 {
			for _, after := range []string{"HHH", "EEE", "LLL", "RRR", "ELR", "UXU", "XXX", "JJJ"} {
				script := fmt.Sprintf("%s%c%s", string(bytesOf(healthy, at)), rare, after)
				if err := newWorld().run(script); err != nil {
					t.Fatalf("script %q: %v", script, err)
				}
			}
		}
	}
}

func bytesOf(e event, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(e)
	}
	return out
}

func TestEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script string
		want   cutover.Phase
		live   cutover.Setting
	}{
		{"healthy to the end", "", cutover.Completed, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}},
		{"red at the first look", "X", cutover.RolledBack, cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}},
		{"signal before any change", "S", cutover.RolledBack, found},
		{"unknown for too long", "HHHHHUUUUUUUUUUUUU", cutover.RolledBack, cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}},
		{"unreadable for too long", "HHHRRRRRRRRRRR", cutover.RolledBack, cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if err := w.run(tt.script); err != nil {
				t.Fatal(err)
			}
			if w.state.Phase != tt.want {
				t.Errorf("ended %s (%s), want %s", w.state.Phase, w.state.Reason, tt.want)
			}
			if diff := cmp.Diff(tt.live, w.live); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRandomWorlds is for scripts too long to enumerate.
func TestRandomWorlds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		script := rapid.StringOfN(rapid.RuneFrom([]rune("HHHHHHUXELRSFTJ")), 0, 60, -1).Draw(t, "script")
		w := newWorld()
		w.twice = true
		w.state.Plan.HoldOnSignal = rapid.Bool().Draw(t, "hold on signal")
		err := w.run(script)
		if err != nil && !(w.state.Phase == cutover.Held && w.state.Plan.HoldOnSignal && w.stopped) && !stuckRetreat(w, script) {
			t.Fatal(err)
		}
	})
}

// stuckRetreat excuses an uncertain end after ten scripted failures in a row
// of the retreat itself: that is what exit 5 is for.
func stuckRetreat(w *world, script string) bool {
	failures := 0
	for _, e := range script {
		if e == 'E' || e == 'R' {
			failures++
		}
	}
	return w.state.Phase == cutover.Uncertain && failures >= plan().RetreatTries/2
}

// TestKilledAndResumed kills the run after every tick of a healthy shift and
// resumes from the last saved state: the end is the same.
func TestKilledAndResumed(t *testing.T) {
	t.Parallel()
	for kill := 1; kill < 25; kill++ {
		w := newWorld()
		for range kill {
			if err := w.tick(healthy); err != nil {
				t.Fatal(err)
			}
		}
		w.write = cutover.WriteResult{}
		w.state = cutover.Resume(w.state, w.now)
		if err := w.run(""); err != nil {
			t.Errorf("killed after tick %d: %v", kill, err)
		}
		if w.state.Phase != cutover.Completed {
			t.Errorf("killed after tick %d: ended %s: %s", kill, w.state.Phase, w.state.Reason)
		}
	}
}

// TestOnceStepsToTheSameEnd drives a shift by one-step runs.
func TestOnceStepsToTheSameEnd(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.Once = true
	runs := 0
	for ; w.state.Phase != cutover.Completed && runs < 10; runs++ {
		w.state, w.done = cutover.Resume(w.state, w.now), false
		for tick := 0; !w.done && tick < 100; tick++ {
			if err := w.tick(healthy); err != nil {
				t.Fatal(err)
			}
		}
	}
	if runs != 3 || w.live.Base != cutover.Live {
		t.Errorf("%d runs ended %s at %v; want 3 runs, one a step, promoted", runs, w.state.Phase, w.live)
	}
}

// TestAStepThatWouldOutliveTheRunIsNotBegun: the shift is held in front of it,
// and a run that lives longer goes on to the same end.
func TestAStepThatWouldOutliveTheRunIsNotBegun(t *testing.T) {
	t.Parallel()
	w := newWorld()
	needs := w.state.Plan.Needs(0)
	runs := 0
	for ; w.state.Phase != cutover.Completed && runs < 10; runs++ {
		w.state, w.done = cutover.Resume(w.state, w.now), false
		w.deadline = w.now.Add(needs) // enough for the step that is begun, and for no other
		step := w.state.Step
		for tick := 0; !w.done && tick < 100; tick++ {
			if err := w.tick(healthy); err != nil {
				t.Fatal(err)
			}
			if begun := w.state.Phase == cutover.Turning && w.state.Step > step; begun && !w.done {
				t.Fatalf("step %d begun with %v left of %v", w.state.Step, w.deadline.Sub(w.now), needs)
			}
		}
		if w.state.Phase == cutover.Held && !strings.Contains(w.state.Reason, "not begun: a step and the way back from it may take") {
			t.Errorf("held because %q", w.state.Reason)
		}
	}
	if runs < 3 || w.state.Phase != cutover.Completed || w.live.Base != cutover.Live {
		t.Errorf("%d runs ended %s at %v", runs, w.state.Phase, w.live)
	}
	for _, until := range []time.Time{{}, w.now.Add(needs)} {
		if why := w.state.Plan.Outlives(0, w.now, until); why != "" {
			t.Errorf("until %v: %s", until, why)
		}
	}
	if w.state.Plan.Outlives(0, w.now, w.now.Add(needs-time.Second)) == "" {
		t.Error("a second too little is enough")
	}
}

func TestCheckCatches(t *testing.T) {
	t.Parallel()
	s := newWorld().state
	healthyLook := newWorld().observe(healthy)
	redLook := newWorld().observe(unhealthy)
	advanced := s
	advanced.Step = 1
	ended := s
	ended.Phase = cutover.Completed
	back := s
	back.Phase, back.Touched = cutover.RolledBack, true
	retreating := s
	retreating.Phase = cutover.Retreating
	moved := s
	moved.Target.DNS = 50
	tests := []struct {
		name    string
		before  cutover.State
		o       cutover.Observation
		after   cutover.State
		actions []cutover.Action
	}{
		{"advance on red", s, redLook, advanced, nil},
		{"completed early", s, healthyLook, ended, nil},
		{"rolled back elsewhere", s, healthyLook, back, nil},
		{"two writes", s, healthyLook, s, []cutover.Action{cutover.Save{}, cutover.SetCanary{To: 30}, cutover.SetDNS{To: 30}}},
		{"write before intent", s, healthyLook, s, []cutover.Action{cutover.SetCanary{To: 30}}},
		{"write beyond the plan", s, healthyLook, s, []cutover.Action{cutover.Save{}, cutover.SetDNS{To: 99}}},
		{"rise while retreating", retreating, healthyLook, retreating, []cutover.Action{cutover.Save{}, cutover.SetDNS{To: 30}}},
		{"resurrection", ended, healthyLook, s, nil},
		{"target moved", s, healthyLook, moved, nil},
	}
	for _, tt := range tests {
		if err := cutover.Check(tt.before, tt.o, tt.after, tt.actions); err == nil {
			t.Errorf("%s: not caught", tt.name)
		}
	}
}
