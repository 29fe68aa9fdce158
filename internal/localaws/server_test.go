package localaws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/localaws/fault"
)

func start(t *testing.T) (*localaws.Server, func(region string) aws.Config) {
	t.Helper()
	server, err := localaws.Start(context.Background(), localaws.Options{
		Seed: 1, Zones: []string{"example.test"}, Regions: []string{"eu-west-1", "eu-central-1"}, CAFile: filepath.Join(t.TempDir(), "ca.pem"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, func(region string) aws.Config {
		return aws.Config{
			Region: region, BaseEndpoint: aws.String(server.Env().Endpoint), RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		}
	}
}

func inject(t *testing.T, server *localaws.Server, f fault.Fault) {
	t.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(server.Env().Endpoint+localaws.FaultsPath, "application/json", bytes.NewReader(body)) // a test
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("inject %+v: %s", f, response.Status)
	}
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func TestOnePortServesAllServicesAndRegions(t *testing.T) {
	t.Parallel()
	server, in := start(t)
	ctx := context.Background()
	who, err := sts.NewFromConfig(in("eu-west-1")).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || aws.ToString(who.Account) == "" {
		t.Fatalf("%v, %v", who, err)
	}
	zones, err := route53.NewFromConfig(in("us-east-1")).ListHostedZones(ctx, &route53.ListHostedZonesInput{})
	if err != nil || len(zones.HostedZones) != 1 {
		t.Fatalf("%v, %v", zones, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.Env().Endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260301/eu-west-1/braket/aws4_request, Signature=x")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("UnknownOperationException")) {
		t.Errorf("a service that is not there: %s %s", response.Status, body)
	}
	if _, err := clock.Parse(server.Env().Clock); err != nil {
		t.Error(err)
	}
}

func TestDNSAnswersOverUDPAndTCP(t *testing.T) {
	t.Parallel()
	server, _ := start(t)
	query := new(dns.Msg)
	query.SetQuestion("example.test.", dns.TypeSOA)
	for _, network := range []string{"udp", "tcp"} {
		answer, _, err := (&dns.Client{Net: network}).Exchange(query, server.Env().DNSServer)
		if err != nil || len(answer.Answer) != 1 || !answer.Authoritative {
			t.Errorf("%s: %v, %v", network, answer, err)
		}
	}
}

func TestFaultsOfTheEndpoint(t *testing.T) {
	t.Parallel()
	server, in := start(t)
	ctx := context.Background()
	tables := func(region string) error {
		_, err := dynamodb.NewFromConfig(in(region)).ListTables(ctx, &dynamodb.ListTablesInput{})
		return err
	}
	if err := tables("eu-west-1"); err != nil {
		t.Fatal(err)
	}
	inject(t, server, fault.Fault{Region: "eu-west-1", Kind: fault.RegionDown, Target: "*", Rate: 1})
	if err := tables("eu-west-1"); err == nil || code(err) != "" {
		t.Errorf("a region that is down answered: %v", err)
	}
	if err := tables("eu-central-1"); err != nil {
		t.Errorf("the other region is down too: %v", err)
	}
	if _, err := route53.NewFromConfig(in("eu-west-1")).ListHostedZones(ctx, &route53.ListHostedZonesInput{}); err != nil {
		t.Errorf("Route 53 is global: %v", err)
	}
	inject(t, server, fault.Fault{Region: "*", Kind: fault.ExpiredCredentials, Target: "*", Rate: 1})
	if err := tables("eu-central-1"); code(err) != "ExpiredToken" {
		t.Errorf("expired credentials: %v", err)
	}
	response, err := http.Post(server.Env().Endpoint+localaws.FaultsPath, "application/json", bytes.NewReader([]byte(`{"kind":"sabotage"}`))) // a test
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown kind of fault: %s", response.Status)
	}
}

func TestResetEmptiesTheAccount(t *testing.T) {
	t.Parallel()
	server, in := start(t)
	ctx := context.Background()
	zone, err := route53.NewFromConfig(in("us-east-1")).CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("other.test"), CallerReference: aws.String("1")})
	if err != nil {
		t.Fatal(err)
	}
	inject(t, server, fault.Fault{Region: "*", Kind: fault.ExpiredCredentials, Target: "*", Rate: 1})
	server.Reset()
	if _, err := route53.NewFromConfig(in("us-east-1")).GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: zone.HostedZone.Id}); code(err) != "NoSuchHostedZone" {
		t.Errorf("after reset: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	server, _ := start(t)
	port := server.Env().HTTPSPort
	if second, err := localaws.Start(context.Background(), localaws.Options{HTTPSPort: port, Regions: []string{"eu-west-1"}}); err == nil {
		t.Error("two front doors on one port", second.Close())
	}
}
