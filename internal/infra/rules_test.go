package infra_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// taggable says of every type that the programs use whether AWS tags it.
var taggable = map[string]bool{
	"acm/certificate:Certificate":                     true,
	"acm/certificateValidation:CertificateValidation": false,
	"apigateway/account:Account":                      false,
	"apigateway/basePathMapping:BasePathMapping":      false,
	"apigateway/deployment:Deployment":                false,
	"apigateway/domainName:DomainName":                true,
	"apigateway/integration:Integration":              false,
	"apigateway/method:Method":                        false,
	"apigateway/resource:Resource":                    false,
	"apigateway/restApi:RestApi":                      true,
	"apigateway/restApiPolicy:RestApiPolicy":          false,
	"apigateway/stage:Stage":                          true,
	"cloudwatch/logGroup:LogGroup":                    true,
	"cloudwatch/metricAlarm:MetricAlarm":              true,
	"dynamodb/table:Table":                            true,
	"iam/role:Role":                                   true,
	"iam/rolePolicy:RolePolicy":                       false,
	"iam/rolePolicyAttachment:RolePolicyAttachment":   false,
	"kms/alias:Alias":                                 false,
	"kms/key:Key":                                     true,
	"lambda/alias:Alias":                              false,
	"lambda/function:Function":                        true,
	"lambda/permission:Permission":                    false,
	"route53/healthCheck:HealthCheck":                 true,
	"route53/record:Record":                           false,
}

func TestEveryTaggableResourceHasTheThreeTags(t *testing.T) {
	t.Parallel()
	for name, w := range programs(t) {
		for _, m := range w.resources {
			tagged, known := taggable[m.Type]
			if !known {
				t.Errorf("%s: %s %s: say in this test whether AWS tags it", name, m.Type, m.Name)
			}
			if !tagged {
				continue
			}
			tags, _ := m.Inputs["tags"].(map[string]any)
			purpose, _ := tags["Purpose"].(string)
			if tags["Owner"] != "team-a" || tags["Environment"] != "prod" || !strings.HasPrefix(purpose, "region migration: ") || len(tags) != 3 {
				t.Errorf("%s: %s %s: tags %v", name, m.Type, m.Name, tags)
			}
		}
	}
}

func TestNamePatterns(t *testing.T) {
	t.Parallel()
	const prefix = "Shop-prod-"
	// What its name may start with besides the pattern; AWS asks for it.
	spaces := []string{"", "alias/", "/aws/lambda/", "/tapctl/"}
	// Named otherwise: a name in DNS, a policy within its role, the stage's
	// alias, or a name that AWS makes.
	other := []string{"route53/record:Record", "iam/rolePolicy:RolePolicy", "lambda/alias:Alias"}
	for name, w := range programs(t) {
		for _, m := range w.resources {
			own := m.text("name")
			if own == "" || slices.Contains(other, m.Type) {
				continue
			}
			if !slices.ContainsFunc(spaces, func(space string) bool { return strings.HasPrefix(own, space+prefix) }) {
				t.Errorf("%s: %s is named %q, want <TeamName>-<Environment>-<ServiceName>", name, m.Type, own)
			}
			// IAM is one for all regions: what a cell has there ends in its region.
			if m.Type == "iam/role:Role" && name != "base" && !strings.HasSuffix(own, "-"+m.Region) {
				t.Errorf("%s: role %q would collide with the other region's", name, own)
			}
		}
	}
}

func TestEveryResourceHasAnExplicitProvider(t *testing.T) {
	t.Parallel()
	regions := map[string]string{"blue cell": blueRegion, "green cell": greenRegion, "closed green cell": greenRegion, "edge": greenRegion}
	for name, w := range programs(t) {
		if len(w.resources) == 0 {
			t.Errorf("%s made nothing", name)
		}
		for _, m := range w.resources {
			if want, single := regions[name]; single && m.Region != want {
				t.Errorf("%s: %s %s is in %q, want %s", name, m.Type, m.Name, m.Region, want)
			}
			if m.Region == "" {
				t.Errorf("%s: %s %s has the default provider", name, m.Type, m.Name)
			}
		}
	}
}

func TestBaseIsProtectedAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, w := range programs(t) {
		for _, m := range w.resources {
			if m.Protect != (name == "base") {
				t.Errorf("%s: %s %s: protect %v", name, m.Type, m.Name, m.Protect)
			}
		}
	}
}

// Only a key's own policy has no other form than these two.
var wildcardSids = map[string]bool{"Account": true, "Logs": true}

func TestNoPolicyHasAWildcard(t *testing.T) {
	t.Parallel()
	for name, w := range programs(t) {
		for _, m := range w.resources {
			for _, attribute := range []string{"policy", "assumeRolePolicy"} {
				document := m.text(attribute)
				if document == "" {
					continue
				}
				for _, s := range parsePolicy(t, document).Statement {
					key := m.Type == "kms/key:Key" && wildcardSids[s.Sid]
					wildAction := slices.ContainsFunc(s.Action, func(a string) bool { return a == "*" || strings.HasSuffix(a, ":*") })
					if wildAction && !(key && s.Sid == "Account") {
						t.Errorf("%s: %s %s: statement %s allows %v", name, m.Type, m.Name, s.Sid, s.Action)
					}
					if slices.Contains(s.Resource, "*") && !key {
						t.Errorf("%s: %s %s: statement %s is about every resource", name, m.Type, m.Name, s.Sid)
					}
					if s.Effect != "Allow" || len(s.Action) == 0 {
						t.Errorf("%s: %s %s: statement %+v", name, m.Type, m.Name, s)
					}
				}
			}
		}
	}
}

func TestEveryLogGroupHasRetentionAndKey(t *testing.T) {
	t.Parallel()
	got := map[string][]any{}
	for name, w := range programs(t) {
		for _, m := range w.of("cloudwatch/logGroup:LogGroup") {
			got[name+" "+m.text("name")] = []any{m.Inputs["retentionInDays"], m.text("kmsKeyId")}
		}
	}
	want := map[string][]any{}
	for _, cell := range []struct{ name, key string }{{"blue cell", "arn:blue-key"}, {"green cell", "arn:green-key"}, {"closed green cell", "arn:green-key"}} {
		for _, group := range []string{"/aws/lambda/Shop-prod-api", "/tapctl/Shop-prod-api/access", "/tapctl/Shop-prod-api/access/Canary"} {
			want[cell.name+" "+group] = []any{30.0, cell.key}
		}
		if cell.name != "blue cell" {
			want[cell.name+" /aws/lambda/Shop-prod-forward"] = []any{30.0, cell.key}
		}
	}
	same(t, "log groups", want, got)
}

// Route 53, ACM and the rest of the embedded AWS answer on one endpoint.
func TestEndpointReachesEveryService(t *testing.T) {
	t.Parallel()
	redirect := func(in *infra.CellInput) { in.Config.AWS.EndpointURL = "http://127.0.0.1:4566" }
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green, redirect)))
	list, _ := w.endpoints[greenRegion].([]any)
	if len(list) != 1 {
		t.Fatalf("endpoints: %v", w.endpoints)
	}
	want := map[string]any{}
	for _, service := range []string{"acm", "apigateway", "cloudwatch", "cloudwatchlogs", "dynamodb", "iam", "kms", "lambda", "route53", "sts"} {
		want[service] = "http://127.0.0.1:4566"
	}
	same(t, "endpoints", want, list[0].(map[string]any))
	if w := provision(t, infra.CellProgram(cellInput(t, topology.Green))); w.endpoints[greenRegion] != nil {
		t.Errorf("real AWS has endpoints: %v", w.endpoints)
	}
}
