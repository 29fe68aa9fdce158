package infra_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the table in docs/infrastructure.md")

// law is what holds for a resource type.
type law struct {
	tags bool // AWS tags it
	// named is the input that carries its name; "" where AWS names it, or where
	// its name is one within another resource.
	named string
	// encrypted is the input that names the customer key, or how the type is
	// encrypted otherwise; "" where it stores nothing of the user's.
	encrypted string
}

// laws are those of every type that the programs use. A new type fails the
// walk until somebody has said here what holds for it.
var laws = map[string]law{
	"acm/certificate:Certificate":                                      {tags: true},
	"acm/certificateValidation:CertificateValidation":                  {},
	"apigateway/account:Account":                                       {},
	"apigateway/basePathMapping:BasePathMapping":                       {},
	"apigateway/deployment:Deployment":                                 {},
	"apigateway/domainName:DomainName":                                 {tags: true},
	"apigateway/integration:Integration":                               {},
	"apigateway/method:Method":                                         {},
	"apigateway/resource:Resource":                                     {},
	"apigateway/restApi:RestApi":                                       {tags: true, named: "name"},
	"apigateway/restApiPolicy:RestApiPolicy":                           {},
	"apigateway/stage:Stage":                                           {tags: true},
	"cloudwatch/dashboard:Dashboard":                                   {named: "dashboardName"},
	"cloudwatch/logGroup:LogGroup":                                     {tags: true, named: "name", encrypted: "kmsKeyId"},
	"cloudwatch/metricAlarm:MetricAlarm":                               {tags: true, named: "name"},
	"dynamodb/table:Table":                                             {tags: true, named: "name", encrypted: "serverSideEncryption"},
	"dynamodb/tableReplica:TableReplica":                               {tags: true, encrypted: "kmsKeyArn"},
	"iam/role:Role":                                                    {tags: true, named: "name"},
	"iam/rolePolicy:RolePolicy":                                        {},
	"iam/rolePolicyAttachment:RolePolicyAttachment":                    {},
	"kms/alias:Alias":                                                  {named: "name"},
	"kms/key:Key":                                                      {tags: true},
	"lambda/alias:Alias":                                               {},
	"lambda/function:Function":                                         {tags: true, named: "name"},
	"lambda/permission:Permission":                                     {},
	"route53/healthCheck:HealthCheck":                                  {tags: true},
	"route53/record:Record":                                            {},
	"s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2": {},
	"s3/bucketOwnershipControls:BucketOwnershipControls":               {},
	"s3/bucketPolicy:BucketPolicy":                                     {},
	"s3/bucketPublicAccessBlock:BucketPublicAccessBlock":               {},
	"s3/bucketReplicationConfig:BucketReplicationConfig":               {},
	"s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": {encrypted: "rules"},
	"s3/bucketV2:BucketV2":                                         {tags: true, named: "bucket", encrypted: "by its BucketServerSideEncryptionConfigurationV2"},
	"s3/bucketVersioningV2:BucketVersioningV2":                     {},
	"s3/bucketWebsiteConfigurationV2:BucketWebsiteConfigurationV2": {},
	"secretsmanager/secret:Secret":                                 {tags: true, named: "name", encrypted: "kmsKeyId"},
}

// TestWalk holds every resource of every program to the rules of the house:
// its name, its tags, its encryption, how long logs are kept, what its
// policies allow, and that base, and base alone, is protected. What it saw is
// the table in docs/infrastructure.md.
func TestWalk(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, program := range []string{"base", "adopting base", "blue cell", "green cell", "closed green cell", "edge", "dualstack edge"} {
		w := programs(t)[program]
		if len(w.resources) == 0 {
			t.Errorf("%s made nothing", program)
		}
		for _, m := range w.resources {
			for _, broken := range breaches(t, program, w, m) {
				t.Errorf("%s: %s %s: %s", program, m.Type, m.Name, broken)
			}
			// A variant shows what it has besides.
			if shown := row(plainOf[program], m); plainOf[program] == "" || !slices.Contains(rows, shown) {
				rows = append(rows, row(program, m))
			}
		}
	}
	slices.Sort(rows)
	table := "| stack | type | resource | name | encrypted | protected |\n|---|---|---|---|---|---|\n" + strings.Join(slices.Compact(rows), "\n") + "\n"
	golden(t, table)
}

// plainOf names the program that a variant varies.
var plainOf = map[string]string{"adopting base": "base", "closed green cell": "green cell", "dualstack edge": "edge"}

// tagValue is what IAM takes, and with it every service.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html
var tagValue = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$`)

// breaches are the rules that the resource breaks.
func breaches(t *testing.T, program string, w *world, m made) []string {
	t.Helper()
	holds, known := laws[m.Type]
	if !known {
		return []string{"say in this test what holds for its type"}
	}
	base := strings.Contains(program, "base")
	broken := append(placed(program, m), policyBreaches(t, m)...)
	if name := m.text(holds.named); holds.named != "" && !wellNamed(m, name) {
		broken = append(broken, fmt.Sprintf("named %q, want <TeamName>-<Environment>-<ServiceName>", name))
	}
	// IAM is one for all regions: what a cell has there ends in its region.
	if m.Type == "iam/role:Role" && !base && !strings.HasSuffix(m.text("name"), "-"+m.Region) {
		broken = append(broken, "its name would collide with the other region's")
	}
	if holds.tags {
		tags, _ := m.Inputs["tags"].(map[string]any)
		purpose, _ := tags["Purpose"].(string)
		if tags["Owner"] != "team-a" || tags["Environment"] != "prod" || !strings.HasPrefix(purpose, "region migration: ") || len(tags) != 3 {
			broken = append(broken, fmt.Sprintf("tags %v", tags))
		}
		for name, value := range tags {
			if text, _ := value.(string); !tagValue.MatchString(text) {
				broken = append(broken, fmt.Sprintf("tag %s: %q has a character that not every service takes", name, value))
			}
		}
	}
	if holds.encrypted != "" && !encrypted(w, m, holds.encrypted) {
		broken = append(broken, "not encrypted with the customer key of its region")
	}
	if m.Type == "cloudwatch/logGroup:LogGroup" && m.Inputs["retentionInDays"] != 30.0 {
		broken = append(broken, fmt.Sprintf("keeps logs for %v days", m.Inputs["retentionInDays"]))
	}
	if m.Type == "dynamodb/table:Table" && m.Inputs["deletionProtectionEnabled"] != true {
		broken = append(broken, "may be deleted")
	}
	if m.Protect != base {
		broken = append(broken, fmt.Sprintf("protect %v", m.Protect))
	}
	return broken
}

// placed tells where the resource is other than in its region: a default
// provider would put it wherever the runner happens to be.
func placed(program string, m made) []string {
	want := map[string][]string{"blue cell": {blueRegion}, "green cell": {greenRegion}, "closed green cell": {greenRegion}}[program]
	switch {
	case m.Region == "":
		return []string{"has the default provider"}
	case m.Name == "green-kill" && (m.Region == blueRegion || m.Region == greenRegion):
		return []string{"the operator's switch is in a region of the migration"}
	case want != nil && !slices.Contains(want, m.Region):
		return []string{"is in " + m.Region}
	default:
		return nil
	}
}

func wellNamed(m made, name string) bool {
	if m.Type == "s3/bucketV2:BucketV2" {
		return strings.HasPrefix(name, "shop-prod-assets-"+m.Region+"-") && name == strings.ToLower(name)
	}
	// What a name may start with besides the pattern; AWS asks for it.
	return slices.ContainsFunc([]string{"", "alias/", "/aws/lambda/", "/tapctl/"}, func(space string) bool {
		return strings.HasPrefix(name, space+"Shop-prod-")
	})
}

func encrypted(w *world, m made, by string) bool {
	if m.Type == "s3/bucketV2:BucketV2" {
		return slices.ContainsFunc(w.resources, func(other made) bool {
			return strings.HasPrefix(other.Type, "s3/bucketServerSideEncryption") && other.text("bucket") == m.text("bucket") &&
				encrypted(w, other, "rules")
		})
	}
	replicas, _ := m.Inputs["replicas"].([]any)
	if strings.HasPrefix(m.Type, "dynamodb/table:") && len(replicas) == 0 {
		return false // each of these has one
	}
	for _, r := range replicas { // each under the key of its own region
		replica := r.(map[string]any)
		where, key := replica["regionName"], replica["kmsKeyArn"] // as a table has them
		if m.Type == "secretsmanager/secret:Secret" {
			where, key = replica["region"], replica["kmsKeyId"]
		}
		if !underKeyOf(fmt.Sprint(where), key) {
			return false
		}
	}
	return underKeyOf(m.Region, m.Inputs[by])
}

// underKeyOf tells whether what names a key names the region's own.
func underKeyOf(region string, input any) bool {
	text := fmt.Sprint(input)
	return strings.Contains(text, "key-"+region) || strings.Contains(text, map[string]string{blueRegion: "arn:blue-key", greenRegion: "arn:green-key"}[region])
}

// policyBreaches are wildcards that nothing forces. In a key's own policy "*"
// is the key; a Deny of everything only takes away.
func policyBreaches(t *testing.T, m made) (broken []string) {
	t.Helper()
	for _, attribute := range []string{"policy", "assumeRolePolicy"} {
		document := m.text(attribute)
		if document == "" {
			continue
		}
		for _, s := range parsePolicy(t, document).Statement {
			if s.Effect == "Deny" {
				continue
			}
			if s.Effect != "Allow" || len(s.Action) == 0 || len(s.NotAction)+len(s.NotResource) > 0 {
				broken = append(broken, fmt.Sprintf("statement %+v", s))
			}
			if slices.ContainsFunc(s.Action, func(a string) bool { return a == "*" || strings.HasSuffix(a, ":*") }) {
				broken = append(broken, fmt.Sprintf("statement %s allows %v", s.Sid, s.Action))
			}
			if slices.Contains(s.Resource, "*") && m.Type != "kms/key:Key" {
				broken = append(broken, fmt.Sprintf("statement %s is about every resource", s.Sid))
			}
		}
	}
	return broken
}

func row(program string, m made) string {
	stack, protected, by := map[string]string{
		"base": "base", "adopting base": "base, with table.adopt", "closed green cell": "cell, with a narrow allowed_cidr",
		"edge": "edge", "dualstack edge": "edge, with domain.dualstack",
	}[program], "", ""
	if stack == "" {
		stack = "cell"
	}
	if m.Protect {
		protected = "yes"
	}
	if laws[m.Type].encrypted != "" {
		by = "customer key"
	}
	kind := m.Type[:strings.Index(m.Type, "/")+1] + m.Type[strings.Index(m.Type, ":")+1:]
	name := m.text(laws[m.Type].named)
	regions := strings.NewReplacer(blueRegion, "REGION", greenRegion, "REGION")
	if i := strings.LastIndex(name, "-"); m.Type == "s3/bucketV2:BucketV2" {
		name = name[:i] + "-HASH"
	}
	return strings.Join([]string{"| " + stack, kind, regions.Replace(m.Name), regions.Replace(name), by, protected + " |"}, " | ")
}

func golden(t *testing.T, table string) {
	t.Helper()
	const path, begin, end = "../../docs/infrastructure.md", "<!-- resources: go test ./internal/infra -run TestWalk -update -->\n", "<!-- end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	shown, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(shown, table); diff != "" {
		t.Errorf("%s does not show what the programs make; rewrite it with -update (-shown +made)\n%s", path, diff)
	}
}

// The laws are of use only while each can be broken.
func TestWalkSeesEveryBreach(t *testing.T) {
	t.Parallel()
	find := func(program, kind string) (w *world, m made) {
		w = programs(t)[program]
		for _, found := range w.resources {
			if strings.HasPrefix(found.Type, kind) {
				found.Inputs = maps.Clone(found.Inputs)
				return w, found
			}
		}
		t.Fatalf("%s has no %s", program, kind)
		return nil, made{}
	}
	for name, test := range map[string]struct {
		program, kind string
		breakIt       func(m *made)
	}{
		"name":          {"green cell", "lambda/function", func(m *made) { m.Inputs["name"] = "api" }},
		"bucket's name": {"base", "s3/bucketV2", func(m *made) { m.Inputs["bucket"] = "Shop-prod-assets" }},
		"role's region": {"green cell", "iam/role:", func(m *made) { m.Inputs["name"] = "Shop-prod-api" }},
		"a tag":         {"base", "kms/key", func(m *made) { m.Inputs["tags"] = map[string]any{"Owner": "team-a"} }},
		"log key":       {"blue cell", "cloudwatch/logGroup", func(m *made) { m.Inputs["kmsKeyId"] = "arn:green-key" }},
		"table's key":   {"base", "dynamodb/table", func(m *made) { delete(m.Inputs, "serverSideEncryption") }},
		"a tag's value": {"base", "dynamodb/table", func(m *made) {
			m.Inputs["tags"] = map[string]any{"Owner": "team-a", "Environment": "prod", "Purpose": "region migration: this, and that"}
		}},
		"a replica's key": {"base", "dynamodb/table", func(m *made) {
			m.Inputs["replicas"] = []any{map[string]any{"regionName": greenRegion, "kmsKeyArn": "key-" + blueRegion}}
		}},
		"a replica": {"base", "dynamodb/table", func(m *made) { delete(m.Inputs, "replicas") }},
		"a secret replica's key": {"base", "secretsmanager", func(m *made) {
			m.Inputs["replicas"] = []any{map[string]any{"region": greenRegion}}
		}},
		"bucket's key": {"base", "s3/bucketV2", func(m *made) { m.Inputs["bucket"] = "shop-prod-assets-" + m.Region + "-other" }},
		"secret's key": {"base", "secretsmanager", func(m *made) { delete(m.Inputs, "kmsKeyId") }},
		"retention":    {"green cell", "cloudwatch/logGroup", func(m *made) { m.Inputs["retentionInDays"] = 0.0 }},
		"any action": {"green cell", "iam/rolePolicy:", func(m *made) {
			m.Inputs["policy"] = `{"Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["a"]}]}`
		}},
		"any resource": {"green cell", "iam/rolePolicy:", func(m *made) {
			m.Inputs["policy"] = `{"Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]}]}`
		}},
		"all but one": {"green cell", "iam/rolePolicy:", func(m *made) {
			m.Inputs["policy"] = `{"Statement":[{"Effect":"Allow","NotAction":["s3:GetObject"],"Resource":["a"]}]}`
		}},
		"unprotected":    {"base", "kms/key", func(m *made) { m.Protect = false }},
		"protected cell": {"blue cell", "lambda/function", func(m *made) { m.Protect = true }},
		"deletable":      {"base", "dynamodb/table", func(m *made) { m.Inputs["deletionProtectionEnabled"] = false }},
		"elsewhere":      {"blue cell", "lambda/function", func(m *made) { m.Region = greenRegion }},
		"anywhere":       {"edge", "route53/record", func(m *made) { m.Region = "" }},
		"unknown type":   {"edge", "route53/record", func(m *made) { m.Type = "ec2/instance:Instance" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, m := find(test.program, test.kind)
			if sound := breaches(t, test.program, w, m); len(sound) != 0 {
				t.Fatalf("unbroken: %v", sound)
			}
			test.breakIt(&m)
			if len(breaches(t, test.program, w, m)) == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}
