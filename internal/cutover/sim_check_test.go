package cutover_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// The invariants, by name. They look at what lands in the world, not at what
// Next says, so that they do not share its mistakes.

// setZone lands a batch of weights; p is nil for a human.
func (s *sim) setZone(p *proc, z zone) {
	before := s.zone.last()
	for kind := range z {
		blue, green := z[kind][0], z[kind][1]
		if blue.weight == 0 && green.weight == 0 {
			s.fail("weights are never all zero", "%v", z)
		}
		if p != nil && (blue.weight+green.weight != 100 || z[kind] != z[0]) {
			s.fail("both colours and types move in one batch", "%v", z)
		}
		if blue.check != before[kind][0].check || green.check != before[kind][1].check {
			s.fail("health checks stay attached", "%v after %v", z, before)
		}
	}
	was := s.truth()
	s.zone.set(s.now, z)
	s.writers[dnsDial] = writer{p, s.now}
	s.measure(p, was)
}

func (s *sim) setStage(p *proc, st stage) {
	if before := s.stage.last(); before.canary != st.canary {
		s.writers[canaryDial] = writer{p, s.now}
	} else if before.base != st.base {
		s.writers[baseDial] = writer{p, s.now}
	}
	was := s.truth()
	s.stage.set(s.now, st)
	s.measure(p, was)
	if p != nil {
		s.tracef("%s: stage now %+v", p.name, st)
	}
}

// bakeWatch counts the healthy looks since the journal was told of the bake,
// and remembers the first and the newest of a row of unknown ones.
type bakeWatch struct {
	looks         int
	first, newest time.Time
}

func (s *sim) look(p *proc, v health.Verdict) {
	b := &p.bake
	baking := p.intent.Phase == cutover.Baking || p.intent.Phase == cutover.Confirming
	if held := b.newest.Sub(b.first); baking && held > p.intent.Plan.HoldTimeout+p.intent.Plan.Linger+2*opTimeout {
		s.fail("no verdict is waited for for ever", "%s: unknown for %v", p.name, held)
	}
	if v == health.Healthy {
		b.looks++
	}
	if v != health.Unknown {
		b.first = time.Time{}
	} else if b.first.IsZero() {
		b.first = s.now
	}
	b.newest = s.now
	if b.first.IsZero() {
		b.newest = time.Time{}
	}
}

// checkIntent holds what a run journals next against what it saw.
func (s *sim) checkIntent(p *proc, next cutover.State) {
	before := p.intent
	s.checkWaits(p, next)
	baking := before.Phase == cutover.Baking || before.Phase == cutover.Confirming
	up := next.Step > before.Step ||
		next.Phase == cutover.Promoting && before.Phase != cutover.Promoting ||
		next.Phase == cutover.Completed && before.Phase != cutover.Completed
	if up {
		if p.verdict != health.Healthy {
			s.fail("exposure rises only on healthy", "%s: step %d %s after a verdict of %v", p.name, next.Step+1, next.Phase, p.verdict)
		}
		if next.Step > before.Step+1 {
			s.fail("only to the next planned value", "%s: step %d after %d", p.name, next.Step+1, before.Step+1)
		}
		gated := before.Phase == cutover.Gated
		if !baking && !gated {
			s.fail("a step passes only by baking", "%s: left %s for %s of step %d", p.name, before.Phase, next.Phase, next.Step+1)
		}
		_, bake := waits(next.Plan, before.Step)
		if need := int(bake / max(4*next.Plan.Poll, time.Minute)); p.bake.looks < need && !gated {
			s.fail("a bake is watched", "%s: %d healthy looks in a bake of %v, polled every %v", p.name, p.bake.looks, bake, next.Plan.Poll)
		}
		s.checkGate(p, next)
	}
	if next.Phase != before.Phase {
		p.bake, p.phaseAt = bakeWatch{}, s.now
	}
	if next.Phase == cutover.Retreating && before.Phase != cutover.Retreating && next.Plan.Freeze && !next.Stopped {
		s.fail("a frozen shift goes back only by hand", "%s: %s", p.name, next.Reason)
	}
	if p.retreats && next.Phase != cutover.Retreating && next.Phase != cutover.RolledBack && next.Phase != cutover.Uncertain {
		s.fail("nothing rises after a retreat began", "%s journals %s", p.name, next.Phase)
	}
}

// checkGate: what a gate keeps begins only once somebody has approved it, and a
// gate that is reached is put before somebody who may.
func (s *sim) checkGate(p *proc, next cutover.State) {
	for _, g := range next.Plan.Gates {
		begun := next.Phase == cutover.Turning && next.Step == g.Step || next.Phase == cutover.Promoting && g.Step == len(next.Plan.Steps)
		if begun && s.approved[gateKey(next.ID, g.Step)].IsZero() && !s.healed {
			s.fail("a gate opens only when approved", "%s: step %d of %s", p.name, g.Step+1, next.ID)
		}
	}
}

func gateKey(shift string, step int) string { return fmt.Sprintf("%s/%d", shift, step) }

// ApprovedBy implements cutover.Gates. Who may approve hears of the gate the
// first time a run looks.
func (p *proc) ApprovedBy(_ context.Context, shift string, step int) (cutover.Approval, error) {
	s, key := p.sim, gateKey(shift, step)
	by := cutover.Approval{Step: step}
	if asked, heard := s.approved[key]; !heard {
		s.approved[key] = time.Time{}
		s.seen["gates"]++
		if s.chance(s.opt.assent) {
			s.after(s.between(0, 15*time.Minute), func() { s.approved[key] = s.now })
		}
	} else if !asked.IsZero() {
		by.By, by.At = "somebody", asked
	}
	if s.healed {
		by.By = "the healer"
	}
	err := p.call(tableService, "approval", func() error { return nil })
	return by, err
}

// checkWaits holds the waits of a run, and the age of what it decides upon.
func (s *sim) checkWaits(p *proc, next cutover.State) {
	before, leap := p.intent, min(p.skew, time.Minute) // a leap passes for one pause
	holds := next.Phase == before.Phase && next.Step == before.Step && next.Tries == before.Tries
	goesOn := next.Phase == cutover.Completed || next.Phase == cutover.RolledBack && next.Touched || next.Phase == cutover.Turning || next.Phase == cutover.Promoting
	if age := s.now.Sub(p.sawAt); goesOn && !holds && !p.lateTake && !next.Stopped && !p.sawAt.IsZero() && age > 2*opTimeout {
		s.fail("no decision rests on an old look", "%s: %s upon a look of %v ago", p.name, next.Phase, age)
	}
	settle, _ := waits(next.Plan, next.Step)
	if before.Phase == cutover.Settling && next.Phase == cutover.Baking && s.now.Sub(p.phaseAt)+leap < settle {
		s.fail("a step settles before it bakes", "%s: %v of %v", p.name, s.now.Sub(p.phaseAt), settle)
	}
	holder := s.table.lease.Token == p.token
	settles := next.Phase == cutover.Settling && before.Phase != cutover.Settling ||
		next.Phase == cutover.RolledBack && before.Phase == cutover.Retreating && !next.Stopped
	if settles && holder && (next.Plan.SyncTimeout > s.opt.maxSync || before.Change != "") {
		s.checkSynced(p)
	}
}

// checkSynced: a step settles, and a retreat ends, only once its weights are
// everywhere.
func (s *sim) checkSynced(p *proc) {
	if w := s.writers[dnsDial]; w.proc != p {
		switch {
		case p.retreats:
			return // a rollback that found the records at its target
		case w.proc == nil || w.at.After(p.sawAt.Add(-s.opt.staleness)):
			return // made since this run looked, or by a person
		}
		if newer, given := s.table.raised[w.proc.token+1]; given && w.at.After(newer) {
			s.seen["residual: a late write of an older token is not waited for"]++
			return // no record names its change
		}
	}
	id := fmt.Sprintf("C%d", len(s.insync))
	// A leap of the clock passes for one pause between two looks.
	if s.now.Add(min(p.skew, time.Minute)).Before(s.insync[id]) {
		s.fail("a step settles only once in sync", "%s settles before %s is in sync", p.name, id)
	}
}

// checkUpward holds an upward call at the moment it is sent.
func (s *sim) checkUpward(p *proc, op *operation) {
	s.seen["upward"]++
	intent := p.intent
	if p.retreats || intent.Phase == cutover.Retreating {
		s.fail("nothing rises after a retreat began", "%s: %s to %v", p.name, op.dial, op.to)
	}
	s.checkBack(p, op)
	if p.fenced {
		s.fail("a fenced run turns nothing", "%s: %s to %v", p.name, op.dial, op.to)
	}
	if !p.proven && p.saw.CandidateExposure() > 0 && op.dial != baseDial {
		s.fail("exposure rises only on healthy", "%s: %s to %v at %v, of a green it has not seen well", p.name, op.dial, op.to, p.saw)
	}
	if p.verdict == health.Unhealthy {
		s.fail("nothing rises while unhealthy", "%s: %s to %v", p.name, op.dial, op.to)
	}
	step := intent.Plan.Steps[intent.Step]
	planned := op.dial == dnsDial && op.to == step.DNS || op.dial == canaryDial && op.to == step.Canary ||
		op.dial == baseDial && intent.Step == len(intent.Plan.Steps)-1
	if !planned {
		s.fail("only to the next planned value", "%s: %s to %v in step %v", p.name, op.dial, op.to, step)
	}
	if s.table.lease.Token == p.token && (s.table.state.ID != intent.ID || s.table.state.Phase != intent.Phase || s.table.state.Step != intent.Step) {
		s.fail("intent is journalled before a write upward", "%s: %s to %v, journal in %s of step %d", p.name, op.dial, op.to, s.table.state.Phase, s.table.state.Step+1)
	}
}

// checkBack holds a shift, over all its runs, to the retreat that one of them
// began. What the journal never heard of shows only by the dials: where each
// stands as the record has it, or where a person has put one since, the next run
// cannot know of it.
func (s *sim) checkBack(p *proc, op *operation) {
	back, went := s.back[p.intent.ID]
	if !went || s.table.lease.Token != p.token { // checkStale holds who was overtaken
		return
	}
	truth, known := s.truth(), back.known
	if s.table.raised[p.token].Before(back.at) {
		known = p.intent // who went back had been taken over: what it sent is another's doing
	}
	unheard := known.ID != "" && turnedByNobody(truth, known) || s.humanSince(back.at)
	if back.recorded || !unheard {
		s.fail("nothing rises after a retreat began", "%s: %s to %v, at %v, after another run of %s went back (recorded: %v)",
			p.name, op.dial, op.to, truth, p.intent.ID, back.recorded)
	}
	s.seen["residual: rises after a retreat that the journal never heard of"]++
	delete(s.back, p.intent.ID)
}

// checkAtOnce holds a rollback that needs no answer to sending its first call
// within the second that its record has.
func (s *sim) checkAtOnce(p *proc) {
	if waited := s.now.Sub(p.asked); !p.asked.IsZero() && waited > time.Second && s.opt.freeze == 0 {
		s.fail("a rollback to blue waits for nobody", "%s: its first call goes out after %v", p.name, waited)
	}
	p.asked = time.Time{}
}

// humanSince tells whether a dial is where a person put it since then.
func (s *sim) humanSince(at time.Time) bool {
	for _, w := range s.writers {
		if w.proc == nil && w.at.After(at) {
			return true
		}
	}
	return false
}

// landed holds an upward write at the moment it takes effect.
func (s *sim) landed(op *operation, before cutover.Percent) {
	p := op.proc
	raised, stale := s.table.raised[p.token+1]
	if stale {
		s.checkStale(op, raised)
	} else if p.retreats && op.dial != baseDial && op.to > before {
		if !op.late {
			s.fail("nothing rises after a retreat began", "%s: %s from %v to %v lands", p.name, op.dial, before, op.to)
		}
		s.seen["residual: a write of its own that was given up on lands after the retreat began"]++
	}
	if w, turned := s.writers[op.dial]; turned && w.proc == nil && before != op.plan.Last.Canary && op.dial == canaryDial && before != op.to {
		if op.sawAt.After(w.at) && op.saw.Canary == before {
			s.fail("a foreign change is never overwritten upward", "%s: canary to %v over a human's %v it had read", p.name, op.to, before)
		}
		s.seen["residual: canary over a human's value, unread"]++
	}
	if w := s.writers[op.dial]; w.proc == nil && !w.at.IsZero() && op.dial == dnsDial && before != op.plan.Last.DNS && before != op.to {
		s.fail("a foreign change is never overwritten upward", "%s: dns to %v over a human's %v", p.name, op.to, before)
	}
}

// checkStale is the fencing argument: what lands after a newer token was given
// out was intended before that, once, and within the time a retreat lingers.
func (s *sim) checkStale(op *operation, raised time.Time) {
	p := op.proc
	s.seen["residual: "+string(op.dial)+" of an older token"]++
	if op.frozen {
		s.seen["residual: of those, suspended under way"]++
	}
	if p.savedAt.After(raised) {
		s.fail("a stale holder's writes were under way", "%s: %s to %v intended after token %d was given out", p.name, op.dial, op.to, p.token+1)
	}
	if op.late {
		s.seen["residual: of those, late copies"]++
	} else {
		p.staleLanded++
	}
	if p.staleLanded > 1 {
		s.fail("one write of an older token at most", "%s: %s to %v is number %d", p.name, op.dial, op.to, p.staleLanded)
	}
	for _, other := range s.procs {
		if other.token > p.token && other.exit == string(cutover.RolledBack) && !other.stopped && other.driven && !op.frozen {
			s.fail("a rollback outlasts what was under way", "%s: %s to %v lands after %s ended", p.name, op.dial, op.to, other.name)
		}
	}
}

// checkRisen holds a portion of a retreat that raises the canary: only one that
// was given up on may, or one that crossed the jump of another rollback, beneath
// weights that are back or on their way, and while its run still looks.
func (s *sim) checkRisen(p *proc, gaveUp, crossed bool, from, to cutover.Percent) {
	if !gaveUp && !crossed {
		s.fail("a portion of a retreat only falls", "%s: canary %v -> %v", p.name, from, to)
	}
	if p.exit == string(cutover.RolledBack) && !p.stopped {
		s.fail("a rollback outlasts what was under way", "%s: a portion to %v lands after its end", p.name, to)
	}
	if crossed {
		s.seen["residual: a portion crosses another rollback and raises the canary"]++
	} else {
		s.seen["residual: a portion that was given up on raises the canary"]++
	}
	if s.truth().DNS > 0 {
		s.seen["residual: of those, under users"]++
	}
}

// measure keeps how far and how long a write of an older token undid what a
// rollback had already reached: the window that fencing leaves.
func (s *sim) measure(p *proc, was cutover.Setting) {
	if p == nil {
		return
	}
	p.wrote = true
	truth := s.truth()
	for _, back := range s.procs {
		if !back.retreats || !back.driven || back.token <= p.token && back != p {
			continue
		}
		target := back.intent.Target
		switch {
		case back != p && stands(was, target) && !stands(truth, target):
			s.seen["residual: a rollback's target undone"]++
			if met := s.clinging(truth); met.Exposure() > s.clinging(target).Exposure() || met.CandidateExposure() > 0 {
				s.seen["residual: of those, with users exposed"]++
				back.undoneAt = s.now
			}
		case !back.undoneAt.IsZero() && stands(truth, target):
			s.undone = max(s.undone, s.now.Sub(back.undoneAt))
			back.undoneAt = time.Time{}
		}
	}
}

// clinging is the setting as it is met by resolvers that still hold an answer of
// the last minute, the records' TTL.
func (s *sim) clinging(at cutover.Setting) cutover.Setting {
	for i := len(s.zone.at) - 1; i >= 0; i-- {
		at.DNS = max(at.DNS, s.zone.was[i].percent())
		if s.now.Sub(s.zone.at[i]) > time.Minute {
			break // it stood when the minute began
		}
	}
	return at
}

// checkEnd holds the end that a run reports against the world.
func (s *sim) checkEnd(p *proc) {
	truth := s.truth()
	s.seen["end: "+string(p.end.Phase)]++
	if p.fenced && p.end.Phase != cutover.Uncertain {
		s.fail("a fenced run decides nothing", "%s ends %s: %s", p.name, p.end.Phase, p.end.Reason)
	}
	meddled := s.meddled(p, s.now.Sub(p.sawAt)+s.opt.staleness)
	switch p.end.Phase {
	case cutover.Completed:
		end := cutover.Setting{Dials: p.end.Plan.Steps[len(p.end.Plan.Steps)-1], Base: p.end.Target.Base, LiveVersion: p.end.Target.LiveVersion}
		if p.end.Plan.Promote {
			end.Base, end.Canary, end.LiveVersion = cutover.Live, 0, truth.NextVersion
		}
		if !stands(p.saw, end) {
			s.fail("completed only at the plan's end, read back", "%s read %v, end %v", p.name, p.saw, end)
		}
		if !stands(truth, end) && !meddled {
			s.fail("completed only at the plan's end, read back", "%s: truth %v, end %v", p.name, truth, end)
		}
	case cutover.RolledBack:
		if p.end.Touched {
			s.checkRolledBack(p, truth, meddled)
		}
	case cutover.Uncertain:
		if strings.Contains(p.end.Reason, "somebody else") && !s.othersWrote(p) {
			s.fail("uncertain only with cause", "%s: %s", p.name, p.end.Reason)
		}
	case cutover.Held, cutover.Turning, cutover.Syncing, cutover.Settling, cutover.Baking, cutover.Promoting, cutover.Confirming, cutover.Retreating:
	}
}

func (s *sim) checkRolledBack(p *proc, truth cutover.Setting, meddled bool) {
	if !stands(p.saw, p.end.Target) {
		s.fail("rolled back only at the target, read back", "%s read %v, target %v", p.name, p.saw, p.end.Target)
	}
	switch {
	case stands(truth, p.end.Target) || meddled:
	case p.end.Stopped && (s.opt.stale > 0 || s.opt.late > 0 || s.opt.slow > 0 || s.opt.freeze > 0):
		// A signal leaves no time to look twice.
		s.seen["residual: a signalled retreat believed its one look"]++
	default:
		s.fail("rolled back only at the target, read back", "%s: truth %v, target %v", p.name, truth, p.end.Target)
	}
}

// meddled tells whether somebody else wrote a dial within the last while.
func (s *sim) meddled(p *proc, within time.Duration) bool {
	for _, w := range s.writers {
		if w.proc != p && !w.at.IsZero() && s.now.Sub(w.at) <= within {
			return true
		}
	}
	return false
}

// othersWrote tells whether anybody else ever turned a dial.
func (s *sim) othersWrote(p *proc) bool {
	for _, other := range s.procs {
		if other != p && other.wrote {
			return true
		}
	}
	return s.seen["human"] > 0
}

func stands(live, target cutover.Setting) bool {
	return live.Dials == target.Dials && live.Base == target.Base && (target.LiveVersion == "" || live.LiveVersion == target.LiveVersion)
}
