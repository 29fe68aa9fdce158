package cloudwatch

import (
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// maxSamples bounds the values one bucket keeps for percentiles. Above it
// every further value replaces a pseudo-random one (reservoir sampling).
const maxSamples = 2000

type metricID struct{ namespace, name, dimensions string }

// dimensionText is a canonical form: two metrics are one exactly when their
// dimensions are the same set.
func dimensionText(dimensions map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(dimensions)) {
		b.WriteString(strconv.Quote(name) + "=" + strconv.Quote(dimensions[name]) + ",")
	}
	return b.String()
}

// aggregate is what a bucket keeps of its values.
type aggregate struct {
	sum, count, min, max float64
	samples              []sample
	seen                 uint64
}

type sample struct{ value, count float64 }

func single(v float64) aggregate {
	return aggregate{sum: v, count: 1, min: v, max: v, samples: []sample{{v, 1}}, seen: 1}
}

func (a *aggregate) merge(b aggregate) {
	if b.count == 0 {
		return
	}
	if a.count == 0 {
		a.min, a.max = b.min, b.max
	}
	a.sum += b.sum
	a.count += b.count
	a.min = math.Min(a.min, b.min)
	a.max = math.Max(a.max, b.max)
	for _, v := range b.samples {
		a.seen++
		if len(a.samples) < maxSamples {
			a.samples = append(a.samples, v)
			continue
		}
		// A multiplicative hash of the running number spreads the replaced
		// positions evenly and keeps the state a function of its inputs.
		if position := (a.seen * 0x9E3779B97F4A7C15 >> 11) % a.seen; position < maxSamples {
			a.samples[position] = v
		}
	}
}

type datum struct {
	at         time.Time
	agg        aggregate
	unit       types.StandardUnit
	resolution time.Duration
}

// series is one metric. Buckets are kept apart by arrival so that a reader
// sees only what had become visible by then.
type series struct {
	id         metricID
	dimensions map[string]string
	buckets    map[bucketKey]*aggregate
	lastAt     time.Time
}

type bucketKey struct {
	at         int64 // start of the bucket, Unix seconds
	visible    int64 // when it can be read, Unix seconds
	resolution time.Duration
	unit       types.StandardUnit
}

func (r *region) add(now time.Time, opts Options, id metricID, dimensions map[string]string, d datum) {
	s, ok := r.series[id.key()]
	if !ok {
		s = &series{id: id, dimensions: maps.Clone(dimensions), buckets: map[bucketKey]*aggregate{}}
		r.series[id.key()] = s
	}
	minute := now.Truncate(time.Minute)
	if minute.After(s.lastAt) {
		s.lastAt = minute
		s.forget(now.Add(-opts.Retention))
	}
	// A high-resolution value is published at the end of its second, a
	// standard one with its minute.
	visible := now.Truncate(d.resolution).Add(d.resolution)
	if d.resolution == time.Minute {
		visible = visible.Add(opts.MetricDelay)
	}
	key := bucketKey{at: d.at.Truncate(d.resolution).Unix(), visible: visible.Unix(), resolution: d.resolution, unit: d.unit}
	bucket, ok := s.buckets[key]
	if !ok {
		bucket = &aggregate{}
		s.buckets[key] = bucket
	}
	bucket.merge(d.agg)
}

func (s *series) forget(before time.Time) {
	for key := range s.buckets {
		if key.at < before.Unix() {
			delete(s.buckets, key)
		}
	}
}

// points aggregates what is visible at now into periods: keys are period
// starts in Unix seconds, from start (inclusive) to end (exclusive), aligned
// to start.
func (s *series) points(now, start, end time.Time, period time.Duration, unit types.StandardUnit) map[int64]aggregate {
	out := map[int64]aggregate{}
	if s == nil {
		return out
	}
	keys := make([]bucketKey, 0, len(s.buckets))
	for key := range s.buckets {
		if key.at < start.Unix() || key.at >= end.Unix() || key.visible > now.Unix() || period < key.resolution {
			continue
		}
		if unit != "" && unit != key.unit {
			continue
		}
		keys = append(keys, key)
	}
	// In a fixed order: floating-point sums depend on it.
	slices.SortFunc(keys, func(a, b bucketKey) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return int(a.visible - b.visible)
	})
	seconds := int64(period / time.Second)
	for _, key := range keys {
		at := start.Unix() + (key.at-start.Unix())/seconds*seconds
		sum := out[at]
		if len(sum.samples) > 0 {
			sum.samples = slices.Clone(sum.samples)
		}
		sum.merge(*s.buckets[key])
		out[at] = sum
	}
	return out
}

// statistic is a function of an aggregate, or ok false for a name AWS has not
// got or the embedded AWS does not implement.
func statistic(name string) (of func(aggregate) float64, ok bool) {
	switch name {
	case "Average":
		return func(a aggregate) float64 { return a.sum / a.count }, true
	case "Sum":
		return func(a aggregate) float64 { return a.sum }, true
	case "Minimum":
		return func(a aggregate) float64 { return a.min }, true
	case "Maximum":
		return func(a aggregate) float64 { return a.max }, true
	case "SampleCount":
		return func(a aggregate) float64 { return a.count }, true
	}
	p, ok := percentile(name)
	return func(a aggregate) float64 { return a.percentile(p) }, ok
}

// percentile reads "p99" or "p99.9" as a fraction.
func percentile(name string) (float64, bool) {
	digits, ok := strings.CutPrefix(name, "p")
	if !ok {
		return 0, false
	}
	p, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(p >= 0 && p <= 100) || len(digits) == 0 || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	return p / 100, true
}

// percentile is the nearest-rank percentile of the samples.
func (a aggregate) percentile(p float64) float64 {
	samples := slices.Clone(a.samples)
	sort.Slice(samples, func(i, j int) bool { return samples[i].value < samples[j].value })
	var total float64
	for _, v := range samples {
		total += v.count
	}
	rank, below := math.Max(1, math.Ceil(p*total)), 0.0
	for _, v := range samples {
		if below += v.count; below >= rank {
			return v.value
		}
	}
	return a.max
}
