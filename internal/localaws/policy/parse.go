package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// texts is a JSON string, number or truth value, or a list of them.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(encoded []byte) error {
	var many []any
	if bytes.HasPrefix(bytes.TrimSpace(encoded), []byte("[")) {
		if err := decode(encoded, &many); err != nil {
			return err
		}
	} else {
		var one any
		if err := decode(encoded, &one); err != nil {
			return err
		}
		many = []any{one}
	}
	*t = make(texts, 0, len(many))
	for _, one := range many {
		switch v := one.(type) {
		case string:
			*t = append(*t, v)
		case bool, json.Number:
			*t = append(*t, fmt.Sprint(v))
		default:
			return errors.New("the element is neither a text nor a list of them")
		}
	}
	return nil
}

// decode reads JSON, keeps numbers as they are written and refuses members
// that are not known.
func decode(encoded []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("there is more than one document")
	}
	return nil
}

type rawStatement struct {
	Sid                     string
	Effect                  string
	Principal, NotPrincipal json.RawMessage
	Action, NotAction       texts
	Resource, NotResource   texts
	Condition               map[string]map[string]texts
}

// Parse reads a policy. Whether it may name principals or must name resources
// depends on what it is for: see Identity, Trust and Resource.
func Parse(document string) (Document, error) {
	var raw struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	if err := decode([]byte(document), &raw); err != nil {
		return Document{}, fmt.Errorf("syntax errors in policy: %w", err)
	}
	if raw.Version != "" && raw.Version != "2012-10-17" && raw.Version != "2008-10-17" {
		return Document{}, fmt.Errorf("the policy has an unknown version %s", raw.Version)
	}
	var statements []rawStatement
	if text := bytes.TrimSpace(raw.Statement); bytes.HasPrefix(text, []byte("{")) {
		statements = make([]rawStatement, 1)
		if err := decode(text, &statements[0]); err != nil {
			return Document{}, fmt.Errorf("syntax errors in policy: %w", err)
		}
	} else if len(text) > 0 {
		if err := decode(text, &statements); err != nil {
			return Document{}, fmt.Errorf("syntax errors in policy: %w", err)
		}
	}
	if len(statements) == 0 {
		return Document{}, errors.New("the policy has no statement")
	}
	var d Document
	for _, r := range statements {
		// Before 2012 the text ${...} meant itself.
		s, err := r.parse(raw.Version == "2012-10-17")
		if err != nil {
			return Document{}, err
		}
		d.statements = append(d.statements, s)
	}
	return d, nil
}

func (r rawStatement) parse(variables bool) (statement, error) {
	s := statement{allow: r.Effect == "Allow", notPrincipal: r.NotPrincipal != nil, notAction: r.NotAction != nil, notResource: r.NotResource != nil}
	switch {
	case r.Effect != "Allow" && r.Effect != "Deny":
		return s, errors.New("missing required field Effect: it is Allow or Deny")
	case len(r.Action)+len(r.NotAction) == 0:
		return s, errors.New("policy statement must contain actions")
	case r.Action != nil && r.NotAction != nil, r.Resource != nil && r.NotResource != nil, r.Principal != nil && r.NotPrincipal != nil:
		return s, errors.New("a statement has an element and its negation")
	case (r.Resource != nil || r.NotResource != nil) && len(r.Resource)+len(r.NotResource) == 0:
		return s, errors.New("policy statement must contain resources")
	case s.allow && s.notPrincipal:
		return s, errors.New("NotPrincipal goes with Deny only")
	}
	for _, action := range slices.Concat(r.Action, r.NotAction) {
		if vendor, name, found := strings.Cut(action, ":"); action != "*" && (!found || vendor == "" || name == "") {
			return s, fmt.Errorf("action %q is not of the form SERVICE:OPERATION", action)
		}
		s.actions = append(s.actions, strings.ToLower(action))
	}
	if r.Resource != nil || r.NotResource != nil {
		s.resources = slices.Concat(r.Resource, r.NotResource)
	}
	if variables && slices.ContainsFunc(s.resources, hasVariable) {
		return s, fmt.Errorf("policy variables are not supported: %v", s.resources)
	}
	var err error
	if s.principals, err = parsePrincipals(slices.Concat(r.Principal, r.NotPrincipal)); err != nil {
		return s, err
	}
	for operator, keys := range r.Condition {
		for key, values := range keys {
			if variables && slices.ContainsFunc(values, hasVariable) {
				return s, fmt.Errorf("policy variables are not supported: %v", values)
			}
			c, err := newCondition(operator, key, values)
			if err != nil {
				return s, err
			}
			s.conditions = append(s.conditions, c)
		}
	}
	return s, nil
}

func hasVariable(text string) bool { return strings.Contains(text, "${") }

func parsePrincipals(encoded json.RawMessage) (*principals, error) {
	if encoded == nil {
		return nil, nil
	}
	if string(encoded) == `"*"` {
		return &principals{everybody: true}, nil
	}
	var kinds map[string]texts
	if err := decode(encoded, &kinds); err != nil || len(kinds) == 0 {
		return nil, fmt.Errorf("invalid principal in policy: %s", encoded)
	}
	var p principals
	for kind, names := range kinds {
		switch kind {
		case "AWS":
			p.aws = names
			p.everybody = slices.Contains(names, "*")
			for _, name := range names {
				if name != "*" && !accountPattern.MatchString(name) && (!strings.HasPrefix(name, "arn:") || strings.ContainsAny(name, "*?")) {
					return nil, fmt.Errorf("invalid principal in policy: %q: an ARN without wildcards, an account or *", name)
				}
			}
		case "Service":
			p.services = names
		case "Federated":
			p.federated = names
		default:
			return nil, fmt.Errorf("invalid principal in policy: kind %q is not supported", kind)
		}
	}
	return &p, nil
}

// Identity says what the policy lacks to be one of a role: resources, in ARN
// form or *, and no principal.
func (d Document) Identity() error {
	for _, s := range d.statements {
		if s.principals != nil {
			return errors.New("policy document should not specify a principal")
		}
		if s.resources == nil {
			return errors.New("policy statement must contain resources")
		}
		for _, resource := range s.resources {
			if resource != "*" && strings.Count(resource, ":") < 5 {
				return fmt.Errorf("resource %s must be in ARN format or \"*\"", resource)
			}
		}
	}
	return nil
}

// Trust says what the policy lacks to be a role's trust policy: principals,
// and no resource.
func (d Document) Trust() error {
	for _, s := range d.statements {
		if s.principals == nil {
			return errors.New("missing required field Principal")
		}
		if s.resources != nil {
			return errors.New("has prohibited field Resource")
		}
	}
	return nil
}

// Resource says what the policy lacks to be one of a resource: principals and
// resources.
func (d Document) Resource() error {
	for _, s := range d.statements {
		if s.principals == nil {
			return errors.New("missing required field Principal")
		}
		if s.resources == nil {
			return errors.New("policy statement must contain resources")
		}
	}
	return nil
}
