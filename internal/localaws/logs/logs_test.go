package logs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/logs"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

var t0 = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func start(t *testing.T, events int) (*logs.Service, *sdk.Client) {
	t.Helper()
	return serve(t, logs.Options{EventsPerGroup: events}, time.Second)
}

// serve asks a service once in every so often.
func serve(t *testing.T, o logs.Options, every time.Duration) (*logs.Service, *sdk.Client) {
	t.Helper()
	service := logs.New(o)
	var passed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, _, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		service.Handler().ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "logs", Region: region, Now: t0.Add(time.Hour + time.Duration(passed.Add(int64(every))))})))
	}))
	t.Cleanup(server.Close)
	return service, sdk.New(sdk.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func makeGroup(t *testing.T, c *sdk.Client, name string) {
	t.Helper()
	if _, err := c.CreateLogGroup(context.Background(), &sdk.CreateLogGroupInput{LogGroupName: &name, Tags: map[string]string{"Owner": "me"}}); err != nil {
		t.Fatal(err)
	}
}

func messages(t *testing.T, c *sdk.Client, in *sdk.FilterLogEventsInput) []string {
	t.Helper()
	var found []string
	pages := sdk.NewFilterLogEventsPaginator(c, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			found = append(found, *e.Message)
		}
	}
	return found
}

func TestGroupsKeepRetentionKeyAndTags(t *testing.T) {
	t.Parallel()
	_, c := start(t, 0)
	ctx := context.Background()
	makeGroup(t, c, "/aws/lambda/api")
	if _, err := c.CreateLogGroup(ctx, &sdk.CreateLogGroupInput{LogGroupName: aws.String("/aws/lambda/api")}); code(err) != "ResourceAlreadyExistsException" {
		t.Errorf("made twice: %v", err)
	}
	if _, err := c.PutRetentionPolicy(ctx, &sdk.PutRetentionPolicyInput{LogGroupName: aws.String("/aws/lambda/api"), RetentionInDays: aws.Int32(31)}); code(err) != "InvalidParameterException" {
		t.Errorf("31 days: %v", err)
	}
	if _, err := c.PutRetentionPolicy(ctx, &sdk.PutRetentionPolicyInput{LogGroupName: aws.String("/aws/lambda/api"), RetentionInDays: aws.Int32(30)}); err != nil {
		t.Fatal(err)
	}
	out, err := c.DescribeLogGroups(ctx, &sdk.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/")})
	if err != nil || len(out.LogGroups) != 1 || aws.ToInt32(out.LogGroups[0].RetentionInDays) != 30 {
		t.Fatalf("%+v, %v", out, err)
	}
	tags, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: out.LogGroups[0].LogGroupArn})
	if err != nil || tags.Tags["Owner"] != "me" {
		t.Errorf("tags %v, %v", tags, err)
	}
	if _, err := c.DeleteLogGroup(ctx, &sdk.DeleteLogGroupInput{LogGroupName: aws.String("/aws/lambda/api")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteLogGroup(ctx, &sdk.DeleteLogGroupInput{LogGroupName: aws.String("/aws/lambda/api")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestAppendNeedsItsGroupAndRegion(t *testing.T) {
	t.Parallel()
	service, c := start(t, 0)
	makeGroup(t, c, "g")
	if err := service.Append(t0, "eu-west-1", "g", "s", "hello"); err != nil {
		t.Error(err)
	}
	if err := service.Append(t0, "eu-west-1", "missing", "s", "hello"); err == nil {
		t.Error("appended to a group that is not there")
	}
	if err := service.Append(t0, "eu-central-1", "g", "s", "hello"); err == nil {
		t.Error("appended to another region's group")
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	service, c := start(t, 0)
	makeGroup(t, c, "g")
	for i, message := range []string{`{"status":"200","canary":"true"}`, `{"status":502,"canary":"true"}`, `{"status":502,"canary":"false"}`, `plain ERROR text`, `plain text`} {
		if err := service.Append(t0.Add(time.Duration(i)*time.Second), "eu-west-1", "g", fmt.Sprintf("s%d", i%2), message); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		in   sdk.FilterLogEventsInput
		want []string
	}{
		{"json number", sdk.FilterLogEventsInput{FilterPattern: aws.String(`{ $.status >= 500 }`)}, []string{`{"status":502,"canary":"true"}`, `{"status":502,"canary":"false"}`}},
		{"json text", sdk.FilterLogEventsInput{FilterPattern: aws.String(`{ $.canary = "true" }`)}, []string{`{"status":"200","canary":"true"}`, `{"status":502,"canary":"true"}`}},
		{"term", sdk.FilterLogEventsInput{FilterPattern: aws.String(`ERROR`)}, []string{"plain ERROR text"}},
		{"not a term", sdk.FilterLogEventsInput{FilterPattern: aws.String(`plain -ERROR`)}, []string{"plain text"}},
		{"phrase", sdk.FilterLogEventsInput{FilterPattern: aws.String(`"plain text"`)}, []string{"plain text"}},
		{"one stream", sdk.FilterLogEventsInput{LogStreamNames: []string{"s1"}, FilterPattern: aws.String("plain")}, []string{"plain ERROR text"}},
		{"from, inclusive", sdk.FilterLogEventsInput{StartTime: aws.Int64(t0.Add(4 * time.Second).UnixMilli())}, []string{"plain text"}},
		{"to, exclusive", sdk.FilterLogEventsInput{EndTime: aws.Int64(t0.Add(time.Second).UnixMilli())}, []string{`{"status":"200","canary":"true"}`}},
		{"pages of one", sdk.FilterLogEventsInput{FilterPattern: aws.String("plain"), Limit: aws.Int32(1)}, []string{"plain ERROR text", "plain text"}},
	}
	for _, tt := range tests {
		tt.in.LogGroupName = aws.String("g")
		if diff := cmp.Diff(tt.want, messages(t, c, &tt.in)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if _, err := c.FilterLogEvents(context.Background(), &sdk.FilterLogEventsInput{LogGroupName: aws.String("g"), FilterPattern: aws.String("[a, b]")}); code(err) != "InvalidParameterException" {
		t.Errorf("a pattern that is not modelled: %v", err)
	}
}

// Five calls a second are answered, and the next one is not.
func TestFilterHasItsQuota(t *testing.T) {
	t.Parallel()
	for every, want := range map[time.Duration]string{200 * time.Millisecond: "", 150 * time.Millisecond: "ThrottlingException"} {
		_, c := serve(t, logs.Options{}, every)
		makeGroup(t, c, "g")
		got := ""
		for range 30 {
			_, err := c.FilterLogEvents(context.Background(), &sdk.FilterLogEventsInput{LogGroupName: aws.String("g")}, func(o *sdk.Options) { o.RetryMaxAttempts = 1 })
			if got == "" {
				got = code(err)
			}
		}
		if got != want {
			t.Errorf("a call every %v: %q, want %q", every, got, want)
		}
	}
}

// A page may be short, or empty, and have a successor.
func TestFilterMayAnswerShortPages(t *testing.T) {
	t.Parallel()
	service, c := serve(t, logs.Options{Thin: func() bool { return true }}, time.Second)
	makeGroup(t, c, "g")
	for i := range 7 {
		if err := service.Append(t0.Add(time.Duration(i)*time.Second), "eu-west-1", "g", "s", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	var pages []int
	for p := sdk.NewFilterLogEventsPaginator(c, &sdk.FilterLogEventsInput{LogGroupName: aws.String("g"), Limit: aws.Int32(9)}); p.HasMorePages(); {
		page, err := p.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, len(page.Events))
	}
	if diff := cmp.Diff([]int{0, 3, 3, 1}, pages); diff != "" {
		t.Error(diff)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	service, c := start(t, 100)
	makeGroup(t, c, "g")
	for i := range 1000 {
		if err := service.Append(t0.Add(time.Duration(i)*time.Second), "eu-west-1", "g", "s", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	kept := messages(t, c, &sdk.FilterLogEventsInput{LogGroupName: aws.String("g")})
	if len(kept) > 100 || len(kept) < 90 || kept[len(kept)-1] != "999" {
		t.Errorf("%d events kept, the last is %s", len(kept), kept[len(kept)-1])
	}
}

func TestPutAndGetEvents(t *testing.T) {
	t.Parallel()
	_, c := start(t, 0)
	ctx := context.Background()
	makeGroup(t, c, "g")
	put := func(events ...types.InputLogEvent) error {
		_, err := c.PutLogEvents(ctx, &sdk.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: events})
		return err
	}
	at := func(s int64, message string) types.InputLogEvent {
		return types.InputLogEvent{Timestamp: aws.Int64(t0.UnixMilli() + 1000*s), Message: &message}
	}
	if err := put(at(0, "a")); code(err) != "ResourceNotFoundException" {
		t.Errorf("no stream yet: %v", err)
	}
	if _, err := c.CreateLogStream(ctx, &sdk.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	if err := put(at(2, "b"), at(1, "a")); code(err) != "InvalidParameterException" {
		t.Errorf("out of order: %v", err)
	}
	if err := put(at(1, "a"), at(2, "b")); err != nil {
		t.Fatal(err)
	}
	first, err := c.GetLogEvents(ctx, &sdk.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")})
	if err != nil || len(first.Events) != 2 || *first.Events[0].Message != "a" {
		t.Fatalf("%v, %v", first, err)
	}
	if err := put(at(3, "c")); err != nil {
		t.Fatal(err)
	}
	more, err := c.GetLogEvents(ctx, &sdk.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), NextToken: first.NextForwardToken})
	if err != nil || len(more.Events) != 1 || *more.Events[0].Message != "c" {
		t.Errorf("after the token: %v, %v", more, err)
	}
	if _, err := c.PutMetricFilter(ctx, &sdk.PutMetricFilterInput{LogGroupName: aws.String("g"), FilterName: aws.String("f"), FilterPattern: aws.String(""), MetricTransformations: []types.MetricTransformation{{MetricName: aws.String("m"), MetricNamespace: aws.String("n"), MetricValue: aws.String("1")}}}); code(err) != "UnknownOperationException" {
		t.Errorf("metric filters do not exist here: %v", err)
	}
}
