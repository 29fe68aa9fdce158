package secret_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/tapctl/tapctl/function/internal/secret"
)

const planted = "hunter2-planted-value"

// manager answers what it is told to, after as long as it is told to.
type manager struct {
	version, value string
	binary         []byte
	err            error
	takes          time.Duration
	asked          atomic.Int32
}

func (m *manager) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.asked.Add(1)
	if m.takes > 0 {
		timer := time.NewTimer(m.takes)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	out := &secretsmanager.GetSecretValueOutput{ARN: in.SecretId, VersionId: aws.String(m.version), SecretBinary: m.binary}
	if m.value != "" {
		out.SecretString = aws.String(m.value)
	}
	return out, nil
}

func missing(message string) error {
	return &types.ResourceNotFoundException{Message: aws.String(message)}
}

func noValue() error {
	return missing("Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
}

// hand is a clock that is moved by hand.
type hand struct{ at atomic.Int64 }

func (h *hand) now() time.Time          { return time.Unix(0, h.at.Load()) }
func (h *hand) advance(d time.Duration) { h.at.Add(int64(d)) }

func cache(m *manager) (c *secret.Cache, clock *hand, log *bytes.Buffer) {
	clock, log = &hand{}, &bytes.Buffer{}
	return &secret.Cache{Client: m, ARN: "arn", TTL: time.Minute, Now: clock.now, Log: slog.New(slog.NewJSONHandler(log, nil))}, clock, log
}

// current is the version, or the error's text.
func current(ctx context.Context, c *secret.Cache) string {
	key, err := c.Current(ctx)
	if err != nil {
		return "error: " + err.Error()
	}
	return key.Version
}

func (m *manager) want(t *testing.T, c *secret.Cache, what, want string, asked int32) {
	t.Helper()
	if got := current(t.Context(), c); got != want || m.asked.Load() != asked {
		t.Errorf("%s: %q after %d reads, want %q after %d", what, got, m.asked.Load(), want, asked)
	}
}

func TestAValueIsKeptForItsTime(t *testing.T) {
	t.Parallel()
	m := &manager{version: "v1", value: "a"}
	c, clock, _ := cache(m)
	m.want(t, c, "at first", "v1", 1)
	m.version = "v2"
	clock.advance(time.Minute - time.Nanosecond)
	m.want(t, c, "just before its time", "v1", 1)
	clock.advance(time.Nanosecond)
	m.want(t, c, "at its time", "v2", 2)
	c.TTL = 0
	clock.advance(time.Minute)
	m.want(t, c, "read under the old time", "v2", 3)
	clock.advance(secret.DefaultTTL - 1)
	m.want(t, c, "under the default", "v2", 3)
}

func TestAFailedReadLeavesTheOldValue(t *testing.T) {
	t.Parallel()
	m := &manager{version: "v1", value: planted}
	c, clock, log := cache(m)
	m.want(t, c, "at first", "v1", 1)
	if log.Len() > 0 {
		t.Errorf("logged %s", log)
	}
	m.err = errors.New("service unavailable")
	clock.advance(time.Minute)
	m.want(t, c, "when the read fails", "v1", 2)
	m.want(t, c, "at once after that", "v1", 2)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "service unavailable") || !strings.Contains(got, `"old_value_used":true`) || !strings.Contains(got, `"level":"WARN"`) {
		t.Errorf("logged %s", got)
	}
	m.err, m.version = nil, "v2"
	clock.advance(10 * time.Second)
	m.want(t, c, "when it works again", "v2", 3)
	if strings.Contains(log.String(), planted) {
		t.Errorf("the value is in the log: %s", log)
	}
}

func TestWithoutAValue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		manager *manager
		want    string
	}{
		"nobody put one":  {&manager{err: noValue()}, "error: the secret has no value yet"},
		"it is empty":     {&manager{version: "v1"}, "error: the secret has no value yet"},
		"no such secret":  {&manager{err: missing("Secrets Manager can't find the specified secret.")}, "error: read the secret: ResourceNotFoundException: Secrets Manager can't find the specified secret."},
		"it is forbidden": {&manager{err: errors.New("AccessDeniedException")}, "error: read the secret: AccessDeniedException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, clock, log := cache(tt.manager)
			tt.manager.want(t, c, "at first", tt.want, 1)
			tt.manager.want(t, c, "at once after that", tt.want, 1)
			empty := strings.Contains(tt.want, "no value yet")
			if _, err := c.Current(t.Context()); errors.Is(err, secret.ErrEmpty) != empty || (log.Len() == 0) != empty {
				t.Errorf("%v, logged %q", err, log)
			}
			tt.manager.err, tt.manager.version, tt.manager.binary = nil, "v1", []byte("b")
			clock.advance(10*time.Second - 1)
			tt.manager.want(t, c, "just before it is asked again", tt.want, 1)
			clock.advance(1)
			tt.manager.want(t, c, "once there is one", "v1", 2)
		})
	}
}

func TestCallersShareOneRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &manager{version: "v1", value: "a", takes: time.Second}
		c, clock, _ := cache(m)
		for round := range int32(2) {
			var callers sync.WaitGroup
			for range 20 {
				callers.Go(func() {
					if got := current(t.Context(), c); got != "v1" {
						t.Error(got)
					}
				})
			}
			callers.Wait()
			if got := m.asked.Load(); got != round+1 {
				t.Errorf("20 callers made %d reads", got-round)
			}
			clock.advance(time.Minute)
		}
	})
}

// The read goes on when the caller that began it has gone.
func TestACallerNeedNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &manager{version: "v1", value: "a", takes: time.Second}
		c, clock, _ := cache(m)
		hurried := func() (string, time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			return current(ctx, c), time.Since(start)
		}
		if got, took := hurried(); got != "error: read the secret: context deadline exceeded" || took != 300*time.Millisecond {
			t.Errorf("%s after %v", got, took)
		}
		if got := current(t.Context(), c); got != "v1" || m.asked.Load() != 1 {
			t.Errorf("a later caller: %s after %d reads", got, m.asked.Load())
		}
		clock.advance(time.Minute)
		m.version = "v2"
		if got, took := hurried(); got != "v1" || took != 300*time.Millisecond {
			t.Errorf("with an old value: %s after %v", got, took)
		}
		if got := current(t.Context(), c); got != "v2" || m.asked.Load() != 2 {
			t.Errorf("a later caller: %s after %d reads", got, m.asked.Load())
		}
	})
}

func TestAReadHasAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &manager{takes: time.Hour}
		c, _, _ := cache(m)
		start := time.Now()
		if got := current(t.Context(), c); !strings.Contains(got, "deadline exceeded") || time.Since(start) != 2500*time.Millisecond {
			t.Errorf("%s after %v", got, time.Since(start))
		}
	})
}

// RFC 4231, test case 2.
func TestSignaturesAreHMACSHA256(t *testing.T) {
	t.Parallel()
	const want = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	message := []byte("what do ya want for nothing?")
	for name, m := range map[string]*manager{"text": {version: "v1", value: "Jefe"}, "data": {version: "v1", binary: []byte("Jefe")}} {
		c, _, _ := cache(m)
		key, err := c.Current(t.Context())
		if err != nil || key.Sign(message) != want || !key.Signed(message, want) {
			t.Errorf("%s: %s, %v", name, key.Sign(message), err)
		}
		if key.Signed(message, want[1:]+"0") || key.Signed(message[1:], want) || key.Signed(message, "") {
			t.Errorf("%s: a wrong signature is right", name)
		}
	}
}

func TestAKeyShowsItsVersionOnly(t *testing.T) {
	t.Parallel()
	c, _, log := cache(&manager{version: "v1", value: planted})
	key, err := c.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Log.Info("key", "key", key, "pointer", &key, "within", []any{key})
	encoded, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(encoded) + fmt.Sprintf("%v %+v %#v %s %q %x %d %v", key, key, key, key, key, key, key, []any{&key})
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprint([]byte(planted))} {
		if strings.Contains(shown, form) {
			t.Errorf("%s is in %s", form, shown)
		}
	}
	if !strings.Contains(shown, "v1") {
		t.Errorf("nothing was shown: %s", shown)
	}
}
