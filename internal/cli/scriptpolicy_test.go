package cli_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/localaws/policy"
)

// github is the issuer of the tokens of GitHub's jobs.
const github = "https://token.actions.githubusercontent.com"

// right is one element of a role's policies that could be taken out of them.
type right struct {
	part, sid, element string
	without            []string // the policies, with something else in its place
}

func (r right) String() string { return r.part + "/" + r.sid + " " + r.element }

// printed is one of the policies that 'tapctl policy' printed; the document is
// JSON of no particular shape.
type printed struct {
	part, name string
	document   map[string]any
}

func written(ts *testscript.TestScript, file string) (all []printed) {
	report := decode(ts, file).(map[string]any)
	policies, ok := report["policies"].([]any)
	want(ts, ok, "a file with what 'tapctl policy -o json' printed")
	for _, p := range policies {
		p := p.(map[string]any)
		all = append(all, printed{p["part"].(string), p["name"].(string), p["document"].(map[string]any)})
	}
	return all
}

func texts(ts *testscript.TestScript, policies []printed) (all []string) {
	for _, p := range policies {
		all = append(all, encoded(ts, p.document))
	}
	return all
}

func encoded(ts *testscript.TestScript, value any) string {
	text, err := json.Marshal(value)
	ts.Check(err)
	return string(text)
}

// rights are those of a role's policies: their actions, their resources and the
// values of their conditions. The operator Null grants nothing.
func rights(ts *testscript.TestScript, policies []printed) []right {
	var all []right
	for _, p := range policies {
		for _, s := range p.document["Statement"].([]any) {
			s := s.(map[string]any)
			note := func(element any) {
				all = append(all, right{p.part, s["Sid"].(string), element.(string), texts(ts, policies)})
			}
			take := func(list []any, other string) {
				for i, element := range list {
					list[i] = other
					note(element)
					list[i] = element
				}
			}
			take(s["Action"].([]any), "none:None")
			take(s["Resource"].([]any), "arn:aws:none:::none")
			operators, _ := s["Condition"].(map[string]any)
			for operator, keys := range operators {
				for key, values := range keys.(map[string]any) {
					other := "none"
					if operator == "Bool" { // which knows two values alone
						other = "false"
					}
					if list, many := values.([]any); many && operator != "Null" {
						take(list, other)
					} else if operator != "Null" {
						keys.(map[string]any)[key] = other
						note(values)
						keys.(map[string]any)[key] = values
					}
				}
			}
		}
	}
	return all
}

// role makes a role of what 'tapctl policy --repo' printed, trust included,
// and the identity provider that the trust names. The policies are attached as
// managed ones, under the role's own names. One that is there gets these
// instead, without the right that is named.
func role(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "role NAME FILE [PART/SID ELEMENT]")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := iam.NewFromConfig(account(ctx, ts, "us-east-1"))
	_, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(github), ClientIDList: []string{"sts.amazonaws.com"}})
	if _, there := errors.AsType[*iamtypes.EntityAlreadyExistsException](err); !there {
		ts.Check(err)
	}
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &args[0], AssumeRolePolicyDocument: aws.String(encoded(ts, decode(ts, args[1]).(map[string]any)["trust"]))})
	if _, there := errors.AsType[*iamtypes.EntityAlreadyExistsException](err); !there {
		ts.Check(err)
	}
	policies := written(ts, args[1])
	documents := texts(ts, policies)
	if len(args) == 4 {
		i := slices.IndexFunc(rights(ts, policies), func(r right) bool { return r.String() == args[2]+" "+args[3] })
		want(ts, i >= 0, "role NAME FILE PART/SID ELEMENT, of the policy")
		documents = rights(ts, policies)[i].without
	}
	had, err := client.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &args[0]})
	ts.Check(err)
	for _, p := range had.AttachedPolicies {
		_, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &args[0], PolicyArn: p.PolicyArn})
		ts.Check(err)
		_, err = client.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: p.PolicyArn})
		ts.Check(err)
	}
	for i, p := range policies {
		made, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(args[0] + "-" + p.name), PolicyDocument: &documents[i]})
		ts.Check(err)
		_, err = client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &args[0], PolicyArn: made.Policy.Arn})
		ts.Check(err)
	}
}

// assume makes all that follows run under the role, the way a job of GitHub
// comes to it: by a token with this subject. With !, the role must not let it
// in. 'assume root' is the account again.
func assume(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 2 || len(args) == 1 && args[0] == "root", "[!] assume NAME SUBJECT | assume root")
	if len(args) == 1 {
		ts.Setenv("AWS_ACCESS_KEY_ID", "local")
		ts.Setenv("AWS_SECRET_ACCESS_KEY", "local")
		ts.Setenv("AWS_SESSION_TOKEN", "")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	anonymous := account(ctx, ts, "us-east-1")
	anonymous.Credentials = aws.AnonymousCredentials{}
	claims, err := json.Marshal(map[string]string{"iss": github, "aud": "sts.amazonaws.com", "sub": args[1]})
	ts.Check(err)
	session, err := sts.NewFromConfig(anonymous).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String("arn:aws:iam::000000000000:role/" + args[0]), RoleSessionName: aws.String("job"),
		WebIdentityToken: aws.String("e30." + base64.RawURLEncoding.EncodeToString(claims) + ".x"),
	})
	if neg {
		if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			ts.Fatalf("%s assumed %s: %v", args[1], args[0], err)
		}
		return
	}
	ts.Check(err)
	ts.Setenv("AWS_ACCESS_KEY_ID", *session.Credentials.AccessKeyId)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", *session.Credentials.SecretAccessKey)
	ts.Setenv("AWS_SESSION_TOKEN", *session.Credentials.SessionToken)
}

// The list of rights that nothing needed, in a document.
const unverifiedFrom, unverifiedTo = "<!-- unverified rights: go test ./internal/cli -run TestScripts/policydeploy -update -->\n", "<!-- end -->"

// unverified reads that list; with -update it writes it first.
func unverified(ts *testscript.TestScript, file string, idle []string) map[string]bool {
	text, err := os.ReadFile(file)
	ts.Check(err)
	before, rest, begun := strings.Cut(string(text), unverifiedFrom)
	list, after, ended := strings.Cut(rest, unverifiedTo)
	want(ts, begun && ended, "a document with "+unverifiedFrom)
	if *update {
		list = ""
		for _, r := range idle {
			sid, element, _ := strings.Cut(r, " ")
			list += "- " + sid + ": `" + element + "`\n"
		}
		ts.Check(os.WriteFile(file, []byte(before+unverifiedFrom+list+unverifiedTo+after), 0o644))
	}
	all := map[string]bool{}
	for line := range strings.Lines(list) {
		sid, element, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ": ")
		want(ts, ok, "lines like '- PART/SID: `ELEMENT`' in the list")
		all[sid+" "+strings.Trim(element, "`")] = true
	}
	return all
}

// used holds a policy to what the role was asked for, and nothing of which was
// denied: without any one right of the policy, something of it would have
// been. Rights that nothing needed are those listed in the document, exactly.
func used(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && (len(args) == 2 || len(args) == 3), "used NAME FILE [DOCUMENT]")
	ts.Check(ts.Exec("tapctl", "local", "asked", "--role", args[0], "-o", "json"))
	var out struct{ Roles []localaws.RoleUse }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &out))
	if len(out.Roles) != 1 || out.Roles[0].Dropped > 0 {
		ts.Fatalf("%s: no record of the role, or not the whole", args[0])
	}
	use, policies := out.Roles[0], written(ts, args[1])
	var wrong, idle []string
	for _, q := range use.Asked {
		if !q.Allowed {
			wrong = append(wrong, "denied: "+q.Action+" "+q.Resource+" "+encoded(ts, q.Keys))
		}
	}
	for _, q := range deniedBy(ts, texts(ts, policies), use) {
		wrong = append(wrong, "not in the policy: "+q)
	}
	all := rights(ts, policies)
	for _, r := range all {
		if len(deniedBy(ts, r.without, use)) == 0 {
			idle = append(idle, r.String())
		}
	}
	slices.Sort(idle)
	listed := map[string]bool{}
	if len(args) == 3 {
		listed = unverified(ts, args[2], idle)
	}
	for _, r := range idle {
		if !listed[r] {
			wrong = append(wrong, "needed by nothing: "+r)
		}
		delete(listed, r)
	}
	for r := range listed {
		wrong = append(wrong, "listed as needed by nothing, and needed or not in the policy: "+r)
	}
	ts.Logf("%s: %d question(s), %d of %d right(s) needed", args[0], len(use.Asked), len(all)-len(idle), len(all))
	if len(wrong) > 0 {
		slices.Sort(wrong)
		ts.Fatalf("%s and %s differ:\n%s", args[0], args[1], strings.Join(wrong, "\n"))
	}
}

// deniedBy is what the policies would have denied of what was asked.
func deniedBy(ts *testscript.TestScript, texts []string, use localaws.RoleUse) (found []string) {
	var documents []policy.Document
	for _, text := range texts {
		document, err := policy.Parse(text)
		ts.Check(err)
		documents = append(documents, document)
	}
	for _, q := range use.Asked {
		request := policy.Request{Principal: "arn:aws:sts::000000000000:assumed-role/" + use.Role + "/job", Action: q.Action, Resource: q.Resource, Keys: q.Keys}
		if policy.Evaluate(documents, request) != policy.Allowed {
			found = append(found, q.Action+" "+q.Resource)
		}
	}
	return found
}

// stateHome makes a bucket for Pulumi's state, and a key with an alias for its
// secrets, as an account has them before tapctl comes.
func stateHome(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 3, "statehome REGION BUCKET ALIAS")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cfg := account(ctx, ts, args[0])
	_, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &args[1], CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(args[0])},
	})
	ts.Check(err)
	key, err := kms.NewFromConfig(cfg).CreateKey(ctx, &kms.CreateKeyInput{})
	ts.Check(err)
	_, err = kms.NewFromConfig(cfg).CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &args[2], TargetKeyId: key.KeyMetadata.KeyId})
	ts.Check(err)
}

// blink takes an alarm's state away until its next evaluation: it changed, and
// what happened between two looks its history tells.
func blink(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "blink REGION ALARM")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := cloudwatch.NewFromConfig(account(ctx, ts, args[0])).SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{
		AlarmName: &args[1], StateValue: cwtypes.StateValueInsufficientData, StateReason: aws.String("a blink"),
	})
	ts.Check(err)
}
