package infra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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
	// Output receives what the CLI prints. May be nil.
	Output io.Writer
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
	s, err := r.open(ctx, stack, program)
	if err != nil {
		return Result{}, err
	}
	stream, finished := r.watch()
	options := []optup.Option{optup.Refresh(), optup.SuppressProgress(), optup.EventStreams(stream)}
	if r.Output != nil {
		options = append(options, optup.ProgressStreams(r.Output), optup.ErrorProgressStreams(r.Output))
	}
	up, err := s.Up(ctx, options...)
	seen := collect(ctx, finished)
	if err != nil {
		return Result{}, explain("deploy", stack, err, seen.failures)
	}
	changes := map[string]int{}
	if up.Summary.ResourceChanges != nil {
		changes = *up.Summary.ResourceChanges
	}
	return Result{Counts: countsOf(changes), Outputs: plain(up.Outputs)}, nil
}

// Preview says what Up would do: how much, and to what. What it had planned is
// there too where it failed.
func (r Runner) Preview(ctx context.Context, stack string, program pulumi.RunFunc) (Counts, []Change, error) {
	s, err := r.open(ctx, stack, program)
	if err != nil {
		return Counts{}, nil, err
	}
	stream, finished := r.watch()
	preview, err := s.Preview(ctx, optpreview.Refresh(), optpreview.SuppressProgress(), optpreview.EventStreams(stream))
	seen := collect(ctx, finished)
	if err != nil {
		return Counts{}, seen.planned, explain("preview", stack, err, seen.failures)
	}
	changes := map[string]int{}
	for op, n := range preview.ChangeSummary {
		changes[string(op)] = n
	}
	return countsOf(changes), seen.planned, nil
}

// Destroy deletes what the stack has, and the stack itself. A stack that does
// not exist is destroyed already.
func (r Runner) Destroy(ctx context.Context, stack string) (Counts, error) {
	s, err := r.open(ctx, stack, func(*pulumi.Context) error { return nil })
	if err != nil {
		return Counts{}, err
	}
	stream, finished := r.watch()
	options := []optdestroy.Option{optdestroy.Refresh(), optdestroy.SuppressProgress(), optdestroy.EventStreams(stream)}
	if r.Output != nil {
		options = append(options, optdestroy.ProgressStreams(r.Output), optdestroy.ErrorProgressStreams(r.Output))
	}
	done, err := s.Destroy(ctx, options...)
	seen := collect(ctx, finished)
	if err != nil {
		return Counts{}, explain("destroy", stack, err, seen.failures)
	}
	changes := map[string]int{}
	if done.Summary.ResourceChanges != nil {
		changes = *done.Summary.ResourceChanges
	}
	if err := s.Workspace().RemoveStack(ctx, stack); err != nil {
		return countsOf(changes), explain("remove", stack, err, nil)
	}
	return countsOf(changes), nil
}

// Outputs reads a stack's outputs from its state, none where the stack does
// not exist.
func (r Runner) Outputs(ctx context.Context, stack string) (Outputs, error) {
	s, err := r.open(ctx, stack, func(*pulumi.Context) error { return nil })
	if err != nil {
		return nil, err
	}
	outputs, err := s.Outputs(ctx)
	if err != nil {
		return nil, explain("read outputs", stack, err, nil)
	}
	return plain(outputs), nil
}

// Empty tells whether a stack has no resource, as one that does not exist.
func (r Runner) Empty(ctx context.Context, stack string) (bool, error) {
	s, err := r.open(ctx, stack, func(*pulumi.Context) error { return nil })
	if err != nil {
		return false, err
	}
	exported, err := s.Export(ctx)
	if err != nil {
		return false, explain("read the state", stack, err, nil)
	}
	var state struct {
		Resources []json.RawMessage `json:"resources"`
	}
	if len(exported.Deployment) > 0 {
		if err := json.Unmarshal(exported.Deployment, &state); err != nil {
			return false, explain("read the state", stack, err, nil)
		}
	}
	return len(state.Resources) == 0, nil
}

func plain(outputs auto.OutputMap) Outputs {
	values := Outputs{}
	for name, output := range outputs {
		values[name] = output.Value
	}
	return values
}

func (r Runner) open(ctx context.Context, stack string, program pulumi.RunFunc) (auto.Stack, error) {
	command, err := r.command()
	if err != nil {
		return auto.Stack{}, err
	}
	dir := filepath.Join(r.WorkDir, stack)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return auto.Stack{}, fmt.Errorf("open stack %s: %w", stack, err)
	}
	env := map[string]string{
		"PULUMI_SKIP_UPDATE_CHECK": "true",
	}
	for name, value := range r.Env {
		env[name] = value
	}
	s, err := auto.UpsertStackInlineSource(ctx, stack, Project, program,
		auto.Pulumi(command), auto.WorkDir(dir), auto.EnvVars(env), auto.SecretsProvider(r.SecretsProvider),
		auto.Project(workspace.Project{
			Name:    tokens.PackageName(Project),
			Runtime: workspace.NewProjectRuntimeInfo("go", nil),
			Backend: &workspace.ProjectBackend{URL: r.BackendURL},
		}))
	if err != nil {
		return auto.Stack{}, explain("open", stack, err, nil)
	}
	return s, nil
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
// is planned; the channel it returns yields them once the stream has ended.
func (r Runner) watch() (chan<- events.EngineEvent, <-chan seen) {
	stream := make(chan events.EngineEvent)
	finished := make(chan seen, 1)
	go func() {
		var all seen
		for event := range stream {
			if d := event.DiagnosticEvent; d != nil && d.Severity == "error" {
				all.failures = append(all.failures, strings.TrimSpace(d.Message))
			}
			if pre := event.ResourcePreEvent; pre != nil && pre.Planning {
				if change, worth := changeOf(pre.Metadata); worth {
					all.planned = append(all.planned, change)
				}
			}
			if out := event.ResOutputsEvent; out != nil && r.Progress != nil {
				if change, worth := changeOf(out.Metadata); worth {
					r.Progress(change)
				}
			}
		}
		finished <- all
	}()
	return stream, finished
}

// collect waits for the end of the event stream. The Automation API does not
// close it where it fails before it opened it: then the context's end does.
func collect(ctx context.Context, finished <-chan seen) seen {
	select {
	case all := <-finished:
		return all
	case <-ctx.Done():
		return seen{}
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
	Failures []string // what the engine reported, a line each
	Locked   bool     // another update holds the stack
	Cause    error
}

// Error implements error.
func (e *StackError) Error() string {
	switch {
	case e.Locked:
		return fmt.Sprintf("%s stack %s: another update holds its lock", e.Step, e.Stack)
	case len(e.Failures) > 0:
		return fmt.Sprintf("%s stack %s: %s", e.Step, e.Stack, strings.Join(e.Failures, "; "))
	default:
		return fmt.Sprintf("%s stack %s: %v", e.Step, e.Stack, e.Cause)
	}
}

// Unwrap gives the cause.
func (e *StackError) Unwrap() error { return e.Cause }

// ExitCode is 3 for a lock (nothing has changed), else 1.
func (e *StackError) ExitCode() int {
	if e.Locked {
		return 3
	}
	return 1
}

// Hint is the next command to type.
func (e *StackError) Hint() string {
	if e.Locked {
		return "wait for the other run, or if it is dead: pulumi cancel " + e.Stack
	}
	return "traffic has not moved; correct the cause and run the same command again"
}

// explain classifies before wrapping: the Automation API's errors cannot be
// unwrapped.
func explain(step, stack string, err error, failures []string) error {
	return &StackError{
		Step: step, Stack: stack, Failures: failures, Cause: err,
		Locked: auto.IsConcurrentUpdateError(err) || strings.Contains(err.Error(), "currently locked by"),
	}
}

// ErrLocalBackend refuses state on the disk of a CI runner, which is gone
// after the job.
var ErrLocalBackend = errors.New("infra.backend_url is a local directory inside CI, where it is lost with the runner: name an s3:// URL or Pulumi Cloud")
