package infra

import (
	"errors"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/topology"
)

// RegionalDomain is where an alias record can lead.
type RegionalDomain struct {
	Name   string // d-xxxx.execute-api.REGION.amazonaws.com
	ZoneID string // API Gateway's hosted zone in that region
}

// EdgeInput is what the records are built from.
type EdgeInput struct {
	Input
	Public map[topology.Side]RegionalDomain // what the public name leads to
	Probe  map[topology.Side]RegionalDomain // what the per-region name leads to
	Live   LiveEdge
}

// weights are the live ones, or everything on blue for a new pair.
func (in EdgeInput) weights() map[topology.Side]int {
	if in.Live.Exists {
		return map[topology.Side]int{topology.Blue: in.Live.BlueWeight, topology.Green: in.Live.GreenWeight}
	}
	return map[topology.Side]int{topology.Blue: 100, topology.Green: 0}
}

// errAllZero: Route 53 answers every member of a set whose weights are all
// zero, so a pair at 0/0 is an even split, not "off".
var errAllZero = errors.New("edge: both live weights are 0, which Route 53 answers with an even split; set one by hand before deploying")

// EdgeProgram provisions the weighted records, the per-region names and the
// health checks that can take a record out of the answers without tapctl.
func EdgeProgram(in EdgeInput) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		if w := in.weights(); w[topology.Blue] == 0 && w[topology.Green] == 0 {
			return errAllZero
		}
		provider, err := in.provider(ctx, in.Config.TargetRegion)
		if err != nil {
			return err
		}
		e := edge{EdgeInput: in, ctx: ctx, options: []pulumi.ResourceOption{pulumi.Provider(provider)}}
		for _, side := range []topology.Side{topology.Blue, topology.Green} {
			if err := e.side(side); err != nil {
				return err
			}
		}
		return nil
	}
}

type edge struct {
	EdgeInput
	ctx     *pulumi.Context
	options []pulumi.ResourceOption
}

func (e *edge) region(side topology.Side) string {
	if side == topology.Blue {
		return e.Config.SourceRegion
	}
	return e.Config.TargetRegion
}

func (e *edge) side(side topology.Side) error {
	probe, err := e.probeRecord(side)
	if err != nil {
		return err
	}
	check, err := e.healthCheck(side, probe)
	if err != nil {
		return err
	}
	_, err = route53.NewRecord(e.ctx, "weighted-"+string(side), &route53.RecordArgs{
		ZoneId: pulumi.String(e.ZoneID), Name: pulumi.String(e.Config.Domain.Name), Type: pulumi.String("A"),
		SetIdentifier: pulumi.String(side),
		HealthCheckId: check.ID(),
		WeightedRoutingPolicies: route53.RecordWeightedRoutingPolicyArray{route53.RecordWeightedRoutingPolicyArgs{
			Weight: pulumi.Int(e.weights()[side]),
		}},
		Aliases: e.alias(e.Public[side]),
	}, e.options...)
	e.ctx.Export("health_check_"+string(side), check.ID())
	return err
}

// alias leads to an API Gateway domain. Its own health says nothing (AWS:
// EvaluateTargetHealth "provides no operational benefit" there), the health
// check on the record does.
func (e *edge) alias(domain RegionalDomain) route53.RecordAliasArray {
	return route53.RecordAliasArray{route53.RecordAliasArgs{
		Name: pulumi.String(domain.Name), ZoneId: pulumi.String(domain.ZoneID), EvaluateTargetHealth: pulumi.Bool(false),
	}}
}

func (e *edge) probeRecord(side topology.Side) (*route53.Record, error) {
	return route53.NewRecord(e.ctx, "probe-"+string(side), &route53.RecordArgs{
		ZoneId: pulumi.String(e.ZoneID), Name: pulumi.String(e.Config.ProbeName(e.region(side))), Type: pulumi.String("A"),
		Aliases: e.alias(e.Probe[side]),
	}, e.options...)
}

// healthCheck is the brake that needs no tapctl. Green's record stays in the
// answers while the endpoint answers AND the failure rate's metric does not
// breach. Blue's depends on its endpoint alone: with blue at 100 and green at
// 0, an unhealthy blue sends everybody to green, which a few errors of today's
// production must never do.
func (e *edge) healthCheck(side topology.Side, probe *route53.Record) (*route53.HealthCheck, error) {
	endpoint, err := route53.NewHealthCheck(e.ctx, "endpoint-"+string(side), &route53.HealthCheckArgs{
		Type: pulumi.String("HTTPS"), Fqdn: pulumi.String(e.Config.ProbeName(e.region(side))), Port: pulumi.Int(443),
		ResourcePath: pulumi.String(e.Config.Function.HealthPath), EnableSni: pulumi.Bool(true),
		RequestInterval: pulumi.Int(30), FailureThreshold: pulumi.Int(3),
		Tags: e.tags("endpoint of " + string(side)),
	}, append(e.options, pulumi.DependsOn([]pulumi.Resource{probe}))...)
	if err != nil {
		return nil, err
	}
	children := pulumi.StringArray{endpoint.ID()}
	if side == topology.Green {
		alarm, err := e.alarmCheck(side)
		if err != nil {
			return nil, err
		}
		children = append(children, alarm.ID())
	}
	return route53.NewHealthCheck(e.ctx, "record-"+string(side), &route53.HealthCheckArgs{
		Type: pulumi.String("CALCULATED"), ChildHealthThreshold: pulumi.Int(len(children)), ChildHealthchecks: children,
		Tags: e.tags("record of " + string(side)),
	}, e.options...)
}

// alarmCheck watches the brake alarm's metric, not its state, and keeps a copy
// of its definition: Triggers makes a changed threshold reach it.
func (e *edge) alarmCheck(side topology.Side) (*route53.HealthCheck, error) {
	return route53.NewHealthCheck(e.ctx, "alarm-"+string(side), &route53.HealthCheckArgs{
		Type:                pulumi.String("CLOUDWATCH_METRIC"),
		CloudwatchAlarmName: pulumi.String(e.Config.Name(BrakeAlarm)), CloudwatchAlarmRegion: pulumi.String(e.region(side)),
		// A side without traffic has no data: Unhealthy would take it out
		// before it was ever tried.
		InsufficientDataHealthStatus: pulumi.String("Healthy"),
		Triggers:                     pulumi.StringMap{"threshold": pulumi.String(strconv.FormatFloat(e.Config.Alarms.API5XXRate, 'g', -1, 64))},
		Tags:                         e.tags("failure rate of " + string(side)),
	}, e.options...)
}
