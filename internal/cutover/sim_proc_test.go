package cutover_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
)

// proc is one run of tapctl: a coroutine that gives up control at every call
// and every sleep, so that exactly one runs at a time. It is the world's ports
// as that run sees them.
type proc struct {
	sim    *sim
	name   string
	next   func() (struct{}, bool)
	halt   func()
	yield  func(struct{}) bool
	wakeAt time.Time
	over   bool

	skew    time.Duration // how far its clock has leapt
	asleep  bool
	stop    chan struct{}
	stopped bool

	op          *operation // the upward write under way
	calling     bool       // a request is under way, and nothing suspends the process
	cut         bool       // a signal ended it
	saving      bool       // it is a record
	hurryEnds   time.Time  // of a record that is given up on after a second; zero: of none
	saves       int        // the number of its newest record
	token       int64      // 0: none
	driven      bool       // the driver runs
	crashed     bool
	followed    bool // another run was started in its place
	retreats    bool
	named       *cutover.Setting // where its operator said that it goes
	asked       time.Time        // when its operator did
	unlooked    bool             // it has yet to look for the first time
	bake        bakeWatch
	phaseAt     time.Time        // when it told the journal of its phase
	lateTake    bool             // it asked for the lease after its last look was judged
	wrote       bool             // it turned a dial
	fenced      bool             // it was told of a newer token
	intent      cutover.State    // as last handed to the journal
	doubt       *cutover.Percent // the portion that failed and was not seen since
	savedAt     time.Time        // when its newest Save took effect
	staleLanded int              // writes that landed under a newer token
	verdict     health.Verdict
	proven      bool            // it began the shift, or has seen green well since
	undoneAt    time.Time       // when users were exposed above the target it had reached
	saw         cutover.Setting // as last read
	sawAt       time.Time
	end         cutover.State
	exit        string // "", "refused: ...", "nothing to do" or the end's phase
}

// operation is one call of the port that turns a dial upward.
type operation struct {
	proc   *proc
	began  time.Time
	dial   dial
	to     cutover.Percent
	frozen bool            // the process was suspended while it was under way
	late   bool            // its caller has given up
	saw    cutover.Setting // by its run, before it began
	sawAt  time.Time
	plan   cutover.State // the state it serves
}

// crash is the panic that ends a proc.
type crash struct{}

// start runs body as a proc from now on.
func (s *sim) start(name string, body func(*proc)) *proc {
	p := &proc{sim: s, name: name, wakeAt: s.now, stop: make(chan struct{})}
	p.next, p.halt = iter.Pull(func(yield func(struct{}) bool) {
		p.yield = yield
		defer func() {
			if r := recover(); r != nil {
				if _, isCrash := r.(crash); !isCrash {
					panic(r)
				}
			}
		}()
		body(p)
	})
	s.procs = append(s.procs, p)
	return p
}

// turn runs the proc until it waits again.
func (p *proc) turn() {
	if _, ok := p.next(); !ok {
		p.over = true
	}
}

// pause gives up control for d of the world's time.
func (p *proc) pause(d time.Duration) {
	s := p.sim
	if !s.healed && s.chance(s.opt.freeze) {
		frozen := s.between(time.Second, 15*time.Minute)
		s.tracef("%s: suspended for %v", p.name, frozen)
		s.seen["suspended"]++
		d, p.calling = d+frozen, false
		p.bake.first, p.bake.newest = time.Time{}, time.Time{}
		if p.op != nil {
			p.op.frozen = true
		}
	}
	p.wakeAt = s.now.Add(d)
	if !p.yield(struct{}{}) {
		panic(crash{})
	}
}

func (p *proc) mayCrash(where string) {
	if p.sim.healed || !p.sim.chance(p.sim.opt.crash) {
		return
	}
	p.sim.tracef("%s: crashes %s", p.name, where)
	p.sim.seen["crashed"]++
	p.crashed = true
	panic(crash{})
}

// call is one request: it may be slow, throttled, lost on its way back, cut
// short by a signal, or land after its caller gave up.
func (p *proc) call(svc service, name string, effect func() error) error {
	s := p.sim
	p.mayCrash("before " + name)
	latency := s.between(0, 600*time.Millisecond)
	if !s.healed && s.chance(s.opt.slow) {
		latency = s.between(time.Second, 2*opTimeout)
	}
	left := p.patience()
	if cut := p.under(min(latency/2, left)); cut || latency > left || (!s.healed && s.chance(s.opt.late)) {
		return p.overdue(name, effect)
	}
	if fault := p.fault(svc, name); fault != nil {
		return fault
	}
	err := effect()
	p.mayCrash("after " + name)
	if p.under(latency / 2) {
		s.tracef("%s: %s: cut short", p.name, name)
		return errTimeout
	}
	if err == nil && !s.healed && s.chance(s.opt.lost) {
		s.tracef("%s: %s: reply lost", p.name, name)
		s.seen["lost"]++
		return errLost
	}
	return err
}

// patience is how long the driver waits for a request that it sends now.
func (p *proc) patience() time.Duration {
	left := opTimeout
	switch {
	case !p.hurryEnds.IsZero():
		left = max(0, p.hurryEnds.Sub(p.sim.now))
	case p.op != nil:
		left = max(0, p.op.began.Add(opTimeout).Sub(p.sim.now))
	}
	if p.stopped {
		left = min(left, p.grace())
	}
	return left
}

// grace is what the driver leaves a call once a signal came.
func (p *proc) grace() time.Duration {
	switch {
	case p.intent.Phase == cutover.Retreating || p.intent.Phase.Terminal():
		return 3 * time.Second
	case p.op != nil || p.saving:
		return time.Second
	default:
		return 0
	}
}

// under waits for a request that is under way; true where a signal cut it short.
func (p *proc) under(d time.Duration) bool {
	p.calling, p.cut = true, false
	p.pause(d)
	p.calling = false
	return p.cut
}

// overdue gives up on a request that lands later, or never.
func (p *proc) overdue(name string, effect func() error) error {
	s := p.sim
	s.tracef("%s: %s: timeout", p.name, name)
	if s.chance(0.5) {
		s.seen["late"]++
		if p.op != nil {
			p.op.late = true
		}
		s.after(s.between(0, lateness), func() {
			s.tracef("%s: %s lands late", p.name, name)
			_ = effect() // nobody hears the answer
		})
	}
	return errTimeout
}

func (p *proc) fault(svc service, name string) error {
	s := p.sim
	if s.healed {
		return nil
	}
	if out, has := s.opt.outages[svc]; has && !s.now.Before(out.from) && s.now.Before(out.to) {
		s.seen["outage"]++
		return fmt.Errorf("%s: %w", svc, errTimeout)
	}
	if s.chance(s.opt.throttle) {
		s.tracef("%s: %s: throttled", p.name, name)
		s.seen["throttled"]++
		return errThrottled
	}
	return nil
}

// simClock is a proc's own clock: the world's, plus its leaps.
type simClock struct{ proc *proc }

func (c simClock) Now() time.Time { return c.proc.sim.now.Add(c.proc.skew) }

// Sleep ends early at a signal, as the driver asks of it through the context;
// waking by the world's own event keeps the order the seed's.
func (c simClock) Sleep(_ context.Context, d time.Duration) error {
	if c.proc.stopped {
		d = min(d, time.Second)
	}
	c.proc.asleep = true
	c.proc.pause(d)
	c.proc.asleep = false
	return nil
}

// simWall measures a proc's calls. What it would cut short after a signal gives
// up by the world's own rules, so nothing is to wait for.
type simWall struct{ simClock }

// Sleep implements clock.Clock, off the coroutine: it must not turn the world.
func (simWall) Sleep(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

func (p *proc) signal() {
	if p.over || p.stopped || !p.driven {
		return
	}
	p.sim.tracef("%s: SIGTERM", p.name)
	p.sim.seen["signalled"]++
	p.stopped = true
	close(p.stop)
	until := p.sim.now.Add(p.grace())
	switch {
	case p.asleep:
		p.wakeAt = p.sim.now
	case p.calling && until.Before(p.wakeAt):
		p.sim.seen["cut short"]++
		p.wakeAt, p.cut = until, true
	}
}

// Judge implements cutover.Watch: green as it is, seen through spells in which
// nothing is known.
func (p *proc) Judge(_ context.Context, _ time.Time, _ health.Sides) health.Assessment {
	s := p.sim
	finding := health.Finding{Verdict: health.Healthy, Source: "sim"}
	err := p.call(watchService, "judge", func() error {
		bad := !s.opt.badAt.IsZero() && !s.now.Before(s.opt.badAt)
		switch {
		case !s.healed && s.chance(s.opt.unknown):
			finding.Verdict = health.Unknown
		case bad, !s.healed && s.chance(s.opt.falseAlarms):
			finding.Verdict = health.Unhealthy
		}
		return nil
	})
	if err != nil {
		finding.Verdict, finding.Detail = health.Unknown, err.Error()
	}
	p.verdict = finding.Verdict
	p.proven = p.proven || p.driven && p.verdict == health.Healthy
	s.look(p, p.verdict)
	return health.Fold(finding)
}

// Save implements cutover.Journal: guarded by the token, and by the order of
// the token's own records, in one transaction.
func (p *proc) Save(_ context.Context, state cutover.State) error {
	p.sim.checkIntent(p, state)
	p.intent, p.saving = state, true
	defer p.hurry(state)()
	defer func() { p.saving = false }()
	p.saves++
	by, table := stamp{p.token, p.saves}, &p.sim.table
	done := p.sim.leases.begin(leaseOp{kind: saveLease, token: by.token})
	err := p.heed(tableService, "save "+string(state.Phase), func() error {
		if table.lease.Token != by.token {
			return cutover.ErrFenced
		}
		if table.by.token == by.token && table.by.save > by.save {
			p.sim.seen["overtaken records"]++
			return errOvertaken
		}
		p.savedAt, table.by = p.sim.now, by
		if state.Phase == cutover.Retreating {
			p.sim.back[state.ID] = retreated{recorded: true}
		}
		return table.save(state)
	})
	done(0, err)
	return err
}

// hurry bounds the record of a retreat, of which the lease may be a part, until
// what it returns is called.
func (p *proc) hurry(state cutover.State) (rest func()) {
	if state.Phase != cutover.Retreating || !p.hurryEnds.IsZero() {
		return func() {}
	}
	p.hurryEnds = p.sim.now.Add(time.Second)
	return func() { p.hurryEnds = time.Time{} }
}

// heed is a call whose answer may be that another run has taken the lease.
func (p *proc) heed(svc service, name string, effect func() error) error {
	err := p.call(svc, name, effect)
	p.fenced = p.fenced || errors.Is(err, cutover.ErrFenced)
	return err
}

// Beat implements cutover.Journal.
func (p *proc) Beat(context.Context) error {
	until := simClock{p}.Now().Add(p.sim.opt.ttl)
	return p.extend("beat", until)
}

func (p *proc) extend(name string, until time.Time) error {
	done := p.sim.leases.begin(leaseOp{kind: extendLease, token: p.token, until: until})
	err := p.heed(tableService, name, func() error {
		if p.sim.table.lease.Token != p.token {
			return cutover.ErrFenced
		}
		p.sim.table.lease.Expires = until
		return nil
	})
	done(0, err)
	return err
}
