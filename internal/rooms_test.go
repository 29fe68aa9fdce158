package internal_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// room is a row of the table: | `folder` | job | imports |.
var room = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .+ \\| ([^|]+) \\|$")

// importsOf are what the folder and all below it import from outside it, as
// the table names them: the folder, without internal/.
func importsOf(folder string, rooms []string) string {
	var names []string
	for pkg, targets := range arrows {
		if pkg != folder && !strings.HasPrefix(pkg, folder+"/") {
			continue
		}
		for _, target := range targets {
			at := slices.IndexFunc(rooms, func(r string) bool { return under(target, r) || under(target, r+"/") })
			if at < 0 {
				names = append(names, target+" (which has no row)")
			} else if rooms[at] != folder {
				names = append(names, strings.TrimPrefix(rooms[at], "internal/"))
			}
		}
	}
	if len(names) == 0 {
		return "-"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// TestRooms holds the table of docs/architecture.md to the arrows.
func TestRooms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := room.FindAllStringSubmatch(string(text), -1)
	var rooms []string
	for _, row := range rows {
		rooms = append(rooms, row[1])
	}
	for _, row := range rows {
		if _, err := os.Stat("../" + row[1]); err != nil {
			t.Errorf("%s has a row: %v", row[1], err)
		}
		if diff := cmp.Diff(importsOf(row[1], rooms), row[2]); diff != "" {
			t.Errorf("%s: its row does not say what it may import (-arrows +row):\n%s", row[1], diff)
		}
	}
	for pkg := range arrows {
		if !slices.ContainsFunc(rooms, func(r string) bool { return under(pkg, r) || under(pkg, r+"/") }) {
			t.Errorf("%s has no row", pkg)
		}
	}
}
