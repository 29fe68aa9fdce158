package iam

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// KeyPolicy is what IAM needs of a KMS key: the ARN that the id, ARN or alias
// leads to, and its policy. ok is false where there is no such key.
type KeyPolicy func(keyID string) (keyARN, document string, ok bool)

// KeyContext is what conditions can ask of a KMS key, by its ARN or alias: the
// tags it has and the aliases that lead to it. Names are in lower case.
type KeyContext func(keyID string) map[string][]string

// The rights of Amazon's own managed keys (alias/aws/...) come with the
// services they belong to, never from the account's policies.
const managedAlias = ":alias/aws/"

const rootARN = "arn:aws:iam::" + wire.Account + ":root"

// caller is who a signature belongs to.
type caller struct {
	arn      string
	root     bool // may do everything
	roleARN  string
	role     string
	policies []policy.Document
	boundary []policy.Document // nil: none
}

// errToken is AWS's answer to a session that it does not know.
var errToken = wire.Errorf(http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")

// callerOf is the session of the key. Any other key is the account's root, but
// one that looks like a session's is of a session that is gone.
func (s *Service) callerOf(accessKeyID string) (caller, error) {
	found, bound := s.sessionOf(accessKeyID)
	switch {
	case bound:
		return s.roleCaller(found.roleARN, assumedARN(found.roleARN, found.name)), nil
	case strings.HasPrefix(accessKeyID, "ASIA"):
		return caller{}, errToken
	default:
		return caller{arn: rootARN, root: true}, nil
	}
}

// roleCaller is the role acting under the given ARN; a role that is gone has
// no policies left.
func (s *Service) roleCaller(roleARN, arn string) caller {
	c := caller{arn: arn, roleARN: roleARN}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.byARN(roleARN)
	if err != nil {
		return c
	}
	c.role = r.name
	for _, document := range r.inline {
		c.policies = append(c.policies, document.parsed)
	}
	for arn := range r.attached {
		if d, found := s.managedPolicy(arn); found {
			c.policies = append(c.policies, d.parsed)
		}
	}
	if r.boundary != "" {
		// One that is not known here bounds to nothing.
		d, _ := s.managedPolicy(r.boundary)
		c.boundary = []policy.Document{d.parsed}
	}
	return c
}

// Principal is the ARN that the access key's requests are made as: of the
// role's session, of the account's root otherwise.
func (s *Service) Principal(_ context.Context, accessKeyID string) string {
	c, err := s.callerOf(accessKeyID)
	if err != nil {
		return ""
	}
	return c.arn
}

// Authorize is a wire.Authorizer by the policies of the caller's role: inline,
// attached and its boundary, and for kms actions the key's policy too. The
// account's root may do everything. A denial is an AccessDeniedException;
// services whose model has another code or status make it theirs.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func (s *Service) Authorize(_ context.Context, ask wire.Ask) error {
	c, err := s.callerOf(ask.AccessKeyID)
	if err != nil || c.root {
		return err
	}
	return s.decide(c, ask)
}

// RoleAuthorizer answers for a service that acts by a role: the role's trust
// policy must let the service in, and the role's policies must allow the ask,
// whose AccessKeyID does not count.
func (s *Service) RoleAuthorizer(service string) func(ctx context.Context, roleARN string, ask wire.Ask) error {
	return func(_ context.Context, roleARN string, ask wire.Ask) error {
		if err := s.trusts(roleARN, policy.Request{Principal: service, Action: "sts:AssumeRole"}); err != nil {
			return denied("%s is not authorized to perform: sts:AssumeRole on resource: %s", service, roleARN)
		}
		session, _, _ := strings.Cut(service, ".")
		return s.decide(s.roleCaller(roleARN, assumedARN(roleARN, session)), ask)
	}
}

// ServiceAuthorizer answers for a service that uses a key in its own name,
// which the key's policy alone can allow.
func (s *Service) ServiceAuthorizer(service func(region string) string) func(ctx context.Context, region string, ask wire.Ask) error {
	return func(_ context.Context, region string, ask wire.Ask) error {
		arn, document, ok := s.key(ask.Resource)
		req := policy.Request{Principal: service(region), Action: ask.Action, Resource: arn, Keys: ask.Keys}
		if !ok || policy.Evaluate(document, req) != policy.Allowed {
			return denied("User: %s is not authorized to perform: %s on resource: %s because no resource-based policy allows the %s action", req.Principal, ask.Action, ask.Resource, ask.Action)
		}
		return nil
	}
}

// key reads a key's policy through the port.
func (s *Service) key(id string) (arn string, document []policy.Document, ok bool) {
	if s.options.KeyPolicy == nil {
		return id, nil, false
	}
	arn, text, ok := s.options.KeyPolicy(id)
	if !ok {
		return id, nil, false
	}
	parsed, err := policy.Parse(text)
	if err != nil {
		s.options.Log.Error("a key has a policy that cannot be read", "key", arn, "error", err)
		return arn, nil, false
	}
	return arn, []policy.Document{parsed}, true
}

// trusts evaluates the trust policy of a role.
func (s *Service) trusts(roleARN string, req policy.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.byARN(roleARN)
	if err != nil {
		return err
	}
	if decision := policy.Evaluate([]policy.Document{r.trust.parsed}, req); decision != policy.Allowed {
		return denied("%s: %s", req.Action, decision)
	}
	return nil
}

func denied(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", format, args...)
}

// decide answers one principal of the account, and writes down what was asked.
// What a key is known by belongs to the question, whichever service asks.
func (s *Service) decide(c caller, ask wire.Ask) error {
	if s.options.KeyContext != nil && usesKey(ask) {
		known := s.options.KeyContext(ask.Resource)
		maps.Copy(known, ask.Keys)
		ask.Keys = known
	}
	resource, err := s.judge(c, ask)
	s.remember(c.role, Question{Action: ask.Action, Resource: resource, Keys: ask.Keys, Allowed: err == nil})
	return err
}

// judge is the evaluation, and the resource that it was about: of a key's
// alias that is the key.
func (s *Service) judge(c caller, ask wire.Ask) (resource string, err error) {
	req := policy.Request{Principal: c.arn, Action: ask.Action, Resource: ask.Resource, Keys: c.keys(ask.Keys)}
	refuse := func(why string) (string, error) {
		return req.Resource, denied("User: %s is not authorized to perform: %s on resource: %s %s", c.arn, ask.Action, req.Resource, why)
	}
	const explicitly = "with an explicit deny in a"
	granted, allowed := false, true // by the resource's own policy
	if usesKey(ask) {
		arn, document, ok := s.key(ask.Resource)
		req.Resource = arn
		decision := policy.Evaluate(document, req)
		if decision == policy.ExplicitDeny {
			return refuse(explicitly + " resource-based policy")
		}
		allowed = ok && decision == policy.Allowed
		granted = allowed && policy.Grants(document, req)
	}
	identity := policy.Evaluate(c.policies, req)
	switch {
	case identity == policy.ExplicitDeny:
		return refuse(explicitly + "n identity-based policy")
	case !allowed:
		// Identity policies count for a key only where its policy leaves them to.
		// https://docs.aws.amazon.com/kms/latest/developerguide/iam-policies.html
		return refuse("because no resource-based policy allows the " + ask.Action + " action")
	case identity != policy.Allowed && !granted:
		return refuse("because no identity-based policy allows the " + ask.Action + " action")
	case c.boundary != nil && policy.Evaluate(c.boundary, req) != policy.Allowed:
		return refuse("because no permissions boundary allows the " + ask.Action + " action")
	}
	return req.Resource, nil
}

// usesKey says whether a key's policy has a say: it has not for an alias as
// such, only for the key that one leads to.
func usesKey(ask wire.Ask) bool {
	action := strings.ToLower(ask.Action)
	isAlias := strings.Contains(ask.Resource, ":alias/")
	return strings.HasPrefix(action, "kms:") && strings.HasPrefix(ask.Resource, "arn:") &&
		!strings.Contains(ask.Resource, managedAlias) && !(isAlias && strings.HasSuffix(action, "alias"))
}

// keys adds what every request has to the condition keys of this one.
func (c caller) keys(of map[string][]string) map[string][]string {
	all := map[string][]string{"aws:principalaccount": {wire.Account}, "kms:calleraccount": {wire.Account}}
	if c.roleARN != "" {
		all["aws:principalarn"] = []string{c.roleARN}
	}
	for name, values := range of {
		all[strings.ToLower(name)] = values
	}
	return all
}
