package kms_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/kms"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// asked is IAM that writes down what it is asked, and looks at the key's
// policy while it does, as IAM must.
type asked struct {
	mu      sync.Mutex
	service *kms.Service
	asks    []wire.Ask
	denied  string
}

func (a *asked) authorize(_ context.Context, ask wire.Ask) error {
	a.service.PolicyOf(ask.Resource)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asks = append(a.asks, ask)
	if ask.Action == a.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "not authorized to perform: %s", ask.Action)
	}
	return nil
}

func (a *asked) deny(action string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied, a.asks = action, nil
}

func (a *asked) take() []wire.Ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.asks = nil }()
	return a.asks
}

func TestEveryUseOfAKeyIsAskedFor(t *testing.T) {
	t.Parallel()
	iam := &asked{}
	iam.service = kms.New(kms.Options{Clock: clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)), Authorize: iam.authorize})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		iam.service.Handler().ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "kms", Region: region, AccessKeyID: key})))
	}))
	t.Cleanup(server.Close)
	c, ctx := sdk.New(sdk.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("me", "b", "")}), t.Context()
	k := newKey(t, c)
	tagged := map[string][]string{"aws:requesttag/owner": {"me"}, "aws:tagkeys": {"Owner"}}
	if diff := cmp.Diff([]wire.Ask{
		{AccessKeyID: "me", Action: "kms:CreateKey", Resource: "*", Keys: tagged},
		{AccessKeyID: "me", Action: "kms:TagResource", Resource: "*", Keys: tagged},
	}, iam.take()); diff != "" {
		t.Errorf("CreateKey (-want +got):\n%s", diff)
	}
	bound := map[string]string{"b": "2", "a": "1"}
	sealed, err := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), EncryptionContext: bound})
	if err != nil {
		t.Fatal(err)
	}
	alias := "arn:aws:kms:eu-west-1:000000000000:alias/mine"
	none := map[string][]string{}
	keys := map[string][]string{"kms:encryptioncontext:a": {"1"}, "kms:encryptioncontext:b": {"2"}, "kms:encryptioncontextkeys": {"a", "b"}}
	steps := []struct {
		action    string
		resources []string
		keys      map[string][]string
		do        func() error
	}{
		{"kms:CreateAlias", []string{alias, *k.Arn}, none, func() error {
			_, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/mine"), TargetKeyId: k.KeyId})
			return err
		}},
		{"kms:Encrypt", []string{*k.Arn}, keys, func() error {
			_, err := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: aws.String("alias/mine"), Plaintext: []byte("x"), EncryptionContext: bound})
			return err
		}},
		{"kms:Decrypt", []string{*k.Arn}, keys, func() error {
			_, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: bound})
			return err
		}},
		{"kms:GenerateDataKeyWithoutPlaintext", []string{*k.Arn}, none, func() error {
			_, err := c.GenerateDataKeyWithoutPlaintext(ctx, &sdk.GenerateDataKeyWithoutPlaintextInput{KeyId: k.Arn, NumberOfBytes: aws.Int32(16)})
			return err
		}},
		{"kms:TagResource", []string{*k.Arn}, map[string][]string{"aws:requesttag/purpose": {"p"}, "aws:tagkeys": {"Purpose"}}, func() error {
			_, err := c.TagResource(ctx, &sdk.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{{TagKey: aws.String("Purpose"), TagValue: aws.String("p")}}})
			return err
		}},
		{"kms:UntagResource", []string{*k.Arn}, map[string][]string{"aws:tagkeys": {"Purpose"}}, func() error {
			_, err := c.UntagResource(ctx, &sdk.UntagResourceInput{KeyId: k.KeyId, TagKeys: []string{"Purpose"}})
			return err
		}},
		{"kms:DescribeKey", []string{*k.Arn}, none, func() error {
			_, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: &alias})
			return err
		}},
		{"kms:ListAliases", []string{"*"}, none, func() error {
			_, err := c.ListAliases(ctx, &sdk.ListAliasesInput{})
			return err
		}},
		{"kms:DeleteAlias", []string{alias, *k.Arn}, none, func() error {
			_, err := c.DeleteAlias(ctx, &sdk.DeleteAliasInput{AliasName: aws.String("alias/mine")})
			return err
		}},
	}
	for _, step := range steps {
		iam.deny(step.action)
		if err := step.do(); code(err) != "AccessDeniedException" {
			t.Errorf("%s when denied: %v", step.action, err)
		}
		iam.deny("")
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		var want []wire.Ask
		for _, resource := range step.resources {
			want = append(want, wire.Ask{AccessKeyID: "me", Action: step.action, Resource: resource, Keys: step.keys})
		}
		if diff := cmp.Diff(want, iam.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.action, diff)
		}
	}
	if diff := cmp.Diff(map[string][]string{"aws:resourcetag/owner": {"me"}}, iam.service.ContextOf(*k.Arn)); diff != "" {
		t.Errorf("what conditions know of the key (-want +got):\n%s", diff)
	}
	if _, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/other"), TargetKeyId: k.KeyId}); err != nil {
		t.Fatal(err)
	}
	if got := iam.service.ContextOf(strings.Replace(alias, "mine", "other", 1))["kms:resourcealiases"]; len(got) != 1 || got[0] != "alias/other" {
		t.Errorf("aliases of the key: %v", got)
	}
	if got := iam.service.ContextOf(*k.Arn + "x"); len(got) != 0 {
		t.Errorf("what conditions know of no key: %v", got)
	}
	if _, _, ok := iam.service.PolicyOf(alias); ok {
		t.Error("a deleted alias has a policy")
	}
	arn, document, ok := iam.service.PolicyOf(*k.Arn)
	if !ok || arn != *k.Arn || !strings.Contains(document, "Enable IAM User Permissions") {
		t.Errorf("%s, %s, %v", arn, document, ok)
	}
}
