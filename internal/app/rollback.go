package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// RollbackAsk is what rollback is asked to do.
type RollbackAsk struct {
	DryRun bool
	// ToBlue sends every user to blue, whatever the journal's target is.
	ToBlue bool
	// ToVersion sends every user of green to this version of its function,
	// whatever the journal's target is; "" asks the journal.
	ToVersion string
	// Shaped takes users back in the portions of shift.retreat_step.
	Shaped bool
	// Topology is the file that has the ids; "" looks in the control table and
	// then in the local copy.
	Topology string
}

// Rollback retreats now. It needs the topology's ids and the credentials:
// neither Pulumi, nor the lease, nor an alarm; and the journal only where
// green's own version answers and nobody says which one is to.
func (a *App) Rollback(ctx context.Context, ask RollbackAsk) (Report, error) {
	whole, cancel := a.briefly(ctx)
	defer cancel()
	top, err := a.topologyOf(whole, ask)
	if err != nil {
		return Report{}, a.notDeployed(err)
	}
	if top.Retired && ask.ToBlue {
		return Report{}, blueIsGone()
	}
	traffic := awsapi.NewTraffic(a.Clients, top)
	v, err := a.versionFits(whole, traffic, ask)
	if err != nil {
		return Report{}, err
	}
	if ask.DryRun {
		look, cancel := a.untilStop(ctx, 0)
		defer cancel()
		return a.planRollback(look, traffic, ask)
	}
	var held *awsapi.Held
	journal := &cutover.LateJournal{Open: func(ctx context.Context) (cutover.Journal, error) {
		var err error
		held, err = a.control().Seize(ctx, a.lease("rollback"), a.Clock.Now())
		if err != nil {
			return nil, err
		}
		held.Now = a.Clock.Now
		return held, nil
	}}
	release := sync.OnceFunc(func() {
		if held != nil {
			a.release(ctx, held)
		}
	})
	defer release()
	questions, cancelQuestions := a.rest(ctx, whole)
	a.askAtOnce(questions, journal, traffic, ask, &v)
	cancelQuestions()
	if v.retired && ask.ToBlue {
		return Report{}, blueIsGone()
	}
	if v.retired && !top.Retired {
		top.Retired = true
		traffic = awsapi.NewTraffic(a.Clients, top)
	}
	target, err := a.awaitTarget(ctx, journal, top, &v, ask)
	if err != nil {
		return a.undecided(err, v.live, v.readErr), nil
	}
	plan := a.plan(nil, false, false)
	if !ask.Shaped {
		plan.Shape = cutover.Shape{} // who types rollback means now
	}
	state := cutover.StartRetreat(a.newShift(), target, plan, a.Clock.Now()).Behind(v.newest, a.Clock.Now())
	if ask.Shaped && v.readErr == nil {
		state.Want, state.Last = v.live, v.live
	}
	a.say(cutover.EventRetreat, "rolling back to %s", target)
	seen := newSight(traffic, state)
	if v.readErr != nil {
		seen.had = &v // what did not answer is not waited for again before the first call
	}
	return a.drive(ctx, seen, nil, journal, state, release)
}

func blueIsGone() error {
	return &Refused{Cause: errors.New("rollback: blue is retired, there is nothing to go back to"), Next: "tapctl rollback, to the version that was live before"}
}

// planRollback is the dry run.
func (a *App) planRollback(ctx context.Context, traffic *awsapi.Traffic, ask RollbackAsk) (Report, error) {
	live, err := traffic.Read(ctx)
	if err != nil {
		return Report{}, refused(err)
	}
	v := view{live: live}
	if ask.journal() {
		v.record(ctx, a)
	}
	target, err := a.target(traffic.Topology(), v, ask)
	if err != nil {
		return Report{}, refused(err)
	}
	look, cancel := context.WithTimeout(ctx, backPatience)
	defer cancel()
	return Report{Outcome: Completed, Dials: live.Dials, Exposure: live.Exposure(), DryRun: true,
		Reason: fmt.Sprintf("dry run: would go from %s to %s; %s", live, target, a.blue(look, traffic.Topology(), target)), Steps: []StepReport{}, NextCommand: "tapctl rollback"}, nil
}

// backPatience bounds the dry run's question about blue, real time.
const backPatience = 15 * time.Second

// takeBriefly asks for the lease once more.
func (a *App) takeBriefly(ctx context.Context, journal *cutover.LateJournal) error {
	call, cancel := a.briefly(ctx)
	defer cancel()
	return journal.Take(call)
}

// findTopology asks the control table in both regions and then the local copy.
// Where there is one the tables have half of the time: it is good enough, and
// the other questions wait for the ids.
func (a *App) findTopology(ctx context.Context) (topology.Topology, error) {
	kept, fileErr := readTopology(a.topologyFile())
	patience := a.patience()
	if fileErr == nil {
		patience /= 2
	}
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	top, err := a.control().Topology(call)
	switch {
	case err == nil:
		return top, nil
	case errors.Is(fileErr, os.ErrNotExist):
		return top, err
	case fileErr != nil:
		return top, fileErr
	}
	a.say(cutover.EventTrouble, "using the local copy of the topology: %v", err)
	return kept, nil
}

// topologyOf is the topology that the rollback was given, or finds.
func (a *App) topologyOf(ctx context.Context, ask RollbackAsk) (topology.Topology, error) {
	if ask.Topology == "" {
		return a.findTopology(ctx)
	}
	top, err := readTopology(ask.Topology)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ") // every id that is missing has a line
		return top, &Refused{Cause: errors.New("rollback: --topology " + ask.Topology + ": " + text), Next: "tapctl rollback --topology FILE, with the JSON that tapctl deploy keeps in " + a.topologyFile()}
	}
	return top, nil
}

// readTopology reads what deploy kept. It fails where an id is missing.
func readTopology(file string) (top topology.Topology, err error) {
	encoded, err := os.ReadFile(file)
	if err != nil {
		return top, err
	}
	if err := json.Unmarshal(encoded, &top); err != nil {
		return top, fmt.Errorf("read %s: %w", file, err)
	}
	return top, top.Validate()
}

// aliasTTL is what Route 53 gives an alias to API Gateway. It cannot be set.
// Unverified on AWS: ask with dig.
const aliasTTL = time.Minute

// dnsSamples is how many answers the observed share is taken from.
const dnsSamples = 40

// receipt completes the core's times with what clients see: it waits for the
// TTL to pass and asks DNS, until a signal wants the process gone.
func (a *App) receipt(ctx context.Context, traffic *awsapi.Traffic, end cutover.State) *Receipt {
	r := &Receipt{FaultSeen: end.Receipt.FaultSeen, Decided: end.Receipt.Decided, CallsSent: end.Receipt.CallsSent, InSync: end.Receipt.InSync}
	if end.Phase != cutover.RolledBack || a.stopped() || !end.Touched {
		return r
	}
	ctx, cancel := a.untilStop(ctx, 0)
	defer cancel()
	a.say(cutover.EventWait, "traffic is back; waiting %v for resolvers to forget the old answer", aliasTTL)
	if a.Clock.Sleep(ctx, aliasTTL) != nil {
		return r
	}
	r.TTLPassed = a.Clock.Now()
	share, err := a.observedShare(ctx, traffic.Topology())
	switch {
	case a.stopped(): // what it asked until then is no share
	case err != nil:
		a.say(cutover.EventTrouble, "the observed share is not known: %v", err)
	default:
		back := 100 - share
		if end.Target.DNS == 100 {
			back = share
		}
		r.ObservedShareBack = &back
	}
	return r
}

// observedShare is the percent of DNS answers that lead to green.
func (a *App) observedShare(ctx context.Context, top topology.Topology) (float64, error) {
	resolver := a.Resolver()
	green, err := resolver.LookupHost(ctx, absolute(top.Target.RegionalName))
	if err != nil {
		return 0, fmt.Errorf("resolve %s: %w", top.Target.RegionalName, err)
	}
	seen := 0
	for range dnsSamples {
		answers, err := resolver.LookupHost(ctx, absolute(top.RecordName))
		if err != nil {
			return 0, fmt.Errorf("resolve %s: %w", top.RecordName, err)
		}
		if len(answers) > 0 && slices.Contains(green, answers[0]) {
			seen++
		}
	}
	return 100 * float64(seen) / dnsSamples, nil
}
