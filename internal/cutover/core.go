package cutover

import (
	"fmt"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

// Next decides. It is a function: the same state and observation give the same
// answer, and it reads no clock. The order of its cases is the order of what
// matters: what is over stays over, who lost the lease stops, a retreat goes
// on, a signal ends the run, then the world is compared with what was
// intended, then health is judged, and only then may anything advance.
func Next(s State, o Observation) (State, []Action) {
	switch {
	case s.Phase.Terminal():
		return s, []Action{Finish{}}
	case o.Fenced:
		return finish(s, o, Uncertain, TakenOver)
	}
	s = absorbWrite(s, o)
	switch {
	case s.Phase == Retreating:
		return nextRetreat(s, o)
	case o.Stop && !s.Touched:
		return finish(s, o, RolledBack, "signal received before any change")
	case o.Stop && s.Plan.HoldOnSignal:
		return pause(s, o, s.Phase, "signal received; the policy is to hold")
	case o.Stop:
		return retreat(s, o, "signal received")
	}
	next, actions := judge(s, o)
	if next.Touched && next.ends(o) && !next.Phase.Terminal() && next.Phase != Retreating && next.Phase != Gated {
		return leave(next, o)
	}
	return next, actions
}

// leave ends a step that this run would not live to the end of, while there is
// time for the way back: as a signal would.
func leave(s State, o Observation) (State, []Action) {
	reason := fmt.Sprintf("this run can act until %s, which leaves no more than the way back takes", o.Until.UTC().Format(time.RFC3339))
	if s.Plan.HoldOnSignal {
		return pause(s, o, s.Phase, reason+"; the policy is to hold")
	}
	return retreat(s, o, reason)
}

// judge compares the world with what was intended, asks for green's health,
// and advances.
func judge(s State, o Observation) (State, []Action) {
	if o.Foreign != "" {
		return suspect(s, o, o.Foreign+": somebody else turned it")
	}
	if !o.LiveKnown && o.Health.Verdict == health.Unhealthy {
		// A region that fails its users often fails its control plane too.
		return retreat(s, o, o.Health.Reason())
	}
	if !o.LiveKnown {
		return hold(s, o, "the dials could not be read: "+o.ReadError)
	}
	if foreign := foreignChange(s, o.Live); foreign != "" {
		return suspect(s, o, foreign)
	}
	s.ForeignSince = time.Time{}
	if s.Phase == Turning && o.Live.DNS != s.Last.DNS {
		s.Unsynced = true // where it is wanted, and by no call of this run's: a late one of another's
	}
	s.Last = o.Live
	if o.Health.Verdict == health.Unhealthy {
		return retreat(s, o, o.Health.Reason())
	}
	if o.Journal != "" {
		return hold(s, o, "the journal could not be written: "+o.Journal)
	}
	s.Unproven = s.Unproven && o.Health.Verdict != health.Healthy
	if s.Phase != Baking && s.Phase != Gated && s.Phase != Confirming && !s.unproven(o) {
		s.UnknownSince = time.Time{} // a bake clears it by a verdict of its own
	}
	return advance(s, o)
}

// TakenOver is the reason of a run that lost the lease.
const TakenOver = "another run took over with a newer token: it decides now"

// absorbWrite remembers the Route 53 change whose INSYNC is to be awaited.
func absorbWrite(s State, o Observation) State {
	switch {
	case o.Write.Change != "":
		s.Change, s.Unsynced = o.Write.Change, true
	case s.Phase == Retreating && o.Write.Error != "" && s.Want == s.Target:
		// The weights may have moved, though the look before it, an old one,
		// had them in place: the reply that named the change was lost, and the
		// one that has a name is in sync already, or of the run before.
		if !s.Unsynced || s.Tries == 1 {
			s.Change = ""
		}
		s.Unsynced = true
	case s.Phase == Retreating && s.Tries == 1 && s.Change == "" && o.Write.Sent && o.Write.Error == "":
		s.Unsynced = false // the first try found the records where they belong
	}
	return s
}

// suspect holds still while a dial stands where nobody of this run put it. One
// look proves nothing, since a read may be old; a foreign value that stays is
// final, and green's health is not waited for meanwhile.
func suspect(s State, o Observation, foreign string) (State, []Action) {
	if s.ForeignSince.IsZero() || unwatched(s, o) > 0 {
		s.ForeignSince = o.Now
	}
	s.WatchedAt = o.Now
	switch {
	case o.Now.Sub(s.ForeignSince) >= s.Plan.Linger:
		return finish(s, o, Uncertain, foreign)
	case o.Health.Verdict == health.Unhealthy:
		return retreat(s, o, o.Health.Reason())
	default:
		return s, []Action{Wait{s.Plan.Poll}}
	}
}

// foreignChange names every dial that stands at neither the last nor the
// intended value, or is "".
func foreignChange(s State, live Setting) string {
	var foreign []string
	differ := func(dial string, got, last, want any) {
		if got != last && got != want {
			foreign = append(foreign, fmt.Sprintf("%s stands at %v, which this run neither found (%v) nor set (%v)", dial, got, last, want))
		}
	}
	differ("dns", live.DNS, s.Last.DNS, s.Want.DNS)
	differ("canary", live.Canary, s.Last.Canary, s.Want.Canary)
	differ("base", live.Base, s.Last.Base, s.Want.Base)
	differ("live version", live.LiveVersion, s.Last.LiveVersion, s.Want.LiveVersion)
	differ("candidate version", live.NextVersion, s.Last.NextVersion, s.Want.NextVersion)
	switch len(foreign) {
	case 0:
		return ""
	case 1:
		return foreign[0] + ": somebody else turned it"
	default:
		return strings.Join(foreign, "; ") + ": somebody else turned them"
	}
}

func advance(s State, o Observation) (State, []Action) {
	switch s.Phase {
	case Turning:
		return turn(s, o)
	case Syncing:
		return awaitSync(creditWatched(s, o), o)
	case Settling:
		s = creditWatched(s, o)
		if o.Now.Before(s.PhaseAt.Add(s.Plan.settle(s.Step))) {
			return s, []Action{Wait{s.Plan.Poll}}
		}
		return enter(s, o, Baking, fmt.Sprintf("baking for %v", s.Plan.bake(s.Step)))
	case Baking, Confirming:
		return bake(s, o)
	case Gated:
		return awaitApproval(s, o)
	case Promoting:
		return promote(s, o)
	case Retreating, Completed, RolledBack, Held, Uncertain:
		return s, nil // handled by Next before
	default:
		return finish(s, o, Uncertain, "unknown phase "+string(s.Phase))
	}
}

// turn writes one dial a tick, canary before DNS, until both read back.
func turn(s State, o Observation) (State, []Action) {
	var write Action
	if plantedNoReadBack && o.Write.Sent {
		o.Live.Dials = s.Want.Dials
	}
	switch {
	case o.Live.Canary != s.Want.Canary:
		write = SetCanary{From: o.Live.Canary, To: s.Want.Canary}
	case o.Live.DNS != s.Want.DNS:
		write = SetDNS{From: o.Live.DNS, To: s.Want.DNS}
	default:
		s.Tries = 0
		if !s.Unsynced {
			return enter(s, o, Settling, "dials read back; no DNS change to wait for")
		}
		return enter(s, o, Syncing, "dials read back; waiting for Route 53 to be in sync")
	}
	if s.unproven(o) {
		return awaitVerdict(s, o)
	}
	if resumed := s.Touched && s.Tries == 0 && !s.DialsAt.IsZero(); resumed {
		// Green may have been waited for since the run asked for its time.
		if why := s.Plan.Outlives(s.Step, o.Now, o.Until); why != "" {
			s.Want = s.Last
			return pause(s, o, Turning, "healthy, but the step is not begun: "+why)
		}
	}
	if s.Tries >= s.Plan.WriteTries {
		return retreat(s, o, fmt.Sprintf("the dials did not follow after %d tries: %s", s.Tries, o.Write.Error))
	}
	if _, records := write.(SetDNS); records {
		// Journalled before the call: whoever resumes knows that there may be
		// a change to wait for, even where its id was lost. What has a name is
		// of an earlier one.
		s.Change, s.Unsynced = "", true
	}
	s.Tries++
	s.Touched, s.DialsAt = true, time.Time{}
	return s, []Action{Save{}, write}
}

// unproven is true where a resumed step would give users more of a green that
// nobody has seen well where it stands: the shift may have lain for hours.
func (s State) unproven(o Observation) bool {
	return s.Unproven && s.Phase == Turning && o.Live.CandidateExposure() > 0
}

func awaitSync(s State, o Observation) (State, []Action) {
	late := o.Now.After(s.PhaseAt.Add(s.Plan.SyncTimeout))
	switch {
	case o.InSync && s.Change != "":
		s.Change, s.Unsynced = "", false
		return enter(s, o, Settling, fmt.Sprintf("in sync; letting resolvers forget the old answer for %v", s.Plan.settle(s.Step)))
	case late && s.Change == "":
		// The reply that named the change was lost. What stood this long is
		// taken to be in sync.
		s.Unsynced = false
		return enter(s, o, Settling, fmt.Sprintf("unnamed change of %v ago taken to be in sync; letting resolvers forget the old answer for %v", s.Plan.SyncTimeout, s.Plan.settle(s.Step)))
	case late:
		return retreat(s, o, fmt.Sprintf("Route 53 was not in sync within %v", s.Plan.SyncTimeout))
	default:
		return s, []Action{Wait{s.Plan.Poll}}
	}
}

// bake passes a step only when its time is over and the verdict is Healthy.
func bake(s State, o Observation) (State, []Action) {
	if o.Health.Verdict == health.Unknown && !plantedUnknownPasses {
		return awaitVerdict(s, o)
	}
	s.UnknownSince = time.Time{}
	s = creditWatched(s, o)
	length := s.Plan.bake(s.Step)
	if s.Phase == Confirming {
		length = s.Plan.Bake
	}
	if o.Now.Before(s.PhaseAt.Add(length)) {
		return s, []Action{Wait{s.Plan.Poll}}
	}
	gate, gated := s.Plan.gate(s.Step + 1)
	switch {
	case s.Phase == Confirming:
		return finish(s, o, Completed, "promoted and confirmed")
	case gated && s.Plan.Once:
		s.PhaseAt = o.Now // the time to approve begins
		return pause(s, o, Gated, "one step done, as asked; "+gate.waits(s.PhaseAt))
	case gated:
		return enter(s, o, Gated, gate.waits(o.Now))
	default:
		return pass(s, o, s.Plan.Once)
	}
}

// awaitVerdict holds while nothing is known of green; at the end of its time
// the policy says where to. A verdict that cannot be there yet is no trouble,
// and its time counts: what is red is seen in it.
func awaitVerdict(s State, o Observation) (State, []Action) {
	if o.Now.Before(o.Health.Due()) {
		s.UnknownSince = time.Time{}
		if s.Phase != Gated { // whose time is the gate's, watched or not
			s = creditWatched(s, o)
		}
		return s, []Action{Wait{s.Plan.Poll}}
	}
	if s.Plan.HoldUnknown && !s.UnknownSince.IsZero() && o.Now.Sub(s.UnknownSince) > s.Plan.HoldTimeout {
		return pause(s, o, s.Phase, fmt.Sprintf("no verdict for %v, and the policy is to hold: %s", s.Plan.HoldTimeout, o.Health.Reason()))
	}
	return hold(s, o, o.Health.Reason())
}

// pass leaves a step that was healthy to its end: for the next one, for the
// promotion, or for the end of the plan. once holds in front of the next.
func pass(s State, o Observation, once bool) (State, []Action) {
	last := s.Step == len(s.Plan.Steps)-1
	outlives := s.Plan.Outlives(s.Step+1, o.Now, o.Until)
	switch {
	case last && s.Plan.Promote && outlives != "":
		s.Want = s.Last
		return pause(s, o, Baking, "healthy, but promoting is not begun: "+outlives)
	case last && s.Plan.Promote:
		s.Want.Base, s.Want.Canary, s.Want.LiveVersion = Live, 0, s.Last.NextVersion
		s.Tries = 0
		return enter(s, o, Promoting, "last step is healthy; promoting green's candidate")
	case last:
		return finish(s, o, Completed, "last step is healthy")
	case once || outlives != "":
		s.Step++
		s.Want = s.Last // nothing is intended until the shift is resumed
		if once {
			return pause(s, o, Turning, "one step done, as asked")
		}
		return pause(s, o, Turning, "healthy, but the next step is not begun: "+outlives)
	default:
		return begin(s, o, s.Step+1)
	}
}

// pause ends the run where the shift can be resumed in the phase.
func pause(s State, o Observation, in Phase, reason string) (State, []Action) {
	s.HeldIn = in
	return finish(s, o, Held, reason)
}

// creditWatched moves the start of the phase by the time nobody watched: a
// spell of Unknown in a bake, a suspended runner or a leap of its clock counts
// as one usual pause between two looks.
func creditWatched(s State, o Observation) State {
	s.PhaseAt = s.PhaseAt.Add(unwatched(s, o))
	s.WatchedAt = o.Now
	return s
}

// unwatched is by how much the time since the last look exceeds a usual pause.
func unwatched(s State, o Observation) time.Duration {
	return max(0, o.Now.Sub(s.WatchedAt)-s.Plan.usualPause())
}

// usualPause is the longest pause between two looks that still count as watching.
func (p Plan) usualPause() time.Duration { return max(longestPauses*p.Poll, time.Minute) }

// longestPauses is how many polls may pass between two looks that still count
// as watching.
const longestPauses = 4

// Resume takes up a shift that was held or whose runner died: the step begins
// anew, so that its evidence is its own.
func Resume(s State, now time.Time) State {
	s.Frozen = false
	if s.Phase == Held {
		s.Ended = time.Time{}
		s.Phase, s.HeldIn = s.HeldIn, ""
		if s.Phase == "" {
			s.Phase = Turning
		}
	}
	switch s.Phase {
	case Turning, Syncing, Settling, Baking:
		s.Phase, s.Unproven = Turning, true
		s.Want = s.Last
		s.Want.Dials = s.Plan.Steps[s.Step]
		if s.DialsAt.IsZero() { // they were being turned; what they are now they stay until green is seen
			s.DialsAt = now
		}
	case Gated:
		// Its time and its evidence go on: nobody's absence opens a gate.
		s.Reason, s.Stopped, s.WatchedAt, s.UnknownSince, s.ForeignSince, s.Tries = "", false, now, time.Time{}, time.Time{}, 0
		if s.DialsAt.IsZero() { // journalled before it was noted
			s.DialsAt = now
		}
		return s
	case Confirming:
		s.DialsAt = now
	case Promoting, Retreating, Completed, RolledBack, Held, Uncertain:
	}
	if !s.Phase.Terminal() {
		s.Reason, s.Stopped = "", false
		s.PhaseAt, s.StepAt, s.WatchedAt, s.UnknownSince, s.ForeignSince, s.Tries = now, now, now, time.Time{}, time.Time{}, 0
	}
	return s
}

// begin starts the step: intent first, the writes follow on later ticks.
func begin(s State, o Observation, step int) (State, []Action) {
	s.Step, s.Tries, s.Change, s.Unsynced, s.Unproven = step, 0, "", false, false
	s.Phase, s.PhaseAt, s.StepAt, s.DialsAt = Turning, o.Now, o.Now, time.Time{}
	s.UnknownSince = time.Time{}
	s.Want = s.Last
	s.Want.Dials = s.Plan.Steps[step]
	return s, []Action{Save{}, Announce{EventStep, fmt.Sprintf("step %d of %d: %s", step+1, len(s.Plan.Steps), s.Want)}}
}

func promote(s State, o Observation) (State, []Action) {
	if atTarget(o.Live, s.Want) {
		s.Tries, s.StepAt = 0, o.Now
		return enter(s, o, Confirming, fmt.Sprintf("promoted; confirming for %v", s.Plan.Bake))
	}
	if s.Tries >= promoteParts*s.Plan.WriteTries {
		return retreat(s, o, fmt.Sprintf("promotion did not show after %d tries: %s", s.Tries, o.Write.Error))
	}
	s.Tries++
	s.Touched = true
	return s, []Action{Save{}, Promote{From: o.Live, To: s.Want}}
}

// hold waits for a reading, a verdict or the journal, within its own budget.
func hold(s State, o Observation, reason string) (State, []Action) {
	var actions []Action
	if s.UnknownSince.IsZero() {
		s.UnknownSince = o.Now
		actions = append(actions, Announce{EventTrouble, "holding: " + reason})
	}
	if o.Now.Sub(s.UnknownSince) > s.Plan.HoldTimeout {
		return retreat(s, o, fmt.Sprintf("no verdict for %v: %s", s.Plan.HoldTimeout, reason))
	}
	if o.Journal != "" {
		actions = append(actions, Save{}) // whether it is back shows only by trying
	}
	return s, append(actions, Wait{s.Plan.Poll})
}

// retreat begins the way back; the first calls go out in the same tick. Where
// the policy is to freeze, only a signal begins it.
func retreat(s State, o Observation, reason string) (State, []Action) {
	if s.Plan.Freeze && !o.Stop {
		s.Frozen = true
		return pause(s, o, s.Phase, "frozen, as on_incident says; a person decides: "+reason)
	}
	if s.Last.DNS != s.Target.DNS || s.Want.DNS != s.Target.DNS || !o.LiveKnown {
		s.Change, s.Unsynced = "", true // the way back has a change of its own
	}
	s.Phase, s.PhaseAt, s.Reason = Retreating, o.Now, reason
	s.Receipt = Receipt{FaultSeen: o.Now, Decided: o.Now}
	s.Stopped = s.Stopped || o.Stop
	s.Tries = 1
	s.PortionAt = o.Now
	s, actions := takeBack(s, o)
	return s, append([]Action{Announce{EventRetreat, "retreating to " + s.Target.String() + ": " + reason}}, actions...)
}

// atTarget is true where every user is where the target puts them.
func atTarget(live, target Setting) bool {
	if live.Dials != target.Dials || live.Base != target.Base {
		return false
	}
	return target.LiveVersion == "" || live.LiveVersion == target.LiveVersion
}

func enter(s State, o Observation, phase Phase, text string) (State, []Action) {
	s.Phase, s.PhaseAt, s.WatchedAt = phase, o.Now, o.Now
	switch phase {
	case Syncing:
		s.DialsAt = time.Time{}
	case Settling, Confirming:
		s.DialsAt = o.Now
	}
	return s, []Action{Save{}, Announce{EventWait, text}}
}

func finish(s State, o Observation, phase Phase, reason string) (State, []Action) {
	s.Phase, s.Reason, s.Ended = phase, reason, o.Now
	return s, []Action{Save{}, Announce{EventFinish, reason}, Finish{}}
}
