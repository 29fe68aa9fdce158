package awsapi_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	localapi "github.com/tapctl/tapctl/internal/localaws/apigateway"
	localcw "github.com/tapctl/tapctl/internal/localaws/cloudwatch"
	localddb "github.com/tapctl/tapctl/internal/localaws/dynamodb"
	localiam "github.com/tapctl/tapctl/internal/localaws/iam"
	localkms "github.com/tapctl/tapctl/internal/localaws/kms"
	locallambda "github.com/tapctl/tapctl/internal/localaws/lambda"
	locallogs "github.com/tapctl/tapctl/internal/localaws/logs"
	localr53 "github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire"
	"github.com/tapctl/tapctl/internal/topology"
)

const (
	blueRegion  = "eu-west-1"
	greenRegion = "eu-central-1"
	public      = "api.example.com"
	apiFunction = "Shop-prod-api"
	forwarder   = "Shop-prod-forward"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The SDK takes its credentials from the environment, and nothing else from
// the machine that the tests run on.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// request is one call as it reached AWS.
type request struct {
	wire.Call
	Method, Path string
	Target       string // the operation, where the protocol has it in a header
	Body         string
}

// world is the embedded services behind one endpoint, on a clock that stands
// still.
type world struct {
	t       *testing.T
	clock   *clock.Manual
	clients *awsapi.Clients
	url     string

	route53    *localr53.Service
	cloudwatch *localcw.Service
	dynamodb   *localddb.Service
	logs       *locallogs.Service
	gateway    *localapi.Service

	// failing is the function, name and alias, that answers with an error.
	failing atomic.Value

	mu       sync.Mutex
	requests []request
	// before may refuse a request, or do something else first.
	before func(request) error
	// broken ends Live Tail's connections.
	broken atomic.Bool
	// thin makes the pages of FilterLogEvents short.
	thin atomic.Bool
	// released ends the requests that got no answer.
	released chan struct{}
}

// errSilent leaves the request without an answer.
var errSilent = errors.New("silent")

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewManual(start), released: make(chan struct{})}
	w.cloudwatch = localcw.New(localcw.Options{Clock: w.clock})
	w.dynamodb = localddb.New(localddb.Options{Clock: w.clock})
	w.logs = locallogs.New(locallogs.Options{Clock: w.clock, Broken: func(string) bool { return w.broken.Load() }, Thin: w.thin.Load})
	w.gateway = localapi.New(localapi.Options{Clock: w.clock, Seed: 1, StageUpdateDelay: -1, Logs: w.logs, Invoker: w})
	w.route53 = localr53.New(localr53.Options{
		Clock: w.clock, Seed: 1, AliasZoneID: localapi.HostedZoneID,
		RegionOf: func(host string) (string, bool) {
			_, rest, found := strings.Cut(strings.TrimSuffix(host, ".amazonaws.com"), ".execute-api.")
			return rest, found
		},
		AddressOf: func(string) (netip.Addr, bool) { return netip.MustParseAddr("127.0.0.1"), true },
	})
	people := localiam.New(localiam.Options{Clock: w.clock}).Handler()
	handlers := map[string]http.Handler{
		"apigateway": w.gateway.Handler(),
		"dynamodb":   w.dynamodb.Handler(),
		"kms":        localkms.New(localkms.Options{Clock: w.clock}).Handler(),
		"logs":       w.logs.Handler(),
		"lambda":     locallambda.New(locallambda.Options{Clock: w.clock, Seed: 1}).Handler(),
		"monitoring": w.cloudwatch.Handler(),
		"route53":    w.route53.Handler(),
		"iam":        people,
		"sts":        people,
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r, handlers) }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(w.released) }) // before the server waits for its requests
	w.url = server.URL
	var err error
	if w.clients, err = awsapi.Load(t.Context(), config.AWS{EndpointURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request, handlers map[string]http.Handler) {
	service, region, key, err := wire.Scope(r)
	if err != nil {
		w.t.Error(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // its sender went away meanwhile
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := wire.Call{Service: service, Region: region, AccessKeyID: key, RequestID: "r-1", Now: w.clock.Now()}
	asked := request{Call: call, Method: r.Method, Path: r.URL.Path, Target: r.Header.Get("X-Amz-Target"), Body: string(body)}
	w.mu.Lock()
	w.requests = append(w.requests, asked)
	before := w.before
	w.mu.Unlock()
	if before != nil {
		if err := before(asked); errors.Is(err, errSilent) {
			<-w.released
			panic(http.ErrAbortHandler)
		} else if err != nil {
			wire.Refuse(rw, call, protocolOf(service), err)
			return
		}
	}
	handlers[service].ServeHTTP(rw, r.WithContext(wire.NewContext(r.Context(), call)))
}

func protocolOf(service string) wire.Protocol {
	switch service {
	case "route53":
		return wire.RESTXMLProtocol
	case "iam", "sts":
		return wire.QueryProtocol
	case "monitoring":
		return wire.CBORProtocol
	case "dynamodb", "kms", "logs":
		return wire.JSONProtocol
	default:
		return wire.RESTJSONProtocol
	}
}

// intercept sets what happens before each request from now on.
func (w *world) intercept(before func(request) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = before
}

// refuse answers every request of the service with AccessDenied, which the SDK
// does not try again.
func (w *world) refuse(service string) {
	w.intercept(func(r request) error {
		if r.Service == service {
			return errForbidden()
		}
		return nil
	})
}

// hang leaves every request to the region without an answer.
func (w *world) hang(region string) {
	w.intercept(func(r request) error {
		if r.Region == region {
			return errSilent
		}
		return nil
	})
}

// writes are the changing calls of the service since the last look, as
// "METHOD path" or the operation's name.
func (w *world) writes(service string) []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []request
	for _, r := range w.requests {
		if r.Service == service && r.Method != http.MethodGet {
			found = append(found, r)
		}
	}
	w.requests = nil
	return found
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = nil
}

// ok fails the test on an error.
func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// same reports a difference.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// deployed is a migration that has been deployed: green's stage forwards to
// blue and has a canary, and the weighted pairs lead to blue.
type deployed struct {
	*world
	top     topology.Topology
	traffic *awsapi.Traffic
	checks  map[string]string // side -> health check
}

func newDeployed(t *testing.T) *deployed {
	t.Helper()
	d := &deployed{world: newWorld(t), checks: map[string]string{}}
	zone := d.route53.EnsureZone("example.com")
	d.top = topology.Topology{
		ZoneID: zone, RecordName: public, RecordTypes: []string{"A", "AAAA"},
		Source: topology.Cell{Region: blueRegion, SetID: "blue"},
		Target: topology.Cell{Region: greenRegion, SetID: "green", Stage: "prod", APIFunction: apiFunction, Forwarder: forwarder},
	}
	d.makeFunction()
	d.makeStage()
	d.makeRecords()
	d.traffic = awsapi.NewTraffic(d.clients, d.top)
	d.forget()
	return d
}

// makeFunction makes two versions of the application: 1 is live, 2 is next.
func (d *deployed) makeFunction() {
	t, ctx, client := d.t, d.t.Context(), d.clients.Lambda(greenRegion)
	ok[*lambda.CreateFunctionOutput](t)(client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: aws.String(apiFunction), Role: aws.String("arn:aws:iam::000000000000:role/function"), Handler: aws.String("bootstrap"),
		Runtime: lambdatypes.RuntimeProvidedal2023, Code: &lambdatypes.FunctionCode{ZipFile: packaged(t, "1")}, Publish: true,
	}))
	ok[*lambda.UpdateFunctionCodeOutput](t)(client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
		FunctionName: aws.String(apiFunction), ZipFile: packaged(t, "2"), Publish: true,
	}))
	for name, version := range map[string]string{"live": "1", "next": "2"} {
		ok[*lambda.CreateAliasOutput](t)(client.CreateAlias(ctx, &lambda.CreateAliasInput{
			FunctionName: aws.String(apiFunction), Name: &name, FunctionVersion: &version,
		}))
	}
}

func packaged(t *testing.T, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	file := ok[io.Writer](t)(archive.CreateHeader(header))
	ok[int](t)(io.WriteString(file, content))
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (d *deployed) makeStage() {
	t, ctx, client := d.t, d.t.Context(), d.clients.APIGateway(greenRegion)
	api := ok[*apigateway.CreateRestApiOutput](t)(client.CreateRestApi(ctx, &apigateway.CreateRestApiInput{
		Name: aws.String(apiFunction), EndpointConfiguration: &apitypes.EndpointConfiguration{Types: []apitypes.EndpointType{apitypes.EndpointTypeRegional}},
	}))
	ok[*apigateway.PutMethodOutput](t)(client.PutMethod(ctx, &apigateway.PutMethodInput{
		RestApiId: api.Id, ResourceId: api.RootResourceId, HttpMethod: aws.String("ANY"), AuthorizationType: aws.String("NONE"),
	}))
	ok[*apigateway.PutIntegrationOutput](t)(client.PutIntegration(ctx, &apigateway.PutIntegrationInput{
		RestApiId: api.Id, ResourceId: api.RootResourceId, HttpMethod: aws.String("ANY"), Type: apitypes.IntegrationTypeAwsProxy, IntegrationHttpMethod: aws.String("POST"),
		Uri: aws.String("arn:aws:apigateway:" + greenRegion + ":lambda:path/2015-03-31/functions/arn:aws:lambda:" + greenRegion + ":000000000000:function:${stageVariables.fn}/invocations"),
	}))
	deployment := ok[*apigateway.CreateDeploymentOutput](t)(client.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: api.Id}))
	ok[*apigateway.CreateStageOutput](t)(client.CreateStage(ctx, &apigateway.CreateStageInput{
		RestApiId: api.Id, StageName: aws.String("prod"), DeploymentId: deployment.Id, Variables: map[string]string{"fn": forwarder + ":live"},
		CanarySettings: &apitypes.CanarySettings{DeploymentId: deployment.Id, PercentTraffic: 10, StageVariableOverrides: map[string]string{"fn": apiFunction + ":next"}},
	}))
	d.top.Target.RestAPI = *api.Id
}

func (d *deployed) makeRecords() {
	var changes []r53types.Change
	for side, cell := range map[string]topology.Cell{"blue": d.top.Source, "green": d.top.Target} {
		check := ok[*route53.CreateHealthCheckOutput](d.t)(d.clients.Route53().CreateHealthCheck(d.t.Context(), &route53.CreateHealthCheckInput{
			CallerReference: aws.String(side), HealthCheckConfig: &r53types.HealthCheckConfig{
				Type: r53types.HealthCheckTypeHttps, FullyQualifiedDomainName: aws.String(cell.Region + "." + public), Port: aws.Int32(443), ResourcePath: aws.String("/healthz"),
			},
		}))
		d.checks[side] = *check.HealthCheck.Id
		weight := map[string]int64{"blue": 100, "green": 0}[side]
		for _, kind := range d.top.RecordTypes {
			changes = append(changes, r53types.Change{Action: r53types.ChangeActionCreate, ResourceRecordSet: d.record(side, kind, weight)})
		}
	}
	d.change(changes...)
}

// record is one member of a weighted pair.
func (d *deployed) record(side, kind string, weight int64) *r53types.ResourceRecordSet {
	region := map[string]string{"blue": blueRegion, "green": greenRegion}[side]
	return &r53types.ResourceRecordSet{
		Name: aws.String(public), Type: r53types.RRType(kind), SetIdentifier: aws.String(side), Weight: aws.Int64(weight), HealthCheckId: aws.String(d.checks[side]),
		AliasTarget: &r53types.AliasTarget{DNSName: aws.String("d-" + side + ".execute-api." + region + ".amazonaws.com"), HostedZoneId: aws.String(localapi.HostedZoneID(region))},
	}
}

// change writes records behind tapctl's back.
func (d *deployed) change(changes ...r53types.Change) {
	d.t.Helper()
	ok[*route53.ChangeResourceRecordSetsOutput](d.t)(d.clients.Route53().ChangeResourceRecordSets(d.t.Context(), &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &d.top.ZoneID, ChangeBatch: &r53types.ChangeBatch{Changes: changes},
	}))
}

// weigh sets the weights of every type behind tapctl's back.
func (d *deployed) weigh(blue, green int64) {
	d.t.Helper()
	var changes []r53types.Change
	for side, weight := range map[string]int64{"blue": blue, "green": green} {
		for _, kind := range d.top.RecordTypes {
			changes = append(changes, r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: d.record(side, kind, weight)})
		}
	}
	d.change(changes...)
}

// records are the weighted records as Route 53 has them: "A blue 100 CHECK".
func (d *deployed) records() []string {
	d.t.Helper()
	out := ok[*route53.ListResourceRecordSetsOutput](d.t)(d.clients.Route53().ListResourceRecordSets(d.t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &d.top.ZoneID}))
	var found []string
	for _, r := range out.ResourceRecordSets {
		if r.Weight != nil {
			side := aws.ToString(r.SetIdentifier)
			check := "its check"
			if aws.ToString(r.HealthCheckId) != d.checks[side] {
				check = "check " + aws.ToString(r.HealthCheckId)
			}
			if r.AliasTarget == nil || !strings.Contains(aws.ToString(r.AliasTarget.DNSName), "d-"+side+".") {
				check += ", another target"
			}
			found = append(found, fmt.Sprintf("%s %s %d %s", r.Type, side, aws.ToInt64(r.Weight), check))
		}
	}
	slices.Sort(found)
	return found
}

// pairs is what records looks like with these weights.
func pairs(blue, green int) []string {
	var want []string
	for _, kind := range []string{"A", "AAAA"} {
		want = append(want, fmt.Sprintf("%s blue %d its check", kind, blue), fmt.Sprintf("%s green %d its check", kind, green))
	}
	return want
}

// stage is what green's stage stands at.
type stage struct {
	Fn       string
	Canary   bool
	Percent  float64
	Override string
}

func (d *deployed) stage() stage {
	d.t.Helper()
	out := ok[*apigateway.GetStageOutput](d.t)(d.clients.APIGateway(greenRegion).GetStage(d.t.Context(), &apigateway.GetStageInput{RestApiId: &d.top.Target.RestAPI, StageName: aws.String("prod")}))
	s := stage{Fn: out.Variables["fn"]}
	if c := out.CanarySettings; c != nil {
		s.Canary, s.Percent, s.Override = true, c.PercentTraffic, c.StageVariableOverrides["fn"]
	}
	return s
}

// patch changes the stage behind tapctl's back.
func (d *deployed) patch(op apitypes.Op, path, value string) {
	d.t.Helper()
	p := apitypes.PatchOperation{Op: op, Path: &path}
	if value != "" {
		p.Value = &value
	}
	ok[*apigateway.UpdateStageOutput](d.t)(d.clients.APIGateway(greenRegion).UpdateStage(d.t.Context(), &apigateway.UpdateStageInput{
		RestApiId: &d.top.Target.RestAPI, StageName: aws.String("prod"), PatchOperations: []apitypes.PatchOperation{p},
	}))
}

// point moves an alias, whatever stands there.
func (d *deployed) point(t *testing.T, alias, version string) {
	t.Helper()
	ok[*lambda.UpdateAliasOutput](t)(d.clients.Lambda(greenRegion).UpdateAlias(t.Context(), &lambda.UpdateAliasInput{
		FunctionName: aws.String(apiFunction), Name: &alias, FunctionVersion: &version,
	}))
}

// version is what an alias points at.
func (d *deployed) version(alias string) string {
	d.t.Helper()
	out := ok[*lambda.GetAliasOutput](d.t)(d.clients.Lambda(greenRegion).GetAlias(d.t.Context(), &lambda.GetAliasInput{FunctionName: aws.String(apiFunction), Name: &alias}))
	return aws.ToString(out.FunctionVersion)
}
