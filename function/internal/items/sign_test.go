package items_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/tapctl/tapctl/function/internal/secret"
)

const planted = "hunter2-planted-value"

// manager is a Secrets Manager with one secret.
type manager struct {
	version string // "": no value yet
	err     error
	hangs   bool
}

func (m *manager) GetSecretValue(ctx context.Context, _ *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	switch {
	case m.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case m.err != nil:
		return nil, m.err
	case m.version == "":
		return nil, &smtypes.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")}
	}
	return &secretsmanager.GetSecretValueOutput{VersionId: &m.version, SecretString: aws.String(planted + m.version)}, nil
}

// signing is a fixture whose secret this is; forget makes it be read again.
func signing(m *manager) (f fixture, forget func()) {
	f = newFixture()
	forget = func() {
		f.Secret = &secret.Cache{Client: m, ARN: "arn", Now: f.Now, Log: f.Log}
	}
	forget()
	return f, forget
}

func (f fixture) attribute(id, name string) string {
	if s, ok := f.dynamo.rows[id][name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func (f fixture) health(t *testing.T) string {
	t.Helper()
	got := f.do(t, request("GET", "/healthz", ""))
	var body struct{ Status, Secret string }
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil || got.StatusCode != http.StatusOK || body.Status != "ok" {
		t.Fatalf("%d %s, %v", got.StatusCode, got.Body, err)
	}
	return body.Secret
}

func TestHealthShowsTheSecretsVersion(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]*manager{
		"v1": {version: "v1"}, "none": {}, "unreadable": {err: errors.New("AccessDeniedException: not authorized")},
	} {
		f, _ := signing(m)
		if got := f.health(t); got != want {
			t.Errorf("shown %q, want %q", got, want)
		}
		if (want == "unreadable") != strings.Contains(f.log.String(), "not authorized") {
			t.Errorf("%s: logged %s", want, f.log)
		}
	}
}

func TestHealthDoesNotWaitForTheSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := signing(&manager{hangs: true})
		start := time.Now()
		if got := f.health(t); got != "unreadable" || time.Since(start) > 300*time.Millisecond {
			t.Errorf("shown %q after %v", got, time.Since(start))
		}
		if _, err := f.Secret.Current(t.Context()); err == nil { // the read that goes on has an end
			t.Error("the secret was read")
		}
	})
}

const warning = "the signature does not match"

func TestItemsAreSignedAndVerified(t *testing.T) {
	t.Parallel()
	m := &manager{version: "v1"}
	f, forget := signing(m)
	// What encoding may change: order, white space, numbers, what HTML escapes.
	created := f.do(t, request("POST", "/items", `{"z": 1.50e3, "id":"a", "b": {"y":[1, 2],"x":"<&>\u2028ü"}, "n":12345678901234567890, "signature":"mine"}`))
	if created.StatusCode != http.StatusCreated || !strings.Contains(created.Body, `"signature":"mine"`) {
		t.Fatalf("%d %s", created.StatusCode, created.Body)
	}
	if len(f.attribute("a", "signature")) != 64 || f.attribute("a", "signed_by") != "v1" {
		t.Errorf("stored %q by %q", f.attribute("a", "signature"), f.attribute("a", "signed_by"))
	}
	reads := func() (warnings int) {
		t.Helper()
		before := strings.Count(f.log.String(), warning)
		for _, path := range []string{"/items/a", "/items"} {
			if got := f.do(t, request("GET", path, "")); got.StatusCode != http.StatusOK || !strings.Contains(got.Body, `"id":"a"`) {
				t.Fatalf("%d %s", got.StatusCode, got.Body)
			}
		}
		return strings.Count(f.log.String(), warning) - before
	}
	if got := reads(); got != 0 {
		t.Errorf("%d warnings of an item as it was written: %s", got, f.log)
	}
	good := f.dynamo.rows["a"]["document"]
	for name, tampered := range map[string]string{"document": `{"z":1}`, "created_at": "2020-01-01T00:00:00Z", "signature": strings.Repeat("0", 64)} {
		was := f.dynamo.rows["a"][name]
		f.dynamo.rows["a"][name] = &types.AttributeValueMemberS{Value: tampered}
		if got := reads(); got != 2 {
			t.Errorf("another %s: %d warnings, want one of each read", name, got)
		}
		f.dynamo.rows["a"][name] = was
	}
	if !strings.Contains(f.log.String(), `"item":"a"`) {
		t.Errorf("the warning does not name the item: %s", f.log)
	}
	f.dynamo.rows["a"]["document"] = good

	m.version = "v2"
	forget()
	if got := reads(); got != 0 {
		t.Errorf("%d warnings of an item of another version", got)
	}
}

func TestWithoutASecretNothingIsSigned(t *testing.T) {
	t.Parallel()
	none, _ := signing(&manager{})
	off := newFixture()
	for name, f := range map[string]fixture{"no value": none, "no secret": off} {
		if got := f.do(t, request("POST", "/items", `{"id":"a"}`)); got.StatusCode != http.StatusCreated || f.attribute("a", "signature") != "" {
			t.Errorf("%s: %d, signed %q", name, got.StatusCode, f.attribute("a", "signature"))
		}
		if got := f.do(t, request("GET", "/items/a", "")); got.StatusCode != http.StatusOK || strings.Contains(f.log.String(), warning) {
			t.Errorf("%s: %d, %s", name, got.StatusCode, f.log)
		}
	}
	if got := off.health(t); got != "" {
		t.Errorf("without a secret the health check shows %q", got)
	}
}

func TestOnlyWritingNeedsTheSecret(t *testing.T) {
	t.Parallel()
	m := &manager{version: "v1"}
	f, forget := signing(m)
	f.do(t, request("POST", "/items", `{"id":"a"}`))
	m.err = errors.New("throttled")
	forget()
	got := f.do(t, request("POST", "/items", `{"id":"b"}`))
	if got.StatusCode != http.StatusServiceUnavailable || got.Headers["Retry-After"] == "" || strings.Contains(got.Body, "throttled") || f.dynamo.rows["b"] != nil {
		t.Errorf("written: %d %s", got.StatusCode, got.Body)
	}
	if !strings.Contains(f.log.String(), "throttled") {
		t.Errorf("the log lacks the cause: %s", f.log)
	}
	for _, path := range []string{"/items/a", "/items", "/healthz"} {
		if got := f.do(t, request("GET", path, "")); got.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.Body)
		}
	}
	if strings.Contains(f.log.String(), warning) {
		t.Errorf("what could not be verified is called wrong: %s", f.log)
	}
}

// The value signs and is never said: not in an answer, not in a log line.
func TestTheValueIsNeverSaid(t *testing.T) {
	t.Parallel()
	m := &manager{version: "v1"}
	f, forget := signing(m)
	said := ""
	say := func(event events.APIGatewayProxyRequest) {
		got := f.do(t, event)
		said += got.Body
		for name, value := range got.Headers {
			said += name + value
		}
	}
	every := []events.APIGatewayProxyRequest{
		request("POST", "/items", `{"id":"a"}`), request("POST", "/items", `{"id":"a"}`), request("POST", "/items", `{`), request("GET", "/items/a", ""),
		request("GET", "/items", ""), request("GET", "/healthz", ""), request("DELETE", "/items", ""),
	}
	for _, event := range every {
		say(event)
	}
	f.dynamo.rows["a"]["signature"] = &types.AttributeValueMemberS{Value: "wrong"}
	m.err = errors.New("down")
	for _, event := range every {
		say(event)
	}
	forget()
	for _, event := range every {
		say(event)
	}
	if !strings.Contains(f.log.String(), warning) || !strings.Contains(f.log.String(), "down") || !strings.Contains(said, `"secret":"v1"`) || !strings.Contains(said, "unreadable") {
		t.Fatalf("this test looks at nothing: %s\n%s", said, f.log)
	}
	for _, text := range []string{said, f.log.String()} {
		if strings.Contains(text, planted) {
			t.Errorf("the value is in %s", text)
		}
	}
}

var _ secret.Client = (*manager)(nil)
