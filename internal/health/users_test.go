package health_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/ramp"
)

// probe adds n probes of a side, of which the first failed have status 502.
func (f *fed) probe(at time.Time, canary bool, n, failed int) {
	before := len(f.batch.Requests)
	f.put(at, canary, n, failed)
	for i := range f.batch.Requests[before:] {
		f.batch.Requests[before+i].Probe = true
	}
}

// TestProbesAreNoUsers: they are judged, and where nobody demands users they
// will do, which is said; a demand for users and a budget of harm they do not
// meet.
func TestProbesAreNoUsers(t *testing.T) {
	t.Parallel()
	taken := stepAt.Add(lag)
	both, promoted := health.Sides{DialsAt: stepAt, Base: true, Canary: true, Ahead: 0.0008}, health.Sides{DialsAt: stepAt, Base: true, Promoted: true}
	const alone = "by probes alone, no user's request to green was seen: "
	for _, tt := range []struct {
		name   string
		wanted int
		budget bool
		sides  health.Sides
		put    func(*fed)
		want   health.Verdict
		detail string
		not    string
	}{
		{"nobody at all", 0, false, both, func(*fed) {}, health.Unknown, "no request of this step", ""},
		{"probes of the base side alone", 0, false, both, func(f *fed) { f.probe(taken, false, 9, 0) }, health.Unknown, "0 of 1 requests of the canary", ""},
		{"probes alone", 0, false, both, func(f *fed) { f.probe(taken, true, 5, 0); f.probe(taken, false, 9, 0) }, health.Healthy, alone + "canary failed 0 of 5 requests", ""},
		{"users at the base side alone", 0, false, both, func(f *fed) { f.probe(taken, true, 5, 0); f.put(taken, false, 9, 0) }, health.Healthy, alone, ""},
		{"users and probes", 0, false, both, func(f *fed) { f.probe(taken, true, 5, 0); f.put(taken, true, 2, 0); f.put(taken, false, 9, 0) }, health.Healthy, "canary failed 0 of 7 requests, base 0 of 9, by live tail; users' were 2 and 9, the rest is probes", alone},
		{"users alone", 0, false, both, func(f *fed) { f.put(taken, true, 2, 0); f.put(taken, false, 9, 0) }, health.Healthy, "", "users"},
		{"probes that fail", 0, false, both, func(f *fed) { f.probe(taken, true, 20, 10); f.put(taken, false, 180, 0) }, health.Unhealthy, "green fails", ""},
		{"users are demanded, and do not come", 3, false, both, func(f *fed) { f.probe(taken, true, 50, 0); f.put(taken, false, 9, 0) }, health.Unknown, "0 of 3 users' requests of the canary", ""},
		{"users are demanded, and are too few", 3, false, both, func(f *fed) { f.probe(taken, true, 50, 0); f.put(taken, true, 2, 0) }, health.Unknown, "2 of 3 users' requests", ""},
		{"users are demanded, and come", 3, false, both, func(f *fed) { f.put(taken, true, 3, 0) }, health.Healthy, "", ""},
		{"users are demanded of the promoted version", 3, false, promoted, func(f *fed) { f.probe(taken, false, 50, 0); f.put(taken, false, 2, 0) }, health.Unknown, "2 of 3 users' requests of the promoted version", ""},
		{"promoted, probes alone", 0, false, promoted, func(f *fed) { f.probe(taken, false, 50, 0) }, health.Healthy, alone + "promoted", ""},
		{"promoted, users", 0, false, promoted, func(f *fed) { f.put(taken, false, 50, 0) }, health.Healthy, "promoted", "users"},
		{"a budget is not carried by probes", 0, true, both, func(f *fed) { f.probe(taken, true, 40_000, 0); f.put(taken, false, 9, 0) }, health.Unknown, "hold: green answered 0 requests at this weight, 3 are wanted", ""},
		{"a budget is carried by users", 0, true, both, func(f *fed) { f.put(taken, true, 40, 0); f.put(taken, false, 9, 0) }, health.Healthy, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fed{batch: health.Batch{Source: "live tail"}, now: stepAt.Add(20 * time.Second)}
			o := health.EvidenceOptions{Policy: evidence.DefaultPolicy(0.01, 1000), Lag: lag, Silent: silent, MinRequests: tt.wanted}
			if tt.budget {
				budget := ramp.Default(1000, 12*time.Second)
				o.Budget = &budget
			}
			e := health.NewEvidence(f, f.Now, o)
			tt.put(f)
			got := e.Look(context.Background(), stepAt, tt.sides)
			if got.Verdict != tt.want || !strings.Contains(got.Detail, tt.detail) || tt.not != "" && strings.Contains(got.Detail, tt.not) {
				t.Errorf("%v (%s); want %v, with %q, without %q", got.Verdict, got.Detail, tt.want, tt.detail, tt.not)
			}
		})
	}
}
