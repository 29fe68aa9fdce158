// Package iam is the embedded AWS's Identity and Access Management and its
// Security Token Service: roles, their policies, sessions bound to a role,
// identity providers of OpenID Connect, and the evaluation of the policies
// whenever a service asks, which all of them do. Users and groups do not exist
// here: whoever has no session is the account's root. What was asked of each
// role is kept.
package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Options are the dependencies of a Service.
type Options struct {
	Log   *slog.Logger // nil: discarded
	Clock clock.Clock
	// KeyPolicy reads the policies of KMS keys; nil: there are no keys.
	KeyPolicy KeyPolicy
	// KeyContext reads their tags and aliases; nil: they have none.
	KeyContext KeyContext
}

// Service is the account's roles and sessions. IAM is global.
type Service struct {
	options  Options
	mu       sync.Mutex
	roles    map[string]*role    // by name
	sessions map[string]session  // by access key id
	issuers  map[string]*issuer  // identity providers by ARN
	policies map[string]customer // the account's managed policies by ARN
	asked    map[string]*record  // what was asked, by the role's name
	serial   int
}

type role struct {
	name, path, id, arn string
	trust               document
	description         string
	created             time.Time
	maxSession          int                 // seconds
	inline              map[string]document // by name
	attached            map[string]string   // ARN -> name
	tags                map[string]string
	boundary            string
}

// document is a policy as it was written and as it is read.
type document struct {
	text   string
	parsed policy.Document
}

// session is one use of a role.
type session struct{ roleARN, name string }

// New returns an empty account.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{options: options, roles: map[string]*role{}, sessions: map[string]session{}, issuers: map[string]*issuer{}, policies: map[string]customer{}, asked: map[string]*record{}}
}

// The limits of IAM.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
var (
	namePattern       = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	policyNamePattern = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
	sessionPattern    = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

const (
	inlineMax   = 10_240 // characters of all inline policies of a role, white space apart
	managedMax  = 6_144  // of one managed policy
	attachedMax = 10
)

// managed are the AWS managed policies that exist here, by ARN.
var managed = map[string]document{
	"arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs": mustRead(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` +
		`["logs:CreateLogGroup","logs:CreateLogStream","logs:DescribeLogGroups","logs:DescribeLogStreams","logs:PutLogEvents","logs:GetLogEvents","logs:FilterLogEvents"],"Resource":"*"}]}`),
}

func mustRead(text string) document {
	d, err := read(text, policy.Document.Identity)
	if err != nil {
		panic(err) // the policies are constants
	}
	return d
}

func noSuchRole(name string) error {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", "The role with name %s cannot be found.", name)
}

func validation(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// read refuses what IAM calls a malformed policy; fits is what it is for.
func read(text string, fits func(policy.Document) error) (document, error) {
	parsed, err := policy.Parse(text)
	if err == nil {
		err = fits(parsed)
	}
	if err != nil {
		return document{}, wire.Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "%v", err)
	}
	return document{text, parsed}, nil
}

// createRole makes a role; the lock is held.
func (s *Service) createRole(now time.Time, name, path, trust, description string, maxSession int, tags map[string]string) (*role, error) {
	if !namePattern.MatchString(name) {
		return nil, validation("1 validation error detected: Value '%s' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64 and satisfy regular expression pattern: [\\w+=,.@-]+", name)
	}
	trusted, err := read(trust, policy.Document.Trust)
	if err != nil {
		return nil, err
	}
	if _, exists := s.roles[name]; exists {
		return nil, wire.Errorf(http.StatusConflict, "EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	if path == "" {
		path = "/"
	}
	if maxSession == 0 {
		maxSession = 3600
	}
	s.serial++
	hash := sha256.Sum256(fmt.Appendf(nil, "%s/%d", name, s.serial))
	r := &role{
		name: name, path: path, id: "AROA" + strings.ToUpper(hex.EncodeToString(hash[:]))[:17], arn: "arn:aws:iam::" + wire.Account + ":role" + path + name,
		trust: trusted, description: description, created: now, maxSession: maxSession, inline: map[string]document{}, attached: map[string]string{}, tags: tags,
	}
	s.roles[name] = r
	return r, nil
}

func (s *Service) find(name string) (*role, error) {
	r, found := s.roles[name]
	if !found {
		return nil, noSuchRole(name)
	}
	return r, nil
}

// byARN is the role of exactly that ARN; the lock is held.
func (s *Service) byARN(arn string) (*role, error) {
	name := arn[strings.LastIndex(arn, "/")+1:]
	r, err := s.find(name)
	if err == nil && r.arn != arn {
		return nil, noSuchRole(name)
	}
	return r, err
}

func validPolicyName(name string) error {
	if policyNamePattern.MatchString(name) {
		return nil
	}
	return validation("1 validation error detected: Value '%s' at 'policyName' failed to satisfy constraint: Member must have length less than or equal to 128 and satisfy regular expression pattern: [\\w+=,.@-]+", name)
}

func (r *role) putInline(name, text string) error {
	if err := validPolicyName(name); err != nil {
		return err
	}
	d, err := read(text, policy.Document.Identity)
	if err != nil {
		return err
	}
	size := 0
	for other, existing := range r.inline {
		if other != name {
			size += compactLength(existing.text)
		}
	}
	if size+compactLength(text) > inlineMax {
		return wire.Errorf(http.StatusConflict, "LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s", inlineMax, r.name)
	}
	r.inline[name] = d
	return nil
}

func compactLength(document string) int {
	n := 0
	for _, c := range document {
		if !strings.ContainsRune(" \t\r\n", c) {
			n++
		}
	}
	return n
}

// serviceSession names the sessions of functions: Lambda uses the role itself.
const serviceSession = "embedded"

// SessionFor returns the credentials with which Lambda runs a function of the
// role, which must trust it. The same role always gets the same ones: nothing
// here expires.
func (s *Service) SessionFor(roleARN string) (accessKeyID, secret, token string, err error) {
	if err := s.trusts(roleARN, policy.Request{Principal: "lambda.amazonaws.com", Action: "sts:AssumeRole"}); err != nil {
		return "", "", "", denied("The role defined for the function cannot be assumed by Lambda.")
	}
	accessKeyID, secret, token = s.openSession(roleARN, serviceSession)
	return accessKeyID, secret, token, nil
}

func (s *Service) openSession(roleARN, name string) (accessKeyID, secret, token string) {
	hash := sha256.Sum256([]byte(roleARN + " " + name))
	accessKeyID = "ASIA" + strings.ToUpper(hex.EncodeToString(hash[:]))[:16]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[accessKeyID] = session{roleARN, name}
	return accessKeyID, "local-" + accessKeyID, "local-session-token"
}

// RoleOf is the role a session's access key belongs to; false for the
// account's administrator.
func (s *Service) RoleOf(accessKeyID string) (arn string, ok bool) {
	found, ok := s.sessionOf(accessKeyID)
	return found.roleARN, ok
}

func (s *Service) sessionOf(accessKeyID string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[accessKeyID]
	return found, ok
}
