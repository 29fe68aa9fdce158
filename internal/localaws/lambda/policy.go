package lambda

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/policy"
)

// permissions is the resource policy of one qualifier of a function.
type permissions struct {
	RevisionID string
	Statements []permission
}

// permission is one statement: who may invoke.
type permission struct {
	ID, Action, Principal, SourceARN, SourceAccount string
	Resource                                        string
}

// permissionInput is the body of AddPermission.
type permissionInput struct {
	Action, Principal, StatementId                        string
	SourceArn, SourceAccount, RevisionId                  string
	EventSourceToken, FunctionUrlAuthType, PrincipalOrgID string
	InvokedViaFunctionUrl                                 *bool
}

var (
	actionPattern    = regexp.MustCompile(`^(lambda:[*]|lambda:[a-zA-Z]+|[*])$`)
	statementPattern = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,100}$`)
	accountPattern   = regexp.MustCompile(`^\d{12}$`)
)

func (in permissionInput) validate() error {
	switch {
	case in.EventSourceToken != "" || in.FunctionUrlAuthType != "" || in.PrincipalOrgID != "" || in.InvokedViaFunctionUrl != nil:
		return invalid("the embedded AWS does not implement EventSourceToken, FunctionUrlAuthType, InvokedViaFunctionUrl and PrincipalOrgID")
	case !statementPattern.MatchString(in.StatementId):
		return constraint("statementId", in.StatementId, "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)")
	case !actionPattern.MatchString(in.Action):
		return constraint("action", in.Action, "Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])")
	case in.Principal == "":
		return constraint("principal", "null", "Member must not be null")
	case in.SourceArn != "" && !strings.HasPrefix(in.SourceArn, "arn:"):
		return constraint("sourceArn", in.SourceArn, "Member must satisfy regular expression pattern: arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:([a-z]{2}(-gov)?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)")
	}
	return nil
}

// qualified fails if the policy's qualifier is not a version or alias.
func (f *function) qualified(r reference) error {
	if r.Qualifier == latest {
		return invalid("We currently do not support adding policies for $LATEST.")
	}
	if _, isAlias := f.Aliases[r.Qualifier]; isAlias || f.version(r.Qualifier) != nil {
		return nil
	}
	return notFound(r)
}

func (s *store) addPermission(r reference, in permissionInput) (permission, error) {
	p := permission{
		ID: in.StatementId, Action: in.Action, Principal: in.Principal, SourceARN: in.SourceArn,
		SourceAccount: in.SourceAccount, Resource: r.arn(),
	}
	if err := in.validate(); err != nil {
		return p, err
	}
	return p, s.with(r, func(f *function) error {
		if err := f.qualified(r); err != nil {
			return err
		}
		current := f.Policies[r.Qualifier]
		if current == nil {
			current = &permissions{}
		}
		if err := precondition(in.RevisionId, current.RevisionID); err != nil {
			return err
		}
		for _, have := range current.Statements {
			if have.ID == p.ID {
				return fail(http.StatusConflict, "ResourceConflictException", "The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", p.ID)
			}
		}
		next := &permissions{newID(), append(slices.Clone(current.Statements), p)}
		document, err := next.document()
		if err != nil {
			return err
		}
		if _, err := policy.Parse(document); err != nil {
			return invalid("The provided principal was invalid. Please check the principal and try again. (%v)", err)
		}
		f.Policies[r.Qualifier] = next
		return nil
	})
}

func (s *store) removePermission(r reference, id, revisionID string) error {
	return s.with(r, func(f *function) error {
		current := f.Policies[r.Qualifier]
		if current != nil {
			if err := precondition(revisionID, current.RevisionID); err != nil {
				return err
			}
			kept := slices.DeleteFunc(slices.Clone(current.Statements), func(p permission) bool { return p.ID == id })
			if len(kept) < len(current.Statements) {
				f.Policies[r.Qualifier] = &permissions{newID(), kept}
				if len(kept) == 0 {
					delete(f.Policies, r.Qualifier)
				}
				return nil
			}
		}
		return fail(http.StatusNotFound, "ResourceNotFoundException", "Statement %s is not found in resource policy.", id)
	})
}

// policy returns the policy's document and revision.
func (s *store) policy(r reference) (document, revisionID string, err error) {
	err = s.with(r, func(f *function) error {
		current := f.Policies[r.Qualifier]
		if current == nil {
			return fail(http.StatusNotFound, "ResourceNotFoundException", "The resource you requested does not exist.")
		}
		revisionID = current.RevisionID
		document, err = current.document()
		return err
	})
	return document, revisionID, err
}

func (p *permissions) document() (string, error) {
	statements := make([]map[string]any, 0, len(p.Statements))
	for _, one := range p.Statements {
		statements = append(statements, one.statement())
	}
	encoded, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Id": "default", "Statement": statements})
	return string(encoded), err
}

// statement is the permission as AWS writes it into the policy.
func (p permission) statement() map[string]any {
	var principal any
	switch {
	case p.Principal == "*":
		principal = "*"
	case accountPattern.MatchString(p.Principal):
		principal = map[string]any{"AWS": "arn:aws:iam::" + p.Principal + ":root"}
	case strings.HasPrefix(p.Principal, "arn:"):
		principal = map[string]any{"AWS": p.Principal}
	default:
		principal = map[string]any{"Service": p.Principal}
	}
	statement := map[string]any{"Sid": p.ID, "Effect": "Allow", "Principal": principal, "Action": p.Action, "Resource": p.Resource}
	condition := map[string]any{}
	if p.SourceARN != "" {
		condition["ArnLike"] = map[string]any{"AWS:SourceArn": p.SourceARN}
	}
	if p.SourceAccount != "" {
		condition["StringEquals"] = map[string]any{"AWS:SourceAccount": p.SourceAccount}
	}
	if len(condition) > 0 {
		statement["Condition"] = condition
	}
	return statement
}

// allows says whether the policy of exactly this qualifier lets the request
// in: a permission on the function does not reach its aliases.
func (f *function) allows(qualifier string, req policy.Request) bool {
	current := f.Policies[qualifier]
	if current == nil {
		return false
	}
	document, err := current.document()
	if err != nil {
		return false // addPermission reads what it stores
	}
	parsed, err := policy.Parse(document)
	return err == nil && policy.Evaluate([]policy.Document{parsed}, req) == policy.Allowed
}
