package cutover

import (
	"fmt"
	"time"
)

// Lease is the right to turn the dials until it expires. The fencing token
// grows with every holder: a write that carries an older one is refused.
type Lease struct {
	Owner   string    `json:"owner"`
	RunURL  string    `json:"run_url,omitempty"` // of the CI run, where there is one
	Purpose string    `json:"purpose"`           // shift, deploy, rollback
	Token   int64     `json:"token"`
	Expires time.Time `json:"expires"`
}

// HeldBy tells whether somebody else may turn the dials now.
func (l Lease) HeldBy(other string, now time.Time) bool {
	return l.Owner != "" && l.Owner != other && now.Before(l.Expires)
}

// LeaseHeld means that another run has the lease. Nothing has changed.
type LeaseHeld struct{ Lease Lease }

// Error implements error.
func (e *LeaseHeld) Error() string {
	where := ""
	if e.Lease.RunURL != "" {
		where = ", " + e.Lease.RunURL
	}
	return fmt.Sprintf("take the lease: %s holds it for a %s until %s%s", e.Lease.Owner, e.Lease.Purpose, e.Lease.Expires.UTC().Format(time.RFC3339), where)
}

// ExitCode is 3: refused before any change.
func (e *LeaseHeld) ExitCode() int { return 3 }

// Hint is the next command to type.
func (e *LeaseHeld) Hint() string {
	return "wait for it, or look with 'tapctl status'; 'tapctl rollback' works at any time and does not wait for it"
}
