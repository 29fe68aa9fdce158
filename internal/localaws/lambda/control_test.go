package lambda_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/wire/asktest"
)

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &asktest.Guard{}
	c := newFixture(t, func(o *lambda.Options) { o.Authorize = g.Authorize }).Client
	const arn = "arn:aws:lambda:eu-west-1:000000000000:function:fn"
	fn, live, one := aws.String("fn"), aws.String("live"), aws.String("1")
	tags := map[string]string{"Owner": "me"}
	pass := "iam:PassRole " + role + " iam:passedtoservice=lambda.amazonaws.com"
	for _, one := range []try{
		{asktest.Call(t, c, (*sdk.Client).CreateFunction, &sdk.CreateFunctionInput{FunctionName: fn, Role: aws.String(role), Tags: tags, Code: &types.FunctionCode{}}),
			[]string{"lambda:CreateFunction " + arn, pass, "lambda:TagResource " + arn}},
		{asktest.Call(t, c, (*sdk.Client).ListFunctions, &sdk.ListFunctionsInput{}), []string{"lambda:ListFunctions *"}},
		{asktest.Call(t, c, (*sdk.Client).GetAccountSettings, &sdk.GetAccountSettingsInput{}), []string{"lambda:GetAccountSettings *"}},
		{asktest.Call(t, c, (*sdk.Client).GetFunction, &sdk.GetFunctionInput{FunctionName: fn}), []string{"lambda:GetFunction " + arn}},
		{asktest.Call(t, c, (*sdk.Client).GetFunction, &sdk.GetFunctionInput{FunctionName: fn, Qualifier: live}), []string{"lambda:GetFunction " + arn + ":live"}},
		{asktest.Call(t, c, (*sdk.Client).GetFunctionConfiguration, &sdk.GetFunctionConfigurationInput{FunctionName: fn, Qualifier: one}), []string{"lambda:GetFunctionConfiguration " + arn + ":1"}},
		{asktest.Call(t, c, (*sdk.Client).UpdateFunctionConfiguration, &sdk.UpdateFunctionConfigurationInput{FunctionName: fn}), []string{"lambda:UpdateFunctionConfiguration " + arn}},
		{asktest.Call(t, c, (*sdk.Client).UpdateFunctionConfiguration, &sdk.UpdateFunctionConfigurationInput{FunctionName: fn, Role: aws.String(role)}), []string{"lambda:UpdateFunctionConfiguration " + arn, pass}},
		{asktest.Call(t, c, (*sdk.Client).UpdateFunctionCode, &sdk.UpdateFunctionCodeInput{FunctionName: fn}), []string{"lambda:UpdateFunctionCode " + arn}},
		{asktest.Call(t, c, (*sdk.Client).DeleteFunction, &sdk.DeleteFunctionInput{FunctionName: fn}), []string{"lambda:DeleteFunction " + arn}},
		{asktest.Call(t, c, (*sdk.Client).PublishVersion, &sdk.PublishVersionInput{FunctionName: fn}), []string{"lambda:PublishVersion " + arn}},
		{asktest.Call(t, c, (*sdk.Client).ListVersionsByFunction, &sdk.ListVersionsByFunctionInput{FunctionName: fn}), []string{"lambda:ListVersionsByFunction " + arn}},
		// An alias is asked for as its function; who may invoke it, as it is.
		{asktest.Call(t, c, (*sdk.Client).CreateAlias, &sdk.CreateAliasInput{FunctionName: fn, Name: live, FunctionVersion: one}), []string{"lambda:CreateAlias " + arn}},
		{asktest.Call(t, c, (*sdk.Client).GetAlias, &sdk.GetAliasInput{FunctionName: fn, Name: live}), []string{"lambda:GetAlias " + arn}},
		{asktest.Call(t, c, (*sdk.Client).UpdateAlias, &sdk.UpdateAliasInput{FunctionName: fn, Name: live}), []string{"lambda:UpdateAlias " + arn}},
		{asktest.Call(t, c, (*sdk.Client).ListAliases, &sdk.ListAliasesInput{FunctionName: fn}), []string{"lambda:ListAliases " + arn}},
		{asktest.Call(t, c, (*sdk.Client).DeleteAlias, &sdk.DeleteAliasInput{FunctionName: fn, Name: live}), []string{"lambda:DeleteAlias " + arn}},
		{asktest.Call(t, c, (*sdk.Client).AddPermission, &sdk.AddPermissionInput{FunctionName: fn, Qualifier: live, Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"), StatementId: one}), []string{"lambda:AddPermission " + arn + ":live"}},
		{asktest.Call(t, c, (*sdk.Client).GetPolicy, &sdk.GetPolicyInput{FunctionName: fn, Qualifier: live}), []string{"lambda:GetPolicy " + arn + ":live"}},
		{asktest.Call(t, c, (*sdk.Client).RemovePermission, &sdk.RemovePermissionInput{FunctionName: fn, Qualifier: live, StatementId: one}), []string{"lambda:RemovePermission " + arn + ":live"}},
		{asktest.Call(t, c, (*sdk.Client).PutFunctionConcurrency, &sdk.PutFunctionConcurrencyInput{FunctionName: fn, ReservedConcurrentExecutions: aws.Int32(1)}), []string{"lambda:PutFunctionConcurrency " + arn}},
		{asktest.Call(t, c, (*sdk.Client).GetFunctionConcurrency, &sdk.GetFunctionConcurrencyInput{FunctionName: fn}), []string{"lambda:GetFunctionConcurrency " + arn}},
		{asktest.Call(t, c, (*sdk.Client).DeleteFunctionConcurrency, &sdk.DeleteFunctionConcurrencyInput{FunctionName: fn}), []string{"lambda:DeleteFunctionConcurrency " + arn}},
		{asktest.Call(t, c, (*sdk.Client).GetFunctionCodeSigningConfig, &sdk.GetFunctionCodeSigningConfigInput{FunctionName: fn}), []string{"lambda:GetFunctionCodeSigningConfig " + arn}},
		{asktest.Call(t, c, (*sdk.Client).GetRuntimeManagementConfig, &sdk.GetRuntimeManagementConfigInput{FunctionName: fn}), []string{"lambda:GetRuntimeManagementConfig " + arn}},
		{asktest.Call(t, c, (*sdk.Client).TagResource, &sdk.TagResourceInput{Resource: aws.String(arn), Tags: tags}), []string{"lambda:TagResource " + arn}},
		{asktest.Call(t, c, (*sdk.Client).ListTags, &sdk.ListTagsInput{Resource: aws.String(arn)}), []string{"lambda:ListTags " + arn}},
		{asktest.Call(t, c, (*sdk.Client).UntagResource, &sdk.UntagResourceInput{Resource: aws.String(arn), TagKeys: []string{"Owner"}}), []string{"lambda:UntagResource " + arn}},
	} {
		g.Proven(t, "test", "AccessDeniedException", one.do, one.want)
	}
}
