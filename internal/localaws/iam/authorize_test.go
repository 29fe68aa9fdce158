package iam_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	table  = "arn:aws:dynamodb:eu-west-1:000000000000:table/items"
	key    = "arn:aws:kms:eu-west-1:000000000000:key/1"
	alias  = "arn:aws:kms:eu-west-1:000000000000:alias/mine" // of the key
	apiARN = "arn:aws:iam::000000000000:role/team/api"
	issuer = "token.actions.githubusercontent.com"
)

func statement(effect, action, resource, more string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Action":%q,"Resource":%q%s}]}`, effect, action, resource, more)
}

// keyPolicy allows one principal all of KMS.
func keyPolicy(principal string) string {
	return statement("Allow", "kms:*", "*", `,"Principal":`+principal)
}

func (f fixture) put(t *testing.T, name, document string) {
	t.Helper()
	if _, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: aws.String("api"), PolicyName: aws.String(name), PolicyDocument: aws.String(document)}); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) session(t *testing.T) string {
	t.Helper()
	id, _, _, err := f.service.SessionFor(apiARN)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// message is the text of an AccessDeniedException, "" for none.
func message(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e := wire.AsError(err)
	if e.Code != "AccessDeniedException" {
		t.Fatalf("error %v", err)
	}
	return e.Message
}

func TestACallerMayDoWhatItsRoleAllows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("api"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		t.Fatal(err)
	}
	get := wire.Ask{AccessKeyID: f.session(t), Action: "dynamodb:GetItem", Resource: table}
	const user = "User: arn:aws:sts::000000000000:assumed-role/api/embedded is not authorized to perform: dynamodb:GetItem on resource: " + table
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"no policy", func() {}, user + " because no identity-based policy allows the dynamodb:GetItem action"},
		{"another action", func() { f.put(t, "own", statement("Allow", "dynamodb:PutItem", "*", "")) }, user + " because no identity-based policy allows the dynamodb:GetItem action"},
		{"allowed", func() { f.put(t, "own", statement("Allow", "dynamodb:GetItem", table, "")) }, ""},
		{"allowed by one of two", func() { f.put(t, "other", statement("Allow", "s3:*", "*", "")) }, ""},
		{"denied by one of two", func() { f.put(t, "other", statement("Deny", "dynamodb:*", "*", "")) }, user + " with an explicit deny in an identity-based policy"},
		{"the denial is gone", func() {
			if _, err := f.DeleteRolePolicy(t.Context(), &sdk.DeleteRolePolicyInput{RoleName: aws.String("api"), PolicyName: aws.String("other")}); err != nil {
				t.Fatal(err)
			}
		}, ""},
	}
	for _, step := range steps {
		step.do()
		if diff := cmp.Diff(step.want, message(t, f.service.Authorize(t.Context(), get))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	get.AccessKeyID = "test"
	f.put(t, "own", statement("Deny", "*", "*", ""))
	if err := f.service.Authorize(t.Context(), get); err != nil {
		t.Errorf("the root: %v", err)
	}
	get.AccessKeyID = "ASIAOFANOTHERWORLD"
	if err := f.service.Authorize(t.Context(), get); err == nil || wire.AsError(err).Code != "UnrecognizedClientException" {
		t.Errorf("a session that is gone: %v", err)
	}
}

func TestAttachedPoliciesAndBoundariesCount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, boundary := range map[string]*string{"free": nil, "bounded": aws.String(managed), "closed": aws.String("arn:aws:iam::aws:policy/Absent")} {
		if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trust), PermissionsBoundary: boundary}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.AttachRolePolicy(t.Context(), &sdk.AttachRolePolicyInput{RoleName: aws.String(name), PolicyArn: aws.String(managed)}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: aws.String(name), PolicyName: aws.String("own"), PolicyDocument: aws.String(statement("Allow", "dynamodb:*", "*", ""))}); err != nil {
			t.Fatal(err)
		}
	}
	type rights struct{ Logs, Items bool }
	got := map[string]rights{}
	for _, name := range []string{"free", "bounded", "closed"} {
		id, _, _, err := f.service.SessionFor("arn:aws:iam::000000000000:role/" + name)
		if err != nil {
			t.Fatal(err)
		}
		may := func(action string) bool {
			return f.service.Authorize(t.Context(), wire.Ask{AccessKeyID: id, Action: action, Resource: "arn:aws:x:::y"}) == nil
		}
		got[name] = rights{may("logs:PutLogEvents"), may("dynamodb:GetItem")}
	}
	if diff := cmp.Diff(map[string]rights{"free": {true, true}, "bounded": {true, false}, "closed": {}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAKeysOwnPolicyDecidesFirst(t *testing.T) {
	t.Parallel()
	const viaDynamoDB = `,"Condition":{"StringLike":{"kms:ViaService":"dynamodb.*.amazonaws.com"}}`
	tests := []struct {
		name, key, own string
		via            string
		want           string // of the message's end; "" is allowed
	}{
		{"both allow", keyPolicy(`{"AWS":"arn:aws:iam::000000000000:root"}`), statement("Allow", "kms:Decrypt", key, ""), "", ""},
		{"the key leaves it to the account", keyPolicy(`{"AWS":"arn:aws:iam::000000000000:root"}`), "", "", "no identity-based policy allows the kms:Decrypt action"},
		{"the key names the role", keyPolicy(`{"AWS":"` + apiARN + `"}`), "", "", ""},
		{"the key does not know the account", keyPolicy(`{"Service":"logs.eu-west-1.amazonaws.com"}`), statement("Allow", "kms:*", "*", ""), "", "no resource-based policy allows the kms:Decrypt action"},
		{"the key names the role, which denies", keyPolicy(`{"AWS":"` + apiARN + `"}`), statement("Deny", "kms:*", "*", ""), "", "with an explicit deny in an identity-based policy"},
		{"the key denies", statement("Deny", "kms:Decrypt", "*", `,"Principal":"*"`), statement("Allow", "kms:*", "*", ""), "", "with an explicit deny in a resource-based policy"},
		{"through the service", keyPolicy(`{"AWS":"000000000000"}`), statement("Allow", "kms:Decrypt", key, viaDynamoDB), "dynamodb.eu-west-1.amazonaws.com", ""},
		{"directly", keyPolicy(`{"AWS":"000000000000"}`), statement("Allow", "kms:Decrypt", key, viaDynamoDB), "", "no identity-based policy allows the kms:Decrypt action"},
		{"no such key", "", statement("Allow", "kms:*", "*", ""), "", "no resource-based policy allows the kms:Decrypt action"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("api"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
				t.Fatal(err)
			}
			if test.key != "" {
				f.keys[key] = test.key
			}
			if test.own != "" {
				f.put(t, "own", test.own)
			}
			ask := wire.Ask{AccessKeyID: f.session(t), Action: "kms:Decrypt", Resource: key}
			if test.via != "" {
				ask.Keys = map[string][]string{"kms:viaservice": {test.via}}
			}
			for _, ask.Resource = range []string{key, alias} { // an alias stands for its key
				got := message(t, f.service.Authorize(t.Context(), ask))
				if (got == "") != (test.want == "") || !strings.HasSuffix(got, test.want) {
					t.Errorf("%s: %q, want %q", ask.Resource, got, test.want)
				}
			}
		})
	}
}

// What concerns an alias as such is not a matter of key policies.
func TestAliasesAreNoKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("api"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		t.Fatal(err)
	}
	f.put(t, "own", statement("Allow", "kms:*", "*", ""))
	for _, ask := range []wire.Ask{
		{Action: "kms:CreateAlias", Resource: alias}, {Action: "kms:ListKeys", Resource: "*"},
		{Action: "kms:Decrypt", Resource: "arn:aws:kms:eu-west-1:000000000000:alias/aws/dynamodb"},
	} {
		ask.AccessKeyID = f.session(t)
		if err := f.service.Authorize(t.Context(), ask); err != nil {
			t.Errorf("%s: %v", ask.Action, err)
		}
	}
}

func TestServicesActByARoleThatTrustsThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.keys[key] = keyPolicy(`{"Service":"logs.eu-west-1.amazonaws.com"}`)
	if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("api"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		t.Fatal(err)
	}
	f.put(t, "own", statement("Allow", "s3:ReplicateObject", "*", ""))
	ask := wire.Ask{Action: "s3:ReplicateObject", Resource: "arn:aws:s3:::b/k"}
	for name, try := range map[string]struct {
		service, role string
		ask           wire.Ask
		allowed       bool
	}{
		"trusted and allowed":     {"lambda.amazonaws.com", apiARN, ask, true},
		"not trusted":             {"s3.amazonaws.com", apiARN, ask, false},
		"not allowed":             {"lambda.amazonaws.com", apiARN, wire.Ask{Action: "s3:ReplicateDelete", Resource: ask.Resource}, false},
		"no such role":            {"lambda.amazonaws.com", apiARN + "x", ask, false},
		"the role's path differs": {"lambda.amazonaws.com", "arn:aws:iam::000000000000:role/api", ask, false},
	} {
		if err := f.service.RoleAuthorizer(try.service)(t.Context(), try.role, try.ask); (message(t, err) == "") != try.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
	logs := f.service.ServiceAuthorizer(func(region string) string { return "logs." + region + ".amazonaws.com" })
	for region, allowed := range map[string]bool{"eu-west-1": true, "eu-central-1": false} {
		if err := logs(t.Context(), region, wire.Ask{Action: "kms:Encrypt", Resource: key}); (message(t, err) == "") != allowed {
			t.Errorf("logs in %s: %v", region, err)
		}
	}
	if err := logs(t.Context(), "eu-west-1", wire.Ask{Action: "kms:Encrypt", Resource: key + "2"}); message(t, err) == "" {
		t.Error("a key that is not there was allowed")
	}
}

func TestLambdaMustBeTrusted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("other"), AssumeRolePolicyDocument: aws.String(strings.Replace(trust, "lambda.", "s3.", 1))}); err != nil {
		t.Fatal(err)
	}
	for _, arn := range []string{"arn:aws:iam::000000000000:role/other", apiARN} {
		_, _, _, err := f.service.SessionFor(arn)
		if diff := cmp.Diff("The role defined for the function cannot be assumed by Lambda.", message(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", arn, diff)
		}
	}
}

func TestIAMItselfIsGuarded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.role(t) // with a boundary that allows nothing
	if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("ci"), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: aws.String("ci"), PolicyName: aws.String("own"), PolicyDocument: aws.String(statement("Allow", "iam:GetRole", apiARN, ""))}); err != nil {
		t.Fatal(err)
	}
	id, secret, token, err := f.service.SessionFor("arn:aws:iam::000000000000:role/ci")
	if err != nil {
		t.Fatal(err)
	}
	as := sdk.New(sdk.Options{Region: "us-east-1", BaseEndpoint: aws.String(f.url), RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(id, secret, token)})
	if _, err := as.GetRole(t.Context(), &sdk.GetRoleInput{RoleName: aws.String("api")}); err != nil {
		t.Error(err)
	}
	_, err = as.GetRole(t.Context(), &sdk.GetRoleInput{RoleName: aws.String("ci")})
	wantCode(t, err, "AccessDenied")
	_, err = as.DeleteRole(t.Context(), &sdk.DeleteRoleInput{RoleName: aws.String("api")})
	wantCode(t, err, "AccessDenied")
	_, err = as.ListRoles(t.Context(), &sdk.ListRolesInput{})
	wantCode(t, err, "AccessDenied")
}

func TestATrustPolicyDecidesWhoAssumesARole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	role := func(name, principal string) *string {
		t.Helper()
		out, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal + `}]}`)})
		if err != nil {
			t.Fatal(err)
		}
		return out.Role.Arn
	}
	caller := role("caller", `{"Service":"lambda.amazonaws.com"}`)
	account, itself, service := role("account", `{"AWS":"000000000000"}`), role("itself", `{"AWS":"`+*caller+`"}`), role("service", `{"Service":"s3.amazonaws.com"}`)
	session, _, _, err := f.service.SessionFor(*caller)
	if err != nil {
		t.Fatal(err)
	}
	may := func(key string, role *string) bool {
		_, err := f.sts(key).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("ci")})
		if err != nil {
			wantCode(t, err, "AccessDenied")
		}
		return err == nil
	}
	type answers struct{ Account, Itself, Service bool }
	all := func(key string) answers {
		return answers{may(key, account), may(key, itself), may(key, service)}
	}
	if diff := cmp.Diff(answers{Account: true}, all("test")); diff != "" {
		t.Errorf("the root (-want +got):\n%s", diff)
	}
	// Named itself it needs no right of its own, through its account it does.
	if diff := cmp.Diff(answers{Itself: true}, all(session)); diff != "" {
		t.Errorf("a session (-want +got):\n%s", diff)
	}
	if _, err := f.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: aws.String("caller"), PolicyName: aws.String("own"), PolicyDocument: aws.String(statement("Allow", "sts:AssumeRole", *account, ""))}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(answers{Account: true, Itself: true}, all(session)); diff != "" {
		t.Errorf("a session with the right (-want +got):\n%s", diff)
	}
	_, err = f.sts("test").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: account, RoleSessionName: aws.String("ci"), Policy: aws.String("{}")})
	wantCode(t, err, "ValidationError")
}

// token is a JSON Web Token that nobody has signed.
func token(t *testing.T, claims map[string]any) *string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return aws.String(encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + "." + encode([]byte("signature")))
}

func TestAWebIdentityAssumesARoleByItsClaims(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	provider, err := f.CreateOpenIDConnectProvider(t.Context(), &sdk.CreateOpenIDConnectProviderInput{Url: aws.String("https://" + issuer), ClientIDList: []string{"sts.amazonaws.com"}})
	if err != nil {
		t.Fatal(err)
	}
	role, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("deploy"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
		"Principal":{"Federated":"` + *provider.OpenIDConnectProviderArn + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"` + issuer + `:aud":"sts.amazonaws.com","` + issuer + `:sub":"repo:org/app:environment:production"}}}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{"iss": "https://" + issuer, "aud": "sts.amazonaws.com", "sub": "repo:org/app:environment:production", "exp": start.Add(time.Minute).Unix()}
	with := func(name string, value any) map[string]any {
		changed := map[string]any{}
		for k, v := range good {
			changed[k] = v
		}
		changed[name] = value
		return changed
	}
	assume := func(token *string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		return f.sts("unused").AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("run-1"), WebIdentityToken: token})
	}
	out, err := assume(token(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if *out.SubjectFromWebIdentityToken != "repo:org/app:environment:production" || *out.Provider != *provider.OpenIDConnectProviderArn || *out.Audience != "sts.amazonaws.com" {
		t.Errorf("%+v", out)
	}
	who, err := f.sts(*out.Credentials.AccessKeyId).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != "arn:aws:sts::000000000000:assumed-role/deploy/run-1" || *who.Arn != *out.AssumedRoleUser.Arn {
		t.Errorf("%+v: %v", who, err)
	}
	for code, tokens := range map[string][]*string{
		"AccessDenied": {token(t, with("sub", "repo:org/app:pull_request"))},
		"InvalidIdentityToken": {
			token(t, with("iss", "https://example.com")), token(t, with("aud", []string{"other"})), token(t, with("sub", "")), aws.String("a.b.c"), aws.String("nonsense"),
		},
		"ExpiredTokenException": {token(t, with("exp", start.Unix()))},
	} {
		for _, token := range tokens {
			_, err := assume(token)
			wantCode(t, err, code)
		}
	}
	// The token opens this door only.
	_, err = f.sts("test").AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("run-1")})
	wantCode(t, err, "AccessDenied")
}

func TestIdentityProviders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	create := func(url string) error {
		_, err := f.CreateOpenIDConnectProvider(t.Context(), &sdk.CreateOpenIDConnectProviderInput{Url: aws.String(url), ClientIDList: []string{"a", "b"}, ThumbprintList: []string{"t"}})
		return err
	}
	if err := create("https://" + issuer); err != nil {
		t.Fatal(err)
	}
	wantCode(t, create("https://"+issuer), "EntityAlreadyExists")
	wantCode(t, create("http://"+issuer), "InvalidInput")
	listed, err := f.ListOpenIDConnectProviders(t.Context(), &sdk.ListOpenIDConnectProvidersInput{})
	if err != nil || len(listed.OpenIDConnectProviderList) != 1 {
		t.Fatalf("%+v: %v", listed, err)
	}
	arn := listed.OpenIDConnectProviderList[0].Arn
	got, err := f.GetOpenIDConnectProvider(t.Context(), &sdk.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{issuer, []string{"a", "b"}, []string{"t"}, true}, []any{*got.Url, got.ClientIDList, got.ThumbprintList, got.CreateDate.Equal(start)}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := f.DeleteOpenIDConnectProvider(t.Context(), &sdk.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}); err != nil {
		t.Fatal(err)
	}
	_, err = f.GetOpenIDConnectProvider(t.Context(), &sdk.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	wantCode(t, err, "NoSuchEntity")
}

var _ wire.Authorizer = (&iam.Service{}).Authorize
