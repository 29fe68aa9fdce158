package cutover_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// What internal/app does around the driver: take the lease, load the journal,
// let cutover.Admit decide, drive, give the lease up.

func (p *proc) owner() string {
	if p.sim.opt.sameOwner {
		return "ci"
	}
	return p.name
}

// take is Take of the control table, or Seize.
func (p *proc) take(purpose string, seize bool) error {
	s := p.sim
	p.lateTake = p.driven
	now := simClock{p}.Now()
	want := cutover.Lease{Owner: p.owner(), Purpose: purpose, Expires: now.Add(s.opt.ttl)}
	kind := takeLease
	if seize {
		kind = seizeLease
	}
	done := s.leases.begin(leaseOp{kind: kind, owner: want.Owner, now: now, until: want.Expires})
	err := p.call(tableService, "lease for "+purpose, func() error {
		if !seize && s.table.lease.HeldBy(want.Owner, now) {
			return &cutover.LeaseHeld{Lease: s.table.lease}
		}
		p.token = s.grant(want).Token
		return nil
	})
	done(p.token, err)
	return err
}

func (p *proc) loadJournal() (state cutover.State, found bool, err error) {
	err = p.call(tableService, "load", func() error {
		state, found, err = p.sim.table.load()
		return err
	})
	return state, found, err
}

// shift is one run of tapctl shift.
func shift(ask cutover.Intent) func(*proc) {
	return func(p *proc) {
		if err := p.take("shift", false); err != nil {
			p.refuse(err)
			return
		}
		state, err := p.prepare(ask)
		if errors.Is(err, cutover.ErrNothingToDo) {
			p.exit = "nothing to do"
		} else if err != nil {
			p.refuse(err)
		} else if a := p.Judge(context.Background(), p.sim.now, health.Sides{}); a.Verdict == health.Unhealthy {
			p.refuse(errors.New("alarm at the start: " + a.Verdict.String()))
		} else {
			p.drive(p, p, state)
		}
		_ = p.extend("release", time.UnixMilli(0).UTC()) // it expires by itself
	}
}

func (p *proc) prepare(ask cutover.Intent) (cutover.State, error) {
	newest, found, err := p.loadJournal()
	if err != nil {
		return cutover.State{}, err
	}
	now := simClock{p}.Now()
	state, resumed, err := cutover.Admit(newest, found, ask, now)
	if back, went := p.sim.back[newest.ID]; went && resumed {
		back.known = newest
		p.sim.back[newest.ID] = back
	}
	if err != nil || resumed {
		return state, err
	}
	live, err := p.Read(context.Background())
	if err != nil {
		return cutover.State{}, err
	}
	steps, err := cutover.Steps(live, p.sim.opt.ask)
	if err != nil {
		return cutover.State{}, err
	}
	plan := p.sim.opt.plan
	plan.Steps, plan.Once = steps, ask.Once
	plan.Promote = plan.Promote && cutover.Promotes(live, steps)
	return cutover.Start(p.name, live, plan, now).Behind(newest, now), nil
}

// rollback is one run of tapctl rollback.
func rollback(p *proc) { p.goBack(false) }

// shapedRollback is one of tapctl rollback --shaped.
func shapedRollback(p *proc) { p.goBack(true) }

func (p *proc) goBack(shaped bool) {
	journal := p.seizeLate()
	_ = journal.Take(context.Background()) // a rollback goes on without
	live, readErr := p.Read(context.Background())
	newest, found, err := p.loadJournal()
	target, known := cutover.RetreatTarget(newest, found, live, readErr == nil), true
	if err != nil {
		target, known = cutover.BlindTarget(live, readErr == nil)
	}
	if known {
		now := simClock{p}.Now()
		state := cutover.StartRetreat(p.name, target, p.planBack(shaped), now).Behind(newest, now)
		if shaped && readErr == nil {
			state.Want, state.Last = live, live
		}
		p.drive(nil, journal, state)
	} else {
		p.refuse(err) // a person names the target, or asks again
	}
	p.giveUp()
}

// toBlue is one run of tapctl rollback --to-blue: it asks nothing before its
// first call, neither for the lease nor where the dials stand.
func toBlue(p *proc) {
	p.named = &cutover.Setting{Base: cutover.Forwarder}
	p.unlooked, p.asked = true, p.sim.now
	state := cutover.StartRetreat(p.name, *p.named, p.planBack(false), simClock{p}.Now())
	p.drive(nil, p.seizeLate(), state.Behind(cutover.State{}, simClock{p}.Now()))
	p.giveUp()
}

// wayBack is a rollback as somebody may type it in this world.
func (s *sim) wayBack() func(*proc) {
	switch {
	case s.chance(s.opt.toBlue):
		s.seen["rollbacks to blue"]++
		return toBlue
	case s.chance(s.opt.shaped):
		return shapedRollback
	default:
		return rollback
	}
}

func (p *proc) seizeLate() *lateJournal {
	return &lateJournal{p, cutover.LateJournal{Open: func(context.Context) (cutover.Journal, error) {
		return p, p.take("rollback", true)
	}}}
}

// planBack: who types rollback means now, and takes portions only if asked for.
func (p *proc) planBack(shaped bool) cutover.Plan {
	plan := p.sim.opt.plan
	plan.Steps, plan.Promote = nil, false
	if !shaped {
		plan.Shape = cutover.Shape{}
	}
	return plan
}

// giveUp lets go of a lease that a rollback was given.
func (p *proc) giveUp() {
	if p.token > 0 {
		_ = p.extend("release", time.UnixMilli(0).UTC())
	}
}

// lateJournal is the journal of a rollback: the lease that it may still need is
// asked for within the time of the record.
type lateJournal struct {
	proc *proc
	cutover.LateJournal
}

// Save implements cutover.Journal.
func (j *lateJournal) Save(ctx context.Context, state cutover.State) error {
	defer j.proc.hurry(state)()
	return j.LateJournal.Save(ctx, state)
}

func (p *proc) refuse(err error) {
	p.exit = "refused: " + err.Error()
	p.sim.seen["refused"]++
	p.sim.tracef("%s: %s", p.name, p.exit)
}

func (p *proc) drive(watch cutover.Watch, journal cutover.Journal, state cutover.State) {
	s := p.sim
	p.intent, p.driven, p.proven = state, true, !state.Touched
	p.retreats = state.Phase == cutover.Retreating
	s.tracef("%s: drives %s of step %d, target %v", p.name, state.Phase, state.Step+1, state.Target)
	var until time.Time
	if s.opt.life > 0 && !s.healed {
		until = simClock{p}.Now().Add(s.opt.life)
	}
	p.end = cutover.Run(context.Background(), cutover.Ports{
		Until: func(context.Context) time.Time { return until }, Gates: p,
		Traffic: p, Watch: watch, Journal: journal, Clock: simClock{p}, Wall: simWall{simClock{p}}, Stop: p.stop, Heartbeat: s.opt.heartbeat,
		Emit: func(e cutover.Event) {
			if strings.HasPrefix(e.Text, "internal error") {
				s.fail("Check never fires", "%s: %s", p.name, e.Text)
			}
			s.tracef("%s: [%s %s] %s", p.name, e.Phase, e.Kind, e.Text)
		},
	}, state)
	p.driven = false
	s.tracef("%s: ends %s: %s", p.name, p.end.Phase, p.end.Reason)
	s.checkEnd(p)
	p.driven = true
	p.exit = string(p.end.Phase)
}

// Bounds of a world that is not over: a run that waits for nothing, or for ever.
const (
	mostTurns = 60_000
	mostTime  = 12 * time.Hour
	mostProcs = 8
)

// play runs a seed through both phases: the hurts, and then, with all of them
// gone, one last command that has to end.
func (s *sim) play() {
	defer s.close()
	s.schedule()
	for s.broken == nil && (s.live() || len(s.later) > 0) && s.step() {
		s.restart()
		if s.turns > mostTurns || s.now.Sub(start) > mostTime {
			s.fail("every run ends", "after %d turns and %v", s.turns, s.now.Sub(start))
		}
	}
	if s.broken != nil {
		return
	}
	s.heal()
}

func (s *sim) schedule() {
	s.start("shift-1", shift(cutover.Intent{Once: s.chance(0.15)}))
	number := 1
	for _, when := range s.opt.second {
		number++
		name, ask := fmt.Sprintf("shift-%d", number), cutover.Intent{Resume: s.chance(0.5), Once: s.chance(0.1)}
		s.after(when, func() { s.start(name, shift(ask)) })
	}
	for i, when := range s.opt.rollback {
		s.after(when, func() { s.start(fmt.Sprintf("rollback-%d", i+1), s.wayBack()) })
	}
	for _, when := range s.opt.signal {
		s.after(when, func() { s.procs[s.rng.IntN(len(s.procs))].signal() })
	}
	for _, when := range s.opt.human {
		s.after(when, func() {
			s.seen["human"]++
			s.human()
		})
	}
	for _, when := range s.opt.leap {
		by := s.between(time.Second, 20*time.Minute)
		s.after(when, func() {
			p := s.procs[s.rng.IntN(len(s.procs))]
			s.tracef("%s: clock leaps by %v", p.name, by)
			s.seen["leapt"]++
			p.skew += by
		})
	}
}

// restart lets CI, or a person, take up what a crashed or held run left.
func (s *sim) restart() {
	for _, p := range s.procs {
		held := p.exit == string(cutover.Held)
		if !p.over || p.followed || !p.crashed && !held || len(s.procs) >= mostProcs {
			continue
		}
		p.followed = true
		name := fmt.Sprintf("after-%s", p.name)
		body := shift(cutover.Intent{Resume: true})
		if s.opt.abandoned != "" && p.crashed {
			body = shift(cutover.Intent{Abandoned: s.opt.abandoned})
		}
		if s.chance(0.3) {
			body = s.wayBack()
		}
		s.after(s.between(time.Second, s.opt.ttl+time.Minute), func() { s.start(name, body) })
	}
}

// heal ends every hurt; then a command of the operator's must end, and traffic
// must be where the journal says.
func (s *sim) heal() {
	s.healed = true
	s.opt.maxSync = min(s.opt.maxSync, 30*time.Second)
	// A clock that leapt may have taken the lease far ahead of the others'.
	s.now = s.now.Add(s.opt.ttl + 2*opTimeout)
	if until := s.table.lease.Expires; until.After(s.now) {
		s.now = until
	}
	s.tracef("healed; truth %v", s.truth())
	if s.chance(0.6) {
		before := s.truth()
		newest, found, _ := s.table.load()
		p := s.finish("last-shift", shift(cutover.Intent{Resume: true}))
		if s.broken == nil {
			s.checkResumed(p, before, newest, found)
		}
		if p.exit == string(cutover.Completed) || p.exit == string(cutover.RolledBack) {
			return
		}
	}
	newest, found, _ := s.table.load()
	p := s.finish("last-rollback", s.wayBack())
	want := newest.Target
	if newest.Prior != nil && newest.Phase == cutover.RolledBack && !newest.Touched {
		s.seen["undoes the shift before"]++
		want = *newest.Prior
	}
	if p.named != nil {
		want, found = *p.named, true
	}
	if s.broken == nil && found && p.end.Target != want {
		s.fail("a rollback goes where the journal says, or who typed it", "target %v, want %v", p.end.Target, want)
	}
	if s.broken == nil && (p.exit != string(cutover.RolledBack) || !stands(s.truth(), p.end.Target) || s.table.state.Phase != cutover.RolledBack) {
		s.fail("healed, a rollback ends at its target", "%s: %s, truth %v, target %v, journal %s", p.exit, p.end.Reason, s.truth(), p.end.Target, s.table.state.Phase)
	}
}

// finish runs one proc alone to its end.
func (s *sim) finish(name string, body func(*proc)) *proc {
	p := s.start(name, body)
	began, turns := s.now, s.turns
	for s.broken == nil && !p.over && s.step() {
		if s.turns-turns > 6000 || s.now.Sub(began) > 3*time.Hour {
			s.fail("healed, it ends", "%s after %d turns and %v", name, s.turns-turns, s.now.Sub(began))
		}
	}
	return p
}

func (s *sim) checkResumed(p *proc, before cutover.Setting, newest cutover.State, found bool) {
	s.seen["healed: "+strings.SplitN(p.exit, ":", 2)[0]]++
	open := found && newest.Phase.Open() && newest.Phase != cutover.Uncertain
	switch {
	case strings.HasPrefix(p.exit, "refused: alarm"):
		if s.opt.badAt.IsZero() {
			s.fail("healed, a resume ends", "%s", p.exit)
		}
	case !open:
		if !strings.HasPrefix(p.exit, "refused") {
			s.fail("healed, a resume ends", "%s of a shift in %s", p.exit, newest.Phase)
		}
	case p.exit == string(cutover.Uncertain):
		if s.seen["human"] == 0 && turnedByNobody(before, newest) {
			s.fail("healed, a resume ends", "uncertain (%s) at %v, journal last %v want %v", p.end.Reason, before, newest.Last, newest.Want)
		}
	case p.exit == string(cutover.Held) && p.end.Plan.Freeze && strings.HasPrefix(p.end.Reason, "frozen"):
	case p.exit != string(cutover.Completed) && p.exit != string(cutover.RolledBack):
		s.fail("healed, a resume ends", "%s: %s", p.exit, p.end.Reason)
	case s.table.state.Phase != p.end.Phase:
		s.fail("healed, the journal tells the end", "%s, journal %s", p.exit, s.table.state.Phase)
	case p.exit == string(cutover.RolledBack) && !stands(s.truth(), p.end.Target):
		s.fail("healed, traffic is where the journal says", "%v, target %v", s.truth(), p.end.Target)
	}
}

// turnedByNobody is true where every dial stands at a value of the journal's.
func turnedByNobody(live cutover.Setting, newest cutover.State) bool {
	want, step := newest.Want, newest.Plan.Steps[newest.Step]
	return (live.DNS == newest.Last.DNS || live.DNS == want.DNS || live.DNS == step.DNS) &&
		(live.Canary == newest.Last.Canary || live.Canary == want.Canary || live.Canary == step.Canary) &&
		(live.Base == newest.Last.Base || live.Base == want.Base) && (live.LiveVersion == newest.Last.LiveVersion || live.LiveVersion == want.LiveVersion)
}
