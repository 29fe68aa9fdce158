package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// CheckResult is how a check ended.
type CheckResult string

// The results. A skipped check says why and is no failure.
const (
	CheckOK   CheckResult = "ok"
	CheckFail CheckResult = "fail"
	CheckSkip CheckResult = "skip"
)

// Check is one line of the tree.
type Check struct {
	Name   string      `json:"name"`
	Result CheckResult `json:"result"`
	Detail string      `json:"detail"`
	Next   string      `json:"next,omitempty"` // of a failure: the command that helps
}

// CheckGroup is the lines about one thing.
type CheckGroup struct {
	Name   string  `json:"name"`
	Checks []Check `json:"checks"`
}

// VerifyReport is the tree; its JSON is a contract.
type VerifyReport struct {
	OK     bool         `json:"ok"` // no check failed
	Groups []CheckGroup `json:"groups"`
}

// Failed counts the checks that failed.
func (r VerifyReport) Failed() int {
	n := 0
	for _, group := range r.Groups {
		for _, check := range group.Checks {
			if check.Result == CheckFail {
				n++
			}
		}
	}
	return n
}

// VerifyAsk is what verify is asked to do.
type VerifyAsk struct {
	Runner       infra.Runner
	API, Forward infra.Artifact
	// Fast leaves Pulumi's preview out, NoSentinel everything that is written.
	Fast, NoSentinel bool
}

// The bounds, real time: of one question, so that a region that does not
// answer costs its own lines seconds, and of a whole group.
const (
	questionPatience = 10 * time.Second
	groupPatience    = time.Minute
	slowPatience     = 10 * time.Minute // replication, Pulumi
)

// verification is one verify under way. Its groups only read it.
type verification struct {
	*App
	ask     VerifyAsk
	top     topology.Topology
	account string
	journal recorded
}

// group is one branch of the tree.
type group struct {
	name     string
	patience time.Duration
	look     func(context.Context) []Check
}

func (v *verification) groups() []group {
	return []group{
		{"credentials", groupPatience, v.credentials},
		{"dns", groupPatience, v.dns},
		{"health checks", groupPatience, v.healthChecks},
		{"data path", groupPatience, v.dataPath},
		{"api gateway", groupPatience, v.apiGateway},
		{"lambda", groupPatience, v.lambda},
		{"dynamodb", slowPatience, v.dynamodb},
		{"s3", slowPatience, v.s3},
		{"alarms", groupPatience, v.alarms},
		{"infrastructure", slowPatience, v.infrastructure},
	}
}

// Verify looks at everything a shift depends on. Neither
// infrastructure nor traffic is changed; an item of the control table and an
// object of each bucket are written, seen replicated and deleted. Its error is
// of what keeps it from looking at all, its report of what it saw.
func (a *App) Verify(ctx context.Context, ask VerifyAsk) (VerifyReport, error) {
	v := &verification{App: a, ask: ask}
	var err error
	if v.account, err = a.identity(ctx); err != nil {
		return v.unidentified(err), nil
	}
	if v.top, err = a.findTopology(ctx); err != nil {
		return VerifyReport{}, a.notDeployed(err)
	}
	look, cancel := a.briefly(ctx)
	shift, found, err := a.control().Shift(look)
	cancel()
	v.journal = recordOf(shift, found, err)
	groups := v.groups()
	report := VerifyReport{Groups: make([]CheckGroup, len(groups))}
	var wait sync.WaitGroup
	for i, g := range groups {
		wait.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, g.patience)
			defer cancel()
			report.Groups[i] = CheckGroup{g.name, g.look(bounded)}
			a.tell(report.Groups[i])
		})
	}
	wait.Wait()
	report.OK = report.Failed() == 0
	return report, ctx.Err()
}

// tell says how a group ended, as it ends.
func (a *App) tell(g CheckGroup) {
	counts := map[CheckResult]int{}
	for _, check := range g.Checks {
		counts[check.Result]++
	}
	a.say(cutover.EventVerdict, "%s: %d OK, %d failed, %d skipped", g.Name, counts[CheckOK], counts[CheckFail], counts[CheckSkip])
}

// identity asks both regions who the caller is: one of them is enough.
func (a *App) identity(ctx context.Context) (string, error) {
	asked := make(chan read[string], 2)
	for _, region := range []string{a.Config.TargetRegion, a.Config.SourceRegion} {
		go func() {
			account, err := a.Clients.Account(ctx, region)
			asked <- read[string]{account, err}
		}()
	}
	first := <-asked
	if first.err == nil {
		return first.value, nil
	}
	second := <-asked
	return second.value, second.err
}

// unidentified is the tree where nobody knows who asks.
func (v *verification) unidentified(err error) VerifyReport {
	report := VerifyReport{}
	for _, g := range v.groups() {
		checks := []Check{skipped("all", "AWS does not know the caller")}
		if g.name == "credentials" {
			checks = []Check{unread("caller identity", err)}
		}
		report.Groups = append(report.Groups, CheckGroup{g.name, checks})
	}
	return report
}

// read is what one question was answered with.
type read[T any] struct {
	value T
	err   error
}

// ask puts one question beside others, within its own bound.
func ask[T any](ctx context.Context, wait *sync.WaitGroup, into *read[T], question func(context.Context) (T, error)) {
	wait.Go(func() {
		call, cancel := context.WithTimeout(ctx, questionPatience)
		defer cancel()
		into.value, into.err = question(call)
	})
}

func passed(name, format string, args ...any) Check {
	return Check{Name: name, Result: CheckOK, Detail: fmt.Sprintf(format, args...)}
}

func failed(name, next, format string, args ...any) Check {
	return Check{Name: name, Result: CheckFail, Detail: fmt.Sprintf(format, args...), Next: next}
}

func skipped(name, reason string) Check {
	return Check{Name: name, Result: CheckSkip, Detail: reason}
}

// unread is a check whose question was not answered.
func unread(name string, err error) Check {
	next := (&Refused{Cause: err}).Hint()
	if next == "" {
		next = "tapctl verify, once AWS answers"
	}
	return failed(name, next, "%s", strings.ReplaceAll(err.Error(), "\n", " "))
}

// judged passes where there is no problem.
func judged(name, next, detail string, problems []string) Check {
	if len(problems) > 0 {
		return failed(name, next, "%s", strings.Join(problems, "; "))
	}
	return passed(name, "%s", detail)
}

// side is one colour's cell.
type side struct {
	topology.Cell
	colour topology.Side
	absent string // why there is nothing to look at, "" where there is
}

// sides are blue and green, in this order.
func (v *verification) sides() [2]side {
	blue := side{Cell: v.top.Source, colour: topology.Blue}
	switch {
	case v.top.Retired:
		blue.absent = "blue is retired"
	case v.top.External != "":
		blue.absent = "blue is not tapctl's: " + v.top.External
	}
	return [2]side{blue, {Cell: v.top.Target, colour: topology.Green}}
}

// recorded is where the journal says that the dials stand.
type recorded struct {
	setting cutover.Setting
	found   bool
	open    string // why it cannot be compared, "" where it can
	err     error
}

func recordOf(s cutover.State, found bool, err error) recorded {
	r := recorded{setting: s.Last, found: found, err: err}
	switch {
	case err != nil:
	case !found:
		r.setting = cutover.Setting{Dials: cutover.Dials{Canary: infra.InitialCanary}, Base: cutover.Forwarder}
	case s.Phase == cutover.Uncertain:
		r.err = &Refused{Cause: fmt.Errorf("shift %s ended uncertain", s.ID), Next: "tapctl rollback"}
	case s.Phase.Open():
		r.open = fmt.Sprintf("shift %s is open (%s)", s.ID, s.Phase)
	}
	return r
}

// compare judges what is live by the journal; same is whether they agree.
func (r recorded) compare(name string, same bool, live, want string) Check {
	switch {
	case r.err != nil:
		return unread(name, r.err)
	case r.open != "":
		return skipped(name, r.open)
	case !same:
		return failed(name, "find out who turned it, then: tapctl rollback", "%s, recorded is %s", live, want)
	case !r.found:
		return passed(name, "%s; no shift yet", live)
	default:
		return passed(name, "%s, as the journal has it", live)
	}
}

// credentials: who asks, of which account, for how long.
func (v *verification) credentials(ctx context.Context) []Check {
	f := credentialFacts{account: v.account, want: v.top.Account, now: v.Clock.Now(), ends: v.Clients.CredentialsEnd(ctx)}
	if !f.ends.IsZero() {
		f.need.value, f.need.err = v.need(ctx)
	}
	return f.checks()
}

// need is how long a shift from here and its rollback take.
func (v *verification) need(ctx context.Context) (time.Duration, error) {
	rollback := v.Config.Shift.SyncTimeout + aliasTTL + linger
	live, err := awsapi.NewTraffic(v.Clients, v.top).Read(ctx)
	if err != nil {
		return 0, err
	}
	plan, _, err := v.strategy(ctx, v.top, live, ShiftAsk{Ask: AskOf(v.Config.Shift)})
	if errors.Is(err, cutover.ErrNothingToDo) {
		return rollback, nil
	}
	if err != nil {
		return 0, err
	}
	return time.Duration(report(live, plan).LikelyS*float64(time.Second)) + rollback, nil
}

type credentialFacts struct {
	account, want string
	now, ends     time.Time           // ends is zero where they do not, or the SDK renews them
	need          read[time.Duration] // of a shift and its rollback
}

func (f credentialFacts) checks() []Check {
	const account, lifetime = "account", "lifetime"
	checks := []Check{passed("caller identity", "account %s", f.account)}
	if f.account == f.want {
		checks = append(checks, passed(account, "the one that was deployed to"))
	} else {
		checks = append(checks, failed(account, "use credentials of account "+f.want+", then: tapctl verify", "these are of %s, deployed was to %s", f.account, f.want))
	}
	left := f.ends.Sub(f.now).Round(time.Second)
	switch {
	case f.ends.IsZero():
		return append(checks, passed(lifetime, "no end is known, or the SDK renews them"))
	case f.need.err != nil:
		return append(checks, skipped(lifetime, "how long a shift takes is not known: "+f.need.err.Error()))
	case left < f.need.value:
		return append(checks, failed(lifetime, "renew the credentials, or take smaller waits: tapctl plan shows them", "%v left, a shift and its rollback take %v", left, f.need.value))
	default:
		return append(checks, passed(lifetime, "%v left, a shift and its rollback take %v", left, f.need.value))
	}
}
