package cutover

import (
	"errors"
	"fmt"
	"time"
)

// Via says which dials a plan turns.
type Via string

// The ways.
const (
	ViaBoth   Via = "both"   // lockstep: exposure 1, 4, 9 ... percent
	ViaDNS    Via = "dns"    // the entrance only: nobody is exposed who was not
	ViaCanary Via = "canary" // the users only
)

// Ask is what the operator wants of a plan. Percents are whole numbers where
// they become Route 53 weights.
type Ask struct {
	Step, To    Percent
	Via         Via
	MaxExposure Percent
	// DNSFirst moves the whole entrance before the first user: while the
	// forwarder answers, dns alone exposes nobody, and what DNS and the path
	// through green do is proven before anybody depends on it.
	DNSFirst bool
	// Weights are the canary's steps where they are not multiples of Step.
	Weights []Percent
	// Narrow are canary steps behind a tenth of the entrance, before the rest
	// of it opens: there the dials multiply to less than the canary can show.
	Narrow []Percent
}

// narrowEntrance is that tenth.
const narrowEntrance = 10

// ErrNothingToDo means that the dials already stand where the plan would end.
var ErrNothingToDo = errors.New("the dials already stand there")

// Steps plans from the live setting to ask.To. Every step is the same number
// of percent; the last may be shorter. A dial that already stands beyond a
// step stays where it is: a plan never goes down.
func Steps(live Setting, ask Ask) ([]Dials, error) {
	if ask.Step <= 0 || ask.To <= 0 || ask.To > 100 {
		return nil, fmt.Errorf("plan: step %v%% to %v%% is not within 0..100", ask.Step, ask.To)
	}
	via := ask.Via
	if ModeOf(live) == Release {
		via = ViaCanary // the entrance is where it belongs; only the users move
	}
	if live.Base == Live && live.Canary == 0 && live.NextVersion != "" && live.NextVersion == live.LiveVersion {
		return nil, ErrNothingToDo // the candidate is what everybody is on
	}
	steps := ask.lockstep(live, via)
	if ask.DNSFirst || ask.Weights != nil {
		steps = ask.dnsFirst(live, via)
	}
	if len(steps) > 0 {
		return steps, nil
	}
	if limit := ask.MaxExposure; limit > 0 && live.CandidateExposure() == 0 {
		ask.MaxExposure = 0
		if first, err := Steps(live, ask); err == nil {
			return nil, fmt.Errorf("plan: the first step exposes %v%% of users, and at most %v%% are to be: make the step smaller", Setting{Dials: first[0]}.CandidateExposure(), limit)
		}
	}
	return nil, ErrNothingToDo
}

// Unpromoted is true where every user that DNS sends to green is on the
// candidate, and all that a whole shift has left to do is to promote it.
func Unpromoted(live Setting) bool { return Promotes(live, []Dials{live.Dials}) }

// multiples are those of Step up to To, and To itself.
func (ask Ask) multiples() []Percent {
	var all []Percent
	for p := ask.Step; p < ask.To; p += ask.Step {
		all = append(all, p)
	}
	return append(all, ask.To)
}

func (ask Ask) tooMuch(d Dials) bool {
	return ask.MaxExposure > 0 && (Setting{Dials: d}).CandidateExposure() > ask.MaxExposure
}

// dnsFirst turns dns to its end, and then the canary.
func (ask Ask) dnsFirst(live Setting, via Via) []Dials {
	var steps []Dials
	last := live.Dials
	add := func(next Dials) {
		if next != last && !ask.tooMuch(next) {
			steps, last = append(steps, next), next
		}
	}
	first := firstCanary(live, last)
	if via == ViaBoth && len(ask.Narrow) > 0 && last.DNS < narrowEntrance && first == 0 {
		add(Dials{DNS: narrowEntrance})
		for _, w := range ask.Narrow {
			add(Dials{DNS: narrowEntrance, Canary: w})
		}
		// What the canary gives up, the entrance makes up for.
		last.Canary = 0
		return append(steps, ask.open(last, ask.Weights)...)
	}
	if via != ViaCanary {
		for _, p := range ask.multiples() {
			add(Dials{DNS: max(last.DNS, p), Canary: first})
		}
	}
	weights := ask.Weights
	if weights == nil {
		weights = ask.multiples()
	}
	if via != ViaDNS {
		for _, w := range weights {
			add(Dials{DNS: last.DNS, Canary: max(last.Canary, min(w, ask.To))})
		}
	}
	return steps
}

// open opens the whole entrance at the first of the weights, and goes on.
func (ask Ask) open(last Dials, weights []Percent) []Dials {
	var steps []Dials
	for _, w := range weights {
		next := Dials{DNS: ask.To, Canary: min(w, ask.To)}
		if next != last && !ask.tooMuch(next) {
			steps, last = append(steps, next), next
		}
	}
	return steps
}

// lockstep turns both dials together.
func (ask Ask) lockstep(live Setting, via Via) []Dials {
	var steps []Dials
	last := live.Dials
	for _, p := range ask.multiples() {
		next := last
		if via != ViaCanary {
			next.DNS = max(last.DNS, p)
		}
		switch {
		case via != ViaDNS && len(steps) > 0:
			next.Canary = max(last.Canary, p)
		case via != ViaDNS:
			next.Canary = max(firstCanary(live, last), p)
		case len(steps) == 0: // the percent for probes would become exposure
			next.Canary = firstCanary(live, last)
		}
		if ask.tooMuch(next) {
			break
		}
		if next != last {
			steps = append(steps, next)
		}
		last = next
	}
	return steps
}

// firstCanary is what the first step may not go below. While no DNS answer
// leads to green, its canary percent is a setting for probes, not exposure,
// and the first step may lower it.
func firstCanary(live Setting, last Dials) Percent {
	if live.DNS == 0 && live.Base == Forwarder {
		return 0
	}
	return last.Canary
}

// Promotes is true where the plan's last step leaves every user that DNS sends
// to green on the candidate, so that promotion changes nobody's version.
func Promotes(live Setting, steps []Dials) bool {
	if len(steps) == 0 {
		return false
	}
	end := steps[len(steps)-1]
	if ModeOf(live) == Release {
		return end.Canary == 100
	}
	return end.Canary == 100 && end.DNS == 100
}

// TargetOf is where a shift that starts at live retreats to. A migration goes
// back to blue for every user; a release back to the version that was live.
func TargetOf(live Setting) Setting {
	if ModeOf(live) == Release {
		return Setting{Dials: Dials{DNS: live.DNS}, Base: Live, LiveVersion: live.LiveVersion}
	}
	return Setting{Base: Forwarder}
}

// Start is the state of a new shift.
func Start(id string, live Setting, plan Plan, now time.Time) State {
	s := State{
		ID: id, Mode: ModeOf(live), Plan: plan, Phase: Turning, Started: now, PhaseAt: now, StepAt: now, WatchedAt: now,
		Target: TargetOf(live), Last: live, Want: live,
	}
	s.Want.Dials = plan.Steps[0]
	return s
}

// StartRetreat is the state of a rollback by hand: it needs no journal.
func StartRetreat(id string, target Setting, plan Plan, now time.Time) State {
	return State{
		ID: id, Mode: ModeOf(target), Plan: plan, Phase: Retreating, Started: now, PhaseAt: now, StepAt: now,
		Target: target, Want: target, Reason: "asked for", Touched: true,
		Receipt: Receipt{FaultSeen: now, Decided: now},
	}
}

// remembered is how long after its end a run's named change is asked for. Route
// 53 does not say how long it knows one, and spreads it within minutes.
const remembered = time.Hour

// Behind is a new shift or rollback that waits, as for its own, for the DNS
// change that the run before it left on its way: a retreat at a signal waits for
// nothing. One whose name was lost is awaited from the end on, like any other,
// but not by a rollback: it would wait for what may never have been sent. It
// remembers what a rollback had to undo until now. newest is zero where there
// was no run before.
func (s State) Behind(newest State, now time.Time) State {
	if newest.ID != "" {
		prior := RetreatTarget(newest, true, Setting{}, false)
		s.Prior = &prior
	}
	patience := remembered
	if newest.Change == "" {
		patience = s.Plan.SyncTimeout
	}
	unnamed := newest.Change == "" && (s.Phase == Retreating || newest.Phase != RolledBack)
	if newest.Unsynced && !unnamed && now.Before(newest.At().Add(patience)) {
		s.Change, s.Unsynced = newest.Change, true
	}
	return s
}

// settle is how long the step waits before its evidence counts.
func (p Plan) settle(step int) time.Duration {
	if p.CanarySettle > 0 && step > 0 && p.Steps[step].DNS == p.Steps[step-1].DNS {
		return p.CanarySettle
	}
	return p.Settle
}

// bake is how long the step is watched.
func (p Plan) bake(step int) time.Duration {
	if step < len(p.Bakes) && p.Bakes[step] > 0 {
		return p.Bakes[step]
	}
	return p.Bake
}

// Times are how long the step settles and bakes.
func (p Plan) Times(step int) (settle, bake time.Duration) { return p.settle(step), p.bake(step) }

// lasts is the shortest time that the step can take once its dials stand: settle
// and bake, and until the slowest signal can speak of it.
func (p Plan) lasts(step int) time.Duration {
	if p.Paced && p.ahead(step) > 0 {
		return p.settle(step) + p.bake(step) // the requests carry the next step
	}
	return max(p.settle(step)+p.bake(step), p.Speaks)
}

// confirms is lasts of the promotion.
func (p Plan) confirms() time.Duration { return max(p.Bake, p.Speaks) }

// Length is the shortest time that the steps from this one on can take, and the
// confirmation. Gates are opened at once.
func (p Plan) Length(from int) time.Duration {
	var total time.Duration
	for step := from; step < len(p.Steps); step++ {
		total += p.lasts(step)
	}
	if p.Promote {
		total += p.confirms()
	}
	return total
}

// Longest is the longest time that the whole plan can take: each step waits for
// Route 53, for its gate and for a verdict as long as it may.
func (p Plan) Longest() time.Duration {
	total := p.Length(0) + time.Duration(len(p.Steps))*p.SyncTimeout + time.Duration(p.end())*p.HoldTimeout
	for _, g := range p.Gates {
		total += g.Timeout
	}
	return total
}

// ahead is the share of everybody, 0..1, that the step after this one gives to
// the candidate; 0 where there is none, or it exposes no more users.
func (p Plan) ahead(step int) float64 {
	if step+1 >= len(p.Steps) {
		return 0
	}
	return p.rise(Setting{Dials: p.Steps[step]}.CandidateExposure(), step+1)
}

// ahead is that of the plan, or of this step where a resume has yet to turn to it.
func (s State) ahead() float64 {
	if s.Phase == Turning && s.Unproven {
		return s.Plan.rise(s.Last.CandidateExposure(), s.Step)
	}
	return s.Plan.ahead(s.Step)
}

// rise is the share that the step gives to the candidate where it is more than now.
func (p Plan) rise(now Percent, step int) float64 {
	next := Setting{Dials: p.Steps[step]}.CandidateExposure()
	if next <= now || now == 0 {
		return 0 // before the first user there is nothing to learn from users
	}
	return float64(next) / 100
}

// wayBack is how long a retreat and its confirmation may take beside Linger.
const wayBack = 2 * time.Minute

// Needs is the longest time that this step (or, past the last, the promotion)
// and the way back from it can take, a verdict that is waited for included: a
// run that will not live so long does not begin it.
func (p Plan) Needs(step int) time.Duration {
	back := p.HoldTimeout + p.Linger + wayBack
	if step >= len(p.Steps) {
		return p.confirms() + back
	}
	return p.SyncTimeout + p.lasts(step) + back
}

// EachNeeds is the time a run must have to begin any one of the steps from this
// one on, and the promotion: enough for a chain of runs of one step each.
func (p Plan) EachNeeds(from int) time.Duration {
	var most time.Duration
	for step := from; step < p.end(); step++ {
		needs := p.Needs(step)
		if step == len(p.Steps) {
			needs = p.needsToPromote()
		}
		most = max(most, needs)
	}
	return most
}

// needsToPromote is Needs of the promotion in a run of its own: it sees the last
// step well anew before, which takes the looks between its phases as well.
func (p Plan) needsToPromote() time.Duration {
	return p.lasts(len(p.Steps)-1) + p.usualPause() + p.Needs(len(p.Steps))
}

// Needs is the longest time that the run which takes up the state needs to bring
// it on, and back.
func (s State) Needs() time.Duration {
	last := len(s.Plan.Steps) - 1
	switch {
	case s.Phase == Promoting || s.Phase == Confirming:
		return s.Plan.Needs(last + 1)
	case s.Plan.Promote && s.Step == last && s.Touched && s.Last.Dials == s.Plan.Steps[last]:
		return max(s.Plan.Needs(last), s.Plan.needsToPromote()) // nothing is left to turn but the promotion
	default:
		return s.Plan.Needs(s.Step)
	}
}

// AllNeed is the time a run must have to begin all of them, where no wait is
// longer than it is at the least.
func (p Plan) AllNeed(from int) time.Duration {
	var before, whole time.Duration
	for step := from; step < p.end(); step++ {
		whole = max(whole, before+p.Needs(step))
		if step < len(p.Steps) {
			before += p.lasts(step)
		}
	}
	return whole
}

// end is one past what a plan begins last: a step, or the promotion.
func (p Plan) end() int {
	if p.Promote {
		return len(p.Steps) + 1
	}
	return len(p.Steps)
}

// ends says that a run at this time has no more left than the way back takes.
func (s State) ends(o Observation) bool {
	return !o.Until.IsZero() && o.Now.Add(s.Plan.Linger+wayBack).After(o.Until)
}

// Outlives says why this step would end after until, or "".
func (p Plan) Outlives(step int, now, until time.Time) string {
	return outlives(p.Needs(step), now, until)
}

// Outlives says why what the state needs next would end after until, or "".
func (s State) Outlives(now, until time.Time) string { return outlives(s.Needs(), now, until) }

func outlives(needs time.Duration, now, until time.Time) string {
	if until.IsZero() || !now.Add(needs).After(until) {
		return ""
	}
	return fmt.Sprintf("a step and the way back from it may take %v, and this run can act for %v only", needs, max(0, until.Sub(now)).Round(time.Second))
}

// StartPromote is the state of a promotion by hand, of dials that already
// stand at the end of a plan.
func StartPromote(id string, live, target Setting, plan Plan, now time.Time) State {
	s := Start(id, live, plan, now)
	s.Target = target
	s.Phase = Promoting
	s.Want.Base, s.Want.Canary, s.Want.LiveVersion = Live, 0, live.NextVersion
	return s
}
