package apigateway_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/wire/asktest"
)

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

// Actions are verbs and resources are paths; a resource policy and the role of
// the account need a right more.
func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &asktest.Guard{}
	c := newWorld(t, func(o *apigateway.Options) { o.Authorize = g.Authorize }).client
	const at = " arn:aws:apigateway:eu-west-1::"
	id, name, prod := aws.String("abc"), aws.String("api.example.com"), aws.String("prod")
	tagged := "arn:aws:apigateway:eu-west-1::/restapis/abc"
	for _, one := range []try{
		{asktest.Call(t, c, (*sdk.Client).CreateRestApi, &sdk.CreateRestApiInput{Name: name}), []string{"apigateway:POST" + at + "/restapis"}},
		{asktest.Call(t, c, (*sdk.Client).CreateRestApi, &sdk.CreateRestApiInput{Name: name, Policy: aws.String("{}")}), []string{"apigateway:POST" + at + "/restapis", "apigateway:UpdateRestApiPolicy" + at + "/restapis"}},
		{asktest.Call(t, c, (*sdk.Client).GetRestApis, &sdk.GetRestApisInput{}), []string{"apigateway:GET" + at + "/restapis"}},
		{asktest.Call(t, c, (*sdk.Client).UpdateRestApi, &sdk.UpdateRestApiInput{RestApiId: id, PatchOperations: []types.PatchOperation{patch("replace", "/description", "d")}}), []string{"apigateway:PATCH" + at + "/restapis/abc"}},
		{asktest.Call(t, c, (*sdk.Client).UpdateRestApi, &sdk.UpdateRestApiInput{RestApiId: id, PatchOperations: []types.PatchOperation{patch("replace", "/policy", "{}")}}), []string{"apigateway:PATCH" + at + "/restapis/abc", "apigateway:UpdateRestApiPolicy" + at + "/restapis/abc"}},
		{asktest.Call(t, c, (*sdk.Client).DeleteRestApi, &sdk.DeleteRestApiInput{RestApiId: id}), []string{"apigateway:DELETE" + at + "/restapis/abc"}},
		{asktest.Call(t, c, (*sdk.Client).PutMethod, &sdk.PutMethodInput{RestApiId: id, ResourceId: id, HttpMethod: aws.String("ANY"), AuthorizationType: aws.String("NONE")}), []string{"apigateway:PUT" + at + "/restapis/abc/resources/abc/methods/ANY"}},
		{asktest.Call(t, c, (*sdk.Client).GetStage, &sdk.GetStageInput{RestApiId: id, StageName: prod}), []string{"apigateway:GET" + at + "/restapis/abc/stages/prod"}},
		{asktest.Call(t, c, (*sdk.Client).UpdateStage, &sdk.UpdateStageInput{RestApiId: id, StageName: prod, PatchOperations: []types.PatchOperation{patch("replace", "/variables/fn", "x")}}), []string{"apigateway:PATCH" + at + "/restapis/abc/stages/prod"}},
		{asktest.Call(t, c, (*sdk.Client).GetBasePathMappings, &sdk.GetBasePathMappingsInput{DomainName: name}), []string{"apigateway:GET" + at + "/domainnames/api.example.com/basepathmappings"}},
		{asktest.Call(t, c, (*sdk.Client).GetAccount, &sdk.GetAccountInput{}), []string{"apigateway:GET" + at + "/account"}},
		{asktest.Call(t, c, (*sdk.Client).UpdateAccount, &sdk.UpdateAccountInput{PatchOperations: []types.PatchOperation{patch("replace", "/cloudwatchRoleArn", role)}}), []string{"apigateway:PATCH" + at + "/account", "iam:PassRole " + role + " iam:passedtoservice=apigateway.amazonaws.com"}},
		{asktest.Call(t, c, (*sdk.Client).GetTags, &sdk.GetTagsInput{ResourceArn: &tagged}), []string{"apigateway:GET" + at + "/tags/arn%3Aaws%3Aapigateway%3Aeu-west-1%3A%3A%2Frestapis%2Fabc"}},
	} {
		g.Proven(t, "test", "AccessDeniedException", one.do, one.want)
	}
}
