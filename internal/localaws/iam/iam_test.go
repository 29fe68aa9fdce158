package iam_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	trust   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com","AWS":"000000000000"},"Action":"sts:AssumeRole"}]}`
	rights  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"arn:aws:logs:*:*:a b+c"}}`
	managed = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type fixture struct {
	*sdk.Client
	service *iam.Service
	url     string
	keys    map[string]string // KMS keys: ARN -> policy
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	f := fixture{keys: map[string]string{}}
	f.service = iam.New(iam.Options{Clock: clock.NewManual(start), KeyPolicy: func(id string) (string, string, bool) {
		if id == alias {
			id = key
		}
		document, ok := f.keys[id]
		return id, document, ok
	}})
	handler := f.service.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, region, key, err := wire.Scope(r)
		if err != nil && iam.WebIdentity(r) {
			service, err = "sts", nil
		}
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: service, Region: region, AccessKeyID: key, RequestID: "r", Now: start})))
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	f.Client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(f.url), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	return f
}

func (f fixture) sts(key string) *sts.Client {
	return sts.New(sts.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(f.url), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, "secret", ""),
	})
}

func (f fixture) role(t *testing.T) *types.Role {
	t.Helper()
	out, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{
		RoleName: aws.String("api"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trust), Description: aws.String("d"),
		PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/Boundary"),
		Tags:                []types.Tag{{Key: aws.String("Owner"), Value: aws.String("team")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Role
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

func TestARoleIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.role(t)
	out, err := f.GetRole(t.Context(), &sdk.GetRoleInput{RoleName: aws.String("api")})
	if err != nil {
		t.Fatal(err)
	}
	r := out.Role
	document, err := url.PathUnescape(*r.AssumeRolePolicyDocument)
	if err != nil || document != trust {
		t.Errorf("trust policy %s: %v", document, err)
	}
	if *r.Arn != "arn:aws:iam::000000000000:role/team/api" || *r.Description != "d" || *r.MaxSessionDuration != 3600 || !r.CreateDate.Equal(start) {
		t.Errorf("role %+v", r)
	}
	if r.PermissionsBoundary == nil || *r.PermissionsBoundary.PermissionsBoundaryArn != "arn:aws:iam::aws:policy/Boundary" {
		t.Errorf("boundary %+v", r.PermissionsBoundary)
	}
	if _, err := f.TagRole(t.Context(), &sdk.TagRoleInput{RoleName: aws.String("api"), Tags: []types.Tag{{Key: aws.String("Purpose"), Value: aws.String("p")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UntagRole(t.Context(), &sdk.UntagRoleInput{RoleName: aws.String("api"), TagKeys: []string{"Owner"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := f.ListRoleTags(t.Context(), &sdk.ListRoleTagsInput{RoleName: aws.String("api")})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "Purpose" {
		t.Errorf("tags %+v: %v", tags, err)
	}
	_, err = f.UpdateRole(t.Context(), &sdk.UpdateRoleInput{RoleName: aws.String("api"), MaxSessionDuration: aws.Int32(60)})
	wantCode(t, err, "ValidationError")
	if _, err := f.UpdateRole(t.Context(), &sdk.UpdateRoleInput{RoleName: aws.String("api"), MaxSessionDuration: aws.Int32(7200)}); err != nil {
		t.Fatal(err)
	}
	listed, err := f.ListRoles(t.Context(), &sdk.ListRolesInput{PathPrefix: aws.String("/team/")})
	if err != nil || len(listed.Roles) != 1 || *listed.Roles[0].MaxSessionDuration != 7200 || *listed.Roles[0].Description != "d" {
		t.Errorf("roles %+v: %v", listed, err)
	}
}

func TestPoliciesHoldARoleBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.role(t)
	name := aws.String("api")
	if _, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("own"), PolicyDocument: aws.String(rights)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.AttachRolePolicy(t.Context(), &sdk.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String(managed)}); err != nil {
		t.Fatal(err)
	}
	got, err := f.GetRolePolicy(t.Context(), &sdk.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("own")})
	if err != nil {
		t.Fatal(err)
	}
	if document, err := url.PathUnescape(*got.PolicyDocument); err != nil || document != rights {
		t.Errorf("policy %s: %v", document, err)
	}
	attached, err := f.ListAttachedRolePolicies(t.Context(), &sdk.ListAttachedRolePoliciesInput{RoleName: name})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyArn != managed {
		t.Errorf("attached %+v: %v", attached, err)
	}
	remove := func() error {
		_, err := f.DeleteRole(t.Context(), &sdk.DeleteRoleInput{RoleName: name})
		return err
	}
	// Each kind of policy alone holds it back.
	if _, err := f.DeleteRolePolicy(t.Context(), &sdk.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("own")}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove(), "DeleteConflict")
	if _, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("own"), PolicyDocument: aws.String(rights)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.DetachRolePolicy(t.Context(), &sdk.DetachRolePolicyInput{RoleName: name, PolicyArn: aws.String(managed)}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove(), "DeleteConflict")
	if _, err := f.DeleteRolePolicy(t.Context(), &sdk.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("own")}); err != nil {
		t.Fatal(err)
	}
	inline, err := f.ListRolePolicies(t.Context(), &sdk.ListRolePoliciesInput{RoleName: name})
	if err != nil || len(inline.PolicyNames) != 0 {
		t.Errorf("inline %+v: %v", inline, err)
	}
	profiles, err := f.ListInstanceProfilesForRole(t.Context(), &sdk.ListInstanceProfilesForRoleInput{RoleName: name})
	if err != nil || len(profiles.InstanceProfiles) != 0 {
		t.Errorf("profiles %+v: %v", profiles, err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove(), "NoSuchEntity")
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.role(t)
	create := func(name, document string) error {
		_, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(document)})
		return err
	}
	put := func(name, document string) error {
		_, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: aws.String("api"), PolicyName: aws.String(name), PolicyDocument: aws.String(document)})
		return err
	}
	wantCode(t, create("api", trust), "EntityAlreadyExists")
	wantCode(t, create(strings.Repeat("x", 65), trust), "ValidationError")
	for _, document := range []string{`{`, `[]`, `{"Version":"2012-10-17"}`, `{"Version":"2020-01-01","Statement":[]}`, rights} {
		wantCode(t, create("other", document), "MalformedPolicyDocument")
	}
	for _, document := range []string{`x`, trust, `{"Version":"2012-10-17","Statement":[{"Effect":"Maybe","Action":"*","Resource":"*"}]}`} {
		wantCode(t, put("own", document), "MalformedPolicyDocument")
	}
	wantCode(t, put("a/b", rights), "ValidationError")
	wantCode(t, put("own", strings.Replace(rights, "a b+c", strings.Repeat("x", 10_240), 1)), "LimitExceeded")
	_, err := f.AttachRolePolicy(t.Context(), &sdk.AttachRolePolicyInput{RoleName: aws.String("api"), PolicyArn: aws.String("arn:aws:iam::aws:policy/Absent")})
	wantCode(t, err, "NoSuchEntity")
	_, err = f.CreateUser(t.Context(), &sdk.CreateUserInput{UserName: aws.String("u")})
	wantCode(t, err, "InvalidAction")
	policy, err := f.GetPolicy(t.Context(), &sdk.GetPolicyInput{PolicyArn: aws.String(managed)})
	if err != nil || *policy.Policy.DefaultVersionId != "v1" {
		t.Errorf("managed policy %+v: %v", policy, err)
	}
	version, err := f.GetPolicyVersion(t.Context(), &sdk.GetPolicyVersionInput{PolicyArn: aws.String(managed), VersionId: aws.String("v1")})
	if err != nil || !strings.Contains(*version.PolicyVersion.Document, "logs%3APutLogEvents") {
		t.Errorf("managed policy's version %+v: %v", version, err)
	}
}

func TestSessionsBelongToTheirRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	role := f.role(t)
	who := func(key string) string {
		t.Helper()
		out, err := f.sts(key).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Account != wire.Account {
			t.Errorf("account %s", *out.Account)
		}
		return *out.Arn
	}
	if arn, bound := f.service.RoleOf("test"); bound {
		t.Errorf("the administrator has the role %s", arn)
	}
	keys := map[string]bool{}
	for _, name := range []string{"ci-1", "ci-2"} {
		out, err := f.sts("test").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: aws.String(name)})
		if err != nil {
			t.Fatal(err)
		}
		key := *out.Credentials.AccessKeyId
		keys[key] = true
		if arn, bound := f.service.RoleOf(key); !bound || arn != *role.Arn {
			t.Errorf("the session's role is %q", arn)
		}
		if diff := cmp.Diff("arn:aws:sts::000000000000:assumed-role/api/"+name, who(key)); diff != "" {
			t.Error(diff)
		}
		if !out.Credentials.Expiration.Equal(start.Add(time.Hour)) {
			t.Errorf("expires at %v", out.Credentials.Expiration)
		}
	}
	if len(keys) != 2 {
		t.Error("two sessions share an access key")
	}
	key, _, _, err := f.service.SessionFor(*role.Arn)
	if again, _, _, _ := f.service.SessionFor(*role.Arn); err != nil || again != key || keys[key] {
		t.Errorf("the function's key %s, then %s, sessions %v: %v", key, again, keys, err)
	}
	_, err = f.sts("test").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(*role.Arn + "x"), RoleSessionName: aws.String("ci")})
	wantCode(t, err, "AccessDenied")
	_, err = f.sts("test").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: aws.String("ci"), DurationSeconds: aws.Int32(7200)})
	wantCode(t, err, "ValidationError")
	_, err = f.sts("test").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: aws.String("a b")})
	wantCode(t, err, "ValidationError")
}

func TestManagedPoliciesOfTheAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.role(t)
	long := func(n int) *string { // of n characters, white space apart
		text := statement("Allow", "s3:GetObject", "@", "")
		return aws.String(" \n" + strings.Replace(text, "@", "arn:aws:s3:::"+strings.Repeat("x", n-len(text)-len("arn:aws:s3:::")+1), 1))
	}
	create := func(name string, document *string) (*string, error) {
		out, err := f.CreatePolicy(t.Context(), &sdk.CreatePolicyInput{PolicyName: &name, PolicyDocument: document})
		if err != nil {
			return nil, err
		}
		return out.Policy.Arn, nil
	}
	attach := func(arn *string) error {
		_, err := f.AttachRolePolicy(t.Context(), &sdk.AttachRolePolicyInput{RoleName: aws.String("api"), PolicyArn: arn})
		return err
	}
	_, err := create("p", long(6145))
	wantCode(t, err, "LimitExceeded")
	_, err = create("p", aws.String("{}"))
	wantCode(t, err, "MalformedPolicyDocument")
	_, err = create("a b", long(200))
	wantCode(t, err, "ValidationError")
	wantCode(t, attach(aws.String("arn:aws:iam::000000000000:policy/p")), "NoSuchEntity")
	first, err := create("p", long(6144))
	if err != nil || *first != "arn:aws:iam::000000000000:policy/p" {
		t.Fatal(first, err)
	}
	_, err = create("P", long(200))
	wantCode(t, err, "EntityAlreadyExists")
	for i := range 10 {
		arn := first
		if i > 0 {
			if arn, err = create(strings.Repeat("q", i), long(200)); err != nil {
				t.Fatal(err)
			}
		}
		if err := attach(arn); err != nil {
			t.Fatal(err)
		}
	}
	eleventh, err := create("eleventh", long(200))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, attach(eleventh), "LimitExceeded")
	_, err = f.DeletePolicy(t.Context(), &sdk.DeletePolicyInput{PolicyArn: first})
	wantCode(t, err, "DeleteConflict")
	read, err := f.GetPolicyVersion(t.Context(), &sdk.GetPolicyVersionInput{PolicyArn: first, VersionId: aws.String("v1")})
	if err != nil || !strings.Contains(*read.PolicyVersion.Document, "s3%3AGetObject") {
		t.Error(read, err)
	}
	if _, err := f.DetachRolePolicy(t.Context(), &sdk.DetachRolePolicyInput{RoleName: aws.String("api"), PolicyArn: first}); err != nil {
		t.Error(err)
	}
	if _, err := f.DeletePolicy(t.Context(), &sdk.DeletePolicyInput{PolicyArn: first}); err != nil {
		t.Error(err)
	}
	_, err = f.GetPolicy(t.Context(), &sdk.GetPolicyInput{PolicyArn: first})
	wantCode(t, err, "NoSuchEntity")
}
