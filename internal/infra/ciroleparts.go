package infra

import (
	"strings"

	"github.com/tapctl/tapctl/internal/config"
)

// The rights of the deploy role, by part. What is Unnamed takes no name of a
// resource: none exists yet, or the action knows none.

func (d deployRights) identity() []statement {
	return []statement{
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
	}
}

func (d deployRights) compute() []statement {
	return []statement{
		allow("Functions", d.regional("lambda", "function:"+d.name),
			"lambda:CreateFunction", "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
			"lambda:DeleteFunction", "lambda:PublishVersion", "lambda:ListVersionsByFunction", "lambda:GetFunctionCodeSigningConfig",
			"lambda:CreateAlias", "lambda:GetAlias", "lambda:UpdateAlias", "lambda:DeleteAlias", "lambda:AddPermission", "lambda:GetPolicy", "lambda:RemovePermission",
			"lambda:TagResource", "lambda:UntagResource", "lambda:ListTags", "lambda:GetFunctionConcurrency"),
		allow("LogGroups", d.regional("logs", "log-group:/aws/lambda/"+d.name, "log-group:/tapctl/"+d.name),
			"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:AssociateKmsKey", "logs:DisassociateKmsKey",
			"logs:TagResource", "logs:UntagResource", "logs:ListTagsForResource", "logs:FilterLogEvents"),
		allow("Unnamed", []string{"*"}, "lambda:GetAccountSettings", "logs:DescribeLogGroups"),
	}
}

func (d deployRights) edge(c config.Config, zoneID string) []statement {
	zone := "arn:aws:route53:::hostedzone/" + zoneID
	return []statement{
		// REST APIs and domain names are known by ids that AWS chooses.
		allow("APIs", d.apis(c), "apigateway:GET", "apigateway:POST", "apigateway:PUT", "apigateway:PATCH", "apigateway:DELETE", "apigateway:UpdateRestApiPolicy"),
		allow("Records", []string{zone}, "route53:ChangeResourceRecordSets").when(map[string]any{
			"ForAllValues:StringLike": map[string]any{"route53:ChangeResourceRecordSetsNormalizedRecordNames": d.records(c)},
			// ForAllValues is true of an empty set as well.
			"Null": map[string]any{"route53:ChangeResourceRecordSetsNormalizedRecordNames": "false"},
		}),
		allow("Zone", []string{zone}, "route53:ListResourceRecordSets", "route53:GetHostedZone"),
		allow("Sync", []string{"arn:aws:route53:::change/*"}, "route53:GetChange"),
		allow("HealthChecks", []string{"arn:aws:route53:::healthcheck/*"},
			"route53:GetHealthCheck", "route53:UpdateHealthCheck", "route53:DeleteHealthCheck", "route53:ChangeTagsForResource", "route53:ListTagsForResource"),
		allow("Certificates", d.regional("acm", "certificate/*"),
			"acm:DescribeCertificate", "acm:DeleteCertificate", "acm:AddTagsToCertificate", "acm:ListTagsForCertificate"),
		allow("Unnamed", []string{"*"}, "route53:ListHostedZonesByName", "route53:CreateHealthCheck", "acm:RequestCertificate"),
	}
}

// records are the names in the zone that are the environment's: the public name,
// the regions' own, and what ACM asks for below any of them.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-rrset-conditions.html
func (d deployRights) records(c config.Config) []string {
	names := []string{c.Domain.Name, "_*." + c.Domain.Name}
	for _, region := range d.regions {
		names = append(names, c.ProbeName(region))
	}
	return names
}

func (d deployRights) data() []statement {
	bucket := "arn:aws:s3:::" + strings.ToLower(d.prefix) + "-assets-*"
	return []statement{
		allow("Tables", d.regional("dynamodb", "table/"+d.name),
			"dynamodb:CreateTable", "dynamodb:CreateTableReplica", "dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DeleteTable", "dynamodb:DeleteTableReplica",
			"dynamodb:DescribeContinuousBackups", "dynamodb:UpdateContinuousBackups", "dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive",
			"dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:ListTagsOfResource",
			"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:BatchWriteItem"),
		allow("Secret", d.regional("secretsmanager", "secret:"+d.name),
			"secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:UpdateSecret", "secretsmanager:DeleteSecret", "secretsmanager:PutSecretValue",
			"secretsmanager:GetResourcePolicy", "secretsmanager:ReplicateSecretToRegions", "secretsmanager:RemoveRegionsFromReplication", "secretsmanager:TagResource", "secretsmanager:UntagResource"),
		allow("Buckets", []string{bucket},
			"s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketTagging", "s3:PutBucketTagging",
			"s3:GetBucketVersioning", "s3:PutBucketVersioning", "s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration",
			"s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite", "s3:GetBucketPublicAccessBlock", "s3:PutBucketPublicAccessBlock",
			"s3:GetBucketOwnershipControls", "s3:PutBucketOwnershipControls", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy",
			"s3:GetReplicationConfiguration", "s3:PutReplicationConfiguration", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration",
			"s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLogging", "s3:GetBucketRequestPayment", "s3:GetAccelerateConfiguration", "s3:GetBucketObjectLockConfiguration"),
		allow("Objects", []string{bucket + "/*"}, "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"),
	}
}

func (d deployRights) watch(c config.Config) []statement {
	return []statement{
		allow("Alarms", append(d.regional("cloudwatch", "alarm:"+d.name), d.in(c.KillRegion(), "cloudwatch", "alarm:"+d.name)),
			"cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:TagResource", "cloudwatch:UntagResource", "cloudwatch:ListTagsForResource"),
		allow("Dashboard", []string{d.global("cloudwatch", "dashboard/"+d.name)}, "cloudwatch:PutDashboard", "cloudwatch:GetDashboard", "cloudwatch:DeleteDashboards"),
		allow("Unnamed", []string{"*"}, "cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory", "cloudwatch:GetMetricData"),
	}
}
