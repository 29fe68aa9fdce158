package app_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

// A dry run says what the run would do, which is not always the plan's steps:
// one that would go back once showed the way up.
func TestADryRunTellsWhatTheRunWouldDo(t *testing.T) {
	t.Parallel()
	steps := []cutover.Dials{{DNS: 50, Canary: 50}, {DNS: 100, Canary: 100}}
	at := func(phase cutover.Phase, step int) cutover.State {
		return cutover.State{Phase: phase, Step: step, Plan: cutover.Plan{Steps: steps}, Last: cutover.Setting{Dials: steps[0], Base: cutover.Forwarder}, Target: blueAnswers, Want: promoted, Reason: "its runner died"}
	}
	for name, tt := range map[string]struct {
		state  cutover.State
		steps  int
		reason string
	}{
		"a new one":       {at(cutover.Turning, 0), 2, "dry run: nothing was changed"},
		"a resumed step":  {at(cutover.Turning, 1), 1, "dry run: nothing was changed"},
		"at a gate":       {at(cutover.Gated, 0), 1, "dry run: nothing was changed"},
		"at the last one": {at(cutover.Gated, 1), 0, "dry run: nothing was changed"},
		"in a promotion":  {at(cutover.Promoting, 1), 0, "dry run: every step is done; would finish the promotion of version 2 and confirm it"},
		"confirming":      {at(cutover.Confirming, 1), 0, "dry run: every step is done; would finish the promotion of version 2 and confirm it"},
		"going back":      {at(cutover.Retreating, 1), 0, "dry run: would go back to dns 0%, canary 0%, base forwarder (exposure 0%): its runner died"},
	} {
		r := app.DryRun(tt.state, true)
		if len(r.Steps) != tt.steps || r.Reason != tt.reason || r.NextCommand != "tapctl shift --resume" {
			t.Errorf("%s: %d step(s), %q, next %q", name, len(r.Steps), r.Reason, r.NextCommand)
		}
	}
}

// A dry run changes nothing and keeps nobody out: it looks at the lease, and
// does not take it.
func TestADryRunTakesNoLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeControl()
	w.weigh(100, 0)
	lease := func() cutover.Lease { return ok[cutover.Lease](t)(w.control().Lease(t.Context())) }
	if held, err := w.Look(t.Context()); held != nil || err != nil || lease().Token != 0 {
		t.Errorf("deploy: held %v, %v; lease %+v", held, err, lease())
	}
	other := ok[*awsapi.Held](t)(w.control().Take(t.Context(), cutover.Lease{Owner: "b", Purpose: "shift", Expires: w.Clock.Now().Add(time.Hour)}, w.Clock.Now()))
	if _, err := w.Look(t.Context()); err != nil {
		t.Errorf("deploy, beside a shift: %v", err)
	}
	ask := app.ShiftAsk{DryRun: true, Ask: cutover.Ask{Step: 50, To: 100, Via: cutover.ViaBoth}}
	if _, err := w.Shift(t.Context(), ask); !isHeld(err) {
		t.Errorf("a shift beside a shift: %v", err)
	}
	w.weigh(0, 100)
	w.green.turn(100)
	if _, err := w.Promote(t.Context(), true); !isHeld(err) {
		t.Errorf("promote beside a shift: %v", err)
	}
	if err := errors.Join(other.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.Held}), other.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	_, deploy := w.Look(t.Context())
	_, promote := w.Promote(t.Context(), true)
	for _, err := range []error{deploy, promote} {
		if exitCode(err) != 3 || !strings.Contains(err.Error(), ": shift 1 is open (held, ") {
			t.Errorf("beside an open shift: %v", err)
		}
	}
	if got := lease(); got.Token != 1 {
		t.Errorf("the lease was taken: %+v", got)
	}
}

func isHeld(err error) bool {
	_, held := errors.AsType[*cutover.LeaseHeld](err)
	return held
}

// What the journal said before a deploy had the lease is read again under it.
func TestDeployLooksAgainUnderTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeControl()
	w.weigh(100, 0)
	began := false
	w.hook = func(service, operation string, body []byte) mood {
		if began || service != "dynamodb" || !strings.HasSuffix(operation, ".UpdateItem") {
			return answers
		}
		began = true // a shift of one step begins and holds before the lease is granted
		other, err := w.control().Seize(t.Context(), cutover.Lease{Owner: "b", Expires: start}, start)
		if err == nil {
			err = other.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.Held})
		}
		if err != nil {
			t.Error(err)
		}
		return answers
	}
	if err := w.Guard(t.Context()); exitCode(err) != 3 || !strings.Contains(err.Error(), "shift 1 is open") {
		t.Errorf("want a refusal, got %v", err)
	}
}
