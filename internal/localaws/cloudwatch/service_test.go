package cloudwatch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/cloudwatch"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

var origin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type world struct {
	*testing.T
	clock   *clock.Manual
	service *cloudwatch.Service
	client  *api.Client
}

func start(t *testing.T, authorize ...wire.Authorizer) *world {
	t.Helper()
	c := clock.NewManual(origin)
	options := cloudwatch.Options{Clock: c}
	if len(authorize) > 0 {
		options.Authorize = authorize[0]
	}
	service := cloudwatch.New(options)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		ctx := wire.NewContext(r.Context(), wire.Call{Service: name, Region: region, AccessKeyID: key, RequestID: "r", Now: c.Now()})
		service.Handler().ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	client := api.New(api.Options{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), RetryMaxAttempts: 1})
	return &world{t, c, service, client}
}

func (w *world) record(name string, x float64) {
	w.service.Record(w.clock.Now(), "eu-west-1", "AWS/Lambda", name, map[string]string{"FunctionName": "f"}, x, "Count")
}

// minute passes a minute and lets the alarms be evaluated.
func (w *world) minute() {
	w.clock.Advance(time.Minute)
	w.service.Evaluate(w.clock.Now())
}

func (w *world) alarm(name string, change func(*api.PutMetricAlarmInput)) {
	w.Helper()
	in := &api.PutMetricAlarmInput{
		AlarmName: aws.String(name), Namespace: aws.String("AWS/Lambda"), MetricName: aws.String("Errors"),
		Dimensions: []types.Dimension{{Name: aws.String("FunctionName"), Value: aws.String("f")}},
		Statistic:  types.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1),
		ComparisonOperator: types.ComparisonOperatorGreaterThanOrEqualToThreshold, TreatMissingData: aws.String("notBreaching"),
		Tags: []types.Tag{{Key: aws.String("Owner"), Value: aws.String("team")}},
	}
	if change != nil {
		change(in)
	}
	if _, err := w.client.PutMetricAlarm(context.Background(), in); err != nil {
		w.Fatal(err)
	}
}

func (w *world) state(name string) types.MetricAlarm {
	w.Helper()
	out, err := w.client.DescribeAlarms(context.Background(), &api.DescribeAlarmsInput{AlarmNames: []string{name}})
	if err != nil {
		w.Fatal(err)
	}
	if len(out.MetricAlarms) != 1 {
		w.Fatalf("%d alarms named %s", len(out.MetricAlarms), name)
	}
	return out.MetricAlarms[0]
}

func TestAlarmFiresOnceItsMinuteIsVisible(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.alarm("errors", nil)
	got := w.state("errors")
	if got.StateValue != types.StateValueInsufficientData || !aws.ToBool(got.ActionsEnabled) || aws.ToFloat64(got.Threshold) != 1 {
		t.Fatalf("a new alarm is %+v", got)
	}
	w.record("Errors", 1) // in the minute 12:00, visible at 12:02
	w.minute()
	if got := w.state("errors"); got.StateValue != types.StateValueOk {
		t.Fatalf("at 12:01 %s: the datapoint cannot be visible yet", got.StateValue)
	}
	w.minute()
	got = w.state("errors")
	want := "Threshold Crossed: 1 out of the last 1 datapoint [1.0 (01/03/26 12:00:00)] was greater than or equal to the threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition)."
	if got.StateValue != types.StateValueAlarm || aws.ToString(got.StateReason) != want || !got.StateTransitionedTimestamp.Equal(origin.Add(2*time.Minute)) {
		t.Fatalf("at 12:02 %s since %v: %s", got.StateValue, got.StateTransitionedTimestamp, aws.ToString(got.StateReason))
	}
	for range 3 {
		w.minute()
	}
	if got := w.state("errors"); got.StateValue != types.StateValueOk {
		t.Errorf("with the datapoint out of the evaluation range: %s", got.StateValue)
	}
	history, err := w.client.DescribeAlarmHistory(context.Background(), &api.DescribeAlarmHistoryInput{AlarmName: aws.String("errors"), HistoryItemType: types.HistoryItemTypeStateUpdate, ScanBy: types.ScanByTimestampAscending})
	if err != nil {
		t.Fatal(err)
	}
	var summaries []string
	for _, item := range history.AlarmHistoryItems {
		summaries = append(summaries, aws.ToString(item.HistorySummary))
	}
	if diff := cmp.Diff([]string{"Alarm updated from INSUFFICIENT_DATA to OK", "Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"}, summaries); diff != "" {
		t.Error(diff)
	}
}

func TestDynamoDBAlarmsIgnoreMissingDataAndMathDoesNot(t *testing.T) {
	t.Parallel()
	w := start(t)
	table := []types.Dimension{{Name: aws.String("TableName"), Value: aws.String("t")}}
	w.alarm("plain", func(in *api.PutMetricAlarmInput) {
		in.Namespace, in.MetricName, in.Dimensions = aws.String("AWS/DynamoDB"), aws.String("WriteThrottleEvents"), table
	})
	query := func(id, metric string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: aws.String(id), ReturnData: aws.Bool(false), MetricStat: &types.MetricStat{Period: aws.Int32(60), Stat: aws.String("Sum"),
			Metric: &types.Metric{Namespace: aws.String("AWS/DynamoDB"), MetricName: aws.String(metric), Dimensions: table}}}
	}
	w.alarm("math", func(in *api.PutMetricAlarmInput) {
		in.Namespace, in.MetricName, in.Dimensions, in.Statistic, in.Period = nil, nil, nil, "", nil
		in.EvaluationPeriods, in.DatapointsToAlarm = aws.Int32(3), aws.Int32(1)
		in.Metrics = []types.MetricDataQuery{query("r", "ReadThrottleEvents"), query("w", "WriteThrottleEvents"),
			{Id: aws.String("both"), Expression: aws.String("FILL(r, 0) + FILL(w, 0)")}}
	})
	check := func(when string, plain, math types.StateValue) {
		t.Helper()
		if got := w.state("plain").StateValue; got != plain {
			t.Errorf("%s: plain alarm %s, want %s", when, got, plain)
		}
		if got := w.state("math").StateValue; got != math {
			t.Errorf("%s: math alarm %s, want %s", when, got, math)
		}
	}
	w.minute()
	check("without data", types.StateValueInsufficientData, types.StateValueOk)
	w.service.Record(w.clock.Now(), "eu-west-1", "AWS/DynamoDB", "WriteThrottleEvents", map[string]string{"TableName": "t"}, 1, "Count")
	w.minute()
	w.minute()
	check("after a burst", types.StateValueAlarm, types.StateValueAlarm)
	for range 10 {
		w.minute()
	}
	check("ten quiet minutes later", types.StateValueAlarm, types.StateValueOk)
}

func TestDescribeAlarmsFiltersAndPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	for i := range 5 {
		w.alarm(fmt.Sprintf("a%d", i), nil)
	}
	w.alarm("b", nil)
	describe := func(in *api.DescribeAlarmsInput) []string {
		t.Helper()
		var names []string
		pages := api.NewDescribeAlarmsPaginator(w.client, in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range out.MetricAlarms {
				names = append(names, aws.ToString(a.AlarmName))
			}
		}
		return names
	}
	for _, tt := range []struct {
		in   api.DescribeAlarmsInput
		want []string
	}{
		{api.DescribeAlarmsInput{AlarmNamePrefix: aws.String("a"), MaxRecords: aws.Int32(2)}, []string{"a0", "a1", "a2", "a3", "a4"}},
		{api.DescribeAlarmsInput{AlarmNames: []string{"a1", "typo"}}, []string{"a1"}},
		{api.DescribeAlarmsInput{StateValue: types.StateValueOk}, nil},
		{api.DescribeAlarmsInput{AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm}}, nil},
	} {
		if diff := cmp.Diff(tt.want, describe(&tt.in)); diff != "" {
			t.Errorf("%+v: %s", tt.in, diff)
		}
	}
}

func TestSetAlarmStateLastsUntilTheNextEvaluation(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.alarm("errors", nil)
	if _, err := w.client.SetAlarmState(context.Background(), &api.SetAlarmStateInput{AlarmName: aws.String("errors"), StateValue: types.StateValueAlarm, StateReason: aws.String("drill")}); err != nil {
		t.Fatal(err)
	}
	if got := w.state("errors").StateValue; got != types.StateValueAlarm {
		t.Fatalf("set to ALARM, is %s", got)
	}
	if breaching, hasData, exists := w.service.AlarmStream(w.clock.Now(), "eu-west-1", "errors"); breaching || hasData || !exists {
		t.Errorf("a health check saw %v %v %v in the forced state", breaching, hasData, exists)
	}
	w.minute()
	if got := w.state("errors").StateValue; got != types.StateValueOk {
		t.Errorf("after an evaluation it is %s", got)
	}
	_, err := w.client.SetAlarmState(context.Background(), &api.SetAlarmStateInput{AlarmName: aws.String("none"), StateValue: types.StateValueAlarm, StateReason: aws.String("drill")})
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "ResourceNotFound" {
		t.Errorf("an unknown alarm gives %v", err)
	}
}

func TestCopiedAlarmSurvivesEdits(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.alarm("errors", nil)
	eval, ok := w.service.CopyAlarm("eu-west-1", "errors")
	if !ok {
		t.Fatal("no copy")
	}
	w.alarm("errors", func(in *api.PutMetricAlarmInput) { in.Threshold = aws.Float64(100) })
	w.record("Errors", 2)
	w.minute()
	w.minute()
	if breaching, hasData := eval(w.clock.Now()); !breaching || !hasData {
		t.Errorf("the copy sees breaching %v, data %v", breaching, hasData)
	}
	if breaching, hasData, _ := w.service.AlarmStream(w.clock.Now(), "eu-west-1", "errors"); breaching || !hasData {
		t.Errorf("the edited alarm sees breaching %v, data %v", breaching, hasData)
	}
	w.alarm("p99", func(in *api.PutMetricAlarmInput) { in.Statistic, in.ExtendedStatistic = "", aws.String("p99") })
	if _, ok := w.service.CopyAlarm("eu-west-1", "p99"); ok {
		t.Error("a percentile alarm was copied for a health check")
	}
}

func TestMetricDataMathAndPaging(t *testing.T) {
	t.Parallel()
	w := start(t)
	for i := range 4 {
		if i != 2 {
			w.record("Errors", float64(i+1))
			w.record("Errors", 1)
		}
		w.record("Invocations", 10)
		w.clock.Advance(time.Minute)
	}
	w.clock.Advance(time.Minute)
	stat := func(id, name string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: aws.String(id), ReturnData: aws.Bool(id == "e"), MetricStat: &types.MetricStat{Period: aws.Int32(60), Stat: aws.String("Sum"),
			Metric: &types.Metric{Namespace: aws.String("AWS/Lambda"), MetricName: aws.String(name), Dimensions: []types.Dimension{{Name: aws.String("FunctionName"), Value: aws.String("f")}}}}}
	}
	in := &api.GetMetricDataInput{
		StartTime: aws.Time(origin), EndTime: aws.Time(origin.Add(4 * time.Minute)), ScanBy: types.ScanByTimestampAscending, MaxDatapoints: aws.Int32(3),
		MetricDataQueries: []types.MetricDataQuery{stat("e", "Errors"), stat("i", "Invocations"),
			{Id: aws.String("rate"), Expression: aws.String("100 * FILL(e, 0) / i")}, {Id: aws.String("all"), Expression: aws.String("SUM(METRICS())")}},
	}
	got := map[string][]float64{}
	calls := 0
	pages := api.NewGetMetricDataPaginator(w.client, in)
	for pages.HasMorePages() {
		calls++
		out, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.MetricDataResults {
			got[aws.ToString(r.Id)] = append(got[aws.ToString(r.Id)], r.Values...)
		}
	}
	want := map[string][]float64{"e": {2, 3, 5}, "rate": {20, 30, 0, 50}, "all": {12, 13, 10, 15}}
	if diff := cmp.Diff(want, got); diff != "" || calls != 4 {
		t.Errorf("%d calls: %s", calls, diff)
	}
	in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{Id: aws.String("x"), Expression: aws.String("ANOMALY_DETECTION_BAND(e)")})
	if _, err := w.client.GetMetricData(context.Background(), in); err == nil {
		t.Error("an unknown function was accepted")
	}
}

func TestPutMetricDataAndStatistics(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx := context.Background()
	put := func(namespace string, d types.MetricDatum) error {
		_, err := w.client.PutMetricData(ctx, &api.PutMetricDataInput{Namespace: aws.String(namespace), MetricData: []types.MetricDatum{d}})
		return err
	}
	if err := put("tapctl", types.MetricDatum{MetricName: aws.String("m"), Values: []float64{1, 2, 3}, Counts: []float64{97, 2, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := put("AWS/Lambda", types.MetricDatum{MetricName: aws.String("m"), Value: aws.Float64(1)}); err == nil {
		t.Error("a datum in a namespace of AWS was accepted")
	}
	if err := put("tapctl", types.MetricDatum{MetricName: aws.String("m")}); err == nil {
		t.Error("a datum without a value was accepted")
	}
	w.clock.Advance(2 * time.Minute)
	out, err := w.client.GetMetricStatistics(ctx, &api.GetMetricStatisticsInput{Namespace: aws.String("tapctl"), MetricName: aws.String("m"), StartTime: aws.Time(origin), EndTime: aws.Time(w.clock.Now()), Period: aws.Int32(60),
		Statistics: []types.Statistic{types.StatisticSum, types.StatisticSampleCount, types.StatisticMaximum}, ExtendedStatistics: []string{"p98", "p50"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []types.Datapoint{{Timestamp: aws.Time(origin), Sum: aws.Float64(104), SampleCount: aws.Float64(100), Maximum: aws.Float64(3), ExtendedStatistics: map[string]float64{"p98": 2, "p50": 1}}}
	if diff := cmp.Diff(want, out.Datapoints, cmpopts.IgnoreUnexported(types.Datapoint{})); diff != "" {
		t.Error(diff)
	}
	list, err := w.client.ListMetrics(ctx, &api.ListMetricsInput{Namespace: aws.String("tapctl")})
	if err != nil || len(list.Metrics) != 1 {
		t.Errorf("%d metrics listed, %v", len(list.Metrics), err)
	}
}

func TestPutMetricAlarmRejects(t *testing.T) {
	t.Parallel()
	w := start(t)
	for name, change := range map[string]func(*api.PutMetricAlarmInput){
		"period":     func(in *api.PutMetricAlarmInput) { in.Period = aws.Int32(45) },
		"statistics": func(in *api.PutMetricAlarmInput) { in.ExtendedStatistic = aws.String("p99") },
		"treat":      func(in *api.PutMetricAlarmInput) { in.TreatMissingData = aws.String("good") },
		"m of n":     func(in *api.PutMetricAlarmInput) { in.DatapointsToAlarm = aws.Int32(2) },
		"a day":      func(in *api.PutMetricAlarmInput) { in.EvaluationPeriods = aws.Int32(1441) },
		"band":       func(in *api.PutMetricAlarmInput) { in.ThresholdMetricId = aws.String("band") },
		"math and metric": func(in *api.PutMetricAlarmInput) {
			in.Metrics = []types.MetricDataQuery{{Id: aws.String("x"), Expression: aws.String("TIME_SERIES(1)"), Period: aws.Int32(60)}}
		},
		"math": func(in *api.PutMetricAlarmInput) {
			in.Namespace, in.MetricName, in.Dimensions, in.Statistic, in.Period = nil, nil, nil, "", nil
			in.Metrics = []types.MetricDataQuery{{Id: aws.String("x"), Expression: aws.String("FILL(y, 0)"), Period: aws.Int32(60)}}
		},
	} {
		in := &api.PutMetricAlarmInput{AlarmName: aws.String("a"), Namespace: aws.String("n"), MetricName: aws.String("m"), Statistic: types.StatisticSum, Period: aws.Int32(60),
			EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold}
		change(in)
		_, err := w.client.PutMetricAlarm(context.Background(), in)
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "ValidationError" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTagsAndDashboards(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx := context.Background()
	w.alarm("errors", nil)
	arn := w.state("errors").AlarmArn
	if _, err := w.client.TagResource(ctx, &api.TagResourceInput{ResourceARN: arn, Tags: []types.Tag{{Key: aws.String("Purpose"), Value: aws.String("p")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.UntagResource(ctx, &api.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"Owner"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := w.client.ListTagsForResource(ctx, &api.ListTagsForResourceInput{ResourceARN: arn})
	if err != nil || len(tags.Tags) != 1 || aws.ToString(tags.Tags[0].Key) != "Purpose" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	if _, err := w.client.PutDashboard(ctx, &api.PutDashboardInput{DashboardName: aws.String("d"), DashboardBody: aws.String("{")}); err == nil {
		t.Error("a dashboard that is not JSON was accepted")
	}
	if _, err := w.client.PutDashboard(ctx, &api.PutDashboardInput{DashboardName: aws.String("d"), DashboardBody: aws.String(`{"widgets":[]}`)}); err != nil {
		t.Fatal(err)
	}
	got, err := w.client.GetDashboard(ctx, &api.GetDashboardInput{DashboardName: aws.String("d")})
	if err != nil || aws.ToString(got.DashboardBody) != `{"widgets":[]}` {
		t.Errorf("dashboard %+v, %v", got, err)
	}
	if _, err := w.client.DeleteAlarms(ctx, &api.DeleteAlarmsInput{AlarmNames: []string{"errors"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.DeleteAlarms(ctx, &api.DeleteAlarmsInput{AlarmNames: []string{"errors"}}); err == nil {
		t.Error("an alarm was deleted twice")
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.service.Run(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
