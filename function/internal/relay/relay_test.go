package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	awsgo "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/function/internal/relay"
	"github.com/tapctl/tapctl/function/internal/reply"
)

const target = "arn:aws:lambda:eu-west-1:000000000000:function:api:live"

var _ awsgo.Handler = (*relay.Handler)(nil)

// blue answers its calls in turn, the last answer for ever.
type blue struct {
	answers []answer
	calls   []lambda.InvokeInput
}

type answer struct {
	payload, functionError string
	err                    error
}

func (b *blue) Invoke(ctx context.Context, in *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
	a := b.answers[min(len(b.calls), len(b.answers)-1)]
	b.calls = append(b.calls, *in)
	if a.err != nil {
		return nil, a.err
	}
	out := &lambda.InvokeOutput{Payload: []byte(a.payload)}
	if a.functionError != "" {
		out.FunctionError = aws.String(a.functionError)
	}
	return out, ctx.Err()
}

func handler(b *blue) *relay.Handler {
	return &relay.Handler{
		Identity: reply.Identity{Version: "v2", Region: "eu-central-1", Side: "green"},
		Blue:     &relay.Function{ARN: target, Client: b}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now,
	}
}

func TestAnswersAndRetries(t *testing.T) {
	t.Parallel()
	ok := answer{payload: `{"statusCode":200,"headers":{"A":"b"},"multiValueHeaders":{"C":["d","e"]},"body":"hi"}`}
	throttle := answer{err: &types.TooManyRequestsException{}}
	lost := answer{err: &net.OpError{Op: "read", Err: errors.New("connection reset")}}
	refused := answer{err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
	crash := answer{payload: `{"errorMessage":"stack of blue"}`, functionError: "Unhandled"}
	tests := map[string]struct {
		method  string
		answers []answer
		status  int
		calls   int
	}{
		"ok":                       {"POST", []answer{ok}, 200, 1},
		"GET retries a lost reply": {"GET", []answer{lost, ok}, 200, 2},
		"HEAD does too":            {"HEAD", []answer{lost, ok}, 200, 2},
		"POST does not":            {"POST", []answer{lost, ok}, 502, 1},
		"POST, refused connection": {"POST", []answer{refused, ok}, 200, 2},
		"POST, throttled":          {"POST", []answer{throttle, ok}, 200, 2},
		"throttled twice":          {"POST", []answer{throttle}, 503, 2},
		"one retry only":           {"GET", []answer{lost}, 502, 2},
		"POST, crash":              {"POST", []answer{crash}, 502, 1},
		"timeout":                  {"POST", []answer{{err: context.DeadlineExceeded}}, 503, 1},
		"not an answer":            {"POST", []answer{{payload: `"hello"`}}, 502, 1},
		"no status":                {"POST", []answer{{payload: `{}`}}, 502, 1},
		"null headers":             {"POST", []answer{{payload: `{"statusCode":204,"headers":null}`}}, 204, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &blue{answers: tt.answers}
			event := `{ "httpMethod":"` + tt.method + `", "unknown" : 1.0,"requestContext":{"requestId":"r1"} }`
			payload, err := handler(b).Invoke(t.Context(), []byte(event))
			if err != nil {
				t.Fatal(err)
			}
			var got events.APIGatewayProxyResponse
			if err := json.Unmarshal(payload, &got); err != nil {
				t.Fatal(err)
			}
			if got.StatusCode != tt.status || len(b.calls) != tt.calls {
				t.Errorf("status %d after %d calls, want %d after %d: %s", got.StatusCode, len(b.calls), tt.status, tt.calls, got.Body)
			}
			if got.Headers["X-Tapctl-Via"] != "forward" {
				t.Errorf("headers %v do not say the answer was relayed", got.Headers)
			}
			if (tt.status == 503) != (got.Headers["Retry-After"] != "") {
				t.Errorf("status %d with Retry-After %q", tt.status, got.Headers["Retry-After"])
			}
			for _, call := range b.calls {
				if string(call.Payload) != event || *call.FunctionName != target {
					t.Errorf("relayed %s to %s", call.Payload, *call.FunctionName)
				}
			}
		})
	}
}

func TestTheAnswerIsOtherwiseUntouched(t *testing.T) {
	t.Parallel()
	b := &blue{answers: []answer{{payload: `{"statusCode":201,"headers":{"A":"b"},"multiValueHeaders":{"C":["d","e"]},"body":"aGk=","isBase64Encoded":true}`}}}
	payload, err := handler(b).Invoke(t.Context(), []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"statusCode":201,"headers":{"A":"b","X-Tapctl-Via":"forward"},"multiValueHeaders":{"C":["d","e"]},"body":"aGk=","isBase64Encoded":true}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A page may be as large as Lambda takes: what makes it larger on its way loses
// it.
func TestAPageStaysAsLargeAsItIs(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("<&>", 1000)
	b := &blue{answers: []answer{{payload: `{"statusCode":200,"headers":{"Link":"<a>"},"body":"` + page + `"}`}}}
	payload, err := handler(b).Invoke(t.Context(), []byte(`{"httpMethod":"GET"}`))
	if err != nil {
		t.Fatal(err)
	}
	if limit := len(b.answers[0].payload) + len(`,"X-Tapctl-Via":"forward"`); len(payload) > limit || !strings.Contains(string(payload), page) {
		t.Errorf("%d bytes of %d: %.80s", len(payload), limit, payload)
	}
}

func TestNothingOfBlueLeaks(t *testing.T) {
	t.Parallel()
	b := &blue{answers: []answer{{payload: `{"errorMessage":"stack of blue"}`, functionError: "Unhandled"}}}
	payload, err := handler(b).Invoke(t.Context(), []byte(`{"httpMethod":"POST","requestContext":{"requestId":"r1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got events.APIGatewayProxyResponse
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if want := `{"error":{"code":"bad_gateway","message":"The request could not be served.","request_id":"r1"}}`; got.Body != want {
		t.Errorf("body %s, want %s", got.Body, want)
	}
}

func TestTheDeadlineIsKept(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(100*time.Millisecond)) // inside the margin: already over
	defer cancel()
	b := &blue{answers: []answer{{payload: `{"statusCode":200}`}}}
	payload, err := handler(b).Invoke(ctx, []byte(`{"httpMethod":"GET"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got events.APIGatewayProxyResponse
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	if got.StatusCode != 503 || len(b.calls) != 1 {
		t.Errorf("status %d after %d calls", got.StatusCode, len(b.calls))
	}
}

func TestRegion(t *testing.T) {
	t.Parallel()
	if region, err := relay.Region(target); err != nil || region != "eu-west-1" {
		t.Errorf("Region = %q, %v", region, err)
	}
	for _, bad := range []string{"", "api:live", "arn:aws:lambda:eu-west-1:000000000000:function:api", "arn:aws:sns:eu-west-1:0:function:api:live"} {
		if _, err := relay.Region(bad); err == nil {
			t.Errorf("Region(%q) is accepted", bad)
		}
	}
}
