package secretsmanager

import (
	"context"
	"net/http"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func (s *Service) ask(ctx context.Context, action, resource string) error {
	if s.options.Authorize == nil {
		return nil
	}
	return s.options.Authorize(ctx, wire.Ask{AccessKeyID: wire.FromContext(ctx).AccessKeyID, Action: "secretsmanager:" + action, Resource: resource})
}

// askKey asks for the use of the key that seals a secret's value: the caller
// needs it as well as the secret, unless the key is AWS's own. versionID "" is
// not part of the question. AWS answers a refusal without saying which.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (s *Service) askKey(ctx context.Context, x *secret, keyID, versionID string, actions ...string) error {
	if s.ownKey(keyID) {
		return nil
	}
	arn, ok := s.keyARN(x.region, keyID)
	if !ok {
		return wire.Errorf(http.StatusBadRequest, failures[actions[0]], "Secrets Manager can't use the KMS key %s. Check that the KMS key is available, enabled, and not in an invalid state.", keyID)
	}
	if s.options.Authorize == nil {
		return nil
	}
	keys := map[string][]string{"kms:viaservice": {"secretsmanager." + x.region + ".amazonaws.com"}, "kms:encryptioncontext:secretarn": {x.arn}}
	if versionID != "" {
		keys["kms:encryptioncontext:secretversionid"] = []string{versionID}
	}
	for _, action := range actions {
		if err := s.options.Authorize(ctx, wire.Ask{AccessKeyID: wire.FromContext(ctx).AccessKeyID, Action: action, Resource: arn, Keys: keys}); err != nil {
			return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "Access to KMS is not allowed")
		}
	}
	return nil
}

func (s *Service) ownKey(id string) bool {
	return id == "" || id == defaultKey || strings.HasSuffix(id, ":"+defaultKey)
}

// failures are the errors of a key that is not there, by what it was for.
var failures = map[string]string{"kms:Decrypt": "DecryptionFailure", "kms:GenerateDataKey": "EncryptionFailure"}

func (s *Service) keyARN(region, id string) (arn string, ok bool) {
	switch {
	case strings.HasPrefix(id, "arn:"):
		arn = id
	case strings.HasPrefix(id, "alias/"):
		arn = "arn:aws:kms:" + region + ":" + wire.Account + ":" + id
	default:
		arn = "arn:aws:kms:" + region + ":" + wire.Account + ":key/" + id
	}
	if s.options.KeyARN == nil {
		return arn, true
	}
	return s.options.KeyARN(arn)
}
