package rehearse

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// Operator is tapctl as it is used: each call is one command.
type Operator interface {
	Deploy(ctx context.Context) error
	// Shift runs a whole shift, telling its events, and returns its outcome.
	Shift(ctx context.Context, tell func(cutover.Event)) (outcome string, err error)
	Rollback(ctx context.Context) error
	// APICalls counts the AWS calls made so far.
	APICalls() int
}

// Saboteur puts faults into green and takes them out.
type Saboteur interface {
	// Inject makes a share of green's own answers fail, and says so in words.
	Inject(rate float64) (what string, err error)
	Clear() error
	// FrontDoor is the address that clients of green dial.
	FrontDoor() string
}

// Plan is what a rehearsal does.
type Plan struct {
	Load Load
	// FaultAt is the exposure, in percent, at which green turns bad.
	FaultAt cutover.Percent
	// FaultRate is the share of green's own answers that then fail.
	FaultRate float64
	// Scenarios to run, in order: "clean", "bad".
	Scenarios []string
}

// Names of the scenarios.
const (
	Clean = "clean"
	Bad   = "bad"
)

// Stage is everything a rehearsal is given.
type Stage struct {
	Operator Operator
	Saboteur Saboteur
	Target   Target
	Clock    clock.Clock
	Tell     func(cutover.Event)
}

// Run deploys once and plays the scenarios, each under traffic of its own that
// begins on blue.
func Run(ctx context.Context, stage Stage, plan Plan) ([]Score, error) {
	if err := stage.Operator.Deploy(ctx); err != nil {
		return nil, err
	}
	if err := Seed(ctx, stage.Target); err != nil {
		return nil, err
	}
	var scores []Score
	for i, name := range plan.Scenarios {
		if i > 0 {
			stage.say(cutover.EventPlan, "back to blue, for the next scenario")
			if err := stage.Operator.Rollback(ctx); err != nil {
				return scores, err
			}
		}
		s, err := stage.play(ctx, name, plan)
		if err != nil {
			return scores, fmt.Errorf("scenario %s: %w", name, err)
		}
		scores = append(scores, s)
	}
	return scores, nil
}

func (s Stage) say(kind cutover.EventKind, format string, args ...any) {
	s.Tell(cutover.Event{At: s.Clock.Now(), Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// warmUp is traffic before the first change, so that the score begins with
// users who were served.
const warmUp = 30 * time.Second

func (s Stage) play(ctx context.Context, name string, plan Plan) (Score, error) {
	s.say(cutover.EventPlan, "scenario %s: %d clients, %.0f requests a second (real time)", name, plan.Load.Clients, plan.Load.Rate)
	calls := s.Operator.APICalls()
	plan.Load.Name = name
	users := StartUsers(ctx, s.Target, plan.Load)
	defer users.Stop()
	if err := s.Clock.Sleep(ctx, warmUp); err != nil {
		return Score{}, err
	}
	scene := &scene{stage: s, plan: plan, armed: name == Bad}
	outcome, err := s.Operator.Shift(ctx, scene.watch)
	if err != nil {
		return Score{}, err
	}
	// Clients that still hold an old answer or connection are part of it.
	if err := s.Clock.Sleep(ctx, plan.Load.ConnectionLife+time.Minute); err != nil {
		return Score{}, err
	}
	users.Stop()
	if scene.failed != nil {
		return Score{}, scene.failed
	}
	if scene.armed {
		if err := s.Saboteur.Clear(); err != nil {
			return Score{}, err
		}
	}
	return score(name, outcome, users.Requests(), scene.incident, s.Operator.APICalls()-calls), nil
}

// scene watches the shift's events, as an onlooker, to put the fault in at the
// planned exposure and to note when tapctl decided.
type scene struct {
	stage Stage
	plan  Plan
	armed bool

	mu       sync.Mutex
	incident Incident
	failed   error
}

func (c *scene) watch(e cutover.Event) {
	c.stage.Tell(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Kind == cutover.EventRetreat && c.incident.Decided.IsZero() {
		c.incident.Decided, c.incident.Exposure = e.At, float64(e.Live.Exposure())
	}
	if !c.armed || !c.incident.Injected.IsZero() || e.Phase != cutover.Baking || e.Live.Exposure() < c.plan.FaultAt {
		return
	}
	what, err := c.stage.Saboteur.Inject(c.plan.FaultRate)
	if err != nil {
		c.failed = err
		return
	}
	c.incident.Injected, c.incident.Address, c.incident.What = c.stage.Clock.Now(), c.stage.Saboteur.FrontDoor(), what
	c.stage.say(cutover.EventTrouble, "FAULT INJECTED: %s", what)
}
