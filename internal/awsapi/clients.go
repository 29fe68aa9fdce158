// Package awsapi is the only product package that imports the AWS SDK: thin
// adapters for the ports of cutover and health, and the lookups deploy needs.
// Errors are classified here, before anything wraps them.
package awsapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
)

// globalRegion signs calls to services that have one endpoint for the world;
// Route 53's control plane is there.
const globalRegion = "us-east-1"

// Clients makes service clients, one a region.
type Clients struct {
	base  aws.Config
	calls *atomic.Int64
	// oneAddress is set where one address serves everything: there is no DNS
	// name for each bucket, nor for the hosts that the SDK puts a prefix to.
	oneAddress bool
	peek       *peek
	// patient waits for an answer as long as the call's context does.
	patient aws.HTTPClient
}

// Calls is how many requests were sent to AWS, retries included.
func (c *Clients) Calls() int { return int(c.calls.Load()) }

// retryTries is the SDK's budget per call. Three, its default, is too few for
// a rollback: throttling of Route 53 is 5 requests a second for the account.
const (
	retryTries    = 10
	retryMaxDelay = 5 * time.Second
)

// The bounds of one try, real time. Without them a connection that has gone
// silent would use up the time of a whole call, which has more tries.
const (
	dialTimeout   = 3 * time.Second
	answerTimeout = 5 * time.Second
)

// Load reads credentials from the usual chain and points the clients at
// aws.endpoint_url where one is set.
func Load(ctx context.Context, c config.AWS) (*Clients, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(globalRegion),
		// Not a plain http.Client: AWS_CA_BUNDLE is refused with one.
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().
			WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
			WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerTimeout })),
		// The SDK's own warnings (a connection that ends with its context) say
		// nothing to an operator; what fails is returned as an error.
		awsconfig.WithLogger(logging.Nop{}),
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = retryTries
				o.MaxBackoff = retryMaxDelay
				// The client-side token bucket would stop retrying just when
				// AWS has trouble, which is when a rollback needs it.
				o.RateLimiter = unlimited{}
			})
		}),
	}
	if c.EndpointURL != "" {
		options = append(options, awsconfig.WithBaseEndpoint(c.EndpointURL))
	}
	base, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	look := chain(options)
	cache := aws.NewCredentialsCache(look)
	base.Credentials = cache
	calls := &atomic.Int64{}
	base.APIOptions = append(base.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Add(renew(cache), middleware.After)
	}, func(stack *middleware.Stack) error {
		// After the retry loop's own step, so that every try is counted.
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("tapctl:CountCalls",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				calls.Add(1)
				return next.HandleFinalize(ctx, in)
			}), middleware.After)
	})
	patient := base.HTTPClient
	if client, ok := patient.(*awshttp.BuildableClient); ok { // AWS_CA_BUNDLE included
		patient = client.WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = 0 })
	}
	return &Clients{base, calls, c.EndpointURL != "", &peek{chain: look, cache: cache, last: clock.Real{}.Now()}, patient}, nil
}

type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (unlimited) AddTokens(uint) error { return nil }

func (c *Clients) in(region string) aws.Config {
	cfg := c.base.Copy()
	cfg.Region = region
	return cfg
}

// STS is the security token service.
func (c *Clients) STS(region string) *sts.Client { return sts.NewFromConfig(c.in(region)) }

// Route53 is the one Route 53.
func (c *Clients) Route53() *route53.Client { return route53.NewFromConfig(c.in(globalRegion)) }

// APIGateway is that of the region.
func (c *Clients) APIGateway(region string) *apigateway.Client {
	return apigateway.NewFromConfig(c.in(region))
}

// Lambda is that of the region.
func (c *Clients) Lambda(region string) *lambda.Client { return lambda.NewFromConfig(c.in(region)) }

// CloudWatch is that of the region.
func (c *Clients) CloudWatch(region string) *cloudwatch.Client {
	return cloudwatch.NewFromConfig(c.in(region))
}

// DynamoDB is that of the region.
func (c *Clients) DynamoDB(region string) *dynamodb.Client {
	return dynamodb.NewFromConfig(c.in(region))
}

// S3 is that of the region.
func (c *Clients) S3(region string) *s3.Client {
	return s3.NewFromConfig(c.in(region), func(o *s3.Options) { o.UsePathStyle = c.oneAddress })
}

// SecretsManager is that of the region.
func (c *Clients) SecretsManager(region string) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(c.in(region))
}

// IAM is the one IAM.
func (c *Clients) IAM() *iam.Client { return iam.NewFromConfig(c.in(globalRegion)) }

// KMS is that of the region.
func (c *Clients) KMS(region string) *kms.Client { return kms.NewFromConfig(c.in(region)) }

// Logs is CloudWatch Logs of the region. Two Live Tail sessions need a client
// each: those of one client share a decoder without a lock (smithy-go v1.28.9).
func (c *Clients) Logs(region string) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(c.in(region), func(o *cloudwatchlogs.Options) {
		if c.oneAddress {
			o.APIOptions = append(o.APIOptions, withoutHostPrefix)
		}
	})
}

// withoutHostPrefix sends what the SDK would send to stream-HOST, which is how
// Live Tail is reached, to the host that is configured.
func withoutHostPrefix(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("tapctl:WithoutHostPrefix",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
		}), middleware.Before)
}
