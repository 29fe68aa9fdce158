package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/rogpeppe/go-internal/testscript"
)

// account is the embedded AWS as the SDK sees it, past all of tapctl.
func account(ctx context.Context, ts *testscript.TestScript, region string) aws.Config {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region), awsconfig.WithBaseEndpoint(ts.Getenv("AWS_ENDPOINT_URL")))
	ts.Check(err)
	return cfg
}

// left writes what the account has, by kind, to a file. What a person would
// pay for or trip over is in it; API Gateway's setting of its logging role is
// not, which is one per region for everybody and stays, with the role that it
// names; nor is the record that validates certificates of a public name.
func left(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "left OUT")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	found := map[string][]string{}
	add := func(kind, name string) { found[kind] = append(found[kind], name) }
	for _, region := range []string{blueRegion, greenRegion, "us-west-2"} {
		leftIn(ctx, ts, account(ctx, ts, region), add)
	}
	cfg := account(ctx, ts, "us-east-1")
	zones, err := route53.NewFromConfig(cfg).ListHostedZones(ctx, &route53.ListHostedZonesInput{})
	ts.Check(err)
	for _, zone := range zones.HostedZones {
		records, err := route53.NewFromConfig(cfg).ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: zone.Id})
		ts.Check(err)
		for _, record := range records.ResourceRecordSets {
			if record.Type != "NS" && record.Type != "SOA" && !validatesPublic(record) {
				add("record", string(record.Type)+" "+aws.ToString(record.Name)+" "+aws.ToString(record.SetIdentifier))
			}
		}
	}
	checks, err := route53.NewFromConfig(cfg).ListHealthChecks(ctx, &route53.ListHealthChecksInput{})
	ts.Check(err)
	for _, check := range checks.HealthChecks {
		add("health check", string(check.HealthCheckConfig.Type))
	}
	roles, err := iam.NewFromConfig(cfg).ListRoles(ctx, &iam.ListRolesInput{})
	ts.Check(err)
	for _, role := range roles.Roles {
		if name := aws.ToString(role.RoleName); !strings.HasSuffix(name, "-api-logging") {
			add("role", name)
		}
	}
	issuers, err := iam.NewFromConfig(cfg).ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	ts.Check(err)
	for _, issuer := range issuers.OpenIDConnectProviderList {
		add("identity provider", aws.ToString(issuer.Arn))
	}
	buckets, err := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }).ListBuckets(ctx, &s3.ListBucketsInput{})
	ts.Check(err)
	for _, bucket := range buckets.Buckets {
		name := aws.ToString(bucket.Name)
		add("bucket", name[:strings.LastIndex(name, "-")])
	}
	for kind := range found {
		slices.Sort(found[kind])
	}
	encoded, err := json.MarshalIndent(found, "", "  ")
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(encoded, '\n'), 0o600))
}

// validatesPublic tells a record that validates certificates of a public name,
// which is every certificate's of the account and stays, from a region's own.
func validatesPublic(record r53types.ResourceRecordSet) bool {
	check, name, _ := strings.Cut(aws.ToString(record.Name), ".")
	return record.Type == r53types.RRTypeCname && strings.HasPrefix(check, "_") && strings.Count(name, ".") == strings.Count("api.example.test.", ".")
}

func leftIn(ctx context.Context, ts *testscript.TestScript, cfg aws.Config, add func(kind, name string)) {
	apis, err := apigateway.NewFromConfig(cfg).GetRestApis(ctx, &apigateway.GetRestApisInput{})
	ts.Check(err)
	for _, api := range apis.Items {
		add("api", aws.ToString(api.Name))
	}
	domains, err := apigateway.NewFromConfig(cfg).GetDomainNames(ctx, &apigateway.GetDomainNamesInput{})
	ts.Check(err)
	for _, domain := range domains.Items {
		add("domain", aws.ToString(domain.DomainName))
	}
	functions, err := lambda.NewFromConfig(cfg).ListFunctions(ctx, &lambda.ListFunctionsInput{})
	ts.Check(err)
	for _, function := range functions.Functions {
		add("function", aws.ToString(function.FunctionName))
	}
	alarms, err := cloudwatch.NewFromConfig(cfg).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm}})
	ts.Check(err)
	for _, alarm := range alarms.MetricAlarms {
		add("alarm", aws.ToString(alarm.AlarmName))
	}
	boards, err := cloudwatch.NewFromConfig(cfg).ListDashboards(ctx, &cloudwatch.ListDashboardsInput{})
	ts.Check(err)
	for _, board := range boards.DashboardEntries {
		add("dashboard", aws.ToString(board.DashboardName))
	}
	groups, err := cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	ts.Check(err)
	for _, group := range groups.LogGroups {
		add("log group", aws.ToString(group.LogGroupName))
	}
	tables, err := dynamodb.NewFromConfig(cfg).ListTables(ctx, &dynamodb.ListTablesInput{})
	ts.Check(err)
	for _, table := range tables.TableNames {
		add("table", table)
	}
	secrets, err := secretsmanager.NewFromConfig(cfg).ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
	ts.Check(err)
	for _, secret := range secrets.SecretList {
		add("secret", aws.ToString(secret.Name))
	}
	keysIn(ctx, ts, cfg, add)
}

// keysIn adds keys, aliases and certificates. A key that is scheduled for
// deletion costs nothing and seals nothing more: it counts as gone. It cannot
// go at once, seven days is the least AWS waits. Aliases named alias/aws/ are
// AWS's own.
func keysIn(ctx context.Context, ts *testscript.TestScript, cfg aws.Config, add func(kind, name string)) {
	client := kms.NewFromConfig(cfg)
	keys, err := client.ListKeys(ctx, &kms.ListKeysInput{})
	ts.Check(err)
	for _, key := range keys.Keys {
		described, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId})
		ts.Check(err)
		if m := described.KeyMetadata; m.KeyManager == kmstypes.KeyManagerTypeCustomer && m.KeyState != kmstypes.KeyStatePendingDeletion {
			add("key", aws.ToString(m.Description))
		}
	}
	aliases, err := client.ListAliases(ctx, &kms.ListAliasesInput{})
	ts.Check(err)
	for _, alias := range aliases.Aliases {
		if name := aws.ToString(alias.AliasName); !strings.HasPrefix(name, "alias/aws/") {
			add("key alias", name)
		}
	}
	certificates, err := acm.NewFromConfig(cfg).ListCertificates(ctx, &acm.ListCertificatesInput{})
	ts.Check(err)
	for _, certificate := range certificates.CertificateSummaryList {
		add("certificate", aws.ToString(certificate.DomainName))
	}
}

// nowhere wants a text in no file below the folders.
func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) >= 2, "[!] nowhere FILE FOLDER...")
	text := strings.TrimSpace(ts.ReadFile(args[0]))
	var hits []string
	for _, dir := range args[1:] {
		with, _ := having(filesBelow(ts, dir), text)
		hits = append(hits, with...)
	}
	if (len(hits) > 0) != neg {
		ts.Fatalf("found in %v", hits)
	}
}

// detach takes the health checks off the weighted records of a name by hand,
// as somebody in the console would.
func detach(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "detach NAME")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := route53.NewFromConfig(account(ctx, ts, "us-east-1"))
	zone, records := recordsOf(ctx, ts, client, args[0])
	var changes []r53types.Change
	for _, record := range records {
		record.HealthCheckId = nil
		changes = append(changes, r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: &record})
	}
	_, err := client.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &r53types.ChangeBatch{Changes: changes}})
	ts.Check(err)
}

// records writes what the zone has under a name, without the ids that differ
// from run to run.
func records(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "records NAME OUT")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, found := recordsOf(ctx, ts, route53.NewFromConfig(account(ctx, ts, "us-east-1")), args[0])
	var out strings.Builder
	for _, r := range found {
		target := ""
		for _, value := range r.ResourceRecords {
			target += aws.ToString(value.Value) + " "
		}
		if r.TTL != nil {
			target += fmt.Sprintf("ttl %d ", *r.TTL)
		}
		if r.AliasTarget != nil {
			target = "alias "
		}
		fmt.Fprintf(&out, "%s %s weight %d to %schecked %v\n", r.Type, aws.ToString(r.SetIdentifier), aws.ToInt64(r.Weight), target, r.HealthCheckId != nil)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

func recordsOf(ctx context.Context, ts *testscript.TestScript, client *route53.Client, name string) (zone string, found []r53types.ResourceRecordSet) {
	_, parent, _ := strings.Cut(name, ".")
	zones, err := client.ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{DNSName: &parent})
	ts.Check(err)
	zone = aws.ToString(zones.HostedZones[0].Id)
	all, err := client.ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &zone})
	ts.Check(err)
	for _, record := range all.ResourceRecordSets {
		if strings.TrimSuffix(aws.ToString(record.Name), ".") == name {
			found = append(found, record)
		}
	}
	return zone, found
}

// versions writes where the aliases of the application point, in both regions.
func versions(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "versions OUT")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out strings.Builder
	for _, region := range []string{greenRegion, blueRegion} {
		name := "Shop-demo-api"
		aliases, err := lambda.NewFromConfig(account(ctx, ts, region)).ListAliases(ctx, &lambda.ListAliasesInput{FunctionName: &name})
		ts.Check(err)
		slices.SortFunc(aliases.Aliases, func(a, b lambdatypes.AliasConfiguration) int { return strings.Compare(*a.Name, *b.Name) })
		for _, alias := range aliases.Aliases {
			fmt.Fprintf(&out, "%s %s:%s %s\n", region, name, *alias.Name, *alias.FunctionVersion)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}
