package infra

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// rule is one plain alarm: standard resolution, no math, one period. Route 53
// health checks can watch only such alarms.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-types.html
type rule struct {
	name       string // service part of the alarm's name
	namespace  string
	metric     string
	statistic  string
	dimensions map[string]string
	threshold  float64
	why        string
}

// BrakeAlarm is the alarm whose metric Route 53 itself watches. It is a rate:
// one failed request in a minute must not move every user to the other side.
const BrakeAlarm = "api-5xx-rate"

// What an alarm counts one by one, by its name's service part: its threshold
// knows neither how many requests there were nor how blue fares.
const (
	CountsErrors  = "errors"
	CountsRefused = "refused"
)

// AlarmCounts is what the alarm of that name counts, "" where its threshold is a
// rate, a time, or of something that no request shows.
func AlarmCounts(alarm string) string {
	switch {
	case strings.HasSuffix(alarm, "-errors"), strings.HasSuffix(alarm, "-api-5xx"):
		return CountsErrors
	case strings.HasSuffix(alarm, "-api-4xx"):
		return CountsRefused
	default:
		return ""
	}
}

const (
	alarmPeriodSeconds = 60 // vended metrics are 1-minute; a shorter period never has data
	apiNamespace       = "AWS/ApiGateway"
	lambdaNamespace    = "AWS/Lambda"
)

// alarmRules are the plain alarms of a cell, in a fixed order.
func (c *cell) alarmRules() []rule {
	limits := c.Config.Alarms
	api := map[string]string{"ApiName": c.Config.Name("api"), "Stage": StageName}
	milliseconds := func(d interface{ Milliseconds() int64 }) float64 { return float64(d.Milliseconds()) }
	rules := []rule{
		{"api-4xx", apiNamespace, "4XXError", "Sum", api, limits.API4XX, "clients are refused"},
		{"api-5xx", apiNamespace, "5XXError", "Sum", api, limits.API5XX, "requests fail"},
		{BrakeAlarm, apiNamespace, "5XXError", "Average", api, limits.API5XXRate, "too large a share of requests fails"},
		{"api-latency", apiNamespace, "Latency", "Average", api, milliseconds(limits.APILatency), "requests are slow"},
	}
	functions := []struct{ service, alias string }{{"api", "live"}, {"api", "next"}}
	if c.forward != nil {
		functions = append(functions, struct{ service, alias string }{"forward", "live"})
	}
	for _, f := range functions {
		name := c.Config.Name(f.service)
		byAlias := map[string]string{"FunctionName": name, "Resource": name + ":" + f.alias}
		prefix := f.service + "-" + f.alias
		rules = append(rules,
			rule{prefix + "-errors", lambdaNamespace, "Errors", "Sum", byAlias, limits.LambdaErrors, "the function fails"},
			rule{prefix + "-duration", lambdaNamespace, "Duration", "Average", byAlias, milliseconds(limits.LambdaDuration), "the function is slow"})
	}
	return rules
}

// alarms watches the cell. Names are the topology's: a shift asks for exactly
// these and takes a missing one for a failure.
func (c *cell) alarms() error {
	for _, r := range c.alarmRules() {
		alarm, err := cloudwatch.NewMetricAlarm(c.ctx, r.name, &cloudwatch.MetricAlarmArgs{
			Name:             pulumi.String(c.Config.Name(r.name)),
			AlarmDescription: pulumi.String(string(c.Side) + ": " + r.why),
			Namespace:        pulumi.String(r.namespace), MetricName: pulumi.String(r.metric), Statistic: pulumi.String(r.statistic),
			Dimensions: toStringMap(r.dimensions),
			Period:     pulumi.Int(alarmPeriodSeconds), EvaluationPeriods: pulumi.Int(1),
			ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), Threshold: pulumi.Float64(r.threshold),
			// No request is no failure; that nothing was measured at all is the
			// business of the verdict, which asks for traffic as well.
			TreatMissingData: pulumi.String("notBreaching"),
			Tags:             c.tags("alarm: " + r.why),
		}, c.in()...)
		if err != nil {
			return err
		}
		c.alarmNames = append(c.alarmNames, alarm.Name)
	}
	return c.throttleAlarm()
}

// throttleAlarm sums reads and writes with metric math: an alarm on one of
// these metrics alone ignores missing data and so could never leave ALARM
// (that math escapes the rule is not verified on AWS).
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/creating-alarms.html
func (c *cell) throttleAlarm() error {
	metric := func(id, name string) cloudwatch.MetricAlarmMetricQueryArgs {
		return cloudwatch.MetricAlarmMetricQueryArgs{Id: pulumi.String(id), ReturnData: pulumi.Bool(false),
			Metric: &cloudwatch.MetricAlarmMetricQueryMetricArgs{
				Namespace: pulumi.String("AWS/DynamoDB"), MetricName: pulumi.String(name), Stat: pulumi.String("Sum"),
				Period: pulumi.Int(alarmPeriodSeconds), Dimensions: toStringMap(map[string]string{"TableName": c.Base.TableName}),
			}}
	}
	alarm, err := cloudwatch.NewMetricAlarm(c.ctx, "table-throttles", &cloudwatch.MetricAlarmArgs{
		Name:             pulumi.String(c.Config.Name("table-throttles")),
		AlarmDescription: pulumi.String(string(c.Side) + ": the table throttles"),
		MetricQueries: cloudwatch.MetricAlarmMetricQueryArray{
			metric("reads", "ReadThrottleEvents"), metric("writes", "WriteThrottleEvents"),
			cloudwatch.MetricAlarmMetricQueryArgs{Id: pulumi.String("throttles"), Label: pulumi.String("throttled requests"),
				Expression: pulumi.String("FILL(reads, 0) + FILL(writes, 0)"), ReturnData: pulumi.Bool(true)},
		},
		// One minute of three: FILL makes the newest minute 0 before its data
		// has arrived, so that one of one would never see a throttle.
		EvaluationPeriods: pulumi.Int(3), DatapointsToAlarm: pulumi.Int(1),
		ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"),
		Threshold:          pulumi.Float64(c.Config.Alarms.DynamoDBThrottles),
		TreatMissingData:   pulumi.String("notBreaching"),
		Tags:               c.tags("alarm: the table throttles"),
	}, c.in()...)
	if err != nil {
		return err
	}
	c.alarmNames = append(c.alarmNames, alarm.Name)
	return nil
}
