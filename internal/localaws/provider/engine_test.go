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
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/acm"
	gateway "github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/cloudwatch"
	"github.com/tapctl/tapctl/internal/localaws/dynamodb"
	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/kms"
	functions "github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/logs"
	"github.com/tapctl/tapctl/internal/localaws/provider"
	"github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	blue  = "eu-west-1"
	green = "eu-central-1"
)

// pulumiRoot is the directory with bin/pulumi below TAPCTL_HOME, or where 'make
// build' puts things; "" is the CLI on PATH. CI must not skip.
func pulumiRoot(t *testing.T) string {
	t.Helper()
	home := os.Getenv("TAPCTL_HOME")
	if home == "" {
		home = "../../../build"
	}
	root, err := filepath.Abs(filepath.Join(home, "pulumi"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "bin", "pulumi")); err == nil {
		return root
	}
	if _, err := exec.LookPath("pulumi"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI must not skip: run make pulumi: %v", err)
		}
		t.Skipf("run make pulumi: nothing at %s, and %v", root, err)
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
	var front *gateway.Service
	dns := route53.New(route53.Options{Clock: now, InsyncDelay: 5 * time.Second, AliasZoneID: gateway.HostedZoneID,
		RegionOf: func(host string) (string, bool) { return front.RegionOf(host) }})
	a.zone = dns.EnsureZone("example.com")
	authority, err := acm.NewAuthority(now.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificates := acm.New(acm.Options{Clock: now, Authority: authority, Records: dns, IssueDelay: 5 * time.Second})
	identity := iam.New(iam.Options{Clock: now})
	front = gateway.New(gateway.Options{Clock: now, Limits: &gateway.Limits{}, Certificates: certificates})
	handlers := map[string]http.Handler{
		"dynamodb":   dynamodb.New(dynamodb.Options{Clock: now}).Handler(),
		"monitoring": cloudwatch.New(cloudwatch.Options{Clock: now}).Handler(),
		"route53":    dns.Handler(),
		"lambda":     functions.New(functions.Options{Clock: now}).Handler(),
		"acm":        certificates.Handler(),
		"apigateway": front.Handler(),
		"sts":        identity.Handler(),
		"iam":        identity.Handler(),
		"kms":        kms.New(kms.Options{Clock: now}).Handler(),
		"logs":       logs.New(logs.Options{Clock: now}).Handler(),
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
	a.archive("#!/bin/sh\n")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	port, err := provider.ServeWith(ctx, provider.Options{Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	a.engine(ctx, root, port, program)
}

// archive writes a zip whose bootstrap is this script.
func (a *account) archive(script string) {
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
		_, err = entry.Write([]byte(script))
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
			"PULUMI_DEBUG_PROVIDERS": fmt.Sprintf("aws:%d", port), "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}),
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
		Endpoints: aws.ProviderEndpointArray{aws.ProviderEndpointArgs{Dynamodb: url, Cloudwatch: url, Route53: url, Lambda: url, Apigateway: url, Sts: url, Acm: url, Iam: url, Kms: url, Cloudwatchlogs: url, Secretsmanager: url, S3: url}},
	})
	return pulumi.Provider(p), err
}

func (a *account) route53() *r53api.Client {
	return r53api.New(r53api.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(a.url), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
}

func (a *account) liveWeight() int64 {
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
