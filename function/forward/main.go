// Command forward is the Lambda function behind the base side of green's
// stage: it hands every request to blue's function across regions. This file
// only wires; see internal/relay.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
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
	target := os.Getenv("FORWARD_FUNCTION_ARN")
	region, err := relay.Region(target)
	if err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
	if err != nil {
		return err
	}
	lambda.Start(&relay.Handler{
		Identity: reply.Identity{
			Version: os.Getenv("TAPCTL_VERSION"), Region: os.Getenv("AWS_REGION"), Side: os.Getenv("TAPCTL_SIDE"),
		},
		Target: target, Client: awslambda.NewFromConfig(cfg), Log: log, Now: time.Now,
	})
	return nil
}
