package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/ramp"
	"github.com/tapctl/tapctl/internal/topology"
)

// ShiftAsk is what shift is asked to do.
type ShiftAsk struct {
	Ask       cutover.Ask
	Once      bool
	Resume    bool
	NoPromote bool
	DryRun    bool
}

// AskOf is what the configuration asks of a shift, of both dials.
func AskOf(s config.Shift) cutover.Ask {
	return cutover.Ask{Step: cutover.Percent(s.Step), To: cutover.Percent(s.To), MaxExposure: cutover.Percent(s.MaxExposure), Via: cutover.ViaBoth}
}

// Report is what shift, rollback and promote did; its JSON is a contract.
type Report struct {
	Outcome     Outcome         `json:"outcome"` // completed | rolled_back | held | refused | uncertain
	Dials       cutover.Dials   `json:"dials"`
	Exposure    cutover.Percent `json:"exposure"`
	Reason      string          `json:"reason"`
	Steps       []StepReport    `json:"steps"`
	Receipt     *Receipt        `json:"receipt,omitempty"`
	NextCommand string          `json:"next_command"`
	DryRun      bool            `json:"dry_run,omitempty"`

	// Unseen are the dials that this run never read: null in the JSON.
	Unseen Unseen `json:"-"`
	// Touched is false where nothing was changed.
	Touched bool `json:"-"`
	// Stopped is true where a signal ended the run.
	Stopped bool `json:"-"`
}

// StepReport is one step of the plan.
type StepReport struct {
	Dials    cutover.Dials   `json:"dials"`
	Exposure cutover.Percent `json:"exposure"`
	Started  time.Time       `json:"started,omitzero"`
	Ended    time.Time       `json:"ended,omitzero"`
}

// Receipt says when each part of a retreat happened; a part that was not seen
// is absent.
type Receipt struct {
	FaultSeen time.Time `json:"fault_seen,omitzero"`
	Decided   time.Time `json:"decided,omitzero"`
	CallsSent time.Time `json:"calls_sent,omitzero"`
	InSync    time.Time `json:"insync,omitzero"`
	TTLPassed time.Time `json:"ttl_passed,omitzero"`
	// ObservedShareBack is the percent of DNS answers that led to the target
	// once the TTL had passed.
	ObservedShareBack *float64 `json:"observed_share_back,omitempty"`
}

// alarmLag is of an alarm as internal/infra makes them: one minute's datapoint.
var alarmLag = health.AlarmLag(time.Minute, 1)

// The tries of writes upward and of the retreat, and how long a reading must
// stand: longer than a call of another run can be under way.
const (
	writeTries   = 4
	retreatTries = 12
	linger       = 75 * time.Second
)

func (a *App) plan(steps []cutover.Dials, promote, once bool) cutover.Plan {
	s := a.Config.Shift
	return cutover.Plan{
		Steps: steps, Speaks: alarmLag, Settle: s.Settle, CanarySettle: s.CanarySettle, Bake: s.Bake, SyncTimeout: s.SyncTimeout, HoldTimeout: s.HoldTimeout,
		Poll: s.Poll, Linger: linger, WriteTries: writeTries, RetreatTries: retreatTries, Promote: promote, Once: once,
		HoldOnSignal: s.OnSignal == "hold", HoldUnknown: s.OnInconclusive == "hold", Freeze: s.OnIncident == "freeze",
		Shape: cutover.Shape{Step: cutover.Percent(s.RetreatStep), Pause: s.RetreatPause},
	}
}

// Shift moves traffic from where it is to ask.To, watching, and goes back on
// its own when green is unhealthy. A signal ends the questions before it; once
// the shift is known the run does with it what a signal asks for: users may be on
// green already.
func (a *App) Shift(ctx context.Context, ask ShiftAsk) (Report, error) {
	asking, cancel := a.untilStop(ctx, 0)
	defer cancel()
	if _, err := a.Clients.Account(asking, a.Config.TargetRegion); err != nil {
		return Report{}, a.early(err)
	}
	if a.Clients.EndUnknown(asking) {
		a.say(cutover.EventTrouble, endUnknown)
	}
	control := a.control()
	top, err := control.Topology(asking)
	if err != nil {
		return Report{}, a.notDeployed(err)
	}
	traffic := awsapi.NewTraffic(a.Clients, top)
	if ask.DryRun {
		return a.planShift(asking, control, traffic, ask)
	}
	held, err := a.take(ctx, "shift")
	if err != nil {
		return Report{}, a.early(err)
	}
	release := sync.OnceFunc(func() { a.release(ctx, held) })
	defer release()
	state, budget, err := a.prepare(asking, control, traffic, ask)
	if errors.Is(err, cutover.ErrNothingToDo) {
		return a.nothingLeft(asking, traffic, ask)
	}
	var watch *health.Watcher
	if err == nil {
		var stopWatching func()
		watch, stopWatching, err = a.admit(asking, top, &state, budget)
		defer stopWatching()
	}
	if err != nil && (state.ID == "" || !a.stopped()) {
		return Report{}, a.early(err)
	}
	return a.drive(ctx, newSight(traffic, state), watch, held, state, release)
}

// admit asks whether the state may be driven, and begins to watch green.
func (a *App) admit(ctx context.Context, top topology.Topology, state *cutover.State, budget *ramp.Budget) (watch *health.Watcher, stop func(), err error) {
	stop = func() {}
	if state.Ignored, err = a.alarmsAtStart(ctx, top, *state); err != nil {
		return nil, stop, err
	}
	if err := a.preflight(ctx, top, *state); err != nil {
		return nil, stop, err
	}
	if err := a.inTime(ctx, *state); err != nil {
		return nil, stop, err
	}
	watch, stopWatching, err := a.watcher(ctx, top, *state, budget)
	if err != nil {
		return nil, stop, err
	}
	return watch, stopWatching, nil
}

// gates are the steps of the plan that shift.approve keeps.
func (a *App) gates(p cutover.Plan, live cutover.Setting) ([]cutover.Gate, error) {
	s := a.Config.Shift
	above := make([]cutover.Percent, len(s.Approve))
	for i, percent := range s.Approve {
		above[i] = cutover.Percent(percent)
	}
	return cutover.GatesOf(p, live, above, s.ApprovePromotion, s.ApproveTimeout)
}

// notDeployed refuses with the command that helps.
func (a *App) notDeployed(err error) error {
	if errors.Is(err, awsapi.ErrNoTopology) {
		return &Refused{Cause: fmt.Errorf("%s-%s: %w", a.Config.TeamName, a.Config.Environment, err), Next: "tapctl deploy"}
	}
	return a.early(err)
}

// prepare is the state to drive, the journal's open shift or a new one from
// the live dials, and the budget that paces it, nil where none does.
func (a *App) prepare(ctx context.Context, control *awsapi.Control, traffic *awsapi.Traffic, ask ShiftAsk) (cutover.State, *ramp.Budget, error) {
	open, found, err := control.Shift(ctx)
	if err != nil {
		return cutover.State{}, nil, err
	}
	intent := cutover.Intent{Resume: ask.Resume, Once: ask.Once, Abandoned: cutover.OnAbandoned(a.Config.Lease.OnExpired)}
	state, resumed, err := cutover.Admit(open, found, intent, a.Clock.Now())
	if err != nil {
		return cutover.State{}, nil, err
	}
	if resumed {
		return a.takeUp(ctx, traffic.Topology(), state)
	}
	live, err := traffic.Read(ctx)
	if err != nil {
		return cutover.State{}, nil, err
	}
	if err := cutover.AdmitAgain(open, found, intent, live); err != nil {
		return cutover.State{}, nil, err
	}
	plan, budget, err := a.strategy(ctx, traffic.Topology(), live, ask)
	if err != nil {
		return cutover.State{}, nil, err
	}
	id := a.newShift()
	a.announcePlan(id, live, plan)
	return cutover.Start(id, live, plan, a.Clock.Now()).Behind(open, a.Clock.Now()), budget, nil
}

// newShift names what this run drives, by when it begins.
func (a *App) newShift() string {
	a.shift = a.Clock.Now().UTC().Format("20060102T150405Z")
	return a.shift
}

// takeUp is the open shift, with a budget for the traffic that there is now.
func (a *App) takeUp(ctx context.Context, top topology.Topology, state cutover.State) (cutover.State, *ramp.Budget, error) {
	a.shift = state.ID
	verb := "resuming"
	if state.Phase == cutover.Retreating {
		verb = "reverting"
	}
	a.say(cutover.EventPlan, "%s shift %s, by the plan it began with, at step %d of %d", verb, state.ID, state.Step+1, len(state.Plan.Steps))
	if !state.Plan.Paced || state.Phase == cutover.Retreating {
		return state, nil, nil
	}
	budget, err := a.budget(ctx, top, state.Last)
	return state, &budget, err
}

func (a *App) announcePlan(id string, live cutover.Setting, plan cutover.Plan) {
	parts := make([]string, len(plan.Steps))
	for i, step := range plan.Steps {
		parts[i] = fmt.Sprintf("%v/%v", step.DNS, step.Canary)
	}
	end := "and stays there"
	if plan.Promote {
		end = "then promotes"
	}
	a.say(cutover.EventPlan, "shift %s: %s from %s; dns/canary percent %s, %s; at least %v", id, cutover.ModeOf(live), live,
		strings.Join(parts, " "), end, plan.Length(0))
}

func exposureAt(s cutover.State, d cutover.Dials) cutover.Percent {
	return cutover.Setting{Dials: d, Base: s.Last.Base}.Exposure()
}

// nothingLeft is the end of a shift that has no step to go. A release that did
// not happen is not done: where only the promotion is missing it says so.
func (a *App) nothingLeft(ctx context.Context, traffic *awsapi.Traffic, ask ShiftAsk) (Report, error) {
	live, err := traffic.Read(ctx)
	if err != nil {
		return Report{}, a.early(err)
	}
	if !ask.NoPromote && ask.Ask.To == 100 && cutover.Unpromoted(live) {
		return Report{}, &Refused{
			Cause: fmt.Errorf("shift: everybody is on green's candidate (version %s) already, and it is not promoted", live.NextVersion),
			Next:  "tapctl promote",
		}
	}
	return nothingToDo(live), nil
}

func nothingToDo(live cutover.Setting) Report {
	return Report{Outcome: Completed, Dials: live.Dials, Exposure: live.Exposure(), Reason: "nothing to do: " + live.String(), Steps: []StepReport{}, NextCommand: "tapctl status"}
}

// alarmsAtStart applies on_alarm_at_start: a shift that begins under a red
// alarm would go back at once, or could not tell its own fault from what was there. One that
// was begun before is not refused but judged: users are on green, and a red
// alarm sends them back. A release begins on a stage that is busy, whose alarms
// count what live fails.
func (a *App) alarmsAtStart(ctx context.Context, top topology.Topology, state cutover.State) (ignore []string, err error) {
	if state.Touched || state.Phase == cutover.Retreating || len(top.Alarms) == 0 {
		return state.Ignored, nil
	}
	refs, now := alarmRefs(top), a.Clock.Now()
	states, err := awsapi.Alarms{Clients: a.Clients}.ReadAlarms(ctx, refs, now)
	if err != nil {
		return nil, err
	}
	next := "wait for it to clear, or start anyway with --on-alarm-at-start baseline"
	if policy := a.Config.Shift.OnAlarmAtStart; policy != "refuse" {
		next = "tapctl deploy" // an alarm that does not exist cannot be left out
		said := map[string]string{"ignore": "left out of this shift, as configured", "baseline": "left out until it is well again, as configured"}
		for _, s := range states {
			if s.State == "ALARM" {
				ignore = append(ignore, s.Name+"@"+s.Region)
				a.say(cutover.EventTrouble, "alarm %s (%s) is red at the start and %s", s.Name, s.Region, said[policy])
			}
		}
	}
	for _, finding := range health.Alarms(refs, states, now, ignore) {
		switch {
		case finding.Verdict != health.Unhealthy:
		case state.Mode == cutover.Release && finding.Counted != "" && a.requestsAnswer():
			a.say(cutover.EventTrouble, "%s %s: it counts what live fails as well, so the requests will tell", finding.Source, finding.Detail)
		default:
			return nil, &Refused{Cause: fmt.Errorf("before the first change: %s %s", finding.Source, finding.Detail), Next: next}
		}
	}
	return ignore, nil
}

// drive runs the state to its end, gives up the lease and reports.
func (a *App) drive(ctx context.Context, seen *sight, watch *health.Watcher, journal cutover.Journal, state cutover.State, release func()) (Report, error) {
	steps, traffic := newStepLog(state), seen.Traffic
	a.keepShift(traffic.Topology(), state)
	ports := cutover.Ports{
		Traffic: seen, Journal: journal, Clock: a.Clock, Stop: a.Stop, Heartbeat: a.Config.Lease.Heartbeat,
		Until: a.until, Gates: a.control(), Back: func(ctx context.Context) string { return a.blue(ctx, traffic.Topology(), state.Target) },
		Emit: func(e cutover.Event) {
			steps.note(e)
			if e.Owner = a.Owner; a.Emit != nil {
				a.Emit(e)
			}
		},
	}
	if watch != nil { // a nil *Watcher in the interface would not be nil
		ports.Watch = watch
	}
	end := cutover.Run(ctx, ports, state)
	release() // the receipt takes its time
	report := Report{
		Dials: end.Last.Dials, Exposure: end.Last.Exposure(), Reason: end.Reason, Steps: steps.steps,
		Touched: end.Touched, Stopped: end.Stopped || a.stopped(),
	}
	switch end.Phase {
	case cutover.Completed:
		report.Outcome, report.NextCommand = Completed, "tapctl status"
	case cutover.RolledBack:
		report.Outcome, report.NextCommand = RolledBack, "correct green, then: tapctl deploy && tapctl shift"
		if !end.Touched {
			report.NextCommand = "tapctl shift"
		}
	case cutover.Held:
		report.Outcome, report.NextCommand = Held, "tapctl shift --resume, or tapctl rollback"
		if end.HeldIn == cutover.Gated {
			report.NextCommand = "tapctl approve, then tapctl shift --resume; or tapctl rollback"
		}
	case cutover.Uncertain, cutover.Turning, cutover.Syncing, cutover.Settling, cutover.Baking, cutover.Gated, cutover.Promoting, cutover.Confirming, cutover.Retreating:
		report.Outcome, report.NextCommand = Uncertain, "tapctl status, then tapctl rollback"
		a.unconfirmed(&report, seen, end)
	}
	if !end.Receipt.Decided.IsZero() {
		report.Receipt = a.receipt(ctx, traffic, end)
	}
	return report, nil
}

// stepLog notes when each step began and ended.
type stepLog struct {
	plan  []cutover.Dials
	base  cutover.Base
	steps []StepReport
	open  int
}

func newStepLog(s cutover.State) *stepLog {
	return &stepLog{plan: s.Plan.Steps, base: s.Last.Base, steps: []StepReport{}, open: -1}
}

func (l *stepLog) note(e cutover.Event) {
	if e.Steps == 0 || e.Step >= len(l.plan) {
		return
	}
	over := e.Phase.Terminal() || e.Phase == cutover.Retreating || e.Phase == cutover.Promoting
	if l.open >= 0 && l.steps[len(l.steps)-1].Ended.IsZero() && (over || e.Step != l.open) {
		l.steps[len(l.steps)-1].Ended = e.At
	}
	if !over && e.Phase != cutover.Confirming && e.Step != l.open {
		dials := l.plan[e.Step]
		l.steps = append(l.steps, StepReport{Dials: dials, Exposure: cutover.Setting{Dials: dials, Base: l.base}.Exposure(), Started: e.At})
		l.open = e.Step
	}
}
