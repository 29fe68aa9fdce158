package evidence_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tapctl/tapctl/internal/evidence"
)

// suspect plays minutes of 60 ticks and returns the leanings met at their ends.
func suspect(seed uint64, minutes int, p0, g, b float64, green, blue int) (seen [3]int) {
	rng := rand.New(rand.NewPCG(seed, 0x5059))
	s := evidence.NewSuspicion(evidence.DefaultPolicy(0.01, 1800), p0)
	for range minutes {
		for range 60 {
			s.Add(0, float64(green), binomial(rng, green, g), float64(blue), binomial(rng, blue, b))
		}
		seen[s.Leaning(false)]++
	}
	return seen
}

// TestSuspicion: at the rates that make an alarm of Sum >= 1 red in nearly
// every minute, a healthy green is hardly ever doubted, a bad one always.
func TestSuspicion(t *testing.T) {
	t.Parallel()
	const runs, minutes = 200, 10
	for _, tt := range []struct {
		name        string
		p0, g, b    float64
		green, blue int
		end         evidence.Leaning // of nearly every run's last minutes
	}{
		{"0.1 % on both sides, 10 a second", 0.01, 0.001, 0.001, 1, 9, evidence.Tolerable},
		{"0.1 % on both sides, 1,000 a second", 0.01, 0.001, 0.001, 100, 900, evidence.Tolerable},
		{"half of them green", 0.01, 0.001, 0.001, 50, 50, evidence.Tolerable},
		{"a third more than blue is tolerated", 0.01, 0.0013, 0.001, 100, 900, evidence.Tolerable},
		{"no rate is fixed, 3 % on both sides", 0, 0.03, 0.03, 10, 90, evidence.Tolerable},
		{"green fails ten times as often", 0.01, 0.01, 0.001, 100, 900, evidence.Intolerable},
		{"no rate is fixed, green refuses four times as many", 0, 0.12, 0.03, 10, 90, evidence.Intolerable},
		{"the base side fails more than is tolerated", 0.01, 0.03, 0.03, 10, 90, evidence.Intolerable},
		{"the base side alone fails more than is tolerated", 0.01, 0.001, 0.03, 10, 90, evidence.Intolerable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var total [3]int
			for seed := range runs {
				seen := suspect(uint64(seed), minutes, tt.p0, tt.g, tt.b, tt.green, tt.blue)
				for i, n := range seen {
					total[i] += n
				}
			}
			if share := float64(total[tt.end]) / (runs * minutes); share < 0.95 {
				t.Errorf("%.1f%% of the minutes end like that (tolerable, doubtful, intolerable: %v of %d; seeds from 0)", 100*share, total, runs*minutes)
			}
		})
	}
}

// TestSuspicionIsNeitherQuickNorBlind: a few failures are a doubt before they
// are a proof, and a good past does not excuse a fault that begins late.
func TestSuspicionIsNeitherQuickNorBlind(t *testing.T) {
	t.Parallel()
	s := evidence.NewSuspicion(evidence.DefaultPolicy(0.01, 1800), 0.01)
	var met []evidence.Leaning
	for range 6 { // one of ten fails at green, none of ninety at blue
		s.Add(0, 10, 1, 90, 0)
		if l := s.Leaning(false); len(met) == 0 || met[len(met)-1] != l {
			met = append(met, l)
		}
	}
	if len(met) != 3 || met[0] != evidence.Tolerable || met[1] != evidence.Doubtful || met[2] != evidence.Intolerable {
		t.Errorf("leanings %v, want from tolerable over doubtful to intolerable", met)
	}

	rng := rand.New(rand.NewPCG(1, 0x1a7e))
	s = evidence.NewSuspicion(evidence.DefaultPolicy(0.01, 1800), 0.01)
	for range 1200 {
		s.Add(0, 100, binomial(rng, 100, 0.001), 900, binomial(rng, 900, 0.001))
	}
	for second := 1; s.Leaning(false) != evidence.Intolerable; second++ {
		if second > 30 {
			t.Fatal("5 % failing after twenty good minutes: not proven within 30 s")
		}
		s.Add(0, 100, binomial(rng, 100, 0.05), 900, binomial(rng, 900, 0.001))
	}
}

// TestSuspicionOfACanaryAlone holds it to the fixed rate, or to what the base
// side had while there was one.
func TestSuspicionOfACanaryAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		p0       float64
		before   float64 // bad of a thousand of the base side; negative: there was none
		bad      float64 // of a thousand of green's
		want     evidence.Leaning
		afterOne bool // forgiven after the first
	}{
		{"nothing to hold it to", 0, -1, 1, evidence.Doubtful, false},
		{"within the fixed rate", 0.01, -1, 5, evidence.Tolerable, false},
		{"beyond the fixed rate", 0.01, -1, 80, evidence.Intolerable, false},
		{"as the base side was", 0, 30, 30, evidence.Tolerable, false},
		{"far beyond what the base side was", 0, 30, 300, evidence.Intolerable, false},
		{"forgiven", 0.01, -1, 80, evidence.Tolerable, true},
	} {
		s := evidence.NewSuspicion(evidence.DefaultPolicy(0.01, 1800), tt.p0)
		if tt.before >= 0 {
			s.Add(0, 100, tt.before/10, 1000, tt.before)
		}
		s.AddAlone(1000, tt.bad)
		if tt.afterOne {
			s.Forgive()
			s.AddAlone(1000, 5)
		}
		if got := s.Leaning(true); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
