package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
)

// alarms: what a shift is judged by.
func (v *verification) alarms(ctx context.Context) []Check {
	now := v.Clock.Now()
	f := alarmFacts{refs: alarmRefs(v.top), now: now, definitions: map[string]*read[map[string]awsapi.AlarmDefinition]{}, points: map[string]*read[map[string]int]{}}
	var wait sync.WaitGroup
	ask(ctx, &wait, &f.stage, func(ctx context.Context) (awsapi.StageSettings, error) {
		return v.Clients.StageSettings(ctx, v.top.Target.Region, v.top.Target.RestAPI, v.top.Target.Stage)
	})
	f.states = map[string]*read[[]health.AlarmState]{}
	f.blue, f.controls = v.sides()[0], v.top.Controls
	if len(f.controls) > 0 {
		ask(ctx, &wait, &f.compared, func(ctx context.Context) (map[string]awsapi.AlarmDefinition, error) {
			return v.Clients.AlarmDefinitions(ctx, f.blue.Region, f.controls)
		})
	}
	for region, refs := range f.byRegion() {
		f.states[region], f.definitions[region], f.points[region] = &read[[]health.AlarmState]{}, &read[map[string]awsapi.AlarmDefinition]{}, &read[map[string]int]{}
		ask(ctx, &wait, f.states[region], func(ctx context.Context) ([]health.AlarmState, error) {
			return awsapi.Alarms{Clients: v.Clients}.ReadAlarms(ctx, refs, now)
		})
		ask(ctx, &wait, f.definitions[region], func(ctx context.Context) (map[string]awsapi.AlarmDefinition, error) {
			return v.Clients.AlarmDefinitions(ctx, region, namesOf(refs))
		})
	}
	wait.Wait()
	for region, definitions := range f.definitions {
		if definitions.err == nil {
			ask(ctx, &wait, f.points[region], func(ctx context.Context) (map[string]int, error) {
				return v.Clients.Datapoints(ctx, region, definitions.value, now.Add(-dataWindow), now)
			})
		}
	}
	wait.Wait()
	return f.checks()
}

// dataWindow is how far back an alarm's metric is looked for.
const dataWindow = 10 * time.Minute

func namesOf(refs []health.AlarmRef) []string {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = ref.Name
	}
	return names
}

// alarmFacts are by region, so that one that does not answer costs its own
// alarms only.
type alarmFacts struct {
	refs        []health.AlarmRef
	now         time.Time
	states      map[string]*read[[]health.AlarmState]
	definitions map[string]*read[map[string]awsapi.AlarmDefinition]
	points      map[string]*read[map[string]int] // minutes with data, by alarm
	stage       read[awsapi.StageSettings]       // green's: who is called at all
	blue        side
	controls    []string // the names of blue's alarms
	compared    read[map[string]awsapi.AlarmDefinition]
}

func (f alarmFacts) byRegion() map[string][]health.AlarmRef {
	by := map[string][]health.AlarmRef{}
	for _, ref := range f.refs {
		by[ref.Region] = append(by[ref.Region], ref)
	}
	return by
}

func (f alarmFacts) checks() []Check {
	if len(f.refs) == 0 {
		return []Check{failed("alarms", deployNext, "the topology names none: a shift would have nothing to be judged by")}
	}
	var checks []Check
	for _, ref := range f.refs {
		checks = append(checks, f.alarm(ref))
	}
	return append(checks, f.control("blue's alarms, to compare with"))
}

// control: a red alarm of green's is a shared incident where blue's is red as
// well, and green's own failure where there is none. What state they are in
// matters then, not now.
func (f alarmFacts) control(name string) Check {
	switch {
	case f.blue.absent != "":
		return skipped(name, f.blue.absent)
	case len(f.controls) == 0:
		return skipped(name, "deployed before their names were kept: tapctl deploy")
	case f.compared.err != nil:
		return unread(name, f.compared.err)
	}
	var problems []string
	for _, alarm := range f.controls {
		if _, there := f.compared.value[alarm]; !there {
			problems = append(problems, "there is no "+alarm+" in "+f.blue.Region)
		}
	}
	return judged(name, "tapctl deploy --cell source", fmt.Sprintf("%d in %s", len(f.controls), f.blue.Region), problems)
}

func (f alarmFacts) alarm(ref health.AlarmRef) Check {
	name := fmt.Sprintf("%s in %s", ref.Name, ref.Region)
	states, definitions, points := f.states[ref.Region], f.definitions[ref.Region], f.points[ref.Region]
	if err := errors.Join(states.err, definitions.err, points.err); err != nil {
		return unread(name, err)
	}
	finding := health.Alarms([]health.AlarmRef{ref}, states.value, f.now, nil)[0]
	d := definitions.value[ref.Name]
	watches := fmt.Sprintf("%s %s, threshold %v", d.Statistic, d.Metric, d.Threshold)
	if d.Metric == "" {
		watches = fmt.Sprintf("an expression, threshold %v", d.Threshold)
	}
	switch {
	case finding.Verdict == health.Unhealthy:
		return failed(name, "tapctl status, or tapctl deploy where it does not exist", "%s", finding.Detail)
	case finding.Verdict != health.Healthy:
		return failed(name, "tapctl verify, in a minute", "%s", finding.Detail)
	case ref.Sparse:
		return passed(name, "%s; %s; it has no data while all is well", finding.Detail, watches)
	case points.value[ref.Name] > 0:
		return passed(name, "%s; %s; data in %d minute(s) of the last %v", finding.Detail, watches, points.value[ref.Name], dataWindow)
	case f.called(d):
		return failed(name, "tapctl verify, in a minute; or tapctl deploy", "%s, but its metric has no data in the last %v, and there are requests: it watches nothing", finding.Detail, dataWindow)
	default:
		return passed(name, "%s; %s; no data: who it watches is not called, or seldom", finding.Detail, watches)
	}
}

// called tells whether there must be data: health checkers call the stage at
// all times, and its base side with it, but for what a canary takes.
func (f alarmFacts) called(d awsapi.AlarmDefinition) bool {
	base := f.stage.err == nil && d.Dimensions["Resource"] == f.stage.value.Fn && f.stage.value.Percent < 100
	return d.Namespace == "AWS/ApiGateway" || base
}

// infrastructure: who else is at work, and what a deploy would touch.
func (v *verification) infrastructure(ctx context.Context) []Check {
	var f infraFacts
	var wait sync.WaitGroup
	f.now, f.fast = v.Clock.Now(), v.ask.Fast
	ask(ctx, &wait, &f.lease, v.control().Lease)
	wait.Go(func() { f.locks.value, f.locks.err = v.locks(ctx) })
	wait.Wait()
	if !f.fast && f.locks.err == nil && len(f.locks.value) == 0 {
		f.planned.value, f.planned.err = v.planned(ctx)
	}
	return f.checks()
}

// locks are those of every stack of the environment.
func (v *verification) locks(ctx context.Context) ([]string, error) {
	d := &deployment{App: v.App}
	var held []string
	for _, stack := range d.doomed(true) {
		found, err := v.ask.Runner.InFlight(ctx, stack, func(ctx context.Context, region, bucket, prefix string) ([]string, error) {
			if region == "" {
				region = v.Config.TargetRegion
			}
			objects, err := v.Clients.Objects(ctx, region, bucket, prefix)
			var keys []string
			for key := range objects {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			return keys, err
		})
		if err != nil {
			return nil, err
		}
		for _, lock := range found {
			held = append(held, stack+" ("+lock+")")
		}
	}
	return held, nil
}

// planned is what a deploy of every cell would do.
func (v *verification) planned(ctx context.Context) ([]infra.Change, error) {
	d := &deployment{App: v.App, retired: v.top.Retired, ask: DeployAsk{Runner: v.ask.Runner, API: v.ask.API, Forward: v.ask.Forward, Cells: "all"}}
	if err := d.preflight(ctx); err != nil {
		return nil, err
	}
	err := d.preview(ctx)
	return d.planned, err
}

type infraFacts struct {
	now     time.Time
	fast    bool
	lease   read[cutover.Lease]
	locks   read[[]string]
	planned read[[]infra.Change]
}

// switches are the resources that lead users: no deploy may touch them while
// a shift is near.
var switches = []string{"aws:route53/record:Record", "aws:apigateway/stage:Stage"}

func (f infraFacts) checks() []Check {
	return []Check{f.free("lease"), f.unlocked("no update in flight"), f.untouched("preview touches no record and no stage")}
}

func (f infraFacts) free(name string) Check {
	switch l := f.lease.value; {
	case f.lease.err != nil:
		return unread(name, f.lease.err)
	case l.HeldBy("", f.now):
		return failed(name, "wait for that run, or tapctl rollback", "%s holds it for a %s until %s %s", l.Owner, l.Purpose, l.Expires.Format(time.RFC3339), l.RunURL)
	default:
		return passed(name, "free, the next token is %d", l.Token+1)
	}
}

func (f infraFacts) unlocked(name string) Check {
	switch {
	case f.locks.err != nil:
		return unread(name, f.locks.err)
	case len(f.locks.value) > 0:
		return failed(name, "wait for that run, or if it is dead: pulumi cancel", "locked: %s", strings.Join(f.locks.value, ", "))
	default:
		return passed(name, "no stack is locked")
	}
}

func (f infraFacts) untouched(name string) Check {
	switch {
	case f.fast:
		return skipped(name, "--fast")
	case f.locks.err != nil || len(f.locks.value) > 0:
		return skipped(name, "Pulumi's state is another run's, or was not read")
	case f.planned.err != nil:
		return unread(name, f.planned.err)
	}
	var problems []string
	for _, change := range f.planned.value {
		if slices.Contains(switches, change.Type) {
			problems = append(problems, fmt.Sprintf("%s %s %s", change.Op, change.Type, change.Name))
		}
	}
	return judged(name, previewNext, fmt.Sprintf("%d other change(s) pending", len(f.planned.value)), problems)
}
