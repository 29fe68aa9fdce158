package kill_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
)

// process is one run of the built binary, with a way to AWS of its own.
type process struct {
	name   string
	cmd    *exec.Cmd
	proxy  *proxy
	output buffer
	done   chan struct{}
}

// buffer is written by the process's two streams and read by the test.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs tapctl against this world, with a strike or nil.
func (w *world) start(t *testing.T, s *strike, env []string, args ...string) *process {
	t.Helper()
	p := &process{name: strings.Join(args, " "), done: make(chan struct{})}
	p.proxy = newProxy(w, p, s)
	p.cmd = exec.Command(w.binary, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = w.dir, &p.output, &p.output
	p.cmd.Env = append(append(os.Environ(), w.environment(p.proxy.URL)...), env...)
	// A strike may come as soon as the process runs: it needs the process.
	p.proxy.mu.Lock()
	err := p.cmd.Start()
	p.proxy.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its code is asked for, its output is kept
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		p.proxy.Close()
		if t.Failed() {
			t.Logf("[%s] %v\n%s", p.name, p.cmd.ProcessState, p.output.String())
		}
	})
	return p
}

// kill ends the process as the machine's death would, and returns once it is
// gone.
func (p *process) kill() bool {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
	return false
}

// patience is the real time after which a process is late.
const patience = time.Minute

// code waits for the process to end, and for its requests under way.
func (p *process) code(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		t.Fatalf("%s did not end in %v:\n%s", p.name, patience, p.output.String())
	}
	p.proxy.Close()
	return p.cmd.ProcessState.ExitCode()
}

// struckOrEnded tells whether the strike came before the process ended.
func (p *process) struckOrEnded(t *testing.T) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-p.proxy.hit:
		return true
	case <-p.done:
	case <-ctx.Done():
		t.Fatalf("%s neither ended nor came to where it is struck in %v:\n%s", p.name, patience, p.output.String())
	}
	select {
	case <-p.proxy.hit: // it died of it
		return true
	default:
		return false
	}
}

// signal sends one, and returns when, by the machine's clock.
func (p *process) signal(s syscall.Signal) time.Time {
	at := clock.Real{}.Now()
	_ = p.cmd.Process.Signal(s) // it may have ended by itself
	return at
}
