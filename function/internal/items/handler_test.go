package items_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/function/internal/items"
	"github.com/tapctl/tapctl/function/internal/reply"
)

// dynamo keeps rows in the order of their sort key and honours the condition,
// the limit and the start key, which is all that the table asks of it.
type dynamo struct {
	rows map[string]map[string]types.AttributeValue
	keys []string
	fail error
}

func sortKey(row map[string]types.AttributeValue) string {
	return row["sk"].(*types.AttributeValueMemberS).Value
}

func (d *dynamo) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: d.rows[sortKey(in.Key)]}, d.fail
}

func (d *dynamo) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if d.fail != nil {
		return nil, d.fail
	}
	id := sortKey(in.Item)
	if _, exists := d.rows[id]; exists && in.ConditionExpression != nil && *in.ConditionExpression == "attribute_not_exists(pk)" {
		return nil, &types.ConditionalCheckFailedException{}
	}
	d.rows[id], d.keys = in.Item, append(d.keys, id)
	return &dynamodb.PutItemOutput{}, nil
}

func (d *dynamo) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out := &dynamodb.QueryOutput{}
	for _, id := range d.keys {
		if in.ExclusiveStartKey != nil && id <= sortKey(in.ExclusiveStartKey) {
			continue
		}
		if len(out.Items) == int(*in.Limit) {
			out.LastEvaluatedKey = out.Items[len(out.Items)-1]
			break
		}
		out.Items = append(out.Items, d.rows[id])
	}
	return out, d.fail
}

type fixture struct {
	*items.Handler
	dynamo *dynamo
	log    *bytes.Buffer
}

func newFixture() fixture {
	d, log := &dynamo{rows: map[string]map[string]types.AttributeValue{}}, &bytes.Buffer{}
	return fixture{dynamo: d, log: log, Handler: &items.Handler{
		Identity: reply.Identity{Version: "v7", Region: "eu-west-1", Side: "green"},
		Table:    items.DynamoTable{Client: d, Name: "items"},
		Log:      slog.New(slog.NewJSONHandler(log, nil)),
		Now:      func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		NewID:    func() string { return "generated" },
	}}
}

func (f fixture) do(t *testing.T, event events.APIGatewayProxyRequest) events.APIGatewayProxyResponse {
	t.Helper()
	event.RequestContext.RequestID = "req-1"
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{
		AwsRequestID: "lambda-1", InvokedFunctionArn: "arn:aws:lambda:eu-west-1:000000000000:function:api:next",
	})
	response, err := f.Serve(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func request(method, path, body string) events.APIGatewayProxyRequest {
	return events.APIGatewayProxyRequest{HTTPMethod: method, Path: path, Body: body}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		event events.APIGatewayProxyRequest
		query map[string]string
		want  int
		body  string // exact when set
	}{
		"health":             {event: request("GET", "/healthz", ""), want: 200, body: `{"region":"eu-west-1","side":"green","status":"ok","version":"v7"}`},
		"health, slash":      {event: request("GET", "/healthz/", ""), want: 200},
		"health, HEAD":       {event: request("HEAD", "/healthz", ""), want: 200},
		"get":                {event: request("GET", "/items/a", ""), want: 200, body: `{"created_at":"2026-01-02T03:04:05Z","id":"a","n":12345678901234567890}`},
		"get, HEAD":          {event: request("HEAD", "/items/a", ""), want: 200},
		"get, absent":        {event: request("GET", "/items/zz", ""), want: 404},
		"get, bad id":        {event: request("GET", "/items/a/b", ""), want: 400},
		"list":               {event: request("GET", "/items", ""), want: 200},
		"list, bad limit":    {event: request("GET", "/items", ""), query: map[string]string{"limit": "0"}, want: 400},
		"list, bad next":     {event: request("GET", "/items", ""), query: map[string]string{"next": "%%"}, want: 400},
		"create":             {event: request("POST", "/items", `{"id":"b","x":1}`), want: 201, body: `{"created_at":"2026-01-02T03:04:05Z","id":"b","x":1}`},
		"create, no id":      {event: request("POST", "/items", `{}`), want: 201, body: `{"created_at":"2026-01-02T03:04:05Z","id":"generated"}`},
		"create, duplicate":  {event: request("POST", "/items", `{"id":"a"}`), want: 409},
		"create, not JSON":   {event: request("POST", "/items", `{`), want: 400},
		"create, null":       {event: request("POST", "/items", `null`), want: 400},
		"create, bad id":     {event: request("POST", "/items", `{"id":" "}`), want: 400},
		"create, reserved":   {event: request("POST", "/items", `{"created_at":1}`), want: 400},
		"create, largest":    {event: request("POST", "/items", `{"x":"`+strings.Repeat("x", items.MaxBody-8)+`"}`), want: 201},
		"create, too large":  {event: request("POST", "/items", `{"x":"`+strings.Repeat("x", items.MaxBody-7)+`"}`), want: 413},
		"method":             {event: request("PUT", "/items", ""), want: 405},
		"method on one item": {event: request("POST", "/items/a", ""), want: 405},
		"path":               {event: request("GET", "/other", ""), want: 404},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture()
			if got := f.do(t, request("POST", "/items", `{"id":"a","n":12345678901234567890}`)); got.StatusCode != http.StatusCreated {
				t.Fatalf("seed: %+v", got)
			}
			tt.event.QueryStringParameters = tt.query
			got := f.do(t, tt.event)
			if got.StatusCode != tt.want {
				t.Fatalf("status %d, want %d: %s", got.StatusCode, tt.want, got.Body)
			}
			if tt.body != "" && got.Body != tt.body {
				t.Errorf("body %s, want %s", got.Body, tt.body)
			}
			if (tt.event.HTTPMethod == "HEAD") != (got.Body == "") {
				t.Errorf("%s answered with body %q", tt.event.HTTPMethod, got.Body)
			}
			if got.StatusCode >= 400 && !strings.Contains(got.Body, `"request_id":"req-1"`) {
				t.Errorf("error body %s has no request id", got.Body)
			}
			if (got.StatusCode == 405) != (got.Headers["Allow"] != "") {
				t.Errorf("status %d with Allow %q", got.StatusCode, got.Headers["Allow"])
			}
		})
	}
}

func TestHeadersSayWhoAnswered(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"Content-Type": "application/json", "X-Tapctl-Version": "v7", "X-Tapctl-Region": "eu-west-1",
		"X-Tapctl-Side": "green", "X-Tapctl-Alias": "next", "X-Request-Id": "req-1",
	}
	if diff := cmp.Diff(want, newFixture().do(t, request("GET", "/healthz", "")).Headers); diff != "" {
		t.Error(diff)
	}
}

func TestPagesCoverEveryItemOnce(t *testing.T) {
	t.Parallel()
	f := newFixture()
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("id-%d", i)
		want = append(want, id)
		f.do(t, request("POST", "/items", `{"id":"`+id+`"}`))
	}
	var got []string
	query := map[string]string{"limit": "3"}
	for {
		event := request("GET", "/items", "")
		event.QueryStringParameters = query
		var page struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := json.Unmarshal([]byte(f.do(t, event).Body), &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			got = append(got, item.ID)
		}
		if page.Next == "" {
			break
		}
		query = map[string]string{"limit": "3", "next": page.Next}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestATableFailureStaysInTheLog(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]events.APIGatewayProxyRequest{
		"get": request("GET", "/items/a", ""), "list": request("GET", "/items", ""), "create": request("POST", "/items", "{}"),
		"deep health": {HTTPMethod: "GET", Path: "/healthz", QueryStringParameters: map[string]string{"deep": "1"}},
	} {
		f := newFixture()
		f.dynamo.fail = errors.New("secret table name")
		got := f.do(t, event)
		if got.StatusCode != http.StatusInternalServerError || strings.Contains(got.Body, "secret") {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.Body)
		}
		if !strings.Contains(f.log.String(), "secret table name") || !strings.Contains(f.log.String(), `"level":"ERROR"`) {
			t.Errorf("%s: the log lacks the cause: %s", name, f.log)
		}
	}
	f := newFixture()
	f.dynamo.fail = errors.New("down")
	if got := f.do(t, request("GET", "/healthz", "")); got.StatusCode != http.StatusOK {
		t.Errorf("a shallow health check touched the table: %d", got.StatusCode)
	}
}

// slow is a table that answers when its caller stops waiting.
type slow struct{ items.Table }

func (slow) Get(ctx context.Context, _ string) (items.Item, error) {
	<-ctx.Done()
	return items.Item{}, ctx.Err()
}

func TestASlowTableIsAnsweredForBeforeTheFunctionIsKilled(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.Table = slow{}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	got, err := f.Serve(ctx, request("GET", "/items/a", ""))
	if err != nil || got.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d: %v", got.StatusCode, err)
	}
	if ctx.Err() != nil {
		t.Error("the answer came after the function's deadline")
	}
}

func TestBase64BodiesAreDecodedBeforeTheyAreMeasured(t *testing.T) {
	t.Parallel()
	event := request("POST", "/items", base64.StdEncoding.EncodeToString([]byte(`{"id":"b64"}`)))
	event.IsBase64Encoded = true
	if got := newFixture().do(t, event); got.StatusCode != http.StatusCreated || !strings.Contains(got.Body, "b64") {
		t.Errorf("%d %s", got.StatusCode, got.Body)
	}
}
