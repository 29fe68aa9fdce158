package logs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/logs"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const arnPrefix = "arn:aws:logs:eu-west-1:000000000000:log-group:"

// tailing is a service on a clock that stands still, and a client of it.
type tailing struct {
	t       *testing.T
	clock   *clock.Manual
	service *logs.Service
	client  *sdk.Client
	connect func() *sdk.Client
	iam     *asked
	broken  atomic.Bool
}

func newTailing(t *testing.T) *tailing {
	t.Helper()
	x := &tailing{t: t, clock: clock.NewManual(t0), iam: &asked{}}
	x.service = logs.New(logs.Options{Clock: x.clock, Authorize: x.iam.authorize, Broken: func(string) bool { return x.broken.Load() }})
	handler := x.service.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "logs", Region: region, AccessKeyID: key, Now: x.clock.Now(), RequestID: "r-1"})))
	}))
	t.Cleanup(server.Close)
	options := sdk.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		// One address stands for every host.
		APIOptions: []func(*middleware.Stack) error{func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("plain host", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
			}), middleware.Before)
		}},
	}
	x.connect = func() *sdk.Client { return sdk.New(options) }
	x.client = x.connect()
	for _, name := range []string{"g", "g/Canary"} {
		makeGroup(t, x.client, name)
	}
	return x
}

func (x *tailing) open(in sdk.StartLiveTailInput) *sdk.StartLiveTailEventStream {
	x.t.Helper()
	if in.LogGroupIdentifiers == nil {
		in.LogGroupIdentifiers = []string{arnPrefix + "g", arnPrefix + "g/Canary"}
	}
	// A client for each session: those of one client share a decoder without a
	// lock (smithy-go v1.28.9), which the race detector sees.
	out, err := x.connect().StartLiveTail(x.t.Context(), &in)
	if err != nil {
		x.t.Fatal(err)
	}
	stream := out.GetStream()
	x.t.Cleanup(func() { stream.Close() })
	start, ok := (<-stream.Events()).(*types.StartLiveTailResponseStreamMemberSessionStart)
	if !ok || len(start.Value.LogGroupIdentifiers) != len(in.LogGroupIdentifiers) || aws.ToString(start.Value.SessionId) == "" {
		x.t.Fatalf("the session began with %+v", start)
	}
	return stream
}

func (x *tailing) deliver(at, arrives time.Duration, group, message string) {
	x.t.Helper()
	if err := x.service.Deliver(t0.Add(at), t0.Add(arrives), "eu-west-1", group, "s", message); err != nil {
		x.t.Fatal(err)
	}
}

// next is the messages of the next update, after a second.
func (x *tailing) next(stream *sdk.StartLiveTailEventStream) (messages []string, sampled bool) {
	x.t.Helper()
	x.clock.Advance(time.Second)
	event, open := <-stream.Events()
	update, ok := event.(*types.StartLiveTailResponseStreamMemberSessionUpdate)
	if !open || !ok {
		x.t.Fatalf("no update but %T: %v", event, stream.Err())
	}
	for _, e := range update.Value.SessionResults {
		messages = append(messages, aws.ToString(e.Message))
	}
	return messages, update.Value.SessionMetadata.Sampled
}

func TestTailShowsWhatArrives(t *testing.T) {
	t.Parallel()
	x := newTailing(t)
	x.deliver(0, 0, "g", "before the session")
	x.deliver(0, 1500*time.Millisecond, "g/Canary", "on its way")
	stream := x.open(sdk.StartLiveTailInput{})
	x.deliver(0, 800*time.Millisecond, "g", "first second")
	want := [][]string{{"first second"}, {"on its way"}, nil}
	for i, messages := range want {
		got, sampled := x.next(stream)
		if diff := cmp.Diff(messages, got); diff != "" || sampled {
			t.Errorf("second %d, sampled %v (-want +got):\n%s", i+1, sampled, diff)
		}
	}
}

// A line that has not arrived is read by nobody, whatever time it bears.
func TestNothingIsReadBeforeItArrives(t *testing.T) {
	t.Parallel()
	x := newTailing(t)
	x.deliver(0, 5*time.Second, "g", "late")
	x.deliver(time.Second, time.Second, "g", "early")
	in := &sdk.FilterLogEventsInput{LogGroupName: aws.String("g")}
	for _, want := range []struct {
		at   time.Duration
		read []string
	}{{999 * time.Millisecond, nil}, {4 * time.Second, []string{"early"}}, {5 * time.Second, []string{"late", "early"}}} {
		x.clock.Advance(t0.Add(want.at).Sub(x.clock.Now()))
		if diff := cmp.Diff(want.read, messages(t, x.client, in)); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", want.at, diff)
		}
	}
}

func TestTailSamplesAbove500(t *testing.T) {
	t.Parallel()
	x := newTailing(t)
	stream := x.open(sdk.StartLiveTailInput{})
	for second, count := range []int{500, 501, 2000, 3} {
		for i := range count {
			x.deliver(0, time.Duration(second)*time.Second+time.Millisecond, "g", fmt.Sprint(i))
		}
		got, sampled := x.next(stream)
		if len(got) != min(count, 500) || sampled != (count > 500) {
			t.Errorf("%d events: %d in the update, sampled %v", count, len(got), sampled)
		}
		if distinct := map[string]bool{}; true {
			for _, m := range got {
				distinct[m] = true
			}
			if len(distinct) != len(got) {
				t.Errorf("%d events: %d of %d are distinct", count, len(distinct), len(got))
			}
		}
	}
}

func TestTailFilters(t *testing.T) {
	t.Parallel()
	x := newTailing(t)
	tests := []struct {
		name string
		in   sdk.StartLiveTailInput
		want []string
	}{
		{"one group", sdk.StartLiveTailInput{LogGroupIdentifiers: []string{arnPrefix + "g/Canary"}}, []string{`{"status":"502","canary":"true"}`}},
		{"text with a wildcard", sdk.StartLiveTailInput{LogEventFilterPattern: aws.String(`{ $.status = "5*" }`)}, []string{`{"status":"503"}`, `{"status":504}`, `{"status":"502","canary":"true"}`}},
		{"number", sdk.StartLiveTailInput{LogEventFilterPattern: aws.String(`{ $.status >= 500 }`)}, []string{`{"status":504}`}},
		{"stream", sdk.StartLiveTailInput{LogGroupIdentifiers: []string{arnPrefix + "g"}, LogStreamNames: []string{"other"}}, nil},
		{"stream prefix", sdk.StartLiveTailInput{LogGroupIdentifiers: []string{arnPrefix + "g/Canary"}, LogStreamNamePrefixes: []string{"o", "s"}}, []string{`{"status":"502","canary":"true"}`}},
	}
	streams := make([]*sdk.StartLiveTailEventStream, len(tests))
	for i, tt := range tests {
		streams[i] = x.open(tt.in)
	}
	x.deliver(0, 0, "g", `{"status":"200"}`)
	x.deliver(0, 0, "g", `{"status":"503"}`)
	x.deliver(0, 0, "g", `{"status":504}`)
	x.deliver(0, 0, "g/Canary", `{"status":"502","canary":"true"}`)
	x.clock.Advance(time.Second)
	for i, tt := range tests {
		update, ok := (<-streams[i].Events()).(*types.StartLiveTailResponseStreamMemberSessionUpdate)
		if !ok {
			t.Fatalf("%s: %v", tt.name, streams[i].Err())
		}
		var got []string
		for _, e := range update.Value.SessionResults {
			got = append(got, *e.Message)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestTailRefuses(t *testing.T) {
	t.Parallel()
	x := newTailing(t)
	ten := make([]string, 11)
	for i := range ten {
		ten[i] = arnPrefix + "g"
	}
	for name, tt := range map[string]struct {
		in   sdk.StartLiveTailInput
		want string
	}{
		"a name":          {sdk.StartLiveTailInput{LogGroupIdentifiers: []string{"g"}}, "InvalidParameterException"},
		"an asterisk":     {sdk.StartLiveTailInput{LogGroupIdentifiers: []string{arnPrefix + "g:*"}}, "InvalidParameterException"},
		"another region":  {sdk.StartLiveTailInput{LogGroupIdentifiers: []string{strings.Replace(arnPrefix, "west", "north", 1) + "g"}}, "InvalidParameterException"},
		"eleven groups":   {sdk.StartLiveTailInput{LogGroupIdentifiers: ten}, "InvalidParameterException"},
		"a missing group": {sdk.StartLiveTailInput{LogGroupIdentifiers: []string{arnPrefix + "h"}}, "ResourceNotFoundException"},
		"streams of two":  {sdk.StartLiveTailInput{LogGroupIdentifiers: ten[:2], LogStreamNames: []string{"s"}}, "InvalidParameterException"},
		"streams twice":   {sdk.StartLiveTailInput{LogGroupIdentifiers: ten[:1], LogStreamNames: []string{"s"}, LogStreamNamePrefixes: []string{"s"}}, "InvalidParameterException"},
		"a bad pattern":   {sdk.StartLiveTailInput{LogGroupIdentifiers: ten[:1], LogEventFilterPattern: aws.String("[a]")}, "InvalidParameterException"},
	} {
		if _, err := x.connect().StartLiveTail(t.Context(), &tt.in); code(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	for range 15 {
		x.open(sdk.StartLiveTailInput{})
	}
	if _, err := x.connect().StartLiveTail(t.Context(), &sdk.StartLiveTailInput{LogGroupIdentifiers: ten[:1]}); code(err) != "LimitExceededException" {
		t.Errorf("the sixteenth session: %v", err)
	}
}

func TestTailAsksForEveryGroup(t *testing.T) {
	t.Parallel()
	x := newTailing(t)
	in := &sdk.StartLiveTailInput{LogGroupIdentifiers: []string{arnPrefix + "g", arnPrefix + "g/Canary"}}
	x.iam.deny("logs:StartLiveTail")
	if _, err := x.connect().StartLiveTail(t.Context(), in); code(err) != "AccessDeniedException" {
		t.Errorf("when denied: %v", err)
	}
	x.iam.deny("")
	x.open(*in)
	x.iam.mu.Lock()
	defer x.iam.mu.Unlock()
	if diff := cmp.Diff([]string{"logs:StartLiveTail " + arnPrefix + "g", "logs:StartLiveTail " + arnPrefix + "g/Canary"}, x.iam.asks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTailEnds(t *testing.T) {
	t.Parallel()
	drained := func(stream *sdk.StartLiveTailEventStream) error {
		for range stream.Events() {
		}
		return stream.Err()
	}
	t.Run("after three hours", func(t *testing.T) {
		t.Parallel()
		x := newTailing(t)
		stream := x.open(sdk.StartLiveTailInput{})
		x.clock.Advance(3 * time.Hour)
		if err := drained(stream); err == nil || !strings.Contains(fmt.Sprintf("%T %v", err, err), "SessionTimeoutException") {
			t.Errorf("%T %v", err, err)
		}
	})
	t.Run("with its region", func(t *testing.T) {
		t.Parallel()
		x := newTailing(t)
		stream := x.open(sdk.StartLiveTailInput{})
		x.broken.Store(true)
		x.clock.Advance(time.Second)
		drained(stream) // the SDK takes a broken connection for an end, without an error
	})
	t.Run("with the service", func(t *testing.T) {
		t.Parallel()
		x := newTailing(t)
		stream := x.open(sdk.StartLiveTailInput{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := x.service.Run(ctx); err == nil {
			t.Error("Run ended without its context's error")
		}
		drained(stream) // that it ends is the point
	})
}
