package app

import (
	"context"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// PastShift is one shift or rollback that ended; its JSON is a contract.
type PastShift struct {
	ID       string          `json:"id"`
	Mode     cutover.Mode    `json:"mode"`
	Outcome  cutover.Phase   `json:"outcome"` // completed | rolled_back | held | uncertain
	Started  time.Time       `json:"started"`
	Ended    time.Time       `json:"ended"`
	Dials    cutover.Dials   `json:"dials"` // as last read back
	Exposure cutover.Percent `json:"exposure"`
	Reason   string          `json:"reason"`
	Owner    string          `json:"owner"` // who drove it last; "unknown" of one that was superseded
	RunURL   string          `json:"run_url,omitempty"`
	Receipt  *Receipt        `json:"receipt,omitempty"` // of a retreat
}

// History is the shifts that ended, the newest first.
func (a *App) History(ctx context.Context, limit int32) ([]PastShift, error) {
	past, err := a.control().History(ctx, limit)
	if err != nil {
		return nil, a.notDeployed(err)
	}
	all := make([]PastShift, 0, len(past))
	for _, p := range past {
		s := p.State
		shift := PastShift{
			ID: s.ID, Mode: s.Mode, Outcome: s.Phase, Started: s.Started, Ended: s.At(), Dials: s.Last.Dials, Exposure: s.Last.Exposure(),
			Reason: s.Reason, Owner: p.Owner, RunURL: p.RunURL,
		}
		if r := s.Receipt; !r.Decided.IsZero() {
			shift.Receipt = &Receipt{FaultSeen: r.FaultSeen, Decided: r.Decided, CallsSent: r.CallsSent, InSync: r.InSync}
		}
		all = append(all, shift)
	}
	return all, nil
}
