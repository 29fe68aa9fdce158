package awsapi

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"golang.org/x/time/rate"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/topology"
)

// Tail follows the access log of a cell and of its canary: by Live Tail, and
// where that is denied, out of reach or sampled, by asking FilterLogEvents now
// and then (tailpoll.go). Every request is delivered once, however it was read,
// and those of both groups up to the same moment: a side that is ahead of the
// other shows an incident of the world as its own. Of more than can be asked for
// in time a sample is, the same seconds of both groups. Run follows, Drain takes
// what came; neither waits for the other.
type Tail struct {
	clients *Clients
	region  string
	account string
	health  string    // path that nobody but checkers asks for
	groups  [2]string // the canary's first
	clock   clock.Clock
	pace    *rate.Limiter
	logs    func() cloudwatchlogs.FilterLogEventsAPIClient
	access  func(line string, canaryLog bool) (topology.Access, error)
	room    int    // requests kept between two Drains
	most    int    // lines at one time of asking
	lines   *int32 // of a page; nil: as many as AWS gives

	from     time.Time     // every line of before has been read, late ones aside
	span     time.Duration // of the log that one time of asking reads; 0: more than there is
	throttle int           // times of asking in a row that AWS ended

	// The lines already delivered, by the hash of their id.
	seed   maphash.Seed
	seen   map[uint64]struct{}
	recent []uint64 // a ring of them, the oldest forgotten first
	next   int
	// frames is how many updates Live Tail sent so far.
	frames atomic.Int64

	mu      sync.Mutex
	queue   []health.Request
	spare   []health.Request // what Drain lent last
	partial string           // once: told by the next Drain
	gap     string           // for as long as it lasts
	sample  string           // once: of what is delivered
	source  string
}

// LiveTailRate is how many requests a second Live Tail shows before it leaves
// some out, and LogPoll the pause between two times of asking instead.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatchLogs_LiveTail.html
const (
	LiveTailRate = 500
	LogPoll      = 5 * time.Second
)

// The bounds of a Tail. Pauses are of the clock that AWS follows.
const (
	tailQueue    = 1 << 18         // requests kept between two Drains
	tailSeen     = 1 << 19         // requests remembered, to deliver none twice
	tailAgain    = 5 * time.Minute // until Live Tail is tried again
	tailTries    = 4               // reconnections in a row before asking instead
	tailBackoff  = time.Second     // before the first of them, doubled each time
	tailSampled  = 3               // sampled updates in a row before asking instead
	tailQuiet    = 5 * time.Second // real time without an update: the connection is dead
	tailCatchUps = 3               // times of asking for what came while no session was open
	tailAttempts = 2               // of the SDK, before a session counts as refused
)

// The ways of reading.
const (
	byLiveTail = "live tail"
	byPolling  = "polling: "
)

// NewTail follows the access log of a cell. The cell's topology names it; a
// topology of before it was kept is completed by fallback. Requests to
// healthPath are no user's.
func NewTail(c *Clients, account string, cell topology.Cell, fallback, healthPath string, at clock.Clock) *Tail {
	group := cell.AccessLog
	if group == "" {
		group = fallback
	}
	return &Tail{
		clients: c, region: cell.Region, account: account, health: healthPath, groups: [2]string{topology.CanaryLog(group), group}, clock: at,
		pace: rate.NewLimiter(filterRate, filterRate), access: topology.ParseAccess,
		logs: func() cloudwatchlogs.FilterLogEventsAPIClient { return c.Logs(cell.Region) },
		room: tailQueue, most: tailLines,
		seed: maphash.MakeSeed(), seen: make(map[uint64]struct{}, tailSeen), recent: make([]uint64, tailSeen),
		source: byLiveTail, gap: "the access log is not followed yet",
	}
}

var _ health.RequestTail = (*Tail)(nil)

// Drain implements health.RequestTail.
func (t *Tail) Drain() health.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := health.Batch{Requests: t.queue, Partial: t.partial, Sample: t.sample, Source: t.source}
	if b.Partial == "" {
		b.Partial = t.gap
	}
	t.queue, t.spare, t.partial, t.sample = t.spare[:0], t.queue, "", ""
	return b
}

// Run follows until the context ends, whose error it returns.
func (t *Tail) Run(ctx context.Context) error {
	t.from = t.clock.Now()
	for ctx.Err() == nil {
		reason := t.live(ctx)
		if ctx.Err() != nil {
			break
		}
		t.use(byPolling + reason)
		t.poll(ctx, t.clock.Now().Add(tailAgain))
	}
	return ctx.Err()
}

func (t *Tail) use(source string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source = source
}

// live keeps a Live Tail session open, and returns why that is no use.
func (t *Tail) live(ctx context.Context) (reason string) {
	pause := tailBackoff
	for tries := 0; ctx.Err() == nil; tries++ {
		before := t.frames.Load()
		err := t.session(ctx)
		if t.frames.Load() > before {
			tries, pause = 0, tailBackoff
		}
		var sampled *sampledError
		switch {
		case errors.As(err, &sampled):
			return sampled.Error()
		case tries >= tailTries || err != nil && !worthAnotherTry(err):
			return reasonOf(err)
		}
		// The session's time was over, or the connection broke: the SDK does
		// not tell them apart.
		t.miss("live tail was interrupted", true)
		if t.clock.Sleep(ctx, pause) != nil {
			break
		}
		pause *= 2
	}
	return ""
}

// sampledError is a session that leaves requests out.
type sampledError struct{}

// Error implements error.
func (*sampledError) Error() string { return "live tail shows a sample only" }

// worthAnotherTry tells trouble that may pass from a refusal.
func worthAnotherTry(err error) bool {
	switch classify(err) {
	case NoAnswer:
		return true
	case Expired, Denied, NoIdentity:
		return false
	case OtherFailed:
		switch code(err) {
		case "", "InternalFailure", "ServiceUnavailableException", "ThrottlingException", "SessionStreamingException", "SessionTimeoutException":
			return true
		}
	}
	return false
}

func reasonOf(err error) string {
	if kind := classify(err); kind != OtherFailed {
		return string(kind)
	}
	if c := code(err); c != "" {
		return c
	}
	return "live tail breaks off"
}

// session is one Live Tail session, from its beginning to its end.
func (t *Tail) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{t.arn(t.groups[1]), t.arn(t.groups[0])}}
	out, err := t.clients.Logs(t.region).StartLiveTail(ctx, in, func(o *cloudwatchlogs.Options) { o.RetryMaxAttempts = tailAttempts })
	if err != nil {
		return err
	}
	stream := out.GetStream()
	defer stream.Close() // Non-fatal: its error was read before.
	go t.watch(ctx, cancel)
	t.use(byLiveTail)
	sampled, asked, caught := 0, 0, false
	for event := range stream.Events() {
		update, ok := event.(*types.StartLiveTailResponseStreamMemberSessionUpdate)
		if !ok {
			continue
		}
		t.frames.Add(1)
		t.deliver(t.linesOf(update.Value.SessionResults), "")
		if update.Value.SessionMetadata != nil && update.Value.SessionMetadata.Sampled {
			t.miss((&sampledError{}).Error(), false)
			if sampled++; sampled >= tailSampled {
				return &sampledError{}
			}
			asked, caught = 0, false
			continue
		}
		sampled = 0
		if !caught {
			asked++
			caught = t.catchUp(ctx, asked >= tailCatchUps)
		}
		if caught {
			t.from = t.clock.Now()
		}
	}
	return stream.Err()
}

// catchUp asks for what arrived while no session was open, or was left out of
// one. What cannot be had at the last time of asking is lost, and said to be.
func (t *Tail) catchUp(ctx context.Context, last bool) bool {
	if t.ask(ctx, 0) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gap == "" {
		t.gap = "what came while live tail was interrupted could not all be read"
	}
	if last {
		t.partial, t.gap = t.gap, ""
	}
	return last
}

func (t *Tail) arn(group string) string {
	return fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", t.region, t.account, group)
}

// watch ends a session that has gone quiet: updates come every second, whether
// there is something in them or not.
func (t *Tail) watch(ctx context.Context, end context.CancelFunc) {
	for last := int64(-1); (clock.Real{}).Sleep(ctx, tailQuiet) == nil; {
		now := t.frames.Load()
		if now == last {
			end()
		}
		last = now
	}
}

// line is one request of the log, and what it is told from others by.
type line struct {
	id      uint64
	at      int64 // its event's time, milliseconds
	request health.Request
}

// parse reads a line of the canary's log or the stage's. One that cannot be read
// makes what is delivered incomplete.
func (t *Tail) parse(text string, at int64, canaryLog bool) (line, bool) {
	a, err := t.access(text, canaryLog)
	if err != nil {
		t.miss(err.Error(), false)
		return line{}, false
	}
	return line{maphash.String(t.seed, a.ID), at, health.Request{At: a.At, Canary: a.Canary, Probe: a.Path == t.health, Status: a.Status, Latency: a.Latency}}, true
}

// linesOf is the lines of one update.
func (t *Tail) linesOf(events []types.LiveTailSessionLogEvent) []line {
	lines := make([]line, 0, len(events))
	for _, e := range events {
		// ACCOUNT:GROUP; a group that is not named so is told by the line's word.
		canaryLog := strings.HasSuffix(aws.ToString(e.LogGroupIdentifier), ":"+t.groups[0])
		if l, ok := t.parse(aws.ToString(e.Message), aws.ToInt64(e.Timestamp), canaryLog); ok {
			lines = append(lines, l)
		}
	}
	return lines
}

// deliver hands over the requests of lines that were not delivered before, all
// at once: a Drain sees them all or none. sample says that some are left out.
func (t *Tail) deliver(lines []line, sample string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sample != "" {
		t.sample = sample
	}
	for i := range lines {
		if t.twice(lines[i].id) {
			continue
		}
		if len(t.queue) >= t.room {
			t.partial = "more requests came than could be kept"
			continue
		}
		t.queue = append(t.queue, lines[i].request)
	}
}

// twice tells whether a line was delivered before, and remembers it.
func (t *Tail) twice(id uint64) bool {
	if _, twice := t.seen[id]; twice {
		return true
	}
	if len(t.seen) >= len(t.recent) {
		delete(t.seen, t.recent[t.next])
	}
	t.seen[id], t.recent[t.next] = struct{}{}, id
	t.next = (t.next + 1) % len(t.recent)
	return false
}

// miss marks what is delivered as incomplete: by the next Drain, or until the
// rest has been asked for.
func (t *Tail) miss(reason string, lasting bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if lasting {
		t.gap = reason
	} else {
		t.partial = reason
	}
}
