package route53_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"
	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a Route 53 behind HTTP with one zone, on a clock that stands still.
type world struct {
	t       *testing.T
	clock   *clock.Manual
	service *route53.Service
	client  *sdk.Client
	zone    string
}

func newWorld(t *testing.T, change func(*route53.Options)) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewManual(start)}
	options := route53.Options{
		Clock: w.clock, Seed: 1,
		RegionOf: func(host string) (string, bool) {
			rest, ok := strings.CutSuffix(host, ".amazonaws.com")
			_, region, found := strings.Cut(rest, ".execute-api.")
			return region, ok && found
		},
		AddressOf: func(region string) (netip.Addr, bool) {
			address, ok := map[string]string{"eu-west-1": "127.0.0.2", "eu-central-1": "127.0.0.3"}[region]
			if !ok {
				return netip.Addr{}, false
			}
			return netip.MustParseAddr(address), true
		},
		AliasZoneID: func(region string) string { return "Z-" + region },
	}
	if change != nil {
		change(&options)
	}
	w.service = route53.New(options)
	w.zone = w.service.EnsureZone("Example.com")
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
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	return w
}

// alias is a weighted alias A record to API Gateway.
func alias(identifier, region string, weight int64, check string) *types.ResourceRecordSet {
	r := &types.ResourceRecordSet{
		Name: aws.String("api.example.com"), Type: types.RRTypeA,
		SetIdentifier: aws.String(identifier), Weight: aws.Int64(weight),
		AliasTarget: &types.AliasTarget{DNSName: aws.String("d-abc.execute-api." + region + ".amazonaws.com"), HostedZoneId: aws.String("Z-" + region)},
	}
	if check != "" {
		r.HealthCheckId = aws.String(check)
	}
	return r
}

func simple(name string, rrtype types.RRType, values ...string) *types.ResourceRecordSet {
	r := &types.ResourceRecordSet{Name: aws.String(name), Type: rrtype, TTL: aws.Int64(300)}
	for _, value := range values {
		r.ResourceRecords = append(r.ResourceRecords, types.ResourceRecord{Value: aws.String(value)})
	}
	return r
}

func do(action types.ChangeAction, r *types.ResourceRecordSet) types.Change {
	return types.Change{Action: action, ResourceRecordSet: r}
}

func (w *world) change(changes ...types.Change) (string, error) {
	out, err := w.client.ChangeResourceRecordSets(context.Background(), &sdk.ChangeResourceRecordSetsInput{
		HostedZoneId: aws.String(w.zone), ChangeBatch: &types.ChangeBatch{Changes: changes},
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ChangeInfo.Id), nil
}

func (w *world) mustChange(changes ...types.Change) string {
	w.t.Helper()
	id, err := w.change(changes...)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// settle lets every change come into force.
func (w *world) settle() { w.clock.Advance(time.Minute) }

func (w *world) list() []types.ResourceRecordSet {
	w.t.Helper()
	out, err := w.client.ListResourceRecordSets(context.Background(), &sdk.ListResourceRecordSetsInput{HostedZoneId: aws.String(w.zone)})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.ResourceRecordSets
}

// ask is one DNS query: the code, then the answers without their TTLs.
func (w *world) ask(name string, qtype uint16) string {
	reply := w.service.Answer(w.clock.Now(), new(dns.Msg).SetQuestion(name, qtype))
	parts := []string{dns.RcodeToString[reply.Rcode]}
	for _, rr := range reply.Answer {
		parts = append(parts, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(parts, " ")
}

// split asks n times and counts the answers.
func (w *world) split(name string, n int) map[string]int {
	counts := map[string]int{}
	for range n {
		counts[w.ask(name, dns.TypeA)]++
	}
	return counts
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// messageOf is the text of an error; a refused batch carries its own list.
func messageOf(err error) string {
	if batch, ok := errors.AsType[*types.InvalidChangeBatch](err); ok {
		return strings.Join(batch.Messages, "; ")
	}
	return fmt.Sprint(err)
}
