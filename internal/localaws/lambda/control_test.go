package lambda_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// gate is IAM that writes down what it is asked, and denies one action.
type gate struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

func (g *gate) authorize(_ context.Context, ask wire.Ask) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := ask.AccessKeyID + " " + ask.Action + " " + ask.Resource
	for _, key := range slices.Sorted(maps.Keys(ask.Keys)) {
		text += " " + key + "=" + strings.Join(ask.Keys[key], ",")
	}
	g.asks = append(g.asks, text)
	if ask.Action == g.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "User: me is not authorized to perform: %s", ask.Action)
	}
	return nil
}

// during is what was asked while do ran, with one action denied.
func (g *gate) during(denied string, do func() error) ([]string, error) {
	g.mu.Lock()
	g.asks, g.denied = nil, denied
	g.mu.Unlock()
	err := do()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asks, err
}

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

// proven makes each call, wants exactly its questions, and then a refusal of
// the call for each of them.
func (g *gate) proven(t *testing.T, key, code string, all []try) {
	t.Helper()
	for _, one := range all {
		var want []string
		for _, ask := range one.want {
			want = append(want, key+" "+ask)
		}
		// What the call answers is not this test's business, unless a denial.
		got, err := g.during("", one.do)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		for _, ask := range one.want {
			action, _, _ := strings.Cut(ask, " ")
			_, err := g.during(action, one.do)
			api, ok := errors.AsType[smithy.APIError](err)
			if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), action) {
				t.Errorf("without %s: %v", action, err)
			}
		}
	}
}

// call makes a try's function of an operation and its input.
func call[C, In, Out, Option any](t *testing.T, client C, operation func(C, context.Context, *In, ...func(*Option)) (Out, error), in *In) func() error {
	return func() error {
		_, err := operation(client, t.Context(), in)
		return err
	}
}

func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &gate{}
	c := newFixture(t, func(o *lambda.Options) { o.Authorize = g.authorize }).Client
	const arn = "arn:aws:lambda:eu-west-1:000000000000:function:fn"
	fn, live, one := aws.String("fn"), aws.String("live"), aws.String("1")
	tags := map[string]string{"Owner": "me"}
	pass := "iam:PassRole " + role + " iam:passedtoservice=lambda.amazonaws.com"
	g.proven(t, "test", "AccessDeniedException", []try{
		{call(t, c, (*sdk.Client).CreateFunction, &sdk.CreateFunctionInput{FunctionName: fn, Role: aws.String(role), Tags: tags, Code: &types.FunctionCode{}}),
			[]string{"lambda:CreateFunction " + arn, pass, "lambda:TagResource " + arn}},
		{call(t, c, (*sdk.Client).ListFunctions, &sdk.ListFunctionsInput{}), []string{"lambda:ListFunctions *"}},
		{call(t, c, (*sdk.Client).GetAccountSettings, &sdk.GetAccountSettingsInput{}), []string{"lambda:GetAccountSettings *"}},
		{call(t, c, (*sdk.Client).GetFunction, &sdk.GetFunctionInput{FunctionName: fn}), []string{"lambda:GetFunction " + arn}},
		{call(t, c, (*sdk.Client).GetFunction, &sdk.GetFunctionInput{FunctionName: fn, Qualifier: live}), []string{"lambda:GetFunction " + arn + ":live"}},
		{call(t, c, (*sdk.Client).GetFunctionConfiguration, &sdk.GetFunctionConfigurationInput{FunctionName: fn, Qualifier: one}), []string{"lambda:GetFunctionConfiguration " + arn + ":1"}},
		{call(t, c, (*sdk.Client).UpdateFunctionConfiguration, &sdk.UpdateFunctionConfigurationInput{FunctionName: fn}), []string{"lambda:UpdateFunctionConfiguration " + arn}},
		{call(t, c, (*sdk.Client).UpdateFunctionConfiguration, &sdk.UpdateFunctionConfigurationInput{FunctionName: fn, Role: aws.String(role)}), []string{"lambda:UpdateFunctionConfiguration " + arn, pass}},
		{call(t, c, (*sdk.Client).UpdateFunctionCode, &sdk.UpdateFunctionCodeInput{FunctionName: fn}), []string{"lambda:UpdateFunctionCode " + arn}},
		{call(t, c, (*sdk.Client).DeleteFunction, &sdk.DeleteFunctionInput{FunctionName: fn}), []string{"lambda:DeleteFunction " + arn}},
		{call(t, c, (*sdk.Client).PublishVersion, &sdk.PublishVersionInput{FunctionName: fn}), []string{"lambda:PublishVersion " + arn}},
		{call(t, c, (*sdk.Client).ListVersionsByFunction, &sdk.ListVersionsByFunctionInput{FunctionName: fn}), []string{"lambda:ListVersionsByFunction " + arn}},
		// An alias is asked for as its function; who may invoke it, as it is.
		{call(t, c, (*sdk.Client).CreateAlias, &sdk.CreateAliasInput{FunctionName: fn, Name: live, FunctionVersion: one}), []string{"lambda:CreateAlias " + arn}},
		{call(t, c, (*sdk.Client).GetAlias, &sdk.GetAliasInput{FunctionName: fn, Name: live}), []string{"lambda:GetAlias " + arn}},
		{call(t, c, (*sdk.Client).UpdateAlias, &sdk.UpdateAliasInput{FunctionName: fn, Name: live}), []string{"lambda:UpdateAlias " + arn}},
		{call(t, c, (*sdk.Client).ListAliases, &sdk.ListAliasesInput{FunctionName: fn}), []string{"lambda:ListAliases " + arn}},
		{call(t, c, (*sdk.Client).DeleteAlias, &sdk.DeleteAliasInput{FunctionName: fn, Name: live}), []string{"lambda:DeleteAlias " + arn}},
		{call(t, c, (*sdk.Client).AddPermission, &sdk.AddPermissionInput{FunctionName: fn, Qualifier: live, Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"), StatementId: one}), []string{"lambda:AddPermission " + arn + ":live"}},
		{call(t, c, (*sdk.Client).GetPolicy, &sdk.GetPolicyInput{FunctionName: fn, Qualifier: live}), []string{"lambda:GetPolicy " + arn + ":live"}},
		{call(t, c, (*sdk.Client).RemovePermission, &sdk.RemovePermissionInput{FunctionName: fn, Qualifier: live, StatementId: one}), []string{"lambda:RemovePermission " + arn + ":live"}},
		{call(t, c, (*sdk.Client).PutFunctionConcurrency, &sdk.PutFunctionConcurrencyInput{FunctionName: fn, ReservedConcurrentExecutions: aws.Int32(1)}), []string{"lambda:PutFunctionConcurrency " + arn}},
		{call(t, c, (*sdk.Client).GetFunctionConcurrency, &sdk.GetFunctionConcurrencyInput{FunctionName: fn}), []string{"lambda:GetFunctionConcurrency " + arn}},
		{call(t, c, (*sdk.Client).DeleteFunctionConcurrency, &sdk.DeleteFunctionConcurrencyInput{FunctionName: fn}), []string{"lambda:DeleteFunctionConcurrency " + arn}},
		{call(t, c, (*sdk.Client).GetFunctionCodeSigningConfig, &sdk.GetFunctionCodeSigningConfigInput{FunctionName: fn}), []string{"lambda:GetFunctionCodeSigningConfig " + arn}},
		{call(t, c, (*sdk.Client).GetRuntimeManagementConfig, &sdk.GetRuntimeManagementConfigInput{FunctionName: fn}), []string{"lambda:GetRuntimeManagementConfig " + arn}},
		{call(t, c, (*sdk.Client).TagResource, &sdk.TagResourceInput{Resource: aws.String(arn), Tags: tags}), []string{"lambda:TagResource " + arn}},
		{call(t, c, (*sdk.Client).ListTags, &sdk.ListTagsInput{Resource: aws.String(arn)}), []string{"lambda:ListTags " + arn}},
		{call(t, c, (*sdk.Client).UntagResource, &sdk.UntagResourceInput{Resource: aws.String(arn), TagKeys: []string{"Owner"}}), []string{"lambda:UntagResource " + arn}},
	})
}
