// Package relay hands a proxy event to blue and returns blue's answer. It is how
// a request that entered green is still answered by blue: by a function of
// another region (Function), or over HTTPS where blue is somebody else's
// (Site).
package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/function/internal/reply"
)

// Invoker is what a relay needs of the Lambda client. It must not retry: the
// relay knows which requests may run twice, the client does not.
type Invoker interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Region is the region of a qualified function ARN. An unqualified one is
// refused: the newest code is not what users were promised.
func Region(functionARN string) (string, error) {
	parts := strings.Split(functionARN, ":")
	if len(parts) != 8 || parts[0] != "arn" || parts[2] != "lambda" || parts[5] != "function" || parts[3] == "" || parts[7] == "" {
		return "", fmt.Errorf("function ARN %q: want arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER", functionARN)
	}
	return parts[3], nil
}

// IdleTimeout is how long a connection to blue may be unused, by the wall clock:
// Lambda freezes an environment between two requests for longer than servers
// keep a connection, and one that blue has closed fails the request that is
// written to it. Some servers keep one for 5 s only.
const IdleTimeout = 3 * time.Second

// deadlineMargin is kept from the function's own deadline for the answer.
const deadlineMargin = 250 * time.Millisecond

// Blue answers events.
type Blue interface {
	// Send hands the event over and returns the proxy answer as JSON. It makes
	// one try.
	Send(ctx context.Context, event []byte) ([]byte, error)
	// String names blue for the log.
	String() string
}

// Handler relays events to blue.
type Handler struct {
	Identity reply.Identity
	Blue     Blue
	Log      *slog.Logger
	Now      func() time.Time
}

// Invoke implements lambda.Handler of aws-lambda-go.
func (h *Handler) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	start := h.Now()
	request := h.read(ctx, event)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-deadlineMargin))
		defer cancel()
	}
	answer, status, err := h.relay(ctx, event, request)
	level, attributes := slog.LevelInfo, []slog.Attr{
		slog.String("request_id", request.id), slog.String("method", request.method), slog.String("path", request.path),
		slog.Int("status", status), slog.Int64("duration_ms", h.Now().Sub(start).Milliseconds()), slog.String("target", h.Blue.String()),
	}
	if err != nil {
		level, attributes = slog.LevelError, append(attributes, slog.String("error", err.Error()))
	}
	h.Log.LogAttrs(ctx, level, "relay", attributes...)
	return answer, nil
}

type request struct {
	method, path, id, functionARN string
}

func (r request) idempotent() bool {
	return r.method == http.MethodGet || r.method == http.MethodHead
}

func (h *Handler) read(ctx context.Context, event []byte) request {
	var seen struct {
		HTTPMethod     string `json:"httpMethod"`
		Path           string `json:"path"`
		RequestContext struct {
			RequestID string `json:"requestId"`
		} `json:"requestContext"`
	}
	// Non-fatal: an event that cannot be read is still the target's to judge;
	// without a method it is not retried.
	_ = json.Unmarshal(event, &seen)
	r := request{method: seen.HTTPMethod, path: seen.Path, id: seen.RequestContext.RequestID}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.functionARN = lc.InvokedFunctionArn
		if r.id == "" {
			r.id = lc.AwsRequestID
		}
	}
	return r
}

// relay returns the answer to give, its status and what went wrong.
func (h *Handler) relay(ctx context.Context, event []byte, r request) ([]byte, int, error) {
	out, err := h.Blue.Send(ctx, event)
	if err != nil && ctx.Err() == nil && (r.idempotent() || neverRan(err)) {
		h.Log.LogAttrs(ctx, slog.LevelWarn, "relay again", slog.String("request_id", r.id), slog.String("error", err.Error()))
		out, err = h.Blue.Send(ctx, event)
	}
	if err == nil {
		answer, status, badAnswer := mark(out)
		if badAnswer == nil {
			return answer, status, nil
		}
		err = badAnswer
	}
	failure := classify(ctx, err)
	headers := h.Identity.Headers(r.functionARN, r.id)
	headers[viaHeader] = via
	answer := reply.Error(failure, headers, r.id)
	if r.method == http.MethodHead {
		answer.Body = ""
	}
	encoded, marshalErr := json.Marshal(answer)
	return encoded, failure.Status, errors.Join(err, marshalErr)
}

// functionError is the target failing by itself.
type functionError struct{ kind, payload string }

// Error implements error.
func (e *functionError) Error() string { return "target function failed: " + e.kind + ": " + e.payload }

// Function is blue as a function of another region. The event's bytes go to it
// as they came.
type Function struct {
	ARN    string // qualified
	Client Invoker
}

// String implements Blue.
func (f *Function) String() string { return f.ARN }

// Send implements Blue.
func (f *Function) Send(ctx context.Context, event []byte) ([]byte, error) {
	out, err := f.Client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(f.ARN), InvocationType: types.InvocationTypeRequestResponse, Payload: event,
	})
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", f.ARN, err)
	}
	if out.FunctionError != nil {
		return nil, &functionError{*out.FunctionError, string(out.Payload)}
	}
	return out.Payload, nil
}

// neverRan: a refused call and a connection that was never made did not run
// the function, so that even a POST may be sent again.
func neverRan(err error) bool {
	if throttled(err) {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func throttled(err error) bool {
	if _, ok := errors.AsType[*types.TooManyRequestsException](err); ok {
		return true
	}
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && (api.ErrorCode() == "ThrottlingException" || api.ErrorCode() == "Throttling")
}

func classify(ctx context.Context, err error) *reply.Failure {
	if own, ok := errors.AsType[*reply.Failure](err); ok {
		return own
	}
	var timeout net.Error
	switch {
	case throttled(err), ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &reply.Failure{
			Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "The request could not be served in time. Try again.",
			Headers: map[string]string{"Retry-After": "1"},
		}
	default:
		return &reply.Failure{Status: http.StatusBadGateway, Code: "bad_gateway", Message: "The request could not be served."}
	}
}

const (
	viaHeader = "X-Tapctl-Via"
	via       = "forward"
)

// mark adds the header that tells a relayed answer from a direct one, and
// leaves everything else of the answer as it is.
func mark(payload []byte) (answer []byte, status int, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return nil, 0, fmt.Errorf("read the target's answer: %w", err)
	}
	if err := json.Unmarshal(members["statusCode"], &status); err != nil || status < 100 || status > 599 {
		return nil, 0, fmt.Errorf("read the target's answer: statusCode %s is not an HTTP status", members["statusCode"])
	}
	headers := map[string]any{}
	if raw, given := members["headers"]; given {
		if err := json.Unmarshal(raw, &headers); err != nil {
			return nil, 0, fmt.Errorf("read the target's answer: headers: %w", err)
		}
	}
	if headers == nil { // "headers": null
		headers = map[string]any{}
	}
	headers[viaHeader] = via
	if members["headers"], err = encode(headers); err != nil {
		return nil, 0, err
	}
	answer, err = encode(members)
	return answer, status, err
}

// encode is json.Marshal without the escaping for HTML, which makes six bytes of
// each < > &: a page that fits Lambda's limit would no longer.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}
