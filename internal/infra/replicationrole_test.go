package infra_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// slowest is longer than any replica of the embedded S3 takes, on its clock.
const slowest = 10 * time.Second

// real puts the keys of the embedded AWS where the program's own would be.
func (g *ground) real(text string) string {
	for region, arn := range g.keys {
		text = strings.ReplaceAll(text, "arn:aws:kms:"+region+":"+account+":key/key-"+region, arn)
	}
	return text
}

// storage makes the two buckets as the base program wants them.
func (g *ground) storage(t *testing.T) {
	t.Helper()
	for _, region := range []string{blueRegion, greenRegion} {
		c, name := s3.NewFromConfig(g.root(region)), aws.String(g.bucket(t, region))
		must[*s3.CreateBucketOutput](t)(c.CreateBucket(t.Context(), &s3.CreateBucketInput{
			Bucket: name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(region)},
		}))
		must[*s3.PutBucketVersioningOutput](t)(c.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
		}))
		must[*s3.PutBucketEncryptionOutput](t)(c.PutBucketEncryption(t.Context(), &s3.PutBucketEncryptionInput{Bucket: name, ServerSideEncryptionConfiguration: &s3types.ServerSideEncryptionConfiguration{
			Rules: []s3types.ServerSideEncryptionRule{{BucketKeyEnabled: aws.Bool(true), ApplyServerSideEncryptionByDefault: &s3types.ServerSideEncryptionByDefault{
				SSEAlgorithm: s3types.ServerSideEncryptionAwsKms, KMSMasterKeyID: aws.String(g.keys[region]),
			}}},
		}}))
		must[*s3.PutPublicAccessBlockOutput](t)(c.PutPublicAccessBlock(t.Context(), &s3.PutPublicAccessBlockInput{
			Bucket: name, PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{},
		}))
		must[*s3.PutBucketPolicyOutput](t)(c.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{
			Bucket: name, Policy: aws.String(g.base.one(t, "s3/bucketPolicy:BucketPolicy", "assets-"+region).text("policy")),
		}))
	}
}

func (g *ground) bucket(t *testing.T, region string) string {
	t.Helper()
	return g.base.one(t, "s3/bucketV2:BucketV2", "assets-"+region).text("bucket")
}

// replicationRole is the role that replicates from a region, under the
// program's own rule.
func (g *ground) replicationRole(t *testing.T, from, to string) tried {
	t.Helper()
	r := tried{
		name: "replication in " + from, region: from,
		policy: g.real(g.base.one(t, "iam/rolePolicy:RolePolicy", "replication-"+from).text("policy")),
		trust:  g.base.one(t, "iam/role:Role", "replication-"+from).text("assumeRolePolicy"),
	}
	inputs := g.base.one(t, "s3/bucketReplicationConfig:BucketReplicationConfig", "assets-"+from).Inputs
	var rules []s3types.ReplicationRule
	if err := json.Unmarshal([]byte(g.real(string(must[[]byte](t)(json.Marshal(inputs["rules"]))))), &rules); err != nil {
		t.Fatal(err)
	}
	must[*s3.PutBucketReplicationOutput](t)(s3.NewFromConfig(g.root(from)).PutBucketReplication(t.Context(), &s3.PutBucketReplicationInput{
		Bucket: aws.String(g.bucket(t, from)), ReplicationConfiguration: &s3types.ReplicationConfiguration{
			Role: aws.String("arn:aws:iam::" + embedded + ":role/replication-in-" + from), Rules: rules,
		},
	}))
	r.uses = g.replicationUses(t, from, to)
	return r
}

// errNotReplicated is what a use of the role says that S3 could not make.
var errNotReplicated = &smithy.GenericAPIError{Code: "AccessDenied", Message: "not replicated"}

// replicationUses are what S3 does with the role. Each waits until its replica
// is there, or until S3 says that it will not be.
func (g *ground) replicationUses(t *testing.T, from, to string) []use {
	t.Helper()
	side := replicated{source: s3.NewFromConfig(g.root(from)), target: s3.NewFromConfig(g.root(to)), from: g.bucket(t, from), to: g.bucket(t, to), now: g.now}
	rule := []string{"Rule/s3:GetReplicationConfiguration", "Rule/s3:ListBucket"}
	object := slices.Concat(rule, []string{"Read/s3:GetObjectVersionForReplication", "Read/s3:GetObjectVersionAcl", "Write/s3:ReplicateObject"})
	return []use{
		{"a page", object, func(ctx context.Context, _ aws.Config) error {
			return side.object(ctx, "", s3types.ServerSideEncryptionAes256)
		}},
		{"an object under the key", slices.Concat(object, []string{"SourceKey/kms:Decrypt", "ReplicaKey/kms:Encrypt", "ReplicaKey/kms:Decrypt"}),
			func(ctx context.Context, _ aws.Config) error { return side.object(ctx, "", "") }},
		{"its tags", slices.Concat(object, []string{"Read/s3:GetObjectVersionTagging", "Write/s3:ReplicateTags"}),
			func(ctx context.Context, _ aws.Config) error {
				return side.object(ctx, "a=b", s3types.ServerSideEncryptionAes256)
			}},
		{"a deletion", slices.Concat(rule, []string{"Write/s3:ReplicateDelete"}), func(ctx context.Context, _ aws.Config) error { return side.deletion(ctx) }},
	}
}

// replicated is one direction.
type replicated struct {
	source, target *s3.Client
	from, to       string
	now            func() time.Time
}

func (r replicated) object(ctx context.Context, tags string, sse s3types.ServerSideEncryption) error {
	key := aws.String(fmt.Sprintf("proof/%d", r.now().UnixNano()))
	in := &s3.PutObjectInput{Bucket: &r.from, Key: key, Body: strings.NewReader("x"), ServerSideEncryption: sse}
	if tags != "" {
		in.Tagging = &tags
	}
	if _, err := r.source.PutObject(ctx, in); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	for {
		head, err := r.source.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &r.from, Key: key})
		switch {
		case err != nil:
			return fmt.Errorf("head: %w", err)
		case head.ReplicationStatus == s3types.ReplicationStatusFailed:
			return errNotReplicated
		case head.ReplicationStatus == s3types.ReplicationStatusPending:
			continue
		case head.ReplicationStatus != s3types.ReplicationStatusCompleted:
			return fmt.Errorf("%s is %q: the rule does not want it", *key, head.ReplicationStatus)
		}
		there, err := r.target.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &r.to, Key: key})
		if err == nil && tags != "" && there.TagCount == nil {
			return errNotReplicated
		}
		return err
	}
}

// deletion puts a marker on what is there on both sides. A marker has no
// status: what has not come in the longest time does not come.
func (r replicated) deletion(ctx context.Context) error {
	key := aws.String(fmt.Sprintf("proof/%d", r.now().UnixNano()))
	for client, bucket := range map[*s3.Client]*string{r.source: &r.from, r.target: &r.to} {
		// Put by hand on either side: that it is replicated is another use.
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key}); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	made, err := r.source.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &r.from, Key: key})
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	for end := r.now().Add(slowest); ; {
		past := r.now().After(end)
		listed, err := r.target.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &r.to, Prefix: key})
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if slices.ContainsFunc(listed.DeleteMarkers, func(m s3types.DeleteMarkerEntry) bool { return *m.VersionId == *made.VersionId }) {
			return nil
		}
		if past {
			return errNotReplicated
		}
	}
}

// The role alone does not do: S3 has to be trusted with it.
func TestReplicationNeedsTheRolesTrust(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	g.storage(t)
	r := g.replicationRole(t, blueRegion, greenRegion)
	r.trust = strings.ReplaceAll(r.trust, "s3.amazonaws.com", "lambda.amazonaws.com")
	_, put := g.assume(t, r)
	put(r.policy)
	if err := r.uses[0].do(t.Context(), aws.Config{}); !errors.Is(err, errNotReplicated) {
		t.Errorf("replicated by a role that trusts Lambda: %v", err)
	}
}
