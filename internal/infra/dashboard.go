package infra

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/topology"
)

// healthRegion is the one region that has the metrics of health checks.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-health-checks.html
const healthRegion = "us-east-1"

// widget is one graph of a dashboard.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
type widget struct {
	Type       string         `json:"type"`
	X          int            `json:"x"`
	Y          int            `json:"y"`
	Width      int            `json:"width"`
	Height     int            `json:"height"`
	Properties map[string]any `json:"properties"`
}

// The grid is 24 wide; two graphs stand side by side.
const (
	graphWidth  = 12
	graphHeight = 6
)

// dashboard is what an operator wants open during a shift: where the traffic
// is, whether it fails or is slow, who answers it, and whether the data has
// caught up. Blue and green share every graph, so that a difference is seen
// without comparing two.
func (e *edge) dashboard() error {
	ids := make([]any, len(e.checks))
	for i, id := range e.checks {
		ids[i] = id
	}
	body := pulumi.All(ids...).ApplyT(func(checks []any) (string, error) {
		encoded, err := json.Marshal(map[string]any{"widgets": arrange(e.graphs(checks))})
		return string(encoded), err
	}).(pulumi.StringOutput)
	_, err := cloudwatch.NewDashboard(e.ctx, "shift", &cloudwatch.DashboardArgs{
		DashboardName: pulumi.String(e.Config.Name("shift")), DashboardBody: body,
	}, e.options...)
	return err
}

func arrange(graphs []map[string]any) []widget {
	widgets := make([]widget, len(graphs))
	for i, properties := range graphs {
		widgets[i] = widget{"metric", i % 2 * graphWidth, i / 2 * graphHeight, graphWidth, graphHeight, properties}
	}
	return widgets
}

// graph is one graph in the green region; its lines may name another.
func (e *edge) graph(title, stat string, lines [][]any) map[string]any {
	return map[string]any{
		"title": title, "stat": stat, "period": alarmPeriodSeconds, "region": e.Config.TargetRegion, "view": "timeSeries", "metrics": lines,
	}
}

func line(region, label string, metric ...any) []any {
	return append(metric, map[string]any{"region": region, "label": label})
}

func (e *edge) graphs(checks []any) []map[string]any {
	var sides []topology.Side
	for _, side := range e.sides() {
		if !e.external(side) { // somebody else's metrics are not known
			sides = append(sides, side)
		}
	}
	stage := func(metric string) (lines [][]any) {
		for _, side := range sides {
			lines = append(lines, line(e.region(side), string(side), apiNamespace, metric, "ApiName", e.Config.Name("api"), "Stage", StageName))
		}
		return lines
	}
	functions := func(metric string) (lines [][]any) {
		for _, side := range sides {
			for _, alias := range []string{"live", "next"} {
				name := e.Config.Name("api")
				lines = append(lines, line(e.region(side), string(side)+" "+alias, lambdaNamespace, metric, "FunctionName", name, "Resource", name+":"+alias))
			}
		}
		return lines
	}
	name := e.Config.Name("forward")
	forwarder := [][]any{
		line(e.Config.TargetRegion, "invocations", lambdaNamespace, "Invocations", "FunctionName", name, "Resource", name+":live"),
		line(e.Config.TargetRegion, "errors", lambdaNamespace, "Errors", "FunctionName", name, "Resource", name+":live"),
	}
	var healthy [][]any
	for i, side := range e.sides()[len(e.sides())-len(checks):] {
		healthy = append(healthy, line(healthRegion, string(side), "AWS/Route53", "HealthCheckStatus", "HealthCheckId", fmt.Sprint(checks[i])))
	}
	return []map[string]any{
		e.graph("Requests: where the traffic is", "Sum", stage("Count")),
		e.graph("Failed share (5XX)", "Average", stage("5XXError")),
		e.graph("Refused share (4XX)", "Average", stage("4XXError")),
		e.graph("Latency, ms, p99", "p99", stage("Latency")),
		e.graph("Function errors by alias", "Sum", functions("Errors")),
		e.graph("Function duration, ms, p99", "p99", functions("Duration")),
		e.graph("Forwarder: requests that blue still answers", "Sum", forwarder),
		e.graph("Health of the records (1: answered)", "Minimum", healthy),
		e.graph("Table: throttled requests", "Sum", e.throttles()),
		e.graph("Replication: behind by", "Maximum", e.behind()),
	}
}

func (e *edge) throttles() (lines [][]any) {
	for _, region := range []string{e.Config.SourceRegion, e.Config.TargetRegion} {
		for _, metric := range []string{"ReadThrottleEvents", "WriteThrottleEvents"} {
			lines = append(lines, line(region, region+" "+metric, "AWS/DynamoDB", metric, "TableName", e.Table))
		}
	}
	return lines
}

func (e *edge) behind() (lines [][]any) {
	regions := []string{e.Config.SourceRegion, e.Config.TargetRegion}
	for i, from := range regions {
		to := regions[1-i]
		lines = append(lines,
			line(from, "table "+from+" to "+to+", ms", "AWS/DynamoDB", "ReplicationLatency", "TableName", e.Table, "ReceivingRegion", to),
			line(from, "assets "+from+" to "+to+", bytes", "AWS/S3", "BytesPendingReplication",
				"SourceBucket", e.Bucket[from], "DestinationBucket", e.Bucket[to], "RuleId", ReplicationRule(to)))
	}
	return lines
}
