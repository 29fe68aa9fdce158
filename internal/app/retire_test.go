package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// open are the facts of a migration that may be retired.
func open() app.RetireFacts {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return app.RetireFacts{
		Now: now, Live: cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "3", NextVersion: "3"},
		Shift: cutover.State{ID: "s", Phase: cutover.Completed, Last: promoted, PhaseAt: now.Add(-24 * time.Hour)}, Found: true,
		Visitors: awsapi.Visitors{Requests: 5, Sample: []string{"a"}}, GreenHealthy: true, GreenMinutes: 5,
		After: 24 * time.Hour, Quiet: 15 * time.Minute, MaxRequests: 5,
	}
}

// closed are the names of the gates that are shut.
func closed(f app.RetireFacts) string {
	var names []string
	for _, gate := range app.RetireGates(f) {
		if !gate.OK {
			names = append(names, gate.Name)
			if gate.Detail == "" || gate.Next == "" {
				names = append(names, "without reason or next command")
			}
		}
	}
	return strings.Join(names, ", ")
}

func TestRetireGates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*app.RetireFacts)
		want   string
	}{
		"open":                       {func(*app.RetireFacts) {}, ""},
		"the forwarder still serves": {func(f *app.RetireFacts) { f.Live.Base = cutover.Forwarder }, "promoted"},
		"a canary is open":           {func(f *app.RetireFacts) { f.Live.Canary = 1 }, "promoted"},
		"blue has answers":           {func(f *app.RetireFacts) { f.Live.DNS = 99 }, "all traffic on green"},
		"a second too early":         {func(f *app.RetireFacts) { f.Shift.PhaseAt = f.Shift.PhaseAt.Add(time.Second) }, "settled"},
		"no shift in the journal":    {func(f *app.RetireFacts) { f.Found, f.Shift = false, cutover.State{} }, "settled"},
		"a migration went back":      {func(f *app.RetireFacts) { f.Shift.Phase, f.Shift.Touched = cutover.RolledBack, true }, "settled"},
		"a release went back, within green": {func(f *app.RetireFacts) {
			f.Shift.Phase, f.Shift.Touched, f.Shift.Target = cutover.RolledBack, true, cutover.TargetOf(before)
		}, ""},
		"a release went back a second too late": {func(f *app.RetireFacts) {
			f.Shift.Phase, f.Shift.Target, f.Shift.Ended = cutover.RolledBack, cutover.TargetOf(before), f.Shift.PhaseAt.Add(time.Second)
		}, "settled"},
		"a release touched nothing": {func(f *app.RetireFacts) {
			f.Shift.Phase, f.Shift.Target = cutover.RolledBack, cutover.TargetOf(before)
		}, ""},
		"a release within a part of the users went back": {func(f *app.RetireFacts) {
			f.Shift.Phase, f.Shift.Target = cutover.RolledBack, cutover.TargetOf(cutover.Setting{Dials: cutover.Dials{DNS: 60}, Base: cutover.Live})
		}, "settled"},
		"the last one ended half-way": {func(f *app.RetireFacts) { f.Shift.Last.DNS = 50 }, "settled"},
		"it was not promoted":         {func(f *app.RetireFacts) { f.Shift.Last.Base = cutover.Forwarder }, "settled"},
		"nobody knows how it ended":   {func(f *app.RetireFacts) { f.Shift.Phase = cutover.Uncertain }, "settled"},
		"no time asked for":           {func(f *app.RetireFacts) { f.After, f.Found, f.Shift = 0, false, cutover.State{} }, ""},
		"one visitor too many":        {func(f *app.RetireFacts) { f.Visitors.Requests = 6 }, "blue is quiet"},
		"nobody may be there":         {func(f *app.RetireFacts) { f.MaxRequests, f.Visitors.Requests = 0, 1 }, "blue is quiet"},
		"the log has none of them":    {func(f *app.RetireFacts) { f.Visitors.Counted = 6 }, "blue is quiet"},
		"the log has less than half":  {func(f *app.RetireFacts) { f.Visitors.Counted, f.Visitors.Lines = 100, 49 }, "blue is quiet"},
		"the log has what came":       {func(f *app.RetireFacts) { f.Visitors.Counted, f.Visitors.Lines = 100, 50 }, ""},
		"few were counted":            {func(f *app.RetireFacts) { f.Visitors.Counted = 5 }, ""},
		"green is unhealthy":          {func(f *app.RetireFacts) { f.GreenHealthy = false }, "green is healthy"},
		"green has a minute of data":  {func(f *app.RetireFacts) { f.GreenMinutes = 1 }, "green is healthy"},
		"green has two":               {func(f *app.RetireFacts) { f.GreenMinutes = 2 }, "green is healthy"},
		"green has just enough":       {func(f *app.RetireFacts) { f.GreenMinutes = 3 }, ""},
		"an external source unseen":   {func(f *app.RetireFacts) { f.External, f.Visitors = true, awsapi.Visitors{} }, "blue is quiet"},
		"an external source looked at": {func(f *app.RetireFacts) {
			f.External, f.ExternalQuiet, f.Visitors = true, true, awsapi.Visitors{}
		}, ""},
		"the operator's word is not for a blue that can be seen": {func(f *app.RetireFacts) {
			f.ExternalQuiet, f.Visitors.Requests = true, 6
		}, "blue is quiet"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := open()
			test.change(&facts)
			if got := closed(facts); got != test.want {
				t.Errorf("closed: %q, want %q", got, test.want)
			}
		})
	}
}

// What a retire tells the table, it tells as the holder of the lease: a rollback
// in between went by the table before, and may have sent everybody to blue.
func TestATopologyIsStoredUnderTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeControl()
	held := ok[*awsapi.Held](t)(w.Take(t.Context(), "retire"))
	gone := w.top
	gone.Retired = true
	stored := func() bool { return ok[topology.Topology](t)(w.control().Topology(t.Context())).Retired }
	ok[*awsapi.Held](t)(w.control().Seize(t.Context(), cutover.Lease{Owner: "a rollback", Expires: w.Clock.Now()}, w.Clock.Now()))
	if fenced, is := errors.AsType[*app.Fenced](w.Store(t.Context(), held, gone)); !is || fenced.Purpose != "retire" || stored() {
		t.Errorf("after a rollback: %v, retired %v", fenced, stored())
	}
	held = ok[*awsapi.Held](t)(w.Take(t.Context(), "retire"))
	// A copy that cannot be written changes nothing about what the table knows.
	w.StateDir = filepath.Join(w.StateDir, "no folder")
	if err := os.WriteFile(w.StateDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Store(t.Context(), held, gone); err == nil || exitCode(err) == 3 || !stored() {
		t.Errorf("without a copy: %v, exit %d, retired %v", err, exitCode(err), stored())
	}
}

// The gates were asked before the lease was this run's: what a rollback did
// until then is seen under it.
func TestRetireLooksAgainUnderTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.top.External, w.top.Target.HealthCheck = "https://old.example.com", "hc"
	w.Config.Retire.After = 0
	w.makeControl()
	w.weigh(0, 100)
	w.green.promote()
	for range 5 { // of good data behind green's check
		w.cloudwatch.Record(w.time.Now(), "us-east-1", "AWS/Route53", "HealthCheckStatus", map[string]string{"HealthCheckId": "hc"}, 1, "None")
		w.time.Advance(time.Minute)
	}
	w.Clock = w.time
	w.mu.Lock()
	w.hook = func(service, operation string, _ []byte) mood {
		if service == "dynamodb" && strings.HasSuffix(operation, ".UpdateItem") {
			w.green.turn(5) // whoever had the lease did
		}
		return answers
	}
	w.mu.Unlock()
	report, err := w.Retire(t.Context(), app.RetireAsk{ExternalQuiet: true})
	if exitCode(err) != 3 || !strings.HasPrefix(err.Error(), "retire: promoted: dns 100%, canary 5%") || report.Outcome != "refused" {
		t.Errorf("%+v, %v", report, err)
	}
	if ok[topology.Topology](t)(w.control().Topology(t.Context())).Retired {
		t.Error("the table was told all the same")
	}
}
