package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// The pace of the data's gate, by the app's clock: CloudWatch has a new minute
// each minute. A reading counts for a while, since one call that fails is none.
const (
	dataEvery  = time.Minute
	dataMaxAge = 5 * time.Minute
)

// dataGate is the Signal of whether the data is where users are to go, and
// would be where they go back. It is read beside the shift: no look waits.
type dataGate struct {
	app    *App
	top    topology.Topology
	maxLag time.Duration

	mu   sync.Mutex
	last health.Data
}

var _ health.Signal = (*dataGate)(nil)

// Look implements health.Signal.
func (g *dataGate) Look(context.Context, time.Time, health.Sides) health.Finding {
	g.mu.Lock()
	defer g.mu.Unlock()
	return health.JudgeData(g.last, g.maxLag, dataMaxAge, g.app.Clock.Now())
}

// run reads again and again until ctx ends.
func (g *dataGate) run(ctx context.Context) {
	for ctx.Err() == nil {
		read, err := g.read(ctx)
		g.mu.Lock()
		if err != nil {
			g.last.Err = err.Error()
		} else {
			g.last = read
		}
		g.mu.Unlock()
		_ = g.app.Clock.Sleep(ctx, dataEvery) // an early end ends the loop
	}
}

// read asks for both directions at once.
func (g *dataGate) read(ctx context.Context) (health.Data, error) {
	regions := [2]string{g.top.Source.Region, g.top.Target.Region}
	data := health.Data{At: g.app.Clock.Now(), Ways: make([]health.Way, 2)}
	copies := make([][]string, 2)
	group, ctx := errgroup.WithContext(ctx)
	for i, region := range regions {
		other := regions[1-i]
		group.Go(func() (err error) {
			copies[i], err = g.copies(ctx, region)
			return err
		})
		group.Go(func() (err error) {
			data.Ways[i], err = g.way(ctx, region, other)
			return err
		})
	}
	err := group.Wait()
	for _, some := range copies {
		data.Copies = append(data.Copies, some...)
	}
	return data, err
}

// copies are the table in a region and the replicas that it knows, where they
// are not ACTIVE.
func (g *dataGate) copies(ctx context.Context, region string) ([]string, error) {
	state, err := g.app.Clients.Replicas(ctx, region, g.top.Table)
	if err != nil {
		return nil, err
	}
	var ill []string
	add := func(region, status string) {
		if status != "ACTIVE" {
			ill = append(ill, region+": "+status)
		}
	}
	add(region, state.Status)
	for replica, status := range state.Replicas {
		add(replica, status)
	}
	return ill, nil
}

// cross writes an item of the control table in one region and looks for it in
// the other: where nobody writes, no metric tells that nothing would arrive.
func (g *dataGate) cross(ctx context.Context, from, to string) (took time.Duration, arrived bool, err error) {
	control, id := g.app.control(), "shift from "+from
	mark := g.app.Clock.Now().UTC().Format(time.RFC3339Nano)
	if err := control.PutSentinel(ctx, from, id, mark); err != nil {
		return 0, false, err
	}
	return g.app.arrives(ctx, g.maxLag, func(ctx context.Context) (bool, error) { return control.SeeSentinel(ctx, to, id, mark) })
}

func (g *dataGate) way(ctx context.Context, from, to string) (health.Way, error) {
	now := g.app.Clock.Now()
	way := health.Way{From: from, To: to}
	var err error
	if way.Item, way.Arrived, err = g.cross(ctx, from, to); err != nil {
		return way, err
	}
	if way.Lag, _, err = g.app.Clients.ReplicationLag(ctx, from, to, g.top.Table, lagWindow, now); err != nil {
		return way, err
	}
	if g.top.Bucket[from] == "" || g.top.Bucket[to] == "" {
		return way, nil
	}
	rule, since := infra.ReplicationRule(to), now.Add(-pendingWindow)
	if way.Pending, _, err = g.app.Clients.PendingReplication(ctx, from, g.top.Bucket[from], g.top.Bucket[to], rule, since, now); err == nil {
		way.Failed, err = g.app.Clients.FailedReplication(ctx, from, g.top.Bucket[from], g.top.Bucket[to], rule, since, now)
	}
	if err != nil {
		return way, fmt.Errorf("data from %s to %s: %w", from, to, err)
	}
	return way, nil
}
