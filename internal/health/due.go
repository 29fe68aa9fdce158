package health

import (
	"fmt"
	"time"
)

// metricDelay is how long after its minute a metric is taken to be complete.
// An assumption, as docs/detection.md says of every lag.
const metricDelay = time.Minute

// AlarmLag is how long after a change an alarm may still be in the state that
// it had because of before: its datapoints of the time after, the delay of
// their metric, and the pause until CloudWatch evaluates it anew. That is a
// minute, and 10 s for an alarm of shorter periods.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
func AlarmLag(period time.Duration, datapoints int) time.Duration {
	evaluated := time.Minute
	if period < time.Minute {
		evaluated = 10 * time.Second
	}
	return period*time.Duration(max(1, datapoints)) + metricDelay + evaluated
}

// of holds a finding against dials that stand since then, zero where they do
// not yet. That all is well a source can say only once its lag is over; what is
// red counts at once.
func (f Finding) of(dials, now time.Time) Finding {
	if f.lag == 0 || f.Verdict != Healthy {
		return f
	}
	switch until := dials.Add(f.lag); {
	case dials.IsZero():
		f.Verdict, f.Detail = Unknown, f.Detail+", of before these dials: they are not in force yet"
	case now.Before(until):
		f.Verdict, f.Until, f.Detail = Unknown, until, fmt.Sprintf("%s, perhaps still of before these dials, until %s", f.Detail, clockTime(until))
	}
	return f
}

// Due is when the last of the findings that leave the verdict Unknown can speak
// of the dials. It is zero where the verdict is another, or where any of them
// could speak already: that is trouble, and not a matter of time.
func (a Assessment) Due() time.Time {
	var due time.Time
	for _, f := range a.Findings {
		switch {
		case f.Verdict != Unknown:
		case a.Verdict != Unknown || f.Until.IsZero():
			return time.Time{}
		case f.Until.After(due):
			due = f.Until
		}
	}
	return due
}
