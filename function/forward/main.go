// Command forward is the Lambda function behind the base side of green's
// stage: it hands every request to blue, across regions or over HTTPS. This file
// only wires; see internal/relay.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapctl/tapctl/function/internal/relay"
	"github.com/tapctl/tapctl/function/internal/reply"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	if err := run(context.Background(), log); err != nil {
		log.Error("start", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	blue, err := target(ctx, os.Getenv("FORWARD_FUNCTION_ARN"), os.Getenv("FORWARD_URL"), os.Getenv("FORWARD_CONNECT"))
	if err != nil {
		return err
	}
	lambda.Start(&relay.Handler{
		Identity: reply.Identity{
			Version: os.Getenv("TAPCTL_VERSION"), Region: os.Getenv("AWS_REGION"), Side: os.Getenv("TAPCTL_SIDE"),
		},
		Blue: blue, Log: log, Now: time.Now,
	})
	return nil
}

// target is blue: the function, or the site.
func target(ctx context.Context, arn, url, connect string) (relay.Blue, error) {
	switch {
	case arn != "" && url != "":
		return nil, errors.New("both FORWARD_FUNCTION_ARN and FORWARD_URL are set")
	case url != "":
		return relay.NewSite(url, connect)
	}
	region, err := relay.Region(arn)
	if err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.IdleConnTimeout = relay.IdleTimeout })))
	if err != nil {
		return nil, err
	}
	return &relay.Function{ARN: arn, Client: awslambda.NewFromConfig(cfg)}, nil
}
