package awsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// StageSettings are those of a stage that a migration depends on.
type StageSettings struct {
	Deployment string
	Fn         string // the stage variable
	HasCanary  bool
	Percent    float64
	// CanaryFn is fn as the canary overrides it, "" where it does not.
	CanaryFn         string
	CanaryDeployment string
	AccessLog        string // the log group's name, "" where there is none
	AccessFormat     string
}

// StageSettings reads a stage.
func (c *Clients) StageSettings(ctx context.Context, region, api, stage string) (StageSettings, error) {
	out, err := c.APIGateway(region).GetStage(ctx, &apigateway.GetStageInput{RestApiId: &api, StageName: &stage})
	if err != nil {
		return StageSettings{}, trouble("read stage "+stage+" of "+api+" in "+region, err)
	}
	found := StageSettings{Deployment: aws.ToString(out.DeploymentId), Fn: out.Variables["fn"]}
	if canary := out.CanarySettings; canary != nil {
		found.HasCanary, found.Percent = true, canary.PercentTraffic
		found.CanaryFn, found.CanaryDeployment = canary.StageVariableOverrides["fn"], aws.ToString(canary.DeploymentId)
	}
	if logs := out.AccessLogSettings; logs != nil {
		_, group, _ := strings.Cut(aws.ToString(logs.DestinationArn), ":log-group:")
		found.AccessLog, found.AccessFormat = strings.TrimSuffix(group, ":*"), aws.ToString(logs.Format)
	}
	return found, nil
}

// LogRetention is how many days a log group keeps its events, 0 for ever;
// found is false where there is no such group.
func (c *Clients) LogRetention(ctx context.Context, region, group string) (days int, found bool, err error) {
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(c.Logs(region), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &group})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return 0, false, trouble("read log group "+group+" in "+region, err)
		}
		for _, one := range page.LogGroups {
			if aws.ToString(one.LogGroupName) == group {
				return int(aws.ToInt32(one.RetentionInDays)), true, nil
			}
		}
	}
	return 0, false, nil
}

// AliasState is an alias and the version it leads to.
type AliasState struct {
	Version string
	Routed  bool   // some requests go to another version
	State   string // Active | Pending | Inactive | Failed
	Update  string // Successful | InProgress | Failed
	Reason  string // of a state that is not well
	Label   string // what the version answers with in X-Tapctl-Version
}

// AliasState reads an alias and the version behind it.
func (c *Clients) AliasState(ctx context.Context, region, function, alias string) (AliasState, error) {
	name := fmt.Sprintf("%s:%s in %s", function, alias, region)
	out, err := c.Lambda(region).GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &function, Name: &alias})
	if err != nil {
		return AliasState{}, trouble("read alias "+name, err)
	}
	found := AliasState{Version: aws.ToString(out.FunctionVersion), Routed: out.RoutingConfig != nil && len(out.RoutingConfig.AdditionalVersionWeights) > 0}
	version, err := c.Lambda(region).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function, Qualifier: &found.Version})
	if err != nil {
		return found, trouble("read version "+found.Version+" behind "+name, err)
	}
	found.State, found.Update = string(version.State), string(version.LastUpdateStatus)
	found.Reason = strings.TrimSpace(aws.ToString(version.StateReason) + " " + aws.ToString(version.LastUpdateStatusReason))
	if version.Environment != nil {
		found.Label = version.Environment.Variables["TAPCTL_VERSION"]
	}
	return found, nil
}

// FunctionHas tells whether the function has a version of this number.
func (c *Clients) FunctionHas(ctx context.Context, region, function, version string) (bool, error) {
	_, err := c.Lambda(region).GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function, Qualifier: &version})
	if code(err) == "ResourceNotFoundException" {
		return false, nil
	}
	return err == nil, trouble(fmt.Sprintf("read version %s of %s in %s", version, function, region), err)
}

// Invokable tells whether the policy of exactly this qualifier lets the stage
// invoke the function: a permission on the function does not reach its aliases.
// https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
func (c *Clients) Invokable(ctx context.Context, region, function, qualifier, api, stage string) (bool, error) {
	out, err := c.Lambda(region).GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &function, Qualifier: &qualifier})
	if code(err) == "ResourceNotFoundException" {
		return false, nil
	}
	if err != nil {
		return false, trouble(fmt.Sprintf("read the policy of %s:%s in %s", function, qualifier, region), err)
	}
	return stageMayInvoke(aws.ToString(out.Policy), api, stage)
}

func stageMayInvoke(policy, api, stage string) (bool, error) {
	var document struct {
		Statement []struct {
			Effect    string
			Action    string
			Principal json.RawMessage
			Condition struct {
				ArnLike map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		return false, fmt.Errorf("read the function's policy: %w", err)
	}
	for _, s := range document.Statement {
		var principal struct{ Service string }
		if json.Unmarshal(s.Principal, &principal) != nil {
			continue // "*": nothing that deploy makes
		}
		for _, arn := range s.Condition.ArnLike {
			// arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH
			if s.Effect == "Allow" && s.Action == "lambda:InvokeFunction" && principal.Service == "apigateway.amazonaws.com" &&
				strings.HasSuffix(arn, ":"+api+"/"+stage+"/*/*") {
				return true, nil
			}
		}
	}
	return false, nil
}

// Capacity is how many requests at a time a region's function can take.
type Capacity struct {
	Limit    int  // of the account in this region
	Free     int  // of it, what no function has reserved
	Reserved *int // for this function alone; nil: it shares Free
	Peak     int  // the most at a time that the function had in the window
}

// Capacity reads the account's limit, the function's own and its peak since.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
func (c *Clients) Capacity(ctx context.Context, region, function string, since, now time.Time) (Capacity, error) {
	settings, err := c.Lambda(region).GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return Capacity{}, trouble("read Lambda's limits in "+region, err)
	}
	found := Capacity{}
	if limit := settings.AccountLimit; limit != nil {
		found.Limit, found.Free = int(limit.ConcurrentExecutions), int(aws.ToInt32(limit.UnreservedConcurrentExecutions))
	}
	own, err := c.Lambda(region).GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &function})
	if err != nil {
		return found, trouble("read the concurrency of "+function+" in "+region, err)
	}
	if own.ReservedConcurrentExecutions != nil {
		reserved := int(*own.ReservedConcurrentExecutions)
		found.Reserved = &reserved
	}
	peaks, err := c.series(ctx, region, AlarmDefinition{
		Namespace: "AWS/Lambda", Metric: "ConcurrentExecutions", Statistic: "Maximum", Dimensions: map[string]string{"FunctionName": function},
	}, since, now)
	if err != nil {
		return found, trouble("read the peak of "+function+" in "+region, err)
	}
	for _, peak := range peaks {
		found.Peak = max(found.Peak, int(peak))
	}
	return found, nil
}
