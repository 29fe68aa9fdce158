package apigateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// asked is what the questions to IAM need of a body, of any operation.
type asked struct {
	Policy          string           `json:"policy"`
	PatchOperations []patchOperation `json:"patchOperations"`
}

// setsPolicy says whether an API gets another resource policy.
func (in asked) setsPolicy() bool {
	for _, op := range in.PatchOperations {
		if strings.HasPrefix(op.Path, "/policy") {
			return true
		}
	}
	return in.Policy != ""
}

// passes is the role that the account hands to API Gateway, or "".
func (in asked) passes() string {
	for _, op := range in.PatchOperations {
		if op.Path == "/cloudwatchRoleArn" {
			return op.Value
		}
	}
	return ""
}

// authorize asks for the verb on the path, which is what actions and resources
// of the control plane are, and for what some bodies need beside it: the right
// to hand over a role, and that to change a resource policy.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagement.html
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-create-attach.html
func (s *Service) authorize(r *http.Request, body []byte) error {
	if s.options.Authorize == nil {
		return nil
	}
	ask := func(action, resource string, keys map[string][]string) error {
		return wire.Denied(s.options.Authorize.Ask(r.Context(), action, resource, keys), http.StatusForbidden, "AccessDeniedException")
	}
	path := r.URL.EscapedPath()
	resource := "arn:aws:apigateway:" + wire.FromContext(r.Context()).Region + "::" + path
	if err := ask("apigateway:"+r.Method, resource, nil); err != nil {
		return err
	}
	var in asked
	if json.Unmarshal(body, &in) != nil {
		return nil // the operation says what is wrong with it
	}
	if strings.HasPrefix(path, "/restapis") && in.setsPolicy() {
		if err := ask("apigateway:UpdateRestApiPolicy", resource, nil); err != nil {
			return err
		}
	}
	if role := in.passes(); path == "/account" && role != "" {
		return ask("iam:PassRole", role, map[string][]string{"iam:passedtoservice": {"apigateway.amazonaws.com"}})
	}
	return nil
}
