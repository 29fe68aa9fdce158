package iam

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// The XML namespaces of the two services.
const (
	iamNamespace = "https://iam.amazonaws.com/doc/2010-05-08/"
	stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

type operations = map[string]func(context.Context, url.Values) (any, error)

// Handler serves both Query APIs; the signature's scope says which is meant.
func (s *Service) Handler() http.Handler {
	iam := wire.Query(s.options.Log, iamNamespace, s.guarded(s.iamOperations()))
	sts := wire.Query(s.options.Log, stsNamespace, operations{
		"GetCallerIdentity": s.callerIdentity, "AssumeRole": s.assumeRole, "AssumeRoleWithWebIdentity": s.assumeRoleWithWebIdentity,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wire.FromContext(r.Context()).Service == "sts" {
			sts.ServeHTTP(w, r)
			return
		}
		iam.ServeHTTP(w, r)
	})
}

func (s *Service) iamOperations() operations {
	return operations{
		"CreateRole": s.create, "ListRoles": s.list,
		"CreatePolicy": s.createPolicy, "DeletePolicy": s.deleteManaged, "GetPolicy": s.getPolicy, "GetPolicyVersion": s.getPolicyVersion,
		"GetRole": s.onRole(getRole), "UpdateRole": s.onRole(updateRole), "UpdateRoleDescription": s.onRole(updateRole), "DeleteRole": s.onRole(s.deleteRole),
		"UpdateAssumeRolePolicy": s.onRole(updateTrust),
		"PutRolePolicy":          s.onRole(putPolicy), "GetRolePolicy": s.onRole(getRolePolicy), "DeleteRolePolicy": s.onRole(deletePolicy), "ListRolePolicies": s.onRole(listPolicies),
		"AttachRolePolicy": s.onRole(s.attachPolicy), "DetachRolePolicy": s.onRole(detachPolicy), "ListAttachedRolePolicies": s.onRole(listAttached),
		"ListInstanceProfilesForRole": s.onRole(listProfiles),
		"CreateOpenIDConnectProvider": s.createIssuer, "ListOpenIDConnectProviders": s.listIssuers,
		"GetOpenIDConnectProvider": s.onIssuer(getIssuer), "DeleteOpenIDConnectProvider": s.onIssuer(s.deleteIssuer),
		"TagRole": s.onRole(tagRole), "UntagRole": s.onRole(untagRole), "ListRoleTags": s.onRole(listTags),
	}
}

// guarded asks for iam:OPERATION on what the form names, before it is served.
func (s *Service) guarded(all operations) operations {
	out := operations{}
	for name, serve := range all {
		out[name] = func(ctx context.Context, form url.Values) (any, error) {
			ask := wire.Ask{AccessKeyID: wire.FromContext(ctx).AccessKeyID, Action: "iam:" + name, Resource: s.resourceOf(form)}
			if err := s.Authorize(ctx, ask); err != nil {
				return nil, accessDenied(err)
			}
			return serve(ctx, form)
		}
	}
	return out
}

// resourceOf is the ARN of what a form is about, "*" where it names nothing.
func (s *Service) resourceOf(form url.Values) string {
	if name := form.Get("RoleName"); name != "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r, err := s.find(name); err == nil {
			return r.arn
		}
		return "arn:aws:iam::" + wire.Account + ":role" + cmp.Or(form.Get("Path"), "/") + name
	}
	if name := form.Get("PolicyName"); name != "" {
		return policyARN(form.Get("Path"), name)
	}
	return cmp.Or(form.Get("OpenIDConnectProviderArn"), form.Get("PolicyArn"), "*")
}

// accessDenied is a denial as the Query services write it.
func accessDenied(err error) error {
	if e := wire.AsError(err); e.Code == "AccessDeniedException" {
		return wire.Errorf(http.StatusForbidden, "AccessDenied", "%s", e.Message)
	}
	return err
}

// onRole makes an operation of a function on one role.
func (s *Service) onRole(serve func(*role, url.Values) (any, error)) func(context.Context, url.Values) (any, error) {
	return func(_ context.Context, form url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		r, err := s.find(form.Get("RoleName"))
		if err != nil {
			return nil, err
		}
		return serve(r, form)
	}
}

type tagXML struct{ Key, Value string }

type roleXML struct {
	Path, RoleName, RoleId, Arn string
	CreateDate                  string
	AssumeRolePolicyDocument    string
	Description                 string `xml:",omitempty"`
	MaxSessionDuration          int
	PermissionsBoundary         *boundaryXML `xml:",omitempty"`
	Tags                        []tagXML     `xml:"Tags>member,omitempty"`
}

type boundaryXML struct{ PermissionsBoundaryType, PermissionsBoundaryArn string }

func (r *role) xml() roleXML {
	var boundary *boundaryXML
	if r.boundary != "" {
		boundary = &boundaryXML{"Policy", r.boundary}
	}
	return roleXML{
		PermissionsBoundary: boundary,
		Path:                r.path, RoleName: r.name, RoleId: r.id, Arn: r.arn, CreateDate: r.created.Format(time.RFC3339),
		AssumeRolePolicyDocument: escape(r.trust.text), Description: r.description, MaxSessionDuration: r.maxSession, Tags: tagsXML(r.tags),
	}
}

// escape is the URL encoding IAM gives policy documents in answers.
func escape(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

func tagsXML(of map[string]string) []tagXML {
	var tags []tagXML
	for _, key := range slices.Sorted(maps.Keys(of)) {
		tags = append(tags, tagXML{key, of[key]})
	}
	return tags
}

type wrapRole struct{ Role roleXML }

func formTags(form url.Values) map[string]string {
	tags := map[string]string{}
	for i := 1; form.Has("Tags.member." + strconv.Itoa(i) + ".Key"); i++ {
		prefix := "Tags.member." + strconv.Itoa(i)
		tags[form.Get(prefix+".Key")] = form.Get(prefix + ".Value")
	}
	return tags
}

// formMaxSession is 0 where the form does not say.
func formMaxSession(form url.Values) (int, error) {
	text := form.Get("MaxSessionDuration")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 3600 || seconds > 43200 {
		return 0, validation("1 validation error detected: Value '%s' at 'maxSessionDuration' failed to satisfy constraint: Member must be between 3600 and 43200", text)
	}
	return seconds, nil
}

func (s *Service) create(ctx context.Context, form url.Values) (any, error) {
	maxSession, err := formMaxSession(form)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.createRole(wire.FromContext(ctx).Now, form.Get("RoleName"), form.Get("Path"), form.Get("AssumeRolePolicyDocument"), form.Get("Description"), maxSession, formTags(form))
	if err != nil {
		return nil, err
	}
	r.boundary = form.Get("PermissionsBoundary")
	return wrapRole{r.xml()}, nil
}

func (s *Service) list(_ context.Context, form url.Values) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out struct {
		Roles       []roleXML `xml:"Roles>member"`
		IsTruncated bool
	}
	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		if strings.HasPrefix(s.roles[name].path, form.Get("PathPrefix")) {
			out.Roles = append(out.Roles, s.roles[name].xml())
		}
	}
	return out, nil
}

func getRole(r *role, _ url.Values) (any, error) { return wrapRole{r.xml()}, nil }

func updateRole(r *role, form url.Values) (any, error) {
	seconds, err := formMaxSession(form)
	if err != nil {
		return nil, err
	}
	if seconds > 0 {
		r.maxSession = seconds
	}
	if form.Has("Description") {
		r.description = form.Get("Description")
	}
	return struct{}{}, nil
}

func updateTrust(r *role, form url.Values) (any, error) {
	trust, err := read(form.Get("PolicyDocument"), policy.Document.Trust)
	if err != nil {
		return nil, err
	}
	r.trust = trust
	return nil, nil
}

func (s *Service) deleteRole(r *role, _ url.Values) (any, error) {
	switch {
	case len(r.attached) > 0:
		return nil, wire.Errorf(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	case len(r.inline) > 0:
		return nil, wire.Errorf(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	delete(s.roles, r.name)
	return nil, nil
}

func putPolicy(r *role, form url.Values) (any, error) {
	return nil, r.putInline(form.Get("PolicyName"), form.Get("PolicyDocument"))
}

func noSuchPolicy(name string) error {
	return wire.Errorf(http.StatusNotFound, "NoSuchEntity", "The role policy with name %s cannot be found.", name)
}

func getRolePolicy(r *role, form url.Values) (any, error) {
	name := form.Get("PolicyName")
	document, found := r.inline[name]
	if !found {
		return nil, noSuchPolicy(name)
	}
	return struct{ RoleName, PolicyName, PolicyDocument string }{r.name, name, escape(document.text)}, nil
}

func deletePolicy(r *role, form url.Values) (any, error) {
	name := form.Get("PolicyName")
	if _, found := r.inline[name]; !found {
		return nil, noSuchPolicy(name)
	}
	delete(r.inline, name)
	return nil, nil
}

func listPolicies(r *role, _ url.Values) (any, error) {
	return struct {
		PolicyNames []string `xml:"PolicyNames>member"`
		IsTruncated bool
	}{PolicyNames: slices.Sorted(maps.Keys(r.inline))}, nil
}

func detachPolicy(r *role, form url.Values) (any, error) {
	arn := form.Get("PolicyArn")
	if _, found := r.attached[arn]; !found {
		return nil, wire.Errorf(http.StatusNotFound, "NoSuchEntity", "Policy %s was not found.", arn)
	}
	delete(r.attached, arn)
	return nil, nil
}

func listAttached(r *role, _ url.Values) (any, error) {
	type policy struct{ PolicyName, PolicyArn string }
	var out struct {
		AttachedPolicies []policy `xml:"AttachedPolicies>member"`
		IsTruncated      bool
	}
	for _, arn := range slices.Sorted(maps.Keys(r.attached)) {
		out.AttachedPolicies = append(out.AttachedPolicies, policy{r.attached[arn], arn})
	}
	return out, nil
}

func listProfiles(*role, url.Values) (any, error) {
	return struct {
		InstanceProfiles string
		IsTruncated      bool
	}{}, nil
}

func tagRole(r *role, form url.Values) (any, error) {
	maps.Copy(r.tags, formTags(form))
	return nil, nil
}

func untagRole(r *role, form url.Values) (any, error) {
	for i := 1; form.Has("TagKeys.member." + strconv.Itoa(i)); i++ {
		delete(r.tags, form.Get("TagKeys.member."+strconv.Itoa(i)))
	}
	return nil, nil
}

func listTags(r *role, _ url.Values) (any, error) {
	return struct {
		Tags        []tagXML `xml:"Tags>member"`
		IsTruncated bool
	}{Tags: tagsXML(r.tags)}, nil
}
