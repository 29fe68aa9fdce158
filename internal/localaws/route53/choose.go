package route53

// candidate is one member of a weighted group.
type candidate struct {
	weight  int
	healthy bool
}

// choose picks the member that answers one query, or -1 for an empty group.
// draw(n) returns a number in [0, n).
//
// The rules are Route 53's: a weight is a share of the sum; an unhealthy pick
// is picked again, which is the same as drawing among the healthy ones; a
// weight of 0 is used only when no healthy member has more; all weights 0 is
// an equal split; and when nobody is healthy, everybody counts as healthy.
func choose(group []candidate, draw func(n int) int) int {
	if len(group) == 0 {
		return -1
	}
	failOpen := true
	for _, c := range group {
		failOpen = failOpen && !c.healthy
	}
	total, eligible := 0, 0
	for _, c := range group {
		if c.healthy || failOpen {
			total += c.weight
			eligible++
		}
	}
	share := func(c candidate) int {
		switch {
		case !c.healthy && !failOpen:
			return 0
		case total == 0:
			return 1
		default:
			return c.weight
		}
	}
	sum := total
	if total == 0 {
		sum = eligible
	}
	at := draw(sum)
	for i, c := range group {
		if at -= share(c); at < 0 {
			return i
		}
	}
	return -1
}
