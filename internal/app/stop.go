package app

import (
	"context"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
)

// stopGrace is what a signal leaves a call whose effect is better known than
// guessed: a lease that is being taken, or given up. Real time.
const stopGrace = time.Second

// Interrupted means that a signal ended the run before any change.
type Interrupted struct {
	Cause error // what it was about
}

// Error implements error.
func (e *Interrupted) Error() string { return "signal received before any change: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *Interrupted) Unwrap() error { return e.Cause }

// ExitCode is 1, which the command line makes the signal's own.
func (e *Interrupted) ExitCode() int { return 1 }

// Hint is the next command to type.
func (e *Interrupted) Hint() string { return "nothing was changed: run the command again" }

// early is the error of a run that has changed nothing: a signal's, or a
// refusal.
func (a *App) early(err error) error {
	if err != nil && a.stopped() {
		return &Interrupted{err}
	}
	return refused(err)
}

func (a *App) stopped() bool {
	select {
	case <-a.Stop:
		return true
	default:
		return false
	}
}

// untilStop is a context that a signal ends, grace later.
func (a *App) untilStop(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-a.Stop:
			// Non-fatal: an early end of the grace means that the call is over.
			_ = clock.Real{}.Sleep(ctx, grace)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
