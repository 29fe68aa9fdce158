package app

import (
	"context"
	"errors"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// Status is where traffic is now; its JSON is a contract.
type Status struct {
	Mode      cutover.Mode    `json:"mode"`
	Phase     cutover.Phase   `json:"phase"` // of the newest shift; "" where there was none
	Dials     cutover.Dials   `json:"dials"`
	Exposure  cutover.Percent `json:"exposure"`
	Base      cutover.Base    `json:"base"`
	Verdict   health.Verdict  `json:"verdict"`
	Alarms    []AlarmStatus   `json:"alarms"`
	Lease     *cutover.Lease  `json:"lease"` // null where nobody holds it
	LastEvent *LastEvent      `json:"last_event"`
	// DNSGreen is the percent of sampled DNS answers that lead to green; null
	// where DNS could not be asked.
	DNSGreen *float64 `json:"dns_green_answers"`
	Warnings []string `json:"warnings,omitempty"`
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
// nothing; what cannot be read is a warning, except the dials themselves.
func (a *App) Status(ctx context.Context) (Status, error) {
	if _, err := a.Clients.Account(ctx, a.Config.TargetRegion); err != nil {
		return Status{}, refused(err)
	}
	top, err := a.findTopology(ctx)
	if err != nil {
		return Status{}, a.notDeployed(err)
	}
	live, err := awsapi.NewTraffic(a.Clients, top).Read(ctx)
	if err != nil {
		return Status{}, refused(err)
	}
	s := Status{Mode: cutover.ModeOf(live), Dials: live.Dials, Exposure: live.Exposure(), Base: live.Base, Alarms: []AlarmStatus{}}
	warn := func(what string, err error) {
		if err != nil {
			s.Warnings = append(s.Warnings, what+": "+err.Error())
		}
	}
	warn("journal", a.readJournal(ctx, &s))
	refs := alarmRefs(top)
	states, err := awsapi.Alarms{Clients: a.Clients}.ReadAlarms(ctx, refs, a.Clock.Now())
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
	return s, nil
}

func (a *App) readJournal(ctx context.Context, s *Status) error {
	control := a.control()
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
