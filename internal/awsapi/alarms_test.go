package awsapi_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/health"
)

// alarm makes a plain alarm on a metric of its own name.
func (w *world) alarm(region, name string) {
	w.t.Helper()
	ok[*cloudwatch.PutMetricAlarmOutput](w.t)(w.clients.CloudWatch(region).PutMetricAlarm(w.t.Context(), &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, Namespace: aws.String("Test"), MetricName: &name, Statistic: cwtypes.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
		Threshold: aws.Float64(1), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold, TreatMissingData: aws.String("notBreaching"),
	}))
}

// minutes pass, with an evaluation at the end of each.
func (w *world) minutes(n int) {
	for range n {
		w.clock.Advance(time.Minute)
		w.cloudwatch.Evaluate(w.clock.Now())
	}
}

func (w *world) read(since time.Time, refs ...health.AlarmRef) []health.AlarmState {
	w.t.Helper()
	states := ok[[]health.AlarmState](w.t)(awsapi.Alarms{Clients: w.clients}.ReadAlarms(w.t.Context(), refs, since))
	slices.SortFunc(states, func(a, b health.AlarmState) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Name, b.Name))
	})
	return states
}

func TestReadAlarms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.alarm(greenRegion, "errors")
	w.alarm(greenRegion, "quiet")
	w.alarm(blueRegion, "errors")
	w.minutes(3)
	w.cloudwatch.Record(w.clock.Now(), greenRegion, "Test", "errors", nil, 5, "Count")
	w.minutes(2)
	red := w.clock.Now()
	refs := []health.AlarmRef{{Name: "errors", Region: greenRegion}, {Name: "quiet", Region: greenRegion}, {Name: "errors", Region: blueRegion}, {Name: "typo", Region: greenRegion}}
	got := w.read(red, refs...)
	if len(got) != 3 {
		t.Fatalf("want the three that exist, got %+v", got)
	}
	for i := range got {
		if got[i].State == "ALARM" && got[i].Reason == "" {
			t.Errorf("no reason: %+v", got[i])
		}
		got[i].Reason = ""
		if got[i].State == "OK" {
			got[i].Since = time.Time{}
		}
	}
	same(t, "states", []health.AlarmState{
		{Name: "errors", Region: greenRegion, State: "ALARM", Since: red, Lag: 3 * time.Minute},
		{Name: "quiet", Region: greenRegion, State: "OK", Lag: 3 * time.Minute},
		{Name: "errors", Region: blueRegion, State: "OK", Lag: 3 * time.Minute},
	}, got)
	// The alarm asked for that does not exist is red, not forgotten.
	verdicts := map[string]health.Verdict{}
	for i, f := range health.Alarms(refs, w.read(red, refs...), red, nil) {
		verdicts[refs[i].Name+"@"+refs[i].Region] = f.Verdict
	}
	same(t, "verdicts", map[string]health.Verdict{
		"errors@" + greenRegion: health.Unhealthy, "quiet@" + greenRegion: health.Healthy, "errors@" + blueRegion: health.Healthy, "typo@" + greenRegion: health.Unhealthy,
	}, verdicts)
}

// How late an alarm is follows from its own definition.
func TestAlarmsAreAsLateAsTheyAreDefined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.alarm(greenRegion, "plain")
	put := func(in *cloudwatch.PutMetricAlarmInput) {
		in.Threshold, in.ComparisonOperator = aws.Float64(1), cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold
		ok[*cloudwatch.PutMetricAlarmOutput](t)(w.clients.CloudWatch(greenRegion).PutMetricAlarm(t.Context(), in))
	}
	put(&cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("patient"), Namespace: aws.String("Test"), MetricName: aws.String("m"), Statistic: cwtypes.StatisticSum,
		Period: aws.Int32(300), EvaluationPeriods: aws.Int32(3), DatapointsToAlarm: aws.Int32(2),
	})
	put(&cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("sums"), EvaluationPeriods: aws.Int32(3), Metrics: []cwtypes.MetricDataQuery{
			{Id: aws.String("a"), ReturnData: aws.Bool(false), MetricStat: &cwtypes.MetricStat{
				Period: aws.Int32(60), Stat: aws.String("Sum"), Metric: &cwtypes.Metric{Namespace: aws.String("Test"), MetricName: aws.String("m")},
			}},
			{Id: aws.String("b"), Expression: aws.String("FILL(a, 0)"), ReturnData: aws.Bool(true)},
		},
	})
	want := map[string]time.Duration{"plain": 3 * time.Minute, "patient": 12 * time.Minute, "sums": 5 * time.Minute}
	got := map[string]time.Duration{}
	for name := range want {
		for _, s := range w.read(w.clock.Now(), health.AlarmRef{Name: name, Region: greenRegion}) {
			got[s.Name] = s.Lag
		}
	}
	same(t, "lags", want, got)
}

// Between two looks an alarm can go red and back.
func TestAlarmThatWentRedAndBackIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := health.AlarmRef{Name: "errors", Region: greenRegion}
	w.alarm(greenRegion, "errors")
	w.minutes(3)
	step := w.clock.Now()
	w.cloudwatch.Record(step, greenRegion, "Test", "errors", nil, 5, "Count")
	w.minutes(2)
	red := w.clock.Now()
	if got := w.read(step, ref); got[0].State != "ALARM" {
		t.Fatalf("want it red meanwhile, got %+v", got)
	}
	w.minutes(3)
	got := w.read(step, ref)[0]
	if got.State != "OK" || !got.AlarmedAt.Equal(red) {
		t.Errorf("want OK, alarmed at %v, got %+v", red, got)
	}
	if findings := health.Alarms([]health.AlarmRef{ref}, []health.AlarmState{got}, step, nil); findings[0].Verdict != health.Unhealthy {
		t.Errorf("judged %+v", findings[0])
	}
	for _, later := range []time.Time{red.Add(time.Second), w.clock.Now()} {
		if got := w.read(later, ref)[0]; !got.AlarmedAt.IsZero() {
			t.Errorf("a step that began at %v has nothing to do with it: %+v", later, got)
		}
	}
}

// DescribeAlarms takes 100 names a call.
func TestManyAlarms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var refs []health.AlarmRef
	for i := range 130 {
		ref := health.AlarmRef{Name: fmt.Sprintf("alarm-%03d", i), Region: greenRegion}
		w.alarm(ref.Region, ref.Name)
		refs = append(refs, ref)
	}
	got := w.read(w.clock.Now(), refs...)
	if len(got) != len(refs) {
		t.Errorf("want %d alarms, got %d", len(refs), len(got))
	}
	if last := got[len(got)-1].Name; last != "alarm-129" {
		t.Errorf("the last is %s", last)
	}
}

func TestAlarmsThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.alarm(greenRegion, "errors")
	w.refuse("monitoring")
	_, err := awsapi.Alarms{Clients: w.clients}.ReadAlarms(t.Context(), []health.AlarmRef{{Name: "errors", Region: greenRegion}}, start)
	wantError(t, err, "describe alarms in "+greenRegion+": access denied")
}
