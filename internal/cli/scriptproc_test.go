package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/clock"
)

// process is one command that a script runs beside itself. testscript's own
// background commands tell neither the exit code nor what they say meanwhile.
type process struct {
	cmd      *exec.Cmd
	out, err string // files of its streams
	done     chan struct{}
	result   error
	signaled time.Time
}

type processes map[string]*process

// processesKey is where a script keeps its processes.
type processesKey struct{}

func running(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey{}).(processes)[name]
	if p == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return p
}

// start runs a command in the background; NAME.out and NAME.err are its
// streams.
func start(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "start NAME COMMAND...")
	ts.Check(ts.Exec("environ"))
	var environment []string
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &environment))
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	p := &process{cmd: exec.Command(path, args[2:]...), out: ts.MkAbs(args[0] + ".out"), err: ts.MkAbs(args[0] + ".err"), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = ts.MkAbs("."), environment
	out, err := os.Create(p.out)
	ts.Check(err)
	story, err := os.Create(p.err)
	ts.Check(err)
	p.cmd.Stdout, p.cmd.Stderr = out, story
	ts.Check(p.cmd.Start())
	go func() {
		p.result = p.cmd.Wait()
		out.Close()   // Non-fatal: the process wrote it, not this one.
		story.Close() // Non-fatal: as above.
		close(p.done)
	}()
	ts.Value(processesKey{}).(processes)[args[0]] = p
}

// patience is the real time after which a background process is late.
const patience = 2 * time.Minute

// said is both streams of the process so far.
func (p *process) said(ts *testscript.TestScript) []byte {
	out, err := os.ReadFile(p.out)
	ts.Check(err)
	story, err := os.ReadFile(p.err)
	ts.Check(err)
	return append(out, story...)
}

// await waits until the process has said something.
func await(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "await NAME REGEXP")
	p, pattern := running(ts, args[0]), regexp.MustCompile(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		text := p.said(ts)
		if pattern.Match(text) {
			return
		}
		select {
		case <-p.done:
			ts.Fatalf("%s ended before it said %q: %v\n%s", args[0], args[1], p.result, text)
		default:
		}
		if (clock.Real{}).Sleep(ctx, 20*time.Millisecond) != nil {
			ts.Fatalf("%s did not say %q in %v:\n%s", args[0], args[1], patience, text)
		}
	}
}

// until runs a command again and again until its stdout matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "until REGEXP COMMAND...")
	pattern := regexp.MustCompile("(?m)" + args[0])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if err := ts.Exec(args[1], args[2:]...); err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if (clock.Real{}).Sleep(ctx, 100*time.Millisecond) != nil {
			ts.Fatalf("no match for %q in %v", args[0], patience)
		}
	}
}

var signals = map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}

// signal sends one.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2 && signals[args[1]] != nil, "signal NAME INT|TERM|KILL")
	p := running(ts, args[0])
	p.signaled = (clock.Real{}).Now()
	ts.Check(p.cmd.Process.Signal(signals[args[1]]))
}

// finish waits for the process and wants exactly this exit code, within a time
// after the last signal where one is given.
func finish(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && (len(args) == 2 || len(args) == 3), "finish NAME CODE [WITHIN]")
	p := running(ts, args[0])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		ts.Fatalf("%s did not end in %v", args[0], patience)
	}
	took := (clock.Real{}).Now().Sub(p.signaled)
	ts.Logf("[%s]\n%s", args[0], p.said(ts))
	if code := strconv.Itoa(p.cmd.ProcessState.ExitCode()); code != args[1] {
		ts.Fatalf("%s: exit code %s, want %s", args[0], code, args[1])
	}
	if len(args) == 3 {
		limit, err := time.ParseDuration(args[2])
		ts.Check(err)
		if took > limit {
			ts.Fatalf("%s ended %v after the signal, want at most %v", args[0], took, limit)
		}
	}
	delete(ts.Value(processesKey{}).(processes), args[0])
}

// end takes down what a script left: gently, because the embedded AWS has
// processes of its own.
func (all processes) end(t testscript.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for name, p := range all {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		select {
		case <-p.done:
		case <-ctx.Done():
			t.Log(name + " did not end when asked to")
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if text, err := os.ReadFile(p.err); err == nil && len(text) > 0 {
			t.Log("[" + name + " stderr]\n" + string(text))
		}
	}
}
