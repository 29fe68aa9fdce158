package infra

import (
	"fmt"
	"strings"

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

// DeployPolicy is what a CI job needs for everything that provisions: preview,
// deploy, verify, assets sync, secret put, retire and destroy. What AWS can
// restrict by name is restricted to the environment's names. What tapctl and
// the embedded AWS's provider ask is proven to be in it; the rest, for Pulumi's
// own provider and for updates, is listed as unverified in docs/assumptions.md.
// keys are the ARNs of the customer keys by region; none before the first
// deploy, when the keys can be told by their tags alone.
func DeployPolicy(c config.Config, account, zoneID string, keys map[string]string) (Document, error) {
	d := deployRights{prefix: c.StackPrefix(), name: c.Name("*"), account: account, regions: []string{c.SourceRegion, c.TargetRegion}}
	statements := []statement{
		allow("Roles", []string{d.global("iam", "role/"+d.name)},
			"iam:CreateRole", "iam:GetRole", "iam:UpdateRole", "iam:DeleteRole", "iam:UpdateAssumeRolePolicy", "iam:TagRole", "iam:UntagRole",
			"iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
			"iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy"),
		allow("PassRoles", []string{d.global("iam", "role/"+d.name)}, "iam:PassRole").when(map[string]any{
			"StringEquals": map[string]any{"iam:PassedToService": []string{"apigateway.amazonaws.com", "lambda.amazonaws.com", "s3.amazonaws.com"}},
		}),
		// The first global table and the first custom domain of an account make
		// AWS's own roles for them.
		// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/using-service-linked-roles.html
		// https://docs.aws.amazon.com/apigateway/latest/developerguide/using-service-linked-roles.html
		allow("ServiceRoles", []string{d.global("iam", "role/aws-service-role/*")}, "iam:CreateServiceLinkedRole").when(map[string]any{
			"StringEquals": map[string]any{"iam:AWSServiceName": []string{"ops.apigateway.amazonaws.com", "replication.dynamodb.amazonaws.com"}},
		}),
		allow("Functions", d.regional("lambda", "function:"+d.name),
			"lambda:CreateFunction", "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
			"lambda:DeleteFunction", "lambda:PublishVersion", "lambda:ListVersionsByFunction", "lambda:GetFunctionCodeSigningConfig",
			"lambda:CreateAlias", "lambda:GetAlias", "lambda:UpdateAlias", "lambda:DeleteAlias", "lambda:AddPermission", "lambda:GetPolicy", "lambda:RemovePermission",
			"lambda:TagResource", "lambda:UntagResource", "lambda:ListTags", "lambda:GetFunctionConcurrency"),
		// REST APIs and domain names are known by ids that AWS chooses.
		allow("APIs", d.apis(c), "apigateway:GET", "apigateway:POST", "apigateway:PUT", "apigateway:PATCH", "apigateway:DELETE", "apigateway:UpdateRestApiPolicy"),
		allow("LogGroups", d.regional("logs", "log-group:/aws/lambda/"+d.name, "log-group:/tapctl/"+d.name),
			"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:AssociateKmsKey", "logs:DisassociateKmsKey",
			"logs:TagResource", "logs:UntagResource", "logs:ListTagsForResource", "logs:FilterLogEvents"),
		allow("Alarms", append(d.regional("cloudwatch", "alarm:"+d.name), d.in(c.KillRegion(), "cloudwatch", "alarm:"+d.name)),
			"cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:TagResource", "cloudwatch:UntagResource", "cloudwatch:ListTagsForResource"),
		allow("Dashboard", []string{d.global("cloudwatch", "dashboard/"+d.name)}, "cloudwatch:PutDashboard", "cloudwatch:GetDashboard", "cloudwatch:DeleteDashboards"),
		allow("Tables", d.regional("dynamodb", "table/"+d.name),
			"dynamodb:CreateTable", "dynamodb:CreateTableReplica", "dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DeleteTable", "dynamodb:DeleteTableReplica",
			"dynamodb:DescribeContinuousBackups", "dynamodb:UpdateContinuousBackups", "dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive",
			"dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:ListTagsOfResource",
			"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:BatchWriteItem"),
		allow("Secret", d.regional("secretsmanager", "secret:"+d.name),
			"secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:UpdateSecret", "secretsmanager:DeleteSecret", "secretsmanager:PutSecretValue",
			"secretsmanager:GetResourcePolicy", "secretsmanager:ReplicateSecretToRegions", "secretsmanager:RemoveRegionsFromReplication", "secretsmanager:TagResource", "secretsmanager:UntagResource"),
	}
	statements = append(statements, d.rest(zoneID)...)
	statements = append(statements, d.customerKeys(c, keys)...)
	statements = append(statements, d.adopted(c)...)
	state, err := d.state(c.Infra)
	return document(append(statements, state...)...), err
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

// rest is what AWS names itself, or does not let a policy name.
func (d deployRights) rest(zoneID string) []statement {
	zone := "arn:aws:route53:::hostedzone/" + zoneID
	bucket := "arn:aws:s3:::" + strings.ToLower(d.prefix) + "-assets-*"
	return []statement{
		allow("Buckets", []string{bucket},
			"s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketTagging", "s3:PutBucketTagging",
			"s3:GetBucketVersioning", "s3:PutBucketVersioning", "s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration",
			"s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite", "s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock",
			"s3:GetBucketOwnershipControls", "s3:PutBucketOwnershipControls", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
			"s3:GetReplicationConfiguration", "s3:PutReplicationConfiguration", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration",
			"s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLogging", "s3:GetBucketRequestPayment", "s3:GetAccelerateConfiguration", "s3:GetBucketObjectLockConfiguration"),
		allow("Objects", []string{bucket + "/*"}, "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"),
		allow("Zone", []string{zone}, "route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets", "route53:GetHostedZone"),
		allow("Sync", []string{"arn:aws:route53:::change/*"}, "route53:GetChange"),
		// None of these takes the name of a resource that does not exist yet,
		// or any at all.
		allow("Unnamed", []string{"*"},
			"route53:ListHostedZonesByName", "route53:CreateHealthCheck",
			"kms:ListAliases", "acm:RequestCertificate", "logs:DescribeLogGroups",
			"cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory", "cloudwatch:GetMetricData", "lambda:GetAccountSettings"),
		allow("HealthChecks", []string{"arn:aws:route53:::healthcheck/*"},
			"route53:GetHealthCheck", "route53:UpdateHealthCheck", "route53:DeleteHealthCheck", "route53:ChangeTagsForResource", "route53:ListTagsForResource"),
		allow("Certificates", d.regional("acm", "certificate/*"),
			"acm:DescribeCertificate", "acm:DeleteCertificate", "acm:AddTagsToCertificate", "acm:ListTagsForCertificate"),
	}
}
