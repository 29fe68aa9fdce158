package evidence

import (
	"fmt"
	"math"
)

// Policy is how sure the judge wants to be.
type Policy struct {
	// Alpha is the probability, over a whole release, of sending a healthy
	// green back. It is split evenly over the four tests.
	Alpha float64
	// R0 is the tolerated ratio of green's failure rate to blue's.
	R0 float64
	// P0 is the tolerated absolute failure rate: the SLO, or a multiple of
	// what blue had before the release.
	P0 float64
	// Ticks is the planned length of the release, in ticks: the late-fault
	// detectors pay for it once, logarithmically.
	Ticks int
}

// DefaultPolicy is detection.md's: one percent, r0 1.5.
func DefaultPolicy(p0 float64, ticks int) Policy {
	return Policy{Alpha: 0.01, R0: 1.5, P0: p0, Ticks: ticks}
}

// tests is how many tests share alpha.
const tests = 4

// Finding is what the judge says after a tick.
type Finding int

// The findings.
const (
	Fine   Finding = iota
	Shared         // green is bad, and so is blue: hold, do not blame green
	Bad            // green is worse than blue, or bad with no blue to compare
)

// Judge runs the four tests side by side: relative and absolute, each as an
// e-process and as a detector of a late fault.
type Judge struct {
	policy   Policy
	relative *Relative
	absolute *Absolute
	why      string
}

// NewJudge starts without evidence.
func NewJudge(p Policy) *Judge {
	return &Judge{policy: p, relative: NewRelative(p.R0), absolute: NewAbsolute(p.P0)}
}

// controlShare is the least share of the requests that blue must have for the
// relative test to be the one that decides.
const controlShare = 0.5

// Add takes one tick and judges. weight is green's share of the users, 0..1.
// The absolute test alone sends green back only where blue is too small to
// compare with: while there is a control, it may be the world that is ill.
func (j *Judge) Add(c Counts, weight float64) Finding {
	j.relative.Add(c)
	j.absolute.Add(c)
	level := math.Log(tests / j.policy.Alpha)
	late := level + math.Log(float64(j.policy.Ticks))
	switch {
	case j.relative.LogE() >= level:
		j.why = fmt.Sprintf("green fails more than %v times as often as blue (e-value %.3g)", j.policy.R0, math.Exp(j.relative.LogE()))
		return Bad
	case j.relative.LogSR() >= late:
		j.why = fmt.Sprintf("green has begun to fail more than %v times as often as blue", j.policy.R0)
		return Bad
	case j.absolute.LogE() >= level || j.absolute.LogSR() >= late:
		j.why = fmt.Sprintf("green fails more often than %.3g%%", 100*j.policy.P0)
		if weight > controlShare || c.BlueRequests == 0 {
			return Bad
		}
		return Shared
	default:
		return Fine
	}
}

// Why is the reason for the last finding that was not Fine.
func (j *Judge) Why() string { return j.why }
