package secretsmanager

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Handler serves the JSON 1.1 API.
func (s *Service) Handler() http.Handler {
	return wire.JSONTarget(s.options.Log, "1.1", map[string]wire.Operation{
		"CreateSecret": wire.Op(s.createSecret), "ListSecrets": wire.Op(s.listSecrets), "DeleteSecret": wire.Op(s.deleteSecret),
		"DescribeSecret":               one(s, "DescribeSecret", anyState, s.describe, func(in api.DescribeSecretInput) *string { return in.SecretId }),
		"GetSecretValue":               one(s, "GetSecretValue", alive, s.getValue, func(in api.GetSecretValueInput) *string { return in.SecretId }),
		"PutSecretValue":               one(s, "PutSecretValue", alive|onPrimary, s.putValue, func(in api.PutSecretValueInput) *string { return in.SecretId }),
		"UpdateSecret":                 one(s, "UpdateSecret", alive|onPrimary, s.update, func(in api.UpdateSecretInput) *string { return in.SecretId }),
		"RestoreSecret":                one(s, "RestoreSecret", onPrimary, s.restore, func(in api.RestoreSecretInput) *string { return in.SecretId }),
		"ListSecretVersionIds":         one(s, "ListSecretVersionIds", anyState, s.listVersions, func(in api.ListSecretVersionIdsInput) *string { return in.SecretId }),
		"TagResource":                  one(s, "TagResource", alive|onPrimary, s.tag, func(in api.TagResourceInput) *string { return in.SecretId }),
		"UntagResource":                one(s, "UntagResource", alive|onPrimary, s.untag, func(in api.UntagResourceInput) *string { return in.SecretId }),
		"ReplicateSecretToRegions":     one(s, "ReplicateSecretToRegions", alive|onPrimary, s.replicate, func(in api.ReplicateSecretToRegionsInput) *string { return in.SecretId }),
		"RemoveRegionsFromReplication": one(s, "RemoveRegionsFromReplication", alive|onPrimary, s.removeReplicas, func(in api.RemoveRegionsFromReplicationInput) *string { return in.SecretId }),
		"StopReplicationToReplica":     one(s, "StopReplicationToReplica", alive, s.promote, func(in api.StopReplicationToReplicaInput) *string { return in.SecretId }),
		"GetResourcePolicy":            one(s, "GetResourcePolicy", alive, s.getPolicy, func(in api.GetResourcePolicyInput) *string { return in.SecretId }),
		"PutResourcePolicy":            one(s, "PutResourcePolicy", alive|onPrimary, s.putPolicy, func(in api.PutResourcePolicyInput) *string { return in.SecretId }),
		"DeleteResourcePolicy":         one(s, "DeleteResourcePolicy", alive|onPrimary, s.deletePolicy, func(in api.DeleteResourcePolicyInput) *string { return in.SecretId }),
	})
}

// demand is the state an operation wants its secret in.
type demand int

const (
	alive     demand = 1 << iota // not marked for deletion
	onPrimary                    // not a replica

	anyState demand = 0
)

// one makes an operation of a function on one secret, which runs with the
// lock held and answers with the SDK's output struct, or nil.
func one[In any](s *Service, action string, wants demand, serve func(context.Context, wire.Call, *secret, In) (any, error), id func(In) *string) wire.Operation {
	return wire.Op(func(ctx context.Context, in In) (any, error) {
		call := wire.FromContext(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		x, err := s.reach(ctx, call, action, aws.ToString(id(in)))
		if err != nil {
			return nil, err
		}
		switch {
		case wants&onPrimary != 0 && x.primary != nil:
			return nil, errReplica
		case wants&alive != 0 && x.marked():
			return nil, errMarked
		}
		out, err := serve(ctx, call, x, in)
		if err != nil || out == nil {
			return nil, err
		}
		return wire.EpochMembers(out), nil
	})
}

// reach finds the secret and asks whether the caller may. Someone who may not
// does not learn whether it is there.
func (s *Service) reach(ctx context.Context, call wire.Call, action, id string) (*secret, error) {
	if id == "" {
		return nil, invalidParameter("You must provide a value for SecretId.")
	}
	s.settle(call.Now)
	x, found := s.find(call.Region, id)
	arn := id
	switch {
	case found:
		arn = x.arn
	case len(id) < 4 || id[:4] != "arn:":
		arn = arnOf(call.Region, id)
	}
	if err := s.ask(ctx, action, arn); err != nil {
		return nil, err
	}
	if !found {
		return nil, errNoSecret
	}
	return x, nil
}
