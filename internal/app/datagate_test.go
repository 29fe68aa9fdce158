package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/health"
	localddb "github.com/tapctl/tapctl/internal/localaws/dynamodb"
)

// TestTheDataIsAskedInBothRegions: a table that replicates is well; one whose
// items are late, that has no copy where users are to go, or that cannot be
// read, is waited for.
func TestTheDataIsAskedInBothRegions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeControl()
	top := w.top
	top.Table, top.Bucket = w.Config.Name("control"), nil // any global table will do
	w.goesOn()
	wants := func(what string, verdict health.Verdict, detail string) {
		t.Helper()
		if got := w.ReadData(t.Context(), top); got.Verdict != verdict || !strings.Contains(got.Detail, detail) {
			t.Errorf("%s: %v (%s), want %v with %q", what, got.Verdict, got.Detail, verdict, detail)
		}
	}
	wants("a global table", health.Healthy, "every copy is ACTIVE")
	w.cloudwatch.Record(w.time.Now().Add(-3*time.Minute), greenRegion, "AWS/DynamoDB", "ReplicationLatency",
		map[string]string{"TableName": top.Table, "ReceivingRegion": blueRegion}, 45_000, "Milliseconds")
	wants("late on its way back", health.Unknown, "45s from "+greenRegion+" to "+blueRegion)
	w.set(blueRegion, refuses)
	wants("blue's region refuses", health.Unknown, "cannot be read")
	w.set(blueRegion, answers)
	top.Table = "elsewhere"
	wants("no such table", health.Unknown, "cannot be read")
}

// TestWhatS3GaveUpIsAskedFor: an object that was not replicated holds a shift,
// in either direction, and is not asked for where there are no buckets.
func TestWhatS3GaveUpIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeControl()
	top := w.top
	top.Table, top.Bucket = w.Config.Name("control"), map[string]string{blueRegion: "b", greenRegion: "g"}
	w.goesOn()
	failed := func(ago time.Duration, n float64) {
		w.cloudwatch.Record(w.time.Now().Add(-ago), greenRegion, "AWS/S3", "OperationsFailedReplication",
			map[string]string{"SourceBucket": "g", "DestinationBucket": "b", "RuleId": "to-" + blueRegion}, n, "Count")
	}
	failed(20*time.Minute, 1) // too long ago to hold anybody
	failed(3*time.Minute, 0)
	if got := w.ReadData(t.Context(), top); got.Verdict != health.Healthy {
		t.Errorf("nothing of late: %v (%s)", got.Verdict, got.Detail)
	}
	failed(5*time.Minute, 2)
	if got := w.ReadData(t.Context(), top); got.Verdict != health.Unknown || !strings.Contains(got.Detail, "gave up replicating 2 time(s) lately from "+greenRegion) {
		t.Errorf("two of late: %v (%s)", got.Verdict, got.Detail)
	}
}

// TestAnItemThatDoesNotArriveIsSeen: nobody writes, so no metric tells that
// replication stands still; tapctl's own item does, each time anew.
func TestAnItemThatDoesNotArriveIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *localddb.Options) { o.ReplicationLag = 2 * time.Minute })
	w.makeControl()
	top := w.top
	top.Table, top.Bucket = w.Config.Name("control"), nil
	w.time.Advance(time.Hour)
	w.goesOn()
	for range 2 { // the first has long arrived when the second is written
		if got := w.ReadData(t.Context(), top); got.Verdict != health.Unknown || !strings.Contains(got.Detail, "an item written in "+blueRegion+" has not arrived in "+greenRegion+" after 3") {
			t.Errorf("%v (%s)", got.Verdict, got.Detail)
		}
		w.time.Advance(time.Hour)
	}
}

// goesOn gives the app the clock of its world, and lets it run until the test
// ends.
func (w *world) goesOn() {
	w.App.Clock = w.time
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for (clock.Real{}).Sleep(ctx, time.Millisecond) == nil {
			w.time.Advance(100 * time.Millisecond)
		}
	}()
	w.t.Cleanup(func() { cancel(); <-done })
}
