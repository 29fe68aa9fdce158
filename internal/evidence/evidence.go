// Package evidence tests, request by request, whether green fails more than
// blue. Its tests are anytime-valid: they may be looked at after every tick,
// for as long as one likes, and a healthy green is still sent back with at
// most the stated probability.
//
// # Why the relative test may be trusted
//
// In a tick let green have n requests that fail with probability g each, and
// blue m that fail with b, and let green be tolerated: g <= r0 b. With
// rho = n/(n+m), s = r0 rho/(1-rho+r0 rho) and c = 1+s(G-1), a bet G multiplies
// the evidence by G^(green errors) / c^(all errors). Its expectation is
//
//	(1-g+gG/c)^n (1-b+b/c)^m <= exp(ng(G/c-1) + mb(1/c-1)) <= 1
//
// by ln(1+x) <= x; the last step is an equality at g = r0 b, for c is chosen so.
// Nothing was asked of b but that both sides share it, tick by tick: it may
// move as it likes, and so may the weights. So the product over the ticks is a
// supermartingale from 1, and by Ville's inequality it ever reaches 1/alpha
// with probability alpha at most. Conditioned on the errors it is Hoeffding's
// (1963) bound. See Lindon and Malek, https://arxiv.org/abs/2011.03567, and
// for the detectors of a late fault Shin, Ramdas and Rinaldo,
// https://arxiv.org/abs/2203.03532.
//
// What it does ask: that which request meets green is decided by the dice, not
// by who asks. API Gateway's canary does that; DNS does not.
//
// Everything is pure; a tick costs a fixed amount of work and no allocation.
package evidence

import "math"

// Counts is what one tick saw, in requests. Errors and slow requests are at
// most the requests of their side. Slow are those slower than a limit that was
// fixed before the release; zero where nobody measures them. Refused are those
// answered with a 4xx status: the client's doing, as a rule.
type Counts struct {
	GreenRequests, GreenErrors float64
	BlueRequests, BlueErrors   float64
	GreenSlow, BlueSlow        float64
	GreenRefused, BlueRefused  float64
	// At is when the tick began, in seconds of any clock; 0 is a second after the
	// tick before. It bounds what is compared with what, and nothing else.
	At float64
}

// Grid is the odds ratios that the relative test bets on, with equal weight.
var Grid = []float64{1.5, 2, 3, 5, 10, 30, 100, 300, 1000}

// Process is a mixture of likelihood ratios: an e-process, and beside it the
// Shiryaev-Roberts detector, which forgets a good past.
type Process struct {
	logs []float64 // log likelihood ratio per bet: a long good past underflows otherwise
	sr   []float64 // the detector per bet, which cannot underflow: it begins anew
	step []float64 // scratch
}

func newProcess(bets int) Process {
	return Process{logs: make([]float64, bets), sr: make([]float64, bets), step: make([]float64, bets)}
}

// srMost keeps the detectors finite; no level is anywhere near.
const srMost = 1e290

// add takes one tick's log likelihood ratios, which are in p.step.
func (p *Process) add() {
	for i, l := range p.step {
		p.logs[i] += l
		p.sr[i] = min(srMost, (p.sr[i]+1)*math.Exp(min(l, 600)))
	}
}

// idle takes a tick that taught nothing.
func (p *Process) idle() {
	for i := range p.sr {
		p.sr[i]++
	}
}

// LogE is the log of the e-process: evidence against "green is as good".
func (p *Process) LogE() float64 { return logMean(p.logs) }

// LogSR is the log of the Shiryaev-Roberts detector; -Inf before the first
// tick.
func (p *Process) LogSR() float64 {
	sum := 0.0
	for _, m := range p.sr {
		sum += m
	}
	return math.Log(sum / float64(len(p.sr)))
}

// level is a threshold in the forms that the two kinds of test need.
type level struct{ log, detector float64 }

// at is the level of a test held at alpha over so many ticks.
func at(alpha, ticks float64) level { return level{math.Log(1 / alpha), ticks / alpha} }

// reaches tells whether the e-process is at 1/alpha, or the detector at
// ticks/alpha. No mean is above its largest part, so that most ticks cost
// comparisons only.
func (p *Process) reaches(l level) (now, late bool) {
	sum := 0.0
	for i, log := range p.logs {
		now = now || log >= l.log
		sum += p.sr[i]
	}
	return now && p.LogE() >= l.log, sum >= float64(len(p.sr))*l.detector
}

func logMean(logs []float64) float64 {
	largest := math.Inf(-1)
	for _, l := range logs {
		largest = max(largest, l)
	}
	sum := 0.0
	for _, l := range logs {
		sum += math.Exp(l - largest)
	}
	return largest + math.Log(sum/float64(len(logs)))
}

// Relative compares green with blue, both serving at the same time. A green
// that fails at most r0 times as often as blue is not held against it.
//
// A tick in which only one side served is kept and judged with the next ones,
// until both have: where traffic is thin a second alone compares nothing. What
// is kept depends on who served and never on who failed, so the bound stands,
// for a rate that both share and that stays within so short a time.
type Relative struct {
	Process
	r0    float64
	logsG []float64
	kept  [2]sides // of a keepFor's half each, the older first; since their first tick
	last  float64  // seconds: when the last tick began
}

// sides is requests and failures of both, and when the tick began.
type sides struct{ green, greenBad, blue, blueBad, at float64 }

// keepFor is for how many seconds a tick of one side is kept at most: the rate
// that both share may be another one then, and an hour of blue's would tell
// nothing of the world that one request of green's met.
const keepFor = 120

// NewRelative tolerates a ratio of r0 >= 1.
func NewRelative(r0 float64) *Relative {
	r := &Relative{Process: newProcess(len(Grid)), r0: r0, logsG: make([]float64, len(Grid))}
	for i, g := range Grid {
		r.logsG[i] = math.Log(g)
	}
	return r
}

// Add takes one tick; only errors and requests matter.
func (r *Relative) Add(c Counts) {
	r.add(sides{c.GreenRequests, c.GreenErrors, c.BlueRequests, c.BlueErrors, c.At})
}

// forget drops what is too old to be of the same moment.
func (r *Relative) forget(now float64) {
	if now-r.kept[1].at > keepFor/2 {
		r.kept[0], r.kept[1] = r.kept[1], sides{}
	}
	if now-r.kept[0].at > keepFor {
		r.kept[0] = sides{}
	}
}

// and is both together, since the earlier of them.
func (s sides) and(before sides) sides {
	if before.green+before.blue == 0 {
		return s
	}
	return sides{s.green + before.green, s.greenBad + before.greenBad, s.blue + before.blue, s.blueBad + before.blueBad, before.at}
}

func (r *Relative) add(s sides) {
	if s.at == 0 {
		s.at = r.last + 1
	}
	r.last = s.at
	r.forget(s.at)
	if whole := s.and(r.kept[0]).and(r.kept[1]); whole.green > 0 && whole.blue > 0 {
		s, r.kept = whole, [2]sides{}
	} else {
		r.kept[1] = s.and(r.kept[1])
		return
	}
	bad := s.greenBad + s.blueBad
	if bad <= 0 {
		r.idle()
		return
	}
	rho := s.green / (s.green + s.blue)
	share := r.r0 * rho / (1 - rho + r.r0*rho)
	for i, g := range Grid {
		r.step[i] = s.greenBad*r.logsG[i] - bad*math.Log1p(share*(g-1))
	}
	r.Process.add()
}

// Absolute compares green with a fixed rate, for when there is no blue to
// compare with, or blue is broken too.
type Absolute struct {
	Process
	lose, win []float64 // log likelihood ratio of a request that is well, and of one that is not
}

// absoluteFactors times p0 are the failure rates bet on, up to 95 percent.
var absoluteFactors = []float64{2, 3, 5, 10, 30, 100, 300}

const (
	absoluteMax = 0.95
	// absoluteMost is the largest rate that leaves something to bet on.
	absoluteMost = absoluteMax / 2.01
)

// NewAbsolute tolerates a failure rate of p0, above 0 and below 0.475.
func NewAbsolute(p0 float64) *Absolute {
	a := &Absolute{}
	last := 0.0
	for _, factor := range absoluteFactors {
		q := min(absoluteMax, p0*factor)
		if q == last {
			continue
		}
		last = q
		a.win = append(a.win, math.Log(q/p0))
		a.lose = append(a.lose, math.Log((1-q)/(1-p0)))
	}
	a.Process = newProcess(len(a.win))
	return a
}

// Add takes one tick; only green's errors and requests matter.
func (a *Absolute) Add(c Counts) { a.add(c.GreenRequests, c.GreenErrors) }

func (a *Absolute) add(green, bad float64) {
	if green <= 0 {
		a.idle()
		return
	}
	for i := range a.step {
		a.step[i] = bad*a.win[i] + (green-bad)*a.lose[i]
	}
	a.Process.add()
}
