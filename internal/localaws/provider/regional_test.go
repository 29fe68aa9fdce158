package provider_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	cw "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	ddb "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	r53 "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// regional is the program of the first test; its fields are what it turns.
type regional struct {
	*account
	threshold   float64
	weight, ttl int
	ignore      []pulumi.ResourceOption
}

func (a *regional) program(ctx *pulumi.Context) error {
	for _, region := range []string{blue, green} {
		in, err := a.provider(ctx, region)
		if err != nil {
			return err
		}
		alarm, err := cw.NewMetricAlarm(ctx, "errors-"+region, &cw.MetricAlarmArgs{Name: pulumi.String("errors"), Namespace: pulumi.String("AWS/Lambda"), MetricName: pulumi.String("Errors"), Statistic: pulumi.String("Sum"),
			Period: pulumi.Int(60), EvaluationPeriods: pulumi.Int(1), Threshold: pulumi.Float64(a.threshold), ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), Tags: pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
		if err != nil {
			return err
		}
		ctx.Export("alarm-"+region, alarm.Arn)
		if region == green {
			continue
		}
		table, err := ddb.NewTable(ctx, "items", &ddb.TableArgs{Name: pulumi.String("items"), BillingMode: pulumi.String("PAY_PER_REQUEST"), HashKey: pulumi.String("pk"),
			Attributes:    ddb.TableAttributeArray{ddb.TableAttributeArgs{Name: pulumi.String("pk"), Type: pulumi.String("S")}},
			StreamEnabled: pulumi.Bool(true), StreamViewType: pulumi.String("NEW_AND_OLD_IMAGES"), PointInTimeRecovery: ddb.TablePointInTimeRecoveryArgs{Enabled: pulumi.Bool(true)},
			Replicas: ddb.TableReplicaTypeArray{ddb.TableReplicaTypeArgs{RegionName: pulumi.String(green), PointInTimeRecovery: pulumi.Bool(true), PropagateTags: pulumi.Bool(true)}},
			Tags:     pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
		if err != nil {
			return err
		}
		ctx.Export("table", table.Arn)
		check, err := r53.NewHealthCheck(ctx, "blue", &r53.HealthCheckArgs{Type: pulumi.String("HTTPS"), Fqdn: pulumi.String("blue.example.com"), Port: pulumi.Int(443), RequestInterval: pulumi.Int(30), FailureThreshold: pulumi.Int(3)}, in)
		if err != nil {
			return err
		}
		ctx.Export("check", check.ID())
		record, err := r53.NewRecord(ctx, "blue", &r53.RecordArgs{ZoneId: pulumi.String(a.zone), Name: pulumi.String("api.example.com"), Type: pulumi.String("A"), Ttl: pulumi.Int(a.ttl), Records: pulumi.StringArray{pulumi.String("192.0.2.1")},
			SetIdentifier: pulumi.String("blue"), WeightedRoutingPolicies: r53.RecordWeightedRoutingPolicyArray{r53.RecordWeightedRoutingPolicyArgs{Weight: pulumi.Int(a.weight)}}}, append([]pulumi.ResourceOption{in}, a.ignore...)...)
		if err != nil {
			return err
		}
		ctx.Export("fqdn", record.Fqdn)
	}
	return nil
}

// Two regions' providers share one port; the records and the table prove that
// each kept its own configuration, and that updates, drift and deletion work.
func TestEngineDeploysTwoRegionsUpdatesAndDestroys(t *testing.T) {
	t.Parallel()
	a := &regional{account: &account{}, threshold: 1, weight: 100, ttl: 60}
	open(t, a.program, a.account)
	ctx := context.Background()
	preview, err := a.stack.Preview(ctx)
	if err != nil {
		t.Fatalf("preview: %v", err)
	}
	if got := preview.ChangeSummary["create"]; got != 8 { // the stack, two providers, two alarms, table, check, record
		t.Errorf("the preview creates %d", got)
	}
	a.up()
	outputs, err := a.stack.Outputs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"alarm-" + blue: "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:errors", "alarm-" + green: "arn:aws:cloudwatch:eu-central-1:000000000000:alarm:errors",
		"table": "arn:aws:dynamodb:eu-west-1:000000000000:table/items", "fqdn": "api.example.com",
	} {
		if got := outputs[name].Value; got != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	if diff := cmp.Diff(map[string]int{"same": 8}, a.up()); diff != "" {
		t.Errorf("a second up: %s", diff)
	}
	refresh, err := a.stack.Refresh(ctx)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"same": 8}, *refresh.Summary.ResourceChanges); diff != "" {
		t.Errorf("a refresh without drift: %s\n%s", diff, refresh.StdOut)
	}
	a.threshold = 2
	if got := a.up(); got["update"] != 2 || got["replace"] != 0 {
		t.Errorf("a new threshold: %v", got)
	}

	a.drifts()
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
	if got := a.liveWeight(); got != -1 {
		t.Errorf("the record survived with weight %d", got)
	}
}

// drifts turns the weight by hand and looks at what becomes of it.
func (a *regional) drifts() {
	a.Helper()
	// Drift: a refresh sees the turned weight, an up without IgnoreChanges
	// turns it back.
	a.turn(30)
	refresh, err := a.stack.Refresh(context.Background())
	if err != nil {
		a.Fatalf("refresh: %v", err)
	}
	if got := *refresh.Summary.ResourceChanges; got["update"] != 1 {
		a.Errorf("a refresh with drift: %v", got)
	}
	if got := a.up(); got["update"] != 1 || a.liveWeight() != 100 {
		a.Errorf("after an up the weight is %d (%v)", a.liveWeight(), got)
	}

	// The trap: IgnoreChanges sends the weight in the state, not the live
	// one, as soon as anything else of the record changes.
	a.ignore = []pulumi.ResourceOption{pulumi.IgnoreChanges([]string{"weightedRoutingPolicies"})}
	a.turn(30)
	a.weight = 0
	if a.up(); a.liveWeight() != 30 {
		a.Errorf("with IgnoreChanges alone the weight became %d", a.liveWeight())
	}
	a.ttl = 30
	if a.up(); a.liveWeight() != 100 {
		a.Errorf("with another change the weight became %d, the state's is 100", a.liveWeight())
	}
}
