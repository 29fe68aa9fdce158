// Package evidence tests, request by request, whether green fails more than
// blue. Its tests are anytime-valid: they may be looked at after every tick,
// for as long as one likes, and a healthy green is still sent back with at
// most the stated probability.
//
// The relative test conditions on the total errors of a tick: if both sides
// fail alike, green's share of them is at most its share of the requests in
// convex order (Hoeffding 1963), so every likelihood ratio against a larger
// share is a non-negative supermartingale, and Ville's inequality bounds its
// supremum. See Lindon and Malek (2020), https://arxiv.org/abs/2011.03567, and
// for the detectors of a late fault Shin, Ramdas and Rinaldo (2022),
// https://arxiv.org/abs/2203.03532.
//
// Everything is pure; a tick costs a fixed amount of work and no allocation.
package evidence

import "math"

// Counts is what one tick saw. Errors are at most the requests of their side.
type Counts struct {
	GreenRequests, GreenErrors float64
	BlueRequests, BlueErrors   float64
}

// Grid is the odds ratios that the relative test bets on, with equal weight.
var Grid = []float64{1.5, 2, 3, 5, 10, 30, 100, 300, 1000}

// Process is a mixture of likelihood ratios: an e-process, and beside it the
// Shiryaev-Roberts detector, which forgets a good past.
type Process struct {
	logs []float64 // log likelihood ratio per bet
	sr   []float64 // log of the detector per bet; -Inf before the first tick
	step []float64 // scratch
}

func newProcess(bets int) Process {
	p := Process{logs: make([]float64, bets), sr: make([]float64, bets), step: make([]float64, bets)}
	for i := range p.sr {
		p.sr[i] = math.Inf(-1)
	}
	return p
}

// add takes one tick's log likelihood ratios, which are in p.step.
func (p *Process) add() {
	for i, l := range p.step {
		p.logs[i] += l
		p.sr[i] = log1pExp(p.sr[i]) + l // ln((M+1) e^l)
	}
}

// LogE is the log of the e-process: evidence against "green is as good".
func (p *Process) LogE() float64 { return logMean(p.logs) }

// LogSR is the log of the Shiryaev-Roberts detector; -Inf before the first
// tick.
func (p *Process) LogSR() float64 { return logMean(p.sr) }

// log1pExp is ln(1 + e^x), exact for large x too.
func log1pExp(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}

func logMean(logs []float64) float64 {
	largest := math.Inf(-1)
	for _, l := range logs {
		largest = max(largest, l)
	}
	if math.IsInf(largest, -1) {
		return largest
	}
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(l - largest)
	}
	return largest + math.Log(sum/float64(len(logs)))
}

// Relative compares green with blue, both serving at the same time. A green
// that fails at most r0 times as often as blue is not held against it.
type Relative struct {
	Process
	r0 float64
}

// NewRelative tolerates a ratio of r0 >= 1.
func NewRelative(r0 float64) *Relative {
	return &Relative{Process: newProcess(len(Grid)), r0: r0}
}

// Add takes one tick.
func (r *Relative) Add(c Counts) {
	errors := c.GreenErrors + c.BlueErrors
	usable := errors > 0 && c.GreenRequests > 0 && c.BlueRequests > 0
	var share float64
	if usable {
		rho := c.GreenRequests / (c.GreenRequests + c.BlueRequests)
		share = r.r0 * rho / (1 - rho + r.r0*rho)
	}
	for i, g := range Grid {
		r.step[i] = 0
		if usable {
			r.step[i] = c.GreenErrors*math.Log(g) - errors*math.Log(1+share*(g-1))
		}
	}
	r.add()
}

// Absolute compares green with a fixed rate, for when there is no blue to
// compare with, or blue is broken too.
type Absolute struct {
	Process
	p0   float64
	bets []float64
}

// absoluteFactors times p0 are the failure rates bet on, up to 95 percent.
var absoluteFactors = []float64{2, 3, 5, 10, 30, 100, 300}

const absoluteMax = 0.95

// NewAbsolute tolerates a failure rate of p0, above 0 and below 0.475.
func NewAbsolute(p0 float64) *Absolute {
	var bets []float64
	for _, factor := range absoluteFactors {
		q := math.Min(absoluteMax, p0*factor)
		if len(bets) == 0 || bets[len(bets)-1] != q {
			bets = append(bets, q)
		}
	}
	return &Absolute{Process: newProcess(len(bets)), p0: p0, bets: bets}
}

// Add takes one tick; only green's counts matter.
func (a *Absolute) Add(c Counts) {
	good := c.GreenRequests - c.GreenErrors
	for i, q := range a.bets {
		a.step[i] = c.GreenErrors*math.Log(q/a.p0) + good*math.Log((1-q)/(1-a.p0))
	}
	a.add()
}

// UpperBound is an anytime-valid upper bound, at level alpha, on the failure
// rate of a side that had e errors in n requests: the largest p whose
// likelihood is not beaten by the uniform mixture by a factor of 1/alpha.
func UpperBound(e, n, alpha float64) float64 {
	if n <= 0 {
		return 1
	}
	betaA, _ := math.Lgamma(1 + e)
	betaB, _ := math.Lgamma(1 + n - e)
	betaAB, _ := math.Lgamma(2 + n)
	floor := math.Log(alpha) + betaA + betaB - betaAB
	above := func(p float64) bool {
		l := 0.0
		if e > 0 {
			l += e * math.Log(p)
		}
		if n > e {
			l += (n - e) * math.Log1p(-p)
		}
		return l > floor
	}
	low, high := e/n, 1.0 // the likelihood falls from its maximum at e/n to p = 1
	if above(high - 1e-15) {
		return 1
	}
	for range 100 {
		middle := (low + high) / 2
		if above(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
