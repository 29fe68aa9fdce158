package awsapi

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/middleware"
)

// expirationVariable is when the credentials in the environment expire, as
// many tools that put them there say; the SDK does not read it.
const expirationVariable = "AWS_CREDENTIAL_EXPIRATION"

// renewing are the sources that the SDK asks again by itself when credentials
// are about to expire, for as long as the process lives.
var renewing = map[string]bool{
	"AssumeRoleProvider": true, "EC2RoleProvider": true, "CredentialsEndpointProvider": true, "ProcessProvider": true,
}

// CredentialsEnd is when the credentials cannot be used any more, zero where
// that is not known or the SDK renews them by itself.
func (c *Clients) CredentialsEnd(ctx context.Context) time.Time {
	if c.base.Credentials == nil {
		return time.Time{}
	}
	found, err := c.base.Credentials.Retrieve(ctx)
	if err != nil {
		return time.Time{} // Non-fatal: the calls themselves will say so.
	}
	return credentialsEnd(found, os.Getenv(expirationVariable))
}

func credentialsEnd(found aws.Credentials, variable string) time.Time {
	switch {
	case found.CanExpire && !renewing[found.Source]:
		return found.Expires
	case found.Source == "EnvConfigCredentials":
		end, err := time.Parse(time.RFC3339, variable)
		if err != nil {
			return time.Time{}
		}
		return end
	default:
		return time.Time{}
	}
}

// chain is the SDK's usual search for credentials, begun anew each time it is
// asked: a CI job that renews them writes a file or answers a process, and a
// shift outlives what it started with.
func chain(options []func(*awsconfig.LoadOptions) error) *aws.CredentialsCache {
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		fresh, err := awsconfig.LoadDefaultConfig(ctx, options...)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("look for credentials: %w", err)
		}
		return fresh.Credentials.Retrieve(ctx)
	}))
}

// renewed marks a call that failed for expired credentials as worth a retry:
// others were found since.
type renewed struct{ cause error }

func (r *renewed) Error() string        { return r.cause.Error() }
func (r *renewed) Unwrap() error        { return r.cause }
func (r *renewed) RetryableError() bool { return true }

// renew looks for credentials again when AWS says that those in use have
// expired. The same ones again are no reason to try again.
func renew(cache *aws.CredentialsCache) middleware.FinalizeMiddleware {
	return middleware.FinalizeMiddlewareFunc("tapctl:RenewCredentials",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			used, _ := cache.Retrieve(ctx) // cached: nothing is asked
			out, metadata, err := next.HandleFinalize(ctx, in)
			if classify(err) != Expired {
				return out, metadata, err
			}
			cache.Invalidate()
			found, lookErr := cache.Retrieve(ctx)
			if lookErr == nil && (found.AccessKeyID != used.AccessKeyID || found.SessionToken != used.SessionToken) {
				err = &renewed{err}
			}
			return out, metadata, err
		})
}
