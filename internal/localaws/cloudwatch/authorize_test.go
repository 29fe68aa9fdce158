package cloudwatch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire/asktest"
)

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &asktest.Guard{}
	// Whoever asks has a clock with fractions.
	c, now := start(t, g.Authorize).client, aws.Time(origin.Add(518884520))
	const alarm, board = " arn:aws:cloudwatch:eu-west-1:000000000000:alarm:", " arn:aws:cloudwatch::000000000000:dashboard/"
	a, b := aws.String("a"), aws.String("b")
	tags := []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}
	arn := strings.TrimSpace(alarm) + "a"
	for _, one := range []try{
		{asktest.Call(t, c, (*api.Client).PutMetricData, &api.PutMetricDataInput{Namespace: aws.String("tapctl"), MetricData: []types.MetricDatum{{MetricName: a, Value: aws.Float64(1), Timestamp: now}}}), []string{"cloudwatch:PutMetricData * cloudwatch:namespace=tapctl"}},
		{asktest.Call(t, c, (*api.Client).GetMetricData, &api.GetMetricDataInput{StartTime: now, EndTime: aws.Time(now.Add(time.Minute)), MetricDataQueries: []types.MetricDataQuery{}}), []string{"cloudwatch:GetMetricData *"}},
		{asktest.Call(t, c, (*api.Client).GetMetricStatistics, &api.GetMetricStatisticsInput{Namespace: a, MetricName: a, Period: aws.Int32(60), StartTime: now, EndTime: now}), []string{"cloudwatch:GetMetricStatistics *"}},
		{asktest.Call(t, c, (*api.Client).ListMetrics, &api.ListMetricsInput{}), []string{"cloudwatch:ListMetrics *"}},
		{asktest.Call(t, c, (*api.Client).PutMetricAlarm, &api.PutMetricAlarmInput{AlarmName: a, AlarmActions: []string{"arn:aws:sns:1"}, OKActions: []string{"arn:aws:sns:2"}, ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(1)}),
			[]string{"cloudwatch:PutMetricAlarm" + alarm + "a cloudwatch:alarmactions=arn:aws:sns:1,arn:aws:sns:2"}},
		{asktest.Call(t, c, (*api.Client).DescribeAlarms, &api.DescribeAlarmsInput{AlarmNames: []string{"a"}}), []string{"cloudwatch:DescribeAlarms" + alarm + "*"}},
		{asktest.Call(t, c, (*api.Client).DescribeAlarmHistory, &api.DescribeAlarmHistoryInput{AlarmName: a, StartDate: now, HistoryItemType: types.HistoryItemTypeStateUpdate, ScanBy: types.ScanByTimestampDescending}), []string{"cloudwatch:DescribeAlarmHistory" + alarm + "*"}},
		{asktest.Call(t, c, (*api.Client).SetAlarmState, &api.SetAlarmStateInput{AlarmName: a, StateReason: a, StateValue: types.StateValueOk}), []string{"cloudwatch:SetAlarmState" + alarm + "a"}},
		{asktest.Call(t, c, (*api.Client).EnableAlarmActions, &api.EnableAlarmActionsInput{AlarmNames: []string{"a"}}), []string{"cloudwatch:EnableAlarmActions" + alarm + "a"}},
		{asktest.Call(t, c, (*api.Client).DisableAlarmActions, &api.DisableAlarmActionsInput{AlarmNames: []string{"a"}}), []string{"cloudwatch:DisableAlarmActions" + alarm + "a"}},
		{asktest.Call(t, c, (*api.Client).ListTagsForResource, &api.ListTagsForResourceInput{ResourceARN: &arn}), []string{"cloudwatch:ListTagsForResource" + alarm + "a"}},
		{asktest.Call(t, c, (*api.Client).TagResource, &api.TagResourceInput{ResourceARN: &arn, Tags: tags}), []string{"cloudwatch:TagResource" + alarm + "a"}},
		{asktest.Call(t, c, (*api.Client).UntagResource, &api.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"Owner"}}), []string{"cloudwatch:UntagResource" + alarm + "a"}},
		{asktest.Call(t, c, (*api.Client).DeleteAlarms, &api.DeleteAlarmsInput{AlarmNames: []string{"a", "b"}}), []string{"cloudwatch:DeleteAlarms" + alarm + "a", "cloudwatch:DeleteAlarms" + alarm + "b"}},
		{asktest.Call(t, c, (*api.Client).PutDashboard, &api.PutDashboardInput{DashboardName: b, DashboardBody: aws.String("{}")}), []string{"cloudwatch:PutDashboard" + board + "b"}},
		{asktest.Call(t, c, (*api.Client).GetDashboard, &api.GetDashboardInput{DashboardName: b}), []string{"cloudwatch:GetDashboard" + board + "b"}},
		{asktest.Call(t, c, (*api.Client).ListDashboards, &api.ListDashboardsInput{}), []string{"cloudwatch:ListDashboards *"}},
		{asktest.Call(t, c, (*api.Client).DeleteDashboards, &api.DeleteDashboardsInput{DashboardNames: []string{"b"}}), []string{"cloudwatch:DeleteDashboards" + board + "b"}},
	} {
		g.Proven(t, "key", "AccessDenied", one.do, one.want)
	}
}
