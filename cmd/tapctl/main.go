// Command tapctl moves a live serverless application from one AWS region to
// another. It only wires signals, streams and the exit code; see internal/cli.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/term"

	"github.com/tapctl/tapctl/internal/cli"
)

func main() {
	stop := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var terminated atomic.Bool
	go func() {
		terminated.Store(<-signals == syscall.SIGTERM)
		close(stop)
		<-signals
		fmt.Fprintln(os.Stderr, "tapctl: second signal, leaving at once. Where traffic is: tapctl status. To send it back: tapctl rollback")
		os.Exit(5)
	}()
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.IO{
		Out: os.Stdout, Err: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd())),
		Env: os.Getenv, Home: home(), Stop: stop, Terminated: terminated.Load,
	}))
}

// home is where the build put what belongs to tapctl.
func home() string {
	if dir := os.Getenv("TAPCTL_HOME"); dir != "" {
		return dir
	}
	exe, err := os.Executable()
	if err != nil {
		return "."
	}
	if resolved, err := filepath.EvalSymlinks(exe); err == nil {
		exe = resolved
	}
	return filepath.Dir(exe)
}
