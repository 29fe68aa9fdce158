package health_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/evidence"
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
		want  health.Verdict // where any failure beyond those allowed is too many
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
		if got := health.Probes(tt.count, tt.sides, 2, evidence.Intolerable); got.Verdict != tt.want {
			t.Errorf("%s: %v (%s), want %v", tt.name, got.Verdict, got.Detail, tt.want)
		}
	}
}

// TestProbesThatFailAreWeighed: of many a healthy service fails some; of few
// the same number is a fault.
func TestProbesThatFailAreWeighed(t *testing.T) {
	t.Parallel()
	both := health.Sides{Base: true, Canary: true}
	for _, tt := range []struct {
		name           string
		looks          int
		sent, failedIn int // per look; one fails in every so many looks
		want           health.Verdict
	}{
		{"one in five hundred, for long", 400, 5, 100, health.Healthy},
		{"one in five", 8, 5, 1, health.Unhealthy},
		{"three in a row", 3, 1, 1, health.Unhealthy},
		{"one in twenty", 100, 5, 4, health.Unhealthy},
		{"one in forty, of few", 24, 5, 8, health.Healthy}, // no more than are allowed
	} {
		policy := evidence.DefaultPolicy(0.01, 1000)
		policy.Probes = true
		world := &scripted{}
		w := &health.Watcher{Reader: world, Prober: world, MaxFailures: 2, Probed: evidence.NewSuspicion(policy, policy.P0)}
		var got health.Assessment
		for look := range tt.looks {
			world.probes = health.ProbeCount{Sent: tt.sent, Canary: 1, Base: tt.sent - 1}
			if look%tt.failedIn == tt.failedIn-1 {
				world.probes.Failed, world.probes.Base = 1, max(0, tt.sent-2)
			}
			if got = w.Judge(context.Background(), stepAt, both); got.Verdict == health.Unhealthy {
				break
			}
		}
		if got.Verdict != tt.want {
			t.Errorf("%s: %v (%s), want %v", tt.name, got.Verdict, got.Reason(), tt.want)
		}
	}
}

// TestRequestsStandForProbes: at a weight that no probe meets, the requests
// that were counted show that the canary answers. Failures are not made up for.
func TestRequestsStandForProbes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		probes   health.ProbeCount
		requests health.Finding
		sides    health.Sides
		want     health.Verdict
	}{
		{"requests were counted", health.ProbeCount{Sent: 5, Base: 5}, health.Finding{Source: "requests"}, health.Sides{Base: true, Canary: true}, health.Healthy},
		{"none were", health.ProbeCount{Sent: 5, Base: 5}, health.Finding{Source: "requests", Verdict: health.Unknown}, health.Sides{Base: true, Canary: true}, health.Unknown},
		{"something else is well", health.ProbeCount{Sent: 5, Base: 5}, health.Finding{Source: "data"}, health.Sides{Base: true, Canary: true}, health.Unknown},
		{"probes failed", health.ProbeCount{Sent: 5, Failed: 5}, health.Finding{Source: "requests"}, health.Sides{Base: true, Canary: true}, health.Unhealthy},
		{"no canary is to serve, and no base answers", health.ProbeCount{Sent: 5}, health.Finding{Source: "requests"}, health.Sides{Base: true}, health.Unknown},
	} {
		world := &scripted{probes: tt.probes}
		w := &health.Watcher{Reader: world, Prober: world, Requests: 5, MaxFailures: 2, Signals: []health.Signal{&counted{finding: tt.requests}}}
		if got := w.Judge(context.Background(), stepAt, tt.sides); got.Verdict != tt.want {
			t.Errorf("%s: %v (%s), want %v", tt.name, got.Verdict, got.Reason(), tt.want)
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
	state  string // "": OK
	asked  int
}

func (s *scripted) ReadAlarms(context.Context, []health.AlarmRef, time.Time) ([]health.AlarmState, error) {
	s.asked++
	return []health.AlarmState{{Name: "a", Region: "r", State: cmp.Or(s.state, "OK")}}, s.err
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

// TestTheWatcherAsksNoOftenerThanItMay, but for another step at once; signals
// are asked each time.
func TestTheWatcherAsksNoOftenerThanItMay(t *testing.T) {
	t.Parallel()
	now := stepAt
	world := &scripted{probes: health.ProbeCount{Sent: 1, Canary: 1, Base: 1}}
	looks := &counted{}
	w := &health.Watcher{
		Reader: world, Refs: []health.AlarmRef{{Name: "a", Region: "r"}}, Prober: world, Requests: 1, Signals: []health.Signal{looks},
		Every: 15 * time.Second, Now: func() time.Time { return now },
	}
	sides := health.Sides{Base: true, Canary: true}
	for i, tt := range []struct {
		after time.Duration
		step  time.Time
		asked int
	}{{0, stepAt, 1}, {14 * time.Second, stepAt, 1}, {time.Second, stepAt, 2}, {time.Second, stepAt.Add(time.Minute), 3}} {
		now = now.Add(tt.after)
		if got := w.Judge(context.Background(), tt.step, sides); got.Verdict != health.Healthy || len(got.Findings) != 3 {
			t.Errorf("look %d: %+v", i, got)
		}
		if world.asked != tt.asked || looks.looks != i+1 {
			t.Errorf("look %d: asked %d times, the signal %d times, want %d and %d", i, world.asked, looks.looks, tt.asked, i+1)
		}
	}
}

func TestASharedIncidentIsHeldOrGoesBack(t *testing.T) {
	t.Parallel()
	for bad, want := range map[bool]health.Verdict{false: health.Unknown, true: health.Unhealthy} {
		world := &scripted{}
		w := &health.Watcher{Reader: world, Signals: []health.Signal{&counted{finding: health.Finding{Verdict: health.Unknown, Shared: true}}}, SharedIsBad: bad}
		if got := w.Judge(context.Background(), stepAt, health.Sides{}).Verdict; got != want {
			t.Errorf("shared is bad %v: %v, want %v", bad, got, want)
		}
	}
}

// TestARedAlarmIsSharedWhereBluesIsRedToo, of the same kind and nothing else.
func TestARedAlarmIsSharedWhereBluesIsRedToo(t *testing.T) {
	t.Parallel()
	red := func(name, region string) health.AlarmState {
		return health.AlarmState{Name: name, Region: region, State: "ALARM"}
	}
	tests := []struct {
		name   string
		blue   []health.AlarmState
		err    error
		want   health.Verdict
		shared bool
	}{
		{"blue is well", []health.AlarmState{{Name: "api-live-errors", Region: "blue", State: "OK"}}, nil, health.Unhealthy, false},
		{"blue is red alike", []health.AlarmState{red("api-live-errors", "blue")}, nil, health.Unknown, true},
		{"blue is red for something else", []health.AlarmState{red("api-latency", "blue")}, nil, health.Unhealthy, false},
		{"blue cannot be read", []health.AlarmState{red("api-live-errors", "blue")}, errors.New("throttled"), health.Unhealthy, false},
	}
	for _, tt := range tests {
		reader := readers{"green": {states: []health.AlarmState{red("api-next-errors", "green")}}, "blue": {tt.blue, tt.err}}
		w := &health.Watcher{Reader: reader, Refs: []health.AlarmRef{{Name: "api-next-errors", Region: "green"}}, Controls: []health.AlarmRef{{Name: "api-live-errors", Region: "blue"}}}
		got := w.Judge(context.Background(), stepAt, health.Sides{})
		if got.Verdict != tt.want || got.Findings[0].Shared != tt.shared {
			t.Errorf("%s: %+v, want %v, shared %v", tt.name, got, tt.want, tt.shared)
		}
	}
}

// TestASharedTransitionIsForgiven: an alarm that was red with blue's, and is
// well again, is no reason to go back; one that goes red later is.
func TestASharedTransitionIsForgiven(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return stepAt.Add(time.Duration(s) * time.Second) }
	green := health.AlarmState{Name: "api-5xx", Region: "green", State: "ALARM", Since: at(60)}
	reader := readers{"green": {states: []health.AlarmState{green}}, "blue": {states: []health.AlarmState{{Name: "api-5xx", Region: "blue", State: "ALARM"}}}}
	w := &health.Watcher{Reader: reader, Refs: []health.AlarmRef{{Name: "api-5xx", Region: "green"}}, Controls: []health.AlarmRef{{Name: "api-5xx", Region: "blue"}}}
	for i, tt := range []struct {
		state   string
		alarmed time.Time
		blue    string
		want    health.Verdict
	}{
		{"ALARM", time.Time{}, "ALARM", health.Unknown},
		{"OK", at(60), "OK", health.Healthy},
		{"OK", at(120), "OK", health.Unhealthy},
	} {
		reader["green"].states[0].State, reader["green"].states[0].AlarmedAt = tt.state, tt.alarmed
		reader["blue"].states[0].State = tt.blue
		if got := w.Judge(context.Background(), stepAt, health.Sides{}); got.Verdict != tt.want {
			t.Errorf("look %d: %v (%s), want %v", i, got.Verdict, got.Reason(), tt.want)
		}
	}
}

func TestFailedProbesAreSharedWhereBlueFailsToo(t *testing.T) {
	t.Parallel()
	for failed, want := range map[int]health.Verdict{0: health.Unhealthy, 1: health.Unhealthy, 2: health.Unknown} {
		green := &scripted{probes: health.ProbeCount{Sent: 5, Failed: 5}}
		blue := &scripted{probes: health.ProbeCount{Sent: 10, Failed: failed}}
		w := &health.Watcher{Reader: green, Prober: green, Requests: 5, Blue: blue}
		if got := w.Judge(context.Background(), stepAt, health.Sides{}); got.Verdict != want {
			t.Errorf("blue failed %d of 10: %v (%s), want %v", failed, got.Verdict, got.Reason(), want)
		}
	}
}

// TestAHealedIncidentIsForgiven: once blue is well, green is judged by what it
// does then.
func TestAHealedIncidentIsForgiven(t *testing.T) {
	t.Parallel()
	green, blue := &scripted{probes: health.ProbeCount{Sent: 5, Failed: 5}}, &scripted{probes: health.ProbeCount{Sent: 10, Failed: 10}}
	w := &health.Watcher{Reader: green, Prober: green, Requests: 5, Blue: blue}
	judge := func() health.Verdict { return w.Judge(context.Background(), stepAt, health.Sides{}).Verdict }
	if got := judge(); got != health.Unknown {
		t.Errorf("in the incident: %v", got)
	}
	green.probes, blue.probes = health.ProbeCount{Sent: 5}, health.ProbeCount{Sent: 10}
	if got := judge(); got != health.Healthy {
		t.Errorf("after it: %v", got)
	}
	green.probes.Failed = 5
	if got := judge(); got != health.Unhealthy {
		t.Errorf("green alone, later: %v", got)
	}
}

// readers answer by the region of the first alarm asked for.
type readers map[string]struct {
	states []health.AlarmState
	err    error
}

func (r readers) ReadAlarms(_ context.Context, refs []health.AlarmRef, _ time.Time) ([]health.AlarmState, error) {
	answer := r[refs[0].Region]
	return slices.Clone(answer.states), answer.err
}

// TestABaselineAlarmCountsAgainOnceItWasWell.
func TestABaselineAlarmCountsAgainOnceItWasWell(t *testing.T) {
	t.Parallel()
	for baseline, want := range map[bool]health.Verdict{false: health.Healthy, true: health.Unhealthy} {
		world := &scripted{state: "ALARM"}
		w := &health.Watcher{Reader: world, Refs: []health.AlarmRef{{Name: "a", Region: "r"}}, Ignore: []string{"a@r"}, Baseline: baseline}
		judge := func(state string) health.Verdict {
			world.state = state
			return w.Judge(context.Background(), stepAt, health.Sides{}).Verdict
		}
		if judge("ALARM") != health.Healthy || judge("OK") != health.Healthy {
			t.Errorf("baseline %v: not left out at first", baseline)
		}
		if got := judge("ALARM"); got != want {
			t.Errorf("baseline %v, red again: %v, want %v", baseline, got, want)
		}
	}
}

// counted is a signal that is asked.
type counted struct {
	finding health.Finding
	looks   int
}

func (c *counted) Look(context.Context, time.Time, health.Sides) health.Finding {
	c.looks++
	return c.finding
}

// TestAnAlarmThatCountsIsSharedWithAnyOfBlues that counts the same: where
// everybody enters at green, only blue's function shows that blue fails.
func TestAnAlarmThatCountsIsSharedWithAnyOfBlues(t *testing.T) {
	t.Parallel()
	for kind, want := range map[health.Counted]health.Verdict{health.CountedErrors: health.Unknown, health.CountedRefused: health.Unhealthy, "": health.Unhealthy} {
		red := func(name, region string) []health.AlarmState {
			return []health.AlarmState{{Name: name, Region: region, State: "ALARM"}}
		}
		w := &health.Watcher{
			Reader: readers{"green": {states: red("api-5xx", "green")}, "blue": {states: red("api-live-errors", "blue")}},
			Refs:   []health.AlarmRef{{Name: "api-5xx", Region: "green", Counts: kind}},
			Controls: []health.AlarmRef{
				{Name: "api-5xx", Region: "blue", Counts: kind}, {Name: "api-live-errors", Region: "blue", Counts: health.CountedErrors},
			},
		}
		if got := w.Judge(context.Background(), stepAt, health.Sides{}); got.Verdict != want {
			t.Errorf("green counts %q: %v (%s), want %v", kind, got.Verdict, got.Reason(), want)
		}
	}
}
