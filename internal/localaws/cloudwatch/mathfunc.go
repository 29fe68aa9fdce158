package cloudwatch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// call evaluates a function whose opening parenthesis has been read.
func (p *mathParser) call(name string) (value, error) {
	switch name {
	case "METRICS":
		return p.metrics()
	case "FILL":
		return p.fill()
	}
	args, err := p.list(")")
	if err != nil {
		return value{}, err
	}
	if name == "IF" {
		return p.branch(args)
	}
	if len(args) != 1 {
		return value{}, fmt.Errorf("%s takes one argument, got %d", name, len(args))
	}
	v := args[0]
	switch name {
	case "ABS":
		return v.each(math.Abs), nil
	case "CEIL":
		return v.each(math.Ceil), nil
	case "FLOOR":
		return v.each(math.Floor), nil
	case "SUM", "AVG", "MIN", "MAX":
		return reduce(v, reducers[name])
	case "METRIC_COUNT":
		return value{scalar: float64(len(v.series))}, nil
	case "PERIOD":
		return value{scalar: p.env.period.Seconds()}, nil
	case "RATE", "DIFF", "RUNNING_SUM":
		return p.running(name, v)
	case "TIME_SERIES":
		out := timeSeries{}
		for _, at := range p.env.slots() {
			out[at] = v.scalar
		}
		return value{kind: seriesValue, series: []timeSeries{out}}, nil
	default:
		return value{}, fmt.Errorf("the embedded AWS has no metric math function %s", name)
	}
}

// metrics is METRICS() or METRICS("prefix"): the metrics of the request, not
// its expressions.
func (p *mathParser) metrics() (value, error) {
	prefix := ""
	if t := p.peek(); t != ")" {
		p.next()
		if len(t) < 2 || t[0] != '"' && t[0] != '\'' {
			return value{}, fmt.Errorf("METRICS takes a string")
		}
		prefix = t[1 : len(t)-1]
	}
	if p.next() != ")" {
		return value{}, fmt.Errorf("missing ) after METRICS")
	}
	out := value{kind: arrayValue}
	for _, id := range p.env.ids {
		if !p.env.isMetric[id] || !strings.Contains(id, prefix) {
			continue
		}
		v, err := p.env.lookup(id)
		if err != nil {
			return value{}, err
		}
		out.series = append(out.series, v.series...)
	}
	return out, nil
}

// fill gives every missing period a value: FILL(series, number) or FILL(series, REPEAT).
// As in AWS it also fills the newest period while its data is still on the
// way, which can hide that data from an alarm with one evaluation period.
func (p *mathParser) fill() (value, error) {
	of, err := p.binary(0)
	if err != nil {
		return value{}, err
	}
	if p.next() != "," {
		return value{}, fmt.Errorf("FILL takes two arguments")
	}
	how := p.peek()
	constant := value{}
	if how == "REPEAT" {
		p.next()
	} else if constant, err = p.binary(0); err != nil {
		return value{}, err
	}
	if p.next() != ")" {
		return value{}, fmt.Errorf("missing ) after FILL")
	}
	if of.kind == scalarValue || constant.kind != scalarValue {
		return value{}, fmt.Errorf("FILL takes time series and a number or REPEAT")
	}
	out := value{kind: of.kind}
	for _, s := range of.series {
		filled := maps.Clone(s)
		last, seen := 0.0, false
		for _, at := range p.env.slots() {
			if x, ok := s[at]; ok {
				last, seen = x, true
			} else if how != "REPEAT" {
				filled[at] = constant.scalar
			} else if seen {
				filled[at] = last
			}
		}
		out.series = append(out.series, filled)
	}
	return out, nil
}

// branch is IF(condition, then[, else]).
func (p *mathParser) branch(args []value) (value, error) {
	if len(args) != 2 && len(args) != 3 {
		return value{}, fmt.Errorf("IF takes two or three arguments")
	}
	for _, arg := range args {
		if arg.kind == arrayValue {
			return value{}, fmt.Errorf("IF takes no array")
		}
	}
	pick := func(v value, at int64) (float64, bool) {
		if v.kind == scalarValue {
			return v.scalar, true
		}
		x, ok := v.series[0][at]
		return x, ok
	}
	out := timeSeries{}
	for _, at := range p.env.slots() {
		condition, ok := pick(args[0], at)
		if !ok {
			continue
		}
		branch := args[1]
		if condition == 0 {
			if len(args) == 2 {
				continue
			}
			branch = args[2]
		}
		if x, ok := pick(branch, at); ok {
			out[at] = x
		}
	}
	return value{kind: seriesValue, series: []timeSeries{out}}, nil
}

var reducers = map[string]func([]float64) float64{
	"SUM": total,
	"AVG": func(xs []float64) float64 { return total(xs) / float64(len(xs)) },
	"MIN": slices.Min[[]float64],
	"MAX": slices.Max[[]float64],
}

func total(xs []float64) float64 {
	var sum float64
	for _, x := range xs {
		sum += x
	}
	return sum
}

// reduce folds an array into a series, and a series into a number.
func reduce(v value, f func([]float64) float64) (value, error) {
	switch v.kind {
	case scalarValue:
		return v, nil
	case seriesValue:
		var xs []float64
		for _, at := range slices.Sorted(maps.Keys(v.series[0])) {
			xs = append(xs, v.series[0][at])
		}
		if len(xs) == 0 {
			return value{kind: seriesValue, series: []timeSeries{{}}}, nil
		}
		return value{scalar: f(xs)}, nil
	}
	columns := map[int64][]float64{}
	for _, s := range v.series {
		for at, x := range s {
			columns[at] = append(columns[at], x)
		}
	}
	out := timeSeries{}
	for at, xs := range columns {
		out[at] = f(xs)
	}
	return value{kind: seriesValue, series: []timeSeries{out}}, nil
}

// running is RATE, DIFF and RUNNING_SUM: each point from those before it.
func (p *mathParser) running(name string, v value) (value, error) {
	if v.kind == scalarValue {
		return value{}, fmt.Errorf("%s takes time series", name)
	}
	out := value{kind: v.kind}
	for _, s := range v.series {
		result := timeSeries{}
		sum, previous, previousAt := 0.0, 0.0, int64(0)
		for i, at := range slices.Sorted(maps.Keys(s)) {
			x := s[at]
			sum += x
			switch {
			case name == "RUNNING_SUM":
				result[at] = sum
			case i > 0 && name == "DIFF":
				result[at] = x - previous
			case i > 0:
				result[at] = (x - previous) / float64(at-previousAt)
			}
			previous, previousAt = x, at
		}
		out.series = append(out.series, result)
	}
	return out, nil
}

// alignedEnd is the last period boundary at or before t.
func alignedEnd(t time.Time, period time.Duration) time.Time { return t.UTC().Truncate(period) }
