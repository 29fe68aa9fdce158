package apigateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const invalidPolicy = "Invalid policy document. Please check the policy syntax and ensure that Principals are valid."

// oneOrMany is a JSON string or a list of them.
type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(text []byte) error {
	var one string
	if err := json.Unmarshal(text, &one); err == nil {
		*o = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o))
}

// MarshalJSON writes one value as a string, as AWS does.
func (o oneOrMany) MarshalJSON() ([]byte, error) {
	if len(o) == 1 {
		return json.Marshal(o[0])
	}
	return json.Marshal([]string(o))
}

type accessPolicy struct {
	Version   string      `json:"Version,omitempty"`
	ID        string      `json:"Id,omitempty"`
	Statement []statement `json:"Statement"`

	read policy.Document
}

type statement struct {
	Sid       string                          `json:"Sid,omitempty"`
	Effect    string                          `json:"Effect"`
	Principal json.RawMessage                 `json:"Principal"`
	Action    oneOrMany                       `json:"Action"`
	Resource  oneOrMany                       `json:"Resource"`
	Condition map[string]map[string]oneOrMany `json:"Condition,omitempty"`
}

// expandPolicy checks a policy and writes its execute-api:/ shorthand out as
// full ARNs, which is what AWS stores and returns.
func expandPolicy(region, apiID, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	p, err := parsePolicy(text)
	if err != nil {
		return "", err
	}
	for _, s := range p.Statement {
		for i, resource := range s.Resource {
			if rest, short := strings.CutPrefix(resource, "execute-api:/"); short {
				s.Resource[i] = fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/%s", region, wire.Account, apiID, rest)
			}
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		return "", badRequest("%s", invalidPolicy)
	}
	return strings.TrimSpace(out.String()), nil
}

// parsePolicy reads a policy, nil for none, and refuses what the front door
// does not know of a request: an ignored condition would open the API.
func parsePolicy(text string) (*accessPolicy, error) {
	if text == "" {
		return nil, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var p accessPolicy
	if err := decoder.Decode(&p); err != nil {
		return nil, badRequest("%s", invalidPolicy)
	}
	var err error
	if p.read, err = policy.Parse(text); err == nil {
		err = p.read.Resource()
	}
	if err != nil {
		return nil, badRequest("%s (%v)", invalidPolicy, err)
	}
	for _, key := range p.read.ConditionKeys() {
		if key != "aws:sourceip" {
			return nil, badRequest("%s The embedded AWS has no condition key %s.", invalidPolicy, key)
		}
	}
	for _, s := range p.Statement {
		if !s.everybody() {
			return nil, badRequest("%s", invalidPolicy)
		}
	}
	return &p, nil
}

// everybody: the only principal an anonymous caller can match.
func (s statement) everybody() bool {
	var one string
	if json.Unmarshal(s.Principal, &one) == nil {
		return one == "*"
	}
	var kinds map[string]oneOrMany
	if json.Unmarshal(s.Principal, &kinds) != nil {
		return false
	}
	return slices.Equal(kinds["AWS"], oneOrMany{"*"})
}

// evaluate decides on one anonymous call. No policy allows everybody.
func (p *accessPolicy) evaluate(resourceARN string, source netip.Addr) policy.Decision {
	if p == nil {
		return policy.Allowed
	}
	return policy.Evaluate([]policy.Document{p.read}, policy.Request{
		Action: "execute-api:Invoke", Resource: resourceARN, Keys: map[string][]string{"aws:SourceIp": {source.String()}},
	})
}
