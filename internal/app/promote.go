package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

// Promote makes green's candidate live after a shift that ended at 100 percent
// without promoting. It watches what it did and goes back when that is bad.
func (a *App) Promote(ctx context.Context, dryRun bool) (Report, error) {
	asking, cancel := a.untilStop(ctx, 0)
	defer cancel()
	if _, err := a.Clients.Account(asking, a.Config.TargetRegion); err != nil {
		return Report{}, a.early(err)
	}
	control := a.control()
	top, err := control.Topology(asking)
	if err != nil {
		return Report{}, a.notDeployed(err)
	}
	traffic := awsapi.NewTraffic(a.Clients, top)
	live, err := traffic.Read(asking)
	if err != nil {
		return Report{}, a.early(err)
	}
	if live.Base == cutover.Live && live.Canary == 0 && live.LiveVersion == live.NextVersion {
		return nothingToDo(live), nil
	}
	if live.Canary != 100 || live.DNS != 100 {
		return Report{}, &Refused{Cause: fmt.Errorf("promote: not every user is on the candidate yet: %s", live), Next: "tapctl shift --to 100"}
	}
	if dryRun {
		if err := a.leaseIsFree(asking); err != nil {
			return Report{}, a.early(err)
		}
		if err := a.refuseOpen(asking, "promote"); err != nil {
			return Report{}, a.early(err)
		}
		return Report{Outcome: Completed, Dials: live.Dials, Exposure: live.Exposure(), DryRun: true, Steps: []StepReport{},
			Reason: "dry run: would make version " + live.NextVersion + " live and remove the canary", NextCommand: "tapctl promote"}, nil
	}
	held, err := a.take(ctx, "promote")
	if err != nil {
		return Report{}, a.early(err)
	}
	release := sync.OnceFunc(func() { a.release(ctx, held) })
	defer release()
	last, found, err := control.Shift(asking)
	if err != nil {
		return Report{}, a.early(err)
	}
	target := cutover.TargetOf(live)
	if found {
		if last.Phase.Open() {
			return Report{}, openShift("promote", last)
		}
		target = last.Target
	}
	state := cutover.StartPromote(a.newShift(), live, target, a.plan([]cutover.Dials{live.Dials}, true, false), a.Clock.Now())
	watch, stopWatching, err := a.watcher(ctx, top, state, nil)
	if err != nil {
		return Report{}, a.early(err)
	}
	defer stopWatching()
	if err := a.inTime(asking, state); err != nil {
		return Report{}, a.early(err)
	}
	return a.drive(ctx, newSight(traffic, state), watch, held, state, release)
}
