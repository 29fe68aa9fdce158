package provider_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	cw "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	ddb "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// foundation is what everything else stands on: keys, roles, logs, a table
// with a key of its own in each region.
type foundation struct {
	*account
	retention int
	owner     string
	policy    string
}

func (a *foundation) program(ctx *pulumi.Context) error {
	tags := pulumi.StringMap{"Owner": pulumi.String(a.owner)}
	keys := map[string]*kms.Key{}
	var in pulumi.ResourceOption
	for _, region := range []string{green, blue} {
		var err error
		if in, err = a.provider(ctx, region); err != nil {
			return err
		}
		if keys[region], err = kms.NewKey(ctx, "data-"+region, &kms.KeyArgs{Description: pulumi.String("data"), EnableKeyRotation: pulumi.Bool(true), DeletionWindowInDays: pulumi.Int(7), Tags: tags}, in); err != nil {
			return err
		}
		if _, err := kms.NewAlias(ctx, "data-"+region, &kms.AliasArgs{Name: pulumi.String("alias/data"), TargetKeyId: keys[region].KeyId}, in); err != nil {
			return err
		}
	}
	role, err := iam.NewRole(ctx, "logging", &iam.RoleArgs{Name: pulumi.String("logging"), AssumeRolePolicy: pulumi.String(trust), Description: pulumi.String("logging"), Tags: tags}, in)
	if err != nil {
		return err
	}
	if _, err := iam.NewRolePolicy(ctx, "logging", &iam.RolePolicyArgs{Name: pulumi.String("inline"), Role: role.Name, Policy: pulumi.String(a.policy)}, in); err != nil {
		return err
	}
	attached, err := iam.NewRolePolicyAttachment(ctx, "logging", &iam.RolePolicyAttachmentArgs{Role: role.Name, PolicyArn: pulumi.String("arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")}, in)
	if err != nil {
		return err
	}
	if _, err := apigateway.NewAccount(ctx, "account", &apigateway.AccountArgs{CloudwatchRoleArn: role.Arn}, in, pulumi.DependsOn([]pulumi.Resource{attached})); err != nil {
		return err
	}
	group, err := cw.NewLogGroup(ctx, "access", &cw.LogGroupArgs{Name: pulumi.String("/tapctl/access"), RetentionInDays: pulumi.Int(a.retention), KmsKeyId: keys[blue].Arn, Tags: tags}, in)
	if err != nil {
		return err
	}
	table, err := ddb.NewTable(ctx, "items", &ddb.TableArgs{Name: pulumi.String("items"), BillingMode: pulumi.String("PAY_PER_REQUEST"), HashKey: pulumi.String("pk"), RangeKey: pulumi.String("sk"),
		Attributes:    ddb.TableAttributeArray{ddb.TableAttributeArgs{Name: pulumi.String("pk"), Type: pulumi.String("S")}, ddb.TableAttributeArgs{Name: pulumi.String("sk"), Type: pulumi.String("S")}},
		StreamEnabled: pulumi.Bool(true), StreamViewType: pulumi.String("NEW_AND_OLD_IMAGES"), PointInTimeRecovery: ddb.TablePointInTimeRecoveryArgs{Enabled: pulumi.Bool(true)},
		ServerSideEncryption: ddb.TableServerSideEncryptionArgs{Enabled: pulumi.Bool(true), KmsKeyArn: keys[blue].Arn}, Ttl: ddb.TableTtlArgs{AttributeName: pulumi.String("expires"), Enabled: pulumi.Bool(true)},
		Replicas: ddb.TableReplicaTypeArray{ddb.TableReplicaTypeArgs{RegionName: pulumi.String(green), KmsKeyArn: keys[green].Arn, PointInTimeRecovery: pulumi.Bool(true), PropagateTags: pulumi.Bool(true)}}, Tags: tags}, in)
	ctx.Export("group", group.Arn)
	ctx.Export("key", keys[blue].Arn)
	ctx.Export("stream", table.StreamArn)
	return err
}

func TestEngineLaysTheFoundation(t *testing.T) {
	t.Parallel()
	inline := func(action string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"arn:aws:logs:eu-west-1:000000000000:*"}]}`
	}
	a := &foundation{account: &account{}, retention: 7, owner: "team", policy: inline("logs:PutLogEvents")}
	open(t, a.program, a.account)
	ctx := context.Background()
	created := a.up()["create"]
	outputs, err := a.stack.Outputs(ctx)
	if err != nil || outputs["group"].Value != "arn:aws:logs:eu-west-1:000000000000:log-group:/tapctl/access" || outputs["stream"].Value == "" {
		t.Errorf("outputs %v, %v", outputs, err)
	}
	refresh, err := a.stack.Refresh(ctx)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"same": created}, *refresh.Summary.ResourceChanges); diff != "" {
		t.Errorf("a refresh without drift: %s\n%s", diff, refresh.StdOut)
	}
	if diff := cmp.Diff(map[string]int{"same": created}, a.up()); diff != "" {
		t.Errorf("a second up: %s", diff)
	}
	a.retention, a.owner, a.policy = 14, "other", inline("logs:CreateLogStream")
	if got := a.up(); got["update"] != 6 || got["replace"] != 0 { // two keys, role, inline policy, group, table
		t.Errorf("other tags, retention and policy: %v", got)
	}
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
}
