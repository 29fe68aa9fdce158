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
	s.mu.Lock()
	defer s.mu.Unlock()
	k, _ := s.byARN(arn)
	if k == nil {
		return "", "", false
	}
	return k.arn, k.policy, true
}

// ContextOf are the condition keys that belong to the key itself, whoever asks
// for it and how: its tags and its aliases. Empty where there is no such key.
// AWS takes up to five minutes to notice a change of either; here it is seen
// at once.
// https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
func (s *Service) ContextOf(arn string) map[string][]string {
	keys := map[string][]string{}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, r := s.byARN(arn)
	if k == nil {
		return keys
	}
	for name, value := range k.tags {
		keys["aws:resourcetag/"+strings.ToLower(name)] = []string{value}
	}
	for _, alias := range slices.Sorted(maps.Keys(r.aliases)) {
		if r.aliases[alias] == k.id {
			keys["kms:resourcealiases"] = append(keys["kms:resourcealiases"], alias)
		}
	}
	return keys
}

// byARN is the key that an ARN of a key or alias leads to, with its region, or
// nil. The lock is held.
func (s *Service) byARN(arn string) (*key, *region) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return nil, nil
	}
	r := s.region(parts[3])
	k, err := r.find(s.options.Clock.Now(), arn)
	if err != nil {
		return nil, nil
	}
	return k, r
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
	for _, t := range in.Tags {
		keys["aws:requesttag/"+strings.ToLower(t.TagKey)] = []string{t.TagValue}
		keys["aws:tagkeys"] = append(keys["aws:tagkeys"], t.TagKey)
	}
	if operation == "UntagResource" {
		keys["aws:tagkeys"] = in.TagKeys
	}
	ask := func(operation, resource string) error {
		return s.options.Authorize(ctx, wire.Ask{AccessKeyID: call.AccessKeyID, Action: "kms:" + operation, Resource: resource, Keys: keys})
	}
	for _, resource := range s.resources(call, operation, in) {
		if err := ask(operation, resource); err != nil {
			return err
		}
	}
	if operation == "CreateKey" && len(in.Tags) > 0 {
		// A right restricted to particular keys does not cover the one to come.
		// https://docs.aws.amazon.com/kms/latest/developerguide/tag-permissions.html
		return ask("TagResource", "*")
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
