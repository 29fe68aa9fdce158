package secretsmanager

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func (s *Service) getPolicy(_ context.Context, _ wire.Call, x *secret, _ api.GetResourcePolicyInput) (any, error) {
	return api.GetResourcePolicyOutput{ARN: &x.arn, Name: &x.name, ResourcePolicy: optional(x.content.policy)}, nil
}

func (s *Service) putPolicy(_ context.Context, call wire.Call, x *secret, in api.PutResourcePolicyInput) (any, error) {
	document := aws.ToString(in.ResourcePolicy)
	if err := checkPolicy(document, aws.ToBool(in.BlockPublicPolicy)); err != nil {
		return nil, err
	}
	x.content.policy = document
	s.changes(call.Now, x)
	return api.PutResourcePolicyOutput{ARN: &x.arn, Name: &x.name}, nil
}

func (s *Service) deletePolicy(_ context.Context, call wire.Call, x *secret, _ api.DeleteResourcePolicyInput) (any, error) {
	x.content.policy = ""
	s.changes(call.Now, x)
	return api.DeleteResourcePolicyOutput{ARN: &x.arn, Name: &x.name}, nil
}

// checkPolicy refuses what is no resource policy and, where asked to, one that
// names everybody without a condition. AWS reasons about the conditions too.
func checkPolicy(document string, blockPublic bool) error {
	malformed := wire.Errorf(http.StatusBadRequest, "MalformedPolicyDocumentException", "This resource policy contains a syntax error.")
	if len(document) > policyMax {
		return invalidParameter("The resource policy must not be longer than %d characters.", policyMax)
	}
	var policy struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &policy) != nil {
		return malformed
	}
	type statement struct {
		Effect    string
		Principal any
		Action    any
		NotAction any
		Resource  any
		Condition map[string]any
	}
	var statements []statement
	if json.Unmarshal(policy.Statement, &statements) != nil {
		var single statement
		if json.Unmarshal(policy.Statement, &single) != nil {
			return malformed
		}
		statements = []statement{single}
	}
	if len(statements) == 0 {
		return malformed
	}
	for _, st := range statements {
		if st.Effect != "Allow" && st.Effect != "Deny" || st.Principal == nil || st.Action == nil && st.NotAction == nil || st.Resource == nil {
			return malformed
		}
		if blockPublic && st.Effect == "Allow" && len(st.Condition) == 0 && everybody(st.Principal) {
			return wire.Errorf(http.StatusBadRequest, "PublicPolicyException", "You can't attach this policy because it grants public access to the secret.")
		}
	}
	return nil
}

// everybody reads a principal: "*", or {"AWS": "*"} or a list with it.
func everybody(principal any) bool {
	switch p := principal.(type) {
	case string:
		return p == "*"
	case []any:
		for _, each := range p {
			if everybody(each) {
				return true
			}
		}
	case map[string]any:
		return everybody(p["AWS"])
	}
	return false
}
