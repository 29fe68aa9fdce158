package infra_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/infra"
)

func TestCounts(t *testing.T) {
	t.Parallel()
	sum := infra.Counts{Create: 1, Update: 2, Delete: 3, Same: 4}.Add(infra.Counts{Create: 10, Update: 20, Delete: 30, Same: 40})
	same(t, "sum", infra.Counts{Create: 11, Update: 22, Delete: 33, Same: 44}, sum)
	for _, test := range []struct {
		counts infra.Counts
		want   bool
	}{{infra.Counts{Same: 5}, false}, {infra.Counts{Create: 1}, true}, {infra.Counts{Update: 1}, true}, {infra.Counts{Delete: 1}, true}} {
		if test.counts.Any() != test.want {
			t.Errorf("%+v: any %v", test.counts, test.counts.Any())
		}
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	o := infra.Outputs{"text": "a", "number": 1.0, "texts": map[string]any{"x": "1"}, "list": []any{"a", "b"}}
	same(t, "text", "a", o.Text("text"))
	same(t, "absent text", "", o.Text("absent"))
	same(t, "a number as a text", "", o.Text("number"))
	same(t, "texts", map[string]string{"x": "1"}, o.Texts("texts"))
	same(t, "absent texts", map[string]string{}, o.Texts("absent"))
	same(t, "list", []string{"a", "b"}, o.List("list"))
	same(t, "absent list", []string{}, o.List("absent"))
}

func TestNoPulumiIsRefused(t *testing.T) {
	t.Parallel()
	r := infra.Runner{Pulumi: t.TempDir(), WorkDir: t.TempDir(), BackendURL: "file://" + t.TempDir()}
	_, err := r.Up(t.Context(), "a-stack", func(*pulumi.Context) error { return nil })
	missing, ok := errors.AsType[*infra.NoPulumi](err)
	if !ok {
		t.Fatalf("want *infra.NoPulumi, got %v", err)
	}
	if missing.ExitCode() != 3 || missing.Hint() == "" {
		t.Errorf("exit code %d, hint %q", missing.ExitCode(), missing.Hint())
	}
}

func TestStackError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  infra.StackError
		text string
		code int
		hint string
	}{
		{
			"locked", infra.StackError{Step: "deploy", Stack: "s", Locked: true, Failures: []string{"x"}},
			"deploy stack s: another update holds its lock", 3, "wait for the other run, or if it is dead: pulumi cancel s",
		},
		{
			"failures", infra.StackError{Step: "deploy", Stack: "s", Failures: []string{"a", "b"}, Cause: context.Canceled},
			"deploy stack s: a; b", 1, "traffic has not moved; correct the cause and run the same command again",
		},
		{
			"out of time", infra.StackError{Step: "deploy", Stack: "s", Bound: time.Minute, Failures: []string{"a"}, Locked: true, Cause: context.DeadlineExceeded},
			"deploy stack s: not done within 1m0s (infra.timeout): a", 1,
			"traffic has not moved; raise infra.timeout and run the same command again (were its lock left behind: pulumi cancel s)",
		},
		{
			"other", infra.StackError{Step: "preview", Stack: "s", Cause: context.Canceled},
			"preview stack s: context canceled", 1, "traffic has not moved; correct the cause and run the same command again",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			same(t, "text", test.text, test.err.Error())
			same(t, "code", test.code, test.err.ExitCode())
			same(t, "hint", test.hint, test.err.Hint())
		})
	}
}

// The texts are those of Pulumi's CLI; the script livewins has the CLI itself.
func TestLossesThatPulumiRefused(t *testing.T) {
	t.Parallel()
	urn := func(kind, name string) string { return `"urn:pulumi:s::tapctl::aws:s3/` + kind + `::` + name + `"` }
	e := infra.StackError{Failures: []string{
		"unable to replace resource " + urn("replication:Replication", "a") + "\nas it is currently marked for protection.",
		"Preview failed: resource " + urn("policy:Policy", "b") + " cannot be deleted\nbecause it is protected.",
		"something else",
	}}
	same(t, "losses", []infra.Change{{Op: "delete", Type: "aws:s3/policy:Policy", Name: "b"}, {Op: "replace", Type: "aws:s3/replication:Replication", Name: "a"}}, e.Losses())
}

// fakePulumi is a directory with a bin/pulumi that does what the script says
// with its first argument that is not a flag.
func fakePulumi(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\nfor word; do case $word in -*) ;; *) break ;; esac; done\ncase $word in version) echo v3.255.0 ;;\n" + script + "\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "bin", "pulumi"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// operations are all that ask the CLI, by the step that their errors name.
var operations = map[string]func(context.Context, infra.Runner) error{
	"deploy": func(ctx context.Context, r infra.Runner) error {
		_, err := r.Up(ctx, "s", func(*pulumi.Context) error { return nil })
		return err
	},
	"preview": func(ctx context.Context, r infra.Runner) error {
		_, _, err := r.Preview(ctx, "s", func(*pulumi.Context) error { return nil })
		return err
	},
	"destroy": func(ctx context.Context, r infra.Runner) error {
		_, err := r.Destroy(ctx, "s")
		return err
	},
	"read the outputs of": func(ctx context.Context, r infra.Runner) error {
		_, err := r.Outputs(ctx, "s")
		return err
	},
	"read the state of": func(ctx context.Context, r infra.Runner) error {
		_, err := r.Empty(ctx, "s")
		return err
	},
	"look at": func(ctx context.Context, r infra.Runner) error {
		_, err := r.InFlight(ctx, "s", nil)
		return err
	},
}

// hung is long beyond what any test may take.
const hung = "exec sleep 600"

func TestEveryOperationIsBounded(t *testing.T) {
	t.Parallel()
	for step, operate := range operations {
		for where, test := range map[string]struct{ script, step string }{
			"while it opens": {"*) " + hung + " ;;", "open"},
			"at its work":    {"stack) case \"$*\" in *\" select \"*) ;; *) " + hung + " ;; esac ;;\nup|preview|destroy) " + hung + " ;;", step},
		} {
			t.Run(step+" "+where, func(t *testing.T) {
				t.Parallel()
				r := infra.Runner{Pulumi: fakePulumi(t, test.script), WorkDir: t.TempDir(), BackendURL: "https://api.pulumi.com", Timeout: time.Second}
				err := operate(t.Context(), r)
				late, ok := errors.AsType[*infra.StackError](err)
				// On a busy machine the stack is not even open by then.
				for ok && test.step != "open" && late.Step == "open" && r.Timeout < time.Minute {
					r.Timeout *= 2
					err = operate(t.Context(), r)
					late, ok = errors.AsType[*infra.StackError](err)
				}
				if !ok {
					t.Fatalf("want *infra.StackError, got %v", err)
				}
				same(t, "text", test.step+" stack s: not done within "+r.Timeout.String()+" (infra.timeout)", late.Error())
				if !strings.Contains(late.Hint(), "raise infra.timeout") {
					t.Errorf("hint %q", late.Hint())
				}
			})
		}
	}
}

// A caller that goes away is no matter of infra.timeout.
func TestACancelledOperationIsNotLate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := infra.Runner{Pulumi: fakePulumi(t, "*) "+hung+" ;;"), WorkDir: t.TempDir(), BackendURL: "file://" + t.TempDir(), Timeout: time.Hour}
	failed, ok := errors.AsType[*infra.StackError](operations["deploy"](ctx, r))
	if !ok || failed.Bound != 0 {
		t.Errorf("want a StackError without a bound, got %+v", failed)
	}
}

// A CLI that fails before it opens the stream of events never closes it: the
// operation used to wait for that until somebody stopped it.
func TestAFailureWithoutEventsIsTold(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"deploy", "preview", "destroy"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			r := infra.Runner{
				Pulumi: fakePulumi(t, "up|preview|destroy) echo 'the stack is currently locked by 1 lock(s)' >&2; exit 255 ;;"), WorkDir: t.TempDir(),
				BackendURL: "file://" + t.TempDir(), Timeout: time.Minute,
			}
			failed, ok := errors.AsType[*infra.StackError](operations[step](t.Context(), r))
			if !ok || !failed.Locked || failed.Bound != 0 || failed.ExitCode() != 3 {
				t.Errorf("want a lock, got %+v", failed)
			}
		})
	}
}
