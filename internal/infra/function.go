package infra

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/topology"
)

// function is one Lambda function with its aliases.
type function struct {
	name    string
	lambda  *lambda.Function
	aliases map[string]*lambda.Alias
}

// application is the user's own code: aliases live (promoted) and next (the
// candidate, always the newest version).
func (c *cell) application() error {
	name := c.Config.Name("api")
	role, err := c.role("api", c.applicationStatements(name))
	if err != nil {
		return err
	}
	fn, err := c.function("api", c.API, role, c.Config.Function.Timeout, map[string]string{
		"TABLE_NAME": c.Base.TableName, "TAPCTL_VERSION": c.API.Version, "TAPCTL_SIDE": string(c.Side),
		// The ARN, never the value: whoever may read the function's
		// configuration could read it there.
		"SECRET_ARN":         c.Base.SecretARN[c.Region()],
		"SECRET_TTL_SECONDS": strconv.Itoa(int(c.Config.Function.SecretTTL.Seconds())),
	})
	if err != nil {
		return err
	}
	c.api = fn
	c.ctx.Export("version", pulumi.String(c.API.Version))
	live := fn.lambda.Version
	if c.Live.Exists {
		live = pulumi.String(c.Live.LiveVersion).ToStringOutput()
	}
	if err := c.alias(fn, "live", live); err != nil {
		return err
	}
	return c.alias(fn, "next", fn.lambda.Version)
}

// forwardTimeout is as long as API Gateway waits: whatever blue may take, its
// answer reaches the user. function.timeout is about the application.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
const forwardTimeout = 29 * time.Second

// forwarder exists in green only and may call blue's live version only; where
// blue is external it calls nothing in this account.
func (c *cell) forwarder() error {
	if c.Side != topology.Green {
		return nil
	}
	name := c.Config.Name("forward")
	rights := []statement{c.logStatement(name)}
	env := map[string]string{"TAPCTL_VERSION": c.Forward.Version, "TAPCTL_SIDE": string(c.Side)}
	switch external := c.Config.Source.External; {
	case external.URL != "":
		env["FORWARD_URL"] = external.URL
	case external.AliasName != "":
		// As a user of blue does: TLS and Host under the public name, to where
		// blue's record leads.
		env["FORWARD_URL"], env["FORWARD_CONNECT"] = "https://"+c.Config.Domain.Name, external.AliasName
	default:
		rights = append(rights, statement{Sid: "Blue", Effect: "Allow", Action: []string{"lambda:InvokeFunction"}, Resource: []string{c.ForwardTarget()}})
		env["FORWARD_FUNCTION_ARN"] = c.ForwardTarget()
	}
	role, err := c.role("forward", rights)
	if err != nil {
		return err
	}
	fn, err := c.function("forward", c.Forward, role, forwardTimeout, env)
	if err != nil {
		return err
	}
	c.forward = fn
	return c.alias(fn, "live", fn.lambda.Version)
}

// applicationStatements are the rights of the user's code: item actions on one
// table, its own log streams, the table's key through DynamoDB alone, and one
// secret.
func (c *cell) applicationStatements(name string) []statement {
	table := fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", c.Region(), c.Account, c.Base.TableName)
	statements := []statement{
		{Sid: "Items", Effect: "Allow", Resource: []string{table, table + "/index/*"}, Action: []string{
			"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query",
			"dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem",
		}},
		c.logStatement(name),
	}
	if key := c.tableKey(); key != "" {
		// DynamoDB wants the permission to be independent of the region, hence
		// the wildcard in kms:ViaService.
		// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
		statements = append(statements, statement{Sid: "TableKey", Effect: "Allow", Resource: []string{key},
			Action:    []string{"kms:Decrypt", "kms:Encrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"},
			Condition: map[string]any{"StringLike": map[string]any{"kms:ViaService": "dynamodb.*.amazonaws.com"}}})
	}
	return append(statements, secretStatements(c.Region(), c.Base.SecretARN[c.Region()], c.Base.KeyARN[c.Region()])...)
}

// tableKey is the customer key of this region's copy of the table, "" where an
// adopted table has none.
func (c *cell) tableKey() string {
	switch adopted := c.Adopted.Table; {
	case adopted != nil && c.Side == topology.Blue:
		return adopted.KeyARN
	case adopted != nil && adopted.HasReplica:
		return adopted.ReplicaKeyARN
	case adopted != nil && adopted.KeyARN == "":
		return ""
	}
	return c.Base.KeyARN[c.Region()]
}

func (c *cell) logStatement(function string) statement {
	return statement{Sid: "Logs", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
		Resource: []string{fmt.Sprintf("arn:aws:logs:%s:%s:log-group:/aws/lambda/%s:*", c.Region(), c.Account, function)}}
}

// role is a Lambda role of this region: IAM is global, so its name carries it.
func (c *cell) role(service string, rights []statement) (*iam.Role, error) {
	trust, err := trustPolicy("lambda.amazonaws.com")
	if err != nil {
		return nil, err
	}
	role, err := iam.NewRole(c.ctx, service, &iam.RoleArgs{
		Name:             pulumi.String(c.Config.RegionalName(service, c.Region())),
		AssumeRolePolicy: pulumi.String(trust),
		Description:      pulumi.String("execution role of " + c.Config.Name(service) + " in " + c.Region()),
		Tags:             c.tags("execution role of " + service),
	}, c.in()...)
	if err != nil {
		return nil, err
	}
	document, err := policyDocument(rights...)
	if err != nil {
		return nil, err
	}
	_, err = iam.NewRolePolicy(c.ctx, service, &iam.RolePolicyArgs{
		Name: pulumi.String(service), Role: role.Name, Policy: pulumi.String(document),
	}, c.in()...)
	return role, err
}

func (c *cell) function(service string, artifact Artifact, role *iam.Role, timeout time.Duration, env map[string]string) (*function, error) {
	name := c.Config.Name(service)
	// Made before the function, with retention and key: Lambda would create
	// one that keeps everything for ever, and needs no right to do so here.
	group, err := c.logGroup(service, "/aws/lambda/"+name)
	if err != nil {
		return nil, err
	}
	fn, err := lambda.NewFunction(c.ctx, service, &lambda.FunctionArgs{
		Name:          pulumi.String(name),
		Runtime:       pulumi.String("provided.al2023"),
		Handler:       pulumi.String("bootstrap"),
		Architectures: pulumi.StringArray{pulumi.String(c.Config.Function.Architecture)},
		Code:          pulumi.NewFileArchive(artifact.Path),
		Role:          role.Arn,
		MemorySize:    pulumi.Int(c.Config.Function.MemoryMB),
		Timeout:       pulumi.Int(int(timeout.Seconds())),
		Publish:       pulumi.Bool(true),
		Environment:   &lambda.FunctionEnvironmentArgs{Variables: toStringMap(env)},
		Tags:          c.tags(service),
	}, c.in(pulumi.DependsOn([]pulumi.Resource{group}))...)
	if err != nil {
		return nil, err
	}
	return &function{name: name, lambda: fn, aliases: map[string]*lambda.Alias{}}, nil
}

func (c *cell) logGroup(resource, name string) (*cloudwatch.LogGroup, error) {
	return cloudwatch.NewLogGroup(c.ctx, "logs-"+resource, &cloudwatch.LogGroupArgs{
		Name:            pulumi.String(name),
		RetentionInDays: pulumi.Int(c.Config.Logs.RetentionDays),
		KmsKeyId:        pulumi.String(c.Base.KeyARN[c.Region()]),
		Tags:            c.tags("logs of " + resource),
	}, c.in()...)
}

func (c *cell) alias(fn *function, name string, version pulumi.StringInput) error {
	alias, err := lambda.NewAlias(c.ctx, fn.name+"-"+name, &lambda.AliasArgs{
		Name: pulumi.String(name), FunctionName: fn.lambda.Name, FunctionVersion: version,
	}, c.in()...)
	fn.aliases[name] = alias
	return err
}
