package cutover_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// until plays a healthy world until the shift is in the phase or over.
func (w *world) until(t *testing.T, phase cutover.Phase) {
	t.Helper()
	for tick := 0; w.state.Phase != phase; tick++ {
		if tick > 200 || w.done {
			t.Fatalf("in %s (%s) after %d ticks, want %s", w.state.Phase, w.state.Reason, tick, phase)
		}
		if err := w.tick(healthy); err != nil {
			t.Fatal(err)
		}
	}
}

// everybody plays until all users are on the candidate, not yet promoted.
func (w *world) everybody(t *testing.T) {
	t.Helper()
	for w.state.Step < 2 || w.state.Phase != cutover.Baking {
		if err := w.tick(healthy); err != nil || w.done {
			t.Fatalf("%s: %v", w.state.Phase, err)
		}
	}
}

func TestFreezeStaysWhereItIs(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"X", "HHHHHUUUUUUUUUUUUU", "HHHRRRRRRRRRRR", "EEEEEEEEEEEE"} {
		w := newWorld()
		w.state.Plan.Freeze = true
		var err error
		for i := 0; i < len(script) && !w.done && err == nil; i++ {
			err = w.tick(event(script[i]))
		}
		if err != nil || w.state.Phase != cutover.Held || !strings.HasPrefix(w.state.Reason, "frozen") {
			t.Errorf("script %q: %s: %s (%v)", script, w.state.Phase, w.state.Reason, err)
		}
	}
	w := newWorld()
	w.state.Plan.Freeze = true
	w.until(t, cutover.Baking)
	if err := w.run("S"); err != nil || w.state.Phase != cutover.RolledBack {
		t.Errorf("a signal, whose policy is its own: %s (%v)", w.state.Phase, err)
	}
}

func TestHoldUnknownHolds(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.HoldUnknown = true
	w.until(t, cutover.Baking)
	for i := 0; !w.done; i++ {
		if i > 50 {
			t.Fatal("held for ever")
		}
		if err := w.tick(unknown); err != nil {
			t.Fatal(err)
		}
	}
	if w.state.Phase != cutover.Held || w.live.DNS != 30 || !strings.Contains(w.state.Reason, "no verdict for 4s") {
		t.Errorf("%s at %v: %s", w.state.Phase, w.live, w.state.Reason)
	}
}

// TestShapedRetreat takes the canary down by portions, each with its pause,
// and everything else with the last.
func TestShapedRetreat(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.Shape = cutover.Shape{Step: 40, Pause: 30 * time.Second}
	w.everybody(t)
	var seen []cutover.Percent
	var at []time.Time
	for tick := 0; !w.done && tick < 300; tick++ {
		before := w.live.Canary
		e := healthy
		if tick == 0 {
			e = unhealthy
		}
		if err := w.tick(e); err != nil {
			t.Fatal(err)
		}
		if w.live.Canary != before {
			seen, at = append(seen, w.live.Canary), append(at, w.now)
		}
	}
	if diff := cmp.Diff([]cutover.Percent{60, 20, 0}, seen); diff != "" || w.state.Phase != cutover.RolledBack {
		t.Fatalf("%s (%s): %s", w.state.Phase, w.state.Reason, diff)
	}
	for i := 1; i < len(at); i++ {
		if pause := at[i].Sub(at[i-1]); pause < 30*time.Second || pause > 33*time.Second {
			t.Errorf("portion %d came %v after the one before, want 30 s", i+1, pause)
		}
	}
}

// TestAShapedRetreatJumps where a portion cannot be had: on a signal, without
// the journal, without a reading, when the stage does not follow, and after a
// portion that failed and may land behind the next one. One that is seen is none.
func TestAShapedRetreatJumps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script string
		pause  time.Duration
		within int
		canary cutover.Percent
	}{
		{"S", time.Hour, 2, 0},
		{"XJ", time.Hour, 3, 0},
		{"XR", time.Hour, 3, 0},
		{"XEEEEEE", time.Second, 11, 0},
		{"XE", time.Second, 4, 0},
		{"XL", time.Second, 4, 60},
	} {
		w := newWorld()
		w.state.Plan.Shape = cutover.Shape{Step: 10, Pause: tt.pause}
		w.everybody(t)
		for i := range tt.within {
			e := healthy
			if i < len(tt.script) {
				e = event(tt.script[i])
			}
			if err := w.tick(e); err != nil {
				t.Fatal(err)
			}
		}
		if w.live.Canary != tt.canary {
			t.Errorf("script %q: canary at %v after %d ticks, want %v", tt.script, w.live.Canary, tt.within, tt.canary)
		}
	}
}

func TestAbandonedShifts(t *testing.T) {
	t.Parallel()
	dead := newWorld().state
	dead.Phase, dead.Step, dead.Touched = cutover.Baking, 1, true
	held := dead
	held.Phase, held.HeldIn = cutover.Held, cutover.Turning
	over := dead
	over.Phase = cutover.Completed
	tests := []struct {
		name   string
		newest cutover.State
		ask    cutover.Intent
		want   cutover.Phase // "": refused or nothing open
	}{
		{"refuse", dead, cutover.Intent{Abandoned: cutover.RefuseAbandoned}, ""},
		{"no policy", dead, cutover.Intent{}, ""},
		{"finish", dead, cutover.Intent{Abandoned: cutover.FinishAbandoned}, cutover.Turning},
		{"revert", dead, cutover.Intent{Abandoned: cutover.RevertAbandoned}, cutover.Retreating},
		{"revert by a tick", dead, cutover.Intent{Abandoned: cutover.RevertAbandoned, Once: true}, cutover.Retreating},
		{"asked to resume", dead, cutover.Intent{Abandoned: cutover.RevertAbandoned, Resume: true}, cutover.Turning},
		{"held is not abandoned", held, cutover.Intent{Abandoned: cutover.RevertAbandoned}, ""},
		{"over", over, cutover.Intent{Abandoned: cutover.RevertAbandoned}, ""},
	}
	for _, tt := range tests {
		got, resumed, err := cutover.Admit(tt.newest, true, tt.ask, start)
		if resumed != (tt.want != "") || resumed && got.Phase != tt.want {
			t.Errorf("%s: resumed %v in %s (%v), want %q", tt.name, resumed, got.Phase, err, tt.want)
		}
	}
	w := newWorld()
	w.until(t, cutover.Settling)
	w.state, _, _ = cutover.Admit(w.state, true, cutover.Intent{Abandoned: cutover.RevertAbandoned}, w.now)
	if err := w.run(""); err != nil || w.state.Phase != cutover.RolledBack || !strings.Contains(w.state.Reason, "runner died") {
		t.Errorf("reverted: %s: %s (%v)", w.state.Phase, w.state.Reason, err)
	}
}

func TestEachStepHasItsOwnTimes(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Steps = []cutover.Dials{{DNS: 50}, {DNS: 50, Canary: 10}, {DNS: 100, Canary: 10}}
	p.Settle, p.CanarySettle, p.Bake, p.Bakes = time.Minute, time.Second, time.Hour, []time.Duration{0, 5 * time.Second}
	p.Promote = false
	if got, want := p.Length(0), (time.Minute+time.Hour)+(time.Second+5*time.Second)+(time.Minute+time.Hour); got != want {
		t.Errorf("length %v, want %v", got, want)
	}
	if short, long := p.Needs(1), p.Needs(2); long-short != time.Minute-time.Second+time.Hour-5*time.Second {
		t.Errorf("needs %v and %v", short, long)
	}
	s := cutover.Start("times", found, p, start)
	s.Step, s.Phase, s.Last = 1, cutover.Settling, cutover.Setting{Dials: p.Steps[1], Base: cutover.Forwarder}
	s.Want = s.Last
	o := cutover.Observation{Now: start.Add(time.Second), Live: s.Last, LiveKnown: true, Health: health.Fold(health.Finding{Verdict: health.Healthy})}
	s, _ = cutover.Next(s, o)
	if s.Phase != cutover.Baking {
		t.Fatalf("a step that turns the canary alone still settles: %s", s.Phase)
	}
	o.Now = o.Now.Add(5 * time.Second)
	if s, _ = cutover.Next(s, o); s.Step != 2 {
		t.Errorf("baked for its own 5 s: %s of step %d", s.Phase, s.Step+1)
	}
}

// TestWhetherBlueCanTakeThemDelaysNothing: the question hangs until the
// retreat is over.
func TestWhetherBlueCanTakeThemDelaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.until(t, cutover.Baking)
	aws := &obedient{live: w.live, back: make(chan struct{})}
	w.state.Plan.Poll, w.state.Plan.Linger = time.Millisecond, 200*time.Millisecond
	var heard []string
	end := cutover.Run(context.Background(), cutover.Ports{
		Traffic: aws, Watch: red{}, Clock: clock.Real{}, Heartbeat: time.Hour,
		Back: func(context.Context) string {
			<-aws.back // the target has been read back by now
			return "blue answers"
		},
		Emit: func(e cutover.Event) {
			if e.Text == "blue answers" {
				heard = append(heard, e.Text)
			}
		},
	}, w.state)
	if end.Phase != cutover.RolledBack {
		t.Errorf("ended %s: %s", end.Phase, end.Reason)
	}
	if len(heard) != 1 {
		t.Errorf("the answer was there before the end, and was told %d times", len(heard))
	}
}

// TestAShapedRetreatAsksWhetherBlueCanTakeThemFirst, before the first of them.
func TestAShapedRetreatAsksWhetherBlueCanTakeThemFirst(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Shape = cutover.Shape{Step: 40, Pause: time.Second}
	everybody := cutover.Setting{Dials: cutover.Dials{DNS: 100, Canary: 100}, Base: cutover.Forwarder}
	state := cutover.StartRetreat("test", cutover.TargetOf(found), p, start)
	state.Want, state.Last = everybody, everybody
	aws := &portioned{following: following{standing: standing{everybody}}, asked: make(chan struct{})}
	end := cutover.Run(t.Context(), cutover.Ports{
		Traffic: aws, Journal: &refusing{}, Clock: &hasty{start}, Heartbeat: time.Hour,
		Back: func(context.Context) string { close(aws.asked); return "blue answers" },
	}, state)
	if end.Phase != cutover.RolledBack || aws.portions == 0 || aws.unasked {
		t.Errorf("%s after %d portions; not asked before the first: %v", end.Phase, aws.portions, aws.unasked)
	}
}

// portioned is an AWS that sees whether blue was asked before its first portion.
type portioned struct {
	following
	asked    chan struct{}
	unasked  bool
	portions int
}

func (p *portioned) SetCanary(ctx context.Context, from, to cutover.Percent) error {
	p.portions++
	select {
	case <-p.asked:
	case <-time.After(5 * time.Second): // the machine's own: only where it fails
		p.unasked = true
	}
	return p.following.SetCanary(ctx, from, to)
}

// obedient goes where it is told, at once.
type obedient struct {
	stuck
	live cutover.Setting
	back chan struct{} // closed once a retreat has been read back
}

func (o *obedient) Read(context.Context) (cutover.Setting, error) {
	if o.retreats == 1 && o.live.Exposure() == 0 {
		o.retreats++
		close(o.back)
	}
	return o.live, nil
}

func (o *obedient) Retreat(_ context.Context, to cutover.Setting) (string, error) {
	o.retreats++
	o.live.Dials, o.live.Base = to.Dials, to.Base
	return "", nil
}

// red finds green ill.
type red struct{}

func (red) Judge(context.Context, time.Time, health.Sides) health.Assessment {
	return health.Fold(health.Finding{Verdict: health.Unhealthy, Source: "test", Detail: "red"})
}

// TestALateApprovalOpensNothing: a gate whose time is over goes back, also
// where a run comes only then, and an approval in time opens it whenever the
// run comes.
func TestALateApprovalOpensNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		after time.Duration // since the gate was shut
		want  cutover.Phase
	}{
		"in time":        {59 * time.Minute, cutover.Completed},
		"too late":       {time.Hour, cutover.RolledBack},
		"two days late":  {48 * time.Hour, cutover.RolledBack},
		"before it shut": {-time.Hour, cutover.Completed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := gatedWorld(1)
			w.state.Plan.Once = true
			for !w.done {
				if err := w.tick(healthy); err != nil {
					t.Fatal(err)
				}
			}
			shut := w.state.PhaseAt
			if _, over := w.state.GateOver(shut.Add(time.Hour - 1)); over {
				t.Error("over a moment too early")
			}
			if at, over := w.state.GateOver(shut.Add(time.Hour)); !over || !at.Equal(shut.Add(time.Hour)) {
				t.Errorf("not over in time (%v)", at)
			}
			w.now = shut.Add(48*time.Hour + time.Minute)
			w.state, w.done = cutover.Resume(w.state, w.now), false
			w.state.Plan.Once = false
			w.approvedBy, w.approvedAt = "ann", shut.Add(tt.after)
			if err := w.run(""); err != nil || w.state.Phase != tt.want {
				t.Errorf("%s: %s (%v)", w.state.Phase, w.state.Reason, err)
			}
		})
	}
}

// TestNoRunOutlivesItsEnd: whatever it waits for, it leaves while there is time
// for the way back, or holds where that is what a signal does.
func TestNoRunOutlivesItsEnd(t *testing.T) {
	t.Parallel()
	const back = 2*time.Minute + 75*time.Second // and Linger
	for _, phase := range []cutover.Phase{cutover.Turning, cutover.Syncing, cutover.Settling, cutover.Baking, cutover.Promoting, cutover.Confirming} {
		for name, tt := range map[string]struct {
			policy func(*cutover.Plan)
			left   time.Duration
			want   cutover.Phase
		}{
			"time enough": {func(*cutover.Plan) {}, back, phase},
			"goes back":   {func(*cutover.Plan) {}, back - 1, cutover.Retreating},
			"holds":       {func(p *cutover.Plan) { p.HoldOnSignal = true }, back - 1, cutover.Held},
			"frozen":      {func(p *cutover.Plan) { p.Freeze = true }, back - 1, cutover.Held},
		} {
			l := lookIn(phase)
			tt.policy(&l.s.Plan)
			l.o.Until = l.o.Now.Add(tt.left)
			for _, verdict := range []health.Verdict{health.Healthy, health.Unknown} {
				l.verdict(verdict)
				next, actions := cutover.Next(l.s, l.o)
				if next.Phase != tt.want || next.Phase == cutover.Held && next.HeldIn != phase {
					t.Errorf("%s, %s, %v: %s in %q: %s", phase, name, verdict, next.Phase, next.HeldIn, next.Reason)
				}
				if err := cutover.Check(l.s, l.o, next, actions); err != nil {
					t.Error(err)
				}
			}
		}
	}
	p := plan()
	if got, want := p.Needs(0), p.SyncTimeout+p.Settle+p.Bake+p.HoldTimeout+p.Linger+2*time.Minute; got != want {
		t.Errorf("a step needs %v, want %v: a verdict may be waited for", got, want)
	}
}

// TestAnEndHasItsTime: a phase begins long before it ends, and a shift that is
// resumed has not ended.
func TestAnEndHasItsTime(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"", "HHHHHHX"} {
		w := newWorld()
		w.state.Plan.Linger = time.Minute
		if err := w.run(script); err != nil {
			t.Fatal(err)
		}
		if s := w.state; !s.At().Equal(w.now.Add(-time.Second)) || !s.PhaseAt.Before(s.Ended) {
			t.Errorf("%s at %v: ended %v, phase since %v", s.Phase, w.now, s.Ended, s.PhaseAt)
		}
	}
	w := newWorld()
	w.state.Plan.Once = true
	for !w.done {
		if err := w.tick(healthy); err != nil {
			t.Fatal(err)
		}
	}
	if w.state.Ended.IsZero() || !cutover.Resume(w.state, w.now).Ended.IsZero() {
		t.Errorf("held at %v, resumed with an end", w.state.Ended)
	}
}

// TestAResumeRisesOnlyOnceGreenIsSeenWell: a shift may have lain for hours, and
// what was known of green has passed with them.
func TestAResumeRisesOnlyOnceGreenIsSeenWell(t *testing.T) {
	t.Parallel()
	for _, hold := range []bool{false, true} {
		w := newWorld()
		w.state.Plan.Once, w.state.Plan.HoldUnknown = true, hold
		for !w.done {
			if err := w.tick(healthy); err != nil {
				t.Fatal(err)
			}
		}
		stood := w.live
		w.now = w.now.Add(9 * time.Hour)
		w.state, w.done = cutover.Resume(w.state, w.now), false
		saved := w.state
		for range 3 {
			if err := w.tick(unknown); err != nil || w.live != stood || w.state.Phase != cutover.Turning {
				t.Fatalf("%s at %v (%v), want it to wait at %v", w.state.Phase, w.live, err, stood)
			}
		}
		if err := w.tick(healthy); err != nil || w.live.Exposure() <= stood.Exposure() {
			t.Errorf("seen well: %s at %v, %v", w.state.Phase, w.live, err)
		}
		// A green of which nothing is known is not waited for for ever.
		w.state, w.live, w.now, w.done = saved, stood, saved.StepAt, false
		for i := 0; !w.done && i < 50; i++ {
			if err := w.tick(unknown); err != nil {
				t.Fatal(err)
			}
		}
		if want := map[bool]cutover.Phase{false: cutover.RolledBack, true: cutover.Held}[hold]; w.state.Phase != want {
			t.Errorf("never seen: %s (%s), want %s", w.state.Phase, w.state.Reason, want)
		}
	}
}
