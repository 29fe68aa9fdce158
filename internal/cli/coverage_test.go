package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/cli"
)

// TestEveryCommandHasAScript fails on a command, or a flag of one, that no
// script uses.
func TestEveryCommandHasAScript(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var lines []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		lines = append(lines, strings.Split(script, "\n")...)
	}
	for _, path := range commandPaths(t) {
		uses := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return strings.HasPrefix(line, "#") || !strings.Contains(line+" ", path+" ") || strings.Contains(line, "--help")
		})
		if len(uses) == 0 {
			t.Errorf("no script runs %q", path)
		}
		for _, flag := range flagsOf(t, path) {
			if !slices.ContainsFunc(uses, func(line string) bool { return strings.Contains(line+" ", flag+" ") }) {
				t.Errorf("no script runs %q with %s", path, flag)
			}
		}
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z]`)
	flagLine    = regexp.MustCompile(`(?m)^ +(?:-[a-z], )?(--[a-z-]+)`)
)

// commandPaths are all commands that do something, as help lists them.
func commandPaths(t *testing.T) []string {
	t.Helper()
	var paths []string
	var walk func(path string)
	walk = func(path string) {
		help := helpOf(t, path)
		_, list, group := strings.Cut(help, "Available Commands:")
		if !group {
			paths = append(paths, path)
			return
		}
		list, _, _ = strings.Cut(list, "\n\n")
		for _, match := range commandLine.FindAllStringSubmatch(list, -1) {
			if match[1] != "help" {
				walk(path + " " + match[1])
			}
		}
	}
	walk("tapctl")
	if len(paths) < 10 {
		t.Fatalf("only %d commands found: %v", len(paths), paths)
	}
	return paths
}

// flagsOf are the flags of the command itself.
func flagsOf(t *testing.T, path string) []string {
	t.Helper()
	_, flags, _ := strings.Cut(helpOf(t, path), "\nFlags:\n")
	flags, _, _ = strings.Cut(flags, "\n\n")
	var names []string
	for _, match := range flagLine.FindAllStringSubmatch(flags, -1) {
		if match[1] != "--help" {
			names = append(names, match[1])
		}
	}
	return names
}

func helpOf(t *testing.T, path string) string {
	t.Helper()
	var out strings.Builder
	args := append(strings.Fields(path)[1:], "--help")
	if code := cli.Main(t.Context(), args, cli.IO{Out: &out, Err: &out, Env: func(string) string { return "" }}); code != 0 {
		t.Fatalf("%s --help: exit code %d\n%s", path, code, out.String())
	}
	return out.String()
}
