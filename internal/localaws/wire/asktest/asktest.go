// Package asktest holds a service of the embedded AWS to what each of its
// operations asks of IAM. It is for tests.
package asktest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Guard is IAM that writes down what it is asked, and denies one action.
type Guard struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

// Authorize is a wire.Authorizer.
func (g *Guard) Authorize(_ context.Context, ask wire.Ask) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := ask.AccessKeyID + " " + ask.Action + " " + ask.Resource
	for _, key := range slices.Sorted(maps.Keys(ask.Keys)) {
		text += " " + key + "=" + strings.Join(ask.Keys[key], ",")
	}
	g.asks = append(g.asks, text)
	if ask.Action == g.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "User: me is not authorized to perform: %s", ask.Action)
	}
	return nil
}

// during is what was asked while do ran, with one action denied.
func (g *Guard) during(denied string, do func() error) ([]string, error) {
	g.mu.Lock()
	g.asks, g.denied = nil, denied
	g.mu.Unlock()
	err := do()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asks, err
}

// Proven makes the call, wants exactly these questions of the access key, each
// "action resource [keys]", and then a refusal by this error code for each of
// them. What the call answers otherwise is not this test's business.
func (g *Guard) Proven(t *testing.T, accessKey, code string, do func() error, asks []string) {
	t.Helper()
	var want []string
	for _, ask := range asks {
		want = append(want, accessKey+" "+ask)
	}
	got, err := g.during("", do)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, ask := range asks {
		action, _, _ := strings.Cut(ask, " ")
		_, err := g.during(action, do)
		api, ok := errors.AsType[smithy.APIError](err)
		if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), action) {
			t.Errorf("without %s: %v", action, err)
		}
	}
}

// Call makes a function of an SDK operation and its input.
func Call[C, In, Out, Option any](t *testing.T, client C, operation func(C, context.Context, *In, ...func(*Option)) (Out, error), in *In) func() error {
	return func() error {
		_, err := operation(client, t.Context(), in)
		return err
	}
}
