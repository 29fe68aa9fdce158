package awsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/health"
)

// Alarms reads alarms of several regions.
type Alarms struct{ Clients *Clients }

var _ health.AlarmReader = Alarms{}

// namesPerCall is DescribeAlarms' own limit.
const namesPerCall = 100

// ReadAlarms implements health.AlarmReader. An alarm that is not in ALARM but
// changed since then is looked up in its history: it may have been red between
// two looks.
func (a Alarms) ReadAlarms(ctx context.Context, refs []health.AlarmRef, since time.Time) ([]health.AlarmState, error) {
	byRegion := map[string][]string{}
	for _, ref := range refs {
		byRegion[ref.Region] = append(byRegion[ref.Region], ref.Name)
	}
	var states []health.AlarmState
	for region, names := range byRegion {
		for len(names) > 0 {
			n := min(len(names), namesPerCall)
			found, err := a.describe(ctx, region, names[:n], since)
			if err != nil {
				return nil, err
			}
			states, names = append(states, found...), names[n:]
		}
	}
	return states, nil
}

func (a Alarms) describe(ctx context.Context, region string, names []string, since time.Time) ([]health.AlarmState, error) {
	client := a.Clients.CloudWatch(region)
	// Without AlarmTypes only metric alarms are returned, without a word.
	pages := cloudwatch.NewDescribeAlarmsPaginator(client, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: names, AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm, cwtypes.AlarmTypeCompositeAlarm},
	})
	var states []health.AlarmState
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, trouble("describe alarms in "+region, err)
		}
		for _, alarm := range page.MetricAlarms {
			state := health.AlarmState{
				Name: aws.ToString(alarm.AlarmName), Region: region, State: string(alarm.StateValue),
				Since: aws.ToTime(alarm.StateTransitionedTimestamp), EvaluationState: string(alarm.EvaluationState),
				Reason: aws.ToString(alarm.StateReason), Lag: lagOf(alarm),
			}
			if state.State != string(cwtypes.StateValueAlarm) && !state.Since.Before(since) {
				if state.AlarmedAt, err = lastAlarm(ctx, client, state.Name, since); err != nil {
					return nil, err
				}
			}
			states = append(states, state)
		}
		for _, alarm := range page.CompositeAlarms {
			states = append(states, health.AlarmState{
				Name: aws.ToString(alarm.AlarmName), Region: region, State: string(alarm.StateValue),
				Since: aws.ToTime(alarm.StateTransitionedTimestamp), Reason: aws.ToString(alarm.StateReason),
				Lag: health.AlarmLag(time.Minute, 1), // at least; what it is composed of it does not say
			})
		}
	}
	return states, nil
}

// lagOf is health.AlarmLag of an alarm on a metric, or on what several come to.
func lagOf(alarm cwtypes.MetricAlarm) time.Duration {
	period := aws.ToInt32(alarm.Period)
	for _, query := range alarm.Metrics {
		period = max(period, aws.ToInt32(query.Period))
		if query.MetricStat != nil {
			period = max(period, aws.ToInt32(query.MetricStat.Period))
		}
	}
	if period == 0 {
		period = 60
	}
	datapoints := alarm.DatapointsToAlarm
	if datapoints == nil {
		datapoints = alarm.EvaluationPeriods
	}
	return health.AlarmLag(time.Duration(period)*time.Second, int(aws.ToInt32(datapoints)))
}

// lastAlarm is the newest transition into ALARM since then, zero if none.
func lastAlarm(ctx context.Context, client *cloudwatch.Client, name string, since time.Time) (time.Time, error) {
	out, err := client.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{
		AlarmName: &name, HistoryItemType: cwtypes.HistoryItemTypeStateUpdate, StartDate: &since, ScanBy: cwtypes.ScanByTimestampDescending,
	})
	if err != nil {
		return time.Time{}, trouble("read history of alarm "+name, err)
	}
	for _, item := range out.AlarmHistoryItems {
		if wentRed(aws.ToString(item.HistorySummary)) {
			return aws.ToTime(item.Timestamp), nil
		}
	}
	return time.Time{}, nil
}

// wentRed reads CloudWatch's fixed wording: "Alarm updated from OK to ALARM".
func wentRed(summary string) bool {
	const ending = " to ALARM"
	return len(summary) >= len(ending) && summary[len(summary)-len(ending):] == ending
}
