package cloudwatch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// alarm is a metric alarm; its definition and state are the SDK's own type.
type alarm struct {
	types.MetricAlarm
	evaluated time.Time // the last slot it was evaluated in
}

// period is the alarm's own, or the longest of its queries.
func (a *alarm) period() time.Duration {
	seconds := aws.ToInt32(a.Period)
	for _, q := range a.Metrics {
		if q.MetricStat != nil {
			seconds = max(seconds, aws.ToInt32(q.MetricStat.Period))
		}
		seconds = max(seconds, aws.ToInt32(q.Period))
	}
	return time.Duration(seconds) * time.Second
}

// interval is how often AWS evaluates the alarm.
func (a *alarm) interval() time.Duration {
	if p := a.period(); p > 0 && p < time.Minute {
		return 10 * time.Second
	}
	return time.Minute
}

// needed is M of N.
func (a *alarm) needed() (m, n int) {
	n = int(aws.ToInt32(a.EvaluationPeriods))
	if a.DatapointsToAlarm != nil {
		return int(*a.DatapointsToAlarm), n
	}
	return n, n
}

// missing is the treatment of missing data in force.
func (a *alarm) missing(opts Options) string {
	dynamo := aws.ToString(a.Namespace) == "AWS/DynamoDB"
	if opts.DynamoDBMathIgnoresMissing {
		for _, q := range a.Metrics {
			dynamo = dynamo || q.MetricStat != nil && aws.ToString(q.MetricStat.Metric.Namespace) == "AWS/DynamoDB"
		}
	}
	switch {
	case dynamo:
		return "ignore" // AWS, whatever TreatMissingData says
	case a.TreatMissingData == nil:
		return "missing"
	default:
		return *a.TreatMissingData
	}
}

// queries is the alarm's stream as metric data queries, and the id to watch.
func (a *alarm) queries() ([]types.MetricDataQuery, string) {
	if len(a.Metrics) > 0 {
		for _, q := range a.Metrics {
			if q.ReturnData == nil || *q.ReturnData {
				return a.Metrics, aws.ToString(q.Id)
			}
		}
	}
	stat := string(a.Statistic)
	if stat == "" {
		stat = aws.ToString(a.ExtendedStatistic)
	}
	return []types.MetricDataQuery{{Id: aws.String("stream"), MetricStat: &types.MetricStat{
		Metric: &types.Metric{Namespace: a.Namespace, MetricName: a.MetricName, Dimensions: a.Dimensions},
		Period: a.Period, Stat: aws.String(stat), Unit: a.Unit,
	}}}, "stream"
}

// finding is what one evaluation saw.
type finding struct {
	points    []Point
	values    []float64 // of the existing points, newest first, at most n
	times     []time.Time
	start     time.Time
	lowSample bool
}

// look reads the alarm's evaluation range: the whole periods before now.
func (a *alarm) look(r *region, now time.Time, opts Options) (finding, error) {
	period := a.period()
	_, n := a.needed()
	end := alignedEnd(now, min(period, time.Minute))
	start := end.Add(-time.Duration(n+opts.RangeExtra) * period)
	list, id := a.queries()
	q := newQueries(r, list, window{now: now, start: start, end: end, period: period})
	v, err := q.value(id)
	if err != nil {
		return finding{}, err
	}
	if v.kind != seriesValue {
		return finding{}, fmt.Errorf("the expression does not give one time series")
	}
	f := finding{start: start, lowSample: q.lowSample}
	for at := start; at.Before(end); at = at.Add(period) {
		x, ok := v.series[0][at.Unix()]
		switch {
		case !ok:
			f.points = append(f.points, Missing)
			continue
		case breaches(x, a.ComparisonOperator, aws.ToFloat64(a.Threshold)):
			f.points = append(f.points, Breaching)
		default:
			f.points = append(f.points, Within)
		}
		f.values = append(f.values, x)
		f.times = append(f.times, at)
	}
	slices.Reverse(f.values)
	slices.Reverse(f.times)
	f.values = f.values[:min(n, len(f.values))]
	f.times = f.times[:min(n, len(f.times))]
	return f, nil
}

// evaluate moves the alarm to the state its data asks for.
func (a *alarm) evaluate(r *region, now time.Time, opts Options) {
	f, err := a.look(r, now, opts)
	if err != nil {
		a.EvaluationState = types.EvaluationStateEvaluationError
		r.transition(now, a, types.StateValueInsufficientData, "Failed to evaluate the alarm: "+err.Error(), "")
		return
	}
	a.EvaluationState = ""
	if f.lowSample && aws.ToString(a.EvaluateLowSampleCountPercentile) == "ignore" {
		return // AWS keeps the state while the percentile is not significant
	}
	m, n := a.needed()
	state := Assess(f.points, m, n, a.missing(opts), a.StateValue)
	r.transition(now, a, state, a.reason(f, state, m, n), a.reasonData(f, now))
}

func (a *alarm) reason(f finding, state types.StateValue, m, n int) string {
	if len(f.values) == 0 {
		return fmt.Sprintf("Insufficient Data: %d datapoints were unknown.", n)
	}
	verb, minimum := "was", fmt.Sprintf("minimum %d datapoint%s for OK -> ALARM transition", m, plural(m))
	if state != types.StateValueAlarm {
		verb, minimum = "was not", fmt.Sprintf("minimum %d datapoint%s for ALARM -> OK transition", n-m+1, plural(n-m+1))
	}
	shown := make([]string, len(f.values))
	for i, x := range f.values {
		shown[i] = fmt.Sprintf("%s (%s)", formatFloat(x), f.times[i].Format("02/01/06 15:04:05"))
	}
	return fmt.Sprintf("Threshold Crossed: %d out of the last %d datapoint%s [%s] %s %s the threshold (%s) (%s).",
		len(shown), n, plural(n), strings.Join(shown, ", "), verb, operatorWords[a.ComparisonOperator],
		formatFloat(aws.ToFloat64(a.Threshold)), minimum)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// formatFloat writes a number as AWS's reasons do: always with a fraction.
func formatFloat(x float64) string {
	text := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

var operatorWords = map[types.ComparisonOperator]string{
	types.ComparisonOperatorGreaterThanOrEqualToThreshold: "greater than or equal to",
	types.ComparisonOperatorGreaterThanThreshold:          "greater than",
	types.ComparisonOperatorLessThanThreshold:             "less than",
	types.ComparisonOperatorLessThanOrEqualToThreshold:    "less than or equal to",
}

const reasonTime = "2006-01-02T15:04:05.000-0700"

func (a *alarm) reasonData(f finding, now time.Time) string {
	data := map[string]any{
		"version": "1.0", "queryDate": now.UTC().Format(reasonTime), "startDate": f.start.Format(reasonTime),
		"period": int(a.period() / time.Second), "recentDatapoints": append([]float64{}, f.values...),
		"threshold": aws.ToFloat64(a.Threshold),
	}
	if a.Statistic != "" {
		data["statistic"] = string(a.Statistic)
	}
	text, err := json.Marshal(data)
	if err != nil {
		return "" // NaN or infinity: JSON has neither
	}
	return string(text)
}

// transition records what an evaluation or SetAlarmState decided.
func (r *region) transition(now time.Time, a *alarm, state types.StateValue, reason, data string) {
	if a.StateValue == state {
		return
	}
	old := map[string]any{"stateValue": string(a.StateValue), "stateReason": aws.ToString(a.StateReason)}
	a.StateValue, a.StateReason, a.StateReasonData = state, aws.String(reason), nil
	if data != "" {
		a.StateReasonData = aws.String(data)
	}
	a.StateUpdatedTimestamp, a.StateTransitionedTimestamp = aws.Time(now), aws.Time(now)
	r.remember(now, a, types.HistoryItemTypeStateUpdate,
		fmt.Sprintf("Alarm updated from %s to %s", old["stateValue"], state),
		map[string]any{"version": "1.0", "oldState": old, "newState": map[string]any{"stateValue": string(state), "stateReason": reason}})
}

// maxHistory bounds the history of one region. AWS keeps two weeks.
const maxHistory = 10_000

type historyItem struct{ types.AlarmHistoryItem }

func (r *region) remember(now time.Time, a *alarm, kind types.HistoryItemType, summary string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil {
		text = []byte("{}")
	}
	r.history = append(r.history, historyItem{types.AlarmHistoryItem{
		AlarmName: a.AlarmName, AlarmType: types.AlarmTypeMetricAlarm, HistoryItemType: kind,
		HistorySummary: aws.String(summary), HistoryData: aws.String(string(text)), Timestamp: aws.Time(now),
	}})
	if over := len(r.history) - maxHistory; over > 0 {
		r.history = slices.Delete(r.history, 0, over)
	}
}

// Evaluate brings every alarm that is due to the state its data asks for. An
// alarm is due once in each of its intervals.
func (s *Service) Evaluate(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.regions {
		for _, name := range slices.Sorted(maps.Keys(r.alarms)) {
			a := r.alarms[name]
			if slot := now.Truncate(a.interval()); slot.After(a.evaluated) {
				a.evaluated = slot
				a.evaluate(r, now, s.opts)
			}
		}
	}
}

// AlarmStream evaluates the alarm's definition over its metric stream, as a
// Route 53 health check of type CLOUDWATCH_METRIC does: the alarm's state,
// and who set it, plays no part. exists is false for alarms such a health
// check cannot watch (metric math, percentiles, high resolution, M of N).
func (s *Service) AlarmStream(now time.Time, region, alarmName string) (breaching, hasData, exists bool) {
	eval, ok := s.CopyAlarm(region, alarmName)
	if !ok {
		return false, false, false
	}
	breaching, hasData = eval(now)
	return breaching, hasData, true
}

// CopyAlarm returns an evaluator over the alarm's definition as it is now:
// editing or deleting the alarm later does not change it.
func (s *Service) CopyAlarm(region, name string) (eval func(now time.Time) (breaching, hasData bool), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.in(region).alarms[name]
	if !ok || len(found.Metrics) > 0 || found.ExtendedStatistic != nil || found.period() < time.Minute {
		return nil, false
	}
	if m, n := found.needed(); m != n {
		return nil, false
	}
	copied := alarm{MetricAlarm: found.MetricAlarm}
	copied.Dimensions = slices.Clone(found.Dimensions)
	return func(now time.Time) (breaching, hasData bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f, err := copied.look(s.in(region), now, s.opts)
		if err != nil {
			return false, false
		}
		m, n := copied.needed()
		state := Assess(f.points, m, n, "missing", types.StateValueInsufficientData)
		return state == types.StateValueAlarm, state != types.StateValueInsufficientData
	}, true
}
