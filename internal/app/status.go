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
	a.readRest(ctx, top, &s)
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

// readRest adds what is not a dial; what cannot be read of it is a warning.
func (a *App) readRest(ctx context.Context, top topology.Topology, s *Status) {
	warn := func(what string, err error) {
		if err != nil {
			s.Warnings = append(s.Warnings, what+": "+err.Error())
		}
	}
	warn("journal", a.readJournal(ctx, s))
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
}

func (a *App) readJournal(ctx context.Context, s *Status) error {
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
	return errors.Join(leaseErr, err)
}
