package infra

import (
	"fmt"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/topology"
)

// Document is an IAM policy document as AWS takes it.
type Document struct {
	Version   string      `json:"Version"`
	Statement []statement `json:"Statement"`
}

func document(statements ...statement) Document { return Document{"2012-10-17", statements} }

func allow(sid string, resources []string, actions ...string) statement {
	return statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

func (s statement) when(condition map[string]any) statement {
	s.Condition = condition
	return s
}

// ShiftPolicy is what a CI job needs for shift, approve, rollback, promote,
// status and history of one environment, and nothing more: it deploys nothing.
// No condition key restricts a record's weight or SetIdentifier, and none the
// path of a stage's patch: what the role could still do, tapctl guards.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-rrset-conditions.html
func ShiftPolicy(t topology.Topology) Document {
	green, blue := t.Target, t.Source
	zone := "arn:aws:route53:::hostedzone/" + t.ZoneID
	function := fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", green.Region, t.Account, green.APIFunction)
	control := func(region string) string {
		return fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", region, t.Account, t.ControlTable)
	}
	logs := fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", green.Region, t.Account, green.AccessLog)
	statements := []statement{
		// Up is DELETE and CREATE in one batch, which a stale writer cannot
		// land; down is UPSERT, which always lands.
		allow("Weights", []string{zone}, "route53:ChangeResourceRecordSets").when(map[string]any{
			"ForAllValues:StringEquals": map[string]any{
				"route53:ChangeResourceRecordSetsNormalizedRecordNames": []string{t.RecordName},
				"route53:ChangeResourceRecordSetsRecordTypes":           t.RecordTypes,
				"route53:ChangeResourceRecordSetsActions":               []string{"CREATE", "DELETE", "UPSERT"},
			},
			// ForAllValues is true of an empty set as well.
			"Null": map[string]any{"route53:ChangeResourceRecordSetsNormalizedRecordNames": "false"},
		}),
		allow("Records", []string{zone}, "route53:ListResourceRecordSets"),
		allow("Sync", []string{"arn:aws:route53:::change/*"}, "route53:GetChange"),
		allow("Canary", []string{fmt.Sprintf("arn:aws:apigateway:%s::/restapis/%s/stages/%s", green.Region, green.RestAPI, green.Stage)}, "apigateway:GET", "apigateway:PATCH"),
		allow("Versions", []string{function}, "lambda:GetAlias", "lambda:UpdateAlias"),
		allow("Version", []string{function + ":*"}, "lambda:GetFunctionConfiguration"), // that a rollback is told to go to
		allow("Preflight", []string{function + ":next"}, "lambda:InvokeFunction"),
		// DescribeAlarms of composite alarms and GetMetricData take no other
		// resource. https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
		allow("Observe", []string{"*"}, "cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory", "cloudwatch:GetMetricData"),
		allow("Journal", []string{control(green.Region)}, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem", "dynamodb:Query"),
		// The write is of the sentinel, which shows that items cross.
		allow("JournalReplica", []string{control(blue.Region)}, "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"),
	}
	if t.Table != "" {
		statements = append(statements, allow("Data", []string{
			fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", green.Region, t.Account, t.Table), fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", blue.Region, t.Account, t.Table),
		}, "dynamodb:DescribeTable"))
	}
	if green.AccessLog != "" {
		statements = append(statements, allow("Requests", []string{logs, logs + ":*", logs + "/Canary", logs + "/Canary:*"}, "logs:StartLiveTail", "logs:FilterLogEvents"))
	}
	for _, key := range []struct{ sid, region string }{{"JournalKey", green.Region}, {"JournalReplicaKey", blue.Region}} {
		if arn := t.Keys[key.region]; arn != "" {
			through := []string{"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"}
			statements = append(statements, allow(key.sid, []string{arn}, through...).when(map[string]any{
				"StringLike": map[string]any{"kms:ViaService": "dynamodb.*.amazonaws.com"},
			}))
		}
	}
	return document(statements...)
}

// ShiftPolicies are ShiftPolicy as DeployPolicies are printed.
func ShiftPolicies(c config.Config, t topology.Topology) []Policy {
	return []Policy{{ShiftParts[0], c.Name("shift"), ShiftPolicy(t)}}
}

// GitHubTrust lets the jobs of one environment of one repository assume the
// role. Both conditions are needed: the audience alone is every repository.
// https://docs.github.com/actions/security-for-github-actions/security-hardening-your-deployments/configuring-openid-connect-in-amazon-web-services
func GitHubTrust(account, repository, environment string) Document {
	const issuer = "token.actions.githubusercontent.com"
	return document(statement{
		Sid: "GitHub", Effect: "Allow", Action: []string{"sts:AssumeRoleWithWebIdentity"},
		Principal: map[string]any{"Federated": fmt.Sprintf("arn:aws:iam::%s:oidc-provider/%s", account, issuer)},
		Condition: map[string]any{"StringEquals": map[string]any{
			issuer + ":aud": "sts.amazonaws.com",
			issuer + ":sub": fmt.Sprintf("repo:%s:environment:%s", repository, environment),
		}},
	})
}

// Policy is one managed policy of a role.
type Policy struct {
	Part     string   `json:"part"` // what it is about
	Name     string   `json:"name"` // of the policy, as AWS is to know it
	Document Document `json:"document"`
}

// The parts of a role's policy. IAM takes 6,144 characters for a managed
// policy, white space apart, ten of which a role may have, and 10,240 for all
// that is written into the role itself: the deploy role has more than either.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
var (
	ShiftParts  = []string{"shift"}
	DeployParts = []string{"identity", "keys", "compute", "edge", "data", "watch"}
)

// DeployPolicies are what a CI job needs for everything that provisions:
// preview, deploy, verify, assets sync, secret put, retire and destroy. What
// AWS can restrict by name is restricted to the environment's names. What
// tapctl and the embedded AWS's provider ask is proven to be in them; the rest,
// for Pulumi's own provider and for updates, is listed as unverified in
// docs/assumptions.md. keys are the ARNs of the customer keys by region; none
// before the first deploy, when the keys can be told by their tags alone.
func DeployPolicies(c config.Config, account, zoneID string, keys map[string]string) ([]Policy, error) {
	d := deployRights{prefix: c.StackPrefix(), name: c.Name("*"), account: account, regions: []string{c.SourceRegion, c.TargetRegion}}
	state, err := d.state(c.Infra)
	if err != nil {
		return nil, err
	}
	of := map[string][]statement{
		"identity": append(d.identity(), state...),
		"keys":     append(d.customerKeys(c, keys), allow("Unnamed", []string{"*"}, "kms:ListAliases")),
		"compute":  d.compute(),
		"edge":     d.edge(c, zoneID),
		"data":     append(d.data(), d.adopted(c)...),
		"watch":    d.watch(c),
	}
	var policies []Policy
	for _, part := range DeployParts {
		policies = append(policies, Policy{part, c.Name("deploy-" + part), document(of[part]...)})
	}
	return policies, nil
}

// deployRights are the names of one environment.
type deployRights struct {
	prefix, name, account string
	regions               []string
}

func (d deployRights) in(region, service, resource string) string {
	return "arn:aws:" + service + ":" + region + ":" + d.account + ":" + resource
}

func (d deployRights) global(service, resource string) string { return d.in("", service, resource) }

func (d deployRights) regional(service string, resources ...string) []string {
	var all []string
	for _, region := range d.regions {
		for _, resource := range resources {
			all = append(all, d.in(region, service, resource))
		}
	}
	return all
}

func (d deployRights) apis(c config.Config) []string {
	var all []string
	for _, region := range d.regions {
		for _, path := range []string{"account", "restapis", "restapis/*", "domainnames", "domainnames/" + c.Domain.Name, "domainnames/" + c.Domain.Name + "/*",
			"domainnames/" + c.ProbeName(region), "domainnames/" + c.ProbeName(region) + "/*", "tags/*"} {
			all = append(all, "arn:aws:apigateway:"+region+"::/"+path)
		}
	}
	return all
}
