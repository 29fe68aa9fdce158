package health

import (
	"fmt"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
)

// Counted is a kind of bad answer that some alarms count one by one. Such an
// alarm does not know how many requests there were, nor how blue fares: at
// Sum >= 1 it is red most of the time over any service that is busy and
// healthy. So it is taken for a question, which the requests answer.
type Counted string

// The kinds; the zero value is an alarm that decides by itself.
const (
	CountedErrors  Counted = "errors"  // 5xx, and a function that fails
	CountedRefused Counted = "refused" // 4xx
)

// Answerer answers an alarm of that kind: Healthy where the failures are no
// more than is tolerated, Unknown where that is in doubt, Unhealthy where they
// are more or nothing is known. why says so.
type Answerer interface {
	Answer(kind Counted) (v Verdict, why string)
}

// answers is what the requests say of failures that alarms have counted. What
// was learned stays from step to step.
type answers struct {
	silent  time.Duration
	kinds   map[Counted]*answer
	now     time.Time
	known   time.Time // when whole counts last came, or the dials were turned
	alone   bool      // no base side is left
	release evidence.Counts
}

type answer struct {
	suspicion *evidence.Suspicion
	proven    time.Time // last
}

func newAnswers(p evidence.Policy, silent time.Duration) answers {
	return answers{silent: silent, kinds: map[Counted]*answer{
		CountedErrors:  {suspicion: evidence.NewSuspicion(p, p.P0)},
		CountedRefused: {suspicion: evidence.NewSuspicion(p, 0)},
	}}
}

// look notes that requests were read at now, and whether some were and none
// was missing.
func (a *answers) look(now, dials time.Time, whole bool, sides Sides) {
	a.now, a.alone = now, sides.Promoted || !sides.Base
	if whole {
		a.known = now
	}
	if dials.After(a.known) {
		a.known = dials
	}
}

// add takes a tick. What is proven starts anew: the next minute shows whether
// it goes on, and an incident that is over is not held against anybody.
func (a *answers) add(now time.Time, t evidence.Counts) {
	a.release = sum(a.release, t)
	for kind, k := range a.kinds {
		green, blue := t.GreenErrors, t.BlueErrors
		if kind == CountedRefused {
			green, blue = t.GreenRefused, t.BlueRefused
		}
		if a.alone {
			k.suspicion.AddAlone(t.GreenRequests, green)
		} else {
			k.suspicion.Add(t.At, t.GreenRequests, green, t.BlueRequests, blue)
		}
		if k.suspicion.Leaning(a.alone) == evidence.Intolerable {
			k.proven = now
			k.suspicion.Forgive()
		}
	}
}

// Answer implements Answerer.
func (e *Evidence) Answer(kind Counted) (v Verdict, why string) {
	a := &e.answers
	k := a.kinds[kind]
	if k == nil {
		return Unhealthy, "requests do not tell"
	}
	count := a.words(kind)
	switch leaning := k.suspicion.Leaning(a.alone); {
	case leaning == evidence.Intolerable, !k.proven.IsZero() && a.now.Sub(k.proven) < a.silent:
		return Unhealthy, "more than is tolerated, of the requests as well: " + count
	case a.now.Sub(a.known) > a.silent:
		return Unhealthy, fmt.Sprintf("the requests do not say otherwise: none was counted for %v", a.now.Sub(a.known).Round(time.Second))
	case leaning == evidence.Doubtful:
		return Unknown, "whether that is more than is tolerated is in doubt: " + count
	default:
		return Healthy, "no more than is tolerated: " + count
	}
}

func (a *answers) words(kind Counted) string {
	r, verb := a.release, "failed"
	if kind == CountedRefused {
		verb = "refused"
		r.GreenErrors, r.BlueErrors = r.GreenRefused, r.BlueRefused
	}
	return fmt.Sprintf("in this shift the canary %s %.0f of %.0f requests, base %.0f of %.0f", verb, r.GreenErrors, r.GreenRequests, r.BlueErrors, r.BlueRequests)
}
