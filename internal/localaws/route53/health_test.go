package route53_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/route53"
)

func (w *world) mustCheck(reference string, config types.HealthCheckConfig) string {
	w.t.Helper()
	out, err := w.client.CreateHealthCheck(context.Background(), &sdk.CreateHealthCheckInput{CallerReference: aws.String(reference), HealthCheckConfig: &config})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.HealthCheck.Id)
}

func (w *world) endpointCheck(host string, threshold int32) string {
	w.t.Helper()
	return w.mustCheck(host, types.HealthCheckConfig{Type: types.HealthCheckTypeHttps, FullyQualifiedDomainName: aws.String(host),
		ResourcePath: aws.String("/healthz"), RequestInterval: aws.Int32(10), FailureThreshold: aws.Int32(threshold)})
}

// eventually moves the clock a second at a time until the condition holds:
// the checkers run beside the test, over real sockets.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for range 3000 {
		if holds() {
			return
		}
		w.clock.Advance(time.Second)
		if err := (clock.Real{}).Sleep(context.Background(), time.Millisecond); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatalf("never: %s", what)
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.service.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
}

type sink struct {
	mu     sync.Mutex
	points map[string]float64
}

func (s *sink) Record(_ time.Time, region, namespace, name string, dimensions map[string]string, value float64, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points[strings.Join([]string{region, namespace, name, dimensions["HealthCheckId"]}, " ")] = value
}

func TestEndpointCheckFollowsTheEndpoint(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	status.Store(http.StatusOK)
	var servername, path atomic.Value
	endpoint := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		servername.Store(r.TLS.ServerName + " " + r.Host)
		path.Store(r.URL.Path)
		rw.WriteHeader(int(status.Load()))
	}))
	defer endpoint.Close()
	points := &sink{points: map[string]float64{}}
	w := newWorld(t, func(o *route53.Options) {
		o.Metrics = points
		o.Dial = func(ctx context.Context, host string, port int) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", endpoint.Listener.Addr().String())
		}
	})
	id := w.endpointCheck("green.example.com", 3)
	w.mustChange(do("CREATE", alias("blue", "eu-west-1", 0, "")), do("CREATE", alias("green", "eu-central-1", 100, id)))
	w.settle()
	w.run()
	w.eventually("a probe", func() bool { return path.Load() != nil })
	if !w.service.Healthy(id) {
		t.Error("a healthy endpoint is unhealthy")
	}
	status.Store(http.StatusForbidden)
	w.eventually("unhealthy", func() bool { return !w.service.Healthy(id) })
	if diff := cmp.Diff(map[string]int{"NOERROR 127.0.0.2": 20}, w.split("api.example.com.", 20)); diff != "" {
		t.Errorf("a weight of 0 must stand in for the unhealthy 100:\n%s", diff)
	}
	key := "us-east-1 AWS/Route53 HealthCheckStatus " + id
	w.eventually("the metric", func() bool {
		points.mu.Lock()
		defer points.mu.Unlock()
		value, ok := points.points[key]
		return ok && value == 0
	})
	status.Store(http.StatusMovedPermanently)
	w.eventually("healthy again", func() bool { return w.service.Healthy(id) })
	if got := servername.Load(); got != "green.example.com green.example.com" {
		t.Errorf("SNI and Host: %v", got)
	}
}

type alarms struct {
	mu                 sync.Mutex
	breaching, hasData bool
	copies             int
}

func (a *alarms) set(breaching, hasData bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.breaching, a.hasData = breaching, hasData
}

func (a *alarms) CopyAlarm(_, name string) (func(time.Time) (bool, bool), bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name != "errors" {
		return nil, false
	}
	a.copies++
	return func(time.Time) (bool, bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.breaching, a.hasData
	}, true
}

func alarmConfig(name string, insufficient types.InsufficientDataHealthStatus) types.HealthCheckConfig {
	return types.HealthCheckConfig{Type: types.HealthCheckTypeCloudwatchMetric, InsufficientDataHealthStatus: insufficient,
		AlarmIdentifier: &types.AlarmIdentifier{Name: aws.String(name), Region: types.CloudWatchRegionEuWest1}}
}

func TestAlarmChecks(t *testing.T) {
	t.Parallel()
	source := &alarms{}
	w := newWorld(t, func(o *route53.Options) { o.Alarms = source })
	healthy := w.mustCheck("h", alarmConfig("errors", "Healthy"))
	unhealthy := w.mustCheck("u", alarmConfig("errors", "Unhealthy"))
	last := w.mustCheck("l", alarmConfig("errors", "LastKnownStatus"))
	both := w.mustCheck("both", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: aws.Int32(2), ChildHealthChecks: []string{healthy, last}})
	inverted := w.mustCheck("inv", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: aws.Int32(1), ChildHealthChecks: []string{healthy}, Inverted: aws.Bool(true)})
	disabled := w.mustCheck("dis", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: aws.Int32(5), ChildHealthChecks: []string{healthy}, Disabled: aws.Bool(true)})
	ids := []string{healthy, unhealthy, last, both, inverted, disabled}
	statuses := func() string {
		var out strings.Builder
		for _, id := range ids {
			out.WriteString(map[bool]string{true: "1", false: "0"}[w.service.Healthy(id)])
		}
		return out.String()
	}
	w.run()
	for _, step := range []struct {
		breaching, hasData bool
		want               string
	}{
		{false, false, "101101"}, // no data: last known starts as healthy
		{true, true, "000011"},
		{false, false, "100001"}, // no data: last known stays down
		{false, true, "111101"},
		{true, false, "101101"},
	} {
		source.set(step.breaching, step.hasData)
		w.eventually("statuses "+step.want, func() bool { return statuses() == step.want })
	}
	_, err := w.client.CreateHealthCheck(context.Background(), &sdk.CreateHealthCheckInput{CallerReference: aws.String("x"), HealthCheckConfig: pointer(alarmConfig("none", "Healthy"))})
	if codeOf(err) != "InvalidInput" {
		t.Errorf("unknown alarm: %v", err)
	}
	before := source.copies
	if _, err := w.client.UpdateHealthCheck(context.Background(), &sdk.UpdateHealthCheckInput{HealthCheckId: aws.String(healthy), AlarmIdentifier: &types.AlarmIdentifier{Name: aws.String("errors"), Region: types.CloudWatchRegionEuWest1}}); err != nil {
		t.Fatal(err)
	}
	if source.copies != before+1 {
		t.Error("UpdateHealthCheck did not copy the alarm's definition again")
	}
}

func TestHealthCheckControlPlane(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := context.Background()
	id := w.endpointCheck("a.example.com", 3)
	if again := w.endpointCheck("a.example.com", 3); again != id {
		t.Error("the same reference and configuration made a second check")
	}
	_, err := w.client.CreateHealthCheck(ctx, &sdk.CreateHealthCheckInput{CallerReference: aws.String("a.example.com"),
		HealthCheckConfig: &types.HealthCheckConfig{Type: types.HealthCheckTypeHttp, FullyQualifiedDomainName: aws.String("a.example.com")}})
	if codeOf(err) != "HealthCheckAlreadyExists" {
		t.Errorf("same reference, other configuration: %v", err)
	}
	updated, err := w.client.UpdateHealthCheck(ctx, &sdk.UpdateHealthCheckInput{HealthCheckId: aws.String(id), HealthCheckVersion: aws.Int64(1), FailureThreshold: aws.Int32(5)})
	if err != nil || *updated.HealthCheck.HealthCheckVersion != 2 || *updated.HealthCheck.HealthCheckConfig.FailureThreshold != 5 {
		t.Errorf("update: %v %v", updated, err)
	}
	if _, err := w.client.UpdateHealthCheck(ctx, &sdk.UpdateHealthCheckInput{HealthCheckId: aws.String(id), HealthCheckVersion: aws.Int64(1), FailureThreshold: aws.Int32(5)}); codeOf(err) != "HealthCheckVersionMismatch" {
		t.Errorf("stale update: %v", err)
	}
	parent := w.mustCheck("p", types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: aws.Int32(1), ChildHealthChecks: []string{id}})
	_, err = w.client.CreateHealthCheck(ctx, &sdk.CreateHealthCheckInput{CallerReference: aws.String("n"),
		HealthCheckConfig: &types.HealthCheckConfig{Type: types.HealthCheckTypeCalculated, HealthThreshold: aws.Int32(1), ChildHealthChecks: []string{parent}}})
	if codeOf(err) != "InvalidInput" {
		t.Errorf("nested calculated check: %v", err)
	}
	if _, err := w.client.GetHealthCheckStatus(ctx, &sdk.GetHealthCheckStatusInput{HealthCheckId: aws.String(parent)}); codeOf(err) != "InvalidInput" {
		t.Errorf("status of a calculated check: %v", err)
	}
	if out, err := w.client.GetHealthCheckStatus(ctx, &sdk.GetHealthCheckStatusInput{HealthCheckId: aws.String(id)}); err != nil || len(out.HealthCheckObservations) == 0 {
		t.Errorf("status: %v %v", out, err)
	}
	if _, err := w.client.DeleteHealthCheck(ctx, &sdk.DeleteHealthCheckInput{HealthCheckId: aws.String(id)}); codeOf(err) != "HealthCheckInUse" {
		t.Errorf("delete a child: %v", err)
	}
	for _, gone := range []string{parent, id} {
		if _, err := w.client.DeleteHealthCheck(ctx, &sdk.DeleteHealthCheckInput{HealthCheckId: aws.String(gone)}); err != nil {
			t.Error(err)
		}
	}
	if count, err := w.client.GetHealthCheckCount(ctx, &sdk.GetHealthCheckCountInput{}); err != nil || *count.HealthCheckCount != 0 {
		t.Errorf("count: %v %v", count, err)
	}
	if _, err := w.client.GetHealthCheck(ctx, &sdk.GetHealthCheckInput{HealthCheckId: aws.String(id)}); codeOf(err) != "NoSuchHealthCheck" {
		t.Errorf("get a deleted check: %v", err)
	}
}

func pointer[T any](v T) *T { return &v }

func TestStatusTurnsAfterTheThresholdInARow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		threshold    int32
		probes, want string // one letter a probe: + or -; the status after it
	}{
		{3, "--+---+-++-+++", "+++++------" + "--+"},
		{1, "-+-", "-+-"},
		{2, "--++", "+--+"},
	} {
		w := newWorld(t, nil)
		id := w.endpointCheck("a.example.com", tt.threshold)
		var got strings.Builder
		for _, probe := range tt.probes {
			var failure error
			if probe == '-' {
				failure = errors.New("HTTP Status Code 500")
			}
			w.service.Observe(w.clock.Now(), id, failure)
			got.WriteString(map[bool]string{true: "+", false: "-"}[w.service.Healthy(id)])
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" {
			t.Errorf("threshold %d, probes %s:\n%s", tt.threshold, tt.probes, diff)
		}
	}
}

func TestCheckShowsTheCopiedAlarm(t *testing.T) {
	t.Parallel()
	threshold := 5.0
	w := newWorld(t, func(o *route53.Options) {
		o.Alarms = &alarms{}
		o.DescribeAlarm = func(region, name string) (route53.AlarmConfiguration, bool) {
			return route53.AlarmConfiguration{EvaluationPeriods: 2, Threshold: threshold, Period: 60, MetricName: "5XXError", Namespace: "AWS/ApiGateway", Statistic: "Average",
				ComparisonOperator: "GreaterThanThreshold", Dimensions: []route53.Dimension{{Name: "ApiName", Value: region + name}}}, true
		}
	})
	id := w.mustCheck("a", alarmConfig("errors", "Healthy"))
	threshold = 9
	shown := func() *types.CloudWatchAlarmConfiguration {
		out, err := w.client.GetHealthCheck(context.Background(), &sdk.GetHealthCheckInput{HealthCheckId: aws.String(id)})
		if err != nil {
			t.Fatal(err)
		}
		return out.HealthCheck.CloudWatchAlarmConfiguration
	}
	if got := shown(); got == nil || *got.Threshold != 5 || len(got.Dimensions) != 1 || *got.Dimensions[0].Value != "eu-west-1errors" {
		t.Errorf("shown %+v, want the definition as it was copied", got)
	}
	if _, err := w.client.UpdateHealthCheck(context.Background(), &sdk.UpdateHealthCheckInput{HealthCheckId: aws.String(id)}); err != nil {
		t.Fatal(err)
	}
	if got := shown(); *got.Threshold != 9 {
		t.Errorf("threshold %v after an update, want the alarm's new 9", *got.Threshold)
	}
}
