package evidence

import "math"

// Preflight judges synthetic requests sent straight to green before any user
// is: what they find harms nobody. They are no random sample of the users, so
// they are never mixed into the relative test.
type Preflight struct {
	absolute     *Absolute
	level        level
	excludes     float64 // the failure rate that must be
	sent, failed float64
}

// The preflight's promises. A fault that the probes can see and that fails at
// least one in twenty of them, or 2.5 times what is tolerated where that is more,
// passes with probability preflightMiss at most. As many, since preflightMost
// probes tell a rate from that from 2 % on; a green at the very edge of
// the tolerated could never show that it is below it.
const (
	PreflightExcludes = 0.05
	preflightFactor   = 2.5
	preflightMiss     = 0.001
	// preflightShare of the probes' alpha is the preflight's; the rest is for a
	// Suspicion of those that go on beside the users.
	preflightShare = 0.8
	// preflightMost ends a preflight that proves neither.
	preflightMost = 2000
)

// Clearance is what a preflight says.
type Clearance int

// The clearances.
const (
	Probing   Clearance = iota // send more
	Clear                      // users may come
	Grounded                   // green fails more than tolerated
	Undecided                  // neither was proven in reasonable time: no user may come
)

// NewPreflight starts without a probe. The policy's P0 is tolerated, and most
// of a metric's share of its Alpha is what a healthy green is grounded with.
func NewPreflight(p Policy) *Preflight {
	return &Preflight{absolute: NewAbsolute(p.P0), excludes: max(PreflightExcludes, preflightFactor*p.P0), level: at(preflightShare*p.share(), math.Inf(1))}
}

// Add takes probes that were answered, failed among them. About 230 without a
// failure clear.
func (p *Preflight) Add(sent, failed float64) Clearance {
	p.absolute.add(sent, failed)
	p.sent += sent
	p.failed += failed
	switch grounded, _ := p.absolute.reaches(p.level); {
	case grounded:
		return Grounded
	case UpperBound(p.failed, p.sent, preflightMiss) <= p.excludes:
		return Clear
	case p.sent >= preflightMost:
		return Undecided
	default:
		return Probing
	}
}
