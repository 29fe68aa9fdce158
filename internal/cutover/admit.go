package cutover

import (
	"context"
	"fmt"
	"time"
)

// Intent is what the operator asks of a shift that may already be open.
type Intent struct {
	Resume bool // take up the open one
	Once   bool // one step: of the open one, or of a new one
	// Abandoned is what to do about a shift whose runner died: its lease has
	// expired, or it could not have been taken.
	Abandoned OnAbandoned
}

// OnAbandoned is the policy for a shift whose runner died.
type OnAbandoned string

// The policies. The zero value refuses.
const (
	RefuseAbandoned OnAbandoned = "refuse" // and says which commands help
	FinishAbandoned OnAbandoned = "finish" // resume it
	RevertAbandoned OnAbandoned = "revert" // go back to its target
)

// NotAdmitted means that the journal forbids the shift. Nothing has changed.
type NotAdmitted struct {
	Reason string
	Next   string // the command that helps
}

// Error implements error.
func (e *NotAdmitted) Error() string { return e.Reason }

// ExitCode is 3: refused before any change.
func (e *NotAdmitted) ExitCode() int { return 3 }

// Hint is the next command to type.
func (e *NotAdmitted) Hint() string { return e.Next }

// Admit decides what a shift does about the journal's newest record: take it
// up (resumed, with the state to drive), begin anew (neither), or nothing.
func Admit(newest State, found bool, ask Intent, now time.Time) (s State, resumed bool, err error) {
	open := found && newest.Phase.Open()
	abandoned := open && !newest.Phase.Terminal()
	switch {
	case abandoned && !ask.Resume && ask.Abandoned == RevertAbandoned:
		return revert(newest, now), true, nil
	case abandoned && !ask.Resume && ask.Abandoned == FinishAbandoned:
		s = Resume(newest, now)
		s.Plan.Once = ask.Once
		return s, true, nil
	case open && newest.Phase == Uncertain:
		return s, false, &NotAdmitted{fmt.Sprintf("shift %s ended uncertain: %s", newest.ID, newest.Reason), "tapctl status, then tapctl rollback"}
	case open && newest.Frozen && !ask.Resume:
		return s, false, &NotAdmitted{fmt.Sprintf("shift %s is held: %s", newest.ID, newest.Reason), "tapctl shift --resume, once a person has decided so, or tapctl rollback"}
	case open && !ask.Resume && !ask.Once:
		return s, false, &NotAdmitted{fmt.Sprintf("shift %s is open (%s, %s)", newest.ID, newest.Phase, newest.Last), "tapctl shift --resume, or tapctl rollback"}
	case open:
		s = Resume(newest, now)
		s.Plan.Once = ask.Once
		return s, true, nil
	case ask.Resume && !ask.Once:
		return s, false, &NotAdmitted{"no shift is open", "tapctl shift"}
	default:
		return s, false, nil
	}
}

// AdmitAgain refuses the tick of a cron (shift --once) that would begin anew
// what was just sent back: the same candidate, step by step, tick after tick. A
// person who starts a whole shift has seen it.
func AdmitAgain(newest State, found bool, ask Intent, live Setting) error {
	again := found && ask.Once && newest.Phase == RolledBack && newest.Touched
	if !again || live.NextVersion == "" || newest.Last.NextVersion != live.NextVersion {
		return nil
	}
	return &NotAdmitted{
		fmt.Sprintf("shift --once: green's candidate (version %s) was sent back by %s: %s", live.NextVersion, newest.ID, newest.Reason),
		"tapctl deploy, with a green that is corrected; or tapctl shift, to start anew with this one",
	}
}

// revert turns an abandoned shift into its own retreat.
func revert(s State, now time.Time) State {
	if s.Phase == Retreating {
		return Resume(s, now)
	}
	s.Phase, s.PhaseAt, s.Want, s.Tries, s.Stopped = Retreating, now, s.Target, 0, false
	s.Change, s.Unsynced = "", true
	s.Reason = "its runner died; reverted, as lease.on_expired says"
	s.Receipt = Receipt{FaultSeen: now, Decided: now}
	return s
}

// RetreatTarget is where a rollback by hand goes: where the newest shift said,
// the one before if that ended without turning anything, and where there never
// was one (found is false) where the mode says. Blue is the last resort.
func RetreatTarget(newest State, found bool, live Setting, liveKnown bool) Setting {
	switch {
	case found && newest.Phase == RolledBack && !newest.Touched && newest.Prior != nil:
		return *newest.Prior
	case found:
		return newest.Target
	case liveKnown:
		return TargetOf(live)
	default:
		return Setting{Base: Forwarder}
	}
}

// BlindTarget is where a rollback by hand goes that cannot read the journal:
// to blue, while blue answers outside the canary. known is false where green's
// own version does: what was there before only the journal knows, and the mode
// would say to stay on the very version that is fled from.
func BlindTarget(live Setting, liveKnown bool) (target Setting, known bool) {
	if liveKnown && live.Base == Live {
		return Setting{}, false
	}
	return Setting{Base: Forwarder}, true
}

// LateJournal is the journal of a rollback that could not take the lease: it
// asks again before every write of the journal, since only a newer token stops
// a shift that may still be running.
type LateJournal struct {
	// Open seizes the lease.
	Open    func(ctx context.Context) (Journal, error)
	journal Journal
}

var _ Journal = (*LateJournal)(nil)

// Save implements Journal.
func (j *LateJournal) Save(ctx context.Context, s State) error {
	if err := j.Take(ctx); err != nil {
		return err
	}
	return j.journal.Save(ctx, s)
}

// Beat implements Journal.
func (j *LateJournal) Beat(ctx context.Context) error {
	if err := j.Take(ctx); err != nil {
		return err
	}
	return j.journal.Beat(ctx)
}

// Take opens the journal, once.
func (j *LateJournal) Take(ctx context.Context) error {
	if j.journal != nil {
		return nil
	}
	opened, err := j.Open(ctx)
	if err != nil {
		return err
	}
	j.journal = opened
	return nil
}
