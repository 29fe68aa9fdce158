package s3

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// conditionKeys are the condition keys that a request answers.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
func (r *request) conditionKeys() map[string][]string {
	secure := "false"
	if r.secure {
		secure = "true"
	}
	keys := map[string][]string{"aws:securetransport": {secure}}
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		keys["aws:sourceip"] = []string{ip}
	}
	for _, name := range []string{"x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-acl", "x-amz-copy-source", "x-amz-object-ownership"} {
		if value := r.Header.Get(name); value != "" {
			keys["s3:"+name] = []string{value}
		}
	}
	for _, name := range []string{"prefix", "delimiter", "max-keys", "versionId"} {
		if r.query.Has(name) {
			keys["s3:"+strings.ToLower(name)] = []string{r.query.Get(name)}
		}
	}
	return keys
}

// own are the operations on its policy that a bucket policy cannot take from
// the account's root: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
var own = []string{"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}

const rootARN = "arn:aws:iam::" + wire.Account + ":root"

// authorizeCaller decides for a signed request: in one account either the
// caller's own policies or the bucket's must allow, and neither deny.
func (s *Service) authorizeCaller(ctx context.Context, r *request, action, resource string, keys map[string][]string) error {
	principal := rootARN
	if s.options.Principal != nil {
		principal = s.options.Principal(ctx, r.call.AccessKeyID)
	}
	keys["aws:principalarn"], keys["aws:principalaccount"] = []string{principal}, []string{wire.Account}
	decision := policy.ImplicitDeny
	if r.in != nil {
		var err error
		if decision, err = r.in.decide(principal, action, resource, keys); err != nil {
			return err
		}
	}
	if decision == policy.ExplicitDeny && !(principal == rootARN && slices.Contains(own, action)) {
		return wire.Errorf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: %s on resource: %q with an explicit deny in a resource-based policy", principal, action, resource)
	}
	if s.options.Authorize == nil {
		return nil
	}
	err := s.options.Authorize(ctx, wire.Ask{AccessKeyID: r.call.AccessKeyID, Action: action, Resource: resource, Keys: keys})
	if err == nil {
		return nil
	}
	e := wire.AsError(err)
	// What the caller's own policies merely do not allow, the bucket's may.
	if decision == policy.Allowed && !strings.Contains(e.Message, "explicit deny") {
		return nil
	}
	return wire.Errorf(http.StatusForbidden, "AccessDenied", "%s", e.Message)
}

// authorizePublic decides for a request without a signature: only a bucket
// policy can allow it, and not where Block Public Access restricts the bucket.
func (s *Service) authorizePublic(r *request, action, resource string, keys map[string][]string) error {
	if r.in == nil || r.in.policy == "" {
		return accessDenied()
	}
	if r.in.blocks().RestrictPublicBuckets && isPublic(r.in.policy) {
		return accessDenied()
	}
	decision, err := r.in.decide("", action, resource, keys)
	if err != nil {
		return err
	}
	if decision != policy.Allowed {
		return accessDenied()
	}
	return nil
}

// decide is what the bucket's policy says.
func (b *bucket) decide(principal, action, resource string, keys map[string][]string) (policy.Decision, error) {
	if b.policy == "" {
		return policy.ImplicitDeny, nil
	}
	document, err := policy.Parse(b.policy)
	if err != nil {
		return policy.ExplicitDeny, err
	}
	return policy.Evaluate([]policy.Document{document}, policy.Request{Principal: principal, Action: action, Resource: resource, Keys: keys}), nil
}

// askKey asks for the use of an object's KMS key by the caller.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (s *Service) askKey(ctx context.Context, r *request, e encryption, object string, actions ...string) error {
	if e.algorithm != sseKMS || e.managed() || s.options.Authorize == nil {
		return nil
	}
	for _, action := range actions {
		ask := wire.Ask{AccessKeyID: r.call.AccessKeyID, Action: action, Resource: e.key, Keys: e.keysFor(r.in, object)}
		if err := s.options.Authorize(ctx, ask); err != nil {
			return wire.Errorf(http.StatusForbidden, "AccessDenied", "%s", wire.AsError(err).Message)
		}
	}
	return nil
}
