package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// until is when this run cannot act any more, zero where nothing ends it.
func (a *App) until(ctx context.Context) time.Time {
	var until time.Time
	if limit := a.Config.Shift.JobTimeout; limit > 0 {
		until = a.Started.Add(limit)
	}
	if expires := a.Clients.CredentialsEnd(ctx); !expires.IsZero() && (until.IsZero() || expires.Before(until)) {
		until = expires
	}
	return until
}

// endUnknown is what is said of a session whose end nobody knows.
const endUnknown = "these are session credentials, and nothing says when they end: a step that would outlive them is begun all the same; set AWS_CREDENTIAL_EXPIRATION (RFC 3339) or shift.job_timeout"

// inTime refuses a run that would not live to the end of the state's next step
// and the way back from it, with what would do. A retreat is never too long.
func (a *App) inTime(ctx context.Context, s cutover.State) error {
	if s.Phase == cutover.Retreating || s.Phase == cutover.Gated {
		return nil
	}
	step, what, command := s.Step, fmt.Sprintf("step %d", s.Step+1), "tapctl shift"
	if s.Phase == cutover.Promoting || s.Phase == cutover.Confirming {
		step, what, command = len(s.Plan.Steps), "the promotion", "tapctl promote"
	}
	if s.Touched {
		command = "tapctl shift --resume"
	}
	now := a.Clock.Now()
	why := s.Outlives(now, a.until(ctx))
	if why == "" {
		return nil
	}
	spent := max(0, now.Sub(a.Started))
	enough, whole := wholeMinutes(spent+s.Needs()), wholeMinutes(spent+max(s.Needs(), s.Plan.AllNeed(step)))
	next := command + ", with shift.job_timeout and credentials of " + enough
	if whole != enough {
		next += ", or of " + whole + " for the whole plan in one run"
	}
	return &Refused{Cause: fmt.Errorf("%s is not begun: %s", what, why), Next: next}
}

// wholeMinutes rounds up, for a job's limit.
func wholeMinutes(d time.Duration) string {
	return strings.TrimSuffix((d + time.Minute - 1).Truncate(time.Minute).String(), "0s")
}
