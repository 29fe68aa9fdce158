package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/topology"
)

// A preflight sends its probes in batches, several at once, and ends after
// config.PreflightTimeout whatever it knows.
const (
	preflightBatch    = 40
	preflightParallel = 8
)

// preflight probes the candidate before any user reaches it: what it finds has
// harmed nobody. It is refused where the candidate is worse than tolerated, or
// where that it is not could not be shown.
func (a *App) preflight(ctx context.Context, top topology.Topology, state cutover.State) error {
	if state.Touched || state.Phase == cutover.Retreating {
		return nil
	}
	if err := a.notShutOut(ctx, top.Target); err != nil || !a.Config.Probe.Preflight {
		return err
	}
	paths := a.Config.Probe.Paths
	if len(paths) == 0 {
		paths = []string{top.HealthPath}
	}
	ctx, cancel := context.WithTimeout(ctx, config.PreflightTimeout)
	defer cancel()
	judge := evidence.NewPreflight(a.policy(state.Plan))
	sent, failed, example := 0, 0, ""
	for {
		bad, why, err := a.probeCandidate(ctx, top.Target, paths, sent)
		if err != nil {
			return err
		}
		sent, failed = sent+preflightBatch, failed+bad
		if why != "" {
			example = ": " + why
		}
		switch judge.Add(preflightBatch, float64(bad)) {
		case evidence.Probing:
		case evidence.Clear:
			a.say(cutover.EventVerdict, "preflight: %d of %d probes of the candidate failed%s; users may come", failed, sent, example)
			return nil
		case evidence.Grounded:
			return &Refused{
				Cause: fmt.Errorf("preflight: the candidate failed %d of %d probes%s; no user has reached it", failed, sent, example),
				Next:  "correct green, then: tapctl deploy && tapctl shift",
			}
		case evidence.Undecided:
			return &Refused{
				Cause: fmt.Errorf("preflight: the candidate failed %d of %d probes%s, which shows neither that it is good nor that it is bad; no user has reached it", failed, sent, example),
				Next:  "look into the failures, or start without: TAPCTL_PROBE_PREFLIGHT=false tapctl shift",
			}
		}
		if a.stopped() {
			return nil // the run ends by itself, before any change
		}
	}
}

// notShutOut refuses a shift whose probes would all be refused by the API's
// resource policy: it would blame green, and go back. What else may be wrong
// with a request is for the probes to find.
func (a *App) notShutOut(ctx context.Context, green topology.Cell) error {
	if a.Config.OpenToAll() {
		return nil
	}
	prober, err := a.prober(green)
	if err != nil {
		return err
	}
	if _, err := prober.Get(ctx); isShutOut(err) {
		return &Refused{Cause: fmt.Errorf("probe green: %w", err), Next: letIn}
	}
	return nil
}

// probeCandidate sends one batch, the first of which is number from.
func (a *App) probeCandidate(ctx context.Context, green topology.Cell, paths []string, from int) (failed int, example string, err error) {
	var bad atomic.Int64
	var why atomic.Value
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(preflightParallel)
	for i := range preflightBatch {
		path := paths[(from+i)%len(paths)]
		group.Go(func() error {
			call, cancel := context.WithTimeout(ctx, a.Config.Probe.Timeout)
			defer cancel()
			status, err := a.Clients.Invoke(call, green.Region, green.APIFunction, "next", path)
			switch {
			case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
				bad.Add(1)
				why.Store(fmt.Sprintf("GET %s took longer than %v", path, a.Config.Probe.Timeout))
			case err != nil:
				return err
			case !health.WellAnswered(status): // a path that is not there serves nobody either
				bad.Add(1)
				why.Store(fmt.Sprintf("GET %s: %d", path, status))
			}
			return nil
		})
	}
	err = group.Wait()
	example, _ = why.Load().(string)
	return int(bad.Load()), example, err
}
