package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/infra"
	iam "github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/topology"
)

// mays tells what a role with the deploy policy of a configuration may do, by
// the evaluation that the embedded AWS has.
func mays(t *testing.T, c config.Config, keys map[string]string) func(action, resource string, context ...string) bool {
	t.Helper()
	printed, err := infra.DeployPolicies(c, account, zone, keys)
	if err != nil {
		t.Fatal(err)
	}
	var documents []iam.Document
	for _, p := range printed {
		encoded, err := json.Marshal(p.Document)
		if err != nil {
			t.Fatal(err)
		}
		document, err := iam.Parse(string(encoded))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, document)
	}
	return func(action, resource string, context ...string) bool {
		request := iam.Request{Principal: "arn:aws:iam::" + account + ":role/ci", Action: action, Resource: resource, Keys: map[string][]string{}}
		for _, pair := range context {
			name, value, _ := strings.Cut(pair, "=")
			request.Keys[strings.ToLower(name)] = []string{value}
		}
		return iam.Evaluate(documents, request) == iam.Allowed
	}
}

// tagged are condition keys of the tags of the environment's keys.
func tagged(prefix string, c config.Config) []string {
	return []string{prefix + "Owner=" + c.Owner, prefix + "Environment=" + c.Environment, prefix + "Purpose=" + c.Purpose + ": encryption of the table and the logs"}
}

func TestTheCIRoleReachesItsOwnKeysAlone(t *testing.T) {
	t.Parallel()
	c := settings()
	key := func(id string) string { return "arn:aws:kms:" + blueRegion + ":" + account + ":key/" + id }
	named := map[string]string{blueRegion: key("ours"), greenRegion: "arn:aws:kms:" + greenRegion + ":" + account + ":key/green"}
	before, after := mays(t, c, nil), mays(t, c, named)
	through := func(context []string, more ...string) []string {
		return append(append([]string{}, context...), more...)
	}
	ours, foreign := tagged("aws:ResourceTag/", c), []string{"aws:ResourceTag/Environment=" + c.Environment, "aws:ResourceTag/Owner=somebody"}
	dynamodb, grant := "kms:ViaService=dynamodb."+blueRegion+".amazonaws.com", "kms:GrantIsForAWSResource=true"
	for _, test := range []struct {
		action, resource string
		context          []string
		before, after    bool // the first deploy
	}{
		{"kms:CreateKey", "*", tagged("aws:RequestTag/", c), true, false},
		{"kms:CreateKey", "*", nil, false, false},
		{"kms:CreateKey", "*", tagged("aws:RequestTag/", c)[:2], false, false},
		{"kms:TagResource", "*", tagged("aws:RequestTag/", c), true, false},
		{"kms:TagResource", key("theirs"), []string{"aws:RequestTag/Owner=me"}, false, false},
		{"kms:ScheduleKeyDeletion", key("ours"), ours, true, true},
		{"kms:ScheduleKeyDeletion", key("theirs"), foreign, false, false},
		{"kms:ScheduleKeyDeletion", key("theirs"), nil, false, false},
		{"kms:ScheduleKeyDeletion", key("tagged as ours"), ours, true, false},
		{"kms:PutKeyPolicy", key("theirs"), foreign, false, false},
		{"kms:PutKeyPolicy", named[greenRegion], nil, false, true},
		{"kms:Decrypt", key("ours"), through(ours, dynamodb), true, true},
		{"kms:Decrypt", key("ours"), ours, false, false},
		{"kms:Decrypt", key("ours"), through(ours, "kms:ViaService=ec2."+blueRegion+".amazonaws.com"), false, false},
		{"kms:Decrypt", key("theirs"), through(foreign, dynamodb), false, false},
		{"kms:CreateGrant", key("ours"), through(ours, dynamodb, grant), true, true},
		{"kms:CreateGrant", key("ours"), through(ours, dynamodb), false, false},
		{"kms:CreateGrant", key("theirs"), through(foreign, dynamodb, grant), false, false},
		{"kms:DeleteAlias", "arn:aws:kms:" + blueRegion + ":" + account + ":alias/Shop-prod-data", nil, true, true},
		{"kms:DeleteAlias", "arn:aws:kms:" + blueRegion + ":" + account + ":alias/other", nil, false, false},
	} {
		if got := before(test.action, test.resource, test.context...); got != test.before {
			t.Errorf("before the first deploy: %s on %s with %v: allowed %v", test.action, test.resource, test.context, got)
		}
		if got := after(test.action, test.resource, test.context...); got != test.after {
			t.Errorf("with the keys named: %s on %s with %v: allowed %v", test.action, test.resource, test.context, got)
		}
	}
}

// TestTheCIRoleOfAnAdoption: what is adopted is replicated. Of what its owner
// made, items can be deleted and the site's objects, and no table or bucket but
// the replica, whoever made that.
func TestTheCIRoleOfAnAdoption(t *testing.T) {
	t.Parallel()
	plain, adopting := settings(), settings()
	adopting.Table.Adopt, adopting.Assets.Adopt = "orders", "shop-website"
	table := func(region string) string { return "arn:aws:dynamodb:" + region + ":" + account + ":table/orders" }
	without, with := mays(t, plain, nil), mays(t, adopting, nil)
	for _, test := range []struct {
		action, resource string
		allowed          bool
	}{
		{"dynamodb:DescribeTable", table(blueRegion), true}, {"dynamodb:UpdateTable", table(blueRegion), true},
		{"dynamodb:DescribeContinuousBackups", table(blueRegion), true},
		{"dynamodb:DeleteTable", table(blueRegion), false}, {"dynamodb:UpdateContinuousBackups", table(blueRegion), false},
		{"dynamodb:DeleteTableReplica", table(blueRegion), false}, {"dynamodb:UpdateTimeToLive", table(blueRegion), false}, {"dynamodb:TagResource", table(blueRegion), false},
		{"dynamodb:DeleteItem", table(blueRegion), true}, {"dynamodb:BatchWriteItem", table(blueRegion), true}, {"dynamodb:PutItem", table(blueRegion), true},
		{"dynamodb:DeleteItem", table(greenRegion), true}, {"dynamodb:BatchWriteItem", table(greenRegion), true}, {"dynamodb:DeleteTable", table(greenRegion), true},
		{"dynamodb:CreateTableReplica", table(greenRegion), true}, {"dynamodb:DeleteTableReplica", table(greenRegion), true},
		{"dynamodb:UpdateContinuousBackups", table(greenRegion), true}, {"dynamodb:TagResource", table(greenRegion), true},
		{"dynamodb:DescribeTable", table("us-east-1"), false},
		{"s3:PutReplicationConfiguration", "arn:aws:s3:::shop-website", true}, {"s3:GetBucketVersioning", "arn:aws:s3:::shop-website", true},
		{"s3:ListBucket", "arn:aws:s3:::shop-website", true},
		{"s3:DeleteBucket", "arn:aws:s3:::shop-website", false}, {"s3:PutBucketPolicy", "arn:aws:s3:::shop-website", false},
		{"s3:PutObject", "arn:aws:s3:::shop-website/site/index.html", true}, {"s3:GetObject", "arn:aws:s3:::shop-website/site/index.html", true},
		{"s3:DeleteObject", "arn:aws:s3:::shop-website/site/index.html", true},
		{"s3:PutObject", "arn:aws:s3:::shop-website/private", false}, {"s3:DeleteObject", "arn:aws:s3:::shop-website/private", false},
		{"s3:DeleteObjectVersion", "arn:aws:s3:::shop-website/site/index.html", false}, {"s3:PutBucketVersioning", "arn:aws:s3:::shop-website", false},
	} {
		if got := with(test.action, test.resource); got != test.allowed {
			t.Errorf("adopting: %s on %s: allowed %v", test.action, test.resource, got)
		}
		if without(test.action, test.resource) {
			t.Errorf("adopting nothing: %s on %s is allowed", test.action, test.resource)
		}
	}
}

func TestTheCIRoleReachesThePulumiState(t *testing.T) {
	t.Parallel()
	alias, arn := "kms:ResourceAliases=alias/state", "arn:aws:kms:eu-north-1:"+account+":key/state"
	for name, test := range map[string]struct {
		backend, provider string
		yes, no           []string // action resource condition
	}{
		"elsewhere": {"https://api.pulumi.com", "passphrase", nil, []string{"s3:GetObject arn:aws:s3:::states/.pulumi/x", "kms:Decrypt " + arn, "kms:Decrypt " + arn + " " + alias}},
		"a bucket, and a key by its alias": {
			"s3://states?region=eu-north-1", "awskms://alias/state?region=eu-north-1",
			[]string{"s3:ListBucket arn:aws:s3:::states", "s3:GetObject arn:aws:s3:::states/.pulumi/x", "s3:PutObject arn:aws:s3:::states/.pulumi/locks/x", "s3:DeleteObject arn:aws:s3:::states/.pulumi/locks/x", "kms:Decrypt " + arn + " " + alias, "kms:Encrypt " + arn + " " + alias},
			[]string{"s3:GetObject arn:aws:s3:::states/other", "s3:DeleteBucket arn:aws:s3:::states", "kms:Decrypt " + arn, "kms:Decrypt " + strings.Replace(arn, "north", "west", 1) + " " + alias, "kms:ScheduleKeyDeletion " + arn + " " + alias},
		},
		"below a prefix, and a key by its id": {
			"s3://states/shop/prod?region=eu-north-1", "awskms://state?region=eu-north-1",
			[]string{"s3:PutObject arn:aws:s3:::states/shop/prod/.pulumi/x", "kms:Decrypt " + arn}, []string{"s3:PutObject arn:aws:s3:::states/.pulumi/x", "kms:Decrypt " + arn + "2"},
		},
		"a key by its ARN": {"s3://states", "awskms:///" + arn + "?region=eu-north-1&awssdk=v2", []string{"kms:Encrypt " + arn}, []string{"kms:Encrypt " + arn + "2"}},
	} {
		c := settings()
		c.Infra.BackendURL, c.Infra.SecretsProvider = test.backend, test.provider
		may := mays(t, c, nil)
		for want, rights := range map[bool][]string{true: test.yes, false: test.no} {
			for _, right := range rights {
				if words := strings.Fields(right); may(words[0], words[1], words[2:]...) != want {
					t.Errorf("%s: %s: want allowed %v", name, right, want)
				}
			}
		}
	}
	c := settings()
	for c.Infra.BackendURL, c.Infra.SecretsProvider = range maps.All(map[string]string{"s3://a%zz": "passphrase", "s3://states": "awskms://k?region=%zz"}) {
		if _, err := infra.DeployPolicies(c, account, zone, nil); err == nil || !strings.Contains(err.Error(), "read infra.") {
			t.Errorf("%s, %s: %v", c.Infra.BackendURL, c.Infra.SecretsProvider, err)
		}
	}
}

// The zone is everybody's: the role changes the environment's own names in it.
func TestTheCIRoleChangesItsOwnRecordsAlone(t *testing.T) {
	t.Parallel()
	may, hosted := mays(t, settings(), nil), "arn:aws:route53:::hostedzone/"+zone
	for name, want := range map[string]bool{
		"api.example.com": true, "eu-west-1.api.example.com": true, "eu-central-1.api.example.com": true,
		"_check.api.example.com": true, "_check.eu-west-1.api.example.com": true,
		"example.com": false, "www.example.com": false, "us-east-1.api.example.com": false, "_check.example.com": false, "xapi.example.com": false, "_dmarc.example.com": false,
	} {
		if got := may("route53:ChangeResourceRecordSets", hosted, "route53:ChangeResourceRecordSetsNormalizedRecordNames="+name); got != want {
			t.Errorf("records of %s: allowed %v", name, got)
		}
	}
	if may("route53:ChangeResourceRecordSets", hosted) {
		t.Error("a change of no name is allowed")
	}
	if !may("route53:ListResourceRecordSets", hosted) {
		t.Error("the records cannot be read")
	}
}

// policyMax is IAM's limit of a managed policy, in characters that are no white
// space; policiesMax is how many a role may have by default.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const policyMax, policiesMax = 6144, 10

// longest are configurations whose names are as long as the rules allow, with
// all that adds rights and without.
func longest(t *testing.T) []config.Config {
	t.Helper()
	long := settings()
	long.SourceRegion, long.TargetRegion, long.Brake.KillRegion = "ap-southeast-1", "ap-southeast-3", "ap-northeast-1"
	long.Domain = config.Domain{Name: strings.Repeat("n", 52) + ".example.com", Zone: "example.com", Dualstack: true}
	long.Owner, long.Purpose = strings.Repeat("o", 128), strings.Repeat("p", 128)
	for _, grown := range []*string{&long.TeamName, &long.Environment} {
		for before := *grown; ; before = *grown {
			if *grown += "x"; !valid(t, long) {
				*grown = before
				break
			}
		}
	}
	if len(long.TeamName+long.Environment) < 20 {
		t.Fatalf("%s-%s is not long", long.TeamName, long.Environment)
	}
	all := []config.Config{settings(), long}
	for _, change := range []func(*config.Config){
		func(c *config.Config) { c.Table.Adopt = strings.Repeat("t", 255) },
		func(c *config.Config) { c.Assets.Adopt = strings.Repeat("b", 63) },
		func(c *config.Config) {
			c.Infra.BackendURL = "s3://" + strings.Repeat("s", 63) + "/" + strings.Repeat("p", 700)
		},
		func(c *config.Config) { c.Infra.SecretsProvider = "awskms://alias/" + strings.Repeat("k", 250) },
	} {
		for _, c := range all[:len(all):len(all)] {
			change(&c)
			all = append(all, c)
		}
	}
	return all
}

// valid tells whether a configuration's names pass its rules.
func valid(t *testing.T, c config.Config) bool {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tapctl.yaml")
	text := fmt.Sprintf("team_name: %s\nenvironment: %s\nsource_region: %s\ntarget_region: %s\nowner: %s\npurpose: %s\ndomain: {name: %s, zone: %s}\n",
		c.TeamName, c.Environment, c.SourceRegion, c.TargetRegion, c.Owner, c.Purpose, c.Domain.Name, c.Domain.Zone)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(file, nil)
	return err == nil
}

// itemsOf is the name of the application's table.
func itemsOf(c config.Config) string {
	if c.Table.Adopt != "" {
		return c.Table.Adopt
	}
	return c.Name("items")
}

func TestEveryCIPolicyFitsIAM(t *testing.T) {
	t.Parallel()
	arn := func(region string) string {
		return "arn:aws:kms:" + region + ":" + account + ":key/mrk-" + strings.Repeat("0", 32)
	}
	largest := map[string]int{}
	for _, c := range longest(t) {
		made := map[string]string{c.SourceRegion: arn(c.SourceRegion), c.TargetRegion: arn(c.TargetRegion)}
		control := c.Name("control")
		shift := infra.ShiftPolicies(c, topology.Topology{
			Account: account, ZoneID: strings.Repeat("Z", 32), RecordName: c.Domain.Name, RecordTypes: c.RecordTypes(), ControlTable: control,
			Table: itemsOf(c), Keys: made, Source: topology.Cell{Region: c.SourceRegion},
			Target: topology.Cell{Region: c.TargetRegion, RestAPI: "abcdefghij", Stage: "live", APIFunction: c.Name("api"), AccessLog: "/tapctl/" + c.Name("access")},
		})
		for _, keys := range []map[string]string{nil, made} {
			deploy, err := infra.DeployPolicies(c, account, strings.Repeat("Z", 32), keys)
			if err != nil {
				t.Fatal(err)
			}
			if len(deploy) > policiesMax {
				t.Errorf("%d policies for one role, AWS attaches %d", len(deploy), policiesMax)
			}
			for _, p := range append(deploy, shift...) {
				text, err := json.Marshal(p.Document)
				if err != nil {
					t.Fatal(err)
				}
				size := len(strings.Join(strings.Fields(string(text)), ""))
				if size > policyMax {
					t.Errorf("%s of %s: %d characters, IAM takes %d", p.Part, c.StackPrefix(), size, policyMax)
				}
				if len(p.Name) > 128 {
					t.Errorf("%s: %d characters", p.Name, len(p.Name))
				}
				largest[p.Part] = max(largest[p.Part], size)
			}
		}
	}
	t.Logf("the largest: %v", largest)
}

// The list of the rights that no run is under, in a document.
const adoptionFrom, adoptionTo = "<!-- rights of an adoption: go test ./internal/infra -run TestTheRightsOfAnAdoptionAreListed -update -->\n", "<!-- end of them -->"

func TestTheRightsOfAnAdoptionAreListed(t *testing.T) {
	t.Parallel()
	const file = "../../docs/assumptions.md"
	c := settings()
	c.Table.Adopt, c.Assets.Adopt = "orders", "shop-website"
	policies, err := infra.DeployPolicies(c, account, zone, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, p := range policies {
		for _, s := range p.Document.Statement {
			if strings.HasPrefix(s.Sid, "Adopted") {
				fmt.Fprintf(&want, "- %s/%s: `%s`\n", p.Part, s.Sid, strings.Join(s.Action, "`, `"))
			}
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), adoptionFrom)
	got, after, found := strings.Cut(rest, adoptionTo)
	if !found {
		t.Fatalf("%s has no %s", file, adoptionFrom)
	}
	if *update {
		got = want.String()
		if err := os.WriteFile(file, []byte(before+adoptionFrom+got+adoptionTo+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
