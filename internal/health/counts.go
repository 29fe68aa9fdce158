package health

import (
	"slices"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
)

// Request is one request as the access log of green's stage has it.
type Request struct {
	At      time.Time // when it came
	Canary  bool      // green's candidate answered; otherwise the base side
	Probe   bool      // tapctl's own, or a health checker's: no user's
	Status  int       // HTTP
	Latency time.Duration
}

// Batch is what a tail has delivered since it was last asked.
type Batch struct {
	Requests []Request // in no order; the tail's own again at its next Drain
	// Partial says why requests may be missing, "" where none are: what is
	// counted is then a lower bound. Failures still count; that there are none
	// proves nothing.
	Partial string
	// Sample says that requests were left out by when they came, "" where none
	// were: rates are as good as the whole's, sums and shares are not.
	Sample string
	Source string // how they are read: "live tail", "polling: access denied"
}

// RequestTail follows the access log. Drain never waits.
type RequestTail interface {
	Drain() Batch
}

// Counter counts the requests of one step, canary against base. Its size does
// not depend on how many there are. It is used from one goroutine.
type Counter struct {
	Lag  time.Duration // until dials have taken effect: what came before is not of the step
	Slow time.Duration // a slower answer counts as slow; 0 is never
	// Settle is how long after a tick began it is judged at the earliest: the lines
	// of one side may take longer than the other's.
	Settle time.Duration
	// Began is when the shift did: what is older may be another candidate's.
	Began time.Time

	dials     time.Time
	from      time.Time       // what came since is of the step; zero: the dials do not stand yet
	bins      []bin           // counted and not judged, in the order of their time
	judged    int64           // the number of the last bin that was
	tick      evidence.Counts // of them, what waits for the other side
	tickSince time.Time       // when its first bin began; zero: nothing waits
	step      evidence.Counts // since the dials took effect
	whole     evidence.Counts // since requests were last missing
	users     evidence.Counts // of whole, those of users
	newest    time.Time
	partial   string
	sample    string // of the step: once a sample, its share stays one
	source    string
}

// Begin starts a step whose dials stand since then, zero where they do not yet;
// asked again for the same step it does nothing. What was counted and not yet
// judged stays: whose code failed does not depend on the dials.
func (c *Counter) Begin(dials time.Time) {
	if dials.Equal(c.dials) {
		return
	}
	*c = Counter{Lag: c.Lag, Slow: c.Slow, Settle: c.Settle, Began: c.Began, dials: dials, bins: c.bins, judged: c.judged, tick: c.tick, tickSince: c.tickSince}
	if !dials.IsZero() {
		c.from = dials.Add(c.Lag)
	}
}

// Add counts a batch, and returns what it counted, and what of it is users'. Probes are judged like users, since the dice send them to one
// side or the other alike; what they do not show is that anybody came. Requests
// of before the dials took effect are judged, and are not of the step. In that
// time those of the base side may be the old version's or the promoted one's,
// and are nobody's.
func (c *Counter) Add(b Batch, promoted bool) (all, ofUsers evidence.Counts) {
	c.source, c.partial = b.Source, b.Partial
	if b.Sample != "" {
		c.sample = b.Sample
	}
	if b.Partial != "" {
		c.whole, c.users = evidence.Counts{}, evidence.Counts{}
	}
	var early, got, earlyUsers, users evidence.Counts
	for i := range b.Requests {
		r := &b.Requests[i]
		if r.At.Before(c.Began) {
			continue
		}
		if c.from.IsZero() || r.At.Before(c.from) {
			if r.Canary || !promoted {
				c.tally(c.bin(r.At), r)
				c.tally(&early, r)
				if !r.Probe {
					c.tally(&earlyUsers, r)
				}
			}
			continue
		}
		if r.At.After(c.newest) {
			c.newest = r.At
		}
		c.tally(c.bin(r.At), r)
		c.tally(&got, r)
		if !r.Probe {
			c.tally(&users, r)
		}
	}
	c.step = sum(c.step, got)
	if b.Partial == "" {
		c.whole, c.users = sum(c.whole, got), sum(c.users, users)
	}
	return sum(early, got), sum(earlyUsers, users)
}

// bin is the requests that came within one TickLength.
type bin struct {
	number int64 // TickLengths since the epoch
	counts evidence.Counts
}

// TickLength is how long a tick is, by the time that its requests came and not
// that they were read: of an incident that both sides share, a side that was
// read for a second longer would have more.
const TickLength = 2 * time.Second

// binsMost are kept; what is newer goes into the last. A batch has a few.
const binsMost = 256

// bin finds the counts of a moment. What came late, after its moment was judged,
// goes with the oldest that is not.
func (c *Counter) bin(at time.Time) *evidence.Counts {
	number := max(at.UnixNano()/int64(TickLength), c.judged)
	i := len(c.bins)
	for i > 0 && c.bins[i-1].number > number {
		i--
	}
	switch {
	case i > 0 && c.bins[i-1].number == number:
		return &c.bins[i-1].counts
	case len(c.bins) == binsMost:
		return &c.bins[max(i-1, 0)].counts
	}
	c.bins = slices.Insert(c.bins, i, bin{number: number})
	return &c.bins[i].counts
}

// tally adds a request to the counts.
func (c *Counter) tally(to *evidence.Counts, r *Request) {
	failed, slow, refused := 0.0, 0.0, 0.0
	switch {
	case r.Status >= 500:
		failed = 1
	case r.Status >= 400:
		refused = 1
	}
	if c.Slow > 0 && r.Latency > c.Slow {
		slow = 1
	}
	if r.Canary {
		to.GreenRequests++
		to.GreenErrors += failed
		to.GreenSlow += slow
		to.GreenRefused += refused
	} else {
		to.BlueRequests++
		to.BlueErrors += failed
		to.BlueSlow += slow
		to.BlueRefused += refused
	}
}

func sum(a, b evidence.Counts) evidence.Counts {
	return evidence.Counts{
		GreenRequests: a.GreenRequests + b.GreenRequests, GreenErrors: a.GreenErrors + b.GreenErrors,
		BlueRequests: a.BlueRequests + b.BlueRequests, BlueErrors: a.BlueErrors + b.BlueErrors,
		GreenSlow: a.GreenSlow + b.GreenSlow, BlueSlow: a.BlueSlow + b.BlueSlow,
		GreenRefused: a.GreenRefused + b.GreenRefused, BlueRefused: a.BlueRefused + b.BlueRefused,
	}
}

// pairing is how long requests of one side wait for some of the other, so that
// the two can be compared. Waiting looks at how many requests there are, never
// at how they ended, and so favours nobody.
const pairing = 30 * time.Second

// Tick is the oldest of what was counted and not judged yet, false where there is
// nothing to judge at now. Within a step the canary's share stays as it is, so
// several TickLengths may be one tick.
func (c *Counter) Tick(now time.Time, sides Sides) (evidence.Counts, bool) {
	settled := 0
	for settled < len(c.bins) && now.Sub(c.bins[settled].began()) >= c.Settle {
		settled++
	}
	for taken := range settled {
		b := &c.bins[taken]
		if c.tickSince.IsZero() {
			c.tickSince = b.began()
		}
		c.tick, c.judged = sum(c.tick, b.counts), b.number
		next := now
		if taken+1 < len(c.bins) {
			next = c.bins[taken+1].began()
		}
		if c.paired(next, sides) {
			c.bins = slices.Delete(c.bins, 0, taken+1)
			return c.take(), true
		}
	}
	c.bins = slices.Delete(c.bins, 0, settled)
	if c.tickSince.IsZero() || !c.paired(now, sides) {
		return evidence.Counts{}, false
	}
	return c.take(), true
}

// paired tells whether what waits has both sides that serve, or has waited for
// long enough.
func (c *Counter) paired(now time.Time, sides Sides) bool {
	alone := sides.Base && c.tick.BlueRequests == 0 || sides.Canary && c.tick.GreenRequests == 0
	return !alone || now.Sub(c.tickSince) >= pairing
}

func (c *Counter) take() evidence.Counts {
	t := c.tick
	t.At = float64(c.tickSince.UnixMilli()) / 1000
	c.tick, c.tickSince = evidence.Counts{}, time.Time{}
	return t
}

func (b *bin) began() time.Time { return time.Unix(0, b.number*int64(TickLength)) }

// share is the canary's of the step's requests, 0..1; the dial's where none was
// counted.
func (c *Counter) share(dial float64) float64 {
	if total := c.step.GreenRequests + c.step.BlueRequests; total > 0 {
		return c.step.GreenRequests / total
	}
	return dial
}
