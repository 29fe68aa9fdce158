package awsapi_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/tapctl/tapctl/internal/awsapi"
)

// minute records a value in the middle of the minute that began so long ago.
func (w *world) minute(ago int, region, namespace, name string, dimensions map[string]string, values ...float64) {
	at := w.clock.Now().Truncate(time.Minute).Add(-time.Duration(ago)*time.Minute + 30*time.Second)
	for _, value := range values {
		w.cloudwatch.Record(at, region, namespace, name, dimensions, value, "None")
	}
}

func TestRequestRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Advance(time.Hour)
	rate := func() float64 {
		return ok[float64](t)(w.clients.RequestRate(t.Context(), greenRegion, "Shop-prod-api", "prod", 10*time.Minute, w.clock.Now()))
	}
	if got := rate(); got != 0 {
		t.Errorf("nobody came: %v a second", got)
	}
	prod := map[string]string{"ApiName": "Shop-prod-api", "Stage": "prod"}
	for _, ago := range []int{3, 4} {
		for range 90 {
			w.minute(ago, greenRegion, "AWS/ApiGateway", "Count", prod, 1)
		}
	}
	w.minute(5, greenRegion, "AWS/ApiGateway", "Count", map[string]string{"ApiName": "another", "Stage": "prod"}, 1)
	w.minute(20, greenRegion, "AWS/ApiGateway", "Count", prod, 1) // before the window
	if got := rate(); got != 1.5 {
		t.Errorf("180 requests in two minutes: %v a second, want 1.5", got)
	}
}

func TestReplicationLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Advance(time.Hour)
	lag := func() (time.Duration, bool) {
		lag, found, err := w.clients.ReplicationLag(t.Context(), greenRegion, blueRegion, "Shop-prod-items", 10*time.Minute, w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return lag, found
	}
	if got, found := lag(); found {
		t.Errorf("nothing was replicated: %v", got)
	}
	toBlue := map[string]string{"TableName": "Shop-prod-items", "ReceivingRegion": blueRegion}
	w.minute(3, greenRegion, "AWS/DynamoDB", "ReplicationLatency", toBlue, 700, 1900)
	w.minute(4, greenRegion, "AWS/DynamoDB", "ReplicationLatency", toBlue, 1200)
	w.minute(3, blueRegion, "AWS/DynamoDB", "ReplicationLatency", toBlue, 9000) // the other way
	if got, found := lag(); !found || got != 1900*time.Millisecond {
		t.Errorf("%v (found %v), want the longest: 1.9 s", got, found)
	}
}

// Silence is evidence only where the log would have told: API Gateway's own
// count is what a dead one is found by.
func TestADeadAccessLogIsNoSilence(t *testing.T) {
	t.Parallel()
	const group = "/tapctl/Shop-prod-api/access"
	w := newDeployed(t)
	w.clock.Advance(time.Hour)
	now := w.clock.Now()
	cell := w.top.Target
	seen := func() awsapi.Visitors {
		t.Helper()
		w.clock.Advance(time.Second) // FilterLogEvents has a quota
		return ok[awsapi.Visitors](t)(w.clients.Logged(t.Context(), awsapi.Visitors{}, cell, "Shop-prod-api", group, now.Add(-15*time.Minute), now))
	}
	if got := seen(); got.Unlogged(5) {
		t.Errorf("nobody came: %+v", got)
	}
	prod := map[string]string{"ApiName": "Shop-prod-api", "Stage": "prod"}
	w.minute(70, greenRegion, "AWS/ApiGateway", "Count", prod, 100) // the stage is 60 minutes old
	if got := ok[awsapi.Visitors](t)(w.clients.Logged(t.Context(), awsapi.Visitors{}, cell, "Shop-prod-api", group, now.Add(-2*time.Hour), now)); got.Counted != 0 {
		t.Errorf("an earlier stage of the name is counted: %+v", got)
	}
	for range 20 {
		w.minute(3, greenRegion, "AWS/ApiGateway", "Count", prod, 1)
	}
	w.minute(20, greenRegion, "AWS/ApiGateway", "Count", prod, 1) // before the window
	if got := seen(); got.Counted != 20 || !got.Unlogged(5) {
		t.Errorf("the log group is gone, and 20 requests were counted: %+v", got)
	}
	ok[*cloudwatchlogs.CreateLogGroupOutput](t)(w.clients.Logs(greenRegion).CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(group)}))
	if got := seen(); !got.Unlogged(5) {
		t.Errorf("the log is empty, and 20 requests were counted: %+v", got)
	}
	for range 10 {
		if err := w.logs.Deliver(now.Add(-3*time.Minute), now.Add(-3*time.Minute), greenRegion, group, "s", `{"path":"/healthz"}`); err != nil {
			t.Fatal(err)
		}
	}
	if got := seen(); got.Lines != 10 || got.Unlogged(5) {
		t.Errorf("half of them are in the log: %+v", got)
	}
	cell.Stage = "gone"
	if got := seen(); got.Counted != 0 {
		t.Errorf("a stage that is gone serves nobody: %+v", got)
	}
}
