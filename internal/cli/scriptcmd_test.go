package cli_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what the scripts have beside testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"exitcode": exitcode, "oneerror": oneerror, "json": jsonFields, "pick": pick, "normal": normal, "lastevent": lastEvent,
	"start": start, "await": await, "signal": signal, "finish": finish, "until": until,
	"localenv": localenv, "ports": ports, "dns": dnsShare, "weights": weights, "world": world, "get": get, "getfrom": getFrom, "changed": changed,
	"left": left, "website": website, "object": object, "headers": headers, "restore": restore, "nowhere": nowhere, "planted": planted, "detach": detach, "records": records, "versions": versions, "harms": harms,
	"site": site, "mirror": mirror, "plain": plain, "halfway": halfway,
	"role": role, "statehome": stateHome, "assume": assume, "used": used, "blink": blink,
}

// want ends the script where its line cannot be understood.
func want(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// exitcode runs a command and wants exactly this exit code: '! exec' cannot
// tell 3 from 4.
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "exitcode N COMMAND...")
	err := ts.Exec(args[1], args[2:]...)
	if got := codeOf(ts, err); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

func codeOf(ts *testscript.TestScript, err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return strconv.Itoa(exit.ExitCode())
	}
	ts.Check(err)
	return "0"
}

// told are the lines of stderr that are no error: the story.
var told = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  [a-z]+ +\S`)

// oneerror wants exactly one error on stderr, with a next command, that
// matches, and nothing on stdout but the object of -o json.
func oneerror(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "oneerror REGEXP")
	found, hints := 0, 0
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "tapctl: "):
			found++
		case strings.HasPrefix(line, "next: ") && len(line) > len("next: "):
			hints++
		case strings.HasPrefix(line, "  ") && found == 1 && hints == 0: // a problem of a list
		case told.MatchString(line) && found == 0:
		default:
			ts.Fatalf("neither the error, its hint nor the story: %q", line)
		}
	}
	if found != 1 || hints != 1 {
		ts.Fatalf("%d errors and %d hints on stderr, want one of each", found, hints)
	}
	if pattern := regexp.MustCompile("(?m)" + args[0]); !pattern.MatchString(ts.ReadFile("stderr")) {
		ts.Fatalf("stderr does not match %q", args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" && !strings.HasPrefix(out, "{") {
		ts.Fatalf("stdout is not empty: %q", out)
	}
}

// decode wants exactly one JSON value in the file.
func decode(ts *testscript.TestScript, file string) any {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		ts.Fatalf("%s is not JSON: %v", file, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("%s has more than one JSON value", file)
	}
	return value
}

// at follows a path like changes.create, steps.0.dials or steps.@ (a length).
func at(value any, path string) (any, bool) {
	for part := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[part]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			if part == "@" {
				value = len(v)
				continue
			}
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}

func textOf(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}

// jsonFields wants one JSON object in the file with these fields: PATH is
// there, PATH=VALUE is exactly that, PATH~REGEXP matches, PATH! is not there.
func jsonFields(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "json FILE PATH[=VALUE|~REGEXP|!]...")
	object := decode(ts, args[0])
	for _, field := range args[1:] {
		path, operator, operand := field, "", ""
		if i := strings.IndexAny(field, "=~!"); i > 0 {
			path, operator, operand = field[:i], field[i:i+1], field[i+1:]
		}
		value, found := at(object, path)
		text := textOf(value)
		var ok bool
		switch operator {
		case "!":
			ok = !found
		case "=":
			ok = found && text == operand
		case "~":
			ok = found && regexp.MustCompile(operand).MatchString(text)
		default:
			ok = found
		}
		if !ok {
			ts.Fatalf("%s: want %s, found %v: %s", args[0], field, found, text)
		}
	}
}

// pick writes some fields of a JSON object to a file, for cmp.
func pick(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 3, "pick FILE OUT PATH...")
	object := decode(ts, args[0])
	var out strings.Builder
	for _, path := range args[2:] {
		value, found := at(object, path)
		if !found {
			ts.Fatalf("%s has no %s", args[0], path)
		}
		fmt.Fprintf(&out, "%s %s\n", path, textOf(value))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

// normals replace what differs from run to run.
var normals = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\d{8}T\d{6}Z`), "SHIFT"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`\bport \d+`), "port PORT"},
	{regexp.MustCompile(`\bC[0-9A-Z]{12,}\b`), "CHANGE"},
	{regexp.MustCompile(`\bZ[0-9A-Z]{12,}\b`), "ZONE"},
	{regexp.MustCompile(`\bin \d+ s\b`), "in N s"},
	{regexp.MustCompile(`\bgo1\.[0-9.]+`), "GO"},
	{regexp.MustCompile(`\bv\d+\.\d+\.\d+\b`), "VERSION"},
}

// normal copies a file without times, ports, ids and paths, for cmp.
func normal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "normal FILE OUT")
	text := strings.NewReplacer(ts.Getenv("WORK"), "WORK", ts.Getenv("TAPCTL_HOME"), "HOME").Replace(ts.ReadFile(args[0]))
	for _, n := range normals {
		text = n.pattern.ReplaceAllString(text, n.by)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// lastEvent wants a JSON object with a time, a kind, a text and its run on every
// line of the file, with its shift where it is of one, and keeps the last of the
// kind.
func lastEvent(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 3, "lastevent FILE KIND TO")
	last := ""
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var event struct{ At, Kind, Text, Owner, Shift, Phase string }
		if err := json.Unmarshal([]byte(line), &event); err != nil || event.At == "" || event.Kind == "" || event.Text == "" || event.Owner == "" || event.Phase != "" && event.Shift == "" {
			ts.Fatalf("%s: no event: %q, %v", args[0], line, err)
		}
		if event.Kind == args[1] {
			last = line
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(last), 0o600))
}

// changed copies a function's zip with one file more: other bytes, the same
// program, as a release with no effect would be.
func changed(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "changed ZIP OUT")
	archive, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer archive.Close()
	var buffer bytes.Buffer
	out := zip.NewWriter(&buffer)
	for _, file := range archive.File {
		ts.Check(out.Copy(file))
	}
	note, err := out.Create("NOTE")
	ts.Check(err)
	_, err = io.WriteString(note, filepath.Base(args[1]))
	ts.Check(err)
	ts.Check(out.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), buffer.Bytes(), 0o600))
}
