package awsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// Records is what the zone has under the public name.
type Records struct {
	// Plain are the records without a weight, by type: somebody else's.
	Plain map[string]infra.ExternalRecord
	// Blue is what the weighted record of blue holds, by type.
	Blue map[string]infra.ExternalRecord
	// Weighted are the types that have a weighted record of any side.
	Weighted map[string]bool
	// CNAME is a CNAME's target, "" where there is none.
	CNAME string

	plain map[string]r53types.ResourceRecordSet
}

// PublicRecords reads every record of the name.
func (c *Clients) PublicRecords(ctx context.Context, zoneID, name string) (Records, error) {
	found := Records{
		Plain: map[string]infra.ExternalRecord{}, Blue: map[string]infra.ExternalRecord{}, Weighted: map[string]bool{},
		plain: map[string]r53types.ResourceRecordSet{},
	}
	out, err := c.Route53().ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{
		HostedZoneId: &zoneID, StartRecordName: &name, MaxItems: aws.Int32(50),
	})
	if err != nil {
		return found, trouble("list records of "+name, err)
	}
	for _, record := range out.ResourceRecordSets {
		kind := string(record.Type)
		switch {
		case strings.TrimSuffix(aws.ToString(record.Name), ".") != name:
		case record.Type == r53types.RRTypeCname && record.SetIdentifier == nil:
			if len(record.ResourceRecords) > 0 {
				found.CNAME = aws.ToString(record.ResourceRecords[0].Value)
			}
		case record.Type != r53types.RRTypeA && record.Type != r53types.RRTypeAaaa:
		case record.SetIdentifier == nil:
			found.Plain[kind], found.plain[kind] = contentOf(record), record
		default:
			found.Weighted[kind] = true
			if topology.Side(aws.ToString(record.SetIdentifier)) == topology.Blue {
				found.Blue[kind] = contentOf(record)
			}
		}
	}
	return found, nil
}

func contentOf(record r53types.ResourceRecordSet) infra.ExternalRecord {
	if a := record.AliasTarget; a != nil {
		return infra.ExternalRecord{
			Alias:        &infra.RegionalDomain{Name: strings.TrimSuffix(aws.ToString(a.DNSName), "."), ZoneID: aws.ToString(a.HostedZoneId)},
			TargetHealth: a.EvaluateTargetHealth,
		}
	}
	external := infra.ExternalRecord{TTL: int(aws.ToInt64(record.TTL))}
	for _, value := range record.ResourceRecords {
		external.Values = append(external.Values, aws.ToString(value.Value))
	}
	return external
}

// MakeWeighted turns the plain records of the name into blue's weighted ones
// in one batch, which Route 53 does wholly or not at all: there is no moment
// without an answer, and every answer stays what it was.
func (c *Clients) MakeWeighted(ctx context.Context, zoneID string, found Records) error {
	var changes []r53types.Change
	for _, plain := range found.plain {
		weighted := plain
		weighted.SetIdentifier, weighted.Weight = aws.String(string(topology.Blue)), aws.Int64(100)
		changes = append(changes,
			r53types.Change{Action: r53types.ChangeActionDelete, ResourceRecordSet: &plain},
			r53types.Change{Action: r53types.ChangeActionCreate, ResourceRecordSet: &weighted})
	}
	_, err := c.Route53().ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &zoneID, ChangeBatch: &r53types.ChangeBatch{Comment: aws.String("tapctl: plain to weighted, same target"), Changes: changes},
	})
	return trouble("make the plain record weighted", err)
}

// AdoptedTable describes a table that exists in the source region and says
// what keeps it from being adopted.
func (c *Clients) AdoptedTable(ctx context.Context, name, source, target string) (*infra.AdoptedTable, error) {
	step := fmt.Sprintf("adopt table %s in %s", name, source)
	out, err := c.DynamoDB(source).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if code(err) == "ResourceNotFoundException" {
		return nil, fmt.Errorf("%s: there is no such table; correct table.adopt, or leave it out to have one made", step)
	}
	if err != nil {
		return nil, trouble(step, err)
	}
	t := out.Table
	key, err := c.customerKey(ctx, source, t)
	if err != nil {
		return nil, err
	}
	table := &infra.AdoptedTable{Name: name, ARN: aws.ToString(t.TableArn), KeyARN: key}
	for _, replica := range t.Replicas {
		table.HasReplica = table.HasReplica || aws.ToString(replica.RegionName) == target
	}
	spec := t.StreamSpecification
	if !table.HasReplica && (spec == nil || !aws.ToBool(spec.StreamEnabled) || spec.StreamViewType != ddbtypes.StreamViewTypeNewAndOldImages) {
		return nil, fmt.Errorf("%s: a replica needs its stream on, with new and old images; turn it on with: aws dynamodb update-table --region %s --table-name %s --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES",
			step, source, name)
	}
	if !table.HasReplica && (t.BillingModeSummary == nil || t.BillingModeSummary.BillingMode != ddbtypes.BillingModePayPerRequest) {
		return nil, fmt.Errorf("%s: its capacity is provisioned, and a replica needs it on demand or scaled automatically; turn it to on demand with: aws dynamodb update-table --region %s --table-name %s --billing-mode PAY_PER_REQUEST, or where it is scaled, add the replica in %s yourself",
			step, source, name, target)
	}
	if !table.HasReplica {
		return table, nil
	}
	// Each copy has a key of its own region, which the other does not tell.
	replica, err := c.DynamoDB(target).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return nil, trouble(step+": its replica in "+target, err)
	}
	table.ReplicaKeyARN, err = c.customerKey(ctx, target, replica.Table)
	return table, err
}

// customerKey is the key that a copy of a table is encrypted with, "" where it
// is AWS's own: one that it owns, which does not show, or the account's key of
// this alias.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.howitworks.html
func (c *Clients) customerKey(ctx context.Context, region string, t *ddbtypes.TableDescription) (string, error) {
	const managed = "alias/aws/dynamodb"
	if t.SSEDescription == nil || t.SSEDescription.SSEType != ddbtypes.SSETypeKms {
		return "", nil
	}
	key := aws.ToString(t.SSEDescription.KMSMasterKeyArn)
	if strings.HasSuffix(key, ":"+managed) {
		return "", nil
	}
	out, err := c.KMS(region).ListAliases(ctx, &kms.ListAliasesInput{KeyId: &key})
	if code(err) == "NotFoundException" {
		return key, nil // another account's
	}
	if err != nil {
		return "", trouble("list the aliases of "+key, err)
	}
	for _, alias := range out.Aliases {
		if aws.ToString(alias.AliasName) == managed {
			return "", nil
		}
	}
	return key, nil
}

// Retire deletes blue's records and leaves green's as the only ones, in one
// batch, and returns the change to see in sync; "" where blue has no record
// any more.
func (t *Traffic) Retire(ctx context.Context) (string, error) {
	step := "delete blue's records of " + t.top.RecordName
	records, err := t.clients.weighted(ctx, t.top.ZoneID, t.top.RecordName, t.top.RecordTypes)
	if err != nil {
		return "", err
	}
	pairs, err := t.pairs(records)
	if err != nil {
		return "", err
	}
	if live, err := t.percent(records); err != nil || live != 100 {
		return "", errors.Join(err, fmt.Errorf("%s: green has %v%% of the answers, not all", step, live))
	}
	var changes []r53types.Change
	for _, kind := range t.top.RecordTypes {
		blue, green := pairs[r53types.RRType(kind)][0], pairs[r53types.RRType(kind)][1]
		if blue.Weight == nil {
			continue
		}
		green.Weight = aws.Int64(100)
		changes = append(changes,
			r53types.Change{Action: r53types.ChangeActionDelete, ResourceRecordSet: &blue},
			r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: &green})
	}
	return t.send(ctx, step, changes)
}

// GiveBack makes blue's records plain again, as they were before tapctl came,
// and deletes green's where there are any, in one batch; it refuses while green
// has answers, and does nothing where no record has a weight. It is the way out of a migration from a
// source that tapctl did not create.
func (t *Traffic) GiveBack(ctx context.Context) error {
	step := "give " + t.top.RecordName + " back to blue"
	records, err := t.clients.weighted(ctx, t.top.ZoneID, t.top.RecordName, t.top.RecordTypes)
	if errors.Is(err, errNoRecords) {
		return nil
	}
	if err != nil {
		return err
	}
	// The changes of a batch are checked in their order, and no plain record may
	// stand beside a weighted one.
	var changes, plains []r53types.Change
	for _, record := range records {
		switch id, weight := aws.ToString(record.SetIdentifier), aws.ToInt64(record.Weight); {
		case id == t.top.Source.SetID && weight > 0, id == t.top.Target.SetID && weight == 0:
		case id == t.top.Source.SetID || id == t.top.Target.SetID:
			return fmt.Errorf("%s: blue has not all of the answers: the %s record of %s has weight %d", step, record.Type, id, weight)
		default:
			return fmt.Errorf("%s: there is a record of %s, which is not tapctl's", step, id)
		}
		changes = append(changes, r53types.Change{Action: r53types.ChangeActionDelete, ResourceRecordSet: &record})
		if aws.ToString(record.SetIdentifier) == t.top.Source.SetID {
			plain := record
			plain.SetIdentifier, plain.Weight, plain.HealthCheckId = nil, nil, nil
			plains = append(plains, r53types.Change{Action: r53types.ChangeActionCreate, ResourceRecordSet: &plain})
		}
	}
	_, err = t.send(ctx, step, append(changes, plains...))
	return err
}

// Synced waits for the change, at most for bound. The empty change is in sync.
func (t *Traffic) Synced(ctx context.Context, change string, bound, poll time.Duration, sleep func(context.Context, time.Duration) error) error {
	for waited := time.Duration(0); change != ""; waited += poll {
		done, err := t.InSync(ctx, change)
		if err == nil && done {
			return nil
		}
		if waited >= bound {
			return errors.Join(err, fmt.Errorf("change %s is not in sync after %v", change, bound))
		}
		if err := sleep(ctx, poll); err != nil {
			return err
		}
	}
	return nil
}
