package health

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/ramp"
)

// EvidenceOptions is how requests are judged.
type EvidenceOptions struct {
	// Policy is how sure the judge wants to be. Its Ticks are looks: the length
	// of the shift over the pause between two of them.
	Policy evidence.Policy
	// Lag is how long dials that stand take to act; no request of before
	// measures the step.
	Lag time.Duration
	// Slow is the latency that Policy.Slow is the share above of, at blue and
	// before the release; 0 leaves latency alone.
	Slow time.Duration
	// Settle is how long a tick waits for its lines, from its beginning on: those of
	// one side may take longer than the other's.
	Settle time.Duration
	// Silent is how old the newest request may be before nothing is known.
	Silent time.Duration
	// MinRequests is how many requests of users the canary must have answered in
	// a step, none of them missing, before the step counts as measured. 0: where
	// nobody comes a single probe that was answered will do.
	MinRequests int
	// Budget paces the shift: a step counts as measured only once what users met
	// carries the exposure of the next. nil: no such rule.
	Budget *ramp.Budget
}

// Evidence is the Signal that counts requests: green's candidate, which is the
// stage's canary, against the base side, which is blue until promotion. What
// it has learned of green stays from step to step, as green stays the same;
// that a step is measured takes requests of that step. It belongs to one shift
// and is used from one goroutine.
type Evidence struct {
	tail    RequestTail
	now     func() time.Time
	options EvidenceOptions

	judge   *evidence.Judge
	counter Counter
	release evidence.Counts // what users met in the whole shift
	last    evidence.Finding
	why     string
	bad     *Finding // once red, red: the retreat has begun
	answers answers
}

var (
	_ Signal   = (*Evidence)(nil)
	_ Answerer = (*Evidence)(nil)
)

// NewEvidence starts without evidence. now is the clock that the requests are
// dated by.
func NewEvidence(tail RequestTail, now func() time.Time, o EvidenceOptions) *Evidence {
	return &Evidence{
		tail: tail, now: now, options: o, judge: evidence.NewJudge(o.Policy), counter: Counter{Lag: o.Lag, Slow: o.Slow, Settle: o.Settle},
		answers: newAnswers(o.Policy, o.Silent),
	}
}

// Look implements Signal.
func (e *Evidence) Look(_ context.Context, since time.Time, sides Sides) Finding {
	now := e.now()
	if e.counter.Began.IsZero() {
		e.counter.Began = since
	}
	e.counter.Begin(sides.DialsAt)
	got, users := e.counter.Add(e.tail.Drain(), sides.Promoted)
	e.release = sum(e.release, users)
	e.answers.look(now, since, got != (evidence.Counts{}) && e.counter.partial == "", sides)
	e.learnAll(now, sides)
	if e.last == evidence.Bad && e.bad == nil {
		e.bad = &Finding{Verdict: Unhealthy, Source: requestSource, Detail: e.why + ": " + e.counter.words()}
	}
	if e.bad != nil {
		return *e.bad
	}
	f := Finding{Source: requestSource}
	f.Verdict, f.Shared, f.Detail = e.measured(now, sides)
	if f.Verdict == Unknown && !f.Shared && now.Before(e.counter.from) {
		f.Until = e.counter.from
	}
	return f
}

// learnAll judges what there is to judge. The worst of it is the finding: an
// incident is not over because the last second of what was read is well.
func (e *Evidence) learnAll(now time.Time, sides Sides) {
	worst, any := evidence.Fine, false
	for tick, ok := e.counter.Tick(now, sides); ok; tick, ok = e.counter.Tick(now, sides) {
		any = true
		worst = max(worst, e.learn(now, tick, sides))
	}
	if any {
		e.last = worst
	}
}

func (e *Evidence) learn(now time.Time, tick evidence.Counts, sides Sides) evidence.Finding {
	share := e.counter.share(sides.Share)
	if sides.Promoted {
		tick, share = promoted(tick), 1
	}
	e.answers.add(now, tick)
	if !sides.Canary && !sides.Promoted {
		return evidence.Fine
	}
	found := e.judge.Add(tick, share)
	if found != evidence.Fine {
		e.why = e.judge.Why()
	}
	if found == evidence.Shared {
		e.judge.Forgive()
	}
	return found
}

// promoted is a tick in which green answers everybody.
func promoted(t evidence.Counts) evidence.Counts {
	return evidence.Counts{
		GreenRequests: t.GreenRequests + t.BlueRequests, GreenErrors: t.GreenErrors + t.BlueErrors, GreenSlow: t.GreenSlow + t.BlueSlow,
		GreenRefused: t.GreenRefused + t.BlueRefused, At: t.At,
	}
}

// carries says why the evidence does not carry the next step's exposure, "" if
// it does.
func (e *Evidence) carries(ahead float64) string {
	b := e.options.Budget
	if b == nil || ahead <= 0 {
		return ""
	}
	next, why := b.Next(ahead/b.Growth, ramp.Seen{Counts: e.release, Fresh: e.counter.users.GreenRequests})
	if next >= ahead*(1-grainSlack) {
		return ""
	}
	return why
}

// otherShare says that the canary answers a share of the requests that the dial
// does not explain, "" where it may be chance: a weight that was set need not be
// in force. Twice or half is what a delay of the dial cannot make of a whole
// bake, and five sigma what chance cannot.
func (c *Counter) otherShare(asked float64) string {
	total := c.whole.GreenRequests + c.whole.BlueRequests
	if asked <= 0 || total == 0 || c.sample != "" {
		return ""
	}
	seen := c.whole.GreenRequests / total
	sigma := math.Sqrt(asked * (1 - asked) / total)
	if math.Abs(seen-asked) <= 5*sigma || seen > asked/2 && seen < 2*asked {
		return ""
	}
	return fmt.Sprintf("asked for %.3g%% of the requests, observed %.3g%% of %.0f", 100*asked, 100*seen, total)
}

// grainSlack is by how much a planned weight may exceed the ramp's own: both
// are rounded to what the dial can show.
const grainSlack = 0.05

const requestSource = "requests"

// measured is the verdict on a green that is not known to be bad.
func (e *Evidence) measured(now time.Time, sides Sides) (v Verdict, shared bool, detail string) {
	c, o := &e.counter, e.options
	want, got, who := o.MinRequests, c.users, "users' requests"
	if o.MinRequests == 0 {
		want, got, who = 1, c.whole, "requests"
	}
	counted, by := got.GreenRequests, "the canary"
	if sides.Promoted { // no canary is left, and every request is green's
		counted, by = promoted(got).GreenRequests, "the promoted version"
	}
	switch {
	case !sides.Canary && !sides.Promoted:
		return Healthy, false, "the canary takes no requests: there is nothing to compare"
	case e.last == evidence.Shared:
		return Unknown, true, "the base side fails as well, so green is not to blame alone: " + e.why + ": " + c.words()
	case c.from.IsZero():
		return Unknown, false, "the dials of this step are not in force yet"
	case now.Before(c.from):
		return Unknown, false, fmt.Sprintf("the dials take effect within %v: nothing is counted until %s", o.Lag, clockTime(c.from))
	case c.newest.IsZero():
		return Unknown, false, "no request of this step was seen yet" + c.by()
	case now.Sub(c.newest) > o.Silent:
		return Unknown, false, fmt.Sprintf("no request was seen for %v%s", now.Sub(c.newest).Round(time.Second), c.by())
	case counted < float64(want) && (c.partial != "" || c.whole != c.step):
		reason := c.partial
		if reason == "" {
			reason = "some were missed before"
		}
		return Unknown, false, fmt.Sprintf("%s: %.0f of %d %s of %s were counted since%s; %s", reason, counted, want, who, by, c.by(), c.words())
	case counted < float64(want):
		return Unknown, false, fmt.Sprintf("%.0f of %d %s of %s were counted; %s", counted, want, who, by, c.words())
	case sides.Promoted:
		return Healthy, false, c.alone(true) + "promoted; " + c.words()
	default:
		if why := c.otherShare(sides.Share); why != "" {
			return Unknown, false, why + "; " + c.words()
		}
		if why := e.carries(sides.Ahead); why != "" {
			return Unknown, false, why + "; " + c.words()
		}
		bound := evidence.UpperBound(c.whole.GreenErrors, c.whole.GreenRequests, o.Policy.Alpha)
		return Healthy, false, fmt.Sprintf("%s%s; at most %.2g%% of the canary's fail", c.alone(false), c.words(), 100*bound)
	}
}

// alone says where a verdict on green is of probes alone.
func (c *Counter) alone(promoted bool) string {
	if c.users.GreenRequests > 0 || promoted && c.users.BlueRequests > 0 {
		return ""
	}
	return "by probes alone, no user's request to green was seen: "
}

// words are the step's counts.
func (c *Counter) words() string {
	s, u := c.step, c.users
	text := fmt.Sprintf("canary failed %.0f of %.0f requests, base %.0f of %.0f%s", s.GreenErrors, s.GreenRequests, s.BlueErrors, s.BlueRequests, c.by())
	if w := c.whole; u != w {
		text += fmt.Sprintf("; users' were %.0f and %.0f, the rest is probes", u.GreenRequests, u.BlueRequests)
	}
	if c.Slow > 0 {
		text += fmt.Sprintf("; slower than %v were %.0f and %.0f", c.Slow, s.GreenSlow, s.BlueSlow)
	}
	if c.partial != "" {
		text += "; at least (" + c.partial + ")"
	}
	if c.sample != "" {
		text += "; " + c.sample
	}
	return text
}

// by is how the requests are read.
func (c *Counter) by() string {
	if c.source == "" {
		return ""
	}
	return ", by " + c.source
}
