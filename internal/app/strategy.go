package app

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/ramp"
	"github.com/tapctl/tapctl/internal/topology"
)

// What is assumed of AWS until it is measured (docs/assumptions.md): how long after a
// request its line of the access log can be read, and how long a stage's
// update takes to reach its users.
const (
	logLag  = 5 * time.Second
	undoLag = 5 * time.Second
)

// latency is how long a bad green goes on harming users after the request that
// proves it: the log's lag, a look, and the canary back to 0. Of more requests
// a second than Live Tail shows, the log is asked for now and then.
func (a *App) latency(poll time.Duration, rate float64) time.Duration {
	lag := logLag
	if rate > awsapi.LiveTailRate {
		lag += awsapi.LogPoll
	}
	return lag + poll + undoLag
}

// strategy makes the plan of a new shift from the live setting, and the budget
// that paces it, nil where it is not a budget plan.
func (a *App) strategy(ctx context.Context, top topology.Topology, live cutover.Setting, ask ShiftAsk) (cutover.Plan, *ramp.Budget, error) {
	if path := a.Config.Shift.PlanFile(); path != "" {
		plan, err := a.filePlan(path, live, ask)
		return plan, nil, err
	}
	steps := ask.Ask
	steps.DNSFirst = a.Config.Shift.Plan != config.PlanLockstep
	var budget *ramp.Budget
	if a.Config.Shift.Plan == config.PlanBudget {
		b, err := a.budget(ctx, top, live)
		if err != nil {
			return cutover.Plan{}, nil, err
		}
		budget, steps.Narrow, steps.Weights = &b, narrowly(b, live), weights(b, live, steps.To)
	}
	dials, err := cutover.Steps(live, steps)
	if err != nil {
		return cutover.Plan{}, nil, err
	}
	plan := a.plan(dials, !ask.NoPromote && cutover.Promotes(live, dials), ask.Once)
	if budget != nil {
		a.pace(&plan, live, *budget)
	}
	plan.Gates, err = a.gates(plan, live)
	return plan, budget, err
}

// budget is what a budget plan may cost, for the traffic there is.
func (a *App) budget(ctx context.Context, top topology.Topology, live cutover.Setting) (ramp.Budget, error) {
	rate, err := a.rate(ctx, top)
	if err != nil {
		return ramp.Budget{}, err
	}
	// Where nobody comes, nobody can be harmed, and the first weight is the
	// most that the ramp begins with.
	b := ramp.Default(max(rate, 0.01), a.latency(a.Config.Evidence.Poll, rate))
	b.Harm = a.Config.Shift.HarmBudget
	if live.Base == cutover.Forwarder && live.DNS == 0 && a.Config.Shift.To == 100 {
		b.Grain, b.Least = canaryGrain*narrow/100, canaryGrain*narrow/100
	}
	b.Tolerated = a.Config.Evidence.ToleratedRatio
	return b, b.Check()
}

// rateWindow is how far back everybody's requests are counted.
const rateWindow = 10 * time.Minute

// rate is everybody's requests a second: shift.rate, or what both stages
// answered lately.
func (a *App) rate(ctx context.Context, top topology.Topology) (float64, error) {
	if a.Config.Shift.Rate > 0 {
		return a.Config.Shift.Rate, nil
	}
	if top.External != "" {
		return 0, &Refused{Cause: fmt.Errorf("plan: tapctl cannot count the requests of %s", top.External), Next: "set shift.rate to everybody's requests a second"}
	}
	total := 0.0
	for _, cell := range []topology.Cell{top.Source, top.Target} {
		if top.Retired && cell.Region == top.Source.Region {
			continue
		}
		rate, err := a.Clients.RequestRate(ctx, cell.Region, a.Config.Name("api"), cell.Stage, rateWindow, a.Clock.Now())
		if err != nil {
			return 0, err
		}
		total += rate
	}
	return total, nil
}

// The canary's resolution, as a share: 0.01 percent, assumed. While no more than
// narrow percent of the entrance lead to green, the two dials multiply, and a
// first weight can be as much finer.
const (
	canaryGrain = 0.0001
	narrow      = 10
)

// narrowly are the canary's percents behind a narrow entrance: those of the
// ramp's weights that the canary alone could not show. None where it can.
func narrowly(b ramp.Budget, live cutover.Setting) []cutover.Percent {
	var percents []cutover.Percent
	if cutover.ModeOf(live) == cutover.Release || b.Grain >= canaryGrain {
		return nil
	}
	for w := b.First(); w < canaryGrain; w *= b.Growth {
		percents = append(percents, percentOf(w*100/narrow))
	}
	return percents
}

// weights are the canary's percents that the ramp would take if green is as
// good as blue. What it really takes depends on the evidence: it waits, and
// never jumps.
func weights(b ramp.Budget, live cutover.Setting, to cutover.Percent) []cutover.Percent {
	entrance := float64(to) / 100
	if cutover.ModeOf(live) == cutover.Release {
		entrance = float64(live.DNS) / 100
	}
	var percents []cutover.Percent
	for w := b.First(); ; w *= b.Growth {
		switch canary := percentOf(w / entrance); {
		case w >= 1 || canary >= 100:
			return append(percents, 100)
		case w >= canaryGrain:
			percents = append(percents, canary)
		}
	}
}

// percentOf is a share in percent, in the canary's grains.
func percentOf(share float64) cutover.Percent {
	return cutover.Percent(max(1, math.Floor(share*1e4+1e-9)) / 100)
}

// pace gives each step its time: what turns the entrance alone is watched for
// shift.bake, what exposes users for the ramp's dwell, and the last for
// shift.bake again, since some faults begin late.
func (a *App) pace(plan *cutover.Plan, live cutover.Setting, b ramp.Budget) {
	plan.Paced = true
	plan.Poll = min(a.Config.Evidence.Poll, plan.Poll)
	plan.CanarySettle = min(plan.CanarySettle, b.Latency)
	before := live.Dials
	for i, d := range plan.Steps {
		bake := b.Dwell
		if d.DNS != before.DNS || i == len(plan.Steps)-1 {
			bake = plan.Bake
		}
		plan.Bakes, before = append(plan.Bakes, bake), d
	}
}

// PlanReport is what a shift would do; its JSON is a contract. Times are
// seconds.
type PlanReport struct {
	Mode     cutover.Mode    `json:"mode"`
	Plan     string          `json:"plan"`
	From     cutover.Dials   `json:"from"`
	Exposure cutover.Percent `json:"exposure"`
	Steps    []PlannedStep   `json:"steps"`
	Promote  bool            `json:"promote"`
	// EarliestS is where every wait is the shortest, LikelyS with Route 53's
	// usual time to be in sync. Gates are opened at once in both.
	EarliestS float64 `json:"earliest_s"`
	LikelyS   float64 `json:"likely_s"`
	// ExposedS is how long users are on green's candidate before the end.
	ExposedS float64 `json:"exposed_s"`
	// Rate is everybody's requests a second, null where they are not known.
	Rate     *float64 `json:"rate"`
	LatencyS float64  `json:"latency_s"` // from a failed request to everybody being back
	// WorstHarmed is what a green that is bad from the start is expected to
	// harm before it is sent back, LateHarmed one that turns bad at the end.
	WorstHarmed *float64 `json:"worst_harmed"`
	LateHarmed  *float64 `json:"late_harmed"`
	// StepJobS is the least shift.job_timeout by which each step can be begun,
	// in a run of its own, and AllJobS by which one run can begin all of them.
	StepJobS float64 `json:"step_job_s"`
	AllJobS  float64 `json:"all_job_s"`
	// Unfit says why the shift does not fit into one job, "" where it does.
	Unfit       string   `json:"unfit,omitempty"`
	Notes       []string `json:"notes"`
	NextCommand string   `json:"next_command"`
}

// PlannedStep is one step of a plan.
type PlannedStep struct {
	Dials    cutover.Dials   `json:"dials"`
	Exposure cutover.Percent `json:"exposure"`
	SettleS  float64         `json:"settle_s"`
	BakeS    float64         `json:"bake_s"`
	Approval bool            `json:"approval,omitempty"` // somebody has to approve it first
}

// Plan shows what Shift would do. It changes nothing.
func (a *App) Plan(ctx context.Context, ask ShiftAsk) (PlanReport, error) {
	if _, err := a.Clients.Account(ctx, a.Config.TargetRegion); err != nil {
		return PlanReport{}, refused(err)
	}
	top, err := a.control().Topology(ctx)
	if err != nil {
		return PlanReport{}, a.notDeployed(err)
	}
	live, err := awsapi.NewTraffic(a.Clients, top).Read(ctx)
	if err != nil {
		return PlanReport{}, refused(err)
	}
	plan, budget, err := a.strategy(ctx, top, live, ask)
	if err != nil {
		return PlanReport{}, refused(err)
	}
	r := report(live, plan)
	r.Plan = a.Config.Shift.Plan
	if !plan.Paced && a.Config.Evidence.MinRequests == 0 {
		r.Notes = append(r.Notes, probesAlone)
	}
	a.harm(ctx, &r, top, plan, budget)
	if a.Clients.EndUnknown(ctx) {
		r.Notes = append(r.Notes, endUnknown)
	}
	if until := a.until(ctx); !until.IsZero() {
		end := a.Clock.Now().Add(time.Duration(r.LikelyS * float64(time.Second)))
		if why := plan.Outlives(0, a.Clock.Now(), until); why != "" {
			r.Unfit = "it is not begun: " + why
		} else if end.After(until) {
			r.Unfit = fmt.Sprintf("it ends about %v after this job or its credentials do: it will be held in front of a step, for 'tapctl shift --resume'", end.Sub(until).Round(time.Minute))
		}
	}
	return r, nil
}
