package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
)

// filePlan is a plan as its file has it, within what the configuration allows:
// shift.max_exposure bounds its steps, and shift.approve keeps them beside the
// pauses that the file has itself.
func (a *App) filePlan(path string, live cutover.Setting, ask ShiftAsk) (cutover.Plan, error) {
	entries, err := config.LoadPlan(path)
	if err != nil {
		return cutover.Plan{}, err
	}
	file := stepsOf(entries, live, a.Config.Shift.ApproveTimeout)
	if len(file.steps) == 0 {
		return cutover.Plan{}, cutover.ErrNothingToDo
	}
	if end := file.steps[len(file.steps)-1]; cutover.ModeOf(live) == cutover.Release && end.DNS != live.DNS {
		return cutover.Plan{}, &Refused{Cause: fmt.Errorf("plan %s: a release turns the canary alone, and dns stands at %v%%", path, live.DNS), Next: "take dns out of the plan"}
	}
	if i := file.beyond(ask.Ask.MaxExposure); i >= 0 {
		key := fmt.Sprintf("steps[%d]", file.entries[i]+1)
		return cutover.Plan{}, &Refused{
			Cause: fmt.Errorf("plan %s: %s exposes %v%% of users, and shift.max_exposure allows %v%%", path, key, cutover.Setting{Dials: file.steps[i]}.CandidateExposure(), ask.Ask.MaxExposure),
			Next:  "a smaller " + key + ", or a larger shift.max_exposure",
		}
	}
	plan := a.plan(file.steps, !ask.NoPromote && cutover.Promotes(live, file.steps), ask.Once)
	plan.Bakes = file.bakes
	configured, err := a.gates(plan, live)
	plan.Gates = merge(file.gates, configured, plan)
	return plan, err
}

// planned are the steps and pauses of a plan's file, from where the dials stand.
type planned struct {
	steps   []cutover.Dials
	bakes   []time.Duration
	entries []int // of each step: the index of the entry it is from
	gates   []cutover.Gate
}

// stepsOf leaves out the entries at which the dials stand already. A dial that an
// entry does not have stays where the entry before it had it, left out or not.
func stepsOf(entries []config.PlanStep, live cutover.Setting, timeout time.Duration) (file planned) {
	last, at := live.Dials, live.Dials
	if live.DNS == 0 && live.Base == cutover.Forwarder {
		last.Canary = 0 // the percent for probes is nobody's exposure
	}
	for i, entry := range entries {
		if entry.IsPause() {
			gate := cutover.Gate{Step: len(file.steps), Timeout: entry.TimeoutTime}
			if gate.Timeout == 0 {
				gate.Timeout = timeout
			}
			file.gates = append(file.gates, gate)
			continue
		}
		if entry.DNS != nil {
			last.DNS = max(last.DNS, cutover.Percent(*entry.DNS))
		}
		if entry.Canary != nil {
			last.Canary = max(last.Canary, cutover.Percent(*entry.Canary))
		}
		if last == at {
			continue
		}
		file.steps, file.bakes, file.entries = append(file.steps, last), append(file.bakes, entry.BakeTime), append(file.entries, i)
		at = last
	}
	return file
}

// beyond is the first step that exposes more users than limit, -1 where none
// does, or where there is no limit.
func (p planned) beyond(limit cutover.Percent) int {
	return slices.IndexFunc(p.steps, func(d cutover.Dials) bool {
		return limit > 0 && cutover.Setting{Dials: d}.CandidateExposure() > limit
	})
}

// merge are the file's gates that keep something of the plan, and the configured
// ones where the file has none: its own timeout was meant for that very step.
func merge(file, configured []cutover.Gate, plan cutover.Plan) (all []cutover.Gate) {
	for i, g := range slices.Concat(file, configured) {
		keeps := g.Step > 0 && (g.Step < len(plan.Steps) || plan.Promote)
		known := slices.ContainsFunc(all, func(other cutover.Gate) bool { return other.Step == g.Step })
		if keeps && (i < len(file) || !known) {
			all = append(all, g)
		}
	}
	slices.SortStableFunc(all, func(a, b cutover.Gate) int { return a.Step - b.Step })
	return all
}
