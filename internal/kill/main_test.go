// Package kill_test runs the built binary against the embedded AWS, under
// traffic, and ends, signals or suspends it at its calls to AWS, one after the
// other: before the request arrives, and after its effect but before the
// answer. It knows what docs/cutover.md promises and nothing of how the
// product keeps it.
package kill_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
)

// nothing is where the proxies' servers complain of connections that end.
var nothing = log.New(io.Discard, "", 0)

// every makes each single call a point, on both sides, with both ways to go
// on: make kill.
var every = os.Getenv("TAPCTL_KILL_ALL") != ""

// only is the one case to run, as a failure prints it.
var only = os.Getenv("TAPCTL_KILL")

// pool are the worlds that the tests share, started when the first one asks.
var pool worlds

func TestMain(m *testing.M) {
	// The test reads the embedded AWS through the SDK, and its processes take
	// nothing else from the machine either.
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "CI_JOB_URL": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "tapctl-kill-")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	pool = worlds{ctx: ctx, dir: dir}
	code := m.Run()
	pool.close()
	cancel()
	os.RemoveAll(dir) // Non-fatal: it is in the temporary folder.
	os.Exit(code)
}

// home is what 'make build' left, absolute.
func home() (string, error) {
	dir := os.Getenv("TAPCTL_HOME")
	if dir == "" {
		dir = filepath.Join("..", "..", "build")
	}
	return filepath.Abs(dir)
}

// missing says what keeps the worlds from being deployed.
func missing(home string) error {
	for _, name := range []string{"function/api.zip", "function/forward.zip"} {
		if _, err := os.Stat(filepath.Join(home, name)); err != nil {
			return fmt.Errorf("run make build: %w", err)
		}
	}
	options := &auto.PulumiCommandOptions{}
	root := filepath.Join(home, "pulumi")
	if _, err := os.Stat(filepath.Join(root, "bin", "pulumi")); err == nil {
		options.Root = root
	}
	if _, err := auto.NewPulumiCommand(options); err != nil {
		return fmt.Errorf("run make pulumi: %w", err)
	}
	return nil
}

// build makes the binary from the sources as they are: one of an older build
// would be tested in vain.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "tapctl")
	out, err := exec.Command("go", "build", "-o", binary, "../../cmd/tapctl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return binary, nil
}
