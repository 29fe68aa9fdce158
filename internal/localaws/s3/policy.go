package s3

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func malformedPolicy(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "MalformedPolicy", format, args...)
}

func getPolicy(r *request) (reply, error) {
	if r.in.policy == "" {
		return reply{}, noPolicy(r)
	}
	return reply{text: r.in.policy}, nil
}

func noPolicy(r *request) error {
	e := lacks("NoSuchBucketPolicy", "The bucket policy does not exist")
	e.Fields = map[string]any{"BucketName": r.bucket}
	return e
}

// putPolicy takes a policy unless Block Public Access forbids it.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
func putPolicy(r *request) (reply, error) {
	text := string(r.body)
	if len(text) > 20<<10 {
		return reply{}, malformedPolicy("Policy exceeds the maximum allowed document size")
	}
	document, err := policy.Parse(text)
	if err != nil {
		return reply{}, malformedPolicy("%v", err)
	}
	if err := document.Resource(); err != nil {
		return reply{}, malformedPolicy("%v", err)
	}
	if err := aboutBucket(text, r.bucket); err != nil {
		return reply{}, err
	}
	if r.in.blocks().BlockPublicPolicy && isPublic(text) {
		return reply{}, wire.Errorf(http.StatusForbidden, "AccessDenied",
			"User: %s is not authorized to perform: s3:PutBucketPolicy on resource: %q because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.", rootARN, bucketARN(r.bucket))
	}
	r.in.policy = text
	return reply{status: http.StatusNoContent}, nil
}

func deletePolicy(r *request) (reply, error) {
	r.in.policy = ""
	return reply{status: http.StatusNoContent}, nil
}

func policyStatus(r *request) (reply, error) {
	if r.in.policy == "" {
		return reply{}, noPolicy(r)
	}
	return reply{root: "PolicyStatus", body: struct{ IsPublic bool }{isPublic(r.in.policy)}}, nil
}

// list is a member of a policy that may be one text or many.
type list []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *list) UnmarshalJSON(raw []byte) error {
	var one any
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	if many, ok := one.([]any); ok {
		for _, element := range many {
			text, err := json.Marshal(element)
			if err != nil {
				return err
			}
			*l = append(*l, strings.Trim(string(text), `"`))
		}
		return nil
	}
	text, err := json.Marshal(one)
	*l = list{strings.Trim(string(text), `"`)}
	return err
}

// policyStatement is what S3 itself looks at in a statement, beside deciding
// requests by it.
type policyStatement struct {
	Effect                  string
	Principal, NotPrincipal json.RawMessage
	Action, NotAction       list
	Resource, NotResource   list
	Condition               map[string]map[string]list
}

func statementsOf(text string) []policyStatement {
	var document struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(text), &document) != nil {
		return nil
	}
	var many []policyStatement
	if json.Unmarshal(document.Statement, &many) == nil {
		return many
	}
	one := make([]policyStatement, 1)
	if json.Unmarshal(document.Statement, &one[0]) != nil {
		return nil
	}
	return one
}

// aboutBucket holds what S3 demands of a policy beyond its grammar.
func aboutBucket(text, name string) error {
	for _, s := range statementsOf(text) {
		for _, resource := range slices.Concat(s.Resource, s.NotResource) {
			bare, _, _ := strings.Cut(strings.TrimPrefix(resource, "arn:aws:s3:::"), "/")
			if bare == resource || bare != name {
				return malformedPolicy("Policy has invalid resource")
			}
		}
		for _, action := range slices.Concat(s.Action, s.NotAction) {
			if action != "*" && !strings.HasPrefix(strings.ToLower(action), "s3:") {
				return malformedPolicy("Policy has invalid action")
			}
		}
	}
	return nil
}

// fixing are the condition keys that, held to fixed values, make a statement
// for everyone not public.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
var fixing = []string{
	"aws:principalorgid", "aws:principalorgpaths", "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount", "aws:userid",
	"aws:principalarn", "aws:principalaccount", "s3:dataaccesspointarn", "s3:dataaccesspointaccount", "s3:x-amz-server-side-encryption-aws-kms-key-id", "aws:viaawsservice",
}

// isPublic says whether the policy lets in everyone, as Block Public Access
// counts it.
func isPublic(text string) bool {
	return slices.ContainsFunc(statementsOf(text), func(s policyStatement) bool {
		return s.Effect == "Allow" && (s.NotPrincipal != nil || everyone(s.Principal)) && !s.fixed()
	})
}

func everyone(principal json.RawMessage) bool {
	var text string
	if json.Unmarshal(principal, &text) == nil {
		return text == "*"
	}
	var kinds map[string]list
	if json.Unmarshal(principal, &kinds) != nil {
		return true
	}
	return slices.Contains(kinds["AWS"], "*")
}

// fixed says whether a condition holds the statement to fixed values.
func (s policyStatement) fixed() bool {
	for operator, keys := range s.Condition {
		for key, values := range keys {
			switch key, operator = strings.ToLower(key), strings.ToLower(operator); {
			case operator == "ipaddress" && key == "aws:sourceip":
				if !slices.ContainsFunc(values, broad) {
					return true
				}
			case slices.Contains([]string{"stringequals", "stringlike", "arnequals", "arnlike", "bool"}, operator) && slices.Contains(fixing, key):
				if !slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "*?") || strings.Contains(v, "${") }) {
					return true
				}
			}
		}
	}
	return false
}

// broad says whether a range of addresses is too wide to count: wider than /8
// for IPv4 and /32 for IPv6.
func broad(cidr string) bool {
	if !strings.Contains(cidr, "/") {
		return false
	}
	p, err := netip.ParsePrefix(cidr)
	return err != nil || p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 32
}
