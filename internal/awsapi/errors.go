package awsapi

import (
	"errors"
	"fmt"
	"net"

	"github.com/aws/smithy-go"
)

// Trouble is an AWS call that failed, with what the operator can do about it.
type Trouble struct {
	Step  string // what tapctl was doing
	Kind  TroubleKind
	Cause error
}

// TroubleKind classifies a failed call.
type TroubleKind string

// The kinds of trouble.
const (
	Expired     TroubleKind = "credentials have expired"
	Denied      TroubleKind = "access denied"
	NoAnswer    TroubleKind = "the AWS endpoint does not answer"
	NoIdentity  TroubleKind = "there are no usable credentials"
	OtherFailed TroubleKind = "the call failed"
)

// Error implements error.
func (t *Trouble) Error() string {
	if t.Kind == OtherFailed {
		return fmt.Sprintf("%s: %v", t.Step, t.Cause)
	}
	return fmt.Sprintf("%s: %s: %v", t.Step, t.Kind, t.Cause)
}

// Unwrap gives the cause.
func (t *Trouble) Unwrap() error { return t.Cause }

// Hint is the next command to type.
func (t *Trouble) Hint() string {
	switch t.Kind {
	case Expired, NoIdentity:
		return "renew the credentials, check them with 'aws sts get-caller-identity', then run the same command again"
	case Denied:
		return "the role lacks a right; compare it with docs/infrastructure.md"
	case NoAnswer:
		return "check the network and aws.endpoint_url; for the embedded AWS run: tapctl local up"
	case OtherFailed:
		return ""
	default:
		return ""
	}
}

// trouble classifies err; nil stays nil.
func trouble(step string, err error) error {
	if err == nil {
		return nil
	}
	return &Trouble{Step: step, Kind: classify(err), Cause: err}
}

func classify(err error) TroubleKind {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
			return Expired
		case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation":
			return Denied
		case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "MissingAuthenticationToken":
			return NoIdentity
		default:
			return OtherFailed
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return NoAnswer
	}
	if _, ok := errors.AsType[*smithy.CanceledError](err); ok {
		return NoAnswer
	}
	return OtherFailed
}

// code is the AWS error code, "" where there is none.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
