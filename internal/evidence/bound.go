package evidence

import "math"

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
	for range 60 { // to the last bit of a float64
		middle := (low + high) / 2
		if above(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// LowerBound is UpperBound's other side: the smallest rate that the evidence
// does not exclude. It is 0 without errors.
func LowerBound(e, n, alpha float64) float64 {
	if n <= 0 || e <= 0 {
		return 0
	}
	return 1 - UpperBound(n-e, n, alpha)
}

// Proof is about how many requests it takes to prove, at level alpha, that a
// side fails with probability bad where base is normal: Wald's floor and the
// price of not knowing which bet to make, (ln 1/alpha + ln 9) / KL. Blue's rate
// is taken as known; where it is estimated as well it takes half as many again.
func Proof(bad, base, alpha float64) float64 {
	if bad <= base {
		return math.Inf(1)
	}
	divergence := bad * math.Log(bad/base)
	if bad < 1 {
		divergence += (1 - bad) * math.Log((1-bad)/(1-base))
	}
	return (math.Log(1/alpha) + math.Log(float64(len(Grid)))) / divergence
}
