// Package health judges green. The verdicts are pure functions of what was
// read; nothing here calls AWS. A verdict always carries its reasons.
package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/evidence"
)

// Verdict orders what was measured from best to worst. Several are folded by
// the worst of them, and Unknown never counts as Healthy.
type Verdict int

// The verdicts.
const (
	Healthy Verdict = iota
	Unknown
	Unhealthy
)

// String is the word shown and stored.
func (v Verdict) String() string {
	switch v {
	case Healthy:
		return "healthy"
	case Unknown:
		return "unknown"
	case Unhealthy:
		return "unhealthy"
	default:
		return fmt.Sprintf("verdict(%d)", int(v))
	}
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Verdict) UnmarshalText(text []byte) error {
	for _, candidate := range []Verdict{Healthy, Unknown, Unhealthy} {
		if candidate.String() == string(text) {
			*v = candidate
			return nil
		}
	}
	return fmt.Errorf("verdict %q: want healthy, unknown or unhealthy", text)
}

// Finding is one reason for a verdict.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	Source  string  `json:"source"` // "alarm NAME (REGION)", "probes", "requests"
	Detail  string  `json:"detail"`
	// Shared is true where green is bad and blue as well: the world is ill, and
	// going back would not help.
	Shared bool `json:"shared,omitempty"`
	// Until is when the source can first speak of the dials as they stand; zero
	// where it can.
	Until time.Time `json:"until,omitzero"`

	// lag is how long after the dials were turned the source speaks of before.
	lag time.Duration
	// unmet is set where a side that must serve has answered no probe yet.
	unmet bool

	// Counted is set for a red alarm that only counts: a question, still.
	Counted Counted `json:"-"`
}

// Assessment is a folded verdict and the findings behind it.
type Assessment struct {
	Verdict  Verdict   `json:"verdict"`
	Findings []Finding `json:"findings,omitempty"`
}

// Fold takes the worst verdict. No finding at all is Unknown: nothing was
// measured.
func Fold(findings ...Finding) Assessment {
	if len(findings) == 0 {
		return Assessment{Verdict: Unknown, Findings: []Finding{{Verdict: Unknown, Source: "health", Detail: "nothing was measured"}}}
	}
	a := Assessment{Findings: findings}
	for _, f := range findings {
		a.Verdict = max(a.Verdict, f.Verdict)
	}
	return a
}

// Reason is the findings that made the verdict, in one line. Alarms that are
// merely well, or cannot speak yet, are counted, not listed; one that is red and
// answered is listed.
func (a Assessment) Reason() string {
	var parts []string
	well, early := 0, 0
	var until time.Time
	for _, f := range a.Findings {
		alarm := strings.HasPrefix(f.Source, alarmSource)
		switch {
		case f.Verdict != a.Verdict:
		case alarm && !f.Until.IsZero():
			early++
			if f.Until.After(until) {
				until = f.Until
			}
		case alarm && a.Verdict == Healthy && f.Counted == "":
			well++
		default:
			parts = append(parts, f.Source+": "+f.Detail)
		}
	}
	if early > 0 {
		parts = append([]string{fmt.Sprintf("%d alarms may speak of before these dials until %s", early, clockTime(until))}, parts...)
	}
	if well > 0 {
		parts = append([]string{fmt.Sprintf("%d alarms well", well)}, parts...)
	}
	return strings.Join(parts, "; ")
}

const alarmSource = "alarm "

// AlarmRef names one alarm that a shift asks for.
type AlarmRef struct {
	Name   string
	Region string
	Side   string
	Sparse bool // has no data while all is well: INSUFFICIENT_DATA passes
	// Counts is what the alarm counts one by one, "" where its threshold is a
	// rate or a time.
	Counts Counted
}

// AlarmState is what CloudWatch answered for one alarm.
type AlarmState struct {
	Name            string
	Region          string
	State           string    // OK | ALARM | INSUFFICIENT_DATA
	Since           time.Time // of the last transition
	EvaluationState string    // non-empty: CloudWatch could not evaluate it fully
	Reason          string
	// AlarmedAt is the newest transition into ALARM that history shows, zero
	// if none: a poll can miss ALARM -> OK between two looks.
	AlarmedAt time.Time
	// Lag is the alarm's AlarmLag.
	Lag time.Duration
}

// Alarms judges the alarms asked for by what came back, for a step that began
// at since. Names asked and names returned are compared: a missing alarm is a
// permanently green one.
func Alarms(asked []AlarmRef, got []AlarmState, since time.Time, ignore []string) []Finding {
	type key struct{ name, region string }
	states := make(map[key]AlarmState, len(got))
	for _, s := range got {
		states[key{s.Name, s.Region}] = s
	}
	findings := make([]Finding, 0, len(asked))
	for _, ref := range asked {
		source := fmt.Sprintf(alarmSource+"%s (%s)", ref.Name, ref.Region)
		if slices.Contains(ignore, ref.Name+"@"+ref.Region) {
			findings = append(findings, Finding{Verdict: Healthy, Source: source, Detail: "ignored: red before the shift began"})
			continue
		}
		state, found := states[key{ref.Name, ref.Region}]
		if !found {
			findings = append(findings, Finding{Verdict: Unhealthy, Source: source, Detail: "does not exist; run tapctl deploy"})
			continue
		}
		finding := judgeAlarm(source, ref, state, since)
		if finding.Verdict == Unhealthy {
			finding.Counted = ref.Counts
		}
		findings = append(findings, finding)
	}
	return findings
}

func judgeAlarm(source string, ref AlarmRef, s AlarmState, since time.Time) Finding {
	switch {
	case s.State == "ALARM":
		return Finding{Verdict: Unhealthy, Source: source, Detail: strings.TrimSuffix("in ALARM since "+clockTime(s.Since)+": "+s.Reason, ": ")}
	case !s.AlarmedAt.IsZero() && !s.AlarmedAt.Before(since):
		return Finding{Verdict: Unhealthy, Source: source, Detail: "went to ALARM at " + clockTime(s.AlarmedAt) + " and back, during this step"}
	case s.EvaluationState != "":
		return Finding{Verdict: Unknown, Source: source, Detail: "CloudWatch reports " + s.EvaluationState}
	case s.State == "INSUFFICIENT_DATA" && !ref.Sparse:
		return Finding{Verdict: Unknown, Source: source, Detail: "has no data yet"}
	case s.State == "OK" || s.State == "INSUFFICIENT_DATA":
		return Finding{Verdict: Healthy, Source: source, Detail: s.State, lag: s.Lag}
	default:
		return Finding{Verdict: Unknown, Source: source, Detail: "is in a state this version does not know: " + s.State}
	}
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05Z") }

// ProbeCount is what tapctl's own requests at green's stage met during one
// step.
type ProbeCount struct {
	Sent      int
	Failed    int
	LastError string
	Canary    int // answered well by the canary: green's candidate
	Base      int // answered well by the base side: the forwarder, or live
}

// Sides says which sides of the stage must have answered for a step to count
// as measured.
type Sides struct {
	Base, Canary bool
	// DialsAt is since when the dials of the step stand: read back, and the
	// records in sync. Zero: not yet.
	DialsAt time.Time
	// Promoted means that the base side is green's candidate, made live just
	// now: there is nothing left to compare it with.
	Promoted bool
	// Share is the canary's share of the stage's requests as the dial stands,
	// 0..1.
	Share float64
	// Ahead is the share of everybody, 0..1, that the next step gives to the
	// candidate; 0 where no step is ahead.
	Ahead float64
}

// Probes judges tapctl's own requests. They stand in for users where there
// are none: a side that must serve and has not answered yet is Unknown. More
// failures than allowed count as far as they lean to more than is tolerated:
// of many probes a healthy service fails some.
func Probes(count ProbeCount, want Sides, maxFailures int, leaning evidence.Leaning) Finding {
	const source = "probes"
	failed := fmt.Sprintf("%d of %d failed, %d allowed", count.Failed, count.Sent, maxFailures)
	switch {
	case count.Failed > maxFailures && leaning == evidence.Intolerable:
		return Finding{Verdict: Unhealthy, Source: source, Detail: failed + ": " + count.LastError}
	case count.Failed > maxFailures && leaning == evidence.Doubtful:
		return Finding{Verdict: Unknown, Source: source, Detail: failed + ", and whether that is more than is tolerated is in doubt: " + count.LastError}
	case want.Canary && count.Canary == 0:
		return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("none of %d was answered by the canary yet", count.Sent), unmet: true}
	case want.Base && count.Base == 0:
		return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("none of %d was answered by the base side yet", count.Sent), unmet: true}
	default:
		return Finding{Verdict: Healthy, Source: source, Detail: fmt.Sprintf("%d sent, %d failed, canary answered %d, base %d", count.Sent, count.Failed, count.Canary, count.Base)}
	}
}
