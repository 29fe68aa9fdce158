package cutover

import (
	"errors"
	"fmt"
	"time"
)

// Via says which dials a plan turns.
type Via string

// The ways.
const (
	ViaBoth   Via = "both"   // lockstep: exposure 1, 4, 9 ... percent
	ViaDNS    Via = "dns"    // the entrance only: nobody is exposed who was not
	ViaCanary Via = "canary" // the users only
)

// Ask is what the operator wants of a plan. Percents are whole numbers where
// they become Route 53 weights.
type Ask struct {
	Step, To    Percent
	Via         Via
	MaxExposure Percent
}

// ErrNothingToDo means that the dials already stand where the plan would end.
var ErrNothingToDo = errors.New("the dials already stand there")

// Steps plans from the live setting to ask.To. Every step is the same number
// of percent; the last may be shorter. A dial that already stands beyond a
// step stays where it is: a plan never goes down.
func Steps(live Setting, ask Ask) ([]Dials, error) {
	if ask.Step <= 0 || ask.To <= 0 || ask.To > 100 {
		return nil, fmt.Errorf("plan: step %v%% to %v%% is not within 0..100", ask.Step, ask.To)
	}
	via := ask.Via
	if ModeOf(live) == Release {
		via = ViaCanary // the entrance is where it belongs; only the users move
	}
	if live.Base == Live && live.Canary == 0 && live.NextVersion != "" && live.NextVersion == live.LiveVersion {
		return nil, ErrNothingToDo // the candidate is what everybody is on
	}
	var steps []Dials
	last := live.Dials
	for p := ask.Step; ; p += ask.Step {
		p = min(p, ask.To)
		next := last
		if via != ViaCanary {
			next.DNS = max(last.DNS, p)
		}
		switch {
		case via != ViaDNS && len(steps) > 0:
			next.Canary = max(last.Canary, p)
		case via != ViaDNS:
			next.Canary = max(firstCanary(live, last), p)
		case len(steps) == 0: // the percent for probes would become exposure
			next.Canary = firstCanary(live, last)
		}
		if exposure := (Setting{Dials: next}).CandidateExposure(); ask.MaxExposure > 0 && exposure > ask.MaxExposure {
			break
		}
		if next != last {
			steps = append(steps, next)
		}
		last = next
		if p == ask.To {
			break
		}
	}
	if len(steps) == 0 {
		return nil, ErrNothingToDo
	}
	return steps, nil
}

// firstCanary is what the first step may not go below. While no DNS answer
// leads to green, its canary percent is a setting for probes, not exposure,
// and the first step may lower it.
func firstCanary(live Setting, last Dials) Percent {
	if live.DNS == 0 && live.Base == Forwarder {
		return 0
	}
	return last.Canary
}

// Promotes is true where the plan's last step leaves every user that DNS sends
// to green on the candidate, so that promotion changes nobody's version.
func Promotes(live Setting, steps []Dials) bool {
	if len(steps) == 0 {
		return false
	}
	end := steps[len(steps)-1]
	if ModeOf(live) == Release {
		return end.Canary == 100
	}
	return end.Canary == 100 && end.DNS == 100
}

// TargetOf is where a shift that starts at live retreats to. A migration goes
// back to blue for every user; a release back to the version that was live.
func TargetOf(live Setting) Setting {
	if ModeOf(live) == Release {
		return Setting{Dials: Dials{DNS: live.DNS}, Base: Live, LiveVersion: live.LiveVersion}
	}
	return Setting{Base: Forwarder}
}

// Start is the state of a new shift.
func Start(id string, live Setting, plan Plan, now time.Time) State {
	s := State{
		ID: id, Mode: ModeOf(live), Plan: plan, Phase: Turning, Started: now, PhaseAt: now, StepAt: now, WatchedAt: now,
		Target: TargetOf(live), Last: live, Want: live,
	}
	s.Want.Dials = plan.Steps[0]
	return s
}

// StartRetreat is the state of a rollback by hand: it needs no journal.
func StartRetreat(id string, target Setting, plan Plan, now time.Time) State {
	return State{
		ID: id, Mode: ModeOf(target), Plan: plan, Phase: Retreating, Started: now, PhaseAt: now, StepAt: now,
		Target: target, Want: target, Reason: "asked for", Touched: true,
		Receipt: Receipt{FaultSeen: now, Decided: now},
	}
}

// Length is the shortest time the plan can take: settle and bake of every
// step, and the confirmation.
func (p Plan) Length(steps int) time.Duration {
	total := time.Duration(steps) * (p.Settle + p.Bake)
	if p.Promote {
		total += p.Bake
	}
	return total
}

// StartPromote is the state of a promotion by hand, of dials that already
// stand at the end of a plan.
func StartPromote(id string, live, target Setting, plan Plan, now time.Time) State {
	s := Start(id, live, plan, now)
	s.Target = target
	s.Phase = Promoting
	s.Want.Base, s.Want.Canary, s.Want.LiveVersion = Live, 0, live.NextVersion
	return s
}
