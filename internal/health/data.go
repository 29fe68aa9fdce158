package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Data is how the data stands between the regions, as last read.
type Data struct {
	At  time.Time // zero: never read yet
	Err string    // why it could not be read
	// Copies are the states of the table and its replicas, "REGION: STATE",
	// that are not ACTIVE.
	Copies []string
	Ways   []Way
}

// Way is one direction of replication.
type Way struct {
	From, To string
	// Item is how long an item took that tapctl wrote to see it arrive, or has
	// been under way where it has not Arrived.
	Item    time.Duration
	Arrived bool
	// Lag is the longest that an item took lately; zero where nothing was
	// written. Pending is how many objects wait in every one of the last minutes,
	// Failed how many were given up lately: these do not arrive by waiting.
	Lag     time.Duration
	Pending int
	Failed  int
}

// JudgeData says whether the data is where users are to go, and would be where
// they go back. It never blames green: data that is late is waited for.
func JudgeData(d Data, maxLag, maxAge time.Duration, now time.Time) Finding {
	const source = "data"
	switch {
	case d.At.IsZero() && d.Err == "":
		return Finding{Verdict: Unknown, Source: source, Detail: "has not been read yet"}
	case d.Err != "" && (d.At.IsZero() || now.Sub(d.At) > maxAge):
		return Finding{Verdict: Unknown, Source: source, Detail: "cannot be read: " + d.Err}
	case len(d.Copies) > 0:
		return Finding{Verdict: Unknown, Source: source, Detail: "not every copy of the table is ACTIVE: " + strings.Join(d.Copies, ", ")}
	}
	if late := slices.IndexFunc(d.Ways, func(w Way) bool { return w.Lag > maxLag }); late >= 0 {
		w := d.Ways[late]
		return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("items take %v from %s to %s, at most %v is allowed", w.Lag, w.From, w.To, maxLag)}
	}
	if lost := slices.IndexFunc(d.Ways, func(w Way) bool { return !w.Arrived || w.Item > maxLag }); lost >= 0 {
		w := d.Ways[lost]
		if w.Arrived {
			return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("an item took %v from %s to %s, at most %v is allowed", w.Item.Round(time.Millisecond), w.From, w.To, maxLag)}
		}
		return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("an item written in %s has not arrived in %s after %v", w.From, w.To, w.Item.Round(time.Second))}
	}
	if failed := slices.IndexFunc(d.Ways, func(w Way) bool { return w.Failed > 0 }); failed >= 0 {
		w := d.Ways[failed]
		return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("S3 gave up replicating %d time(s) lately from %s to %s, and does not try again: tapctl verify", w.Failed, w.From, w.To)}
	}
	if full := slices.IndexFunc(d.Ways, func(w Way) bool { return w.Pending > 0 }); full >= 0 {
		w := d.Ways[full]
		return Finding{Verdict: Unknown, Source: source, Detail: fmt.Sprintf("%d objects or more wait to go from %s to %s", w.Pending, w.From, w.To)}
	}
	words := make([]string, len(d.Ways))
	for i, w := range d.Ways {
		words[i] = fmt.Sprintf("%v from %s to %s", max(w.Lag, w.Item).Round(time.Millisecond), w.From, w.To)
	}
	return Finding{Verdict: Healthy, Source: source, Detail: "every copy is ACTIVE; items took at most " + strings.Join(words, ", ")}
}
