// Package cli is the command line: one file per command, each flags ->
// options -> use-case -> print. stdout is the result, stderr the story.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/report"
)

// The exit codes, a contract (docs/runbook.md). The state of the world decides
// the code: a release that did not happen is never 0.
const (
	exitDone       = 0
	exitUnexpected = 1
	exitUsage      = 2
	exitRefused    = 3
	exitRolledBack = 4
	exitUncertain  = 5
	exitPending    = 6
	exitHeld       = 8
	exitInterrupt  = 130
	exitTerminated = 143
)

// IO is the world as a command sees it.
type IO struct {
	In       io.Reader // nil is closed
	Out, Err io.Writer
	Terminal bool // stderr is a terminal
	Env      func(string) string
	// Home holds what was built beside tapctl: function/api.zip, pulumi/bin.
	Home string
	// Stop is closed by the first SIGINT or SIGTERM; Terminated tells which.
	Stop       <-chan struct{}
	Terminated func() bool
}

// command is what all commands share.
type command struct {
	IO
	configFile string
	output     string
	log        string
	yes        bool
	state      string // folder of what runs leave
	reporter   *report.Reporter
	keepEvents *sync.Once
	typed      []string // the flags of this command line, without their twins
	run        string   // the owner of this process's run, "" before there is one
	code       int
}

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, io IO) int {
	c := &command{IO: io, state: defaultState, keepEvents: &sync.Once{}}
	if io.In != nil {
		c.In = &untilSignal{io.In, io.Stop}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	root := c.root()
	root.SetArgs(args)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	ran, err := root.ExecuteContextC(ctx)
	if c.reporter != nil {
		c.reporter.Flush()
	}
	if err == nil {
		return c.code
	}
	return c.fail(ran, err)
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tapctl",
		Short: "Move a live serverless application from one AWS region to another while customers use it",
		Long: `tapctl moves a live serverless application from one AWS region (blue) to
another (green), or to a new version, without downtime: it deploys green, steps
the Route 53 weights and the API Gateway canary while it watches CloudWatch
alarms, and goes back on its own when one fires.

Every flag can be given as a variable: TAPCTL_STEP is --step, and a flag that
is typed wins. So can every key of the configuration: TAPCTL_SHIFT_BAKE.`,
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: c.prepare,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	flags := root.PersistentFlags()
	flags.StringVarP(&c.configFile, "config", "c", "tapctl.yaml", "configuration `file`")
	flags.StringVarP(&c.output, "output", "o", "text", "format of the result on stdout: text or json")
	flags.StringVar(&c.log, "log", "", "format of the story on stderr: tty, plain, json or github (default: detected)")
	flags.BoolVar(&c.yes, "yes", false, "do what cannot be undone without asking")
	root.AddCommand(c.initCommand(), c.validateCommand(), c.schemaCommand(), c.previewCommand(), c.deployCommand(), c.planCommand(), c.shiftCommand(), c.approveCommand(), c.rollbackCommand(), c.promoteCommand(),
		c.retireCommand(), c.destroyCommand(), c.assetsCommand(), c.secretCommand(), c.verifyCommand(), c.statusCommand(), c.historyCommand(), c.policyCommand(), c.localCommand(), c.rehearseCommand(), c.benchCommand(), c.versionCommand())
	for _, sub := range root.Commands() {
		noArgs(sub)
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// noArgs makes a stray word an error: a forgotten dash must not be ignored,
// and a group must not answer a misspelt command with its help and exit code 0.
func noArgs(cmd *cobra.Command) {
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if cmd.Args == nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		noArgs(sub)
	}
}

// prepare reads the flags' TAPCTL_* twins and checks what all commands share.
func (c *command) prepare(cmd *cobra.Command, _ []string) error {
	var problem error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			c.typed = append(c.typed, f.Name)
		}
		name := config.EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := c.Env(name)
		if f.Changed || value == "" || problem != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			problem = &usageError{cmd.CommandPath(), fmt.Errorf("%s=%q: %w", name, value, err)}
		}
	})
	if problem != nil {
		return problem
	}
	if c.output != "text" && c.output != "json" {
		return &usageError{cmd.CommandPath(), fmt.Errorf("--output %q: want text or json", c.output)}
	}
	format := report.Format(c.log)
	if c.log == "" {
		format = report.Detect(c.Terminal, c.Env)
	} else if !slices.Contains(report.Formats, format) {
		return &usageError{cmd.CommandPath(), fmt.Errorf("--log %q: want one of %v", c.log, report.Formats)}
	}
	c.reporter = report.New(format, c.Err, c.Env("NO_COLOR") == "")
	if cmd.Annotations[ownSignals] == "" {
		cmd.SetContext(c.untilStopped(cmd.Context()))
	}
	return nil
}

// ownSignals marks the commands that turn dials: a signal is for their driver
// to answer, and ends none of their calls by itself.
const ownSignals = "own-signals"

func turnsDials() map[string]string { return map[string]string{ownSignals: "yes"} }

// usageError is a command line that cannot be understood.
type usageError struct {
	command string
	cause   error
}

func (e *usageError) Error() string { return e.cause.Error() }
func (e *usageError) Unwrap() error { return e.cause }
func (e *usageError) ExitCode() int { return exitUsage }
func (e *usageError) Hint() string  { return "run: " + e.command + " --help" }

// exitCoder and hinter are what errors may add to their text.
type exitCoder interface {
	error
	ExitCode() int
}

type hinter interface {
	error
	Hint() string
}

func exitCodeOf(err error) int {
	if coded, ok := errors.AsType[exitCoder](err); ok {
		return coded.ExitCode()
	}
	// Cobra's own errors (unknown command, missing value) have no type.
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand", "required flag", "flag needs"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return exitUsage
		}
	}
	return exitUnexpected
}

func hintOf(err error) string {
	if hinted, ok := errors.AsType[hinter](err); ok {
		return hinted.Hint()
	}
	return ""
}

// fail prints one error, its hint, and for -o json the same as an object.
func (c *command) fail(cmd *cobra.Command, err error) int {
	code := exitCodeOf(err)
	hint := hintOf(err)
	if c.interrupted() && (code == exitUnexpected || code == exitRefused && errors.Is(err, context.Canceled)) {
		code = c.signalCode()
	}
	switch {
	case hint != "":
	case code == exitUsage:
		hint = "run: " + cmd.CommandPath() + " --help"
	case code == exitRefused:
		hint = "nothing was changed: correct the cause, then run " + cmd.CommandPath() + " again"
	}
	fmt.Fprintf(c.Err, "tapctl: %v\n", err)
	if hint != "" {
		fmt.Fprintf(c.Err, "next: %s\n", hint)
	}
	if c.output == "json" {
		outcome := app.Failed
		if code == exitRefused || code == exitUsage {
			outcome = app.Declined
		}
		_ = c.json(map[string]any{"outcome": outcome, "reason": err.Error(), "next_command": hint, "exit_code": code})
	}
	return code
}

func (c *command) interrupted() bool {
	select {
	case <-c.Stop:
		return true
	default:
		return false
	}
}

func (c *command) signalCode() int {
	if c.Terminated != nil && c.Terminated() {
		return exitTerminated
	}
	return exitInterrupt
}

// untilSignal is a reader that a signal ends: who is asked may have gone.
type untilSignal struct {
	io.Reader
	stop <-chan struct{}
}

// errSignal is what a read ends with that a signal ended.
var errSignal = fmt.Errorf("signal received: %w", context.Canceled)

// Read implements io.Reader. A read that a signal ended stays behind, with a
// buffer of its own, until the process ends.
func (r *untilSignal) Read(into []byte) (int, error) {
	type result struct {
		read []byte
		err  error
	}
	results := make(chan result, 1)
	go func() {
		own := make([]byte, len(into))
		n, err := r.Reader.Read(own)
		results <- result{own[:n], err}
	}()
	select {
	case got := <-results:
		return copy(into, got.read), got.err
	case <-r.stop:
		return 0, errSignal
	}
}

// json prints the one object of -o json.
func (c *command) json(v any) error {
	encoder := json.NewEncoder(c.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printf prints the result for people.
func (c *command) printf(format string, args ...any) {
	fmt.Fprintf(c.Out, format, args...)
}

// eventsFile has every event of every run of this folder, a JSON object a line.
const eventsFile = "events.ndjson"

// emit tells an event on stderr, and keeps it. What the use-cases did not tell,
// Pulumi's progress, is of this process's run too.
func (c *command) emit(e cutover.Event) {
	if e.Owner == "" {
		e.Owner = c.run
	}
	c.keepEvents.Do(func() {
		err := os.MkdirAll(c.state, 0o700)
		var file *os.File
		if err == nil {
			file, err = os.OpenFile(filepath.Join(c.state, eventsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		}
		if err != nil {
			c.reporter.Event(cutover.Event{At: e.At, Kind: cutover.EventTrouble, Text: "events are not kept: " + err.Error()})
			return
		}
		c.reporter.Copy(file) // open until the process ends
	})
	c.reporter.Event(e)
}

// untilStopped is a context that a signal ends.
func (c *command) untilStopped(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-c.Stop:
		case <-ctx.Done(): // Main has ended
		}
	}()
	return ctx
}

// readableFile tells whether the path is a file that can be opened.
func readableFile(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	file.Close() // Non-fatal: it was only looked at.
	return true
}
