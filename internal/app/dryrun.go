package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

// leaseIsFree looks who holds the lease, for a dry run: it takes none.
func (a *App) leaseIsFree(ctx context.Context) error {
	lease, err := a.control().Lease(ctx)
	if err == nil && lease.HeldBy(a.Owner, a.Clock.Now()) {
		err = &cutover.LeaseHeld{Lease: lease}
	}
	return err
}

// planShift is the dry run: what the run would do, and nothing else.
func (a *App) planShift(ctx context.Context, control *awsapi.Control, traffic *awsapi.Traffic, ask ShiftAsk) (Report, error) {
	if err := a.leaseIsFree(ctx); err != nil {
		return Report{}, a.early(err)
	}
	state, _, err := a.prepare(ctx, control, traffic, ask)
	if errors.Is(err, cutover.ErrNothingToDo) {
		return a.nothingLeft(ctx, traffic, ask)
	}
	if err != nil {
		return Report{}, a.early(err)
	}
	if err := a.inTime(ctx, state); err != nil {
		return Report{}, a.early(err)
	}
	return dryRun(state, ask.Resume), nil
}

// dryRun tells what a run of the state would do.
func dryRun(s cutover.State, resume bool) Report {
	r := Report{Outcome: Completed, Dials: s.Last.Dials, Exposure: s.Last.Exposure(), Reason: "dry run: nothing was changed", Steps: []StepReport{}, DryRun: true, NextCommand: "tapctl shift"}
	if resume {
		r.NextCommand = "tapctl shift --resume"
	}
	ahead := s.Plan.Steps[s.Step:]
	switch s.Phase {
	case cutover.Gated:
		ahead = s.Plan.Steps[s.Step+1:] // it has baked
	case cutover.Promoting, cutover.Confirming:
		ahead, r.Reason = nil, fmt.Sprintf("dry run: every step is done; would finish the promotion of version %s and confirm it", s.Want.LiveVersion)
	case cutover.Retreating:
		ahead, r.Reason = nil, fmt.Sprintf("dry run: would go back to %s", s.Target)
		if s.Reason != "" {
			r.Reason += ": " + s.Reason
		}
	case cutover.Turning, cutover.Syncing, cutover.Settling, cutover.Baking, cutover.Completed, cutover.RolledBack, cutover.Held, cutover.Uncertain:
	}
	for _, dials := range ahead {
		r.Steps = append(r.Steps, StepReport{Dials: dials, Exposure: exposureAt(s, dials)})
	}
	return r
}
