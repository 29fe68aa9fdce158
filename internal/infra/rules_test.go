package infra_test

import (
	"testing"

	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// Route 53, ACM and the rest of the embedded AWS answer on one endpoint.
func TestEndpointReachesEveryService(t *testing.T) {
	t.Parallel()
	redirect := func(in *infra.CellInput) { in.Config.AWS.EndpointURL = "http://127.0.0.1:4566" }
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green, redirect)))
	list, _ := w.endpoints[greenRegion].([]any)
	if len(list) != 1 {
		t.Fatalf("endpoints: %v", w.endpoints)
	}
	want := map[string]any{}
	for _, service := range []string{"acm", "apigateway", "cloudwatch", "cloudwatchlogs", "dynamodb", "iam", "kms", "lambda", "route53", "s3", "secretsmanager", "sts"} {
		want[service] = "http://127.0.0.1:4566"
	}
	same(t, "endpoints", want, list[0].(map[string]any))
	if w := provision(t, infra.CellProgram(cellInput(t, topology.Green))); w.endpoints[greenRegion] != nil {
		t.Errorf("real AWS has endpoints: %v", w.endpoints)
	}
}
