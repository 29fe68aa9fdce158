package awsapi

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// The bounds of asking. AWS answers five calls of FilterLogEvents a second in an
// account and region, for whoever asks, and raises it for nobody; a page may be
// short or empty and have a successor, so that pages bound nothing.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
const (
	filterRate = 4                // calls a second
	tailTime   = 8 * time.Second  // of one time of asking
	tailLines  = 60_000           // of it
	tailSettle = 5 * time.Second  // a request is asked for once its line had this long to arrive
	tailLate   = 15 * time.Second // one that took longer, by this much, is found at a later time
	// tailLateLeast of it is not given up before a sample is taken.
	tailLateLeast = 5 * time.Second
	// tailMargin is kept of what one time of asking can read: traffic grows.
	tailMargin = 0.8
	// tailThin is the share of its bounds below which there is no need for one.
	tailThin = 0.25
	// tailThrottles in a row are trouble; one is not, for nothing is lost by it.
	tailThrottles = 4
)

const sampleOfBoth = "there are more requests than can be read: a sample, the same seconds of both sides"

// poll asks every few seconds until then.
func (t *Tail) poll(ctx context.Context, until time.Time) {
	for began := t.clock.Now(); began.Before(until); began = t.clock.Now() {
		t.ask(ctx, tailSettle)
		if t.clock.Sleep(ctx, LogPoll-t.clock.Now().Sub(began)) != nil {
			return
		}
	}
}

// group is how far one time of asking has come in a log group.
type group struct {
	canary bool
	pages  *cloudwatchlogs.FilterLogEventsPaginator
	read   int64 // milliseconds: the events of before have been read
}

// ask reads what came up to a while ago since it last did, and late lines of
// before. It delivers both groups up to one moment, as they stood when it began:
// however long the pages took, neither side is ahead of the other. It tells
// whether it got to the end; until the log can be read, requests are missing.
func (t *Tail) ask(ctx context.Context, settle time.Duration) (whole bool) {
	began := t.clock.Now()
	until := began.Add(-settle)
	start, sample := t.window(until)
	a := asking{tail: t, began: began, until: until.UnixMilli(), most: t.most}
	for i, name := range t.groups {
		a.groups[i] = group{canary: i == 0, read: start.UnixMilli(), pages: cloudwatchlogs.NewFilterLogEventsPaginator(t.logs(), &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String(name), StartTime: aws.Int64(start.UnixMilli()), EndTime: aws.Int64(a.until), Limit: t.lines,
		})}
	}
	err := a.run(ctx)
	throttled := err != nil && isThrottle(err)
	if err != nil && !throttled {
		t.miss("the access log cannot be read: "+reasonOf(err), true)
		return false
	}
	cut := min(a.groups[0].read, a.groups[1].read)
	t.deliver(slices.DeleteFunc(a.lines, func(l line) bool { return l.at >= cut }), sample)
	return t.asked(start, cut, a, throttled)
}

// window is the first moment to ask for, and why that leaves requests out, ""
// where it does not. Lines of before what was read last are asked for again,
// since some arrive late. Where all of that is more than one time of asking
// reads it is the newest part of it.
func (t *Tail) window(until time.Time) (start time.Time, sample string) {
	start = t.from.Add(-tailLate)
	if t.span <= 0 || until.Sub(start) <= t.span {
		return start, ""
	}
	if start = until.Add(-t.span); start.After(t.from.Add(-tailLateLeast)) {
		sample = sampleOfBoth
	}
	return start, sample
}

// asked draws the conclusions of a time of asking that read both groups from
// start up to cut.
func (t *Tail) asked(start time.Time, cut int64, a asking, throttled bool) (whole bool) {
	covered := time.UnixMilli(cut).Sub(start)
	switch spent := a.spent(t.clock.Now()); {
	case throttled: // the log may be short
	case spent < tailThin:
		t.span = 0
	case covered > 0:
		t.span = max(time.Second, time.Duration(tailMargin*float64(covered)/spent))
	default: // not a moment of both
		t.span = max(time.Second, time.UnixMilli(a.until).Sub(start)/2)
	}
	if end := time.UnixMilli(cut).UTC(); end.After(t.from) {
		t.from = end
	}
	whole = cut == a.until
	if t.throttle++; !throttled {
		t.throttle = 0
	}
	switch {
	case t.throttle >= tailThrottles:
		t.miss("the access log cannot be read: AWS throttles", true)
	case covered <= 0 && !throttled:
		t.miss("the access log cannot be read in time", true)
	case !throttled:
		t.miss("", true)
	}
	return whole
}

// isThrottle tells that AWS had too many calls, of this process or of others.
func isThrottle(err error) bool {
	_, throttle := retry.DefaultThrottleErrorCodes[code(err)]
	return throttle
}

// asking is one time of asking.
type asking struct {
	tail   *Tail
	began  time.Time
	until  int64 // milliseconds: events from here on are left for later
	most   int   // lines
	seen   int   // of the pages
	groups [2]group
	lines  []line
}

// spent is how much of its bounds it has used, 1 where it is at one.
func (a *asking) spent(now time.Time) float64 {
	return max(float64(a.seen)/float64(a.most), now.Sub(a.began).Seconds()/tailTime.Seconds())
}

// run reads page after page of the group that is behind, up to its bounds.
func (a *asking) run(ctx context.Context) error {
	for a.spent(a.tail.clock.Now()) < 1 {
		g := &a.groups[0]
		if a.groups[1].read < g.read {
			g = &a.groups[1]
		}
		if g.read >= a.until {
			return nil
		}
		now := a.tail.clock.Now()
		if err := a.tail.clock.Sleep(ctx, a.tail.pace.ReserveN(now, 1).DelayFrom(now)); err != nil {
			return err
		}
		if err := a.page(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// page reads one page. Events come in the order of their time, so that all of
// before its last have been read. What was ingested after this time of asking
// began waits for the next: the group that is read last would have more of it.
func (a *asking) page(ctx context.Context, g *group) error {
	page, err := g.pages.NextPage(ctx, func(o *cloudwatchlogs.Options) { o.RetryMaxAttempts = tailAttempts })
	if err != nil {
		return err
	}
	a.seen += len(page.Events)
	for _, e := range page.Events {
		at := aws.ToInt64(e.Timestamp)
		g.read = max(g.read, min(at, a.until))
		if at >= a.until || aws.ToInt64(e.IngestionTime) > a.began.UnixMilli() {
			continue
		}
		if l, ok := a.tail.parse(aws.ToString(e.Message), at, g.canary); ok {
			a.lines = append(a.lines, l)
		}
	}
	if !g.pages.HasMorePages() {
		g.read = a.until
	}
	return nil
}
