package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// TestAnApprovalThatComesTooLateIsRefused: the run would not heed it.
func TestAnApprovalThatComesTooLateIsRefused(t *testing.T) {
	t.Parallel()
	shut := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	gated := cutover.State{
		ID: "s", Phase: cutover.Held, HeldIn: cutover.Gated, PhaseAt: shut,
		Plan: cutover.Plan{Steps: []cutover.Dials{{DNS: 10}, {DNS: 100}}, Gates: []cutover.Gate{{Step: 1, Timeout: time.Hour}}},
	}
	ahead := gated
	ahead.Phase, ahead.HeldIn = cutover.Baking, ""
	for name, tt := range map[string]struct {
		shift   cutover.State
		after   time.Duration
		refusal string
	}{
		"in time":         {gated, time.Hour - 1, ""},
		"too late":        {gated, time.Hour, "had to be approved by 2026-03-01T13:00:00Z"},
		"not yet reached": {ahead, 48 * time.Hour, ""},
	} {
		done, err := approvalOf(tt.shift, true, "ann", shut.Add(tt.after))
		var refusal *Refused
		switch {
		case tt.refusal == "" && (err != nil || done.Step != 2):
			t.Errorf("%s: %+v, %v", name, done, err)
		case tt.refusal != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refusal) || !strings.Contains(refusal.Next, "tapctl rollback")):
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
}
