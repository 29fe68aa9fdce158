package rehearse

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// Operator is tapctl as it is used: each call is one command, with keys laid
// over the configuration.
type Operator interface {
	Deploy(ctx context.Context, over map[string]any) error
	// Shift runs a whole shift, telling its events, and returns its outcome.
	Shift(ctx context.Context, over map[string]any, tell func(cutover.Event)) (outcome cutover.Phase, err error)
	Rollback(ctx context.Context) error
	// APICalls counts the AWS calls made so far.
	APICalls() int
}

// Saboteur puts faults into the application and takes them out.
type Saboteur interface {
	// Inject puts the fault in force, and says so in words.
	Inject(ctx context.Context, f Fault) (what string, err error)
	Clear(ctx context.Context) error
	// FrontDoor is the address that clients of green dial.
	FrontDoor(ctx context.Context) string
}

// Model says what to expect of a scenario that has no NoModel, at a rate, in
// requests a second of the clock.
type Model func(ctx context.Context, s Scenario, rate float64) (Forecast, error)

// Plan is what a rehearsal does.
type Plan struct {
	Load      Load
	Scenarios []Scenario // in order
	Model     Model      // nil: none
}

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
	if err := stage.Operator.Deploy(ctx, nil); err != nil {
		return nil, err
	}
	if err := Seed(ctx, stage.Target); err != nil {
		return nil, err
	}
	var scores []Score
	for i, scenario := range plan.Scenarios {
		if i > 0 {
			stage.say(cutover.EventPlan, "back to blue, for the next scenario")
			if err := stage.Operator.Rollback(ctx); err != nil {
				return scores, err
			}
			// What the last one broke is in the alarms' newest minutes.
			if err := stage.Clock.Sleep(ctx, forgetting); err != nil {
				return scores, err
			}
		}
		s, err := stage.play(ctx, scenario, plan)
		if err != nil {
			return scores, fmt.Errorf("scenario %s: %w", scenario.Name, err)
		}
		scores = append(scores, s)
	}
	return scores, nil
}

// forgetting is how long an alarm looks back, and a metric is late.
const forgetting = 6 * time.Minute

func (s Stage) say(kind cutover.EventKind, format string, args ...any) {
	s.Tell(cutover.Event{At: s.Clock.Now(), Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// warmUp is traffic before the first change, so that the score begins with
// users who were served.
const warmUp = 30 * time.Second

func (s Stage) play(ctx context.Context, scenario Scenario, plan Plan) (Score, error) {
	s.say(cutover.EventPlan, "scenario %s: %s", scenario.Name, scenario.About)
	if scenario.Deploy != nil {
		if err := s.Operator.Deploy(ctx, scenario.Deploy); err != nil {
			return Score{}, err
		}
		defer func() { _ = s.Operator.Deploy(ctx, nil) }() // Non-fatal: the next scenario would say so.
	}
	calls, began := s.Operator.APICalls(), s.Clock.Now()
	users := &Users{cancel: func() {}}
	if !scenario.Silent {
		s.say(cutover.EventPlan, "%d clients, %.0f requests a second (real time)", plan.Load.Clients, plan.Load.Rate)
		load := plan.Load
		load.Name = scenario.Name
		users = StartUsers(ctx, s.Target, load)
	}
	defer users.Stop()
	if err := s.Clock.Sleep(ctx, warmUp); err != nil {
		return Score{}, err
	}
	scene := &scene{stage: s, scenario: scenario}
	if scenario.At < 0 {
		scene.strike(ctx, 0)
	}
	outcome, err := s.Operator.Shift(ctx, scenario.Config, func(e cutover.Event) { scene.watch(ctx, e) })
	if err != nil {
		return Score{}, err
	}
	// Clients that still hold an old answer or connection are part of it.
	if err := s.Clock.Sleep(ctx, plan.Load.ConnectionLife+time.Minute); err != nil {
		return Score{}, err
	}
	users.Stop()
	if err := scene.end(ctx); err != nil {
		return Score{}, err
	}
	requests := users.Requests()
	calls = s.Operator.APICalls() - calls
	var expected *Forecast
	if scenario.NoModel == "" && plan.Model != nil {
		f, err := plan.Model(ctx, scenario, float64(len(requests))/s.Clock.Now().Sub(began).Seconds())
		if err != nil {
			return Score{}, err
		}
		expected = &f
	}
	return score(scenario, outcome, requests, scene.incident, calls, expected), nil
}

// scene watches the shift's events, as an onlooker, to put the fault in at the
// planned exposure and to note when tapctl decided.
type scene struct {
	stage    Stage
	scenario Scenario
	lifting  sync.WaitGroup

	mu       sync.Mutex
	struck   bool // the fault is in, or on its way
	incident Incident
	failed   error
}

func (c *scene) watch(ctx context.Context, e cutover.Event) {
	c.stage.Tell(e)
	if exposure, now := c.note(e); now {
		c.strike(ctx, exposure)
	}
}

// note says at which exposure the shift is, and whether the fault has to go in
// now: once.
func (c *scene) note(e cutover.Event) (cutover.Percent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var exposure cutover.Percent
	if e.Live != nil {
		exposure = e.Live.CandidateExposure()
	}
	if e.Kind == cutover.EventRetreat && c.incident.Decided.IsZero() {
		c.incident.Decided, c.incident.Exposure = e.At, float64(exposure)
	}
	due := exposure > 0 && exposure >= c.scenario.At && (c.scenario.At == 0 || e.Phase == cutover.Baking)
	now := c.scenario.Fault.Kind != "" && !c.struck && due
	c.struck = c.struck || now
	return exposure, now
}

// strike puts the fault in, and lifts it when its time is over.
func (c *scene) strike(ctx context.Context, exposure cutover.Percent) {
	what, err := c.stage.Saboteur.Inject(ctx, c.scenario.Fault)
	at := c.stage.Clock.Now()
	var address string
	if err == nil {
		address = c.stage.Saboteur.FrontDoor(ctx)
	}
	c.mu.Lock()
	c.struck = true
	if c.failed = err; err == nil {
		c.incident.Injected, c.incident.What, c.incident.Fault, c.incident.Address = at, what, c.scenario.Fault, address
	}
	c.mu.Unlock()
	if err != nil {
		return
	}
	c.stage.say(cutover.EventTrouble, "FAULT INJECTED at exposure %v%%: %s", exposure, what)
	if c.scenario.For > 0 {
		c.lifting.Go(func() {
			if c.stage.Clock.Sleep(ctx, c.scenario.For) == nil {
				c.lift(ctx)
			}
		})
	}
}

func (c *scene) lift(ctx context.Context) {
	err := c.stage.Saboteur.Clear(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = err
	}
	if c.incident.Cleared.IsZero() {
		c.incident.Cleared = c.stage.Clock.Now()
		c.stage.say(cutover.EventTrouble, "FAULT LIFTED")
	}
}

// end lifts what is left.
func (c *scene) end(ctx context.Context) error {
	c.lifting.Wait()
	if !c.incident.Injected.IsZero() && c.incident.Cleared.IsZero() {
		if err := c.stage.Saboteur.Clear(ctx); err != nil {
			return err
		}
	}
	return c.failed
}
