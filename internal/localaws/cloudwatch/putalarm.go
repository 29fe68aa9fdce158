package cloudwatch

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

func alarmARN(region, name string) string {
	return "arn:aws:cloudwatch:" + region + ":" + wire.Account + ":alarm:" + name
}

func (s *Service) putMetricAlarm(ctx context.Context, in api.PutMetricAlarmInput) (any, error) {
	if err := validateAlarm(&in); err != nil {
		return nil, err
	}
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(call.Region)
	now := call.Now
	name := aws.ToString(in.AlarmName)
	a, known := r.alarms[name]
	if !known {
		a = &alarm{evaluated: now.Truncate(time.Minute)}
		a.StateValue = types.StateValueInsufficientData
		a.StateReason = aws.String("Unchecked: Initial alarm creation")
		a.StateUpdatedTimestamp, a.StateTransitionedTimestamp = aws.Time(now), aws.Time(now)
		a.AlarmArn = aws.String(alarmARN(call.Region, name))
		r.alarms[name] = a
		// Tags are taken at creation only, as in AWS.
		r.tag(*a.AlarmArn, in.Tags)
	}
	define(a, in, now)
	if !known {
		a.evaluated = now.Truncate(a.interval())
	}
	summary := `Alarm "` + name + `" created`
	if known {
		summary = `Alarm "` + name + `" updated`
	}
	r.remember(now, a, types.HistoryItemTypeConfigurationUpdate, summary, map[string]any{"version": "1.0", "type": "Update"})
	return nil, nil
}

// define replaces the whole definition: what an update leaves out is gone.
func define(a *alarm, in api.PutMetricAlarmInput, now time.Time) {
	a.AlarmName, a.AlarmDescription = in.AlarmName, in.AlarmDescription
	a.ActionsEnabled = aws.Bool(in.ActionsEnabled == nil || *in.ActionsEnabled)
	a.AlarmActions, a.OKActions, a.InsufficientDataActions = emptyNotNil(in.AlarmActions), emptyNotNil(in.OKActions), emptyNotNil(in.InsufficientDataActions)
	a.ComparisonOperator, a.Threshold = in.ComparisonOperator, in.Threshold
	a.DatapointsToAlarm, a.EvaluationPeriods, a.Period = in.DatapointsToAlarm, in.EvaluationPeriods, in.Period
	a.Dimensions = in.Dimensions
	if a.Dimensions == nil {
		a.Dimensions = []types.Dimension{}
	}
	a.EvaluateLowSampleCountPercentile, a.TreatMissingData = in.EvaluateLowSampleCountPercentile, in.TreatMissingData
	a.ExtendedStatistic, a.Statistic, a.Unit = in.ExtendedStatistic, in.Statistic, in.Unit
	a.MetricName, a.Namespace, a.Metrics = in.MetricName, in.Namespace, in.Metrics
	a.AlarmConfigurationUpdatedTimestamp = aws.Time(now)
}

func emptyNotNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func validateAlarm(in *api.PutMetricAlarmInput) error {
	if n := len(aws.ToString(in.AlarmName)); n < 1 || n > 255 {
		return invalid("1 validation error detected: Value at 'alarmName' failed to satisfy constraint: Member must have length between 1 and 255")
	}
	if in.ActionConfiguration != nil || in.EvaluationCriteria != nil || in.EvaluationInterval != nil || in.EvaluationWindow != nil || in.WarmUpConfiguration != nil || in.ThresholdMetricId != nil {
		return invalid("the embedded AWS has no anomaly detection, PromQL, evaluation window or warm-up alarms")
	}
	if _, ok := operatorWords[in.ComparisonOperator]; !ok {
		return invalid("The value %q for ComparisonOperator is not one the embedded AWS implements", in.ComparisonOperator)
	}
	if in.Threshold == nil {
		return invalid("The parameter Threshold is required.")
	}
	n := aws.ToInt32(in.EvaluationPeriods)
	if n < 1 {
		return invalid("The parameter EvaluationPeriods must be greater than or equal to 1.")
	}
	if m := in.DatapointsToAlarm; m != nil && (*m < 1 || *m > n) {
		return invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods.")
	}
	if t := in.TreatMissingData; t != nil && !slices.Contains([]string{"missing", "ignore", "breaching", "notBreaching"}, *t) {
		return invalid("The value %s is not valid for TreatMissingData", *t)
	}
	if e := in.EvaluateLowSampleCountPercentile; e != nil && (in.ExtendedStatistic == nil || *e != "evaluate" && *e != "ignore") {
		return invalid("EvaluateLowSampleCountPercentile needs an ExtendedStatistic and is evaluate or ignore")
	}
	if len(in.Metrics) > 0 {
		return validateMath(in)
	}
	return validateStream(in)
}

func validateStream(in *api.PutMetricAlarmInput) error {
	if in.MetricName == nil || in.Namespace == nil {
		return invalid("MetricName and Namespace, or Metrics, must be given")
	}
	if err := validatePeriod(in.Period); err != nil {
		return err
	}
	if total := aws.ToInt32(in.Period) * aws.ToInt32(in.EvaluationPeriods); total > 86400 && aws.ToInt32(in.Period) < 3600 || total > 7*86400 {
		return invalid("Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).")
	}
	if (in.Statistic == "") == (in.ExtendedStatistic == nil) {
		return invalid("Exactly one of Statistic and ExtendedStatistic must be given")
	}
	name := string(in.Statistic)
	if in.ExtendedStatistic != nil {
		name = *in.ExtendedStatistic
		if _, ok := percentile(name); !ok {
			return invalid("The value %s for parameter ExtendedStatistic is not supported.", name)
		}
	}
	if _, ok := statistic(name); !ok {
		return invalid("The value %s for parameter Statistic is not supported.", name)
	}
	return nil
}

func validatePeriod(period *int32) error {
	p := aws.ToInt32(period)
	if p == 10 || p == 20 || p == 30 || p > 0 && p%60 == 0 {
		return nil
	}
	return invalid("Valid periods are 10, 20, 30 and multiples of 60.")
}

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

func validateMath(in *api.PutMetricAlarmInput) error {
	if in.MetricName != nil || in.Namespace != nil || in.Period != nil || in.Statistic != "" || in.ExtendedStatistic != nil || len(in.Dimensions) > 0 {
		return invalid("Metrics cannot be specified together with MetricName, Namespace, Dimensions, Period, Unit, Statistic or ExtendedStatistic.")
	}
	returning := 0
	for _, q := range in.Metrics {
		if q.ReturnData == nil || *q.ReturnData {
			returning++
		}
	}
	if returning != 1 {
		return invalid("Exactly one element of the metrics list should return data.")
	}
	if err := validateQueries(in.Metrics); err != nil {
		return err
	}
	// A dry evaluation finds what parsing alone cannot: unknown ids and
	// functions, and expressions that are not one time series.
	probe := alarm{MetricAlarm: types.MetricAlarm{Metrics: in.Metrics, EvaluationPeriods: in.EvaluationPeriods, Threshold: in.Threshold, ComparisonOperator: in.ComparisonOperator}}
	if probe.period() == 0 {
		return invalid("Period must not be null for the returned expression.")
	}
	if _, err := probe.look(&region{}, time.Unix(0, 0), Options{}); err != nil {
		return invalid("Invalid metrics list: %v", err)
	}
	return nil
}

func validateQueries(list []types.MetricDataQuery) error {
	seen := map[string]bool{}
	for _, q := range list {
		id := aws.ToString(q.Id)
		switch {
		case !queryID.MatchString(id):
			return invalid("The value %q for parameter Id must match ^[a-z][a-zA-Z0-9_]*$.", id)
		case seen[id]:
			return invalid("The id %q is used more than once.", id)
		case (q.MetricStat == nil) == (q.Expression == nil):
			return invalid("Query %s must have exactly one of MetricStat and Expression.", id)
		case q.AccountId != nil && *q.AccountId != wire.Account:
			return invalid("Query %s: the embedded AWS has one account.", id)
		}
		seen[id] = true
		if q.MetricStat == nil {
			continue
		}
		if q.MetricStat.Metric == nil || q.MetricStat.Metric.Namespace == nil || q.MetricStat.Metric.MetricName == nil {
			return invalid("Query %s: Metric needs Namespace and MetricName.", id)
		}
		if p := aws.ToInt32(q.MetricStat.Period); p != 1 && p != 5 {
			if err := validatePeriod(q.MetricStat.Period); err != nil {
				return err
			}
		}
		if _, ok := statistic(aws.ToString(q.MetricStat.Stat)); !ok {
			return invalid("The value %s for parameter Stat is not supported.", aws.ToString(q.MetricStat.Stat))
		}
	}
	return nil
}
