package awsapi_test

import (
	"testing"
	"time"
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
