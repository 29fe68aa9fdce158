package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// The limits of Live Tail.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartLiveTail.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
const (
	tailGroups   = 10            // log groups in one session
	tailEvents   = 500           // events in one update, sampled above that
	tailWaiting  = 5000          // events kept for a client that is slow to read
	tailLength   = 3 * time.Hour // of a session
	tailSessions = 15            // at once, per region
	tailInterval = time.Second   // between two updates
)

// tailPause is the least real time between two looks of a session, so that a
// clock that runs fast does not keep a core busy.
const tailPause = 5 * time.Millisecond

// tail is one Live Tail session. The service's lock guards it.
type tail struct {
	region  string
	groups  []string // ARNs
	in      input
	matches func(message string) bool
	pending []tailed // by the time they are ingested
	from    time.Time
}

type tailed struct {
	event
	group string
}

// update is the content of one frame.
type update struct {
	events  []tailed
	sampled bool
}

// offer keeps an event for the session's updates where it asked for it.
func (t *tail) offer(group string, e event) {
	if !slices.Contains(t.groups, group) || t.matches != nil && !t.matches(e.message) {
		return
	}
	if len(t.in.LogStreamNames) > 0 && !slices.Contains(t.in.LogStreamNames, e.stream) {
		return
	}
	prefixed := func(prefix string) bool { return strings.HasPrefix(e.stream, prefix) }
	if len(t.in.LogStreamNamePrefixes) > 0 && !slices.ContainsFunc(t.in.LogStreamNamePrefixes, prefixed) {
		return
	}
	at := sort.Search(len(t.pending), func(i int) bool { return t.pending[i].ingested.After(e.ingested) })
	t.pending = slices.Insert(t.pending, at, tailed{e, group})
	if excess := len(t.pending) - tailWaiting; excess > 0 {
		t.pending = slices.Delete(t.pending, 0, excess) // the oldest go first, without a word
	}
}

// take is the updates that are due: one for each second that has something
// since the last call, and at least one where a second has passed.
func (t *tail) take(now time.Time) []update {
	var updates []update
	for ; !t.from.Add(tailInterval).After(now); t.from = t.from.Add(tailInterval) {
		end := t.from.Add(tailInterval)
		n := sort.Search(len(t.pending), func(i int) bool { return t.pending[i].ingested.After(end) })
		if n == 0 && end.Add(tailInterval).Before(now) {
			continue
		}
		updates = append(updates, sample(t.pending[:n]))
		t.pending = slices.Delete(t.pending, 0, n)
	}
	return updates
}

// sample takes 500 events at even distances. How AWS chooses them is not
// documented.
func sample(events []tailed) update {
	if len(events) <= tailEvents {
		return update{events: slices.Clone(events)}
	}
	chosen := make([]tailed, tailEvents)
	for i := range chosen {
		chosen[i] = events[i*len(events)/tailEvents]
	}
	return update{chosen, true}
}

// startLiveTail opens a session; its answer lasts as long as the session.
func (s *Service) startLiveTail(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	matches, err := compile(in.LogEventFilterPattern)
	if err != nil {
		return nil, err
	}
	if err := in.checkTail(call.Region); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tail{region: call.Region, groups: in.LogGroupIdentifiers, in: in, matches: matches, from: s.options.Clock.Now()}
	open := 0
	for other := range s.tails {
		if other.region == call.Region {
			open++
		}
	}
	if open >= tailSessions {
		return nil, wire.Errorf(http.StatusBadRequest, "LimitExceededException", "You have reached the maximum number of concurrent Live Tail sessions: %d", tailSessions)
	}
	for _, arn := range t.groups {
		g, err := s.find(call.Region, input{LogGroupIdentifier: arn}.groupName())
		if err != nil {
			return nil, err
		}
		for _, e := range g.events {
			if e.ingested.After(t.from) { // written, and still on its way
				t.offer(arn, e)
			}
		}
	}
	s.tails[t] = struct{}{}
	s.tailed++
	id := fmt.Sprintf("%08x-0000-4000-8000-000000000000", s.tailed)
	return wire.Stream(func(ctx context.Context, w http.ResponseWriter) { s.stream(ctx, w, t, id) }), nil
}

func (in input) checkTail(region string) error {
	switch n := len(in.LogGroupIdentifiers); {
	case n == 0 || n > tailGroups:
		return invalid("1 validation error detected: Value at 'logGroupIdentifiers' failed to satisfy constraint: Member must have 1 to %d members, got %d", tailGroups, n)
	case len(in.LogStreamNames) > 0 && len(in.LogStreamNamePrefixes) > 0:
		return invalid("logStreamNames and logStreamNamePrefixes cannot both be specified.")
	case n > 1 && len(in.LogStreamNames)+len(in.LogStreamNamePrefixes) > 0:
		return invalid("Log streams can only be specified with one log group.")
	}
	for _, arn := range in.LogGroupIdentifiers {
		if arn != groupARN(region, input{LogGroupIdentifier: arn}.groupName()) || strings.HasSuffix(arn, "*") {
			return invalid("The log group identifier %s is not the ARN of a log group in %s.", arn, region)
		}
	}
	return nil
}

// stream writes a session's frames until somebody ends it.
func (s *Service) stream(ctx context.Context, w http.ResponseWriter, t *tail, id string) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.tails, t)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	// An answer within microseconds overtakes the SDK, which may still be
	// looking for the end of the request's body and then closes the connection
	// that the answer streams on. No answer of AWS is that fast.
	if (clock.Real{}).Sleep(ctx, tailPause) != nil {
		return
	}
	call := wire.FromContext(ctx)
	began := s.options.Clock.Now()
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	frames := framer{w: w, encoder: eventstream.NewEncoder(), flush: http.NewResponseController(w).Flush}
	frames.event("initial-response", "application/x-amz-json-1.1", output{})
	frames.event("sessionStart", "application/json", output{
		"requestId": call.RequestID, "sessionId": id, "logGroupIdentifiers": t.groups, "logStreamNames": t.in.LogStreamNames,
		"logStreamNamePrefixes": t.in.LogStreamNamePrefixes, "logEventFilterPattern": t.in.LogEventFilterPattern,
	})
	frames.send()
	for frames.err == nil {
		if (clock.Real{}).Sleep(ctx, tailPause) != nil || s.options.Clock.Sleep(ctx, s.untilNext(t)) != nil {
			return
		}
		now := s.options.Clock.Now()
		if s.options.Broken != nil && s.options.Broken(t.region) {
			panic(http.ErrAbortHandler) // the connection ends without a word
		}
		if now.Sub(began) >= tailLength {
			frames.exception("SessionTimeoutException", "The session has been open for 3 hours.")
			frames.send()
			return
		}
		s.mu.Lock()
		updates := t.take(now)
		s.mu.Unlock()
		for _, u := range updates {
			frames.event("sessionUpdate", "application/json", u.output())
		}
		frames.send()
	}
}

func (s *Service) untilNext(t *tail) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.from.Add(tailInterval).Sub(s.options.Clock.Now())
}

func (u update) output() output {
	results := make([]output, len(u.events))
	for i, e := range u.events {
		results[i] = output{
			"logGroupIdentifier": wire.Account + ":" + input{LogGroupIdentifier: e.group}.groupName(), "logStreamName": e.stream,
			"message": e.message, "timestamp": e.at.UnixMilli(), "ingestionTime": e.ingested.UnixMilli(),
		}
	}
	return output{"sessionMetadata": output{"sampled": u.sampled}, "sessionResults": results}
}

// framer writes messages in the event stream's encoding; after an error it
// writes nothing more.
type framer struct {
	w       http.ResponseWriter
	flush   func() error
	encoder *eventstream.Encoder
	waiting bytes.Buffer
	err     error
}

func (f *framer) event(kind, contentType string, payload output) {
	f.message(payload,
		header(eventstreamapi.MessageTypeHeader, eventstreamapi.EventMessageType),
		header(eventstreamapi.EventTypeHeader, kind), header(eventstreamapi.ContentTypeHeader, contentType))
}

func (f *framer) exception(kind, message string) {
	f.message(output{"message": message},
		header(eventstreamapi.MessageTypeHeader, eventstreamapi.ExceptionMessageType),
		header(eventstreamapi.ExceptionTypeHeader, kind), header(eventstreamapi.ContentTypeHeader, "application/json"))
}

func header(name, value string) eventstream.Header {
	return eventstream.Header{Name: name, Value: eventstream.StringValue(value)}
}

func (f *framer) message(payload output, headers ...eventstream.Header) {
	body, err := json.Marshal(payload)
	if err == nil {
		err = f.encoder.Encode(&f.waiting, eventstream.Message{Headers: headers, Payload: body})
	}
	if f.err == nil {
		f.err = err
	}
}

// send writes what waits.
func (f *framer) send() {
	if f.err != nil || f.waiting.Len() == 0 {
		return
	}
	if _, f.err = f.waiting.WriteTo(f.w); f.err == nil {
		f.err = f.flush()
	}
}
