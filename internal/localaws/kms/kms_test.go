package kms_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/kms"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func start(t *testing.T) (client func(region string) *sdk.Client, now *clock.Manual) {
	t.Helper()
	now = clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	handler := kms.New(kms.Options{Clock: now}).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, _, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "kms", Region: region, Now: now.Now()})))
	}))
	t.Cleanup(server.Close)
	return func(region string) *sdk.Client {
		return sdk.New(sdk.Options{Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	}, now
}

func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func newKey(t *testing.T, c *sdk.Client) *types.KeyMetadata {
	t.Helper()
	out, err := c.CreateKey(context.Background(), &sdk.CreateKeyInput{Description: aws.String("data"), Tags: []types.Tag{{TagKey: aws.String("Owner"), TagValue: aws.String("me")}}})
	if err != nil {
		t.Fatal(err)
	}
	return out.KeyMetadata
}

func TestKeyIsBoundToItsContextAndRegion(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx, c := context.Background(), client("eu-west-1")
	k := newKey(t, c)
	sealed, err := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: k.Arn, Plaintext: []byte("secret"), EncryptionContext: map[string]string{"table": "items"}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed.CiphertextBlob, []byte("secret")) {
		t.Fatal("the blob shows its plaintext")
	}
	opened, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"table": "items"}})
	if err != nil || string(opened.Plaintext) != "secret" {
		t.Fatalf("decrypted %q, %v", opened.Plaintext, err)
	}
	other := newKey(t, c)
	for name, try := range map[string]func() error{
		"InvalidCiphertextException": func() error {
			_, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"table": "other"}})
			return err
		},
		"IncorrectKeyException": func() error {
			_, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, KeyId: other.Arn, EncryptionContext: map[string]string{"table": "items"}})
			return err
		},
	} {
		if got := code(try()); got != name {
			t.Errorf("got %q, want %s", got, name)
		}
	}
	if _, err := client("eu-central-1").Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"table": "items"}}); code(err) != "InvalidCiphertextException" {
		t.Errorf("another region decrypted it: %v", err)
	}
	if _, err := client("eu-central-1").DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: k.KeyId}); code(err) != "NotFoundException" {
		t.Errorf("another region knows the key: %v", err)
	}
}

func TestDeletionTakesItsWindow(t *testing.T) {
	t.Parallel()
	client, now := start(t)
	ctx, c := context.Background(), client("eu-west-1")
	k := newKey(t, c)
	if _, err := c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(6)}); code(err) != "ValidationException" {
		t.Errorf("a window of 6 days: %v", err)
	}
	if _, err := c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(7)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}); code(err) != "KMSInvalidStateException" {
		t.Errorf("encrypted under a key pending deletion: %v", err)
	}
	now.Advance(7*24*time.Hour - time.Second)
	if out, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: k.KeyId}); err != nil || out.KeyMetadata.KeyState != types.KeyStatePendingDeletion {
		t.Errorf("before the window's end: %v", err)
	}
	now.Advance(time.Second)
	if _, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: k.KeyId}); code(err) != "NotFoundException" {
		t.Errorf("after the window's end: %v", err)
	}
}

func TestAliasesTagsRotationAndPolicy(t *testing.T) {
	t.Parallel()
	client, _ := start(t)
	ctx, c := context.Background(), client("eu-west-1")
	k := newKey(t, c)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/data"), TargetKeyId: k.KeyId}))
	if _, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/data"), TargetKeyId: k.KeyId}); code(err) != "AlreadyExistsException" {
		t.Errorf("an alias was made twice: %v", err)
	}
	if _, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("data"), TargetKeyId: k.KeyId}); code(err) != "InvalidAliasNameException" {
		t.Errorf("an alias without prefix: %v", err)
	}
	byAlias, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: aws.String("alias/data")})
	if err != nil || *byAlias.KeyMetadata.KeyId != *k.KeyId {
		t.Errorf("by alias: %v", err)
	}
	must(c.EnableKeyRotation(ctx, &sdk.EnableKeyRotationInput{KeyId: k.KeyId}))
	rotation, err := c.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: k.KeyId})
	if err != nil || !rotation.KeyRotationEnabled {
		t.Errorf("rotation: %v", err)
	}
	must(c.TagResource(ctx, &sdk.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{{TagKey: aws.String("Purpose"), TagValue: aws.String("test")}}}))
	must(c.UntagResource(ctx, &sdk.UntagResourceInput{KeyId: k.KeyId, TagKeys: []string{"Owner"}}))
	tags, err := c.ListResourceTags(ctx, &sdk.ListResourceTagsInput{KeyId: k.KeyId})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].TagKey != "Purpose" {
		t.Errorf("tags %v, %v", tags, err)
	}
	if _, err := c.PutKeyPolicy(ctx, &sdk.PutKeyPolicyInput{KeyId: k.KeyId, Policy: aws.String("{}")}); code(err) != "MalformedPolicyDocumentException" {
		t.Errorf("an empty policy: %v", err)
	}
	must(c.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: k.KeyId}))
	if _, err := c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: types.DataKeySpecAes256}); code(err) != "DisabledException" {
		t.Errorf("a disabled key was used: %v", err)
	}
	must(c.EnableKey(ctx, &sdk.EnableKeyInput{KeyId: k.KeyId}))
	data, err := c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: types.DataKeySpecAes256})
	if err != nil || len(data.Plaintext) != 32 {
		t.Errorf("data key of %d bytes, %v", len(data.Plaintext), err)
	}
	if _, err := c.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String("x"), Operations: []types.GrantOperation{types.GrantOperationDecrypt}}); code(err) != "UnknownOperationException" {
		t.Errorf("grants do not exist here: %v", err)
	}
}
