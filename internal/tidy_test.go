// Package internal_test holds the shape of the module: who may import whom,
// who may read the clock or end the process, and how long things may get. It
// reads the sources, so a rule costs nothing at run time and names the line.
package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/tapctl/tapctl/"

// arrows says which packages of this module the code of a package may import.
// A trailing slash means every package below. Tests may import more.
var arrows = map[string][]string{
	"cmd/tapctl": {"internal/cli"},
	"configs":    {},

	"internal/cli": {
		"configs", "internal/app", "internal/awsapi", "internal/bench", "internal/clock", "internal/config", "internal/cutover", "internal/infra",
		"internal/localaws", "internal/localaws/fault", "internal/localaws/provider", "internal/ramp", "internal/rehearse", "internal/report",
	},
	"internal/app": {
		"internal/awsapi", "internal/clock", "internal/config", "internal/cutover", "internal/evidence", "internal/health", "internal/infra",
		"internal/ramp", "internal/topology",
	},
	"internal/awsapi":   {"internal/clock", "internal/config", "internal/cutover", "internal/health", "internal/infra", "internal/topology"},
	"internal/infra":    {"internal/config", "internal/topology"},
	"internal/report":   {"internal/cutover"},
	"internal/rehearse": {"internal/clock", "internal/cutover"},
	"internal/cutover":  {"internal/clock", "internal/health"},
	"internal/health":   {"internal/evidence", "internal/ramp"},
	"internal/topology": {},
	"internal/config":   {},
	"internal/clock":    {},
	"internal/bench":    {"internal/evidence", "internal/ramp"},
	"internal/evidence": {},
	"internal/ramp":     {"internal/evidence"},

	// The embedded AWS knows nothing of tapctl, so it cannot favour it.
	"internal/localaws": {"internal/clock", "internal/localaws/"},
	// No service imports another: they meet in ports of basic types. Policies are
	// a language that several speak.
	"internal/localaws/acm":            {"internal/clock", "internal/localaws/wire"},
	"internal/localaws/apigateway":     {"internal/clock", "internal/localaws/fault", "internal/localaws/policy", "internal/localaws/wire"},
	"internal/localaws/cloudwatch":     {"internal/clock", "internal/localaws/wire"},
	"internal/localaws/dynamodb":       {"internal/clock", "internal/localaws/fault", "internal/localaws/wire"},
	"internal/localaws/fault":          {},
	"internal/localaws/iam":            {"internal/clock", "internal/localaws/policy", "internal/localaws/wire"},
	"internal/localaws/kms":            {"internal/clock", "internal/localaws/policy", "internal/localaws/wire"},
	"internal/localaws/lambda":         {"internal/clock", "internal/localaws/fault", "internal/localaws/policy", "internal/localaws/wire"},
	"internal/localaws/logs":           {"internal/clock", "internal/localaws/wire"},
	"internal/localaws/policy":         {},
	"internal/localaws/provider":       {"internal/clock"},
	"internal/localaws/route53":        {"internal/clock", "internal/localaws/wire"},
	"internal/localaws/s3":             {"internal/clock", "internal/localaws/fault", "internal/localaws/policy", "internal/localaws/wire"},
	"internal/localaws/secretsmanager": {"internal/clock", "internal/localaws/wire"},
	"internal/localaws/wire":           {},
	"internal/localaws/wire/asktest":   {"internal/localaws/wire"},

	// The functions are shipped to AWS: nothing of tapctl goes with them.
	"function/api":             {"function/internal/"},
	"function/forward":         {"function/internal/"},
	"function/cmd/package":     {"function/internal/bundle"},
	"function/internal/bundle": {},
	"function/internal/items":  {"function/internal/reply", "function/internal/secret"},
	"function/internal/relay":  {"function/internal/reply"},
	"function/internal/reply":  {},
	"function/internal/secret": {},
}

// usesSDK are the packages, by prefix, that may import the AWS SDK. In the
// product that is one.
var usesSDK = []string{"internal/awsapi", "internal/localaws/", "function/"}

// pure are the packages that decide and so may not touch the world, with the
// files that are their shell.
var pure = map[string][]string{
	"internal/cutover":  nil,
	"internal/health":   {"probe.go"},
	"internal/evidence": nil,
	"internal/ramp":     nil,
	"internal/topology": nil,
}

// worldly are the standard packages that touch it, with all below them.
var worldly = []string{"os", "net", "log", "syscall"}

// banned are uses of the standard library that only some may have.
var banned = []struct {
	pkg     string
	names   []string
	allowed func(dir string, main bool) bool
	instead string
}{
	{"time", []string{"Now", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Since", "Until"},
		// The functions carry nothing of tapctl, its clock included.
		func(dir string, main bool) bool {
			return dir == "internal/clock" || main && strings.HasPrefix(dir, "function/")
		}, "take a clock.Clock, or the time as an argument"},
	{"context", []string{"Background", "TODO"}, func(_ string, main bool) bool { return main }, "take ctx from the caller"},
	{"os", []string{"Stdout", "Stderr", "Exit"}, func(_ string, main bool) bool { return main }, "write to what the caller gave; only main ends the process"},
	{"fmt", []string{"Print", "Printf", "Println"}, func(_ string, main bool) bool { return main }, "write to what the caller gave"},
	{"log", []string{"Fatal", "Fatalf", "Fatalln"}, func(_ string, main bool) bool { return main }, "return the error"},
}

// The limits on code that is not a test.
const (
	functionLines = 70
	fileLines     = 500
)

// excused are single violations that stay, each with its reason.
var excused = map[string]string{
	"internal/localaws/frontdoor.go: context.Background": "the front doors are shut down after the context they ran with has ended",
}

// source is one file of this module.
type source struct {
	path string // slash-separated, from the module's root
	text []byte
}

// violations are the rules that the file breaks, as "FILE:LINE: RULE: what to
// do instead".
func violations(s source) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, s.path, s.text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	c := checked{source: s, dir: path.Dir(s.path), file: file, files: files, test: strings.HasSuffix(s.path, "_test.go")}
	if c.test {
		c.noSleep()
		return c.found, nil
	}
	c.imports()
	c.uses()
	c.lengths()
	c.comments()
	return c.found, nil
}

type checked struct {
	source
	dir   string
	file  *ast.File
	files *token.FileSet
	test  bool
	found []string
}

// breaks notes a violation, unless it is excused.
func (c *checked) breaks(at token.Pos, rule, instead string) {
	key := c.path + ": " + rule
	if excused[key] == "" {
		c.found = append(c.found, fmt.Sprintf("%s:%d: %s: %s", c.path, c.files.Position(at).Line, rule, instead))
	}
}

// under tells whether the package is the one named, or below a name that ends
// in a slash.
func under(name, pattern string) bool {
	if strings.HasSuffix(pattern, "/") {
		return strings.HasPrefix(name, pattern)
	}
	return name == pattern
}

func (c *checked) imports() {
	allowed, known := arrows[c.dir]
	if !known {
		c.breaks(c.file.Name.Pos(), "package "+c.dir, "say in arrows what it may import")
	}
	for _, spec := range c.file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the compiler's business
		}
		if own, ours := strings.CutPrefix(name, module); ours && known && !slices.ContainsFunc(allowed, func(a string) bool { return under(own, a) }) {
			c.breaks(spec.Pos(), "imports "+own, "no such arrow from "+c.dir)
		}
		sdk := strings.HasPrefix(name, "github.com/aws/aws-sdk-go-v2") || strings.HasPrefix(name, "github.com/aws/smithy-go")
		if sdk && !slices.ContainsFunc(usesSDK, func(a string) bool { return under(c.dir, a) }) {
			c.breaks(spec.Pos(), "imports "+name, "in the product only internal/awsapi talks to AWS")
		}
		shell, isPure := pure[c.dir]
		if !isPure || slices.Contains(shell, path.Base(c.path)) {
			continue
		}
		if slices.ContainsFunc(worldly, func(w string) bool { return name == w || strings.HasPrefix(name, w+"/") }) {
			c.breaks(spec.Pos(), "imports "+name, c.dir+" decides and does not touch the world")
		}
	}
}

// named is the name that the file calls an import by, "" where it has it not.
func (c *checked) named(pkg string) string {
	for _, spec := range c.file.Imports {
		if spec.Path.Value != strconv.Quote(pkg) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

// selects calls use for every PKG.NAME of the file, not those of a local
// variable that is called like the package.
func (c *checked) selects(pkg string, use func(at token.Pos, name string)) {
	local := c.named(pkg)
	if local == "" {
		return
	}
	ast.Inspect(c.file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := selector.X.(*ast.Ident); ok && id.Name == local && id.Obj == nil {
				use(selector.Pos(), selector.Sel.Name)
			}
		}
		return true
	})
}

func (c *checked) uses() {
	for _, rule := range banned {
		if rule.allowed(c.dir, c.file.Name.Name == "main") {
			continue
		}
		if c.named(rule.pkg) == "." {
			c.breaks(c.file.Pos(), "imports "+rule.pkg+" with a dot", "call it by its name")
		}
		c.selects(rule.pkg, func(at token.Pos, name string) {
			if slices.Contains(rule.names, name) {
				c.breaks(at, rule.pkg+"."+name, rule.instead)
			}
		})
	}
}

// noSleep: a test that waits for time to pass is slow when it passes and
// wrong on a busy machine.
func (c *checked) noSleep() {
	c.selects("time", func(at token.Pos, name string) {
		if name == "Sleep" || name == "Tick" {
			c.breaks(at, "time."+name, "use clock.Manual, or wait for what is meant")
		}
	})
}

func (c *checked) lengths() {
	if lines := c.files.Position(c.file.FileEnd).Line; lines > fileLines {
		c.breaks(c.file.Pos(), "file", fmt.Sprintf("%d lines, the limit is %d", lines, fileLines))
	}
	for _, declaration := range c.file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := c.files.Position(function.End()).Line - c.files.Position(function.Pos()).Line + 1; lines > functionLines {
			c.breaks(function.Pos(), "func "+function.Name.Name, fmt.Sprintf("%d lines, the limit is %d", lines, functionLines))
		}
	}
}

func (c *checked) comments() {
	for _, group := range c.file.Comments {
		for _, comment := range group.List {
			for _, word := range []string{"TODO", "FIXME", "XXX"} {
				if strings.Contains(comment.Text, word) {
					c.breaks(comment.Pos(), word, "do it, or open an issue")
				}
			}
		}
	}
}

// sources are the Go files of the module, without those of its tools (modules
// of their own) and of testdata.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			skip := base == "testdata" || base == "vendor" || name == "tools" || name == "build" || (base != "." && strings.HasPrefix(base, "."))
			if skip {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		all = append(all, source{name, text})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTidy(t *testing.T) {
	t.Parallel()
	all := sources(t)
	packages, described := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		found, err := violations(s)
		if err != nil {
			t.Error(err)
		}
		for _, v := range found {
			t.Error(v)
		}
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		dir := path.Dir(s.path)
		packages[dir] = true
		file, err := parser.ParseFile(token.NewFileSet(), s.path, s.text, parser.PackageClauseOnly|parser.ParseComments)
		described[dir] = described[dir] || (err == nil && file.Doc != nil)
	}
	if len(packages) < 20 {
		t.Errorf("only %d packages were read: this test looks in the wrong place", len(packages))
	}
	for dir := range packages {
		if !described[dir] {
			t.Errorf("package %s has no comment that says its job", dir)
		}
	}
	for dir := range arrows {
		if !packages[dir] {
			t.Errorf("arrows names %s, which is not there", dir)
		}
	}
}

// An excuse whose violation has gone would hide the next one.
func TestEveryExcuseIsNeeded(t *testing.T) {
	t.Parallel()
	all := map[string]source{}
	for _, s := range sources(t) {
		all[s.path] = s
	}
	for key, reason := range excused {
		file, rule, _ := strings.Cut(key, ": ")
		if reason == "" {
			t.Errorf("%s: no reason", key)
		}
		if !strings.Contains(string(all[file].text), rule) {
			t.Errorf("%s: is not there any more", key)
		}
	}
}

// A rule that cannot fail is none: each is broken here once.
func TestTidyCatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, text string
		want             []string // rules
	}{
		{"a missing arrow", "internal/health/a.go", `package health; import _ "github.com/tapctl/tapctl/internal/cutover"`, []string{"imports internal/cutover"}},
		{"anything to cli", "internal/app/a.go", `package app; import _ "github.com/tapctl/tapctl/internal/cli"`, []string{"imports internal/cli"}},
		{"the embedded AWS to the product", "internal/localaws/wire/a.go", `package wire; import _ "github.com/tapctl/tapctl/internal/config"`, []string{"imports internal/config"}},
		{"its root to the product", "internal/localaws/a.go", `package localaws; import _ "github.com/tapctl/tapctl/internal/cutover"`, []string{"imports internal/cutover"}},
		{"one service to another", "internal/localaws/acm/a.go", `package acm; import _ "github.com/tapctl/tapctl/internal/localaws/route53"`, []string{"imports internal/localaws/route53"}},
		{"a function to the product", "function/api/a.go", `package main; import _ "github.com/tapctl/tapctl/internal/clock"`, []string{"imports internal/clock"}},
		{"an arrow that is there", "internal/localaws/a.go", `package localaws; import _ "github.com/tapctl/tapctl/internal/localaws/acm"`, nil},
		{"a new package", "internal/extra/a.go", `package extra`, []string{"package internal/extra"}},
		{"the SDK in the product", "internal/app/a.go", `package app; import _ "github.com/aws/aws-sdk-go-v2/service/route53"`, []string{"imports github.com/aws/aws-sdk-go-v2/service/route53"}},
		{"the SDK in its adapter", "internal/awsapi/a.go", `package awsapi; import _ "github.com/aws/aws-sdk-go-v2/service/route53"`, nil},
		{"the SDK in a test", "internal/app/a_test.go", `package app; import _ "github.com/aws/aws-sdk-go-v2/service/route53"`, nil},
		{"the world in the core", "internal/cutover/a.go", `package cutover; import _ "net/http"; import _ "os"`, []string{"imports net/http", "imports os"}},
		{"the world in health", "internal/health/watch.go", `package health; import _ "net"`, []string{"imports net"}},
		{"the world in its shell", "internal/health/probe.go", `package health; import _ "net/http"`, nil},
		{"the clock", "internal/app/a.go", `package app; import "time"; var x = time.Now()`, []string{"time.Now"}},
		{"the clock by another name", "internal/app/a.go", `package app; import tick "time"; var x = tick.NewTimer(1)`, []string{"time.NewTimer"}},
		{"the clock without a name", "internal/app/a.go", `package app; import . "time"; var x = Now()`, []string{"imports time with a dot"}},
		{"the clock as a value", "internal/app/a.go", `package app; import "time"; var now = time.Now`, []string{"time.Now"}},
		{"a duration", "internal/app/a.go", `package app; import "time"; var x = time.Second`, nil},
		{"the clock's own package", "internal/clock/a.go", `package clock; import "time"; var x = time.Now()`, nil},
		{"the clock in a function's main", "function/api/a.go", `package main; import "time"; var now = time.Now`, nil},
		{"the clock in tapctl's main", "cmd/tapctl/a.go", `package main; import "time"; var now = time.Now`, []string{"time.Now"}},
		{"a variable called time", "internal/app/a.go", `package app; import "time"; var _ = time.Second; func f(time struct{ Now int }) int { return time.Now }`, nil},
		{"a context from nowhere", "internal/app/a.go", `package app; import "context"; var x = context.TODO()`, []string{"context.TODO"}},
		{"a context in main", "cmd/tapctl/a.go", `package main; import "context"; var x = context.Background()`, nil},
		{"the end of the process", "internal/cli/a.go", `package cli; import "os"; func f() { os.Exit(1) }`, []string{"os.Exit"}},
		{"printing", "internal/cli/a.go", `package cli; import ("fmt"; "os"); func f() { fmt.Println(os.Stdout) }`, []string{"os.Stdout", "fmt.Println"}},
		{"printing in main", "function/api/a.go", `package main; import ("fmt"; "os"); func f() { fmt.Println(os.Stdout) }`, nil},
		{"a sleeping test", "internal/app/a_test.go", `package app; import "time"; func f() { time.Sleep(1) }`, []string{"time.Sleep"}},
		{"a function at the limit", "internal/app/a.go", "package app\nfunc f() {\n" + strings.Repeat("_ = 1\n", 68) + "}\n", nil},
		{"a function over it", "internal/app/a.go", "package app\nfunc f() {\n" + strings.Repeat("_ = 1\n", 69) + "}\n", []string{"func f"}},
		{"a file at the limit", "internal/app/a.go", "package app\n" + strings.Repeat("\n", 499), nil},
		{"a file over it", "internal/app/a.go", "package app\n" + strings.Repeat("\n", 500), []string{"file"}},
		{"work left", "internal/app/a.go", "package app\n// TODO: later\n", []string{"TODO"}},
		{"a violation that is excused", "internal/localaws/frontdoor.go", `package localaws; import "context"; var x = context.Background()`, nil},
		{"the same one elsewhere", "internal/localaws/server.go", `package localaws; import "context"; var x = context.Background()`, []string{"context.Background"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found, err := violations(source{test.path, []byte(test.text)})
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, v := range found {
				rules = append(rules, strings.SplitN(v, ": ", 3)[1])
			}
			if diff := cmp.Diff(test.want, rules); diff != "" {
				t.Errorf("rules broken (-want +got):\n%s\n%v", diff, found)
			}
		})
	}
}
