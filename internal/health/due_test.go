package health_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

func TestAlarmLag(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		period     time.Duration
		datapoints int
		want       time.Duration
	}{
		{time.Minute, 1, 3 * time.Minute},
		{time.Minute, 3, 5 * time.Minute},
		{5 * time.Minute, 1, 7 * time.Minute},
		{10 * time.Second, 1, 80 * time.Second},
		{time.Minute, 0, 3 * time.Minute}, // CloudWatch did not say
	} {
		if got := health.AlarmLag(tt.period, tt.datapoints); got != tt.want {
			t.Errorf("%d of %v: %v, want %v", tt.datapoints, tt.period, got, tt.want)
		}
	}
}

// alarmed is CloudWatch with one alarm, and a clock.
type alarmed struct {
	state health.AlarmState
	now   time.Time
	asked int
}

func (a *alarmed) ReadAlarms(context.Context, []health.AlarmRef, time.Time) ([]health.AlarmState, error) {
	a.asked++
	return []health.AlarmState{a.state}, nil
}

func (a *alarmed) Now() time.Time { return a.now }

// TestAnAlarmIsWellOnlyOnceItSpeaksOfTheDials: red counts at once; that all is
// well, or that there is no data where that is well, may be of before.
func TestAnAlarmIsWellOnlyOnceItSpeaksOfTheDials(t *testing.T) {
	t.Parallel()
	const alarmLag = 3 * time.Minute
	dials := stepAt.Add(40 * time.Second) // in sync so long after the step began
	well := func(v health.Verdict) *health.Finding { return &health.Finding{Verdict: v, Source: "requests"} }
	early := "1 alarms may speak of before these dials until 12:03:40Z"
	for _, tt := range []struct {
		name     string
		state    string
		alarmed  time.Time
		dials    time.Time
		after    time.Duration // since the dials stand
		requests *health.Finding
		paced    bool
		ahead    float64
		want     health.Verdict
		due      time.Time
		reason   string
	}{
		{"well, the dials do not stand", "OK", time.Time{}, time.Time{}, time.Hour, nil, false, 0, health.Unknown, time.Time{}, "not in force yet"},
		{"well, at once", "OK", time.Time{}, dials, 0, nil, false, 0, health.Unknown, dials.Add(alarmLag), early},
		{"well, too early", "OK", time.Time{}, dials, alarmLag - time.Second, nil, false, 0, health.Unknown, dials.Add(alarmLag), early},
		{"well, in time", "OK", time.Time{}, dials, alarmLag, nil, false, 0, health.Healthy, time.Time{}, "1 alarms well"},
		{"no data, too early", "INSUFFICIENT_DATA", time.Time{}, dials, alarmLag - time.Second, nil, false, 0, health.Unknown, dials.Add(alarmLag), early},
		{"no data, in time", "INSUFFICIENT_DATA", time.Time{}, dials, alarmLag, nil, false, 0, health.Healthy, time.Time{}, "1 alarms well"},
		{"red at once", "ALARM", time.Time{}, dials, 0, nil, false, 0, health.Unhealthy, time.Time{}, "in ALARM"},
		{"red while the dials turn", "ALARM", time.Time{}, time.Time{}, 0, nil, false, 0, health.Unhealthy, time.Time{}, "in ALARM"},
		{"was red while the dials turned", "OK", stepAt.Add(time.Second), dials, 0, nil, false, 0, health.Unhealthy, time.Time{}, "and back"},
		{"too early, and trouble besides", "OK", time.Time{}, dials, 0, well(health.Unknown), false, 0, health.Unknown, time.Time{}, early},
		{"too early, and red besides", "OK", time.Time{}, dials, 0, well(health.Unhealthy), false, 0, health.Unhealthy, time.Time{}, "requests: "},
		{"too early, the requests are well but carry no budget", "OK", time.Time{}, dials, 0, well(health.Healthy), false, 0.1, health.Unknown, dials.Add(alarmLag), early},
		{"too early, the requests carry the next step", "OK", time.Time{}, dials, 0, well(health.Healthy), true, 0.1, health.Healthy, time.Time{}, early},
		{"too early, the requests do not carry it", "OK", time.Time{}, dials, 0, well(health.Unknown), true, 0.1, health.Unknown, time.Time{}, early},
		{"too early, of the last step", "OK", time.Time{}, dials, 0, well(health.Healthy), true, 0, health.Unknown, dials.Add(alarmLag), early},
		{"the dials do not stand, whatever the requests", "OK", time.Time{}, time.Time{}, 0, well(health.Healthy), true, 0.1, health.Unknown, time.Time{}, "not in force yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			world := &alarmed{health.AlarmState{Name: "a", Region: "r", State: tt.state, AlarmedAt: tt.alarmed, Lag: alarmLag}, dials.Add(tt.after), 0}
			w := &health.Watcher{Reader: world, Refs: []health.AlarmRef{{Name: "a", Region: "r", Sparse: true}}, Now: world.Now, Paced: tt.paced}
			if tt.requests != nil {
				w.Signals = []health.Signal{&counted{finding: *tt.requests}}
			}
			got := w.Judge(context.Background(), stepAt, health.Sides{DialsAt: tt.dials, Base: true, Canary: true, Ahead: tt.ahead})
			if got.Verdict != tt.want || !got.Due().Equal(tt.due) || !strings.Contains(got.Reason(), tt.reason) {
				t.Errorf("%v, due %v (%s); want %v, %v, with %q", got.Verdict, got.Due(), got.Reason(), tt.want, tt.due, tt.reason)
			}
		})
	}
}

// TestAnAnswerThatCameTooEarlyIsAskedForAgain as soon as it could speak of the
// dials, however seldom CloudWatch may be asked: time alone makes it no evidence.
func TestAnAnswerThatCameTooEarlyIsAskedForAgain(t *testing.T) {
	t.Parallel()
	const alarmLag = 3 * time.Minute
	world := &alarmed{state: health.AlarmState{Name: "a", Region: "r", State: "OK", Lag: alarmLag}}
	w := &health.Watcher{Reader: world, Refs: []health.AlarmRef{{Name: "a", Region: "r"}}, Every: 15 * time.Second, Now: world.Now}
	for _, look := range []struct {
		after time.Duration
		want  health.Verdict
		asked int
	}{
		{alarmLag - 2*time.Second, health.Unknown, 1},
		{alarmLag - time.Second, health.Unknown, 1},
		{alarmLag, health.Healthy, 2},
		{alarmLag + time.Second, health.Healthy, 2},
	} {
		world.now = stepAt.Add(look.after)
		got := w.Judge(context.Background(), stepAt, health.Sides{DialsAt: stepAt, Base: true})
		if got.Verdict != look.want || world.asked != look.asked {
			t.Errorf("after %v: %v, asked %d times; want %v, %d", look.after, got.Verdict, world.asked, look.want, look.asked)
		}
	}
}

// TestWhoAnsweredBeforeTheDialsIsNotWhoAnswersNow, and who failed, failed.
func TestWhoAnsweredBeforeTheDialsIsNotWhoAnswersNow(t *testing.T) {
	t.Parallel()
	world := &scripted{probes: health.ProbeCount{Sent: 5, Failed: 1, Canary: 2, Base: 2}}
	w := &health.Watcher{Reader: world, Prober: world, Requests: 5, MaxFailures: 2}
	sides := health.Sides{Base: true, Canary: true}
	judge := func() health.Verdict { return w.Judge(context.Background(), stepAt, sides).Verdict }
	if got := judge(); got != health.Healthy {
		t.Fatalf("both answered: %v", got)
	}
	sides.DialsAt = stepAt.Add(time.Minute)
	world.probes = health.ProbeCount{Sent: 5, Failed: 1, Base: 4}
	if got := judge(); got != health.Unknown {
		t.Errorf("no probe was answered by the canary since the dials stand: %v", got)
	}
	if got := judge(); got != health.Unhealthy {
		t.Errorf("a third failure, two of them since the dials stand: %v", got)
	}
}
