package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tapctl/tapctl/internal/cli"
)

// ran is one command line in this process, in a folder of its own.
type ran struct {
	code int
	text string // both streams
}

func runIn(t *testing.T, io cli.IO, args ...string) ran {
	t.Helper()
	var text bytes.Buffer
	io.Out, io.Err = &text, &text
	if io.Env == nil {
		io.Env = func(string) string { return "" }
	}
	code := cli.Main(t.Context(), args, io)
	return ran{code, text.String()}
}

// TestConfirm: what cannot be undone is done only upon a yes.
func TestConfirm(t *testing.T) {
	t.Parallel()
	silent, _ := io.Pipe() // nobody types
	signalled := make(chan struct{})
	close(signalled)
	missing := filepath.Join(t.TempDir(), "none.yaml")
	for name, tt := range map[string]struct {
		io   cli.IO
		code int
		says string
	}{
		// It goes on, to a configuration that is not there.
		"yes":       {cli.IO{In: strings.NewReader("y\n"), Terminal: true}, 2, "none.yaml"},
		"YES":       {cli.IO{In: strings.NewReader("YES\n"), Terminal: true}, 2, "none.yaml"},
		"no":        {cli.IO{In: strings.NewReader("n\n"), Terminal: true}, 3, "not confirmed"},
		"enter":     {cli.IO{In: strings.NewReader("\n"), Terminal: true}, 3, "not confirmed"},
		"no answer": {cli.IO{In: strings.NewReader(""), Terminal: true}, 3, "not confirmed"},
		"a job":     {cli.IO{In: strings.NewReader("y\n")}, 3, "--yes is needed"},
		"a signal":  {cli.IO{In: silent, Terminal: true, Stop: signalled}, 130, "signal received before any change"},
	} {
		for _, command := range []string{"retire", "destroy"} {
			t.Run(command+"/"+name, func(t *testing.T) {
				t.Parallel()
				io := tt.io
				if r, seeks := io.In.(*strings.Reader); seeks { // each case has its own
					again := *r
					io.In = &again
				}
				got := runIn(t, io, command, "-c", missing)
				if got.code != tt.code || !strings.Contains(got.text, tt.says) {
					t.Errorf("exit code %d, want %d and %q:\n%s", got.code, tt.code, tt.says, got.text)
				}
			})
		}
	}
}

// TestASignalEndsWhatOnlyAsks: the first signal ends every command that turns
// no dial, whatever it waits for, with the signal's own exit code.
func TestASignalEndsWhatOnlyAsks(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // Non-fatal: who has read all hears that the caller leaves.
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	silent, _ := io.Pipe()
	for name, tt := range map[string]struct {
		args  []string
		waits bool // for AWS; else for what no test can see begin
	}{
		"history":      {[]string{"history"}, true},
		"plan":         {[]string{"plan"}, true},
		"approve":      {[]string{"approve", "--dry-run"}, true},
		"status":       {[]string{"status"}, true},
		"policy shift": {[]string{"policy", "shift"}, true},
		"secret put":   {[]string{"secret", "put"}, false},
		"bench harm":   {[]string{"bench", "harm", "--seeds", "10000"}, false},
		"local reset":  {[]string{"local", "reset"}, false},
		"local env":    {[]string{"local", "env"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			signal := sync.OnceFunc(func() { close(stop) })
			if !tt.waits {
				signal()
			}
			answer := make(chan ran, 1)
			go func() {
				answer <- runIn(t, cli.IO{In: silent, Stop: stop}, append(tt.args, "-c", smallest(t, hangs.URL))...)
			}()
			var got ran
			select {
			case <-asked:
				signal()
				got = <-answer
			case got = <-answer:
			}
			if got.code != 130 {
				t.Errorf("exit code %d, want 130:\n%s", got.code, got.text)
			}
		})
	}
}

// smallest is a configuration that is right, in a folder of its own, for an AWS
// at the endpoint.
func smallest(t *testing.T, endpoint string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tapctl.yaml")
	err := os.WriteFile(file, []byte(`team_name: Shop
environment: demo
source_region: eu-west-1
target_region: eu-central-1
domain: {name: api.example.test, zone: example.test}
allowed_cidr: ["0.0.0.0/0"]
aws: {endpoint_url: "`+endpoint+`"}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
