package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
)

var apiKinds = map[string]kind{
	"aws:apigateway/account:Account": entry[apiAccount]{spec[apiAccount]{args: sdk.AccountArgs{}, state: sdk.Account{}, create: func(ctx context.Context, s *session, p apiAccount) (string, error) {
		return "api-gateway-account", setAccountRole(ctx, s, p)
	}, read: func(ctx context.Context, s *session, _ string, p apiAccount) (*apiAccount, error) {
		out, err := s.apigateway().GetAccount(ctx, &api.GetAccountInput{})
		if err != nil {
			return nil, err
		}
		p.CloudwatchRoleArn, p.APIKeyVersion, p.Features = aws.ToString(out.CloudwatchRoleArn), aws.ToString(out.ApiKeyVersion), out.Features
		return &p, nil
	}, update: func(ctx context.Context, s *session, _ string, _, now apiAccount) error {
		return setAccountRole(ctx, s, now)
	},
		// The account's setting is shared by everything in the region: as the
		// real provider does, deleting leaves it.
		remove: func(context.Context, *session, string, apiAccount) error { return nil }}},
	"aws:apigateway/restApi:RestApi": entry[restAPI]{spec[restAPI]{args: sdk.RestApiArgs{}, state: sdk.RestApi{}, create: createRestAPI, read: readRestAPI, update: updateRestAPI,
		remove: func(ctx context.Context, s *session, id string, _ restAPI) error {
			_, err := s.apigateway().DeleteRestApi(ctx, &api.DeleteRestApiInput{RestApiId: aws.String(id)})
			return err
		}}},
	"aws:apigateway/restApiPolicy:RestApiPolicy": entry[restAPIPolicy]{spec[restAPIPolicy]{args: sdk.RestApiPolicyArgs{}, state: sdk.RestApiPolicy{}, identity: []string{"restApiId"},
		create: func(ctx context.Context, s *session, p restAPIPolicy) (string, error) {
			return p.RestAPIID, patchAPI(ctx, s, p.RestAPIID, replace("/policy", p.Policy))
		},
		read: func(ctx context.Context, s *session, id string, p restAPIPolicy) (*restAPIPolicy, error) {
			out, err := s.apigateway().GetRestApi(ctx, &api.GetRestApiInput{RestApiId: aws.String(id)})
			if err != nil || aws.ToString(out.Policy) == "" {
				return nil, err
			}
			p.Policy = samePolicy(unescapedPolicy(aws.ToString(out.Policy)), p.Policy)
			return &p, nil
		},
		update: func(ctx context.Context, s *session, id string, _, now restAPIPolicy) error {
			return patchAPI(ctx, s, id, replace("/policy", now.Policy))
		},
		remove: func(ctx context.Context, s *session, id string, _ restAPIPolicy) error {
			return patchAPI(ctx, s, id, replace("/policy", ""))
		}}},
	"aws:apigateway/resource:Resource": entry[apiResource]{spec[apiResource]{args: sdk.ResourceArgs{}, state: sdk.Resource{}, identity: []string{"restApi", "parentId", "pathPart"}, create: func(ctx context.Context, s *session, p apiResource) (string, error) {
		out, err := s.apigateway().CreateResource(ctx, &api.CreateResourceInput{RestApiId: aws.String(p.RestAPI), ParentId: aws.String(p.ParentID), PathPart: aws.String(p.PathPart)})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Id), nil
	}, read: func(ctx context.Context, s *session, id string, p apiResource) (*apiResource, error) {
		out, err := s.apigateway().GetResource(ctx, &api.GetResourceInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(id)})
		if err != nil {
			return nil, err
		}
		p.ParentID, p.PathPart, p.Path = aws.ToString(out.ParentId), aws.ToString(out.PathPart), aws.ToString(out.Path)
		return &p, nil
	}, remove: func(ctx context.Context, s *session, id string, p apiResource) error {
		_, err := s.apigateway().DeleteResource(ctx, &api.DeleteResourceInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(id)})
		return err
	}}},
	"aws:apigateway/method:Method":           entry[method]{spec[method]{args: sdk.MethodArgs{}, state: sdk.Method{}, identity: []string{"restApi", "resourceId", "httpMethod"}, create: createMethod, read: readMethod, remove: removeMethod}},
	"aws:apigateway/integration:Integration": entry[integration]{spec[integration]{args: sdk.IntegrationArgs{}, state: sdk.Integration{}, identity: []string{"restApi", "resourceId", "httpMethod"}, create: createIntegration, read: readIntegration, remove: removeIntegration}},
}

func replace(path, value string) types.PatchOperation {
	return types.PatchOperation{Op: types.OpReplace, Path: aws.String(path), Value: aws.String(value)}
}

func remove(path string) types.PatchOperation {
	return types.PatchOperation{Op: types.OpRemove, Path: aws.String(path)}
}

// pathKey escapes a map key in a patch path (RFC 6901).
func pathKey(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// mapPatches turn one map below path into the other.
func mapPatches(path string, old, now map[string]string) []types.PatchOperation {
	var out []types.PatchOperation
	_ = retag(old, now, func(set map[string]string) error {
		for k, v := range set {
			out = append(out, replace(path+"/"+pathKey(k), v))
		}
		return nil
	}, func(keys []string) error {
		for _, k := range keys {
			out = append(out, remove(path+"/"+pathKey(k)))
		}
		return nil
	})
	return out
}

func (s *session) apiTags(ctx context.Context, path string, old, now map[string]string) error {
	c, arn := s.apigateway(), aws.String("arn:aws:apigateway:"+s.region()+"::"+path)
	return retag(old, now, func(set map[string]string) error {
		_, err := c.TagResource(ctx, &api.TagResourceInput{ResourceArn: arn, Tags: set})
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &api.UntagResourceInput{ResourceArn: arn, TagKeys: keys})
		return err
	})
}

type apiAccount struct {
	CloudwatchRoleArn string   `json:"cloudwatchRoleArn"`
	APIKeyVersion     string   `json:"apiKeyVersion" aws:"out"`
	Features          []string `json:"features" aws:"out"`
}

// setAccountRole retries: a role that was just made is not yet assumable.
func setAccountRole(ctx context.Context, s *session, p apiAccount) error {
	var last error
	err := s.until(ctx, "API Gateway's logging role in "+s.region(), 2*time.Minute, func() (bool, error) {
		_, last = s.apigateway().UpdateAccount(ctx, &api.UpdateAccountInput{PatchOperations: []types.PatchOperation{replace("/cloudwatchRoleArn", p.CloudwatchRoleArn)}})
		if codeOf(last) == "BadRequestException" && strings.Contains(last.Error(), "ole ARN") {
			return false, nil
		}
		return true, last
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

type endpointConfiguration struct {
	Types         string `json:"types,omitempty"`
	IPAddressType string `json:"ipAddressType,omitempty"`
}

func (e *endpointConfiguration) aws() *types.EndpointConfiguration {
	if e == nil {
		return nil
	}
	return &types.EndpointConfiguration{Types: []types.EndpointType{types.EndpointType(e.Types)}, IpAddressType: types.IpAddressType(e.IPAddressType)}
}

// read is what AWS says, without a default the program did not ask for.
func (e *endpointConfiguration) read(live *types.EndpointConfiguration) *endpointConfiguration {
	if live == nil || len(live.Types) == 0 {
		return e
	}
	out := &endpointConfiguration{Types: string(live.Types[0])}
	if e == nil || e.IPAddressType != "" {
		out.IPAddressType = string(live.IpAddressType)
	}
	return out
}

type restAPI struct {
	Name                      string                 `json:"name" check:"required"`
	Description               string                 `json:"description"`
	EndpointConfiguration     *endpointConfiguration `json:"endpointConfiguration" aws:"replace"`
	DisableExecuteAPIEndpoint bool                   `json:"disableExecuteApiEndpoint"`
	BinaryMediaTypes          []string               `json:"binaryMediaTypes"`
	Tags                      map[string]string      `json:"tags"`
	Arn                       string                 `json:"arn" aws:"out"`
	ExecutionArn              string                 `json:"executionArn" aws:"out"`
	RootResourceID            string                 `json:"rootResourceId" aws:"out"`
	CreatedDate               string                 `json:"createdDate" aws:"out"`
	APIKeySource              string                 `json:"apiKeySource" aws:"out"`
}

func createRestAPI(ctx context.Context, s *session, p restAPI) (string, error) {
	out, err := s.apigateway().CreateRestApi(ctx, &api.CreateRestApiInput{Name: aws.String(p.Name), Description: optional(p.Description), EndpointConfiguration: p.EndpointConfiguration.aws(),
		DisableExecuteApiEndpoint: p.DisableExecuteAPIEndpoint, BinaryMediaTypes: p.BinaryMediaTypes, Tags: p.Tags})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Id), nil
}

func readRestAPI(ctx context.Context, s *session, id string, p restAPI) (*restAPI, error) {
	out, err := s.apigateway().GetRestApi(ctx, &api.GetRestApiInput{RestApiId: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.Name, p.Description, p.DisableExecuteAPIEndpoint, p.Tags = aws.ToString(out.Name), aws.ToString(out.Description), out.DisableExecuteApiEndpoint, out.Tags
	p.EndpointConfiguration = p.EndpointConfiguration.read(out.EndpointConfiguration)
	p.BinaryMediaTypes, p.RootResourceID, p.APIKeySource = sameSet(out.BinaryMediaTypes, p.BinaryMediaTypes), aws.ToString(out.RootResourceId), string(out.ApiKeySource)
	p.CreatedDate = aws.ToTime(out.CreatedDate).UTC().Format(time.RFC3339)
	account, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	p.Arn = "arn:aws:apigateway:" + s.region() + "::/restapis/" + id
	p.ExecutionArn = "arn:aws:execute-api:" + s.region() + ":" + account + ":" + id
	return &p, nil
}

func patchAPI(ctx context.Context, s *session, id string, operations ...types.PatchOperation) error {
	if len(operations) == 0 {
		return nil
	}
	_, err := s.apigateway().UpdateRestApi(ctx, &api.UpdateRestApiInput{RestApiId: aws.String(id), PatchOperations: operations})
	return err
}

func updateRestAPI(ctx context.Context, s *session, id string, old, now restAPI) error {
	var patches []types.PatchOperation
	if old.Name != now.Name {
		patches = append(patches, replace("/name", now.Name))
	}
	if old.Description != now.Description {
		patches = append(patches, replace("/description", now.Description))
	}
	if old.DisableExecuteAPIEndpoint != now.DisableExecuteAPIEndpoint {
		patches = append(patches, replace("/disableExecuteApiEndpoint", fmt.Sprint(now.DisableExecuteAPIEndpoint)))
	}
	for _, media := range old.BinaryMediaTypes {
		if !slices.Contains(now.BinaryMediaTypes, media) {
			patches = append(patches, remove("/binaryMediaTypes/"+pathKey(media)))
		}
	}
	for _, media := range now.BinaryMediaTypes {
		if !slices.Contains(old.BinaryMediaTypes, media) {
			patches = append(patches, types.PatchOperation{Op: types.OpAdd, Path: aws.String("/binaryMediaTypes/" + pathKey(media))})
		}
	}
	if err := patchAPI(ctx, s, id, patches...); err != nil {
		return err
	}
	return s.apiTags(ctx, "/restapis/"+id, old.Tags, now.Tags)
}

type restAPIPolicy struct {
	RestAPIID string `json:"restApiId" aws:"replace"`
	Policy    string `json:"policy"`
}

// unescapedPolicy undoes the escaping GetRestApi gives a policy.
func unescapedPolicy(text string) string { return strings.ReplaceAll(text, `\"`, `"`) }

type apiResource struct {
	RestAPI  string `json:"restApi" check:"required"`
	ParentID string `json:"parentId"`
	PathPart string `json:"pathPart"`
	Path     string `json:"path" aws:"out"`
}

type method struct {
	RestAPI        string `json:"restApi" check:"required"`
	ResourceID     string `json:"resourceId"`
	HTTPMethod     string `json:"httpMethod"`
	Authorization  string `json:"authorization"`
	APIKeyRequired bool   `json:"apiKeyRequired"`
}

func createMethod(ctx context.Context, s *session, p method) (string, error) {
	_, err := s.apigateway().PutMethod(ctx, &api.PutMethodInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(p.ResourceID), HttpMethod: aws.String(p.HTTPMethod),
		AuthorizationType: aws.String(p.Authorization), ApiKeyRequired: p.APIKeyRequired})
	if err != nil {
		return "", err
	}
	return "agm-" + p.RestAPI + "-" + p.ResourceID + "-" + p.HTTPMethod, nil
}

func readMethod(ctx context.Context, s *session, _ string, p method) (*method, error) {
	out, err := s.apigateway().GetMethod(ctx, &api.GetMethodInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(p.ResourceID), HttpMethod: aws.String(p.HTTPMethod)})
	if err != nil {
		return nil, err
	}
	p.Authorization, p.APIKeyRequired = aws.ToString(out.AuthorizationType), aws.ToBool(out.ApiKeyRequired)
	return &p, nil
}

func removeMethod(ctx context.Context, s *session, _ string, p method) error {
	_, err := s.apigateway().DeleteMethod(ctx, &api.DeleteMethodInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(p.ResourceID), HttpMethod: aws.String(p.HTTPMethod)})
	return err
}

type integration struct {
	RestAPI               string `json:"restApi" check:"required"`
	ResourceID            string `json:"resourceId"`
	HTTPMethod            string `json:"httpMethod"`
	Type                  string `json:"type"`
	IntegrationHTTPMethod string `json:"integrationHttpMethod"`
	URI                   string `json:"uri"`
	TimeoutMilliseconds   *int32 `json:"timeoutMilliseconds"`
	PassthroughBehavior   string `json:"passthroughBehavior"`
	CacheNamespace        string `json:"cacheNamespace" aws:"out"`
}

func createIntegration(ctx context.Context, s *session, p integration) (string, error) {
	_, err := s.apigateway().PutIntegration(ctx, &api.PutIntegrationInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(p.ResourceID), HttpMethod: aws.String(p.HTTPMethod), Type: types.IntegrationType(p.Type),
		IntegrationHttpMethod: optional(p.IntegrationHTTPMethod), Uri: optional(p.URI), TimeoutInMillis: p.TimeoutMilliseconds, PassthroughBehavior: optional(p.PassthroughBehavior)})
	if err != nil {
		return "", err
	}
	return "agi-" + p.RestAPI + "-" + p.ResourceID + "-" + p.HTTPMethod, nil
}

func readIntegration(ctx context.Context, s *session, _ string, p integration) (*integration, error) {
	out, err := s.apigateway().GetIntegration(ctx, &api.GetIntegrationInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(p.ResourceID), HttpMethod: aws.String(p.HTTPMethod)})
	if err != nil {
		return nil, err
	}
	p.Type, p.IntegrationHTTPMethod, p.URI = string(out.Type), aws.ToString(out.HttpMethod), aws.ToString(out.Uri)
	p.PassthroughBehavior, p.CacheNamespace = aws.ToString(out.PassthroughBehavior), aws.ToString(out.CacheNamespace)
	if out.TimeoutInMillis != 0 {
		p.TimeoutMilliseconds = aws.Int32(out.TimeoutInMillis)
	}
	return &p, nil
}

func removeIntegration(ctx context.Context, s *session, _ string, p integration) error {
	_, err := s.apigateway().DeleteIntegration(ctx, &api.DeleteIntegrationInput{RestApiId: aws.String(p.RestAPI), ResourceId: aws.String(p.ResourceID), HttpMethod: aws.String(p.HTTPMethod)})
	return err
}
