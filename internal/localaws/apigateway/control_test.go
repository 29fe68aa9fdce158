package apigateway_test

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
	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// guard is IAM that writes down what it is asked, and denies one action.
type guard struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

func (g *guard) authorize(_ context.Context, ask wire.Ask) error {
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
func (g *guard) during(denied string, do func() error) ([]string, error) {
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
func (g *guard) proven(t *testing.T, key, code string, all []try) {
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

// sending makes a try's function of an operation and its input.
func sending[C, In, Out, Option any](t *testing.T, client C, operation func(C, context.Context, *In, ...func(*Option)) (Out, error), in *In) func() error {
	return func() error {
		_, err := operation(client, t.Context(), in)
		return err
	}
}

// Actions are verbs and resources are paths; a resource policy and the role of
// the account need a right more.
func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &guard{}
	c := newWorld(t, func(o *apigateway.Options) { o.Authorize = g.authorize }).client
	const at = " arn:aws:apigateway:eu-west-1::"
	id, name, prod := aws.String("abc"), aws.String("api.example.com"), aws.String("prod")
	tagged := "arn:aws:apigateway:eu-west-1::/restapis/abc"
	g.proven(t, "test", "AccessDeniedException", []try{
		{sending(t, c, (*sdk.Client).CreateRestApi, &sdk.CreateRestApiInput{Name: name}), []string{"apigateway:POST" + at + "/restapis"}},
		{sending(t, c, (*sdk.Client).CreateRestApi, &sdk.CreateRestApiInput{Name: name, Policy: aws.String("{}")}), []string{"apigateway:POST" + at + "/restapis", "apigateway:UpdateRestApiPolicy" + at + "/restapis"}},
		{sending(t, c, (*sdk.Client).GetRestApis, &sdk.GetRestApisInput{}), []string{"apigateway:GET" + at + "/restapis"}},
		{sending(t, c, (*sdk.Client).UpdateRestApi, &sdk.UpdateRestApiInput{RestApiId: id, PatchOperations: []types.PatchOperation{patch("replace", "/description", "d")}}), []string{"apigateway:PATCH" + at + "/restapis/abc"}},
		{sending(t, c, (*sdk.Client).UpdateRestApi, &sdk.UpdateRestApiInput{RestApiId: id, PatchOperations: []types.PatchOperation{patch("replace", "/policy", "{}")}}), []string{"apigateway:PATCH" + at + "/restapis/abc", "apigateway:UpdateRestApiPolicy" + at + "/restapis/abc"}},
		{sending(t, c, (*sdk.Client).DeleteRestApi, &sdk.DeleteRestApiInput{RestApiId: id}), []string{"apigateway:DELETE" + at + "/restapis/abc"}},
		{sending(t, c, (*sdk.Client).PutMethod, &sdk.PutMethodInput{RestApiId: id, ResourceId: id, HttpMethod: aws.String("ANY"), AuthorizationType: aws.String("NONE")}), []string{"apigateway:PUT" + at + "/restapis/abc/resources/abc/methods/ANY"}},
		{sending(t, c, (*sdk.Client).GetStage, &sdk.GetStageInput{RestApiId: id, StageName: prod}), []string{"apigateway:GET" + at + "/restapis/abc/stages/prod"}},
		{sending(t, c, (*sdk.Client).UpdateStage, &sdk.UpdateStageInput{RestApiId: id, StageName: prod, PatchOperations: []types.PatchOperation{patch("replace", "/variables/fn", "x")}}), []string{"apigateway:PATCH" + at + "/restapis/abc/stages/prod"}},
		{sending(t, c, (*sdk.Client).GetBasePathMappings, &sdk.GetBasePathMappingsInput{DomainName: name}), []string{"apigateway:GET" + at + "/domainnames/api.example.com/basepathmappings"}},
		{sending(t, c, (*sdk.Client).GetAccount, &sdk.GetAccountInput{}), []string{"apigateway:GET" + at + "/account"}},
		{sending(t, c, (*sdk.Client).UpdateAccount, &sdk.UpdateAccountInput{PatchOperations: []types.PatchOperation{patch("replace", "/cloudwatchRoleArn", role)}}), []string{"apigateway:PATCH" + at + "/account", "iam:PassRole " + role + " iam:passedtoservice=apigateway.amazonaws.com"}},
		{sending(t, c, (*sdk.Client).GetTags, &sdk.GetTagsInput{ResourceArn: &tagged}), []string{"apigateway:GET" + at + "/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Frestapis%2Fabc"}},
	})
}
