package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// SitePrefix starts the keys of the website: what everybody may read, and the
// only thing.
const SitePrefix = "site/"

// bucket is one region's assets.
type bucket struct {
	region     string
	name       pulumi.StringOutput
	arn        pulumi.StringOutput
	versioning pulumi.Resource // replication wants it on first; nil where adopted
}

// assets are a bucket in each region, either of which replicates to the other:
// what an application writes in green during a shift must be in blue should
// the shift go back. Replicas are not replicated again, so two ways are safe.
func (b *base) assets() error {
	buckets := map[string]*bucket{}
	names := pulumi.StringMap{}
	for _, region := range b.regions() {
		made, err := b.bucket(region)
		if err != nil {
			return err
		}
		buckets[region] = made
		names[region] = made.name
	}
	b.ctx.Export("bucket", names)
	source, target := buckets[b.Config.SourceRegion], buckets[b.Config.TargetRegion]
	return steps(
		func() error { return b.website(source) },
		func() error { return b.closed(target) },
		func() error { return b.replication(source, target) },
		func() error { return b.replication(target, source) },
	)
}

func (b *base) bucket(region string) (*bucket, error) {
	if adopted := b.Config.Assets.Adopt; adopted != "" && region == b.Config.SourceRegion {
		name := pulumi.String(adopted).ToStringOutput()
		return &bucket{region: region, name: name, arn: pulumi.String("arn:aws:s3:::" + adopted).ToStringOutput()}, nil
	}
	made, err := s3.NewBucketV2(b.ctx, "assets-"+region, &s3.BucketV2Args{
		Bucket:       pulumi.String(b.Config.BucketName(region, b.Account)),
		ForceDestroy: pulumi.Bool(b.Unprotected),
		Tags:         b.tags("assets in " + region),
	}, b.in(region)...)
	if err != nil {
		return nil, err
	}
	versioning, err := s3.NewBucketVersioningV2(b.ctx, "assets-"+region, &s3.BucketVersioningV2Args{
		Bucket:                  made.Bucket,
		VersioningConfiguration: &s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	}, b.in(region)...)
	if err != nil {
		return nil, err
	}
	whole := &bucket{region, made.Bucket, made.Arn, versioning}
	return whole, steps(
		func() error { return b.bucketEncryption(whole) },
		func() error { return b.bucketOwnership(whole) },
		func() error { return b.bucketLifecycle(whole) },
	)
}

// bucketEncryption is the default of objects that name none. A bucket key
// makes one call to KMS serve many objects, and the bucket's ARN the
// encryption context that the replication role is asked for.
func (b *base) bucketEncryption(of *bucket) error {
	_, err := s3.NewBucketServerSideEncryptionConfigurationV2(b.ctx, "assets-"+of.region, &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: of.name,
		Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
			BucketKeyEnabled: pulumi.Bool(true),
			ApplyServerSideEncryptionByDefault: &s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{
				SseAlgorithm: pulumi.String("aws:kms"), KmsMasterKeyId: b.keys[of.region].Arn,
			},
		}},
	}, b.in(of.region)...)
	return err
}

func (b *base) bucketOwnership(of *bucket) error {
	_, err := s3.NewBucketOwnershipControls(b.ctx, "assets-"+of.region, &s3.BucketOwnershipControlsArgs{
		Bucket: of.name,
		Rule:   &s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, b.in(of.region)...)
	return err
}

// bucketLifecycle bounds what versioning keeps. Lifecycle actions are not
// replicated, so each bucket has its own.
func (b *base) bucketLifecycle(of *bucket) error {
	days := pulumi.Int(b.Config.Assets.OldVersionDays)
	_, err := s3.NewBucketLifecycleConfigurationV2(b.ctx, "assets-"+of.region, &s3.BucketLifecycleConfigurationV2Args{
		Bucket: of.name,
		Rules: s3.BucketLifecycleConfigurationV2RuleArray{s3.BucketLifecycleConfigurationV2RuleArgs{
			Id: pulumi.String("old-versions"), Status: pulumi.String("Enabled"),
			Filter:                         &s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: pulumi.String("")},
			NoncurrentVersionExpiration:    &s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{NoncurrentDays: days},
			AbortIncompleteMultipartUpload: &s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs{DaysAfterInitiation: pulumi.Int(7)},
			Expiration:                     &s3.BucketLifecycleConfigurationV2RuleExpirationArgs{ExpiredObjectDeleteMarker: pulumi.Bool(true)},
		}},
	}, b.in(of.region, pulumi.DependsOn([]pulumi.Resource{of.versioning}))...)
	return err
}

// website opens the source bucket's site to everybody, and nothing else. An
// adopted bucket is somebody else's: it stays as it is.
func (b *base) website(of *bucket) error {
	if of.versioning == nil {
		return nil
	}
	site, err := s3.NewBucketWebsiteConfigurationV2(b.ctx, "assets-"+of.region, &s3.BucketWebsiteConfigurationV2Args{
		Bucket:        of.name,
		IndexDocument: &s3.BucketWebsiteConfigurationV2IndexDocumentArgs{Suffix: pulumi.String(b.Config.Assets.IndexDocument)},
		ErrorDocument: &s3.BucketWebsiteConfigurationV2ErrorDocumentArgs{Key: pulumi.String(SitePrefix + b.Config.Assets.ErrorDocument)},
	}, b.in(of.region)...)
	if err != nil {
		return err
	}
	b.ctx.Export("website_url", pulumi.Sprintf("http://%s/%s", site.WebsiteEndpoint, SitePrefix))
	// Exactly what a public bucket policy needs. ACLs stay blocked.
	open, err := b.publicAccess(of, false)
	if err != nil {
		return err
	}
	return b.bucketPolicy(of, open, func(arn string) []statement {
		return []statement{
			{Sid: "Website", Effect: "Allow", Principal: "*", Action: []string{"s3:GetObject"}, Resource: []string{arn + "/" + SitePrefix + "*"}},
			{Sid: "TLSOnly", Effect: "Deny", Principal: "*", Action: []string{"s3:*"}, NotResource: []string{arn + "/" + SitePrefix + "*"}, Condition: plainHTTP},
			{Sid: "TLSOnlyWrites", Effect: "Deny", Principal: "*", NotAction: []string{"s3:GetObject"}, Resource: []string{arn + "/" + SitePrefix + "*"}, Condition: plainHTTP},
			// An object of the site that is encrypted with the bucket's default
			// key answers 403 to every visitor: refuse it where it is made.
			{Sid: "SiteIsReadable", Effect: "Deny", Principal: "*", Action: []string{"s3:PutObject"}, Resource: []string{arn + "/" + SitePrefix + "*"},
				Condition: map[string]any{"StringNotEquals": map[string]any{"s3:x-amz-server-side-encryption": "AES256"}}},
		}
	})
}

// closed is the bucket that nobody reads without signing.
func (b *base) closed(of *bucket) error {
	block, err := b.publicAccess(of, true)
	if err != nil {
		return err
	}
	return b.bucketPolicy(of, block, func(arn string) []statement {
		return []statement{
			{Sid: "TLSOnly", Effect: "Deny", Principal: "*", Action: []string{"s3:*"}, Resource: []string{arn, arn + "/*"}, Condition: plainHTTP},
		}
	})
}

var plainHTTP = map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}

func (b *base) publicAccess(of *bucket, closed bool) (pulumi.Resource, error) {
	return s3.NewBucketPublicAccessBlock(b.ctx, "assets-"+of.region, &s3.BucketPublicAccessBlockArgs{
		Bucket: of.name, BlockPublicAcls: pulumi.Bool(true), IgnorePublicAcls: pulumi.Bool(true),
		BlockPublicPolicy: pulumi.Bool(closed), RestrictPublicBuckets: pulumi.Bool(closed),
	}, b.in(of.region)...)
}

func (b *base) bucketPolicy(of *bucket, after pulumi.Resource, statements func(arn string) []statement) error {
	document := of.arn.ApplyT(func(arn string) (string, error) { return policyDocument(statements(arn)...) }).(pulumi.StringOutput)
	_, err := s3.NewBucketPolicy(b.ctx, "assets-"+of.region, &s3.BucketPolicyArgs{
		Bucket: of.name, Policy: document,
	}, b.in(of.region, pulumi.DependsOn([]pulumi.Resource{after}))...)
	return err
}

// replication copies what is new in from to the other region, whichever way it
// is encrypted, and its deletions.
func (b *base) replication(from, to *bucket) error {
	role, err := b.replicationRole(from, to)
	if err != nil {
		return err
	}
	after := []pulumi.Resource{role}
	for _, side := range []*bucket{from, to} {
		if side.versioning != nil {
			after = append(after, side.versioning)
		}
	}
	_, err = s3.NewBucketReplicationConfig(b.ctx, "assets-"+from.region, &s3.BucketReplicationConfigArgs{
		Bucket: from.name, Role: role.Arn,
		Rules: s3.BucketReplicationConfigRuleArray{s3.BucketReplicationConfigRuleArgs{
			Id: pulumi.String(ReplicationRule(to.region)), Status: pulumi.String("Enabled"), Priority: pulumi.Int(1),
			Filter:                  &s3.BucketReplicationConfigRuleFilterArgs{Prefix: pulumi.String("")},
			DeleteMarkerReplication: &s3.BucketReplicationConfigRuleDeleteMarkerReplicationArgs{Status: pulumi.String("Enabled")},
			SourceSelectionCriteria: &s3.BucketReplicationConfigRuleSourceSelectionCriteriaArgs{
				SseKmsEncryptedObjects: &s3.BucketReplicationConfigRuleSourceSelectionCriteriaSseKmsEncryptedObjectsArgs{Status: pulumi.String("Enabled")},
			},
			Destination: &s3.BucketReplicationConfigRuleDestinationArgs{
				Bucket:                  to.arn,
				EncryptionConfiguration: &s3.BucketReplicationConfigRuleDestinationEncryptionConfigurationArgs{ReplicaKmsKeyId: b.keys[to.region].Arn},
				Metrics: &s3.BucketReplicationConfigRuleDestinationMetricsArgs{
					Status:         pulumi.String("Enabled"),
					EventThreshold: &s3.BucketReplicationConfigRuleDestinationMetricsEventThresholdArgs{Minutes: pulumi.Int(15)},
				},
				ReplicationTime: &s3.BucketReplicationConfigRuleDestinationReplicationTimeArgs{
					Status: pulumi.String("Enabled"),
					Time:   &s3.BucketReplicationConfigRuleDestinationReplicationTimeTimeArgs{Minutes: pulumi.Int(15)},
				},
			},
		}},
	}, b.in(from.region, pulumi.DependsOn(after))...)
	return err
}

// replicationRole may read the versions of one bucket and write replicas into
// the other, with their two keys, through S3 alone. An adopted bucket's own
// key is not known here: its KMS objects need a grant by its owner. tapctl's key
// of that region is that of the replicas there, which are not replicated again.
func (b *base) replicationRole(from, to *bucket) (*iam.Role, error) {
	trust, err := trustPolicy("s3.amazonaws.com")
	if err != nil {
		return nil, err
	}
	role, err := iam.NewRole(b.ctx, "replication-"+from.region, &iam.RoleArgs{
		Name:             pulumi.String(b.Config.RegionalName("replication", from.region)),
		AssumeRolePolicy: pulumi.String(trust),
		Description:      pulumi.String("S3 replicates from " + from.region + " to " + to.region + " with this role"),
		Tags:             b.tags("S3 replication"),
	}, b.in(from.region)...)
	if err != nil {
		return nil, err
	}
	document := pulumi.All(from.arn, to.arn, b.keys[from.region].Arn, b.keys[to.region].Arn).ApplyT(func(arns []any) (string, error) {
		source, destination, sourceKey, destinationKey := arns[0].(string), arns[1].(string), arns[2].(string), arns[3].(string)
		if from.versioning == nil {
			sourceKey = ""
		}
		return policyDocument(replicationStatements(from.region, to.region, source, destination, sourceKey, destinationKey)...)
	}).(pulumi.StringOutput)
	_, err = iam.NewRolePolicy(b.ctx, "replication-"+from.region, &iam.RolePolicyArgs{
		Name: pulumi.String("replication"), Role: role.Name, Policy: document,
	}, b.in(from.region)...)
	return role, err
}

// replicationStatements are those of
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html
// and https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html.
// sourceKey is "" where the source's objects are under none of tapctl's.
func replicationStatements(fromRegion, toRegion, source, destination, sourceKey, destinationKey string) []statement {
	through := func(region, bucket string) map[string]any {
		return map[string]any{"StringLike": map[string]any{
			"kms:ViaService":                   fmt.Sprintf("s3.%s.amazonaws.com", region),
			"kms:EncryptionContext:aws:s3:arn": []string{bucket, bucket + "/*"},
		}}
	}
	statements := []statement{
		{Sid: "Rule", Effect: "Allow", Action: []string{"s3:GetReplicationConfiguration", "s3:ListBucket"}, Resource: []string{source}},
		{Sid: "Read", Effect: "Allow", Action: []string{"s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"},
			Resource: []string{source + "/*"}},
		{Sid: "Write", Effect: "Allow", Action: []string{"s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"}, Resource: []string{destination + "/*"}},
	}
	if sourceKey != "" {
		statements = append(statements, statement{Sid: "SourceKey", Effect: "Allow", Action: []string{"kms:Decrypt"}, Resource: []string{sourceKey}, Condition: through(fromRegion, source)})
	}
	return append(statements, statement{
		Sid: "ReplicaKey", Effect: "Allow", Action: []string{"kms:Encrypt", "kms:Decrypt"}, Resource: []string{destinationKey}, Condition: through(toRegion, destination),
	})
}

// ReplicationRule is the id of the rule that leads to a region's bucket.
func ReplicationRule(to string) string { return "to-" + to }
