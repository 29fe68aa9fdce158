package evidence

import "math"

// Leaning is where the evidence points before it proves anything.
type Leaning int

// The leanings, from best to worst.
const (
	Tolerable   Leaning = iota // not half-way to a proof that it is too much
	Doubtful                   // half-way, and not there
	Intolerable                // proven to be too much
)

// Suspicion weighs bad answers that something else has counted one by one, an
// alarm's threshold for example: are they more than is tolerated? It holds the
// canary against the base side of the same moment, and the base side against a
// fixed rate, since what fails there is tapctl's own way to blue. Where no base
// side is left the canary is held against that rate itself.
//
// Half-way is meant in nats: at a level of alpha the mean bet has grown to
// alpha^-1/2. A healthy green is there with probability sqrt(alpha) at most.
type Suspicion struct {
	relative    *Relative
	base, alone *Absolute
	p0          float64 // 0: only the other side says what is too much
	r0          float64
	level, half level
	alpha       float64
	blue        sides // of all ticks, for a rate where none is fixed
}

// suspicions is how many tests share the alpha of what alarms count: failures
// of the canary, of the base side and of a canary alone, refusals of the first
// and the last, each of them at once or since a while.
const suspicions = 10

// NewSuspicion weighs at the level of one of those tests. p0 is the
// tolerated rate, 0..1; with 0 the base side is not held to any, and a canary
// that is left alone is held to R0 times what the base side is known to reach.
func NewSuspicion(p Policy, p0 float64) *Suspicion {
	alpha, ticks := p.share()/suspicions, float64(p.Ticks)
	s := &Suspicion{
		relative: NewRelative(p.R0), p0: p0, r0: p.R0, alpha: alpha, level: at(alpha, ticks),
		half: level{math.Log(1/alpha) / 2, ticks / math.Sqrt(alpha)},
	}
	s.Forgive()
	return s
}

// Add takes one tick: when it began, as Counts.At; requests of both sides, and how
// many of them are bad. A tick of a canary alone has no requests of the base
// side.
func (s *Suspicion) Add(at, green, greenBad, blue, blueBad float64) {
	s.blue.blue, s.blue.blueBad = s.blue.blue+blue, s.blue.blueBad+blueBad
	s.relative.add(sides{green, greenBad, blue, blueBad, at})
	if s.base != nil && blue > 0 {
		s.base.add(blue, blueBad)
	}
}

// AddAlone takes one tick in which green answers everybody.
func (s *Suspicion) AddAlone(green, greenBad float64) {
	if s.alone == nil {
		if p0 := s.tolerated(); p0 > 0 {
			s.alone = NewAbsolute(p0)
		}
	}
	if s.alone != nil {
		s.alone.add(green, greenBad)
	}
}

// tolerated is the rate that a canary alone is held to, 0 where none is known.
func (s *Suspicion) tolerated() float64 {
	switch {
	case s.p0 > 0:
		return s.p0
	case s.blue.blue > 0:
		return min(absoluteMost, s.r0*UpperBound(s.blue.blueBad, s.blue.blue, s.alpha))
	default:
		return 0
	}
}

// Forgive begins what is held against a fixed rate anew.
func (s *Suspicion) Forgive() {
	s.alone = nil
	if s.p0 > 0 {
		s.base = NewAbsolute(s.p0)
	}
}

// Leaning is the worst of what is held against a rate; alone says that no base
// side is left. Where there is nothing to hold green against it is Doubtful.
func (s *Suspicion) Leaning(alone bool) Leaning {
	if alone {
		if s.alone == nil {
			return Doubtful
		}
		return s.of(&s.alone.Process)
	}
	leaning := s.of(&s.relative.Process)
	if s.base != nil {
		leaning = max(leaning, s.of(&s.base.Process))
	}
	return leaning
}

// Blames tells whether what is intolerable is green's: with a base side left,
// that green fares worse than it.
func (s *Suspicion) Blames(alone bool) bool {
	return alone && s.Leaning(true) == Intolerable || !alone && s.of(&s.relative.Process) == Intolerable
}

func (s *Suspicion) of(p *Process) Leaning {
	if now, late := p.reaches(s.level); now || late {
		return Intolerable
	}
	if now, late := p.reaches(s.half); now || late {
		return Doubtful
	}
	return Tolerable
}
