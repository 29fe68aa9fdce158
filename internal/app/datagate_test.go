package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/health"
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
	w.App.Clock = w.time
	w.time.Advance(time.Hour)
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
