package policy

import (
	"regexp"
	"slices"
	"strings"
)

// principals are those a statement names.
type principals struct {
	everybody bool
	aws       []string // ARNs, account ids
	services  []string
	federated []string
}

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// match says whether the principal is named, itself or through its account.
func (p *principals) match(principal string) bool {
	account := accountOf(principal)
	return p.itself(principal) || account != "" && slices.ContainsFunc(p.aws, func(named string) bool {
		return named == account || named == "arn:aws:iam::"+account+":root"
	})
}

// itself says whether the principal is named as what it is.
func (p *principals) itself(principal string) bool {
	switch {
	case p.everybody:
		return true
	case principal == "":
		return false
	case !strings.HasPrefix(principal, "arn:"):
		return slices.Contains(p.services, principal)
	case strings.Contains(principal, ":oidc-provider/") || strings.Contains(principal, ":saml-provider/"):
		return slices.Contains(p.federated, principal)
	}
	return slices.ContainsFunc(p.aws, func(named string) bool {
		return named == principal || named == accountOf(principal) && strings.HasSuffix(principal, ":root") || isSessionOf(principal, named)
	})
}

// isSessionOf says whether the session is one of the role: a session's ARN has
// the role's name without its path, which is unique in the account.
func isSessionOf(session, role string) bool {
	account := accountOf(session)
	rest, isSession := strings.CutPrefix(session, "arn:aws:sts::"+account+":assumed-role/")
	named, isRole := strings.CutPrefix(role, "arn:aws:iam::"+account+":role/")
	if !isSession || !isRole {
		return false
	}
	name, _, _ := strings.Cut(rest, "/")
	return name == named[strings.LastIndex(named, "/")+1:]
}

// accountOf is the account of an IAM or STS principal, "" for services and
// for nobody.
func accountOf(principal string) string {
	parts := strings.SplitN(principal, ":", 6)
	if len(parts) < 6 || strings.Contains(principal, "-provider/") || !accountPattern.MatchString(parts[4]) {
		return ""
	}
	return parts[4]
}
