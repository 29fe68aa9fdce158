// Package iam is the embedded AWS's Identity and Access Management and its
// Security Token Service: roles, their policies, and sessions bound to a role.
// Users, groups, customer-managed policies and the evaluation of policies do
// not exist here yet; every caller is the account's administrator.
package iam

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	Clock clock.Clock
}

// Service is the account's roles and sessions. IAM is global.
type Service struct {
	options  Options
	mu       sync.Mutex
	roles    map[string]*role   // by name
	sessions map[string]session // by access key id
	serial   int
}

type role struct {
	name, path, id, arn string
	trust               string
	description         string
	created             time.Time
	maxSession          int               // seconds
	inline              map[string]string // name -> document
	attached            map[string]string // ARN -> name
	tags                map[string]string
	boundary            string
}

// session is one use of a role.
type session struct{ roleARN, name string }

// New returns an empty account.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{options: options, roles: map[string]*role{}, sessions: map[string]session{}}
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
	attachedMax = 10
)

// managed are the AWS managed policies that exist here.
var managed = map[string]string{
	"arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` +
		`["logs:CreateLogGroup","logs:CreateLogStream","logs:DescribeLogGroups","logs:DescribeLogStreams","logs:PutLogEvents","logs:GetLogEvents","logs:FilterLogEvents"],"Resource":"*"}]}`,
}

func noSuchRole(name string) error {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", "The role with name %s cannot be found.", name)
}

func validation(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// checkDocument refuses what IAM calls a malformed policy. A trust policy
// names principals, a permission policy resources.
func checkDocument(document string, trust bool) error {
	malformed := func(why string) error {
		return wire.Errorf(http.StatusBadRequest, "MalformedPolicyDocument", "%s", why)
	}
	var policy struct {
		Version   string
		Statement json.RawMessage
	}
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return malformed("Syntax errors in policy.")
	}
	if policy.Version != "" && policy.Version != "2012-10-17" && policy.Version != "2008-10-17" {
		return malformed("The policy has an unknown version " + policy.Version)
	}
	var statements []map[string]any
	if json.Unmarshal(policy.Statement, &statements) != nil {
		var one map[string]any
		if json.Unmarshal(policy.Statement, &one) != nil {
			return malformed("Syntax errors in policy.")
		}
		statements = []map[string]any{one}
	}
	if len(statements) == 0 {
		return malformed("The policy has no statement")
	}
	for _, s := range statements {
		if effect, _ := s["Effect"].(string); effect != "Allow" && effect != "Deny" {
			return malformed("Missing required field Effect cannot be empty!")
		}
		if s["Action"] == nil && s["NotAction"] == nil {
			return malformed("Policy statement must contain actions.")
		}
		if trust && s["Principal"] == nil && s["NotPrincipal"] == nil {
			return malformed("Missing required field Principal cannot be empty!")
		}
		if trust && s["Resource"] != nil {
			return malformed("Has prohibited field Resource")
		}
		if !trust && s["Resource"] == nil && s["NotResource"] == nil {
			return malformed("Policy statement must contain resources.")
		}
		if !trust && s["Principal"] != nil {
			return malformed("Policy document should not specify a principal.")
		}
	}
	return nil
}

// createRole makes a role; the lock is held.
func (s *Service) createRole(now time.Time, name, path, trust, description string, maxSession int, tags map[string]string) (*role, error) {
	if !namePattern.MatchString(name) {
		return nil, validation("1 validation error detected: Value '%s' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64 and satisfy regular expression pattern: [\\w+=,.@-]+", name)
	}
	if err := checkDocument(trust, true); err != nil {
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
		trust: trust, description: description, created: now, maxSession: maxSession, inline: map[string]string{}, attached: map[string]string{}, tags: tags,
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

func (r *role) putInline(name, document string) error {
	if !policyNamePattern.MatchString(name) {
		return validation("1 validation error detected: Value '%s' at 'policyName' failed to satisfy constraint: Member must have length less than or equal to 128 and satisfy regular expression pattern: [\\w+=,.@-]+", name)
	}
	if err := checkDocument(document, false); err != nil {
		return err
	}
	size := 0
	for other, existing := range r.inline {
		if other != name {
			size += compactLength(existing)
		}
	}
	if size+compactLength(document) > inlineMax {
		return wire.Errorf(http.StatusConflict, "LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s", inlineMax, r.name)
	}
	r.inline[name] = document
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

func (r *role) attach(arn string) error {
	if _, known := managed[arn]; !known {
		return wire.Errorf(http.StatusNotFound, "NoSuchEntity", "Policy %s does not exist or is not attachable.", arn)
	}
	if len(r.attached) >= attachedMax && r.attached[arn] == "" {
		return wire.Errorf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", attachedMax)
	}
	r.attached[arn] = arn[strings.LastIndex(arn, "/")+1:]
	return nil
}

// serviceSession names the sessions of functions: Lambda uses the role itself.
const serviceSession = "embedded"

// SessionFor returns credentials bound to the role. The same role always gets
// the same ones: nothing here expires.
func (s *Service) SessionFor(roleARN string) (accessKeyID, secret, token string) {
	return s.openSession(roleARN, serviceSession)
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
