package awsapi

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
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
	for _, name := range []string{group, group + "/Canary"} {
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
	out, err := c.CloudWatch(globalRegion).GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: &since, EndTime: &now,
		MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("status"), MetricStat: &cwtypes.MetricStat{
			Period: aws.Int32(60), Stat: aws.String("Minimum"),
			Metric: &cwtypes.Metric{
				Namespace: aws.String("AWS/Route53"), MetricName: aws.String("HealthCheckStatus"),
				Dimensions: []cwtypes.Dimension{{Name: aws.String("HealthCheckId"), Value: &healthCheck}},
			},
		}}},
	})
	if err != nil {
		return false, 0, trouble("read the status of health check "+healthCheck, err)
	}
	healthy = true
	for _, result := range out.MetricDataResults {
		for _, value := range result.Values {
			minutes++
			healthy = healthy && value == 1
		}
	}
	return healthy && minutes > 0, minutes, nil
}

// DeleteTopology forgets what was deployed, once it has gone.
func (c *Control) DeleteTopology(ctx context.Context) error {
	return c.deleteItem(ctx, pkTopology)
}
