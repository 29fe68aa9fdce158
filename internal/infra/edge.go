package infra

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/topology"
)

// RegionalDomain is where an alias record can lead.
type RegionalDomain struct {
	Name   string // d-xxxx.execute-api.REGION.amazonaws.com
	ZoneID string // API Gateway's hosted zone in that region
}

// ExternalRecord is what blue's record holds where tapctl did not create blue:
// an alias, or addresses with their TTL, per record type.
type ExternalRecord struct {
	Alias *RegionalDomain
	// TargetHealth is the alias's EvaluateTargetHealth.
	TargetHealth bool
	Values       []string
	TTL          int // seconds
}

// EdgeInput is what the records are built from.
type EdgeInput struct {
	Input
	Public map[topology.Side]RegionalDomain // what the public name leads to
	Probe  map[topology.Side]RegionalDomain // what the per-region name leads to
	Live   LiveEdge
	// External is blue's record by type, where the source is external.
	External map[string]ExternalRecord
	// Retired means that blue is gone: green's record is the only one.
	Retired bool
	Bucket  map[string]string // region -> assets, for the dashboard
	Table   string
}

// weights are the live ones, or everything on blue for a new pair.
func (in EdgeInput) weights() map[topology.Side]int {
	switch {
	case in.Live.Exists:
		return map[topology.Side]int{topology.Blue: in.Live.BlueWeight, topology.Green: in.Live.GreenWeight}
	default:
		return map[topology.Side]int{topology.Blue: 100, topology.Green: 0}
	}
}

// sides are those that have a record.
func (in EdgeInput) sides() []topology.Side {
	if in.Retired {
		return []topology.Side{topology.Green}
	}
	return []topology.Side{topology.Blue, topology.Green}
}

// errAllZero: Route 53 answers every member of a set whose weights are all
// zero, so a pair at 0/0 is an even split, not "off".
var errAllZero = errors.New("edge: both live weights are 0, which Route 53 answers with an even split; set one by hand before deploying")

// EdgeProgram provisions the weighted records, the per-region names and the
// health checks that can take a record out of the answers without tapctl.
func EdgeProgram(in EdgeInput) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		if w := in.weights(); !in.Retired && w[topology.Blue] == 0 && w[topology.Green] == 0 {
			return errAllZero
		}
		e := edge{EdgeInput: in, ctx: ctx}
		for region, options := range map[string]*[]pulumi.ResourceOption{in.Config.TargetRegion: &e.options, in.Config.KillRegion(): &e.killOptions} {
			provider, err := in.provider(ctx, region)
			if err != nil {
				return err
			}
			*options = []pulumi.ResourceOption{pulumi.Provider(provider)}
		}
		if err := e.records(); err != nil {
			return err
		}
		return e.dashboard()
	}
}

// records makes the weighted pair of each type, the side that users are on
// first: while a type has one record only, whatever its weight, that one is the
// answer to everybody. Pulumi deletes in the opposite order.
func (e *edge) records() error {
	checks := map[topology.Side]pulumi.StringPtrInput{} // nil: Route 53 takes a record without a check for healthy
	sides := e.sides()
	for _, side := range sides {
		made, err := e.recordCheck(side)
		if err != nil {
			return err
		}
		if made != nil {
			checks[side] = made.ID().ToStringOutput()
			e.checks = append(e.checks, made.ID())
			e.ctx.Export("health_check_"+string(side), made.ID())
		}
	}
	weights := e.weights()
	slices.SortStableFunc(sides, func(a, b topology.Side) int { return cmp.Compare(weights[b], weights[a]) })
	for _, kind := range e.Config.RecordTypes() {
		options := e.options
		for _, side := range sides {
			record, err := e.weighted(side, kind, checks[side], options)
			if err != nil {
				return err
			}
			options = append(slices.Clone(e.options), pulumi.DependsOn([]pulumi.Resource{record}))
		}
	}
	return nil
}

type edge struct {
	EdgeInput
	ctx         *pulumi.Context
	options     []pulumi.ResourceOption
	killOptions []pulumi.ResourceOption
	checks      []pulumi.IDOutput // of the weighted records, in the order of sides
}

func (e *edge) region(side topology.Side) string {
	if side == topology.Blue {
		return e.Config.SourceRegion
	}
	return e.Config.TargetRegion
}

// external tells whether the side is one that tapctl did not create.
func (e *edge) external(side topology.Side) bool {
	return side == topology.Blue && e.Config.Source.External.Set()
}

func (e *edge) weighted(side topology.Side, kind string, check pulumi.StringPtrInput, options []pulumi.ResourceOption) (*route53.Record, error) {
	name := "weighted-" + string(side)
	if kind != "A" {
		name += "-" + strings.ToLower(kind)
	}
	args := &route53.RecordArgs{
		ZoneId: pulumi.String(e.ZoneID), Name: pulumi.String(e.Config.Domain.Name), Type: pulumi.String(kind),
		SetIdentifier: pulumi.String(side),
		HealthCheckId: check,
		WeightedRoutingPolicies: route53.RecordWeightedRoutingPolicyArray{route53.RecordWeightedRoutingPolicyArgs{
			Weight: pulumi.Int(e.weights()[side]),
		}},
	}
	if e.external(side) {
		// deploy made this record weighted, in one batch with the removal of
		// the plain one: it exists, and is taken over.
		args.AllowOverwrite = pulumi.Bool(true)
		if err := e.externalTarget(args, kind); err != nil {
			return nil, err
		}
	} else {
		args.Aliases = e.alias(e.Public[side], false)
	}
	return route53.NewRecord(e.ctx, name, args, options...)
}

func (e *edge) externalTarget(args *route53.RecordArgs, kind string) error {
	target, ok := e.External[kind]
	switch {
	case !ok:
		return fmt.Errorf("edge: the external source has no %s record to take over", kind)
	case target.Alias != nil:
		args.Aliases = e.alias(*target.Alias, target.TargetHealth)
	default:
		args.Ttl = pulumi.Int(target.TTL)
		args.Records = pulumi.ToStringArray(target.Values)
	}
	return nil
}

// alias leads to an API Gateway domain. Its own health says nothing (AWS:
// EvaluateTargetHealth "provides no operational benefit" there), the health
// check on the record does. What an external blue's alias says of it is kept:
// destroy gives the record back as it was found.
func (e *edge) alias(domain RegionalDomain, targetHealth bool) route53.RecordAliasArray {
	return route53.RecordAliasArray{route53.RecordAliasArgs{
		Name: pulumi.String(domain.Name), ZoneId: pulumi.String(domain.ZoneID), EvaluateTargetHealth: pulumi.Bool(targetHealth),
	}}
}

// probeRecords lead to one region only. An IPv6 user of the public name must
// not be judged by probes that came by IPv4 alone, so both types are there.
func (e *edge) probeRecords(side topology.Side) ([]pulumi.Resource, error) {
	var records []pulumi.Resource
	for _, kind := range e.Config.RecordTypes() {
		name := "probe-" + string(side)
		if kind != "A" {
			name += "-" + strings.ToLower(kind)
		}
		record, err := route53.NewRecord(e.ctx, name, &route53.RecordArgs{
			ZoneId: pulumi.String(e.ZoneID), Name: pulumi.String(e.Config.ProbeName(e.region(side))), Type: pulumi.String(kind),
			Aliases: e.alias(e.Probe[side], false),
		}, e.options...)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}
