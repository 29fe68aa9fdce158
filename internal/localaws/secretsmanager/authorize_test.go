package secretsmanager_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/secretsmanager"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func TestWhatACallAsksOfIAM(t *testing.T) {
	t.Parallel()
	a := start(t)
	made := a.create(sdk.CreateSecretInput{Name: aws.String("s"), KmsKeyId: aws.String(blueKey)})
	plain := a.create(sdk.CreateSecretInput{Name: aws.String("plain"), SecretString: aws.String("v")})
	a.asks = nil
	token := strings.Repeat("t", 32)
	a.must(a.in(blue).PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("v"), ClientRequestToken: &token}))
	_, err := a.get(blue, "s")
	a.must(nil, err)
	_, err = a.get(blue, "plain") // AWS's own key asks nothing
	a.must(nil, err)
	bound := " " + blueKey + " map[kms:encryptioncontext:secretarn:[" + *made.ARN + "] kms:encryptioncontext:secretversionid:[" + token + "] kms:viaservice:[secretsmanager.eu-west-1.amazonaws.com]]"
	if diff := cmp.Diff([]string{
		"caller secretsmanager:PutSecretValue " + *made.ARN + " map[]", "caller kms:GenerateDataKey" + bound, "caller kms:Decrypt" + bound,
		"caller secretsmanager:GetSecretValue " + *made.ARN + " map[]", "caller kms:Decrypt" + bound,
		"caller secretsmanager:GetSecretValue " + *plain.ARN + " map[]",
	}, a.asks); diff != "" {
		t.Error(diff)
	}
	a.asks = nil
	a.must(a.in(blue).ReplicateSecretToRegions(t.Context(), &sdk.ReplicateSecretToRegionsInput{SecretId: aws.String("s"), AddReplicaRegions: to(green, greenKey)}))
	var actions []string
	for _, ask := range a.asks {
		actions = append(actions, strings.Join(strings.Fields(ask)[1:3], " "))
	}
	if diff := cmp.Diff([]string{"secretsmanager:ReplicateSecretToRegions " + *made.ARN, "kms:Decrypt " + blueKey, "kms:GenerateDataKey " + greenKey, "kms:Encrypt " + greenKey}, actions); diff != "" {
		t.Error(diff)
	}
}

func TestADeniedCallerGetsAndChangesNothing(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.create(sdk.CreateSecretInput{Name: aws.String("s"), KmsKeyId: aws.String(blueKey), SecretString: aws.String("v")})
	for _, tt := range []struct{ deny, message string }{
		{"secretsmanager:GetSecretValue", "not authorized to perform: secretsmanager:GetSecretValue"}, {"kms:Decrypt", "Access to KMS is not allowed"},
	} {
		a.deny = tt.deny
		got, err := a.get(blue, "s")
		a.refused(tt.deny, "AccessDeniedException", tt.message, err)
		if got != "" {
			t.Errorf("%s: got %q", tt.deny, got)
		}
	}
	a.deny = "secretsmanager:GetSecretValue"
	_, err := a.get(blue, "absent")
	a.refused("a secret that is not there", "AccessDeniedException", "", err)
	if last := a.asks[len(a.asks)-1]; !strings.Contains(last, ":secret:absent") {
		t.Errorf("asked %s", last)
	}
	a.deny = "kms:GenerateDataKey"
	_, err = a.put(blue, "s", "w")
	a.refused("write", "AccessDeniedException", "Access to KMS is not allowed", err)
	_, err = a.in(blue).CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("t"), KmsKeyId: aws.String(blueKey), SecretString: aws.String("v")})
	a.refused("create", "AccessDeniedException", "Access to KMS is not allowed", err)
	a.deny = ""
	if got, err := a.get(blue, "s"); got != "v" || err != nil {
		t.Errorf("after the refusals: %q, %v", got, err)
	}
	a.lists("after the refusals", nil, "s")
}

func TestTheKeyIsResolvedInTheSecretsRegion(t *testing.T) {
	t.Parallel()
	now := clock.NewManual(clock.Real{}.Now())
	var asked []string
	broken := false
	handler := secretsmanager.New(secretsmanager.Options{
		Clock:  now,
		KeyARN: func(arn string) (string, bool) { return "key of " + arn, !broken },
		Authorize: func(_ context.Context, ask wire.Ask) error {
			asked = append(asked, ask.Action+" "+ask.Resource)
			return nil
		},
	}).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Region: green, Now: now.Now()})))
	}))
	defer server.Close()
	a := &account{T: t}
	c := sdk.New(sdk.Options{Region: green, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	a.must(c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("s"), KmsKeyId: aws.String("alias/data"), SecretString: aws.String("v")}))
	if !slices.Contains(asked, "kms:GenerateDataKey key of arn:aws:kms:eu-central-1:000000000000:alias/data") {
		t.Errorf("asked %v", asked)
	}
	broken = true
	_, err := c.GetSecretValue(t.Context(), &sdk.GetSecretValueInput{SecretId: aws.String("s")})
	a.refused("read under a key that has gone", "DecryptionFailure", "alias/data", err)
	_, err = c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("w")})
	a.refused("write under it", "EncryptionFailure", "alias/data", err)
}

// A value must be in the answer to GetSecretValue and nowhere else: not in a
// log line, not in an error.
func TestValuesStayInside(t *testing.T) {
	t.Parallel()
	const planted = "hunter2-planted-value"
	a := start(t)
	c := a.in(blue)
	var said []string
	note := func(_ any, err error) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	note(c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String(planted)}))
	note(c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String(planted)}))
	note(c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("x"), SecretString: aws.String(planted), Type: aws.String("t")}))
	note(c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String(planted), SecretBinary: []byte(planted)}))
	note(c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String(planted), RotationToken: aws.String(strings.Repeat("r", 40))}))
	note(c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String(strings.Repeat(planted, 5000))}))
	token := strings.Repeat("t", 40)
	note(c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("other"), ClientRequestToken: &token}))
	note(c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String(planted), ClientRequestToken: &token}))
	note(c.UpdateSecret(t.Context(), &sdk.UpdateSecretInput{SecretId: aws.String("absent"), SecretString: aws.String(planted)}))
	a.deny = "secretsmanager:GetSecretValue"
	note(c.GetSecretValue(t.Context(), &sdk.GetSecretValueInput{SecretId: aws.String("s")}))
	if len(said) != 8 || a.log.Len() == 0 {
		t.Fatalf("%d errors, log %q: this test looks at nothing", len(said), a.log)
	}
	for _, text := range append(said, a.log.String(), strings.Join(a.asks, "\n")) {
		if strings.Contains(text, planted) {
			t.Errorf("the value is in %.200s", text)
		}
	}
}
