package awsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Invoke sends a GET to an alias of a function, in the shape that API Gateway
// would, past API Gateway: no user can be hit. The status is the function's,
// 502 where it failed without one, as API Gateway would answer.
// It takes as long as ctx lets it, and is invoked once.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
func (c *Clients) Invoke(ctx context.Context, region, function, alias, path string) (status int, err error) {
	event, err := json.Marshal(map[string]any{
		"resource": "/{proxy+}", "httpMethod": "GET", "path": path, "headers": map[string]string{"User-Agent": "tapctl-preflight"},
		"requestContext": map[string]any{"requestId": "tapctl-preflight", "stage": "prod", "httpMethod": "GET", "path": path},
	})
	if err != nil {
		return 0, err
	}
	out, err := c.Lambda(region).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Qualifier: &alias, Payload: event}, c.once)
	if err != nil {
		return 0, trouble(fmt.Sprintf("invoke %s:%s in %s", function, alias, region), err)
	}
	const badGateway = 502
	var answer struct {
		Status int `json:"statusCode"`
	}
	if aws.ToString(out.FunctionError) != "" || json.Unmarshal(out.Payload, &answer) != nil || answer.Status == 0 {
		return badGateway, nil
	}
	return answer.Status, nil
}

// once lets an invocation take its time, and tries again only what has not run:
// what answered too late or not at all is what the caller wants to know.
func (c *Clients) once(o *lambda.Options) {
	o.HTTPClient = c.patient
	o.Retryer = retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts, s.MaxBackoff, s.RateLimiter = retryTries, retryMaxDelay, unlimited{}
		s.Retryables = []retry.IsErrorRetryable{
			retry.RetryableErrorCode{Codes: retry.DefaultThrottleErrorCodes},
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
					return aws.TrueTernary
				}
				return aws.UnknownTernary
			}),
		}
	})
}
