package infra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optdestroy"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Project is the Pulumi project of every stack.
const Project = "tapctl"

// Runner drives stacks through the Automation API.
type Runner struct {
	// Pulumi is the directory that holds bin/pulumi; "" looks on PATH.
	Pulumi string
	// BackendURL is where state lives.
	BackendURL string
	// SecretsProvider encrypts secrets in state: awskms://... or passphrase.
	SecretsProvider string
	// WorkDir holds each stack's settings file; created when missing.
	WorkDir string
	// Env is added to the CLI's environment.
	Env map[string]string
	// Progress is told of every resource that changes. May be nil.
	Progress func(Change)
	// Timeout bounds one operation, opening its stack included; real time,
	// above 0.
	Timeout time.Duration
}

// Change is one resource operation.
type Change struct {
	Op   string // create, update, delete, replace, same ...
	Type string // aws:lambda/function:Function
	Name string
}

// Counts is the number of resources per kind of change.
type Counts struct {
	Create int `json:"create"`
	Update int `json:"update"`
	Delete int `json:"delete"`
	Same   int `json:"same"`
}

// Add returns the sum of both.
func (c Counts) Add(other Counts) Counts {
	return Counts{c.Create + other.Create, c.Update + other.Update, c.Delete + other.Delete, c.Same + other.Same}
}

// Any is true where something would change or has changed.
func (c Counts) Any() bool { return c.Create+c.Update+c.Delete > 0 }

func countsOf(changes map[string]int) Counts {
	replaced := changes[string(apitype.OpReplace)]
	return Counts{
		Create: changes[string(apitype.OpCreate)] + replaced,
		Update: changes[string(apitype.OpUpdate)],
		Delete: changes[string(apitype.OpDelete)] + replaced,
		Same:   changes[string(apitype.OpSame)],
	}
}

// countsIn are those of a finished update; there is none where it failed.
func countsIn(summary auto.UpdateSummary) Counts {
	if summary.ResourceChanges == nil {
		return Counts{}
	}
	return countsOf(*summary.ResourceChanges)
}

// Result is what one stack operation did.
type Result struct {
	Counts  Counts
	Outputs Outputs
}

// Outputs are a stack's outputs.
type Outputs map[string]any

// Text is the output as a string, "" where there is none.
func (o Outputs) Text(name string) string {
	text, _ := o[name].(string)
	return text
}

// Texts is the output as a map of strings.
func (o Outputs) Texts(name string) map[string]string {
	texts := map[string]string{}
	object, _ := o[name].(map[string]any)
	for key, value := range object {
		texts[key], _ = value.(string)
	}
	return texts
}

// List is the output as a list of strings.
func (o Outputs) List(name string) []string {
	items, _ := o[name].([]any)
	list := make([]string, 0, len(items))
	for _, item := range items {
		text, _ := item.(string)
		list = append(list, text)
	}
	return list
}

// Up makes the stack what the program says. It refreshes first, so that what
// somebody changed by hand is seen rather than overwritten from state.
func (r Runner) Up(ctx context.Context, stack string, program pulumi.RunFunc) (Result, error) {
	var result Result
	_, err := r.operate(ctx, "deploy", stack, program, func(ctx context.Context, s auto.Stack, stream chan<- events.EngineEvent) error {
		up, err := s.Up(ctx, optup.Refresh(), optup.SuppressProgress(), optup.EventStreams(stream))
		result = Result{Counts: countsIn(up.Summary), Outputs: plain(up.Outputs)}
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// Preview says what Up would do: how much, and to what. What it had planned is
// there too where it failed.
func (r Runner) Preview(ctx context.Context, stack string, program pulumi.RunFunc) (Counts, []Change, error) {
	changes := map[string]int{}
	seen, err := r.operate(ctx, "preview", stack, program, func(ctx context.Context, s auto.Stack, stream chan<- events.EngineEvent) error {
		preview, err := s.Preview(ctx, optpreview.Refresh(), optpreview.SuppressProgress(), optpreview.EventStreams(stream))
		for op, n := range preview.ChangeSummary {
			changes[string(op)] = n
		}
		return err
	})
	return countsOf(changes), seen.planned, err
}

// Destroy deletes what the stack has, and the stack itself. A stack that does
// not exist is destroyed already.
func (r Runner) Destroy(ctx context.Context, stack string) (Counts, error) {
	var counts Counts
	_, err := r.operate(ctx, "destroy", stack, nothing, func(ctx context.Context, s auto.Stack, stream chan<- events.EngineEvent) error {
		done, err := s.Destroy(ctx, optdestroy.Refresh(), optdestroy.SuppressProgress(), optdestroy.EventStreams(stream), optdestroy.Remove())
		counts = countsIn(done.Summary)
		return err
	})
	return counts, err
}

// Outputs reads a stack's outputs from its state, none where the stack does
// not exist.
func (r Runner) Outputs(ctx context.Context, stack string) (Outputs, error) {
	var outputs Outputs
	_, err := r.operate(ctx, "read the outputs of", stack, nothing, func(ctx context.Context, s auto.Stack, _ chan<- events.EngineEvent) error {
		read, err := s.Outputs(ctx)
		outputs = plain(read)
		return err
	})
	if err != nil {
		return nil, err
	}
	return outputs, nil
}

// Empty tells whether a stack has no resource, as one that does not exist.
func (r Runner) Empty(ctx context.Context, stack string) (bool, error) {
	names, err := r.Names(ctx, stack)
	return err == nil && len(names) == 0, err
}

// Names are those of the resources that a stack has, of a half-way one too; none
// where it does not exist.
func (r Runner) Names(ctx context.Context, stack string) ([]string, error) {
	var state struct {
		Resources []struct {
			URN string `json:"urn"`
		} `json:"resources"`
	}
	_, err := r.operate(ctx, "read the state of", stack, nothing, func(ctx context.Context, s auto.Stack, _ chan<- events.EngineEvent) error {
		exported, err := s.Export(ctx)
		if err != nil || len(exported.Deployment) == 0 {
			return err
		}
		return json.Unmarshal(exported.Deployment, &state)
	})
	var names []string
	for _, resource := range state.Resources { // urn:pulumi:STACK::PROJECT::TYPE::NAME
		parts := strings.SplitN(resource.URN, "::", 4)
		names = append(names, parts[len(parts)-1])
	}
	return names, err
}

// nothing is the program of operations that run none.
func nothing(*pulumi.Context) error { return nil }

// operate opens the stack and does one operation on it, both within Timeout
// together, and says what the engine told meanwhile. When the time is over the
// CLI is interrupted, and killed where it has not ended ten seconds later.
func (r Runner) operate(ctx context.Context, step, stack string, program pulumi.RunFunc,
	do func(context.Context, auto.Stack, chan<- events.EngineEvent) error,
) (seen, error) {
	command, err := r.command()
	if err != nil {
		return seen{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	explain := func(step string, err error, told seen) error {
		e := &StackError{
			Step: step, Stack: stack, Failures: told.failures, Cause: err,
			// By its text: the Automation API's errors cannot be unwrapped.
			Locked: auto.IsConcurrentUpdateError(err) || strings.Contains(err.Error(), "currently locked by"),
		}
		if bounded.Err() != nil && ctx.Err() == nil {
			e.Bound = r.Timeout
		}
		return e
	}
	s, err := r.open(bounded, command, stack, program)
	if err != nil {
		return seen{}, explain("open", err, seen{})
	}
	stream, end := r.watch()
	err = do(bounded, s, stream)
	told := end()
	if err != nil {
		return told, explain(step, err, told)
	}
	return told, nil
}

func plain(outputs auto.OutputMap) Outputs {
	values := Outputs{}
	for name, output := range outputs {
		values[name] = output.Value
	}
	return values
}

func (r Runner) open(ctx context.Context, command auto.PulumiCommand, stack string, program pulumi.RunFunc) (auto.Stack, error) {
	dir := filepath.Join(r.WorkDir, stack)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return auto.Stack{}, err
	}
	env := map[string]string{
		"PULUMI_SKIP_UPDATE_CHECK": "true",
	}
	for name, value := range r.Env {
		env[name] = value
	}
	return auto.UpsertStackInlineSource(ctx, stack, Project, program,
		auto.Pulumi(command), auto.WorkDir(dir), auto.EnvVars(env), auto.SecretsProvider(r.SecretsProvider),
		auto.Project(workspace.Project{
			Name:    tokens.PackageName(Project),
			Runtime: workspace.NewProjectRuntimeInfo("go", nil),
			Backend: &workspace.ProjectBackend{URL: r.BackendURL},
		}))
}

// NoPulumi means that there is no fitting Pulumi CLI.
type NoPulumi struct{ Cause error }

// Error implements error.
func (e *NoPulumi) Error() string { return "find the Pulumi CLI: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *NoPulumi) Unwrap() error { return e.Cause }

// Hint is the next command to type.
func (e *NoPulumi) Hint() string {
	return "build it with 'make pulumi', or name its directory in infra.pulumi"
}

// ExitCode is 3: refused, nothing has changed.
func (e *NoPulumi) ExitCode() int { return 3 }

func (r Runner) command() (auto.PulumiCommand, error) {
	command, err := auto.NewPulumiCommand(&auto.PulumiCommandOptions{Root: r.Pulumi})
	if err != nil {
		return nil, &NoPulumi{err}
	}
	return command, nil
}

// seen is what the engine's events told.
type seen struct {
	failures []string
	planned  []Change // what a preview would do
}

// watch turns engine events into progress and collects what failed and what
// is planned. end yields them, after the operation: by then all events of an
// opened stream have been received, and one that the CLI failed before it
// opened it is never closed by anybody.
func (r Runner) watch() (stream chan<- events.EngineEvent, end func() seen) {
	told, over, finished := make(chan events.EngineEvent), make(chan struct{}), make(chan seen, 1)
	go func() {
		var all seen
		defer func() { finished <- all }()
		for {
			select {
			case event, more := <-told:
				if !more {
					return
				}
				all.add(event)
				r.progress(event)
			case <-over:
				return
			}
		}
	}()
	return told, func() seen {
		close(over)
		return <-finished
	}
}

func (s *seen) add(event events.EngineEvent) {
	if d := event.DiagnosticEvent; d != nil && d.Severity == "error" {
		s.failures = append(s.failures, strings.TrimSpace(d.Message))
	}
	if pre := event.ResourcePreEvent; pre != nil && pre.Planning {
		if change, worth := changeOf(pre.Metadata); worth {
			s.planned = append(s.planned, change)
		}
	}
}

func (r Runner) progress(event events.EngineEvent) {
	if out := event.ResOutputsEvent; out != nil && r.Progress != nil {
		if change, worth := changeOf(out.Metadata); worth {
			r.Progress(change)
		}
	}
}

func changeOf(m apitype.StepEventMetadata) (Change, bool) {
	switch m.Op {
	case apitype.OpSame, apitype.OpRead, apitype.OpRefresh, apitype.OpReplace:
		return Change{}, false
	}
	name := m.URN[strings.LastIndex(m.URN, "::")+2:]
	return Change{Op: string(m.Op), Type: m.Type, Name: name}, true
}

// StackError is a stack operation that failed.
type StackError struct {
	Step     string
	Stack    string
	Failures []string      // what the engine reported, a line each
	Locked   bool          // another update holds the stack
	Bound    time.Duration // infra.timeout, where it ended the operation; else 0
	Cause    error
}

// Error implements error.
func (e *StackError) Error() string {
	what := fmt.Sprintf("%s stack %s", e.Step, e.Stack)
	switch {
	case e.Bound > 0:
		what += fmt.Sprintf(": not done within %v (infra.timeout)", e.Bound)
	case e.Locked:
		return what + ": another update holds its lock"
	case len(e.Failures) == 0:
		return fmt.Sprintf("%s: %v", what, e.Cause)
	}
	if len(e.Failures) > 0 {
		what += ": " + strings.Join(e.Failures, "; ")
	}
	return what
}

// Unwrap gives the cause.
func (e *StackError) Unwrap() error { return e.Cause }

// ExitCode is 3 for a lock (nothing has changed), else 1.
func (e *StackError) ExitCode() int {
	if e.Locked && e.Bound == 0 {
		return 3
	}
	return 1
}

// Hint is the next command to type.
func (e *StackError) Hint() string {
	switch {
	case e.Bound > 0:
		return "traffic has not moved; raise infra.timeout and run the same command again (were its lock left behind: pulumi cancel " + e.Stack + ")"
	case e.Locked:
		return "wait for the other run, or if it is dead: pulumi cancel " + e.Stack
	default:
		return "traffic has not moved; correct the cause and run the same command again"
	}
}

// ErrLocalBackend refuses state on the disk of a CI runner, which is gone
// after the job.
var ErrLocalBackend = errors.New("infra.backend_url is a local directory inside CI, where it is lost with the runner: name an s3:// URL or Pulumi Cloud")
