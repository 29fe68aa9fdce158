package kill_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tapctl/tapctl/internal/cutover"
)

// stopped is one case: a runner suspended at a call, whose request arrives
// before it sleeps or when it wakes.
type stopped struct {
	at    point
	side  string // after: the request arrives at once, its answer when it wakes
	taker string // who takes over: resume or rollback
}

func (s stopped) String() string { return fmt.Sprintf("shift/%v/%s/%s", s.at, s.side, s.taker) }

// TestTwoRunners suspends a runner at what it is about to change, lets another
// take over, and wakes the first while the second is at work. The first must
// turn nothing upward any more, but for the one write that was under way
// (docs/cutover.md, Fencing), and must say that another run decides.
func TestTwoRunners(t *testing.T) {
	all := pool.get(t)
	var cases []stopped
	for i, at := range kindsOf(recordedBy(t, all, wholeShift)) {
		reads := at.Operation == "GetStage" // one look in each phase
		if at.Place == "start" || at.Place == "completed-2" && at.Operation != save || at.Place == "run" || !reads && !slices.Contains(changes, at.Operation) {
			continue // it does not hold the lease yet, or needs it no more
		}
		takers := []string{resume, goBack}
		for j, side := range []string{before, after} {
			cases = append(cases, stopped{at, side, takers[(i+j)%2]})
			if every {
				cases = append(cases, stopped{at, side, takers[(i+j+1)%2]})
			}
		}
	}
	if only != "" {
		cases = slices.DeleteFunc(cases, func(s stopped) bool { return !strings.HasPrefix(s.String(), only) })
	}
	each(t, all, cases, func(t *testing.T, w *world, s stopped) { w.twoRunners(t, s) })
	t.Logf("%d cases", len(cases))
}

func (w *world) twoRunners(t *testing.T, s stopped) {
	t.Helper()
	w.begin(t, wholeShift)
	asleep, awake := make(chan struct{}), make(chan struct{})
	old := w.start(t, &strike{s.at, s.side, func(p *process) bool {
		p.signal(syscall.SIGSTOP)
		close(asleep)
		<-awake
		return true
	}}, noPreflight, "shift")
	old.name = "the suspended shift"
	wake := func() {
		select {
		case <-awake:
		default:
			close(awake)
			old.signal(syscall.SIGCONT)
		}
	}
	t.Cleanup(wake) // a request that is held would keep the proxy from closing
	if !old.struckOrEnded(t) {
		t.Fatalf("%v was never called", s.at)
	}
	<-asleep
	command := []string{"rollback"}
	if s.taker == resume {
		left := w.look(t)
		w.outlast(t, left.lease)
		if command = []string{"shift", "--resume"}; !left.found || !left.shift.Phase.Open() {
			command = []string{"shift"} // the first has not journalled anything
		}
	}
	// The first is woken by the second's first look: the lease is its own then.
	other := w.start(t, &strike{point{"start", "GetStage", 1}, after, func(*process) bool {
		wake()
		return true
	}}, noPreflight, command...)
	otherCode, oldCode := other.code(t), old.code(t)
	now := w.look(t)
	ends := w.settled(s, otherCode, oldCode, now)
	if ends != "" {
		t.Errorf("suspended at %v (%s): %s; the second ended %d, the first %d; live %+v, journal %s (%s)",
			s.at, s.side, ends, otherCode, oldCode, now.live, now.shift.Phase, now.shift.Reason)
		t.Logf("[%s]\n%s", other.name, other.output.String())
		t.Logf("[%s]\n%s", old.name, old.output.String())
	}
	w.held(t, w.origin(wholeShift), w.recorded())
	w.unharmed(t)
}

// settled says what is wrong with how two runners ended, or "".
func (w *world) settled(s stopped, otherCode, oldCode int, now seen) string {
	want, phase, code := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live}, cutover.Completed, 0
	if s.taker == goBack {
		want, phase = cutover.Setting{Base: cutover.Forwarder}, cutover.RolledBack
	}
	old := 5
	if s.at.Place == "completed-2" && s.side == after {
		old = 0 // the journal had taken its end before anybody took over
	}
	switch {
	case otherCode != code:
		return fmt.Sprintf("the second's exit code is not %d", code)
	case oldCode != old:
		return fmt.Sprintf("the first's exit code is not %d", old)
	case now.shift.Phase != phase:
		return "the journal does not end " + string(phase)
	case now.live.Dials != want.Dials || now.live.Base != want.Base:
		return fmt.Sprintf("the dials do not end at %+v", want)
	default:
		return ""
	}
}
