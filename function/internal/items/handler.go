// Package items is the application behind the API: it reads and writes items
// of one table and answers API Gateway's REST proxy events. It knows nothing
// of deployments; the headers of reply.Identity are all it says about itself.
package items

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/tapctl/tapctl/function/internal/reply"
	"github.com/tapctl/tapctl/function/internal/secret"
)

// Errors of a Table.
var (
	ErrNotFound = errors.New("no such item")
	ErrExists   = errors.New("item exists")
)

// Item is one stored document. Fields is a JSON object without "id".
type Item struct {
	ID        string
	CreatedAt time.Time
	Fields    map[string]json.RawMessage
	// Signature is by the version SignedBy of the secret; both are "" for an
	// item that was written while there was none. They are not shown.
	Signature, SignedBy string
}

// Table stores items.
type Table interface {
	Get(ctx context.Context, id string) (Item, error)
	// List returns up to limit items in the order of their ids, those after
	// the id after. more says whether there are others.
	List(ctx context.Context, limit int32, after string) (items []Item, more bool, err error)
	// Create fails with ErrExists rather than replace an item.
	Create(ctx context.Context, item Item) error
}

// deadlineMargin is kept from the function's own deadline, so that a slow
// table ends in an answer and not in Lambda killing the function.
const deadlineMargin = 250 * time.Millisecond

// Handler answers the API's requests.
type Handler struct {
	Identity reply.Identity
	Table    Table
	Secret   *secret.Cache // nil: items are not signed
	Log      *slog.Logger
	Now      func() time.Time
	NewID    func() string
}

// Serve answers one proxy event. It never returns an error: a failure is an
// answer too, and its cause goes to the log.
func (h *Handler) Serve(ctx context.Context, event events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	start := h.Now()
	functionARN, requestID := "", event.RequestContext.RequestID
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		functionARN = lc.InvokedFunctionArn
		if requestID == "" {
			requestID = lc.AwsRequestID
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-deadlineMargin))
		defer cancel()
	}
	headers := h.Identity.Headers(functionARN, requestID)
	response, cause := h.answer(ctx, event, headers, requestID)
	if event.HTTPMethod == http.MethodHead {
		response.Body = ""
	}
	attributes := []slog.Attr{
		slog.String("request_id", requestID), slog.String("method", event.HTTPMethod), slog.String("path", event.Path),
		slog.Int("status", response.StatusCode), slog.Int64("duration_ms", h.Now().Sub(start).Milliseconds()),
		slog.String("version", h.Identity.Version), slog.String("alias", headers["X-Tapctl-Alias"]),
	}
	level := slog.LevelInfo
	if cause != nil {
		attributes = append(attributes, slog.String("error", cause.Error()))
		if response.StatusCode >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	h.Log.LogAttrs(ctx, level, "request", attributes...)
	return response, nil
}

func (h *Handler) answer(ctx context.Context, event events.APIGatewayProxyRequest, headers map[string]string, requestID string) (events.APIGatewayProxyResponse, error) {
	status, body, err := h.route(ctx, event)
	if err == nil {
		return reply.JSON(status, headers, body), nil
	}
	failure, ok := errors.AsType[*reply.Failure](err)
	if !ok {
		failure = &reply.Failure{Status: http.StatusInternalServerError, Code: "internal", Message: "The request could not be served."}
	}
	return reply.Error(failure, headers, requestID), err
}

// operation is one method of one route.
type operation func(context.Context, events.APIGatewayProxyRequest) (status int, body any, err error)

func (h *Handler) route(ctx context.Context, event events.APIGatewayProxyRequest) (int, any, error) {
	path := strings.TrimSuffix(event.Path, "/")
	var read, write operation
	switch {
	case path == "/healthz":
		read = h.healthz
	case path == "/items":
		read, write = h.list, h.create
	case strings.HasPrefix(path, "/items/"):
		id := strings.TrimPrefix(path, "/items/")
		read = func(ctx context.Context, _ events.APIGatewayProxyRequest) (int, any, error) { return h.get(ctx, id) }
	default:
		return 0, nil, &reply.Failure{Status: http.StatusNotFound, Code: "not_found", Message: "There is nothing at this path."}
	}
	allow := "GET, HEAD"
	if write != nil {
		allow += ", POST"
	}
	switch {
	case event.HTTPMethod == http.MethodGet, event.HTTPMethod == http.MethodHead:
		return read(ctx, event)
	case event.HTTPMethod == http.MethodPost && write != nil:
		return write(ctx, event)
	default:
		return 0, nil, &reply.Failure{
			Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "This path takes " + allow + ".",
			Headers: map[string]string{"Allow": allow},
		}
	}
}

// healthz is asked by health checkers several times a second, so it only
// touches the table when told to.
func (h *Handler) healthz(ctx context.Context, event events.APIGatewayProxyRequest) (int, any, error) {
	if event.QueryStringParameters["deep"] == "1" {
		if _, err := h.Table.Get(ctx, "healthz"); err != nil && !errors.Is(err, ErrNotFound) {
			return 0, nil, err
		}
	}
	body := map[string]string{
		"status": "ok", "version": h.Identity.Version, "region": h.Identity.Region, "side": h.Identity.Side,
	}
	if h.Secret != nil {
		body["secret"] = h.secretState(ctx)
	}
	return http.StatusOK, body, nil
}

func (h *Handler) get(ctx context.Context, id string) (int, any, error) {
	if !validID(id) {
		return 0, nil, badRequest("The id is not valid.")
	}
	item, err := h.Table.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return 0, nil, &reply.Failure{Status: http.StatusNotFound, Code: "not_found", Message: "There is no item with this id."}
	}
	if err != nil {
		return 0, nil, err
	}
	h.verify(ctx, item)
	return http.StatusOK, render(item), nil
}

func (h *Handler) list(ctx context.Context, event events.APIGatewayProxyRequest) (int, any, error) {
	page, err := parsePage(event.QueryStringParameters)
	if err != nil {
		return 0, nil, err
	}
	items, more, err := h.Table.List(ctx, page.limit, page.after)
	if err != nil {
		return 0, nil, err
	}
	body := struct {
		Items []any  `json:"items"`
		Next  string `json:"next,omitempty"`
	}{Items: make([]any, 0, len(items))}
	h.verify(ctx, items...)
	for _, item := range items {
		body.Items = append(body.Items, render(item))
	}
	if more && len(items) > 0 {
		body.Next = cursor(items[len(items)-1].ID)
	}
	return http.StatusOK, body, nil
}

func (h *Handler) create(ctx context.Context, event events.APIGatewayProxyRequest) (int, any, error) {
	item, err := parseItem(event)
	if err != nil {
		return 0, nil, err
	}
	if item.ID == "" {
		item.ID = h.NewID()
	}
	item.CreatedAt = h.Now().UTC()
	if err := h.sign(ctx, &item); err != nil {
		return 0, nil, err
	}
	err = h.Table.Create(ctx, item)
	if errors.Is(err, ErrExists) {
		return 0, nil, &reply.Failure{Status: http.StatusConflict, Code: "conflict", Message: "There is already an item with this id."}
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, render(item), nil
}

func render(item Item) map[string]any {
	body := make(map[string]any, len(item.Fields)+2)
	for name, value := range item.Fields {
		body[name] = value
	}
	body["id"] = item.ID
	body["created_at"] = item.CreatedAt.Format(time.RFC3339Nano)
	return body
}
