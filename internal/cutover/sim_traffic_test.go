package cutover_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// What the adapters of internal/awsapi do, call by call: the batch that only
// lands where the old values stand, the retreat that always does, the stage
// without any guard but a look before.

// readOf lets a part of a read be as old as the world allows.
func readOf[T any](s *sim, h *history[T]) T {
	if s.healed || !s.chance(s.opt.stale) {
		return h.last()
	}
	s.seen["stale"]++
	return h.asOf(s.now.Add(-s.between(0, s.opt.staleness)))
}

// Read implements cutover.Traffic.
func (p *proc) Read(context.Context) (cutover.Setting, error) {
	if p.unlooked {
		p.unlooked = false
		return cutover.Setting{}, errors.New("not asked for before the first call")
	}
	var got cutover.Setting
	s := p.sim
	var at time.Time
	uneven := false
	err := p.call(stageService, "read", func() error {
		at = s.now
		read := readOf(s, &s.zone)
		got = s.setting(read, readOf(s, &s.stage), readOf(s, &s.alias))
		uneven = read.uneven()
		return p.fault(route53Service, "list records")
	})
	if err != nil {
		return cutover.Setting{}, err
	}
	if uneven {
		s.seen["read as no setting"]++
		return cutover.Setting{}, &cutover.Foreign{What: "A and AAAA disagree"}
	}
	p.saw, p.sawAt, p.lateTake = got, at, false
	if p.doubt != nil && got.Canary == *p.doubt {
		p.doubt = nil
	}
	return got, nil
}

// begin opens an upward operation; its calls share one deadline.
func (p *proc) begin(d dial, to cutover.Percent) func() {
	p.op = &operation{proc: p, began: p.sim.now, dial: d, to: to, plan: p.intent, saw: p.saw, sawAt: p.sawAt}
	p.sim.checkUpward(p, p.op)
	if s := p.sim; !s.healed && len(s.procs) < mostProcs && s.chance(s.opt.ambush) {
		s.after(s.between(0, 3*time.Second), func() { s.start(fmt.Sprintf("ambush-%d", len(s.procs)), s.wayBack()) })
	}
	return func() { p.op = nil }
}

// SetDNS implements cutover.Traffic: DELETE as read, CREATE as wanted.
func (p *proc) SetDNS(_ context.Context, from, to cutover.Percent) (string, error) {
	defer p.begin(dnsDial, to)()
	s, op := p.sim, p.op
	var read zone
	if err := p.call(route53Service, "list records", func() error { read = readOf(s, &s.zone); return nil }); err != nil {
		return "", err
	}
	if read.percent() != from || read.uneven() {
		return "", errMoved
	}
	return p.change(fmt.Sprintf("dns %v -> %v", from, to), func() error {
		if s.zone.last() != read {
			return errBatch
		}
		s.landed(op, read.percent())
		s.setZone(p, withWeights(read, int(to)))
		return nil
	})
}

// withWeights changes nothing but the weights, of both colours and types.
func withWeights(z zone, green int) zone {
	for kind := range z {
		z[kind][0].weight, z[kind][1].weight = 100-green, green
	}
	return z
}

// change is one ChangeResourceRecordSets.
func (p *proc) change(name string, apply func() error) (string, error) {
	s := p.sim
	id := ""
	err := p.call(route53Service, name, func() error {
		if last := s.writers[dnsDial]; !last.at.IsZero() && s.now.Sub(last.at) < 300e6 {
			return errPrior
		}
		before := s.zone.last()
		if err := apply(); err != nil {
			return err
		}
		if s.zone.last() == before {
			id = fmt.Sprintf("C%d", len(s.insync)) // nothing new to spread
			return nil
		}
		id = fmt.Sprintf("C%d", len(s.insync)+1)
		s.insync[id] = s.now.Add(s.between(0, s.opt.maxSync))
		s.tracef("%s: %s lands as %s", p.name, name, id)
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// InSync implements cutover.Traffic.
func (p *proc) InSync(_ context.Context, change string) (bool, error) {
	in := false
	err := p.call(route53Service, "get change", func() error {
		at, known := p.sim.insync[change]
		if !known {
			return errors.New("NoSuchChange")
		}
		in = !p.sim.now.Before(at)
		return nil
	})
	return in && err == nil, err
}

// SetCanary implements cutover.Traffic: a look, then a patch without a guard.
func (p *proc) SetCanary(_ context.Context, from, to cutover.Percent) error {
	if p.intent.Phase == cutover.Retreating {
		return p.portion(from, to)
	}
	defer p.begin(canaryDial, to)()
	s, op := p.sim, p.op
	var read stage
	if err := p.call(stageService, "get stage", func() error { read = readOf(s, &s.stage); return nil }); err != nil {
		return err
	}
	if read.canary != from {
		return errMoved
	}
	return p.call(stageService, fmt.Sprintf("canary %v -> %v", from, to), func() error {
		st := s.stage.last()
		s.landed(op, st.canary)
		st.canary, st.hasCanary = to, true
		s.setStage(p, st)
		return nil
	})
}

// portion is SetCanary on the way back. The stage has no guard against one that
// was given up on and lands late: it may raise what the jump after it reached,
// to no more than its own value, until the run looks again.
func (p *proc) portion(from, to cutover.Percent) (err error) {
	s := p.sim
	p.retreats = true
	s.seen["portions"]++
	if p.doubt != nil {
		s.fail("no portion follows one that may land yet", "%s: portion to %v after one to %v", p.name, to, *p.doubt)
	}
	gaveUp := false
	defer func() {
		if gaveUp = err != nil; gaveUp {
			p.doubt = &to
		}
	}()
	if p.fenced {
		s.fail("a fenced run turns nothing", "%s: portion to %v", p.name, to)
	}
	var read stage
	var readAt time.Time
	if err := p.call(stageService, "get stage", func() error { read, readAt = readOf(s, &s.stage), s.now; return nil }); err != nil {
		return err
	}
	if read.canary != from {
		return errMoved
	}
	return p.call(stageService, fmt.Sprintf("canary back %v -> %v", from, to), func() error {
		st := s.stage.last()
		if _, stale := s.table.raised[p.token+1]; stale {
			s.seen["residual: a portion of an older token"]++
		} else if w := s.writers[canaryDial]; to > st.canary && w.proc != nil {
			crossed := w.proc != p && w.proc.retreats && w.at.After(readAt.Add(-s.opt.staleness))
			s.checkRisen(p, gaveUp, crossed, st.canary, to)
		}
		st.canary = to
		s.setStage(p, st)
		return nil
	})
}

// Promote implements cutover.Traffic: alias, base or canary, each behind a look.
func (p *proc) Promote(_ context.Context, from, to cutover.Setting) error {
	defer p.begin(baseDial, 0)()
	s, op := p.sim, p.op
	if from.LiveVersion != to.LiveVersion {
		var next string
		if err := p.call(aliasService, "get alias next", func() error { next = readOf(s, &s.alias).next; return nil }); err != nil {
			return err
		}
		if next != to.LiveVersion {
			return errMoved
		}
		return p.pointLive(from.LiveVersion, to.LiveVersion, op)
	}
	var read stage
	if err := p.call(stageService, "get stage", func() error { read = readOf(s, &s.stage); return nil }); err != nil {
		return err
	}
	if read.base != from.Base || read.canary != from.Canary {
		return errMoved
	}
	return p.call(stageService, fmt.Sprintf("promote: %s, canary %v -> %s, %v", from.Base, from.Canary, to.Base, to.Canary), func() error {
		st := s.stage.last()
		s.landed(op, st.canary)
		if from.Base != to.Base {
			st.base = to.Base
		} else {
			st.canary, st.hasCanary = 0, false
		}
		s.setStage(p, st)
		return nil
	})
}

// pointLive moves the alias from a version, or from any (""), guarded by its
// revision; op is nil in a retreat.
func (p *proc) pointLive(from, to string, op *operation) error {
	s := p.sim
	var read aliases
	if err := p.call(aliasService, "get alias live", func() error { read = readOf(s, &s.alias); return nil }); err != nil {
		return err
	}
	switch {
	case from != "" && read.live != from:
		return errMoved
	case read.live == to:
		return nil
	}
	return p.call(aliasService, "live to "+to, func() error {
		a := s.alias.last()
		if a.revision != read.revision {
			return errRevision
		}
		if op != nil {
			s.landed(op, 0)
		}
		a.live, a.revision = to, a.revision+1
		s.alias.set(s.now, a)
		s.writers[liveDial], p.wrote = writer{p, s.now}, true
		s.tracef("%s: alias live at %s", p.name, to)
		return nil
	})
}

// Retreat implements cutover.Traffic. The parts go out together; here in an
// order that the seed draws.
func (p *proc) Retreat(_ context.Context, to cutover.Setting) (change string, err error) {
	p.retreats = true
	p.sim.checkAtOnce(p)
	if p.fenced {
		p.sim.fail("a fenced run turns nothing", "%s: retreat to %v", p.name, to)
	}
	if p.intent.Phase != cutover.Retreating {
		p.sim.fail("a retreat is recorded before it is sent", "%s: journals %s", p.name, p.intent.Phase)
	}
	if _, again := p.sim.back[p.intent.ID]; !again {
		p.sim.back[p.intent.ID] = retreated{at: p.sim.now}
	}
	var stageErr, dnsErr error
	parts := []func(){
		func() { stageErr = p.retreatStage(to) },
		func() { change, dnsErr = p.retreatDNS(to) },
	}
	if p.sim.chance(0.5) {
		parts[0], parts[1] = parts[1], parts[0]
	}
	for _, part := range parts {
		part()
	}
	return change, errors.Join(stageErr, dnsErr)
}

func (p *proc) retreatStage(to cutover.Setting) error {
	s := p.sim
	var read stage
	if err := p.call(stageService, "get stage", func() error { read = readOf(s, &s.stage); return nil }); err != nil {
		return err
	}
	var stageErr error
	turnCanary, turnBase := read.hasCanary && read.canary != to.Canary, read.base != to.Base
	if turnCanary || turnBase {
		stageErr = p.call(stageService, "stage back", func() error {
			st := s.stage.last()
			if turnCanary {
				st.canary = to.Canary
			}
			if turnBase {
				st.base = to.Base
			}
			s.setStage(p, st)
			return nil
		})
	}
	if to.LiveVersion != "" {
		return errors.Join(stageErr, p.pointLive("", to.LiveVersion, nil))
	}
	return stageErr
}

func (p *proc) retreatDNS(to cutover.Setting) (string, error) {
	s := p.sim
	var read zone
	if err := p.call(route53Service, "list records", func() error { read = readOf(s, &s.zone); return nil }); err != nil {
		return "", err
	}
	if read.percent() == to.DNS && !read.uneven() {
		return "", nil
	}
	return p.change(fmt.Sprintf("dns back to %v", to.DNS), func() error {
		s.setZone(p, withWeights(read, int(to.DNS)))
		return nil
	})
}
