// Package s3 is the embedded AWS's S3: buckets in their regions, versioned
// objects with server-side encryption, bucket policies under Block Public
// Access, website endpoints and replication between buckets.
//
// Everything is kept in memory. Lifecycle rules are kept and given back but
// never run; ACLs, object lock, notifications, access points, storage classes
// and routing rules do not exist here: asking for one is an error. Objects are
// not really encrypted; what AWS asks of their keys is asked.
package s3

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Metrics is where the replication metrics go.
type Metrics interface {
	Record(now time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string)
}

// Faults decides whether a call is to fail. Targets are "bucket/NAME".
type Faults interface {
	Draw(region string, kind fault.Kind, target string) (fault.Fault, bool)
}

// Options are the dependencies of a Service.
type Options struct {
	Log     *slog.Logger // nil: discarded
	Clock   clock.Clock  // nil: real
	Seed    uint64       // of version ids and lags
	Metrics Metrics      // nil records nothing
	Faults  Faults       // nil injects nothing
	// Authorize answers for the caller of a signed request; nil allows
	// everything. It is asked for s3:* on buckets and objects, for kms:* on
	// the keys of SSE-KMS objects and for iam:PassRole of a replication role.
	Authorize wire.Authorizer
	// Principal is the ARN of an access key's caller, for bucket policies;
	// nil: the account root.
	Principal func(ctx context.Context, accessKeyID string) string
	// RoleAuthorize answers for a replication rule's role, trust included;
	// nil allows everything.
	RoleAuthorize func(ctx context.Context, roleARN string, ask wire.Ask) error
	// KeyARN is the ARN of the key that an ARN of a key or alias leads to,
	// false where there is none; nil: every key exists.
	KeyARN func(arn string) (keyARN string, ok bool)
	// ReplicationLag is the middle of how long a replica takes; a single one
	// takes between half and one and a half of it. Default 2 s. AWS promises
	// "most objects in seconds" and, with S3 RTC, 99.99 % in 15 minutes.
	ReplicationLag time.Duration
}

// Service is S3 in every region: bucket names are unique over all.
type Service struct {
	options Options

	mu       sync.Mutex
	lag      time.Duration
	random   *rand.Rand
	buckets  map[string]*bucket
	uploads  map[string]*upload // multipart, by upload id
	pending  []*transfer
	measured time.Time          // when the replication metrics were last published
	slowest  map[stream]float64 // seconds, of replicas that arrived since then
	failures map[stream]int     // since then
}

// New returns an empty account.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Clock == nil {
		options.Clock = clock.Real{}
	}
	if options.ReplicationLag == 0 {
		options.ReplicationLag = 2 * time.Second
	}
	return &Service{
		options: options, lag: options.ReplicationLag, random: rand.New(rand.NewPCG(options.Seed, 0x53)),
		buckets: map[string]*bucket{}, uploads: map[string]*upload{}, slowest: map[stream]float64{}, failures: map[stream]int{},
	}
}

// SetReplicationLag changes how long replicas of writes made from now on take.
func (s *Service) SetReplicationLag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag
}

// Run lets replicas arrive and publishes the replication metrics while nobody
// calls. It ends with ctx.
func (s *Service) Run(ctx context.Context) error {
	for {
		if err := s.options.Clock.Sleep(ctx, time.Second); err != nil {
			return err
		}
		s.Settle(ctx, s.options.Clock.Now())
	}
}

// Settle brings everything that was due by now into effect.
func (s *Service) Settle(ctx context.Context, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(ctx, now)
}

// token is an opaque id of this length, as version and upload ids are.
func (s *Service) token(length int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
	out := make([]byte, length)
	for i := range out {
		out[i] = letters[s.random.IntN(len(letters))]
	}
	return string(out)
}

func bucketARN(name string) string { return "arn:aws:s3:::" + name }

func objectARN(bucket, key string) string { return "arn:aws:s3:::" + bucket + "/" + key }

func invalidArgument(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "InvalidArgument", format, args...)
}

func invalidRequest(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "InvalidRequest", format, args...)
}

func malformedXML() *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

func accessDenied() *wire.Error {
	return wire.Errorf(http.StatusForbidden, "AccessDenied", "Access Denied")
}

// notImplemented refuses what S3 has and the embedded one has not.
func notImplemented(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusNotImplemented, "NotImplemented", "the embedded S3 has no %s", fmt.Sprintf(format, args...))
}
