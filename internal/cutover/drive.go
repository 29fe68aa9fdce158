package cutover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/health"
)

// Foreign is the error of a reading that was made and that tapctl never brings
// about: somebody else turned a dial to what is no setting.
type Foreign struct{ What string }

// Error implements error.
func (f *Foreign) Error() string { return f.What }

// Traffic reads and turns the dials. Every method may fail after it took
// effect; the driver looks before it tries again.
type Traffic interface {
	// Read is where the dials stand; a *Foreign where that is no setting.
	Read(ctx context.Context) (Setting, error)
	// SetDNS moves the weights from one percent to another in one batch that
	// only lands where from still stands. It returns the change's id.
	SetDNS(ctx context.Context, from, to Percent) (change string, err error)
	SetCanary(ctx context.Context, from, to Percent) error
	// Promote does one part of a promotion: the first in which the two differ of
	// live version, base and canary. It only lands where from still stands, and
	// the candidate is the version that to makes live.
	Promote(ctx context.Context, from, to Setting) error
	// Retreat sends everything back at once and returns the DNS change's id,
	// "" where no record had to change. It returns when both parts have been
	// tried, with the errors of both.
	Retreat(ctx context.Context, to Setting) (change string, err error)
	// InSync tells whether the change has reached every Route 53 server.
	InSync(ctx context.Context, change string) (bool, error)
}

// Watch judges green. since is when the step under test began, sides are those
// of green's stage that serve now.
type Watch interface {
	Judge(ctx context.Context, since time.Time, sides health.Sides) health.Assessment
}

// Journal keeps the state where the next run finds it.
type Journal interface {
	// Save stores the state, if this run still holds the lease; ErrFenced if
	// another run has taken it. One that failed may still take effect, but not
	// after a later one of this run has: a record given up on must not undo the
	// end.
	Save(ctx context.Context, s State) error
	// Beat extends the lease; ErrFenced if another run has taken it.
	Beat(ctx context.Context) error
}

// Gates tells whether somebody has approved a step of a shift.
type Gates interface {
	// ApprovedBy is who approved the step and when, zero while nobody has.
	ApprovedBy(ctx context.Context, shift string, step int) (Approval, error)
}

// ErrFenced means that another run holds a newer fencing token.
var ErrFenced = errors.New("another run holds the lease")

// Event is one thing told to the operator.
type Event struct {
	At   time.Time `json:"at"`
	Kind EventKind `json:"kind"`
	Text string    `json:"text"`
	// Shift and Owner tell apart the runs whose events are kept in one file; ""
	// where there is no shift (yet), or nobody named the run.
	Shift string `json:"shift"`
	Owner string `json:"owner"`
	// Phase, Step, Live and Verdict are where the shift stood. Live is as last
	// read, nil before all of it was.
	Phase   Phase          `json:"phase"`
	Step    int            `json:"step"`
	Steps   int            `json:"steps"`
	Live    *Setting       `json:"live"`
	Verdict health.Verdict `json:"verdict"`
}

// Ports are what a run needs of the world.
type Ports struct {
	Traffic Traffic
	Watch   Watch   // nil for a rollback by hand: it asks no alarm
	Journal Journal // nil where there is none: a rollback goes on without
	Clock   clock.Clock
	// Wall measures calls, whose time is real even where Clock's is not; nil
	// takes the machine's.
	Wall clock.Clock
	Emit func(Event)
	// Stop is closed when a signal asks for the end.
	Stop <-chan struct{}
	// Heartbeat is how often the lease is extended.
	Heartbeat time.Duration
	// Until is when this run cannot act any more, zero where that is not known.
	// It is asked at every look, since credentials are renewed. nil: not known.
	Until func(ctx context.Context) time.Time
	// Gates is asked while a gate is shut; nil where the plan has none.
	Gates Gates
	// Back says whether the side that users go back to can take them. It is
	// asked once, as a retreat begins, beside it: the answer is told, and
	// never waited for. nil: not asked.
	Back func(ctx context.Context) string
}

// callTimeout bounds one call of a port, in real time through the context of
// the adapters; the retreat has its own, longer one. A runner can be suspended
// between any two instructions, so two more bounds are measured: intentTimeout
// is how old a journalled intent may be when its write is sent, lookTimeout
// how old the reading of the dials when it is judged. Past them it asks again.
// Plan.Linger is to outlast callTimeout and intentTimeout together.
//
// A retreat is recorded before it is sent, but it waits for the record no
// longer than recordTimeout: losing the control table never stops one. What was
// not recorded by then is tried again after the call, for recordAgain.
// The table is asked within tableTimeout, of its own: a CloudWatch that hangs
// must not make the lease look lost, nor let it expire.
const (
	callTimeout    = 30 * time.Second
	tableTimeout   = 10 * time.Second
	recordTimeout  = time.Second
	recordAgain    = 5 * time.Second
	retreatTimeout = 60 * time.Second
	intentTimeout  = 30 * time.Second
	lookTimeout    = 60 * time.Second
)

// Run drives the state to a terminal phase and returns it. The context ends
// the process's own waiting, never a retreat: those calls run without it.
func Run(ctx context.Context, p Ports, s State) State {
	r := run{Ports: p, state: s, beatAt: p.Clock.Now(), told: p.Clock.Now()}
	if r.Wall == nil {
		r.Wall = clock.Real{}
	}
	for !r.finished {
		r.tick(ctx)
	}
	return r.state
}

type run struct {
	Ports
	state    State
	before   Phase // of the state before this tick
	write    WriteResult
	journal  string
	savedAt  time.Time // by the wall: when this tick's Save began, if it succeeded
	fenced   bool
	finished bool
	beatAt   time.Time
	told     time.Time
	verdict  health.Verdict
	judged   bool
	back     chan string // what Back says; nil before it is asked
}

// heartbeatLine is how often the operator hears something while nothing
// changes.
const heartbeatLine = 30 * time.Second

func (r *run) tick(ctx context.Context) {
	o := r.observe(ctx)
	next, actions := Next(r.state, o)
	if err := Check(r.state, o, next, actions); err != nil {
		// A bug of this program. The one safe thing left is to go back.
		r.emit(EventTrouble, "internal error, retreating: "+err.Error(), o)
		if !r.state.Phase.Terminal() && r.state.Phase != Retreating {
			next, actions = retreat(r.state, o, err.Error())
		}
	}
	r.before, r.state = r.state.Phase, next
	r.write, r.savedAt = WriteResult{}, time.Time{}
	r.tellBack(o)
	r.tell(o, actions)
	for _, action := range actions {
		r.perform(ctx, action, o)
	}
}

func (r *run) observe(ctx context.Context) Observation {
	o := Observation{Write: r.write}
	// A look that hangs must not use up the seconds CI leaves after a signal:
	// the retreat needs none of what it would have found.
	call, cancel := r.bounded(ctx, callTimeout, r.grace(0))
	defer cancel()
	began := r.Wall.Now()
	live, err := r.Traffic.Read(call)
	o.Live, o.LiveKnown = live, err == nil
	if err != nil {
		o.ReadError = err.Error()
	}
	if foreign, is := errors.AsType[*Foreign](err); is {
		o.Foreign = foreign.What
	}
	change := r.state.Change
	if r.write.Change != "" {
		change = r.write.Change
	}
	if change != "" && (r.state.Phase == Syncing || r.state.Phase == Retreating) {
		// Non-fatal: not knowing is not being in sync, and that wait is bounded.
		o.InSync, _ = r.Traffic.InSync(call, change)
	}
	if r.Watch != nil && r.state.Phase != Retreating {
		serving := live
		if !o.LiveKnown {
			serving = r.state.Last
		}
		o.Health = r.Watch.Judge(call, r.state.StepAt, health.Sides{
			DialsAt: r.state.DialsAt,
			Base:    serving.Canary < 100, Canary: serving.Canary > 0, Promoted: r.state.Phase == Confirming, Share: float64(serving.Canary) / 100, Ahead: r.state.ahead(),
		})
	} else {
		o.Health = health.Assessment{Verdict: health.Unknown}
	}
	r.beat(ctx)
	o.Fenced, o.Journal = r.fenced, r.journal
	if r.state.Phase == Gated && r.Gates != nil && o.Journal == "" {
		ask, cancel := r.bounded(ctx, tableTimeout, r.grace(0))
		approval, err := r.Gates.ApprovedBy(ask, r.state.ID, r.state.Step+1)
		cancel()
		if o.Approval = approval; err != nil {
			o.Journal = err.Error()
		}
	}
	if r.Until != nil && r.state.Phase != Retreating {
		o.Until = r.Until(call)
	}
	o.Stop = r.stopped()
	o.Now = r.Clock.Now()
	if took := r.Wall.Now().Sub(began); (o.LiveKnown || o.Foreign != "") && took > lookTimeout {
		o.LiveKnown, o.Foreign, o.ReadError = false, "", fmt.Sprintf("the look took %v: too old to act on", took.Round(time.Second))
	}
	return o
}

func (r *run) stopped() bool {
	select {
	case <-r.Stop:
		return true
	default:
		return false
	}
}

// beat extends the lease when its time has come.
func (r *run) beat(ctx context.Context) {
	if r.Journal == nil || r.Clock.Now().Before(r.beatAt.Add(r.Heartbeat)) {
		return
	}
	r.beatAt = r.Clock.Now()
	call, cancel := r.bounded(ctx, tableTimeout, r.grace(0))
	defer cancel()
	r.noteJournal(r.Journal.Beat(call))
}

// noteJournal keeps what the journal said. Losing it is for Next to judge; a
// newer token is final.
func (r *run) noteJournal(err error) {
	r.journal = ""
	if errors.Is(err, ErrFenced) {
		r.fenced = true
	} else if err != nil {
		r.journal = err.Error()
	}
}

// perform does one action.
func (r *run) perform(ctx context.Context, action Action, o Observation) {
	call, cancel := r.bounded(ctx, r.patience(action), r.grace(writeGrace))
	defer cancel()
	switch a := action.(type) {
	case Save:
		r.save(call)
		r.saveEnd(ctx)
	case SetCanary:
		if r.state.Phase == Retreating {
			r.askBack(ctx)
		}
		r.change(r.intended(), fmt.Sprintf("canary %v%% -> %v%%", a.From, a.To), func() (string, error) { return "", r.Traffic.SetCanary(call, a.From, a.To) })
	case SetDNS:
		r.change(r.intended(), fmt.Sprintf("dns %v%% -> %v%%", a.From, a.To), func() (string, error) { return r.Traffic.SetDNS(call, a.From, a.To) })
	case Promote:
		r.change(r.intended(), a.String(), func() (string, error) { return "", r.Traffic.Promote(call, a.From, a.To) })
	case Retreat:
		if r.fenced {
			return // the record was refused: another run decides
		}
		r.askBack(ctx)
		r.change(true, "retreat", func() (string, error) { return r.Traffic.Retreat(call, a.To) })
		r.saveAgain(ctx)
	case Wait:
		r.wait(ctx, a.For)
	case Announce:
		if a.Kind == EventFinish {
			a.Text = r.state.Reason // the journal may have had a word in it
		}
		r.emit(a.Kind, a.Text, o)
	case Finish:
		r.tellBack(o)
		r.finished = true
	}
}

// patience is how long the action's call may take.
func (r *run) patience(action Action) time.Duration {
	switch action.(type) {
	case Retreat:
		return retreatTimeout
	case Save:
		if r.state.Phase == Retreating {
			return recordTimeout
		}
	case SetCanary, SetDNS, Promote, Wait, Announce, Finish:
	}
	return callTimeout
}

// saveAgain records a retreat that could not be recorded before it was sent.
func (r *run) saveAgain(ctx context.Context) {
	if !r.savedAt.IsZero() {
		return
	}
	call, cancel := r.bounded(ctx, recordAgain, writeGrace)
	defer cancel()
	r.save(call)
}

func (r *run) save(ctx context.Context) {
	r.savedAt = time.Time{}
	if r.Journal == nil {
		return
	}
	began := r.Wall.Now()
	r.noteJournal(r.Journal.Save(ctx, r.state))
	if r.journal == "" && !r.fenced {
		r.savedAt = began
	}
}

// endPatience bounds how long a run that is complete asks a journal that does
// not answer.
const endPatience = time.Minute

// saveEnd holds the end against the journal, which it has just been told: what
// another run took over is not for this one to call done, and a shift is
// complete only once its record is.
func (r *run) saveEnd(ctx context.Context) {
	began := r.Clock.Now()
	for r.state.Phase == Completed && r.journal != "" && !r.stopped() && r.Clock.Now().Sub(began) < endPatience {
		r.wait(ctx, min(r.state.Plan.Poll, retreatPause))
		call, cancel := r.bounded(ctx, callTimeout, lateGrace)
		r.save(call)
		cancel()
	}
	switch {
	case r.state.Phase.Terminal() && r.fenced:
		r.state.Phase, r.state.HeldIn, r.state.Reason = Uncertain, "", TakenOver
	case r.state.Phase == Completed && r.journal != "":
		r.state.Phase, r.state.HeldIn = Held, r.before
		r.state.Reason += ", but the journal could not be told: " + r.journal
	}
}

// intended is true while the journal has just taken the intent of a write
// upward, under this run's token.
func (r *run) intended() bool {
	return plantedIgnoresFence || !r.savedAt.IsZero() && r.Wall.Now().Sub(r.savedAt) <= intentTimeout
}

// change performs one write and tells it. A write that failed may still have
// taken effect; the next tick looks.
func (r *run) change(allowed bool, what string, write func() (string, error)) {
	if !allowed {
		return
	}
	change, err := write()
	r.write = WriteResult{Sent: true, Change: change}
	now := Observation{Now: r.Clock.Now(), Live: r.state.Last}
	if err != nil {
		r.write.Error = err.Error()
		r.emit(EventTrouble, what+": "+err.Error(), now)
		return
	}
	if change != "" {
		what += " (change " + change + ")"
	}
	r.emit(EventWrite, what, now)
}

// A signal leaves a call under way so long, by the wall. lateGrace is for what
// the end needs: the parts of a retreat, its look, and the record of the end;
// CI leaves some 7 s. A write towards more users and its record have writeGrace:
// what is answered soon is better waited for than overtaken by the way back.
// Any other look ends at once.
const (
	lateGrace  = 3 * time.Second
	writeGrace = time.Second
)

// grace is what a signal leaves a call that has so much of its own in this phase.
func (r *run) grace(own time.Duration) time.Duration {
	if r.state.Phase == Retreating || r.state.Phase.Terminal() {
		return lateGrace
	}
	return own
}

// bounded is the context of a call: it outlives the run's own, and ends after
// the timeout, or grace after a signal.
func (r *run) bounded(ctx context.Context, timeout, grace time.Duration) (context.Context, context.CancelFunc) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	call, cancelStop := r.untilStop(call, grace)
	return call, func() { cancelStop(); cancel() }
}

// untilStop is a context that a signal ends, grace later by the wall.
func (r *run) untilStop(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.Stop:
			// Non-fatal: an early end of the grace means that the call is over.
			_ = r.Wall.Sleep(ctx, grace)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// hurry is the longest pause of a retreat after a signal: CI leaves few seconds.
const hurry = time.Second

// wait sleeps, and wakes early for a signal.
func (r *run) wait(ctx context.Context, d time.Duration) {
	sleep, cancel := ctx, context.CancelFunc(func() {})
	switch {
	case !r.stopped():
		sleep, cancel = r.untilStop(ctx, 0)
	case r.state.Phase == Retreating:
		d = min(d, hurry) // AWS is left a moment between two tries
	default:
		return
	}
	defer cancel()
	// Non-fatal: an early end of the pause only means an earlier look.
	_ = r.Clock.Sleep(sleep, d)
}

// tell reports a changed verdict at once, and otherwise that the run is alive.
// While a step settles it is not known yet which side answers, which is no
// news; a red verdict always is.
func (r *run) tell(o Observation, actions []Action) {
	baking := r.state.Phase == Baking || r.state.Phase == Gated || r.state.Phase == Confirming
	if (baking || o.Health.Verdict == health.Unhealthy) && o.LiveKnown && (!r.judged || r.verdict != o.Health.Verdict) {
		r.judged, r.verdict = true, o.Health.Verdict
		r.emit(EventVerdict, fmt.Sprintf("%s: %s", o.Health.Verdict, o.Health.Reason()), o)
	}
	for _, a := range actions {
		if _, announces := a.(Announce); announces {
			return
		}
	}
	if o.Now.Sub(r.told) >= heartbeatLine {
		r.emit(EventWait, fmt.Sprintf("%s, since %v", r.state.Phase, o.Now.Sub(r.state.PhaseAt).Round(time.Second)), o)
	}
}

func (r *run) emit(kind EventKind, text string, o Observation) {
	r.told = o.Now
	if r.Emit == nil {
		return
	}
	live := o.Live
	if !o.LiveKnown {
		live = r.state.Last
	}
	e := Event{At: o.Now, Kind: kind, Text: text, Shift: r.state.ID, Phase: r.state.Phase, Step: r.state.Step, Steps: len(r.state.Plan.Steps), Verdict: o.Health.Verdict}
	if live != (Setting{}) {
		e.Live = &live
	}
	r.Emit(e)
}
