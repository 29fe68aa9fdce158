package rehearse

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// sabotage is a Saboteur that does what the test says.
type sabotage struct {
	inject func(context.Context) error
	clear  func(context.Context) error
}

func (s sabotage) Inject(ctx context.Context, _ Fault) (string, error) {
	return "it fails", s.inject(ctx)
}
func (s sabotage) Clear(ctx context.Context) error  { return s.clear(ctx) }
func (s sabotage) FrontDoor(context.Context) string { return greenDoor }

// An event that comes while the fault is on its way waits for nothing, and puts
// in no second one; the calls end with the rehearsal's context.
func TestTheFaultGoesInOnceAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	type mark struct{}
	ctx := context.WithValue(t.Context(), mark{}, true)
	live := cutover.Setting{Dials: cutover.Dials{DNS: 100, Canary: 100}}
	event := cutover.Event{Kind: cutover.EventWait, Phase: cutover.Baking, Live: &live}
	injected, cleared := 0, 0
	var c *scene
	c = &scene{
		scenario: Scenario{Fault: Fault{Kind: Errors}},
		stage: Stage{Clock: clock.NewManual(t0), Tell: func(cutover.Event) {}, Saboteur: sabotage{
			inject: func(got context.Context) error {
				injected++
				if got.Value(mark{}) == nil {
					t.Error("Inject got another context")
				}
				if injected == 1 {
					c.watch(ctx, event) // as from another goroutine: a lock held here is for ever
					c.watch(ctx, cutover.Event{At: t0.Add(time.Second), Kind: cutover.EventRetreat, Live: &live})
				}
				return nil
			},
			clear: func(got context.Context) error {
				cleared++
				if got.Value(mark{}) == nil {
					t.Error("Clear got another context")
				}
				return nil
			},
		}},
	}
	c.watch(ctx, event)
	if err := c.end(ctx); err != nil || injected != 1 || cleared != 1 {
		t.Errorf("injected %d times, cleared %d times, error %v", injected, cleared, err)
	}
	if c.incident.Injected != t0 || c.incident.Decided != t0.Add(time.Second) || c.incident.Address != greenDoor {
		t.Errorf("incident %+v", c.incident)
	}
}

func TestAFaultThatCannotBePutInFailsTheScenario(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	c := &scene{stage: Stage{Clock: clock.NewManual(t0), Saboteur: sabotage{inject: func(context.Context) error { return broken }}}}
	c.strike(t.Context(), 0)
	if err := c.end(t.Context()); !errors.Is(err, broken) || !c.incident.Injected.IsZero() {
		t.Errorf("error %v, incident %+v", err, c.incident)
	}
}
