package secretsmanager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/secretsmanager"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	blue  = "eu-west-1"
	green = "eu-central-1"
	day   = 24 * time.Hour
)

type account struct {
	*testing.T
	now  *clock.Manual
	url  string
	log  *bytes.Buffer
	asks []string
	deny string // an action that is refused
}

func start(t *testing.T) *account {
	t.Helper()
	a := &account{T: t, now: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), log: &bytes.Buffer{}}
	handler := secretsmanager.New(secretsmanager.Options{
		Clock: a.now, Log: slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})), ReplicationLag: 5 * time.Second,
		Authorize: func(_ context.Context, ask wire.Ask) error {
			a.asks = append(a.asks, fmt.Sprint(ask.AccessKeyID, " ", ask.Action, " ", ask.Resource, " ", ask.Keys))
			if ask.Action == a.deny {
				return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "not authorized to perform: %s", ask.Action)
			}
			return nil
		},
	}).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "secretsmanager", Region: region, AccessKeyID: key, Now: a.now.Now()})))
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *account) in(region string) *sdk.Client {
	return sdk.New(sdk.Options{Region: region, BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("caller", "b", "")})
}

// refused checks that a call fails with this code and a message that has this
// text.
func (a *account) refused(what, code, text string, err error) {
	a.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		a.Errorf("%s: %v, want %s: ...%s...", what, err, code, text)
	}
}

func (a *account) must(_ any, err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

func (a *account) create(in sdk.CreateSecretInput) *sdk.CreateSecretOutput {
	a.Helper()
	out, err := a.in(blue).CreateSecret(a.Context(), &in)
	if err != nil {
		a.Fatal(err)
	}
	return out
}

func (a *account) get(region, id string) (string, error) {
	out, err := a.in(region).GetSecretValue(a.Context(), &sdk.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

func (a *account) put(region, id, text string) (string, error) {
	out, err := a.in(region).PutSecretValue(a.Context(), &sdk.PutSecretValueInput{SecretId: &id, SecretString: &text})
	if err != nil {
		return "", err
	}
	return *out.VersionId, nil
}

func (a *account) describe(region, id string) *sdk.DescribeSecretOutput {
	a.Helper()
	out, err := a.in(region).DescribeSecret(a.Context(), &sdk.DescribeSecretInput{SecretId: &id})
	if err != nil {
		a.Fatal(err)
	}
	return out
}

func TestASecretWithoutAValueThenTwo(t *testing.T) {
	t.Parallel()
	a := start(t)
	made := a.create(sdk.CreateSecretInput{Name: aws.String("app/key"), Description: aws.String("d"), Tags: []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}})
	if made.VersionId != nil || !strings.HasPrefix(*made.ARN, "arn:aws:secretsmanager:eu-west-1:000000000000:secret:app/key-") || len(*made.ARN) != len("arn:aws:secretsmanager:eu-west-1:000000000000:secret:app/key-")+6 {
		t.Errorf("created %v %v", *made.ARN, made.VersionId)
	}
	_, err := a.get(blue, "app/key")
	a.refused("no value yet", "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT", err)
	first, err := a.put(blue, "app/key", "one")
	a.must(nil, err)
	second, err := a.put(blue, *made.ARN, "two")
	a.must(nil, err)
	third, err := a.put(blue, "arn:aws:secretsmanager:eu-west-1:000000000000:secret:app/key", "three")
	a.must(nil, err)
	d := a.describe(blue, "app/key")
	if diff := cmp.Diff(map[string][]string{third: {"AWSCURRENT"}, second: {"AWSPREVIOUS"}}, d.VersionIdsToStages); diff != "" {
		t.Error(diff)
	}
	if d.LastAccessedDate != nil || d.PrimaryRegion != nil || *d.Description != "d" || *d.Tags[0].Value != "me" {
		t.Errorf("described %+v", d)
	}
	for name, in := range map[string]sdk.GetSecretValueInput{
		"three": {}, "two": {VersionStage: aws.String("AWSPREVIOUS")}, "one": {VersionId: &first},
	} {
		in.SecretId = made.ARN
		out, err := a.in(blue).GetSecretValue(t.Context(), &in)
		if err != nil || *out.SecretString != name || out.SecretBinary != nil {
			t.Errorf("want %s: %+v, %v", name, out, err)
		}
	}
	_, err = a.in(blue).GetSecretValue(t.Context(), &sdk.GetSecretValueInput{SecretId: made.ARN, VersionId: &first, VersionStage: aws.String("AWSCURRENT")})
	a.refused("label of another version", "InvalidRequestException", "VersionStage", err)
	if got := a.describe(blue, "app/key").LastAccessedDate; got == nil || !got.Equal(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("last accessed %v", got)
	}
	labelled, err := a.in(blue).ListSecretVersionIds(t.Context(), &sdk.ListSecretVersionIdsInput{SecretId: made.ARN})
	a.must(nil, err)
	all, err := a.in(blue).ListSecretVersionIds(t.Context(), &sdk.ListSecretVersionIdsInput{SecretId: made.ARN, IncludeDeprecated: aws.Bool(true)})
	a.must(nil, err)
	if len(labelled.Versions) != 2 || len(all.Versions) != 3 {
		t.Errorf("%d and %d versions", len(labelled.Versions), len(all.Versions))
	}
	_, err = a.get(green, "app/key")
	a.refused("another region", "ResourceNotFoundException", "can't find the specified secret.", err)
	_, err = a.get(green, *made.ARN)
	a.refused("another region by ARN", "ResourceNotFoundException", "can't find the specified secret.", err)
}

func TestATokenMakesAWriteRepeatable(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.create(sdk.CreateSecretInput{Name: aws.String("s")})
	token := strings.Repeat("t", 32)
	put := func(text string) (*sdk.PutSecretValueOutput, error) {
		return a.in(blue).PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: &text, ClientRequestToken: &token})
	}
	for range 2 {
		out, err := put("one")
		if err != nil || *out.VersionId != token || !slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	_, err := put("other")
	a.refused("the token with another value", "ResourceExistsException", "already in use", err)
	_, err = a.put(blue, "s", "two")
	a.must(nil, err)
	if _, err := put("one"); err != nil {
		t.Error(err)
	}
	if got, err := a.get(blue, "s"); got != "two" || err != nil {
		t.Errorf("a late retry moved AWSCURRENT back: %q, %v", got, err)
	}
	again := sdk.CreateSecretInput{Name: aws.String("made"), ClientRequestToken: aws.String(strings.Repeat("c", 32)), SecretString: aws.String("v")}
	if first, second := a.create(again), a.create(again); *first.ARN != *second.ARN || *first.VersionId != *second.VersionId {
		t.Error("the retry of a creation made another secret")
	}
	again.SecretString = aws.String("w")
	_, err = a.in(blue).CreateSecret(t.Context(), &again)
	a.refused("created twice", "ResourceExistsException", "already exists", err)
	token = "short"
	_, err = put("x")
	a.refused("a short token", "InvalidParameterException", "ClientRequestToken", err)
}

func TestLabelsOfAVersion(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.create(sdk.CreateSecretInput{Name: aws.String("s")})
	stage := func(text string) *sdk.PutSecretValueOutput {
		out, err := a.in(blue).PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretBinary: []byte(text), VersionStages: []string{"next"}})
		a.must(nil, err)
		return out
	}
	if got := stage("one").VersionStages; !slices.Equal(got, []string{"AWSCURRENT", "next"}) {
		t.Errorf("the first version has %v", got)
	}
	if got := stage("two").VersionStages; !slices.Equal(got, []string{"next"}) {
		t.Errorf("the second version has %v", got)
	}
	out, err := a.in(blue).GetSecretValue(t.Context(), &sdk.GetSecretValueInput{SecretId: aws.String("s")})
	if err != nil || string(out.SecretBinary) != "one" || out.SecretString != nil {
		t.Errorf("%+v, %v", out, err)
	}
	for range 120 {
		_, err := a.put(blue, "s", "n")
		a.must(nil, err)
	}
	all, err := a.in(blue).ListSecretVersionIds(t.Context(), &sdk.ListSecretVersionIdsInput{SecretId: aws.String("s"), IncludeDeprecated: aws.Bool(true)})
	if err != nil || len(all.Versions) != 100 {
		t.Errorf("%d versions are kept, %v", len(all.Versions), err)
	}
	if out, err := a.in(blue).GetSecretValue(t.Context(), &sdk.GetSecretValueInput{SecretId: aws.String("s"), VersionStage: aws.String("next")}); err != nil || string(out.SecretBinary) != "two" {
		t.Errorf("a labelled version was forgotten: %v", err)
	}
}

func TestDeletionTakesItsWindow(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := a.in(blue)
	a.create(sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")})
	remove := func(days *int64, force bool) (*sdk.DeleteSecretOutput, error) {
		return c.DeleteSecret(t.Context(), &sdk.DeleteSecretInput{SecretId: aws.String("s"), RecoveryWindowInDays: days, ForceDeleteWithoutRecovery: &force})
	}
	for _, days := range []int64{0, 6, 31} {
		_, err := remove(&days, false)
		a.refused("a window of "+fmt.Sprint(days), "InvalidParameterException", "between 7 and 30", err)
	}
	_, err := remove(aws.Int64(7), true)
	a.refused("force with a window", "InvalidParameterException", "in conjunction", err)
	out, err := remove(aws.Int64(7), false)
	if err != nil || !out.DeletionDate.Equal(a.now.Now().Add(7*day)) {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = a.get(blue, "s")
	a.refused("read", "InvalidRequestException", "marked for deletion", err)
	_, err = a.put(blue, "s", "w")
	a.refused("write", "InvalidRequestException", "marked for deletion", err)
	_, err = c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("s")})
	a.refused("create again", "InvalidRequestException", "already scheduled for deletion", err)
	_, err = remove(aws.Int64(7), false)
	a.refused("delete again", "InvalidRequestException", "already scheduled for deletion", err)
	if got := a.describe(blue, "s").DeletedDate; got == nil {
		t.Error("no DeletedDate")
	}
	a.lists("while it is marked", nil, "")
	a.lists("with the marked", aws.Bool(true), "s")
	_, err = c.RestoreSecret(t.Context(), &sdk.RestoreSecretInput{SecretId: aws.String("s")})
	a.must(nil, err)
	if got, err := a.get(blue, "s"); got != "v" || err != nil {
		t.Errorf("restored: %q, %v", got, err)
	}
	_, err = remove(nil, false)
	a.must(nil, err)
	a.now.Advance(30*day - time.Second)
	a.describe(blue, "s")
	a.now.Advance(time.Second)
	_, err = c.DescribeSecret(t.Context(), &sdk.DescribeSecretInput{SecretId: aws.String("s")})
	a.refused("after the window", "ResourceNotFoundException", "", err)
	a.create(sdk.CreateSecretInput{Name: aws.String("s")})
	for range 2 { // what is not there can be forced too
		_, err = remove(nil, true)
		a.must(nil, err)
	}
	_, err = remove(nil, false)
	a.refused("what is not there", "ResourceNotFoundException", "", err)
}

func (a *account) lists(what string, planned *bool, want string, filters ...types.Filter) {
	a.Helper()
	out, err := a.in(blue).ListSecrets(a.Context(), &sdk.ListSecretsInput{IncludePlannedDeletion: planned, Filters: filters, MaxResults: aws.Int32(100)})
	if err != nil {
		a.Fatal(err)
	}
	var names []string
	for _, x := range out.SecretList {
		names = append(names, *x.Name)
	}
	if got := strings.Join(names, " "); got != want {
		a.Errorf("%s: lists %q, want %q", what, got, want)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, name := range []string{"b/one", "a/two", "a/three"} {
		a.now.Advance(time.Minute)
		a.create(sdk.CreateSecretInput{Name: &name, Tags: []types.Tag{{Key: aws.String("Of"), Value: aws.String(name[:1])}}})
	}
	a.lists("all", nil, "b/one a/two a/three")
	a.lists("by name", nil, "a/two a/three", types.Filter{Key: "name", Values: []string{"a/"}})
	a.lists("not by name", nil, "b/one", types.Filter{Key: "name", Values: []string{"!a/"}})
	a.lists("by tag", nil, "b/one", types.Filter{Key: "tag-key", Values: []string{"Of"}}, types.Filter{Key: "tag-value", Values: []string{"b"}})
	_, err := a.in(blue).ListSecrets(t.Context(), &sdk.ListSecretsInput{Filters: []types.Filter{{Key: "all", Values: []string{"x"}}}})
	a.refused("a filter that is not there", "InvalidParameterException", "all", err)
	pages := sdk.NewListSecretsPaginator(a.in(blue), &sdk.ListSecretsInput{MaxResults: aws.Int32(2), SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeDesc})
	var names []string
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.SecretList {
			names = append(names, *x.Name)
		}
	}
	if diff := cmp.Diff([]string{"b/one", "a/two", "a/three"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestUpdateChangesWhatItNames(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := a.in(blue)
	a.create(sdk.CreateSecretInput{Name: aws.String("s"), Description: aws.String("old"), SecretString: aws.String("v")})
	out, err := c.UpdateSecret(t.Context(), &sdk.UpdateSecretInput{SecretId: aws.String("s"), Description: aws.String("new"), KmsKeyId: aws.String("alias/data")})
	if err != nil || out.VersionId != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	if d := a.describe(blue, "s"); *d.Description != "new" || *d.KmsKeyId != "alias/data" || len(d.VersionIdsToStages) != 1 {
		t.Errorf("%+v", d)
	}
	out, err = c.UpdateSecret(t.Context(), &sdk.UpdateSecretInput{SecretId: aws.String("s"), SecretString: aws.String("w")})
	if err != nil || out.VersionId == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	if got, err := a.get(blue, "s"); got != "w" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err = c.UpdateSecret(t.Context(), &sdk.UpdateSecretInput{SecretId: aws.String("s"), KmsKeyId: aws.String("alias/other"), SecretString: aws.String("x"), ClientRequestToken: out.VersionId})
	a.refused("a token that is taken", "ResourceExistsException", "", err)
	if got := *a.describe(blue, "s").KmsKeyId; got != "alias/data" {
		t.Errorf("a refused update left the key %s", got)
	}
	a.must(c.TagResource(t.Context(), &sdk.TagResourceInput{SecretId: aws.String("s"), Tags: []types.Tag{{Key: aws.String("A"), Value: aws.String("1")}, {Key: aws.String("B"), Value: aws.String("2")}}}))
	a.must(c.UntagResource(t.Context(), &sdk.UntagResourceInput{SecretId: aws.String("s"), TagKeys: []string{"A"}}))
	if d := a.describe(blue, "s"); len(d.Tags) != 1 || *d.Tags[0].Key != "B" || *d.Description != "new" {
		t.Errorf("%+v", d)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := a.in(blue)
	a.create(sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")})
	big := strings.Repeat("x", 65_537)
	for name, tt := range map[string]struct {
		code string
		call func() (any, error)
	}{
		"taken": {"ResourceExistsException", func() (any, error) { return c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("s")}) }},
		"name": {"ValidationException", func() (any, error) {
			return c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("a b")})
		}},
		"two values": {"InvalidParameterException", func() (any, error) {
			return c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("a"), SecretBinary: []byte("a")})
		}},
		"no value": {"InvalidRequestException", func() (any, error) {
			return c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s")})
		}},
		"large": {"InvalidParameterException", func() (any, error) {
			return c.PutSecretValue(t.Context(), &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: &big})
		}},
		"rotation": {"UnknownOperationException", func() (any, error) {
			return c.RotateSecret(t.Context(), &sdk.RotateSecretInput{SecretId: aws.String("s")})
		}},
		"a batch": {"UnknownOperationException", func() (any, error) { return c.BatchGetSecretValue(t.Context(), &sdk.BatchGetSecretValueInput{}) }},
		"external": {"InvalidParameterException", func() (any, error) {
			return c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("t"), Type: aws.String("x")})
		}},
		"own region": {"InvalidParameterException", func() (any, error) {
			return c.CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("t"), AddReplicaRegions: []types.ReplicaRegionType{{Region: aws.String(blue)}}})
		}},
		"no policy": {"MalformedPolicyDocumentException", func() (any, error) {
			return c.PutResourcePolicy(t.Context(), &sdk.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: aws.String("{}")})
		}},
		"public policy": {"PublicPolicyException", func() (any, error) {
			return c.PutResourcePolicy(t.Context(), &sdk.PutResourcePolicyInput{SecretId: aws.String("s"), BlockPublicPolicy: aws.Bool(true), ResourcePolicy: aws.String(policy(`{"AWS":"*"}`))})
		}},
	} {
		_, err := tt.call()
		a.refused(name, tt.code, "", err)
	}
	if got, err := a.get(blue, "s"); got != "v" || err != nil {
		t.Errorf("after what was refused: %q, %v", got, err)
	}
}

func policy(principal string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
}

func TestResourcePolicy(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := a.in(blue)
	a.create(sdk.CreateSecretInput{Name: aws.String("s")})
	read := func() string {
		out, err := c.GetResourcePolicy(t.Context(), &sdk.GetResourcePolicyInput{SecretId: aws.String("s")})
		a.must(nil, err)
		return aws.ToString(out.ResourcePolicy)
	}
	want := policy(`{"AWS":"arn:aws:iam::000000000000:root"}`)
	if read() != "" {
		t.Error("a new secret has a policy")
	}
	a.must(c.PutResourcePolicy(t.Context(), &sdk.PutResourcePolicyInput{SecretId: aws.String("s"), BlockPublicPolicy: aws.Bool(true), ResourcePolicy: &want}))
	if got := read(); got != want {
		t.Errorf("policy %s", got)
	}
	a.must(c.DeleteResourcePolicy(t.Context(), &sdk.DeleteResourcePolicyInput{SecretId: aws.String("s")}))
	if read() != "" {
		t.Error("the policy was not deleted")
	}
}
