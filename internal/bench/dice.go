package bench

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// counts is one second's requests, or more of them. Slow ones are counted only
// where somebody looks.
type counts struct{ greenN, greenE, greenSlow, blueN, blueE, blueSlow float64 }

func (c counts) plus(o counts, sign float64) counts {
	return counts{
		c.greenN + sign*o.greenN, c.greenE + sign*o.greenE, c.greenSlow + sign*o.greenSlow,
		c.blueN + sign*o.blueN, c.blueE + sign*o.blueE, c.blueSlow + sign*o.blueSlow,
	}
}

// history is the cumulated counts per second, for windows that end in the
// past: a policy sees nothing younger than its signal's lag.
type history struct{ sums []counts }

// add puts the counts of some seconds at the last of them.
func (h *history) add(c counts, seconds int) {
	last := counts{}
	if len(h.sums) > 0 {
		last = h.sums[len(h.sums)-1]
	}
	for range seconds - 1 {
		h.sums = append(h.sums, last)
	}
	h.sums = append(h.sums, last.plus(c, 1))
}

// window is the counts of the seconds from (inclusive) to to (exclusive).
func (h *history) window(from, to int) counts {
	from, to = max(from, 0), min(to, len(h.sums))
	if to <= from {
		return counts{}
	}
	if from == 0 {
		return h.sums[to-1]
	}
	return h.sums[to-1].plus(h.sums[from-1], -1)
}

// dice draws what happens; without a generator what it draws are expectations.
type dice struct{ rng *rand.Rand }

func newDice(seed uint64) *dice { return &dice{rand.New(rand.NewPCG(seed, 0xbe9c4))} }

// phase is a second within an interval, at a whole block; the middle without a
// generator.
func (d *dice) phase(interval int) int {
	blocks := interval / block
	if d.rng == nil {
		return blocks / 2 * block
	}
	return d.rng.IntN(blocks) * block
}

// few is the mean up to which counting up is quicker than rejection.
const few = 20

// binomial draws the number of successes; without a generator, their mean.
func (d *dice) binomial(n, p float64) float64 {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case d.rng == nil:
		return n * p
	case n*p < few:
		return d.countUp(n, p)
	}
	return math.Min(n, distuv.Binomial{N: n, P: p, Src: d.rng}.Rand())
}

// countUp inverts the distribution from zero up.
func (d *dice) countUp(n, p float64) float64 {
	u, k := d.rng.Float64(), 0.0
	term := math.Exp(n * math.Log1p(-p))
	odds := p / (1 - p)
	for u > term && k < n {
		u -= term
		k++
		term *= odds * (n - k + 1) / k
	}
	return k
}

// senses is what of a second somebody looks at; the rest is not drawn.
type senses struct{ blue, latency bool }

// during draws some seconds of one weight. Where requests a second are no
// whole number, they come as often as that makes it on average.
func (d *dice) during(w World, age, seconds int, weight float64, s senses) counts {
	n := w.RPS * float64(seconds)
	if whole := math.Floor(n); d.rng != nil && whole != n {
		n = whole + d.binomial(1, n-whole)
	}
	r := w.rates(age)
	green := d.binomial(n, weight)
	c := counts{greenN: green, blueN: n - green, greenE: d.binomial(green, r.green)}
	if s.blue {
		c.blueE = d.binomial(c.blueN, r.blue)
	}
	if s.latency {
		c.greenSlow = d.binomial(c.greenN, r.greenSlow)
	}
	if s.blue && s.latency {
		c.blueSlow = d.binomial(c.blueN, r.blueSlow)
	}
	return c
}
