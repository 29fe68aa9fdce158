// Package route53 is Route 53 of the embedded AWS: hosted zones and record
// sets behind the REST-XML API, the authoritative DNS server that answers
// from them, and the health checkers that decide which weighted record may be
// answered.
//
// It models what hurts: a change is listed at once but answered only when it
// is INSYNC, weights are drawn per query, an unhealthy group fails open, and
// the account's request rate is small. Not modelled, and refused with an
// error: private zones, DNSSEC, traffic policies, and every routing policy
// but simple and weighted.
package route53

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// AccountRate is AWS's limit of Route 53 API requests a second and account.
const AccountRate = 5

const (
	defaultInsyncDelay = 30 * time.Second
	defaultAliasTTL    = 60 * time.Second
)

// Metrics is where the health checkers publish; cloudwatch implements it.
type Metrics interface {
	Record(now time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string)
}

// Alarms hands out evaluations of alarm definitions as they are now: editing
// the alarm later does not change what was copied, as in AWS. cloudwatch
// implements it.
type Alarms interface {
	CopyAlarm(region, name string) (eval func(now time.Time) (breaching, hasData bool), ok bool)
}

// AlarmConfiguration is the alarm definition that GetHealthCheck shows for a
// check on an alarm.
type AlarmConfiguration struct {
	EvaluationPeriods  int32
	Threshold          float64
	ComparisonOperator string
	Period             int32
	MetricName         string
	Namespace          string
	Statistic          string
	Dimensions         []Dimension `xml:"Dimensions>Dimension,omitempty"`
}

// Dimension is one dimension of an AlarmConfiguration.
type Dimension struct{ Name, Value string }

// Options are the dependencies and dials of a Service.
type Options struct {
	Log   *slog.Logger // nil: discarded
	Clock clock.Clock  // drives Run; the API takes its time from the call
	Seed  uint64       // of the weighted draws
	// Authorize answers whether the caller may; nil allows everything.
	Authorize wire.Authorizer

	// InsyncDelay is how long a change stays PENDING and unanswered. 0 is
	// 30 s, negative is none.
	InsyncDelay time.Duration
	// RequestsPerSecond is the account's API limit; 0 is none, AWS has
	// AccountRate.
	RequestsPerSecond float64
	// ChangeBusy is how long after one change the next one to the same zone
	// is refused with PriorRequestNotComplete. AWS names no duration; 0 is
	// never.
	ChangeBusy time.Duration
	// AliasTTL is the TTL of an alias to API Gateway. 0 is 60 s, which is
	// observed, not documented.
	AliasTTL time.Duration
	// DeleteIgnoresWeight accepts a DELETE whose weight differs from the
	// record's. Whether AWS does is not verified; the default refuses.
	DeleteIgnoresWeight bool

	// RegionOf says which region's front door serves an API Gateway host.
	RegionOf func(host string) (region string, ok bool)
	// AddressOf is the address of a region's front door.
	AddressOf func(region string) (netip.Addr, bool)
	// AliasZoneID is the hosted zone id an alias to API Gateway in the region
	// must name; nil accepts every id.
	AliasZoneID func(region string) string
	// Dial connects a health checker to an endpoint; nil is the network.
	Dial func(ctx context.Context, host string, port int) (net.Conn, error)

	Metrics Metrics // nil: nothing is published
	Alarms  Alarms  // nil: no alarm exists
	// DescribeAlarm fills the alarm part of GetHealthCheck; nil leaves it out.
	DescribeAlarm func(region, name string) (AlarmConfiguration, bool)
}

// Service is the one global Route 53. It is safe for concurrent use.
type Service struct {
	options Options

	mu       sync.Mutex
	zones    map[string]*zone
	changes  map[string]change
	checks   map[string]*healthCheck
	tags     map[string]map[string]string // "hostedzone/ID", "healthcheck/ID"
	rng      *rand.Rand
	tokens   float64
	tokensAt time.Time
}

// New returns a Route 53 without zones.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Clock == nil {
		options.Clock = clock.Real{}
	}
	switch {
	case options.InsyncDelay == 0:
		options.InsyncDelay = defaultInsyncDelay
	case options.InsyncDelay < 0:
		options.InsyncDelay = 0
	}
	if options.AliasTTL == 0 {
		options.AliasTTL = defaultAliasTTL
	}
	if options.RegionOf == nil {
		options.RegionOf = func(string) (string, bool) { return "", false }
	}
	if options.AddressOf == nil {
		options.AddressOf = func(string) (netip.Addr, bool) { return netip.Addr{}, false }
	}
	return &Service{
		options:  options,
		zones:    map[string]*zone{},
		changes:  map[string]change{},
		checks:   map[string]*healthCheck{},
		tags:     map[string]map[string]string{},
		rng:      rand.New(rand.NewPCG(options.Seed, 0x53)),
		tokens:   options.RequestsPerSecond,
		tokensAt: time.Time{},
	}
}

// admit takes one request out of the account's budget.
func (s *Service) admit(now time.Time) bool {
	rate := s.options.RequestsPerSecond
	if rate <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if elapsed := now.Sub(s.tokensAt); elapsed > 0 {
		s.tokens = min(max(rate, 1), s.tokens+elapsed.Seconds()*rate)
		s.tokensAt = now
	}
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

const idAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// newID makes ids of AWS's look: "Z" and 20 more for a zone, "C" for a change.
func (s *Service) newID(prefix string, length int) string {
	id := []byte(prefix)
	for len(id) < length {
		id = append(id, idAlphabet[s.rng.IntN(len(idAlphabet))])
	}
	return string(id)
}

// change is one accepted change; it is INSYNC from insyncAt on.
type change struct {
	ID          string
	Comment     string
	SubmittedAt time.Time
	insyncAt    time.Time
}

func (s *Service) newChange(now time.Time, comment string) change {
	c := change{ID: s.newID("C", 21), Comment: comment, SubmittedAt: now, insyncAt: now.Add(s.options.InsyncDelay)}
	s.changes[c.ID] = c
	return c
}

// changeStatus returns whether the change is known and, if so, in sync.
func (s *Service) changeStatus(now time.Time, id string) (c change, insync, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok = s.changes[id]
	return c, ok && !now.Before(c.insyncAt), ok
}
