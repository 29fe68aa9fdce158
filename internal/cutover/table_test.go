package cutover_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

var update = flag.Bool("update", false, "rewrite the table in docs/cutover.md")

// look is a state and what is observed in it, for one cell of the table.
type look struct {
	s cutover.State
	o cutover.Observation
}

var (
	before   = cutover.Setting{Dials: cutover.Dials{Canary: 30}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	arrived  = cutover.Setting{Dials: cutover.Dials{DNS: 30, Canary: 30}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	promoted = cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
)

// lookIn is a phase in its middle: nothing is over, nothing is wrong.
func lookIn(phase cutover.Phase) look {
	p := plan()
	p.Settle, p.Bake, p.SyncTimeout, p.HoldTimeout, p.Linger = time.Minute, time.Minute, 5*time.Minute, 10*time.Minute, 75*time.Second
	s := cutover.Start("table", before, p, start)
	s.Phase, s.Touched, s.Want, s.Last = phase, true, arrived, arrived
	o := cutover.Observation{Now: start.Add(time.Second), Live: arrived, LiveKnown: true, Health: health.Fold(health.Finding{Verdict: health.Healthy})}
	switch phase {
	case cutover.Turning:
		s.Last, o.Live = before, before
	case cutover.Syncing:
		s.Change, s.Unsynced = "C1", true
	case cutover.Promoting:
		s.Step, s.Want = len(p.Steps)-1, promoted
	case cutover.Confirming:
		s.Step, s.Want, s.Last, o.Live = len(p.Steps)-1, promoted, promoted, promoted
	case cutover.Retreating:
		s.Want, s.Tries = s.Target, 1
	case cutover.Gated:
		s.Plan.Gates = []cutover.Gate{{Step: 1, Timeout: time.Hour}}
	case cutover.Settling, cutover.Baking, cutover.Completed, cutover.RolledBack, cutover.Held, cutover.Uncertain:
	}
	return look{s, o}
}

// over lets the phase reach what it waits for.
func (l *look) over() {
	switch l.s.Phase {
	case cutover.Turning, cutover.Promoting:
		l.o.Live = l.s.Want
		l.s.Unsynced = l.s.Phase == cutover.Turning
	case cutover.Syncing:
		l.o.InSync = true
	case cutover.Retreating:
		l.o.Live, l.s.Receipt.ReadBack = l.s.Target, start.Add(-2*time.Minute)
	case cutover.Settling, cutover.Baking, cutover.Confirming:
		l.s.PhaseAt = start.Add(-2 * time.Minute)
	case cutover.Gated:
		l.o.Approval.By = "somebody"
	case cutover.Completed, cutover.RolledBack, cutover.Held, cutover.Uncertain:
	}
}

func (l *look) verdict(v health.Verdict) { l.o.Health = health.Fold(health.Finding{Verdict: v}) }

var columns = []struct {
	name   string
	happen func(*look)
}{
	{"healthy", func(*look) {}},
	{"healthy, phase over", (*look).over},
	{"healthy, phase over, no time for a step", func(l *look) { l.over(); l.o.Until = l.o.Now.Add(time.Minute) }},
	{"unknown, phase over", func(l *look) { l.over(); l.verdict(health.Unknown) }},
	{"unknown for too long", func(l *look) {
		l.over()
		l.verdict(health.Unknown)
		l.s.UnknownSince = start.Add(-time.Hour)
	}},
	{"not approved in time", func(l *look) {
		if l.s.Phase == cutover.Gated {
			l.s.PhaseAt = start.Add(-2 * time.Hour)
		}
	}},
	{"unhealthy", func(l *look) { l.verdict(health.Unhealthy) }},
	{"dials unread", func(l *look) { l.o.LiveKnown, l.o.ReadError = false, "throttled" }},
	{"write failed", func(l *look) { l.s.Tries, l.o.Write = 1, cutover.WriteResult{Sent: true, Error: "throttled"} }},
	{"tries spent", func(l *look) { l.s.Tries = 99 }},
	{"journal lost", func(l *look) { l.o.Journal = "out of reach" }},
	{"signal", func(l *look) { l.o.Stop = true }},
	{"newer token", func(l *look) { l.o.Fenced = true }},
	{"foreign value", func(l *look) { l.o.Live.DNS = 77 }},
	{"foreign value stands", func(l *look) { l.o.Live.DNS, l.s.ForeignSince = 77, start.Add(-time.Hour) }},
	{"not in sync in time", func(l *look) {
		l.s.PhaseAt = start.Add(-time.Hour)
		if l.s.Phase == cutover.Retreating {
			l.o.Live, l.s.Receipt.ReadBack, l.s.Change, l.s.Unsynced = l.s.Target, start.Add(-time.Hour), "C1", true
		} else if l.s.Phase != cutover.Syncing {
			l.s.PhaseAt = start
		}
	}},
}

// answer is what Next does, in words.
func (l look) answer() string {
	next, actions := cutover.Next(l.s, l.o)
	var words []string
	for _, a := range actions {
		switch a.(type) {
		case cutover.Save:
			words = append(words, "journal")
		case cutover.SetCanary:
			words = append(words, "set canary")
		case cutover.SetDNS:
			words = append(words, "set dns")
		case cutover.Promote:
			words = append(words, "promote")
		case cutover.Retreat:
			words = append(words, "retreat")
		case cutover.Wait:
			words = append(words, "wait")
		case cutover.Announce, cutover.Finish:
		}
	}
	text := strings.Join(words, ", ")
	if next.Phase != l.s.Phase {
		text = strings.TrimSuffix("**"+string(next.Phase)+"**: "+text, ": ")
	}
	if text == "" {
		text = "-"
	}
	return text
}

// statesByEvents has a row for each phase and a column for each observation.
func statesByEvents() string {
	phases := []cutover.Phase{cutover.Turning, cutover.Syncing, cutover.Settling, cutover.Baking, cutover.Gated, cutover.Promoting, cutover.Confirming, cutover.Retreating}
	var b strings.Builder
	b.WriteString("| phase |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|" + strings.Repeat("---|", len(columns)+1) + "\n")
	for _, phase := range append(phases, cutover.Completed) {
		name := string(phase)
		if phase.Terminal() {
			name = "completed, rolled_back, held, uncertain"
		}
		fmt.Fprintf(&b, "| %s |", name)
		for _, c := range columns {
			l := lookIn(phase)
			c.happen(&l)
			fmt.Fprintf(&b, " %s |", l.answer())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestTable keeps the table in the documentation what Next does.
func TestTable(t *testing.T) {
	t.Parallel()
	const path, begin, end = "../../docs/cutover.md", "<!-- states x events: go test ./internal/cutover -run TestTable -update -->\n", "<!-- end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(text), begin)
	got, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s: the marks of the table are gone", path)
	}
	want := statesByEvents()
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s does not say what Next does; rewrite it with -update\n%s", path, diff)
	}
}
