package lambda

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// onFunction are the operations that IAM knows for the function alone, however
// the alias or version is named. All others are asked for as it was named.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
var onFunction = []string{
	"CreateAlias", "GetAlias", "UpdateAlias", "DeleteAlias", "ListAliases", "ListVersionsByFunction", "PublishVersion",
	"UpdateFunctionCode", "UpdateFunctionConfiguration", "PutFunctionConcurrency", "DeleteFunctionConcurrency", "GetFunctionConcurrency", "GetFunctionCodeSigningConfig",
}

func (s *Service) ask(req *request, action, resource string, keys map[string][]string) error {
	err := s.options.Authorize.Ask(req.Context(), action, resource, keys)
	if err == nil {
		return nil
	}
	e := wire.AsError(err)
	return fail(http.StatusForbidden, e.Code, "%s", e.Message)
}

// guarded asks for an operation before it is served, and for the right to hand
// over the role that it names.
func (s *Service) guarded(action string, serve operation) operation {
	return func(req *request) (int, any, error) {
		var in struct {
			FunctionName, Role string
			Tags               map[string]string
		}
		// What cannot be read the operation itself refuses.
		_ = json.Unmarshal(req.body, &in)
		if err := s.ask(req, "lambda:"+action, req.resource(action, in.FunctionName), nil); err != nil {
			return 0, nil, err
		}
		created := action == "CreateFunction"
		if in.Role != "" && (created || action == "UpdateFunctionConfiguration") {
			if err := s.ask(req, "iam:PassRole", in.Role, map[string][]string{"iam:passedtoservice": {"lambda.amazonaws.com"}}); err != nil {
				return 0, nil, err
			}
		}
		// https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
		if created && len(in.Tags) > 0 {
			if err := s.ask(req, "lambda:TagResource", req.resource(action, in.FunctionName), nil); err != nil {
				return 0, nil, err
			}
		}
		return serve(req)
	}
}

// resource is the ARN of what an operation is about, "*" where it names none.
func (r *request) resource(action, created string) string {
	ref := r.ref
	switch {
	case r.PathValue("Resource") != "":
		return r.PathValue("Resource")
	case ref.Name == "" && created == "":
		return "*"
	case ref.Name == "":
		parsed, err := parseReference(r.call.Region, created, "")
		if err != nil {
			return "*" // the operation says what is wrong with it
		}
		return parsed.arn()
	case ref.Qualifier == "" || slices.Contains(onFunction, action):
		return reference{ref.Region, ref.Name, ""}.arn()
	default:
		return ref.arn()
	}
}
