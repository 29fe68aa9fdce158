package apigateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"
)

// view is what the canary tests compare. D1 and D2 stand for the ids of the
// first and second deployment.
type view struct {
	Deployment string
	Variables  map[string]string
	Canary     *canary
}

type canary struct {
	Deployment string
	Percent    float64
	Overrides  map[string]string
}

func (w *world) view(api string, ids ...string) view {
	w.t.Helper()
	name := func(id *string) string {
		for i, known := range ids {
			if known == aws.ToString(id) {
				return fmt.Sprintf("D%d", i+1)
			}
		}
		return "unknown"
	}
	st := w.getStage(api)
	out := view{Deployment: name(st.DeploymentId), Variables: st.Variables}
	if c := st.CanarySettings; c != nil {
		out.Canary = &canary{name(c.DeploymentId), c.PercentTraffic, c.StageVariableOverrides}
	}
	return out
}

func TestCanaryPatches(t *testing.T) {
	t.Parallel()
	live := map[string]string{"fn": "api:live", "only": "stage"}
	next := map[string]string{"fn": "api:next"}
	ten := &canary{"D2", 10, next}
	const (
		percent   = "/canarySettings/percentTraffic"
		overrides = "/canarySettings/stageVariableOverrides"
		id        = "/canarySettings/deploymentId"
	)
	copies := []types.PatchOperation{promote(id, "/deploymentId"), promote(overrides, "/variables")}
	tests := map[string]struct {
		canary     bool // whether the stage begins with D2 at 10 percent
		operations []types.PatchOperation
		message    string // of the 400; "" means success
		want       view
	}{
		"set the percentage":                          {true, []types.PatchOperation{patch("replace", percent, "25.0")}, "", view{"D1", live, &canary{"D2", 25, next}}},
		"add is rejected":                             {true, []types.PatchOperation{patch("add", id, "x")}, "Invalid add operation with path: /canarySettings/deploymentId", view{"D1", live, ten}},
		"bare replace makes a canary of the old code": {false, []types.PatchOperation{patch("replace", percent, "25.0")}, "", view{"D1", live, &canary{"D1", 25, nil}}},
		"override":                                    {true, []types.PatchOperation{patch("replace", overrides+"/fn", "api:other")}, "", view{"D1", live, &canary{"D2", 10, map[string]string{"fn": "api:other"}}}},
		"remove one override":                         {true, []types.PatchOperation{patch("remove", overrides+"/fn", "")}, "", view{"D1", live, &canary{"D2", 10, nil}}},
		"remove all overrides":                        {true, []types.PatchOperation{patch("remove", overrides, "")}, "Invalid remove operation with path: " + overrides, view{"D1", live, ten}},
		"unknown path":                                {true, []types.PatchOperation{patch("replace", "/canary/percentTraffic", "5.0")}, "Invalid replace operation with path: /canary/percentTraffic", view{"D1", live, ten}},
		"unknown canary path":                         {true, []types.PatchOperation{patch("replace", "/canarySettings/percent", "5.0")}, "Invalid replace operation", view{"D1", live, ten}},
		"percentage above 100":                        {true, []types.PatchOperation{patch("replace", percent, "100.1")}, "between 0.0 and 100.0", view{"D1", live, ten}},
		"percentage not number":                       {true, []types.PatchOperation{patch("replace", percent, "NaN")}, "between 0.0 and 100.0", view{"D1", live, ten}},
		"promote":                                     {true, append([]types.PatchOperation{patch("replace", percent, "0.0")}, copies...), "", view{"D2", map[string]string{"fn": "api:next", "only": "stage"}, &canary{"D2", 0, next}}},
		"promote nothing":                             {false, copies, "Promotion not available. Canary does not exist.", view{"D1", live, nil}},
		"promote what this list made":                 {false, append([]types.PatchOperation{patch("replace", percent, "0.0")}, copies...), "", view{"D1", live, &canary{"D1", 0, nil}}},
		"copy backwards":                              {true, []types.PatchOperation{promote("/variables", overrides)}, "Invalid copy operation", view{"D1", live, ten}},
		"remove the canary":                           {true, []types.PatchOperation{patch("remove", "/canarySettings", "")}, "", view{"D1", live, nil}},
		"remove no canary":                            {false, []types.PatchOperation{patch("remove", "/canarySettings", "")}, "the stage has no canary", view{"D1", live, nil}},
		"unknown deployment":                          {true, []types.PatchOperation{patch("replace", "/deploymentId", "nope12")}, "Deployment id does not exist", view{"D1", live, ten}},
		"unknown canary deployment":                   {true, []types.PatchOperation{patch("replace", id, "nope12")}, "Deployment id does not exist", view{"D1", live, ten}},
		"all or nothing":                              {true, []types.PatchOperation{patch("replace", percent, "50.0"), patch("replace", overrides+"/fn", "api:x"), patch("replace", "/variables/fn", "api:x"), patch("add", percent, "1.0")}, "Invalid add operation", view{"D1", live, ten}},
		"percentage and variable":                     {true, []types.PatchOperation{patch("replace", percent, "0.0"), patch("replace", "/variables/fn", "forward:live")}, "", view{"D1", map[string]string{"fn": "forward:live", "only": "stage"}, &canary{"D2", 0, next}}},
		"logging without role":                        {true, []types.PatchOperation{patch("replace", "/accessLogSettings/destinationArn", "arn:aws:logs:eu-west-1:000000000000:log-group:access")}, "CloudWatch Logs role ARN must be set in account settings", view{"D1", live, ten}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			api := w.api("")
			first, second := w.deploy(api), w.deploy(api)
			var settings *types.CanarySettings
			if tt.canary {
				settings = &types.CanarySettings{DeploymentId: &second, PercentTraffic: 10, StageVariableOverrides: next}
			}
			w.stage(api, first, settings)
			err := w.update(api, tt.operations...)
			if tt.message == "" && err != nil {
				t.Fatal(err)
			}
			if tt.message != "" && (codeOf(err) != "BadRequestException" || !strings.Contains(err.Error(), tt.message)) {
				t.Errorf("got %v, want 400 %q", err, tt.message)
			}
			if diff := cmp.Diff(tt.want, w.view(api, first, second)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeploymentsAndCanaryStages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.api("")
	prod := aws.String("prod")
	create := func(stage *string, canary *types.DeploymentCanarySettings) (string, error) {
		out, err := w.client.CreateDeployment(w.ctx, &sdk.CreateDeploymentInput{RestApiId: &api, StageName: stage, CanarySettings: canary, Variables: nil})
		if err != nil {
			return "", err
		}
		return *out.Id, nil
	}
	expect := func(what string, err error, message string) {
		t.Helper()
		if codeOf(err) != "BadRequestException" || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: got %v, want 400 %q", what, err, message)
		}
	}
	_, err := create(prod, &types.DeploymentCanarySettings{PercentTraffic: 10})
	expect("canary without a stage", err, "must already be created before making a canary release deployment")
	first := must[string](t)(create(prod, nil))
	second := must[string](t)(create(prod, &types.DeploymentCanarySettings{PercentTraffic: 10}))
	if diff := cmp.Diff(view{"D1", nil, &canary{"D2", 10, nil}}, w.view(api, first, second)); diff != "" {
		t.Error(diff)
	}
	_, err = create(prod, nil)
	expect("plain deployment to a canary stage", err, "Invalid deployment content specified.Non canary deployment not supported on stage prod because Canary is enabled")
	for _, id := range []string{first, second} {
		_, err := w.client.DeleteDeployment(w.ctx, &sdk.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &id})
		expect("delete a deployment in use", err, "Active stages pointing to this deployment must be moved or deleted")
	}
	if err := w.update(api, patch("remove", "/canarySettings", "")); err != nil {
		t.Fatal(err)
	}
	must[*sdk.DeleteDeploymentOutput](t)(w.client.DeleteDeployment(w.ctx, &sdk.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &second}))
	list := must[*sdk.GetDeploymentsOutput](t)(w.client.GetDeployments(w.ctx, &sdk.GetDeploymentsInput{RestApiId: &api}))
	if len(list.Items) != 1 || *list.Items[0].Id != first {
		t.Errorf("deployments left: %v", list.Items)
	}
}

func TestAccessLogsNeedTheAccountRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.api("")
	w.stage(api, w.deploy(api), nil)
	must[*sdk.UpdateAccountOutput](t)(w.client.UpdateAccount(w.ctx, &sdk.UpdateAccountInput{PatchOperations: []types.PatchOperation{patch("replace", "/cloudwatchRoleArn", role)}}))
	if got := must[*sdk.GetAccountOutput](t)(w.client.GetAccount(w.ctx, &sdk.GetAccountInput{})); aws.ToString(got.CloudwatchRoleArn) != role {
		t.Errorf("role %v", got.CloudwatchRoleArn)
	}
	if err := w.update(api, patch("replace", "/accessLogSettings/destinationArn", "arn:aws:logs:eu-west-1:000000000000:log-group:access:*"), patch("replace", "/accessLogSettings/format", "$context.requestId")); err != nil {
		t.Fatal(err)
	}
	got := w.getStage(api).AccessLogSettings
	if aws.ToString(got.DestinationArn) != "arn:aws:logs:eu-west-1:000000000000:log-group:access" {
		t.Errorf("destination %v", *got.DestinationArn)
	}
}
