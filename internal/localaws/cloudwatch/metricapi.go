package cloudwatch

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func badParameter(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterValue", format, args...)
}

func (s *Service) putMetricData(ctx context.Context, in api.PutMetricDataInput) (any, error) {
	call := wire.FromContext(ctx)
	namespace := aws.ToString(in.Namespace)
	switch {
	case namespace == "":
		return nil, wire.Errorf(http.StatusBadRequest, "MissingParameter", "The parameter Namespace is required.")
	case strings.HasPrefix(namespace, "AWS/"):
		return nil, badParameter("The value AWS/ for parameter Namespace is invalid.")
	case len(in.EntityMetricData) > 0:
		return nil, badParameter("the embedded AWS has no EntityMetricData")
	case len(in.MetricData) > 1000:
		return nil, badParameter("The collection MetricData must not have a size greater than 1000.")
	}
	data := make([]datum, len(in.MetricData))
	for i, d := range in.MetricData {
		var err error
		if data[i], err = readDatum(call.Now, d); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(call.Region)
	for i, d := range in.MetricData {
		dimensions := dimensionMap(d.Dimensions)
		r.add(call.Now, s.opts, metricID{namespace, *d.MetricName, dimensionText(dimensions)}, dimensions, data[i])
	}
	return nil, nil
}

func readDatum(now time.Time, d types.MetricDatum) (datum, error) {
	out := datum{at: now, unit: d.Unit, resolution: time.Minute}
	if aws.ToString(d.MetricName) == "" {
		return out, wire.Errorf(http.StatusBadRequest, "MissingParameter", "The parameter MetricData.member.1.MetricName is required.")
	}
	if len(d.Dimensions) > 30 {
		return out, badParameter("The collection Dimensions must not have a size greater than 30.")
	}
	switch aws.ToInt32(d.StorageResolution) {
	case 0, 60:
	case 1:
		out.resolution = time.Second
	default:
		return out, badParameter("The value for StorageResolution must be 1 or 60.")
	}
	if d.Timestamp != nil {
		out.at = d.Timestamp.UTC()
		if out.at.Before(now.AddDate(0, 0, -14)) || out.at.After(now.Add(2*time.Hour)) {
			return out, badParameter("The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks and no more than two hours in the future.")
		}
	}
	given := 0
	if d.Value != nil {
		given++
		out.agg = single(*d.Value)
	}
	if len(d.Values) > 0 {
		given++
		if len(d.Counts) > 0 && len(d.Counts) != len(d.Values) || len(d.Values) > 150 {
			return out, badParameter("Values and Counts must have the same size, at most 150.")
		}
		for i, v := range d.Values {
			count := 1.0
			if len(d.Counts) > 0 {
				count = d.Counts[i]
			}
			out.agg.merge(aggregate{sum: v * count, count: count, min: v, max: v, samples: []sample{{v, count}}})
		}
	}
	if set := d.StatisticValues; set != nil {
		given++
		out.agg = aggregate{sum: aws.ToFloat64(set.Sum), count: aws.ToFloat64(set.SampleCount), min: aws.ToFloat64(set.Minimum), max: aws.ToFloat64(set.Maximum)}
		if out.agg.min == out.agg.max {
			// AWS has percentiles of a statistic set only where it leaves no
			// doubt about the values.
			out.agg.samples = []sample{{out.agg.min, out.agg.count}}
		}
	}
	if given != 1 {
		return out, wire.Errorf(http.StatusBadRequest, "InvalidParameterCombination", "Exactly one of Value, Values and StatisticValues must be given.")
	}
	for _, x := range []float64{out.agg.sum, out.agg.min, out.agg.max} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return out, badParameter("The value NaN or infinity for parameter MetricData.member.1.Value is invalid.")
		}
	}
	if !(out.agg.count > 0) {
		return out, badParameter("The number of samples must be above 0.")
	}
	return out, nil
}

// point is one value of one result, for paging.
type point struct{ result, index int }

func (s *Service) getMetricData(ctx context.Context, in api.GetMetricDataInput) (any, error) {
	call := wire.FromContext(ctx)
	if in.StartTime == nil || in.EndTime == nil || !in.StartTime.Before(*in.EndTime) {
		return nil, invalid("The parameter StartTime must be less than the parameter EndTime.")
	}
	if len(in.MetricDataQueries) < 1 || len(in.MetricDataQueries) > 500 {
		return nil, invalid("The collection MetricDataQueries must have a size between 1 and 500.")
	}
	if err := validateQueries(in.MetricDataQueries); err != nil {
		return nil, err
	}
	limit := 100_800
	if in.MaxDatapoints != nil {
		limit = int(*in.MaxDatapoints)
		if limit < 1 || limit > 100_800 {
			return nil, invalid("MaxDatapoints must be between 1 and 100800.")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	results, err := s.in(call.Region).results(call.Now, in)
	if err != nil {
		return nil, err
	}
	var all []point
	for i, result := range results {
		for j := range result.Values {
			all = append(all, point{i, j})
		}
	}
	chosen, token, err := page(all, in.NextToken, limit)
	if err != nil {
		return nil, err
	}
	out := api.GetMetricDataOutput{NextToken: token, Messages: []types.MessageData{}, MetricDataResults: []types.MetricDataResult{}}
	for i, result := range results {
		cut := types.MetricDataResult{Id: result.Id, Label: result.Label, StatusCode: types.StatusCodeComplete, Timestamps: []time.Time{}, Values: []float64{}}
		for _, p := range chosen {
			if p.result == i {
				cut.Timestamps = append(cut.Timestamps, result.Timestamps[p.index])
				cut.Values = append(cut.Values, result.Values[p.index])
			}
		}
		if token != nil && (len(chosen) == 0 || chosen[len(chosen)-1].result <= i) {
			cut.StatusCode = types.StatusCodePartialData
		}
		out.MetricDataResults = append(out.MetricDataResults, cut)
	}
	return wire.Members(out, nil), nil
}

func (r *region) results(now time.Time, in api.GetMetricDataInput) ([]types.MetricDataResult, error) {
	shape := alarm{MetricAlarm: types.MetricAlarm{Metrics: in.MetricDataQueries}}
	period := shape.period()
	if period == 0 {
		return nil, invalid("Period must not be null for an expression without metrics.")
	}
	for _, one := range in.MetricDataQueries {
		if one.MetricStat != nil && time.Duration(aws.ToInt32(one.MetricStat.Period))*time.Second != period {
			return nil, invalid("the embedded AWS takes one period in a GetMetricData call")
		}
	}
	// AWS rounds the start down to the period, and takes the points before
	// the end.
	q := newQueries(r, in.MetricDataQueries, window{now: now, start: in.StartTime.UTC().Truncate(period), end: in.EndTime.UTC(), period: period})
	var out []types.MetricDataResult
	for _, one := range in.MetricDataQueries {
		if one.ReturnData != nil && !*one.ReturnData {
			continue
		}
		id := aws.ToString(one.Id)
		v, err := q.value(id)
		if err != nil {
			return nil, invalid("Error in expression '%s' [%v]", id, err)
		}
		if v.kind == scalarValue {
			scalar := v.scalar
			v = value{kind: seriesValue, series: []timeSeries{{}}}
			for _, at := range q.env().slots() {
				v.series[0][at] = scalar
			}
		}
		label := aws.ToString(one.Label)
		if label == "" {
			label = id
			if one.MetricStat != nil {
				label = aws.ToString(one.MetricStat.Metric.MetricName)
			}
		}
		for _, series := range v.series {
			result := types.MetricDataResult{Id: one.Id, Label: aws.String(label)}
			order := slices.Sorted(maps.Keys(series))
			if in.ScanBy != types.ScanByTimestampAscending {
				slices.Reverse(order)
			}
			for _, at := range order {
				result.Timestamps = append(result.Timestamps, time.Unix(at, 0).UTC())
				result.Values = append(result.Values, series[at])
			}
			out = append(out, result)
		}
	}
	return out, nil
}

func (s *Service) getMetricStatistics(ctx context.Context, in api.GetMetricStatisticsInput) (any, error) {
	call := wire.FromContext(ctx)
	if in.StartTime == nil || in.EndTime == nil || !in.StartTime.Before(*in.EndTime) {
		return nil, badParameter("The parameter StartTime must be less than the parameter EndTime.")
	}
	period := time.Duration(aws.ToInt32(in.Period)) * time.Second
	if p := aws.ToInt32(in.Period); p != 1 && p != 5 {
		if err := validatePeriod(in.Period); err != nil {
			return nil, err
		}
	}
	if len(in.Statistics)+len(in.ExtendedStatistics) == 0 {
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics.")
	}
	for _, name := range in.ExtendedStatistics {
		if _, ok := percentile(name); !ok {
			return nil, badParameter("The value %s for parameter ExtendedStatistics is not supported.", name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := metricID{aws.ToString(in.Namespace), aws.ToString(in.MetricName), dimensionText(dimensionMap(in.Dimensions))}
	points := s.in(call.Region).series[id.key()].points(call.Now, in.StartTime.UTC().Truncate(period), in.EndTime.UTC(), period, in.Unit)
	out := api.GetMetricStatisticsOutput{Label: in.MetricName, Datapoints: []types.Datapoint{}}
	for _, at := range slices.Sorted(maps.Keys(points)) {
		agg := points[at]
		d := types.Datapoint{Timestamp: aws.Time(time.Unix(at, 0).UTC()), Unit: in.Unit}
		for _, name := range in.Statistics {
			of, ok := statistic(string(name))
			if !ok {
				return nil, badParameter("The value %s for parameter Statistics is not supported.", name)
			}
			setStatistic(&d, name, of(agg))
		}
		for _, name := range in.ExtendedStatistics {
			of, _ := statistic(name)
			if d.ExtendedStatistics == nil {
				d.ExtendedStatistics = map[string]float64{}
			}
			d.ExtendedStatistics[name] = of(agg)
		}
		out.Datapoints = append(out.Datapoints, d)
	}
	return wire.Members(out, nil), nil
}

func setStatistic(d *types.Datapoint, name types.Statistic, x float64) {
	switch name {
	case types.StatisticAverage:
		d.Average = &x
	case types.StatisticSum:
		d.Sum = &x
	case types.StatisticMinimum:
		d.Minimum = &x
	case types.StatisticMaximum:
		d.Maximum = &x
	case types.StatisticSampleCount:
		d.SampleCount = &x
	}
}

func (s *Service) listMetrics(ctx context.Context, in api.ListMetricsInput) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(call.Region)
	var matching []types.Metric
	for _, key := range slices.Sorted(maps.Keys(r.series)) {
		m := r.series[key]
		if in.Namespace != nil && *in.Namespace != m.id.namespace || in.MetricName != nil && *in.MetricName != m.id.name {
			continue
		}
		if in.RecentlyActive != "" && m.lastAt.Before(call.Now.Add(-3*time.Hour)) || !hasDimensions(m.dimensions, in.Dimensions) {
			continue
		}
		metric := types.Metric{Namespace: aws.String(m.id.namespace), MetricName: aws.String(m.id.name), Dimensions: []types.Dimension{}}
		for _, name := range slices.Sorted(maps.Keys(m.dimensions)) {
			metric.Dimensions = append(metric.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(m.dimensions[name])})
		}
		matching = append(matching, metric)
	}
	metrics, token, err := page(matching, in.NextToken, 500)
	if err != nil {
		return nil, err
	}
	return wire.Members(api.ListMetricsOutput{Metrics: metrics, NextToken: token}, nil), nil
}

func hasDimensions(have map[string]string, filters []types.DimensionFilter) bool {
	for _, f := range filters {
		v, ok := have[aws.ToString(f.Name)]
		if !ok || f.Value != nil && *f.Value != v {
			return false
		}
	}
	return true
}
