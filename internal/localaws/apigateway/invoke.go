package apigateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const principal = "apigateway.amazonaws.com"

var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// functionARN is the function the integration leads to for these variables.
// An unknown variable is replaced by nothing, as in AWS.
func (in integration) functionARN(variables map[string]string) string {
	uri := stageVariable.ReplaceAllStringFunc(in.URI, func(use string) string {
		return variables[stageVariable.FindStringSubmatch(use)[1]]
	})
	if found := lambdaURI.FindStringSubmatch(uri); found != nil {
		return found[1]
	}
	return ""
}

// invoke calls the function and turns what comes back into an answer.
func (s *Service) invoke(x *exchange, r *http.Request, body []byte) answer {
	variables := x.variables()
	payload, err := json.Marshal(x.event(r, body, variables))
	if err != nil {
		return internalError(http.StatusInternalServerError)
	}
	function := x.integration.functionARN(variables)
	// Lambda's invoke API is POST: AWS accepts other verbs when the
	// integration is made and fails when it is used.
	if s.options.Invoker == nil || function == "" || x.integration.HTTPMethod != http.MethodPost {
		return internalError(http.StatusInternalServerError)
	}
	limit := time.Duration(x.integration.TimeoutInMillis) * time.Millisecond
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	began := clock.Real{}.Now()
	response, functionError, err := s.options.Invoker.InvokeAs(ctx, principal, x.executeARN(wire.Account, r.Method), function, payload)
	x.integrationTook, x.integrationReached = clock.Real{}.Now().Sub(began), true
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		x.integrationStatus = http.StatusGatewayTimeout
		return failure(http.StatusGatewayTimeout, "InternalServerErrorException", "Endpoint request timed out")
	}
	if err != nil {
		// A refused invocation (no permission, no such function, throttled)
		// is API Gateway's own 500, whatever status Lambda gave it: the Lambda
		// guide says that API Gateway treats invocation errors as internal.
		x.integrationStatus = wire.AsError(err).Status
		s.options.Log.Info("integration failed", "service", "apigateway", "region", x.region, "function", function, "error", err)
		return internalError(http.StatusInternalServerError)
	}
	x.integrationStatus = http.StatusOK
	if functionError != "" {
		return internalError(http.StatusBadGateway)
	}
	a, err := x.proxyAnswer(r, response)
	if err != nil {
		s.options.Log.Info("malformed Lambda proxy response", "service", "apigateway", "region", x.region, "function", function, "error", err)
		return internalError(http.StatusBadGateway)
	}
	return a
}

// event is the request as the function sees it.
func (x *exchange) event(r *http.Request, body []byte, variables map[string]string) events.APIGatewayProxyRequest {
	headers := http.Header(maps.Clone(r.Header))
	headers.Set("Host", x.domainName)
	forwarded := x.source.String()
	if before := r.Header.Get("X-Forwarded-For"); before != "" {
		forwarded = before + ", " + forwarded
	}
	headers.Set("X-Forwarded-For", forwarded)
	headers.Set("X-Forwarded-Proto", "https")
	headers.Set("X-Forwarded-Port", "443")
	if headers.Get("X-Amzn-Trace-Id") == "" {
		headers.Set("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%08x-%s", x.now.Unix(), strings.ReplaceAll(x.requestID, "-", "")[:24]))
	}
	query := r.URL.Query()
	path := x.basePath + x.resourcePath()
	contextPath := path
	prefix, _, _ := strings.Cut(x.domainName, ".")
	if prefix == x.apiID {
		contextPath = "/" + x.stage.StageName + path
	}
	event := events.APIGatewayProxyRequest{
		Resource: x.route.path, Path: unescaped(path), HTTPMethod: r.Method,
		Headers: last(headers), MultiValueHeaders: headers,
		QueryStringParameters: last(query), MultiValueQueryStringParameters: multi(query),
		PathParameters: x.parameters, StageVariables: variables,
		RequestContext: events.APIGatewayProxyRequestContext{
			AccountID: wire.Account, ResourceID: x.route.resourceID, Stage: x.stage.StageName,
			DomainName: x.domainName, DomainPrefix: prefix, RequestID: x.requestID, ExtendedRequestID: x.extendedID,
			Protocol: r.Proto, ResourcePath: x.route.path, Path: unescaped(contextPath), HTTPMethod: r.Method,
			RequestTime: requestTime(x.now), RequestTimeEpoch: x.now.UnixMilli(), APIID: x.apiID,
			Identity: events.APIGatewayRequestIdentity{SourceIP: x.source.String(), UserAgent: r.UserAgent()},
		},
		Body: string(body),
	}
	if len(body) > 0 && x.content.matchesBinary(r.Header.Get("Content-Type")) {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return event
}

func requestTime(t time.Time) string { return t.UTC().Format("02/Jan/2006:15:04:05 -0700") }

func unescaped(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

// last keeps the last of several values, as API Gateway does; nil for none.
func last(values map[string][]string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]string, len(values))
	for key, list := range values {
		out[key] = list[len(list)-1]
	}
	return out
}

func multi(values url.Values) map[string][]string {
	if len(values) == 0 {
		return nil
	}
	return values
}

// proxyResponse is a function's answer before it is believed.
type proxyResponse struct {
	StatusCode        json.RawMessage  `json:"statusCode"`
	Headers           map[string]any   `json:"headers"`
	MultiValueHeaders map[string][]any `json:"multiValueHeaders"`
	Body              *json.RawMessage `json:"body"`
	IsBase64Encoded   bool             `json:"isBase64Encoded"`
}

// proxyAnswer reads the function's answer; an error means that it does not
// have the form API Gateway demands.
func (x *exchange) proxyAnswer(r *http.Request, response []byte) (answer, error) {
	var in proxyResponse
	if err := json.Unmarshal(response, &in); err != nil {
		return answer{}, fmt.Errorf("parse response: %w", err)
	}
	status, err := strconv.Atoi(strings.Trim(string(in.StatusCode), `"`))
	if err != nil || status < 100 || status > 599 {
		return answer{}, fmt.Errorf("read statusCode %s: want a number from 100 to 599", in.StatusCode)
	}
	a := answer{status: status, header: http.Header{}}
	for name, values := range in.MultiValueHeaders {
		for _, value := range values {
			a.header.Add(outgoing(name), fmt.Sprint(value))
		}
	}
	for name, value := range in.Headers {
		if _, both := in.MultiValueHeaders[name]; !both {
			a.header.Set(outgoing(name), fmt.Sprint(value))
		}
	}
	for _, hop := range []string{"Connection", "Content-Length", "Transfer-Encoding"} {
		a.header.Del(hop)
	}
	if in.Body == nil {
		return a, nil
	}
	var body string
	if err := json.Unmarshal(*in.Body, &body); err != nil {
		return answer{}, fmt.Errorf("read body: %w", err)
	}
	a.body = []byte(body)
	if in.IsBase64Encoded && x.content.matchesBinary(r.Header.Get("Accept")) {
		if a.body, err = base64.StdEncoding.DecodeString(body); err != nil {
			return answer{}, fmt.Errorf("decode body: %w", err)
		}
	}
	return a, nil
}

// outgoing renames the headers that a function may not set itself.
func outgoing(name string) string {
	switch http.CanonicalHeaderKey(name) {
	case "Date", "Server", "Www-Authenticate", "Host", "User-Agent":
		return "X-Amzn-Remapped-" + name
	default:
		return name
	}
}
