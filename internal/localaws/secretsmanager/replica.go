package secretsmanager

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// replica is what a primary knows of one.
type replica struct {
	region, keyID string
	secret        *secret // nil when it could not be made
	failure       string
}

// arrival is the primary's content on its way.
type arrival struct {
	at      time.Time
	content content
}

// arrive takes what is due.
func (x *secret) arrive(now time.Time) {
	for len(x.pending) > 0 && !now.Before(x.pending[0].at) {
		x.content, x.changed, x.visible = x.pending[0].content, x.pending[0].at, true
		x.pending = x.pending[1:]
	}
}

// changes notes a change of a primary and sends it to its replicas.
func (s *Service) changes(now time.Time, x *secret) {
	x.changed = now
	for _, r := range x.replicas {
		if r.secret != nil {
			r.secret.pending = append(r.secret.pending, arrival{now.Add(s.options.ReplicationLag), x.content.clone()})
		}
	}
}

// status is the replicas as the primary shows them.
func (x *secret) status() []types.ReplicationStatusType {
	if x.primary != nil {
		return nil // only the primary's region says
	}
	var out []types.ReplicationStatusType
	for _, r := range x.replicas {
		one := types.ReplicationStatusType{Region: aws.String(r.region), KmsKeyId: aws.String(orDefault(r.keyID)), Status: types.StatusTypeInSync}
		switch {
		case r.secret == nil:
			one.Status, one.StatusMessage = types.StatusTypeFailed, aws.String(r.failure)
		case len(r.secret.pending) > 0:
			one.Status = types.StatusTypeInProgress
		default:
			one.LastAccessedDate = date(r.secret.accessed)
		}
		out = append(out, one)
	}
	return out
}

func orDefault(keyID string) string {
	if keyID == "" {
		return defaultKey
	}
	return keyID
}

// addReplicas makes the replicas. One that cannot be made is not an error of
// the call: its status is Failed.
func (s *Service) addReplicas(now time.Time, x *secret, add []types.ReplicaRegionType, overwrite bool) {
	for _, one := range add {
		r := &replica{region: aws.ToString(one.Region), keyID: aws.ToString(one.KmsKeyId)}
		x.replicas = append(slices.DeleteFunc(x.replicas, func(old *replica) bool { return old.region == r.region }), r)
		existing := s.region(r.region)[x.name]
		switch {
		case strings.HasPrefix(r.keyID, "arn:") && !strings.HasPrefix(r.keyID, "arn:aws:kms:"+r.region+":"):
			r.failure = "Replication failed: KMS key " + r.keyID + " is not in region " + r.region + "."
			continue
		case existing != nil && (!overwrite || existing.primary != nil || len(existing.replicas) > 0):
			r.failure = "Replication failed: Secret name " + x.name + " already exists in region " + r.region + "."
			continue
		}
		r.secret = &secret{
			name: x.name, region: r.region, arn: strings.Replace(x.arn, ":"+x.region+":", ":"+r.region+":", 1), created: now, changed: now,
			keyID: r.keyID, versionAccessed: map[string]time.Time{}, primary: x,
			pending: []arrival{{now.Add(s.options.ReplicationLag), x.content.clone()}},
		}
		s.region(r.region)[x.name] = r.secret
	}
}

// checkReplicas refuses what AWS refuses before it begins.
func (x *secret) checkReplicas(add []types.ReplicaRegionType) error {
	seen := map[string]bool{}
	for _, one := range add {
		region := aws.ToString(one.Region)
		switch {
		case !regionPattern.MatchString(region):
			return invalidParameter("Invalid replica region %q.", region)
		case region == x.region:
			return invalidParameter("Invalid replica region %s. It is the primary secret's region.", region)
		case seen[region]:
			return invalidParameter("Replica region %s is named twice.", region)
		}
		seen[region] = true
		if slices.ContainsFunc(x.replicas, func(r *replica) bool { return r.region == region && r.secret != nil }) {
			return invalidParameter("Secret is already replicated to region %s.", region)
		}
	}
	return nil
}

// askReplicas asks for what replicating takes of the keys.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicateSecretToRegions.html
func (s *Service) askReplicas(ctx context.Context, x *secret, add []types.ReplicaRegionType) error {
	if err := s.askKey(ctx, x, x.keyID, "", "kms:Decrypt"); err != nil {
		return err
	}
	for _, one := range add {
		there := &secret{arn: x.arn, region: aws.ToString(one.Region)}
		if key := aws.ToString(one.KmsKeyId); !strings.HasPrefix(key, "arn:") || strings.Contains(key, ":"+there.region+":") {
			if err := s.askKey(ctx, there, key, "", "kms:GenerateDataKey", "kms:Encrypt"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) replicate(ctx context.Context, call wire.Call, x *secret, in api.ReplicateSecretToRegionsInput) (any, error) {
	if len(in.AddReplicaRegions) == 0 {
		return nil, invalidParameter("You must provide at least one replica region.")
	}
	if err := x.checkReplicas(in.AddReplicaRegions); err != nil {
		return nil, err
	}
	if err := s.askReplicas(ctx, x, in.AddReplicaRegions); err != nil {
		return nil, err
	}
	s.addReplicas(call.Now, x, in.AddReplicaRegions, in.ForceOverwriteReplicaSecret)
	return api.ReplicateSecretToRegionsOutput{ARN: &x.arn, ReplicationStatus: x.status()}, nil
}

// removeReplicas deletes replicas at once, where AWS takes up to a minute or
// so: it gives no way to see that from the primary. Unknown regions are no
// error.
func (s *Service) removeReplicas(_ context.Context, _ wire.Call, x *secret, in api.RemoveRegionsFromReplicationInput) (any, error) {
	if len(in.RemoveReplicaRegions) == 0 {
		return nil, invalidParameter("You must provide at least one replica region.")
	}
	x.replicas = slices.DeleteFunc(x.replicas, func(r *replica) bool {
		if !slices.Contains(in.RemoveReplicaRegions, r.region) {
			return false
		}
		if r.secret != nil {
			delete(s.region(r.region), x.name)
		}
		return true
	})
	return api.RemoveRegionsFromReplicationOutput{ARN: &x.arn, ReplicationStatus: x.status()}, nil
}

// promote makes a replica a secret of its own, with what it has by now.
func (s *Service) promote(_ context.Context, call wire.Call, x *secret, _ api.StopReplicationToReplicaInput) (any, error) {
	if x.primary == nil {
		return nil, invalidParameter("The secret is not a replica. Call must be made in the replica secret's region.")
	}
	x.primary.replicas = slices.DeleteFunc(x.primary.replicas, func(r *replica) bool { return r.secret == x })
	x.primary, x.pending, x.changed = nil, nil, call.Now
	return api.StopReplicationToReplicaOutput{ARN: &x.arn}, nil
}
