package awsapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
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
	// Lines are those of everybody that the access log has, Counted the requests
	// that API Gateway itself counted, since the stage was made.
	Lines, Counted int
}

// Unlogged tells whether the access log misses more requests than max and more
// than half of what API Gateway counted: such a log is dead, and its silence is
// no evidence. Half, because neither the log nor the metric arrives at once.
func (v Visitors) Unlogged(limit int) bool { return v.Counted > limit && 2*v.Lines < v.Counted }

// visitorLimit ends the count: more than this is not nobody.
const visitorLimit = 1000

// Visitors reads the access log group of the region and its canary twin. A
// group that does not exist has no visitors.
func (c *Clients) Visitors(ctx context.Context, region, group, healthPath string, since, now time.Time) (Visitors, error) {
	var seen Visitors
	pattern := fmt.Sprintf(`{ $.path != "%s" }`, healthPath)
	err := c.accessLines(ctx, region, group, &pattern, since, now, func(lines []string) bool {
		seen.Requests += len(lines)
		seen.Sample = append(seen.Sample, lines...)
		seen.Sample = seen.Sample[max(0, len(seen.Sample)-3):]
		return seen.Requests < visitorLimit
	})
	return seen, err
}

// accessLines gives the lines of an access log group and of its canary twin to
// take, page by page, until that has enough. A group that does not exist has
// none.
func (c *Clients) accessLines(ctx context.Context, region, group string, pattern *string, since, now time.Time, take func(lines []string) (more bool)) error {
	more := true
	for _, name := range []string{group, topology.CanaryLog(group)} {
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(c.Logs(region), &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: &name, FilterPattern: pattern, StartTime: aws.Int64(since.UnixMilli()), EndTime: aws.Int64(now.UnixMilli()),
		})
		for more && pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if code(err) == "ResourceNotFoundException" {
				break
			}
			if err != nil {
				return trouble("read the access log "+name+" in "+region, err)
			}
			var lines []string
			for _, event := range page.Events {
				lines = append(lines, aws.ToString(event.Message))
			}
			more = take(lines)
		}
	}
	return nil
}

// Logged adds to the visitors of a cell what tells a silent access log from a
// dead one: how many requests API Gateway counted since then, and how many lines
// the log has, as far as they are needed. A cell without a stage serves nobody:
// both are 0.
func (c *Clients) Logged(ctx context.Context, seen Visitors, cell topology.Cell, api, group string, since, now time.Time) (Visitors, error) {
	stage, err := c.APIGateway(cell.Region).GetStage(ctx, &apigateway.GetStageInput{RestApiId: &cell.RestAPI, StageName: &cell.Stage})
	if code(err) == "NotFoundException" {
		return seen, nil
	}
	if err != nil {
		return seen, trouble("read the stage of "+api+" in "+cell.Region, err)
	}
	// An earlier API of the name was counted under it, and its log went with it.
	if made := aws.ToTime(stage.CreatedDate); made.After(since) {
		since = made
	}
	counts, err := c.series(ctx, cell.Region, requestCount(api, cell.Stage), since.Truncate(time.Minute).Add(time.Minute), now)
	if err != nil {
		return seen, trouble("read the number of requests of "+api+" in "+cell.Region, err)
	}
	for _, sum := range counts {
		seen.Counted += int(sum)
	}
	err = c.accessLines(ctx, cell.Region, group, nil, since, now, func(lines []string) bool {
		seen.Lines += len(lines)
		return 2*seen.Lines < seen.Counted
	})
	return seen, err
}

// requestCount is how many requests the stage of an API of this name answered.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
func requestCount(api, stage string) AlarmDefinition {
	return AlarmDefinition{Namespace: "AWS/ApiGateway", Metric: "Count", Statistic: "Sum", Dimensions: map[string]string{"ApiName": api, "Stage": stage}}
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
func (c *Clients) RequestRate(ctx context.Context, region, api, stage string, window time.Duration, now time.Time) (float64, error) {
	end := now.Truncate(time.Minute)
	values, err := c.series(ctx, region, requestCount(api, stage), end.Add(-window), end)
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
