package cutover_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// stuck is an AWS that does not answer until the caller gives up, and lets
// only the retreat through.
type stuck struct {
	looking  chan struct{}
	asked    bool
	retreats int
}

func (s *stuck) Read(ctx context.Context) (cutover.Setting, error) {
	if s.retreats > 0 {
		return cutover.Setting{Base: cutover.Forwarder}, nil
	}
	if !s.asked {
		s.asked = true
		close(s.looking)
	}
	<-ctx.Done()
	return cutover.Setting{}, ctx.Err()
}

func (s *stuck) Retreat(context.Context, cutover.Setting) (string, error) {
	s.retreats++
	return "", nil
}

func (s *stuck) SetDNS(context.Context, cutover.Percent, cutover.Percent) (string, error) {
	return "", nil
}
func (s *stuck) SetCanary(context.Context, cutover.Percent, cutover.Percent) error { return nil }
func (s *stuck) Promote(context.Context, cutover.Setting, cutover.Setting) error   { return nil }
func (s *stuck) InSync(context.Context, string) (bool, error)                      { return true, nil }

// TestASignalInterruptsALookThatHangs: CI leaves seconds after a signal, and a
// look may hang for its whole bound.
func TestASignalInterruptsALookThatHangs(t *testing.T) {
	t.Parallel()
	aws := &stuck{looking: make(chan struct{})}
	stop := make(chan struct{})
	go func() {
		<-aws.looking
		close(stop)
	}()
	state := cutover.Start("test", found, plan(), start)
	state.Phase, state.Touched = cutover.Baking, true
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ended := make(chan cutover.State, 1)
	go func() {
		ended <- cutover.Run(ctx, cutover.Ports{Traffic: aws, Clock: clock.Real{}, Stop: stop, Heartbeat: time.Minute}, state)
	}()
	select {
	case end := <-ended:
		if end.Phase != cutover.RolledBack || aws.retreats == 0 {
			t.Errorf("ended %s after %d retreats", end.Phase, aws.retreats)
		}
	case <-ctx.Done():
		t.Error("the retreat waited for a look that hangs")
	}
}

func TestARedGreenIsLeftEvenWhereTheDialsCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.state.Touched = true
	o := w.observe(unread)
	o.Health = health.Fold(health.Finding{Verdict: health.Unhealthy, Source: "probes", Detail: "all failed"})
	if next, _ := cutover.Next(w.state, o); next.Phase != cutover.Retreating {
		t.Errorf("a red and unreadable green is held in %s", next.Phase)
	}
}

// hanging is an AWS, and a journal, in which one call does not answer until its
// caller gives up. It says when something happened, by the wall.
type hanging struct {
	standing
	hangs   string // write, part, save, end
	wall    *clock.Manual
	signal  func()
	back    bool
	happens map[string]time.Duration // since the start, the first time
}

func (h *hanging) note(what string) {
	if _, known := h.happens[what]; !known {
		h.happens[what] = h.wall.Now().Sub(start)
	}
}

// hang lets the wall go on until the caller gives up.
func (h *hanging) hang(ctx context.Context) error {
	h.signal()
	for ctx.Err() == nil {
		h.wall.Advance(10 * time.Millisecond)
		runtime.Gosched()
	}
	return ctx.Err()
}

func (h *hanging) Read(context.Context) (cutover.Setting, error) {
	if h.back {
		return cutover.Setting{Base: cutover.Forwarder}, nil
	}
	return h.at, nil
}

func (h *hanging) SetCanary(ctx context.Context, _, _ cutover.Percent) error {
	if h.hangs == "write" {
		return h.hang(ctx)
	}
	h.signal()
	return nil
}

func (h *hanging) Retreat(ctx context.Context, _ cutover.Setting) (string, error) {
	h.note("sent")
	h.back = true // the records have moved; the stage does not answer
	if h.hangs == "part" {
		return "C1", h.hang(ctx)
	}
	return "", nil
}

func (h *hanging) Save(ctx context.Context, s cutover.State) error {
	if h.hangs == "save" && s.Phase == cutover.Turning || h.hangs == "end" && s.Phase.Terminal() {
		return h.hang(ctx)
	}
	if s.Phase == cutover.Retreating {
		h.note("recorded")
	}
	return nil
}
func (h *hanging) Beat(context.Context) error { return nil }

// TestASignalInterruptsACallThatHangs: whichever call it is, the retreat is
// sent and recorded within the seconds that CI leaves, and the run ends.
func TestASignalInterruptsACallThatHangs(t *testing.T) {
	t.Parallel()
	for _, hangs := range []string{"write", "part", "save", "end"} {
		t.Run(hangs, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			wall := clock.NewManual(start)
			aws := &hanging{standing: standing{found}, hangs: hangs, wall: wall, signal: sync.OnceFunc(func() { close(stop) }), happens: map[string]time.Duration{}}
			end := cutover.Run(t.Context(), cutover.Ports{
				Traffic: aws, Watch: standing{}, Journal: aws, Clock: &hasty{start}, Wall: wall, Stop: stop, Heartbeat: time.Hour,
			}, cutover.Start("test", found, plan(), start))
			if end.Phase != cutover.RolledBack {
				t.Errorf("ends %s: %s", end.Phase, end.Reason)
			}
			for _, what := range []string{"sent", "recorded"} {
				if at, happened := aws.happens[what]; !happened || at > 4*time.Second {
					t.Errorf("%s %v after the signal (at all: %v)", what, at, happened)
				}
			}
			if took := wall.Now().Sub(start); took > 5*time.Second {
				t.Errorf("over %v after the signal", took)
			}
		})
	}
}

// TestASignalInterruptsTheLastRecordThatIsTriedAgain: a shift that completed
// asks a journal that does not answer for a minute, but not against a signal.
func TestASignalInterruptsTheLastRecordThatIsTriedAgain(t *testing.T) {
	t.Parallel()
	ended := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	s := cutover.Start("test", found, plan(), start.Add(-time.Minute))
	s.Touched, s.Phase, s.Step, s.Last, s.Want, s.WatchedAt = true, cutover.Confirming, 2, ended, ended, start
	stop, wall := make(chan struct{}), clock.NewManual(start)
	journal := &hangsAgain{hanging: &hanging{wall: wall, signal: sync.OnceFunc(func() { close(stop) })}}
	end := cutover.Run(t.Context(), cutover.Ports{
		Traffic: standing{ended}, Watch: standing{}, Journal: journal, Clock: &hasty{start}, Wall: wall, Stop: stop, Heartbeat: time.Hour,
	}, s)
	if took := wall.Now().Sub(start); end.Phase != cutover.Held || took > 4*time.Second {
		t.Errorf("ends %s %v after the signal, want held within 4s", end.Phase, took)
	}
}

// hangsAgain is a journal that refuses the first record and does not answer
// the next.
type hangsAgain struct {
	*hanging
	asked bool
}

func (j *hangsAgain) Save(ctx context.Context, _ cutover.State) error {
	if !j.asked {
		j.asked = true
		return errors.New("table gone")
	}
	return j.hang(ctx)
}

// rousing is a clock of a run that is signalled in its first pause.
type rousing struct {
	hasty
	signal func()
	slept  bool            // through the signal
	after  []time.Duration // the pauses after it
	roused bool
}

func (c *rousing) Sleep(ctx context.Context, d time.Duration) error {
	if c.roused {
		c.after = append(c.after, d)
		return c.hasty.Sleep(ctx, d)
	}
	c.roused = true
	c.signal()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second): // the machine's own: only where it fails
		c.slept = true
		return nil
	}
}

// following is an AWS whose dials follow at once, but for its first deaf retreats.
type following struct {
	standing
	deaf  int
	jumps int
}

func (f *following) Read(context.Context) (cutover.Setting, error) { return f.at, nil }
func (f *following) SetCanary(_ context.Context, _, to cutover.Percent) error {
	f.at.Canary = to
	return nil
}
func (f *following) Retreat(_ context.Context, to cutover.Setting) (string, error) {
	if f.jumps++; f.jumps > f.deaf {
		f.at.Dials, f.at.Base = to.Dials, to.Base
	}
	return "", nil
}

// TestASignalEndsThePausesOfARetreat: between two portions, between two tries,
// and while the target has to stand.
func TestASignalEndsThePausesOfARetreat(t *testing.T) {
	t.Parallel()
	everybody := cutover.Setting{Dials: cutover.Dials{DNS: 100, Canary: 100}, Base: cutover.Forwarder}
	for name, tt := range map[string]struct {
		at    cutover.Setting
		shape cutover.Shape
		deaf  int
		jumps int
	}{
		"between two portions":    {everybody, cutover.Shape{Step: 20, Pause: time.Minute}, 0, 1},
		"between two tries":       {everybody, cutover.Shape{}, 4, 5},
		"while the target stands": {cutover.Setting{Base: cutover.Forwarder}, cutover.Shape{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan()
			p.Poll, p.Linger, p.Shape = 15*time.Second, 75*time.Second, tt.shape
			state := cutover.StartRetreat("test", cutover.TargetOf(found), p, start)
			state.Want, state.Last = tt.at, tt.at
			stop := make(chan struct{})
			watch := &rousing{hasty: hasty{start}, signal: func() { close(stop) }}
			aws := &following{standing: standing{tt.at}, deaf: tt.deaf}
			end := cutover.Run(t.Context(), cutover.Ports{Traffic: aws, Journal: &refusing{}, Clock: watch, Stop: stop, Heartbeat: time.Hour}, state)
			if end.Phase != cutover.RolledBack || aws.jumps != tt.jumps {
				t.Errorf("%s after %d jumps: %s", end.Phase, aws.jumps, end.Reason)
			}
			if watch.slept {
				t.Error("it slept through the signal")
			}
			for _, d := range watch.after {
				if d > time.Second {
					t.Errorf("a pause of %v after the signal", d)
				}
			}
		})
	}
}
