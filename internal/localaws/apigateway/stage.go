package apigateway

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// frozen is what a deployment holds; it is never written again.
type frozen struct {
	apiID            string
	routes           []route
	policy           *accessPolicy
	binaryMediaTypes []string
}

type route struct {
	resourceID   string
	path         string
	integrations map[string]integration
}

type deployment struct {
	ID          string     `json:"id"`
	Description string     `json:"description,omitempty"`
	CreatedDate wire.Epoch `json:"createdDate"`
	content     *frozen
}

// stageSettings is a stage as the API shows it. Maps in it are replaced,
// never written, so that a copy of the struct is a snapshot.
type stageSettings struct {
	StageName           string             `json:"stageName"`
	DeploymentID        string             `json:"deploymentId"`
	Description         string             `json:"description,omitempty"`
	Variables           map[string]string  `json:"variables,omitempty"`
	CanarySettings      *canarySettings    `json:"canarySettings,omitempty"`
	AccessLogSettings   *accessLogSettings `json:"accessLogSettings,omitempty"`
	CacheClusterEnabled bool               `json:"cacheClusterEnabled"`
	CacheClusterStatus  string             `json:"cacheClusterStatus"`
	MethodSettings      map[string]any     `json:"methodSettings"`
	TracingEnabled      bool               `json:"tracingEnabled"`
	CreatedDate         wire.Epoch         `json:"createdDate"`
	LastUpdatedDate     wire.Epoch         `json:"lastUpdatedDate"`
}

type canarySettings struct {
	DeploymentID           string            `json:"deploymentId,omitempty"`
	PercentTraffic         float64           `json:"percentTraffic"`
	StageVariableOverrides map[string]string `json:"stageVariableOverrides,omitempty"`
	UseStageCache          bool              `json:"useStageCache"`
}

type accessLogSettings struct {
	DestinationARN string `json:"destinationArn,omitempty"`
	Format         string `json:"format,omitempty"`
}

// stage is the settings of the API and, behind them by the delay of an
// update, what the front door serves.
type stage struct {
	settings stageSettings
	serving  []servedStage
}

type servedStage struct {
	at       time.Time
	settings stageSettings
	base     *frozen
	canary   *frozen
}

// publish puts the settings in force at the front door from at on.
func (a *restAPI) publish(st *stage, at time.Time) {
	served := servedStage{at: at, settings: st.settings, base: a.deployments[st.settings.DeploymentID].content}
	if canary := st.settings.CanarySettings; canary != nil {
		served.canary = a.deployments[canary.DeploymentID].content
	}
	if n := len(st.serving); n > 0 && at.Before(st.serving[n-1].at) {
		served.at = st.serving[n-1].at
	}
	st.serving = append(st.serving, served)
}

// served returns what the front door serves now.
func (st *stage) served(now time.Time) servedStage {
	for len(st.serving) > 1 && !st.serving[1].at.After(now) {
		st.serving = st.serving[1:]
	}
	return st.serving[0]
}

func (a *restAPI) stage(name string) (*stage, error) {
	st, ok := a.stages[name]
	if !ok {
		return nil, notFound("Invalid stage identifier specified")
	}
	return st, nil
}

func (a *restAPI) hasDeployment(id string) error {
	if _, ok := a.deployments[id]; !ok {
		return badRequest("Deployment id does not exist")
	}
	return nil
}

// createDeployment freezes the API and points a stage, or its canary, at it.
func (s *Service) createDeployment(now time.Time, api *restAPI, in deploymentRequest) (*deployment, error) {
	const invalid = "Invalid deployment content specified."
	content, err := api.snapshot()
	if err != nil {
		return nil, err
	}
	st := api.stages[in.StageName]
	switch {
	case in.CanarySettings != nil && in.StageName == "":
		return nil, badRequest(invalid + "Non null and non empty stageName must be provided for canary deployment. Provided value is null")
	case in.CanarySettings != nil && st == nil:
		return nil, badRequest(invalid+"Stage %s must already be created before making a canary release deployment", in.StageName)
	case in.CanarySettings == nil && st != nil && st.settings.CanarySettings != nil:
		return nil, badRequest(invalid+"Non canary deployment not supported on stage %s because Canary is enabled", in.StageName)
	case in.CanarySettings != nil && (in.CanarySettings.PercentTraffic < 0 || in.CanarySettings.PercentTraffic > 100):
		return nil, badRequest("Percent traffic must be between 0.0 and 100.0")
	}
	d := &deployment{ID: s.newID(6), Description: in.Description, CreatedDate: wire.Epoch(now), content: content}
	if in.StageName == "" {
		api.deployments[d.ID] = d
		return d, nil
	}
	if st == nil {
		if err := checkStage(in.StageName, in.Variables); err != nil {
			return nil, err
		}
		api.deployments[d.ID] = d
		st = &stage{settings: newStage(now, in.StageName, d.ID)}
		st.settings.Description, st.settings.Variables = in.StageDescription, in.Variables
		api.stages[in.StageName] = st
		api.publish(st, now)
		return d, nil
	}
	if err := checkStage(in.StageName, in.Variables); err != nil {
		return nil, err
	}
	api.deployments[d.ID] = d
	if canary := in.CanarySettings; canary != nil {
		canary.DeploymentID = d.ID
		st.settings.CanarySettings = canary
	} else {
		st.settings.DeploymentID = d.ID
		if in.Variables != nil {
			st.settings.Variables = in.Variables
		}
	}
	st.settings.LastUpdatedDate = wire.Epoch(now)
	api.publish(st, now.Add(s.options.StageUpdateDelay))
	return d, nil
}

func (a *restAPI) deleteDeployment(id string) error {
	if _, ok := a.deployments[id]; !ok {
		return notFound("Invalid Deployment identifier specified")
	}
	for _, st := range a.stages {
		canary := st.settings.CanarySettings
		if st.settings.DeploymentID == id || (canary != nil && canary.DeploymentID == id) {
			return badRequest("Active stages pointing to this deployment must be moved or deleted")
		}
	}
	delete(a.deployments, id)
	return nil
}

func newStage(now time.Time, name, deploymentID string) stageSettings {
	return stageSettings{
		StageName: name, DeploymentID: deploymentID, CacheClusterStatus: "NOT_AVAILABLE",
		MethodSettings: map[string]any{}, CreatedDate: wire.Epoch(now), LastUpdatedDate: wire.Epoch(now),
	}
}

var (
	stageName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	variableName  = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	variableValue = regexp.MustCompile(`^[A-Za-z0-9._~:/?#&=,-]+$`)
)

func checkStage(name string, variables map[string]string) error {
	if !stageName.MatchString(name) {
		return badRequest("Stage name only allows a-zA-Z0-9_-")
	}
	for _, key := range slices.Sorted(maps.Keys(variables)) {
		if err := checkVariable(key, variables[key]); err != nil {
			return err
		}
	}
	return nil
}

func checkVariable(name, value string) error {
	if !variableName.MatchString(name) {
		return badRequest("Stage variable name %s is invalid. Please use values with alphanumeric characters and the symbol ' ', -', '.', '_', ':', '/', '?', '&', '=', and ','.", name)
	}
	if !variableValue.MatchString(value) {
		return badRequest("Stage variable value %s is invalid. Please use values with alphanumeric characters and the symbol ' ', -', '.', '_', ':', '/', '?', '&', '=', and ','.", value)
	}
	return nil
}

func (s *Service) createStage(now time.Time, api *restAPI, in stageRequest) (*stage, error) {
	if err := checkStage(in.StageName, in.Variables); err != nil {
		return nil, err
	}
	if _, exists := api.stages[in.StageName]; exists {
		return nil, conflict("Stage already exists")
	}
	if err := api.hasDeployment(in.DeploymentID); err != nil {
		return nil, err
	}
	st := &stage{settings: newStage(now, in.StageName, in.DeploymentID)}
	st.settings.Description, st.settings.Variables, st.settings.TracingEnabled = in.Description, in.Variables, in.TracingEnabled
	if canary := in.CanarySettings; canary != nil {
		if canary.DeploymentID == "" {
			canary.DeploymentID = in.DeploymentID
		}
		if err := api.hasDeployment(canary.DeploymentID); err != nil {
			return nil, err
		}
		if err := checkStage(in.StageName, canary.StageVariableOverrides); err != nil {
			return nil, err
		}
		if canary.PercentTraffic < 0 || canary.PercentTraffic > 100 {
			return nil, badRequest("Percent traffic must be between 0.0 and 100.0")
		}
		st.settings.CanarySettings = canary
	}
	api.stages[in.StageName] = st
	api.publish(st, now)
	return st, nil
}

// updateStage applies a patch list, all or none.
func (s *Service) updateStage(now time.Time, r *regional, api *restAPI, st *stage, operations []patchOperation) error {
	p := stagePatch{service: s, region: r, api: api, settings: st.settings}
	p.settings.Variables = maps.Clone(p.settings.Variables)
	if p.settings.CanarySettings != nil {
		canary := *p.settings.CanarySettings
		canary.StageVariableOverrides = maps.Clone(canary.StageVariableOverrides)
		p.settings.CanarySettings = &canary
	}
	if p.settings.AccessLogSettings != nil {
		logs := *p.settings.AccessLogSettings
		p.settings.AccessLogSettings = &logs
	}
	for _, op := range operations {
		if err := p.apply(op); err != nil {
			return err
		}
	}
	p.settings.LastUpdatedDate = wire.Epoch(now)
	st.settings = p.settings
	api.publish(st, now.Add(s.options.StageUpdateDelay))
	return nil
}

// stagePatch is a stage while its patch list is applied.
type stagePatch struct {
	service  *Service
	region   *regional
	api      *restAPI
	settings stageSettings
}

func (p *stagePatch) apply(op patchOperation) error {
	switch {
	case op.Op == "copy":
		return p.copy(op)
	case op.Op != "replace" && op.Op != "remove":
		return op.invalid()
	case strings.HasPrefix(op.Path, "/canarySettings"):
		return p.applyCanary(op)
	case strings.HasPrefix(op.Path, "/accessLogSettings"):
		return p.applyAccessLog(op)
	case strings.HasPrefix(op.Path, "/variables/"):
		name := strings.TrimPrefix(op.Path, "/variables/")
		variables, err := applyVariable(p.settings.Variables, name, op)
		p.settings.Variables = variables
		return err
	case op.Op == "remove":
		return op.invalid()
	}
	var err error
	switch op.Path {
	case "/deploymentId":
		err = p.api.hasDeployment(op.Value)
		p.settings.DeploymentID = op.Value
	case "/description":
		p.settings.Description = op.Value
	case "/tracingEnabled":
		p.settings.TracingEnabled, err = op.flag()
	case "/cacheClusterEnabled":
		var enabled bool
		if enabled, err = op.flag(); err == nil && enabled {
			err = p.service.refuse(p.region.name, "stage cache")
		}
	default:
		err = op.invalid()
	}
	return err
}

func applyVariable(variables map[string]string, name string, op patchOperation) (map[string]string, error) {
	if op.Op == "remove" {
		if _, ok := variables[name]; !ok {
			return variables, badRequest("Cannot remove stage variable %s because it does not exist", name)
		}
		delete(variables, name)
		return variables, nil
	}
	if err := checkVariable(name, op.Value); err != nil {
		return variables, err
	}
	if variables == nil {
		variables = map[string]string{}
	}
	variables[name] = op.Value
	return variables, nil
}

// copy promotes the canary. AWS copies in this direction only, and merges the
// variables: those that only the stage has survive.
func (p *stagePatch) copy(op patchOperation) error {
	canary := p.settings.CanarySettings
	switch {
	case op.From == "/canarySettings/deploymentId" && op.Path == "/deploymentId":
	case op.From == "/canarySettings/stageVariableOverrides" && op.Path == "/variables":
	default:
		return badRequest("Invalid copy operation with path: %s and from: %s", op.Path, op.From)
	}
	if canary == nil {
		return badRequest("Promotion not available. Canary does not exist.")
	}
	if op.Path == "/deploymentId" {
		p.settings.DeploymentID = canary.DeploymentID
		return nil
	}
	if len(canary.StageVariableOverrides) > 0 && p.settings.Variables == nil {
		p.settings.Variables = map[string]string{}
	}
	maps.Copy(p.settings.Variables, canary.StageVariableOverrides)
	return nil
}

// applyCanary keeps AWS's quirk: a replace where there is no canary makes one
// that runs the stage's own deployment, and so looks healthy.
func (p *stagePatch) applyCanary(op patchOperation) error {
	if op.Op == "remove" && op.Path == "/canarySettings" {
		if p.settings.CanarySettings == nil && !p.service.options.RemoveMissingCanary {
			return badRequest("Cannot remove canarySettings because the stage has no canary")
		}
		p.settings.CanarySettings = nil
		return nil
	}
	const overrides = "/canarySettings/stageVariableOverrides/"
	name, isOverride := strings.CutPrefix(op.Path, overrides)
	isOverride = isOverride && name != ""
	if op.Op == "remove" && (!isOverride || p.settings.CanarySettings == nil) {
		return op.invalid()
	}
	canary := p.settings.CanarySettings
	if canary == nil {
		canary = &canarySettings{DeploymentID: p.settings.DeploymentID}
	}
	var err error
	switch {
	case isOverride:
		canary.StageVariableOverrides, err = applyVariable(canary.StageVariableOverrides, name, op)
	case op.Path == "/canarySettings/percentTraffic":
		canary.PercentTraffic, err = strconv.ParseFloat(op.Value, 64)
		if err != nil || !(canary.PercentTraffic >= 0 && canary.PercentTraffic <= 100) {
			err = badRequest("Percent traffic must be between 0.0 and 100.0")
		}
	case op.Path == "/canarySettings/deploymentId":
		err = p.api.hasDeployment(op.Value)
		canary.DeploymentID = op.Value
	case op.Path == "/canarySettings/useStageCache":
		canary.UseStageCache, err = op.flag()
	default:
		err = op.invalid()
	}
	p.settings.CanarySettings = canary
	return err
}

func (p *stagePatch) applyAccessLog(op patchOperation) error {
	if op.Op == "remove" {
		if op.Path != "/accessLogSettings" {
			return op.invalid()
		}
		p.settings.AccessLogSettings = nil
		return nil
	}
	if p.region.cloudwatchRole == "" {
		return badRequest("CloudWatch Logs role ARN must be set in account settings to enable logging")
	}
	logs := p.settings.AccessLogSettings
	if logs == nil {
		logs = &accessLogSettings{}
	}
	switch op.Path {
	case "/accessLogSettings/destinationArn":
		if _, ok := logGroup(op.Value); !ok {
			return p.service.refuse(p.region.name, "access log destination "+op.Value)
		}
		logs.DestinationARN = strings.TrimSuffix(op.Value, ":*")
	case "/accessLogSettings/format":
		if !strings.Contains(op.Value, "$context.requestId") && !strings.Contains(op.Value, "$context.extendedRequestId") {
			return badRequest("Access Log format must contain at least $context.requestId or $context.extendedRequestId")
		}
		logs.Format = op.Value
	default:
		return op.invalid()
	}
	p.settings.AccessLogSettings = logs
	return nil
}

// logGroup is the group's name in a log group's ARN.
func logGroup(arn string) (string, bool) {
	parts := strings.SplitN(arn, ":", 7)
	if len(parts) != 7 || parts[2] != "logs" || parts[5] != "log-group" {
		return "", false
	}
	return strings.TrimSuffix(parts[6], ":*"), true
}
