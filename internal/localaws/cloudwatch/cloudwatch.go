// Package cloudwatch is the CloudWatch of the embedded AWS: metrics in
// one-minute buckets, statistics and metric math over them, alarms that are
// evaluated every minute, dashboards.
//
// Metrics arrive from PutMetricData and, through Record, from the data plane
// of the other services. A datapoint becomes visible some time after its
// minute has ended, as in AWS; that delay is what makes an alarm late.
//
// It does not send notifications, and has no composite, anomaly, log or
// PromQL alarms: asking for one is an error.
package cloudwatch

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Options configures a Service.
type Options struct {
	Log   *slog.Logger
	Clock clock.Clock
	// Authorize answers whether the caller may; nil allows everything.
	Authorize wire.Authorizer
	// MetricDelay is how long after the end of the minute it arrived in a
	// datapoint becomes visible. Default 60 s; AWS gives no figure [model].
	MetricDelay time.Duration
	// Retention is how long datapoints are kept. Default 3 h.
	Retention time.Duration
	// RangeExtra is by how many periods the evaluation range of an alarm
	// exceeds its evaluation periods. AWS only says "more"; its documented
	// examples have 2, which is the default.
	RangeExtra int
	// DynamoDBMathIgnoresMissing extends AWS's rule that alarms on AWS/DynamoDB
	// metrics always ignore missing data to metric-math alarms. Whether AWS
	// does that is unverified; the default is that math escapes the rule.
	DynamoDBMathIgnoresMissing bool
}

// Service is CloudWatch in every region.
type Service struct {
	opts Options

	mu      sync.Mutex
	regions map[string]*region
}

type region struct {
	series     map[string]*series // by metricID.key
	alarms     map[string]*alarm
	history    []historyItem
	dashboards map[string]dashboard
	tags       map[string]map[string]string // by ARN
}

// New returns an empty service.
func New(opts Options) *Service {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = clock.Real{}
	}
	if opts.MetricDelay == 0 {
		opts.MetricDelay = time.Minute
	}
	if opts.Retention == 0 {
		opts.Retention = 3 * time.Hour
	}
	if opts.RangeExtra == 0 {
		opts.RangeExtra = 2
	}
	return &Service{opts: opts, regions: map[string]*region{}}
}

// in returns the state of one region. The caller holds mu.
func (s *Service) in(name string) *region {
	r, ok := s.regions[name]
	if !ok {
		r = &region{
			series:     map[string]*series{},
			alarms:     map[string]*alarm{},
			dashboards: map[string]dashboard{},
			tags:       map[string]map[string]string{},
		}
		s.regions[name] = r
	}
	return r
}

// Record adds one value of a metric, as the data plane of a service does.
func (s *Service) Record(now time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in(region).add(now, s.opts, metricID{namespace, name, dimensionText(dimensions)}, dimensions,
		datum{at: now, agg: single(value), unit: types.StandardUnit(unit), resolution: time.Minute})
}

// Run evaluates the alarms until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for {
		now := s.opts.Clock.Now()
		s.Evaluate(now)
		next := now.Truncate(s.tick()).Add(s.tick())
		if err := s.opts.Clock.Sleep(ctx, next.Sub(s.opts.Clock.Now())); err != nil {
			return fmt.Errorf("evaluate alarms: %w", err)
		}
	}
}

// tick is how often Run looks: every minute, or every ten seconds once some
// alarm has a period below a minute.
func (s *Service) tick() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.regions {
		for _, a := range r.alarms {
			if a.interval() < time.Minute {
				return a.interval()
			}
		}
	}
	return time.Minute
}

// key names the metric in a map: AWS takes no NUL in any of the parts.
func (id metricID) key() string {
	return strings.Join([]string{id.namespace, id.name, id.dimensions}, "\x00")
}
