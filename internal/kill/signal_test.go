package kill_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// grace is what CI leaves between SIGTERM and SIGKILL, real time.
const grace = 5 * time.Second

// signalled is one case.
type signalled struct {
	scenario scenario
	at       point
	policy   string // shift.on_signal
}

func (s signalled) String() string { return fmt.Sprintf("%s/%v/%s", s.scenario.name, s.at, s.policy) }

// looksLeft is how many times a run may still read the stage once a signal
// came: the look under way, the retreat's own, and reading it back. At the
// speed of this clock a wait costs no seconds, so they are counted as looks.
const looksLeft = 4

// TestSignals sends SIGTERM at the first of each kind of call of each phase of a
// shift, under both policies in turn, and at each call of a rollback that changes
// something, or of a shift that goes back by itself, under the one that must not
// hold it up. The run must end within
// seconds, and what it did then must have been sent and journalled.
func TestSignals(t *testing.T) {
	all := pool.get(t)
	var cases []signalled
	policies := []string{"rollback", "hold"}
	if only == "" || strings.HasPrefix(only, wholeShift.name) {
		for i, at := range kindsOf(recordedBy(t, all, wholeShift)) {
			if every {
				cases = append(cases, signalled{wholeShift, at, policies[1-i%2]})
			}
			cases = append(cases, signalled{wholeShift, at, policies[i%2]})
		}
	}
	if only == "" || strings.HasPrefix(only, wholeRollback.name) {
		for _, at := range pointsOf(recordedBy(t, all, wholeRollback), false) {
			if every || slices.Contains(changes, at.Operation) {
				cases = append(cases, signalled{wholeRollback, at, "hold"})
			}
		}
	}
	for _, s := range []scenario{wholeRetreat, shapedRetreat} {
		if only != "" && !strings.HasPrefix(only, s.name) {
			continue
		}
		for _, at := range pointsOf(recordedBy(t, all, s), false) {
			if wayBack(at) {
				cases = append(cases, signalled{s, at, "hold"})
			}
		}
	}
	if only != "" {
		cases = slices.DeleteFunc(cases, func(s signalled) bool { return !strings.HasPrefix(s.String(), only) })
	}
	each(t, all, cases, func(t *testing.T, w *world, s signalled) { w.signal(t, s) })
	t.Logf("%d cases", len(cases))
}

// kindsOf are the points of a recorded run without repetitions: of each
// operation in each phase the first, of what turns a dial every one. 'make
// kill' takes both steps, and every record and heartbeat.
func kindsOf(calls []*call) []point {
	had := map[point]bool{}
	return slices.DeleteFunc(pointsOf(calls, false), func(at point) bool {
		if slices.Contains(turns, at.Operation) || every && slices.Contains(changes, at.Operation) {
			return false
		}
		kind := point{Place: at.Place, Operation: at.Operation}
		if !every {
			kind.Place, _, _ = strings.Cut(at.Place, "-")
		}
		again := had[kind]
		had[kind] = true
		return again
	})
}

func (w *world) signal(t *testing.T, s signalled) {
	t.Helper()
	w.begin(t, s.scenario)
	sent := make(chan time.Time, 1)
	var moment int
	p := w.start(t, &strike{s.at, before, func(p *process) bool {
		w.mu.Lock()
		moment = w.moment
		w.mu.Unlock()
		sent <- p.signal(syscall.SIGTERM)
		return true
	}}, slices.Concat(preflightAt(s.at), s.scenario.env, []string{"TAPCTL_SHIFT_ON_SIGNAL=" + s.policy}), s.scenario.command...)
	if !p.struckOrEnded(t) {
		if code := p.code(t); code != s.scenario.code || s.at.Nth == 1 && s.at.Place != "run" {
			t.Errorf("%v was never called, and the run ended with %d:\n%s", s.at, code, p.output.String())
		}
		return
	}
	code := p.code(t)
	if took := (clock.Real{}).Now().Sub(<-sent); took > grace {
		t.Errorf("it ended %v after the signal, which leaves %v", took, grace)
	}
	// The lease is given up right before the receipt, which may have begun as the
	// signal comes through, and ends by it: app's TestASignalEndsTheReceipt.
	waited := s.at.Operation != releaseLease && strings.Contains(p.output.String(), "waiting 1m0s for resolvers")
	if looks := p.calls(moment, "GetStage"); looks > looksLeft || waited {
		t.Errorf("%d looks after the signal, and no time to wait:\n%s", looks, p.output.String())
	}
	now, from := w.look(t), w.origin(s.scenario)
	switch touched := p.turned(); {
	case s.scenario.name != wholeShift.name:
		if code != s.scenario.code {
			t.Errorf("exit code %d on the way back after a signal at %v:\n%s", code, s.at, p.output.String())
		}
		w.ended(t, now, cutover.RolledBack, s.scenario.target())
	case code == 143 && !touched:
		// One that comes before the shift is known leaves no record of it.
		if now.live != from || now.found && now.shift.Phase.Open() || now.lease.Expires.After(w.server.Clock().Now()) {
			t.Errorf("143, and the dials stand at %+v, the journal at %s, the lease is held until %v", now.live, now.shift.Phase, now.lease.Expires)
		}
	case code == 4 && touched && s.policy == "rollback":
		w.ended(t, now, cutover.RolledBack, cutover.Setting{Base: cutover.Forwarder})
	case code == 8 && touched && s.policy == "hold":
		w.ended(t, now, cutover.Held, now.live)
		if foreign(now) {
			t.Errorf("held at %+v; the journal has last %+v, want %+v", now.live, now.shift.Last, now.shift.Want)
		}
	case code == 0 && strings.HasPrefix(s.at.Place, "completed"):
		w.ended(t, now, cutover.Completed, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live})
	default:
		t.Errorf("exit code %d after a signal at %v, under %s (anything turned: %v):\n%s", code, s.at, s.policy, touched, p.output.String())
	}
	w.held(t, from, w.recorded())
	w.unharmed(t)
}

// turned is true where the process asked for a dial to be turned.
func (p *process) turned() bool { return p.calls(0, turns...) > 0 }

// calls counts the process's calls of these operations after a moment.
func (p *process) calls(since int, operations ...string) int {
	w := p.proxy.world
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c.by == p && c.arrived > since && slices.Contains(operations, c.Operation) {
			n++
		}
	}
	return n
}
