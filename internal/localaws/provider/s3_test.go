package provider_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	s3api "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// assets are a bucket in each region, one a website that replicates to the
// other: every kind of bucket resource there is.
type assets struct {
	*account
	days   int // that old versions stay
	index  string
	minute int    // of the replication's promise
	open   bool   // the website's Block Public Access
	policy string // of the website
	force  bool
}

const trustS3 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func (a *assets) program(ctx *pulumi.Context) error {
	buckets, versioned, keys := map[string]*s3.BucketV2{}, []pulumi.Resource{}, map[string]*kms.Key{}
	var in pulumi.ResourceOption
	for _, region := range []string{green, blue} { // in is blue's at the end
		var err error
		if in, err = a.provider(ctx, region); err != nil {
			return err
		}
		if keys[region], err = kms.NewKey(ctx, "key-"+region, &kms.KeyArgs{}, in); err != nil {
			return err
		}
		if buckets[region], err = s3.NewBucketV2(ctx, region, &s3.BucketV2Args{
			Bucket: pulumi.String("shop-" + region), ForceDestroy: pulumi.Bool(a.force), Tags: pulumi.StringMap{"Owner": pulumi.String("team")},
		}, in); err != nil {
			return err
		}
		on, err := s3.NewBucketVersioningV2(ctx, region, &s3.BucketVersioningV2Args{Bucket: buckets[region].Bucket,
			VersioningConfiguration: &s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")}}, in)
		if err != nil {
			return err
		}
		versioned = append(versioned, on)
		if _, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, region, &s3.BucketServerSideEncryptionConfigurationV2Args{Bucket: buckets[region].Bucket,
			Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
				BucketKeyEnabled: pulumi.Bool(true),
				ApplyServerSideEncryptionByDefault: &s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{
					SseAlgorithm: pulumi.String("aws:kms"), KmsMasterKeyId: keys[region].Arn},
			}}}, in); err != nil {
			return err
		}
	}
	if err := a.site(ctx, buckets[blue], in); err != nil {
		return err
	}
	return a.replication(ctx, buckets, keys[green], in, pulumi.DependsOn(versioned))
}

func (a *assets) site(ctx *pulumi.Context, of *s3.BucketV2, in pulumi.ResourceOption) error {
	site, err := s3.NewBucketWebsiteConfigurationV2(ctx, "site", &s3.BucketWebsiteConfigurationV2Args{Bucket: of.Bucket,
		IndexDocument: &s3.BucketWebsiteConfigurationV2IndexDocumentArgs{Suffix: pulumi.String(a.index)},
		ErrorDocument: &s3.BucketWebsiteConfigurationV2ErrorDocumentArgs{Key: pulumi.String("404.html")}}, in)
	if err != nil {
		return err
	}
	ctx.Export("endpoint", site.WebsiteEndpoint)
	ctx.Export("arn", of.Arn)
	if _, err := s3.NewBucketOwnershipControls(ctx, "site", &s3.BucketOwnershipControlsArgs{Bucket: of.Bucket,
		Rule: &s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")}}, in); err != nil {
		return err
	}
	if _, err := s3.NewBucketLifecycleConfigurationV2(ctx, "site", &s3.BucketLifecycleConfigurationV2Args{Bucket: of.Bucket,
		Rules: s3.BucketLifecycleConfigurationV2RuleArray{s3.BucketLifecycleConfigurationV2RuleArgs{
			Id: pulumi.String("old"), Status: pulumi.String("Enabled"), Filter: &s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: pulumi.String("")},
			NoncurrentVersionExpiration:    &s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{NoncurrentDays: pulumi.Int(a.days)},
			AbortIncompleteMultipartUpload: &s3.BucketLifecycleConfigurationV2RuleAbortIncompleteMultipartUploadArgs{DaysAfterInitiation: pulumi.Int(7)},
			Expiration:                     &s3.BucketLifecycleConfigurationV2RuleExpirationArgs{ExpiredObjectDeleteMarker: pulumi.Bool(true)},
		}}}, in); err != nil {
		return err
	}
	block, err := s3.NewBucketPublicAccessBlock(ctx, "site", &s3.BucketPublicAccessBlockArgs{Bucket: of.Bucket,
		BlockPublicAcls: pulumi.Bool(true), IgnorePublicAcls: pulumi.Bool(true), BlockPublicPolicy: pulumi.Bool(!a.open), RestrictPublicBuckets: pulumi.Bool(!a.open)}, in)
	if err != nil {
		return err
	}
	_, err = s3.NewBucketPolicy(ctx, "site", &s3.BucketPolicyArgs{Bucket: of.Bucket, Policy: pulumi.String(a.policy)}, in, pulumi.DependsOn([]pulumi.Resource{block}))
	return err
}

func (a *assets) replication(ctx *pulumi.Context, buckets map[string]*s3.BucketV2, key *kms.Key, options ...pulumi.ResourceOption) error {
	role, err := iam.NewRole(ctx, "replication", &iam.RoleArgs{Name: pulumi.String("replication"), AssumeRolePolicy: pulumi.String(trustS3)}, options[0])
	if err != nil {
		return err
	}
	_, err = s3.NewBucketReplicationConfig(ctx, "replication", &s3.BucketReplicationConfigArgs{Bucket: buckets[blue].Bucket, Role: role.Arn,
		Rules: s3.BucketReplicationConfigRuleArray{s3.BucketReplicationConfigRuleArgs{
			Id: pulumi.String("to-green"), Status: pulumi.String("Enabled"), Priority: pulumi.Int(1), Filter: &s3.BucketReplicationConfigRuleFilterArgs{Prefix: pulumi.String("")},
			DeleteMarkerReplication: &s3.BucketReplicationConfigRuleDeleteMarkerReplicationArgs{Status: pulumi.String("Enabled")},
			SourceSelectionCriteria: &s3.BucketReplicationConfigRuleSourceSelectionCriteriaArgs{
				SseKmsEncryptedObjects: &s3.BucketReplicationConfigRuleSourceSelectionCriteriaSseKmsEncryptedObjectsArgs{Status: pulumi.String("Enabled")}},
			Destination: &s3.BucketReplicationConfigRuleDestinationArgs{Bucket: buckets[green].Arn,
				EncryptionConfiguration: &s3.BucketReplicationConfigRuleDestinationEncryptionConfigurationArgs{ReplicaKmsKeyId: key.Arn},
				Metrics: &s3.BucketReplicationConfigRuleDestinationMetricsArgs{Status: pulumi.String("Enabled"),
					EventThreshold: &s3.BucketReplicationConfigRuleDestinationMetricsEventThresholdArgs{Minutes: pulumi.Int(a.minute)}},
				ReplicationTime: &s3.BucketReplicationConfigRuleDestinationReplicationTimeArgs{Status: pulumi.String("Enabled"),
					Time: &s3.BucketReplicationConfigRuleDestinationReplicationTimeTimeArgs{Minutes: pulumi.Int(a.minute)}},
			},
		}}}, options...)
	return err
}

func sitePolicy(prefix string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"Website","Effect":"Allow","Principal":"*","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::shop-` + blue + `/` + prefix + `*"]}]}`
}

func TestEngineKeepsBuckets(t *testing.T) {
	t.Parallel()
	a := &assets{account: &account{}, days: 30, index: "index.html", minute: 15, open: true, policy: sitePolicy("site/")}
	whole(t, a.program, a.account)
	ctx := context.Background()
	created := a.up()["create"]
	outputs, err := a.stack.Outputs(ctx)
	host := "shop-eu-west-1.s3-website-eu-west-1.amazonaws.com"
	if err != nil || outputs["endpoint"].Value != host || outputs["arn"].Value != "arn:aws:s3:::shop-eu-west-1" {
		t.Errorf("outputs %v, %v", outputs, err)
	}
	a.settled(created)

	c := s3api.NewFromConfig(a.config(blue))
	bucket := awssdk.String("shop-" + blue)
	put := func(key string, sse s3types.ServerSideEncryption) {
		t.Helper()
		if _, err := c.PutObject(ctx, &s3api.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader("home"), ServerSideEncryption: sse}); err != nil {
			t.Fatal(err)
		}
	}
	put("site/index.html", s3types.ServerSideEncryptionAes256)
	put("site/sealed.html", "")
	for path, want := range map[string]int{"/site/": 200, "/site/sealed.html": 403, "/site/absent": 404} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close() // Non-fatal: it was answered.
		if response.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, response.Status, want)
		}
	}

	// Each change is one update of what it is about, and nothing is replaced.
	for name, change := range map[string]func(){
		"lifecycle": func() { a.days = 60 }, "website": func() { a.index = "home.html" }, "policy": func() { a.policy = sitePolicy("public/") },
	} {
		change()
		if got := a.up(); got["update"] != 1 || got["same"] != created-1 {
			t.Errorf("%s: %v", name, got)
		}
		a.settled(created)
	}
	site, err := c.GetBucketWebsite(ctx, &s3api.GetBucketWebsiteInput{Bucket: bucket})
	if err != nil || *site.IndexDocument.Suffix != "home.html" {
		t.Errorf("website %+v, %v", site, err)
	}

	// What somebody changed by hand is seen and put right.
	if _, err := c.DeleteBucketReplication(ctx, &s3api.DeleteBucketReplicationInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutPublicAccessBlock(ctx, &s3api.PutPublicAccessBlockInput{Bucket: bucket, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.stack.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if got := a.up(); got["update"] != 1 || got["create"] != 1 {
		t.Errorf("after changes by hand: %v", got)
	}
	a.settled(created)

	// A bucket that holds something is not deleted unless the program said so
	// beforehand.
	if _, err := a.stack.Destroy(ctx); err == nil || !strings.Contains(err.Error(), "BucketNotEmpty") {
		t.Errorf("destroyed with what it holds: %v", err)
	}
	a.force = true
	a.up()
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
	left, err := c.ListBuckets(ctx, &s3api.ListBucketsInput{})
	if err != nil || len(left.Buckets) != 0 {
		t.Errorf("left: %+v, %v", left, err)
	}
}

func TestEngineIsToldWhatS3Refuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(a *assets)
		want  string
	}{
		"a public policy behind the block": {func(a *assets) { a.open = false }, "BlockPublicPolicy"},
		"another promise":                  {func(a *assets) { a.minute = 5 }, "InvalidArgument"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &assets{account: &account{}, days: 30, index: "index.html", minute: 15, open: true, policy: sitePolicy("site/")}
			tt.spoil(a)
			whole(t, a.program, a.account)
			if _, err := a.stack.Up(context.Background()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
