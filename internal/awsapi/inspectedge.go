package awsapi

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
)

// NameRecord is one record under a name.
type NameRecord struct {
	Type        string
	SetID       string // "" where it has no weight
	Weighted    bool
	Weight      int
	Alias       string // where it leads, without the final dot; "" where it holds values
	HealthCheck string
}

// RecordsUnder are all records that the zone has under exactly this name,
// whatever made them.
func (c *Clients) RecordsUnder(ctx context.Context, zoneID, name string) ([]NameRecord, error) {
	out, err := c.Route53().ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{
		HostedZoneId: &zoneID, StartRecordName: &name, MaxItems: aws.Int32(50),
	})
	if err != nil {
		return nil, trouble("list records of "+name, err)
	}
	var found []NameRecord
	for _, record := range out.ResourceRecordSets {
		if strings.TrimSuffix(aws.ToString(record.Name), ".") != name {
			continue
		}
		one := NameRecord{
			Type: string(record.Type), SetID: aws.ToString(record.SetIdentifier), Weighted: record.Weight != nil,
			Weight: int(aws.ToInt64(record.Weight)), HealthCheck: aws.ToString(record.HealthCheckId),
		}
		if record.AliasTarget != nil {
			one.Alias = strings.TrimSuffix(aws.ToString(record.AliasTarget.DNSName), ".")
		}
		found = append(found, one)
	}
	return found, nil
}

// HealthCheck is one health check as it is configured.
type HealthCheck struct {
	ID       string
	Disabled bool // it then counts as healthy, whatever it sees
	Inverted bool
	Children []string
	// AlarmName and AlarmRegion name the alarm whose metric it watches, "" for
	// other kinds; Copy is the definition that Route 53 took from it.
	AlarmName, AlarmRegion string
	Copy                   AlarmDefinition
}

// AlarmDefinition is what an alarm on one plain metric watches.
type AlarmDefinition struct {
	Namespace, Metric, Statistic, Comparison string
	Threshold                                float64
	Period, Evaluations                      int32 // seconds, and how many of them
	Dimensions                               map[string]string
}

// HealthCheck reads a health check.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheck.html
func (c *Clients) HealthCheck(ctx context.Context, id string) (HealthCheck, error) {
	out, err := c.Route53().GetHealthCheck(ctx, &route53.GetHealthCheckInput{HealthCheckId: &id})
	if err != nil {
		return HealthCheck{}, trouble("read health check "+id, err)
	}
	config := out.HealthCheck.HealthCheckConfig
	found := HealthCheck{ID: id, Disabled: aws.ToBool(config.Disabled), Inverted: aws.ToBool(config.Inverted), Children: config.ChildHealthChecks}
	if alarm := config.AlarmIdentifier; alarm != nil {
		found.AlarmName, found.AlarmRegion = aws.ToString(alarm.Name), string(alarm.Region)
	}
	if stored := out.HealthCheck.CloudWatchAlarmConfiguration; stored != nil {
		found.Copy = AlarmDefinition{
			Namespace: aws.ToString(stored.Namespace), Metric: aws.ToString(stored.MetricName), Statistic: string(stored.Statistic),
			Comparison: string(stored.ComparisonOperator), Threshold: aws.ToFloat64(stored.Threshold),
			Period: aws.ToInt32(stored.Period), Evaluations: aws.ToInt32(stored.EvaluationPeriods), Dimensions: map[string]string{},
		}
		for _, d := range stored.Dimensions {
			found.Copy.Dimensions[aws.ToString(d.Name)] = aws.ToString(d.Value)
		}
	}
	return found, nil
}

// HealthChecks reads the check and its children; the check itself is first.
func (c *Clients) HealthChecks(ctx context.Context, id string) ([]HealthCheck, error) {
	root, err := c.HealthCheck(ctx, id)
	if err != nil {
		return nil, err
	}
	all := []HealthCheck{root}
	for _, child := range root.Children {
		check, err := c.HealthCheck(ctx, child)
		if err != nil {
			return nil, err
		}
		all = append(all, check)
	}
	return all, nil
}

// AlarmDefinitions are the definitions of the region's alarms of these names;
// those that do not exist are not in it, and those on metric math have no
// metric.
func (c *Clients) AlarmDefinitions(ctx context.Context, region string, names []string) (map[string]AlarmDefinition, error) {
	found := map[string]AlarmDefinition{}
	for len(names) > 0 {
		n := min(len(names), namesPerCall)
		pages := cloudwatch.NewDescribeAlarmsPaginator(c.CloudWatch(region), &cloudwatch.DescribeAlarmsInput{
			AlarmNames: names[:n], AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm},
		})
		names = names[n:]
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, trouble("describe alarms in "+region, err)
			}
			for _, alarm := range page.MetricAlarms {
				found[aws.ToString(alarm.AlarmName)] = definitionOf(alarm)
			}
		}
	}
	return found, nil
}

func definitionOf(alarm cwtypes.MetricAlarm) AlarmDefinition {
	d := AlarmDefinition{
		Namespace: aws.ToString(alarm.Namespace), Metric: aws.ToString(alarm.MetricName), Statistic: string(alarm.Statistic),
		Comparison: string(alarm.ComparisonOperator), Threshold: aws.ToFloat64(alarm.Threshold),
		Period: aws.ToInt32(alarm.Period), Evaluations: aws.ToInt32(alarm.EvaluationPeriods), Dimensions: map[string]string{},
	}
	for _, dimension := range alarm.Dimensions {
		d.Dimensions[aws.ToString(dimension.Name)] = aws.ToString(dimension.Value)
	}
	return d
}

// Datapoints is in how many minutes since then each alarm's own metric had
// data, by the alarm's name.
func (c *Clients) Datapoints(ctx context.Context, region string, alarms map[string]AlarmDefinition, since, now time.Time) (map[string]int, error) {
	counts := map[string]int{}
	for name, d := range alarms {
		if d.Metric == "" {
			continue
		}
		values, err := c.series(ctx, region, d, since, now)
		if err != nil {
			return nil, trouble("read the metric of alarm "+name+" in "+region, err)
		}
		counts[name] = len(values)
	}
	return counts, nil
}
