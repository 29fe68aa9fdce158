package infra

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/topology"
)

// KillNamespace and KillMetric name the metric that an operator sends to take
// green out of the answers without tapctl and without Route 53's control plane:
//
//	aws cloudwatch put-metric-data --region KILL_REGION --namespace tapctl \
//	  --metric-name GreenKill --dimensions Environment=TEAM-ENV --value 1
//
// https://docs.aws.amazon.com/apigateway/latest/developerguide/dns-failover.html
const (
	KillNamespace = "tapctl"
	KillMetric    = "GreenKill"
	KillAlarm     = "green-kill"
)

// recordCheck is the brake that needs no tapctl. Green's record stays in the
// answers while the endpoint answers AND the failure rate's metric does not
// breach AND nobody pulled the switch. Blue's depends on its endpoint alone:
// with blue at 100 and green at 0, an unhealthy blue sends everybody to green,
// which a few errors of today's production must never do. It is nil where an
// external blue has no URL that could be checked.
func (e *edge) recordCheck(side topology.Side) (*route53.HealthCheck, error) {
	endpoint, err := e.endpointCheck(side)
	if err != nil || endpoint == nil {
		return nil, err
	}
	children := pulumi.StringArray{endpoint.ID()}
	if side == topology.Green {
		rate, err := e.alarmCheck()
		if err != nil {
			return nil, err
		}
		kill, err := e.killCheck()
		if err != nil {
			return nil, err
		}
		children = append(children, rate.ID(), kill.ID())
	}
	return route53.NewHealthCheck(e.ctx, "record-"+string(side), &route53.HealthCheckArgs{
		Type: pulumi.String("CALCULATED"), ChildHealthThreshold: pulumi.Int(len(children)), ChildHealthchecks: children,
		Tags: e.tags("record of " + string(side)),
	}, e.options...)
}

func (e *edge) endpointCheck(side topology.Side) (*route53.HealthCheck, error) {
	host, port, path := e.Config.ProbeName(e.region(side)), 443, e.Config.Function.HealthPath
	options := e.options
	if e.external(side) {
		if e.Config.Source.External.URL == "" {
			// An alias target answers under the public name only, and a check of
			// that name would check whichever side DNS picked.
			return nil, nil
		}
		var err error
		if host, port, path, err = checkTarget(e.Config.Source.External.URL, path); err != nil {
			return nil, err
		}
	} else {
		probes, err := e.probeRecords(side)
		if err != nil {
			return nil, err
		}
		options = append(append([]pulumi.ResourceOption{}, options...), pulumi.DependsOn(probes))
	}
	return route53.NewHealthCheck(e.ctx, "endpoint-"+string(side), &route53.HealthCheckArgs{
		Type: pulumi.String("HTTPS"), Fqdn: pulumi.String(host), Port: pulumi.Int(port),
		ResourcePath: pulumi.String(path), EnableSni: pulumi.Bool(true),
		RequestInterval: pulumi.Int(30), FailureThreshold: pulumi.Int(3),
		Tags: e.tags("endpoint of " + string(side)),
	}, options...)
}

func checkTarget(external, healthPath string) (host string, port int, path string, err error) {
	u, err := url.Parse(external)
	if err != nil {
		return "", 0, "", fmt.Errorf("edge: source.external.url: %w", err)
	}
	port = 443
	if p := u.Port(); p != "" {
		if port, err = net.LookupPort("tcp", p); err != nil {
			return "", 0, "", fmt.Errorf("edge: source.external.url: %w", err)
		}
	}
	// Without a path of its own JoinPath leaves the leading slash out.
	return u.Hostname(), port, "/" + strings.TrimPrefix(u.JoinPath(healthPath).Path, "/"), nil
}

// alarmCheck watches the brake alarm's metric, not its state, and keeps a copy
// of its definition: Triggers makes a changed threshold reach it.
func (e *edge) alarmCheck() (*route53.HealthCheck, error) {
	return route53.NewHealthCheck(e.ctx, "alarm-green", &route53.HealthCheckArgs{
		Type:                pulumi.String("CLOUDWATCH_METRIC"),
		CloudwatchAlarmName: pulumi.String(e.Config.Name(BrakeAlarm)), CloudwatchAlarmRegion: pulumi.String(e.Config.TargetRegion),
		// A side without traffic has no data: Unhealthy would take it out
		// before it was ever tried.
		InsufficientDataHealthStatus: pulumi.String("Healthy"),
		Triggers:                     pulumi.StringMap{"threshold": pulumi.String(strconv.FormatFloat(e.Config.Alarms.API5XXRate, 'g', -1, 64))},
		Tags:                         e.tags("failure rate of green"),
	}, e.options...)
}

// killCheck is the operator's switch. Its alarm is in a region that the
// migration does not touch, and no data means that nobody pulled it.
func (e *edge) killCheck() (*route53.HealthCheck, error) {
	alarm, err := cloudwatch.NewMetricAlarm(e.ctx, KillAlarm, &cloudwatch.MetricAlarmArgs{
		Name:             pulumi.String(e.Config.Name(KillAlarm)),
		AlarmDescription: pulumi.String("an operator took green out of the answers"),
		Namespace:        pulumi.String(KillNamespace), MetricName: pulumi.String(KillMetric), Statistic: pulumi.String("Maximum"),
		Dimensions: pulumi.StringMap{"Environment": pulumi.String(e.Config.TeamName + "-" + e.Config.Environment)},
		Period:     pulumi.Int(alarmPeriodSeconds), EvaluationPeriods: pulumi.Int(1),
		ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), Threshold: pulumi.Float64(1),
		TreatMissingData: pulumi.String("notBreaching"),
		Tags:             e.tags("switch of the operator"),
	}, e.killOptions...)
	if err != nil {
		return nil, err
	}
	return route53.NewHealthCheck(e.ctx, "kill-green", &route53.HealthCheckArgs{
		Type:                pulumi.String("CLOUDWATCH_METRIC"),
		CloudwatchAlarmName: alarm.Name, CloudwatchAlarmRegion: pulumi.String(e.Config.KillRegion()),
		InsufficientDataHealthStatus: pulumi.String("Healthy"),
		Tags:                         e.tags("switch of the operator for green"),
	}, e.options...)
}
