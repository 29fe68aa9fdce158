package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
)

var secretsmanagerKinds = map[string]kind{
	"aws:secretsmanager/secret:Secret": entry[secret]{spec[secret]{args: sdk.SecretArgs{}, state: sdk.Secret{}, identity: []string{"name"},
		create: createSecret, read: readSecret, update: updateSecret, remove: removeSecret}},
}

type secret struct {
	Name                        string            `json:"name" aws:"replace" check:"required"`
	Description                 string            `json:"description"`
	KmsKeyID                    string            `json:"kmsKeyId"`
	RecoveryWindowInDays        *int64            `json:"recoveryWindowInDays"`
	ForceOverwriteReplicaSecret bool              `json:"forceOverwriteReplicaSecret"`
	Replicas                    []secretReplica   `json:"replicas" aws:"grows"`
	Tags                        map[string]string `json:"tags"`
	Arn                         string            `json:"arn" aws:"out"`
}

type secretReplica struct {
	Region           string `json:"region"`
	KmsKeyID         string `json:"kmsKeyId,omitempty"`
	Status           string `json:"status,omitempty" aws:"out"`
	StatusMessage    string `json:"statusMessage,omitempty" aws:"out"`
	LastAccessedDate string `json:"lastAccessedDate,omitempty" aws:"out"`
}

// Equal is equality of what a program may say.
func (r secretReplica) Equal(other secretReplica) bool {
	return r.Region == other.Region && r.KmsKeyID == other.KmsKeyID
}

// replicaWait is for replication, which is not known to take minutes.
const replicaWait = 10 * time.Minute

func (p secret) adds(replicas []secretReplica) []types.ReplicaRegionType {
	var out []types.ReplicaRegionType
	for _, r := range replicas {
		out = append(out, types.ReplicaRegionType{Region: aws.String(r.Region), KmsKeyId: optional(r.KmsKeyID)})
	}
	return out
}

func secretTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for k, v := range tags {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return out
}

func createSecret(ctx context.Context, s *session, p secret) (string, error) {
	out, err := s.secretsmanager().CreateSecret(ctx, &api.CreateSecretInput{Name: aws.String(p.Name), Description: optional(p.Description), KmsKeyId: optional(p.KmsKeyID),
		AddReplicaRegions: p.adds(p.Replicas), ForceOverwriteReplicaSecret: p.ForceOverwriteReplicaSecret, Tags: secretTags(p.Tags)})
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.ARN)
	return id, secretReplicated(ctx, s, id)
}

// secretReplicated waits until every replica has what its primary has. The
// real provider does not wait, and so does not notice a replica that failed.
func secretReplicated(ctx context.Context, s *session, id string) error {
	return s.until(ctx, "secret "+id+" is replicated", replicaWait, func() (bool, error) {
		out, err := s.secretsmanager().DescribeSecret(ctx, &api.DescribeSecretInput{SecretId: aws.String(id)})
		if err != nil {
			return false, err
		}
		for _, r := range out.ReplicationStatus {
			switch r.Status {
			case types.StatusTypeFailed:
				return false, fmt.Errorf("replica in %s: %s", aws.ToString(r.Region), aws.ToString(r.StatusMessage))
			case types.StatusTypeInProgress:
				return false, nil
			case types.StatusTypeInSync:
			}
		}
		return true, nil
	})
}

func readSecret(ctx context.Context, s *session, id string, p secret) (*secret, error) {
	out, err := s.secretsmanager().DescribeSecret(ctx, &api.DescribeSecretInput{SecretId: aws.String(id)})
	if err != nil || out.DeletedDate != nil {
		return nil, err
	}
	p.Name, p.Arn, p.Description, p.KmsKeyID = aws.ToString(out.Name), aws.ToString(out.ARN), aws.ToString(out.Description), aws.ToString(out.KmsKeyId)
	p.Tags = map[string]string{}
	for _, t := range out.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	var live []secretReplica
	for _, r := range out.ReplicationStatus {
		one := secretReplica{Region: aws.ToString(r.Region), KmsKeyID: aws.ToString(r.KmsKeyId), Status: string(r.Status), StatusMessage: aws.ToString(r.StatusMessage)}
		if r.LastAccessedDate != nil {
			one.LastAccessedDate = r.LastAccessedDate.UTC().Format(time.RFC3339)
		}
		asked := slices.ContainsFunc(p.Replicas, func(w secretReplica) bool { return w.Region == one.Region && w.KmsKeyID != "" })
		if !asked && strings.HasSuffix(one.KmsKeyID, "alias/aws/secretsmanager") {
			one.KmsKeyID = "" // asked for no key: AWS's own
		}
		live = append(live, one)
	}
	p.Replicas = inOrder(live, p.Replicas, func(r secretReplica) string { return r.Region })
	return &p, nil
}

func updateSecret(ctx context.Context, s *session, id string, old, now secret) error {
	c := s.secretsmanager()
	if err := secretReplicas(ctx, s, id, old, now); err != nil {
		return err
	}
	if old.Description != now.Description || old.KmsKeyID != now.KmsKeyID {
		// An empty key is the way back to AWS's own.
		in := &api.UpdateSecretInput{SecretId: aws.String(id), Description: aws.String(now.Description), KmsKeyId: aws.String(now.KmsKeyID)}
		if _, err := c.UpdateSecret(ctx, in); err != nil {
			return err
		}
	}
	err := retag(old.Tags, now.Tags, func(set map[string]string) error {
		_, err := c.TagResource(ctx, &api.TagResourceInput{SecretId: aws.String(id), Tags: secretTags(set)})
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &api.UntagResourceInput{SecretId: aws.String(id), TagKeys: keys})
		return err
	})
	if err != nil {
		return err
	}
	return secretReplicated(ctx, s, id)
}

// secretReplicas turns one list of replicas into the other. Another key needs
// another replica.
func secretReplicas(ctx context.Context, s *session, id string, old, now secret) error {
	c := s.secretsmanager()
	var removed []string
	for _, r := range old.Replicas {
		if !slices.ContainsFunc(now.Replicas, r.Equal) {
			removed = append(removed, r.Region)
		}
	}
	if len(removed) > 0 {
		if _, err := c.RemoveRegionsFromReplication(ctx, &api.RemoveRegionsFromReplicationInput{SecretId: aws.String(id), RemoveReplicaRegions: removed}); err != nil {
			return err
		}
	}
	var added []secretReplica
	for _, r := range now.Replicas {
		if !slices.ContainsFunc(old.Replicas, r.Equal) {
			added = append(added, r)
		}
	}
	if len(added) == 0 {
		return nil
	}
	_, err := c.ReplicateSecretToRegions(ctx, &api.ReplicateSecretToRegionsInput{SecretId: aws.String(id), AddReplicaRegions: now.adds(added),
		ForceOverwriteReplicaSecret: now.ForceOverwriteReplicaSecret})
	return err
}

// removeSecret takes the replicas first, which hold their primary. A window of
// zero days is the program's way to ask for none.
func removeSecret(ctx context.Context, s *session, id string, p secret) error {
	c := s.secretsmanager()
	out, err := c.DescribeSecret(ctx, &api.DescribeSecretInput{SecretId: aws.String(id)})
	if err != nil || out.DeletedDate != nil {
		return err
	}
	var regions []string
	for _, r := range out.ReplicationStatus {
		regions = append(regions, aws.ToString(r.Region))
	}
	if len(regions) > 0 {
		if _, err := c.RemoveRegionsFromReplication(ctx, &api.RemoveRegionsFromReplicationInput{SecretId: aws.String(id), RemoveReplicaRegions: regions}); err != nil {
			return err
		}
	}
	in := &api.DeleteSecretInput{SecretId: aws.String(id), RecoveryWindowInDays: p.RecoveryWindowInDays}
	if p.RecoveryWindowInDays != nil && *p.RecoveryWindowInDays == 0 {
		in.RecoveryWindowInDays, in.ForceDeleteWithoutRecovery = nil, aws.Bool(true)
	}
	_, err = c.DeleteSecret(ctx, in)
	return err
}
