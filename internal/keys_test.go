package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/config"
)

// fieldsOf are the fields of config.Config below t by their keys:
// shift.bake is Shift.Bake.
func fieldsOf(t reflect.Type, key, field string, all map[string]string) map[string]string {
	for i := range t.NumField() {
		f := t.Field(i)
		key, field := key+f.Tag.Get("mapstructure"), field+f.Name
		if f.Type.Kind() == reflect.Struct {
			fieldsOf(f.Type, key+".", field+".", all)
			continue
		}
		all[key] = field
	}
	return all
}

// readsOf are the fields of the configuration that the file reads, as the last
// names of what it selects: Shift.Bake for a.Config.Shift.Bake, and for s.Bake
// where s was made from something's Shift or is declared a config.Shift. In
// package config only the exported methods count: they are what it is asked.
func readsOf(s source) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), s.path, s.text, 0)
	if err != nil {
		return nil, err
	}
	var reads []string
	for _, declaration := range file.Decls {
		method, ok := declaration.(*ast.FuncDecl)
		if inConfig := path.Dir(s.path) == "internal/config"; inConfig && (!ok || method.Recv == nil || !method.Name.IsExported()) {
			continue
		}
		sections := sectionsIn(declaration)
		ast.Inspect(declaration, func(n ast.Node) bool {
			if assigned, ok := n.(*ast.AssignStmt); ok && assigned.Tok == token.ASSIGN {
				for _, value := range assigned.Rhs { // what is set is not read
					reads = append(reads, selected(value, sections)...)
				}
				return false
			}
			if expression, ok := n.(ast.Expr); ok {
				reads = append(reads, selected(expression, sections)...)
				_, closure := n.(*ast.FuncLit)
				return closure
			}
			return true
		})
	}
	return reads, nil
}

// selected are the fields that an expression selects, its parts included.
func selected(e ast.Expr, sections map[string]string) (names []string) {
	ast.Inspect(e, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name := selector.Sel.Name
		for {
			names = append(names, name)
			inner, ok := selector.X.(*ast.SelectorExpr)
			if !ok {
				break
			}
			selector = inner
			name = selector.Sel.Name + "." + name
		}
		if id, ok := selector.X.(*ast.Ident); ok && sections[id.Name] != "" {
			names = append(names, sections[id.Name]+"."+name)
		}
		return true
	})
	return names
}

// sectionsIn are the variables that hold a section of the configuration, by
// how they came to be.
func sectionsIn(declaration ast.Decl) map[string]string {
	sections := map[string]string{}
	ast.Inspect(declaration, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				id, named := left.(*ast.Ident)
				if !named || len(n.Lhs) != len(n.Rhs) {
					continue
				}
				if from, ok := n.Rhs[i].(*ast.SelectorExpr); ok {
					sections[id.Name] = from.Sel.Name
				}
			}
		case *ast.Field:
			kind, ok := n.Type.(*ast.SelectorExpr)
			own, local := n.Type.(*ast.Ident)
			for _, id := range n.Names {
				switch {
				case ok:
					sections[id.Name] = kind.Sel.Name
				case local:
					sections[id.Name] = own.Name
				}
			}
		}
		return true
	})
	return sections
}

// A key that nothing reads is a promise that is not kept: infra.timeout was one.
func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		names, err := readsOf(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			read[name] = true
		}
	}
	fields := fieldsOf(reflect.TypeFor[config.Config](), "", "", map[string]string{})
	for _, key := range config.Keys() {
		// The last two names tell it: section and field.
		parts := strings.Split("Config."+fields[key], ".")
		if !read[strings.Join(parts[len(parts)-2:], ".")] {
			t.Errorf("%s (Config.%s) is read nowhere: use it, or take it out", key, fields[key])
		}
	}
}

// The test above must not take for a read what is none.
func TestReads(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path, text string
		want             bool
	}{
		{"selected", "internal/app/a.go", `func f(c config.Config) any { return c.Infra.Timeout }`, true},
		{"deeper", "internal/app/a.go", `func f() { g(a.Config.Infra.Timeout) }`, true},
		{"by a variable", "internal/app/a.go", `func f(c config.Config) any { i := c.Infra; return i.Timeout }`, true},
		{"by a parameter", "internal/app/a.go", `func f(i config.Infra) any { return i.Timeout }`, true},
		{"another section's", "internal/app/a.go", `func f(c config.Config) any { return c.Probe.Timeout }`, false},
		{"set", "internal/app/a.go", `func f(c *config.Config) { c.Infra.Timeout = 1 }`, false},
		{"set to itself", "internal/app/a.go", `func f(c *config.Config) { c.Infra.Timeout = 2 * c.Infra.Timeout }`, true},
		{"by the check", "internal/config/a.go", `func (c Config) check() any { return c.Infra.Timeout }`, false},
		{"by a method that is asked", "internal/config/a.go", `func (i Infra) Bound() any { return i.Timeout }`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			names, err := readsOf(source{test.path, []byte("package a\n" + test.text)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, slices.Contains(names, "Infra.Timeout")); diff != "" {
				t.Errorf("read (-want +got):\n%s\n%v", diff, names)
			}
		})
	}
}
