package localaws_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws"
)

func published(t *testing.T, server *localaws.Server) map[string]netip.Prefix {
	t.Helper()
	response, err := http.Get(server.Env().Endpoint + localaws.IPRangesPath) // a test
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var ranges localaws.IPRanges
	if err := json.NewDecoder(response.Body).Decode(&ranges); err != nil {
		t.Fatal(err)
	}
	out := map[string]netip.Prefix{}
	for _, p := range ranges.Prefixes {
		if p.Service == "ROUTE53_HEALTHCHECKS" {
			out[p.Region] = netip.MustParsePrefix(p.Prefix)
		}
	}
	return out
}

// A policy by source address must let the checkers in without letting in
// users, who come from 127.0.0.1.
func TestHealthCheckersComeFromThePublishedRanges(t *testing.T) {
	t.Parallel()
	server, in := start(t)
	ranges := published(t, server)
	if len(ranges) < 2 {
		t.Fatalf("published %v", ranges)
	}
	// Port 443 is that of the front doors.
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.99:%d", server.Env().HTTPSPort))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	// Nobody coming must fail, not hang.
	if err := listener.(*net.TCPListener).SetDeadline(clock.Real{}.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := route53.NewFromConfig(in("us-east-1"))
	zones, err := c.ListHostedZones(t.Context(), &route53.ListHostedZonesInput{})
	if err != nil {
		t.Fatal(err)
	}
	set := &types.ResourceRecordSet{Name: aws.String("checked.example.test"), Type: "A", TTL: aws.Int64(60), ResourceRecords: []types.ResourceRecord{{Value: aws.String("127.0.0.99")}}}
	if _, err := c.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: zones.HostedZones[0].Id,
		ChangeBatch: &types.ChangeBatch{Changes: []types.Change{{Action: "CREATE", ResourceRecordSet: set}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateHealthCheck(t.Context(), &route53.CreateHealthCheckInput{CallerReference: aws.String("1"), HealthCheckConfig: &types.HealthCheckConfig{
		Type: "HTTP", FullyQualifiedDomainName: aws.String("checked.example.test"), Port: aws.Int32(443), RequestInterval: aws.Int32(10), FailureThreshold: aws.Int32(1)}}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 2 * len(ranges) {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		source := netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr()
		conn.Close()
		from := ""
		for region, prefix := range ranges {
			if prefix.Contains(source) {
				from = region
			}
			if prefix.Contains(netip.MustParseAddr("127.0.0.1")) {
				t.Errorf("users are in %s too", prefix)
			}
		}
		if from == "" {
			t.Fatalf("a checker came from %s, published are %v", source, ranges)
		}
		seen[from] = true
	}
	if len(seen) != len(ranges) {
		t.Errorf("checkers came from %v only", seen)
	}
}

func TestSecretsManagerIsServed(t *testing.T) {
	t.Parallel()
	_, in := start(t)
	c := secretsmanager.NewFromConfig(in("eu-west-1"))
	if _, err := c.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")}); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
	if err != nil || aws.ToString(out.SecretString) != "v" {
		t.Errorf("%v, %v", out, err)
	}
}
