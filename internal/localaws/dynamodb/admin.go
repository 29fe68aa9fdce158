package dynamodb

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

var tableNames = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// tableName is the name in a name or an ARN.
func tableName(nameOrARN string) string {
	if _, name, ok := strings.Cut(nameOrARN, ":table/"); ok {
		return name
	}
	return nameOrARN
}

func (s *Service) createTable(call wire.Call, in api.CreateTableInput) (*types.TableDescription, error) {
	if err := validateCreate(in); err != nil {
		return nil, err
	}
	now, name := call.Now, aws.ToString(in.TableName)
	if t, err := s.find(now, call.Region, name); err == nil {
		return nil, wire.Errorf(http.StatusBadRequest, "ResourceInUseException", "Table already exists: %s", t.name)
	}
	t := &table{region: call.Region, name: name, activeAt: now.Add(s.opts.CreateDelay), records: map[string]record{}, tags: tagMap(in.Tags)}
	t.group = &group{replicas: map[string]time.Time{call.Region: t.activeAt}}
	t.description = types.TableDescription{
		TableName: in.TableName, TableArn: aws.String(tableARN(call.Region, name)), TableId: aws.String(s.tableID()),
		AttributeDefinitions: in.AttributeDefinitions, KeySchema: in.KeySchema, CreationDateTime: aws.Time(now),
		DeletionProtectionEnabled: aws.Bool(aws.ToBool(in.DeletionProtectionEnabled)),
	}
	if in.TableClass != "" {
		t.description.TableClassSummary = &types.TableClassSummary{TableClass: in.TableClass}
	}
	for _, g := range in.GlobalSecondaryIndexes {
		t.description.GlobalSecondaryIndexes = append(t.description.GlobalSecondaryIndexes, types.GlobalSecondaryIndexDescription{
			IndexName: g.IndexName, KeySchema: g.KeySchema, Projection: g.Projection, ProvisionedThroughput: throughput(g.ProvisionedThroughput)})
	}
	t.bill(now, in.BillingMode, in.ProvisionedThroughput)
	t.stream(now, in.StreamSpecification)
	t.encrypt(in.SSESpecification)
	s.tables[tableKey{call.Region, name}] = t
	d := s.describe(now, t)
	return &d, nil
}

func validateCreate(in api.CreateTableInput) error {
	if !tableNames.MatchString(aws.ToString(in.TableName)) {
		return validation("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	if len(in.LocalSecondaryIndexes) > 0 || len(in.VectorIndexes) > 0 || in.OnDemandThroughput != nil || in.WarmThroughput != nil || in.ResourcePolicy != nil || in.GlobalTableSourceArn != nil {
		return validation("the embedded AWS has no local or vector indexes, throughput limits, resource policies or linked tables")
	}
	if err := billable(in.BillingMode, in.ProvisionedThroughput); err != nil {
		return err
	}
	used := map[string]bool{}
	schemas := [][]types.KeySchemaElement{in.KeySchema}
	for _, g := range in.GlobalSecondaryIndexes {
		schemas = append(schemas, g.KeySchema)
		if g.Projection == nil || g.Projection.ProjectionType == "" {
			return validation("One or more parameter values were invalid: Unknown ProjectionType: null")
		}
	}
	for _, schema := range schemas {
		if len(schema) < 1 || len(schema) > 2 || schema[0].KeyType != types.KeyTypeHash || len(schema) == 2 && schema[1].KeyType != types.KeyTypeRange {
			return validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
		}
		for _, e := range schema {
			used[aws.ToString(e.AttributeName)] = true
		}
	}
	defined := map[string]bool{}
	for _, d := range in.AttributeDefinitions {
		defined[aws.ToString(d.AttributeName)] = true
		if !used[aws.ToString(d.AttributeName)] {
			return validation("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
		}
	}
	for name := range used {
		if !defined[name] {
			return validation("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%s]", name)
		}
	}
	return nil
}

func billable(mode types.BillingMode, p *types.ProvisionedThroughput) error {
	switch {
	case mode == types.BillingModePayPerRequest && p != nil:
		return validation("One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case mode != types.BillingModePayPerRequest && p == nil:
		return validation("One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	default:
		return nil
	}
}

func throughput(p *types.ProvisionedThroughput) *types.ProvisionedThroughputDescription {
	if p == nil {
		return &types.ProvisionedThroughputDescription{ReadCapacityUnits: aws.Int64(0), WriteCapacityUnits: aws.Int64(0), NumberOfDecreasesToday: aws.Int64(0)}
	}
	return &types.ProvisionedThroughputDescription{ReadCapacityUnits: p.ReadCapacityUnits, WriteCapacityUnits: p.WriteCapacityUnits, NumberOfDecreasesToday: aws.Int64(0)}
}

func (t *table) bill(now time.Time, mode types.BillingMode, p *types.ProvisionedThroughput) {
	t.description.ProvisionedThroughput = throughput(p)
	t.description.BillingModeSummary = nil // AWS shows none for a table that was always provisioned
	if mode == types.BillingModePayPerRequest {
		t.description.BillingModeSummary = &types.BillingModeSummary{BillingMode: mode, LastUpdateToPayPerRequestDateTime: aws.Time(now)}
	}
}

func (t *table) stream(now time.Time, spec *types.StreamSpecification) {
	if spec == nil {
		return
	}
	t.description.StreamSpecification, t.description.LatestStreamArn, t.description.LatestStreamLabel = nil, nil, nil
	if aws.ToBool(spec.StreamEnabled) {
		label := now.UTC().Format("2006-01-02T15:04:05.000")
		t.description.StreamSpecification = spec
		t.description.LatestStreamLabel = aws.String(label)
		t.description.LatestStreamArn = aws.String(*t.description.TableArn + "/stream/" + label)
	}
}

func (t *table) encrypt(spec *types.SSESpecification) {
	if spec == nil {
		return
	}
	t.description.SSEDescription = nil // the key AWS owns is not shown
	if aws.ToBool(spec.Enabled) {
		key := aws.ToString(spec.KMSMasterKeyId)
		if key == "" {
			key = "alias/aws/dynamodb"
		}
		t.description.SSEDescription = &types.SSEDescription{Status: types.SSEStatusEnabled, SSEType: types.SSETypeKms, KMSMasterKeyArn: aws.String(keyARN(t.region, key))}
	}
}

func (s *Service) updateTable(call wire.Call, in api.UpdateTableInput) (*types.TableDescription, error) {
	now := call.Now
	t, err := s.find(now, call.Region, aws.ToString(in.TableName))
	if err != nil {
		return nil, err
	}
	if status := t.status(now); status != types.TableStatusActive {
		return nil, wire.Errorf(http.StatusBadRequest, "ResourceInUseException", "Attempt to change a resource which is still in use: Table is being %s: %s", strings.ToLower(string(status)), t.name)
	}
	if in.OnDemandThroughput != nil || in.WarmThroughput != nil || len(in.GlobalTableWitnessUpdates) > 0 || in.MultiRegionConsistency == types.MultiRegionConsistencyStrong || len(in.VectorIndexUpdates) > 0 || in.DisassociationProtectionEnabled != nil {
		return nil, validation("the embedded AWS has no throughput limits, witnesses, strong multi-region consistency, vector indexes or disassociation protection")
	}
	if len(in.ReplicaUpdates) > 0 && (in.BillingMode != "" || in.StreamSpecification != nil || len(in.GlobalSecondaryIndexUpdates) > 0) || len(in.ReplicaUpdates) > 1 {
		return nil, validation("One or more parameter values were invalid: Only one replica update, and nothing else, can be made in one request")
	}
	if in.BillingMode != "" || in.ProvisionedThroughput != nil {
		if err := billable(in.BillingMode, in.ProvisionedThroughput); err != nil {
			return nil, err
		}
		t.bill(now, in.BillingMode, in.ProvisionedThroughput)
	}
	if in.DeletionProtectionEnabled != nil {
		t.description.DeletionProtectionEnabled = in.DeletionProtectionEnabled
	}
	if spec := in.StreamSpecification; spec != nil {
		if aws.ToBool(spec.StreamEnabled) == (t.description.StreamSpecification != nil) {
			return nil, validation("Table already has a stream enabled or disabled as asked: TableName: %s", t.name)
		}
		if len(t.group.replicas) > 1 {
			return nil, validation("Stream cannot be disabled on a table with replicas: %s", t.name)
		}
		t.stream(now, spec)
	}
	if in.TableClass != "" {
		t.description.TableClassSummary = &types.TableClassSummary{TableClass: in.TableClass, LastUpdateDateTime: aws.Time(now)}
	}
	t.encrypt(in.SSESpecification)
	if err := t.updateIndexes(in); err != nil {
		return nil, err
	}
	for _, u := range in.ReplicaUpdates {
		if err := s.updateReplica(now, t, u); err != nil {
			return nil, err
		}
	}
	if len(in.ReplicaUpdates) == 0 {
		t.updatedAt = now.Add(s.opts.CreateDelay)
		if in.DeletionProtectionEnabled != nil {
			t.updatedAt = now // takes effect at once
		}
	}
	d := s.describe(now, t)
	return &d, nil
}

func (t *table) updateIndexes(in api.UpdateTableInput) error {
	for _, u := range in.GlobalSecondaryIndexUpdates {
		index := slices.IndexFunc(t.description.GlobalSecondaryIndexes, func(g types.GlobalSecondaryIndexDescription) bool {
			return u.Create != nil && *g.IndexName == aws.ToString(u.Create.IndexName) || u.Delete != nil && *g.IndexName == aws.ToString(u.Delete.IndexName)
		})
		switch {
		case u.Create != nil && index < 0:
			if u.Create.Projection == nil || len(u.Create.KeySchema) == 0 {
				return validation("One or more parameter values were invalid: an index needs KeySchema and Projection")
			}
			t.description.GlobalSecondaryIndexes = append(t.description.GlobalSecondaryIndexes, types.GlobalSecondaryIndexDescription{
				IndexName: u.Create.IndexName, KeySchema: u.Create.KeySchema, Projection: u.Create.Projection, ProvisionedThroughput: throughput(u.Create.ProvisionedThroughput)})
		case u.Create != nil:
			return validation("Attempting to create an index which already exists")
		case u.Delete != nil && index >= 0:
			t.description.GlobalSecondaryIndexes = slices.Delete(slices.Clone(t.description.GlobalSecondaryIndexes), index, index+1)
		case u.Delete != nil:
			return wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found: index %s", aws.ToString(u.Delete.IndexName))
		default:
			return validation("the embedded AWS creates and deletes indexes, it does not update their throughput")
		}
	}
	if len(in.AttributeDefinitions) > 0 {
		t.description.AttributeDefinitions = in.AttributeDefinitions
	}
	return nil
}

func (s *Service) updateReplica(now time.Time, t *table, u types.ReplicationGroupUpdate) error {
	switch {
	case u.Create != nil:
		return s.createReplica(now, t, u.Create)
	case u.Delete != nil:
		region := aws.ToString(u.Delete.RegionName)
		other, ok := s.tables[tableKey{region, t.name}]
		if _, member := t.group.replicas[region]; !ok || !member || region == t.region {
			return validation("Replica in region %s does not exist", region)
		}
		if aws.ToBool(other.description.DeletionProtectionEnabled) {
			return validation("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
		}
		other.goneAt = now.Add(s.opts.CreateDelay)
		delete(t.group.replicas, region)
		t.updatedAt = other.goneAt
		return nil
	case u.Update != nil:
		region := aws.ToString(u.Update.RegionName)
		other, ok := s.tables[tableKey{region, t.name}]
		if _, member := t.group.replicas[region]; !ok || !member {
			return validation("Replica in region %s does not exist", region)
		}
		if u.Update.KMSMasterKeyId != nil {
			return validation("One or more parameter values were invalid: the key of a replica cannot be changed; delete and create it")
		}
		if u.Update.TableClassOverride != "" {
			other.description.TableClassSummary = &types.TableClassSummary{TableClass: u.Update.TableClassOverride}
		}
		return nil
	default:
		return validation("the embedded AWS creates, updates and deletes replicas only")
	}
}

func (s *Service) createReplica(now time.Time, t *table, create *types.CreateReplicationGroupMemberAction) error {
	region := aws.ToString(create.RegionName)
	stream := t.description.StreamSpecification
	switch {
	case region == "" || region == t.region:
		return validation("Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, DeleteTable, or UpdateTable as required.")
	case s.tables[tableKey{region, t.name}] != nil:
		return validation("Failed to create a the new replica of table with name: '%s' because one with that name already exists in region %s", t.name, region)
	case stream == nil || stream.StreamViewType != types.StreamViewTypeNewAndOldImages:
		// Whether the API still enforces this is unverified.
		return validation("Table must have DynamoDB Streams enabled with StreamViewType set to NEW_AND_OLD_IMAGES")
	case t.description.BillingModeSummary == nil:
		return validation("Table write capacity should either be Pay-Per-Request or AutoScaled.")
	}
	active := now.Add(s.opts.ReplicaDelay)
	other := &table{region: region, name: t.name, group: t.group, activeAt: active, records: map[string]record{}, tags: map[string]string{}, ttl: t.ttl}
	other.description = t.description
	d := &other.description
	d.TableArn, d.TableId, d.CreationDateTime = aws.String(tableARN(region, t.name)), aws.String(s.tableID()), aws.Time(now)
	d.SSEDescription, d.DeletionProtectionEnabled = nil, aws.Bool(false)
	d.GlobalSecondaryIndexes = slices.Clone(d.GlobalSecondaryIndexes)
	other.stream(now, stream)
	if create.KMSMasterKeyId != nil {
		other.encrypt(&types.SSESpecification{Enabled: aws.Bool(true), KMSMasterKeyId: create.KMSMasterKeyId})
	} else if t.description.SSEDescription != nil {
		other.encrypt(&types.SSESpecification{Enabled: aws.Bool(true)})
	}
	for key, r := range t.records {
		other.records[key] = r
	}
	t.group.replicas[region] = active
	t.updatedAt = active
	s.tables[tableKey{region, t.name}] = other
	return nil
}

func (s *Service) deleteTable(call wire.Call, in api.DeleteTableInput) (*types.TableDescription, error) {
	t, err := s.find(call.Now, call.Region, aws.ToString(in.TableName))
	if err != nil {
		return nil, err
	}
	if aws.ToBool(t.description.DeletionProtectionEnabled) {
		return nil, validation("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	if status := t.status(call.Now); status != types.TableStatusActive {
		return nil, wire.Errorf(http.StatusBadRequest, "ResourceInUseException", "Attempt to change a resource which is still in use: Table is being %s: %s", strings.ToLower(string(status)), t.name)
	}
	t.goneAt = call.Now.Add(s.opts.CreateDelay)
	delete(t.group.replicas, call.Region)
	d := s.describe(call.Now, t)
	return &d, nil
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}
