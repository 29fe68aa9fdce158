package health_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/health"
)

var stepAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAlarms(t *testing.T) {
	t.Parallel()
	ref := health.AlarmRef{Name: "a", Region: "r"}
	sparse := health.AlarmRef{Name: "a", Region: "r", Sparse: true}
	state := func(change func(*health.AlarmState)) []health.AlarmState {
		s := health.AlarmState{Name: "a", Region: "r", State: "OK", Since: stepAt.Add(-time.Hour)}
		change(&s)
		return []health.AlarmState{s}
	}
	tests := []struct {
		name   string
		ref    health.AlarmRef
		got    []health.AlarmState
		ignore []string
		want   health.Verdict
	}{
		{"ok", ref, state(func(*health.AlarmState) {}), nil, health.Healthy},
		{"in alarm", ref, state(func(s *health.AlarmState) { s.State = "ALARM" }), nil, health.Unhealthy},
		{"in alarm since long ago", ref, state(func(s *health.AlarmState) { s.State = "ALARM"; s.Since = stepAt.Add(-time.Hour) }), nil, health.Unhealthy},
		{"was in alarm between two looks", ref, state(func(s *health.AlarmState) { s.AlarmedAt = stepAt.Add(time.Second) }), nil, health.Unhealthy},
		{"was in alarm before the step", ref, state(func(s *health.AlarmState) { s.AlarmedAt = stepAt.Add(-time.Second) }), nil, health.Healthy},
		{"no data", ref, state(func(s *health.AlarmState) { s.State = "INSUFFICIENT_DATA" }), nil, health.Unknown},
		{"no data, sparse", sparse, state(func(s *health.AlarmState) { s.State = "INSUFFICIENT_DATA" }), nil, health.Healthy},
		{"not evaluated", ref, state(func(s *health.AlarmState) { s.EvaluationState = "PARTIAL_DATA" }), nil, health.Unknown},
		{"missing", ref, nil, nil, health.Unhealthy},
		{"other region", ref, state(func(s *health.AlarmState) { s.Region = "q" }), nil, health.Unhealthy},
		{"unheard-of state", ref, state(func(s *health.AlarmState) { s.State = "PURPLE" }), nil, health.Unknown},
		{"red but ignored", ref, state(func(s *health.AlarmState) { s.State = "ALARM" }), []string{"a@r"}, health.Healthy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := health.Fold(health.Alarms([]health.AlarmRef{tt.ref}, tt.got, stepAt, tt.ignore)...)
			if got.Verdict != tt.want {
				t.Errorf("%v (%s), want %v", got.Verdict, got.Reason(), tt.want)
			}
			if got.Reason() == "" {
				t.Error("a verdict without a reason")
			}
		})
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	both := health.Sides{Base: true, Canary: true}
	tests := []struct {
		name  string
		count health.ProbeCount
		sides health.Sides
		want  health.Verdict
	}{
		{"both answered", health.ProbeCount{Sent: 10, Canary: 1, Base: 9}, both, health.Healthy},
		{"canary silent", health.ProbeCount{Sent: 10, Base: 10}, both, health.Unknown},
		{"base silent", health.ProbeCount{Sent: 10, Canary: 10}, both, health.Unknown},
		{"canary need not serve", health.ProbeCount{Sent: 10, Base: 10}, health.Sides{Base: true}, health.Healthy},
		{"few failures", health.ProbeCount{Sent: 10, Failed: 2, Canary: 4, Base: 4}, both, health.Healthy},
		{"too many failures", health.ProbeCount{Sent: 10, Failed: 3, Canary: 4, Base: 3}, both, health.Unhealthy},
		{"failures outweigh silence", health.ProbeCount{Sent: 10, Failed: 10}, both, health.Unhealthy},
		{"nothing sent", health.ProbeCount{}, both, health.Unknown},
	}
	for _, tt := range tests {
		if got := health.Probes(tt.count, tt.sides, 2); got.Verdict != tt.want {
			t.Errorf("%s: %v (%s), want %v", tt.name, got.Verdict, got.Detail, tt.want)
		}
	}
}

func TestFoldTakesTheWorst(t *testing.T) {
	t.Parallel()
	if got := health.Fold(); got.Verdict != health.Unknown {
		t.Errorf("nothing measured is %v, want unknown", got.Verdict)
	}
	rapid.Check(t, func(t *rapid.T) {
		verdicts := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 8).Draw(t, "verdicts")
		var findings []health.Finding
		worst := 0
		for _, v := range verdicts {
			worst = max(worst, v)
			findings = append(findings, health.Finding{Verdict: health.Verdict(v), Source: "s", Detail: "d"})
		}
		if got := health.Fold(findings...).Verdict; int(got) != worst {
			t.Fatalf("%v of %v", got, verdicts)
		}
	})
}

type scripted struct {
	err    error
	probes health.ProbeCount
}

func (s *scripted) ReadAlarms(context.Context, []health.AlarmRef, time.Time) ([]health.AlarmState, error) {
	return []health.AlarmState{{Name: "a", Region: "r", State: "OK"}}, s.err
}

func (s *scripted) Probe(context.Context, int) health.ProbeCount { return s.probes }

func TestWatcherForgetsTheLastStep(t *testing.T) {
	t.Parallel()
	world := &scripted{probes: health.ProbeCount{Sent: 5, Failed: 1, Canary: 2, Base: 2}}
	w := &health.Watcher{Reader: world, Refs: []health.AlarmRef{{Name: "a", Region: "r"}}, Prober: world, Requests: 5, MaxFailures: 2}
	sides := health.Sides{Base: true, Canary: true}
	judge := func(at time.Time) health.Verdict { return w.Judge(context.Background(), at, sides).Verdict }
	if got := [3]health.Verdict{judge(stepAt), judge(stepAt), judge(stepAt)}; got != [3]health.Verdict{health.Healthy, health.Healthy, health.Unhealthy} {
		t.Errorf("three looks with a failure each: %v, want the third unhealthy", got)
	}
	if got := judge(stepAt.Add(time.Minute)); got != health.Healthy {
		t.Errorf("first look of the next step: %v, want healthy", got)
	}
	world.err = errors.New("throttled")
	if got := judge(stepAt.Add(time.Minute)); got != health.Unknown {
		t.Errorf("CloudWatch out of reach: %v, want unknown", got)
	}
}
