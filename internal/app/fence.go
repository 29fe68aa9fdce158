package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

// Fenced means that the run had to stop in the middle, because it no longer
// holds the lease: a rollback waits for nobody, and what it turned must not be
// written back from what was read before.
type Fenced struct {
	Purpose string // deploy, destroy or retire
	Cause   error
}

// Error implements error.
func (e *Fenced) Error() string {
	return fmt.Sprintf("%s: stopped in the middle, the lease is no longer this run's: %v", e.Purpose, e.Cause)
}

// Unwrap gives the cause.
func (e *Fenced) Unwrap() error { return e.Cause }

// ExitCode is 1: some of the work is done, and the other run has the dials.
func (e *Fenced) ExitCode() int { return 1 }

// Hint is the next command to type.
func (e *Fenced) Hint() string {
	return fmt.Sprintf("'tapctl status' says who has it and where traffic is; then: tapctl %s", e.Purpose)
}

// take takes the lease for as long as the run holds it.
func (a *App) take(ctx context.Context, purpose string) (*awsapi.Held, error) {
	ctx, cancel := a.untilStop(ctx, stopGrace)
	defer cancel()
	held, err := a.control().Take(ctx, a.lease(purpose), a.Clock.Now())
	if err != nil {
		return nil, err
	}
	held.Now = a.Clock.Now
	return held, nil
}

// beatMost is the longest time between two beats of a run that Pulumi works
// for: it is how long Pulumi may go on after another run has taken the lease.
const beatMost = 10 * time.Second

// hold extends the lease while Pulumi works. The context that it returns ends
// with *Fenced once another run has taken the lease, or could have.
func (d *deployment) hold(ctx context.Context, held *awsapi.Held) (context.Context, func()) {
	d.held = held
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.beat(ctx, held); err != nil {
			cancel(&Fenced{held.Lease().Purpose, err})
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// beat returns once the lease is lost, or, with nil, once ctx has ended or the
// lease has gone with base.
func (d *deployment) beat(ctx context.Context, held *awsapi.Held) error {
	extended := d.Clock.Now()
	for d.Clock.Sleep(ctx, min(d.Config.Lease.Heartbeat, beatMost)) == nil {
		began := d.Clock.Now()
		err := held.Beat(ctx)
		switch {
		case err == nil:
			extended = began
		case ctx.Err() != nil || errors.Is(err, awsapi.ErrNoTopology):
			return nil
		case errors.Is(err, cutover.ErrFenced):
			return err
		case d.Clock.Now().Sub(extended) > d.Config.Lease.TTL:
			return fmt.Errorf("not extended for %v, and expired: %w", d.Config.Lease.TTL, err)
		default:
			d.say(cutover.EventTrouble, "the lease could not be extended: %v", err)
		}
	}
	return nil
}

// mine asks whether the lease is still this run's, right before something is
// written from what was read under it. Before the first deploy there is none.
func (d *deployment) mine(ctx context.Context) error {
	if d.held == nil {
		return nil
	}
	err := d.held.Beat(ctx)
	if errors.Is(err, cutover.ErrFenced) {
		return &Fenced{d.held.Lease().Purpose, err}
	}
	return err
}

// ended is err, or that the lease was lost where this is what ended the run.
func ended(ctx context.Context, err error) error {
	if fenced, ok := errors.AsType[*Fenced](context.Cause(ctx)); ok && err != nil {
		return fenced
	}
	return err
}
