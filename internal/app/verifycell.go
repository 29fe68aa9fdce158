package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// apiGateway: the stages and where they log.
func (v *verification) apiGateway(ctx context.Context) []Check {
	f := stageFacts{sides: v.sides(), journal: v.journal, format: topology.AccessLogFormat}
	var wait sync.WaitGroup
	for i, s := range f.sides {
		if s.absent != "" {
			continue
		}
		ask(ctx, &wait, &f.stages[i], func(ctx context.Context) (awsapi.StageSettings, error) {
			return v.Clients.StageSettings(ctx, s.Region, s.RestAPI, s.Stage)
		})
		for j, group := range logGroups(s) {
			ask(ctx, &wait, &f.retention[i][j], func(ctx context.Context) (retention, error) {
				days, found, err := v.Clients.LogRetention(ctx, s.Region, group)
				return retention{days, found}, err
			})
		}
	}
	wait.Wait()
	return f.checks()
}

// logGroups of a cell's requests: those of the base side, and the canary's.
func logGroups(s side) [2]string { return [2]string{s.AccessLog, topology.CanaryLog(s.AccessLog)} }

// retention of one log group.
type retention struct {
	days  int
	found bool
}

type stageFacts struct {
	sides     [2]side
	stages    [2]read[awsapi.StageSettings]
	retention [2][2]read[retention]
	journal   recorded
	format    string
}

func (f stageFacts) checks() []Check {
	var checks []Check
	for i, s := range f.sides {
		stage := f.stages[i]
		names := []string{"stage in " + s.Region, "base side in " + s.Region, "canary in " + s.Region, "candidate in " + s.Region, "access log in " + s.Region}
		if s.colour == topology.Blue {
			names = append(names[:3], names[4]) // it has no candidate
		}
		switch {
		case s.absent != "":
			checks = append(checks, allSkipped(names, s.absent)...)
		case stage.err != nil:
			checks = append(append(checks, unread(names[0], stage.err)), allSkipped(names[1:], "the stage was not read")...)
		default:
			checks = append(checks, passed(names[0], "%s of %s, deployment %s", s.Stage, s.RestAPI, stage.value.Deployment))
			if s.colour == topology.Blue {
				checks = append(checks, f.blueBase(names[1], s, stage.value), f.noCanary(names[2], stage.value))
			} else {
				checks = append(checks, f.greenBase(names[1], s, stage.value), f.canary(names[2], stage.value), f.candidate(names[3], s, stage.value))
			}
			checks = append(checks, f.accessLog(names[len(names)-1], s, stage.value))
		}
		checks = append(checks, f.groups("log groups in "+s.Region, s, f.retention[i]))
	}
	return checks
}

func allSkipped(names []string, why string) []Check {
	checks := make([]Check, len(names))
	for i, name := range names {
		checks[i] = skipped(name, why)
	}
	return checks
}

func (f stageFacts) blueBase(name string, s side, stage awsapi.StageSettings) Check {
	if stage.Fn != s.FnLive() {
		return failed(name, previewNext, "fn is %q, blue is answered by %q", stage.Fn, s.FnLive())
	}
	return passed(name, "%s", stage.Fn)
}

func (f stageFacts) noCanary(name string, stage awsapi.StageSettings) Check {
	if stage.HasCanary {
		return failed(name, "remove it, then: tapctl verify", "a canary takes %v%% of blue's requests: tapctl made none", stage.Percent)
	}
	return passed(name, "none")
}

func (f stageFacts) greenBase(name string, s side, stage awsapi.StageSettings) Check {
	base := map[string]cutover.Base{s.FnForwarder(): cutover.Forwarder, s.FnLive(): cutover.Live}[stage.Fn]
	if base == "" {
		return failed(name, "tapctl rollback", "fn is %q, which tapctl did not set", stage.Fn)
	}
	return f.journal.compare(name, base == f.journal.setting.Base, string(base), string(f.journal.setting.Base))
}

// canary: a promoted stage has none until the next deploy makes one of 0.
func (f stageFacts) canary(name string, stage awsapi.StageSettings) Check {
	want := f.journal.setting.Canary
	return f.journal.compare(name, cutover.Percent(stage.Percent) == want, fmt.Sprintf("%v%%", stage.Percent), fmt.Sprintf("%v%%", want))
}

func (f stageFacts) candidate(name string, s side, stage awsapi.StageSettings) Check {
	switch {
	case !stage.HasCanary && stage.Fn == s.FnLive():
		return passed(name, "promoted")
	case !stage.HasCanary:
		return failed(name, deployNext, "the stage has no canary: no user can reach the candidate")
	case stage.CanaryFn == s.FnNext():
		return passed(name, "%s by the canary", stage.CanaryFn)
	default:
		return failed(name, previewNext, "the canary answers with %q, the candidate is %q", stage.CanaryFn, s.FnNext())
	}
}

func (f stageFacts) accessLog(name string, s side, stage awsapi.StageSettings) Check {
	switch {
	case s.AccessLog == "":
		return skipped(name, "deployed before its log was kept: tapctl deploy")
	case stage.AccessLog != s.AccessLog:
		return failed(name, previewNext, "requests are logged to %q, not to %q", stage.AccessLog, s.AccessLog)
	case stage.AccessFormat != f.format:
		return failed(name, previewNext, "its format is not the one that shift can read")
	default:
		return passed(name, "%s", stage.AccessLog)
	}
}

// groups: API Gateway would make the canary's group by itself, for ever.
func (f stageFacts) groups(name string, s side, seen [2]read[retention]) Check {
	switch {
	case s.absent != "":
		return skipped(name, s.absent)
	case s.AccessLog == "":
		return skipped(name, "deployed before its log was kept: tapctl deploy")
	}
	var problems []string
	for i, group := range logGroups(s) {
		switch one := seen[i]; {
		case one.err != nil:
			return unread(name, one.err)
		case !one.value.found:
			problems = append(problems, group+" does not exist")
		case one.value.days == 0:
			problems = append(problems, group+" keeps its events for ever")
		}
	}
	return judged(name, deployNext, fmt.Sprintf("requests and canary requests, kept for %d day(s)", seen[0].value.days), problems)
}

// lambda: the functions, who may invoke them, and whether there is room.
func (v *verification) lambda(ctx context.Context) []Check {
	f := functionFacts{sides: v.sides()}
	var wait sync.WaitGroup
	now := v.Clock.Now()
	for i, s := range f.sides {
		if s.absent != "" {
			continue
		}
		f.states[i], f.invokable[i] = make([]read[awsapi.AliasState], len(aliasesOf(s))), make([]read[bool], len(aliasesOf(s)))
		for j, a := range aliasesOf(s) {
			ask(ctx, &wait, &f.states[i][j], func(ctx context.Context) (awsapi.AliasState, error) {
				return v.Clients.AliasState(ctx, s.Region, a.function, a.alias)
			})
			ask(ctx, &wait, &f.invokable[i][j], func(ctx context.Context) (bool, error) {
				return v.Clients.Invokable(ctx, s.Region, a.function, a.alias, s.RestAPI, s.Stage)
			})
		}
		ask(ctx, &wait, &f.capacity[i], func(ctx context.Context) (awsapi.Capacity, error) {
			return v.Clients.Capacity(ctx, s.Region, s.APIFunction, now.Add(-peakWindow), now)
		})
	}
	wait.Wait()
	return f.checks()
}

// peakWindow is how far back the most requests at a time are looked for.
const peakWindow = 24 * time.Hour

// alias is one that the stage variable fn can name.
type alias struct{ function, alias string }

func (a alias) String() string { return a.function + ":" + a.alias }

func aliasesOf(s side) []alias {
	all := []alias{{s.APIFunction, "live"}, {s.APIFunction, "next"}}
	if s.Forwarder != "" {
		all = append(all, alias{s.Forwarder, "live"})
	}
	return all
}

type functionFacts struct {
	sides     [2]side
	states    [2][]read[awsapi.AliasState]
	invokable [2][]read[bool]
	capacity  [2]read[awsapi.Capacity]
}

func (f functionFacts) checks() []Check {
	var checks []Check
	for i, s := range f.sides {
		for j, a := range aliasesOf(s) {
			state, invoke := fmt.Sprintf("%s in %s", a, s.Region), fmt.Sprintf("stage may invoke %s in %s", a, s.Region)
			if s.absent != "" {
				checks = append(checks, skipped(state, s.absent), skipped(invoke, s.absent))
				continue
			}
			checks = append(checks, aliasWell(state, f.states[i][j]), mayInvoke(invoke, f.invokable[i][j]))
		}
		checks = append(checks, f.room("concurrency in "+s.Region, i))
	}
	return checks
}

func aliasWell(name string, state read[awsapi.AliasState]) Check {
	if state.err != nil {
		return unread(name, state.err)
	}
	var problems []string
	s := state.value
	if s.Routed {
		problems = append(problems, "it sends some requests to another version")
	}
	if s.State != "Active" || s.Update != "Successful" {
		problems = append(problems, fmt.Sprintf("version %s is %s, its update %s: %s", s.Version, s.State, s.Update, s.Reason))
	}
	return judged(name, deployNext, fmt.Sprintf("version %s, %s", s.Version, s.State), problems)
}

func mayInvoke(name string, allowed read[bool]) Check {
	switch {
	case allowed.err != nil:
		return unread(name, allowed.err)
	case !allowed.value:
		return failed(name, deployNext, "its policy does not allow it: every request would answer 500")
	default:
		return passed(name, "by its own policy")
	}
}

// room: either region may have to answer everybody, so it needs room for what
// both had at a time.
func (f functionFacts) room(name string, i int) Check {
	if f.sides[i].absent != "" {
		return skipped(name, f.sides[i].absent)
	}
	if err := f.capacity[i].err; err != nil {
		return unread(name, err)
	}
	peak := f.capacity[0].value.Peak + f.capacity[1].value.Peak
	c := f.capacity[i].value
	room, whose := c.Free, fmt.Sprintf("of the account's %d, unreserved", c.Limit)
	if c.Reserved != nil {
		room, whose = *c.Reserved, "reserved for "+f.sides[i].APIFunction
	}
	if room < max(peak, 1) {
		return failed(name, "raise it, then: tapctl verify", "%d at a time %s; both regions together had %d within %v", room, whose, peak, peakWindow)
	}
	return passed(name, "%d at a time %s; both regions together had %d within %v", room, whose, peak, peakWindow)
}
