package wire

import (
	"context"
	"errors"
)

// Ask is one question to IAM: may this caller do that?
type Ask struct {
	AccessKeyID string              // of the caller's signature
	Action      string              // service:Operation
	Resource    string              // ARN
	Keys        map[string][]string // condition keys of the request, names in lower case
}

// Authorizer answers it: nil, or the *Error that AWS would answer. Services
// whose port is nil allow everything.
type Authorizer func(ctx context.Context, ask Ask) error

// Ask asks for the caller of the request being served.
func (a Authorizer) Ask(ctx context.Context, action, resource string, keys map[string][]string) error {
	if a == nil {
		return nil
	}
	return a(ctx, Ask{AccessKeyID: FromContext(ctx).AccessKeyID, Action: action, Resource: resource, Keys: keys})
}

// Denied is a refusal as services with another code or status than IAM's own
// write it; any other error stays as it is.
func Denied(err error, status int, code string) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "AccessDeniedException" {
		return Errorf(status, code, "%s", e.Message)
	}
	return err
}
