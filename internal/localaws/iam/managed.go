package iam

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// customer is a managed policy of the account's own. It has one version.
type customer struct {
	name, path, id string
	document       document
}

type policyXML struct {
	PolicyName, PolicyId, Arn, Path, DefaultVersionId string
	AttachmentCount                                   int
	IsAttachable                                      bool
}

// managedPolicy is AWS's own or the account's; the lock is held.
func (s *Service) managedPolicy(arn string) (document, bool) {
	if own, found := s.policies[arn]; found {
		return own.document, true
	}
	d, found := managed[arn]
	return d, found
}

// attachedTo counts the roles that have the policy; the lock is held.
func (s *Service) attachedTo(arn string) int {
	n := 0
	for _, r := range s.roles {
		if r.attached[arn] != "" {
			n++
		}
	}
	return n
}

func (s *Service) policyXML(arn string) policyXML {
	out := policyXML{
		PolicyName: arn[strings.LastIndex(arn, "/")+1:], Arn: arn, Path: "/service-role/", DefaultVersionId: "v1",
		AttachmentCount: s.attachedTo(arn), IsAttachable: true,
	}
	if own, found := s.policies[arn]; found {
		out.Path, out.PolicyId = own.path, own.id
	}
	return out
}

func policyARN(path, name string) string {
	return "arn:aws:iam::" + wire.Account + ":policy" + cmp.Or(path, "/") + name
}

// createPolicy refuses what is too long for a managed policy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func (s *Service) createPolicy(_ context.Context, form url.Values) (any, error) {
	name, path, text := form.Get("PolicyName"), cmp.Or(form.Get("Path"), "/"), form.Get("PolicyDocument")
	if err := validPolicyName(name); err != nil {
		return nil, err
	}
	d, err := read(text, policy.Document.Identity)
	if err != nil {
		return nil, err
	}
	if compactLength(text) > managedMax {
		return nil, wire.Errorf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PolicySize: %d", managedMax)
	}
	arn := policyARN(path, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.policies {
		if strings.EqualFold(other.name, name) {
			return nil, wire.Errorf(http.StatusConflict, "EntityAlreadyExists", "A policy called %s already exists. Duplicate names are not allowed.", name)
		}
	}
	s.serial++
	hash := sha256.Sum256([]byte(arn))
	s.policies[arn] = customer{name, path, "ANPA" + strings.ToUpper(hex.EncodeToString(hash[:]))[:17], d}
	return struct{ Policy policyXML }{s.policyXML(arn)}, nil
}

func (s *Service) deleteManaged(_ context.Context, form url.Values) (any, error) {
	arn := form.Get("PolicyArn")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, found := s.policies[arn]; {
	case !found:
		return nil, noSuchManaged(arn)
	case s.attachedTo(arn) > 0:
		return nil, wire.Errorf(http.StatusConflict, "DeleteConflict", "Cannot delete a policy attached to entities.")
	}
	delete(s.policies, arn)
	return nil, nil
}

func noSuchManaged(arn string) error {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", "Policy %s was not found.", arn)
}

func (s *Service) getPolicy(_ context.Context, form url.Values) (any, error) {
	arn := form.Get("PolicyArn")
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.managedPolicy(arn); !found {
		return nil, noSuchManaged(arn)
	}
	return struct{ Policy policyXML }{s.policyXML(arn)}, nil
}

func (s *Service) getPolicyVersion(_ context.Context, form url.Values) (any, error) {
	arn := form.Get("PolicyArn")
	s.mu.Lock()
	defer s.mu.Unlock()
	d, found := s.managedPolicy(arn)
	if !found {
		return nil, noSuchManaged(arn)
	}
	type version struct {
		Document, VersionId string
		IsDefaultVersion    bool
	}
	return struct{ PolicyVersion version }{version{escape(d.text), "v1", true}}, nil
}

func (s *Service) attachPolicy(r *role, form url.Values) (any, error) {
	arn := form.Get("PolicyArn")
	if _, known := s.managedPolicy(arn); !known {
		return nil, wire.Errorf(http.StatusNotFound, "NoSuchEntity", "Policy %s does not exist or is not attachable.", arn)
	}
	if len(r.attached) >= attachedMax && r.attached[arn] == "" {
		return nil, wire.Errorf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", attachedMax)
	}
	r.attached[arn] = arn[strings.LastIndex(arn, "/")+1:]
	return nil, nil
}
