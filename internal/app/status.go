package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/topology"
)

// Status is where traffic is now; its JSON is a contract. Null or "" is what
// could not be read: Unread says why.
type Status struct {
	Mode  cutover.Mode  `json:"mode"`
	Phase cutover.Phase `json:"phase"` // of the newest shift; "" where there was none
	Dials SeenDials     `json:"dials"`
	// Exposure is known without the canary where no DNS answer leads to green.
	Exposure  *cutover.Percent `json:"exposure"`
	Base      cutover.Base     `json:"base"`
	Verdict   health.Verdict   `json:"verdict"`
	Alarms    []AlarmStatus    `json:"alarms"`
	Lease     *cutover.Lease   `json:"lease"` // null where nobody holds it
	LastEvent *LastEvent       `json:"last_event"`
	// DNSGreen is the percent of sampled DNS answers that lead to green; null
	// where DNS could not be asked.
	DNSGreen *float64     `json:"dns_green_answers"`
	Unread   []UnreadDial `json:"unread,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
	// NextCommand is what to type next.
	NextCommand string `json:"next_command"`
}

// SeenDials are the dials that were read.
type SeenDials struct {
	DNS    *cutover.Percent `json:"dns"`
	Canary *cutover.Percent `json:"canary"`
}

// UnreadDial is a dial that could not be read, and why.
type UnreadDial struct {
	Dial   string `json:"dial"`
	Reason string `json:"reason"`
}

// AlarmStatus is one alarm.
type AlarmStatus struct {
	Name   string    `json:"name"`
	Region string    `json:"region"`
	Side   string    `json:"side"`
	State  string    `json:"state"`
	Since  time.Time `json:"since"`
}

// LastEvent is what the journal knows of the newest shift.
type LastEvent struct {
	At     time.Time `json:"at"`
	Shift  string    `json:"shift"`
	Phase  string    `json:"phase"`
	Reason string    `json:"reason,omitempty"`
}

// Status reads the dials, the alarms, the lease and the journal. It changes
// nothing. What cannot be read is named beside what was: where one dial is out
// of reach, an operator needs the others all the more. It fails where nothing is
// deployed, or where not one dial answers and AWS does not know the caller.
func (a *App) Status(ctx context.Context) (Status, error) {
	top, err := a.findTopology(ctx)
	if errors.Is(err, awsapi.ErrNoTopology) {
		return Status{}, a.notDeployed(err)
	}
	if err != nil {
		return Status{}, a.nothingSeen(ctx, err)
	}
	live, err := awsapi.NewTraffic(a.Clients, top).Read(ctx)
	s := statusOf(live, awsapi.UnreadOf(err))
	if len(s.Unread) == allDials {
		if err := a.nothingSeen(ctx, nil); err != nil {
			return Status{}, err
		}
	}
	newest, known := a.readRest(ctx, top, &s)
	s.NextCommand = nextOf(live, newest, known && len(s.Unread) == 0, s.Lease != nil, top.Retired)
	return s, nil
}

// nothingSeen refuses with why AWS does not know the caller, which explains all
// the rest, or else with err.
func (a *App) nothingSeen(ctx context.Context, err error) error {
	if _, identity := a.Clients.Account(ctx, a.Config.TargetRegion); identity != nil {
		err = identity
	}
	if err == nil {
		return nil
	}
	return refused(err)
}

// allDials is how many parts a look has.
const allDials = 4

// statusOf is the dials as they were read.
func statusOf(live cutover.Setting, unread awsapi.Unread) Status {
	s := Status{Alarms: []AlarmStatus{}}
	for _, part := range []struct {
		dial string
		err  error
	}{{"dns", unread.DNS}, {"canary and base", unread.Stage}, {"live version", unread.Live}, {"candidate version", unread.Next}} {
		if part.err != nil {
			s.Unread = append(s.Unread, UnreadDial{part.dial, strings.ReplaceAll(part.err.Error(), "\n", "; ")})
		}
	}
	if unread.DNS == nil {
		s.Dials.DNS = &live.DNS
	}
	if unread.Stage == nil {
		s.Dials.Canary, s.Base, s.Mode = &live.Canary, live.Base, cutover.ModeOf(live)
	}
	if exposure := live.Exposure(); unread.DNS == nil && (unread.Stage == nil || live.DNS == 0) {
		s.Exposure = &exposure
	}
	return s
}

// nextOf is the command to type next, by where traffic is, the journal's newest
// shift (the zero one where there was none), who has the lease, and whether blue
// is gone.
func nextOf(live cutover.Setting, newest cutover.State, known, held, retired bool) string {
	open := newest.Phase != "" && newest.Phase.Open()
	gated := newest.Phase == cutover.Gated || newest.HeldIn == cutover.Gated
	switch exposed := live.CandidateExposure() > 0; {
	case !known:
		return "tapctl status, again; tapctl rollback works meanwhile"
	case open && gated:
		return "tapctl approve, then tapctl shift --resume where no run waits; or tapctl rollback"
	case held:
		return "tapctl status --watch; tapctl rollback works at any time"
	case newest.Phase == cutover.Uncertain:
		return "tapctl rollback"
	case open:
		return "tapctl shift --resume, or tapctl rollback"
	case cutover.Unpromoted(live):
		return "tapctl promote, or tapctl rollback"
	case exposed:
		return "tapctl shift, or tapctl rollback"
	case newest.Phase == cutover.RolledBack && newest.Touched && newest.Last.NextVersion == live.NextVersion && live.NextVersion != live.LiveVersion:
		return "correct green, then: tapctl deploy && tapctl shift"
	case live.Base == cutover.Forwarder || live.NextVersion != live.LiveVersion:
		return "tapctl verify, then tapctl shift"
	case live.DNS < 100:
		return "tapctl shift, or tapctl rollback"
	case retired:
		return "tapctl deploy, then tapctl shift, with the next release"
	default:
		return "tapctl retire --dry-run, or tapctl rollback"
	}
}

// readRest adds what is not a dial; what cannot be read of it is a warning. It
// returns the journal's newest shift, and whether that is known.
func (a *App) readRest(ctx context.Context, top topology.Topology, s *Status) (newest cutover.State, known bool) {
	warn := func(what string, err error) {
		if err != nil {
			s.Warnings = append(s.Warnings, what+": "+err.Error())
		}
	}
	newest, err := a.readJournal(ctx, s)
	known = err == nil
	warn("journal", err)
	refs := alarmRefs(top)
	look, cancel := a.briefly(ctx)
	states, err := awsapi.Alarms{Clients: a.Clients}.ReadAlarms(look, refs, a.Clock.Now())
	cancel()
	warn("alarms", err)
	if err != nil {
		s.Verdict = health.Unknown
	} else {
		s.Verdict = health.Fold(health.Alarms(refs, states, a.Clock.Now(), nil)...).Verdict
	}
	for _, state := range states {
		for _, ref := range refs {
			if ref.Name == state.Name && ref.Region == state.Region {
				s.Alarms = append(s.Alarms, AlarmStatus{state.Name, state.Region, ref.Side, state.State, state.Since})
			}
		}
	}
	share, err := a.observedShare(ctx, top)
	warn("DNS", err)
	if err == nil {
		s.DNSGreen = &share
	}
	return newest, known
}

func (a *App) readJournal(ctx context.Context, s *Status) (cutover.State, error) {
	control := a.control()
	ctx, cancel := a.briefly(ctx)
	defer cancel()
	lease, leaseErr := control.Lease(ctx)
	if leaseErr == nil && lease.HeldBy("", a.Clock.Now()) {
		s.Lease = &lease
	}
	shift, found, err := control.Shift(ctx)
	if err == nil && found {
		s.Phase = shift.Phase
		s.LastEvent = &LastEvent{At: shift.At(), Shift: shift.ID, Phase: string(shift.Phase), Reason: shift.Reason}
	}
	return shift, errors.Join(leaseErr, err)
}
