// Command api is the application's Lambda function: it serves items from one
// DynamoDB table behind API Gateway. This file only wires; see internal/items.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/tapctl/tapctl/function/internal/items"
	"github.com/tapctl/tapctl/function/internal/reply"
	"github.com/tapctl/tapctl/function/internal/secret"
)

// attemptTimeout bounds one call to the table, so that the SDK's retries fit
// into the function's timeout.
const attemptTimeout = 1500 * time.Millisecond

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	cfg, err := config.LoadDefaultConfig(context.Background(),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(attemptTimeout)))
	if err != nil {
		log.Error("load the AWS configuration", "error", err)
		os.Exit(1)
	}
	kept, err := keep(cfg, log)
	if err != nil {
		log.Error("configure the secret", "error", err)
		os.Exit(1)
	}
	handler := &items.Handler{
		Identity: reply.Identity{
			Version: os.Getenv("TAPCTL_VERSION"), Region: os.Getenv("AWS_REGION"), Side: os.Getenv("TAPCTL_SIDE"),
		},
		Table:  items.DynamoTable{Client: dynamodb.NewFromConfig(cfg), Name: os.Getenv("TABLE_NAME")},
		Secret: kept,
		Log:    log,
		Now:    time.Now,
		NewID:  rand.Text,
	}
	lambda.Start(handler.Serve)
}

// keep is the secret named by SECRET_ARN, or nil where none is. It is read
// again after SECRET_TTL_SECONDS.
func keep(cfg aws.Config, log *slog.Logger) (*secret.Cache, error) {
	arn := os.Getenv("SECRET_ARN")
	if arn == "" {
		return nil, nil
	}
	ttl := secret.DefaultTTL
	if text := os.Getenv("SECRET_TTL_SECONDS"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 {
			return nil, fmt.Errorf("SECRET_TTL_SECONDS %q: want seconds, at least 1", text)
		}
		ttl = time.Duration(seconds) * time.Second
	}
	return &secret.Cache{Client: secretsmanager.NewFromConfig(cfg), ARN: arn, TTL: ttl, Now: time.Now, Log: log}, nil
}
