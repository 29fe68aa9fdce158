package bench

import "math"

// outcome is one release under one policy. Times are seconds, NaN where the
// thing never happened.
type outcome struct {
	harmed   float64 // green's failures (or slow answers) beyond what blue would have had
	exposed  float64 // requests that green answered while it was bad
	detect   float64 // from the first exposure to the fault until the order to undo
	restore  float64 // from there until weight < 0.1 percent and the undo has begun to act
	rejected bool
	promoted bool
	took     int
	writes   int // dial writes, the undo included
}

// block is how many seconds those are played at a time who look at windows of
// whole blocks only: five times as quick, and nothing they see is different.
const block = 5

// longest bounds a release, in seconds. tail is how long the harm of a
// promoted bad release is counted: no policy here looks after promotion.
const (
	longest  = 3600
	tail     = 300
	settling = 1500 // an undo through DNS leaves stragglers for that long
	restored = 0.001
)

// playing is a release under way.
type playing struct {
	outcome
	policy                      Policy
	world                       World
	wanted                      float64
	undoAt, promotedAt, exposed int // seconds, -1: not yet
	onset                       int
}

// release plays one release, second by second or block by block. seen is scratch.
func release(p Policy, w World, d *dice, seen *history) outcome {
	seen.sums = seen.sums[:0]
	decider := p.start(w, d)
	r := &playing{policy: p, world: w, undoAt: -1, promotedAt: -1, exposed: -1, onset: w.Onset}
	r.detect, r.restore = math.NaN(), math.NaN()
	if w.OnsetWeight > 0 {
		r.onset = math.MaxInt32
	}
	senses := senses{blue: p.compares, latency: p.Own || w.GreenSlow > w.Slow}
	for t, step := 0, p.tick; t < longest+settling; t += step {
		if r.undoAt < 0 && r.promotedAt < 0 {
			r.take(decider.decide(t, seen), t)
		}
		weight := r.wanted
		if r.undoAt >= 0 {
			step = 1 // users move back by the second
			weight *= p.Undo.residual(t - r.undoAt)
		}
		c := d.during(w, t-r.onset, step, weight, senses)
		r.count(c, t, weight)
		if w.Blind {
			c.greenN, c.greenE, c.greenSlow = 0, 0, 0
		}
		seen.add(c, step)
		if r.over(t, step, weight) {
			break
		}
	}
	return r.outcome
}

// take carries out a decision.
func (r *playing) take(d decision, t int) {
	switch {
	case d.rejected:
		r.undoAt, r.rejected, r.took = t, true, t
		r.writes++
		if r.exposed >= 0 {
			r.detect = float64(t - r.exposed)
		}
		return
	case d.promoted || t >= longest:
		d.weight = 1
		r.promotedAt, r.promoted, r.took = t, true, t
	}
	if d.weight != r.wanted {
		r.wanted = d.weight
		r.writes++
	}
	if r.world.OnsetWeight > 0 && r.wanted >= r.world.OnsetWeight {
		r.onset = min(r.onset, t)
	}
}

// count adds up what a second did to the users.
func (r *playing) count(c counts, t int, weight float64) {
	w := r.world
	if !w.Harmful() || !w.ill(t-r.onset) || weight <= 0 {
		return
	}
	if r.exposed < 0 {
		r.exposed = t
	}
	r.outcome.exposed += c.greenN
	if w.GreenSlow > w.Slow {
		r.harmed += c.greenSlow - w.Slow*c.greenN
		return
	}
	r.harmed += c.greenE - w.Base*c.greenN
}

// over tells whether nothing more is to be counted. A weight below a tenth of
// a percent counts as restored, but not before the undo can have acted: a ramp
// that starts below it would be restored by being decided.
func (r *playing) over(t, step int, weight float64) bool {
	if r.undoAt >= 0 && t >= r.undoAt+r.policy.Undo.Lag && weight < restored {
		if r.exposed >= 0 {
			r.restore = float64(t - r.exposed)
		}
		return true
	}
	return r.promotedAt >= 0 && (!r.world.Harmful() || t+step >= r.promotedAt+tail)
}
