package infra

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/topology"
)

// CellInput is what one region's cell is built from.
type CellInput struct {
	Input
	Side    topology.Side
	Base    Base
	API     Artifact
	Forward Artifact // used by green only
	Live    LiveCell
	// DNSPercent is the share of DNS answers that lead to this cell: a canary
	// is only opened by default where it is 0.
	DNSPercent float64
}

// Region is the cell's region.
func (in CellInput) Region() string {
	if in.Side == topology.Blue {
		return in.Config.SourceRegion
	}
	return in.Config.TargetRegion
}

// ForwardTarget is the function the forwarder hands requests to: blue's
// promoted version, and nothing else.
func (in CellInput) ForwardTarget() string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s:live", in.Config.SourceRegion, in.Account, in.Config.Name("api"))
}

// CellProgram provisions everything regional and replaceable.
func CellProgram(in CellInput) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		provider, err := in.provider(ctx, in.Region())
		if err != nil {
			return err
		}
		c := cell{CellInput: in, ctx: ctx, provider: provider, options: []pulumi.ResourceOption{pulumi.Provider(provider)}}
		if err := steps(c.application, c.forwarder, c.restAPI, c.stage, c.domains, c.alarms); err != nil {
			return err
		}
		ctx.Export("alarms", c.alarmNames)
		return nil
	}
}

type cell struct {
	CellInput
	ctx      *pulumi.Context
	provider pulumi.ProviderResource
	options  []pulumi.ResourceOption

	api, forward *function
	rest         *restAPI
	alarmNames   pulumi.StringArray
}

// in adds options to those of every resource of the cell.
func (c *cell) in(more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append(append([]pulumi.ResourceOption{}, c.options...), more...)
}

// fn is the base value of the stage variable fn: what is live wins, so that no
// deploy moves a user from one function to another.
func (c *cell) fn() string {
	switch {
	case c.Live.Exists:
		return c.Live.Fn
	case c.Side == topology.Green:
		return c.Config.Name("forward") + ":live"
	default:
		return c.Config.Name("api") + ":live"
	}
}

// canaryPercent is the live percent, or the default of a new green stage.
func (c *cell) canaryPercent() float64 {
	switch {
	case c.Live.Exists && c.Live.Canary:
		return c.Live.CanaryPercent
	case c.Live.Exists || c.DNSPercent > 0:
		return 0
	default:
		return InitialCanary
	}
}
