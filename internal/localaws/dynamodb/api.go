package dynamodb

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Handler serves the AWS JSON 1.0 protocol.
func (s *Service) Handler() http.Handler {
	operations := map[string]wire.Operation{
		"PutItem":    item(s, "PutItem", one("PutItem"), func(c wire.Call, r *request) (any, error) { return s.writeOne(c, "Put", r) }),
		"UpdateItem": item(s, "UpdateItem", one("UpdateItem"), func(c wire.Call, r *request) (any, error) { return s.writeOne(c, "Update", r) }),
		"DeleteItem": item(s, "DeleteItem", one("DeleteItem"), func(c wire.Call, r *request) (any, error) { return s.writeOne(c, "Delete", r) }),
		"GetItem": item(s, "GetItem", one("GetItem"), func(c wire.Call, r *request) (any, error) {
			found, err := s.getOne(c, r)
			if err != nil || found == nil {
				return map[string]any{}, err
			}
			return map[string]any{"Item": found}, nil
		}),
		"Query":              item(s, "Query", one("Query"), func(c wire.Call, r *request) (any, error) { return s.read(c, false, r) }),
		"Scan":               item(s, "Scan", one("Scan"), func(c wire.Call, r *request) (any, error) { return s.read(c, true, r) }),
		"BatchGetItem":       item(s, "BatchGetItem", (*batchGet).uses, func(c wire.Call, in *batchGet) (any, error) { return s.batchGetItem(c, *in) }),
		"BatchWriteItem":     item(s, "BatchWriteItem", (*batchWrite).uses, func(c wire.Call, in *batchWrite) (any, error) { return s.batchWriteItem(c, *in) }),
		"TransactWriteItems": item(s, "TransactWriteItems", (*transactWrite).uses, func(c wire.Call, in *transactWrite) (any, error) { return s.transactWriteItems(c, *in) }),
		"TransactGetItems":   item(s, "TransactGetItems", (*transactGet).uses, func(c wire.Call, in *transactGet) (any, error) { return s.transactGetItems(c, *in) }),
	}
	maps.Copy(operations, s.administration())
	return checksummed(wire.JSONTarget(s.opts.Log, "1.0", operations))
}

// reads are the operations whose throttling counts as read throttling.
var reads = []string{"GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems"}

// item wraps an operation of the data plane: authorisation, faults, metrics.
func item[In any](s *Service, name string, uses func(*In) []use, serve func(wire.Call, *In) (any, error)) wire.Operation {
	return wire.Op(func(ctx context.Context, in In) (any, error) {
		call := wire.FromContext(ctx)
		started := clock.Real{}.Now()
		all := uses(&in)
		if err := s.authorizeItems(ctx, call, all); err != nil {
			return nil, err
		}
		names := tablesOf(all)
		for _, table := range names {
			if err := s.throttle(call, name, table); err != nil {
				return nil, err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		out, err := serve(call, &in)
		if err == nil {
			latency := float64(clock.Real{}.Now().Sub(started).Microseconds()) / 1000
			for _, table := range names {
				s.metric(call.Now, call.Region, "SuccessfulRequestLatency", map[string]string{"TableName": table, "Operation": name}, latency, "Milliseconds")
			}
		}
		return out, err
	})
}

func (s *Service) throttle(call wire.Call, operation, table string) error {
	if s.opts.Faults == nil {
		return nil
	}
	if _, hit := s.opts.Faults.Draw(call.Region, fault.Throttle, "table/"+table); !hit {
		return nil
	}
	events := "WriteThrottleEvents"
	if slices.Contains(reads, operation) {
		events = "ReadThrottleEvents"
	}
	s.metric(call.Now, call.Region, events, map[string]string{"TableName": table}, 1, "Count")
	s.metric(call.Now, call.Region, "ThrottledRequests", map[string]string{"TableName": table, "Operation": operation}, 1, "Count")
	return wire.Errorf(http.StatusBadRequest, "ProvisionedThroughputExceededException",
		"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.")
}

// admin wraps an operation on one table; named says which.
func admin[In any](s *Service, name string, named func(*In) *string, serve func(wire.Call, *In) (any, error)) wire.Operation {
	return wire.Op(func(ctx context.Context, in In) (any, error) {
		call := wire.FromContext(ctx)
		if err := s.authorize(ctx, call, name, tableName(aws.ToString(named(&in)))); err != nil {
			return nil, err
		}
		if err := s.authorizeKeys(ctx, call, &in); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		out, err := serve(call, &in)
		if err != nil || out == nil {
			return nil, err
		}
		return wire.EpochMembers(out), nil
	})
}

func (s *Service) administration() map[string]wire.Operation {
	return map[string]wire.Operation{
		"CreateTable": admin(s, "CreateTable", func(in *api.CreateTableInput) *string { return in.TableName }, func(c wire.Call, in *api.CreateTableInput) (any, error) {
			d, err := s.createTable(c, *in)
			return api.CreateTableOutput{TableDescription: d}, err
		}),
		"UpdateTable": admin(s, "UpdateTable", func(in *api.UpdateTableInput) *string { return in.TableName }, func(c wire.Call, in *api.UpdateTableInput) (any, error) {
			d, err := s.updateTable(c, *in)
			return api.UpdateTableOutput{TableDescription: d}, err
		}),
		"DeleteTable": admin(s, "DeleteTable", func(in *api.DeleteTableInput) *string { return in.TableName }, func(c wire.Call, in *api.DeleteTableInput) (any, error) {
			d, err := s.deleteTable(c, *in)
			return api.DeleteTableOutput{TableDescription: d}, err
		}),
		"DescribeTable": admin(s, "DescribeTable", func(in *api.DescribeTableInput) *string { return in.TableName }, func(c wire.Call, in *api.DescribeTableInput) (any, error) {
			t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
			if err != nil {
				return nil, err
			}
			d := s.describe(c.Now, t)
			return api.DescribeTableOutput{Table: &d}, nil
		}),
		"ListTables": admin(s, "ListTables", func(*api.ListTablesInput) *string { return nil }, func(c wire.Call, in *api.ListTablesInput) (any, error) {
			return s.listTables(c, in.ExclusiveStartTableName, in.Limit)
		}),
		"DescribeContinuousBackups": admin(s, "DescribeContinuousBackups", func(in *api.DescribeContinuousBackupsInput) *string { return in.TableName }, s.describeContinuousBackups),
		"UpdateContinuousBackups":   admin(s, "UpdateContinuousBackups", func(in *api.UpdateContinuousBackupsInput) *string { return in.TableName }, s.updateContinuousBackups),
		"DescribeTimeToLive":        admin(s, "DescribeTimeToLive", func(in *api.DescribeTimeToLiveInput) *string { return in.TableName }, s.describeTimeToLive),
		"UpdateTimeToLive":          admin(s, "UpdateTimeToLive", func(in *api.UpdateTimeToLiveInput) *string { return in.TableName }, s.updateTimeToLive),
		"ListTagsOfResource":        admin(s, "ListTagsOfResource", func(in *api.ListTagsOfResourceInput) *string { return in.ResourceArn }, s.listTagsOfResource),
		"TagResource":               admin(s, "TagResource", func(in *api.TagResourceInput) *string { return in.ResourceArn }, s.tagResource),
		"UntagResource":             admin(s, "UntagResource", func(in *api.UntagResourceInput) *string { return in.ResourceArn }, s.untagResource),
		"DescribeContributorInsights": admin(s, "DescribeContributorInsights", func(in *api.DescribeContributorInsightsInput) *string { return in.TableName }, func(c wire.Call, in *api.DescribeContributorInsightsInput) (any, error) {
			t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
			if err != nil {
				return nil, err
			}
			return api.DescribeContributorInsightsOutput{TableName: aws.String(t.name), IndexName: in.IndexName, ContributorInsightsStatus: types.ContributorInsightsStatusDisabled}, nil
		}),
		"DescribeKinesisStreamingDestination": admin(s, "DescribeKinesisStreamingDestination", func(in *api.DescribeKinesisStreamingDestinationInput) *string { return in.TableName }, func(c wire.Call, in *api.DescribeKinesisStreamingDestinationInput) (any, error) {
			t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
			if err != nil {
				return nil, err
			}
			return api.DescribeKinesisStreamingDestinationOutput{TableName: aws.String(t.name), KinesisDataStreamDestinations: []types.KinesisDataStreamDestination{}}, nil
		}),
		"GetResourcePolicy": admin(s, "GetResourcePolicy", func(in *api.GetResourcePolicyInput) *string { return in.ResourceArn }, func(c wire.Call, in *api.GetResourcePolicyInput) (any, error) {
			if _, err := s.find(c.Now, c.Region, aws.ToString(in.ResourceArn)); err != nil {
				return nil, err
			}
			return nil, wire.Errorf(http.StatusBadRequest, "PolicyNotFoundException", "Resource-based policy not found for the provided ResourceArn: %s", aws.ToString(in.ResourceArn))
		}),
	}
}

func (t *table) backups(now time.Time) *types.ContinuousBackupsDescription {
	recovery := &types.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: types.PointInTimeRecoveryStatusDisabled}
	if t.recovery != nil {
		enabled := *t.recovery
		enabled.LatestRestorableDateTime = aws.Time(now)
		recovery = &enabled
	}
	return &types.ContinuousBackupsDescription{ContinuousBackupsStatus: types.ContinuousBackupsStatusEnabled, PointInTimeRecoveryDescription: recovery}
}

func (s *Service) describeContinuousBackups(c wire.Call, in *api.DescribeContinuousBackupsInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
	if err != nil {
		return nil, wire.Errorf(http.StatusBadRequest, "TableNotFoundException", "Table not found: %s", aws.ToString(in.TableName))
	}
	return api.DescribeContinuousBackupsOutput{ContinuousBackupsDescription: t.backups(c.Now)}, nil
}

func (s *Service) updateContinuousBackups(c wire.Call, in *api.UpdateContinuousBackupsInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
	if err != nil {
		return nil, wire.Errorf(http.StatusBadRequest, "TableNotFoundException", "Table not found: %s", aws.ToString(in.TableName))
	}
	if t.status(c.Now) == types.TableStatusCreating {
		return nil, wire.Errorf(http.StatusBadRequest, "ContinuousBackupsUnavailableException", "Backups are being enabled for the table: %s. Please retry later", t.name)
	}
	spec := in.PointInTimeRecoverySpecification
	if spec == nil || spec.PointInTimeRecoveryEnabled == nil {
		return nil, validation("1 validation error detected: Value null at 'pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled' failed to satisfy constraint: Member must not be null")
	}
	t.recovery = nil
	if *spec.PointInTimeRecoveryEnabled {
		days := aws.Int32(35)
		if spec.RecoveryPeriodInDays != nil {
			days = spec.RecoveryPeriodInDays
		}
		t.recovery = &types.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: types.PointInTimeRecoveryStatusEnabled, EarliestRestorableDateTime: aws.Time(c.Now), RecoveryPeriodInDays: days}
	}
	return api.UpdateContinuousBackupsOutput{ContinuousBackupsDescription: t.backups(c.Now)}, nil
}

func (s *Service) describeTimeToLive(c wire.Call, in *api.DescribeTimeToLiveInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
	if err != nil {
		return nil, err
	}
	d := &types.TimeToLiveDescription{TimeToLiveStatus: types.TimeToLiveStatusDisabled}
	if t.ttl != nil {
		d = &types.TimeToLiveDescription{TimeToLiveStatus: types.TimeToLiveStatusEnabled, AttributeName: t.ttl.AttributeName}
	}
	return api.DescribeTimeToLiveOutput{TimeToLiveDescription: d}, nil
}

func (s *Service) updateTimeToLive(c wire.Call, in *api.UpdateTimeToLiveInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.TableName))
	if err != nil {
		return nil, err
	}
	spec := in.TimeToLiveSpecification
	switch {
	case spec == nil || spec.Enabled == nil || aws.ToString(spec.AttributeName) == "":
		return nil, validation("1 validation error detected: TimeToLiveSpecification needs Enabled and AttributeName")
	case *spec.Enabled == (t.ttl != nil):
		return nil, validation("TimeToLive is already %s", map[bool]string{true: "enabled", false: "disabled"}[*spec.Enabled])
	}
	// Settings of TTL are shared by the replicas of a global table.
	for region := range t.group.replicas {
		if other, ok := s.tables[tableKey{region, t.name}]; ok {
			other.ttl = nil
			if *spec.Enabled {
				other.ttl = spec
			}
		}
	}
	return api.UpdateTimeToLiveOutput{TimeToLiveSpecification: spec}, nil
}

func (s *Service) listTagsOfResource(c wire.Call, in *api.ListTagsOfResourceInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	out := api.ListTagsOfResourceOutput{Tags: []types.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(t.tags)) {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(key), Value: aws.String(t.tags[key])})
	}
	return out, nil
}

func (s *Service) tagResource(c wire.Call, in *api.TagResourceInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.ResourceArn))
	if err == nil {
		maps.Copy(t.tags, tagMap(in.Tags))
	}
	return nil, err
}

func (s *Service) untagResource(c wire.Call, in *api.UntagResourceInput) (any, error) {
	t, err := s.find(c.Now, c.Region, aws.ToString(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(t.tags, key)
	}
	return nil, nil
}
