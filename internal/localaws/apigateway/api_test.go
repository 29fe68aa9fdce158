package apigateway_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/apigateway"
)

func TestControlPlaneReadsBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.api("")
	must[*sdk.UpdateRestApiOutput](t)(w.client.UpdateRestApi(w.ctx, &sdk.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{
		patch("replace", "/description", "words"), patch("replace", "/disableExecuteApiEndpoint", "true"),
		patch("add", "/binaryMediaTypes/*~1*", ""), patch("add", "/binaryMediaTypes/image~1png", ""), patch("remove", "/binaryMediaTypes/image~1png", "")}}))
	got := must[*sdk.GetRestApiOutput](t)(w.client.GetRestApi(w.ctx, &sdk.GetRestApiInput{RestApiId: &api}))
	if aws.ToString(got.Description) != "words" || !got.DisableExecuteApiEndpoint || !got.CreatedDate.Equal(start) || !slices.Equal(got.BinaryMediaTypes, []string{"*/*"}) {
		t.Errorf("got %+v", got)
	}
	resources := must[*sdk.GetResourcesOutput](t)(w.client.GetResources(w.ctx, &sdk.GetResourcesInput{RestApiId: &api, Embed: []string{"methods"}}))
	var paths []string
	for _, r := range resources.Items {
		paths = append(paths, *r.Path)
		if in := r.ResourceMethods["ANY"].MethodIntegration; in == nil || *in.Uri != uri || in.TimeoutInMillis != 29000 {
			t.Errorf("%s: integration %+v", *r.Path, in)
		}
	}
	if diff := cmp.Diff([]string{"/", "/{proxy+}"}, paths); diff != "" {
		t.Error(diff)
	}
	root := *got.RootResourceId
	updated := must[*sdk.UpdateIntegrationOutput](t)(w.client.UpdateIntegration(w.ctx, &sdk.UpdateIntegrationInput{RestApiId: &api, ResourceId: &root, HttpMethod: aws.String("ANY"), PatchOperations: []types.PatchOperation{patch("replace", "/timeoutInMillis", "5000")}}))
	if updated.TimeoutInMillis != 5000 {
		t.Errorf("timeout %d", updated.TimeoutInMillis)
	}
	w.stage(api, w.deploy(api), nil)
	arn := "arn:aws:apigateway:eu-west-1::/restapis/" + api + "/stages/prod"
	must[*sdk.TagResourceOutput](t)(w.client.TagResource(w.ctx, &sdk.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"Owner": "me", "Purpose": "x"}}))
	must[*sdk.UntagResourceOutput](t)(w.client.UntagResource(w.ctx, &sdk.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"Purpose"}}))
	tags := must[*sdk.GetTagsOutput](t)(w.client.GetTags(w.ctx, &sdk.GetTagsInput{ResourceArn: &arn}))
	if diff := cmp.Diff(map[string]string{"Owner": "me"}, tags.Tags); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(tags.Tags, w.getStage(api).Tags); diff != "" {
		t.Error(diff)
	}
	other := sdk.New(w.client.Options(), func(o *sdk.Options) { o.Region = "eu-central-1" })
	if list := must[*sdk.GetRestApisOutput](t)(other.GetRestApis(w.ctx, &sdk.GetRestApisInput{})); len(list.Items) != 0 {
		t.Error("an API of one region is seen in another")
	}
}

func TestDomainsAndMappings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.api("")
	w.stage(api, w.deploy(api), nil)
	made := w.domain(api, "api.example.com")
	name := made.DomainName
	if !strings.HasPrefix(*made.RegionalDomainName, "d-") || *made.RegionalHostedZoneId != "ZLY8HYME6SFDD" {
		t.Errorf("made %+v", made)
	}
	if got, ok := w.service.RegionOf(*made.RegionalDomainName); !ok || got != region {
		t.Errorf("RegionOf the domain: %s %v", got, ok)
	}
	if _, ok := w.service.RegionOf("d-unknown.execute-api.eu-west-1.amazonaws.com"); ok {
		t.Error("RegionOf knows a domain that was never made")
	}
	_, err := w.client.CreateDomainName(w.ctx, &sdk.CreateDomainNameInput{DomainName: name, RegionalCertificateArn: made.RegionalCertificateArn, EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}})
	if codeOf(err) != "BadRequestException" || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("the same name again: %v", err)
	}
	_, err = w.client.CreateDomainName(w.ctx, &sdk.CreateDomainNameInput{DomainName: aws.String("b.example.com"), RegionalCertificateArn: made.RegionalCertificateArn, EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}})
	if err == nil || !strings.Contains(err.Error(), "not covered by the provided certificate") {
		t.Errorf("a certificate for another name: %v", err)
	}
	got := must[*sdk.GetBasePathMappingOutput](t)(w.client.GetBasePathMapping(w.ctx, &sdk.GetBasePathMappingInput{DomainName: name, BasePath: aws.String("(none)")}))
	if *got.BasePath != "(none)" || *got.Stage != "prod" {
		t.Errorf("mapping %+v", got)
	}
	_, err = w.client.CreateBasePathMapping(w.ctx, &sdk.CreateBasePathMappingInput{DomainName: name, RestApiId: &api, Stage: aws.String("prod")})
	if codeOf(err) != "ConflictException" {
		t.Errorf("the same base path again: %v", err)
	}
	moved := must[*sdk.UpdateBasePathMappingOutput](t)(w.client.UpdateBasePathMapping(w.ctx, &sdk.UpdateBasePathMappingInput{DomainName: name, BasePath: aws.String("(none)"), PatchOperations: []types.PatchOperation{patch("replace", "/basePath", "v1")}}))
	if *moved.BasePath != "v1" {
		t.Errorf("moved %+v", moved)
	}
	if _, err := w.client.DeleteRestApi(w.ctx, &sdk.DeleteRestApiInput{RestApiId: &api}); codeOf(err) != "BadRequestException" {
		t.Errorf("delete a mapped API: %v", err)
	}
	must[*sdk.DeleteDomainNameOutput](t)(w.client.DeleteDomainName(w.ctx, &sdk.DeleteDomainNameInput{DomainName: name}))
	must[*sdk.DeleteRestApiOutput](t)(w.client.DeleteRestApi(w.ctx, &sdk.DeleteRestApiInput{RestApiId: &api}))
}

func TestWhatIsNotModelledIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.api("")
	got := must[*sdk.GetRestApiOutput](t)(w.client.GetRestApi(w.ctx, &sdk.GetRestApiInput{RestApiId: &api}))
	child := must[*sdk.CreateResourceOutput](t)(w.client.CreateResource(w.ctx, &sdk.CreateResourceInput{RestApiId: &api, ParentId: got.RootResourceId, PathPart: aws.String("x")}))
	must[*sdk.PutMethodOutput](t)(w.client.PutMethod(w.ctx, &sdk.PutMethodInput{RestApiId: &api, ResourceId: child.Id, HttpMethod: aws.String("GET"), AuthorizationType: aws.String("NONE")}))
	calls := map[string]func() error{
		"mock integration": func() error {
			_, err := w.client.PutIntegration(w.ctx, &sdk.PutIntegrationInput{RestApiId: &api, ResourceId: child.Id, HttpMethod: aws.String("GET"), Type: types.IntegrationTypeMock})
			return err
		},
		"method without integration": func() error {
			_, err := w.client.CreateDeployment(w.ctx, &sdk.CreateDeploymentInput{RestApiId: &api})
			return err
		},
		"credentials": func() error {
			_, err := w.client.PutIntegration(w.ctx, &sdk.PutIntegrationInput{RestApiId: &api, ResourceId: child.Id, HttpMethod: aws.String("GET"), Type: types.IntegrationTypeAwsProxy, Uri: aws.String(uri), IntegrationHttpMethod: aws.String("POST"), Credentials: aws.String(role)})
			return err
		},
		"mapping": func() error {
			_, err := w.client.PutIntegration(w.ctx, &sdk.PutIntegrationInput{RestApiId: &api, ResourceId: child.Id, HttpMethod: aws.String("GET"), Type: types.IntegrationTypeAwsProxy, Uri: aws.String(uri), IntegrationHttpMethod: aws.String("POST"), RequestParameters: map[string]string{"integration.request.header.X": "'1'"}})
			return err
		},
		"authorizer": func() error {
			_, err := w.client.PutMethod(w.ctx, &sdk.PutMethodInput{RestApiId: &api, ResourceId: child.Id, HttpMethod: aws.String("POST"), AuthorizationType: aws.String("AWS_IAM")})
			return err
		},
		"edge endpoint": func() error {
			_, err := w.client.CreateRestApi(w.ctx, &sdk.CreateRestApiInput{Name: aws.String("edge")})
			return err
		},
		"unknown operation": func() error {
			_, err := w.client.GetUsagePlans(w.ctx, &sdk.GetUsagePlansInput{})
			return err
		},
		"unknown member": func() error {
			_, err := w.client.CreateRestApi(w.ctx, &sdk.CreateRestApiInput{Name: aws.String("x"), MinimumCompressionSize: aws.Int32(5), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}})
			return err
		},
		"policy condition": func() error {
			_, err := w.client.UpdateRestApi(w.ctx, &sdk.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{patch("replace", "/policy", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"*","Condition":{"StringEquals":{"aws:x":"y"}}}]}`)}})
			return err
		},
	}
	for name, do := range calls {
		if err := do(); codeOf(err) != "BadRequestException" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolicyShorthandIsExpandedOnSave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.api(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/prod/*"}]}`)
	got := must[*sdk.GetRestApiOutput](t)(w.client.GetRestApi(w.ctx, &sdk.GetRestApiInput{RestApiId: &api}))
	policy, err := strconv.Unquote(`"` + aws.ToString(got.Policy) + `"`)
	if err != nil {
		t.Fatalf("the policy %s is not escaped as AWS does: %v", *got.Policy, err)
	}
	want := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:eu-west-1:000000000000:` + api + `/prod/*"}]}`
	if diff := cmp.Diff(want, policy); diff != "" {
		t.Error(diff)
	}
}

func TestControlPlaneLimits(t *testing.T) {
	t.Parallel()
	limits := apigateway.Limits{Rate: 10, Burst: 40, DomainInterval: 30 * time.Second}
	w := newWorld(t, func(o *apigateway.Options) { o.Limits = &limits })
	call := func() error {
		_, err := w.client.GetAccount(w.ctx, &sdk.GetAccountInput{})
		return err
	}
	count := func(n int) (passed int) {
		for range n {
			if err := call(); err == nil {
				passed++
			} else if codeOf(err) != "TooManyRequestsException" {
				t.Fatal(err)
			}
		}
		return passed
	}
	if got := count(45); got != 40 {
		t.Errorf("%d of 45 calls at once passed, want the burst of 40", got)
	}
	w.clock.Advance(time.Second)
	if got := count(15); got != 10 {
		t.Errorf("%d calls passed a second later, want 10", got)
	}
	w.clock.Advance(time.Minute)
	domain := func(name string) error {
		_, err := w.client.CreateDomainName(w.ctx, &sdk.CreateDomainNameInput{DomainName: &name, RegionalCertificateArn: aws.String(certificatePrefix + name), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}})
		return err
	}
	if err := domain("a.example.com"); err != nil {
		t.Error(err)
	}
	if err := domain("b.example.com"); codeOf(err) != "TooManyRequestsException" {
		t.Errorf("a second domain at once: %v", err)
	}
	w.clock.Advance(30 * time.Second)
	if err := domain("b.example.com"); err != nil {
		t.Error(err)
	}
}
