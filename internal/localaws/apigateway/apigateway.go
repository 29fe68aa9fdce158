// Package apigateway is API Gateway's REST APIs of the embedded AWS: the
// control plane as the SDK speaks it, and the front door of each region that
// real HTTPS clients come through.
//
// The canary is modelled with the quirks that a cutover has to live with.
// Not modelled, and refused with an error and a line in the log: every
// integration but Lambda proxy, authorizers, API keys, caching, edge and
// private endpoints, method settings and execution logs.
package apigateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Invoker runs Lambda functions; lambda implements it.
type Invoker interface {
	InvokeAs(ctx context.Context, principal, sourceARN, functionARN string, payload []byte) (response []byte, functionError string, err error)
}

// Metrics is where the front doors count; cloudwatch implements it.
type Metrics interface {
	Record(now time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string)
}

// Logs is where access logs go; logs implements it.
type Logs interface {
	// Deliver adds an event of at that nobody reads before it arrives.
	Deliver(at, arrives time.Time, region, group, stream string, message string) error
}

// Certificates resolves certificate ARNs; acm implements it.
type Certificates interface {
	TLSCertificate(arn string) (*tls.Certificate, error)
}

// Faults decides which requests an injected fault strikes.
type Faults interface {
	Draw(region string, kind fault.Kind, target string) (fault.Fault, bool)
}

// Limits are the rates of the control plane, per region.
type Limits struct {
	Rate  float64 // operations a second over all operations; 0 is no limit
	Burst float64
	// DomainInterval is the least time between two calls that create or
	// update a domain name; 0 is none.
	DomainInterval time.Duration
}

// AWSLimits are the limits of AWS's documentation.
var AWSLimits = Limits{Rate: 10, Burst: 40, DomainInterval: 30 * time.Second}

// DefaultLimits leave the domain names free: a test environment makes two at
// once and learns nothing from waiting.
var DefaultLimits = Limits{Rate: AWSLimits.Rate, Burst: AWSLimits.Burst}

const (
	defaultStageUpdateDelay = 5 * time.Second
	defaultAccessLogDelay   = 5 * time.Second
)

// Options are the dependencies and dials of a Service.
type Options struct {
	Log   *slog.Logger // nil: discarded
	Clock clock.Clock  // dates metrics, logs and stage updates of the front door
	Seed  uint64       // of the canary's draws and of the ids

	Limits *Limits // nil: DefaultLimits
	// StageUpdateDelay is how long the front door keeps serving the old stage
	// after an update. AWS documents none; 0 is 5 s, negative is none.
	StageUpdateDelay time.Duration
	// AccessLogDelay is how long after its request a line of the access log
	// can be read. AWS documents none, 2 to 10 s is assumed; 0 is 5 s, negative
	// is none.
	AccessLogDelay time.Duration
	// RemoveMissingCanary accepts the removal of a canary that is not there.
	// Whether AWS does is not verified; the default refuses.
	RemoveMissingCanary bool
	// TrustForwardedFor takes the client's address from X-Forwarded-For, for
	// tests of resource policies: on loopback every peer is the same.
	TrustForwardedFor bool

	Invoker      Invoker
	Metrics      Metrics
	Logs         Logs
	Certificates Certificates
	Faults       Faults
	// Authorize answers whether the caller of the control plane may; nil
	// allows everything.
	Authorize wire.Authorizer
	// RoleAuthorize says what API Gateway may do by the account's CloudWatch
	// role: write access logs. Nil allows everything.
	RoleAuthorize func(ctx context.Context, roleARN string, ask wire.Ask) error
	// DefaultCertificate is the certificate of the names AWS owns
	// (*.execute-api.REGION.amazonaws.com).
	DefaultCertificate func(host string) (*tls.Certificate, error)
}

// Service is API Gateway in every region. It is safe for concurrent use.
type Service struct {
	options Options
	limits  Limits

	mu      sync.Mutex
	regions map[string]*regional
	rng     *rand.Rand
}

// regional is the state of one region.
type regional struct {
	name           string
	apis           map[string]*restAPI
	domains        map[string]*domain
	tags           map[string]map[string]string // by the path in the ARN
	cloudwatchRole string

	tokens     float64
	tokensAt   time.Time
	domainFrom time.Time
}

// delay is an option whose zero value is the default and whose negative is none.
func delay(option, standard time.Duration) time.Duration {
	if option == 0 {
		return standard
	}
	return max(0, option)
}

// New returns an API Gateway without APIs.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Clock == nil {
		options.Clock = clock.Real{}
	}
	options.StageUpdateDelay = delay(options.StageUpdateDelay, defaultStageUpdateDelay)
	options.AccessLogDelay = delay(options.AccessLogDelay, defaultAccessLogDelay)
	limits := DefaultLimits
	if options.Limits != nil {
		limits = *options.Limits
	}
	return &Service{
		options: options,
		limits:  limits,
		regions: map[string]*regional{},
		rng:     rand.New(rand.NewPCG(options.Seed, 0xa91)),
	}
}

// region returns the state of a region. The lock is held.
func (s *Service) region(name string) *regional {
	r, ok := s.regions[name]
	if !ok {
		r = &regional{
			name: name, apis: map[string]*restAPI{}, domains: map[string]*domain{},
			tags: map[string]map[string]string{}, tokens: s.limits.Burst,
		}
		s.regions[name] = r
	}
	return r
}

// admit takes one control operation out of the region's budget.
func (s *Service) admit(now time.Time, region string) bool {
	if s.limits.Rate <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(region)
	if elapsed := now.Sub(r.tokensAt); elapsed > 0 {
		if !r.tokensAt.IsZero() {
			r.tokens = min(s.limits.Burst, r.tokens+elapsed.Seconds()*s.limits.Rate)
		}
		r.tokensAt = now
	}
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

// admitDomain enforces the interval between calls about domain names.
func (s *Service) admitDomain(now time.Time, r *regional) error {
	if s.limits.DomainInterval <= 0 {
		return nil
	}
	if now.Before(r.domainFrom) {
		return tooMany()
	}
	r.domainFrom = now.Add(s.limits.DomainInterval)
	return nil
}

const idAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

func (s *Service) newID(length int) string {
	id := make([]byte, length)
	for i := range id {
		id[i] = idAlphabet[s.rng.IntN(len(idAlphabet))]
	}
	return string(id)
}

func badRequest(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "BadRequestException", format, args...)
}

func notFound(format string, args ...any) error {
	return wire.Errorf(http.StatusNotFound, "NotFoundException", format, args...)
}

func conflict(format string, args ...any) error {
	return wire.Errorf(http.StatusConflict, "ConflictException", format, args...)
}

func tooMany() error {
	return wire.Errorf(http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests")
}

// refuse logs and answers a request for something that is not modelled.
func (s *Service) refuse(region, what string) error {
	s.options.Log.Warn("not implemented", "service", "apigateway", "region", region, "what", what)
	return badRequest("the embedded AWS has no %s", what)
}
