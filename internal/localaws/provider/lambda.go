package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
)

var lambdaKinds = map[string]kind{
	"aws:lambda/function:Function": entry[function]{spec[function]{args: sdk.FunctionArgs{}, state: sdk.Function{}, identity: []string{"name"}, create: createFunction, read: readFunction, update: updateFunction,
		remove: func(ctx context.Context, s *session, id string, _ function) error {
			_, err := s.lambda().DeleteFunction(ctx, &api.DeleteFunctionInput{FunctionName: aws.String(id)})
			return err
		}}},
	"aws:lambda/alias:Alias": entry[functionAlias]{spec[functionAlias]{args: sdk.AliasArgs{}, state: sdk.Alias{}, identity: []string{"name", "functionName"}, create: createFunctionAlias, read: readFunctionAlias, update: updateFunctionAlias,
		remove: func(ctx context.Context, s *session, _ string, p functionAlias) error {
			_, err := s.lambda().DeleteAlias(ctx, &api.DeleteAliasInput{FunctionName: aws.String(p.FunctionName), Name: aws.String(p.Name)})
			return err
		}}},
	"aws:lambda/permission:Permission": entry[permission]{spec[permission]{args: sdk.PermissionArgs{}, state: sdk.Permission{}, identity: []string{"function", "qualifier", "statementId"}, create: createPermission, read: readPermission,
		remove: func(ctx context.Context, s *session, id string, p permission) error {
			_, err := s.lambda().RemovePermission(ctx, &api.RemovePermissionInput{FunctionName: aws.String(p.Function), StatementId: aws.String(id), Qualifier: optional(p.Qualifier)})
			return err
		}}},
}

type function struct {
	Name                         string               `json:"name" aws:"replace" check:"required"`
	Runtime                      string               `json:"runtime"`
	Handler                      string               `json:"handler"`
	Architectures                []string             `json:"architectures"`
	Code                         string               `json:"code" check:"required"` // the archive's hash
	Role                         string               `json:"role"`
	Description                  string               `json:"description"`
	MemorySize                   *int32               `json:"memorySize"`
	Timeout                      *int32               `json:"timeout"`
	Publish                      bool                 `json:"publish"`
	Environment                  *functionEnvironment `json:"environment"`
	KmsKeyArn                    string               `json:"kmsKeyArn"`
	ReservedConcurrentExecutions *int32               `json:"reservedConcurrentExecutions"`
	Tags                         map[string]string    `json:"tags"`
	Arn                          string               `json:"arn" aws:"out"`
	InvokeArn                    string               `json:"invokeArn" aws:"out"`
	QualifiedArn                 string               `json:"qualifiedArn" aws:"changes"`
	QualifiedInvokeArn           string               `json:"qualifiedInvokeArn" aws:"changes"`
	Version                      string               `json:"version" aws:"changes"`
	LastModified                 string               `json:"lastModified" aws:"changes"`
	CodeSha256                   string               `json:"codeSha256" aws:"changes"`
	SourceCodeHash               string               `json:"sourceCodeHash" aws:"changes"`
	SourceCodeSize               int64                `json:"sourceCodeSize" aws:"changes"`
}

type functionEnvironment struct {
	Variables map[string]string `json:"variables,omitempty"`
}

const functionWait = 5 * time.Minute

func (p function) architectures() []types.Architecture {
	var out []types.Architecture
	for _, a := range p.Architectures {
		out = append(out, types.Architecture(a))
	}
	return out
}

func (p function) environment() *types.Environment {
	if p.Environment == nil {
		return &types.Environment{Variables: map[string]string{}}
	}
	return &types.Environment{Variables: p.Environment.Variables}
}

func createFunction(ctx context.Context, s *session, p function) (string, error) {
	code, err := s.archive("code")
	if err != nil {
		return "", err
	}
	in := &api.CreateFunctionInput{FunctionName: aws.String(p.Name), Runtime: types.Runtime(p.Runtime), Handler: optional(p.Handler), Architectures: p.architectures(), Role: aws.String(p.Role), Description: optional(p.Description),
		MemorySize: p.MemorySize, Timeout: p.Timeout, Publish: p.Publish, KMSKeyArn: optional(p.KmsKeyArn), Tags: p.Tags, Code: &types.FunctionCode{ZipFile: code}, Environment: p.environment()}
	var last error
	err = s.until(ctx, "function "+p.Name+" may assume its role", functionWait, func() (bool, error) {
		_, last = s.lambda().CreateFunction(ctx, in)
		// A role that was just made is not yet assumable.
		if codeOf(last) == "InvalidParameterValueException" && strings.Contains(last.Error(), "cannot be assumed by Lambda") {
			return false, nil
		}
		return true, last
	})
	if err != nil {
		return "", fmt.Errorf("%w (last answer: %v)", err, last)
	}
	if err := functionReady(ctx, s, p.Name); err != nil {
		return p.Name, err
	}
	return p.Name, reserve(ctx, s, p.Name, nil, p.ReservedConcurrentExecutions)
}

func functionReady(ctx context.Context, s *session, name string) error {
	return s.until(ctx, "function "+name+" is active and updated", functionWait, func() (bool, error) {
		out, err := s.lambda().GetFunctionConfiguration(ctx, &api.GetFunctionConfigurationInput{FunctionName: aws.String(name)})
		if err != nil {
			return false, err
		}
		if out.State == types.StateFailed || out.LastUpdateStatus == types.LastUpdateStatusFailed {
			return false, fmt.Errorf("function %s: %s %s", name, aws.ToString(out.StateReason), aws.ToString(out.LastUpdateStatusReason))
		}
		return out.State != types.StatePending && out.LastUpdateStatus != types.LastUpdateStatusInProgress, nil
	})
}

func reserve(ctx context.Context, s *session, name string, old, now *int32) error {
	if cmp.Equal(old, now) {
		return nil
	}
	var err error
	if now == nil || *now < 0 {
		_, err = s.lambda().DeleteFunctionConcurrency(ctx, &api.DeleteFunctionConcurrencyInput{FunctionName: aws.String(name)})
	} else {
		_, err = s.lambda().PutFunctionConcurrency(ctx, &api.PutFunctionConcurrencyInput{FunctionName: aws.String(name), ReservedConcurrentExecutions: now})
	}
	return err
}

func readFunction(ctx context.Context, s *session, id string, p function) (*function, error) {
	c := s.lambda()
	out, err := c.GetFunction(ctx, &api.GetFunctionInput{FunctionName: aws.String(id)})
	if err != nil {
		return nil, err
	}
	f := out.Configuration
	p.Name, p.Runtime, p.Handler, p.Role, p.Description, p.MemorySize, p.Timeout, p.KmsKeyArn, p.Tags = id, string(f.Runtime), aws.ToString(f.Handler), aws.ToString(f.Role), aws.ToString(f.Description), f.MemorySize, f.Timeout, aws.ToString(f.KMSKeyArn), out.Tags
	p.Architectures = nil
	for _, a := range f.Architectures {
		p.Architectures = append(p.Architectures, string(a))
	}
	if f.Environment != nil && len(f.Environment.Variables) > 0 {
		p.Environment = &functionEnvironment{Variables: f.Environment.Variables}
	} else if p.Environment != nil {
		p.Environment = &functionEnvironment{}
	}
	p.LastModified, p.CodeSha256, p.SourceCodeHash, p.SourceCodeSize = aws.ToString(f.LastModified), aws.ToString(f.CodeSha256), aws.ToString(f.CodeSha256), f.CodeSize
	p.Arn = aws.ToString(f.FunctionArn)
	p.InvokeArn = s.invokeARN(p.Arn)
	p.Version = "$LATEST"
	if p.Publish {
		if p.Version, err = latestVersion(ctx, c, id); err != nil {
			return nil, err
		}
	}
	p.QualifiedArn = p.Arn + ":" + p.Version
	p.QualifiedInvokeArn = s.invokeARN(p.QualifiedArn)
	if out.Concurrency != nil {
		p.ReservedConcurrentExecutions = out.Concurrency.ReservedConcurrentExecutions
	} else if p.ReservedConcurrentExecutions != nil && *p.ReservedConcurrentExecutions >= 0 {
		p.ReservedConcurrentExecutions = nil
	}
	return &p, nil
}

func (s *session) invokeARN(functionARN string) string {
	return "arn:aws:apigateway:" + s.region() + ":lambda:path/2015-03-31/functions/" + functionARN + "/invocations"
}

// latestVersion is the newest published version; they are listed in order.
func latestVersion(ctx context.Context, c *api.Client, name string) (string, error) {
	version := "$LATEST"
	pages := api.NewListVersionsByFunctionPaginator(c, &api.ListVersionsByFunctionInput{FunctionName: aws.String(name)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return "", err
		}
		for _, v := range out.Versions {
			version = aws.ToString(v.Version)
		}
	}
	return version, nil
}

// updateFunction changes configuration and code apart, as Lambda has them, and
// publishes once both are in.
func updateFunction(ctx context.Context, s *session, id string, old, now function) error {
	c := s.lambda()
	changed := false
	configuration := func(p function) function {
		return function{Runtime: p.Runtime, Handler: p.Handler, Role: p.Role, Description: p.Description, MemorySize: p.MemorySize, Timeout: p.Timeout, Environment: p.Environment, KmsKeyArn: p.KmsKeyArn}
	}
	if !cmp.Equal(configuration(old), configuration(now)) {
		changed = true
		if _, err := c.UpdateFunctionConfiguration(ctx, &api.UpdateFunctionConfigurationInput{FunctionName: aws.String(id), Runtime: types.Runtime(now.Runtime), Handler: optional(now.Handler), Role: aws.String(now.Role),
			Description: aws.String(now.Description), MemorySize: now.MemorySize, Timeout: now.Timeout, Environment: now.environment(), KMSKeyArn: aws.String(now.KmsKeyArn)}); err != nil {
			return err
		}
		if err := functionReady(ctx, s, id); err != nil {
			return err
		}
	}
	if old.Code != now.Code || !cmp.Equal(old.Architectures, now.Architectures) {
		changed = true
		if err := updateCode(ctx, s, id, now); err != nil {
			return err
		}
	}
	if err := reserve(ctx, s, id, old.ReservedConcurrentExecutions, now.ReservedConcurrentExecutions); err != nil {
		return err
	}
	if now.Publish && (changed || !old.Publish) {
		if _, err := c.PublishVersion(ctx, &api.PublishVersionInput{FunctionName: aws.String(id)}); err != nil {
			return err
		}
		if err := functionReady(ctx, s, id); err != nil {
			return err
		}
	}
	return retag(old.Tags, now.Tags, func(set map[string]string) error {
		_, err := c.TagResource(ctx, &api.TagResourceInput{Resource: aws.String(old.Arn), Tags: set})
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &api.UntagResourceInput{Resource: aws.String(old.Arn), TagKeys: keys})
		return err
	})
}

func updateCode(ctx context.Context, s *session, id string, now function) error {
	code, err := s.archive("code")
	if err != nil {
		return err
	}
	out, err := s.lambda().UpdateFunctionCode(ctx, &api.UpdateFunctionCodeInput{FunctionName: aws.String(id), ZipFile: code, Architectures: now.architectures()})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(code)
	if want := base64.StdEncoding.EncodeToString(sum[:]); aws.ToString(out.CodeSha256) != want {
		return fmt.Errorf("code of %s: AWS has %s, %s was sent", id, aws.ToString(out.CodeSha256), want)
	}
	return functionReady(ctx, s, id)
}

type functionAlias struct {
	Name            string        `json:"name" aws:"replace" check:"required"`
	FunctionName    string        `json:"functionName" aws:"replace"`
	FunctionVersion string        `json:"functionVersion"`
	Description     string        `json:"description"`
	RoutingConfig   *aliasRouting `json:"routingConfig"`
	Arn             string        `json:"arn" aws:"out"`
	InvokeArn       string        `json:"invokeArn" aws:"out"`
}

type aliasRouting struct {
	AdditionalVersionWeights map[string]float64 `json:"additionalVersionWeights,omitempty"`
}

func (p functionAlias) routing() *types.AliasRoutingConfiguration {
	if p.RoutingConfig == nil {
		return &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{}}
	}
	return &types.AliasRoutingConfiguration{AdditionalVersionWeights: p.RoutingConfig.AdditionalVersionWeights}
}

func createFunctionAlias(ctx context.Context, s *session, p functionAlias) (string, error) {
	in := &api.CreateAliasInput{FunctionName: aws.String(p.FunctionName), Name: aws.String(p.Name), FunctionVersion: aws.String(p.FunctionVersion), Description: optional(p.Description)}
	if p.RoutingConfig != nil {
		in.RoutingConfig = p.routing()
	}
	out, err := s.lambda().CreateAlias(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.AliasArn), nil
}

func readFunctionAlias(ctx context.Context, s *session, _ string, p functionAlias) (*functionAlias, error) {
	out, err := s.lambda().GetAlias(ctx, &api.GetAliasInput{FunctionName: aws.String(p.FunctionName), Name: aws.String(p.Name)})
	if err != nil {
		return nil, err
	}
	p.FunctionVersion, p.Description, p.Arn = aws.ToString(out.FunctionVersion), aws.ToString(out.Description), aws.ToString(out.AliasArn)
	p.InvokeArn = s.invokeARN(p.Arn)
	p.RoutingConfig = nil
	if out.RoutingConfig != nil && len(out.RoutingConfig.AdditionalVersionWeights) > 0 {
		p.RoutingConfig = &aliasRouting{out.RoutingConfig.AdditionalVersionWeights}
	}
	return &p, nil
}

// updateFunctionAlias sends the whole alias, as the real provider does.
func updateFunctionAlias(ctx context.Context, s *session, _ string, _, now functionAlias) error {
	_, err := s.lambda().UpdateAlias(ctx, &api.UpdateAliasInput{FunctionName: aws.String(now.FunctionName), Name: aws.String(now.Name), FunctionVersion: aws.String(now.FunctionVersion),
		Description: aws.String(now.Description), RoutingConfig: now.routing()})
	return err
}

type permission struct {
	Action        string `json:"action"`
	Function      string `json:"function" check:"required"`
	Principal     string `json:"principal"`
	Qualifier     string `json:"qualifier"`
	SourceAccount string `json:"sourceAccount"`
	SourceArn     string `json:"sourceArn"`
	StatementID   string `json:"statementId" check:"required"`
}

func createPermission(ctx context.Context, s *session, p permission) (string, error) {
	_, err := s.lambda().AddPermission(ctx, &api.AddPermissionInput{FunctionName: aws.String(p.Function), StatementId: aws.String(p.StatementID), Action: aws.String(p.Action), Principal: aws.String(p.Principal),
		Qualifier: optional(p.Qualifier), SourceArn: optional(p.SourceArn), SourceAccount: optional(p.SourceAccount)})
	if err != nil {
		return "", err
	}
	return p.StatementID, nil
}

func readPermission(ctx context.Context, s *session, id string, p permission) (*permission, error) {
	out, err := s.lambda().GetPolicy(ctx, &api.GetPolicyInput{FunctionName: aws.String(p.Function), Qualifier: optional(p.Qualifier)})
	if err != nil {
		return nil, err
	}
	var policy struct{ Statement []struct{ Sid string } }
	if err := json.Unmarshal([]byte(aws.ToString(out.Policy)), &policy); err != nil {
		return nil, fmt.Errorf("policy of %s: %w", p.Function, err)
	}
	for _, statement := range policy.Statement {
		if statement.Sid == id {
			return &p, nil
		}
	}
	return nil, nil
}
