package provider_test

import (
	"context"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	cwapi "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	ddbapi "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	cw "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	ddb "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const itemsARN = "arn:aws:dynamodb:eu-west-1:000000000000:table/items"

// board is a dashboard and a replica of a table that somebody else owns.
type board struct {
	*account
	body     string
	recovers bool
	key      string // of which the replica is sealed
}

func (a *board) program(ctx *pulumi.Context) error {
	in, err := a.provider(ctx, green)
	if err != nil {
		return err
	}
	made, err := cw.NewDashboard(ctx, "shift", &cw.DashboardArgs{DashboardName: pulumi.String("shift"), DashboardBody: pulumi.String(a.body)}, in)
	if err != nil {
		return err
	}
	keys := map[string]pulumi.StringOutput{}
	for _, name := range []string{"one", "two"} {
		key, err := kms.NewKey(ctx, name, &kms.KeyArgs{}, in)
		if err != nil {
			return err
		}
		keys[name] = key.Arn
	}
	replica, err := ddb.NewTableReplica(ctx, "items", &ddb.TableReplicaArgs{GlobalTableArn: pulumi.String(itemsARN), KmsKeyArn: keys[a.key],
		PointInTimeRecovery: pulumi.Bool(a.recovers), Tags: pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
	if err != nil {
		return err
	}
	ctx.Export("dashboard", made.DashboardArn)
	ctx.Export("replica", replica.Arn)
	return nil
}

// owned makes the table that is somebody else's.
func (a *account) owned() *ddbapi.Client {
	a.Helper()
	c := ddbapi.NewFromConfig(a.config(blue))
	_, err := c.CreateTable(a.Context(), &ddbapi.CreateTableInput{TableName: awssdk.String("items"), BillingMode: ddbtypes.BillingModePayPerRequest,
		KeySchema:            []ddbtypes.KeySchemaElement{{AttributeName: awssdk.String("pk"), KeyType: ddbtypes.KeyTypeHash}},
		AttributeDefinitions: []ddbtypes.AttributeDefinition{{AttributeName: awssdk.String("pk"), AttributeType: "S"}},
		StreamSpecification:  &ddbtypes.StreamSpecification{StreamEnabled: awssdk.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages}})
	if err != nil {
		a.Fatal(err)
	}
	return c
}

func TestEngineAddsAReplicaToATableItDoesNotOwn(t *testing.T) {
	t.Parallel()
	a := &board{account: &account{}, recovers: true, key: "one", body: `{"widgets":[{"type":"text","width":6,"properties":{"markdown":"#"}}]}`}
	whole(t, a.program, a.account)
	ctx := context.Background()
	main, there := a.owned(), ddbapi.NewFromConfig(a.config(green))
	created := a.up()["create"]
	outputs, err := a.stack.Outputs(ctx)
	if err != nil || outputs["replica"].Value != strings.Replace(itemsARN, blue, green, 1) || outputs["dashboard"].Value != "arn:aws:cloudwatch::000000000000:dashboard/shift" {
		t.Errorf("outputs %v, %v", outputs, err)
	}
	sealed := func() (key string, recovers bool) {
		out, err := there.DescribeTable(ctx, &ddbapi.DescribeTableInput{TableName: awssdk.String("items")})
		if err != nil {
			t.Fatal(err)
		}
		backups, err := there.DescribeContinuousBackups(ctx, &ddbapi.DescribeContinuousBackupsInput{TableName: awssdk.String("items")})
		if err != nil {
			t.Fatal(err)
		}
		return awssdk.ToString(out.Table.SSEDescription.KMSMasterKeyArn), backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == "ENABLED"
	}
	first, recovers := sealed()
	if !strings.Contains(first, green) || !recovers {
		t.Errorf("the replica has key %s, recovery %v", first, recovers)
	}
	a.settled(created)

	// The same document with its members in another order is no change.
	a.body = `{"widgets": [ {"properties":{"markdown":"#"}, "width":6, "type":"text"} ]}`
	if diff := cmp.Diff(map[string]int{"same": created}, a.up()); diff != "" {
		t.Errorf("the same dashboard: %s", diff)
	}
	a.body, a.recovers = `{"widgets":[]}`, false
	if got := a.up(); got["update"] != 2 || got["replace"] != 0 {
		t.Errorf("another body, no recovery: %v", got)
	}
	shown, err := cwapi.NewFromConfig(a.config(green)).GetDashboard(ctx, &cwapi.GetDashboardInput{DashboardName: awssdk.String("shift")})
	if err != nil || awssdk.ToString(shown.DashboardBody) != a.body {
		t.Errorf("the dashboard is %v, %v", shown, err)
	}
	a.key = "two"
	if got := a.up(); got["replace"] != 1 {
		t.Errorf("another key: %v", got)
	}
	if second, recovers := sealed(); second == first || recovers {
		t.Errorf("the replica has key %s, recovery %v", second, recovers)
	}
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
	left, err := main.DescribeTable(ctx, &ddbapi.DescribeTableInput{TableName: awssdk.String("items")})
	if err != nil || len(left.Table.Replicas) != 0 {
		t.Errorf("the table that is not ours is %+v, %v", left, err)
	}
}

// ranges asks for address ranges as the cell does.
type ranges struct {
	*account
	services, regions []string
	at                *string
	cidrs             []string
}

func (a *ranges) program(ctx *pulumi.Context) error {
	p, err := aws.NewProvider(ctx, "asking", &aws.ProviderArgs{Region: pulumi.String(green), AccessKey: pulumi.String("key"), SecretKey: pulumi.String("secret"),
		Endpoints: aws.ProviderEndpointArray{aws.ProviderEndpointArgs{Sts: pulumi.String(a.url)}}})
	if err != nil {
		return err
	}
	got, err := aws.GetIpRanges(ctx, &aws.GetIpRangesArgs{Services: a.services, Regions: a.regions, Url: a.at}, pulumi.Provider(p))
	if err != nil {
		return err
	}
	a.cidrs = got.CidrBlocks
	ctx.Export("token", pulumi.Int(got.SyncToken))
	return nil
}

func TestEngineAsksForTheHealthCheckersRanges(t *testing.T) {
	t.Parallel()
	a := &ranges{account: &account{}, services: []string{"route53_healthchecks"}}
	whole(t, a.program, a.account)
	created := a.up()["create"]
	if diff := cmp.Diff([]string{"127.255.0.0/26", "127.255.0.128/26", "127.255.0.64/26"}, a.cidrs); diff != "" {
		t.Error(diff)
	}
	a.settled(created)
	a.regions = []string{"us-east-1", "eu-west-1"}
	a.up()
	if diff := cmp.Diff([]string{"127.255.0.128/26", "127.255.0.64/26"}, a.cidrs); diff != "" {
		t.Error(diff)
	}
	for name, services := range map[string][]string{"no IP ranges result from filters": {"route53Healthchecks"}, "services is required": nil} {
		a.services = services
		if _, err := a.stack.Up(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("services %v: %v", services, err)
		}
	}
	a.services, a.at = []string{"route53_healthchecks"}, awssdk.String(a.account.url+"/_tapctl/nothing")
	if _, err := a.stack.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("an address without ranges: %v", err)
	}
}
