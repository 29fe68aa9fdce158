package iam

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Question is one that IAM answered for a role, once however often it came.
type Question struct {
	Action   string              `json:"action"`   // "service:Operation"
	Resource string              `json:"resource"` // ARN, or "*"
	Keys     map[string][]string `json:"keys,omitempty"`
	Allowed  bool                `json:"allowed"`
}

// RoleUse is what was asked of one role, by action and resource.
type RoleUse struct {
	Role  string     `json:"role"` // its name
	Asked []Question `json:"asked"`
	// Dropped counts what came after the record was full.
	Dropped int `json:"dropped"`
}

// record is a role's, by the text of the question.
type record struct {
	asked   map[string]Question
	dropped int
}

// questionsMax bounds the record of one role: a deploy asks some hundred.
const questionsMax = 4096

func (s *Service) remember(role string, q Question) {
	if role == "" {
		return // it is gone
	}
	text, err := json.Marshal(q)
	if err != nil {
		return // strings alone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.asked[role]
	if r == nil {
		r = &record{asked: map[string]Question{}}
		s.asked[role] = r
	}
	_, known := r.asked[string(text)]
	switch {
	case known:
	case len(r.asked) >= questionsMax:
		r.dropped++
	default:
		r.asked[string(text)] = q
	}
}

// Asked is what was asked of the role since the account began, of every role
// where the name is "".
func (s *Service) Asked(role string) []RoleUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []RoleUse{}
	for _, name := range slices.Sorted(maps.Keys(s.asked)) {
		if role != "" && role != name {
			continue
		}
		r := s.asked[name]
		use := RoleUse{Role: name, Asked: []Question{}, Dropped: r.dropped}
		for _, text := range slices.Sorted(maps.Keys(r.asked)) {
			use.Asked = append(use.Asked, r.asked[text])
		}
		slices.SortStableFunc(use.Asked, func(a, b Question) int {
			return strings.Compare(a.Action+" "+a.Resource, b.Action+" "+b.Resource)
		})
		all = append(all, use)
	}
	return all
}
