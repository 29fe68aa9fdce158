package provider

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
)

var kmsKinds = map[string]kind{
	"aws:kms/key:Key": entry[key]{spec[key]{args: sdk.KeyArgs{}, state: sdk.Key{}, create: createKey, read: readKey, update: updateKey,
		remove: func(ctx context.Context, s *session, id string, p key) error {
			in := &api.ScheduleKeyDeletionInput{KeyId: aws.String(id)}
			if p.DeletionWindowInDays != nil {
				in.PendingWindowInDays = p.DeletionWindowInDays
			}
			_, err := s.kms().ScheduleKeyDeletion(ctx, in)
			return err
		}}},
	"aws:kms/alias:Alias": entry[keyAlias]{spec[keyAlias]{args: sdk.AliasArgs{}, state: sdk.Alias{}, identity: []string{"name"},
		create: func(ctx context.Context, s *session, p keyAlias) (string, error) {
			_, err := s.kms().CreateAlias(ctx, &api.CreateAliasInput{AliasName: aws.String(p.Name), TargetKeyId: aws.String(p.TargetKeyID)})
			return p.Name, err
		},
		read: readKeyAlias,
		update: func(ctx context.Context, s *session, id string, _, now keyAlias) error {
			_, err := s.kms().UpdateAlias(ctx, &api.UpdateAliasInput{AliasName: aws.String(id), TargetKeyId: aws.String(now.TargetKeyID)})
			return err
		},
		remove: func(ctx context.Context, s *session, id string, _ keyAlias) error {
			_, err := s.kms().DeleteAlias(ctx, &api.DeleteAliasInput{AliasName: aws.String(id)})
			return err
		}}},
}

type key struct {
	Description          string            `json:"description"`
	EnableKeyRotation    bool              `json:"enableKeyRotation"`
	DeletionWindowInDays *int32            `json:"deletionWindowInDays"`
	KeyUsage             string            `json:"keyUsage" aws:"replace"`
	MultiRegion          *bool             `json:"multiRegion" aws:"replace"`
	Policy               string            `json:"policy"`
	Tags                 map[string]string `json:"tags"`
	Arn                  string            `json:"arn" aws:"out"`
	KeyID                string            `json:"keyId" aws:"out"`
}

func createKey(ctx context.Context, s *session, p key) (string, error) {
	in := &api.CreateKeyInput{Tags: kmsTags(p.Tags), KeyUsage: types.KeyUsageType(p.KeyUsage), MultiRegion: p.MultiRegion}
	if p.Description != "" {
		in.Description = aws.String(p.Description)
	}
	if p.Policy != "" {
		in.Policy = aws.String(p.Policy)
	}
	out, err := s.kms().CreateKey(ctx, in)
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.KeyMetadata.KeyId)
	if p.EnableKeyRotation {
		_, err = s.kms().EnableKeyRotation(ctx, &api.EnableKeyRotationInput{KeyId: aws.String(id)})
	}
	return id, err
}

func kmsTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for k, v := range tags {
		out = append(out, types.Tag{TagKey: aws.String(k), TagValue: aws.String(v)})
	}
	return out
}

func readKey(ctx context.Context, s *session, id string, p key) (*key, error) {
	c := s.kms()
	out, err := c.DescribeKey(ctx, &api.DescribeKeyInput{KeyId: aws.String(id)})
	if err != nil {
		return nil, err
	}
	m := out.KeyMetadata
	if m.KeyState == types.KeyStatePendingDeletion {
		return nil, nil
	}
	p.Arn, p.KeyID, p.Description, p.KeyUsage, p.MultiRegion = aws.ToString(m.Arn), aws.ToString(m.KeyId), aws.ToString(m.Description), string(m.KeyUsage), m.MultiRegion
	rotation, err := c.GetKeyRotationStatus(ctx, &api.GetKeyRotationStatusInput{KeyId: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.EnableKeyRotation = rotation.KeyRotationEnabled
	policy, err := c.GetKeyPolicy(ctx, &api.GetKeyPolicyInput{KeyId: aws.String(id), PolicyName: aws.String("default")})
	if err != nil {
		return nil, err
	}
	p.Policy = samePolicy(aws.ToString(policy.Policy), p.Policy)
	tags, err := c.ListResourceTags(ctx, &api.ListResourceTagsInput{KeyId: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	for _, t := range tags.Tags {
		p.Tags[aws.ToString(t.TagKey)] = aws.ToString(t.TagValue)
	}
	return &p, nil
}

func updateKey(ctx context.Context, s *session, id string, old, now key) error {
	c := s.kms()
	if old.Description != now.Description {
		if _, err := c.UpdateKeyDescription(ctx, &api.UpdateKeyDescriptionInput{KeyId: aws.String(id), Description: aws.String(now.Description)}); err != nil {
			return err
		}
	}
	if now.Policy != "" && old.Policy != now.Policy {
		if _, err := c.PutKeyPolicy(ctx, &api.PutKeyPolicyInput{KeyId: aws.String(id), PolicyName: aws.String("default"), Policy: aws.String(now.Policy)}); err != nil {
			return err
		}
	}
	if now.EnableKeyRotation && !old.EnableKeyRotation {
		if _, err := c.EnableKeyRotation(ctx, &api.EnableKeyRotationInput{KeyId: aws.String(id)}); err != nil {
			return err
		}
	}
	if old.EnableKeyRotation && !now.EnableKeyRotation {
		if _, err := c.DisableKeyRotation(ctx, &api.DisableKeyRotationInput{KeyId: aws.String(id)}); err != nil {
			return err
		}
	}
	return retag(old.Tags, now.Tags, func(set map[string]string) error {
		_, err := c.TagResource(ctx, &api.TagResourceInput{KeyId: aws.String(id), Tags: kmsTags(set)})
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &api.UntagResourceInput{KeyId: aws.String(id), TagKeys: keys})
		return err
	})
}

type keyAlias struct {
	Name         string `json:"name" aws:"replace" check:"required"`
	TargetKeyID  string `json:"targetKeyId"`
	Arn          string `json:"arn" aws:"out"`
	TargetKeyArn string `json:"targetKeyArn" aws:"changes"`
}

func readKeyAlias(ctx context.Context, s *session, id string, p keyAlias) (*keyAlias, error) {
	pages := api.NewListAliasesPaginator(s.kms(), &api.ListAliasesInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range out.Aliases {
			if aws.ToString(a.AliasName) != id {
				continue
			}
			target, err := s.kms().DescribeKey(ctx, &api.DescribeKeyInput{KeyId: a.TargetKeyId})
			if err != nil {
				return nil, err
			}
			p.Name, p.Arn, p.TargetKeyArn = id, aws.ToString(a.AliasArn), aws.ToString(target.KeyMetadata.Arn)
			if p.TargetKeyID != p.TargetKeyArn { // the program may name the key either way
				p.TargetKeyID = aws.ToString(a.TargetKeyId)
			}
			return &p, nil
		}
	}
	return nil, nil
}
