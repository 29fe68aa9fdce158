// Command api is the application's Lambda function: it serves items from one
// DynamoDB table behind API Gateway. This file only wires; see internal/items.
package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/tapctl/tapctl/function/internal/items"
	"github.com/tapctl/tapctl/function/internal/reply"
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
	handler := &items.Handler{
		Identity: reply.Identity{
			Version: os.Getenv("TAPCTL_VERSION"), Region: os.Getenv("AWS_REGION"), Side: os.Getenv("TAPCTL_SIDE"),
		},
		Table: items.DynamoTable{Client: dynamodb.NewFromConfig(cfg), Name: os.Getenv("TABLE_NAME")},
		Log:   log,
		Now:   time.Now,
		NewID: rand.Text,
	}
	lambda.Start(handler.Serve)
}
