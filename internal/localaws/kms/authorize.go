package kms

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// PolicyOf is the ARN and the policy of the key that an ARN of a key or alias
// leads to. ok is false where there is none.
func (s *Service) PolicyOf(arn string) (keyARN, document string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return "", "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.region(parts[3]).find(s.options.Clock.Now(), arn)
	if err != nil {
		return "", "", false
	}
	return k.arn, k.policy, true
}

// authorize asks for an operation on each resource that it touches. The lock
// is not held: the answer needs the key's policy.
// https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
func (s *Service) authorize(ctx context.Context, operation string, in input) error {
	if s.options.Authorize == nil {
		return nil
	}
	call := wire.FromContext(ctx)
	keys := map[string][]string{}
	for name, value := range in.EncryptionContext {
		keys["kms:encryptioncontext:"+name] = []string{value}
	}
	if len(in.EncryptionContext) > 0 {
		keys["kms:encryptioncontextkeys"] = slices.Sorted(maps.Keys(in.EncryptionContext))
	}
	for _, resource := range s.resources(call, operation, in) {
		if err := s.options.Authorize(ctx, wire.Ask{AccessKeyID: call.AccessKeyID, Action: "kms:" + operation, Resource: resource, Keys: keys}); err != nil {
			return err
		}
	}
	return nil
}

// resources are what an operation touches. A key that is not there is left
// out: the operation itself says that.
func (s *Service) resources(call wire.Call, operation string, in input) []string {
	id := in.KeyId
	var all []string
	switch operation {
	case "CreateKey", "ListKeys", "ListAliases":
		return []string{"*"}
	case "CreateAlias", "UpdateAlias":
		all, id = []string{aliasARN(call.Region, in.AliasName)}, in.TargetKeyId
	case "DeleteAlias":
		all, id = []string{aliasARN(call.Region, in.AliasName)}, in.AliasName
	case "Decrypt":
		id, _, _ = keyIDOf(in.CiphertextBlob)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, err := s.region(call.Region).find(call.Now, id); err == nil {
		all = append(all, k.arn)
	}
	return all
}
