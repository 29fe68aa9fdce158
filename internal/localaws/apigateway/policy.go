package apigateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

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

type policy struct {
	Version   string      `json:"Version,omitempty"`
	ID        string      `json:"Id,omitempty"`
	Statement []statement `json:"Statement"`
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

// parsePolicy reads a policy, nil for none, and refuses what the evaluation
// does not know: an ignored condition would open the API.
func parsePolicy(text string) (*policy, error) {
	if text == "" {
		return nil, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var p policy
	if err := decoder.Decode(&p); err != nil || len(p.Statement) == 0 {
		return nil, badRequest("%s", invalidPolicy)
	}
	for _, s := range p.Statement {
		if (s.Effect != "Allow" && s.Effect != "Deny") || len(s.Action) == 0 || len(s.Resource) == 0 || !s.everybody() {
			return nil, badRequest("%s", invalidPolicy)
		}
		for operator, keys := range s.Condition {
			if operator != "IpAddress" && operator != "NotIpAddress" {
				return nil, badRequest("%s The embedded AWS has no condition %s.", invalidPolicy, operator)
			}
			for key, ranges := range keys {
				if !strings.EqualFold(key, "aws:SourceIp") {
					return nil, badRequest("%s The embedded AWS has no condition key %s.", invalidPolicy, key)
				}
				for _, r := range ranges {
					if _, err := parseRange(r); err != nil {
						return nil, badRequest("%s", invalidPolicy)
					}
				}
			}
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

func parseRange(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		return prefix.Masked(), err
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return address.Prefix(address.BitLen())
}

type decision int

const (
	allowed decision = iota
	implicitlyDenied
	explicitlyDenied
)

// evaluate decides on one anonymous call. No policy allows everybody.
func (p *policy) evaluate(resourceARN string, source netip.Addr) decision {
	if p == nil {
		return allowed
	}
	result := implicitlyDenied
	for _, s := range p.Statement {
		if !s.applies(resourceARN, source) {
			continue
		}
		if s.Effect == "Deny" {
			return explicitlyDenied
		}
		result = allowed
	}
	return result
}

func (s statement) applies(resourceARN string, source netip.Addr) bool {
	action := slices.ContainsFunc(s.Action, func(a string) bool { return wildcard(strings.ToLower(a), "execute-api:invoke") })
	target := slices.ContainsFunc(s.Resource, func(r string) bool { return wildcard(r, resourceARN) })
	if !action || !target {
		return false
	}
	for operator, keys := range s.Condition {
		for _, ranges := range keys {
			inside := slices.ContainsFunc(ranges, func(text string) bool {
				prefix, err := parseRange(text)
				return err == nil && prefix.Contains(source.Unmap())
			})
			if inside != (operator == "IpAddress") {
				return false
			}
		}
	}
	return true
}

// wildcard matches IAM patterns, whose * crosses slashes.
func wildcard(pattern, text string) bool {
	// path.Match stops * at a slash and knows classes; neither is IAM's.
	escape := strings.NewReplacer("/", "\x00", `\`, `\\`, "[", `\[`)
	matched, err := path.Match(escape.Replace(pattern), strings.ReplaceAll(text, "/", "\x00"))
	return err == nil && matched
}
