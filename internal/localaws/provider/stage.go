package provider

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
)

var stageKinds = map[string]kind{
	"aws:apigateway/deployment:Deployment": entry[deployment]{spec[deployment]{args: sdk.DeploymentArgs{}, state: sdk.Deployment{}, create: func(ctx context.Context, s *session, p deployment) (string, error) {
		out, err := s.apigateway().CreateDeployment(ctx, &api.CreateDeploymentInput{RestApiId: aws.String(p.RestAPI), Description: optional(p.Description)})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Id), nil
	}, read: func(ctx context.Context, s *session, id string, p deployment) (*deployment, error) {
		out, err := s.apigateway().GetDeployment(ctx, &api.GetDeploymentInput{RestApiId: aws.String(p.RestAPI), DeploymentId: aws.String(id)})
		if err != nil {
			return nil, err
		}
		p.Description, p.CreatedDate = aws.ToString(out.Description), aws.ToTime(out.CreatedDate).UTC().Format(time.RFC3339)
		return &p, nil
	}, update: func(ctx context.Context, s *session, id string, _, now deployment) error {
		_, err := s.apigateway().UpdateDeployment(ctx, &api.UpdateDeploymentInput{RestApiId: aws.String(now.RestAPI), DeploymentId: aws.String(id), PatchOperations: []types.PatchOperation{replace("/description", now.Description)}})
		return err
	}, remove: func(ctx context.Context, s *session, id string, p deployment) error {
		_, err := s.apigateway().DeleteDeployment(ctx, &api.DeleteDeploymentInput{RestApiId: aws.String(p.RestAPI), DeploymentId: aws.String(id)})
		return err
	}}},
	"aws:apigateway/stage:Stage": entry[stage]{spec[stage]{args: sdk.StageArgs{}, state: sdk.Stage{}, identity: []string{"restApi", "stageName"}, create: createStage, read: readStage, update: updateStage,
		remove: func(ctx context.Context, s *session, _ string, p stage) error {
			_, err := s.apigateway().DeleteStage(ctx, &api.DeleteStageInput{RestApiId: aws.String(p.RestAPI), StageName: aws.String(p.StageName)})
			return err
		}}},
}

type deployment struct {
	RestAPI     string            `json:"restApi" aws:"replace" check:"required"`
	Description string            `json:"description"`
	Triggers    map[string]string `json:"triggers" aws:"replace"`
	CreatedDate string            `json:"createdDate" aws:"out"`
}

type stage struct {
	RestAPI            string            `json:"restApi" aws:"replace" check:"required"`
	StageName          string            `json:"stageName" aws:"replace"`
	Deployment         string            `json:"deployment" check:"required"`
	Description        string            `json:"description"`
	Variables          map[string]string `json:"variables"`
	AccessLogSettings  *accessLog        `json:"accessLogSettings"`
	CanarySettings     *canary           `json:"canarySettings"`
	XrayTracingEnabled bool              `json:"xrayTracingEnabled"`
	Tags               map[string]string `json:"tags"`
	Arn                string            `json:"arn" aws:"out"`
	ExecutionArn       string            `json:"executionArn" aws:"out"`
	InvokeURL          string            `json:"invokeUrl" aws:"out"`
}

type accessLog struct {
	DestinationArn string `json:"destinationArn"`
	Format         string `json:"format"`
}

type canary struct {
	DeploymentID           string            `json:"deploymentId"`
	PercentTraffic         float64           `json:"percentTraffic"`
	StageVariableOverrides map[string]string `json:"stageVariableOverrides,omitempty"`
	UseStageCache          bool              `json:"useStageCache"`
}

func createStage(ctx context.Context, s *session, p stage) (string, error) {
	in := &api.CreateStageInput{RestApiId: aws.String(p.RestAPI), StageName: aws.String(p.StageName), DeploymentId: aws.String(p.Deployment), Description: optional(p.Description),
		Variables: p.Variables, TracingEnabled: p.XrayTracingEnabled, Tags: p.Tags}
	if c := p.CanarySettings; c != nil {
		in.CanarySettings = &types.CanarySettings{DeploymentId: aws.String(c.DeploymentID), PercentTraffic: c.PercentTraffic, StageVariableOverrides: c.StageVariableOverrides, UseStageCache: c.UseStageCache}
	}
	if _, err := s.apigateway().CreateStage(ctx, in); err != nil {
		return "", err
	}
	id := "ags-" + p.RestAPI + "-" + p.StageName
	// CreateStage takes no access log.
	return id, patchStage(ctx, s, p, p.accessLogPatches(nil))
}

func (p stage) accessLogPatches(old *accessLog) []types.PatchOperation {
	now := p.AccessLogSettings
	switch {
	case cmp.Equal(old, now):
		return nil
	case now == nil:
		return []types.PatchOperation{remove("/accessLogSettings")}
	default:
		return []types.PatchOperation{replace("/accessLogSettings/destinationArn", strings.TrimSuffix(now.DestinationArn, ":*")), replace("/accessLogSettings/format", now.Format)}
	}
}

func patchStage(ctx context.Context, s *session, p stage, operations []types.PatchOperation) error {
	if len(operations) == 0 {
		return nil
	}
	_, err := s.apigateway().UpdateStage(ctx, &api.UpdateStageInput{RestApiId: aws.String(p.RestAPI), StageName: aws.String(p.StageName), PatchOperations: operations})
	return err
}

func readStage(ctx context.Context, s *session, _ string, p stage) (*stage, error) {
	out, err := s.apigateway().GetStage(ctx, &api.GetStageInput{RestApiId: aws.String(p.RestAPI), StageName: aws.String(p.StageName)})
	if err != nil {
		return nil, err
	}
	p.Deployment, p.Description, p.Variables, p.XrayTracingEnabled, p.Tags = aws.ToString(out.DeploymentId), aws.ToString(out.Description), out.Variables, out.TracingEnabled, out.Tags
	p.CanarySettings = nil
	if c := out.CanarySettings; c != nil {
		p.CanarySettings = &canary{DeploymentID: aws.ToString(c.DeploymentId), PercentTraffic: c.PercentTraffic, UseStageCache: c.UseStageCache}
		if len(c.StageVariableOverrides) > 0 {
			p.CanarySettings.StageVariableOverrides = c.StageVariableOverrides
		}
	}
	wanted := p.AccessLogSettings
	p.AccessLogSettings = nil
	if l := out.AccessLogSettings; l != nil && aws.ToString(l.DestinationArn) != "" {
		p.AccessLogSettings = &accessLog{aws.ToString(l.DestinationArn), aws.ToString(l.Format)}
		if wanted != nil && strings.TrimSuffix(wanted.DestinationArn, ":*") == p.AccessLogSettings.DestinationArn {
			p.AccessLogSettings.DestinationArn = wanted.DestinationArn
		}
	}
	account, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	p.Arn = fmt.Sprintf("arn:aws:apigateway:%s::/restapis/%s/stages/%s", s.region(), p.RestAPI, p.StageName)
	p.ExecutionArn = fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/%s", s.region(), account, p.RestAPI, p.StageName)
	p.InvokeURL = fmt.Sprintf("https://%s.execute-api.%s.amazonaws.com/%s", p.RestAPI, s.region(), p.StageName)
	return &p, nil
}

// updateStage patches only what changed, as the real provider does: what is
// ignored or equal in the program is not touched in AWS.
func updateStage(ctx context.Context, s *session, _ string, old, now stage) error {
	patches := now.accessLogPatches(old.AccessLogSettings)
	patches = append(patches, canaryPatches(old.CanarySettings, now.CanarySettings)...)
	if old.Deployment != now.Deployment {
		patches = append(patches, replace("/deploymentId", now.Deployment))
	}
	if old.Description != now.Description {
		patches = append(patches, replace("/description", now.Description))
	}
	if old.XrayTracingEnabled != now.XrayTracingEnabled {
		patches = append(patches, replace("/tracingEnabled", strconv.FormatBool(now.XrayTracingEnabled)))
	}
	patches = append(patches, mapPatches("/variables", old.Variables, now.Variables)...)
	if err := patchStage(ctx, s, now, patches); err != nil {
		return err
	}
	return s.apiTags(ctx, "/restapis/"+now.RestAPI+"/stages/"+now.StageName, old.Tags, now.Tags)
}

func canaryPatches(old, now *canary) []types.PatchOperation {
	if now == nil {
		if old == nil {
			return nil
		}
		return []types.PatchOperation{remove("/canarySettings")}
	}
	var patches []types.PatchOperation
	if old == nil {
		old = &canary{PercentTraffic: -1} // unlike any
	}
	if old.PercentTraffic != now.PercentTraffic {
		patches = append(patches, replace("/canarySettings/percentTraffic", strconv.FormatFloat(now.PercentTraffic, 'f', -1, 64)))
	}
	if old.DeploymentID != now.DeploymentID {
		patches = append(patches, replace("/canarySettings/deploymentId", now.DeploymentID))
	}
	if old.UseStageCache != now.UseStageCache {
		patches = append(patches, replace("/canarySettings/useStageCache", strconv.FormatBool(now.UseStageCache)))
	}
	return append(patches, mapPatches("/canarySettings/stageVariableOverrides", old.StageVariableOverrides, now.StageVariableOverrides)...)
}
