package cli_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/cli"
)

var update = flag.Bool("update", false, "rewrite the golden files inside the scripts")

// TestMain makes tapctl a command of the scripts: each 'exec tapctl' is this
// test binary again, as a process of its own with signals of its own.
func TestMain(m *testing.M) {
	// The commands below read the embedded AWS through the SDK.
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_PROFILE": "", "AWS_SESSION_TOKEN": ""} {
		if base := filepath.Base(os.Args[0]); base == "tapctl" || base == "environ" {
			break // only of the tests' own process
		}
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"tapctl": tapctl, "environ": environ})
}

func tapctl() {
	stop, terminated := cli.Signals(func() {
		fmt.Fprintln(os.Stderr, cli.Impatient)
		os.Exit(cli.ImpatientCode)
	})
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Home: os.Getenv("TAPCTL_HOME"), Stop: stop, Terminated: terminated,
	}))
}

// environ prints its environment: a script's is not told to its commands.
func environ() {
	if err := json.NewEncoder(os.Stdout).Encode(os.Environ()); err != nil {
		panic(err)
	}
}

const scripts = "testdata/script"

// atOnce is how many scripts run beside each other: each keeps a core busy.
const atOnce = 2

// TestScripts runs every script. Those that begin with [!built] skip need what
// 'make build' leaves in TAPCTL_HOME.
func TestScripts(t *testing.T) {
	t.Parallel()
	home := buildDir(t)
	missing := missingFrom(home)
	path, err := exec.LookPath("tapctl")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Dir(path)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, atOnce)
	testscript.Run(t, testscript.Params{
		Dir: scripts, UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: commands,
		Condition: func(condition string) (bool, error) {
			if condition != "built" {
				return false, fmt.Errorf("unknown condition %q", condition)
			}
			if missing != nil && os.Getenv("CI") == "true" {
				return false, fmt.Errorf("CI must not skip: %w", missing)
			}
			return missing == nil, nil
		},
		Setup: func(env *testscript.Env) error {
			slots <- struct{}{}
			env.Defer(func() { <-slots })
			env.Setenv("TAPCTL_HOME", home)
			env.Setenv("SPEED", "120")
			env.Setenv("BIN", bin)
			env.Setenv("ASSUMPTIONS", filepath.Join(wd, "..", "..", "docs", "assumptions.md"))
			env.Setenv("missing", fmt.Sprint(missing))
			all := processes{}
			env.Values[processesKey{}] = all
			env.Defer(func() { all.end(env.T()) })
			return nil
		},
	})
}

// buildDir is TAPCTL_HOME, or where 'make build' puts things.
func buildDir(t *testing.T) string {
	t.Helper()
	home := os.Getenv("TAPCTL_HOME")
	if home == "" {
		home = filepath.Join("..", "..", "build")
	}
	absolute, err := filepath.Abs(home)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

// missingFrom says what keeps the scripts from deploying.
func missingFrom(home string) error {
	for _, name := range []string{"tapctl", "function/api.zip", "function/forward.zip"} {
		if _, err := os.Stat(filepath.Join(home, name)); err != nil {
			return fmt.Errorf("run make build: %w", err)
		}
	}
	options := &auto.PulumiCommandOptions{}
	if root := filepath.Join(home, "pulumi"); exists(filepath.Join(root, "bin", "pulumi")) {
		options.Root = root
	}
	if _, err := auto.NewPulumiCommand(options); err != nil {
		return fmt.Errorf("run make pulumi: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestEveryFileIsAScript fails on a file below testdata that nothing runs.
func TestEveryFileIsAScript(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("testdata", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && (filepath.Dir(path) != filepath.FromSlash(scripts) || filepath.Ext(path) != ".txtar") {
			t.Errorf("%s is run by no test: scripts are %s/*.txtar", path, scripts)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
