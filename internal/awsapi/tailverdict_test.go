package awsapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/localaws/wire"
	"github.com/tapctl/tapctl/internal/topology"
)

const everyFunction = "*"

// InvokeAs stands for the functions behind the stage.
func (w *world) InvokeAs(_ context.Context, _, _, function string, _ []byte) ([]byte, string, error) {
	if failing, _ := w.failing.Load().(string); failing == everyFunction || failing != "" && strings.HasSuffix(function, failing) {
		return nil, "Unhandled", nil
	}
	return []byte(`{"statusCode":200,"body":"{}"}`), "", nil
}

// From a user's request at green's stage to the verdict.
func TestRequestsAtTheStageBecomeAVerdict(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		failing string
		want    health.Verdict
		shared  bool
	}{
		"green is well":      {"", health.Healthy, false},
		"green's code fails": {apiFunction + ":next", health.Unhealthy, false},
		"all fail":           {everyFunction, health.Unknown, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployed(t)
			d.withAccessLog()
			d.failing.Store(tt.failing)
			w := &tailed{world: d.world, got: map[string]int{}}
			w.tail = awsapi.NewTail(w.clients, wire.Account, topology.Cell{Region: greenRegion}, accessLog, "/healthz", w.clock)
			w.run()
			w.whole("live tail")
			judge := health.NewEvidence(w.tail, w.clock.Now, health.EvidenceOptions{
				Policy: evidence.DefaultPolicy(0.01, 100), Silent: time.Minute, MinRequests: 5,
			})
			turned := w.clock.Now()
			for range 200 {
				d.visit()
			}
			var got health.Finding
			for look := 0; look < 200 && (look == 0 || got.Verdict == health.Unknown && !got.Shared); look++ {
				w.clock.Advance(500 * time.Millisecond)
				if err := (clock.Real{}).Sleep(t.Context(), 5*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				got = judge.Look(t.Context(), turned, health.Sides{DialsAt: turned, Base: true, Canary: true})
			}
			if got.Verdict != tt.want || got.Shared != tt.shared || !strings.Contains(got.Detail, "by live tail") {
				t.Errorf("%v, shared %v: %s; want %v, %v", got.Verdict, got.Shared, got.Detail, tt.want, tt.shared)
			}
		})
	}
}

// A promotion takes the canary away, and API Gateway then says of no request
// whose it is. What the promoted version answers is counted nevertheless: else
// no promotion would ever be confirmed.
func TestRequestsAreCountedAfterThePromotion(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.withAccessLog()
	w := &tailed{world: d.world, got: map[string]int{}}
	w.tail = awsapi.NewTail(w.clients, wire.Account, topology.Cell{Region: greenRegion}, accessLog, "/healthz", w.clock)
	w.run()
	w.whole("live tail")
	judge := health.NewEvidence(w.tail, w.clock.Now, health.EvidenceOptions{
		Policy: evidence.DefaultPolicy(0.01, 100), Silent: time.Minute, MinRequests: 5,
	})
	d.patch(apitypes.OpRemove, "/canarySettings", "")
	w.clock.Advance(10 * time.Second) // in force
	promoted := w.clock.Now()
	for range 20 {
		d.visit()
	}
	got := health.Finding{Verdict: health.Unknown}
	for look := 0; look < 200 && got.Verdict != health.Healthy; look++ {
		w.clock.Advance(500 * time.Millisecond)
		if err := (clock.Real{}).Sleep(t.Context(), 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		got = judge.Look(t.Context(), promoted, health.Sides{DialsAt: promoted, Base: true, Promoted: true})
	}
	if got.Verdict != health.Healthy || !strings.Contains(got.Detail, "base 0 of 20") {
		t.Errorf("%v: %s; want the 20 requests of the promoted version, and no doubt", got.Verdict, got.Detail)
	}
}

// withAccessLog makes the stage write one, as infra does.
func (d *deployed) withAccessLog() {
	d.t.Helper()
	for _, group := range []string{accessLog, topology.CanaryLog(accessLog)} {
		ok[*cloudwatchlogs.CreateLogGroupOutput](d.t)(d.clients.Logs(greenRegion).CreateLogGroup(d.t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}))
	}
	ok[*apigateway.UpdateAccountOutput](d.t)(d.clients.APIGateway(greenRegion).UpdateAccount(d.t.Context(), &apigateway.UpdateAccountInput{PatchOperations: []apitypes.PatchOperation{
		{Op: apitypes.OpReplace, Path: aws.String("/cloudwatchRoleArn"), Value: aws.String("arn:aws:iam::000000000000:role/logging")},
	}}))
	d.patch(apitypes.OpReplace, "/accessLogSettings/destinationArn", "arn:aws:logs:"+greenRegion+":"+wire.Account+":log-group:"+accessLog)
	d.patch(apitypes.OpReplace, "/accessLogSettings/format", topology.AccessLogFormat)
}

// visit is a user's request at green.
func (d *deployed) visit() {
	url := "https://" + d.top.Target.RestAPI + ".execute-api." + greenRegion + ".amazonaws.com/prod"
	d.gateway.FrontDoor(greenRegion).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, url, nil))
}
