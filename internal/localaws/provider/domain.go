package provider

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
)

var domainKinds = map[string]kind{
	"aws:apigateway/domainName:DomainName": entry[domain]{spec[domain]{args: sdk.DomainNameArgs{}, state: sdk.DomainName{}, identity: []string{"domainName"}, create: createDomain, read: readDomain, update: updateDomain,
		remove: func(ctx context.Context, s *session, id string, _ domain) error {
			_, err := s.apigateway().DeleteDomainName(ctx, &api.DeleteDomainNameInput{DomainName: aws.String(id)})
			return err
		}}},
	"aws:apigateway/basePathMapping:BasePathMapping": entry[mapping]{spec[mapping]{args: sdk.BasePathMappingArgs{}, state: sdk.BasePathMapping{}, identity: []string{"domainName", "basePath"}, create: createMapping, read: readMapping, update: updateMapping,
		remove: func(ctx context.Context, s *session, _ string, p mapping) error {
			_, err := s.apigateway().DeleteBasePathMapping(ctx, &api.DeleteBasePathMappingInput{DomainName: aws.String(p.DomainName), BasePath: p.path()})
			return err
		}}},
}

type domain struct {
	DomainName             string                 `json:"domainName" aws:"replace"`
	RegionalCertificateArn string                 `json:"regionalCertificateArn" check:"required"`
	EndpointConfiguration  *endpointConfiguration `json:"endpointConfiguration" check:"required"`
	SecurityPolicy         string                 `json:"securityPolicy"`
	Tags                   map[string]string      `json:"tags"`
	Arn                    string                 `json:"arn" aws:"out"`
	RegionalDomainName     string                 `json:"regionalDomainName" aws:"out"`
	RegionalZoneID         string                 `json:"regionalZoneId" aws:"out"`
}

func createDomain(ctx context.Context, s *session, p domain) (string, error) {
	_, err := s.apigateway().CreateDomainName(ctx, &api.CreateDomainNameInput{DomainName: aws.String(p.DomainName), RegionalCertificateArn: aws.String(p.RegionalCertificateArn),
		EndpointConfiguration: p.EndpointConfiguration.aws(), SecurityPolicy: types.SecurityPolicy(p.SecurityPolicy), Tags: p.Tags})
	if err != nil {
		return "", err
	}
	return p.DomainName, nil
}

func readDomain(ctx context.Context, s *session, id string, p domain) (*domain, error) {
	out, err := s.apigateway().GetDomainName(ctx, &api.GetDomainNameInput{DomainName: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.DomainName, p.RegionalCertificateArn, p.SecurityPolicy, p.Tags = id, aws.ToString(out.RegionalCertificateArn), string(out.SecurityPolicy), out.Tags
	p.RegionalDomainName, p.RegionalZoneID = aws.ToString(out.RegionalDomainName), aws.ToString(out.RegionalHostedZoneId)
	p.EndpointConfiguration = p.EndpointConfiguration.read(out.EndpointConfiguration)
	p.Arn = "arn:aws:apigateway:" + s.region() + "::/domainnames/" + id
	return &p, nil
}

func updateDomain(ctx context.Context, s *session, id string, old, now domain) error {
	var patches []types.PatchOperation
	if old.RegionalCertificateArn != now.RegionalCertificateArn {
		patches = append(patches, replace("/regionalCertificateArn", now.RegionalCertificateArn))
	}
	if old.SecurityPolicy != now.SecurityPolicy && now.SecurityPolicy != "" {
		patches = append(patches, replace("/securityPolicy", now.SecurityPolicy))
	}
	if e := now.EndpointConfiguration; e != nil && old.EndpointConfiguration != nil && *e != *old.EndpointConfiguration {
		if e.Types != old.EndpointConfiguration.Types {
			patches = append(patches, replace("/endpointConfiguration/types/"+old.EndpointConfiguration.Types, e.Types))
		}
		if e.IPAddressType != old.EndpointConfiguration.IPAddressType && e.IPAddressType != "" {
			patches = append(patches, replace("/endpointConfiguration/ipAddressType", e.IPAddressType))
		}
	}
	if len(patches) > 0 {
		if _, err := s.apigateway().UpdateDomainName(ctx, &api.UpdateDomainNameInput{DomainName: aws.String(id), PatchOperations: patches}); err != nil {
			return err
		}
	}
	return s.apiTags(ctx, "/domainnames/"+id, old.Tags, now.Tags)
}

type mapping struct {
	DomainName string `json:"domainName" aws:"replace"`
	BasePath   string `json:"basePath" aws:"replace"`
	RestAPI    string `json:"restApi" check:"required"`
	StageName  string `json:"stageName"`
}

// path is AWS's word for no base path.
func (p mapping) path() *string {
	if p.BasePath == "" {
		return aws.String("(none)")
	}
	return aws.String(p.BasePath)
}

func createMapping(ctx context.Context, s *session, p mapping) (string, error) {
	// As the real provider: the stage may not have arrived everywhere yet.
	var last error
	err := s.until(ctx, "base path mapping of "+p.DomainName, 2*time.Minute, func() (bool, error) {
		_, last = s.apigateway().CreateBasePathMapping(ctx, &api.CreateBasePathMappingInput{DomainName: aws.String(p.DomainName), BasePath: optional(p.BasePath), RestApiId: aws.String(p.RestAPI), Stage: optional(p.StageName)})
		if codeOf(last) == "BadRequestException" && strings.Contains(last.Error(), "Invalid stage identifier") {
			return false, nil
		}
		return true, last
	})
	if err != nil {
		return "", errors.Join(err, last)
	}
	return p.DomainName + "/" + p.BasePath, nil
}

func readMapping(ctx context.Context, s *session, _ string, p mapping) (*mapping, error) {
	out, err := s.apigateway().GetBasePathMapping(ctx, &api.GetBasePathMappingInput{DomainName: aws.String(p.DomainName), BasePath: p.path()})
	if err != nil {
		return nil, err
	}
	p.RestAPI, p.StageName = aws.ToString(out.RestApiId), aws.ToString(out.Stage)
	return &p, nil
}

func updateMapping(ctx context.Context, s *session, _ string, old, now mapping) error {
	var patches []types.PatchOperation
	if old.StageName != now.StageName {
		patches = append(patches, replace("/stage", now.StageName))
	}
	if old.RestAPI != now.RestAPI {
		patches = append(patches, replace("/restapiId", now.RestAPI))
	}
	_, err := s.apigateway().UpdateBasePathMapping(ctx, &api.UpdateBasePathMappingInput{DomainName: aws.String(now.DomainName), BasePath: now.path(), PatchOperations: patches})
	return err
}
