package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// blue says whether the side that users go back to can take them: whether it
// answers, and whether it has what was written at green. Everything is asked
// at once, within the context's bound, and nothing waits for the answer.
func (a *App) blue(ctx context.Context, top topology.Topology, target cutover.Setting) string {
	if target.DNS == 100 {
		return "green's own live version takes them back: its data never left"
	}
	answers := make(chan string, 2)
	go func() { answers <- a.blueAnswers(ctx, top) }()
	go func() { answers <- a.blueCaughtUp(ctx, top) }()
	return "can blue take them? " + strings.Join([]string{<-answers, <-answers}, "; ")
}

func (a *App) blueAnswers(ctx context.Context, top topology.Topology) string {
	if top.External != "" {
		return "blue is not tapctl's: ask whoever runs " + top.External
	}
	prober, err := a.prober(top.Source)
	if err != nil {
		return "blue cannot be asked: " + err.Error()
	}
	count := prober.Probe(ctx, a.Config.Probe.Count)
	if count.Failed > 0 {
		return fmt.Sprintf("blue failed %d of %d probes (%s)", count.Failed, count.Sent, count.LastError)
	}
	return fmt.Sprintf("blue answers %d of %d probes", count.Sent, count.Sent)
}

// lagWindow is how far back the replication lag is looked for: DynamoDB
// publishes it only while writes flow.
const lagWindow = 10 * time.Minute

func (a *App) blueCaughtUp(ctx context.Context, top topology.Topology) string {
	lag, found, err := a.Clients.ReplicationLag(ctx, top.Target.Region, top.Source.Region, top.Table, lagWindow, a.Clock.Now())
	switch {
	case err != nil:
		return "whether its data is caught up is not known: " + err.Error()
	case !found:
		return fmt.Sprintf("nothing was replicated to it in the last %v", lagWindow)
	default:
		return fmt.Sprintf("green's writes reached it within %v at most, in the last %v", lag.Round(time.Millisecond), lagWindow)
	}
}
