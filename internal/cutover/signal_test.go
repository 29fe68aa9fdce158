package cutover_test

import (
	"context"
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
func (s *stuck) Promote(context.Context) error                                     { return nil }
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
