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
	arn, err := s.keyARN(ctx, x.region, keyID)
	if err != nil {
		code := "EncryptionFailure"
		if actions[0] == "kms:Decrypt" {
			code = "DecryptionFailure"
		}
		return wire.Errorf(http.StatusBadRequest, code, "Secrets Manager can't use the key %s: %s", keyID, wire.AsError(err).Message)
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

func (s *Service) keyARN(ctx context.Context, region, id string) (string, error) {
	if s.options.KeyARN != nil {
		return s.options.KeyARN(ctx, region, id)
	}
	switch {
	case strings.HasPrefix(id, "arn:"):
		return id, nil
	case strings.HasPrefix(id, "alias/"):
		return "arn:aws:kms:" + region + ":" + wire.Account + ":" + id, nil
	default:
		return "arn:aws:kms:" + region + ":" + wire.Account + ":key/" + id, nil
	}
}
