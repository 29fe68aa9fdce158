package infra_test

import (
	"context"
	"errors"
	"testing"

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
