package apigateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

var sameReply = cmpopts.IgnoreUnexported(reply{})

// app is an API on prod behind api.example.com.
func (w *world) app(policy string, canary *types.CanarySettings) string {
	w.t.Helper()
	api := w.api(policy)
	first := w.deploy(api)
	if canary != nil {
		second := w.deploy(api)
		canary.DeploymentId = &second
	}
	w.stage(api, first, canary)
	w.domain(api, "api.example.com")
	return api
}

func TestFunctionSeesTheProxyEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.app("", nil)
	header := http.Header{"X-Forwarded-For": {"192.0.2.7"}, "X-Many": {"1", "2"}}
	got, err := w.ask(http.MethodPost, "https://api.example.com/items/a%20b?k=1&k=2", strings.NewReader(`{"x":1}`), header)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != 200 || got.Body != "api:live" || got.header.Get("X-Amzn-Requestid") == "" || got.header.Get("X-Amz-Apigw-Id") == "" {
		t.Errorf("got %+v with %v", got, got.header)
	}
	c := w.lambdas.last(t)
	if c.Principal != "apigateway.amazonaws.com" || c.Function != function+"api:live" || c.Source != "arn:aws:execute-api:eu-west-1:000000000000:"+api+"/prod/POST/items/a%20b" {
		t.Errorf("called %s as %s for %s", c.Function, c.Principal, c.Source)
	}
	want := events.APIGatewayProxyRequest{
		Resource: "/{proxy+}", Path: "/items/a b", HTTPMethod: "POST",
		QueryStringParameters: map[string]string{"k": "2"}, MultiValueQueryStringParameters: map[string][]string{"k": {"1", "2"}},
		PathParameters: map[string]string{"proxy": "items/a b"}, StageVariables: map[string]string{"fn": "api:live", "only": "stage"}, Body: `{"x":1}`,
		RequestContext: events.APIGatewayProxyRequestContext{
			AccountID: wire.Account, Stage: "prod", DomainName: "api.example.com", DomainPrefix: "api", RequestID: got.header.Get("X-Amzn-Requestid"),
			ExtendedRequestID: got.header.Get("X-Amz-Apigw-Id"), Protocol: "HTTP/2.0", ResourcePath: "/{proxy+}", Path: "/items/a b", HTTPMethod: "POST",
			RequestTime: "01/Mar/2026:12:00:00 +0000", RequestTimeEpoch: start.UnixMilli(), APIID: api,
			Identity: events.APIGatewayRequestIdentity{SourceIP: "192.0.2.7", UserAgent: "Go-http-client/2.0"},
		},
	}
	event := c.Event
	if event.Headers["X-Many"] != "2" || event.Headers["Host"] != "api.example.com" || len(event.MultiValueHeaders["X-Many"]) != 2 {
		t.Errorf("headers %v", event.MultiValueHeaders)
	}
	event.Headers, event.MultiValueHeaders, event.RequestContext.ResourceID = nil, nil, ""
	if diff := cmp.Diff(want, event); diff != "" {
		t.Error(diff)
	}
}

func TestHostsAndPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.app("", nil)
	domain := must[*sdk.GetDomainNameOutput](t)(w.client.GetDomainName(w.ctx, &sdk.GetDomainNameInput{DomainName: aws.String("api.example.com")}))
	forbidden := reply{Status: 403, Body: `{"message":"Forbidden"}`}
	served := reply{Status: 200, Body: "api:live"}
	tests := map[string]reply{
		"https://api.example.com/":                                served,
		"https://api.example.com/x/y":                             served,
		defaultHost(api) + "/prod":                                served,
		defaultHost(api) + "/prod/x":                              served,
		defaultHost(api) + "/":                                    forbidden,
		defaultHost(api) + "/test/x":                              forbidden,
		"https://" + *domain.RegionalDomainName + "/":             forbidden,
		"https://nosuch.execute-api.eu-west-1.amazonaws.com/prod": forbidden,
	}
	for url, want := range tests {
		if diff := cmp.Diff(want, w.get(url), sameReply); diff != "" {
			t.Errorf("%s:\n%s", url, diff)
		}
	}
	if _, err := w.ask(http.MethodGet, "https://other.example.com/", nil, nil); !isAlert(err) {
		t.Errorf("a name without a certificate: %v, want a refused handshake", err)
	}
	must[*sdk.UpdateRestApiOutput](t)(w.client.UpdateRestApi(w.ctx, &sdk.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{patch("replace", "/disableExecuteApiEndpoint", "true")}}))
	if diff := cmp.Diff(forbidden, w.get(defaultHost(api)+"/prod/x"), sameReply); diff != "" {
		t.Errorf("disabled default endpoint:\n%s", diff)
	}
	if diff := cmp.Diff(served, w.get("https://api.example.com/x"), sameReply); diff != "" {
		t.Errorf("custom domain beside it:\n%s", diff)
	}
	must[*sdk.DeleteBasePathMappingOutput](t)(w.client.DeleteBasePathMapping(w.ctx, &sdk.DeleteBasePathMappingInput{DomainName: aws.String("api.example.com"), BasePath: aws.String("(none)")}))
	if diff := cmp.Diff(forbidden, w.get("https://api.example.com/x"), sameReply); diff != "" {
		t.Errorf("no mapping:\n%s", diff)
	}
	must[*sdk.CreateBasePathMappingOutput](t)(w.client.CreateBasePathMapping(w.ctx, &sdk.CreateBasePathMappingInput{DomainName: aws.String("api.example.com"), RestApiId: &api, Stage: aws.String("prod"), BasePath: aws.String("v1")}))
	if diff := cmp.Diff(served, w.get("https://api.example.com/v1/x"), sameReply); diff != "" {
		t.Errorf("base path:\n%s", diff)
	}
	if event := w.lambdas.last(t).Event; event.Path != "/v1/x" || event.PathParameters["proxy"] != "x" {
		t.Errorf("base path: event path %s, proxy %s", event.Path, event.PathParameters["proxy"])
	}
}

// isAlert: the alert of a remote has no exported type.
func isAlert(err error) bool {
	return err != nil && strings.HasSuffix(err.Error(), "tls: unrecognized name")
}

func TestMatchingPrefersTheExactResource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	made := must[*sdk.CreateRestApiOutput](t)(w.client.CreateRestApi(w.ctx, &sdk.CreateRestApiInput{Name: aws.String("a"), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}}))
	api := *made.Id
	add := func(parent, part string, verbs ...string) string {
		id := *must[*sdk.CreateResourceOutput](t)(w.client.CreateResource(w.ctx, &sdk.CreateResourceInput{RestApiId: &api, ParentId: &parent, PathPart: &part})).Id
		for _, verb := range verbs {
			w.method(api, id, verb, nil)
		}
		return id
	}
	items := add(*made.RootResourceId, "items", "GET")
	add(items, "{id}", "GET", "ANY")
	add(items, "count", "GET")
	add(*made.RootResourceId, "{rest+}", "POST")
	w.stage(api, w.deploy(api), nil)
	missing := `{"message":"Missing Authentication Token"}`
	for _, tt := range []struct{ verb, path, want string }{
		{"GET", "/items", "/items"}, {"GET", "/items/", "/items"}, {"GET", "/items/7", "/items/{id}"}, {"PUT", "/items/7", "/items/{id}"},
		{"GET", "/items/count", "/items/count"}, {"POST", "/other/deep", "/{rest+}"}, {"POST", "/items/7/deep", "/{rest+}"},
		{"DELETE", "/items", missing}, {"GET", "/other", missing}, {"GET", "", missing},
	} {
		w.lambdas.answer = func(_ context.Context, c call) (string, string, error) {
			return `{"statusCode":200,"body":"` + c.Event.Resource + `"}`, "", nil
		}
		got := must[reply](t)(w.ask(tt.verb, defaultHost(api)+"/prod"+tt.path, nil, nil))
		if got.Body != tt.want || (tt.want == missing) != (got.Status == 403) {
			t.Errorf("%s %s: %d %s, want %s", tt.verb, tt.path, got.Status, got.Body, tt.want)
		}
	}
}

func TestResourcePolicyIsPartOfTheDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.app("", nil)
	policy := `{"Version":"2012-10-17","Statement":[
	 {"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},
	 {"Effect":"Deny","Principal":{"AWS":"*"},"Action":"execute-api:Invoke","Resource":"execute-api:/prod/*/business/*","Condition":{"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","198.51.100.1"]}}}]}`
	from := func(address, path string) int {
		return must[reply](t)(w.ask(http.MethodGet, "https://api.example.com"+path, nil, http.Header{"X-Forwarded-For": {address}})).Status
	}
	must[*sdk.UpdateRestApiOutput](t)(w.client.UpdateRestApi(w.ctx, &sdk.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{patch("replace", "/policy", policy)}}))
	if got := from("192.0.2.1", "/business/x/y"); got != 200 {
		t.Errorf("before a deployment: %d, want the old policy in force", got)
	}
	if err := w.update(api, patch("replace", "/deploymentId", w.deploy(api))); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	for _, tt := range []struct {
		address, path string
		want          int
	}{
		{"192.0.2.1", "/business/x/y", 403}, {"203.0.113.9", "/business/x/y", 200}, {"198.51.100.1", "/business/x", 200},
		{"198.51.100.2", "/business/x", 403}, {"192.0.2.1", "/healthz", 200},
	} {
		if got := from(tt.address, tt.path); got != tt.want {
			t.Errorf("%s from %s: %d, want %d", tt.path, tt.address, got, tt.want)
		}
	}
	denied := must[reply](t)(w.ask(http.MethodGet, "https://api.example.com/business/x", nil, http.Header{"X-Forwarded-For": {"192.0.2.1"}}))
	want := `{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:eu-west-1:********0000:` + api + `/prod/GET/business/x with an explicit deny"}`
	if diff := cmp.Diff(want, denied.Body); diff != "" {
		t.Error(diff)
	}
	only := `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}`
	must[*sdk.UpdateRestApiOutput](t)(w.client.UpdateRestApi(w.ctx, &sdk.UpdateRestApiInput{RestApiId: &api, PatchOperations: []types.PatchOperation{patch("replace", "/policy", only)}}))
	if err := w.update(api, patch("replace", "/deploymentId", w.deploy(api))); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if a, b := from("192.0.2.1", "/"), from("203.0.113.1", "/"); a != 403 || b != 200 {
		t.Errorf("allow list: %d outside, %d inside", a, b)
	}
}

func TestCanarySplitsAndStageUpdatesComeLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	api := w.app("", &types.CanarySettings{PercentTraffic: 20, StageVariableOverrides: map[string]string{"fn": "api:next"}})
	split := func(n int) map[string]int {
		counts := map[string]int{}
		for range n {
			counts[w.get("https://api.example.com/").Body]++
		}
		return counts
	}
	got := split(400)
	// Six standard deviations of Binomial(400, 0.2) are 48.
	if next := got["api:next"]; next < 32 || next > 128 || got["api:live"] != 400-next {
		t.Errorf("20%% canary of 400: %v", got)
	}
	if event := w.lambdas.last(t).Event; event.StageVariables["only"] != "stage" {
		t.Error("the canary's overrides replaced the stage's variables instead of merging")
	}
	if err := w.update(api, patch("replace", "/canarySettings/percentTraffic", "100.0")); err != nil {
		t.Fatal(err)
	}
	if percent := w.getStage(api).CanarySettings.PercentTraffic; percent != 100 {
		t.Errorf("GetStage shows %v at once, want 100", percent)
	}
	w.clock.Advance(4 * time.Second)
	if got := split(40); got["api:live"] == 0 {
		t.Errorf("the update was served before its delay: %v", got)
	}
	w.clock.Advance(time.Second)
	if diff := cmp.Diff(map[string]int{"api:next": 30}, split(30)); diff != "" {
		t.Errorf("after the delay:\n%s", diff)
	}
	if err := w.update(api, patch("replace", "/canarySettings/percentTraffic", "0.0")); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if diff := cmp.Diff(map[string]int{"api:live": 30}, split(30)); diff != "" {
		t.Errorf("canary at 0:\n%s", diff)
	}
}

func TestCanaryServesItsOwnDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *apigateway.Options) { o.StageUpdateDelay = -1 })
	made := must[*sdk.CreateRestApiOutput](t)(w.client.CreateRestApi(w.ctx, &sdk.CreateRestApiInput{Name: aws.String("a"), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}}))
	w.method(*made.Id, *made.RootResourceId, "ANY", nil)
	w.stage(*made.Id, w.deploy(*made.Id), nil)
	child := must[*sdk.CreateResourceOutput](t)(w.client.CreateResource(w.ctx, &sdk.CreateResourceInput{RestApiId: made.Id, ParentId: made.RootResourceId, PathPart: aws.String("new")}))
	w.method(*made.Id, *child.Id, "GET", nil)
	second := w.deploy(*made.Id)
	statusAt := func(percent string) int {
		if err := w.update(*made.Id, patch("replace", "/canarySettings/deploymentId", second), patch("replace", "/canarySettings/percentTraffic", percent)); err != nil {
			t.Fatal(err)
		}
		return w.get(defaultHost(*made.Id) + "/prod/new").Status
	}
	if base, canary := statusAt("0"), statusAt("100"); base != 403 || canary != 200 {
		t.Errorf("a resource only the canary's deployment has: %d from the base, %d from the canary", base, canary)
	}
}

func TestIntegrationFailures(t *testing.T) {
	t.Parallel()
	internal := `{"message": "Internal server error"}`
	say := func(body, functionError string, err error) func(context.Context, call) (string, string, error) {
		return func(context.Context, call) (string, string, error) { return body, functionError, err }
	}
	tests := map[string]struct {
		answer func(context.Context, call) (string, string, error)
		want   reply
	}{
		"function error":    {say(`{"errorMessage":"x"}`, "Unhandled", nil), reply{Status: 502, Body: internal}},
		"not JSON":          {say(`hello`, "", nil), reply{Status: 502, Body: internal}},
		"no status":         {say(`{"body":"x"}`, "", nil), reply{Status: 502, Body: internal}},
		"body is an object": {say(`{"statusCode":200,"body":{}}`, "", nil), reply{Status: 502, Body: internal}},
		"no permission":     {say("", "", wire.Errorf(403, "AccessDeniedException", "no")), reply{Status: 500, Body: internal}},
		"throttled":         {say("", "", wire.Errorf(429, "TooManyRequestsException", "slow")), reply{Status: 500, Body: internal}},
		"no body":           {say(`{"statusCode":204}`, "", nil), reply{Status: 204}},
		"its own 500":       {say(`{"statusCode":500,"body":"mine"}`, "", nil), reply{Status: 500, Body: "mine"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.app("", nil)
			w.lambdas.answer = tt.answer
			got := w.get("https://api.example.com/")
			if diff := cmp.Diff(tt.want, got, sameReply); diff != "" {
				t.Error(diff)
			}
			if own := got.Body == internal; own != (got.header.Get("X-Amzn-Errortype") == "InternalServerErrorException") {
				t.Errorf("error type %q with body %s", got.header.Get("X-Amzn-Errortype"), got.Body)
			}
		})
	}
}

func TestTimeoutAndBodyLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	made := must[*sdk.CreateRestApiOutput](t)(w.client.CreateRestApi(w.ctx, &sdk.CreateRestApiInput{Name: aws.String("a"), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{"REGIONAL"}}}))
	w.method(*made.Id, *made.RootResourceId, "ANY", aws.Int32(50))
	w.stage(*made.Id, w.deploy(*made.Id), nil)
	w.lambdas.answer = func(ctx context.Context, _ call) (string, string, error) {
		<-ctx.Done()
		return "", "", ctx.Err()
	}
	url := defaultHost(*made.Id) + "/prod"
	if diff := cmp.Diff(reply{Status: 504, Body: `{"message": "Endpoint request timed out"}`}, w.get(url), sameReply); diff != "" {
		t.Error(diff)
	}
	w.lambdas.answer = nil
	patient := w.api("")
	w.stage(patient, w.deploy(patient), nil)
	url = defaultHost(patient) + "/prod"
	for size, want := range map[int]int{10 << 20: 200, 10<<20 + 1: 413} {
		got, err := w.ask(http.MethodPost, url, strings.NewReader(strings.Repeat("x", size)), nil)
		if err != nil || got.Status != want {
			t.Errorf("a body of %d bytes: %d %v, want %d", size, got.Status, err, want)
		}
	}
}

func TestHeadersOfTheFunction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.app("", nil)
	w.lambdas.answer = func(context.Context, call) (string, string, error) {
		return `{"statusCode":201,"headers":{"Content-Type":"text/plain","X-One":"1","Server":"me"},"multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"body":"x"}`, "", nil
	}
	got := w.get("https://api.example.com/")
	picked := map[string][]string{}
	for _, name := range []string{"Content-Type", "X-One", "Set-Cookie", "X-Amzn-Remapped-Server"} {
		picked[name] = got.header[name]
	}
	want := map[string][]string{"Content-Type": {"text/plain"}, "X-One": {"1"}, "Set-Cookie": {"a=1", "b=2"}, "X-Amzn-Remapped-Server": {"me"}}
	if diff := cmp.Diff(want, picked); diff != "" {
		t.Error(diff)
	}
}

// TestASlowRequestReachesItsMetricInTime: seconds of real time are minutes of
// a scaled clock. Dated by that clock's beginning of the request, the datapoint
// of a slow one would come when no alarm looks back that far.
func TestASlowRequestReachesItsMetricInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *apigateway.Options) { o.StageUpdateDelay = -1 })
	w.app("", nil)
	w.lambdas.answer = func(context.Context, call) (string, string, error) {
		w.clock.Advance(3 * time.Minute)
		return `{"statusCode":200}`, "", nil
	}
	must[reply](t)(w.ask(http.MethodGet, "https://api.example.com/x", nil, nil))
	if late := w.clock.Now().Sub(w.sink.dated); late > time.Minute {
		t.Errorf("the datapoint of a request that took real milliseconds is dated %v back", late)
	}
}

func TestMetricsAndAccessLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *apigateway.Options) { o.StageUpdateDelay = -1 })
	api := w.app("", &types.CanarySettings{PercentTraffic: 0, StageVariableOverrides: map[string]string{"fn": "api:next"}})
	must[*sdk.UpdateAccountOutput](t)(w.client.UpdateAccount(w.ctx, &sdk.UpdateAccountInput{PatchOperations: []types.PatchOperation{patch("replace", "/cloudwatchRoleArn", role)}}))
	format := `{"id":"$context.requestId","verb":"$context.httpMethod","path":"$context.path","res":"$context.resourcePath","status":"$context.status","canary":"$context.isCanaryRequest","ip":"$context.identity.sourceIp","stage":"$context.stage","at":"$context.requestTimeEpoch","integration":"$context.integrationStatus","error":"$context.error.message","what":"$context.nonsense"}`
	if err := w.update(api, patch("replace", "/accessLogSettings/destinationArn", "arn:aws:logs:eu-west-1:000000000000:log-group:access"), patch("replace", "/accessLogSettings/format", format)); err != nil {
		t.Fatal(err)
	}
	from := http.Header{"X-Forwarded-For": {"192.0.2.7"}}
	first := must[reply](t)(w.ask(http.MethodGet, "https://api.example.com/x", nil, from))
	if err := w.update(api, patch("replace", "/canarySettings/percentTraffic", "100")); err != nil {
		t.Fatal(err)
	}
	w.lambdas.answer = func(context.Context, call) (string, string, error) { return "", "Unhandled", nil }
	second := must[reply](t)(w.ask(http.MethodGet, "https://api.example.com/x", nil, from))
	// Without a canary no request is one, nor said not to be.
	if err := w.update(api, patch("remove", "/canarySettings", "")); err != nil {
		t.Fatal(err)
	}
	w.lambdas.answer = nil
	third := must[reply](t)(w.ask(http.MethodGet, "https://api.example.com/x", nil, from))
	line := func(r reply, status int, canary, message string) string {
		return fmt.Sprintf(`{"id":"%s","verb":"GET","path":"/x","res":"/{proxy+}","status":"%d","canary":"%s","ip":"192.0.2.7","stage":"prod","at":"%d","integration":"200","error":"%s","what":"-"}`,
			r.header.Get("X-Amzn-Requestid"), status, canary, start.UnixMilli(), message)
	}
	want := map[string][]string{
		"eu-west-1 access":        {line(first, 200, "false", "-"), line(third, 200, "-", "-")},
		"eu-west-1 access/Canary": {line(second, 502, "true", "Internal server error")},
	}
	if diff := cmp.Diff(want, w.sink.linesOf()); diff != "" {
		t.Error(diff)
	}
	if w.sink.delay != 5*time.Second { // the clock stands still
		t.Errorf("a line can be read %v after its request, want the default of 5 s", w.sink.delay)
	}
	for _, dimensions := range []string{"map[ApiName:Team-Env-api]", "map[ApiName:Team-Env-api Stage:prod]"} {
		got := map[string][]float64{}
		for _, name := range []string{"Count", "4XXError", "5XXError"} {
			got[name] = w.sink.metric("eu-west-1 AWS/ApiGateway " + name + " " + dimensions)
		}
		if diff := cmp.Diff(map[string][]float64{"Count": {1, 1, 1}, "4XXError": {0, 0, 0}, "5XXError": {0, 1, 0}}, got); diff != "" {
			t.Errorf("%s:\n%s", dimensions, diff)
		}
		for _, name := range []string{"Latency", "IntegrationLatency"} {
			if values := w.sink.metric("eu-west-1 AWS/ApiGateway " + name + " " + dimensions); len(values) != 3 {
				t.Errorf("%s %s: %v", name, dimensions, values)
			}
		}
	}
	var parsed map[string]string
	if err := json.Unmarshal([]byte(w.sink.linesOf()["eu-west-1 access"][0]), &parsed); err != nil {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.app("", nil)
	inject := func(f fault.Fault) {
		t.Helper()
		w.faults.Clear("")
		f.Region, f.Rate = region, 1
		if err := w.faults.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	inject(fault.Fault{Kind: fault.Error, Target: "stage/Team-Env-api/prod"})
	if got := w.get("https://api.example.com/"); got.Status != 500 {
		t.Errorf("error fault: %+v", got)
	}
	inject(fault.Fault{Kind: fault.Latency, Target: "stage/Team-Env-api/*", Latency: 60 * time.Millisecond})
	w.get("https://api.example.com/")
	latencies := w.sink.metric("eu-west-1 AWS/ApiGateway Latency map[ApiName:Team-Env-api]")
	if last := latencies[len(latencies)-1]; last < 60 {
		t.Errorf("latency fault: %v ms", last)
	}
	inject(fault.Fault{Kind: fault.RegionDown, Target: "*"})
	if got, err := w.ask(http.MethodGet, "https://api.example.com/", nil, nil); err == nil {
		t.Errorf("region-down answered %+v", got)
	}
	w.faults.Clear("")
	if got := w.get("https://api.example.com/"); got.Status != 200 {
		t.Errorf("after the faults: %+v", got)
	}
}

func TestErrorsAreCountedByTheirClass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.app("", nil)
	for _, status := range []int{399, 400, 499, 500, 599} {
		w.lambdas.answer = func(context.Context, call) (string, string, error) {
			return fmt.Sprintf(`{"statusCode":%d}`, status), "", nil
		}
		w.get("https://api.example.com/")
	}
	got := map[string][]float64{}
	for _, name := range []string{"4XXError", "5XXError"} {
		got[name] = w.sink.metric("eu-west-1 AWS/ApiGateway " + name + " map[ApiName:Team-Env-api Stage:prod]")
	}
	want := map[string][]float64{"4XXError": {0, 1, 1, 0, 0}, "5XXError": {0, 0, 0, 1, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
