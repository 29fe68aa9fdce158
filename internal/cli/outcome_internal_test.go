package cli

import (
	"testing"

	"github.com/tapctl/tapctl/internal/app"
)

// Every outcome has its exit code (docs/runbook.md), and one that nobody knows
// asks for a person.
func TestShiftCode(t *testing.T) {
	t.Parallel()
	want := map[app.Outcome]int{
		app.Completed: 0, app.Held: 8, app.RolledBack: 4, app.Declined: 3, app.Uncertain: 5, app.Failed: 1,
	}
	var c command
	for _, outcome := range append(app.Outcomes, "", "unheard of") {
		code, known := want[outcome]
		if !known {
			code = 5
		}
		if got := c.shiftCode(app.Report{Outcome: outcome}); got != code {
			t.Errorf("%q: exit code %d, want %d", outcome, got, code)
		}
	}
	if len(want) != len(app.Outcomes) {
		t.Errorf("%d outcomes, %d have a row here", len(app.Outcomes), len(want))
	}
	stopped := app.Report{Outcome: app.RolledBack, Stopped: true}
	if got := c.shiftCode(stopped); got != 130 {
		t.Errorf("stopped before it touched anything: exit code %d, want 130", got)
	}
	if stopped.Touched = true; c.shiftCode(stopped) != 4 {
		t.Errorf("stopped after it touched something: exit code %d, want 4", c.shiftCode(stopped))
	}
}
