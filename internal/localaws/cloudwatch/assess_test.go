package cloudwatch_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/localaws/cloudwatch"
)

// parse reads a range as AWS writes it: "0" within, "X" breaching, "-" missing.
func parse(text string) []cloudwatch.Point {
	var out []cloudwatch.Point
	for _, field := range strings.Fields(text) {
		out = append(out, map[string]cloudwatch.Point{"0": cloudwatch.Within, "X": cloudwatch.Breaching, "-": cloudwatch.Missing}[field])
	}
	return out
}

const (
	ok           = types.StateValueOk
	alarming     = types.StateValueAlarm
	insufficient = types.StateValueInsufficientData
	kept         = types.StateValue("kept")
)

// The two tables of AWS's page on missing data, five points of range each.
func TestAssessFollowsTheDocumentedExamples(t *testing.T) {
	t.Parallel()
	tests := []struct {
		points                                string
		m, n                                  int
		missing, ignore, breaching, notBreach types.StateValue
	}{
		{"0 - X - X", 3, 3, ok, ok, ok, ok},
		{"- - - - 0", 3, 3, ok, ok, ok, ok},
		{"- - - - -", 3, 3, insufficient, kept, alarming, ok},
		{"0 X X - X", 3, 3, alarming, alarming, alarming, alarming},
		{"- - X - -", 3, 3, alarming, kept, alarming, ok},
		{"0 - X - X", 2, 3, alarming, alarming, alarming, alarming},
		{"0 0 X 0 X", 2, 3, alarming, alarming, alarming, alarming},
		{"0 - X - -", 2, 3, ok, ok, alarming, ok},
		{"- - - - 0", 2, 3, ok, ok, alarming, ok},
		{"- - - X -", 2, 3, alarming, kept, alarming, ok},
		// One breach that is too young is not enough on its own.
		{"- - - - X", 3, 3, ok, kept, alarming, ok},
		{"X 0 0 0 0", 1, 3, ok, ok, ok, ok},
	}
	for _, tt := range tests {
		for treat, want := range map[string]types.StateValue{"missing": tt.missing, "ignore": tt.ignore, "breaching": tt.breaching, "notBreaching": tt.notBreach} {
			for _, current := range []types.StateValue{ok, alarming, insufficient} {
				expected := want
				if want == kept {
					expected = current
				}
				if got := cloudwatch.Assess(parse(tt.points), tt.m, tt.n, treat, current); got != expected {
					t.Errorf("%s, %d of %d, %s, was %s: %s, want %s", tt.points, tt.m, tt.n, treat, current, got, expected)
				}
			}
		}
	}
}

// With no gaps the treatment of missing data and the state so far play no
// part: M breaches of the newest N decide.
func TestAssessWithoutGapsIsACount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		m := rapid.IntRange(1, n).Draw(t, "m")
		points := rapid.SliceOfN(rapid.SampledFrom([]cloudwatch.Point{cloudwatch.Within, cloudwatch.Breaching}), n+2, n+2).Draw(t, "points")
		treat := rapid.SampledFrom([]string{"missing", "ignore", "breaching", "notBreaching"}).Draw(t, "treat")
		current := rapid.SampledFrom(types.StateValue("").Values()).Draw(t, "current")
		count := 0
		for _, p := range points[2:] {
			if p == cloudwatch.Breaching {
				count++
			}
		}
		want := ok
		if count >= m {
			want = alarming
		}
		if got := cloudwatch.Assess(points, m, n, treat, current); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}
