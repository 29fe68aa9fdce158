package provider_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	cwapi "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/acm"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	cw "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	r53 "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// edge is a public name: certificate, domain, mapping, alias record, and the
// health checks on it.
type edge struct {
	*account
	source    string // ARN the permission is for
	threshold string
	mistake   bool // uses a property that does not exist
}

func (a *edge) program(ctx *pulumi.Context) error {
	in, err := a.provider(ctx, blue)
	if err != nil {
		return err
	}
	certificate, err := a.certificate(ctx, in)
	if err != nil {
		return err
	}
	rest, err := apigateway.NewRestApi(ctx, "api", &apigateway.RestApiArgs{Name: pulumi.String("api"), DisableExecuteApiEndpoint: pulumi.Bool(true), EndpointConfiguration: apigateway.RestApiEndpointConfigurationArgs{Types: pulumi.String("REGIONAL")}}, in)
	if err != nil {
		return err
	}
	policy := rest.ExecutionArn.ApplyT(func(arn string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"` + arn + `/*"}]}`
	}).(pulumi.StringOutput)
	if _, err := apigateway.NewRestApiPolicy(ctx, "policy", &apigateway.RestApiPolicyArgs{RestApiId: rest.ID(), Policy: policy}, in); err != nil {
		return err
	}
	proxy, err := apigateway.NewResource(ctx, "proxy", &apigateway.ResourceArgs{RestApi: rest.ID(), ParentId: rest.RootResourceId, PathPart: pulumi.String("{proxy+}")}, in)
	if err != nil {
		return err
	}
	method, err := apigateway.NewMethod(ctx, "proxy", &apigateway.MethodArgs{RestApi: rest.ID(), ResourceId: proxy.ID(), HttpMethod: pulumi.String("GET"), Authorization: pulumi.String("NONE")}, in)
	if err != nil {
		return err
	}
	integration, err := apigateway.NewIntegration(ctx, "proxy", &apigateway.IntegrationArgs{RestApi: rest.ID(), ResourceId: proxy.ID(), HttpMethod: method.HttpMethod, Type: pulumi.String("AWS_PROXY"), IntegrationHttpMethod: pulumi.String("POST"),
		Uri: pulumi.String("arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:000000000000:function:api/invocations")}, in)
	if err != nil {
		return err
	}
	deployment, err := apigateway.NewDeployment(ctx, "one", &apigateway.DeploymentArgs{RestApi: rest.ID()}, in, pulumi.DependsOn([]pulumi.Resource{integration}))
	if err != nil {
		return err
	}
	stage, err := apigateway.NewStage(ctx, "prod", &apigateway.StageArgs{RestApi: rest.ID(), Deployment: deployment.ID(), StageName: pulumi.String("prod")}, in)
	if err != nil {
		return err
	}
	domain, err := apigateway.NewDomainName(ctx, "public", &apigateway.DomainNameArgs{DomainName: pulumi.String("api.example.com"), RegionalCertificateArn: certificate, SecurityPolicy: pulumi.String("TLS_1_2"),
		EndpointConfiguration: apigateway.DomainNameEndpointConfigurationArgs{Types: pulumi.String("REGIONAL")}}, in)
	if err != nil {
		return err
	}
	if _, err := apigateway.NewBasePathMapping(ctx, "public", &apigateway.BasePathMappingArgs{DomainName: domain.DomainName, RestApi: rest.ID(), StageName: stage.StageName}, in); err != nil {
		return err
	}
	if err := a.checks(ctx, in, domain); err != nil {
		return err
	}
	return a.permission(ctx, in)
}

func (a *edge) certificate(ctx *pulumi.Context, in pulumi.ResourceOption) (pulumi.StringOutput, error) {
	certificate, err := acm.NewCertificate(ctx, "public", &acm.CertificateArgs{DomainName: pulumi.String("api.example.com"), SubjectAlternativeNames: pulumi.StringArray{pulumi.String("blue.example.com")}, ValidationMethod: pulumi.String("DNS")}, in)
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	fqdns := pulumi.StringArray{}
	for i := range 2 {
		option := certificate.DomainValidationOptions.Index(pulumi.Int(i))
		record, err := r53.NewRecord(ctx, fmt.Sprint("validation-", i), &r53.RecordArgs{ZoneId: pulumi.String(a.zone), Name: option.ResourceRecordName().Elem(), Type: option.ResourceRecordType().Elem(), Ttl: pulumi.Int(300),
			Records: pulumi.StringArray{option.ResourceRecordValue().Elem()}}, in)
		if err != nil {
			return pulumi.StringOutput{}, err
		}
		fqdns = append(fqdns, record.Fqdn)
	}
	validation, err := acm.NewCertificateValidation(ctx, "public", &acm.CertificateValidationArgs{CertificateArn: certificate.Arn, ValidationRecordFqdns: fqdns}, in)
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	return validation.CertificateArn, nil
}

func (a *edge) checks(ctx *pulumi.Context, in pulumi.ResourceOption, domain *apigateway.DomainName) error {
	metric := func(id, name string) cw.MetricAlarmMetricQueryArgs {
		return cw.MetricAlarmMetricQueryArgs{Id: pulumi.String(id), ReturnData: pulumi.Bool(false), Metric: cw.MetricAlarmMetricQueryMetricArgs{Namespace: pulumi.String("AWS/DynamoDB"), MetricName: pulumi.String(name), Stat: pulumi.String("Sum"), Period: pulumi.Int(60),
			Dimensions: pulumi.StringMap{"TableName": pulumi.String("items")}}}
	}
	queries := cw.MetricAlarmMetricQueryArray{metric("r", "ReadThrottleEvents"), metric("w", "WriteThrottleEvents"),
		cw.MetricAlarmMetricQueryArgs{Id: pulumi.String("sum"), Expression: pulumi.String("FILL(r, 0) + FILL(w, 0)"), Label: pulumi.String("throttles"), ReturnData: pulumi.Bool(true)}}
	if _, err := cw.NewMetricAlarm(ctx, "throttles", &cw.MetricAlarmArgs{Name: pulumi.String("throttles"), MetricQueries: queries, EvaluationPeriods: pulumi.Int(3), DatapointsToAlarm: pulumi.Int(1), Threshold: pulumi.Float64(1),
		ComparisonOperator: pulumi.String("GreaterThanOrEqualToThreshold"), TreatMissingData: pulumi.String("notBreaching")}, in); err != nil {
		return err
	}
	endpoint, err := r53.NewHealthCheck(ctx, "endpoint", &r53.HealthCheckArgs{Type: pulumi.String("HTTPS"), Fqdn: pulumi.String("blue.example.com"), Port: pulumi.Int(443), ResourcePath: pulumi.String("/healthz"), EnableSni: pulumi.Bool(true),
		RequestInterval: pulumi.Int(30), FailureThreshold: pulumi.Int(3), Triggers: pulumi.StringMap{"threshold": pulumi.String(a.threshold)}, Tags: pulumi.StringMap{"Owner": pulumi.String("team")}}, in)
	if err != nil {
		return err
	}
	both, err := r53.NewHealthCheck(ctx, "record", &r53.HealthCheckArgs{Type: pulumi.String("CALCULATED"), ChildHealthThreshold: pulumi.Int(1), ChildHealthchecks: pulumi.StringArray{endpoint.ID()}}, in)
	if err != nil {
		return err
	}
	record, err := r53.NewRecord(ctx, "public", &r53.RecordArgs{ZoneId: pulumi.String(a.zone), Name: domain.DomainName, Type: pulumi.String("A"), SetIdentifier: pulumi.String("blue"), HealthCheckId: both.ID(),
		WeightedRoutingPolicies: r53.RecordWeightedRoutingPolicyArray{r53.RecordWeightedRoutingPolicyArgs{Weight: pulumi.Int(0)}},
		Aliases:                 r53.RecordAliasArray{r53.RecordAliasArgs{Name: domain.RegionalDomainName, ZoneId: domain.RegionalZoneId, EvaluateTargetHealth: pulumi.Bool(false)}}}, in)
	ctx.Export("fqdn", record.Fqdn)
	return err
}

// permission is AWS's one resource here that cannot change in place and that
// cannot exist twice.
func (a *edge) permission(ctx *pulumi.Context, in pulumi.ResourceOption) error {
	fn, err := lambda.NewFunction(ctx, "api", &lambda.FunctionArgs{Name: pulumi.String("api"), Runtime: pulumi.String("provided.al2023"), Handler: pulumi.String("bootstrap"), Code: pulumi.NewFileArchive(a.zip), Role: pulumi.String("arn:aws:iam::000000000000:role/api")}, in)
	if err != nil {
		return err
	}
	inputs := pulumi.Map{"action": pulumi.String("lambda:InvokeFunction"), "principal": pulumi.String("apigateway.amazonaws.com"), "function": fn.Name, "statementId": pulumi.String("stage"), "sourceArn": pulumi.String(a.source)}
	if a.mistake {
		inputs["sourceArm"] = pulumi.String(a.source)
	}
	var permission lambda.Permission
	return ctx.RegisterResource("aws:lambda/permission:Permission", "stage", inputs, &permission, in)
}

func TestEngineBuildsAnEdge(t *testing.T) {
	t.Parallel()
	a := &edge{account: &account{}, source: "arn:aws:execute-api:eu-west-1:000000000000:a/prod/*/*", threshold: "1"}
	open(t, a.program, a.account)
	ctx := context.Background()
	created := a.up()["create"]
	outputs, err := a.stack.Outputs(ctx)
	if err != nil || outputs["fqdn"].Value != "api.example.com" {
		t.Errorf("outputs %v, %v", outputs, err)
	}
	if diff := cmp.Diff(map[string]int{"same": created}, a.up()); diff != "" {
		t.Errorf("a second up: %s", diff)
	}
	refresh, err := a.stack.Refresh(ctx)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"same": created}, *refresh.Summary.ResourceChanges); diff != "" {
		t.Errorf("a refresh without drift: %s\n%s", diff, refresh.StdOut)
	}

	a.source = "arn:aws:execute-api:eu-west-1:000000000000:b/prod/*/*"
	a.threshold = "2"
	if got := a.up(); got["replace"] != 1 || got["update"] != 1 {
		t.Errorf("another source and trigger: %v, want one replacement and one update", got)
	}

	alarms := cwapi.New(cwapi.Options{Region: blue, BaseEndpoint: awssdk.String(a.url), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
	if _, err := alarms.DeleteAlarms(ctx, &cwapi.DeleteAlarmsInput{AlarmNames: []string{"throttles"}}); err != nil {
		t.Fatal(err)
	}
	if refresh, err = a.stack.Refresh(ctx); err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if got := *refresh.Summary.ResourceChanges; got["delete"] != 1 {
		t.Errorf("a refresh after an alarm was deleted by hand: %v", got)
	}
	if got := a.up(); got["create"] != 1 {
		t.Errorf("the alarm is not made again: %v", got)
	}

	a.mistake = true
	_, err = a.stack.Up(ctx)
	if err == nil || !strings.Contains(err.Error(), "sourceArm is not a property of this resource type") {
		t.Errorf("a property that does not exist: %v", errors.Unwrap(err))
	}
	a.mistake = false
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
}
