// Package policy is the JSON policy language of AWS: it reads a document and
// decides whether its statements allow a request. It is pure: who the caller
// is, which documents count and what the condition keys are, the services say.
//
// What it does not know is refused when a document is read, never passed over:
// policy variables, the condition operator BinaryEquals, and canonical users.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
package policy

import (
	"slices"
	"strings"
)

// Request is what is asked.
type Request struct {
	// Principal is who asks: the ARN of a user, a role's session
	// (arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION), an account's root or an
	// identity provider, or a service ("lambda.amazonaws.com"). "" is anonymous.
	Principal string
	Action    string // "dynamodb:GetItem"
	Resource  string // ARN; "" for the trust policy of a role
	// Keys are the condition keys; their names are compared without case.
	Keys map[string][]string
}

// Decision is the answer.
type Decision int

// The decisions. Only Allowed lets the request through.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
const (
	ImplicitDeny Decision = iota // no statement applies
	Allowed
	ExplicitDeny // a statement denies: no other one counts
)

// String implements fmt.Stringer.
func (d Decision) String() string {
	switch d {
	case Allowed:
		return "allowed"
	case ExplicitDeny:
		return "explicit deny"
	default:
		return "implicit deny"
	}
}

// Document is a policy that was read by Parse. The zero value allows nothing.
type Document struct{ statements []statement }

type statement struct {
	allow        bool
	principals   *principals // nil: the statement names none
	notPrincipal bool
	actions      []string // in lower case
	notAction    bool
	resources    []string // nil: the statement names none
	notResource  bool
	conditions   []condition
}

// Evaluate decides on one request: a statement that denies wins over those
// that allow, and without either the request is denied implicitly. Statements
// without a principal (identity policies) are everybody's, those without a
// resource (trust policies) are for everything.
func Evaluate(docs []Document, req Request) Decision {
	return evaluate(docs, req, statement.names)
}

// Grants says whether the documents allow the request to the principal itself.
// A statement that names only the principal's account delegates instead: the
// account's own policies then decide. A denial of the account still counts.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
func Grants(docs []Document, req Request) bool {
	return evaluate(docs, req, func(s statement, req Request) bool {
		return s.names(req) && (!s.allow || s.principals == nil || s.principals.itself(req.Principal))
	}) == Allowed
}

func evaluate(docs []Document, req Request, names func(statement, Request) bool) Decision {
	keys := map[string][]string{}
	for name, values := range req.Keys {
		keys[strings.ToLower(name)] = values
	}
	req.Keys, req.Action = keys, strings.ToLower(req.Action)
	result := ImplicitDeny
	for _, d := range docs {
		for _, s := range d.statements {
			switch {
			case !names(s, req) || !s.covers(req):
			case !s.allow:
				return ExplicitDeny
			default:
				result = Allowed
			}
		}
	}
	return result
}

func (s statement) names(req Request) bool {
	return s.principals == nil || s.principals.match(req.Principal) != s.notPrincipal
}

// covers says whether action, resource and conditions fit; the request's
// action and the names of its keys are in lower case.
func (s statement) covers(req Request) bool {
	if anyMatch(s.actions, req.Action) == s.notAction {
		return false
	}
	if s.resources != nil && anyMatch(s.resources, req.Resource) == s.notResource {
		return false
	}
	return !slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(req.Keys) })
}

// Actions are the actions that the document's statements name in their Action
// elements, in lower case and sorted.
func (d Document) Actions() []string {
	var all []string
	for _, s := range d.statements {
		if !s.notAction {
			all = append(all, s.actions...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ConditionKeys are the keys that the document's conditions ask for, in lower
// case and sorted.
func (d Document) ConditionKeys() []string {
	var all []string
	for _, s := range d.statements {
		for _, c := range s.conditions {
			all = append(all, c.key)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func anyMatch(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, text) })
}

// Match says whether the whole text fits the pattern, in which * stands for
// any characters, slashes and colons among them, and ? for exactly one.
func Match(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	i, j := 0, 0
	star, retry := -1, 0 // the last *, and where its match ends for now
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, retry = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			retry++
			i, j = star+1, retry
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
