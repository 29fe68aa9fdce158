package infra

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/topology"
)

// restAPI is the cell's API, the deployment its stage serves, and the stage.
type restAPI struct {
	api        *apigateway.RestApi
	deployment *apigateway.Deployment
	stage      *apigateway.Stage
}

// binaryMedia has every body of a request reach the function in base64, and the
// bodies that a function returns in base64 leave as the bytes they were.
// Without it API Gateway takes all of them for text in UTF-8, which damages what
// is none.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/lambda-proxy-binary-media.html
var binaryMedia = []string{"*/*"}

// restAPI is a proxy of everything to one integration, whose function is the
// stage variable fn: base and canary differ by that variable only.
func (c *cell) restAPI() error {
	api, err := apigateway.NewRestApi(c.ctx, "api", &apigateway.RestApiArgs{
		Name:                  pulumi.String(c.Config.Name("api")),
		Description:           pulumi.String("tapctl " + string(c.Side) + " cell"),
		EndpointConfiguration: &apigateway.RestApiEndpointConfigurationArgs{Types: pulumi.String("REGIONAL")},
		// Everybody, the probes included, comes through the custom domains.
		DisableExecuteApiEndpoint: pulumi.Bool(true),
		BinaryMediaTypes:          pulumi.ToStringArray(binaryMedia),
		Tags:                      c.tags("public API"),
	}, c.in()...)
	if err != nil {
		return err
	}
	proxy, err := apigateway.NewResource(c.ctx, "proxy", &apigateway.ResourceArgs{
		RestApi: api.ID(), ParentId: api.RootResourceId, PathPart: pulumi.String("{proxy+}"),
	}, c.in()...)
	if err != nil {
		return err
	}
	uri := fmt.Sprintf("arn:aws:apigateway:%s:lambda:path/2015-03-31/functions/arn:aws:lambda:%s:%s:function:${stageVariables.fn}/invocations",
		c.Region(), c.Region(), c.Account)
	var parts []pulumi.Resource
	for name, resource := range map[string]pulumi.StringInput{"root": api.RootResourceId, "proxy": proxy.ID()} {
		made, err := c.anyMethod(api, name, resource, uri)
		if err != nil {
			return err
		}
		parts = append(parts, made...)
	}
	checkers, err := c.checkers()
	if err != nil {
		return err
	}
	policy, err := c.accessPolicy(api, checkers)
	if err != nil {
		return err
	}
	parts = append(parts, policy...)
	// A deployment is a snapshot: it must be made anew when what it holds
	// changes, the resource policy included.
	deployment, err := apigateway.NewDeployment(c.ctx, "deployment", &apigateway.DeploymentArgs{
		RestApi:  api.ID(),
		Triggers: pulumi.StringMap{"definition": c.definitionHash(uri, checkers)},
	}, c.in(pulumi.DependsOn(parts))...)
	if err != nil {
		return err
	}
	c.rest = &restAPI{api: api, deployment: deployment}
	c.ctx.Export("rest_api", api.ID())
	return nil
}

func (c *cell) anyMethod(api *apigateway.RestApi, name string, resource pulumi.StringInput, uri string) ([]pulumi.Resource, error) {
	method, err := apigateway.NewMethod(c.ctx, name, &apigateway.MethodArgs{
		RestApi: api.ID(), ResourceId: resource, HttpMethod: pulumi.String("ANY"), Authorization: pulumi.String("NONE"),
	}, c.in()...)
	if err != nil {
		return nil, err
	}
	integration, err := apigateway.NewIntegration(c.ctx, name, &apigateway.IntegrationArgs{
		RestApi: api.ID(), ResourceId: resource, HttpMethod: method.HttpMethod,
		Type: pulumi.String("AWS_PROXY"), IntegrationHttpMethod: pulumi.String("POST"), Uri: pulumi.String(uri),
	}, c.in()...)
	return []pulumi.Resource{method, integration}, err
}

// accessPolicy lets allowed_cidr in, and Route 53's checkers to the health
// path alone: locked out they would call both sides unhealthy, which Route 53
// answers as if both were healthy. ARNs are written in full: API Gateway
// expands the execute-api:/ shorthand on save, which would differ from the
// program for ever after.
func (c *cell) accessPolicy(api *apigateway.RestApi, checkers []string) ([]pulumi.Resource, error) {
	if c.Config.OpenToAll() {
		return nil, nil
	}
	document := api.ExecutionArn.ApplyT(func(arn string) (string, error) {
		everyone := map[string]any{"AWS": "*"}
		from := func(cidr []string) map[string]any {
			return map[string]any{"IpAddress": map[string]any{"aws:SourceIp": cidr}}
		}
		return policyDocument(
			statement{Sid: "Allowed", Effect: "Allow", Principal: everyone, Action: []string{"execute-api:Invoke"},
				Resource: []string{arn + "/*"}, Condition: from(c.Config.AllowedCIDR)},
			statement{Sid: "HealthPath", Effect: "Allow", Principal: everyone, Action: []string{"execute-api:Invoke"},
				Resource: []string{arn + "/" + StageName + "/GET" + c.Config.Function.HealthPath}, Condition: from(checkers)},
		)
	}).(pulumi.StringOutput)
	policy, err := apigateway.NewRestApiPolicy(c.ctx, "allowed-cidr", &apigateway.RestApiPolicyArgs{
		RestApiId: api.ID(), Policy: document,
	}, c.in()...)
	return []pulumi.Resource{policy}, err
}

// checkers are where Route 53's health checkers come from. AWS publishes the
// ranges and changes them now and then: a deploy reads them again.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/route-53-ip-addresses.html
func (c *cell) checkers() ([]string, error) {
	if c.Config.OpenToAll() || len(c.Config.Domain.CheckerCIDR) > 0 {
		return c.Config.Domain.CheckerCIDR, nil
	}
	ranges, err := aws.GetIpRanges(c.ctx, &aws.GetIpRangesArgs{Services: []string{"route53_healthchecks"}}, pulumi.Provider(c.provider))
	if err != nil {
		return nil, fmt.Errorf("ask for the ranges of Route 53's health checkers (or name them in domain.checker_cidr): %w", err)
	}
	checkers := slices.Clone(ranges.CidrBlocks)
	if c.Config.Domain.Dualstack {
		checkers = append(checkers, ranges.Ipv6CidrBlocks...)
	}
	if len(checkers) == 0 {
		return nil, errors.New("AWS publishes no range of Route 53's health checkers: name them in domain.checker_cidr")
	}
	slices.Sort(checkers)
	return checkers, nil
}

// definitionHash changes with whatever a deployment holds.
func (c *cell) definitionHash(uri string, checkers []string) pulumi.String {
	hash := sha256.New()
	// The parts cannot fail to encode: they are strings.
	_ = json.NewEncoder(hash).Encode([]any{"ANY /", "ANY /{proxy+}", uri, c.Config.OpenToAll(), c.Config.AllowedCIDR, checkers, c.Config.Function.HealthPath, binaryMedia})
	return pulumi.String(hex.EncodeToString(hash.Sum(nil))[:16])
}

// AccessLog is the log group of a cell's requests; canary requests are in its
// twin, topology.CanaryLog.
func AccessLog(c config.Config) string { return "/tapctl/" + c.Name("api") + "/access" }

// stage is prod, with the canary. Every function alias that fn can name may be
// invoked by this stage: a missing permission would only show once traffic
// reached it.
func (c *cell) stage() error {
	access := AccessLog(c.Config)
	group, err := c.logGroup("access", access)
	if err != nil {
		return err
	}
	// API Gateway writes canary requests to a group of this name and would
	// create it without retention and key, so that ours could not be made: it is
	// there before the stage.
	canary, err := c.logGroup("access-canary", topology.CanaryLog(access))
	if err != nil {
		return err
	}
	args := &apigateway.StageArgs{
		RestApi: c.rest.api.ID(), Deployment: c.rest.deployment.ID(), StageName: pulumi.String(StageName),
		Variables:         pulumi.StringMap{"fn": pulumi.String(c.fn())},
		AccessLogSettings: &apigateway.StageAccessLogSettingsArgs{DestinationArn: group.Arn, Format: pulumi.String(topology.AccessLogFormat)},
		Tags:              c.tags("public API"),
	}
	if c.Side == topology.Green {
		args.CanarySettings = &apigateway.StageCanarySettingsArgs{
			DeploymentId:           c.rest.deployment.ID(),
			PercentTraffic:         pulumi.Float64(c.canaryPercent()),
			StageVariableOverrides: pulumi.StringMap{"fn": pulumi.String(c.api.name + ":next")},
			UseStageCache:          pulumi.Bool(false),
		}
	}
	if c.rest.stage, err = apigateway.NewStage(c.ctx, "prod", args, c.in(pulumi.DependsOn([]pulumi.Resource{canary}))...); err != nil {
		return err
	}
	for _, fn := range []*function{c.api, c.forward} {
		if fn == nil {
			continue
		}
		if err := c.permissions(fn); err != nil {
			return err
		}
	}
	return nil
}

func (c *cell) permissions(fn *function) error {
	for name, alias := range fn.aliases {
		if _, err := lambda.NewPermission(c.ctx, fn.name+"-"+name, &lambda.PermissionArgs{
			Action: pulumi.String("lambda:InvokeFunction"), Principal: pulumi.String("apigateway.amazonaws.com"),
			Function: fn.lambda.Name, Qualifier: alias.Name, StatementId: pulumi.String("stage-prod"),
			SourceArn: pulumi.Sprintf("%s/%s/*/*", c.rest.api.ExecutionArn, StageName),
		}, c.in()...); err != nil {
			return err
		}
	}
	return nil
}

// domains are the public name, which Route 53 splits between the regions, and
// the region's own name, which probes and health checks use.
func (c *cell) domains() error {
	endpoint := &apigateway.DomainNameEndpointConfigurationArgs{Types: pulumi.String("REGIONAL")}
	if c.Config.Domain.Dualstack {
		endpoint.IpAddressType = pulumi.String("dualstack")
	}
	for resource, name := range map[string]string{"public": c.Config.Domain.Name, "probe": c.Config.ProbeName(c.Region())} {
		domain, err := apigateway.NewDomainName(c.ctx, resource, &apigateway.DomainNameArgs{
			DomainName:             pulumi.String(name),
			RegionalCertificateArn: pulumi.String(c.Base.CertificateARN[c.Region()]),
			EndpointConfiguration:  endpoint,
			SecurityPolicy:         pulumi.String("TLS_1_2"),
			Tags:                   c.tags(resource + " name"),
		}, c.in()...)
		if err != nil {
			return err
		}
		// AWS makes no mapping before its stage and deletes no stage before its
		// mappings.
		if _, err := apigateway.NewBasePathMapping(c.ctx, resource, &apigateway.BasePathMappingArgs{
			DomainName: domain.DomainName, RestApi: c.rest.api.ID(), StageName: pulumi.String(StageName),
		}, c.in(pulumi.DependsOn([]pulumi.Resource{c.rest.stage}))...); err != nil {
			return err
		}
		c.ctx.Export(resource+"_domain", domain.RegionalDomainName)
		c.ctx.Export(resource+"_zone", domain.RegionalZoneId)
	}
	return nil
}
