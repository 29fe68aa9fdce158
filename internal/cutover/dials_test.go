package cutover_test

import (
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// TestTheDialsStandOnceTheyAreReadBackAndInSync, and not from the step's begin:
// what evidence is about begins there.
func TestTheDialsStandOnceTheyAreReadBackAndInSync(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Plan.Promote = true
	stood := map[cutover.Phase]bool{}
	for range 60 {
		before := w.state
		if err := w.tick(healthy); err != nil {
			t.Fatal(err)
		}
		after, now := w.state, w.now.Add(-time.Second)
		stood[after.Phase] = true
		switch turned := after.Phase != before.Phase; {
		case after.Phase == cutover.Turning || after.Phase == cutover.Syncing:
			if !after.DialsAt.IsZero() {
				t.Errorf("%s, step %d: the dials stand since %v while they are turned", after.Phase, after.Step, after.DialsAt)
			}
		case turned && (after.Phase == cutover.Settling || after.Phase == cutover.Confirming):
			if !after.DialsAt.Equal(now) || !after.DialsAt.After(after.StepAt) && after.Phase == cutover.Settling {
				t.Errorf("%s, step %d: the dials stand since %v, want %v", after.Phase, after.Step, after.DialsAt, now)
			}
		case !after.DialsAt.Equal(before.DialsAt):
			t.Errorf("%s: the dials stand since %v, and before since %v", after.Phase, after.DialsAt, before.DialsAt)
		}
	}
	for _, phase := range []cutover.Phase{cutover.Turning, cutover.Syncing, cutover.Settling, cutover.Baking, cutover.Confirming, cutover.Completed} {
		if !stood[phase] {
			t.Errorf("the shift was never %s", phase)
		}
	}
}

// TestResumedDialsStandUntilTheyAreTurned: what was known of since when is kept.
func TestResumedDialsStandWhereTheyAreNotTurnedAnew(t *testing.T) {
	t.Parallel()
	later := start.Add(time.Hour)
	for _, tt := range []struct {
		phase     cutover.Phase
		stand, at time.Time
	}{
		{cutover.Settling, start, start}, {cutover.Baking, start, start}, {cutover.Confirming, start, later},
		{cutover.Turning, time.Time{}, later}, {cutover.Syncing, time.Time{}, later},
		{cutover.Gated, start, start}, {cutover.Gated, time.Time{}, later},
	} {
		s := cutover.Start("test", found, plan(), start)
		s.Phase, s.DialsAt = tt.phase, tt.stand
		if got := cutover.Resume(s, later).DialsAt; !got.Equal(tt.at) {
			t.Errorf("%s: the dials stand since %v, want %v", tt.phase, got, tt.at)
		}
	}
}

// TestAVerdictThatCannotBeThereYetIsNoTrouble: it passes no step, its time
// counts, and no budget is spent on it; any other Unknown beside it is held for.
func TestAVerdictThatCannotBeThereYetIsNoTrouble(t *testing.T) {
	t.Parallel()
	due := start.Add(40 * time.Second)
	early := health.Finding{Verdict: health.Unknown, Source: "alarm a (r)", Until: due}
	for _, tt := range []struct {
		name     string
		after    time.Duration
		findings []health.Finding
		phase    cutover.Phase
		trouble  bool
	}{
		{"too early, the bake is not over", time.Second, []health.Finding{early}, cutover.Baking, false},
		{"too early, the bake is long over", 39 * time.Second, []health.Finding{early}, cutover.Baking, false},
		{"too early, and trouble", 39 * time.Second, []health.Finding{early, {Verdict: health.Unknown, Source: "data"}}, cutover.Baking, true},
		{"in time, and still unknown", 40 * time.Second, []health.Finding{early}, cutover.Baking, true},
		{"in time", 40 * time.Second, []health.Finding{{Verdict: health.Healthy, Source: "alarm a (r)"}}, cutover.Turning, false},
		{"too early, and red", time.Second, []health.Finding{early, {Verdict: health.Unhealthy, Source: "requests"}}, cutover.Retreating, false},
	} {
		s := cutover.Start("test", found, plan(), start)
		s.Phase, s.Touched, s.WatchedAt = cutover.Baking, true, start.Add(tt.after-time.Second)
		s.Last = s.Want
		o := cutover.Observation{Now: start.Add(tt.after), Live: s.Last, LiveKnown: true, Health: health.Fold(tt.findings...)}
		next, actions := cutover.Next(s, o)
		if err := cutover.Check(s, o, next, actions); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if next.Phase != tt.phase || next.UnknownSince.IsZero() == tt.trouble {
			t.Errorf("%s: %s, no verdict since %v; want %s, trouble %v", tt.name, next.Phase, next.UnknownSince, tt.phase, tt.trouble)
		}
		if next.Phase == cutover.Baking && !tt.trouble && !next.PhaseAt.Equal(s.PhaseAt) {
			t.Errorf("%s: the bake begins anew at %v", tt.name, next.PhaseAt)
		}
	}
}

// TestAStepLastsUntilTheSlowestSignalCanSpeak, in the sums that a job's time is
// held against; where the requests carry the next step it does not.
func TestAStepLastsUntilTheSlowestSignalCanSpeak(t *testing.T) {
	t.Parallel()
	p := cutover.Plan{
		Steps:  []cutover.Dials{{DNS: 100}, {DNS: 100, Canary: 1}, {DNS: 100, Canary: 100}},
		Settle: 10 * time.Second, Bake: 20 * time.Second, Promote: true, SyncTimeout: time.Minute, HoldTimeout: time.Minute,
	}
	length := func(speaks time.Duration, paced bool) time.Duration {
		p.Speaks, p.Paced = speaks, paced
		return p.Length(0)
	}
	if got, want := length(0, false), 110*time.Second; got != want {
		t.Errorf("no lag: %v, want %v", got, want)
	}
	if got, want := length(25*time.Second, false), 115*time.Second; got != want {
		t.Errorf("a lag that only the confirmation is too short for: %v, want %v", got, want)
	}
	if got, want := length(3*time.Minute, false), 12*time.Minute; got != want {
		t.Errorf("a lag of three minutes: %v, want %v", got, want)
	}
	if got, want := length(3*time.Minute, true), 9*time.Minute+30*time.Second; got != want {
		t.Errorf("the requests carry the last step: %v, want %v", got, want)
	}
	p.Paced = false
	for step := range 4 {
		if got := p.Needs(step); got < 3*time.Minute+p.HoldTimeout {
			t.Errorf("step %d needs %v", step, got)
		}
	}
}

// TestAResumeThatWaitsForEvidenceIsInNoTrouble while that cannot be there yet;
// its write is what the dials no longer stand for.
func TestAResumeThatWaitsForEvidenceIsInNoTrouble(t *testing.T) {
	t.Parallel()
	s := cutover.Start("test", found, plan(), start)
	s.Step, s.Touched, s.Phase = 1, true, cutover.Syncing
	s.Last.Dials = s.Plan.Steps[0]
	later := start.Add(time.Hour)
	s = cutover.Resume(s, later)
	early := health.Finding{Verdict: health.Unknown, Source: "alarm a (r)", Until: later.Add(3 * time.Minute)}
	for _, tt := range []struct {
		after   time.Duration
		health  health.Finding
		trouble bool
		stand   bool
	}{
		{time.Second, early, false, true},
		{2 * time.Minute, early, false, true},
		{3 * time.Minute, early, true, true},
		{3 * time.Minute, health.Finding{Verdict: health.Healthy}, false, false},
	} {
		o := cutover.Observation{Now: later.Add(tt.after), Live: s.Last, LiveKnown: true, Health: health.Fold(tt.health)}
		next, actions := cutover.Next(s, o)
		if err := cutover.Check(s, o, next, actions); err != nil {
			t.Errorf("after %v: %v", tt.after, err)
		}
		if next.Phase != cutover.Turning || next.UnknownSince.IsZero() == tt.trouble || next.DialsAt.IsZero() == tt.stand {
			t.Errorf("after %v, %v: %s, no verdict since %v, the dials stand since %v", tt.after, tt.health.Verdict, next.Phase, next.UnknownSince, next.DialsAt)
		}
	}
}
