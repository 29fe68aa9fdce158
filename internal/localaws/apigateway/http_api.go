package apigateway

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func (s *Service) apiRoutes() map[string]operation {
	const (
		resources = "/restapis/{api}/resources"
		one       = resources + "/{resource}"
		methods   = one + "/methods/{verb}"
		integrate = methods + "/integration"
	)
	return map[string]operation{
		"POST /restapis":         s.serveCreateAPI,
		"GET /restapis":          s.serveGetAPIs,
		"GET /restapis/{api}":    s.serveGetAPI,
		"PATCH /restapis/{api}":  s.serveUpdateAPI,
		"DELETE /restapis/{api}": s.serveDeleteAPI,
		"GET " + resources:       s.serveGetResources,
		"POST " + one:            s.serveCreateResource,
		"GET " + one:             s.serveGetResource,
		"DELETE " + one:          s.serveDeleteResource,
		"PUT " + methods:         s.servePutMethod,
		"GET " + methods:         s.serveGetMethod,
		"DELETE " + methods:      s.serveDeleteMethod,
		"PUT " + integrate:       s.servePutIntegration,
		"GET " + integrate:       s.serveGetIntegration,
		"PATCH " + integrate:     s.serveUpdateIntegration,
		"DELETE " + integrate:    s.serveDeleteIntegration,
	}
}

type apiView struct {
	apiSettings
	ID             string            `json:"id"`
	CreatedDate    wire.Epoch        `json:"createdDate"`
	RootResourceID string            `json:"rootResourceId"`
	Policy         string            `json:"policy,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
}

func (r *request) view(api *restAPI) any {
	return apiView{api.apiSettings, api.id, wire.Epoch(api.created), api.rootID, escaped(api.policy), r.region.tags[r.apiPath(api)]}
}

// escaped is a policy as AWS returns it: escaped once more than JSON needs,
// which clients undo.
func escaped(policy string) string {
	if policy == "" {
		return ""
	}
	text, err := json.Marshal(policy)
	if err != nil {
		return policy
	}
	return string(text[1 : len(text)-1])
}

func (s *Service) serveCreateAPI(r *request) (int, any, error) {
	var in struct {
		apiSettings
		Policy string            `json:"policy"`
		Tags   map[string]string `json:"tags"`
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	api, err := s.createAPI(r.call.Now, r.region, in.apiSettings, in.Policy)
	if err != nil {
		return 0, nil, err
	}
	r.setTags(r.apiPath(api), in.Tags)
	return http.StatusCreated, r.view(api), nil
}

func (s *Service) serveGetAPIs(r *request) (int, any, error) {
	return pageOf(r, sorted(r.region.apis), r.view)
}

func (s *Service) serveGetAPI(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.view(api), nil
}

func (s *Service) serveUpdateAPI(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	if err := api.patch(r.region.name, operations); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.view(api), nil
}

func (s *Service) serveDeleteAPI(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	if r.region.mapped(api.id, "") {
		return 0, nil, badRequest("Please remove all base path mappings related to the API before deleting it.")
	}
	for name := range api.stages {
		delete(r.region.tags, r.stagePath(api, name))
	}
	delete(r.region.tags, r.apiPath(api))
	delete(r.region.apis, api.id)
	return http.StatusAccepted, nil, nil
}

type resourceView struct {
	ID       string         `json:"id"`
	ParentID string         `json:"parentId,omitempty"`
	PathPart string         `json:"pathPart,omitempty"`
	Path     string         `json:"path"`
	Methods  map[string]any `json:"resourceMethods,omitempty"`
}

// viewResource shows the methods by name only, unless they were asked for.
func (r *request) viewResource(res *resource) any {
	embed := slices.Contains(r.URL.Query()["embed"], "methods")
	view := resourceView{ID: res.ID, ParentID: res.ParentID, PathPart: res.PathPart, Path: res.Path, Methods: map[string]any{}}
	for verb, m := range res.methods {
		view.Methods[verb] = struct{}{}
		if embed {
			view.Methods[verb] = m
		}
	}
	return view
}

func (s *Service) serveGetResources(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	return pageOf(r, api.resourceList(), r.viewResource)
}

func (s *Service) serveCreateResource(r *request) (int, any, error) {
	var in struct {
		PathPart string `json:"pathPart"`
	}
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	res, err := s.createResource(api, r.PathValue("resource"), in.PathPart)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, r.viewResource(res), nil
}

func (r *request) resource() (*resource, error) {
	api, err := r.api()
	if err != nil {
		return nil, err
	}
	return api.resource(r.PathValue("resource"))
}

func (r *request) method() (*method, error) {
	api, err := r.api()
	if err != nil {
		return nil, err
	}
	return api.method(r.PathValue("resource"), r.PathValue("verb"))
}

func (r *request) integration() (*integration, error) {
	api, err := r.api()
	if err != nil {
		return nil, err
	}
	return api.integration(r.PathValue("resource"), r.PathValue("verb"))
}

func (s *Service) serveGetResource(r *request) (int, any, error) {
	res, err := r.resource()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.viewResource(res), nil
}

func (s *Service) serveDeleteResource(r *request) (int, any, error) {
	api, err := r.api()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, nil, api.deleteResource(r.PathValue("resource"))
}

func (s *Service) servePutMethod(r *request) (int, any, error) {
	res, err := r.resource()
	if err != nil {
		return 0, nil, err
	}
	var in method
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	in.HTTPMethod, in.Integration = r.PathValue("verb"), nil
	m, err := s.putMethod(r.region.name, res, in)
	return http.StatusCreated, m, err
}

func (s *Service) serveGetMethod(r *request) (int, any, error) {
	m, err := r.method()
	return http.StatusOK, m, err
}

func (s *Service) serveDeleteMethod(r *request) (int, any, error) {
	if _, err := r.method(); err != nil {
		return 0, nil, err
	}
	res, err := r.resource()
	if err != nil {
		return 0, nil, err
	}
	delete(res.methods, r.PathValue("verb"))
	return http.StatusNoContent, nil, nil
}

func (s *Service) servePutIntegration(r *request) (int, any, error) {
	m, err := r.method()
	if err != nil {
		return 0, nil, err
	}
	res, err := r.resource()
	if err != nil {
		return 0, nil, err
	}
	// Clients send the empty form of what a proxy integration does not have.
	var in struct {
		integration
		Credentials       string            `json:"credentials"`
		RequestParameters map[string]string `json:"requestParameters"`
		RequestTemplates  map[string]string `json:"requestTemplates"`
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.Credentials != "" || len(in.RequestParameters)+len(in.RequestTemplates) > 0 || (in.ConnectionType != "" && in.ConnectionType != "INTERNET") {
		return 0, nil, s.refuse(r.region.name, "integration with credentials, mappings or a VPC link")
	}
	if err := s.putIntegration(r.region.name, res, m, in.integration); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, m.Integration, nil
}

func (s *Service) serveGetIntegration(r *request) (int, any, error) {
	in, err := r.integration()
	return http.StatusOK, in, err
}

func (s *Service) serveUpdateIntegration(r *request) (int, any, error) {
	in, err := r.integration()
	if err != nil {
		return 0, nil, err
	}
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, in, in.patch(operations)
}

func (s *Service) serveDeleteIntegration(r *request) (int, any, error) {
	m, err := r.method()
	if err != nil {
		return 0, nil, err
	}
	if m.Integration == nil {
		return 0, nil, notFound("Invalid Integration identifier specified")
	}
	m.Integration = nil
	return http.StatusNoContent, nil, nil
}
