package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// Approval is what approve did; its JSON is a contract.
type Approval struct {
	Shift  string    `json:"shift"`
	Step   int       `json:"step"` // counted from 1; one past the last is the promotion
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Opens  string    `json:"opens"` // what may begin now
	DryRun bool      `json:"dry_run,omitempty"`
}

// Approve opens the next gate of the open shift. It moves no traffic: the run
// that waits, or the next one, does.
func (a *App) Approve(ctx context.Context, by string, dryRun bool) (Approval, error) {
	if _, err := a.Clients.Account(ctx, a.Config.TargetRegion); err != nil {
		return Approval{}, refused(err)
	}
	control := a.control()
	shift, found, err := control.Shift(ctx)
	if err != nil {
		return Approval{}, a.notDeployed(err)
	}
	done, err := approvalOf(shift, found, by, a.Clock.Now())
	if done.DryRun = dryRun; err != nil || dryRun {
		return done, err
	}
	return done, refused(control.Approve(ctx, shift.ID, done.Step-1, by, done.At))
}

// approvalOf is what an approval of now would open, or why it opens nothing.
func approvalOf(shift cutover.State, found bool, by string, now time.Time) (Approval, error) {
	step, gated := shift.NextGate()
	switch {
	case !found || !shift.Phase.Open():
		return Approval{}, &Refused{Cause: errors.New("approve: no shift is open"), Next: "tapctl shift"}
	case !gated:
		return Approval{}, &Refused{Cause: fmt.Errorf("approve: nothing ahead of shift %s (%s) waits for an approval", shift.ID, shift.Phase), Next: "tapctl status"}
	}
	if deadline, over := shift.GateOver(now); over {
		return Approval{}, &Refused{
			Cause: fmt.Errorf("approve: step %d of shift %s had to be approved by %s, and nobody did", step+1, shift.ID, deadline.UTC().Format(time.RFC3339)),
			Next:  "tapctl rollback, and then a new shift",
		}
	}
	done := Approval{Shift: shift.ID, Step: step + 1, By: by, At: now.UTC(), Opens: "the promotion"}
	if step < len(shift.Plan.Steps) {
		done.Opens = "step " + cutover.Setting{Dials: shift.Plan.Steps[step], Base: shift.Last.Base}.String()
	}
	return done, nil
}
