package app_test

import (
	"testing"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/cutover"
)

func TestStatusNamesTheNextCommand(t *testing.T) {
	t.Parallel()
	at := func(dns, canary cutover.Percent, base cutover.Base) cutover.Setting {
		return cutover.Setting{Dials: cutover.Dials{DNS: dns, Canary: canary}, Base: base, LiveVersion: "1", NextVersion: "2"}
	}
	blue, half, all := at(0, 0, cutover.Forwarder), at(50, 50, cutover.Forwarder), at(100, 100, cutover.Forwarder)
	in := func(phase cutover.Phase) cutover.State {
		return cutover.State{ID: "s", Phase: phase, Touched: true, Last: cutover.Setting{NextVersion: "2"}}
	}
	gate := in(cutover.Held)
	gate.HeldIn = cutover.Gated
	for _, tt := range []struct {
		name                  string
		live                  cutover.Setting
		newest                cutover.State
		unread, held, retired bool
		want                  string
	}{
		{name: "as deploy left it", live: blue, want: "tapctl verify, then tapctl shift"},
		{name: "not all was read", live: blue, unread: true, want: "tapctl status, again; tapctl rollback works meanwhile"},
		{name: "a run is at work", live: half, newest: in(cutover.Baking), held: true, want: "tapctl status --watch; tapctl rollback works at any time"},
		{name: "it waits at a gate", live: half, newest: in(cutover.Gated), held: true, want: "tapctl approve, then tapctl shift --resume where no run waits; or tapctl rollback"},
		{name: "held at a gate", live: half, newest: gate, want: "tapctl approve, then tapctl shift --resume where no run waits; or tapctl rollback"},
		{name: "its runner died", live: half, newest: in(cutover.Baking), want: "tapctl shift --resume, or tapctl rollback"},
		{name: "uncertain", live: half, newest: in(cutover.Uncertain), want: "tapctl rollback"},
		{name: "a part, and no shift is open", live: half, newest: in(cutover.Completed), want: "tapctl shift, or tapctl rollback"},
		{name: "not promoted", live: all, newest: in(cutover.Completed), want: "tapctl promote, or tapctl rollback"},
		{name: "sent back", live: blue, newest: in(cutover.RolledBack), want: "correct green, then: tapctl deploy && tapctl shift"},
		{name: "sent back, and corrected", live: cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "3"}, newest: in(cutover.RolledBack), want: "tapctl verify, then tapctl shift"},
		{name: "promoted", live: promoted, newest: in(cutover.Completed), want: "tapctl retire --dry-run, or tapctl rollback"},
		{name: "blue is gone", live: promoted, newest: in(cutover.Completed), retired: true, want: "tapctl deploy, then tapctl shift, with the next release"},
		{name: "a release waits", live: before, newest: in(cutover.Completed), retired: true, want: "tapctl verify, then tapctl shift"},
		{name: "a part of a release", live: at(100, 20, cutover.Live), newest: in(cutover.Completed), want: "tapctl shift, or tapctl rollback"},
		{name: "a whole one", live: at(100, 100, cutover.Live), newest: in(cutover.Completed), want: "tapctl promote, or tapctl rollback"},
	} {
		if got := app.NextOf(tt.live, tt.newest, !tt.unread, tt.held, tt.retired); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
