// Package app is the use-cases, a file for each: deploy, shift, rollback, retire.
// Plain functions over the adapters; no flags and no printing.
package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/ramp"
	"github.com/tapctl/tapctl/internal/topology"
)

// App is one run of tapctl against one environment.
type App struct {
	Config  config.Config
	Clients *awsapi.Clients
	Clock   clock.Clock
	Emit    func(cutover.Event)
	// Owner names this run to others, RunURL the CI job it runs in.
	Owner, RunURL string
	// Started is when this process began, by Clock.
	Started time.Time
	// StateDir holds the local copy of the topology.
	StateDir string
	// Stop is closed when a signal asks for the end.
	Stop <-chan struct{}
	// Patience bounds the questions that a rollback asks before it goes back, all
	// of them together, real time; 0 is 5 s.
	Patience time.Duration

	shift string // the id of what this run drives, "" before it is known
}

// Refused means that a check failed before anything was changed.
type Refused struct {
	Cause error
	Next  string // the command that helps; "" takes the cause's own
}

// Error implements error.
func (e *Refused) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *Refused) Unwrap() error { return e.Cause }

// ExitCode is 3.
func (e *Refused) ExitCode() int { return 3 }

// Hint is the next command to type.
func (e *Refused) Hint() string {
	if e.Next != "" {
		return e.Next
	}
	return hintOf(e.Cause)
}

// hintOf is the next command that err knows, "" where it knows none.
func hintOf(err error) string {
	hinted, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok {
		return ""
	}
	return hinted.Hint()
}

// advised is a failure in the middle of a run, with the command that helps.
type advised struct {
	cause error
	next  string
}

func (e *advised) Error() string { return e.cause.Error() }
func (e *advised) Unwrap() error { return e.cause }

// Hint is the next command to type.
func (e *advised) Hint() string { return e.next }

// refused makes err a refusal, unless it carries an exit code of its own.
func refused(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return err
	}
	return &Refused{Cause: err}
}

// say emits an event that the driver does not.
func (a *App) say(kind cutover.EventKind, format string, args ...any) {
	if a.Emit != nil {
		a.Emit(cutover.Event{At: a.Clock.Now(), Kind: kind, Text: fmt.Sprintf(format, args...), Shift: a.shift, Owner: a.Owner})
	}
}

// control is the control table of this environment.
func (a *App) control() *awsapi.Control {
	return awsapi.NewControl(a.Clients, a.Config.Name("control"), a.Config.TargetRegion, a.Config.SourceRegion)
}

// lease is what this run asks for.
func (a *App) lease(purpose string) cutover.Lease {
	return cutover.Lease{Owner: a.Owner, RunURL: a.RunURL, Purpose: purpose, Expires: a.Clock.Now().Add(a.Config.Lease.TTL)}
}

// release gives the lease up, whatever ended the run.
func (a *App) release(ctx context.Context, held *awsapi.Held) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	ctx, cancelStop := a.untilStop(ctx, stopGrace)
	defer cancelStop()
	if err := held.Release(ctx); err != nil && !errors.Is(err, cutover.ErrFenced) {
		// Non-fatal: it expires.
		a.say(cutover.EventTrouble, "the lease was not given up and expires by itself: %v", err)
	}
}

// briefly is a context for what a rollback asks before its first call. A region
// that does not answer is what it flees from: it goes back without the answer.
func (a *App) briefly(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.patience())
}

func (a *App) patience() time.Duration {
	if a.Patience == 0 {
		return 5 * time.Second
	}
	return a.Patience
}

// topologyFile is the local copy, for a rollback that cannot reach the table.
func (a *App) topologyFile() string {
	return filepath.Join(a.StateDir, a.Config.StackPrefix()+".topology.json")
}

// Roots are the certificates that the front doors are verified with: those of
// the file aws.ca_bundle, or the system's, nil, where it is "".
func Roots(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("read aws.ca_bundle: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read aws.ca_bundle %s: no certificate in it", bundle)
	}
	return pool, nil
}

// Resolver asks aws.dns_server, or the system's where none is set.
func (a *App) Resolver() *net.Resolver {
	server := a.Config.AWS.DNSServer
	if server == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
}

// absolute keeps the search list of the runner's resolver out of a name.
func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

// prober sends requests to one cell under its own name, past the weighted
// records: the regional domain is dialled, whatever DNS answers for the
// public name.
func (a *App) prober(cell topology.Cell) (*health.HTTPProber, error) {
	return a.proberAt(cell.ProbeName, cell.RegionalName, a.Config.Function.HealthPath)
}

// proberAt sends requests for the path to where the regional name leads, under
// the host's name: TLS and all.
func (a *App) proberAt(host, regional, path string) (*health.HTTPProber, error) {
	roots, err := Roots(a.Config.AWS.CABundle)
	if err != nil {
		return nil, err
	}
	resolver := a.Resolver()
	return health.NewHTTPProber(health.Endpoint{
		Host: host, Port: a.Config.AWS.HTTPSPort, Path: path,
		Roots: roots, Timeout: a.Config.Probe.Timeout,
		Resolve: func(ctx context.Context, _ string) (string, error) {
			addresses, err := resolver.LookupHost(ctx, absolute(regional))
			if err != nil {
				return "", fmt.Errorf("resolve %s: %w", regional, err)
			}
			return addresses[0], nil
		},
	}), nil
}

// watcher judges green for a shift: by the alarms, by probes, and by the
// requests in green's access log, which it follows until stop is called.
func (a *App) watcher(ctx context.Context, t topology.Topology, state cutover.State, budget *ramp.Budget) (w *health.Watcher, stop func(), err error) {
	prober, err := a.prober(t.Target)
	if err != nil {
		return nil, nil, err
	}
	w = &health.Watcher{
		Reader: awsapi.Alarms{Clients: a.Clients}, Refs: alarmRefs(t), Ignore: state.Ignored, Baseline: a.Config.Shift.OnAlarmAtStart == "baseline",
		Prober: prober, Requests: a.Config.Probe.Count, MaxFailures: a.Config.Probe.MaxFailures,
		Paced: budget != nil, Now: a.Clock.Now, Controls: controls(t), SharedIsBad: a.Config.Shift.OnSharedIncident == "rollback",
	}
	if len(w.Controls) > 0 {
		if w.Blue, err = a.prober(t.Source); err != nil {
			return nil, nil, err
		}
	}
	if budget != nil {
		w.Every = a.Config.Shift.Poll
	}
	follow, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var following sync.WaitGroup
	if lag := a.Config.Shift.MaxReplicationLag; lag > 0 && state.Mode == cutover.Migrate {
		gate := &dataGate{app: a, top: t, maxLag: lag}
		following.Go(func() { gate.run(follow) })
		w.Signals = append(w.Signals, gate)
	}
	if e := a.Config.Evidence; e.Enabled {
		tail := awsapi.NewTail(a.Clients, t.Account, t.Target, infra.AccessLog(a.Config), t.HealthPath, a.Clock)
		following.Go(func() { _ = tail.Run(follow) }) // it ends with follow; what it cannot read it says through Drain
		policy := a.policy(state.Plan)
		requests := health.NewEvidence(tail, a.Clock.Now, health.EvidenceOptions{
			Policy: policy, Lag: e.Lag, Slow: e.Slow, Settle: logLag, Silent: a.Config.EvidenceSilent(), MinRequests: e.MinRequests, Budget: budget,
		})
		w.Signals = append(w.Signals, requests)
		w.Probed = evidence.NewSuspicion(policy, policy.P0)
		if a.requestsAnswer() {
			w.Answers = requests
		}
	}
	return w, func() { cancel(); following.Wait() }, nil
}

// requestsAnswer says whether an alarm that only counts is answered by the
// requests in the access log.
func (a *App) requestsAnswer() bool {
	return a.Config.Evidence.Enabled && a.Config.Shift.OnCountAlarm == "evidence"
}

// controls are blue's alarms, which have the names of green's. None exist where
// tapctl did not make blue, or it is gone.
func controls(t topology.Topology) []health.AlarmRef {
	if t.External != "" || t.Retired {
		return nil
	}
	refs := alarmRefs(t)
	for i := range refs {
		refs[i].Region, refs[i].Side = t.Source.Region, string(topology.Blue)
	}
	return refs
}

func alarmRefs(t topology.Topology) []health.AlarmRef {
	refs := make([]health.AlarmRef, 0, len(t.Alarms))
	for _, alarm := range t.Alarms {
		refs = append(refs, health.AlarmRef{
			Name: alarm.Name, Region: alarm.Region, Side: string(alarm.Side), Sparse: alarm.Sparse, Counts: health.Counted(alarm.Counts),
		})
	}
	return refs
}

// openShift refuses what a shift under way forbids.
func openShift(command string, s cutover.State) *Refused {
	return &Refused{
		Cause: fmt.Errorf("%s: shift %s is open (%s, %s)", command, s.ID, s.Phase, s.Last),
		Next:  "tapctl shift --resume, or tapctl rollback",
	}
}
