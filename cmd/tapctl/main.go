// Command tapctl moves a live serverless application from one AWS region to
// another. It only wires signals, streams and the exit code; see internal/cli.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/tapctl/tapctl/internal/cli"
)

func main() {
	stop, terminated := cli.Signals(func() {
		fmt.Fprintln(os.Stderr, cli.Impatient)
		os.Exit(cli.ImpatientCode)
	})
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd())),
		Env: os.Getenv, Home: home(), Stop: stop, Terminated: terminated,
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
