package provider

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
)

var tableReplicaKinds = map[string]kind{
	"aws:dynamodb/tableReplica:TableReplica": entry[ownReplica]{spec[ownReplica]{args: sdk.TableReplicaArgs{}, state: sdk.TableReplica{}, identity: []string{"globalTableArn"},
		create: createOwnReplica, read: readOwnReplica, update: updateOwnReplica, remove: removeOwnReplica}},
}

// ownReplica is a replica, in the provider's region, of a table that somebody
// else owns.
type ownReplica struct {
	GlobalTableArn            string            `json:"globalTableArn" aws:"replace"`
	KmsKeyArn                 string            `json:"kmsKeyArn" aws:"replace"`
	PointInTimeRecovery       bool              `json:"pointInTimeRecovery"`
	DeletionProtectionEnabled bool              `json:"deletionProtectionEnabled"`
	Tags                      map[string]string `json:"tags"`
	Arn                       string            `json:"arn" aws:"out"`
}

// main is the owned table's region and name.
func (p ownReplica) main() (region, name string, err error) {
	parts := strings.SplitN(p.GlobalTableArn, ":", 6)
	if len(parts) == 6 {
		var isTable bool
		if name, isTable = strings.CutPrefix(parts[5], "table/"); isTable {
			return parts[3], name, nil
		}
	}
	return "", "", fmt.Errorf("globalTableArn %q is not the ARN of a table", p.GlobalTableArn)
}

// change asks the main region for one change of the table's replicas.
func (p ownReplica) change(ctx context.Context, s *session, update types.ReplicationGroupUpdate) error {
	region, name, err := p.main()
	if err != nil {
		return err
	}
	err = s.retry(ctx, "replicas of "+p.GlobalTableArn, func() error {
		_, err := s.dynamodb(region).UpdateTable(ctx, &api.UpdateTableInput{TableName: aws.String(name), ReplicaUpdates: []types.ReplicationGroupUpdate{update}})
		return err
	}, "ResourceInUseException") // another change of the table is under way
	if err != nil {
		return err
	}
	return tableActive(ctx, s, region, name)
}

func createOwnReplica(ctx context.Context, s *session, p ownReplica) (string, error) {
	region, name, err := p.main()
	if err != nil {
		return "", err
	}
	id := name + ":" + region
	create := &types.CreateReplicationGroupMemberAction{RegionName: aws.String(s.region()), KMSMasterKeyId: optional(p.KmsKeyArn)}
	if err := p.change(ctx, s, types.ReplicationGroupUpdate{Create: create}); err != nil {
		return "", err
	}
	if err := tableActive(ctx, s, s.region(), name); err != nil {
		return id, err
	}
	found, err := s.dynamodb(s.region()).DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String(name)})
	if err != nil {
		return id, err
	}
	p.Arn = aws.ToString(found.Table.TableArn)
	return id, updateOwnReplica(ctx, s, id, ownReplica{GlobalTableArn: p.GlobalTableArn, Arn: p.Arn}, p)
}

func readOwnReplica(ctx context.Context, s *session, _ string, p ownReplica) (*ownReplica, error) {
	_, name, err := p.main()
	if err != nil {
		return nil, err
	}
	c := s.dynamodb(s.region())
	out, err := c.DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String(name)})
	if err != nil || out.Table.TableStatus == types.TableStatusDeleting {
		return nil, err
	}
	p.Arn, p.DeletionProtectionEnabled = aws.ToString(out.Table.TableArn), aws.ToBool(out.Table.DeletionProtectionEnabled)
	p.KmsKeyArn = ""
	if sse := out.Table.SSEDescription; sse != nil && !strings.HasSuffix(aws.ToString(sse.KMSMasterKeyArn), ":alias/aws/dynamodb") {
		p.KmsKeyArn = aws.ToString(sse.KMSMasterKeyArn)
	}
	if p.PointInTimeRecovery, err = recovering(ctx, c, name); err != nil {
		return nil, err
	}
	tags, err := c.ListTagsOfResource(ctx, &api.ListTagsOfResourceInput{ResourceArn: out.Table.TableArn})
	if err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	for _, t := range tags.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return &p, nil
}

func updateOwnReplica(ctx context.Context, s *session, _ string, old, now ownReplica) error {
	_, name, err := now.main()
	if err != nil {
		return err
	}
	c := s.dynamodb(s.region())
	if old.PointInTimeRecovery != now.PointInTimeRecovery {
		if err := recovery(ctx, s, s.region(), name, now.PointInTimeRecovery); err != nil {
			return err
		}
	}
	if old.DeletionProtectionEnabled != now.DeletionProtectionEnabled {
		if _, err := c.UpdateTable(ctx, &api.UpdateTableInput{TableName: aws.String(name), DeletionProtectionEnabled: aws.Bool(now.DeletionProtectionEnabled)}); err != nil {
			return err
		}
	}
	return tagTable(ctx, c, aws.String(now.Arn), old.Tags, now.Tags)
}

func removeOwnReplica(ctx context.Context, s *session, _ string, p ownReplica) error {
	_, name, err := p.main()
	if err != nil {
		return err
	}
	if err := p.change(ctx, s, types.ReplicationGroupUpdate{Delete: &types.DeleteReplicationGroupMemberAction{RegionName: aws.String(s.region())}}); err != nil {
		return err
	}
	return tableGone(ctx, s, s.region(), name)
}
