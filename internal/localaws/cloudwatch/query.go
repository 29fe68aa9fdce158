package cloudwatch

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// window is a span of whole periods, read as of now.
type window struct {
	now, start, end time.Time
	period          time.Duration
}

// queries evaluates a set of metric data queries that refer to each other.
type queries struct {
	region   *region
	list     []types.MetricDataQuery
	window   window
	resolved map[string]value
	busy     map[string]bool
	// lowSample is set when a percentile was taken of fewer samples than make
	// it significant.
	lowSample bool
}

func newQueries(r *region, list []types.MetricDataQuery, w window) *queries {
	return &queries{region: r, list: list, window: w, resolved: map[string]value{}, busy: map[string]bool{}}
}

func (q *queries) env() *mathEnv {
	env := &mathEnv{isMetric: map[string]bool{}, lookup: q.value, start: q.window.start, end: q.window.end, period: q.window.period}
	for _, one := range q.list {
		id := aws.ToString(one.Id)
		env.ids = append(env.ids, id)
		env.isMetric[id] = one.MetricStat != nil
	}
	return env
}

// value resolves one id, and what its expression refers to.
func (q *queries) value(id string) (value, error) {
	if v, ok := q.resolved[id]; ok {
		return v, nil
	}
	if q.busy[id] {
		return value{}, fmt.Errorf("the expressions refer to each other in a circle at %q", id)
	}
	q.busy[id] = true
	defer delete(q.busy, id)
	for _, one := range q.list {
		if aws.ToString(one.Id) != id {
			continue
		}
		v, err := q.evaluate(one)
		if err == nil {
			q.resolved[id] = v
		}
		return v, err
	}
	return value{}, fmt.Errorf("undefined id %q in expression", id)
}

func (q *queries) evaluate(one types.MetricDataQuery) (value, error) {
	if one.MetricStat == nil {
		return evaluateMath(aws.ToString(one.Expression), q.env())
	}
	stat := one.MetricStat
	of, ok := statistic(aws.ToString(stat.Stat))
	if !ok {
		return value{}, fmt.Errorf("the embedded AWS has no statistic %q", aws.ToString(stat.Stat))
	}
	id := metricID{aws.ToString(stat.Metric.Namespace), aws.ToString(stat.Metric.MetricName), dimensionText(dimensionMap(stat.Metric.Dimensions))}
	out := timeSeries{}
	p, isPercentile := percentile(aws.ToString(stat.Stat))
	for at, agg := range q.region.series[id.key()].points(q.window.now, q.window.start, q.window.end, q.window.period, stat.Unit) {
		out[at] = of(agg)
		if isPercentile && agg.count < significantSamples(p) {
			q.lowSample = true
		}
	}
	return value{kind: seriesValue, series: []timeSeries{out}}, nil
}

// significantSamples is how many samples AWS asks for before a percentile of
// an alarm counts: 10/(1-p) in the upper half, 10/p in the lower.
func significantSamples(p float64) float64 {
	if p >= 0.5 {
		return 10 / (1 - p)
	}
	return 10 / p
}

func dimensionMap(dimensions []types.Dimension) map[string]string {
	out := make(map[string]string, len(dimensions))
	for _, d := range dimensions {
		out[aws.ToString(d.Name)] = aws.ToString(d.Value)
	}
	return out
}
