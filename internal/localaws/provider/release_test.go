package provider_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// release is the program of the second test; its fields are what it turns.
type release struct {
	*account
	memory  int
	percent float64
}

func (a *release) program(ctx *pulumi.Context) error {
	in, err := a.provider(ctx, blue)
	if err != nil {
		return err
	}
	fn, err := lambda.NewFunction(ctx, "api", &lambda.FunctionArgs{Name: pulumi.String("api"), Runtime: pulumi.String("provided.al2023"), Handler: pulumi.String("bootstrap"), Architectures: pulumi.StringArray{pulumi.String("arm64")},
		Code: pulumi.NewFileArchive(a.zip), Role: pulumi.String("arn:aws:iam::000000000000:role/api"), MemorySize: pulumi.Int(a.memory), Timeout: pulumi.Int(5), Publish: pulumi.Bool(true),
		Environment: lambda.FunctionEnvironmentArgs{Variables: pulumi.StringMap{"TABLE": pulumi.ToSecret(pulumi.String("items")).(pulumi.StringOutput)}}}, in)
	if err != nil {
		return err
	}
	alias, err := lambda.NewAlias(ctx, "next", &lambda.AliasArgs{Name: pulumi.String("next"), FunctionName: fn.Name, FunctionVersion: fn.Version}, in)
	if err != nil {
		return err
	}
	rest, err := apigateway.NewRestApi(ctx, "api", &apigateway.RestApiArgs{Name: pulumi.String("api"), EndpointConfiguration: apigateway.RestApiEndpointConfigurationArgs{Types: pulumi.String("REGIONAL")}, Tags: pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
	if err != nil {
		return err
	}
	method, err := apigateway.NewMethod(ctx, "root", &apigateway.MethodArgs{RestApi: rest.ID(), ResourceId: rest.RootResourceId, HttpMethod: pulumi.String("ANY"), Authorization: pulumi.String("NONE")}, in)
	if err != nil {
		return err
	}
	integration, err := apigateway.NewIntegration(ctx, "root", &apigateway.IntegrationArgs{RestApi: rest.ID(), ResourceId: rest.RootResourceId, HttpMethod: method.HttpMethod, Type: pulumi.String("AWS_PROXY"), IntegrationHttpMethod: pulumi.String("POST"),
		Uri: pulumi.String("arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:000000000000:function:${stageVariables.fn}/invocations")}, in)
	if err != nil {
		return err
	}
	deployment, err := apigateway.NewDeployment(ctx, "one", &apigateway.DeploymentArgs{RestApi: rest.ID(), Triggers: pulumi.StringMap{"definition": pulumi.String("1")}}, in, pulumi.DependsOn([]pulumi.Resource{integration}))
	if err != nil {
		return err
	}
	stage, err := apigateway.NewStage(ctx, "prod", &apigateway.StageArgs{RestApi: rest.ID(), Deployment: deployment.ID(), StageName: pulumi.String("prod"), Variables: pulumi.StringMap{"fn": pulumi.String("api:live")},
		CanarySettings: apigateway.StageCanarySettingsArgs{DeploymentId: deployment.ID(), PercentTraffic: pulumi.Float64(a.percent), StageVariableOverrides: pulumi.StringMap{"fn": pulumi.String("api:next")}, UseStageCache: pulumi.Bool(false)}}, in)
	if err != nil {
		return err
	}
	_, err = lambda.NewPermission(ctx, "next", &lambda.PermissionArgs{Action: pulumi.String("lambda:InvokeFunction"), Principal: pulumi.String("apigateway.amazonaws.com"), Function: fn.Name, Qualifier: alias.Name, StatementId: pulumi.String("stage-prod"),
		SourceArn: pulumi.Sprintf("%s/prod/*/*", rest.ExecutionArn)}, in)
	ctx.Export("version", fn.Version)
	ctx.Export("alias", alias.FunctionVersion)
	ctx.Export("stage", stage.ExecutionArn)
	return err
}

// The stage is patched only where the program changed, a new function version
// reaches its alias, and a resource that has gone is seen as gone.
func TestEngineReleasesAFunctionBehindAStage(t *testing.T) {
	t.Parallel()
	a := &release{account: &account{}, memory: 128, percent: 10}
	open(t, a.program, a.account)
	ctx := context.Background()
	a.up()
	check := func(version string) {
		t.Helper()
		outputs, err := a.stack.Outputs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if outputs["version"].Value != version || outputs["alias"].Value != version || !strings.HasPrefix(fmt.Sprint(outputs["stage"].Value), "arn:aws:execute-api:eu-west-1:000000000000:") {
			t.Errorf("outputs %v, want version %s", outputs, version)
		}
	}
	check("1")
	if got := a.up(); got["same"] != 10 || len(got) != 1 {
		t.Errorf("a second up: %v", got)
	}
	a.memory = 256
	preview, err := a.stack.Preview(ctx, optpreview.Diff())
	if err != nil {
		t.Fatal(err)
	}
	if preview.ChangeSummary["update"] != 2 {
		t.Errorf("the preview of a new version updates %v, want function and alias", preview.ChangeSummary)
	}
	if got := a.up(); got["update"] != 2 {
		t.Errorf("a new version: %v", got)
	}
	check("2")
	a.archive("#!/bin/sh\nexit 1\n")
	if got := a.up(); got["update"] != 2 {
		t.Errorf("new code: %v, want function and alias updated", got)
	}
	check("3")

	a.calls = nil
	a.percent = 25
	if got := a.up(); got["update"] != 1 {
		t.Errorf("another percent: %v", got)
	}
	want := `PATCH {"patchOperations":[{"op":"replace","path":"/canarySettings/percentTraffic","value":"25"}]}`
	if diff := cmp.Diff([]string{want}, a.calls); diff != "" {
		t.Errorf("patches: %s", diff)
	}
	refresh, err := a.stack.Refresh(ctx)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if got := *refresh.Summary.ResourceChanges; got["same"] != 10 || len(got) != 1 {
		t.Errorf("a refresh without drift: %v\n%s", got, refresh.StdOut)
	}
	state, err := a.stack.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(state.Deployment), `"TABLE": "items"`) {
		t.Error("a secret is in the state as plain text")
	}
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
}
