package provider

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
)

var iamKinds = map[string]kind{
	"aws:iam/role:Role": entry[role]{spec[role]{args: sdk.RoleArgs{}, state: sdk.Role{}, identity: []string{"name"}, create: createRole, read: readRole, update: updateRole,
		remove: func(ctx context.Context, s *session, id string, _ role) error {
			_, err := s.iam().DeleteRole(ctx, &api.DeleteRoleInput{RoleName: aws.String(id)})
			return err
		}}},
	"aws:iam/rolePolicy:RolePolicy": entry[rolePolicy]{spec[rolePolicy]{args: sdk.RolePolicyArgs{}, state: sdk.RolePolicy{}, identity: []string{"name", "role"},
		create: func(ctx context.Context, s *session, p rolePolicy) (string, error) {
			return p.Role + ":" + p.Name, putRolePolicy(ctx, s, p)
		},
		read: func(ctx context.Context, s *session, _ string, p rolePolicy) (*rolePolicy, error) {
			out, err := s.iam().GetRolePolicy(ctx, &api.GetRolePolicyInput{RoleName: aws.String(p.Role), PolicyName: aws.String(p.Name)})
			if err != nil {
				return nil, err
			}
			p.Policy, err = decodedPolicy(out.PolicyDocument, p.Policy)
			return &p, err
		},
		update: func(ctx context.Context, s *session, _ string, _, now rolePolicy) error {
			return putRolePolicy(ctx, s, now)
		},
		remove: func(ctx context.Context, s *session, _ string, p rolePolicy) error {
			_, err := s.iam().DeleteRolePolicy(ctx, &api.DeleteRolePolicyInput{RoleName: aws.String(p.Role), PolicyName: aws.String(p.Name)})
			return err
		}}},
	"aws:iam/rolePolicyAttachment:RolePolicyAttachment": entry[rolePolicyAttachment]{spec[rolePolicyAttachment]{args: sdk.RolePolicyAttachmentArgs{}, state: sdk.RolePolicyAttachment{},
		create: func(ctx context.Context, s *session, p rolePolicyAttachment) (string, error) {
			_, err := s.iam().AttachRolePolicy(ctx, &api.AttachRolePolicyInput{RoleName: aws.String(p.Role), PolicyArn: aws.String(p.PolicyArn)})
			return p.Role + "/" + p.PolicyArn, err
		},
		read: readAttachment,
		remove: func(ctx context.Context, s *session, _ string, p rolePolicyAttachment) error {
			_, err := s.iam().DetachRolePolicy(ctx, &api.DetachRolePolicyInput{RoleName: aws.String(p.Role), PolicyArn: aws.String(p.PolicyArn)})
			return err
		}}},
}

type role struct {
	Name                string            `json:"name" aws:"replace" check:"required"`
	AssumeRolePolicy    string            `json:"assumeRolePolicy"`
	Description         string            `json:"description"`
	MaxSessionDuration  *int32            `json:"maxSessionDuration"`
	Path                string            `json:"path" aws:"replace"`
	PermissionsBoundary string            `json:"permissionsBoundary"`
	Tags                map[string]string `json:"tags"`
	Arn                 string            `json:"arn" aws:"out"`
	CreateDate          string            `json:"createDate" aws:"out"`
	UniqueID            string            `json:"uniqueId" aws:"out"`
}

func createRole(ctx context.Context, s *session, p role) (string, error) {
	in := &api.CreateRoleInput{RoleName: aws.String(p.Name), AssumeRolePolicyDocument: aws.String(p.AssumeRolePolicy), MaxSessionDuration: p.MaxSessionDuration, Tags: iamTags(p.Tags),
		Description: optional(p.Description), Path: optional(p.Path), PermissionsBoundary: optional(p.PermissionsBoundary)}
	_, err := s.iam().CreateRole(ctx, in)
	if err != nil {
		return "", err
	}
	return p.Name, nil
}

// optional leaves out what is empty.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return aws.String(text)
}

func iamTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for k, v := range tags {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return out
}

// decodedPolicy undoes IAM's URL encoding of policies.
func decodedPolicy(encoded *string, wanted string) (string, error) {
	text, err := url.QueryUnescape(aws.ToString(encoded))
	if err != nil {
		return "", fmt.Errorf("decode a policy: %w", err)
	}
	return samePolicy(text, wanted), nil
}

func readRole(ctx context.Context, s *session, id string, p role) (*role, error) {
	out, err := s.iam().GetRole(ctx, &api.GetRoleInput{RoleName: aws.String(id)})
	if err != nil {
		return nil, err
	}
	r := out.Role
	p.Name, p.Arn, p.Path, p.UniqueID, p.Description, p.MaxSessionDuration = id, aws.ToString(r.Arn), aws.ToString(r.Path), aws.ToString(r.RoleId), aws.ToString(r.Description), r.MaxSessionDuration
	p.CreateDate = aws.ToTime(r.CreateDate).UTC().Format(time.RFC3339)
	p.PermissionsBoundary = ""
	if r.PermissionsBoundary != nil {
		p.PermissionsBoundary = aws.ToString(r.PermissionsBoundary.PermissionsBoundaryArn)
	}
	if p.AssumeRolePolicy, err = decodedPolicy(r.AssumeRolePolicyDocument, p.AssumeRolePolicy); err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	for _, t := range r.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return &p, nil
}

func updateRole(ctx context.Context, s *session, id string, old, now role) error {
	c := s.iam()
	if old.AssumeRolePolicy != now.AssumeRolePolicy {
		if _, err := c.UpdateAssumeRolePolicy(ctx, &api.UpdateAssumeRolePolicyInput{RoleName: aws.String(id), PolicyDocument: aws.String(now.AssumeRolePolicy)}); err != nil {
			return err
		}
	}
	if old.Description != now.Description || aws.ToInt32(old.MaxSessionDuration) != aws.ToInt32(now.MaxSessionDuration) {
		if _, err := c.UpdateRole(ctx, &api.UpdateRoleInput{RoleName: aws.String(id), Description: aws.String(now.Description), MaxSessionDuration: now.MaxSessionDuration}); err != nil {
			return err
		}
	}
	if old.PermissionsBoundary != now.PermissionsBoundary {
		var err error
		if now.PermissionsBoundary == "" {
			_, err = c.DeleteRolePermissionsBoundary(ctx, &api.DeleteRolePermissionsBoundaryInput{RoleName: aws.String(id)})
		} else {
			_, err = c.PutRolePermissionsBoundary(ctx, &api.PutRolePermissionsBoundaryInput{RoleName: aws.String(id), PermissionsBoundary: aws.String(now.PermissionsBoundary)})
		}
		if err != nil {
			return err
		}
	}
	return retag(old.Tags, now.Tags, func(set map[string]string) error {
		_, err := c.TagRole(ctx, &api.TagRoleInput{RoleName: aws.String(id), Tags: iamTags(set)})
		return err
	}, func(keys []string) error {
		_, err := c.UntagRole(ctx, &api.UntagRoleInput{RoleName: aws.String(id), TagKeys: keys})
		return err
	})
}

type rolePolicy struct {
	Name   string `json:"name" aws:"replace" check:"required"`
	Role   string `json:"role" aws:"replace" check:"required"`
	Policy string `json:"policy" check:"required"`
}

func putRolePolicy(ctx context.Context, s *session, p rolePolicy) error {
	_, err := s.iam().PutRolePolicy(ctx, &api.PutRolePolicyInput{RoleName: aws.String(p.Role), PolicyName: aws.String(p.Name), PolicyDocument: aws.String(p.Policy)})
	return err
}

type rolePolicyAttachment struct {
	Role      string `json:"role" check:"required"`
	PolicyArn string `json:"policyArn"`
}

func readAttachment(ctx context.Context, s *session, _ string, p rolePolicyAttachment) (*rolePolicyAttachment, error) {
	pages := api.NewListAttachedRolePoliciesPaginator(s.iam(), &api.ListAttachedRolePoliciesInput{RoleName: aws.String(p.Role)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range out.AttachedPolicies {
			if strings.EqualFold(aws.ToString(a.PolicyArn), p.PolicyArn) {
				return &p, nil
			}
		}
	}
	return nil, nil
}
