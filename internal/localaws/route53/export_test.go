package route53

import "time"

// Observe folds one probe into a check.
func (s *Service) Observe(now time.Time, id string, failure error) { s.observe(now, id, failure) }

// Candidate is candidate for the tests of choose.
type Candidate struct {
	Weight  int
	Healthy bool
}

// Choose is choose.
func Choose(group []Candidate, draw func(n int) int) int {
	var inner []candidate
	for _, c := range group {
		inner = append(inner, candidate{c.Weight, c.Healthy})
	}
	return choose(inner, draw)
}
