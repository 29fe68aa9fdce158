package cutover_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// inRunbook is what docs/runbook.md calls the reasons whose words are not in the
// call that ends the run; "" is of those that pass one on.
var inRunbook = map[string]string{
	"TakenOver":       "another run took over",
	"foreign":         "somebody else turned",
	"o.Health.Reason": "an alarm, requests, probes or data, with what they said",
	"gate.waits":      "waits for approval",
	"s.Reason":        "",
	"err.Error":       "", // Check's: a bug of this program
	"reason":          "",
	"":                "", // a resume begins without one
}

// TestTheRunbookHasEveryReason reads the reasons off the source: the words that
// a run ends, goes back or holds with are what an operator looks for.
func TestTheRunbookHasEveryReason(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	runbook := strings.Join(strings.Fields(string(text)), " ")
	found := reasons(t)
	if len(found) < 20 {
		t.Errorf("only %d reasons: %q", len(found), found)
	}
	for _, stem := range found {
		words, other := inRunbook[stem]
		if !other {
			words = stem
		}
		if !strings.Contains(runbook, words) {
			t.Errorf("docs/runbook.md does not say %q", words)
		}
	}
}

// reasons are the first words of each, or the expression that has them.
func reasons(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				f, isName := n.Fun.(*ast.Ident)
				if isName && slices.Contains([]string{"finish", "pause", "retreat"}, f.Name) {
					found = append(found, stem(n.Args[len(n.Args)-1]))
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if field, isField := to.(*ast.SelectorExpr); isField && field.Sel.Name == "Reason" && i < len(n.Rhs) {
						found = append(found, stem(n.Rhs[i]))
					}
				}
			case *ast.KeyValueExpr:
				if key, isName := n.Key.(*ast.Ident); isName && key.Name == "Reason" {
					found = append(found, stem(n.Value))
				}
			}
			return true
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// values are what interrupts the words of a text.
var values = regexp.MustCompile(`%[a-z]|[;:]`)

// stem is the longest run of words in the expression's texts that no value
// interrupts, or the expression itself.
func stem(e ast.Expr) string {
	best := ""
	ast.Inspect(e, func(n ast.Node) bool {
		literal, isText := n.(*ast.BasicLit)
		if !isText || literal.Kind != token.STRING {
			return true
		}
		text, _ := strconv.Unquote(literal.Value)
		for _, part := range values.Split(text, -1) {
			if words := strings.Trim(part, " ,"); len(words) > len(best) {
				best = words
			}
		}
		return true
	})
	if best != "" {
		return best
	}
	return name(e)
}

// name is a dotted name, without what it is called with.
func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return name(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return name(e.Fun)
	default:
		return ""
	}
}
