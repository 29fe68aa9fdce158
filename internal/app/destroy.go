package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// DestroyAsk is what destroy is asked to do.
type DestroyAsk struct {
	Runner infra.Runner
	// Base deletes what both regions share as well, the data included.
	Base bool
	// Confirm is the name that was typed: the base stack's.
	Confirm string
	DryRun  bool
}

// DestroyReport is what destroy did; its JSON is a contract.
type DestroyReport struct {
	Stacks  []string     `json:"stacks"` // in the order they went
	Changes infra.Counts `json:"changes"`
	DryRun  bool         `json:"dry_run,omitempty"`
}

// Destroy deletes the edge and the cells, in this order: a record never leads
// to a cell that has gone. It refuses while users are served. Base stays,
// unless it is asked for and its name is typed.
func (a *App) Destroy(ctx context.Context, ask DestroyAsk) (DestroyReport, error) {
	d := &deployment{App: a, ask: DeployAsk{Runner: ask.Runner}}
	report := DestroyReport{DryRun: ask.DryRun, Stacks: d.doomed(ask.Base)}
	if ask.Base && ask.Confirm != d.name("base") {
		return report, &Refused{
			Cause: fmt.Errorf("destroy: base holds the data of both regions; %q is not its name", ask.Confirm),
			Next:  fmt.Sprintf("tapctl destroy --base --confirm %s", d.name("base")),
		}
	}
	if _, err := a.Clients.Account(ctx, a.Config.TargetRegion); err != nil {
		return report, refused(err)
	}
	top, deployed, err := a.doomedTopology(ctx)
	if err != nil {
		return report, refused(err)
	}
	if err := a.refuseServing(ctx, top); err != nil {
		return report, refused(err)
	}
	if !deployed {
		if err := d.refuseForeign(ctx, top); err != nil {
			return report, refused(err)
		}
	}
	if ask.DryRun {
		return report, nil
	}
	held, err := a.take(ctx, "destroy")
	if err != nil && !errors.Is(err, awsapi.ErrNoTopology) {
		return report, refused(err)
	}
	if held != nil { // else the deploy ended before there was a control table
		if !ask.Base { // the lease's table goes with base
			defer a.release(ctx, held)
		}
		var stop func()
		ctx, stop = d.hold(ctx, held)
		defer stop()
		// A shift may have begun, and held, before the lease was this run's.
		if err := a.refuseOpen(ctx, "destroy"); err != nil {
			return report, refused(err)
		}
	}
	if err := a.giveBack(ctx, top); err != nil {
		return report, refused(err)
	}
	err = a.destroy(ctx, d, ask.Base)
	report.Changes = d.counts
	return report, ended(ctx, err)
}

// doomedTopology is what the last deploy stored, or, where one ended half-way
// and stored none, as much as the configuration says of it.
func (a *App) doomedTopology(ctx context.Context) (top topology.Topology, deployed bool, err error) {
	top, err = a.control().Topology(ctx)
	if err == nil || !errors.Is(err, awsapi.ErrNoTopology) {
		return top, true, err
	}
	c := a.Config
	zone, err := a.Clients.ZoneID(ctx, c.Domain.Zone)
	return topology.Topology{
		ZoneID: zone, RecordName: c.Domain.Name, RecordTypes: c.RecordTypes(), External: externalName(c.Source.External), HealthPath: c.Function.HealthPath,
		Source: topology.Cell{Region: c.SourceRegion, SetID: string(topology.Blue)}, Target: topology.Cell{Region: c.TargetRegion, SetID: string(topology.Green)},
	}, false, err
}

// externalName is how a source that tapctl did not create is called, "" where
// there is none.
func externalName(e config.External) string {
	if e.AliasName != "" {
		return "https://" + e.AliasName
	}
	return e.URL
}

// refuseForeign keeps the record that somebody came with from going with the
// edge: a deploy has taken it over, ended half-way, and the configuration no
// longer says that it was theirs.
func (d *deployment) refuseForeign(ctx context.Context, top topology.Topology) error {
	found, err := d.Clients.PublicRecords(ctx, top.ZoneID, top.RecordName)
	if err != nil || top.External != "" || len(found.Blue) == 0 {
		return err
	}
	own, err := d.ask.Runner.Outputs(ctx, d.name("cell-"+d.Config.SourceRegion))
	if err != nil || own.Text("rest_api") != "" {
		return err
	}
	return &Refused{
		Cause: fmt.Errorf("destroy: blue's record of %s (%s) leads to what tapctl did not make, and would be deleted", top.RecordName, describe(found.Blue)),
		Next:  "name what serves its users in source.external again, then: tapctl destroy",
	}
}

// giveBack leaves the record of an external source as it was found: with the
// edge it would be deleted.
func (a *App) giveBack(ctx context.Context, top topology.Topology) error {
	if top.External == "" || top.Retired {
		return nil
	}
	a.say(cutover.EventWrite, "%s is a plain record again, leading to the external source alone", top.RecordName)
	return awsapi.NewTraffic(a.Clients, top).GiveBack(ctx)
}

// doomed are the stacks in the order they go.
func (d *deployment) doomed(base bool) []string {
	stacks := []string{d.name("edge"), d.name("cell-" + d.Config.TargetRegion), d.name("cell-" + d.Config.SourceRegion)}
	if base {
		stacks = append(stacks, d.name("base"))
	}
	return stacks
}

// refuseServing looks at what users do, not at the weights: with the records
// gone nobody is served, whatever they said.
func (a *App) refuseServing(ctx context.Context, top topology.Topology) error {
	if err := a.refuseOpen(ctx, "destroy"); err != nil && !errors.Is(err, awsapi.ErrNoTopology) {
		return err
	}
	for _, cell := range []topology.Cell{top.Source, top.Target} {
		if cell.SetID == top.Source.SetID && (top.External != "" || top.Retired) {
			continue // none of tapctl's
		}
		seen, err := a.visitors(ctx, top, cell)
		if err != nil {
			return err
		}
		if seen.Requests > a.Config.Retire.MaxRequests {
			return &Refused{
				Cause: fmt.Errorf("destroy: %s served %d request(s) in the last %v; the newest: %s", cell.Region, seen.Requests, a.Config.Retire.Quiet, strings.Join(seen.Sample, " ")),
				Next:  "move its users elsewhere, then: tapctl destroy",
			}
		}
		if seen.Unlogged(a.Config.Retire.MaxRequests) {
			return &Refused{Cause: fmt.Errorf("destroy: %s: %s", cell.Region, deadLog(seen, a.Config.Retire.Quiet)), Next: deadLogNext(a.Config.Retire.Quiet, "tapctl destroy")}
		}
	}
	return nil
}

func (a *App) destroy(ctx context.Context, d *deployment, base bool) error {
	for _, stack := range d.doomed(false) {
		if err := d.destroy(ctx, stack); err != nil {
			return err
		}
	}
	if !base {
		return a.forget(ctx)
	}
	return d.destroyBase(ctx)
}

// forget removes the topology, here and in the control table: what it names
// has gone.
func (a *App) forget(ctx context.Context) error {
	if err := a.forgetCopies(); err != nil {
		return err
	}
	err := a.control().Forget(ctx)
	if errors.Is(err, awsapi.ErrNoTopology) {
		return nil
	}
	return err
}

// forgetCopies removes the local copies of topology and journal.
func (a *App) forgetCopies() error {
	for _, file := range []string{a.topologyFile(), a.shiftFile()} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a local copy: %w", err)
		}
	}
	return nil
}

// destroyBase takes the protection off, which is an update of its own, and
// deletes what it was on.
func (d *deployment) destroyBase(ctx context.Context) error {
	if err := d.identify(ctx); err != nil {
		return err
	}
	if err := d.adopt(ctx); err != nil {
		return err
	}
	empty, err := d.ask.Runner.Empty(ctx, d.name("base"))
	if err != nil {
		return err
	}
	if empty { // an earlier run has done it, and an update would make everything anew
		return errors.Join(d.forgetCopies(), d.destroy(ctx, d.name("base")))
	}
	d.input.Unprotected = true
	d.say(cutover.EventWrite, "taking the protection off %s, then deleting it with its data", d.name("base"))
	if _, err := d.stack(ctx, d.name("base")+" (unprotect)", func() (infra.Result, error) {
		return d.ask.Runner.Up(ctx, d.name("base"), infra.BaseProgram(d.input))
	}); err != nil {
		return err
	}
	if err := errors.Join(d.protectReplicas(ctx, false), d.forgetCopies()); err != nil {
		return err
	}
	return d.destroy(ctx, d.name("base"))
}
