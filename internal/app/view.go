package app

import (
	"context"
	"errors"
	"sync"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// view is what a rollback finds before it turns anything.
type view struct {
	live    cutover.Setting
	readErr error // why the dials, or some of them, could not be read

	newest    cutover.State // the journal's record
	found     bool
	recordErr error // why there is no record

	retired bool // read under the lease: blue is to go, or has gone
}

// errNotAsked stands for a look that was left out.
var errNotAsked = errors.New("not asked for before the first call")

// record reads the journal's newest shift, within the time for one question.
func (v *view) record(ctx context.Context, a *App) {
	call, cancel := a.briefly(ctx)
	defer cancel()
	v.newest, v.found, v.recordErr = a.control().Shift(call)
}

// journal is true where only the journal knows the target.
func (ask RollbackAsk) journal() bool { return !ask.ToBlue && ask.ToVersion == "" }

// askAtOnce seizes the lease, reads the dials and reads the journal side by
// side, until ctx ends: a region that does not answer must cost the way back one
// wait, not one a question.
//
// No other run may write a target that this one has not read. What was read
// while the lease was asked for may be older than that: another run, whose token
// was still good, may have begun a shift in between. So where the lease was
// given the record is read again, which costs little where the table answers;
// from then on no Save of an older token succeeds. Where that second reading
// fails the first stands: it is no older than the question. Where the lease was
// not given no order would promise anything.
//
// Who is told to go to blue needs no answer at all. The driver seizes the lease
// with its first record, and waits for that no longer than a second.
func (a *App) askAtOnce(ctx context.Context, journal *cutover.LateJournal, traffic *awsapi.Traffic, ask RollbackAsk, v *view) {
	if ask.ToBlue && !ask.Shaped {
		v.readErr = errNotAsked
		return
	}
	var first, again view
	var leaseErr error
	var asking sync.WaitGroup
	asking.Go(func() {
		leaseErr = journal.Take(ctx)
		if leaseErr == nil {
			asking.Go(func() { v.retired = a.retired(ctx) })
		}
		if leaseErr == nil && ask.journal() {
			again.record(ctx, a)
		}
	})
	if ask.journal() {
		asking.Go(func() { first.record(ctx, a) })
	}
	if ask.ToVersion == "" { // else it was looked at already
		asking.Go(func() { v.live, v.readErr = traffic.Read(ctx) })
	}
	asking.Wait()
	if leaseErr != nil {
		// Non-fatal: a rollback goes on, and asks for the lease again.
		a.say(cutover.EventTrouble, "going on without lease and journal: %v", leaseErr)
	}
	if leaseErr == nil && again.recordErr == nil {
		first = again
	}
	v.newest, v.found, v.recordErr = first.newest, first.found, first.recordErr
}

// retired tells whether a retire has begun, where the control table says so.
func (a *App) retired(ctx context.Context) bool {
	call, cancel := a.briefly(ctx)
	defer cancel()
	top, err := a.control().Topology(call)
	return err == nil && top.Retired
}

// rest is what whole has left, and half of the patience at least: what came
// before must not use up the time of what the way back needs more.
func (a *App) rest(ctx, whole context.Context) (context.Context, context.CancelFunc) {
	left := a.patience() / 2
	if deadline, bounded := whole.Deadline(); bounded {
		left = max(left, deadline.Sub(clock.Real{}.Now()))
	}
	return context.WithTimeout(ctx, left)
}
