package cli_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/tapctl/tapctl/internal/topology"
)

const (
	application = "Shop-demo-api"
	forwarder   = "Shop-demo-forward"
)

// patch changes the stage of the region.
func (w *accountOf) patch(region string, operations ...apitypes.PatchOperation) {
	cell := w.cell(region)
	must[*apigateway.UpdateStageOutput](w.ts)(w.gateway(region).UpdateStage(w.ctx, &apigateway.UpdateStageInput{
		RestApiId: &cell.RestAPI, StageName: &cell.Stage, PatchOperations: operations,
	}))
}

func set(path, value string) apitypes.PatchOperation {
	return apitypes.PatchOperation{Op: apitypes.OpReplace, Path: &path, Value: &value}
}

func removed(path string) apitypes.PatchOperation {
	return apitypes.PatchOperation{Op: apitypes.OpRemove, Path: &path}
}

// turned sets a value of the stage and puts it back.
func turned(region, path, value, back string) func(w *accountOf) func() {
	return func(w *accountOf) func() {
		w.patch(region, set(path, value))
		return func() { w.patch(region, set(path, back)) }
	}
}

// unlogged takes the stage's access log away.
func unlogged(region string) func(w *accountOf) func() {
	return func(w *accountOf) func() {
		cell := w.cell(region)
		before := must[*apigateway.GetStageOutput](w.ts)(w.gateway(region).GetStage(w.ctx, &apigateway.GetStageInput{RestApiId: &cell.RestAPI, StageName: &cell.Stage})).AccessLogSettings
		w.patch(region, removed("/accessLogSettings"))
		return func() {
			w.patch(region, set("/accessLogSettings/destinationArn", aws.ToString(before.DestinationArn)), set("/accessLogSettings/format", aws.ToString(before.Format)))
		}
	}
}

// greensAlarms may fire while green's stage answers 500.
var greensAlarms = []string{"alarms/Shop-demo-api-5xx in eu-central-1", "alarms/Shop-demo-api-5xx-rate in eu-central-1", "health checks/healthy green"}

func cellHarms(w *accountOf) []harm {
	all := []harm{
		{name: "blue's base side", fails: []string{"api gateway/base side in eu-west-1"}, do: turned(blueRegion, "/variables/fn", application+":next", application+":live")},
		{name: "green's base side", fails: []string{"api gateway/base side in eu-central-1"},
			may: []string{"alarms/Shop-demo-api-live-duration in eu-central-1", "alarms/Shop-demo-api-live-errors in eu-central-1"},
			do:  turned(greenRegion, "/variables/fn", application+":live", forwarder+":live")},
		{name: "a canary in blue", fails: []string{"api gateway/canary in eu-west-1"}, do: func(w *accountOf) func() {
			w.patch(blueRegion, set("/canarySettings/percentTraffic", "1"))
			return func() { w.patch(blueRegion, removed("/canarySettings")) }
		}},
		{name: "the canary by hand", fails: []string{"api gateway/canary in eu-central-1"}, do: turned(greenRegion, "/canarySettings/percentTraffic", "20", "10")},
		{name: "the candidate", fails: []string{"api gateway/candidate in eu-central-1"},
			do: turned(greenRegion, "/canarySettings/stageVariableOverrides/fn", application+":live", application+":next")},
		{name: "the log and the preview", full: true,
			fails: []string{"api gateway/access log in eu-central-1", "infrastructure/preview touches no record and no stage"}, do: unlogged(greenRegion)},
	}
	for _, region := range []string{blueRegion, greenRegion} {
		stage := []string{"api gateway/stage in " + region, "lambda/stage may invoke " + application + ":live in " + region, "lambda/stage may invoke " + application + ":next in " + region}
		if region == greenRegion {
			stage = append(stage, "lambda/stage may invoke "+forwarder+":live in "+region)
		}
		all = append(all,
			harm{name: "the stage in " + region, fails: stage, do: func(w *accountOf) func() {
				return w.retold(func(t *topology.Topology) {
					if region == blueRegion {
						t.Source.RestAPI = "absent"
					} else {
						t.Target.RestAPI = "absent"
					}
				})
			}},
			harm{name: "the log in " + region, fails: []string{"api gateway/access log in " + region}, do: unlogged(region)},
			harm{name: "retention in " + region, fails: []string{"api gateway/log groups in " + region}, do: func(w *accountOf) func() {
				group := topology.CanaryLog(w.cell(region).AccessLog)
				must[*cloudwatchlogs.DeleteRetentionPolicyOutput](w.ts)(w.logs(region).DeleteRetentionPolicy(w.ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: &group}))
				return func() {
					must[*cloudwatchlogs.PutRetentionPolicyOutput](w.ts)(w.logs(region).PutRetentionPolicy(w.ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: &group, RetentionInDays: aws.Int32(30)}))
				}
			}})
	}
	return all
}

// routed sends some of an alias's requests to another version.
func routed(region, function, alias string) func(w *accountOf) func() {
	return func(w *accountOf) func() {
		client := w.lambda(region)
		before := must[*lambda.GetFunctionConfigurationOutput](w.ts)(client.GetFunctionConfiguration(w.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function}))
		must[*lambda.UpdateFunctionConfigurationOutput](w.ts)(client.UpdateFunctionConfiguration(w.ctx, &lambda.UpdateFunctionConfigurationInput{
			FunctionName: &function, Timeout: aws.Int32(aws.ToInt32(before.Timeout) + 1),
		}))
		w.settled(region, function)
		second := must[*lambda.PublishVersionOutput](w.ts)(client.PublishVersion(w.ctx, &lambda.PublishVersionInput{FunctionName: &function}))
		route := func(weights map[string]float64) {
			must[*lambda.UpdateAliasOutput](w.ts)(client.UpdateAlias(w.ctx, &lambda.UpdateAliasInput{
				FunctionName: &function, Name: &alias, RoutingConfig: &lambdatypes.AliasRoutingConfiguration{AdditionalVersionWeights: weights},
			}))
		}
		route(map[string]float64{aws.ToString(second.Version): 0.01})
		return func() { route(map[string]float64{}) }
	}
}

// settled waits until the function's update is over.
func (w *accountOf) settled(region, function string) {
	w.ts.Check(lambda.NewFunctionUpdatedV2Waiter(w.lambda(region), func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 1, 1
	}).Wait(w.ctx, &lambda.GetFunctionInput{FunctionName: &function}, patience))
}

// unpermitted takes the stage's right to invoke an alias away.
func unpermitted(region, function, alias string) func(w *accountOf) func() {
	return func(w *accountOf) func() {
		client, id := w.lambda(region), aws.String("stage-prod")
		must[*lambda.RemovePermissionOutput](w.ts)(client.RemovePermission(w.ctx, &lambda.RemovePermissionInput{FunctionName: &function, Qualifier: &alias, StatementId: id}))
		return func() {
			cell := w.cell(region)
			must[*lambda.AddPermissionOutput](w.ts)(client.AddPermission(w.ctx, &lambda.AddPermissionInput{
				FunctionName: &function, Qualifier: &alias, StatementId: id, Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
				SourceArn: aws.String(fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/%s/*/*", region, w.top.Account, cell.RestAPI, cell.Stage)),
			}))
		}
	}
}

// unlabelled makes blue's live version one that does not say what it is.
func unlabelled(w *accountOf) func() {
	client, function, live := w.lambda(blueRegion), application, "live"
	before := must[*lambda.GetFunctionConfigurationOutput](w.ts)(client.GetFunctionConfiguration(w.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function}))
	without := map[string]string{}
	for name, value := range before.Environment.Variables {
		if name != "TAPCTL_VERSION" {
			without[name] = value
		}
	}
	configure := func(variables map[string]string) {
		must[*lambda.UpdateFunctionConfigurationOutput](w.ts)(client.UpdateFunctionConfiguration(w.ctx, &lambda.UpdateFunctionConfigurationInput{
			FunctionName: &function, Environment: &lambdatypes.Environment{Variables: variables},
		}))
		w.settled(blueRegion, function)
	}
	lead := func(version *string) {
		must[*lambda.UpdateAliasOutput](w.ts)(client.UpdateAlias(w.ctx, &lambda.UpdateAliasInput{FunctionName: &function, Name: &live, FunctionVersion: version}))
	}
	configure(without)
	lead(must[*lambda.PublishVersionOutput](w.ts)(client.PublishVersion(w.ctx, &lambda.PublishVersionInput{FunctionName: &function})).Version)
	return func() {
		lead(aws.String("1"))
		configure(before.Environment.Variables)
	}
}

func functionHarms() []harm {
	all := []harm{{name: "blue's label", fails: []string{"data path/version in eu-west-1", "data path/version in eu-central-1"}, do: unlabelled}}
	for _, region := range []string{blueRegion, greenRegion} {
		side := map[string]string{blueRegion: "blue", greenRegion: "green"}[region]
		for _, alias := range [][2]string{{application, "live"}, {application, "next"}, {forwarder, "live"}} {
			if alias[0] == forwarder && region == blueRegion {
				continue
			}
			name := fmt.Sprintf("%s:%s in %s", alias[0], alias[1], region)
			unasked := harm{name: "the right to invoke " + name, fails: []string{"lambda/stage may invoke " + name}, do: unpermitted(region, alias[0], alias[1])}
			serves := "data path/GET /healthz in " + region
			switch {
			case region == blueRegion && alias[1] == "live", alias[0] == forwarder:
				unasked.fails, unasked.may = append(unasked.fails, serves), append([]string{"health checks/healthy " + side}, greensAlarms...)
			case region == greenRegion && alias[1] == "next":
				unasked.may = append([]string{serves}, greensAlarms...)
			}
			all = append(all, unasked, harm{name: "the alias " + name, fails: []string{"lambda/" + name}, do: routed(region, alias[0], alias[1])})
		}
		all = append(all, harm{
			// Both regions had two at a time, at least.
			name: "the room in " + region, fails: []string{"lambda/concurrency in " + region},
			may: append([]string{"data path/GET /healthz in eu-west-1", "data path/GET /healthz in eu-central-1", "health checks/healthy " + side}, greensAlarms...),
			do: func(w *accountOf) func() {
				name := application
				must[*lambda.PutFunctionConcurrencyOutput](w.ts)(w.lambda(region).PutFunctionConcurrency(w.ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: aws.Int32(1)}))
				return func() {
					must[*lambda.DeleteFunctionConcurrencyOutput](w.ts)(w.lambda(region).DeleteFunctionConcurrency(w.ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: &name}))
				}
			},
		})
	}
	return all
}
