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

// right is one element of a policy that could be taken out of it.
type right struct {
	sid, element string
	without      string // the policy, with something else in its place
}

func (r right) String() string { return r.sid + " " + r.element }

// written is what 'tapctl policy' printed, as JSON of no particular shape.
func written(ts *testscript.TestScript, file string) (document map[string]any) {
	report := decode(ts, file).(map[string]any)
	document, ok := report["policy"].(map[string]any)
	want(ts, ok, "a file with what 'tapctl policy -o json' printed")
	return document
}

func encoded(ts *testscript.TestScript, value any) string {
	text, err := json.Marshal(value)
	ts.Check(err)
	return string(text)
}

// rights are those of a policy: its actions, its resources and the values of
// its conditions. The operator Null grants nothing.
func rights(ts *testscript.TestScript, document map[string]any) []right {
	var all []right
	take := func(sid string, list []any, other string) {
		for i, element := range list {
			list[i] = other
			all = append(all, right{sid, element.(string), encoded(ts, document)})
			list[i] = element
		}
	}
	for _, s := range document["Statement"].([]any) {
		s := s.(map[string]any)
		sid := s["Sid"].(string)
		take(sid, s["Action"].([]any), "none:None")
		take(sid, s["Resource"].([]any), "arn:aws:none:::none")
		operators, _ := s["Condition"].(map[string]any)
		for operator, keys := range operators {
			for key, values := range keys.(map[string]any) {
				other := "none"
				if operator == "Bool" { // which knows two values alone
					other = "false"
				}
				if list, many := values.([]any); many && operator != "Null" {
					take(sid, list, other)
				} else if operator != "Null" {
					keys.(map[string]any)[key] = other
					all = append(all, right{sid, values.(string), encoded(ts, document)})
					keys.(map[string]any)[key] = values
				}
			}
		}
	}
	return all
}

// role makes a role of what 'tapctl policy --repo' printed, trust included,
// and the identity provider that the trust names. One that is there gets the
// policy, without the rights that are named.
func role(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "role NAME FILE [SID ACTION]")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := iam.NewFromConfig(account(ctx, ts, "us-east-1"))
	_, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(github), ClientIDList: []string{"sts.amazonaws.com"}})
	if _, there := errors.AsType[*iamtypes.EntityAlreadyExistsException](err); !there {
		ts.Check(err)
	}
	document := written(ts, args[1])
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &args[0], AssumeRolePolicyDocument: aws.String(encoded(ts, decode(ts, args[1]).(map[string]any)["trust"]))})
	if _, there := errors.AsType[*iamtypes.EntityAlreadyExistsException](err); !there {
		ts.Check(err)
	}
	text := encoded(ts, document)
	if len(args) == 4 {
		i := slices.IndexFunc(rights(ts, document), func(r right) bool { return r.sid == args[2] && r.element == args[3] })
		want(ts, i >= 0, "role NAME FILE SID ACTION, of the policy")
		text = rights(ts, document)[i].without
	}
	_, err = client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &args[0], PolicyName: aws.String("own"), PolicyDocument: &text})
	ts.Check(err)
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
		want(ts, ok, "lines like '- SID: `ELEMENT`' in the list")
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
	use, document := out.Roles[0], written(ts, args[1])
	var wrong, idle []string
	for _, q := range use.Asked {
		if !q.Allowed {
			wrong = append(wrong, "denied: "+q.Action+" "+q.Resource+" "+encoded(ts, q.Keys))
		}
	}
	for _, q := range deniedBy(ts, encoded(ts, document), use) {
		wrong = append(wrong, "not in the policy: "+q)
	}
	all := rights(ts, document)
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

// deniedBy is what a policy would have denied of what was asked.
func deniedBy(ts *testscript.TestScript, text string, use localaws.RoleUse) (found []string) {
	document, err := policy.Parse(text)
	ts.Check(err)
	for _, q := range use.Asked {
		request := policy.Request{Principal: "arn:aws:sts::000000000000:assumed-role/" + use.Role + "/job", Action: q.Action, Resource: q.Resource, Keys: q.Keys}
		if policy.Evaluate([]policy.Document{document}, request) != policy.Allowed {
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
