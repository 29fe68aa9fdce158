package iam

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// callerIdentity tells a session's role, and the administrator otherwise. It
// needs no right.
func (s *Service) callerIdentity(ctx context.Context, _ url.Values) (any, error) {
	call := wire.FromContext(ctx)
	arn, user := "arn:aws:iam::"+wire.Account+":user/local", "AIDALOCAL"
	if as, bound := s.sessionOf(call.AccessKeyID); bound {
		arn = assumedARN(as.roleARN, as.name)
		user = "AROALOCAL:" + as.name
	}
	return struct{ Arn, UserId, Account string }{arn, user, wire.Account}, nil
}

func assumedARN(roleARN, session string) string {
	return "arn:aws:sts::" + wire.Account + ":assumed-role/" + roleARN[strings.LastIndex(roleARN, "/")+1:] + "/" + session
}

// WebIdentity tells the requests that STS takes without a signature: what they
// carry instead is a token. It reads the request's form.
func WebIdentity(r *http.Request) bool {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return false
	}
	r.Body = http.MaxBytesReader(nil, r.Body, wire.MaxBody)
	return r.ParseForm() == nil && r.PostForm.Get("Action") == "AssumeRoleWithWebIdentity"
}

// assumption is what both operations answer.
type assumption struct {
	Credentials     sessionCredentials
	AssumedRoleUser assumedUser
}

type sessionCredentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }

type assumedUser struct{ AssumedRoleId, Arn string }

// open checks what a form asks of a session and opens it; the caller has been
// let in.
func (s *Service) open(call wire.Call, form url.Values) (assumption, error) {
	roleARN, session := form.Get("RoleArn"), form.Get("RoleSessionName")
	s.mu.Lock()
	r, err := s.byARN(roleARN)
	s.mu.Unlock()
	if err != nil {
		return assumption{}, err
	}
	seconds := 3600
	if n, err := strconv.Atoi(form.Get("DurationSeconds")); err == nil {
		seconds = n
	}
	if seconds < 900 || seconds > r.maxSession {
		return assumption{}, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	key, secret, token := s.openSession(roleARN, session)
	return assumption{
		sessionCredentials{key, secret, token, call.Now.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339)},
		assumedUser{r.id + ":" + session, assumedARN(roleARN, session)},
	}, nil
}

// checkSession refuses what the embedded AWS would leave out of the session.
func checkSession(form url.Values) error {
	if session := form.Get("RoleSessionName"); !sessionPattern.MatchString(session) {
		return validation("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]{2,64}", session)
	}
	for _, member := range []string{"Policy", "PolicyArns.member.1.arn", "SourceIdentity", "SerialNumber", "ExternalId", "Tags.member.1.Key"} {
		if form.Has(member) {
			return validation("the embedded AWS opens sessions without %s", member)
		}
	}
	return nil
}

// assumeRole gives a session to whom the role's trust policy lets in: named
// itself, or named by the account and allowed by its own policies. The root
// needs no policy of its own, but the role's trust as everybody.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (s *Service) assumeRole(ctx context.Context, form url.Values) (any, error) {
	if err := checkSession(form); err != nil {
		return nil, err
	}
	call, roleARN := wire.FromContext(ctx), form.Get("RoleArn")
	c, err := s.callerOf(call.AccessKeyID)
	if err != nil {
		return nil, err
	}
	req := policy.Request{Principal: c.arn, Action: "sts:AssumeRole", Resource: roleARN, Keys: c.keys(nil)}
	refused := wire.Errorf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.arn, roleARN)
	s.mu.Lock()
	r, err := s.byARN(roleARN)
	s.mu.Unlock()
	if err != nil {
		return nil, refused
	}
	trust := []policy.Document{r.trust.parsed}
	identity := policy.Evaluate(c.policies, req)
	switch {
	case policy.Evaluate(trust, req) != policy.Allowed, identity == policy.ExplicitDeny:
		return nil, refused
	case !c.root && identity != policy.Allowed && !policy.Grants(trust, req):
		return nil, refused
	}
	return s.open(call, form)
}

// claims are those of a token that trust policies look at.
type claims struct {
	Issuer   string    `json:"iss"`
	Subject  string    `json:"sub"`
	Audience audiences `json:"aud"`
	Expires  int64     `json:"exp"` // seconds since the epoch; 0: never
}

// audiences is one or a list.
type audiences []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audiences) UnmarshalJSON(encoded []byte) error {
	var one string
	if json.Unmarshal(encoded, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(encoded, (*[]string)(a))
}

// readToken reads the claims of a JSON Web Token. Its signature is not
// verified: the embedded AWS has nobody's keys and takes any credentials.
func readToken(token string) (claims, error) {
	var c claims
	invalid := wire.Errorf(http.StatusBadRequest, "InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, invalid
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil || c.Issuer == "" || c.Subject == "" || len(c.Audience) == 0 {
		return c, invalid
	}
	return c, nil
}

// assumeRoleWithWebIdentity gives a session to the bearer of a token of a
// known identity provider whose claims the role's trust policy allows. It
// comes without a signature. The token's own signature is not verified.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func (s *Service) assumeRoleWithWebIdentity(ctx context.Context, form url.Values) (any, error) {
	if err := checkSession(form); err != nil {
		return nil, err
	}
	call := wire.FromContext(ctx)
	token, err := readToken(form.Get("WebIdentityToken"))
	if err != nil {
		return nil, err
	}
	host := strings.TrimPrefix(token.Issuer, "https://")
	provider := issuerARN(host)
	s.mu.Lock()
	known := s.issuers[provider]
	s.mu.Unlock()
	switch {
	case known == nil:
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for %s", token.Issuer)
	case !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(known.clients, a) }):
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidIdentityToken", "Incorrect token audience")
	case token.Expires != 0 && !call.Now.Before(time.Unix(token.Expires, 0)):
		return nil, wire.Errorf(http.StatusBadRequest, "ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")
	}
	if err := s.trusts(form.Get("RoleArn"), policy.Request{
		Principal: provider, Action: "sts:AssumeRoleWithWebIdentity",
		Keys: map[string][]string{host + ":aud": token.Audience, host + ":sub": {token.Subject}},
	}); err != nil {
		return nil, wire.Errorf(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	session, err := s.open(call, form)
	return struct {
		assumption
		SubjectFromWebIdentityToken, Audience, Provider string
	}{session, token.Subject, token.Audience[0], provider}, err
}
