package health

import (
	"context"
	"time"
)

// AlarmReader asks CloudWatch. since bounds how far back transitions matter.
type AlarmReader interface {
	ReadAlarms(ctx context.Context, refs []AlarmRef, since time.Time) ([]AlarmState, error)
}

// Prober sends requests to green's stage, past DNS.
type Prober interface {
	Probe(ctx context.Context, requests int) ProbeCount
}

// Watcher reads alarms and probes green, and folds both into one verdict. It
// belongs to one shift and is used from one goroutine.
type Watcher struct {
	Reader      AlarmReader
	Refs        []AlarmRef
	Ignore      []string // "NAME@REGION": red before the shift began, and told to be ignored
	Prober      Prober   // nil: no probes
	Requests    int      // per look
	MaxFailures int      // in one step

	step  time.Time
	count ProbeCount
}

// Judge looks once. Not reaching CloudWatch is Unknown, never red: it has its
// own budget.
func (w *Watcher) Judge(ctx context.Context, since time.Time, sides Sides) Assessment {
	var findings []Finding
	states, err := w.Reader.ReadAlarms(ctx, w.Refs, since)
	if err != nil {
		findings = append(findings, Finding{Unknown, "alarms", "cannot be read: " + err.Error()})
	} else {
		findings = append(findings, Alarms(w.Refs, states, since, w.Ignore)...)
	}
	if w.Prober != nil {
		findings = append(findings, w.probe(ctx, since, sides))
	}
	return Fold(findings...)
}

// probe counts afresh for every step: what an earlier one met is not evidence
// about the dials of this one.
func (w *Watcher) probe(ctx context.Context, since time.Time, sides Sides) Finding {
	if !since.Equal(w.step) {
		w.step, w.count = since, ProbeCount{}
	}
	got := w.Prober.Probe(ctx, w.Requests)
	w.count.Sent += got.Sent
	w.count.Failed += got.Failed
	w.count.Canary += got.Canary
	w.count.Base += got.Base
	if got.LastError != "" {
		w.count.LastError = got.LastError
	}
	return Probes(w.count, sides, w.MaxFailures)
}
