package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/report"
)

var event = cutover.Event{
	At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Kind: cutover.EventRetreat, Text: "retreating: 100% bad\nvery", Steps: 10,
	Live: &cutover.Setting{Dials: cutover.Dials{DNS: 30, Canary: 30}, Base: cutover.Forwarder},
}

func told(format report.Format, color bool, events ...cutover.Event) string {
	var out bytes.Buffer
	r := report.New(format, &out, color)
	for _, e := range events {
		r.Event(e)
	}
	r.Flush()
	return out.String()
}

func TestPlainSaysWhereTrafficIs(t *testing.T) {
	t.Parallel()
	got := told(report.Plain, true, event)
	for _, want := range []string{"2026-03-01T12:00:00Z", "retreat", "exposure 9%"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if strings.Contains(got, "\033") {
		t.Errorf("plain output %q has escapes", got)
	}
}

// What nobody read is no zero.
func TestADialThatNobodyReadIsNotTold(t *testing.T) {
	t.Parallel()
	blind := event
	blind.Live = nil
	if got := told(report.Plain, false, blind); strings.Contains(got, "dns") {
		t.Errorf("plain: %q", got)
	}
	if got := told(report.JSON, false, blind); !strings.Contains(got, `"live":null`) {
		t.Errorf("JSON: %q", got)
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(told(report.JSON, false, event, event)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines for two events", len(lines))
	}
	var got cutover.Event
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil || got.Text != event.Text {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestGitHubAnnotates(t *testing.T) {
	t.Parallel()
	if got := told(report.GitHub, false, event); !strings.HasPrefix(got, "::error title=tapctl::retreating: 100%25 bad%0Avery\n") {
		t.Errorf("annotation is %q", got)
	}
}

func TestTTYRedrawsWaiting(t *testing.T) {
	t.Parallel()
	waiting := event
	waiting.Kind, waiting.Text = cutover.EventWait, "baking"
	got := told(report.TTY, false, waiting, waiting, event)
	if strings.Count(got, "\n") != 1 { // the event's own text has one, which is not told as a line
		t.Errorf("waiting lines were kept: %q", got)
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	env := func(values map[string]string) func(string) string { return func(k string) string { return values[k] } }
	tests := []struct {
		terminal bool
		env      map[string]string
		want     report.Format
	}{
		{true, nil, report.TTY},
		{false, nil, report.Plain},
		{true, map[string]string{"CI": "true"}, report.Plain},
		{true, map[string]string{"TERM": "dumb"}, report.Plain},
		{false, map[string]string{"GITHUB_ACTIONS": "true"}, report.GitHub},
	}
	for _, tt := range tests {
		if got := report.Detect(tt.terminal, env(tt.env)); got != tt.want {
			t.Errorf("Detect(%v, %v) = %s, want %s", tt.terminal, tt.env, got, tt.want)
		}
	}
}
