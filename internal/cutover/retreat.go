package cutover

import (
	"context"
	"fmt"
	"time"
)

// nextRetreat goes on until the target is read back, has stood for a while and
// is in sync, or the budget is spent. It asks no alarm, and it ignores who else
// turned a dial.
func nextRetreat(s State, o Observation) (State, []Action) {
	s.Stopped = s.Stopped || o.Stop
	if o.Write.Sent && s.Receipt.CallsSent.IsZero() {
		s.Receipt.CallsSent = o.Now
	}
	if o.LiveKnown {
		s.Last = o.Live
	}
	if !o.LiveKnown || !atTarget(o.Live, s.Target) {
		s.Receipt.ReadBack = time.Time{}
		return retryRetreat(s, o)
	}
	if s.Receipt.ReadBack.IsZero() || unwatched(s, o) > 0 {
		s.Receipt.ReadBack = o.Now
	}
	s.WatchedAt = o.Now
	if s.Unsynced && s.Change != "" && o.InSync {
		s.Unsynced, s.Receipt.InSync = false, o.Now
	}
	switch late := o.Now.After(s.Receipt.ReadBack.Add(s.Plan.SyncTimeout)); {
	case s.Stopped:
		return finish(s, o, RolledBack, s.Reason)
	case o.Now.Before(s.Receipt.ReadBack.Add(s.Plan.Linger)):
		// One look may be old, and a call of the run that was here before may
		// still be under way: the target must stand.
		return s, []Action{Wait{s.Plan.Poll}}
	case !s.Unsynced, s.Change == "" && late:
		return finish(s, o, RolledBack, s.Reason)
	case late:
		return finish(s, o, Uncertain, fmt.Sprintf("the target is set but Route 53 was not in sync within %v: %s", s.Plan.SyncTimeout, s.Reason))
	default:
		return s, []Action{Wait{s.Plan.Poll}}
	}
}

func retryRetreat(s State, o Observation) (State, []Action) {
	if s.arrived(o) {
		if !s.Stopped && o.Journal == "" && o.Now.Before(s.PortionAt.Add(s.Plan.Shape.Pause)) {
			return s, []Action{Wait{min(s.Plan.Poll, s.Plan.Shape.Pause)}}
		}
		s.Tries, s.PortionAt = 0, o.Now
	}
	if s.Tries >= s.Plan.RetreatTries {
		stands := "not all dials could be read: " + o.ReadError
		if o.LiveKnown {
			stands = "traffic stands at " + o.Live.String()
		}
		return finish(s, o, Uncertain, fmt.Sprintf("retreat to %s not confirmed after %d tries; %s; last error: %s; began because: %s",
			s.Target, s.Tries, stands, o.Write.Error, s.Reason))
	}
	s.Tries++
	if o.LiveKnown && o.Live.DNS != s.Target.DNS {
		s.Change = "" // the records are written anew: what has a name is not the last change
	}
	s.Unsynced = s.Unsynced || !o.LiveKnown || o.Live.DNS != s.Target.DNS
	s, actions := takeBack(s, o)
	if s.Tries > 2 {
		// The first retry is immediate; later ones leave AWS time to recover.
		actions = append([]Action{Wait{retreatPause}}, actions...)
	}
	return s, actions
}

// retreatPause is between two tries of the retreat.
const retreatPause = 5 * time.Second

// backTimeout bounds the question whether blue can take the users.
const backTimeout = 15 * time.Second

// askBack asks, once and beside the retreat.
func (r *run) askBack(ctx context.Context) {
	if r.Back == nil || r.back != nil {
		return
	}
	answers := make(chan string, 1) // nobody may be left to hear it
	r.back = answers
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTimeout)
	go func() {
		defer cancel()
		answers <- r.Back(ask)
	}()
}

// tellBack passes the answer on once it is there.
func (r *run) tellBack(o Observation) {
	select {
	case text := <-r.back:
		r.emit(EventVerdict, text, o)
	default:
	}
}
