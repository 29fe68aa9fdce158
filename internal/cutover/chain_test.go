package cutover_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// TestAChainOfJobsReachesTheEnd: jobs of the length that 'tapctl plan' names
// bring a shift to its promotion, one after the other, each admitted as the
// command admits it. The promotion is no exception: a run that takes the shift
// up in front of it sees the last step well anew before.
func TestAChainOfJobsReachesTheEnd(t *testing.T) {
	t.Parallel()
	for _, bake := range []time.Duration{time.Second, 10 * time.Minute, 25 * time.Minute} {
		w := newWorld()
		w.state.Plan.Bake = bake
		w.state.Plan.Poll = time.Minute
		job := w.state.Plan.EachNeeds(0)
		runs := 0
		for ; w.state.Phase != cutover.Completed && runs < 12; runs++ {
			w.state, w.done = cutover.Resume(w.state, w.now), false
			w.deadline = w.now.Add(job + time.Second) // its first look comes a second later
			if why := w.state.Outlives(w.now, w.deadline); why != "" {
				t.Fatalf("bake %v: run %d is refused: %s", bake, runs+1, why)
			}
			for tick := 0; !w.done && tick < 500; tick++ {
				if err := w.tick(healthy); err != nil {
					t.Fatal(err)
				}
			}
		}
		if w.state.Phase != cutover.Completed || w.live.Base != cutover.Live {
			t.Errorf("bake %v: %d jobs of %v ended %s at %v: %s", bake, runs, job, w.state.Phase, w.live, w.state.Reason)
		}
	}
}

// TestAResumeAsksForItsTimeAgain: it may wait for a verdict until there is no
// more time for the step.
func TestAResumeAsksForItsTimeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.HoldTimeout = time.Hour
	w.state.Plan.Once = true
	if err := w.tick(healthy); err != nil {
		t.Fatal(err)
	}
	for !w.done {
		if err := w.tick(healthy); err != nil {
			t.Fatal(err)
		}
	}
	w.state, w.done = cutover.Resume(w.state, w.now), false
	stands := w.live
	w.deadline = w.now.Add(w.state.Needs())
	w.now = w.now.Add(10 * time.Minute) // it has waited
	for i := 0; !w.done && i < 5; i++ {
		if err := w.tick(healthy); err != nil {
			t.Fatal(err)
		}
	}
	if w.state.Phase != cutover.Held || w.live != stands || !strings.Contains(w.state.Reason, "the step is not begun") {
		t.Errorf("%s at %v: %s", w.state.Phase, w.live, w.state.Reason)
	}
}

// TestAFrozenShiftWaitsForAPerson: a cron that ticks is none.
func TestAFrozenShiftWaitsForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.Freeze = true
	w.until(t, cutover.Baking)
	if err := w.tick(unhealthy); err != nil || w.state.Phase != cutover.Held {
		t.Fatalf("%s: %v", w.state.Phase, err)
	}
	frozen := w.state
	for _, policy := range []cutover.OnAbandoned{"", cutover.RefuseAbandoned, cutover.FinishAbandoned, cutover.RevertAbandoned} {
		_, resumed, err := cutover.Admit(frozen, true, cutover.Intent{Once: true, Abandoned: policy}, w.now)
		if resumed || err == nil || !strings.Contains(err.Error(), "frozen, as on_incident says") {
			t.Errorf("policy %q: a tick goes on (%v): %v", policy, resumed, err)
		}
	}
	s, resumed, err := cutover.Admit(frozen, true, cutover.Intent{Resume: true, Once: true}, w.now)
	if !resumed || err != nil || s.Frozen {
		t.Errorf("a person: resumed %v, frozen still %v: %v", resumed, s.Frozen, err)
	}
}

// TestAShiftThatTurnedNothingIsNotUndone: a rollback after it undoes what was
// there to undo before.
func TestAShiftThatTurnedNothingIsNotUndone(t *testing.T) {
	t.Parallel()
	blue := cutover.Setting{Base: cutover.Forwarder}
	one := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1", NextVersion: "2"}
	migration := cutover.State{ID: "migration", Phase: cutover.Completed, Touched: true, Target: blue, Last: one}
	behind := func(before cutover.State, events ...event) cutover.State {
		w := &world{state: cutover.Start("release", one, cutover.Plan{Steps: []cutover.Dials{{DNS: 100, Canary: 10}}, Poll: time.Second, WriteTries: 3, RetreatTries: 3}, start).Behind(before, start), live: one, now: start}
		for _, e := range events {
			if err := w.tick(e); err != nil {
				t.Fatal(err)
			}
		}
		return w.state
	}
	untouched := behind(migration, stop)
	if untouched.Phase != cutover.RolledBack || untouched.Touched {
		t.Fatalf("%s, touched %v", untouched.Phase, untouched.Touched)
	}
	for name, newest := range map[string]cutover.State{"once": untouched, "twice": behind(untouched, stop)} {
		if got := cutover.RetreatTarget(newest, true, one, true); got != blue {
			t.Errorf("stopped before any change, %s: a rollback goes to %v, want blue", name, got)
		}
	}
	touched := behind(migration, healthy, healthy)
	if got := cutover.RetreatTarget(touched, true, one, true); !touched.Touched || got.LiveVersion != "1" {
		t.Errorf("a shift that turned a dial (%v): a rollback goes to %v, want version 1", touched.Touched, got)
	}
	if got := cutover.RetreatTarget(behind(cutover.State{}, stop), true, one, true); got.LiveVersion != "1" {
		t.Errorf("with nothing before: %v", got)
	}
}

// slowWatch takes its time; what it uses up must not be the lease's.
type slowWatch struct{}

func (slowWatch) Judge(ctx context.Context, _ time.Time, _ health.Sides) health.Assessment {
	return health.Fold(health.Finding{Verdict: health.Healthy})
}

// tableAsked keeps how long each question to the table might take.
type tableAsked struct{ left []time.Duration }

func (j *tableAsked) note(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	j.left = append(j.left, deadline.Sub(clock.Real{}.Now()))
}

func (j *tableAsked) Save(context.Context, cutover.State) error { return nil }

func (j *tableAsked) Beat(ctx context.Context) error { j.note(ctx); return nil }

func (j *tableAsked) ApprovedBy(ctx context.Context, _ string, _ int) (cutover.Approval, error) {
	j.note(ctx)
	return cutover.Approval{}, nil
}

// TestTheTableHasTimeOfItsOwn: a beat, and the look for an approval, do not
// share the time of a CloudWatch that hangs.
func TestTheTableHasTimeOfItsOwn(t *testing.T) {
	t.Parallel()
	aws := &stuck{retreats: 1} // it answers
	state := cutover.Start("test", cutover.Setting{Base: cutover.Forwarder}, plan(), start)
	state.Plan.Gates = []cutover.Gate{{Step: 1, Timeout: time.Hour}}
	state.Plan.Once, state.Phase, state.Touched, state.PhaseAt = true, cutover.Gated, true, start
	state.Want = state.Last
	asked := &tableAsked{}
	k := clock.NewManual(start.Add(time.Second))
	end := cutover.Run(t.Context(), cutover.Ports{Traffic: aws, Watch: slowWatch{}, Journal: asked, Gates: asked, Clock: k}, state)
	if end.Phase != cutover.Held || len(asked.left) != 2 {
		t.Fatalf("%s (%s) after %d questions to the table, want a beat and an approval", end.Phase, end.Reason, len(asked.left))
	}
	for _, left := range asked.left {
		if left > 10*time.Second || left < 9*time.Second {
			t.Errorf("a question to the table has %v, want some 10 s of its own", left)
		}
	}
}
