package items

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tapctl/tapctl/function/internal/reply"
	"github.com/tapctl/tapctl/function/internal/secret"
)

// secretWait is how long an answer that can do without waits for the secret:
// Route 53 gives a health check 2 s, and a slow Secrets Manager must not take
// a region out.
const secretWait = 300 * time.Millisecond

// secretState is what a health check shows: the version in use, "none" while
// nobody put a value, "unreadable" when it cannot be read (in time).
func (h *Handler) secretState(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, secretWait)
	defer cancel()
	key, err := h.Secret.Current(ctx)
	switch {
	case errors.Is(err, secret.ErrEmpty):
		return "none"
	case err != nil:
		return "unreadable"
	default:
		return key.Version
	}
}

// signed is what a signature covers. Encoding a decoded document gives the
// stored text again: its keys are sorted and its values compact.
func (i Item) signed() ([]byte, error) {
	return json.Marshal([]any{i.ID, i.CreatedAt.UTC().Format(time.RFC3339Nano), i.Fields})
}

// sign signs the item if the secret has a value. With a secret that cannot be
// read nothing is written: an item without its signature would stay.
func (h *Handler) sign(ctx context.Context, item *Item) error {
	if h.Secret == nil {
		return nil
	}
	key, err := h.Secret.Current(ctx)
	if errors.Is(err, secret.ErrEmpty) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sign item %s: %w (%w)", item.ID, err, &reply.Failure{
			Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "The item could not be signed. Try again.", Headers: map[string]string{"Retry-After": "10"},
		})
	}
	message, err := item.signed()
	if err != nil {
		return fmt.Errorf("sign item %s: %w", item.ID, err)
	}
	item.Signature, item.SignedBy = key.Sign(message), key.Version
	return nil
}

// verify warns of items whose signature is wrong. It fails no request. An
// item of another version of the secret is not looked at: its key is not at
// hand.
func (h *Handler) verify(ctx context.Context, items ...Item) {
	if h.Secret == nil || !slices.ContainsFunc(items, func(i Item) bool { return i.Signature != "" }) {
		return
	}
	waiting, cancel := context.WithTimeout(ctx, secretWait)
	defer cancel()
	key, err := h.Secret.Current(waiting)
	if err != nil {
		return // the cache has said why
	}
	for _, item := range items {
		if item.SignedBy != key.Version {
			continue
		}
		if message, err := item.signed(); err != nil || !key.Signed(message, item.Signature) {
			h.Log.WarnContext(ctx, "the signature does not match", "item", item.ID, "secret_version", key.Version)
		}
	}
}
