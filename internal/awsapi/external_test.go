package awsapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/infra"
	localapi "github.com/tapctl/tapctl/internal/localaws/apigateway"
)

// An alias that looks at its target's health is written back as it was found.
func TestAnAliasKeepsItsTargetsHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	zone := w.route53.EnsureZone("example.com")
	ok[*route53.ChangeResourceRecordSetsOutput](t)(w.clients.Route53().ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &zone, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: r53types.ChangeActionCreate, ResourceRecordSet: &r53types.ResourceRecordSet{
			Name: aws.String(public), Type: r53types.RRTypeA,
			AliasTarget: &r53types.AliasTarget{DNSName: aws.String("d-old.execute-api." + blueRegion + ".amazonaws.com"), HostedZoneId: aws.String(localapi.HostedZoneID(blueRegion)), EvaluateTargetHealth: true},
		}}}},
	}))
	found, err := w.clients.PublicRecords(t.Context(), zone, public)
	if err != nil || !found.Plain["A"].TargetHealth {
		t.Errorf("%+v, %v", found.Plain, err)
	}
	if err := w.clients.MakeWeighted(t.Context(), zone, found); err != nil {
		t.Fatal(err)
	}
	found, err = w.clients.PublicRecords(t.Context(), zone, public)
	if err != nil || !found.Blue["A"].TargetHealth {
		t.Errorf("%+v, %v", found.Blue, err)
	}
}

// What a replica could not have is refused before anything is made; which key
// it gets follows the table's.
func TestAdoptedTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := ok[*kms.CreateKeyOutput](t)(w.clients.KMS(blueRegion).CreateKey(t.Context(), &kms.CreateKeyInput{}))
	stream := &ddbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages}
	for name, test := range map[string]struct {
		in      dynamodb.CreateTableInput
		key     string
		refused string
	}{
		"plain":      {in: dynamodb.CreateTableInput{BillingMode: ddbtypes.BillingModePayPerRequest, StreamSpecification: stream}},
		"aws-s-key":  {in: dynamodb.CreateTableInput{BillingMode: ddbtypes.BillingModePayPerRequest, StreamSpecification: stream, SSESpecification: &ddbtypes.SSESpecification{Enabled: aws.Bool(true)}}},
		"customer-s": {in: dynamodb.CreateTableInput{BillingMode: ddbtypes.BillingModePayPerRequest, StreamSpecification: stream, SSESpecification: &ddbtypes.SSESpecification{Enabled: aws.Bool(true), SSEType: ddbtypes.SSETypeKms, KMSMasterKeyId: made.KeyMetadata.Arn}}, key: *made.KeyMetadata.Arn},
		"no-stream":  {in: dynamodb.CreateTableInput{BillingMode: ddbtypes.BillingModePayPerRequest}, refused: "needs its stream on"},
		"provisioned": {in: dynamodb.CreateTableInput{StreamSpecification: stream, ProvisionedThroughput: &ddbtypes.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(1), WriteCapacityUnits: aws.Int64(1)}},
			refused: "--billing-mode PAY_PER_REQUEST"},
	} {
		in := test.in
		in.TableName = aws.String(name)
		in.AttributeDefinitions = []ddbtypes.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: ddbtypes.ScalarAttributeTypeS}}
		in.KeySchema = []ddbtypes.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: ddbtypes.KeyTypeHash}}
		ok[*dynamodb.CreateTableOutput](t)(w.clients.DynamoDB(blueRegion).CreateTable(t.Context(), &in))
		w.clock.Advance(time.Minute)
		got, err := w.clients.AdoptedTable(t.Context(), name, blueRegion, greenRegion)
		if test.refused != "" {
			if err == nil || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%s: %v, want a refusal with %q", name, err, test.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(infra.AdoptedTable{Name: name, ARN: got.ARN, KeyARN: test.key}, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Each copy of a table is protected by itself.
func TestProtectTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.clients.ProtectTable(t.Context(), blueRegion, "gone", false); err != nil {
		t.Errorf("a table that is not there: %v", err)
	}
	if err := w.clients.ProtectTable(t.Context(), blueRegion, "gone", true); err == nil {
		t.Error("a table that is not there is protected")
	}
	ok[*dynamodb.CreateTableOutput](t)(w.clients.DynamoDB(blueRegion).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("items"), BillingMode: ddbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []ddbtypes.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: ddbtypes.ScalarAttributeTypeS}},
		KeySchema:            []ddbtypes.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: ddbtypes.KeyTypeHash}},
	}))
	w.clock.Advance(time.Minute)
	for _, on := range []bool{true, true, false} {
		if err := w.clients.ProtectTable(t.Context(), blueRegion, "items", on); err != nil {
			t.Fatal(err)
		}
		if state, err := w.clients.TableState(t.Context(), blueRegion, "items"); err != nil || state.Protected != on {
			t.Errorf("set to %v: %+v, %v", on, state, err)
		}
	}
}
