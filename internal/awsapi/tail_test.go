package awsapi_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/localaws/wire"
	"github.com/tapctl/tapctl/internal/topology"
)

const accessLog = "/tapctl/Shop-prod-api/access"

// tailed is a Tail that runs, and everything it has delivered.
type tailed struct {
	*world
	tail     *awsapi.Tail
	got      map[string]int // by side and status
	requests int
	last     health.Batch
	partial  []string // reasons, one for each Drain that had one
	sessions atomic.Int64
	line     int
	noCanary bool // the stage has none
	sampled  bool // some Drain said so
}

func newTailed(t *testing.T) *tailed {
	t.Helper()
	w := &tailed{world: newWorld(t), got: map[string]int{}}
	for _, group := range []string{accessLog, accessLog + "/Canary"} {
		if _, err := w.clients.Logs(greenRegion).CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}); err != nil {
			t.Fatal(err)
		}
	}
	w.watch(func(request) error { return nil })
	w.tail = awsapi.NewTail(w.clients, wire.Account, topology.Cell{Region: greenRegion, AccessLog: accessLog}, "", "/healthz", w.clock)
	return w
}

// run follows until the test ends.
func (w *tailed) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.tail.Run(ctx) // it is its context's
	}()
	w.t.Cleanup(func() { cancel(); <-done })
}

// watch counts the sessions that are opened and lets the test refuse requests.
func (w *tailed) watch(refuse func(request) error) {
	w.intercept(func(r request) error {
		err := refuse(r)
		if err == nil && strings.HasSuffix(r.Target, ".StartLiveTail") {
			w.sessions.Add(1)
		}
		return err
	})
}

func isOperation(r request, name string) bool { return strings.HasSuffix(r.Target, "."+name) }

// log writes requests that come now and can be read a while later.
func (w *tailed) log(canary bool, status, n int, later time.Duration) {
	w.t.Helper()
	w.logAt("/items", canary, status, n, later)
}

// logAt is log of a path.
func (w *tailed) logAt(path string, canary bool, status, n int, later time.Duration) {
	w.t.Helper()
	group := accessLog
	if canary {
		group = topology.CanaryLog(group)
	}
	now := w.clock.Now()
	for range n {
		w.line++
		line, word := topology.AccessLogFormat, fmt.Sprint(canary)
		if w.noCanary {
			word = "-"
		}
		for name, value := range map[string]string{
			"requestId": "the client's", "extendedRequestId": fmt.Sprint("x-", w.line), "requestTimeEpoch": fmt.Sprint(now.UnixMilli()), "status": fmt.Sprint(status),
			"isCanaryRequest": word, "responseLatency": "12", "path": path,
		} {
			line = strings.ReplaceAll(line, "$context."+name, value)
		}
		if err := w.logs.Deliver(now, now.Add(later), greenRegion, group, "s", line); err != nil {
			w.t.Fatal(err)
		}
	}
}

// drain adds what was delivered.
func (w *tailed) drain() {
	w.last = w.tail.Drain()
	w.sampled = w.sampled || w.last.Sample != ""
	if w.last.Partial != "" {
		w.partial = append(w.partial, w.last.Partial)
	}
	for _, r := range w.last.Requests {
		side := "base"
		if r.Canary {
			side = "canary"
		}
		if r.Probe {
			side += " probe"
		}
		w.got[fmt.Sprint(side, " ", r.Status)]++
		w.requests++
	}
}

// eventually moves the clock half a second at a time until the condition
// holds; real time passes for the connections in between.
func (w *tailed) eventually(what string, holds func() bool) {
	w.t.Helper()
	limit := (clock.Real{}).Now().Add(20 * time.Second)
	for !holds() {
		if (clock.Real{}).Now().After(limit) {
			w.t.Fatalf("%s: not within 20 s; %v requests %v, by %q, partial %q", what, w.requests, w.got, w.last.Source, w.last.Partial)
		}
		w.advance(500 * time.Millisecond)
		w.drain()
	}
}

// advance moves the clock once somebody waits for it: on a slow machine a call
// would otherwise last for seconds of it, and bounds would be met that are not
// meant. A session of Live Tail that is silent waits for nothing.
func (w *tailed) advance(d time.Duration) {
	w.t.Helper()
	for try := 0; try < 50 && (try == 0 || w.clock.Waiting() == 0); try++ {
		if err := (clock.Real{}).Sleep(w.t.Context(), 2*time.Millisecond); err != nil {
			w.t.Fatal(err)
		}
	}
	w.clock.Advance(d)
}

// whole waits until what is delivered is complete, by that way of reading.
func (w *tailed) whole(source string) {
	w.t.Helper()
	w.eventually("complete, by "+source, func() bool { return strings.HasPrefix(w.last.Source, source) && w.last.Partial == "" })
	w.partial = nil
}

var traffic = map[string]int{"base 200": 120, "base 502": 3, "canary 200": 17, "canary 500": 4}

func (w *tailed) send() {
	w.log(false, 200, 120, 5*time.Second)
	w.log(false, 502, 3, 2*time.Second)
	w.log(true, 200, 17, 10*time.Second)
	w.log(true, 500, 4, 0)
}

func (w *tailed) same(times int) bool {
	for what, n := range traffic {
		if w.got[what] != times*n {
			return false
		}
	}
	return w.requests == times*(120+3+17+4)
}

// Both ways of reading deliver the same, each request once.
func TestTailReadsEveryRequestOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		refuse func(request) error
		source string
	}{
		"live tail":         {func(request) error { return nil }, "live tail"},
		"denied":            {deny("StartLiveTail", "AccessDeniedException"), "polling: access denied"},
		"not known":         {deny("StartLiveTail", "UnknownOperationException"), "polling: UnknownOperationException"},
		"too many sessions": {deny("StartLiveTail", "LimitExceededException"), "polling: LimitExceededException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTailed(t)
			w.watch(tt.refuse)
			w.run()
			w.whole(tt.source)
			for round := 1; round <= 3; round++ {
				w.send()
				w.eventually(fmt.Sprint("round ", round), func() bool { return w.same(round) })
			}
			w.clock.Advance(time.Minute)
			w.eventually("a minute later", func() bool { return w.last.Source == tt.source })
			if !w.same(3) || len(w.partial) > 0 {
				t.Errorf("delivered %v, three times %v was sent; incomplete: %q", w.got, traffic, w.partial)
			}
		})
	}
}

// A client may send its own request id, the same each time: it hides nothing. So
// it was before the extended id was kept, where the whole line tells.
func TestTailCountsRequestsThatShareAnId(t *testing.T) {
	t.Parallel()
	w := newTailed(t) // all its requests have one request id
	w.run()
	w.whole("live tail")
	w.send()
	for i := range 5 {
		line := fmt.Sprintf(`{"request_id":"the client's","time":"%d","status":"504","canary":"true","latency_ms":"%d"}`, w.clock.Now().UnixMilli(), i)
		if err := w.logs.Deliver(w.clock.Now(), w.clock.Now(), greenRegion, accessLog+"/Canary", "s", line); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("all of them", func() bool { return w.got["canary 504"] == 5 && w.requests == 5+120+3+17+4 })
}

// A stage that was promoted has no canary, and API Gateway no word for its side:
// the log group tells it, however it is read.
func TestTailReadsAPromotedStage(t *testing.T) {
	t.Parallel()
	for source, refuse := range map[string]func(request) error{
		"live tail": func(request) error { return nil }, "polling: access denied": deny("StartLiveTail", "AccessDeniedException"),
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			w := newTailed(t)
			w.noCanary = true
			w.watch(refuse)
			w.run()
			w.whole(source)
			w.send()
			w.eventually("all of it", func() bool { return w.same(1) })
			if len(w.partial) > 0 {
				t.Errorf("incomplete: %q", w.partial)
			}
		})
	}
}

func deny(operation, code string) func(request) error {
	return func(r request) error {
		if isOperation(r, operation) {
			return wire.Errorf(400, code, "no")
		}
		return nil
	}
}

// What came while the connection was down is asked for, once.
func TestTailReconnects(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.run()
	w.whole("live tail")
	w.send()
	w.eventually("before the break", func() bool { return w.same(1) })
	before := w.sessions.Load()
	w.broken.Store(true)
	w.eventually("the break is told", func() bool { return strings.Contains(w.last.Partial, "interrupted") })
	w.send()
	w.clock.Advance(20 * time.Second) // all of it arrives while nobody listens
	w.broken.Store(false)
	w.eventually("after the break", func() bool { return w.same(2) && w.last.Partial == "" })
	if w.sessions.Load() == before {
		t.Error("no session was opened after the break")
	}
	w.send()
	w.eventually("again", func() bool { return w.same(3) })
}

// What came meanwhile and is more than can be asked for is lost, and said to be.
func TestTailSaysWhatItCouldNotCatchUpWith(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.tail.SetLines(100, 50)
	w.run()
	w.whole("live tail")
	w.broken.Store(true)
	w.eventually("the break is told", func() bool { return strings.Contains(w.last.Partial, "interrupted") })
	w.log(false, 200, 400, 0)
	w.clock.Advance(20 * time.Second)
	w.partial = nil
	w.broken.Store(false)
	w.eventually("after the break", func() bool { return w.last.Partial == "" && w.last.Source == "live tail" && len(w.partial) > 0 })
	w.send()
	w.eventually("what comes now", func() bool { return w.got["canary 500"] == traffic["canary 500"] })
	if told := strings.Join(w.partial, "\n"); w.got["base 200"] < 400 && !strings.Contains(told, "in time") && !strings.Contains(told, "could not all be read") {
		t.Errorf("of 400 requests %d were delivered, and told was %q", w.got["base 200"], w.partial)
	}
}

// A sample is said to be one, and is not put up with.
func TestTailDoesNotTrustASample(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.run()
	w.whole("live tail")
	w.log(false, 200, 700, time.Second) // none of them can be shown before the last is written
	w.eventually("the sample is told", func() bool { return strings.Contains(w.last.Partial, "sample") })
	w.eventually("the rest is asked for", func() bool { return w.got["base 200"] == 700 && w.last.Partial == "" })
	sent := 700
	for second := time.Duration(1); second <= 5; second++ { // a second each, all of them too many
		w.log(false, 200, 700, second*time.Second)
		sent += 700
	}
	w.eventually("polling instead", func() bool { return w.last.Source == "polling: live tail shows a sample only" })
	w.eventually("all of it", func() bool { return w.got["base 200"] == sent && w.last.Partial == "" })
}

// Nothing can be read: the counts say so until it can.
func TestTailSaysWhenNothingCanBeRead(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	var denied atomic.Bool
	denied.Store(true)
	w.watch(func(r request) error {
		if denied.Load() && r.Service == "logs" {
			return wire.Errorf(400, "AccessDeniedException", "no")
		}
		return nil
	})
	w.run()
	w.eventually("said", func() bool { return strings.Contains(w.last.Partial, "cannot be read: access denied") })
	for range 20 {
		w.clock.Advance(time.Second)
		if w.drain(); w.last.Partial == "" {
			t.Fatal("complete, while nothing can be read")
		}
	}
	w.send()
	denied.Store(false)
	w.whole("polling")
	w.send()
	w.eventually("both", func() bool { return w.same(2) })
	// In the end Live Tail is tried again.
	w.eventually("live tail again", func() bool { return w.sessions.Load() > 0 && w.last.Source == "live tail" })
}

// A queue that nobody drains does not grow for ever.
func TestTailForgetsWhatNobodyTakes(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.tail.SetRoom(1200)
	w.watch(deny("StartLiveTail", "AccessDeniedException"))
	w.run()
	w.whole("polling")
	var asked atomic.Int64
	w.watch(func(r request) error {
		if isOperation(r, "FilterLogEvents") {
			asked.Add(1)
		}
		return deny("StartLiveTail", "AccessDeniedException")(r)
	})
	for range 3 {
		w.log(false, 200, 500, 0)
		for before := asked.Load(); asked.Load() < before+8; { // two times of asking and more
			w.advance(500 * time.Millisecond)
		}
	}
	w.drain()
	if w.requests != 1200 || !strings.Contains(w.last.Partial, "more requests came than could be kept") {
		t.Errorf("%d of 1,500 requests kept, partial %q", w.requests, w.last.Partial)
	}
}

// Who asks for the health path is no user: tapctl, or one of Route 53's checkers.
func TestTailTellsProbesFromUsers(t *testing.T) {
	t.Parallel()
	w := newTailed(t)
	w.run()
	w.whole("live tail")
	w.log(true, 200, 3, 0)
	w.logAt("/healthz", true, 200, 4, 0)
	w.logAt("/healthz", false, 502, 5, 0)
	w.logAt("-", false, 200, 6, 0)
	w.eventually("all of them", func() bool {
		return w.got["canary 200"] == 3 && w.got["canary probe 200"] == 4 && w.got["base probe 502"] == 5 && w.got["base 200"] == 6
	})
}
