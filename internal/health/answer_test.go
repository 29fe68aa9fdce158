package health_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

// refuse adds n requests of a side, of which the first refused have status 403.
func (f *fed) refuse(at time.Time, canary bool, n, refused int) {
	f.put(at, canary, n, 0)
	for i := range refused {
		f.batch.Requests[len(f.batch.Requests)-1-i].Status = 403
	}
}

// TestAnswer: what the requests say to an alarm that counted failures.
func TestAnswer(t *testing.T) {
	t.Parallel()
	both := health.Sides{DialsAt: stepAt, Base: true, Canary: true}
	promoted := health.Sides{DialsAt: stepAt, Base: true, Promoted: true}
	taken := stepAt.Add(lag)
	for _, tt := range []struct {
		name  string
		kind  health.Counted
		sides health.Sides
		after time.Duration // of a further look, since the first
		put   func(*fed)
		want  health.Verdict
		why   string // part of it
	}{
		{"a few, as blue has them", health.CountedErrors, both, 0, func(f *fed) { f.put(taken, true, 1000, 1); f.put(taken, false, 9000, 9) }, health.Healthy, "canary failed 1 of 1000 requests, base 9 of 9000"},
		{"a single one of a few", health.CountedErrors, both, 0, func(f *fed) { f.put(taken, true, 30, 1); f.put(taken, false, 270, 0) }, health.Healthy, ""},
		{"more than blue, and no proof yet", health.CountedErrors, both, 0, func(f *fed) { f.put(taken, true, 30, 2); f.put(taken, false, 600, 0) }, health.Unknown, "in doubt"},
		{"far more than blue", health.CountedErrors, both, 0, func(f *fed) { f.put(taken, true, 30, 20); f.put(taken, false, 270, 0) }, health.Unhealthy, "more than is tolerated"},
		{"the way to blue fails", health.CountedErrors, both, 0, func(f *fed) { f.put(taken, true, 30, 0); f.put(taken, false, 270, 60) }, health.Unhealthy, "more than is tolerated"},
		{"the way to blue fails, without a canary", health.CountedErrors, health.Sides{DialsAt: stepAt, Base: true}, 0, func(f *fed) { f.put(taken, false, 270, 60) }, health.Unhealthy, "more than is tolerated"},
		{"nobody came since the dials turned", health.CountedErrors, both, silent - lag, func(*fed) {}, health.Healthy, ""},
		{"nobody came for too long", health.CountedErrors, both, silent - lag + time.Second, func(*fed) {}, health.Unhealthy, "none was counted for 1m1s"},
		{"some are missing, for too long", health.CountedErrors, both, silent - lag + time.Second, func(f *fed) { f.put(taken, true, 30, 0); f.batch.Partial = "a sample" }, health.Unhealthy, "none was counted"},
		{"promoted, within the rate", health.CountedErrors, promoted, 0, func(f *fed) { f.put(taken, false, 1000, 5) }, health.Healthy, ""},
		{"promoted, beyond the rate", health.CountedErrors, promoted, 0, func(f *fed) { f.put(taken, false, 1000, 90) }, health.Unhealthy, ""},
		{"refused as often as at blue", health.CountedRefused, both, 0, func(f *fed) { f.refuse(taken, true, 1000, 30); f.refuse(taken, false, 9000, 270) }, health.Healthy, "canary refused 30 of 1000 requests, base 270 of 9000"},
		{"everybody is refused", health.CountedRefused, both, 0, func(f *fed) { f.refuse(taken, true, 100, 100); f.refuse(taken, false, 900, 27) }, health.Unhealthy, ""},
		{"refused, with nothing to compare", health.CountedRefused, promoted, 0, func(f *fed) { f.refuse(taken, false, 1000, 30) }, health.Unknown, ""},
		{"not a kind", "slow", both, 0, func(f *fed) { f.put(taken, true, 1000, 0); f.put(taken, false, 9000, 0) }, health.Unhealthy, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, e := newFed()
			tt.put(f)
			f.now = taken
			e.Look(context.Background(), stepAt, tt.sides)
			f.now = taken.Add(tt.after)
			if tt.after > 0 {
				e.Look(context.Background(), stepAt, tt.sides)
			}
			if got, why := e.Answer(tt.kind); got != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("%v (%s), want %v with %q", got, why, tt.want, tt.why)
			}
		})
	}
}

// TestAProofStandsForAMinute, and no longer once what it was about is over.
func TestAProofStandsForAMinute(t *testing.T) {
	t.Parallel()
	f, e := newFed()
	second := func(failed int) (health.Verdict, string) {
		f.now = f.now.Add(time.Second)
		f.put(f.now, true, 10, failed)
		f.put(f.now, false, 90, 9*failed)
		e.Look(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true, Canary: true})
		return e.Answer(health.CountedErrors)
	}
	f.now = stepAt.Add(lag)
	for i := range 30 {
		if got, why := second(5); got != health.Unhealthy {
			t.Fatalf("second %d of an incident of both sides: %v (%s)", i, got, why)
		}
	}
	for i := range 120 {
		got, why := second(0)
		if want := map[bool]health.Verdict{true: health.Unhealthy, false: health.Healthy}[i < int(silent.Seconds())-1]; got != want {
			t.Fatalf("second %d after it: %v (%s), want %v", i+1, got, why, want)
		}
	}
}

// answering answers every alarm alike.
type answering struct {
	verdict health.Verdict
	asked   []health.Counted
}

func (a *answering) Answer(kind health.Counted) (health.Verdict, string) {
	a.asked = append(a.asked, kind)
	return a.verdict, "so the requests say"
}

// TestOnlyRedAlarmsThatCountAreAnswered: a rate, a missing alarm and one that
// is well are not; what is answered outweighs the alarm, its transition and
// blue's.
func TestOnlyRedAlarmsThatCountAreAnswered(t *testing.T) {
	t.Parallel()
	red := health.AlarmState{Name: "a", Region: "r", State: "ALARM"}
	transit := health.AlarmState{Name: "a", Region: "r", State: "OK", AlarmedAt: stepAt.Add(time.Second)}
	well := health.AlarmState{Name: "a", Region: "r", State: "OK"}
	for _, tt := range []struct {
		name   string
		counts health.Counted
		states []health.AlarmState
		blue   bool
		answer health.Verdict
		want   health.Verdict
		shared bool
		asked  int
	}{
		{"red, tolerable", health.CountedErrors, []health.AlarmState{red}, false, health.Healthy, health.Healthy, false, 1},
		{"red, in doubt", health.CountedErrors, []health.AlarmState{red}, false, health.Unknown, health.Unknown, false, 1},
		{"red, and rightly", health.CountedErrors, []health.AlarmState{red}, false, health.Unhealthy, health.Unhealthy, false, 1},
		{"was red in this step, tolerable", health.CountedRefused, []health.AlarmState{transit}, false, health.Healthy, health.Healthy, false, 1},
		{"red at blue as well, tolerable", health.CountedErrors, []health.AlarmState{red}, true, health.Healthy, health.Healthy, false, 1},
		{"red at blue as well, and rightly", health.CountedErrors, []health.AlarmState{red}, true, health.Unhealthy, health.Unknown, true, 1},
		{"well", health.CountedErrors, []health.AlarmState{well}, false, health.Unhealthy, health.Healthy, false, 0},
		{"missing", health.CountedErrors, nil, false, health.Healthy, health.Unhealthy, false, 0},
		{"a rate", "", []health.AlarmState{red}, false, health.Healthy, health.Unhealthy, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			green, blue := readers{}["green"], readers{}["blue"]
			green.states = tt.states
			blue.states = []health.AlarmState{{Name: "a", Region: "blue", State: map[bool]string{true: "ALARM", false: "OK"}[tt.blue]}}
			answers := &answering{verdict: tt.answer}
			w := &health.Watcher{
				Reader: readers{"r": green, "blue": blue}, Refs: []health.AlarmRef{{Name: "a", Region: "r", Counts: tt.counts}},
				Controls: []health.AlarmRef{{Name: "a", Region: "blue"}}, Answers: answers,
			}
			got := w.Judge(context.Background(), stepAt, health.Sides{})
			if got.Verdict != tt.want || got.Findings[0].Shared != tt.shared || len(answers.asked) != tt.asked {
				t.Errorf("%v, shared %v, asked %v (%s); want %v, %v, asked %d times", got.Verdict, got.Findings[0].Shared, answers.asked, got.Reason(), tt.want, tt.shared, tt.asked)
			}
			if tt.asked > 0 && !strings.Contains(got.Reason(), "so the requests say") {
				t.Errorf("the reason does not give the answer: %s", got.Reason())
			}
		})
	}
}
