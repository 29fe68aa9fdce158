package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/localaws/provider"
)

// defaultState is where this folder keeps what a run leaves: the local copy of
// the topology, Pulumi's workspace, the embedded AWS.
const defaultState = ".tapctl"

// load reads the configuration with the flags laid over it, without the Lambda
// packages and the Pulumi CLI: who deploys nothing needs none, and a rollback
// must not fail for want of a zip.
func (c *command) load(overrides map[string]any) (config.Config, error) {
	bare := map[string]any{"function.api": "", "function.forward": "", "infra.pulumi": ""}
	maps.Copy(bare, overrides)
	return config.Load(c.configFile, bare)
}

// loadUnpackaged is load with the Pulumi CLI, for who only deletes.
func (c *command) loadUnpackaged() (config.Config, error) {
	return config.Load(c.configFile, map[string]any{"function.api": "", "function.forward": ""})
}

// loadPackaged is load with all that a deploy needs: the Lambda packages, which
// are there and are ones, and the Pulumi CLI.
func (c *command) loadPackaged(overrides map[string]any) (config.Config, error) {
	cfg, err := config.Load(c.configFile, overrides)
	if err != nil {
		return cfg, err
	}
	var missing []config.Problem
	for key, path := range map[string]*string{"function.api": &cfg.Function.API, "function.forward": &cfg.Function.Forward} {
		if *path != "" {
			continue
		}
		*path = filepath.Join(c.Home, "function", strings.TrimPrefix(key, "function.")+".zip")
		if err := config.CheckArtifact(*path); err != nil {
			missing = append(missing, config.Problem{Key: key, Value: *path, Reason: err.Error()})
		}
	}
	if len(missing) > 0 {
		return cfg, &config.Error{File: c.configFile, Problems: missing}
	}
	return cfg, nil
}

// theClock is the machine's, or that of the embedded AWS.
func (c *command) theClock() (clock.Clock, error) {
	k, err := clock.Parse(c.Env("TAPCTL_CLOCK"))
	if err != nil {
		return nil, &usageError{"tapctl", err}
	}
	return k, nil
}

// app wires one run.
func (c *command) app(ctx context.Context, cfg config.Config) (*app.App, error) {
	k, err := c.theClock()
	if err != nil {
		return nil, err
	}
	clients, err := awsapi.Load(ctx, cfg.AWS)
	if err != nil {
		return nil, &app.Refused{Cause: err}
	}
	owner, url := c.owner()
	c.run = owner
	return &app.App{
		Config: cfg, Clients: clients, Clock: k, Emit: c.emit, Owner: owner, RunURL: url, StateDir: c.state, Stop: c.Stop, Started: k.Now(),
	}, nil
}

// provisioner wires one run that asks Pulumi too.
func (c *command) provisioner(ctx context.Context, cfg config.Config) (*app.App, infra.Runner, error) {
	a, err := c.app(ctx, cfg)
	if err != nil {
		return nil, infra.Runner{}, err
	}
	runner, err := c.runner(ctx, cfg)
	return a, runner, err
}

// ready loads the configuration and wires one run, for commands that add
// nothing to either.
func (c *command) ready(ctx context.Context) (*app.App, error) {
	cfg, err := c.load(nil)
	if err != nil {
		return nil, err
	}
	return c.app(ctx, cfg)
}

// owner names this run to others, and where its log can be read.
func (c *command) owner() (owner, url string) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	// Two containers may share host name and process id; the same owner may
	// take its own live lease, so no two runs may look the same.
	unique := make([]byte, 4)
	rand.Read(unique) // crypto/rand never fails
	owner = fmt.Sprintf("%s/%d-%x", host, os.Getpid(), unique)
	switch {
	case c.Env("GITHUB_RUN_ID") != "":
		url = fmt.Sprintf("%s/%s/actions/runs/%s", c.Env("GITHUB_SERVER_URL"), c.Env("GITHUB_REPOSITORY"), c.Env("GITHUB_RUN_ID"))
	case c.Env("CI_JOB_URL") != "":
		url = c.Env("CI_JOB_URL")
	case c.Env("BUILD_URL") != "":
		url = c.Env("BUILD_URL")
	}
	return owner, url
}

// artifacts are the two Lambda packages. What cannot be read is refused: it is
// read before anything is changed.
func artifacts(cfg config.Config) (api, forward infra.Artifact, err error) {
	if api, err = artifact(cfg.Function.API); err == nil {
		forward, err = artifact(cfg.Function.Forward)
	}
	if err != nil {
		return api, forward, &app.Refused{Cause: err}
	}
	return api, forward, nil
}

// artifact names a Lambda package and labels it by its content.
func artifact(path string) (infra.Artifact, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return infra.Artifact{}, err
	}
	file, err := os.Open(absolute)
	if err != nil {
		return infra.Artifact{}, fmt.Errorf("read artifact: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return infra.Artifact{}, fmt.Errorf("read artifact %s: %w", absolute, err)
	}
	return infra.Artifact{Path: absolute, Version: hex.EncodeToString(hash.Sum(nil))[:12]}, nil
}

// embeddedAWS asks the endpoint whether it is the embedded AWS.
func embeddedAWS(ctx context.Context, endpoint string) (localaws.Env, bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var env localaws.Env
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+localaws.EnvPath, nil)
	if err != nil {
		return env, false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return env, false
	}
	defer response.Body.Close()
	return env, response.StatusCode == http.StatusOK && json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&env) == nil
}

// runner is Pulumi for this configuration. Against the embedded AWS it
// attaches the in-process provider, which ends with ctx.
func (c *command) runner(ctx context.Context, cfg config.Config) (infra.Runner, error) {
	work, err := filepath.Abs(filepath.Join(c.state, "pulumi"))
	if err != nil {
		return infra.Runner{}, err
	}
	k, err := c.theClock()
	if err != nil {
		return infra.Runner{}, err
	}
	r := infra.Runner{
		Pulumi: c.pulumiRoot(cfg), BackendURL: cfg.Infra.BackendURL, SecretsProvider: cfg.Infra.SecretsProvider, WorkDir: work,
		Timeout: cfg.Infra.Timeout, Env: map[string]string{}, Progress: func(change infra.Change) {
			c.emit(cutover.Event{At: k.Now(), Kind: cutover.EventWrite, Text: fmt.Sprintf("%s %s %s", change.Op, change.Type, change.Name)})
		},
	}
	local := cfg.Infra.Provider == "local"
	if cfg.Infra.Provider == "auto" && cfg.AWS.EndpointURL != "" {
		_, local = embeddedAWS(ctx, cfg.AWS.EndpointURL)
	}
	if local {
		return c.localRunner(ctx, r, k)
	}
	return r, c.checkBackend(r)
}

func (c *command) localRunner(ctx context.Context, r infra.Runner, k clock.Clock) (infra.Runner, error) {
	port, err := provider.ServeWith(ctx, provider.Options{Log: slog.New(slog.DiscardHandler), Clock: k})
	if err != nil {
		return r, fmt.Errorf("serve the local provider: %w", err)
	}
	r.Env["PULUMI_DEBUG_PROVIDERS"] = fmt.Sprintf("aws:%d", port)
	// Nothing is left in the user's own Pulumi home: plugins and logins are of
	// no use here. In the process too: the Automation API asks the CLI for its
	// version with this process's environment.
	home := filepath.Join(r.WorkDir, "home")
	r.Env["PULUMI_HOME"] = home
	if err := os.Setenv("PULUMI_HOME", home); err != nil {
		return r, fmt.Errorf("set PULUMI_HOME: %w", err)
	}
	// Without this the engine looks for the real plugin as well, in vain.
	r.Env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
	if r.BackendURL == "" {
		state := filepath.Join(r.WorkDir, "state")
		if err := os.MkdirAll(state, 0o700); err != nil {
			return r, fmt.Errorf("make the local state backend: %w", err)
		}
		r.BackendURL = "file://" + state
	}
	if r.SecretsProvider == "" {
		r.SecretsProvider = "passphrase"
	}
	if c.Env("PULUMI_CONFIG_PASSPHRASE") == "" {
		r.Env["PULUMI_CONFIG_PASSPHRASE"] = "embedded-aws" // nothing secret lives there
	}
	return r, nil
}

// checkBackend refuses state that would be lost or readable.
func (c *command) checkBackend(r infra.Runner) error {
	switch {
	case r.BackendURL == "":
		return &app.Refused{Cause: errors.New("infra.backend_url is not set: name where Pulumi's state lives, an s3:// URL or Pulumi Cloud"), Next: "set infra.backend_url"}
	case strings.HasPrefix(r.BackendURL, "file:") && c.Env("CI") != "":
		return &app.Refused{Cause: infra.ErrLocalBackend, Next: "set infra.backend_url"}
	case r.SecretsProvider == "":
		return &app.Refused{Cause: errors.New("infra.secrets_provider is not set: awskms://KEY?region=REGION, or passphrase"), Next: "set infra.secrets_provider"}
	case r.SecretsProvider == "passphrase" && c.Env("PULUMI_CONFIG_PASSPHRASE") == "" && c.Env("PULUMI_CONFIG_PASSPHRASE_FILE") == "":
		return &app.Refused{Cause: errors.New("infra.secrets_provider is passphrase, and PULUMI_CONFIG_PASSPHRASE is not set"), Next: "set PULUMI_CONFIG_PASSPHRASE"}
	}
	return nil
}

// pulumiRoot is the directory whose bin/pulumi is run; "" is whatever is on
// PATH.
func (c *command) pulumiRoot(cfg config.Config) string {
	if cfg.Infra.Pulumi != "" {
		return cfg.Infra.Pulumi
	}
	beside := filepath.Join(c.Home, "pulumi")
	if readableFile(filepath.Join(beside, "bin", "pulumi")) {
		return beside
	}
	return ""
}
