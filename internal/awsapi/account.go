package awsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// preflightTimeout bounds the first calls, so that a wrong endpoint or dead
// credentials are told in seconds and not after a provider's minutes of tries.
const preflightTimeout = 8 * time.Second

// Account asks who the credentials belong to.
func (c *Clients) Account(ctx context.Context, region string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	out, err := c.STS(region).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.Options) { o.RetryMaxAttempts = 2 })
	if err != nil {
		if kind := classify(err); kind == OtherFailed && code(err) == "" {
			return "", &Trouble{Step: "ask for the caller's identity", Kind: NoIdentity, Cause: err}
		}
		return "", trouble("ask for the caller's identity", err)
	}
	return aws.ToString(out.Account), nil
}

// ZoneID finds the public hosted zone by its name.
func (c *Clients) ZoneID(ctx context.Context, zone string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	out, err := c.Route53().ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{DNSName: aws.String(zone)})
	if err != nil {
		return "", trouble("find hosted zone "+zone, err)
	}
	for _, z := range out.HostedZones {
		private := z.Config != nil && z.Config.PrivateZone
		if strings.TrimSuffix(aws.ToString(z.Name), ".") == zone && !private {
			return strings.TrimPrefix(aws.ToString(z.Id), "/hostedzone/"), nil
		}
	}
	return "", fmt.Errorf("find hosted zone %s: this account has no public zone of that name; create it, or correct domain.zone", zone)
}

// LiveCell reads what a cell's switches stand at, for deploy to put back. api
// is the cell's REST API, "" where there is none yet.
func (c *Clients) LiveCell(ctx context.Context, region, api, function string) (infra.LiveCell, error) {
	if api == "" {
		return infra.LiveCell{}, nil
	}
	stage, err := c.APIGateway(region).GetStage(ctx, &apigateway.GetStageInput{RestApiId: &api, StageName: aws.String(infra.StageName)})
	if code(err) == "NotFoundException" {
		return infra.LiveCell{}, nil
	}
	if err != nil {
		return infra.LiveCell{}, trouble("read stage "+infra.StageName+" in "+region, err)
	}
	alias, err := c.Lambda(region).GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &function, Name: aws.String("live")})
	if code(err) == "ResourceNotFoundException" {
		return infra.LiveCell{}, nil
	}
	if err != nil {
		return infra.LiveCell{}, trouble("read alias "+function+":live in "+region, err)
	}
	live := infra.LiveCell{Exists: true, Fn: stage.Variables["fn"], LiveVersion: aws.ToString(alias.FunctionVersion)}
	if stage.CanarySettings != nil {
		live.Canary, live.CanaryPercent = true, stage.CanarySettings.PercentTraffic
	}
	return live, nil
}

// LiveEdge reads the weights, for deploy to put back.
func (c *Clients) LiveEdge(ctx context.Context, zoneID, name string) (infra.LiveEdge, error) {
	group, err := c.weighted(ctx, zoneID, name, []string{"A"})
	if errors.Is(err, errNoRecords) {
		return infra.LiveEdge{}, nil
	}
	if err != nil {
		return infra.LiveEdge{}, err
	}
	live := infra.LiveEdge{Exists: true}
	for _, record := range group {
		weight := int(aws.ToInt64(record.Weight))
		switch topology.Side(aws.ToString(record.SetIdentifier)) {
		case topology.Blue:
			live.BlueWeight = weight
		case topology.Green:
			live.GreenWeight = weight
		default:
			return infra.LiveEdge{}, fmt.Errorf("read weights of %s: a third record %q shares the name", name, aws.ToString(record.SetIdentifier))
		}
	}
	return live, nil
}

// RegionalDomain is where an alias record for the custom domain leads.
func (c *Clients) RegionalDomain(ctx context.Context, region, name string) (infra.RegionalDomain, error) {
	out, err := c.APIGateway(region).GetDomainName(ctx, &apigateway.GetDomainNameInput{DomainName: &name})
	if err != nil {
		return infra.RegionalDomain{}, trouble("read custom domain "+name+" in "+region, err)
	}
	return infra.RegionalDomain{Name: aws.ToString(out.RegionalDomainName), ZoneID: aws.ToString(out.RegionalHostedZoneId)}, nil
}

// LoggingRole is the ARN of the role that the account's API Gateway logs with in
// the region, "" where none is set or the one that is has gone. One that the
// caller may not look at is taken to be there.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
func (c *Clients) LoggingRole(ctx context.Context, region string) (string, error) {
	step := "read API Gateway's logging role in " + region
	out, err := c.APIGateway(region).GetAccount(ctx, &apigateway.GetAccountInput{})
	if err != nil {
		return "", trouble(step, err)
	}
	arn := aws.ToString(out.CloudwatchRoleArn)
	if arn == "" {
		return "", nil
	}
	name := arn[strings.LastIndex(arn, "/")+1:]
	switch _, err := c.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: &name}); {
	case err == nil, code(err) == "AccessDenied", code(err) == "AccessDeniedException":
		return arn, nil
	case code(err) == "NoSuchEntity":
		return "", nil
	default:
		return "", trouble(step, err)
	}
}
