package app

import (
	"context"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// AlarmsAtStart is alarmsAtStart.
func (a *App) AlarmsAtStart(ctx context.Context, top topology.Topology, state cutover.State) ([]string, error) {
	return a.alarmsAtStart(ctx, top, state)
}

// Receipt is receipt.
func (a *App) Receipt(ctx context.Context, top topology.Topology, end cutover.State) *Receipt {
	return a.receipt(ctx, awsapi.NewTraffic(a.Clients, top), end)
}

// Target is target.
func (a *App) Target(ctx context.Context, top topology.Topology, live cutover.Setting, readErr error, ask RollbackAsk) (cutover.Setting, error) {
	v := view{live: live, readErr: readErr}
	if ask.journal() {
		v.record(ctx, a)
	}
	return a.target(top, v, ask)
}

// KeepShift is keepShift.
func (a *App) KeepShift(top topology.Topology, s cutover.State) { a.keepShift(top, s) }

// FindTopology is findTopology.
func (a *App) FindTopology(ctx context.Context) (topology.Topology, error) {
	return a.findTopology(ctx)
}

// StepsOf is what a stepLog makes of the events of a run that began at s.
func StepsOf(s cutover.State, events ...cutover.Event) []StepReport {
	log := newStepLog(s)
	for _, e := range events {
		log.note(e)
	}
	return log.steps
}

// Wanted tells whether a deploy that was asked for these cells updates the
// side's.
func Wanted(cells string, side topology.Side, exists bool) bool {
	return (&deployment{ask: DeployAsk{Cells: cells}}).wanted(side, exists)
}

// SmokeOnce is smokeOnce of a deploy of this version.
func SmokeOnce(ctx context.Context, version string, get func(context.Context) (health.Answer, error), canary, base bool) error {
	d := &deployment{ask: DeployAsk{API: infra.Artifact{Version: version}}}
	return d.smokeOnce(ctx, get, canary, base)
}

// SmokeUntil is smokeUntil of a deploy of this version, of a side whose base serves.
func SmokeUntil(ctx context.Context, clock clock.Clock, version string, get func(context.Context) (health.Answer, error)) error {
	d := &deployment{App: &App{Clock: clock}, ask: DeployAsk{API: infra.Artifact{Version: version}}}
	return d.smokeUntil(ctx, get, false, true)
}

// Refuse is refused.
func Refuse(err error) error { return refused(err) }

// ReadData is what the data's gate says after one reading.
func (a *App) ReadData(ctx context.Context, top topology.Topology) health.Finding {
	g := &dataGate{app: a, top: top, maxLag: a.Config.Shift.MaxReplicationLag}
	read, err := g.read(ctx)
	if g.last = read; err != nil {
		g.last = health.Data{Err: err.Error()}
	}
	return g.Look(ctx, a.Clock.Now(), health.Sides{})
}

// Latency is latency.
func (a *App) Latency(poll time.Duration, rate float64) time.Duration { return a.latency(poll, rate) }

// GiveBack is giveBack of what a destroy finds.
func (a *App) GiveBack(ctx context.Context) error {
	top, _, err := a.doomedTopology(ctx)
	if err != nil {
		return err
	}
	return a.giveBack(ctx, top)
}

// Hold is hold of a deploy, and a stack operation of it: whether that began.
func (a *App) Hold(ctx context.Context, held *awsapi.Held) (running context.Context, stack func() (began bool, err error), stop func()) {
	d := &deployment{App: a}
	running, stop = d.hold(ctx, held)
	return running, func() (began bool, err error) {
		_, err = d.stack(ctx, "edge", func() (infra.Result, error) { began = true; return infra.Result{}, nil })
		return began, err
	}, stop
}

// Store is store of what a run that holds the lease built.
func (a *App) Store(ctx context.Context, held *awsapi.Held, top topology.Topology) error {
	return (&deployment{App: a, held: held, top: top}).store(ctx)
}

// Take is take.
func (a *App) Take(ctx context.Context, purpose string) (*awsapi.Held, error) {
	return a.take(ctx, purpose)
}

// Ended is ended.
func Ended(ctx context.Context, err error) error { return ended(ctx, err) }

// UnfitRecords is unfitRecords.
func UnfitRecords(found awsapi.Records, types []string, external config.External) error {
	return unfitRecords("api.example.com", found, types, external)
}

// Guard is guard of a deploy.
func (a *App) Guard(ctx context.Context) error {
	_, err := (&deployment{App: a}).guard(ctx)
	return err
}

// Look is guard of a deploy's dry run.
func (a *App) Look(ctx context.Context) (held *awsapi.Held, err error) {
	return (&deployment{App: a, ask: DeployAsk{DryRun: true}}).guard(ctx)
}

// DryRun is dryRun.
var DryRun = dryRun

// NextOf is nextOf.
var NextOf = nextOf

// Prepare is prepare.
func (a *App) Prepare(ctx context.Context, top topology.Topology, ask ShiftAsk) (cutover.State, error) {
	s, _, err := a.prepare(ctx, a.control(), awsapi.NewTraffic(a.Clients, top), ask)
	return s, err
}

// Strategy is the plan of strategy for the whole way.
func (a *App) Strategy(ctx context.Context, top topology.Topology, live cutover.Setting) (cutover.Plan, error) {
	plan, _, err := a.strategy(ctx, top, live, ShiftAsk{Ask: cutover.Ask{Step: cutover.Percent(a.Config.Shift.Step), To: cutover.Percent(a.Config.Shift.To), Via: cutover.ViaBoth}})
	return plan, err
}

// FilePlan is filePlan of the file, within the configuration's limits.
func (a *App) FilePlan(path string, live cutover.Setting) (cutover.Plan, error) {
	a.Config.Shift.Plan = path
	plan, _, err := a.strategy(context.Background(), topology.Topology{}, live, ShiftAsk{Ask: cutover.Ask{MaxExposure: cutover.Percent(a.Config.Shift.MaxExposure)}})
	return plan, err
}

// InTime is inTime.
func (a *App) InTime(ctx context.Context, s cutover.State) error { return a.inTime(ctx, s) }

// Ticks is ticks.
var Ticks = ticks

// Preflight is preflight of a shift that has touched nothing.
func (a *App) Preflight(ctx context.Context, top topology.Topology, plan cutover.Plan) error {
	return a.preflight(ctx, top, cutover.State{Plan: plan})
}
