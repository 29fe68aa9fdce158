package infra

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/config"
)

// customerKeys are the rights on the two customer keys. AWS chooses a key's id,
// so until the keys exist they are told by the tags that tapctl gives them: a
// key can be made with these tags only, and of the others the role may use
// none. Who may make tagged keys may also tag one that is there: this ends
// with the first deploy, after which the keys are named and none is made.
// https://docs.aws.amazon.com/kms/latest/developerguide/tag-authorization.html
func (d deployRights) customerKeys(c config.Config, made map[string]string) []statement {
	keys, ours := slices.Sorted(maps.Values(made)), map[string]any{}
	var statements []statement
	if len(keys) == 0 {
		keys = d.regional("kms", "key/*")
		ours = tagCondition("aws:ResourceTag/", c)
		// Neither has a resource that a policy could name.
		statements = append(statements, allow("NewKeys", []string{"*"}, "kms:CreateKey", "kms:TagResource").when(map[string]any{"StringEquals": tagCondition("aws:RequestTag/", c)}))
	}
	when := func(more map[string]any) map[string]any {
		condition := map[string]any{}
		all := maps.Clone(ours)
		maps.Copy(all, more)
		if len(all) > 0 {
			condition["StringEquals"] = all
		}
		return condition
	}
	via := func(services ...string) map[string]any {
		var names []string
		for _, region := range d.regions {
			for _, service := range services {
				names = append(names, service+"."+region+".amazonaws.com")
			}
		}
		return map[string]any{"kms:ViaService": names}
	}
	grants := when(via("dynamodb"))
	grants["Bool"] = map[string]any{"kms:GrantIsForAWSResource": "true"}
	return append(statements,
		allow("Keys", keys,
			"kms:DescribeKey", "kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:GetKeyRotationStatus", "kms:EnableKeyRotation", "kms:ScheduleKeyDeletion",
			"kms:TagResource", "kms:UntagResource", "kms:ListResourceTags", "kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias").when(when(nil)),
		allow("KeyAliases", d.regional("kms", "alias/"+d.name), "kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"),
		allow("KeyUse", keys, "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*").when(when(via("dynamodb", "s3", "secretsmanager"))),
		allow("KeyGrants", keys, "kms:CreateGrant").when(grants))
}

func tagCondition(key string, c config.Config) map[string]any {
	condition := map[string]any{}
	for name, value := range tagsOf(c, keyPurpose) {
		condition[key+name] = value
	}
	return condition
}

// adopted are the rights on what somebody else owns: enough to replicate it
// and to look at it. The table in its own region cannot be deleted, but its
// items can: DynamoDB asks for the rights on items, the deletion of them
// included, of whoever adds a replica, in both regions. The replica can be
// deleted, as destroy does with tapctl's own. Where it is the owner's own that
// is too much, and cannot be helped here: the configuration does not say whose
// it is, and the first deploy is to make one where there is none.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_reqs_bestpractices.html
func (d deployRights) adopted(c config.Config) []statement {
	var statements []statement
	if table := c.Table.Adopt; table != "" {
		statements = append(statements,
			allow("AdoptedTable", []string{d.in(c.SourceRegion, "dynamodb", "table/"+table)},
				"dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups", "dynamodb:ListTagsOfResource", "dynamodb:UpdateTable",
				"dynamodb:Query", "dynamodb:Scan", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"),
			allow("AdoptedReplica", []string{d.in(c.TargetRegion, "dynamodb", "table/"+table)},
				"dynamodb:CreateTable", "dynamodb:CreateTableReplica", "dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DeleteTable", "dynamodb:DeleteTableReplica",
				"dynamodb:DescribeContinuousBackups", "dynamodb:UpdateContinuousBackups", "dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:ListTagsOfResource",
				"dynamodb:Query", "dynamodb:Scan", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"))
	}
	if bucket := c.Assets.Adopt; bucket != "" {
		arn := "arn:aws:s3:::" + bucket
		statements = append(statements,
			allow("AdoptedBucket", []string{arn},
				"s3:ListBucket", "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetEncryptionConfiguration", "s3:GetReplicationConfiguration", "s3:PutReplicationConfiguration"),
			allow("AdoptedObjects", []string{arn + "/" + SitePrefix + "*"}, "s3:GetObject", "s3:PutObject", "s3:DeleteObject"))
	}
	return statements
}

// state are the rights on Pulumi's state, where that is a bucket, and on the
// KMS key of its secrets provider. Pulumi Cloud and a passphrase need none.
// https://www.pulumi.com/docs/iac/concepts/state-and-backends/
func (d deployRights) state(c config.Infra) ([]statement, error) {
	var statements []statement
	if backend, err := url.Parse(c.BackendURL); err != nil {
		return nil, fmt.Errorf("read infra.backend_url: %w", err)
	} else if backend.Scheme == "s3" {
		bucket := "arn:aws:s3:::" + backend.Host
		statements = append(statements,
			allow("State", []string{bucket}, "s3:ListBucket"),
			allow("StateObjects", []string{bucket + path.Join("/", backend.Path, ".pulumi/*")}, "s3:GetObject", "s3:PutObject", "s3:DeleteObject"))
	}
	key, region, found, err := secretsKey(c.SecretsProvider)
	if err != nil || !found {
		return statements, err
	}
	right := allow("StateKey", []string{key}, "kms:Encrypt", "kms:Decrypt")
	switch {
	case strings.HasPrefix(key, "arn:"):
	case strings.HasPrefix(key, "alias/"):
		// A policy names keys by their id alone; that an alias leads to it is a
		// condition. https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
		right.Resource = []string{d.in(region, "kms", "key/*")}
		right.Condition = map[string]any{"ForAnyValue:StringEquals": map[string]any{"kms:ResourceAliases": key}}
	default:
		right.Resource = []string{d.in(region, "kms", "key/"+key)}
	}
	return append(statements, right), nil
}

// secretsKey is the key of an awskms:// secrets provider: an id, an alias or an
// ARN, as in awskms://alias/NAME?region=R and awskms:///arn:aws:kms:....
func secretsKey(provider string) (key, region string, found bool, err error) {
	rest, found := strings.CutPrefix(provider, "awskms://")
	if !found {
		return "", "", false, nil
	}
	key, query, _ := strings.Cut(rest, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return "", "", false, fmt.Errorf("read infra.secrets_provider: %w", err)
	}
	key, region = strings.TrimPrefix(key, "/"), options.Get("region")
	if region == "" {
		region = "*" // that of the job's environment
	}
	return key, region, true, nil
}
