package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
)

var dynamodbKinds = map[string]kind{
	"aws:dynamodb/table:Table": entry[table]{spec[table]{args: sdk.TableArgs{}, state: sdk.Table{}, identity: []string{"name"},
		create: createTable, read: readTable, update: updateTable, remove: removeTable}},
}

type table struct {
	Name                      string            `json:"name" aws:"replace" check:"required"`
	BillingMode               string            `json:"billingMode"`
	HashKey                   string            `json:"hashKey" aws:"replace" check:"required"`
	RangeKey                  string            `json:"rangeKey" aws:"replace"`
	ReadCapacity              int64             `json:"readCapacity"`
	WriteCapacity             int64             `json:"writeCapacity"`
	Attributes                []tableAttribute  `json:"attributes"`
	GlobalSecondaryIndexes    []tableIndex      `json:"globalSecondaryIndexes"`
	StreamEnabled             bool              `json:"streamEnabled"`
	StreamViewType            string            `json:"streamViewType"`
	DeletionProtectionEnabled bool              `json:"deletionProtectionEnabled"`
	PointInTimeRecovery       *tableRecovery    `json:"pointInTimeRecovery"`
	ServerSideEncryption      *tableEncryption  `json:"serverSideEncryption"`
	TTL                       *tableTTL         `json:"ttl"`
	TableClass                string            `json:"tableClass"`
	Replicas                  []tableReplica    `json:"replicas"`
	Tags                      map[string]string `json:"tags"`
	Arn                       string            `json:"arn" aws:"out"`
	StreamArn                 string            `json:"streamArn" aws:"out"`
	StreamLabel               string            `json:"streamLabel" aws:"out"`
}

type tableAttribute struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type tableIndex struct {
	Name             string   `json:"name"`
	HashKey          string   `json:"hashKey"`
	RangeKey         string   `json:"rangeKey,omitempty"`
	ProjectionType   string   `json:"projectionType"`
	NonKeyAttributes []string `json:"nonKeyAttributes,omitempty"`
}

type tableRecovery struct {
	Enabled bool `json:"enabled"`
}

type tableEncryption struct {
	Enabled   bool   `json:"enabled"`
	KmsKeyArn string `json:"kmsKeyArn,omitempty"`
}

type tableTTL struct {
	AttributeName string `json:"attributeName,omitempty"`
	Enabled       bool   `json:"enabled,omitempty"`
}

type tableReplica struct {
	RegionName          string `json:"regionName"`
	KmsKeyArn           string `json:"kmsKeyArn,omitempty"`
	PointInTimeRecovery bool   `json:"pointInTimeRecovery,omitempty"`
	PropagateTags       bool   `json:"propagateTags,omitempty"`
}

const tableWait = 30 * time.Minute

func keySchema(hash, sort string) []types.KeySchemaElement {
	out := []types.KeySchemaElement{{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash}}
	if sort != "" {
		out = append(out, types.KeySchemaElement{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange})
	}
	return out
}

func (p table) definitions() []types.AttributeDefinition {
	var out []types.AttributeDefinition
	for _, a := range p.Attributes {
		out = append(out, types.AttributeDefinition{AttributeName: aws.String(a.Name), AttributeType: types.ScalarAttributeType(a.Type)})
	}
	return out
}

func (p table) throughput() *types.ProvisionedThroughput {
	if p.BillingMode == string(types.BillingModePayPerRequest) {
		return nil
	}
	return &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(p.ReadCapacity), WriteCapacityUnits: aws.Int64(p.WriteCapacity)}
}

func (p table) billing() types.BillingMode {
	if p.BillingMode == "" {
		return types.BillingModeProvisioned
	}
	return types.BillingMode(p.BillingMode)
}

func (e *tableEncryption) specification() *types.SSESpecification {
	if e == nil || !e.Enabled {
		return &types.SSESpecification{Enabled: aws.Bool(false)}
	}
	return &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: optional(e.KmsKeyArn)}
}

func (i tableIndex) projection() *types.Projection {
	return &types.Projection{ProjectionType: types.ProjectionType(i.ProjectionType), NonKeyAttributes: i.NonKeyAttributes}
}

func createTable(ctx context.Context, s *session, p table) (string, error) {
	in := &api.CreateTableInput{TableName: aws.String(p.Name), BillingMode: p.billing(), ProvisionedThroughput: p.throughput(), KeySchema: keySchema(p.HashKey, p.RangeKey),
		AttributeDefinitions: p.definitions(), DeletionProtectionEnabled: aws.Bool(p.DeletionProtectionEnabled), TableClass: types.TableClass(p.TableClass), Tags: tableTags(p.Tags)}
	for _, g := range p.GlobalSecondaryIndexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{IndexName: aws.String(g.Name), KeySchema: keySchema(g.HashKey, g.RangeKey), Projection: g.projection(), ProvisionedThroughput: p.throughput()})
	}
	if p.StreamEnabled {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewType(p.StreamViewType)}
	}
	if p.ServerSideEncryption != nil {
		in.SSESpecification = p.ServerSideEncryption.specification()
	}
	if _, err := s.dynamodb(s.region()).CreateTable(ctx, in); err != nil {
		return "", err
	}
	if err := tableActive(ctx, s, s.region(), p.Name); err != nil {
		return p.Name, err
	}
	return p.Name, settings(ctx, s, table{}, p)
}

func tableTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for k, v := range tags {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return out
}

// tableActive waits for the table in one region, and for all it lists there.
func tableActive(ctx context.Context, s *session, region, name string) error {
	return s.until(ctx, "table "+name+" is ACTIVE in "+region, tableWait, func() (bool, error) {
		out, err := s.dynamodb(region).DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String(name)})
		if err != nil {
			return false, err
		}
		for _, r := range out.Table.Replicas {
			if r.ReplicaStatus == types.ReplicaStatusCreationFailed {
				return false, fmt.Errorf("replica in %s: %s", aws.ToString(r.RegionName), aws.ToString(r.ReplicaStatusDescription))
			}
			if r.ReplicaStatus != types.ReplicaStatusActive {
				return false, nil
			}
		}
		for _, g := range out.Table.GlobalSecondaryIndexes {
			if g.IndexStatus != types.IndexStatusActive {
				return false, nil
			}
		}
		return out.Table.TableStatus == types.TableStatusActive, nil
	})
}

// settings are what DynamoDB takes only from an existing table.
func settings(ctx context.Context, s *session, old, now table) error {
	c := s.dynamodb(s.region())
	if want := now.PointInTimeRecovery != nil && now.PointInTimeRecovery.Enabled; want != (old.PointInTimeRecovery != nil && old.PointInTimeRecovery.Enabled) {
		if err := recovery(ctx, s, s.region(), now.Name, want); err != nil {
			return err
		}
	}
	if !cmp.Equal(old.TTL, now.TTL) {
		if err := timeToLive(ctx, c, now.Name, old.TTL, now.TTL); err != nil {
			return err
		}
	}
	return replicas(ctx, s, old, now)
}

func recovery(ctx context.Context, s *session, region, name string, enabled bool) error {
	return s.retry(ctx, "point-in-time recovery of "+name+" in "+region, func() error {
		_, err := s.dynamodb(region).UpdateContinuousBackups(ctx, &api.UpdateContinuousBackupsInput{TableName: aws.String(name),
			PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(enabled)}})
		return err
	}, "ContinuousBackupsUnavailableException")
}

func timeToLive(ctx context.Context, c *api.Client, name string, old, now *tableTTL) error {
	set := func(t *tableTTL, enabled bool) error {
		_, err := c.UpdateTimeToLive(ctx, &api.UpdateTimeToLiveInput{TableName: aws.String(name), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(t.AttributeName), Enabled: aws.Bool(enabled)}})
		return err
	}
	if old != nil && old.Enabled {
		if err := set(old, false); err != nil {
			return err
		}
	}
	if now != nil && now.Enabled {
		return set(now, true)
	}
	return nil
}

// replicas turns one list of replicas into the other, one call at a time as
// DynamoDB demands. Another key needs another replica.
func replicas(ctx context.Context, s *session, old, now table) error {
	c := s.dynamodb(s.region())
	for _, r := range old.Replicas {
		if slices.ContainsFunc(now.Replicas, r.sameCopy) {
			continue
		}
		update := types.ReplicationGroupUpdate{Delete: &types.DeleteReplicationGroupMemberAction{RegionName: aws.String(r.RegionName)}}
		if err := updateReplicas(ctx, s, c, now.Name, update); err != nil {
			return err
		}
		if err := tableGone(ctx, s, r.RegionName, now.Name); err != nil {
			return err
		}
	}
	for _, r := range now.Replicas {
		index := slices.IndexFunc(old.Replicas, r.sameCopy)
		var was tableReplica
		if index < 0 {
			update := types.ReplicationGroupUpdate{Create: &types.CreateReplicationGroupMemberAction{RegionName: aws.String(r.RegionName), KMSMasterKeyId: optional(r.KmsKeyArn)}}
			if err := updateReplicas(ctx, s, c, now.Name, update); err != nil {
				return err
			}
			if err := tableActive(ctx, s, r.RegionName, now.Name); err != nil {
				return err
			}
		} else {
			was = old.Replicas[index]
		}
		if r.PointInTimeRecovery != was.PointInTimeRecovery {
			if err := recovery(ctx, s, r.RegionName, now.Name, r.PointInTimeRecovery); err != nil {
				return err
			}
		}
		if err := replicaTags(ctx, s, r, old, now); err != nil {
			return err
		}
	}
	return nil
}

func (r tableReplica) sameCopy(other tableReplica) bool {
	return r.RegionName == other.RegionName && r.KmsKeyArn == other.KmsKeyArn
}

func updateReplicas(ctx context.Context, s *session, c *api.Client, name string, update types.ReplicationGroupUpdate) error {
	if _, err := c.UpdateTable(ctx, &api.UpdateTableInput{TableName: aws.String(name), ReplicaUpdates: []types.ReplicationGroupUpdate{update}}); err != nil {
		return err
	}
	return tableActive(ctx, s, s.region(), name)
}

// replicaTags copies the table's tags where the program asks for that: tags
// do not replicate.
func replicaTags(ctx context.Context, s *session, r tableReplica, old, now table) error {
	if !r.PropagateTags || len(now.Tags) == 0 && len(old.Tags) == 0 {
		return nil
	}
	c := s.dynamodb(r.RegionName)
	out, err := c.DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String(now.Name)})
	if err != nil {
		return err
	}
	return tagTable(ctx, c, out.Table.TableArn, old.Tags, now.Tags)
}

func tagTable(ctx context.Context, c *api.Client, arn *string, old, now map[string]string) error {
	return retag(old, now, func(set map[string]string) error {
		_, err := c.TagResource(ctx, &api.TagResourceInput{ResourceArn: arn, Tags: tableTags(set)})
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &api.UntagResourceInput{ResourceArn: arn, TagKeys: keys})
		return err
	})
}

func tableGone(ctx context.Context, s *session, region, name string) error {
	return s.until(ctx, "table "+name+" is gone from "+region, tableWait, func() (bool, error) {
		_, err := s.dynamodb(region).DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String(name)})
		if gone(err) {
			return true, nil
		}
		return false, err
	})
}

func removeTable(ctx context.Context, s *session, id string, p table) error {
	if err := replicas(ctx, s, p, table{Name: id}); err != nil {
		return err
	}
	if _, err := s.dynamodb(s.region()).DeleteTable(ctx, &api.DeleteTableInput{TableName: aws.String(id)}); err != nil {
		return err
	}
	return tableGone(ctx, s, s.region(), id)
}

// updateTable makes the changes DynamoDB takes one kind at a time.
func updateTable(ctx context.Context, s *session, id string, old, now table) error {
	c := s.dynamodb(s.region())
	var calls []*api.UpdateTableInput
	if old.BillingMode != now.BillingMode || old.ReadCapacity != now.ReadCapacity || old.WriteCapacity != now.WriteCapacity {
		calls = append(calls, &api.UpdateTableInput{BillingMode: now.billing(), ProvisionedThroughput: now.throughput()})
	}
	if old.StreamEnabled != now.StreamEnabled {
		spec := &types.StreamSpecification{StreamEnabled: aws.Bool(now.StreamEnabled)}
		if now.StreamEnabled {
			spec.StreamViewType = types.StreamViewType(now.StreamViewType)
		}
		calls = append(calls, &api.UpdateTableInput{StreamSpecification: spec})
	} else if old.StreamViewType != now.StreamViewType && now.StreamEnabled {
		return errors.New("the embedded aws provider does not change streamViewType in place; disable the stream first")
	}
	if !cmp.Equal(old.ServerSideEncryption, now.ServerSideEncryption) {
		calls = append(calls, &api.UpdateTableInput{SSESpecification: now.ServerSideEncryption.specification()})
	}
	if old.TableClass != now.TableClass && now.TableClass != "" {
		calls = append(calls, &api.UpdateTableInput{TableClass: types.TableClass(now.TableClass)})
	}
	if old.DeletionProtectionEnabled != now.DeletionProtectionEnabled {
		calls = append(calls, &api.UpdateTableInput{DeletionProtectionEnabled: aws.Bool(now.DeletionProtectionEnabled)})
	}
	calls = append(calls, indexUpdates(old, now)...)
	for _, in := range calls {
		in.TableName = aws.String(id)
		if _, err := c.UpdateTable(ctx, in); err != nil {
			return err
		}
		if err := tableActive(ctx, s, s.region(), id); err != nil {
			return err
		}
	}
	if err := settings(ctx, s, old, now); err != nil {
		return err
	}
	return tagTable(ctx, c, aws.String(now.Arn), old.Tags, now.Tags)
}

func indexUpdates(old, now table) []*api.UpdateTableInput {
	var out []*api.UpdateTableInput
	has := func(list []tableIndex, g tableIndex) bool {
		return slices.ContainsFunc(list, func(other tableIndex) bool { return cmp.Equal(g, other) })
	}
	for _, g := range old.GlobalSecondaryIndexes {
		if !has(now.GlobalSecondaryIndexes, g) {
			out = append(out, &api.UpdateTableInput{GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: aws.String(g.Name)}}}})
		}
	}
	for _, g := range now.GlobalSecondaryIndexes {
		if !has(old.GlobalSecondaryIndexes, g) {
			create := &types.CreateGlobalSecondaryIndexAction{IndexName: aws.String(g.Name), KeySchema: keySchema(g.HashKey, g.RangeKey), Projection: g.projection(), ProvisionedThroughput: now.throughput()}
			out = append(out, &api.UpdateTableInput{AttributeDefinitions: now.definitions(), GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: create}}})
		}
	}
	return out
}
