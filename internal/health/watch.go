package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
)

// AlarmReader asks CloudWatch. since bounds how far back transitions matter.
type AlarmReader interface {
	ReadAlarms(ctx context.Context, refs []AlarmRef, since time.Time) ([]AlarmState, error)
}

// Prober sends requests to green's stage, past DNS.
type Prober interface {
	Probe(ctx context.Context, requests int) ProbeCount
}

// Signal is a further source of a verdict. since is when the step under test
// began; sides are those that must be answering. It is asked once a look and
// answers at once: what takes long happens elsewhere.
type Signal interface {
	Look(ctx context.Context, since time.Time, sides Sides) Finding
}

// Watcher reads alarms, probes green and asks the signals, and folds all into
// one verdict. It belongs to one shift and is used from one goroutine.
type Watcher struct {
	Reader      AlarmReader
	Refs        []AlarmRef
	Ignore      []string // "NAME@REGION": red before the shift began, and told to be ignored
	Baseline    bool     // an ignored alarm counts again once it was seen OK
	Prober      Prober   // nil: no probes
	Requests    int      // per look
	MaxFailures int      // in one step
	// Probed weighs the probes that failed, over the whole shift. nil: what is
	// more than MaxFailures is too many, of however many.
	Probed  *evidence.Suspicion
	Signals []Signal
	// Answers answers the red alarms that only count; nil: they decide.
	Answers Answerer
	// Controls are blue's alarms: one that is red as well makes green's red
	// alarm of the same kind a shared incident. They are asked for only then.
	Controls []AlarmRef
	// Blue probes blue where green's probes fail too often; nil: never.
	Blue Prober
	// SharedIsBad makes a green that is bad while blue is bad too a reason to
	// go back, and not one to hold.
	SharedIsBad bool
	// Every is the least time between two times of asking CloudWatch and of
	// probing, by Now; signals are asked each time. Zero: each time.
	Every time.Duration
	Now   func() time.Time
	// Paced means that the requests must carry each next step by a budget of
	// harm. What they carry, an alarm that cannot speak yet does not hold up.
	Paced bool

	step    time.Time
	dials   time.Time // of the step: since when they stand
	count   ProbeCount
	asked   time.Time
	askedOf question
	found   []Finding
	excused map[string]time.Time // alarm -> its transition that blue shared
}

// question is what the last findings are an answer to.
type question struct {
	since time.Time
	sides Sides
}

// Judge looks once. Not reaching CloudWatch is Unknown, never red: it has its
// own budget.
func (w *Watcher) Judge(ctx context.Context, since time.Time, sides Sides) Assessment {
	findings := slices.Clone(w.ask(ctx, since, sides))
	for i := range findings {
		if findings[i].lag > 0 {
			findings[i] = findings[i].of(sides.DialsAt, w.Now())
		}
	}
	for _, signal := range w.Signals {
		findings = append(findings, signal.Look(ctx, since, sides))
	}
	w.answer(findings)
	meet(findings, sides)
	w.carry(findings, sides)
	for i := range findings {
		if findings[i].Shared && w.SharedIsBad {
			findings[i].Verdict = Unhealthy
		}
	}
	return Fold(findings...)
}

// answer lets the requests speak where an alarm only counts. They have been
// looked at by now.
func (w *Watcher) answer(findings []Finding) {
	for i := range findings {
		f := &findings[i]
		if f.Counted == "" || w.Answers == nil {
			continue
		}
		v, why := w.Answers.Answer(f.Counted)
		f.Detail += "; " + why
		if v != Unhealthy {
			f.Verdict, f.Shared = v, false
		}
	}
}

// carry lets the requests of a paced step speak before the alarms can: they bound
// what the next step may cost, and an alarm would come two steps later. Where
// no step is ahead every alarm is waited for.
func (w *Watcher) carry(findings []Finding, sides Sides) {
	if !w.Paced || sides.Ahead <= 0 || !counted(findings) {
		return
	}
	for i := range findings {
		if f := &findings[i]; f.lag > 0 && !f.Until.IsZero() && f.Verdict == Unknown {
			f.Verdict = Healthy
		}
	}
}

// counted tells whether the requests were counted and are well.
func counted(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Source == requestSource && f.Verdict == Healthy })
}

// meet lets requests stand for probes: where so few meet a side that no probe
// has, those counted in the access log show that it answers.
func meet(findings []Finding, sides Sides) {
	if !sides.Canary || !counted(findings) {
		return
	}
	for i := range findings {
		if findings[i].unmet {
			findings[i].Verdict = Healthy
			findings[i].Detail += "; the requests show that it answers"
		}
	}
}

// ask reads the alarms and probes, where its time has come, the question is
// another one, or an answer came too early to speak of these dials and no more
// does.
func (w *Watcher) ask(ctx context.Context, since time.Time, sides Sides) []Finding {
	q := question{since, Sides{Base: sides.Base, Canary: sides.Canary, DialsAt: sides.DialsAt}}
	if w.Every > 0 && w.askedOf == q && w.Now().Sub(w.asked) < w.Every && !w.overtaken(sides.DialsAt) {
		return w.found
	}
	if w.Every > 0 {
		w.asked, w.askedOf = w.Now(), q
	}
	w.found = nil
	states, err := w.Reader.ReadAlarms(ctx, w.Refs, since)
	if err != nil {
		w.found = append(w.found, Finding{Verdict: Unknown, Source: "alarms", Detail: "cannot be read: " + err.Error()})
	} else {
		w.forgiveNoMore(states)
		w.excuse(states)
		w.found = append(w.found, w.compared(ctx, states, since)...)
	}
	if w.Prober != nil {
		w.found = append(w.found, w.probedBlue(ctx, w.probe(ctx, since, sides)))
	}
	return w.found
}

// overtaken tells whether what was found was too early, and would not be now.
func (w *Watcher) overtaken(dials time.Time) bool {
	now := w.Now()
	return slices.ContainsFunc(w.found, func(f Finding) bool {
		return f.of(dials, w.asked).Verdict == Unknown && f.of(dials, now).Verdict == Healthy
	})
}

// compared judges the alarms, and marks the red ones whose control at blue is
// red as well: whatever is ill, it is not green's code alone. A control that
// cannot be read excuses nothing.
func (w *Watcher) compared(ctx context.Context, states []AlarmState, since time.Time) []Finding {
	findings := Alarms(w.Refs, states, since, w.Ignore)
	if len(w.Controls) == 0 || Fold(findings...).Verdict != Unhealthy {
		return findings
	}
	controls, err := w.Reader.ReadAlarms(ctx, w.Controls, since)
	if err != nil {
		return findings
	}
	for i, ref := range w.Refs { // Alarms keeps their order
		at := slices.IndexFunc(controls, func(c AlarmState) bool { return c.State == "ALARM" && w.controls(c.Name, ref) })
		if findings[i].Verdict != Unhealthy || at < 0 {
			continue
		}
		findings[i].Verdict, findings[i].Shared = Unknown, true
		findings[i].Detail += "; and so is blue's " + controls[at].Name + " (" + controls[at].Region + ")"
		for _, s := range states {
			if s.Name == ref.Name && s.Region == ref.Region {
				w.excused[ref.Name] = s.Since
			}
		}
	}
	return findings
}

// controls tells whether blue's alarm watches what green's does: the same thing
// by its name, or failures counted one by one, wherever blue counts them. All
// users may enter at green, and blue's own entrance then sees none of them.
func (w *Watcher) controls(blue string, ref AlarmRef) bool {
	return blue == control(ref.Name) || ref.Counts != "" &&
		slices.ContainsFunc(w.Controls, func(c AlarmRef) bool { return c.Name == blue && c.Counts == ref.Counts })
}

// excuse takes out of the states the transitions of an incident that blue
// shared: once it is over they are not held against green.
func (w *Watcher) excuse(states []AlarmState) {
	if w.excused == nil {
		w.excused = map[string]time.Time{}
	}
	for i := range states {
		if until, shared := w.excused[states[i].Name]; shared && !states[i].AlarmedAt.After(until) {
			states[i].AlarmedAt = time.Time{}
		}
	}
}

// control is the name of blue's alarm that watches the same thing: blue has no
// candidate, its users are on live.
func control(name string) string { return strings.Replace(name, "-next-", "-live-", 1) }

// bluesShare is the share of blue's probes whose failure makes green's a shared
// incident.
const bluesShare = 0.2

// probedBlue asks blue where green fails.
func (w *Watcher) probedBlue(ctx context.Context, f Finding) Finding {
	if f.Verdict != Unhealthy || w.Blue == nil {
		return f
	}
	if got := w.Blue.Probe(ctx, max(w.Requests, 10)); float64(got.Failed) >= bluesShare*float64(got.Sent) {
		f.Verdict, f.Shared = Unknown, true
		f.Detail += fmt.Sprintf("; and blue failed %d of %d", got.Failed, got.Sent)
		w.count = ProbeCount{} // what failed meanwhile is not held against green later
		if w.Probed != nil {
			w.Probed.Forgive()
		}
	}
	return f
}

// forgiveNoMore takes the alarms that are well again out of those ignored. The
// transition itself is not held against the step: it was into OK.
func (w *Watcher) forgiveNoMore(states []AlarmState) {
	if !w.Baseline {
		return
	}
	w.Ignore = slices.DeleteFunc(w.Ignore, func(ignored string) bool {
		return slices.ContainsFunc(states, func(s AlarmState) bool { return s.Name+"@"+s.Region == ignored && s.State == "OK" })
	})
}

// probe counts afresh for every step: what an earlier one met is not evidence
// about the dials of this one.
func (w *Watcher) probe(ctx context.Context, since time.Time, sides Sides) Finding {
	if !since.Equal(w.step) {
		w.step, w.count = since, ProbeCount{}
	}
	if !sides.DialsAt.Equal(w.dials) { // who answered before is not who answers now; who failed, failed
		w.dials, w.count.Canary, w.count.Base = sides.DialsAt, 0, 0
	}
	got := w.Prober.Probe(ctx, w.Requests)
	w.count.Sent += got.Sent
	w.count.Failed += got.Failed
	w.count.Canary += got.Canary
	w.count.Base += got.Base
	if got.LastError != "" {
		w.count.LastError = got.LastError
	}
	leaning := evidence.Intolerable
	if w.Probed != nil {
		w.Probed.AddAlone(float64(got.Sent), float64(got.Failed))
		leaning = w.Probed.Leaning(true)
	}
	return Probes(w.count, sides, w.MaxFailures, leaning)
}
