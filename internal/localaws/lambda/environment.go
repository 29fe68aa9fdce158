package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// initTimeout is AWS's bound on the init phase.
	initTimeout = 10 * time.Second
	// maxLine bounds one log event, as CloudWatch Logs does.
	maxLine = 256 << 10
	// tailBytes is how much of the log an invocation can ask for.
	tailBytes = 4 << 10
)

// environment is one process of a release with a Runtime API of its own.
type environment struct {
	release   *release
	logStream string
	cmd       *exec.Cmd
	server    *http.Server
	log       func(line string)
	work      chan *invocation // taken by the bootstrap's next
	ready     chan struct{}    // closed by its first next
	exited    chan struct{}    // closed when the process is gone
	hasStream atomic.Bool      // its log stream was allowed
	idleSince time.Time        // guarded by the executor
	initTook  time.Duration    // reported once, with the first invocation

	mu        sync.Mutex
	isReady   bool
	current   *invocation
	initError []byte // what the bootstrap posted to init/error
	exitError error
	tail      bytes.Buffer
}

// invocation is one event on its way through a bootstrap.
type invocation struct {
	id, functionARN, clientContext string
	payload                        []byte
	deadline                       time.Time // of the machine's clock
	done                           chan outcome
}

// outcome is what a bootstrap, or its end, made of an invocation.
type outcome struct {
	payload       []byte
	functionError string // "" or "Unhandled"
}

// failure is an outcome in the shape the runtime gives its own errors.
func failure(errorType, format string, args ...any) outcome {
	payload, err := json.Marshal(struct {
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}{errorType, fmt.Sprintf(format, args...)})
	if err != nil {
		panic(err) // two strings
	}
	return outcome{payload, "Unhandled"}
}

// initError is a function that could not be started: its invocation fails
// with the outcome.
type initError struct{ outcome outcome }

// Error implements error.
func (e *initError) Error() string { return "start the function: " + string(e.outcome.payload) }

// spawn starts a process and waits for it to ask for work.
func (x *executor) spawn(ctx context.Context, r *release, requestID string) (*environment, error) {
	root, err := x.taskRoot(r)
	if err != nil {
		return nil, &initError{failure("Runtime.InvalidEntrypoint", "RequestId: %s Error: %v", requestID, err)}
	}
	begin := x.machine.Now()
	e := &environment{
		release: r, work: make(chan *invocation), ready: make(chan struct{}), exited: make(chan struct{}),
		logStream: fmt.Sprintf("%s[%s]%s", r.ModifiedAt.Format("2006/01/02/"), r.Version, strings.ReplaceAll(newID(), "-", "")),
	}
	logs := context.WithoutCancel(ctx) // the process outlives its first invocation
	e.log = func(line string) {
		e.remember(line)
		x.log(logs, e, line)
	}
	env, err := x.envOf(r, e.logStream)
	if err != nil {
		return nil, err
	}
	if err := x.launch(e, root, env); err != nil {
		return nil, &initError{failure("Runtime.InvalidEntrypoint", "RequestId: %s Error: fork/exec /var/task/bootstrap: %v", requestID, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	select {
	case <-e.ready:
		e.initTook = x.machine.Now().Sub(begin)
		return e, nil
	case <-e.exited:
		return nil, &initError{e.exitOutcome(requestID)}
	case <-ctx.Done():
		e.kill()
		return nil, &initError{failure("Sandbox.Timedout", "RequestId: %s Error: Init did not finish in %s", requestID, initTimeout)}
	}
}

// launch starts the Runtime API and the process.
func (x *executor) launch(e *environment, root string, env []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.server = &http.Server{Handler: e.runtimeAPI(), ReadHeaderTimeout: initTimeout}
	cmd := exec.CommandContext(x.run, filepath.Join(root, "bootstrap"))
	cmd.Dir = root
	cmd.Env = append(env, "AWS_LAMBDA_RUNTIME_API="+listener.Addr().String(), "LAMBDA_TASK_ROOT="+root)
	stdout, stderr := &lineWriter{emit: e.log}, &lineWriter{emit: e.log}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// A group of its own, so that what the bootstrap starts ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	e.cmd = cmd
	if err := cmd.Start(); err != nil {
		listener.Close()
		// The path of this machine is no business of the caller's.
		if pathError, ok := errors.AsType[*os.PathError](err); ok {
			return pathError.Err
		}
		return err
	}
	go e.server.Serve(listener) // ends with Close
	tracked := x.track(e)
	go func() {
		err := cmd.Wait()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // Non-fatal: usually nobody is left.
		stdout.flush()
		stderr.flush()
		e.mu.Lock()
		e.exitError = err
		e.mu.Unlock()
		e.server.Close()
		x.untrack(e)
		close(e.exited)
	}()
	if !tracked {
		e.kill()
	}
	return nil
}

func (e *environment) kill() {
	if !e.hasExited() {
		syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL) // Non-fatal: it may just have ended.
	}
}

func (e *environment) hasExited() bool {
	select {
	case <-e.exited:
		return true
	default:
		return false
	}
}

// errGone: the process ended before it took the invocation, which therefore
// can be given to another one.
var errGone = errors.New("the environment is gone")

// invoke runs one invocation until ctx ends. usable says whether the
// environment can take another one.
func (e *environment) invoke(ctx context.Context, inv *invocation) (out outcome, usable bool, err error) {
	select {
	case e.work <- inv:
	case <-e.exited:
		return outcome{}, false, errGone
	case <-ctx.Done():
		e.kill()
		return e.timedOut(inv), false, nil
	}
	select {
	case out = <-inv.done:
		return out, true, nil
	case <-e.exited:
	case <-ctx.Done():
		e.kill()
		return e.timedOut(inv), false, nil
	}
	// The answer may have come just before the end.
	select {
	case out = <-inv.done:
		return out, false, nil
	default:
		return e.exitOutcome(inv.id), false, nil
	}
}

func (e *environment) timedOut(inv *invocation) outcome {
	return timedOut(inv.id, e.release.Settings.Timeout)
}

func timedOut(id string, seconds int) outcome {
	return failure("Sandbox.Timedout", "RequestId: %s Error: Task timed out after %d.00 seconds", id, seconds)
}

func (e *environment) exitOutcome(requestID string) outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initError != nil {
		return outcome{e.initError, "Unhandled"}
	}
	if e.exitError != nil {
		return failure("Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: %v", requestID, e.exitError)
	}
	return failure("Runtime.ExitError", "RequestId: %s Error: Runtime exited without providing a reason", requestID)
}

// remember keeps the end of the log for callers that ask for it.
func (e *environment) remember(line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tail.WriteString(line)
	e.tail.WriteByte('\n')
	if extra := e.tail.Len() - tailBytes; extra > 0 {
		e.tail.Next(extra)
	}
}

// takeTail returns the end of the log since it was last called.
func (e *environment) takeTail() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	tail := bytes.Clone(e.tail.Bytes())
	e.tail.Reset()
	return tail
}

// lineWriter cuts what a process writes into lines.
type lineWriter struct {
	emit func(line string)
	rest []byte
}

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 && len(w.rest) < maxLine {
			return len(p), nil
		}
		line, next := min(max(end, 0), maxLine), 0
		if end < 0 || end > maxLine {
			line, next = maxLine, maxLine
		} else {
			next = end + 1
		}
		if line > 0 {
			w.emit(string(w.rest[:line]))
		}
		w.rest = w.rest[next:]
	}
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.emit(string(w.rest))
		w.rest = nil
	}
}
