package cloudwatch_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// guard is IAM that writes down what it is asked, and denies one action.
type guard struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

func (g *guard) authorize(_ context.Context, ask wire.Ask) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := ask.AccessKeyID + " " + ask.Action + " " + ask.Resource
	for _, key := range slices.Sorted(maps.Keys(ask.Keys)) {
		text += " " + key + "=" + strings.Join(ask.Keys[key], ",")
	}
	g.asks = append(g.asks, text)
	if ask.Action == g.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "User: me is not authorized to perform: %s", ask.Action)
	}
	return nil
}

// during is what was asked while do ran, with one action denied.
func (g *guard) during(denied string, do func() error) ([]string, error) {
	g.mu.Lock()
	g.asks, g.denied = nil, denied
	g.mu.Unlock()
	err := do()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asks, err
}

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

// proven makes each call, wants exactly its questions, and then a refusal of
// the call for each of them.
func (g *guard) proven(t *testing.T, key, code string, all []try) {
	t.Helper()
	for _, one := range all {
		var want []string
		for _, ask := range one.want {
			want = append(want, key+" "+ask)
		}
		// What the call answers is not this test's business, unless a denial.
		got, err := g.during("", one.do)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		for _, ask := range one.want {
			action, _, _ := strings.Cut(ask, " ")
			_, err := g.during(action, one.do)
			api, ok := errors.AsType[smithy.APIError](err)
			if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), action) {
				t.Errorf("without %s: %v", action, err)
			}
		}
	}
}

// call makes a try's function of an operation and its input.
func call[C, In, Out, Option any](t *testing.T, client C, operation func(C, context.Context, *In, ...func(*Option)) (Out, error), in *In) func() error {
	return func() error {
		_, err := operation(client, t.Context(), in)
		return err
	}
}

func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &guard{}
	// Whoever asks has a clock with fractions.
	c, now := start(t, g.authorize).client, aws.Time(origin.Add(518884520))
	const alarm, board = " arn:aws:cloudwatch:eu-west-1:000000000000:alarm:", " arn:aws:cloudwatch::000000000000:dashboard/"
	a, b := aws.String("a"), aws.String("b")
	tags := []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}
	arn := strings.TrimSpace(alarm) + "a"
	g.proven(t, "key", "AccessDenied", []try{
		{call(t, c, (*api.Client).PutMetricData, &api.PutMetricDataInput{Namespace: aws.String("tapctl"), MetricData: []types.MetricDatum{{MetricName: a, Value: aws.Float64(1), Timestamp: now}}}), []string{"cloudwatch:PutMetricData * cloudwatch:namespace=tapctl"}},
		{call(t, c, (*api.Client).GetMetricData, &api.GetMetricDataInput{StartTime: now, EndTime: aws.Time(now.Add(time.Minute)), MetricDataQueries: []types.MetricDataQuery{}}), []string{"cloudwatch:GetMetricData *"}},
		{call(t, c, (*api.Client).GetMetricStatistics, &api.GetMetricStatisticsInput{Namespace: a, MetricName: a, Period: aws.Int32(60), StartTime: now, EndTime: now}), []string{"cloudwatch:GetMetricStatistics *"}},
		{call(t, c, (*api.Client).ListMetrics, &api.ListMetricsInput{}), []string{"cloudwatch:ListMetrics *"}},
		{call(t, c, (*api.Client).PutMetricAlarm, &api.PutMetricAlarmInput{AlarmName: a, AlarmActions: []string{"arn:aws:sns:1"}, OKActions: []string{"arn:aws:sns:2"}, ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(1)}),
			[]string{"cloudwatch:PutMetricAlarm" + alarm + "a cloudwatch:alarmactions=arn:aws:sns:1,arn:aws:sns:2"}},
		{call(t, c, (*api.Client).DescribeAlarms, &api.DescribeAlarmsInput{AlarmNames: []string{"a"}}), []string{"cloudwatch:DescribeAlarms" + alarm + "*"}},
		{call(t, c, (*api.Client).DescribeAlarmHistory, &api.DescribeAlarmHistoryInput{AlarmName: a, StartDate: now, HistoryItemType: types.HistoryItemTypeStateUpdate, ScanBy: types.ScanByTimestampDescending}), []string{"cloudwatch:DescribeAlarmHistory" + alarm + "*"}},
		{call(t, c, (*api.Client).SetAlarmState, &api.SetAlarmStateInput{AlarmName: a, StateReason: a, StateValue: types.StateValueOk}), []string{"cloudwatch:SetAlarmState" + alarm + "a"}},
		{call(t, c, (*api.Client).EnableAlarmActions, &api.EnableAlarmActionsInput{AlarmNames: []string{"a"}}), []string{"cloudwatch:EnableAlarmActions" + alarm + "a"}},
		{call(t, c, (*api.Client).DisableAlarmActions, &api.DisableAlarmActionsInput{AlarmNames: []string{"a"}}), []string{"cloudwatch:DisableAlarmActions" + alarm + "a"}},
		{call(t, c, (*api.Client).ListTagsForResource, &api.ListTagsForResourceInput{ResourceARN: &arn}), []string{"cloudwatch:ListTagsForResource" + alarm + "a"}},
		{call(t, c, (*api.Client).TagResource, &api.TagResourceInput{ResourceARN: &arn, Tags: tags}), []string{"cloudwatch:TagResource" + alarm + "a"}},
		{call(t, c, (*api.Client).UntagResource, &api.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"Owner"}}), []string{"cloudwatch:UntagResource" + alarm + "a"}},
		{call(t, c, (*api.Client).DeleteAlarms, &api.DeleteAlarmsInput{AlarmNames: []string{"a", "b"}}), []string{"cloudwatch:DeleteAlarms" + alarm + "a", "cloudwatch:DeleteAlarms" + alarm + "b"}},
		{call(t, c, (*api.Client).PutDashboard, &api.PutDashboardInput{DashboardName: b, DashboardBody: aws.String("{}")}), []string{"cloudwatch:PutDashboard" + board + "b"}},
		{call(t, c, (*api.Client).GetDashboard, &api.GetDashboardInput{DashboardName: b}), []string{"cloudwatch:GetDashboard" + board + "b"}},
		{call(t, c, (*api.Client).ListDashboards, &api.ListDashboardsInput{}), []string{"cloudwatch:ListDashboards *"}},
		{call(t, c, (*api.Client).DeleteDashboards, &api.DeleteDashboardsInput{DashboardNames: []string{"b"}}), []string{"cloudwatch:DeleteDashboards" + board + "b"}},
	})
}
