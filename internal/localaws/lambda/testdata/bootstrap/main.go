// Command bootstrap is a function that misbehaves in the way its event says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct{ Do string }

type seen struct {
	PID       int
	Env       []string
	ARN       string
	RequestID string
	LeftMS    int64
}

func handle(ctx context.Context, e event) (any, error) {
	switch e.Do {
	case "exit":
		os.Exit(3)
	case "error":
		return nil, errors.New("refused by the function")
	case "hang":
		<-make(chan struct{})
	case "wait":
		time.Sleep(200 * time.Millisecond)
	case "large":
		return strings.Repeat("x", 7<<20), nil
	case "print":
		fmt.Println("printed by the function")
	}
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return seen{os.Getpid(), os.Environ(), lc.InvokedFunctionArn, lc.AwsRequestID, time.Until(deadline).Milliseconds()}, nil
}

func main() {
	if os.Getenv("FAIL_INIT") != "" {
		os.Exit(4)
	}
	lambda.Start(handle)
}
