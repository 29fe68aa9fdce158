package cutover

import (
	"fmt"

	"github.com/tapctl/tapctl/internal/health"
)

// Check holds one tick against the invariants, by name. Every test runs it
// after every tick; in production a violation forces a retreat.
func Check(before State, o Observation, after State, actions []Action) error {
	for _, invariant := range []struct {
		name string
		hold func(State, Observation, State, []Action) error
	}{
		{"terminal phases absorb", terminalAbsorbs},
		{"at most one world-changing action a tick", oneWrite},
		{"intent is journalled before a write upward", writeAhead},
		{"writes go only to the planned step", writesToPlan},
		{"exposure rises only on healthy", risesOnHealthy},
		{"nothing rises after a retreat began", retreatOnlyFalls},
		{"completed only at the plan's end, read back", completedAtEnd},
		{"rolled back only at the target, read back", rolledBackAtTarget},
		{"the retreat's target never moves", targetStays},
		{"a portion of a retreat only falls", portionsFall},
		{"a gate opens only when approved", gateStands},
	} {
		if err := invariant.hold(before, o, after, actions); err != nil {
			return fmt.Errorf("invariant %q: %w", invariant.name, err)
		}
	}
	return nil
}

func terminalAbsorbs(before State, _ Observation, after State, actions []Action) error {
	if before.Phase.Terminal() && (after.Phase != before.Phase || len(writes(actions)) > 0) {
		return fmt.Errorf("%s went to %s with %v", before.Phase, after.Phase, actions)
	}
	return nil
}

func writes(actions []Action) []Action {
	var found []Action
	for _, a := range actions {
		switch a.(type) {
		case SetCanary, SetDNS, Promote, Retreat:
			found = append(found, a)
		case Save, Wait, Announce, Finish:
		}
	}
	return found
}

func oneWrite(_ State, _ Observation, _ State, actions []Action) error {
	if w := writes(actions); len(w) > 1 {
		return fmt.Errorf("%d: %v", len(w), w)
	}
	return nil
}

func writeAhead(_ State, _ Observation, _ State, actions []Action) error {
	saved := false
	for _, a := range actions {
		switch a.(type) {
		case Save:
			saved = true
		case SetCanary, SetDNS, Promote, Retreat:
			if !saved {
				return fmt.Errorf("%T before Save", a)
			}
		case Wait, Announce, Finish:
		}
	}
	return nil
}

func writesToPlan(_ State, _ Observation, after State, actions []Action) error {
	for _, a := range writes(actions) {
		switch w := a.(type) {
		case SetCanary:
			if after.Phase == Retreating {
				continue // portionsFall holds it
			}
			if w.To != after.Plan.Steps[after.Step].Canary {
				return fmt.Errorf("canary to %v in step %d of %v", w.To, after.Step, after.Plan.Steps)
			}
		case SetDNS:
			if w.To != after.Plan.Steps[after.Step].DNS {
				return fmt.Errorf("dns to %v in step %d of %v", w.To, after.Step, after.Plan.Steps)
			}
		case Promote:
			if after.Step != len(after.Plan.Steps)-1 {
				return fmt.Errorf("promote in step %d of %d", after.Step+1, len(after.Plan.Steps))
			}
			if w.To != after.Want || w.From.NextVersion != w.To.LiveVersion {
				return fmt.Errorf("%v at %v, intended %v", w, w.From, after.Want)
			}
		case Retreat:
			if w.To != after.Target {
				return fmt.Errorf("retreat to %v, target %v", w.To, after.Target)
			}
		}
	}
	return nil
}

func risesOnHealthy(before State, o Observation, after State, actions []Action) error {
	advanced := after.Step > before.Step || after.Phase == Promoting && before.Phase != Promoting ||
		after.Phase == Completed && before.Phase != Completed
	if advanced && (o.Health.Verdict != health.Healthy || !o.LiveKnown) {
		return fmt.Errorf("advanced on %v (dials known: %v)", o.Health.Verdict, o.LiveKnown)
	}
	if after.Step > before.Step+1 {
		return fmt.Errorf("jumped from step %d to %d", before.Step, after.Step)
	}
	if before.Unproven && o.Health.Verdict != health.Healthy && o.Live.CandidateExposure() > 0 && after.Phase == Turning && len(writes(actions)) > 0 {
		return fmt.Errorf("%v on %v after a resume", writes(actions), o.Health.Verdict)
	}
	if o.Health.Verdict == health.Unhealthy && before.Phase != Retreating {
		for _, a := range writes(actions) {
			if _, isRetreat := a.(Retreat); !isRetreat && after.Phase != Retreating {
				return fmt.Errorf("%T while unhealthy", a)
			}
		}
	}
	return nil
}

func retreatOnlyFalls(before State, _ Observation, after State, actions []Action) error {
	if before.Phase != Retreating {
		return nil
	}
	for _, a := range writes(actions) {
		switch a.(type) {
		case Retreat, SetCanary: // portionsFall holds the latter
		default:
			return fmt.Errorf("%T while retreating", a)
		}
	}
	switch after.Phase {
	case Retreating, RolledBack, Uncertain:
		return nil
	case Turning, Syncing, Settling, Baking, Gated, Promoting, Confirming, Completed, Held:
		return fmt.Errorf("retreating went to %s", after.Phase)
	default:
		return fmt.Errorf("retreating went to %s", after.Phase)
	}
}

func completedAtEnd(before State, o Observation, after State, _ []Action) error {
	if after.Phase != Completed || before.Phase == Completed {
		return nil
	}
	end := Setting{Dials: after.Plan.Steps[len(after.Plan.Steps)-1], Base: o.Live.Base}
	if after.Plan.Promote {
		end.Base, end.Canary, end.LiveVersion = Live, 0, o.Live.NextVersion
	}
	if !atTarget(o.Live, end) {
		return fmt.Errorf("live %v, end %v", o.Live, end)
	}
	return nil
}

func rolledBackAtTarget(before State, o Observation, after State, _ []Action) error {
	if after.Phase != RolledBack || before.Phase == RolledBack || !after.Touched {
		return nil
	}
	if !o.LiveKnown || !atTarget(o.Live, after.Target) {
		return fmt.Errorf("live %v (known: %v), target %v", o.Live, o.LiveKnown, after.Target)
	}
	return nil
}

func targetStays(before State, _ Observation, after State, _ []Action) error {
	if before.Target != after.Target {
		return fmt.Errorf("from %v to %v", before.Target, after.Target)
	}
	return nil
}

func portionsFall(_ State, o Observation, after State, actions []Action) error {
	if after.Phase != Retreating {
		return nil
	}
	for _, a := range writes(actions) {
		w, isPortion := a.(SetCanary)
		if isPortion && (!o.LiveKnown || w.From != o.Live.Canary || w.To >= w.From || w.To <= after.Target.Canary || after.Plan.Shape.Step <= 0) {
			return fmt.Errorf("canary %v -> %v at %v (known: %v), target %v", w.From, w.To, o.Live, o.LiveKnown, after.Target)
		}
	}
	return nil
}

func gateStands(before State, o Observation, after State, _ []Action) error {
	begun := after.Step > before.Step && after.Phase == Turning || after.Phase == Promoting && before.Phase != Promoting
	gate, gated := before.Plan.gate(before.Step + 1)
	inTime := o.Approval.By != "" && o.Approval.At.Before(before.PhaseAt.Add(gate.Timeout))
	if begun && gated && (before.Phase != Gated || !inTime) {
		return fmt.Errorf("%s of step %d after %s, approved by %q at %v", after.Phase, after.Step+1, before.Phase, o.Approval.By, o.Approval.At)
	}
	return nil
}
