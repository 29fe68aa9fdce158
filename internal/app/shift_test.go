package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	plan := []cutover.Dials{{DNS: 50, Canary: 50}, {DNS: 100, Canary: 100}}
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	event := func(second, step int, phase cutover.Phase) cutover.Event {
		return cutover.Event{At: at(second), Step: step, Steps: 2, Phase: phase}
	}
	tests := []struct {
		name   string
		base   cutover.Base
		events []cutover.Event
		want   []app.StepReport
	}{
		{"nothing happened", cutover.Forwarder, nil, []app.StepReport{}},
		{"an event of no shift", cutover.Forwarder, []cutover.Event{{At: at(1), Phase: cutover.Turning}}, []app.StepReport{}},
		{"completed", cutover.Forwarder, []cutover.Event{
			event(1, 0, cutover.Turning), event(2, 0, cutover.Baking), event(3, 1, cutover.Turning), event(4, 1, cutover.Baking),
			event(5, 1, cutover.Promoting), event(6, 1, cutover.Confirming), event(7, 1, cutover.Completed),
		}, []app.StepReport{
			{Dials: plan[0], Exposure: 25, Started: at(1), Ended: at(3)},
			{Dials: plan[1], Exposure: 100, Started: at(3), Ended: at(5)},
		}},
		{"rolled back", cutover.Forwarder, []cutover.Event{
			event(1, 0, cutover.Turning), event(2, 0, cutover.Retreating), event(3, 0, cutover.Retreating), event(4, 0, cutover.RolledBack),
		}, []app.StepReport{{Dials: plan[0], Exposure: 25, Started: at(1), Ended: at(2)}}},
		{"held after one step", cutover.Forwarder, []cutover.Event{
			event(1, 0, cutover.Turning), event(2, 0, cutover.Baking), event(3, 1, cutover.Held),
		}, []app.StepReport{{Dials: plan[0], Exposure: 25, Started: at(1), Ended: at(3)}}},
		{"resumed at the second", cutover.Forwarder, []cutover.Event{
			event(1, 1, cutover.Turning), event(2, 1, cutover.Completed),
		}, []app.StepReport{{Dials: plan[1], Exposure: 100, Started: at(1), Ended: at(2)}}},
		{"a release exposes by DNS alone", cutover.Live, []cutover.Event{
			event(1, 0, cutover.Turning),
		}, []app.StepReport{{Dials: plan[0], Exposure: 50, Started: at(1)}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			state := cutover.State{Plan: cutover.Plan{Steps: plan}, Last: cutover.Setting{Base: test.base}}
			same(t, "steps", test.want, app.StepsOf(state, test.events...))
		})
	}
}

// alarm makes an alarm of green and puts it into the state.
func (w *world) alarm(name string, state cwtypes.StateValue) {
	w.t.Helper()
	client := w.Clients.CloudWatch(greenRegion)
	ok[*cloudwatch.PutMetricAlarmOutput](w.t)(client.PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, Namespace: aws.String("Test"), MetricName: &name, Statistic: cwtypes.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
		Threshold: aws.Float64(1), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold, TreatMissingData: aws.String("notBreaching"),
	}))
	ok[*cloudwatch.SetAlarmStateOutput](w.t)(client.SetAlarmState(w.t.Context(), &cloudwatch.SetAlarmStateInput{
		AlarmName: &name, StateValue: state, StateReason: aws.String("set by the test"),
	}))
}

func TestAlarmsAtStart(t *testing.T) {
	t.Parallel()
	const green, red, unset = cwtypes.StateValueOk, cwtypes.StateValueAlarm, cwtypes.StateValueInsufficientData
	tests := []struct {
		name    string
		policy  string
		alarms  map[string]cwtypes.StateValue // a and b are asked for
		state   cutover.State
		ignore  []string
		refused string // part of the refusal
		next    string
	}{
		{"all green", "refuse", map[string]cwtypes.StateValue{"a": green, "b": green}, cutover.State{}, nil, "", ""},
		{"no data yet is for the bake to judge", "refuse", map[string]cwtypes.StateValue{"a": unset, "b": green}, cutover.State{}, nil, "", ""},
		{"red", "refuse", map[string]cwtypes.StateValue{"a": green, "b": red}, cutover.State{}, nil, "before the first change: alarm b (eu-central-1) in ALARM", "--on-alarm-at-start baseline"},
		{"red and ignored", "ignore", map[string]cwtypes.StateValue{"a": green, "b": red}, cutover.State{}, []string{"b@" + greenRegion}, "", ""},
		{"missing", "refuse", map[string]cwtypes.StateValue{"a": green}, cutover.State{}, nil, "alarm b (eu-central-1) does not exist", ""},
		{"missing cannot be ignored", "ignore", map[string]cwtypes.StateValue{"a": red}, cutover.State{}, nil, "alarm b (eu-central-1) does not exist", "tapctl deploy"},
		// Users are on green: refusing would leave them there.
		{"red on resuming is judged", "refuse", map[string]cwtypes.StateValue{"a": green, "b": red}, cutover.State{Step: 1, Touched: true, Phase: cutover.Turning}, nil, "", ""},
		{"red on resuming is not ignored", "ignore", map[string]cwtypes.StateValue{"a": green, "b": red}, cutover.State{Step: 1, Touched: true, Phase: cutover.Turning}, nil, "", ""},
		{"red on resuming stays ignored if it was", "refuse", map[string]cwtypes.StateValue{"a": green, "b": red}, cutover.State{Step: 1, Touched: true, Phase: cutover.Turning, Ignored: []string{"b@" + greenRegion}}, []string{"b@" + greenRegion}, "", ""},
		{"a retreat asks no alarm", "refuse", map[string]cwtypes.StateValue{"a": red, "b": red}, cutover.State{Touched: true, Phase: cutover.Retreating}, nil, "", ""},
		// A release begins on a stage that is busy: what counts is for the requests to judge.
		{"red in a release, and counting", "refuse", map[string]cwtypes.StateValue{"a": green, "b": red}, cutover.State{Mode: cutover.Release}, nil, "", ""},
		{"red in a release, and a rate", "refuse", map[string]cwtypes.StateValue{"a": red, "b": green}, cutover.State{Mode: cutover.Release}, nil, "alarm a (eu-central-1) in ALARM", ""},
		{"missing in a release, and counting", "refuse", map[string]cwtypes.StateValue{"a": green}, cutover.State{Mode: cutover.Release}, nil, "alarm b (eu-central-1) does not exist", ""},
		{"held before any change begins anew", "refuse", map[string]cwtypes.StateValue{"a": red, "b": green}, cutover.State{Phase: cutover.Turning}, nil, "alarm a (eu-central-1) in ALARM", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Config.Shift.OnAlarmAtStart = test.policy
			for name, state := range test.alarms {
				w.alarm(name, state)
			}
			for _, name := range []string{"a", "b"} {
				w.top.Alarms = append(w.top.Alarms, topology.Alarm{Name: name, Region: greenRegion, Side: topology.Green})
			}
			w.top.Alarms[1].Counts = infra.CountsErrors
			ignore, err := w.AlarmsAtStart(t.Context(), w.top, test.state)
			same(t, "ignored", test.ignore, ignore)
			if test.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			no, isRefused := errors.AsType[*app.Refused](err)
			if !isRefused || !strings.Contains(no.Error(), test.refused) || !strings.Contains(no.Hint(), test.next) {
				t.Errorf("want a refusal with %q and hint %q, got %v", test.refused, test.next, err)
			}
		})
	}
	t.Run("red in a release, and told to decide", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Config.Shift.OnCountAlarm = "rollback"
		w.alarm("b", red)
		w.top.Alarms = []topology.Alarm{{Name: "b", Region: greenRegion, Counts: infra.CountsErrors}}
		if _, err := w.AlarmsAtStart(t.Context(), w.top, cutover.State{Mode: cutover.Release}); err == nil {
			t.Error("on_count_alarm: rollback begins under a red alarm")
		}
	})
	t.Run("alarms that cannot be read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.set(greenRegion, refuses)
		w.top.Alarms = []topology.Alarm{{Name: "a", Region: greenRegion}}
		if _, err := w.AlarmsAtStart(t.Context(), w.top, cutover.State{}); err == nil {
			t.Error("a shift begins without having seen its alarms")
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	held := &cutover.LeaseHeld{Lease: cutover.Lease{Owner: "other"}}
	if app.Refuse(nil) != nil {
		t.Error("nil is refused")
	}
	tests := []struct {
		name string
		err  error
		code int
		hint string
	}{
		{"a plain error", app.Refuse(plain), 3, ""},
		{"one with a hint", app.Refuse(fmt.Errorf("step: %w", &hinted{})), 3, "type this"},
		{"one with a hint of its own", &app.Refused{Cause: &hinted{}, Next: "type that"}, 3, "type that"},
		{"one with its exit code", app.Refuse(held), held.ExitCode(), held.Hint()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			same(t, "exit code", test.code, exitCode(test.err))
			h, _ := errors.AsType[interface {
				error
				Hint() string
			}](test.err)
			if h == nil || h.Hint() != test.hint {
				t.Errorf("hint: want %q, got %v", test.hint, h)
			}
		})
	}
	if !errors.Is(app.Refuse(plain), plain) {
		t.Error("the cause is lost")
	}
}

// hinted is an error that knows what to type.
type hinted struct{}

func (*hinted) Error() string { return "hinted" }
func (*hinted) Hint() string  { return "type this" }

func TestWantedCells(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cells       string
		exists      bool
		blue, green bool
	}{
		{"target", true, false, true},
		{"source", true, true, false},
		{"all", true, true, true},
		{"target", false, true, true}, // what is not there is made
		{"source", false, true, true},
	}
	for _, test := range tests {
		if got := app.Wanted(test.cells, topology.Blue, test.exists); got != test.blue {
			t.Errorf("--cell %s, exists %v: blue %v", test.cells, test.exists, got)
		}
		if got := app.Wanted(test.cells, topology.Green, test.exists); got != test.green {
			t.Errorf("--cell %s, exists %v: green %v", test.cells, test.exists, got)
		}
	}
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	canary := func(version string) health.Answer {
		return health.Answer{Status: 200, Version: version, Side: "green", Alias: "next"}
	}
	live := health.Answer{Status: 200, Version: "old", Side: "green", Alias: "live"}
	forwarded := health.Answer{Status: 200, Version: "new", Side: "blue", Alias: "next", Via: "forward"}
	tests := []struct {
		name         string
		answers      []health.Answer // the last is repeated
		canary, base bool
		want         string // part of the error
		asked        int
	}{
		{"both sides answer", []health.Answer{live, live, canary("new")}, true, true, "", 3},
		{"only the base side serves", []health.Answer{live}, false, true, "", 1},
		{"only the canary serves", []health.Answer{canary("new")}, true, false, "", 1},
		{"the canary runs old code", []health.Answer{live, canary("old")}, true, true, `version "old", deployed was "new"`, 2},
		{"the canary never answers", []health.Answer{live}, true, true, "the canary did not answer", 200},
		{"what was forwarded is not the canary", []health.Answer{forwarded}, true, true, "the canary did not answer", 200},
		{"the base side never answers", []health.Answer{canary("new")}, true, true, "the base side did not answer", 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			get := func(context.Context) (health.Answer, error) {
				asked++
				return test.answers[min(asked, len(test.answers))-1], nil
			}
			err := app.SmokeOnce(t.Context(), "new", get, test.canary, test.base)
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("want %q, got %v", test.want, err)
			}
			same(t, "requests", test.asked, asked)
		})
	}
	failing := errors.New("502")
	err := app.SmokeOnce(t.Context(), "new", func(context.Context) (health.Answer, error) { return health.Answer{}, failing }, true, true)
	if !errors.Is(err, failing) {
		t.Errorf("want %v, got %v", failing, err)
	}
}

func TestSmokeEndsAtAShutDoor(t *testing.T) {
	t.Parallel()
	shut, starting := &health.ShutOutError{URL: "https://x"}, errors.New("502")
	for name, test := range map[string]struct {
		errs  []error // the last is repeated
		asked int
		hint  bool
	}{
		"shut":                              {[]error{shut}, 4, true},
		"starting, then shut":               {[]error{starting, shut}, 5, true},
		"the policy was just changed":       {[]error{shut, shut, shut, nil}, 4, false},
		"never up":                          {[]error{starting}, 24, false},
		"shut now and then while it starts": {[]error{shut, shut, shut, starting, shut, shut, shut, nil}, 8, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			err := app.SmokeUntil(t.Context(), clock.NewScaled(1e7), "new", func(context.Context) (health.Answer, error) {
				asked++
				return health.Answer{Status: 200, Version: "old", Alias: "live"}, test.errs[min(asked, len(test.errs))-1]
			})
			same(t, "requests", test.asked, asked)
			hinted, ok := errors.AsType[interface {
				error
				Hint() string
			}](err)
			if ok != test.hint || ok && !strings.Contains(hinted.Hint(), "allowed_cidr") {
				t.Errorf("%v: with a next command: %v", err, ok)
			}
			if want := test.errs[len(test.errs)-1]; !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

// TestEveryEventNamesItsRun: several runs write into one file.
func TestEveryEventNamesItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat, w.Patience = 10000*time.Hour, time.Minute
	w.makeControl()
	w.weigh(100, 0)
	w.green.turn(60)
	w.journal(cutover.State{ID: "s", Phase: cutover.Baking, Target: blueAnswers})
	var told []cutover.Event
	w.Emit = func(e cutover.Event) { told = append(told, e) }
	ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	ran, _, err := w.control().Shift(t.Context())
	if err != nil || ran.ID == "s" || len(told) < 3 {
		t.Fatalf("shift %q, %v, after %d events", ran.ID, err, len(told))
	}
	for _, e := range told {
		if e.Owner != w.Owner || e.Shift != ran.ID {
			t.Errorf("%q is of shift %q and owner %q, want %q and %q", e.Text, e.Shift, e.Owner, ran.ID, w.Owner)
		}
	}
}
