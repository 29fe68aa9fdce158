package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// smokeOnce asks until every side that serves has answered, and checks that
// the canary runs the code just deployed.
func (d *deployment) smokeOnce(ctx context.Context, get func(context.Context) (health.Answer, error), canary, base bool) error {
	for range smokeRequests {
		answer, err := get(ctx)
		if err != nil {
			return err
		}
		if answer.Canary() {
			if answer.Version != d.ask.API.Version {
				return fmt.Errorf("the canary answers with version %q, deployed was %q", answer.Version, d.ask.API.Version)
			}
			canary = false
		} else {
			base = false
		}
		if !canary && !base {
			return nil
		}
	}
	if canary {
		return errors.New("the canary did not answer any request")
	}
	return errors.New("the base side did not answer any request")
}

// smokeRequests is the most that a side of the stage is asked for: at the
// initial canary of 10 percent, missing it 200 times has odds of 1 in 10^9.
// shutOutTries is how often a refusal by the resource policy is asked about
// again: one that was just changed takes seconds to count.
const (
	smokeRequests = 200
	smokePause    = 5 * time.Second
	smokeTries    = 24
	shutOutTries  = 4
)

// smoke probes both cells directly: every side that serves must answer with
// the right code before any user is sent there.
func (d *deployment) smoke(ctx context.Context) error {
	live, err := awsapi.NewTraffic(d.Clients, d.top).Read(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(d.sides(), topology.Blue) {
		if err := d.smokeCell(ctx, d.top.Source, false, true); err != nil {
			return err
		}
	}
	return d.smokeCell(ctx, d.top.Target, live.Canary > 0, live.Canary < 100)
}

func (d *deployment) smokeCell(ctx context.Context, cell topology.Cell, canary, base bool) error {
	prober, err := d.prober(cell)
	if err != nil {
		return err
	}
	if err := d.smokeUntil(ctx, prober.Get, canary, base); err != nil {
		return fmt.Errorf("probe %s in %s: %w", cell.ProbeName, cell.Region, err)
	}
	d.say(cutover.EventStep, "%s answers in %s%s", cell.ProbeName, cell.Region, sides(canary, base))
	return nil
}

// smokeUntil asks again until all is well: a new stage or name takes its time
// to reach the front door. It ends earlier where the door stays shut.
func (d *deployment) smokeUntil(ctx context.Context, get func(context.Context) (health.Answer, error), canary, base bool) error {
	var last error
	refusals := 0
	for try := 0; try < smokeTries; try++ {
		if last = d.smokeOnce(ctx, get, canary, base); last == nil {
			return nil
		}
		if !isShutOut(last) {
			refusals = 0
		} else if refusals++; refusals == shutOutTries {
			return &advised{last, letIn}
		}
		if err := d.Clock.Sleep(ctx, smokePause); err != nil {
			return err
		}
	}
	return last
}

// letIn is what to do about a refusal by the API's resource policy.
const letIn = "add this machine's public address to allowed_cidr (curl -s https://checkip.amazonaws.com prints it), then: tapctl deploy"

func isShutOut(err error) bool {
	_, is := errors.AsType[*health.ShutOutError](err)
	return is
}

func sides(canary, base bool) string {
	switch {
	case canary && base:
		return ", base and canary side"
	case canary:
		return ", canary side"
	default:
		return ", base side"
	}
}

// preview shows what every stack would change. Stacks that feed on another
// that does not exist yet can only be previewed after it.
func (d *deployment) preview(ctx context.Context) error {
	outputs, err := d.ask.Runner.Outputs(ctx, d.name("base"))
	if err != nil {
		return err
	}
	d.top.WebsiteURL = outputs.Text("website_url")
	if err := d.previewStack(ctx, d.name("base"), func() (infra.Counts, []infra.Change, error) {
		counts, planned, err := d.ask.Runner.Preview(ctx, d.name("base"), infra.BaseProgram(d.input))
		return counts, planned, refuseLoss(d.name("base"), planned, err)
	}); err != nil {
		return err
	}
	if err := d.adoptBucket(ctx); err != nil {
		return refused(err)
	}
	if outputs.Text("table_name") == "" {
		d.say(cutover.EventStep, "cells and edge need the base stack's ids: deploy creates them after it")
		return nil
	}
	missing := false
	for _, side := range d.sides() {
		exists, err := d.previewCell(ctx, side, baseOf(outputs))
		if err != nil {
			return err
		}
		missing = missing || !exists
	}
	if missing {
		d.say(cutover.EventStep, "the edge needs both cells' domain names: deploy creates it after them")
		return nil
	}
	in, err := d.edgeInput(ctx, baseOf(outputs))
	if err != nil {
		return err
	}
	return d.previewStack(ctx, d.name("edge"), func() (infra.Counts, []infra.Change, error) {
		return d.ask.Runner.Preview(ctx, d.name("edge"), infra.EdgeProgram(in))
	})
}

func (d *deployment) previewCell(ctx context.Context, side topology.Side, base infra.Base) (exists bool, err error) {
	stack := d.name("cell-" + infra.CellInput{Input: d.input, Side: side}.Region())
	outputs, err := d.ask.Runner.Outputs(ctx, stack)
	if err != nil {
		return false, err
	}
	exists = outputs.Text("rest_api") != ""
	if !d.wanted(side, exists) {
		return exists, nil
	}
	in, err := d.cellInput(ctx, side, base, outputs)
	if err != nil {
		return exists, err
	}
	return exists, d.previewStack(ctx, stack, func() (infra.Counts, []infra.Change, error) {
		return d.ask.Runner.Preview(ctx, stack, infra.CellProgram(in))
	})
}

func (d *deployment) previewStack(ctx context.Context, name string, run func() (infra.Counts, []infra.Change, error)) error {
	_, err := d.stack(ctx, name+" (preview)", func() (infra.Result, error) {
		counts, planned, err := run()
		d.planned = append(d.planned, planned...)
		return infra.Result{Counts: counts}, err
	})
	return err
}
