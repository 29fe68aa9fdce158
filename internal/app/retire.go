package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// Gate is one condition of a step that cannot be undone.
type Gate struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"` // what opens it
}

// RetireFacts is what the gates are decided from.
type RetireFacts struct {
	Now      time.Time
	Live     cutover.Setting
	Shift    cutover.State // the journal's newest
	Found    bool
	External bool
	// Visitors at blue in the quiet window; unknown where blue is external.
	Visitors awsapi.Visitors
	// ExternalQuiet is the operator's word for what tapctl cannot see.
	ExternalQuiet bool
	GreenHealthy  bool
	GreenMinutes  int // of data behind it
	After, Quiet  time.Duration
	MaxRequests   int
}

// RetireGates decides whether blue may go: pure.
func RetireGates(f RetireFacts) []Gate {
	gates := []Gate{
		{Name: "promoted", OK: f.Live.Base == cutover.Live && f.Live.Canary == 0, Detail: f.Live.String(), Next: "tapctl promote"},
		{Name: "all traffic on green", OK: f.Live.DNS == 100, Detail: fmt.Sprintf("dns %v%%", f.Live.DNS), Next: "tapctl shift --to 100"},
		settled(f),
	}
	switch {
	case f.External:
		gates = append(gates, Gate{Name: "blue is quiet", OK: f.ExternalQuiet, Detail: "tapctl cannot see the requests of an external source",
			Next: "look there, then: tapctl retire --external-quiet"})
	default:
		g := Gate{Name: "blue is quiet", OK: f.Visitors.Requests <= f.MaxRequests, Next: "find out who still holds blue's addresses, then: tapctl retire",
			Detail: fmt.Sprintf("%d request(s) in the last %v, at most %d allowed", f.Visitors.Requests, f.Quiet, f.MaxRequests)}
		switch {
		case !g.OK:
			g.Detail += "; the newest: " + strings.Join(f.Visitors.Sample, " ")
		case f.Visitors.Unlogged(f.MaxRequests):
			g.OK, g.Detail, g.Next = false, deadLog(f.Visitors, f.Quiet), deadLogNext(f.Quiet, "tapctl retire")
		}
		gates = append(gates, g)
	}
	g := Gate{Name: "green is healthy", OK: f.GreenHealthy && f.GreenMinutes >= healthMinutes, Next: "tapctl verify",
		Detail: fmt.Sprintf("its health check, %d minute(s) of data", f.GreenMinutes)}
	if f.GreenHealthy && !g.OK {
		g.Detail += fmt.Sprintf(", too few of at least %d to say", healthMinutes)
	}
	return append(gates, g)
}

// settled asks how long green has had all traffic: since the end of the newest
// shift, if that left it there. A release that went back did so within green.
func settled(f RetireFacts) Gate {
	g := Gate{Name: "settled", Next: "tapctl retire, later"}
	switch {
	case f.After == 0:
		g.OK, g.Detail = true, "retire.after is 0"
	case !f.Found:
		g.Detail, g.Next = "the journal has no shift", "tapctl status"
	case !leftAtGreen(f.Shift):
		g.Detail, g.Next = fmt.Sprintf("shift %s (%s) did not leave all traffic with green's own version", f.Shift.ID, f.Shift.Phase), "tapctl status"
	default:
		stood := f.Now.Sub(f.Shift.At()).Truncate(time.Second)
		g.OK = stood >= f.After
		g.Detail = fmt.Sprintf("green has had all traffic for %v of %v", stood, f.After)
	}
	return g
}

// leftAtGreen tells whether green's own version answers everybody since the end
// of the shift.
func leftAtGreen(s cutover.State) bool {
	end := s.Last
	if s.Phase == cutover.RolledBack {
		end = s.Target // read back there; one that touched nothing began there
	}
	over := s.Phase == cutover.Completed || s.Phase == cutover.RolledBack
	return over && end.Base == cutover.Live && end.DNS == 100
}

// RetireAsk is what retire is asked to do.
type RetireAsk struct {
	Runner        infra.Runner
	ExternalQuiet bool
	DryRun        bool
}

// RetireReport is what retire did; its JSON is a contract.
type RetireReport struct {
	Outcome Outcome      `json:"outcome"` // completed | refused
	Gates   []Gate       `json:"gates"`
	Changes infra.Counts `json:"changes"`
	DryRun  bool         `json:"dry_run,omitempty"`
}

// retireTTL is how long resolvers may still answer with blue after its record
// has gone; twice, because some of them stretch it.
const retireTTL = 2 * aliasTTL

// Retire is the point of no return: it deletes blue's record and then blue's
// cell. Base is not touched. A run that ended in the middle is finished by the
// next one.
func (a *App) Retire(ctx context.Context, ask RetireAsk) (RetireReport, error) {
	report := RetireReport{DryRun: ask.DryRun}
	if _, err := a.Clients.Account(ctx, a.Config.TargetRegion); err != nil {
		return report, refused(err)
	}
	control := a.control()
	top, err := control.Topology(ctx)
	if err != nil {
		return report, a.notDeployed(err)
	}
	facts, err := a.retireFacts(ctx, control, top, ask)
	if err != nil {
		return report, refused(err)
	}
	report.Outcome, report.Gates = Declined, RetireGates(facts)
	if err := shut(report.Gates); err != nil {
		return report, err
	}
	if ask.DryRun {
		report.Outcome = Completed
		return report, nil
	}
	held, err := a.take(ctx, "retire")
	if err != nil {
		return report, refused(err)
	}
	defer a.release(ctx, held)
	// A rollback may have come and gone before the lease was this run's.
	if err := a.lookAtTraffic(ctx, control, top, &facts); err != nil {
		return report, refused(err)
	}
	report.Gates = RetireGates(facts)
	if err := shut(report.Gates); err != nil {
		return report, err
	}
	report.Outcome = Completed
	report.Changes, err = a.retire(ctx, top, ask.Runner, held)
	return report, err
}

// shut refuses for the first gate that is.
func shut(gates []Gate) error {
	for _, gate := range gates {
		if !gate.OK {
			return &Refused{Cause: fmt.Errorf("retire: %s: %s", gate.Name, gate.Detail), Next: gate.Next}
		}
	}
	return nil
}

func (a *App) retireFacts(ctx context.Context, control *awsapi.Control, top topology.Topology, ask RetireAsk) (RetireFacts, error) {
	now := a.Clock.Now()
	facts := RetireFacts{
		Now: now, External: top.External != "", ExternalQuiet: ask.ExternalQuiet,
		After: a.Config.Retire.After, Quiet: a.Config.Retire.Quiet, MaxRequests: a.Config.Retire.MaxRequests,
	}
	err := a.lookAtTraffic(ctx, control, top, &facts)
	if err != nil {
		return facts, err
	}
	if !facts.External && !top.Retired {
		if facts.Visitors, err = a.visitors(ctx, top, top.Source); err != nil {
			return facts, err
		}
	}
	facts.GreenHealthy, facts.GreenMinutes, err = a.Clients.Healthy(ctx, top.Target.HealthCheck, now.Add(-healthWindow), now)
	return facts, err
}

// lookAtTraffic is what of the facts another run may change.
func (a *App) lookAtTraffic(ctx context.Context, control *awsapi.Control, top topology.Topology, facts *RetireFacts) (err error) {
	if facts.Shift, facts.Found, err = control.Shift(ctx); err != nil {
		return err
	}
	if facts.Found && facts.Shift.Phase.Open() {
		return openShift("retire", facts.Shift)
	}
	facts.Live, err = awsapi.NewTraffic(a.Clients, top).Read(ctx)
	return err
}

// healthWindow is how long green must have been healthy without a break.
const healthWindow = 5 * time.Minute

// healthMinutes of it must have data: the newest are not there yet, and one
// good minute is no health.
const healthMinutes = 3

// visitors are the users' requests at a cell in the quiet window. Where nobody
// is seen, API Gateway's own count says whether the log would show them; of a
// cell that no deploy has finished the API is not known, and nobody asks.
func (a *App) visitors(ctx context.Context, top topology.Topology, cell topology.Cell) (awsapi.Visitors, error) {
	now, group := a.Clock.Now(), infra.AccessLog(a.Config)
	since := now.Add(-a.Config.Retire.Quiet)
	seen, err := a.Clients.Visitors(ctx, cell.Region, group, top.HealthPath, since, now)
	if err != nil || seen.Requests > a.Config.Retire.MaxRequests || cell.RestAPI == "" {
		return seen, err
	}
	return a.Clients.Logged(ctx, seen, cell, a.Config.Name("api"), group, since, now)
}

func deadLog(v awsapi.Visitors, quiet time.Duration) string {
	return fmt.Sprintf("the access log has %d line(s) of the %d request(s) that API Gateway counted in the last %v: whether they are users', nobody can tell",
		v.Lines, v.Counted, quiet)
}

func deadLogNext(quiet time.Duration, command string) string {
	return fmt.Sprintf("tapctl deploy --cell all, which puts the log right, and in %v: %s; where you know that nobody is there, retire.max_requests above that count", quiet, command)
}

func (a *App) retire(ctx context.Context, top topology.Topology, runner infra.Runner, held *awsapi.Held) (infra.Counts, error) {
	d := &deployment{App: a, ask: DeployAsk{Runner: runner}, retired: true}
	if err := d.preflight(ctx); err != nil {
		return d.counts, refused(err)
	}
	ctx, stop := d.hold(ctx, held)
	defer stop()
	// Written ahead, by whoever holds the lease alone: from here on no command
	// sends traffic to blue, whether this run gets to the end or not.
	top.Retired = true
	d.top = top
	err := d.store(ctx)
	if err == nil {
		err = d.removeBlue(ctx, top)
	}
	return d.counts, ended(ctx, err)
}

// removeBlue takes blue's record, its part of the edge and its cell away, in
// this order.
func (d *deployment) removeBlue(ctx context.Context, top topology.Topology) error {
	if err := d.deleteBlue(ctx, top); err != nil {
		return err
	}
	base, err := d.ask.Runner.Outputs(ctx, d.name("base"))
	if err != nil {
		return err
	}
	if _, err := d.edge(ctx, baseOf(base)); err != nil || top.External != "" {
		return err
	}
	return d.destroy(ctx, d.name("cell-"+top.Source.Region))
}

// deleteBlue takes blue's record out of the answers and waits until nobody is
// led there by an answer from before.
func (d *deployment) deleteBlue(ctx context.Context, top topology.Topology) error {
	if err := d.mine(ctx); err != nil {
		return err
	}
	traffic := awsapi.NewTraffic(d.Clients, top)
	change, err := traffic.Retire(ctx)
	if err != nil {
		return err
	}
	if change == "" {
		return nil // an earlier run has done this
	}
	d.say(cutover.EventWrite, "blue's record of %s is deleted, change %s; green has every answer", top.RecordName, change)
	if err := traffic.Synced(ctx, change, d.Config.Shift.SyncTimeout, d.Config.Shift.Poll, d.Clock.Sleep); err != nil {
		return errors.Join(err, errors.New("blue's cell is still there: run 'tapctl retire' again"))
	}
	d.say(cutover.EventWait, "in sync; waiting %v for resolvers to forget blue before its cell goes", retireTTL)
	return d.Clock.Sleep(ctx, retireTTL)
}

// destroy deletes one stack.
func (d *deployment) destroy(ctx context.Context, stack string) error {
	_, err := d.stack(ctx, stack+" (destroy)", func() (infra.Result, error) {
		counts, err := d.ask.Runner.Destroy(ctx, stack)
		return infra.Result{Counts: counts}, err
	})
	return err
}
