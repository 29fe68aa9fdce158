package app

import (
	"context"
	"errors"
	"fmt"

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
