package provider

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func readTable(ctx context.Context, s *session, id string, p table) (*table, error) {
	c := s.dynamodb(s.region())
	out, err := c.DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String(id)})
	if err != nil {
		return nil, err
	}
	d := out.Table
	if d.TableStatus == types.TableStatusDeleting {
		return nil, nil
	}
	p.Name, p.Arn, p.StreamArn, p.StreamLabel = id, aws.ToString(d.TableArn), aws.ToString(d.LatestStreamArn), aws.ToString(d.LatestStreamLabel)
	p.DeletionProtectionEnabled = aws.ToBool(d.DeletionProtectionEnabled)
	p.readKeys(d)
	p.readBilling(d)
	p.StreamEnabled, p.StreamViewType = false, ""
	if d.StreamSpecification != nil {
		p.StreamEnabled, p.StreamViewType = aws.ToBool(d.StreamSpecification.StreamEnabled), string(d.StreamSpecification.StreamViewType)
	}
	if sse := d.SSEDescription; sse != nil {
		live := &tableEncryption{Enabled: true, KmsKeyArn: aws.ToString(sse.KMSMasterKeyArn)}
		if p.ServerSideEncryption != nil && p.ServerSideEncryption.KmsKeyArn == "" && strings.HasSuffix(live.KmsKeyArn, ":alias/aws/dynamodb") {
			live.KmsKeyArn = "" // asked for no key: AWS's own
		}
		p.ServerSideEncryption = live
	} else if p.ServerSideEncryption != nil {
		p.ServerSideEncryption = &tableEncryption{}
	}
	if err := p.readSettings(ctx, s, c, d); err != nil {
		return nil, err
	}
	tags, err := c.ListTagsOfResource(ctx, &api.ListTagsOfResourceInput{ResourceArn: d.TableArn})
	if err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	for _, t := range tags.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return &p, nil
}

func schemaKeys(schema []types.KeySchemaElement) (hash, sort string) {
	for _, e := range schema {
		if e.KeyType == types.KeyTypeHash {
			hash = aws.ToString(e.AttributeName)
		} else {
			sort = aws.ToString(e.AttributeName)
		}
	}
	return hash, sort
}

// inOrder sorts live as the program has it, so that order alone is no drift.
func inOrder[T any](live, wanted []T, name func(T) string) []T {
	place := func(x T) int {
		if i := slices.IndexFunc(wanted, func(w T) bool { return name(w) == name(x) }); i >= 0 {
			return i
		}
		return len(wanted)
	}
	slices.SortStableFunc(live, func(a, b T) int { return place(a) - place(b) })
	return live
}

func (p *table) readKeys(d *types.TableDescription) {
	p.HashKey, p.RangeKey = schemaKeys(d.KeySchema)
	var attributes []tableAttribute
	for _, a := range d.AttributeDefinitions {
		attributes = append(attributes, tableAttribute{aws.ToString(a.AttributeName), string(a.AttributeType)})
	}
	p.Attributes = inOrder(attributes, p.Attributes, func(a tableAttribute) string { return a.Name })
	var indexes []tableIndex
	for _, g := range d.GlobalSecondaryIndexes {
		index := tableIndex{Name: aws.ToString(g.IndexName), ProjectionType: string(g.Projection.ProjectionType), NonKeyAttributes: g.Projection.NonKeyAttributes}
		index.HashKey, index.RangeKey = schemaKeys(g.KeySchema)
		indexes = append(indexes, index)
	}
	p.GlobalSecondaryIndexes = inOrder(indexes, p.GlobalSecondaryIndexes, func(g tableIndex) string { return g.Name })
}

func (p *table) readBilling(d *types.TableDescription) {
	p.BillingMode = string(types.BillingModeProvisioned)
	if d.BillingModeSummary != nil {
		p.BillingMode = string(d.BillingModeSummary.BillingMode)
	}
	p.ReadCapacity, p.WriteCapacity = 0, 0
	if d.ProvisionedThroughput != nil {
		p.ReadCapacity, p.WriteCapacity = aws.ToInt64(d.ProvisionedThroughput.ReadCapacityUnits), aws.ToInt64(d.ProvisionedThroughput.WriteCapacityUnits)
	}
	if d.TableClassSummary != nil {
		p.TableClass = string(d.TableClassSummary.TableClass)
	}
}

func recovering(ctx context.Context, c *api.Client, name string) (bool, error) {
	out, err := c.DescribeContinuousBackups(ctx, &api.DescribeContinuousBackupsInput{TableName: aws.String(name)})
	if err != nil {
		return false, err
	}
	d := out.ContinuousBackupsDescription.PointInTimeRecoveryDescription
	return d != nil && d.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled, nil
}

func (p *table) readSettings(ctx context.Context, s *session, c *api.Client, d *types.TableDescription) error {
	enabled, err := recovering(ctx, c, p.Name)
	if err != nil {
		return err
	}
	if p.PointInTimeRecovery != nil || enabled {
		p.PointInTimeRecovery = &tableRecovery{Enabled: enabled}
	}
	ttl, err := c.DescribeTimeToLive(ctx, &api.DescribeTimeToLiveInput{TableName: aws.String(p.Name)})
	if err != nil {
		return err
	}
	if t := ttl.TimeToLiveDescription; t != nil && t.TimeToLiveStatus == types.TimeToLiveStatusEnabled {
		p.TTL = &tableTTL{AttributeName: aws.ToString(t.AttributeName), Enabled: true}
	} else if p.TTL != nil {
		p.TTL = &tableTTL{AttributeName: p.TTL.AttributeName}
	}
	var live []tableReplica
	for _, r := range d.Replicas {
		region := aws.ToString(r.RegionName)
		if region == s.region() {
			continue // some answers list the region itself
		}
		one := tableReplica{RegionName: region, KmsKeyArn: aws.ToString(r.KMSMasterKeyId)}
		if one.PointInTimeRecovery, err = recovering(ctx, s.dynamodb(region), p.Name); err != nil {
			return err
		}
		for _, wanted := range p.Replicas {
			if wanted.RegionName != region {
				continue
			}
			one.PropagateTags = wanted.PropagateTags
			if wanted.KmsKeyArn == "" && strings.HasSuffix(one.KmsKeyArn, ":alias/aws/dynamodb") {
				one.KmsKeyArn = ""
			}
		}
		live = append(live, one)
	}
	p.Replicas = inOrder(live, p.Replicas, func(r tableReplica) string { return r.RegionName })
	return nil
}
