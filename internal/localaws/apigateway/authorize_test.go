package apigateway_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// A line that the account's role may not write is lost; the request is served.
func TestAccessLogsAreWrittenByTheAccountsRole(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asks []string
	denied := ""
	deny := func(action string) {
		mu.Lock()
		defer mu.Unlock()
		denied, asks = action, nil
	}
	w := newWorld(t, func(o *apigateway.Options) {
		o.StageUpdateDelay = -1
		o.RoleAuthorize = func(_ context.Context, roleARN string, ask wire.Ask) error {
			mu.Lock()
			defer mu.Unlock()
			asks = append(asks, roleARN+" "+ask.Action+" "+ask.Resource)
			if ask.Action == denied {
				return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "no")
			}
			return nil
		}
	})
	api := w.app("", nil)
	set := func() error {
		_, err := w.client.UpdateAccount(w.ctx, &sdk.UpdateAccountInput{PatchOperations: []types.PatchOperation{patch("replace", "/cloudwatchRoleArn", role)}})
		return err
	}
	deny("logs:PutLogEvents")
	if err := set(); err == nil {
		t.Error("a role that may not write logs became the account's")
	}
	deny("")
	if err := set(); err != nil {
		t.Fatal(err)
	}
	if err := w.update(api, patch("replace", "/accessLogSettings/destinationArn", "arn:aws:logs:eu-west-1:000000000000:log-group:access"), patch("replace", "/accessLogSettings/format", "$context.requestId")); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents", ""} {
		deny(action)
		if got := must[reply](t)(w.ask(http.MethodGet, "https://api.example.com/x", nil, nil)); got.Status != http.StatusOK {
			t.Errorf("without %q: status %d", action, got.Status)
		}
		if action == "" {
			lines++
		}
		if got := len(w.sink.linesOf()["eu-west-1 access"]); got != lines {
			t.Errorf("without %q: %d lines, want %d", action, got, lines)
		}
	}
	stream := "arn:aws:logs:eu-west-1:000000000000:log-group:access:log-stream:" + api + "-prod"
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{role + " logs:CreateLogStream " + stream, role + " logs:PutLogEvents " + stream}, asks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
