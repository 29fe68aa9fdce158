package cutover

import (
	"fmt"
	"slices"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

// Gate keeps a step from beginning until somebody has approved it. While it is
// shut the shift is watched as in a bake; nobody answering in time is a no.
type Gate struct {
	// Step is the index of the step it keeps; one past the last keeps the
	// promotion.
	Step    int           `json:"step"`
	Timeout time.Duration `json:"timeout"`
}

// Approval is one gate that was opened.
type Approval struct {
	Step int       `json:"step"`
	By   string    `json:"by"` // "": nobody has
	At   time.Time `json:"at,omitzero"`
}

// GatesOf puts a gate in front of the first step that exposes more users to the
// candidate than each of above (percents, growing), and in front of the
// promotion if asked. What live is beyond was passed before. A first step cannot
// be kept, so it may go beyond none.
func GatesOf(p Plan, live Setting, above []Percent, promotion bool, timeout time.Duration) ([]Gate, error) {
	var gates []Gate
	for _, limit := range above {
		if live.CandidateExposure() > limit {
			continue
		}
		step := slices.IndexFunc(p.Steps, func(d Dials) bool { return Setting{Dials: d}.CandidateExposure() > limit })
		switch {
		case step == 0 && live.CandidateExposure() == limit:
			return nil, fmt.Errorf("plan: the first step exposes more users than the %v%% that are on the candidate now, which needs an approval, and a first step cannot wait for one: "+
				"leave %[1]v out of shift.approve for this shift (--approve); starting it is the approval", limit)
		case step == 0:
			return nil, fmt.Errorf("plan: the first step exposes %v%% of users at once, and more than %v%% needs an approval: make the step smaller",
				Setting{Dials: p.Steps[0]}.CandidateExposure(), limit)
		case step > 0 && !slices.ContainsFunc(gates, func(g Gate) bool { return g.Step == step }):
			gates = append(gates, Gate{Step: step, Timeout: timeout})
		}
	}
	if promotion && p.Promote {
		gates = append(gates, Gate{Step: len(p.Steps), Timeout: timeout})
	}
	return gates, nil
}

// gate finds what keeps the step.
func (p Plan) gate(step int) (Gate, bool) {
	for _, g := range p.Gates {
		if g.Step == step {
			return g, true
		}
	}
	return Gate{}, false
}

// waits says what the gate waits for.
func (g Gate) waits(since time.Time) string {
	return fmt.Sprintf("step %d waits for approval until %s: tapctl approve", g.Step+1, since.Add(g.Timeout).UTC().Format(time.RFC3339))
}

// NextGate is the index of the step whose gate an approval of now would open:
// the first one ahead.
func (s State) NextGate() (step int, found bool) {
	if !s.Phase.Open() || s.Phase == Uncertain || s.Phase == Retreating {
		return 0, false
	}
	for step := s.Step + 1; step <= len(s.Plan.Steps); step++ {
		if _, gated := s.Plan.gate(step); gated {
			return step, true
		}
	}
	return 0, false
}

// GateOver is when the time of the gate that the shift stands in front of was
// over; false where it is not, or the shift stands in front of none.
func (s State) GateOver(now time.Time) (deadline time.Time, over bool) {
	gate, gated := s.Plan.gate(s.Step + 1)
	if !gated || s.Phase != Gated && s.HeldIn != Gated {
		return time.Time{}, false
	}
	deadline = s.PhaseAt.Add(gate.Timeout)
	return deadline, !now.Before(deadline)
}

// awaitApproval watches until the gate is opened or its time is over.
func awaitApproval(s State, o Observation) (State, []Action) {
	gate, _ := s.Plan.gate(s.Step + 1)
	deadline, over := s.GateOver(o.Now)
	if !o.Approval.At.Before(deadline) {
		o.Approval = Approval{} // nobody answered in time, whoever did later
	}
	switch waits := o.Approval.By == ""; {
	case waits && over:
		return retreat(s, o, fmt.Sprintf("step %d was not approved within %v", gate.Step+1, gate.Timeout))
	case waits && s.Plan.Once:
		return pause(s, o, Gated, gate.waits(s.PhaseAt))
	case waits && s.ends(o):
		return pause(s, o, Gated, "this run ends soon; "+gate.waits(s.PhaseAt))
	case waits:
		s.UnknownSince = time.Time{} // no verdict is asked for, and all else was just read
		return s, []Action{Wait{s.Plan.Poll}}
	case o.Health.Verdict != health.Healthy:
		return awaitVerdict(s, o)
	}
	s.UnknownSince = time.Time{}
	s.Approved = append(s.Approved[:len(s.Approved):len(s.Approved)], Approval{gate.Step, o.Approval.By, o.Approval.At})
	return pass(s, o, false)
}
