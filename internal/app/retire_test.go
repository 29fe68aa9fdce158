package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

// open are the facts of a migration that may be retired.
func open() app.RetireFacts {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return app.RetireFacts{
		Now: now, Live: cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "3", NextVersion: "3"},
		Shift: cutover.State{ID: "s", Phase: cutover.Completed, PhaseAt: now.Add(-24 * time.Hour)}, Found: true,
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
		"the last one went back":     {func(f *app.RetireFacts) { f.Shift.Phase = cutover.RolledBack }, "settled"},
		"no time asked for":          {func(f *app.RetireFacts) { f.After, f.Found, f.Shift = 0, false, cutover.State{} }, ""},
		"one visitor too many":       {func(f *app.RetireFacts) { f.Visitors.Requests = 6 }, "blue is quiet"},
		"nobody may be there":        {func(f *app.RetireFacts) { f.MaxRequests, f.Visitors.Requests = 0, 1 }, "blue is quiet"},
		"green is unhealthy":         {func(f *app.RetireFacts) { f.GreenHealthy = false }, "green is healthy"},
		"green has a minute of data": {func(f *app.RetireFacts) { f.GreenMinutes = 1 }, "green is healthy"},
		"green has two":              {func(f *app.RetireFacts) { f.GreenMinutes = 2 }, "green is healthy"},
		"green has just enough":      {func(f *app.RetireFacts) { f.GreenMinutes = 3 }, ""},
		"an external source unseen":  {func(f *app.RetireFacts) { f.External, f.Visitors = true, awsapi.Visitors{} }, "blue is quiet"},
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
