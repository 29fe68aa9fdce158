package cutover_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// sim is one simulated world: the records, the stage, the aliases, the control
// table and the runners that want to change them. Everything in it follows
// from the seed.
type sim struct {
	rng   *rand.Rand
	opt   options
	now   time.Time
	procs []*proc
	later []delayed

	zone   history[zone]
	stage  history[stage]
	alias  history[aliases]
	insync map[string]time.Time // of every Route 53 change
	table  table

	writers map[dial]writer // who turned it last
	// approved is when the gates that were reached were opened, by shift and step.
	approved map[string]time.Time
	back     map[string]retreated // the shifts that went back, by id
	healed   bool
	broken   error // the first invariant that did not hold
	seen     counts
	undone   time.Duration    // longest time users were exposed by a write of an older token
	leases   *leaseLog        // nil: nobody reads it
	trace    *strings.Builder // nil: nobody reads it
	turns    int              // of the scheduler
}

// counts is what happened, by name, over one run or many.
type counts map[string]int

type delayed struct {
	at time.Time
	do func()
}

// history keeps every value a thing had, so that a read can be an old one.
type history[T any] struct {
	at  []time.Time
	was []T
}

func (h *history[T]) set(at time.Time, v T) { h.at, h.was = append(h.at, at), append(h.was, v) }

func (h *history[T]) last() T { return h.was[len(h.was)-1] }

// asOf is the value at that time, the first one before there was any.
func (h *history[T]) asOf(at time.Time) T {
	i := len(h.at) - 1
	for i > 0 && h.at[i].After(at) {
		i--
	}
	return h.was[i]
}

// record is one weighted record as Route 53 keeps it.
type record struct {
	weight int
	check  string // health check id
}

// zone is the weighted group: A and AAAA, blue and green.
type zone [2][2]record

func newZone(green int) zone {
	pair := [2]record{{100 - green, "hc-blue"}, {green, "hc-green"}}
	return zone{pair, pair}
}

func (z zone) percent() cutover.Percent { return cutover.Percent(z[0][1].weight) }

// uneven is true where the types disagree, as a person leaves them who edits
// one record at a time.
func (z zone) uneven() bool { return z[0] != z[1] }

type stage struct {
	canary    cutover.Percent
	hasCanary bool
	base      cutover.Base
}

type aliases struct {
	live, next string
	revision   int
}

type dial string

const (
	dnsDial    dial = "dns"
	canaryDial dial = "canary"
	baseDial   dial = "base"
	liveDial   dial = "live version"
)

// retreated is how a shift went back, whichever of its runs began it.
type retreated struct {
	recorded bool          // the journal knows
	at       time.Time     // when it was sent
	known    cutover.State // the record that a run took the shift up by since
}

// writer is who turned a dial last; nil proc is a human.
type writer struct {
	proc *proc
	at   time.Time
}

// table is the control table: the lease and the newest shift.
type table struct {
	lease   cutover.Lease
	journal []byte // as stored
	state   cutover.State
	by      stamp               // of the record
	raised  map[int64]time.Time // when each token was given out
	saves   int
}

// stamp says which record of which token it is.
type stamp struct {
	token int64
	save  int
}

func (t *table) load() (s cutover.State, found bool, err error) {
	if t.journal == nil {
		return s, false, nil
	}
	return s, true, json.Unmarshal(t.journal, &s)
}

func (t *table) save(s cutover.State) error {
	encoded, err := json.Marshal(s)
	if err != nil {
		return err
	}
	t.journal, t.state = encoded, s
	t.saves++
	return nil
}

// grant is what Take and Seize do once their condition holds.
func (s *sim) grant(want cutover.Lease) cutover.Lease {
	want.Token = s.table.lease.Token + 1
	s.table.lease = want
	s.table.raised[want.Token] = s.now
	s.tracef("table: token %d to %s for a %s", want.Token, want.Owner, want.Purpose)
	return want
}

func newSim(seed uint64, trace *strings.Builder) *sim {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 0x7a9c71)), now: start, trace: trace, insync: map[string]time.Time{},
		writers: map[dial]writer{}, seen: counts{}, approved: map[string]time.Time{}, back: map[string]retreated{},
	}
	s.table.raised = map[int64]time.Time{}
	s.opt = drawOptions(s.rng)
	// Drawn apart, so that a seed from before this hurt is still the same world.
	if apart := rand.New(rand.NewPCG(seed, 0x11f3)); apart.Float64() < 0.15 {
		needs := s.opt.plan.Needs(0) - s.opt.plan.HoldTimeout
		s.opt.life = drawBetween(apart, needs/2, 3*needs)
	}
	s.opt.oneRecord = seed%16 == 3
	if seed%8 == 5 { // no seed of testdata/seeds.txt from before the policies is
		drawPolicies(rand.New(rand.NewPCG(seed, 0x9a7e5)), &s.opt)
	}
	if seed%16 == 2 || seed%16 == 13 { // no seed of testdata/seeds.txt from before them is; half have policies
		apart := rand.New(rand.NewPCG(seed, 0xb10e))
		s.opt.toBlue, s.opt.shaped = apart.Float64(), apart.Float64()
	}
	s.zone.set(s.now, newZone(int(s.opt.found.DNS)))
	s.stage.set(s.now, stage{canary: s.opt.found.Canary, hasCanary: s.opt.found.Base == cutover.Forwarder, base: s.opt.found.Base})
	s.alias.set(s.now, aliases{live: s.opt.found.LiveVersion, next: s.opt.found.NextVersion})
	s.tracef("options: %+v", s.opt)
	return s
}

func (s *sim) tracef(format string, args ...any) {
	if s.trace != nil {
		fmt.Fprintf(s.trace, "%8.1fs  "+format+"\n", append([]any{s.now.Sub(start).Seconds()}, args...)...)
	}
}

// fail notes the first broken invariant, by name.
func (s *sim) fail(invariant, format string, args ...any) {
	if s.broken == nil {
		s.broken = fmt.Errorf("invariant %q: %s", invariant, fmt.Sprintf(format, args...))
		s.tracef("BROKEN %v", s.broken)
	}
}

func (s *sim) setting(z zone, st stage, a aliases) cutover.Setting {
	return cutover.Setting{Dials: cutover.Dials{DNS: z.percent(), Canary: st.canary}, Base: st.base, LiveVersion: a.live, NextVersion: a.next}
}

// truth is where the dials stand, whoever believes what.
func (s *sim) truth() cutover.Setting {
	return s.setting(s.zone.last(), s.stage.last(), s.alias.last())
}

func (s *sim) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// between draws a duration from a range, in steps of a tenth of a second.
func (s *sim) between(low, high time.Duration) time.Duration { return drawBetween(s.rng, low, high) }

func drawBetween(rng *rand.Rand, low, high time.Duration) time.Duration {
	const grain = 100 * time.Millisecond
	if high <= low {
		return low
	}
	return low + time.Duration(rng.Int64N(int64((high-low)/grain)+1))*grain
}

// after schedules something that no runner waits for.
func (s *sim) after(d time.Duration, do func()) {
	s.later = append(s.later, delayed{s.now.Add(d), do})
}

// step lets the next thing happen; false once nothing is left to happen.
func (s *sim) step() bool {
	event, runner := -1, -1
	var at time.Time
	for i, d := range s.later {
		if event < 0 || d.at.Before(at) {
			event, at = i, d.at
		}
	}
	for i, p := range s.procs {
		if !p.over && ((event < 0 && runner < 0) || p.wakeAt.Before(at)) {
			runner, at = i, p.wakeAt
		}
	}
	if at.After(s.now) {
		s.now = at
	}
	s.turns++
	switch {
	case runner >= 0:
		s.procs[runner].turn()
	case event >= 0:
		d := s.later[event]
		s.later = append(s.later[:event], s.later[event+1:]...)
		d.do()
	default:
		return false
	}
	return true
}

// live tells whether a runner is still at work.
func (s *sim) live() bool {
	for _, p := range s.procs {
		if !p.over {
			return true
		}
	}
	return false
}

// close ends the coroutines of runners that are not over.
func (s *sim) close() {
	for _, p := range s.procs {
		p.halt()
	}
}

// Errors of the simulated services.
var (
	errThrottled = errors.New("throttled")
	errLost      = errors.New("reply lost")
	errTimeout   = errors.New("deadline exceeded")
	errMoved     = errors.New("it does not stand where it stood before")
	errBatch     = errors.New("InvalidChangeBatch: the values provided do not match the current values")
	errPrior     = errors.New("PriorRequestNotComplete")
	errOvertaken = errors.New("TransactionCanceledException: a later record of this run is there")
	errRevision  = errors.New("PreconditionFailedException: the revision id does not match")
)

// human turns one dial by hand, in the console.
func (s *sim) human() {
	value := []int{0, 7, 45, 100}[s.rng.IntN(4)]
	if s.chance(0.5) {
		s.tracef("human: dns to %d", value)
		z := newZone(value)
		if s.opt.oneRecord {
			z[1] = s.zone.last()[1]
		}
		s.setZone(nil, z)
		return
	}
	s.tracef("human: canary to %d", value)
	st := s.stage.last()
	st.canary, st.hasCanary = cutover.Percent(value), true
	s.setStage(nil, st)
}
