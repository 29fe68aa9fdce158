package apigateway

import (
	"net/http"
)

func (s *Service) stageRoutes() map[string]operation {
	const (
		deployments = "/restapis/{api}/deployments"
		stages      = "/restapis/{api}/stages"
	)
	return map[string]operation{
		"POST " + deployments:             s.serveCreateDeployment,
		"GET " + deployments:              s.serveGetDeployments,
		"GET " + deployments + "/{id}":    s.serveGetDeployment,
		"PATCH " + deployments + "/{id}":  s.serveUpdateDeployment,
		"DELETE " + deployments + "/{id}": s.serveDeleteDeployment,
		"POST " + stages:                  s.serveCreateStage,
		"GET " + stages:                   s.serveGetStages,
		"GET " + stages + "/{stage}":      s.serveGetStage,
		"PATCH " + stages + "/{stage}":    s.serveUpdateStage,
		"DELETE " + stages + "/{stage}":   s.serveDeleteStage,
		"GET /account":                    s.serveGetAccount,
		"PATCH /account":                  s.serveUpdateAccount,
	}
}

type deploymentRequest struct {
	StageName           string            `json:"stageName"`
	StageDescription    string            `json:"stageDescription"`
	Description         string            `json:"description"`
	Variables           map[string]string `json:"variables"`
	CanarySettings      *canarySettings   `json:"canarySettings"`
	CacheClusterEnabled bool              `json:"cacheClusterEnabled"`
	TracingEnabled      bool              `json:"tracingEnabled"`
}

type stageRequest struct {
	StageName           string            `json:"stageName"`
	DeploymentID        string            `json:"deploymentId"`
	Description         string            `json:"description"`
	Variables           map[string]string `json:"variables"`
	CanarySettings      *canarySettings   `json:"canarySettings"`
	CacheClusterEnabled bool              `json:"cacheClusterEnabled"`
	TracingEnabled      bool              `json:"tracingEnabled"`
	Tags                map[string]string `json:"tags"`
}

func (s *Service) serveCreateDeployment(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	var in deploymentRequest
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.CacheClusterEnabled {
		return 0, nil, s.refuse(r.region.name, "stage cache")
	}
	d, err := s.createDeployment(r.call.Now, api, in)
	return http.StatusCreated, d, err
}

func (s *Service) serveGetDeployments(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	return pageOf(r, sorted(api.deployments), func(d *deployment) any { return d })
}

func (r *request) deployment() (*deployment, error) {
	api, err := r.api()
	if err != nil {
		return nil, err
	}
	d, ok := api.deployments[r.PathValue("id")]
	if !ok {
		return nil, notFound("Invalid Deployment identifier specified")
	}
	return d, nil
}

func (s *Service) serveGetDeployment(r *request) (int, any, error) {
	d, err := r.deployment()
	return http.StatusOK, d, err
}

func (s *Service) serveUpdateDeployment(r *request) (int, any, error) {
	d, err := r.deployment()
	if err != nil {
		return 0, nil, err
	}
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	for _, op := range operations {
		if op.Op != "replace" || op.Path != "/description" {
			return 0, nil, op.invalid()
		}
	}
	for _, op := range operations {
		d.Description = op.Value
	}
	return http.StatusOK, d, nil
}

func (s *Service) serveDeleteDeployment(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, nil, api.deleteDeployment(r.PathValue("id"))
}

type stageView struct {
	stageSettings
	Tags map[string]string `json:"tags,omitempty"`
}

func (r *request) viewStage(api *restAPI, st *stage) any {
	return stageView{st.settings, r.region.tags[r.stagePath(api, st.settings.StageName)]}
}

func (s *Service) serveCreateStage(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	var in stageRequest
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.CacheClusterEnabled {
		return 0, nil, s.refuse(r.region.name, "stage cache")
	}
	st, err := s.createStage(r.call.Now, api, in)
	if err != nil {
		return 0, nil, err
	}
	r.setTags(r.stagePath(api, in.StageName), in.Tags)
	return http.StatusCreated, r.viewStage(api, st), nil
}

func (s *Service) serveGetStages(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	wanted := r.URL.Query().Get("deploymentId")
	out := page{Item: []any{}}
	for _, st := range sorted(api.stages) {
		if wanted == "" || st.settings.DeploymentID == wanted {
			out.Item = append(out.Item, r.viewStage(api, st))
		}
	}
	return http.StatusOK, out, nil
}

func (r *request) stage() (*restAPI, *stage, error) {
	api, err := r.api()
	if err != nil {
		return nil, nil, err
	}
	st, err := api.stage(r.PathValue("stage"))
	return api, st, err
}

func (s *Service) serveGetStage(r *request) (int, any, error) {
	api, st, err := r.stage()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.viewStage(api, st), nil
}

func (s *Service) serveUpdateStage(r *request) (int, any, error) {
	api, st, err := r.stage()
	if err != nil {
		return 0, nil, err
	}
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	if err := s.updateStage(r.call.Now, r.region, api, st, operations); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.viewStage(api, st), nil
}

func (s *Service) serveDeleteStage(r *request) (int, any, error) {
	api, st, err := r.stage()
	if err != nil {
		return 0, nil, err
	}
	name := st.settings.StageName
	if r.region.mapped(api.id, name) {
		return 0, nil, badRequest("Please remove all base path mappings related to the stage before deleting it.")
	}
	delete(api.stages, name)
	delete(r.region.tags, r.stagePath(api, name))
	return http.StatusAccepted, nil, nil
}

// accountView is the account's settings in the region. The throttle is what
// AWS shows for a new account; the front door does not enforce it.
type accountView struct {
	CloudwatchRoleARN string         `json:"cloudwatchRoleArn,omitempty"`
	ThrottleSettings  map[string]any `json:"throttleSettings"`
	Features          []string       `json:"features"`
	ApiKeyVersion     string         `json:"apiKeyVersion"`
}

func (s *Service) serveGetAccount(r *request) (int, any, error) {
	return http.StatusOK, accountView{
		CloudwatchRoleARN: r.region.cloudwatchRole, ThrottleSettings: map[string]any{"burstLimit": 5000, "rateLimit": 10000.0},
		Features: []string{"UsagePlans"}, ApiKeyVersion: "4",
	}, nil
}

func (s *Service) serveUpdateAccount(r *request) (int, any, error) {
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	role := r.region.cloudwatchRole
	for _, op := range operations {
		switch {
		case op.Path != "/cloudwatchRoleArn" || op.Op != "replace":
			return 0, nil, op.invalid()
		case op.Value != "" && !s.mayPush(r, op.Value):
			return 0, nil, badRequest("The role ARN does not have required permissions configured. Please grant trust permission for API Gateway and add the required role policy.")
		}
		role = op.Value
	}
	r.region.cloudwatchRole = role
	return s.serveGetAccount(r)
}
