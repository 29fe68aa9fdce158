// Package secret keeps the current value of one secret for a while, so that
// not every request asks Secrets Manager. It signs with the value and never
// gives it away: not to its callers, not to the log.
package secret

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"golang.org/x/sync/singleflight"
)

// ErrEmpty says that the secret exists and nobody has put a value in it yet.
var ErrEmpty = errors.New("the secret has no value yet")

const (
	// DefaultTTL is how long a value is used before it is read again.
	DefaultTTL = 5 * time.Minute
	// retryAfter is how soon is asked again when there is no value, or when
	// the secret could not be read.
	retryAfter = 10 * time.Second
	// fetchTimeout bounds one read, which outlives the caller that began it.
	fetchTimeout = 2500 * time.Millisecond
)

// Client is what a cache needs of the Secrets Manager client.
type Client interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Key is one version of the secret.
type Key struct {
	Version string // the VersionId
	bytes   []byte
}

// Sign is the HMAC-SHA256 of the message, in hex.
// https://www.rfc-editor.org/rfc/rfc2104
func (k Key) Sign(message []byte) string {
	mac := hmac.New(sha256.New, k.bytes)
	mac.Write(message)
	return hex.EncodeToString(mac.Sum(nil))
}

// Signed tells whether the signature is this key's for the message.
func (k Key) Signed(message []byte, signature string) bool {
	return hmac.Equal([]byte(k.Sign(message)), []byte(signature))
}

// String names the key without its value, as do Format and LogValue.
func (k Key) String() string { return "secret version " + k.Version }

// Format implements fmt.Formatter: some verbs would print the fields.
func (k Key) Format(f fmt.State, _ rune) {
	io.WriteString(f, k.String()) // Non-fatal: fmt keeps the error.
}

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Cache reads one secret through its client.
type Cache struct {
	Client Client
	ARN    string
	TTL    time.Duration // 0: DefaultTTL
	Now    func() time.Time
	Log    *slog.Logger

	reads singleflight.Group
	mu    sync.Mutex
	key   *Key      // nil until a read succeeded
	err   error     // of the last read; ErrEmpty is one
	until time.Time // when to read again
}

// Current is the key, or ErrEmpty, or why it cannot be read. A key that could
// not be read again stays. Callers at the same time share one read; one whose
// ctx ends first has the old key, if there is one.
func (c *Cache) Current(ctx context.Context) (Key, error) {
	if key, fresh, err := c.known(); fresh {
		return key, err
	}
	read := c.reads.DoChan("", func() (any, error) {
		if _, fresh, _ := c.known(); !fresh { // another read may just have ended
			c.read(context.WithoutCancel(ctx))
		}
		return nil, nil
	})
	select {
	case <-read:
		key, _, err := c.known()
		return key, err
	case <-ctx.Done():
		if key, _, err := c.known(); err == nil && key.Version != "" {
			return key, nil
		}
		return Key{}, fmt.Errorf("read the secret: %w", ctx.Err())
	}
}

// known is what the last read left, and whether that still holds.
func (c *Cache) known() (key Key, fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh = c.Now().Before(c.until)
	if c.key != nil {
		return *c.key, fresh, nil
	}
	return Key{}, fresh, c.err
}

func (c *Cache) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	key, err := c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	ttl := cmp.Or(c.TTL, DefaultTTL)
	switch {
	case err == nil:
		c.key, c.err = &key, nil
	case errors.Is(err, ErrEmpty):
		c.key, c.err, ttl = nil, err, min(ttl, retryAfter)
	default:
		c.err, ttl = err, min(ttl, retryAfter)
		c.Log.WarnContext(ctx, "the secret cannot be read", "error", err, "old_value_used", c.key != nil)
	}
	c.until = c.Now().Add(ttl)
}

func (c *Cache) fetch(ctx context.Context) (Key, error) {
	out, err := c.Client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(c.ARN)})
	if missing, ok := errors.AsType[*types.ResourceNotFoundException](err); ok && strings.Contains(missing.ErrorMessage(), "AWSCURRENT") {
		return Key{}, ErrEmpty // a secret that does not exist has another message
	}
	if err != nil {
		return Key{}, fmt.Errorf("read the secret: %w", err)
	}
	key := Key{Version: aws.ToString(out.VersionId), bytes: out.SecretBinary}
	if out.SecretString != nil {
		key.bytes = []byte(*out.SecretString)
	}
	if len(key.bytes) == 0 {
		return Key{}, ErrEmpty // what anybody could sign with is no key
	}
	return key, nil
}
