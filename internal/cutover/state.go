// Package cutover decides how traffic moves and moves it. Next decides: a pure
// function of the state and of what was observed. Run performs: the only loop,
// which observes, calls Next, does what it says and tells the story. Nothing
// here knows AWS; the ports are in drive.go.
package cutover

import (
	"fmt"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

// Percent is 0..100.
type Percent float64

// Dials are the two knobs.
type Dials struct {
	DNS    Percent `json:"dns"`    // of DNS answers that lead to green
	Canary Percent `json:"canary"` // of green's requests that the candidate serves
}

// Base says who answers green's requests outside the canary.
type Base string

// The base sides.
const (
	Forwarder Base = "forwarder" // blue answers, across regions
	Live      Base = "live"      // green's promoted version answers
)

// Setting is everything a shift may turn, as read from AWS or as intended.
type Setting struct {
	Dials
	Base Base `json:"base"`
	// LiveVersion is the version behind green's alias live.
	LiveVersion string `json:"live_version,omitempty"`
	// NextVersion is the candidate, behind green's alias next.
	NextVersion string `json:"next_version,omitempty"`
}

// Exposure is the share of users on green's code: DNS times canary while the
// forwarder answers the rest, DNS alone once green's own version does.
func (s Setting) Exposure() Percent {
	if s.Base == Live {
		return s.DNS
	}
	return s.DNS * s.Canary / 100
}

// CandidateExposure is the share of users on the candidate (alias next).
func (s Setting) CandidateExposure() Percent { return s.DNS * s.Canary / 100 }

func (s Setting) String() string {
	return fmt.Sprintf("dns %v%%, canary %v%%, base %s (exposure %v%%)", s.DNS, s.Canary, s.Base, s.Exposure())
}

// Mode is what a shift moves: users between regions, or to a new version
// within green once the migration is done.
type Mode string

// The modes.
const (
	Migrate Mode = "migrate"
	Release Mode = "release"
)

// ModeOf reads the mode off the live setting.
func ModeOf(s Setting) Mode {
	if s.Base == Live {
		return Release
	}
	return Migrate
}

// Plan is the steps of a shift and the bounds of every wait in it.
type Plan struct {
	Steps       []Dials       `json:"steps"`
	Settle      time.Duration `json:"settle"`       // after INSYNC, before evidence speaks of this step: TTL plus metric delay
	Bake        time.Duration `json:"bake"`         // a step is watched this long
	SyncTimeout time.Duration `json:"sync_timeout"` // longest wait for INSYNC
	HoldTimeout time.Duration `json:"hold_timeout"` // longest time without a verdict or a reading
	Poll        time.Duration `json:"poll"`         // between two looks
	// Linger is how long a reading must stand before it is final: the target
	// of a retreat, or a dial somebody else turned. It outlasts an old read
	// and a call that another run had under way.
	Linger     time.Duration `json:"linger"`
	WriteTries int           `json:"write_tries"` // per dial, upward
	// RetreatTries is the retreat's own, larger budget.
	RetreatTries int  `json:"retreat_tries"`
	Promote      bool `json:"promote"` // promote once the last step has baked
	// Once ends the run, resumable, when one step has baked.
	Once bool `json:"once,omitempty"`
	// HoldOnSignal keeps the dials where they are on SIGINT and SIGTERM,
	// instead of retreating.
	HoldOnSignal bool `json:"hold_on_signal,omitempty"`
	// HoldUnknown ends the run, resumable, when a bake had no verdict for
	// HoldTimeout, instead of retreating.
	HoldUnknown bool `json:"hold_unknown,omitempty"`
	// Freeze never goes back by itself: an incident ends the run where it
	// stands, for a person to decide.
	Freeze bool `json:"freeze,omitempty"`
	// CanarySettle is Settle for a step that turns the canary alone: no
	// resolver has to forget anything. Zero: Settle.
	CanarySettle time.Duration `json:"canary_settle,omitempty"`
	// Bakes are the times of the steps, in their order; a missing or zero one
	// is Bake.
	Bakes []time.Duration `json:"bakes,omitempty"`
	Gates []Gate          `json:"gates,omitempty"`
	// Paced means that the evidence must carry the next step's exposure before
	// a bake is healthy: the watch has a budget of harm.
	Paced bool `json:"paced,omitempty"`
	// Speaks is how long after the dials stand the slowest signal can speak of
	// them: without a budget that the requests carry, no step is over before.
	Speaks time.Duration `json:"speaks,omitempty"`
	Shape  Shape         `json:"shape,omitzero"`
}

// Phase is where a shift stands.
type Phase string

// The phases; the last four absorb.
const (
	Turning    Phase = "turning"    // the dials go to the step's values
	Syncing    Phase = "syncing"    // waiting for Route 53 to answer with the new weights
	Settling   Phase = "settling"   // waiting for resolvers to forget the old ones
	Baking     Phase = "baking"     // watching
	Gated      Phase = "gated"      // watching, until somebody approves what comes next
	Promoting  Phase = "promoting"  // green's candidate becomes live
	Confirming Phase = "confirming" // watching the promoted version
	Retreating Phase = "retreating" // going back to the target
	Completed  Phase = "completed"
	RolledBack Phase = "rolled_back"
	Held       Phase = "held"
	Uncertain  Phase = "uncertain"
)

// Terminal phases absorb: nothing is done after them.
func (p Phase) Terminal() bool {
	switch p {
	case Completed, RolledBack, Held, Uncertain:
		return true
	case Turning, Syncing, Settling, Baking, Gated, Promoting, Confirming, Retreating:
		return false
	default:
		return false
	}
}

// Open phases are of a shift that is not over: Held can be resumed.
func (p Phase) Open() bool { return p != Completed && p != RolledBack }

// State is the journal's record of a shift: all that Next needs to go on after
// a crash, in absolute times.
type State struct {
	ID      string    `json:"id"`
	Mode    Mode      `json:"mode"`
	Plan    Plan      `json:"plan"`
	Phase   Phase     `json:"phase"`
	Step    int       `json:"step"`   // index into Plan.Steps
	Target  Setting   `json:"target"` // where a retreat goes; recorded at the start
	Last    Setting   `json:"last"`   // as last read back
	Want    Setting   `json:"want"`   // as intended
	Started time.Time `json:"started"`
	StepAt  time.Time `json:"step_at"`  // when the step's first write was intended
	PhaseAt time.Time `json:"phase_at"` // when the phase began
	// DialsAt is since when the step's dials stand: read back, and the records
	// in sync. Zero while they are turned.
	DialsAt time.Time `json:"dials_at,omitzero"`
	// Ended is when the run that drove the shift came to its end.
	Ended  time.Time `json:"ended,omitzero"`
	Change string    `json:"change,omitempty"` // Route 53 change to see INSYNC
	// Unsynced is set before weights are written and cleared once they are in
	// sync: with no Change, the reply that named it was lost.
	Unsynced bool `json:"unsynced,omitempty"`
	// Ignored are the alarms, "NAME@REGION", that were red before the first
	// change and that the operator chose to leave out.
	Ignored []string `json:"ignored_alarms,omitempty"`
	// Approved says who opened which gate.
	Approved []Approval `json:"approved,omitempty"`
	// PortionAt is when a shaped retreat took its last portion.
	PortionAt time.Time `json:"portion_at,omitzero"`
	// HeldIn is the phase that a held shift goes on from.
	HeldIn Phase `json:"held_in,omitempty"`
	// Frozen is set where on_incident held it: no tick of a cron goes on.
	Frozen bool `json:"frozen,omitempty"`
	// Prior is the target of the shift before, nil where none is known: a shift
	// that turned nothing leaves a rollback what it had to undo.
	Prior *Setting `json:"prior,omitempty"`
	// WatchedAt is the last look of this phase that counted: in a bake, one
	// with a healthy verdict.
	WatchedAt time.Time `json:"watched_at,omitzero"`
	// ForeignSince is when a dial was first seen where this run did not put it.
	ForeignSince time.Time `json:"foreign_since,omitzero"`
	// Tries counts writes of the present phase that did not show yet.
	Tries int `json:"tries,omitempty"`
	// UnknownSince is when the last good reading was followed by none.
	UnknownSince time.Time `json:"unknown_since,omitzero"`
	// Touched is set before the first write: until then nothing has changed.
	Touched bool `json:"touched,omitempty"`
	// Unproven is set by a resume: green has not been seen well since where the
	// dials stand.
	Unproven bool `json:"unproven,omitempty"`
	// Stopped is set once a signal asked for the end: no waiting after it.
	Stopped bool    `json:"stopped,omitempty"`
	Reason  string  `json:"reason,omitempty"` // why the shift went back, held or ended
	Receipt Receipt `json:"receipt"`
}

// At is when the shift came to where it stands: its end, or its phase's begin.
func (s State) At() time.Time {
	if s.Ended.IsZero() { // open, or journalled before there was an end
		return s.PhaseAt
	}
	return s.Ended
}

// Receipt is when each part of a retreat happened. Zero: not (yet) seen.
type Receipt struct {
	FaultSeen time.Time `json:"fault_seen,omitzero"`
	Decided   time.Time `json:"decided,omitzero"`
	CallsSent time.Time `json:"calls_sent,omitzero"`
	ReadBack  time.Time `json:"read_back,omitzero"`
	InSync    time.Time `json:"insync,omitzero"`
}

// Observation is what one look at the world found.
type Observation struct {
	Now       time.Time
	Live      Setting
	LiveKnown bool   // false: the dials could not be read
	ReadError string // why not
	// Foreign is what was read that is no setting, "" where the dials are one:
	// LiveKnown is false.
	Foreign string
	InSync  bool // the change in State.Change has reached all servers
	Health  health.Assessment
	Write   WriteResult // of the last tick's world-changing action
	Stop    bool        // a signal asked for the end
	Fenced  bool        // another run holds a newer token
	Journal string      // "" or why the journal could not be written
	// Approval is of what the gate keeps, zero while nobody has.
	Approval Approval
	// Until is when this run cannot act any more: its job is ended or its
	// credentials expire. Zero: no such time is known.
	Until time.Time
}

// WriteResult is how the last world-changing action ended.
type WriteResult struct {
	Sent   bool
	Change string // Route 53 change id, where there was one
	// Error is why the call did not succeed. It may still have taken effect:
	// only a look at the dials tells.
	Error string
}

// Action is one thing for the driver to do, in order.
//
//sumtype:decl
type Action interface{ isAction() }

// Save writes the state to the journal. A SetCanary, SetDNS or Promote that
// follows a Save that failed is not performed; a Retreat is, unless another run
// holds a newer token, and the Save is tried again after it.
type Save struct{}

// SetCanary turns green's canary percent.
type SetCanary struct{ From, To Percent }

// SetDNS turns the weights, by a batch that only lands where From still stands.
type SetDNS struct{ From, To Percent }

// Promote does the first that is left of a promotion: the alias live points at
// the candidate, live answers outside the canary, the canary goes. Each is a
// write of its own, behind a record of its own, and only lands where From still
// stands.
type Promote struct{ From, To Setting }

func (p Promote) String() string {
	switch {
	case p.From.LiveVersion != p.To.LiveVersion:
		return fmt.Sprintf("promote: live version %s -> %s", p.From.LiveVersion, p.To.LiveVersion)
	case p.From.Base != p.To.Base:
		return fmt.Sprintf("promote: base %s -> %s", p.From.Base, p.To.Base)
	default:
		return fmt.Sprintf("promote: canary %v%% -> none", p.From.Canary)
	}
}

// promoteParts is how many writes that is.
const promoteParts = 3

// Retreat sends canary, base and weights back at once, each retried apart.
type Retreat struct{ To Setting }

// Wait pauses until the next look.
type Wait struct{ For time.Duration }

// Announce tells the operator.
type Announce struct {
	Kind EventKind
	Text string
}

// Finish ends the run in the state's terminal phase.
type Finish struct{}

func (Save) isAction()      {}
func (SetCanary) isAction() {}
func (SetDNS) isAction()    {}
func (Promote) isAction()   {}
func (Retreat) isAction()   {}
func (Wait) isAction()      {}
func (Announce) isAction()  {}
func (Finish) isAction()    {}

// EventKind classifies what is told.
type EventKind string

// The kinds of event.
const (
	EventPlan    EventKind = "plan"
	EventStep    EventKind = "step"
	EventWrite   EventKind = "write"
	EventWait    EventKind = "wait"
	EventVerdict EventKind = "verdict"
	EventRetreat EventKind = "retreat"
	EventFinish  EventKind = "finish"
	EventTrouble EventKind = "trouble"
)
