package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/rehearse"
)

// rehearseAsk is what the rehearse command is asked to do.
type rehearseAsk struct {
	speed     float64
	seed      uint64
	clients   int
	rate      float64
	faultAt   float64
	faultRate float64
	names     []string
	scenarios []rehearse.Scenario
}

func scenarioNames() []string {
	var names []string
	for _, s := range rehearse.Scenarios(0, 0) {
		names = append(names, s.Name)
	}
	return names
}

func (c *command) rehearseCommand() *cobra.Command {
	var ask rehearseAsk
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Deploy, shift, break and roll back against the embedded AWS, under traffic, and score it",
		Long: `rehearse starts an embedded AWS of its own, deploys both cells, lets clients
call the public name (they resolve it through the real DNS server, honour TTLs
and keep connections), and plays scenarios: a clean shift to 100 percent, and
shifts into greens that are bad in one way or another. It ends with a score per
scenario, and exits 0 only if no request failed that an injected fault does not
explain and each shift ended as it has to. What the model of 'tapctl bench harm'
expects at the same rate stands beside it, or why there is none.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.rehearse(cmd, ask) },
	}
	flags := cmd.Flags()
	flags.Float64Var(&ask.speed, "speed", 60, "how many times faster the embedded AWS's clock runs")
	flags.Uint64Var(&ask.seed, "seed", 1, "of every random choice")
	flags.IntVar(&ask.clients, "clients", 20, "number of clients")
	flags.Float64Var(&ask.rate, "rate", 60, "requests a second of real time, all clients together")
	flags.Float64Var(&ask.faultAt, "fault-at", 4, "exposure in percent at which green turns bad")
	flags.Float64Var(&ask.faultRate, "fault-rate", 0.5, "share of green's own answers that then fail")
	flags.StringSliceVar(&ask.names, "scenario", []string{rehearse.Clean, rehearse.Bad}, "what to play: "+strings.Join(scenarioNames(), ", "))
	return cmd
}

// check says what is out of range, before anything starts.
func (a rehearseAsk) check() error {
	switch {
	case a.clients < 1 || a.clients > 1000 || !(a.rate > 0 && a.rate <= 2000):
		return errors.New("want 1 to 1000 --clients and a --rate above 0 and at most 2000: the load stays on this machine")
	case !(a.faultRate > 0 && a.faultRate <= 1):
		return fmt.Errorf("--fault-rate %v: want a share above 0 and at most 1", a.faultRate)
	case !(a.faultAt >= 0 && a.faultAt <= 100):
		return fmt.Errorf("--fault-at %v: want 0 to 100 percent", a.faultAt)
	}
	return checkSpeed(a.speed)
}

func (c *command) rehearse(cmd *cobra.Command, ask rehearseAsk) error {
	var err error
	if ask.scenarios, err = rehearse.Find(rehearse.Scenarios(ask.faultRate, cutover.Percent(ask.faultAt)), ask.names); err != nil {
		return &usageError{cmd.CommandPath(), err}
	}
	if err := ask.check(); err != nil {
		return &usageError{cmd.CommandPath(), err}
	}
	ctx := cmd.Context()
	began := (clock.Real{}).Now()
	dir, err := os.MkdirTemp("", "tapctl-rehearse-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // Non-fatal: it is in the temporary folder.
	stage, plan, err := c.stage(ctx, dir, ask)
	if err != nil {
		return err
	}
	defer stage.server.Close() // Non-fatal: the result is known by then.
	scores, err := rehearse.Run(ctx, stage.Stage, plan)
	if err != nil {
		return err
	}
	return c.printScores(scores, ask, (clock.Real{}).Now().Sub(began))
}

// rehearsal is a stage and what has to be taken down after it.
type rehearsal struct {
	rehearse.Stage
	server *localaws.Server
}

// stage starts an embedded AWS and points an operator at it, in one process
// but through the same sockets as any other.
func (c *command) stage(ctx context.Context, dir string, ask rehearseAsk) (*rehearsal, rehearse.Plan, error) {
	inside := *c // the same command line, in an environment and a folder of its own
	inside.state = dir
	files, err := inside.localFiles()
	if err != nil {
		return nil, rehearse.Plan{}, err
	}
	server, err := c.startLocal(ctx, files, localaws.Options{Speed: ask.speed, Seed: ask.seed, Log: slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return nil, rehearse.Plan{}, err
	}
	env := server.Env()
	variables := map[string]string{}
	for _, v := range c.localVariables(env) {
		variables[v.Name] = v.Value
	}
	inside.Env = func(name string) string {
		if value, set := variables[name]; set {
			return value
		}
		return c.Env(name)
	}
	if !readableFile(c.configFile) {
		inside.configFile = files.config
	}
	over := map[string]any{
		"aws.endpoint_url": env.Endpoint, "aws.dns_server": env.DNSServer, "aws.https_port": env.HTTPSPort, "aws.ca_bundle": env.CAFile,
		"infra.provider": "local", "infra.backend_url": "file://" + env.StateDir, "function.architecture": variables["TAPCTL_FUNCTION_ARCHITECTURE"],
	}
	cfg, err := inside.loadPackaged(over)
	if err != nil {
		return nil, rehearse.Plan{}, errors.Join(err, server.Close())
	}
	op, err := inside.operator(ctx, cfg, over)
	if err != nil {
		return nil, rehearse.Plan{}, errors.Join(err, server.Close())
	}
	roots, err := app.Roots(env.CAFile)
	if err != nil {
		return nil, rehearse.Plan{}, errors.Join(err, server.Close())
	}
	return &rehearsal{server: server, Stage: rehearse.Stage{
			Operator: op, Saboteur: &saboteur{endpoint: env.Endpoint, cfg: cfg, op: op}, Clock: server.Clock(), Tell: c.emit,
			Target: rehearse.Target{Host: cfg.Domain.Name, DNSServer: env.DNSServer, Port: env.HTTPSPort, Roots: roots, Clock: server.Clock()},
		}}, rehearse.Plan{
			Load:      rehearse.Load{Clients: ask.clients, Rate: ask.rate, Seed: ask.seed, ConnectionLife: 2 * time.Minute},
			Scenarios: ask.scenarios, Model: model(op.configured),
		}, nil
}

// operator is tapctl's own use-cases as the rehearsal calls them.
type operator struct {
	command *command
	over    map[string]any // of every configuration
	cfg     config.Config
	app     *app.App
}

func (c *command) operator(ctx context.Context, cfg config.Config, over map[string]any) (*operator, error) {
	// The SDK reads the credentials from the process's environment.
	for _, v := range []variable{{"AWS_ACCESS_KEY_ID", "local"}, {"AWS_SECRET_ACCESS_KEY", "local"}, {"AWS_SESSION_TOKEN", ""}, {"AWS_PROFILE", ""}} {
		if err := os.Setenv(v.Name, v.Value); err != nil {
			return nil, err
		}
	}
	a, err := c.app(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &operator{c, over, cfg, a}, nil
}

// configured is the configuration with more keys laid over it.
func (o *operator) configured(over map[string]any) (config.Config, error) {
	all := maps.Clone(o.over)
	maps.Copy(all, over)
	return o.command.loadPackaged(all)
}

// with is the same application so configured.
func (o *operator) with(over map[string]any) (app.App, error) {
	cfg, err := o.configured(over)
	a := *o.app
	a.Config = cfg
	return a, err
}

// Deploy implements rehearse.Operator.
func (o *operator) Deploy(ctx context.Context, over map[string]any) error {
	a, err := o.with(over)
	if err != nil {
		return err
	}
	ask := app.DeployAsk{Cells: "all"}
	if ask.API, ask.Forward, err = artifacts(a.Config); err != nil {
		return err
	}
	if ask.Runner, err = o.command.runner(ctx, a.Config); err != nil {
		return err
	}
	_, err = a.Deploy(ctx, ask)
	return err
}

// Shift implements rehearse.Operator.
func (o *operator) Shift(ctx context.Context, over map[string]any, tell func(cutover.Event)) (cutover.Phase, error) {
	a, err := o.with(over)
	if err != nil {
		return "", err
	}
	a.Emit, a.Started = tell, a.Clock.Now()
	done, err := a.Shift(ctx, app.ShiftAsk{Ask: app.AskOf(a.Config.Shift)})
	return cutover.Phase(done.Outcome), err
}

// Rollback implements rehearse.Operator.
func (o *operator) Rollback(ctx context.Context) error {
	done, err := o.app.Rollback(ctx, app.RollbackAsk{})
	if err == nil && done.Outcome != app.RolledBack {
		err = fmt.Errorf("rollback ended %s: %s", done.Outcome, done.Reason)
	}
	return err
}

// APICalls implements rehearse.Operator.
func (o *operator) APICalls() int { return o.app.Clients.Calls() }

// saboteur puts faults in from outside, as 'tapctl local fault' does.
type saboteur struct {
	endpoint string
	cfg      config.Config
	op       *operator
}

// Inject implements rehearse.Saboteur.
func (s *saboteur) Inject(ctx context.Context, f rehearse.Fault) (string, error) {
	region, whose := s.cfg.TargetRegion, "green's own function"
	if f.Both {
		region, whose = "*", "both sides' function"
	}
	struck, what := fault.Fault{Region: region, Rate: f.Rate}, ""
	switch f.Kind {
	case rehearse.Errors:
		struck.Kind, what = fault.Error, fmt.Sprintf("%.0f%% of the answers of %s fail", 100*f.Rate, whose)
	case rehearse.Slow:
		struck.Kind, struck.Latency, what = fault.Latency, f.Late, fmt.Sprintf("%.0f%% of the answers of %s come %v late", 100*f.Rate, whose, f.Late)
	case rehearse.Down:
		struck.Kind, what = fault.RegionDown, "the region does not answer"
	}
	struck.Target = fault.DefaultTarget(struck.Kind)
	return fmt.Sprintf("%s (%s, target %s)", what, struck.Region, struck.Target), callLocal(ctx, "POST", s.endpoint+localaws.FaultsPath, struck, nil)
}

// Clear implements rehearse.Saboteur.
func (s *saboteur) Clear(ctx context.Context) error {
	return callLocal(ctx, "DELETE", s.endpoint+localaws.FaultsPath, nil, nil)
}

// FrontDoor implements rehearse.Saboteur.
func (s *saboteur) FrontDoor(ctx context.Context) string {
	addresses, err := s.op.app.Resolver().LookupHost(ctx, s.cfg.ProbeName(s.cfg.TargetRegion))
	if err != nil || len(addresses) == 0 {
		return ""
	}
	return addresses[0]
}

func (c *command) printScores(scores []rehearse.Score, ask rehearseAsk, took time.Duration) error {
	c.reporter.Flush()
	if slices.ContainsFunc(scores, func(s rehearse.Score) bool { return !s.Passed() }) {
		c.code = exitUnexpected
	}
	if c.output == "json" {
		return c.json(map[string]any{"scenarios": scores, "took_s": took.Seconds(), "seed": ask.seed, "speed": ask.speed})
	}
	for _, s := range scores {
		verdict := "PASS"
		if !s.Passed() {
			verdict = "FAIL"
		}
		c.printf("%s  %-6s %s: %d requests, %d failed, %d harmed, %d API calls by tapctl\n", verdict, s.Name, s.Outcome, s.Requests, s.Failed, s.Harmed, s.APICalls)
		if s.Missed != "" {
			c.printf("      because %s\n", s.Missed)
		}
		c.printf("      answered by blue %d, by green %d\n", s.Sides["blue"], s.Sides["green"])
		if len(s.Faults) > 0 {
			c.printf("      injected: %s\n", strings.Join(s.Faults, "; "))
			c.printf("      caught at exposure %s %%, detected after %s s, %s (its clock, %vx)\n",
				optional(s.ExposureAtDetection), optional(s.DetectSeconds), restored(s), ask.speed)
		}
		c.printf("      %s\n", beside(s))
		if s.FirstFailure != "" {
			c.printf("      first failure no fault explains: %s\n", s.FirstFailure)
		}
	}
	c.printf("took %.0f s of real time; rerun with: tapctl rehearse --seed %d\n", took.Seconds(), ask.seed)
	return nil
}

// restored says when the last user was harmed, before or after the decision.
func restored(s rehearse.Score) string {
	switch {
	case s.Harmed == 0:
		return "before any user was harmed"
	case s.RestoreSeconds == nil:
		return "no end of the harm seen"
	default:
		return fmt.Sprintf("last harm after %.0f s", *s.RestoreSeconds)
	}
}

func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", *v)
}
