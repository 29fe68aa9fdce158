package wire

import "context"

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
