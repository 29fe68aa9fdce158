package s3_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

// rule is one for everything but what is under a KMS key.
func rule(id, to string) types.ReplicationRule {
	return types.ReplicationRule{
		ID: &id, Status: types.ReplicationRuleStatusEnabled, Priority: aws.Int32(1), Filter: &types.ReplicationRuleFilter{Prefix: aws.String("")},
		DeleteMarkerReplication: &types.DeleteMarkerReplication{Status: types.DeleteMarkerReplicationStatusEnabled},
		Destination:             &types.Destination{Bucket: aws.String("arn:aws:s3:::" + to), Metrics: &types.Metrics{Status: types.MetricsStatusEnabled}},
	}
}

// underKey is the rule that takes KMS objects along too.
func underKey(of types.ReplicationRule, key string) types.ReplicationRule {
	of.SourceSelectionCriteria = &types.SourceSelectionCriteria{SseKmsEncryptedObjects: &types.SseKmsEncryptedObjects{Status: types.SseKmsEncryptedObjectsStatusEnabled}}
	of.Destination.EncryptionConfiguration = &types.EncryptionConfiguration{ReplicaKmsKeyID: &key}
	return of
}

func (a *account) replicates(region, bucket string, rules ...types.ReplicationRule) {
	a.Helper()
	a.must(a.in(region).PutBucketReplication(a.Context(), &sdk.PutBucketReplicationInput{Bucket: &bucket, ReplicationConfiguration: &types.ReplicationConfiguration{Role: aws.String(role), Rules: rules}}))
}

// pair is a bucket in each region under keys, each of which replicates to the
// other.
func pair(t *testing.T) *account {
	t.Helper()
	a := start(t)
	a.bucket(blue, "blue-assets", true)
	a.bucket(green, "green-assets", true)
	a.sealed(blue, "blue-assets", blueKey)
	a.sealed(green, "green-assets", greenKey)
	a.replicates(blue, "blue-assets", underKey(rule("to-green", "green-assets"), greenKey))
	a.replicates(green, "green-assets", underKey(rule("to-blue", "blue-assets"), blueKey))
	a.asks = nil
	return a
}

// settled lets every replica arrive: the longest lag is one and a half of 10 s.
func (a *account) settled() {
	a.now.Advance(16 * time.Second)
	a.service.Settle(a.Context(), a.now.Now())
}

func (a *account) status(region, bucket, key string) string {
	a.Helper()
	return string(a.head(region, bucket, key).ReplicationStatus)
}

func TestAReplicaArrivesWithItsLag(t *testing.T) {
	t.Parallel()
	a := pair(t)
	put := a.put(blue, "blue-assets", "k", "x")
	if got := a.status(blue, "blue-assets", "k"); got != "PENDING" {
		t.Errorf("at once: %s", got)
	}
	a.now.Advance(4 * time.Second) // less than half the lag
	_, err := a.get(green, "green-assets", "k", "")
	a.refused("before its time", "NoSuchKey", "", err)
	if got := a.status(blue, "blue-assets", "k"); got != "PENDING" {
		t.Errorf("after 4 s: %s", got)
	}
	a.now.Advance(12 * time.Second)
	if got, err := a.get(green, "green-assets", "k", ""); got != "x" || err != nil {
		t.Errorf("after 16 s: %q, %v", got, err)
	}
	if got := a.status(blue, "blue-assets", "k"); got != "COMPLETED" {
		t.Errorf("the source: %s", got)
	}
	replica := a.head(green, "green-assets", "k")
	got := fmt.Sprint(replica.ReplicationStatus, " ", *replica.SSEKMSKeyId, " ", *replica.BucketKeyEnabled, " ", *replica.VersionId == *put.VersionId, " ", *replica.ETag == *put.ETag)
	if want := "REPLICA " + greenKey + " true true false"; got != want {
		t.Errorf("the replica: %s, want %s", got, want)
	}
	for range 3 { // it goes no further
		a.settled()
	}
	versions, err := a.in(blue).ListObjectVersions(t.Context(), &sdk.ListObjectVersionsInput{Bucket: aws.String("blue-assets")})
	if err != nil || len(versions.Versions) != 1 {
		t.Errorf("the source has %d versions, %v", len(versions.Versions), err)
	}
}

// No replica takes less than half the lag or more than one and a half of it,
// and not all of them the same.
func TestTheLagOfReplicas(t *testing.T) {
	t.Parallel()
	a := pair(t)
	for i := range 20 {
		a.put(blue, "blue-assets", fmt.Sprint("k", i), "x")
	}
	arrived := func() int {
		t.Helper()
		out, err := a.in(green).ListObjectsV2(t.Context(), &sdk.ListObjectsV2Input{Bucket: aws.String("green-assets")})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Contents)
	}
	a.now.Advance(5*time.Second - time.Millisecond)
	if n := arrived(); n != 0 {
		t.Errorf("%d before half the lag", n)
	}
	a.now.Advance(5 * time.Second)
	if n := arrived(); n == 0 || n == 20 {
		t.Errorf("%d at the lag", n)
	}
	a.now.Advance(5 * time.Second)
	if n := arrived(); n != 20 {
		t.Errorf("%d after one and a half of it", n)
	}
}

func TestWhatIsReplicated(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "blue-assets", true)
	a.bucket(green, "green-assets", true)
	a.put(blue, "blue-assets", "before", "x")
	only := rule("to-green", "green-assets")
	only.Filter = &types.ReplicationRuleFilter{And: &types.ReplicationRuleAndOperator{Prefix: aws.String("in/"), Tags: []types.Tag{{Key: aws.String("copy"), Value: aws.String("yes")}}}}
	only.DeleteMarkerReplication.Status = types.DeleteMarkerReplicationStatusDisabled
	a.replicates(blue, "blue-assets", only)
	tagged := func(in *sdk.PutObjectInput) { in.Tagging = aws.String("copy=yes") }
	sealed := func(in *sdk.PutObjectInput) {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, aws.String(blueKey)
	}
	a.put(blue, "blue-assets", "in/both", "x", tagged)
	a.put(blue, "blue-assets", "in/untagged", "x")
	a.put(blue, "blue-assets", "out", "x", tagged)
	a.put(blue, "blue-assets", "in/sealed", "x", tagged, sealed)
	a.settled()
	got := map[string]string{}
	for _, key := range []string{"before", "in/both", "in/untagged", "out", "in/sealed"} {
		got[key] = a.status(blue, "blue-assets", key)
		if _, err := a.get(green, "green-assets", key, ""); (err == nil) != (got[key] == "COMPLETED") {
			t.Errorf("%s is %q at its source, there: %v", key, got[key], err)
		}
	}
	if diff := cmp.Diff(map[string]string{"before": "", "in/both": "COMPLETED", "in/untagged": "", "out": "", "in/sealed": ""}, got); diff != "" {
		t.Error(diff)
	}
	replica := a.head(green, "green-assets", "in/both")
	if replica.ServerSideEncryption != types.ServerSideEncryptionAes256 || *replica.TagCount != 1 {
		t.Errorf("%+v", replica)
	}
	a.remove(blue, "blue-assets", "in/both")
	a.settled()
	if got := a.status(green, "green-assets", "in/both"); got != "REPLICA" {
		t.Errorf("a delete marker that the rule leaves out: %q", got)
	}
}

// Deletions go along, both ways; deleting a version for good never does.
func TestDeletionsAreReplicated(t *testing.T) {
	t.Parallel()
	a := pair(t)
	id := a.put(blue, "blue-assets", "k", "x").VersionId
	a.put(blue, "blue-assets", "l", "x")
	a.settled()
	a.must(a.in(blue).DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("blue-assets"), Key: aws.String("k"), VersionId: id}))
	a.remove(green, "green-assets", "l") // of a replica, at the other side
	a.settled()
	if got := a.status(green, "green-assets", "k"); got != "REPLICA" {
		t.Errorf("k at the destination: %s", got)
	}
	_, err := a.get(blue, "blue-assets", "l", "")
	a.refused("l where it came from", "NoSuchKey", "", err)
}

// A change of tags follows the version that was sent.
func TestTagsFollow(t *testing.T) {
	t.Parallel()
	a := pair(t)
	a.put(blue, "blue-assets", "k", "x")
	a.settled()
	a.must(a.in(blue).PutObjectTagging(t.Context(), &sdk.PutObjectTaggingInput{Bucket: aws.String("blue-assets"), Key: aws.String("k"), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}))
	a.settled()
	if head := a.head(green, "green-assets", "k"); aws.ToInt32(head.TagCount) != 1 || head.ReplicationStatus != "REPLICA" {
		t.Errorf("%+v", head)
	}
	if got := a.status(blue, "blue-assets", "k"); got != "COMPLETED" {
		t.Error(got)
	}
}

// The role is asked for what AWS documents; without any one right of an object
// or of a marker that one fails, without those of tags only these are missing.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html
func TestReplicationTakesItsRolesRights(t *testing.T) {
	t.Parallel()
	a := pair(t)
	source, destination := "arn:aws:s3:::blue-assets", "arn:aws:s3:::green-assets"
	a.put(blue, "blue-assets", "k", "x", func(in *sdk.PutObjectInput) { in.Tagging = aws.String("a=b") })
	a.asks = nil
	a.settled()
	objects := []string{
		"s3:GetReplicationConfiguration " + source, "s3:ListBucket " + source,
		"s3:GetObjectVersionForReplication " + source + "/k", "s3:GetObjectVersionAcl " + source + "/k", "s3:ReplicateObject " + destination + "/k",
		"kms:Decrypt " + blueKey, "kms:Encrypt " + greenKey, "kms:Decrypt " + greenKey,
	}
	tags := []string{"s3:GetObjectVersionTagging " + source + "/k", "s3:ReplicateTags " + destination + "/k"}
	if !strings.HasPrefix(a.asks[0], role) || !strings.Contains(strings.Join(a.asks, "\n"), "kms:Encrypt "+greenKey+" map[kms:encryptioncontext:aws:s3:arn:["+destination+"] kms:viaservice:[s3.eu-central-1.amazonaws.com]]") {
		t.Errorf("asked %s", strings.Join(a.asks, "\n"))
	}
	if diff := cmp.Diff(append(objects[:len(objects):len(objects)], tags...), a.actions()); diff != "" {
		t.Error(diff)
	}
	a.remove(blue, "blue-assets", "k")
	a.asks = nil
	a.settled()
	if diff := cmp.Diff([]string{objects[0], objects[1], "s3:ReplicateDelete " + destination + "/k"}, a.actions()); diff != "" {
		t.Error(diff)
	}
	for i, ask := range append(objects, "s3:ReplicateDelete") {
		key := fmt.Sprint("n", i)
		a.put(blue, "blue-assets", key, "x")
		if ask == "s3:ReplicateDelete" {
			a.settled()
			a.remove(blue, "blue-assets", key)
		}
		a.deny = strings.Fields(ask)[0]
		a.settled()
		a.deny = ""
		if ask == "s3:ReplicateDelete" {
			if got := a.status(green, "green-assets", key); got != "REPLICA" {
				t.Errorf("without %s: %s", ask, got)
			}
			continue
		}
		if got := a.status(blue, "blue-assets", key); got != "FAILED" {
			t.Errorf("without %s: %s", ask, got)
		}
		_, err := a.get(green, "green-assets", key, "")
		a.refused("without "+ask, "NoSuchKey", "", err)
	}
	for _, ask := range tags {
		a.put(blue, "blue-assets", "tagged", "x", func(in *sdk.PutObjectInput) { in.Tagging = aws.String("a=b") })
		a.deny = strings.Fields(ask)[0]
		a.settled()
		a.deny = ""
		if head := a.head(green, "green-assets", "tagged"); head.TagCount != nil {
			t.Errorf("without %s: %d tags", ask, *head.TagCount)
		}
	}
}

// What fails for another reason than a right: a key that does not exist, a
// destination's policy, a destination that keeps no versions.
func TestReplicationFails(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(a *account){
		"no such key": func(a *account) {
			a.replicates(blue, "blue-assets", underKey(rule("to-green", "green-assets"), strings.ReplaceAll(greenKey, "/green", "/gone")))
		},
		"a key of another region": func(a *account) {
			a.replicates(blue, "blue-assets", underKey(rule("to-green", "green-assets"), blueKey))
		},
		"the destination's policy": func(a *account) {
			a.policy(green, "green-assets", `{"Effect":"Deny","Principal":"*","Action":"s3:ReplicateObject","Resource":"arn:aws:s3:::green-assets/*"}`)
		},
		"no versions there": func(a *account) {
			a.must(a.in(green).DeleteBucketReplication(a.Context(), &sdk.DeleteBucketReplicationInput{Bucket: aws.String("green-assets")}))
			a.must(a.in(green).PutBucketVersioning(a.Context(), &sdk.PutBucketVersioningInput{Bucket: aws.String("green-assets"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := pair(t)
			spoil(a)
			a.put(blue, "blue-assets", "k", "x")
			a.settled()
			if got := a.status(blue, "blue-assets", "k"); got != "FAILED" {
				t.Errorf("status %s", got)
			}
			if !strings.Contains(a.log.String(), "replication failed") {
				t.Errorf("the log has %q", a.log)
			}
		})
	}
}

func TestReplicationMetrics(t *testing.T) {
	t.Parallel()
	a := pair(t)
	minute := func() map[string]float64 {
		t.Helper()
		a.points = nil
		a.now.Advance(time.Minute)
		a.service.Settle(t.Context(), a.now.Now())
		got := map[string]float64{}
		for _, p := range a.points {
			if strings.Contains(p.dimensions, "to-green") {
				got[p.region+" "+p.name+" "+p.unit] = p.value
				if p.dimensions != "map[DestinationBucket:green-assets RuleId:to-green SourceBucket:blue-assets]" {
					t.Error(p.dimensions)
				}
			}
		}
		return got
	}
	want := func(bytes, operations, latency, failed float64) map[string]float64 {
		return map[string]float64{
			"eu-west-1 AWS/S3 BytesPendingReplication Bytes": bytes, "eu-west-1 AWS/S3 OperationsPendingReplication Count": operations,
			"eu-west-1 AWS/S3 ReplicationLatency Seconds": latency, "eu-west-1 AWS/S3 OperationsFailedReplication Count": failed,
		}
	}
	if diff := cmp.Diff(want(0, 0, 0, 0), minute()); diff != "" {
		t.Errorf("at rest: %s", diff)
	}
	a.service.SetReplicationLag(10 * time.Minute)
	a.put(blue, "blue-assets", "k", "12345")
	if diff := cmp.Diff(want(5, 1, 60, 0), minute()); diff != "" {
		t.Errorf("under way: %s", diff)
	}
	a.deny = "s3:ReplicateObject"
	a.now.Advance(16 * time.Minute)
	a.points = nil
	a.service.Settle(t.Context(), a.now.Now())
	found := false
	for _, p := range a.points {
		found = found || p.name == "AWS/S3 OperationsFailedReplication" && p.value == 1
	}
	if !found {
		t.Errorf("a failure: %v", a.points)
	}
	if diff := cmp.Diff(want(0, 0, 0, 0), minute()); diff != "" {
		t.Errorf("afterwards: %s", diff)
	}
}

func TestReplicationConfigurations(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "blue-assets", true)
	a.bucket(green, "green-assets", true)
	a.bucket(green, "no-versions", false)
	change := func(do func(*types.ReplicationRule)) types.ReplicationRule {
		r := rule("r", "green-assets")
		do(&r)
		return r
	}
	for _, tt := range []struct {
		name  string
		rules []types.ReplicationRule
		code  string
	}{
		{"good", []types.ReplicationRule{rule("r", "green-assets")}, ""},
		{"with a key", []types.ReplicationRule{underKey(rule("r", "green-assets"), greenKey)}, ""},
		{"to nowhere", []types.ReplicationRule{rule("r", "absent-bucket")}, "InvalidRequest"},
		{"to itself", []types.ReplicationRule{rule("r", "blue-assets")}, "InvalidRequest"},
		{"to a bucket without versions", []types.ReplicationRule{rule("r", "no-versions")}, "InvalidRequest"},
		{"twice the id", []types.ReplicationRule{rule("r", "green-assets"), change(func(r *types.ReplicationRule) { r.Priority = aws.Int32(2) })}, "InvalidArgument"},
		{"twice the priority", []types.ReplicationRule{rule("r", "green-assets"), rule("s", "green-assets")}, "InvalidRequest"},
		{"no priority", []types.ReplicationRule{change(func(r *types.ReplicationRule) { r.Priority = nil })}, "InvalidRequest"},
		{"no word on delete markers", []types.ReplicationRule{change(func(r *types.ReplicationRule) { r.DeleteMarkerReplication = nil })}, "InvalidRequest"},
		{"KMS objects without a key", []types.ReplicationRule{change(func(r *types.ReplicationRule) {
			*r = underKey(*r, greenKey)
			r.Destination.EncryptionConfiguration = nil
		})}, "InvalidRequest"},
		{"a key without KMS objects", []types.ReplicationRule{change(func(r *types.ReplicationRule) {
			*r = underKey(*r, greenKey)
			r.SourceSelectionCriteria = nil
		})}, "InvalidRequest"},
		{"time control without metrics", []types.ReplicationRule{change(func(r *types.ReplicationRule) {
			r.Destination.Metrics = nil
			r.Destination.ReplicationTime = &types.ReplicationTime{Status: types.ReplicationTimeStatusEnabled, Time: &types.ReplicationTimeValue{Minutes: aws.Int32(15)}}
		})}, "InvalidRequest"},
		{"another promise", []types.ReplicationRule{change(func(r *types.ReplicationRule) {
			r.Destination.ReplicationTime = &types.ReplicationTime{Status: types.ReplicationTimeStatusEnabled, Time: &types.ReplicationTimeValue{Minutes: aws.Int32(5)}}
		})}, "InvalidArgument"},
		{"the old schema", []types.ReplicationRule{change(func(r *types.ReplicationRule) {
			//lint:ignore SA1019 the old schema is what is refused
			r.Filter, r.Prefix = nil, aws.String("")
		})}, "NotImplemented"},
	} {
		_, err := a.in(blue).PutBucketReplication(t.Context(), &sdk.PutBucketReplicationInput{Bucket: aws.String("blue-assets"), ReplicationConfiguration: &types.ReplicationConfiguration{Role: aws.String(role), Rules: tt.rules}})
		if tt.code != "" {
			a.refused(tt.name, tt.code, "", err)
		} else if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	_, err := a.in(blue).PutBucketVersioning(t.Context(), &sdk.PutBucketVersioningInput{Bucket: aws.String("blue-assets"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}})
	a.refused("suspend what replicates", "InvalidBucketState", "", err)
	_, err = a.in(green).PutBucketReplication(t.Context(), &sdk.PutBucketReplicationInput{Bucket: aws.String("no-versions"), ReplicationConfiguration: &types.ReplicationConfiguration{Role: aws.String(role), Rules: []types.ReplicationRule{rule("r", "blue-assets")}}})
	a.refused("of a bucket without versions", "InvalidRequest", "Versioning must be", err)
}
