package apigateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	region   = "eu-west-1"
	function = "arn:aws:lambda:eu-west-1:000000000000:function:"
	uri      = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/" + function + "${stageVariables.fn}/invocations"
	role     = "arn:aws:iam::000000000000:role/logging"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lambdas is the functions' side: it answers what serve says and keeps what
// it was asked.
type lambdas struct {
	mu     sync.Mutex
	calls  []call
	answer func(ctx context.Context, c call) (string, string, error)
}

type call struct {
	Principal, Source, Function string
	Event                       events.APIGatewayProxyRequest
}

func (l *lambdas) InvokeAs(ctx context.Context, principal, source, function string, payload []byte) ([]byte, string, error) {
	c := call{Principal: principal, Source: source, Function: function}
	if err := json.Unmarshal(payload, &c.Event); err != nil {
		return nil, "", err
	}
	l.mu.Lock()
	l.calls = append(l.calls, c)
	answer := l.answer
	l.mu.Unlock()
	if answer == nil {
		name := function[strings.LastIndex(function, "function:")+len("function:"):]
		return []byte(`{"statusCode":200,"body":"` + name + `"}`), "", nil
	}
	body, functionError, err := answer(ctx, c)
	return []byte(body), functionError, err
}

func (l *lambdas) last(t *testing.T) call {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) == 0 {
		t.Fatal("no function was called")
	}
	return l.calls[len(l.calls)-1]
}

// sink takes metrics and log lines.
type sink struct {
	mu      sync.Mutex
	metrics map[string][]float64
	dated   time.Time // of the newest datapoint
	lines   map[string][]string
	delay   time.Duration // of the newest line
}

func (s *sink) Record(at time.Time, region, namespace, name string, dimensions map[string]string, value float64, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.Join([]string{region, namespace, name, fmt.Sprint(dimensions)}, " ")
	s.metrics[key] = append(s.metrics[key], value)
	s.dated = at
}

func (s *sink) Deliver(at, arrives time.Time, region, group, _ string, message string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = arrives.Sub(at)
	s.lines[region+" "+group] = append(s.lines[region+" "+group], message)
	return nil
}

func (s *sink) metric(name string) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]float64(nil), s.metrics[name]...)
}

func (s *sink) linesOf() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.lines)
}

// issuer has one self-signed certificate for each name.
type issuer struct{}

const certificatePrefix = "arn:aws:acm:eu-west-1:000000000000:certificate/"

func (i issuer) TLSCertificate(arn string) (*tls.Certificate, error) {
	name, ok := strings.CutPrefix(arn, certificatePrefix)
	if !ok {
		return nil, errors.New("not issued")
	}
	return i.issue(name)
}

func (i issuer) issue(name string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// world is an API Gateway behind HTTP and its front door behind HTTPS.
type world struct {
	t       *testing.T
	clock   *clock.Manual
	service *apigateway.Service
	client  *sdk.Client
	lambdas *lambdas
	sink    *sink
	faults  *fault.Set
	door    net.Addr
	ctx     context.Context
}

func newWorld(t *testing.T, change func(*apigateway.Options)) *world {
	t.Helper()
	w := &world{
		t: t, clock: clock.NewManual(start), lambdas: &lambdas{}, faults: fault.NewSet(1), ctx: t.Context(),
		sink: &sink{metrics: map[string][]float64{}, lines: map[string][]string{}},
	}
	certificates := issuer{}
	options := apigateway.Options{
		Clock: w.clock, Seed: 1, Limits: &apigateway.Limits{}, TrustForwardedFor: true,
		Invoker: w.lambdas, Metrics: w.sink, Logs: w.sink, Faults: w.faults,
		Certificates: certificates, DefaultCertificate: certificates.issue,
	}
	if change != nil {
		change(&options)
	}
	w.service = apigateway.New(options)
	handler := w.service.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		service, region, key, err := wire.Scope(r)
		if err != nil {
			t.Errorf("scope: %v", err)
		}
		call := wire.Call{Service: service, Region: region, AccessKeyID: key, RequestID: "r-1", Now: w.clock.Now()}
		handler.ServeHTTP(rw, r.WithContext(wire.NewContext(r.Context(), call)))
	}))
	t.Cleanup(server.Close)
	w.client = sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	w.openDoor()
	return w
}

// openDoor serves the front door without httptest, whose own certificate
// would answer for the names that must have none.
func (w *world) openDoor() {
	w.t.Helper()
	listener := must[net.Listener](w.t)(net.Listen("tcp", "127.0.0.1:0"))
	server := &http.Server{Handler: w.service.FrontDoor(region), TLSConfig: w.service.TLSConfig(region), ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	w.door = listener.Addr()
	w.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			w.t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			w.t.Error(err)
		}
	})
}

// must fails the test on an error; it keeps the tables below readable.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// api makes an API with ANY on / and on /{proxy+}, and returns its id.
func (w *world) api(policy string) string {
	w.t.Helper()
	input := &sdk.CreateRestApiInput{Name: aws.String("Team-Env-api"), EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointTypeRegional}}}
	if policy != "" {
		input.Policy = aws.String(policy)
	}
	made := must[*sdk.CreateRestApiOutput](w.t)(w.client.CreateRestApi(w.ctx, input))
	child := must[*sdk.CreateResourceOutput](w.t)(w.client.CreateResource(w.ctx, &sdk.CreateResourceInput{RestApiId: made.Id, ParentId: made.RootResourceId, PathPart: aws.String("{proxy+}")}))
	for _, id := range []*string{made.RootResourceId, child.Id} {
		w.method(*made.Id, *id, "ANY", nil)
	}
	return *made.Id
}

func (w *world) method(api, resource, verb string, timeout *int32) {
	w.t.Helper()
	must[*sdk.PutMethodOutput](w.t)(w.client.PutMethod(w.ctx, &sdk.PutMethodInput{RestApiId: &api, ResourceId: &resource, HttpMethod: &verb, AuthorizationType: aws.String("NONE")}))
	must[*sdk.PutIntegrationOutput](w.t)(w.client.PutIntegration(w.ctx, &sdk.PutIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: &verb,
		Type: types.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"), Uri: aws.String(uri), TimeoutInMillis: timeout}))
}

func (w *world) deploy(api string) string {
	w.t.Helper()
	return *must[*sdk.CreateDeploymentOutput](w.t)(w.client.CreateDeployment(w.ctx, &sdk.CreateDeploymentInput{RestApiId: &api})).Id
}

// stage makes prod with fn = api:live, and a canary if one is given.
func (w *world) stage(api, deployment string, canary *types.CanarySettings) {
	w.t.Helper()
	must[*sdk.CreateStageOutput](w.t)(w.client.CreateStage(w.ctx, &sdk.CreateStageInput{RestApiId: &api, StageName: aws.String("prod"), DeploymentId: &deployment,
		Variables: map[string]string{"fn": "api:live", "only": "stage"}, CanarySettings: canary}))
}

func patch(op, path, value string) types.PatchOperation {
	return types.PatchOperation{Op: types.Op(op), Path: aws.String(path), Value: aws.String(value)}
}

func promote(from, path string) types.PatchOperation {
	return types.PatchOperation{Op: types.OpCopy, From: aws.String(from), Path: aws.String(path)}
}

func (w *world) update(api string, operations ...types.PatchOperation) error {
	_, err := w.client.UpdateStage(w.ctx, &sdk.UpdateStageInput{RestApiId: &api, StageName: aws.String("prod"), PatchOperations: operations})
	return err
}

func (w *world) getStage(api string) *sdk.GetStageOutput {
	w.t.Helper()
	return must[*sdk.GetStageOutput](w.t)(w.client.GetStage(w.ctx, &sdk.GetStageInput{RestApiId: &api, StageName: aws.String("prod")}))
}

// domain maps a custom domain to prod of the API.
func (w *world) domain(api, name string) *sdk.CreateDomainNameOutput {
	w.t.Helper()
	out := must[*sdk.CreateDomainNameOutput](w.t)(w.client.CreateDomainName(w.ctx, &sdk.CreateDomainNameInput{DomainName: &name, RegionalCertificateArn: aws.String(certificatePrefix + name),
		EndpointConfiguration: &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointTypeRegional}}}))
	must[*sdk.CreateBasePathMappingOutput](w.t)(w.client.CreateBasePathMapping(w.ctx, &sdk.CreateBasePathMappingInput{DomainName: &name, RestApiId: &api, Stage: aws.String("prod")}))
	return out
}

type reply struct {
	Status int
	Body   string
	header http.Header
}

// ask sends one real HTTPS request to the front door by the host's name.
func (w *world) ask(method, url string, body io.Reader, header http.Header) (reply, error) {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, w.door.String())
		},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(w.ctx, method, url, body)
	if err != nil {
		return reply{}, err
	}
	maps.Copy(request.Header, header)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, string(text), response.Header}, err
}

func (w *world) get(url string) reply {
	w.t.Helper()
	return must[reply](w.t)(w.ask(http.MethodGet, url, nil, nil))
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func defaultHost(api string) string {
	return "https://" + api + ".execute-api." + region + ".amazonaws.com"
}
