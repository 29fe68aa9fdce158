// Package secretsmanager is the embedded AWS's Secrets Manager: secrets with
// versions and staging labels, deletion windows, replicas in other regions
// that follow their primary after a lag, and resource policies.
//
// There is no rotation, no managed external secret and no batch read. Resource
// policies are kept and shown, but nothing evaluates them: callers are judged
// by their own policies. Values are not encrypted in memory; what a customer
// key demands of the caller is asked as AWS asks it.
//
// No value appears in a log line or in an error.
package secretsmanager

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Options are the dependencies of a Service.
type Options struct {
	Log   *slog.Logger // nil: discarded
	Clock clock.Clock  // nil: real
	// ReplicationLag is how long a change takes to the replicas. Default 5 s;
	// AWS gives no figure [model].
	ReplicationLag time.Duration
	// Authorize says whether the caller may do this; nil allows everything.
	Authorize wire.Authorizer
	// KeyARN is the ARN of the key that an ARN of a key or alias leads to; ok
	// is false where there is none. nil takes ARNs at their word.
	KeyARN func(arn string) (keyARN string, ok bool)
}

// Service is Secrets Manager in every region.
type Service struct {
	options Options
	mu      sync.Mutex
	regions map[string]map[string]*secret // region -> name -> secret
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
		options.ReplicationLag = 5 * time.Second
	}
	return &Service{options: options, regions: map[string]map[string]*secret{}}
}

// secret is a secret in one region: a primary, or a replica of one.
type secret struct {
	name, region, arn string
	created, changed  time.Time
	createToken       string // of the CreateSecret that made it
	keyID             string // "" is AWS's own key
	content           content
	accessed          time.Time            // the day, zero before the first read
	versionAccessed   map[string]time.Time // by version id, likewise
	deleteAt          time.Time            // set while it is marked for deletion

	replicas []*replica // of a primary

	primary *secret   // of a replica
	pending []arrival // what the primary sent and the replica does not show yet
	visible bool      // the first content has arrived
}

// The limits of Secrets Manager.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const (
	valueMax    = 65_536 // bytes
	versionsMax = 100
	stagesMax   = 20 // labels of one version
	policyMax   = 20_480
	windowMin   = 7 // days
	windowMax   = 30
)

// defaultKey is the key AWS keeps for those that name none; its own policy
// lets every caller of the account use it through Secrets Manager.
const defaultKey = "alias/aws/secretsmanager"

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
)

func invalidParameter(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func invalidRequest(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "InvalidRequestException", format, args...)
}

func exists(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "ResourceExistsException", format, args...)
}

func notFound(what string) error {
	return wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified %s", what)
}

var (
	errNoSecret = notFound("secret.")
	errMarked   = invalidRequest("You can't perform this operation on the secret because it was marked for deletion.")
	errReplica  = invalidParameter("Operation not permitted on a replica secret. Call must be made in primary secret's region.")
)

func (s *Service) region(name string) map[string]*secret {
	r, known := s.regions[name]
	if !known {
		r = map[string]*secret{}
		s.regions[name] = r
	}
	return r
}

// settle brings every secret to this time: replicas take what has arrived,
// and those whose window has passed are gone.
func (s *Service) settle(now time.Time) {
	for _, r := range s.regions {
		for name, x := range r {
			x.arrive(now)
			if x.marked() && !now.Before(x.deleteAt) {
				delete(r, name)
			}
		}
	}
}

// find resolves a name, an ARN, or an ARN without its random end. Callers
// settle first.
func (s *Service) find(region, id string) (*secret, bool) {
	r := s.region(region)
	for _, x := range r {
		if x.arn == id {
			return x, x.primary == nil || x.visible
		}
	}
	x, found := r[strings.TrimPrefix(id, arnOf(region, ""))]
	return x, found && (x.primary == nil || x.visible)
}

func (x *secret) marked() bool { return !x.deleteAt.IsZero() }

// touch notes a read. AWS keeps the day only.
func (x *secret) touch(now time.Time, versionID string) {
	day := now.UTC().Truncate(24 * time.Hour)
	x.accessed, x.versionAccessed[versionID] = day, day
}

func arnOf(region, name string) string {
	return "arn:aws:secretsmanager:" + region + ":" + wire.Account + ":secret:" + name
}

// suffixed is a new ARN: six random characters keep a policy for a deleted
// secret from meaning a new one of its name.
func suffixed(region, name string) string {
	return arnOf(region, name) + "-" + rand.Text()[:6]
}
