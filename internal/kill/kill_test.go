package kill_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tapctl/tapctl/internal/cutover"
)

// scenario is a run that is killed at every call.
type scenario struct {
	name    string
	release bool       // the migration is done: version 1 is live in green, 2 the candidate
	prepare [][]string // what is done before, with its exit code in front
	dials   cutover.Dials
	command []string
	env     []string // beside that of every run
	code    int      // that it ends with where nobody is killed
}

// unapproved goes back by itself and harms nobody: a gate that nobody opens.
var unapproved = []string{"TAPCTL_SHIFT_APPROVE=30", "TAPCTL_SHIFT_APPROVE_TIMEOUT=1m"}

var (
	wholeShift    = scenario{name: "shift", command: []string{"shift"}}
	wholeRollback = scenario{name: "rollback", prepare: [][]string{{"8", "shift", "--once"}}, dials: cutover.Dials{DNS: 50, Canary: 50}, command: []string{"rollback"}}
	wholeRelease  = scenario{name: "release", release: true, dials: cutover.Dials{DNS: 100}, command: []string{"shift"}}
	wholePromote  = scenario{name: "promote", release: true, prepare: [][]string{{"0", "shift", "--no-promote"}}, dials: cutover.Dials{DNS: 100, Canary: 100}, command: []string{"promote"}}
	wholeRetreat  = scenario{name: "retreat", command: []string{"shift"}, env: unapproved, code: 4}
	shapedRetreat = scenario{name: "shaped", command: []string{"shift"}, env: append([]string{"TAPCTL_SHIFT_RETREAT_STEP=20", "TAPCTL_SHIFT_RETREAT_PAUSE=10s"}, unapproved...), code: 4}
)

// The ways to go on after a kill.
const (
	resume   = "resume"   // shift --resume, once the dead runner's lease has expired
	goBack   = "rollback" // at once
	finishIt = "finish"   // shift, under lease.on_expired: finish
	revertIt = "revert"   // shift, under lease.on_expired: revert
)

// kill is one case.
type kill struct {
	scenario scenario
	at       point
	side     string
	then     string
}

func (k kill) String() string {
	return fmt.Sprintf("%s/%v/%s/%s", k.scenario.name, k.at, k.side, k.then)
}

// without preflight a shift is half as long; a kill in it needs it.
//
// Without it the lease may be as short as a call of the retreat, a heartbeat and
// a poll allow: a resume waits it out.
var noPreflight = []string{"TAPCTL_PROBE_PREFLIGHT=false", "TAPCTL_LEASE_TTL=100s"}

func preflightAt(at point) []string {
	if at.Operation == "Invoke" {
		return nil
	}
	return noPreflight
}

// clean runs a scenario without a strike and returns its calls.
func (w *world) clean(t *testing.T, s scenario) []*call {
	t.Helper()
	w.begin(t, s)
	w.run(t, s.env, s.code, s.command...)
	calls := w.recorded()
	w.held(t, w.origin(s), calls)
	w.unharmed(t)
	return calls
}

// begin brings the world to where the scenario starts.
func (w *world) begin(t *testing.T, s scenario) {
	t.Helper()
	w.restore(t)
	if s.release {
		w.migrated(t)
	}
	for _, command := range s.prepare {
		p := w.start(t, nil, noPreflight, command[1:]...)
		if code := fmt.Sprint(p.code(t)); code != command[0] {
			t.Fatalf("%s: exit code %s, want %s:\n%s", p.name, code, command[0], p.output.String())
		}
	}
	w.recorded() // what led here is no part of the case
}

// origin is where the dials stand when the scenario starts.
func (w *world) origin(s scenario) cutover.Setting {
	from := cutover.Setting{Dials: s.dials, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	if s.release {
		from.Base = cutover.Live
	}
	return from
}

// target is where a rollback of the scenario goes.
func (s scenario) target() cutover.Setting {
	if s.release {
		return cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1"}
	}
	return cutover.Setting{Base: cutover.Forwarder}
}

// TestKills kills a whole shift, a whole rollback and a promotion, by a release
// and by the command, at their calls and goes on by each of the ways that the
// runbook names.
//
// Every call that changes the world, the journal or the lease is struck on
// both sides. Of a row of identical reads (the same operation in the same
// phase) the first, one in the middle and the last are struck, on one side
// each: AWS is the same after either. Of a release only what differs from a
// migration is: what turns a dial, and the promotion; of a shift that goes back
// by itself, at once or in portions, what changes something on the way back.
// 'make kill' takes every call on both.
func TestKills(t *testing.T) {
	all := pool.get(t)
	var cases []kill
	for _, s := range []scenario{wholeShift, wholeRollback, wholeRelease, wholePromote, wholeRetreat, shapedRetreat} {
		if only != "" && !strings.HasPrefix(only, s.name) {
			continue
		}
		cases = append(cases, killsOf(s, recordedBy(t, all, s))...)
	}
	if only != "" {
		cases = slices.DeleteFunc(cases, func(k kill) bool { return !strings.HasPrefix(k.String(), only) })
	}
	var struck, shorter atomic.Int64
	each(t, all, cases, func(t *testing.T, w *world, k kill) {
		for !w.kill(t, k) {
			// This time the phase had fewer looks than when it was recorded.
			shorter.Add(1)
			if k.at.Nth == 1 {
				t.Errorf("%v was never called", k.at)
			}
			if k.at.Nth == 1 {
				return
			}
			k.at.Nth = (k.at.Nth + 1) / 2
		}
		struck.Add(1)
	})
	for _, w := range all {
		t.Logf("users of world %d were answered by %v", w.number, w.answeredBy())
	}
	t.Logf("%d cases of %d struck (%d times a phase was shorter than recorded); one again: TAPCTL_KILL=shift/turning-1/UpdateStage/1/after/finish go test -run TestKills ./internal/kill", struck.Load(), len(cases), shorter.Load())
}

// recordedBy are the calls of the scenario where nobody is killed, without
// those that one world made and another did not: how often a phase looks is
// chance.
func recordedBy(t *testing.T, all []*world, s scenario) []*call {
	t.Helper()
	var runs [][]*call
	for _, w := range all {
		runs = append(runs, w.clean(t, s))
	}
	if t.Failed() {
		t.Fatalf("%s does not even work while nobody is killed", s.name)
	}
	return slices.DeleteFunc(runs[0], func(c *call) bool {
		return slices.ContainsFunc(runs[1:], func(other []*call) bool {
			return !slices.ContainsFunc(other, func(o *call) bool { return o.point == c.point })
		})
	})
}

// killsOf pairs the points with the sides and the ways to go on. The ways take
// turns; of the points that change something each side has its own.
func killsOf(s scenario, calls []*call) []kill {
	var cases []kill
	ways := []string{resume, goBack, finishIt, goBack, resume, goBack, revertIt, goBack}
	for i, at := range pointsOf(calls, every) {
		own := slices.Contains(turns, at.Operation) || strings.HasPrefix(at.Place, string(cutover.Promoting))
		switch {
		case s.release && !own && !every, s.code != 0 && !wayBack(at):
		case s.code != 0:
			cases = append(cases, kill{s, at, before, goBack}, kill{s, at, after, ways[i%len(ways)]})
		case every:
			for _, side := range []string{before, after} {
				cases = append(cases, kill{s, at, side, ways[i%len(ways)]}, kill{s, at, side, ways[(i+1)%len(ways)]})
			}
		case slices.Contains(changes, at.Operation):
			cases = append(cases, kill{s, at, before, ways[i%len(ways)]}, kill{s, at, after, ways[(i+1)%len(ways)]})
		default:
			cases = append(cases, kill{s, at, []string{before, after}[i/len(ways)%2], ways[i%len(ways)]})
		}
	}
	return cases
}

// wayBack is true of what changes something in a retreat.
func wayBack(at point) bool {
	back := strings.HasPrefix(at.Place, string(cutover.Retreating)) || strings.HasPrefix(at.Place, string(cutover.RolledBack))
	return back && slices.Contains(changes, at.Operation)
}

// each plays the cases, as many at once as there are worlds.
func each[C fmt.Stringer](t *testing.T, all []*world, cases []C, play func(*testing.T, *world, C)) {
	t.Helper()
	next := make(chan C, len(cases))
	for _, c := range cases {
		next <- c
	}
	close(next)
	t.Run("cases", func(t *testing.T) {
		for _, w := range all {
			t.Run(fmt.Sprintf("world-%d", w.number), func(t *testing.T) {
				t.Parallel()
				for c := range next {
					t.Run(c.String(), func(t *testing.T) {
						play(t, w, c)
						if t.Failed() {
							t.Logf("again: TAPCTL_KILL=%v go test -run %s ./internal/kill", c, strings.SplitN(t.Name(), "/", 2)[0])
						}
					})
				}
			})
		}
	})
}

// kill plays one case; struck is false where the run did not come to the point.
func (w *world) kill(t *testing.T, k kill) (struck bool) {
	t.Helper()
	w.begin(t, k.scenario)
	p := w.start(t, &strike{k.at, k.side, (*process).kill}, slices.Concat(preflightAt(k.at), k.scenario.env), k.scenario.command...)
	if !p.struckOrEnded(t) {
		if code := p.code(t); code != k.scenario.code {
			t.Errorf("%s: exit code %d and nobody killed it:\n%s", p.name, code, p.output.String())
		}
		return false
	}
	if code := p.code(t); code != -1 {
		t.Errorf("%s was killed and has exit code %d", p.name, code)
	}
	left := w.look(t)
	w.journalled(t, k, left)
	w.goOn(t, k, left)
	w.held(t, w.origin(k.scenario), w.recorded())
	w.unharmed(t)
	return true
}

// journalled: wherever a run dies, each dial stands where the journal says it
// was, or where it says that it is to go.
func (w *world) journalled(t *testing.T, k kill, s seen) {
	t.Helper()
	may := []cutover.Setting{s.shift.Last, s.shift.Want}
	if !s.found { // nothing was intended yet, so nothing may have moved
		may = []cutover.Setting{w.origin(k.scenario)}
	}
	if k.scenario.name == wholeRollback.name {
		// Its calls come before its journal: losing that must not delay them.
		may = append(may, w.origin(k.scenario), k.scenario.target())
	}
	if s.shift.Phase == cutover.Retreating {
		may = append(may, s.shift.Target)
	}
	for _, d := range dials {
		if !slices.ContainsFunc(may, func(m cutover.Setting) bool { return d.of(m) == d.of(s.live) }) {
			t.Errorf("killed at %v: %s stands at %v; the journal has %s, last %+v, want %+v", k.at, d.name, d.of(s.live), s.shift.Phase, s.shift.Last, s.shift.Want)
		}
	}
}

// dial reads one off a setting.
type dial struct {
	name string
	of   func(cutover.Setting) any
}

var dials = []dial{
	{"dns", func(s cutover.Setting) any { return s.DNS }},
	{"canary", func(s cutover.Setting) any { return s.Canary }},
	{"base", func(s cutover.Setting) any { return s.Base }},
}

// foreign is true where a dial stands at neither of the journal's values: a
// run that resumes must not take it for its own.
func foreign(s seen) bool {
	return slices.ContainsFunc(dials, func(d dial) bool {
		return d.of(s.live) != d.of(s.shift.Last) && d.of(s.live) != d.of(s.shift.Want)
	})
}

// goOn does what the runbook says, and holds the end to what the journal said
// when the run was killed.
func (w *world) goOn(t *testing.T, k kill, left seen) {
	t.Helper()
	open := left.found && left.shift.Phase.Open()
	if k.then == goBack {
		w.run(t, nil, 0, "rollback")
		w.ended(t, w.look(t), cutover.RolledBack, k.scenario.target())
		return
	}
	w.outlast(t, left.lease)
	env, command := noPreflight, []string{"shift", "--resume"}
	if (k.then == finishIt || k.then == revertIt) && open && !left.shift.Phase.Terminal() {
		env, command = append([]string{"TAPCTL_LEASE_ON_EXPIRED=" + k.then}, noPreflight...), []string{"shift"}
	}
	switch {
	case !open:
		w.run(t, env, 3, command...)
		if now := w.look(t); now.live != left.live || now.shift.Phase != left.shift.Phase {
			t.Errorf("refused, and yet %+v became %+v", left.live, now.live)
		}
	case left.shift.Phase == cutover.Retreating, command[len(command)-1] == "shift" && k.then == revertIt:
		w.run(t, env, 4, command...)
		w.ended(t, w.look(t), cutover.RolledBack, left.shift.Target)
	case foreign(left):
		// The rollback's calls arrived and its record did not: docs/cutover.md.
		w.run(t, env, 5, command...)
		w.ended(t, w.look(t), cutover.Uncertain, left.live)
		w.run(t, nil, 0, "rollback")
		w.ended(t, w.look(t), cutover.RolledBack, left.shift.Target)
	default:
		w.run(t, env, 0, command...)
		w.ended(t, w.look(t), cutover.Completed, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2"})
	}
}

// ended holds the dials and the journal at the end of a run that ended itself.
func (w *world) ended(t *testing.T, s seen, phase cutover.Phase, want cutover.Setting) {
	t.Helper()
	if s.live.Dials != want.Dials || s.live.Base != want.Base || want.LiveVersion != "" && s.live.LiveVersion != want.LiveVersion {
		t.Errorf("the dials end at %+v, want %+v", s.live, want)
	}
	if s.shift.Phase != phase {
		t.Errorf("the journal ends %s (%s), want %s", s.shift.Phase, s.shift.Reason, phase)
	}
	if s.lease.Expires.After(w.server.Clock().Now()) {
		t.Errorf("the lease is held until %v by a run that has ended", s.lease.Expires)
	}
}
