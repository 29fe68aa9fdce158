package provider_test

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	r53api "github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	cw "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	ddb "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	r53 "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/clock"
	gateway "github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/cloudwatch"
	"github.com/tapctl/tapctl/internal/localaws/dynamodb"
	functions "github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/provider"
	"github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	blue  = "eu-west-1"
	green = "eu-central-1"
)

// pulumiRoot is a directory with bin/pulumi, or "" for the one on PATH.
func pulumiRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../../build/pulumi")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "bin", "pulumi")); err == nil {
		return root
	}
	if _, err := exec.LookPath("pulumi"); err != nil {
		t.Skip("no pulumi CLI at build/pulumi/bin/pulumi or on PATH")
	}
	return ""
}

// account is an endpoint of real services, with the engine's way to it.
type account struct {
	*testing.T
	url   string
	zone  string
	stack auto.Stack
	zip   string

	mu    sync.Mutex
	calls []string // "region service operation" of every writing call
}

func (a *account) note(call string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, call)
}

func open(t *testing.T, program pulumi.RunFunc, a *account) {
	t.Helper()
	root := pulumiRoot(t)
	a.T = t
	now := clock.NewScaled(600)
	dns := route53.New(route53.Options{Clock: now, InsyncDelay: 5 * time.Second})
	a.zone = dns.EnsureZone("example.com")
	handlers := map[string]http.Handler{
		"dynamodb":   dynamodb.New(dynamodb.Options{Clock: now}).Handler(),
		"monitoring": cloudwatch.New(cloudwatch.Options{Clock: now}).Handler(),
		"route53":    dns.Handler(),
		"lambda":     functions.New(functions.Options{Clock: now}).Handler(),
		"apigateway": gateway.New(gateway.Options{Clock: now, Limits: &gateway.Limits{}}).Handler(),
		"sts": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, wire.Account)
		}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, region, key, err := wire.Scope(r)
		if err != nil || handlers[name] == nil {
			t.Errorf("%s %s: service %q, %v", r.Method, r.URL, name, err)
			http.Error(w, "no such service", http.StatusNotImplemented)
			return
		}
		if name == "apigateway" && r.Method != http.MethodGet {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			a.note(r.Method + " " + string(body))
		}
		call := wire.Call{Service: name, Region: region, AccessKeyID: key, RequestID: "r", Now: now.Now()}
		handlers[name].ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), call)))
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	a.archive()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	port, err := provider.ServeWith(ctx, provider.Options{Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	a.engine(ctx, root, port, program)
}

// archive writes a zip with an executable bootstrap.
func (a *account) archive() {
	a.Helper()
	a.zip = filepath.Join(a.TempDir(), "function.zip")
	file, err := os.Create(a.zip)
	if err != nil {
		a.Fatal(err)
	}
	defer file.Close()
	w := zip.NewWriter(file)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	entry, err := w.CreateHeader(header)
	if err == nil {
		_, err = entry.Write([]byte("#!/bin/sh\n"))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		a.Fatal(err)
	}
}

func (a *account) engine(ctx context.Context, root string, port int, program pulumi.RunFunc) {
	a.Helper()
	home := a.TempDir()
	options := []auto.LocalWorkspaceOption{
		auto.WorkDir(a.TempDir()), auto.PulumiHome(home), auto.Program(program), auto.SecretsProvider("passphrase"),
		auto.Project(workspace.Project{Name: tokens.PackageName("probe"), Runtime: workspace.NewProjectRuntimeInfo("go", nil)}),
		auto.EnvVars(map[string]string{"PULUMI_BACKEND_URL": "file://" + home, "PULUMI_CONFIG_PASSPHRASE": "test",
			"PULUMI_DEBUG_PROVIDERS": fmt.Sprintf("aws:%d", port), "PULUMI_SKIP_UPDATE_CHECK": "true"}),
	}
	if root != "" {
		command, err := auto.NewPulumiCommand(&auto.PulumiCommandOptions{Root: root})
		if err != nil {
			a.Fatal(err)
		}
		options = append(options, auto.Pulumi(command))
	}
	space, err := auto.NewLocalWorkspace(ctx, options...)
	if err != nil {
		a.Fatal(err)
	}
	if a.stack, err = auto.UpsertStack(ctx, "test", space); err != nil {
		a.Fatal(err)
	}
}

// up deploys and returns how many resources changed, by operation.
func (a *account) up() map[string]int {
	a.Helper()
	result, err := a.stack.Up(context.Background())
	if err != nil {
		a.Fatalf("up: %v", err)
	}
	return *result.Summary.ResourceChanges
}

func (a *account) provider(ctx *pulumi.Context, region string) (pulumi.ResourceOption, error) {
	url := pulumi.String(a.url)
	p, err := aws.NewProvider(ctx, region, &aws.ProviderArgs{
		Region: pulumi.String(region), AccessKey: pulumi.String("key"), SecretKey: pulumi.String("secret"), SkipCredentialsValidation: pulumi.Bool(true),
		Endpoints: aws.ProviderEndpointArray{aws.ProviderEndpointArgs{Dynamodb: url, Cloudwatch: url, Route53: url, Lambda: url, Apigateway: url, Sts: url}},
	})
	return pulumi.Provider(p), err
}

func (a *account) route53() *r53api.Client {
	return r53api.New(r53api.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(a.url), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
}

func (a *account) weight() int64 {
	a.Helper()
	out, err := a.route53().ListResourceRecordSets(context.Background(), &r53api.ListResourceRecordSetsInput{HostedZoneId: awssdk.String(a.zone), StartRecordName: awssdk.String("api.example.com"), StartRecordType: "A"})
	if err != nil {
		a.Fatal(err)
	}
	for _, set := range out.ResourceRecordSets {
		if set.Weight != nil {
			return *set.Weight
		}
	}
	return -1
}

func (a *account) turn(weight int64) {
	a.Helper()
	set := &r53types.ResourceRecordSet{Name: awssdk.String("api.example.com"), Type: "A", SetIdentifier: awssdk.String("blue"), Weight: awssdk.Int64(weight), TTL: awssdk.Int64(60), ResourceRecords: []r53types.ResourceRecord{{Value: awssdk.String("192.0.2.1")}}}
	_, err := a.route53().ChangeResourceRecordSets(context.Background(), &r53api.ChangeResourceRecordSetsInput{HostedZoneId: awssdk.String(a.zone), ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: "UPSERT", ResourceRecordSet: set}}}})
	if err != nil {
		a.Fatal(err)
	}
}

// Two regions' providers share one port; the records and the table prove that
// each kept its own configuration, and that updates, drift and deletion work.
func TestEngineDeploysTwoRegionsUpdatesAndDestroys(t *testing.T) {
	t.Parallel()
	a := &account{}
	threshold, weight, ttl := 1.0, 100, 60
	var ignore []pulumi.ResourceOption
	open(t, func(ctx *pulumi.Context) error {
		for _, region := range []string{blue, green} {
			in, err := a.provider(ctx, region)
			if err != nil {
				return err
			}
			alarm, err := cw.NewMetricAlarm(ctx, "errors-"+region, &cw.MetricAlarmArgs{Name: pulumi.String("errors"), Namespace: pulumi.String("AWS/Lambda"), MetricName: pulumi.String("Errors"), Statistic: pulumi.String("Sum"),
				Period: pulumi.Int(60), EvaluationPeriods: pulumi.Int(1), Threshold: pulumi.Float64(threshold), ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), Tags: pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
			if err != nil {
				return err
			}
			ctx.Export("alarm-"+region, alarm.Arn)
			if region == green {
				continue
			}
			table, err := ddb.NewTable(ctx, "items", &ddb.TableArgs{Name: pulumi.String("items"), BillingMode: pulumi.String("PAY_PER_REQUEST"), HashKey: pulumi.String("pk"),
				Attributes:    ddb.TableAttributeArray{ddb.TableAttributeArgs{Name: pulumi.String("pk"), Type: pulumi.String("S")}},
				StreamEnabled: pulumi.Bool(true), StreamViewType: pulumi.String("NEW_AND_OLD_IMAGES"), PointInTimeRecovery: ddb.TablePointInTimeRecoveryArgs{Enabled: pulumi.Bool(true)},
				Replicas: ddb.TableReplicaTypeArray{ddb.TableReplicaTypeArgs{RegionName: pulumi.String(green), PointInTimeRecovery: pulumi.Bool(true), PropagateTags: pulumi.Bool(true)}},
				Tags:     pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
			if err != nil {
				return err
			}
			ctx.Export("table", table.Arn)
			check, err := r53.NewHealthCheck(ctx, "blue", &r53.HealthCheckArgs{Type: pulumi.String("HTTPS"), Fqdn: pulumi.String("blue.example.com"), Port: pulumi.Int(443), RequestInterval: pulumi.Int(30), FailureThreshold: pulumi.Int(3)}, in)
			if err != nil {
				return err
			}
			ctx.Export("check", check.ID())
			record, err := r53.NewRecord(ctx, "blue", &r53.RecordArgs{ZoneId: pulumi.String(a.zone), Name: pulumi.String("api.example.com"), Type: pulumi.String("A"), Ttl: pulumi.Int(ttl), Records: pulumi.StringArray{pulumi.String("192.0.2.1")},
				SetIdentifier: pulumi.String("blue"), WeightedRoutingPolicies: r53.RecordWeightedRoutingPolicyArray{r53.RecordWeightedRoutingPolicyArgs{Weight: pulumi.Int(weight)}}}, append([]pulumi.ResourceOption{in}, ignore...)...)
			if err != nil {
				return err
			}
			ctx.Export("fqdn", record.Fqdn)
		}
		return nil
	}, a)
	ctx := context.Background()
	preview, err := a.stack.Preview(ctx)
	if err != nil {
		t.Fatalf("preview: %v", err)
	}
	if got := preview.ChangeSummary["create"]; got != 8 { // the stack, two providers, two alarms, table, check, record
		t.Errorf("the preview creates %d", got)
	}
	a.up()
	outputs, err := a.stack.Outputs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"alarm-" + blue: "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:errors", "alarm-" + green: "arn:aws:cloudwatch:eu-central-1:000000000000:alarm:errors",
		"table": "arn:aws:dynamodb:eu-west-1:000000000000:table/items", "fqdn": "api.example.com",
	} {
		if got := outputs[name].Value; got != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if diff := cmp.Diff(map[string]int{"same": 8}, a.up()); diff != "" {
		t.Errorf("a second up: %s", diff)
	}
	refresh, err := a.stack.Refresh(ctx)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"same": 8}, *refresh.Summary.ResourceChanges); diff != "" {
		t.Errorf("a refresh without drift: %s\n%s", diff, refresh.StdOut)
	}
	threshold = 2
	if got := a.up(); got["update"] != 2 || got["replace"] != 0 {
		t.Errorf("a new threshold: %v", got)
	}

	// Drift: a refresh sees the turned weight, an up without IgnoreChanges
	// turns it back.
	a.turn(30)
	if refresh, err = a.stack.Refresh(ctx); err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if got := *refresh.Summary.ResourceChanges; got["update"] != 1 {
		t.Errorf("a refresh with drift: %v", got)
	}
	if got := a.up(); got["update"] != 1 || a.weight() != 100 {
		t.Errorf("after an up the weight is %d (%v)", a.weight(), got)
	}

	// The trap: IgnoreChanges sends the weight in the state, not the live
	// one, as soon as anything else of the record changes.
	ignore = []pulumi.ResourceOption{pulumi.IgnoreChanges([]string{"weightedRoutingPolicies"})}
	a.turn(30)
	weight = 0
	if a.up(); a.weight() != 30 {
		t.Errorf("with IgnoreChanges alone the weight became %d", a.weight())
	}
	ttl = 30
	if a.up(); a.weight() != 100 {
		t.Errorf("with another change the weight became %d, the state's is 100", a.weight())
	}

	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
	if got := a.weight(); got != -1 {
		t.Errorf("the record survived with weight %d", got)
	}
}

// The stage is patched only where the program changed, a new function version
// reaches its alias, and a resource that has gone is seen as gone.
func TestEngineReleasesAFunctionBehindAStage(t *testing.T) {
	t.Parallel()
	a := &account{}
	memory, percent := 128, 10.0
	open(t, func(ctx *pulumi.Context) error {
		in, err := a.provider(ctx, blue)
		if err != nil {
			return err
		}
		fn, err := lambda.NewFunction(ctx, "api", &lambda.FunctionArgs{Name: pulumi.String("api"), Runtime: pulumi.String("provided.al2023"), Handler: pulumi.String("bootstrap"), Architectures: pulumi.StringArray{pulumi.String("arm64")},
			Code: pulumi.NewFileArchive(a.zip), Role: pulumi.String("arn:aws:iam::000000000000:role/api"), MemorySize: pulumi.Int(memory), Timeout: pulumi.Int(5), Publish: pulumi.Bool(true),
			Environment: lambda.FunctionEnvironmentArgs{Variables: pulumi.StringMap{"TABLE": pulumi.ToSecret(pulumi.String("items")).(pulumi.StringOutput)}}}, in)
		if err != nil {
			return err
		}
		alias, err := lambda.NewAlias(ctx, "next", &lambda.AliasArgs{Name: pulumi.String("next"), FunctionName: fn.Name, FunctionVersion: fn.Version}, in)
		if err != nil {
			return err
		}
		rest, err := apigateway.NewRestApi(ctx, "api", &apigateway.RestApiArgs{Name: pulumi.String("api"), EndpointConfiguration: apigateway.RestApiEndpointConfigurationArgs{Types: pulumi.String("REGIONAL")}, Tags: pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
		if err != nil {
			return err
		}
		method, err := apigateway.NewMethod(ctx, "root", &apigateway.MethodArgs{RestApi: rest.ID(), ResourceId: rest.RootResourceId, HttpMethod: pulumi.String("ANY"), Authorization: pulumi.String("NONE")}, in)
		if err != nil {
			return err
		}
		integration, err := apigateway.NewIntegration(ctx, "root", &apigateway.IntegrationArgs{RestApi: rest.ID(), ResourceId: rest.RootResourceId, HttpMethod: method.HttpMethod, Type: pulumi.String("AWS_PROXY"), IntegrationHttpMethod: pulumi.String("POST"),
			Uri: pulumi.String("arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:000000000000:function:${stageVariables.fn}/invocations")}, in)
		if err != nil {
			return err
		}
		deployment, err := apigateway.NewDeployment(ctx, "one", &apigateway.DeploymentArgs{RestApi: rest.ID(), Triggers: pulumi.StringMap{"definition": pulumi.String("1")}}, in, pulumi.DependsOn([]pulumi.Resource{integration}))
		if err != nil {
			return err
		}
		stage, err := apigateway.NewStage(ctx, "prod", &apigateway.StageArgs{RestApi: rest.ID(), Deployment: deployment.ID(), StageName: pulumi.String("prod"), Variables: pulumi.StringMap{"fn": pulumi.String("api:live")},
			CanarySettings: apigateway.StageCanarySettingsArgs{DeploymentId: deployment.ID(), PercentTraffic: pulumi.Float64(percent), StageVariableOverrides: pulumi.StringMap{"fn": pulumi.String("api:next")}, UseStageCache: pulumi.Bool(false)}}, in)
		if err != nil {
			return err
		}
		_, err = lambda.NewPermission(ctx, "next", &lambda.PermissionArgs{Action: pulumi.String("lambda:InvokeFunction"), Principal: pulumi.String("apigateway.amazonaws.com"), Function: fn.Name, Qualifier: alias.Name, StatementId: pulumi.String("stage-prod"),
			SourceArn: pulumi.Sprintf("%s/prod/*/*", rest.ExecutionArn)}, in)
		ctx.Export("version", fn.Version)
		ctx.Export("alias", alias.FunctionVersion)
		ctx.Export("stage", stage.ExecutionArn)
		return err
	}, a)
	ctx := context.Background()
	a.up()
	check := func(version string) {
		t.Helper()
		outputs, err := a.stack.Outputs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if outputs["version"].Value != version || outputs["alias"].Value != version || !strings.HasPrefix(fmt.Sprint(outputs["stage"].Value), "arn:aws:execute-api:eu-west-1:000000000000:") {
			t.Errorf("outputs %v, want version %s", outputs, version)
		}
	}
	check("1")
	if got := a.up(); got["same"] != 10 || len(got) != 1 {
		t.Errorf("a second up: %v", got)
	}
	memory = 256
	preview, err := a.stack.Preview(ctx, optpreview.Diff())
	if err != nil {
		t.Fatal(err)
	}
	if preview.ChangeSummary["update"] != 2 {
		t.Errorf("the preview of a new version updates %v, want function and alias", preview.ChangeSummary)
	}
	if got := a.up(); got["update"] != 2 {
		t.Errorf("a new version: %v", got)
	}
	check("2")

	a.calls = nil
	percent = 25
	if got := a.up(); got["update"] != 1 {
		t.Errorf("another percent: %v", got)
	}
	want := `PATCH {"patchOperations":[{"op":"replace","path":"/canarySettings/percentTraffic","value":"25"}]}`
	if diff := cmp.Diff([]string{want}, a.calls); diff != "" {
		t.Errorf("patches: %s", diff)
	}
	refresh, err := a.stack.Refresh(ctx)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if got := *refresh.Summary.ResourceChanges; got["same"] != 10 || len(got) != 1 {
		t.Errorf("a refresh without drift: %v\n%s", got, refresh.StdOut)
	}
	state, err := a.stack.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(state.Deployment), `"TABLE": "items"`) {
		t.Error("a secret is in the state as plain text")
	}
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
}
