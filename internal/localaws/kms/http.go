package kms

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// input is the members of all operations: each reads its own.
type input struct {
	KeyId                 string            `json:"KeyId"`
	TargetKeyId           string            `json:"TargetKeyId"`
	AliasName             string            `json:"AliasName"`
	Description           string            `json:"Description"`
	Policy                string            `json:"Policy"`
	PolicyName            string            `json:"PolicyName"`
	Tags                  []tag             `json:"Tags"`
	TagKeys               []string          `json:"TagKeys"`
	KeySpec               string            `json:"KeySpec"`
	CustomerMasterKeySpec string            `json:"CustomerMasterKeySpec"`
	KeyUsage              string            `json:"KeyUsage"`
	Origin                string            `json:"Origin"`
	MultiRegion           bool              `json:"MultiRegion"`
	PendingWindowInDays   *int              `json:"PendingWindowInDays"`
	RotationPeriodInDays  int               `json:"RotationPeriodInDays"`
	Plaintext             []byte            `json:"Plaintext"`
	CiphertextBlob        []byte            `json:"CiphertextBlob"`
	EncryptionContext     map[string]string `json:"EncryptionContext"`
	NumberOfBytes         int               `json:"NumberOfBytes"`
}

type tag struct {
	TagKey   string `json:"TagKey"`
	TagValue string `json:"TagValue"`
}

type output map[string]any

// operation serves one operation on a decoded input.
type operation func(ctx context.Context, in input) (any, error)

// Handler serves the JSON 1.1 API.
func (s *Service) Handler() http.Handler {
	operations := map[string]wire.Operation{}
	for name, serve := range map[string]operation{
		"CreateKey": s.createKey, "ListKeys": s.listKeys,
		"CreateAlias": s.createAlias, "UpdateAlias": s.updateAlias, "DeleteAlias": s.deleteAlias, "ListAliases": s.listAliases,
		"Decrypt": s.decrypt, "CancelKeyDeletion": s.onKey(cancelDeletion, false), "ScheduleKeyDeletion": s.onKey(scheduleDeletion, false),
		"DescribeKey": s.onKey(describe, false), "GetKeyPolicy": s.onKey(getPolicy, false), "ListKeyPolicies": s.onKey(listPolicies, false),
		"ListResourceTags": s.onKey(listTags, false), "GetKeyRotationStatus": s.onKey(rotationStatus, false),
		"PutKeyPolicy": s.onKey(putPolicy, true), "TagResource": s.onKey(addTags, true), "UntagResource": s.onKey(removeTags, true),
		"EnableKeyRotation": s.onKey(enableRotation, true), "DisableKeyRotation": s.onKey(disableRotation, true),
		"UpdateKeyDescription": s.onKey(updateDescription, true), "EnableKey": s.onKey(enable, true), "DisableKey": s.onKey(disable, true),
		"Encrypt": s.encrypt, "GenerateDataKey": s.dataKey, "GenerateDataKeyWithoutPlaintext": s.dataKeyOnly,
	} {
		operations[name] = wire.Op(func(ctx context.Context, in input) (any, error) {
			if err := s.authorize(ctx, name, in); err != nil {
				return nil, err
			}
			return serve(ctx, in)
		})
	}
	return wire.JSONTarget(s.options.Log, "1.1", operations)
}

// onKey makes an operation of a function on one key. With alive, a key that is
// pending deletion is refused.
func (s *Service) onKey(serve func(now time.Time, k *key, in input) (output, error), alive bool) operation {
	return func(ctx context.Context, in input) (any, error) {
		call := wire.FromContext(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		k, err := s.region(call.Region).find(call.Now, in.KeyId)
		if err != nil {
			return nil, err
		}
		if alive && k.state == PendingDeletion {
			return nil, invalidState(k)
		}
		out, err := serve(call.Now, k, in)
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	}
}

func (s *Service) createKey(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	symmetric := func(spec string) bool { return spec == "" || spec == "SYMMETRIC_DEFAULT" }
	if !symmetric(in.KeySpec) || !symmetric(in.CustomerMasterKeySpec) || in.MultiRegion ||
		(in.Origin != "" && in.Origin != "AWS_KMS") || (in.KeyUsage != "" && in.KeyUsage != "ENCRYPT_DECRYPT") {
		wire.Unknown(s.options.Log, call, "CreateKey that is not symmetric, single-Region and of AWS_KMS origin")
		return nil, wire.Errorf(http.StatusBadRequest, "UnsupportedOperationException", "the embedded AWS has symmetric single-Region keys only")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.create(call.Now, call.Region, in.Description, in.Policy, tagMap(in.Tags))
	if err != nil {
		return nil, err
	}
	return output{"KeyMetadata": k.metadata()}, nil
}

func tagMap(tags []tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[t.TagKey] = t.TagValue
	}
	return m
}

func (k *key) metadata() output {
	m := output{
		"AWSAccountId": wire.Account, "KeyId": k.id, "Arn": k.arn, "CreationDate": wire.Epoch(k.created), "Enabled": k.state == Enabled,
		"Description": k.description, "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": k.state, "Origin": "AWS_KMS", "KeyManager": "CUSTOMER",
		"CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "KeySpec": "SYMMETRIC_DEFAULT", "EncryptionAlgorithms": []string{"SYMMETRIC_DEFAULT"}, "MultiRegion": false,
	}
	if k.state == PendingDeletion {
		m["DeletionDate"] = wire.Epoch(k.deleteAt)
	}
	return m
}

func describe(_ time.Time, k *key, _ input) (output, error) {
	return output{"KeyMetadata": k.metadata()}, nil
}

func getPolicy(_ time.Time, k *key, _ input) (output, error) {
	return output{"Policy": k.policy, "PolicyName": "default"}, nil
}

func listPolicies(time.Time, *key, input) (output, error) {
	return output{"PolicyNames": []string{"default"}, "Truncated": false}, nil
}

func putPolicy(_ time.Time, k *key, in input) (output, error) {
	if err := checkPolicy(in.Policy); err != nil {
		return nil, err
	}
	k.policy = in.Policy
	return nil, nil
}

func listTags(_ time.Time, k *key, _ input) (output, error) {
	tags := []tag{}
	for _, name := range slices.Sorted(maps.Keys(k.tags)) {
		tags = append(tags, tag{name, k.tags[name]})
	}
	return output{"Tags": tags, "Truncated": false}, nil
}

func addTags(_ time.Time, k *key, in input) (output, error) {
	maps.Copy(k.tags, tagMap(in.Tags))
	return nil, nil
}

func removeTags(_ time.Time, k *key, in input) (output, error) {
	for _, name := range in.TagKeys {
		delete(k.tags, name)
	}
	return nil, nil
}

func rotationStatus(_ time.Time, k *key, _ input) (output, error) {
	out := output{"KeyRotationEnabled": k.rotates, "KeyId": k.arn}
	if k.rotates {
		out["RotationPeriodInDays"] = k.period
	}
	return out, nil
}

func enableRotation(_ time.Time, k *key, in input) (output, error) {
	k.rotates = true
	if in.RotationPeriodInDays != 0 {
		k.period = in.RotationPeriodInDays
	}
	return nil, nil
}

func disableRotation(_ time.Time, k *key, _ input) (output, error) {
	k.rotates = false
	return nil, nil
}

func updateDescription(_ time.Time, k *key, in input) (output, error) {
	k.description = in.Description
	return nil, nil
}

func enable(_ time.Time, k *key, _ input) (output, error) {
	k.state = Enabled
	return nil, nil
}

func disable(_ time.Time, k *key, _ input) (output, error) {
	k.state = Disabled
	return nil, nil
}

func scheduleDeletion(now time.Time, k *key, in input) (output, error) {
	days := 30
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < 7 || days > 30 {
		return nil, wire.Errorf(http.StatusBadRequest, "ValidationException", "PendingWindowInDays must be between 7 and 30")
	}
	if k.state == PendingDeletion {
		return nil, invalidState(k)
	}
	k.state, k.deleteAt = PendingDeletion, now.AddDate(0, 0, days)
	return output{"KeyId": k.arn, "DeletionDate": wire.Epoch(k.deleteAt), "KeyState": k.state, "PendingWindowInDays": days}, nil
}

func cancelDeletion(_ time.Time, k *key, _ input) (output, error) {
	if k.state != PendingDeletion {
		return nil, wire.Errorf(http.StatusBadRequest, "KMSInvalidStateException", "%s is not pending deletion.", k.arn)
	}
	k.state, k.deleteAt = Disabled, time.Time{}
	return output{"KeyId": k.arn}, nil
}

func (s *Service) listKeys(ctx context.Context, _ input) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(wire.FromContext(ctx).Region)
	keys := []output{}
	for _, id := range slices.Sorted(maps.Keys(r.keys)) {
		keys = append(keys, output{"KeyId": id, "KeyArn": r.keys[id].arn})
	}
	return output{"Keys": keys, "Truncated": false}, nil
}

func (s *Service) createAlias(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(call.Region)
	if !strings.HasPrefix(in.AliasName, "alias/") || strings.HasPrefix(in.AliasName, "alias/aws/") || len(in.AliasName) > 256 {
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidAliasNameException", "Alias must start with the prefix \"alias/\" and not with \"alias/aws/\"")
	}
	if _, exists := r.aliases[in.AliasName]; exists {
		return nil, wire.Errorf(http.StatusBadRequest, "AlreadyExistsException", "An alias with the name %s already exists", aliasARN(call.Region, in.AliasName))
	}
	k, err := r.find(call.Now, in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	if k.state == PendingDeletion {
		return nil, invalidState(k)
	}
	r.aliases[in.AliasName] = k.id
	return nil, nil
}

func aliasARN(region, name string) string {
	return fmt.Sprintf("arn:aws:kms:%s:%s:%s", region, wire.Account, name)
}

func (s *Service) updateAlias(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(call.Region)
	if _, exists := r.aliases[in.AliasName]; !exists {
		return nil, wire.Errorf(http.StatusBadRequest, "NotFoundException", "Alias %s is not found.", aliasARN(call.Region, in.AliasName))
	}
	k, err := r.find(call.Now, in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	r.aliases[in.AliasName] = k.id
	return nil, nil
}

func (s *Service) deleteAlias(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(call.Region)
	if _, exists := r.aliases[in.AliasName]; !exists {
		return nil, wire.Errorf(http.StatusBadRequest, "NotFoundException", "Alias %s is not found.", aliasARN(call.Region, in.AliasName))
	}
	delete(r.aliases, in.AliasName)
	return nil, nil
}

func (s *Service) listAliases(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(call.Region)
	wanted := ""
	if in.KeyId != "" {
		k, err := r.find(call.Now, in.KeyId)
		if err != nil {
			return nil, err
		}
		wanted = k.id
	}
	aliases := []output{}
	for _, name := range slices.Sorted(maps.Keys(r.aliases)) {
		if wanted == "" || r.aliases[name] == wanted {
			aliases = append(aliases, output{"AliasName": name, "AliasArn": aliasARN(call.Region, name), "TargetKeyId": r.aliases[name]})
		}
	}
	return output{"Aliases": aliases, "Truncated": false}, nil
}

// plaintextMax is what Encrypt takes, in bytes.
const plaintextMax = 4096

func (s *Service) encrypt(ctx context.Context, in input) (any, error) {
	if len(in.Plaintext) == 0 || len(in.Plaintext) > plaintextMax {
		return nil, wire.Errorf(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and 4096")
	}
	blob, k, err := s.sealed(ctx, in, in.Plaintext)
	if err != nil {
		return nil, err
	}
	return output{"CiphertextBlob": blob, "KeyId": k.arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

func (s *Service) sealed(ctx context.Context, in input, plaintext []byte) ([]byte, *key, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.region(call.Region).usable(call.Now, in.KeyId)
	if err != nil {
		return nil, nil, err
	}
	blob, err := k.seal(plaintext, in.EncryptionContext)
	return blob, k, err
}

func (s *Service) dataKey(ctx context.Context, in input) (any, error) {
	n := in.NumberOfBytes
	switch {
	case in.KeySpec == "AES_256" && n == 0:
		n = 32
	case in.KeySpec == "AES_128" && n == 0:
		n = 16
	case in.KeySpec != "" || n < 1 || n > 1024:
		return nil, wire.Errorf(http.StatusBadRequest, "ValidationException", "Please specify either number of bytes or key spec.")
	}
	plaintext := make([]byte, n)
	if _, err := rand.Read(plaintext); err != nil {
		return nil, err
	}
	blob, k, err := s.sealed(ctx, in, plaintext)
	if err != nil {
		return nil, err
	}
	return output{"CiphertextBlob": blob, "Plaintext": plaintext, "KeyId": k.arn}, nil
}

func (s *Service) dataKeyOnly(ctx context.Context, in input) (any, error) {
	out, err := s.dataKey(ctx, in)
	if err != nil {
		return nil, err
	}
	full, _ := out.(output)
	delete(full, "Plaintext")
	return full, nil
}

func (s *Service) decrypt(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.region(call.Region)
	id, rest, err := keyIDOf(in.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	if _, here := r.keys[id]; !here {
		return nil, errCiphertext // made by another region's key, or no blob at all
	}
	k, err := r.usable(call.Now, id)
	if err != nil {
		return nil, err
	}
	if in.KeyId != "" {
		named, err := r.find(call.Now, in.KeyId)
		if err != nil {
			return nil, err
		}
		if named.id != k.id {
			return nil, wire.Errorf(http.StatusBadRequest, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
		}
	}
	plaintext, err := k.open(rest, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return output{"Plaintext": plaintext, "KeyId": k.arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}
