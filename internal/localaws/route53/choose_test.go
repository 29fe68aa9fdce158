package route53_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/route53"
)

// shares counts, over every possible draw, how often each member is chosen.
func shares(group []route53.Candidate) (counts []int, sum int) {
	route53.Choose(group, func(n int) int { sum = n; return 0 })
	counts = make([]int, len(group))
	for at := range sum {
		counts[route53.Choose(group, func(int) int { return at })]++
	}
	return counts, sum
}

// want states the rules of Route 53 in the order of its documentation: who is
// considered at all, then the weights among those.
func want(group []route53.Candidate) []int {
	considered := func(keep func(route53.Candidate) bool) []int {
		out, any := make([]int, len(group)), false
		for i, c := range group {
			if keep(c) {
				out[i] = c.Weight
				any = true
			}
		}
		if !any {
			return nil
		}
		return out
	}
	equal := func(keep func(route53.Candidate) bool) []int {
		out := considered(keep)
		for i, c := range group {
			if out != nil && keep(c) {
				out[i] = 1
			}
		}
		return out
	}
	everybody := func(route53.Candidate) bool { return true }
	nonZero := func(c route53.Candidate) bool { return c.Weight > 0 }
	for _, pick := range [][]int{
		considered(func(c route53.Candidate) bool { return nonZero(c) && c.Healthy }),
		equal(func(c route53.Candidate) bool { return c.Healthy }),
		considered(nonZero),
		equal(everybody),
	} {
		if pick != nil {
			return pick
		}
	}
	return nil
}

func TestChooseInEverySmallWorld(t *testing.T) {
	t.Parallel()
	var members []route53.Candidate
	for _, weight := range []int{0, 1, 3} {
		members = append(members, route53.Candidate{Weight: weight}, route53.Candidate{Weight: weight, Healthy: true})
	}
	worlds := 0
	var walk func(group []route53.Candidate)
	walk = func(group []route53.Candidate) {
		if len(group) > 0 {
			worlds++
			got, _ := shares(group)
			if diff := cmp.Diff(want(group), got); diff != "" {
				t.Errorf("shares of %s (-want +got):\n%s", fmt.Sprint(group), diff)
			}
		}
		if len(group) == 4 {
			return
		}
		for _, m := range members {
			walk(append(append([]route53.Candidate(nil), group...), m))
		}
	}
	walk(nil)
	if worlds != 6+36+216+1296 {
		t.Fatalf("walked %d worlds", worlds)
	}
}

func TestChooseFromNobody(t *testing.T) {
	t.Parallel()
	if got := route53.Choose(nil, func(int) int { t.Error("drew"); return 0 }); got != -1 {
		t.Errorf("chose %d of an empty group", got)
	}
}
