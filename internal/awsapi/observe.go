package awsapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/tapctl/tapctl/internal/topology"
)

// Visitors are the requests that a stage's access log has since a time, but
// for those to the health path: Route 53's checkers never stop, and Count
// does not tell them from users.
type Visitors struct {
	Requests int
	Sample   []string // lines of the newest ones, a few
}

// visitorLimit ends the count: more than this is not nobody.
const visitorLimit = 1000

// Visitors reads the access log group of the region and its canary twin. A
// group that does not exist has no visitors.
func (c *Clients) Visitors(ctx context.Context, region, group, healthPath string, since, now time.Time) (Visitors, error) {
	var seen Visitors
	pattern := fmt.Sprintf(`{ $.path != "%s" }`, healthPath)
	for _, name := range []string{group, topology.CanaryLog(group)} {
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(c.Logs(region), &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: &name, FilterPattern: &pattern, StartTime: aws.Int64(since.UnixMilli()), EndTime: aws.Int64(now.UnixMilli()),
		})
		for pages.HasMorePages() && seen.Requests < visitorLimit {
			page, err := pages.NextPage(ctx)
			if code(err) == "ResourceNotFoundException" {
				break
			}
			if err != nil {
				return seen, trouble("read the access log "+name+" in "+region, err)
			}
			seen.Requests += len(page.Events)
			for _, event := range page.Events {
				seen.Sample = append(seen.Sample, aws.ToString(event.Message))
			}
			seen.Sample = seen.Sample[max(0, len(seen.Sample)-3):]
		}
	}
	return seen, nil
}

// Healthy tells whether the health check said 1 in every minute since. It asks
// the metric: GetHealthCheckStatus cannot report calculated checks.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-health-checks.html
func (c *Clients) Healthy(ctx context.Context, healthCheck string, since, now time.Time) (healthy bool, minutes int, err error) {
	values, err := c.series(ctx, globalRegion, AlarmDefinition{
		Namespace: "AWS/Route53", Metric: "HealthCheckStatus", Statistic: "Minimum", Dimensions: map[string]string{"HealthCheckId": healthCheck},
	}, since, now)
	if err != nil {
		return false, 0, trouble("read the status of health check "+healthCheck, err)
	}
	down := slices.ContainsFunc(values, func(v float64) bool { return v != 1 })
	return !down && len(values) > 0, len(values), nil
}

// ReplicationLag is the longest that a write at from took to reach to within
// the window; found is false where nothing was replicated. The metric is in
// the region that was written to.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
func (c *Clients) ReplicationLag(ctx context.Context, from, to, table string, window time.Duration, now time.Time) (lag time.Duration, found bool, err error) {
	values, err := c.series(ctx, from, AlarmDefinition{
		Namespace: "AWS/DynamoDB", Metric: "ReplicationLatency", Statistic: "Maximum",
		Dimensions: map[string]string{"TableName": table, "ReceivingRegion": to},
	}, now.Add(-window), now)
	if err != nil {
		return 0, false, trouble("read the replication lag of table "+table+" from "+from, err)
	}
	for _, milliseconds := range values {
		lag = max(lag, time.Duration(milliseconds*float64(time.Millisecond)))
	}
	return lag, len(values) > 0, nil
}

// RequestRate is how many requests a second the stages of an API of this name
// answered in a region, on average over the minutes of the window that have a
// count; 0 where none has.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
func (c *Clients) RequestRate(ctx context.Context, region, api, stage string, window time.Duration, now time.Time) (float64, error) {
	end := now.Truncate(time.Minute)
	values, err := c.series(ctx, region, AlarmDefinition{
		Namespace: "AWS/ApiGateway", Metric: "Count", Statistic: "Sum", Dimensions: map[string]string{"ApiName": api, "Stage": stage},
	}, end.Add(-window), end)
	if err != nil {
		return 0, trouble("read the request rate of "+api+" in "+region, err)
	}
	requests := 0.0
	for _, sum := range values {
		requests += sum
	}
	return requests / (60 * float64(max(1, len(values)))), nil
}

// series is the metric's values by the minute, the newest first.
func (c *Clients) series(ctx context.Context, region string, d AlarmDefinition, since, now time.Time) ([]float64, error) {
	metric := &cwtypes.Metric{Namespace: &d.Namespace, MetricName: &d.Metric}
	for name, value := range d.Dimensions {
		metric.Dimensions = append(metric.Dimensions, cwtypes.Dimension{Name: aws.String(name), Value: aws.String(value)})
	}
	out, err := c.CloudWatch(region).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: &since, EndTime: &now, ScanBy: cwtypes.ScanByTimestampDescending,
		MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("m"), MetricStat: &cwtypes.MetricStat{
			Period: aws.Int32(60), Stat: aws.String(d.Statistic), Metric: metric,
		}}},
	})
	if err != nil {
		return nil, err
	}
	var values []float64
	for _, result := range out.MetricDataResults {
		values = append(values, result.Values...)
	}
	return values, nil
}
