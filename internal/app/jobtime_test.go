package app_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
)

// hour is how long credentials of a role last by default, and job how long a job
// of GitHub's own runners may take.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
// https://docs.github.com/en/actions/reference/limits
const hour, job = time.Hour, 6 * time.Hour

// fresh is green as deploy leaves it.
var fresh = cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}

// TestDefaultsFitIntoAJob: each step of the default plan is begun by credentials
// as a role gives them, and the whole of it by a job of six hours.
func TestDefaultsFitIntoAJob(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{config.PlanLockstep, config.PlanDNSFirst} {
		w := newWorld(t)
		w.Config.Shift.Plan = plan
		p := ok[cutover.Plan](t)(w.Strategy(t.Context(), w.top, fresh))
		if each, all := p.EachNeeds(0), p.AllNeed(0); each > hour || all > job {
			t.Errorf("%s: a step needs %v, and all of them %v", plan, each, all)
		}
	}
}

// theLeast is what a refusal says to type, and with how much time.
var theLeast = regexp.MustCompile(`^(.*), with shift\.job_timeout and credentials of (\S+?)(?:, or of (\S+) for the whole plan in one run)?$`)

// TestTheRefusalNamesTheLeastThatWorks: with what it says the step is begun, and
// with a minute less it is not.
func TestTheRefusalNamesTheLeastThatWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Shift.Plan, w.Clock, w.Started = config.PlanLockstep, clock.NewManual(start), start.Add(-90*time.Second)
	plan := ok[cutover.Plan](t)(w.Strategy(t.Context(), w.top, fresh))
	first := cutover.Start("s", fresh, plan, start)
	second, last := first, first
	second.Touched, second.Step = true, 1
	last.Touched, last.Step, last.Plan.Promote = true, len(plan.Steps)-1, false
	for _, tt := range []struct {
		name    string
		state   cutover.State
		begins  string
		command string
		more    bool // there is more to begin after it
	}{
		{"a first step", first, "step 1", "tapctl shift", true},
		{"a resumed one", second, "step 2", "tapctl shift --resume", true},
		{"the last", last, "step 10", "tapctl shift --resume", false},
		{"a promotion", cutover.StartPromote("s", fresh, cutover.TargetOf(fresh), plan, start), "the promotion", "tapctl promote", false},
	} {
		within := func(limit time.Duration) error {
			w.Config.Shift.JobTimeout = limit
			return w.InTime(t.Context(), tt.state)
		}
		refused, is := errors.AsType[*app.Refused](within(2 * time.Minute))
		if !is || !strings.HasPrefix(refused.Error(), tt.begins+" is not begun: ") {
			t.Fatalf("%s: %v", tt.name, refused)
		}
		said := theLeast.FindStringSubmatch(refused.Next)
		if said == nil || said[1] != tt.command || (said[3] != "") != tt.more {
			t.Fatalf("%s: next: %q", tt.name, refused.Next)
		}
		least := ok[time.Duration](t)(time.ParseDuration(said[2]))
		if within(least) != nil || within(least-time.Minute) == nil {
			t.Errorf("%s: %v is not the least", tt.name, least)
		}
	}
	w.Config.Shift.JobTimeout = time.Second
	if err := w.InTime(t.Context(), cutover.StartRetreat("s", cutover.TargetOf(fresh), plan, start)); err != nil {
		t.Errorf("a retreat is refused: %v", err)
	}
}

// TestASessionOfUnknownEndIsTold: nothing else keeps a step from being begun that
// outlives it.
func TestASessionOfUnknownEndIsTold(t *testing.T) {
	for _, session := range []bool{true, false} {
		if session {
			t.Setenv("AWS_SESSION_TOKEN", "t")
		} else {
			t.Setenv("AWS_SESSION_TOKEN", "")
		}
		w := newWorld(t)
		w.Config.Shift.Plan, w.Config.Shift.Rate = config.PlanLockstep, 1
		w.makeControl()
		w.weigh(100, 0)
		ask := app.ShiftAsk{Ask: cutover.Ask{Step: 50, To: 100, Via: cutover.ViaBoth}, DryRun: true}
		ok[app.Report](t)(w.Shift(t.Context(), ask))
		const part = "nothing says when they end"
		if w.heard(part) != session || strings.Count(strings.Join(w.told, ""), part) > 1 {
			t.Errorf("session %v: shift told %q", session, w.told)
		}
		plan := ok[app.PlanReport](t)(w.Plan(t.Context(), ask))
		if strings.Contains(strings.Join(plan.Notes, ""), part) != session {
			t.Errorf("session %v: plan notes %q", session, plan.Notes)
		}
	}
}
