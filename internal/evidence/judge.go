package evidence

import (
	"fmt"
	"math"
)

// Policy is how sure the judge wants to be.
type Policy struct {
	// Alpha is the probability, over a whole release, of sending a healthy
	// green back. It is split evenly over what is measured (errors, and where
	// they are set latency, probes and alarms), and within each over its tests.
	Alpha float64
	// R0 is the tolerated ratio of green's rate to blue's.
	R0 float64
	// P0 is the tolerated absolute failure rate: the SLO, or a multiple of
	// what blue had before the release.
	P0 float64
	// Slow is the share of requests that may be slower than the limit: 0.01 where
	// it is a 99th percentile. Zero leaves latency alone. While blue is there
	// green is held against it; later R0 times this is tolerated, or more where
	// blue has shown more.
	Slow float64
	// Probes sets a share of Alpha aside for a Preflight.
	Probes bool
	// Alarms sets a share of Alpha aside for a Suspicion of what alarms count.
	Alarms bool
	// Ticks is the planned length of the release, in ticks: the late-fault
	// detectors pay for it once, logarithmically.
	Ticks int
}

// SlowShare is Policy.Slow where nobody knows better.
const SlowShare = 0.01

// DefaultPolicy judges errors alone: one percent, and half as many again as
// blue is tolerated.
func DefaultPolicy(p0 float64, ticks int) Policy {
	return Policy{Alpha: 0.01, R0: 1.5, P0: p0, Ticks: ticks}
}

// tests is how many tests share the alpha of one metric.
const tests = 4

// share is the alpha of one metric.
func (p Policy) share() float64 {
	metrics := 1.0
	if p.Slow > 0 {
		metrics++
	}
	if p.Probes {
		metrics++
	}
	if p.Alarms {
		metrics++
	}
	return p.Alpha / metrics
}

// TestAlpha is the level at which each single test is held.
func (p Policy) TestAlpha() float64 { return p.share() / tests }

// Finding is what the judge says after a tick.
type Finding int

// The findings.
const (
	Fine   Finding = iota
	Shared         // green is bad, and so is blue: hold, do not blame green
	Bad            // green is worse than blue, or bad with no blue to compare
)

// cause is which test spoke.
type cause int

const (
	none cause = iota
	worse
	worseLately
	tooOften
)

// metric is the four tests of one kind of badness.
type metric struct {
	relative *Relative
	// absolute is nil where the rate it holds green against is not fixed yet: a
	// limit of latency knows no blue, and what blue has always exceeded is no
	// fault of green. Blue's own rate is taken when blue is about to go.
	absolute *Absolute
	p0       float64
	verb     string
	blue     sides // all that blue has shown
}

// Judge runs four tests side by side for each metric: relative and absolute,
// each as an e-process and as a detector of a late fault.
type Judge struct {
	policy  Policy
	level   level
	metrics []metric
	control bool // blue has served at all
	blamed  *metric
	cause   cause
}

// NewJudge starts without evidence.
func NewJudge(p Policy) *Judge {
	j := &Judge{policy: p, level: at(p.TestAlpha(), float64(p.Ticks)), metrics: []metric{{relative: NewRelative(p.R0), absolute: NewAbsolute(p.P0), p0: p.P0, verb: "fails"}}}
	if p.Slow > 0 {
		j.metrics = append(j.metrics, metric{relative: NewRelative(p.R0), p0: p.R0 * p.Slow, verb: "is slow"})
	}
	return j
}

// Forgive begins the absolute tests anew, after an incident that blue shared:
// what happened in it says nothing of green. What was learned by comparing
// stays. Each incident spends the absolute tests' alpha once more.
func (j *Judge) Forgive() {
	for i := range j.metrics {
		if m := &j.metrics[i]; m.absolute != nil {
			m.absolute = NewAbsolute(m.p0)
		}
	}
}

// controlShare is the least share of the requests that blue must have for the
// relative test to be the one that decides.
const controlShare = 0.5

// Add takes one tick and judges. weight is green's share of the users, 0..1.
// The absolute test alone sends green back only where blue is too small to
// compare with: while there is a control, it may be the world that is ill. A
// tick in which blue happened to serve nobody does not end the control.
func (j *Judge) Add(c Counts, weight float64) Finding {
	finding := Fine
	j.control = j.control || c.BlueRequests > 0
	for i := range j.metrics {
		m := &j.metrics[i]
		s := sides{c.GreenRequests, c.GreenErrors, c.BlueRequests, c.BlueErrors, c.At}
		if i > 0 {
			s.greenBad, s.blueBad = c.GreenSlow, c.BlueSlow
		}
		m.relative.add(s)
		m.blue.blue, m.blue.blueBad = m.blue.blue+s.blue, m.blue.blueBad+s.blueBad
		if m.absolute == nil && weight > controlShare {
			m.fix(j.policy)
		}
		if m.absolute != nil {
			m.absolute.add(s.green, s.greenBad)
		}
		said, why := m.judge(j.level)
		if why == tooOften && weight <= controlShare && j.control {
			said = Shared
		}
		if said > finding {
			finding, j.blamed, j.cause = said, m, why
		}
	}
	return finding
}

// breath is how many times its average a rate may reach at times.
const breath = 2

// fix takes the rate that green is held against from now on: what the policy
// tolerates, or R0 times what blue is known to reach at times.
func (m *metric) fix(p Policy) {
	if m.blue.blue > 0 {
		m.p0 = min(absoluteMost, max(m.p0, breath*p.R0*UpperBound(m.blue.blueBad, m.blue.blue, p.TestAlpha())))
	}
	m.absolute = NewAbsolute(m.p0)
}

func (m *metric) judge(l level) (Finding, cause) {
	now, late := m.relative.reaches(l)
	switch {
	case now:
		return Bad, worse
	case late:
		return Bad, worseLately
	case m.absolute == nil:
		return Fine, none
	}
	if now, late = m.absolute.reaches(l); now || late {
		return Bad, tooOften
	}
	return Fine, none
}

// Why is the reason for the last finding that was not Fine.
func (j *Judge) Why() string {
	switch j.cause {
	case worse:
		return fmt.Sprintf("green %s more than %v times as often as blue (e-value %.3g)", j.blamed.verb, j.policy.R0, math.Exp(j.blamed.relative.LogE()))
	case worseLately:
		return fmt.Sprintf("since a while ago green %s more than %v times as often as blue", j.blamed.verb, j.policy.R0)
	case tooOften:
		return fmt.Sprintf("green %s more often than %.3g%% of the time", j.blamed.verb, 100*j.blamed.p0)
	default:
		return ""
	}
}
