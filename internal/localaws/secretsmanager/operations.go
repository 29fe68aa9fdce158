package secretsmanager

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// date leaves a time that was never set out of the answer.
func date(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

func tagList(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return out
}

// external refuses what names a type of managed external secret.
func (s *Service) external(call wire.Call, kind *string) error {
	if kind == nil {
		return nil
	}
	wire.Unknown(s.options.Log, call, "managed external secrets (Type)")
	return invalidParameter("the embedded AWS has no managed external secrets (Type)")
}

func (s *Service) createSecret(ctx context.Context, in api.CreateSecretInput) (any, error) {
	call := wire.FromContext(ctx)
	name, v := aws.ToString(in.Name), value{in.SecretString, in.SecretBinary}
	if err := s.external(call, in.Type); err != nil {
		return nil, err
	}
	if !namePattern.MatchString(name) {
		return nil, wire.Errorf(http.StatusBadRequest, "ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(call.Now)
	x := &secret{
		name: name, region: call.Region, arn: suffixed(call.Region, name), created: call.Now, changed: call.Now,
		createToken: aws.ToString(in.ClientRequestToken), keyID: aws.ToString(in.KmsKeyId), versionAccessed: map[string]time.Time{},
		content: content{description: aws.ToString(in.Description), tags: tagMap(in.Tags), stages: map[string]string{}},
	}
	if err := s.askCreate(ctx, x, in); err != nil {
		return nil, err
	}
	if old := s.region(call.Region)[name]; old != nil {
		return again(old, x, v)
	}
	if err := x.checkReplicas(in.AddReplicaRegions); err != nil {
		return nil, err
	}
	out := api.CreateSecretOutput{ARN: &x.arn, Name: &x.name}
	if !v.empty() {
		id, err := x.put(call.Now, x.createToken, v, nil)
		if err != nil {
			return nil, err
		}
		if err := s.askKey(ctx, x, x.keyID, id, "kms:GenerateDataKey", "kms:Decrypt"); err != nil {
			return nil, err
		}
		out.VersionId = &id
	}
	s.region(call.Region)[name] = x
	s.addReplicas(call.Now, x, in.AddReplicaRegions, in.ForceOverwriteReplicaSecret)
	out.ReplicationStatus = x.status()
	return wire.EpochMembers(out), nil
}

// askCreate asks for all that one CreateSecret does.
func (s *Service) askCreate(ctx context.Context, x *secret, in api.CreateSecretInput) error {
	actions := []string{"CreateSecret"}
	if len(in.Tags) > 0 {
		actions = append(actions, "TagResource")
	}
	if len(in.AddReplicaRegions) > 0 {
		actions = append(actions, "ReplicateSecretToRegions")
	}
	for _, action := range actions {
		if err := s.ask(ctx, action, x.arn); err != nil {
			return err
		}
	}
	if len(in.AddReplicaRegions) == 0 {
		return nil
	}
	return s.askReplicas(ctx, x, in.AddReplicaRegions)
}

// again answers a CreateSecret whose name is taken: a retry of the call that
// made it succeeds, everything else is refused.
func again(old, now *secret, v value) (any, error) {
	known, made := old.content.version(now.createToken)
	switch {
	case old.marked():
		return nil, invalidRequest("You can't create this secret because a secret with this name is already scheduled for deletion.")
	case now.createToken == "" || old.createToken != now.createToken || made != !v.empty() || made && !known.value.same(v):
		return nil, exists("The operation failed because the secret %s already exists.", old.name)
	}
	out := api.CreateSecretOutput{ARN: &old.arn, Name: &old.name, ReplicationStatus: old.status()}
	if made {
		out.VersionId = &known.id
	}
	return wire.EpochMembers(out), nil
}

func (x *secret) primaryRegion() *string {
	switch {
	case x.primary != nil:
		return &x.primary.region
	case len(x.replicas) > 0:
		return &x.region
	default:
		return nil
	}
}

func (s *Service) describe(_ context.Context, _ wire.Call, x *secret, _ api.DescribeSecretInput) (any, error) {
	return api.DescribeSecretOutput{
		ARN: &x.arn, Name: &x.name, Description: optional(x.content.description), KmsKeyId: optional(x.keyID), Tags: tagList(x.content.tags),
		CreatedDate: &x.created, LastChangedDate: &x.changed, LastAccessedDate: date(x.accessed), DeletedDate: date(x.deleteAt),
		VersionIdsToStages: x.content.byVersion(), PrimaryRegion: x.primaryRegion(), ReplicationStatus: x.status(),
	}, nil
}

func (s *Service) getValue(ctx context.Context, call wire.Call, x *secret, in api.GetSecretValueInput) (any, error) {
	id, label := aws.ToString(in.VersionId), aws.ToString(in.VersionStage)
	if id == "" && label == "" {
		label = current
	}
	if label != "" {
		labelled, found := x.content.stages[label]
		switch {
		case !found:
			return nil, notFound("secret value for staging label: " + label)
		case id != "" && id != labelled:
			return nil, invalidRequest("You provided a VersionStage that is not associated to the provided VersionId.")
		}
		id = labelled
	}
	v, found := x.content.version(id)
	if !found {
		return nil, notFound("secret value for VersionId: " + id)
	}
	if err := s.askKey(ctx, x, x.keyID, id, "kms:Decrypt"); err != nil {
		return nil, err
	}
	x.touch(call.Now, id)
	return api.GetSecretValueOutput{
		ARN: &x.arn, Name: &x.name, VersionId: &v.id, VersionStages: x.content.labels(id), CreatedDate: &v.created,
		SecretString: v.value.text, SecretBinary: v.value.data,
	}, nil
}

// write puts a value where the caller may use the key.
func (s *Service) write(ctx context.Context, call wire.Call, x *secret, token *string, v value, labels []string) (string, error) {
	if err := v.check(); err != nil {
		return "", err
	}
	if err := s.askKey(ctx, x, x.keyID, aws.ToString(token), "kms:GenerateDataKey", "kms:Decrypt"); err != nil {
		return "", err
	}
	id, err := x.put(call.Now, aws.ToString(token), v, labels)
	if err == nil {
		s.changes(call.Now, x)
	}
	return id, err
}

func (s *Service) putValue(ctx context.Context, call wire.Call, x *secret, in api.PutSecretValueInput) (any, error) {
	v := value{in.SecretString, in.SecretBinary}
	switch {
	case in.RotationToken != nil:
		wire.Unknown(s.options.Log, call, "PutSecretValue with RotationToken")
		return nil, invalidParameter("the embedded AWS has no rotation (RotationToken)")
	case v.empty():
		return nil, invalidRequest("You must provide either SecretString or SecretBinary.")
	}
	id, err := s.write(ctx, call, x, in.ClientRequestToken, v, in.VersionStages)
	if err != nil {
		return nil, err
	}
	return api.PutSecretValueOutput{ARN: &x.arn, Name: &x.name, VersionId: &id, VersionStages: x.content.labels(id)}, nil
}

// update changes what is named and leaves the rest. Another key seals the
// newest value anew.
func (s *Service) update(ctx context.Context, call wire.Call, x *secret, in api.UpdateSecretInput) (any, error) {
	if err := s.external(call, in.Type); err != nil {
		return nil, err
	}
	out := api.UpdateSecretOutput{ARN: &x.arn, Name: &x.name}
	oldKey := x.keyID
	if in.KmsKeyId != nil && *in.KmsKeyId != x.keyID {
		if err := s.askKey(ctx, x, *in.KmsKeyId, "", "kms:GenerateDataKey", "kms:Decrypt"); err != nil {
			return nil, err
		}
		x.keyID = *in.KmsKeyId
	}
	if v := (value{in.SecretString, in.SecretBinary}); !v.empty() {
		id, err := s.write(ctx, call, x, in.ClientRequestToken, v, nil)
		if err != nil {
			x.keyID = oldKey
			return nil, err
		}
		out.VersionId = &id
	}
	if in.Description != nil {
		x.content.description = *in.Description
	}
	s.changes(call.Now, x)
	return out, nil
}

func (s *Service) tag(_ context.Context, call wire.Call, x *secret, in api.TagResourceInput) (any, error) {
	maps.Copy(x.content.tags, tagMap(in.Tags))
	s.changes(call.Now, x)
	return nil, nil
}

func (s *Service) untag(_ context.Context, call wire.Call, x *secret, in api.UntagResourceInput) (any, error) {
	for _, key := range in.TagKeys {
		delete(x.content.tags, key)
	}
	s.changes(call.Now, x)
	return nil, nil
}

// deleteSecret marks a secret, or with force ends it at once, which of a
// secret that is not there is no error.
func (s *Service) deleteSecret(ctx context.Context, in api.DeleteSecretInput) (any, error) {
	call, id, force := wire.FromContext(ctx), aws.ToString(in.SecretId), aws.ToBool(in.ForceDeleteWithoutRecovery)
	days := int(aws.ToInt64(in.RecoveryWindowInDays))
	switch {
	case force && in.RecoveryWindowInDays != nil:
		return nil, invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	case in.RecoveryWindowInDays == nil:
		days = windowMax
	case days < windowMin || days > windowMax:
		return nil, invalidParameter("The RecoveryWindowInDays value must be between %d and %d days (inclusive).", windowMin, windowMax)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.reach(ctx, call, "DeleteSecret", id)
	if errors.Is(err, errNoSecret) && force && !strings.HasPrefix(id, "arn:") {
		return wire.EpochMembers(api.DeleteSecretOutput{ARN: aws.String(suffixed(call.Region, id)), Name: &id, DeletionDate: &call.Now}), nil
	}
	if err != nil {
		return nil, err
	}
	switch {
	case x.primary != nil:
		return nil, errReplica
	case len(x.replicas) > 0:
		var regions []string
		for _, r := range x.replicas {
			regions = append(regions, r.region)
		}
		return nil, invalidParameter("You can't delete secret %s that still has replica regions [%s]", id, strings.Join(regions, ", "))
	case force:
		delete(s.region(call.Region), x.name)
		return wire.EpochMembers(api.DeleteSecretOutput{ARN: &x.arn, Name: &x.name, DeletionDate: &call.Now}), nil
	case x.marked():
		return nil, invalidRequest("You can't perform this operation on the secret because it was already scheduled for deletion.")
	}
	x.deleteAt = call.Now.AddDate(0, 0, days)
	return wire.EpochMembers(api.DeleteSecretOutput{ARN: &x.arn, Name: &x.name, DeletionDate: &x.deleteAt}), nil
}

// restore unmarks a secret; one that is not marked stays as it is.
func (s *Service) restore(_ context.Context, _ wire.Call, x *secret, _ api.RestoreSecretInput) (any, error) {
	x.deleteAt = time.Time{}
	return api.RestoreSecretOutput{ARN: &x.arn, Name: &x.name}, nil
}
