package cutover_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/cutover"
)

func gatedWorld(step int) *world {
	w := newWorld()
	w.state.Plan.Gates = []cutover.Gate{{Step: step, Timeout: time.Hour}}
	return w
}

func TestAGateIsPassedOnlyByApproval(t *testing.T) {
	t.Parallel()
	for _, step := range []int{1, 3} { // 3 keeps the promotion
		w := gatedWorld(step)
		w.until(t, cutover.Gated)
		for range 50 {
			if err := w.tick(healthy); err != nil {
				t.Fatal(err)
			}
		}
		if w.state.Phase != cutover.Gated || w.state.Step != step-1 {
			t.Fatalf("unapproved: %s of step %d", w.state.Phase, w.state.Step)
		}
		if next, found := w.state.NextGate(); !found || next != step {
			t.Errorf("the next gate is %d (%v), want %d", next, found, step)
		}
		w.approvedBy = "ann"
		if err := w.tick(unknown); err != nil || w.state.Phase != cutover.Gated {
			t.Errorf("approved under an unknown verdict: %s (%v), want it to wait", w.state.Phase, err)
		}
		if err := w.run(""); err != nil || w.state.Phase != cutover.Completed {
			t.Errorf("approved: %s, %v", w.state.Phase, err)
		}
		if diff := cmp.Diff([]cutover.Approval{{Step: step, By: "ann"}}, w.state.Approved); diff != "" {
			t.Error(diff)
		}
		if _, found := w.state.NextGate(); found {
			t.Error("a completed shift has a gate ahead")
		}
	}
}

func TestAGateThatNobodyOpensGoesBack(t *testing.T) {
	t.Parallel()
	w := gatedWorld(2)
	w.until(t, cutover.Gated)
	// A runner that dies and comes back does not begin the time anew.
	w.now = w.now.Add(50 * time.Minute)
	w.state = cutover.Resume(w.state, w.now)
	if err := w.tick(healthy); err != nil || w.state.Phase != cutover.Gated {
		t.Fatalf("resumed in time: %s, %v", w.state.Phase, err)
	}
	w.now = w.now.Add(10 * time.Minute)
	if err := w.run(""); err != nil || w.state.Phase != cutover.RolledBack || !strings.Contains(w.state.Reason, "step 3 was not approved within 1h0m0s") {
		t.Errorf("%s: %s (%v)", w.state.Phase, w.state.Reason, err)
	}
}

func TestWhileAGateWaitsRedGoesBack(t *testing.T) {
	t.Parallel()
	w := gatedWorld(1)
	w.until(t, cutover.Gated)
	if err := w.run("X"); err != nil || w.state.Phase != cutover.RolledBack {
		t.Errorf("%s: %s (%v)", w.state.Phase, w.state.Reason, err)
	}
}

// TestTicksMeetAGate: a cron of short runs holds in front of the gate, run
// after run, and goes on once it is open, to the same end as one long run.
func TestTicksMeetAGate(t *testing.T) {
	t.Parallel()
	w := gatedWorld(1)
	w.state.Plan.Once = true
	tick := func() {
		w.state, w.done = cutover.Resume(w.state, w.now), false
		for i := 0; !w.done; i++ {
			if i > 100 {
				t.Fatalf("a run does not end, in %s", w.state.Phase)
			}
			if err := w.tick(healthy); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		tick()
		if w.state.Phase != cutover.Held || w.state.HeldIn != cutover.Gated || w.live.DNS != 30 {
			t.Fatalf("%s in %s at %v: %s", w.state.Phase, w.state.HeldIn, w.live, w.state.Reason)
		}
	}
	w.approvedBy = "ann"
	for _, dns := range []cutover.Percent{60, 100} {
		tick()
		if w.live.DNS != dns {
			t.Fatalf("one run went to %v, want dns %v", w.live, dns)
		}
	}
	if w.state.Phase != cutover.Completed {
		t.Errorf("ended %s: %s", w.state.Phase, w.state.Reason)
	}
}

func TestAGateOutlivesTheRun(t *testing.T) {
	t.Parallel()
	w := gatedWorld(1)
	w.until(t, cutover.Gated)
	w.deadline = w.now.Add(time.Minute)
	if err := w.tick(healthy); err != nil || w.state.Phase != cutover.Held || w.state.HeldIn != cutover.Gated {
		t.Errorf("%s in %s: %s (%v)", w.state.Phase, w.state.HeldIn, w.state.Reason, err)
	}
}

// TestAGateForgetsWhatIsOver: looks that failed long ago are no spell in which
// nothing is known. The time of a gate is longer than hold_timeout.
func TestAGateForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	for _, e := range []event{unread, noJournal} {
		w := gatedWorld(1)
		w.until(t, cutover.Gated)
		for range 3 {
			for _, look := range []event{e, healthy} {
				if err := w.tick(look); err != nil {
					t.Fatal(err)
				}
			}
			w.now = w.now.Add(10 * time.Minute)
		}
		if w.state.Phase != cutover.Gated {
			t.Errorf("%c: three looks failed in half an hour: %s (%s)", e, w.state.Phase, w.state.Reason)
		}
		w.approvedBy = "ann"
		if err := w.tick(unknown); err != nil || w.state.Phase != cutover.Gated {
			t.Errorf("%c: approved, and not known to be well at that moment: %s (%s)", e, w.state.Phase, w.state.Reason)
		}
	}
}

// TestAnApprovedGateKeepsToThePolicy: what waits for a verdict after the
// approval ends as any other wait for one.
func TestAnApprovedGateKeepsToThePolicy(t *testing.T) {
	t.Parallel()
	for hold, want := range map[bool]cutover.Phase{true: cutover.Held, false: cutover.RolledBack} {
		w := gatedWorld(1)
		w.state.Plan.HoldUnknown = hold
		w.until(t, cutover.Gated)
		w.approvedBy = "ann"
		for i := 0; !w.done && i < 50; i++ {
			e := healthy
			if w.state.Phase == cutover.Gated {
				e = unknown
			}
			if err := w.tick(e); err != nil {
				t.Fatal(err)
			}
		}
		if w.state.Phase != want || !strings.Contains(w.state.Reason, "no verdict for 4s") {
			t.Errorf("to hold: %v: %s: %s", hold, w.state.Phase, w.state.Reason)
		}
	}
}
