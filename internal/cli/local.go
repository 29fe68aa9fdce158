package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/configs"
	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/localaws/fault"
)

func (c *command) localCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "local", Short: "Run the embedded AWS and put faults into it"}
	cmd.AddCommand(c.localUpCommand(), c.localEnvCommand(), c.localFaultCommand(), c.localAskedCommand(), c.localResetCommand())
	return cmd
}

// localFiles are where the embedded AWS leaves what other processes need of it.
type localFiles struct{ env, ca, config, state string }

func (c *command) localFiles() (localFiles, error) {
	dir, err := filepath.Abs(filepath.Join(c.state, "local"))
	return localFiles{
		env: filepath.Join(dir, "env.json"), ca: filepath.Join(dir, "ca.pem"),
		config: filepath.Join(dir, "tapctl.yaml"), state: filepath.Join(dir, "state"),
	}, err
}

func (c *command) localUpCommand() *cobra.Command {
	options := localaws.Options{}
	var verbose bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the embedded AWS until interrupted",
		Long: `up runs the embedded AWS in the foreground: one endpoint for all services and
regions, a DNS server, and an HTTPS front door per region, on loopback and on
ports the system chooses. Its clock runs --speed times faster. Everything it
holds is gone when it ends.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.localUp(cmd, options, verbose) },
	}
	flags := cmd.Flags()
	flags.Float64Var(&options.Speed, "speed", 60, "how many times faster its clock runs")
	flags.Uint64Var(&options.Seed, "seed", 1, "of every random choice it makes")
	flags.IntVar(&options.EndpointPort, "endpoint-port", 0, "port of the AWS endpoint (0: any)")
	flags.IntVar(&options.DNSPort, "dns-port", 0, "port of the DNS server (0: any)")
	flags.IntVar(&options.HTTPSPort, "https-port", 0, "port of the front doors (0: any)")
	flags.BoolVarP(&verbose, "verbose", "v", false, "log every call that is not implemented, and more")
	return cmd
}

func (c *command) localUp(cmd *cobra.Command, options localaws.Options, verbose bool) error {
	if err := checkSpeed(options.Speed); err != nil {
		return &usageError{cmd.CommandPath(), err}
	}
	files, err := c.localFiles()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if env, err := readEnv(files.env); err == nil {
		if _, alive := embeddedAWS(ctx, env.Endpoint); alive {
			return &app.Refused{Cause: fmt.Errorf("local up: the embedded AWS of this directory is already running at %s", env.Endpoint), Next: `eval "$(tapctl local env)"`}
		}
	}
	// State of an account that is gone would only mislead the next deploy.
	for _, stale := range []string{filepath.Dir(files.env), filepath.Join(c.state, "pulumi")} {
		if err := os.RemoveAll(stale); err != nil {
			return fmt.Errorf("local up: clear %s: %w", stale, err)
		}
	}
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	options.Log = slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: level}))
	server, err := c.startLocal(ctx, files, options)
	if err != nil {
		return err
	}
	env := server.Env()
	c.printf("embedded AWS: endpoint %s, dns %s, front doors on port %d, clock %vx\n", env.Endpoint, env.DNSServer, env.HTTPSPort, options.Speed)
	c.printf("next, in another shell: eval \"$(tapctl local env)\"\n")
	err = server.Wait()
	// The next 'local env' must wait for the next 'local up'.
	os.Remove(files.env) // Non-fatal: env checks that it answers.
	return err
}

// checkSpeed bounds how many times faster the embedded AWS's clock may run.
func checkSpeed(speed float64) error {
	if !(speed >= 0.1 && speed <= 3600) {
		return fmt.Errorf("--speed %v: want 0.1 to 3600", speed)
	}
	return nil
}

// startLocal starts the embedded AWS and leaves what other processes need.
func (c *command) startLocal(ctx context.Context, files localFiles, options localaws.Options) (*localaws.Server, error) {
	cfg, err := demoConfig(c.configFile)
	if err != nil {
		return nil, err
	}
	options.Zones = append(options.Zones, cfg.zone)
	options.Regions = append(options.Regions, cfg.regions...)
	options.CAFile, options.StateDir = files.ca, files.state
	if err := os.MkdirAll(files.state, 0o700); err != nil {
		return nil, fmt.Errorf("local up: %w", err)
	}
	if err := os.WriteFile(files.config, configs.Local, 0o600); err != nil {
		return nil, fmt.Errorf("local up: %w", err)
	}
	server, err := localaws.Start(ctx, options)
	if err != nil {
		return nil, &app.Refused{Cause: fmt.Errorf("local up: %w", err), Next: "choose other ports, or let the system choose them"}
	}
	encoded, err := json.Marshal(server.Env())
	if err == nil {
		err = os.WriteFile(files.env, encoded, 0o600)
	}
	return server, err
}

type demo struct {
	zone    string
	regions []string
}

// demoConfig is the zone and the regions that the account should have: the
// configuration's own where there is one.
func demoConfig(file string) (demo, error) {
	d := demo{zone: "example.test", regions: []string{"eu-west-1", "eu-central-1"}}
	if !readableFile(file) {
		return d, nil
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		return d, err
	}
	return demo{zone: cfg.Domain.Zone, regions: []string{cfg.SourceRegion, cfg.TargetRegion}}, nil
}

func readEnv(file string) (localaws.Env, error) {
	var env localaws.Env
	encoded, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(encoded, &env)
	}
	return env, err
}

// localWait is how long env, fault, asked and reset wait for 'local up &' to be ready.
const localWait = 30 * time.Second

// findLocal waits, bounded, for the embedded AWS of this directory.
func (c *command) findLocal(ctx context.Context) (localaws.Env, error) {
	files, err := c.localFiles()
	if err != nil {
		return localaws.Env{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, localWait)
	defer cancel()
	for {
		if env, err := readEnv(files.env); err == nil {
			if env, alive := embeddedAWS(ctx, env.Endpoint); alive {
				return env, nil
			}
		}
		if (clock.Real{}).Sleep(ctx, 100*time.Millisecond) != nil {
			if c.interrupted() {
				return localaws.Env{}, errSignal
			}
			return localaws.Env{}, &app.Refused{Cause: fmt.Errorf("no embedded AWS answers in this directory (waited %v)", localWait), Next: "tapctl local up &"}
		}
	}
}

func (c *command) localEnvCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: `Print what makes a shell use the embedded AWS: eval "$(tapctl local env)"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			env, err := c.findLocal(ctx)
			if err != nil {
				return err
			}
			variables := c.localVariables(env)
			if c.output == "json" {
				return c.json(variables)
			}
			for _, v := range variables {
				c.printf("export %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
			}
			// A profile or a session of the user's own would win over the keys.
			c.printf("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CA_BUNDLE\n")
			return nil
		},
	}
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// localVariables point tapctl, the SDKs and the AWS CLI at the embedded AWS.
func (c *command) localVariables(env localaws.Env) []variable {
	architecture := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	variables := []variable{
		{"AWS_ENDPOINT_URL", env.Endpoint}, {"AWS_ACCESS_KEY_ID", "local"}, {"AWS_SECRET_ACCESS_KEY", "local"}, {"AWS_REGION", "us-east-1"},
		{"TAPCTL_CLOCK", env.Clock}, {"TAPCTL_AWS_ENDPOINT_URL", env.Endpoint}, {"TAPCTL_AWS_DNS_SERVER", env.DNSServer},
		{"TAPCTL_AWS_HTTPS_PORT", fmt.Sprint(env.HTTPSPort)}, {"TAPCTL_AWS_CA_BUNDLE", env.CAFile},
		{"TAPCTL_INFRA_PROVIDER", "local"}, {"TAPCTL_INFRA_BACKEND_URL", "file://" + env.StateDir},
		{"TAPCTL_FUNCTION_ARCHITECTURE", architecture},
	}
	if !readableFile(c.configFile) {
		variables = append(variables, variable{"TAPCTL_CONFIG", filepath.Join(filepath.Dir(env.CAFile), "tapctl.yaml")})
	}
	return variables
}

func (c *command) localFaultCommand() *cobra.Command {
	var f fault.Fault
	var side, kind string
	var clear bool
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Put a fault into one side, or clear it",
		Long: `fault makes one side misbehave: error and latency strike the application's
function, throttle makes it refuse, region-down takes front door and control
plane away, expired-credentials makes every signed call fail. Nothing that runs
against the embedded AWS can tell an injected fault from a real one.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			region, err := c.regionOf(cmd, side, f.Region)
			if err != nil {
				return err
			}
			f.Region, f.Kind = region, fault.Kind(kind)
			return c.localFault(cmd, f, clear)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&side, "side", "", "blue or green, by the configuration's regions")
	flags.StringVar(&f.Region, "region", "", "a region instead of a side; * is all")
	flags.StringVar(&kind, "kind", "", "error, latency, throttle, region-down or expired-credentials")
	flags.Float64Var(&f.Rate, "rate", 1, "share of what is struck, above 0 and at most 1")
	flags.DurationVar(&f.Latency, "latency", 3*time.Second, "real time that a latency fault adds")
	flags.StringVar(&f.Target, "target", "", "what is struck, a pattern like function/*-api:next (default: the application)")
	flags.BoolVar(&clear, "clear", false, "end the faults of the side, or all")
	return cmd
}

// regionOf is the region of the side. Without either it is every region, which
// only --clear takes.
func (c *command) regionOf(cmd *cobra.Command, side, region string) (string, error) {
	if side == "" {
		return region, nil
	}
	if region != "" {
		return "", &usageError{cmd.CommandPath(), errors.New("--side and --region exclude each other")}
	}
	cfg, err := c.load(nil)
	if err != nil {
		return "", err
	}
	switch side {
	case "blue":
		return cfg.SourceRegion, nil
	case "green":
		return cfg.TargetRegion, nil
	default:
		return "", &usageError{cmd.CommandPath(), fmt.Errorf("--side %q: want blue or green", side)}
	}
}

func (c *command) localFault(cmd *cobra.Command, f fault.Fault, clear bool) error {
	if f.Kind != fault.Latency {
		f.Latency = 0
	}
	if f.Target == "" {
		f.Target = fault.DefaultTarget(f.Kind)
	}
	if f.Region == "" && f.Kind == fault.ExpiredCredentials {
		f.Region = "*" // credentials are the account's, not a region's
	}
	if !clear {
		if err := f.Validate(); err != nil {
			return &usageError{cmd.CommandPath(), err}
		}
	}
	env, err := c.findLocal(cmd.Context())
	if err != nil {
		return err
	}
	if clear {
		err = callLocal(cmd.Context(), http.MethodDelete, env.Endpoint+localaws.FaultsPath+"?region="+f.Region, nil, nil)
	} else {
		err = callLocal(cmd.Context(), http.MethodPost, env.Endpoint+localaws.FaultsPath, f, nil)
	}
	if err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(map[string]any{"fault": f, "cleared": clear})
	}
	if clear {
		c.printf("faults cleared: %s\n", orAll(f.Region))
		return nil
	}
	c.printf("fault injected: %s in %s, target %s, rate %v\n", f.Kind, f.Region, f.Target, f.Rate)
	return nil
}

func orAll(region string) string {
	if region == "" {
		return "all regions"
	}
	return region
}

// callLocal talks to the embedded AWS itself; answer may be nil.
func callLocal(ctx context.Context, method, url string, body, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the embedded AWS: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("ask the embedded AWS: %s: %s", response.Status, bytes.TrimSpace(message))
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("ask the embedded AWS: %w", err)
	}
	return nil
}

func (c *command) localResetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Empty the embedded AWS: no resource, no fault, no Pulumi state",
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := c.findLocal(cmd.Context())
			if err != nil {
				return err
			}
			if err := callLocal(cmd.Context(), http.MethodPost, env.Endpoint+localaws.ResetPath, struct{}{}, nil); err != nil {
				return err
			}
			if err := os.RemoveAll(filepath.Join(c.state, "pulumi")); err != nil {
				return fmt.Errorf("local reset: %w", err)
			}
			c.printf("the embedded AWS is empty\n")
			return nil
		},
	}
}
