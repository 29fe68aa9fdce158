// Package fault holds the faults that an operator or a rehearsal has put into
// the embedded AWS. The services ask it at the places where real AWS hurts;
// nothing outside the embedded AWS can see that a failure was injected.
package fault

import (
	"fmt"
	"math/rand/v2"
	"path"
	"sync"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds of fault.
const (
	Error              Kind = "error"               // the target fails
	Latency            Kind = "latency"             // the target answers late, by Fault.Latency of real time
	Throttle           Kind = "throttle"            // the target refuses for its rate limit
	RegionDown         Kind = "region-down"         // front door and control plane of the region are gone
	ExpiredCredentials Kind = "expired-credentials" // every signed call is refused with ExpiredToken
)

// Kinds lists every kind, in the order help texts show them.
var Kinds = []Kind{Error, Latency, Throttle, RegionDown, ExpiredCredentials}

// Fault is one injected fault.
type Fault struct {
	Region string `json:"region"` // "*" is every region
	Kind   Kind   `json:"kind"`
	// Target is a path.Match pattern over what the services name at the place
	// of the fault: "function/NAME:QUALIFIER", "stage/API/STAGE",
	// "table/NAME", "frontdoor", "endpoint". "*" in it does not cross a slash.
	Target  string        `json:"target"`
	Rate    float64       `json:"rate"`              // probability per draw, 0..1
	Latency time.Duration `json:"latency,omitempty"` // for Latency, nanoseconds of real time
}

// DefaultTarget is the target a fault of this kind has when none is named:
// the application's own function for what code does wrong, everything for
// what a region does.
func DefaultTarget(kind Kind) string {
	switch kind {
	case Error, Latency, Throttle:
		return "function/*-api*"
	case RegionDown, ExpiredCredentials:
		return "*"
	default:
		return "*"
	}
}

// Validate says what is wrong with the fault, or nil.
func (f Fault) Validate() error {
	known := false
	for _, kind := range Kinds {
		known = known || kind == f.Kind
	}
	switch {
	case !known:
		return fmt.Errorf("fault kind %q: want one of %v", f.Kind, Kinds)
	case f.Region == "":
		return fmt.Errorf("fault %s: no region", f.Kind)
	case !(f.Rate > 0 && f.Rate <= 1):
		return fmt.Errorf("fault %s: rate %v is outside (0, 1]", f.Kind, f.Rate)
	case f.Kind == Latency && f.Latency <= 0:
		return fmt.Errorf("fault %s: needs a duration above 0", f.Kind)
	}
	if _, err := path.Match(f.Target, ""); err != nil {
		return fmt.Errorf("fault %s: target %q: %w", f.Kind, f.Target, err)
	}
	return nil
}

// Set is the faults in force. It is safe for concurrent use.
type Set struct {
	mu     sync.Mutex
	faults []Fault
	rng    *rand.Rand
}

// NewSet returns an empty set whose draws follow from the seed.
func NewSet(seed uint64) *Set {
	return &Set{rng: rand.New(rand.NewPCG(seed, 0xfa17))}
}

// Add puts a fault in force.
func (s *Set) Add(f Fault) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
	return nil
}

// Clear ends every fault of the region, or all of them for "".
func (s *Set) Clear(region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.faults[:0]
	for _, f := range s.faults {
		if region != "" && f.Region != region {
			kept = append(kept, f)
		}
	}
	s.faults = kept
}

// List returns the faults in force, oldest first.
func (s *Set) List() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault(nil), s.faults...)
}

// Draw decides whether a fault of this kind strikes the target now. A nil set
// never strikes.
func (s *Set) Draw(region string, kind Kind, target string) (Fault, bool) {
	if s == nil {
		return Fault{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Kind != kind || (f.Region != "*" && f.Region != region) {
			continue
		}
		if matched, _ := path.Match(f.Target, target); !matched && f.Target != "*" {
			continue
		}
		if s.rng.Float64() < f.Rate {
			return f, true
		}
	}
	return Fault{}, false
}
