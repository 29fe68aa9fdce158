package main

import (
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapctl/tapctl/function/internal/relay"
)

// A connection that Lambda's side has closed while this environment was frozen
// would fail a POST.
func TestIdleConnectionsToLambdaAreForgotten(t *testing.T) {
	t.Parallel()
	blue, err := target(t.Context(), "arn:aws:lambda:eu-west-1:000000000000:function:api:live", "", "")
	if err != nil {
		t.Fatal(err)
	}
	client := blue.(*relay.Function).Client.(*awslambda.Client)
	got := client.Options().HTTPClient.(*awshttp.BuildableClient).GetTransport().IdleConnTimeout
	if got != relay.IdleTimeout {
		t.Errorf("connections are kept for %v, want %v", got, relay.IdleTimeout)
	}
}
