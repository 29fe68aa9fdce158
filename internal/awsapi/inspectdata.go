package awsapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TableState is one region's copy of a global table.
type TableState struct {
	Status   string            // ACTIVE and others
	Replicas map[string]string // the other regions' status, by region
	// Encrypted means by a key of KMS; a key that AWS owns is not shown.
	Encrypted bool
	Key       string // its ARN
	Recovery  bool   // point-in-time recovery is on
	Protected bool   // it cannot be deleted
}

// TableState reads one region's copy: neither recovery nor the key is told by
// the other region's.
func (c *Clients) TableState(ctx context.Context, region, table string) (TableState, error) {
	found, err := c.Replicas(ctx, region, table)
	if err != nil {
		return found, err
	}
	backups, err := c.DynamoDB(region).DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &table})
	if err != nil {
		return found, trouble("describe the backups of table "+table+" in "+region, err)
	}
	if d := backups.ContinuousBackupsDescription; d != nil && d.PointInTimeRecoveryDescription != nil {
		found.Recovery = d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == ddbtypes.PointInTimeRecoveryStatusEnabled
	}
	return found, nil
}

// Replicas is TableState without the backups: what a shift asks again and again.
func (c *Clients) Replicas(ctx context.Context, region, table string) (TableState, error) {
	out, err := c.DynamoDB(region).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return TableState{}, trouble("describe table "+table+" in "+region, err)
	}
	found := TableState{Status: string(out.Table.TableStatus), Replicas: map[string]string{}, Protected: aws.ToBool(out.Table.DeletionProtectionEnabled)}
	if sse := out.Table.SSEDescription; sse != nil {
		found.Encrypted, found.Key = sse.Status == ddbtypes.SSEStatusEnabled, aws.ToString(sse.KMSMasterKeyArn)
	}
	for _, replica := range out.Table.Replicas {
		found.Replicas[aws.ToString(replica.RegionName)] = string(replica.ReplicaStatus)
	}
	return found, nil
}

// pkSentinel is the partition of items that are written to see them replicated.
const pkSentinel = "sentinel"

func sentinel(id string) map[string]ddbtypes.AttributeValue {
	return map[string]ddbtypes.AttributeValue{"pk": text(pkSentinel), "sk": text(id)}
}

// PutSentinel writes an item of this id into a region's copy of the table. mark
// tells it from an earlier one of the same id.
func (c *Control) PutSentinel(ctx context.Context, region, id, mark string) error {
	item := sentinel(id)
	item["mark"] = text(mark)
	_, err := c.clients.DynamoDB(region).PutItem(ctx, &dynamodb.PutItemInput{TableName: &c.table, Item: item})
	return trouble("write a sentinel to table "+c.table+" in "+region, err)
}

// SeeSentinel tells whether the item with this mark has reached the region.
func (c *Control) SeeSentinel(ctx context.Context, region, id, mark string) (bool, error) {
	out, err := c.clients.DynamoDB(region).GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.table, Key: sentinel(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return false, trouble("read the sentinel from table "+c.table+" in "+region, err)
	}
	m, _ := out.Item["mark"].(*ddbtypes.AttributeValueMemberS)
	return m != nil && m.Value == mark, nil
}

// DropSentinel deletes the item.
func (c *Control) DropSentinel(ctx context.Context, region, id string) error {
	_, err := c.clients.DynamoDB(region).DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.table, Key: sentinel(id)})
	return trouble("delete the sentinel from table "+c.table+" in "+region, err)
}

// BucketState is a bucket as replication needs it.
type BucketState struct {
	Versioned bool
	Algorithm string // AES256 or aws:kms, of objects that name none
	Key       string
	Rules     []ReplicationRule
}

// ReplicationRule is one rule of a bucket.
type ReplicationRule struct {
	ID          string
	Enabled     bool
	Destination string // the bucket's name
}

// BucketState reads a bucket's configuration.
func (c *Clients) BucketState(ctx context.Context, region, bucket string) (BucketState, error) {
	client := c.S3(region)
	var found BucketState
	versioning, err := client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &bucket})
	if err != nil {
		return found, trouble("read the versioning of bucket "+bucket, err)
	}
	found.Versioned = versioning.Status == s3types.BucketVersioningStatusEnabled
	encryption, err := client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &bucket})
	if err != nil && code(err) != "ServerSideEncryptionConfigurationNotFoundError" {
		return found, trouble("read the encryption of bucket "+bucket, err)
	}
	if err == nil && encryption.ServerSideEncryptionConfiguration != nil {
		for _, rule := range encryption.ServerSideEncryptionConfiguration.Rules {
			if d := rule.ApplyServerSideEncryptionByDefault; d != nil {
				found.Algorithm, found.Key = string(d.SSEAlgorithm), aws.ToString(d.KMSMasterKeyID)
			}
		}
	}
	replication, err := client.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: &bucket})
	if err != nil && code(err) != "ReplicationConfigurationNotFoundError" {
		return found, trouble("read the replication of bucket "+bucket, err)
	}
	if err == nil && replication.ReplicationConfiguration != nil {
		for _, rule := range replication.ReplicationConfiguration.Rules {
			one := ReplicationRule{ID: aws.ToString(rule.ID), Enabled: rule.Status == s3types.ReplicationRuleStatusEnabled}
			if rule.Destination != nil {
				one.Destination = strings.TrimPrefix(aws.ToString(rule.Destination.Bucket), "arn:aws:s3:::")
			}
			found.Rules = append(found.Rules, one)
		}
	}
	return found, nil
}

// caughtUpWithin is how many of the newest datapoints are looked at, one a
// minute.
const caughtUpWithin = 5

// PendingReplication is the least that the rule had still to replicate, in
// operations, by its newest datapoints since then: a bucket in use is never
// still, but one that keeps up is at 0 now and then. found is false where there
// is no datapoint. The metric is in the source's region.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
func (c *Clients) PendingReplication(ctx context.Context, region, from, to, rule string, since, now time.Time) (operations int, found bool, err error) {
	values, err := c.series(ctx, region, AlarmDefinition{
		Namespace: "AWS/S3", Metric: "OperationsPendingReplication", Statistic: "Maximum",
		Dimensions: map[string]string{"SourceBucket": from, "DestinationBucket": to, "RuleId": rule},
	}, since, now)
	if err != nil {
		return 0, false, trouble("read what bucket "+from+" has still to replicate", err)
	}
	if len(values) == 0 {
		return 0, false, nil
	}
	return int(slices.Min(values[:min(len(values), caughtUpWithin)])), true, nil
}

// FailedReplication is how many operations of the rule S3 has given up since
// then: it does not try again.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
func (c *Clients) FailedReplication(ctx context.Context, region, from, to, rule string, since, now time.Time) (operations int, err error) {
	values, err := c.series(ctx, region, AlarmDefinition{
		Namespace: "AWS/S3", Metric: "OperationsFailedReplication", Statistic: "Sum",
		Dimensions: map[string]string{"SourceBucket": from, "DestinationBucket": to, "RuleId": rule},
	}, since, now)
	if err != nil {
		return 0, trouble("read what bucket "+from+" could not replicate", err)
	}
	for _, v := range values {
		operations += int(v)
	}
	return operations, nil
}

// PutSentinelObject stores an object as the bucket's defaults have it and
// returns its version.
func (c *Clients) PutSentinelObject(ctx context.Context, region, bucket, key string) (version string, err error) {
	out, err := c.S3(region).PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("written by tapctl verify\n")})
	if err != nil {
		return "", trouble("store a sentinel in bucket "+bucket, err)
	}
	return aws.ToString(out.VersionId), nil
}

// ReplicationFailed tells that S3 has given the version's replication up.
func (c *Clients) ReplicationFailed(ctx context.Context, region, bucket, key, version string) (bool, error) {
	out, err := c.S3(region).HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, VersionId: &version})
	if err != nil {
		return false, trouble("read the replication of "+key+" in bucket "+bucket, err)
	}
	return out.ReplicationStatus == s3types.ReplicationStatusFailed, nil
}

// HasVersion tells whether the bucket has this version of the object: a
// replica keeps the version id of its source.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-what-is-isnot-replicated.html
func (c *Clients) HasVersion(ctx context.Context, region, bucket, key, version string) (bool, error) {
	_, err := c.S3(region).HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, VersionId: &version})
	if failed, ok := errors.AsType[*awshttp.ResponseError](err); ok && failed.HTTPStatusCode() == http.StatusNotFound {
		return false, nil
	}
	if err != nil {
		return false, trouble("look for "+key+" in bucket "+bucket, err)
	}
	return true, nil
}

// DropVersion deletes one version for good, which is not replicated. One that
// is not there is deleted already.
func (c *Clients) DropVersion(ctx context.Context, region, bucket, key, version string) error {
	_, err := c.S3(region).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key, VersionId: &version})
	return trouble("delete "+key+" of bucket "+bucket, err)
}
