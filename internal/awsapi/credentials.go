package awsapi

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/middleware"

	"github.com/tapctl/tapctl/internal/clock"
)

// expirationVariable is when the credentials in the environment expire, as
// many tools that put them there say; the SDK does not read it.
const expirationVariable = "AWS_CREDENTIAL_EXPIRATION"

// renewing are the sources that the SDK asks again by itself when credentials
// are about to expire, for as long as the process lives.
var renewing = map[string]bool{
	"AssumeRoleProvider": true, "EC2RoleProvider": true, "CredentialsEndpointProvider": true, "ProcessProvider": true,
}

// peekPause is between two looks for credentials that last longer.
const peekPause = time.Minute

// peekTimeout bounds such a look, real time: the dials wait for it.
const peekTimeout = 3 * time.Second

// CredentialsEnd is when the credentials cannot be used any more, zero where
// that is not known or the SDK renews them by itself. A CI job may renew them
// before they end: once a minute they are looked for anew, and are used from
// then on where they last longer.
func (c *Clients) CredentialsEnd(ctx context.Context) time.Time {
	if c.base.Credentials == nil {
		return time.Time{}
	}
	found, err := c.base.Credentials.Retrieve(ctx)
	if err != nil {
		return time.Time{} // Non-fatal: the calls themselves will say so.
	}
	end := credentialsEnd(found, os.Getenv(expirationVariable))
	if end.IsZero() || !c.peek.due() {
		return end
	}
	look, cancel := context.WithTimeout(ctx, peekTimeout)
	defer cancel()
	fresh, err := c.peek.chain(look)
	if err != nil {
		return end // Non-fatal: those that are there are good until then.
	}
	if later := credentialsEnd(fresh, os.Getenv(expirationVariable)); later.After(end) {
		c.peek.cache.Invalidate()
		return later
	}
	return end
}

// peek looks for credentials past those in use.
type peek struct {
	chain aws.CredentialsProviderFunc
	cache *aws.CredentialsCache

	mu   sync.Mutex
	last time.Time // by the real clock
}

// due is true once in peekPause.
func (p *peek) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := clock.Real{}.Now()
	if now.Before(p.last.Add(peekPause)) {
		return false
	}
	p.last = now
	return true
}

// EndUnknown is true of a session whose credentials end without saying when.
func (c *Clients) EndUnknown(ctx context.Context) bool {
	if c.base.Credentials == nil {
		return false
	}
	found, err := c.base.Credentials.Retrieve(ctx)
	return err == nil && endUnknown(found, os.Getenv(expirationVariable))
}

func endUnknown(found aws.Credentials, variable string) bool {
	return found.SessionToken != "" && !renewing[found.Source] && credentialsEnd(found, variable).IsZero()
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
func chain(options []func(*awsconfig.LoadOptions) error) aws.CredentialsProviderFunc {
	return func(ctx context.Context) (aws.Credentials, error) {
		fresh, err := awsconfig.LoadDefaultConfig(ctx, options...)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("look for credentials: %w", err)
		}
		return fresh.Credentials.Retrieve(ctx)
	}
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
