package apigateway

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// restAPI is one REST API: what is being edited, and what was deployed of it.
type restAPI struct {
	apiSettings
	id          string
	created     time.Time
	rootID      string
	policy      string
	resources   map[string]*resource
	deployments map[string]*deployment
	stages      map[string]*stage
}

// apiSettings are the members of an API that are stored as given.
type apiSettings struct {
	Name                      string                 `json:"name,omitempty"`
	Description               string                 `json:"description,omitempty"`
	Version                   string                 `json:"version,omitempty"`
	BinaryMediaTypes          []string               `json:"binaryMediaTypes,omitempty"`
	ApiKeySource              string                 `json:"apiKeySource,omitempty"`
	EndpointConfiguration     *endpointConfiguration `json:"endpointConfiguration,omitempty"`
	DisableExecuteApiEndpoint bool                   `json:"disableExecuteApiEndpoint"`
}

type endpointConfiguration struct {
	Types         []string `json:"types,omitempty"`
	IPAddressType string   `json:"ipAddressType,omitempty"`
}

// regionalOnly fills the defaults and refuses the other endpoint types.
func (s *Service) regionalOnly(region string, e *endpointConfiguration) (*endpointConfiguration, error) {
	out := endpointConfiguration{Types: []string{"REGIONAL"}, IPAddressType: "ipv4"}
	if e == nil {
		// AWS defaults to EDGE, which has no region to move away from.
		return nil, s.refuse(region, "endpoint type EDGE (the default): set endpointConfiguration.types to REGIONAL")
	}
	if len(e.Types) != 1 || e.Types[0] != "REGIONAL" {
		return nil, s.refuse(region, "endpoint type "+strings.Join(e.Types, ","))
	}
	if e.IPAddressType != "" {
		out.IPAddressType = e.IPAddressType
	}
	if out.IPAddressType != "ipv4" && out.IPAddressType != "dualstack" {
		return nil, badRequest("Invalid ipAddressType %s", e.IPAddressType)
	}
	return &out, nil
}

type resource struct {
	ID       string
	ParentID string
	PathPart string
	Path     string
	methods  map[string]*method
}

type method struct {
	HTTPMethod        string            `json:"httpMethod"`
	AuthorizationType string            `json:"authorizationType"`
	ApiKeyRequired    bool              `json:"apiKeyRequired"`
	OperationName     string            `json:"operationName,omitempty"`
	RequestParameters map[string]bool   `json:"requestParameters,omitempty"`
	RequestModels     map[string]string `json:"requestModels,omitempty"`
	Integration       *integration      `json:"methodIntegration,omitempty"`
}

type integration struct {
	Type                string   `json:"type"`
	HTTPMethod          string   `json:"httpMethod"`
	URI                 string   `json:"uri"`
	ConnectionType      string   `json:"connectionType,omitempty"`
	PassthroughBehavior string   `json:"passthroughBehavior"`
	ContentHandling     string   `json:"contentHandling,omitempty"`
	TimeoutInMillis     int      `json:"timeoutInMillis"`
	CacheNamespace      string   `json:"cacheNamespace"`
	CacheKeyParameters  []string `json:"cacheKeyParameters"`
}

func (r *regional) api(id string) (*restAPI, error) {
	api, ok := r.apis[id]
	if !ok {
		return nil, notFound("Invalid API identifier specified %s:%s", wire.Account, id)
	}
	return api, nil
}

func (a *restAPI) resource(id string) (*resource, error) {
	res, ok := a.resources[id]
	if !ok {
		return nil, notFound("Invalid Resource identifier specified")
	}
	return res, nil
}

func (a *restAPI) method(resourceID, verb string) (*method, error) {
	res, err := a.resource(resourceID)
	if err != nil {
		return nil, err
	}
	m, ok := res.methods[verb]
	if !ok {
		return nil, notFound("Invalid Method identifier specified")
	}
	return m, nil
}

func (a *restAPI) integration(resourceID, verb string) (*integration, error) {
	m, err := a.method(resourceID, verb)
	if err != nil {
		return nil, err
	}
	if m.Integration == nil {
		return nil, notFound("Invalid Integration identifier specified")
	}
	return m.Integration, nil
}

// createAPI makes an API with its root resource.
func (s *Service) createAPI(now time.Time, r *regional, settings apiSettings, policy string) (*restAPI, error) {
	if settings.Name == "" {
		return nil, badRequest("Rest API name cannot be empty")
	}
	endpoint, err := s.regionalOnly(r.name, settings.EndpointConfiguration)
	if err != nil {
		return nil, err
	}
	settings.EndpointConfiguration = endpoint
	if settings.ApiKeySource == "" {
		settings.ApiKeySource = "HEADER"
	}
	api := &restAPI{
		apiSettings: settings, id: s.newID(10), created: now, rootID: s.newID(10),
		resources: map[string]*resource{}, deployments: map[string]*deployment{}, stages: map[string]*stage{},
	}
	if api.policy, err = expandPolicy(r.name, api.id, policy); err != nil {
		return nil, err
	}
	api.resources[api.rootID] = &resource{ID: api.rootID, Path: "/", methods: map[string]*method{}}
	r.apis[api.id] = api
	return api, nil
}

// patch applies operations to the API, all or none.
func (a *restAPI) patch(region string, operations []patchOperation) error {
	settings, policy := a.apiSettings, a.policy
	for _, op := range operations {
		if escaped, ok := strings.CutPrefix(op.Path, "/binaryMediaTypes/"); ok {
			media := strings.ReplaceAll(escaped, "~1", "/")
			settings.BinaryMediaTypes = slices.DeleteFunc(slices.Clone(settings.BinaryMediaTypes), func(t string) bool { return t == media })
			if op.Op != "remove" {
				settings.BinaryMediaTypes = append(settings.BinaryMediaTypes, media)
			}
			continue
		}
		if op.Op != "replace" && (op.Op != "remove" || op.Path != "/policy") {
			return op.invalid()
		}
		var err error
		switch op.Path {
		case "/name":
			settings.Name = op.Value
		case "/description":
			settings.Description = op.Value
		case "/version":
			settings.Version = op.Value
		case "/disableExecuteApiEndpoint":
			settings.DisableExecuteApiEndpoint, err = op.flag()
		case "/policy":
			policy, err = expandPolicy(region, a.id, op.Value)
		case "/endpointConfiguration/ipAddressType":
			endpoint := *settings.EndpointConfiguration
			endpoint.IPAddressType = op.Value
			settings.EndpointConfiguration = &endpoint
		default:
			return op.invalid()
		}
		if err != nil {
			return err
		}
	}
	a.apiSettings, a.policy = settings, policy
	return nil
}

var pathPart = regexp.MustCompile(`^([a-zA-Z0-9._:-]+|\{[a-zA-Z0-9._-]+\+?\})$`)

func (s *Service) createResource(api *restAPI, parentID, part string) (*resource, error) {
	parent, err := api.resource(parentID)
	if err != nil {
		return nil, err
	}
	if !pathPart.MatchString(part) {
		return nil, badRequest("Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning and the end.")
	}
	if strings.HasSuffix(parent.PathPart, "+}") {
		return nil, badRequest("Cannot create a child of a resource with a greedy path variable")
	}
	for _, sibling := range api.resources {
		if sibling.ParentID != parentID {
			continue
		}
		if sibling.PathPart == part {
			return nil, conflict("Another resource with the same parent already has this name: %s", part)
		}
		if part[0] == '{' && sibling.PathPart[0] == '{' {
			return nil, badRequest("A sibling (%s) of this resource already has a variable path part -- only one is allowed", sibling.PathPart)
		}
	}
	res := &resource{ID: s.newID(6), ParentID: parentID, PathPart: part, Path: strings.TrimSuffix(parent.Path, "/") + "/" + part, methods: map[string]*method{}}
	api.resources[res.ID] = res
	return res, nil
}

// deleteResource removes a resource and what is below it.
func (a *restAPI) deleteResource(id string) error {
	if _, err := a.resource(id); err != nil {
		return err
	}
	if id == a.rootID {
		return badRequest("Unable to remove the root resource")
	}
	delete(a.resources, id)
	for _, child := range a.resourceList() {
		if child.ParentID == id {
			if err := a.deleteResource(child.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *restAPI) resourceList() []*resource {
	var list []*resource
	for _, res := range a.resources {
		list = append(list, res)
	}
	slices.SortFunc(list, func(x, y *resource) int { return strings.Compare(x.Path, y.Path) })
	return list
}

var verbs = []string{"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

func (s *Service) putMethod(region string, res *resource, m method) (*method, error) {
	switch {
	case !slices.Contains(verbs, m.HTTPMethod):
		return nil, badRequest("Invalid HTTP method specified: %s", m.HTTPMethod)
	case res.methods[m.HTTPMethod] != nil:
		return nil, conflict("Method already exists for this resource")
	case m.AuthorizationType != "NONE":
		return nil, s.refuse(region, "authorization type "+m.AuthorizationType)
	case m.ApiKeyRequired:
		return nil, s.refuse(region, "API keys")
	}
	res.methods[m.HTTPMethod] = &m
	return &m, nil
}

const maxTimeoutMillis = 29_000

var lambdaURI = regexp.MustCompile(`^arn:aws:apigateway:[^:]+:lambda:path/2015-03-31/functions/(.+)/invocations$`)

// putIntegration checks what AWS checks. The URI may hold stage variables,
// so whether the function exists is only known when it is called.
func (s *Service) putIntegration(region string, res *resource, m *method, in integration) error {
	if in.Type != "AWS_PROXY" {
		return s.refuse(region, "integration type "+in.Type)
	}
	if in.PassthroughBehavior == "" {
		in.PassthroughBehavior = "WHEN_NO_MATCH"
	}
	if in.CacheNamespace == "" {
		in.CacheNamespace = res.ID
	}
	if in.TimeoutInMillis == 0 {
		in.TimeoutInMillis = maxTimeoutMillis
	}
	if in.CacheKeyParameters == nil {
		in.CacheKeyParameters = []string{}
	}
	if err := checkIntegration(in); err != nil {
		return err
	}
	m.Integration = &in
	return nil
}

func checkIntegration(in integration) error {
	switch {
	case in.HTTPMethod == "":
		return badRequest("Enumeration value for HttpMethod must be non-empty")
	case !slices.Contains(verbs, in.HTTPMethod):
		return badRequest("Invalid HTTP method specified: %s", in.HTTPMethod)
	case !strings.HasPrefix(in.URI, "arn:aws:apigateway:"):
		return badRequest("Invalid ARN specified in the request")
	case !lambdaURI.MatchString(in.URI):
		return badRequest("AWS ARN for integration must contain path or action")
	case in.TimeoutInMillis < 50 || in.TimeoutInMillis > maxTimeoutMillis:
		return badRequest("Timeout should be between 50 ms and 29000 ms")
	}
	return nil
}

func (in *integration) patch(operations []patchOperation) error {
	next := *in
	for _, op := range operations {
		if op.Op != "replace" {
			return op.invalid()
		}
		switch op.Path {
		case "/uri":
			next.URI = op.Value
		case "/httpMethod", "/integrationHttpMethod":
			next.HTTPMethod = op.Value
		case "/passthroughBehavior":
			next.PassthroughBehavior = op.Value
		case "/timeoutInMillis":
			if err := json.Unmarshal([]byte(op.Value), &next.TimeoutInMillis); err != nil {
				return badRequest("Invalid timeoutInMillis %q", op.Value)
			}
		default:
			return op.invalid()
		}
	}
	if err := checkIntegration(next); err != nil {
		return err
	}
	*in = next
	return nil
}

// snapshot copies what a deployment freezes: resources, methods, integrations
// and the resource policy.
func (a *restAPI) snapshot() (*frozen, error) {
	out := &frozen{apiID: a.id, binaryMediaTypes: a.BinaryMediaTypes}
	methods := 0
	for _, res := range a.resourceList() {
		copied := route{resourceID: res.ID, path: res.Path, integrations: map[string]integration{}}
		for verb, m := range res.methods {
			methods++
			if m.Integration == nil {
				return nil, badRequest("No integration defined for method")
			}
			copied.integrations[verb] = *m.Integration
		}
		out.routes = append(out.routes, copied)
	}
	if methods == 0 {
		return nil, badRequest("The REST API doesn't contain any methods")
	}
	var err error
	out.policy, err = parsePolicy(a.policy)
	return out, err
}
