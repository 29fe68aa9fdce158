package dynamodb

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// table is a table in one region.
type table struct {
	region, name string
	description  types.TableDescription // what CreateTable and UpdateTable set
	activeAt     time.Time              // CREATING until then
	updatedAt    time.Time              // UPDATING until then
	goneAt       time.Time              // DELETING until then, when set
	group        *group
	records      map[string]record
	tags         map[string]string
	ttl          *types.TimeToLiveSpecification
	recovery     *types.PointInTimeRecoveryDescription
}

// group is a global table: its regions, each ACTIVE from a time on.
type group struct{ replicas map[string]time.Time }

func (t *table) status(now time.Time) types.TableStatus {
	switch {
	case !t.goneAt.IsZero():
		return types.TableStatusDeleting
	case now.Before(t.activeAt):
		return types.TableStatusCreating
	case now.Before(t.updatedAt):
		return types.TableStatusUpdating
	default:
		return types.TableStatusActive
	}
}

func noTable(name string) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
}

// find returns the table, for administration: in whatever status.
func (s *Service) find(now time.Time, region, name string) (*table, error) {
	s.settle(now)
	t, ok := s.tables[tableKey{region, tableName(name)}]
	if !ok {
		return nil, noTable(name)
	}
	return t, nil
}

// usable returns the table, for its items.
func (s *Service) usable(now time.Time, region, name string) (*table, error) {
	t, err := s.find(now, region, name)
	if err != nil {
		return nil, err
	}
	if status := t.status(now); status == types.TableStatusCreating || status == types.TableStatusDeleting {
		return nil, wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found")
	}
	return t, nil
}

// describe is the table as DescribeTable shows it now.
func (s *Service) describe(now time.Time, t *table) types.TableDescription {
	d := t.description
	d.TableStatus = t.status(now)
	var count, size int64
	for _, r := range t.records {
		if r.item != nil {
			count++
			size += int64(r.item.size())
		}
	}
	d.ItemCount, d.TableSizeBytes = aws.Int64(count), aws.Int64(size)
	d.GlobalSecondaryIndexes = slices.Clone(d.GlobalSecondaryIndexes)
	for i := range d.GlobalSecondaryIndexes {
		g := &d.GlobalSecondaryIndexes[i]
		g.IndexStatus = types.IndexStatusActive
		if now.Before(t.activeAt) {
			g.IndexStatus = types.IndexStatusCreating
		}
		g.IndexArn = aws.String(*d.TableArn + "/index/" + *g.IndexName)
		g.ItemCount, g.IndexSizeBytes = aws.Int64(count), aws.Int64(size)
	}
	if len(t.group.replicas) > 1 {
		d.GlobalTableVersion = aws.String("2019.11.21")
		for _, region := range slices.Sorted(maps.Keys(t.group.replicas)) {
			if region != t.region {
				d.Replicas = append(d.Replicas, s.describeReplica(now, t, region))
			}
		}
	}
	return d
}

func (s *Service) describeReplica(now time.Time, t *table, region string) types.ReplicaDescription {
	r := types.ReplicaDescription{RegionName: aws.String(region), ReplicaStatus: types.ReplicaStatusActive, ReplicaArn: aws.String(tableARN(region, t.name))}
	if now.Before(t.group.replicas[region]) {
		r.ReplicaStatus = types.ReplicaStatusCreating
	}
	other, ok := s.tables[tableKey{region, t.name}]
	if !ok {
		return r
	}
	if !other.goneAt.IsZero() {
		r.ReplicaStatus = types.ReplicaStatusDeleting
	}
	if sse := other.description.SSEDescription; sse != nil {
		r.KMSMasterKeyId = sse.KMSMasterKeyArn
	}
	r.ReplicaTableClassSummary = other.description.TableClassSummary
	return r
}

// keys are the names of the hash and, if any, the range attribute.
func keys(schema []types.KeySchemaElement) (hash, sort string) {
	for _, e := range schema {
		if e.KeyType == types.KeyTypeHash {
			hash = aws.ToString(e.AttributeName)
		} else {
			sort = aws.ToString(e.AttributeName)
		}
	}
	return hash, sort
}

// attribute is the type a key attribute was defined with.
func (t *table) attribute(name string) string {
	for _, d := range t.description.AttributeDefinitions {
		if aws.ToString(d.AttributeName) == name {
			return string(d.AttributeType)
		}
	}
	return ""
}

// keyOf checks the key attributes of an item and encodes them. exact refuses
// any further attribute, as for the Key of a request.
func (t *table) keyOf(item Item, exact bool) (string, error) {
	hash, sort := keys(t.description.KeySchema)
	names := []string{hash}
	if sort != "" {
		names = append(names, sort)
	}
	if exact && len(item) != len(names) {
		return "", validation("The provided key element does not match the schema")
	}
	text := ""
	for _, name := range names {
		v, ok := item[name]
		switch {
		case !ok && exact:
			return "", validation("The provided key element does not match the schema")
		case !ok:
			return "", validation("One or more parameter values were invalid: Missing the key %s in the item", name)
		case v.kind != t.attribute(name) && exact:
			return "", validation("The provided key element does not match the schema")
		case v.kind != t.attribute(name):
			return "", validation("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", name, t.attribute(name), v.kind)
		case v.text == "":
			return "", validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
		case name == hash && len(v.text) > 2048:
			return "", validation("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes")
		case name != hash && len(v.text) > 1024:
			return "", validation("One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
		}
		text += v.keyText()
	}
	return text, nil
}

// checkItem is what every stored item must satisfy.
func (t *table) checkItem(item Item) error {
	if item.size() > 400<<10 {
		return validation("Item size has exceeded the maximum allowed size")
	}
	for _, g := range t.description.GlobalSecondaryIndexes {
		for _, e := range g.KeySchema {
			name := aws.ToString(e.AttributeName)
			v, ok := item[name]
			if !ok {
				continue
			}
			if v.kind != t.attribute(name) {
				return validation("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, t.attribute(name), v.kind, *g.IndexName)
			}
			if v.text == "" {
				return validation("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: %s, IndexKey: %s", *g.IndexName, name)
			}
		}
	}
	return nil
}

func (t *table) get(key string) Item { return t.records[key].item }

func (s *Service) tableID() string {
	s.serial++
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", s.serial)
}
