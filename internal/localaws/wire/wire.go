// Package wire is what the services of the embedded AWS share on the wire:
// who is calling (the signature's scope tells service and region apart on one
// port), and errors in the shape each AWS protocol gives them.
//
// It holds no state and knows no service.
package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Call is what the front of the endpoint learned about one request.
type Call struct {
	Service     string // as in the signature's scope: "dynamodb", "monitoring", "route53"
	Region      string // as in the signature's scope: "eu-west-1"
	AccessKeyID string
	RequestID   string
	Now         time.Time // the embedded AWS's clock when the request arrived
}

type callKey struct{}

// NewContext returns a context that carries the call.
func NewContext(ctx context.Context, call Call) context.Context {
	return context.WithValue(ctx, callKey{}, call)
}

// FromContext returns the call of the request being served, or the zero Call.
func FromContext(ctx context.Context) Call {
	call, _ := ctx.Value(callKey{}).(Call)
	return call
}

// Account is the one account of the embedded AWS.
const Account = "000000000000"

// Scope reads service, region and access key from a Signature Version 4
// request, header or query. The signature itself is not checked: the embedded
// AWS accepts any dummy credentials.
func Scope(r *http.Request) (service, region, accessKeyID string, err error) {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if header := r.Header.Get("Authorization"); header != "" {
		_, rest, found := strings.Cut(header, "Credential=")
		if !found {
			return "", "", "", Errorf(http.StatusForbidden, "IncompleteSignature", "Authorization header requires 'Credential' parameter.")
		}
		credential, _, _ = strings.Cut(rest, ",")
	}
	if credential == "" {
		return "", "", "", Errorf(http.StatusForbidden, "MissingAuthenticationToken", "Missing Authentication Token")
	}
	if plain, err := url.QueryUnescape(credential); err == nil {
		credential = plain
	}
	parts := strings.Split(strings.TrimSpace(credential), "/")
	if len(parts) < 5 || parts[len(parts)-1] != "aws4_request" {
		return "", "", "", Errorf(http.StatusForbidden, "IncompleteSignature", "Credential %q is not a scope of five parts", credential)
	}
	n := len(parts)
	return parts[n-2], parts[n-3], strings.Join(parts[:n-4], "/"), nil
}

// Error is an AWS service error, before a protocol gives it its shape.
type Error struct {
	Status  int    // HTTP status
	Code    string // "ResourceNotFoundException"
	Message string
	// Fields are further members of the error's JSON or CBOR body, for
	// errors that carry data (DynamoDB's CancellationReasons, Item).
	Fields map[string]any
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s (HTTP %d)", e.Code, e.Message, e.Status) }

// Errorf makes an AWS error.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError returns err as an AWS error; anything else becomes InternalFailure.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(http.StatusInternalServerError, "InternalFailure", "%v", err)
}
