package infra_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	gatewaytypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
)

// API Gateway's logging role has one right, the policy that AWS manages: the
// role is the account's with it, and is refused without it or without the
// trust. Which of its actions a line of the log needs, apigateway's own test
// says: the policy's content is AWS's.
func TestEveryRightOfTheLoggingRoleIsNeeded(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	made := g.base.one(t, "iam/role:Role", "api-logging")
	attached := aws.String(g.base.one(t, "iam/rolePolicyAttachment:RolePolicyAttachment", "api-logging").text("policyArn"))
	client, name := iam.NewFromConfig(g.root(greenRegion)), aws.String("logging")
	role := must[*iam.CreateRoleOutput](t)(client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(made.text("assumeRolePolicy"))}))
	attach := func() {
		must[*iam.AttachRolePolicyOutput](t)(client.AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: attached}))
	}
	trust := func(document string) {
		must[*iam.UpdateAssumeRolePolicyOutput](t)(client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &document}))
	}
	for _, step := range []struct {
		name    string
		do      func()
		refused bool
	}{
		{"without the policy", func() {}, true},
		{"whole", attach, false},
		{"without the policy again", func() {
			must[*iam.DetachRolePolicyOutput](t)(client.DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: attached}))
		}, true},
		{"trusted by another service alone", func() {
			attach()
			trust(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
		}, true},
		{"whole again", func() { trust(made.text("assumeRolePolicy")) }, false},
	} {
		step.do()
		_, err := apigateway.NewFromConfig(g.root(greenRegion)).UpdateAccount(t.Context(), &apigateway.UpdateAccountInput{PatchOperations: []gatewaytypes.PatchOperation{{
			Op: gatewaytypes.OpReplace, Path: aws.String("/cloudwatchRoleArn"), Value: role.Role.Arn,
		}}})
		api, isAPI := errors.AsType[smithy.APIError](err)
		if refused := isAPI && api.ErrorCode() == "BadRequestException"; refused != step.refused || err != nil && !isAPI {
			t.Errorf("%s: %v, want a refusal: %v", step.name, err, step.refused)
		}
	}
}
