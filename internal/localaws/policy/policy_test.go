package policy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapctl/tapctl/internal/localaws/policy"
)

func parse(t interface {
	Helper()
	Fatalf(string, ...any)
}, document string) policy.Document {
	t.Helper()
	d, err := policy.Parse(document)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return d
}

// in2012 wraps statements in a document.
func in2012(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

const (
	session = "arn:aws:sts::000000000000:assumed-role/api/one"
	table   = "arn:aws:dynamodb:eu-west-1:000000000000:table/items"
)

func get() policy.Request {
	return policy.Request{Principal: session, Action: "dynamodb:GetItem", Resource: table}
}

func TestStatementsApply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, statement string
		want            policy.Decision
	}{
		{"the action on the resource", `{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"` + table + `"}`, policy.Allowed},
		{"actions without case", `{"Effect":"Allow","Action":["DynamoDB:getitem"],"Resource":"*"}`, policy.Allowed},
		{"resources with case", `{"Effect":"Allow","Action":"*","Resource":"` + strings.ToUpper(table) + `"}`, policy.ImplicitDeny},
		{"a wildcard in the action", `{"Effect":"Allow","Action":"dynamodb:Get*","Resource":"*"}`, policy.Allowed},
		{"one character in the action", `{"Effect":"Allow","Action":"dynamodb:?etItem","Resource":"*"}`, policy.Allowed},
		{"another action", `{"Effect":"Allow","Action":"dynamodb:PutItem","Resource":"*"}`, policy.ImplicitDeny},
		{"a wildcard crosses slashes", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:dynamodb:*items"}`, policy.Allowed},
		{"another table", `{"Effect":"Allow","Action":"*","Resource":"` + table + `2"}`, policy.ImplicitDeny},
		{"only the indexes", `{"Effect":"Allow","Action":"*","Resource":"` + table + `/index/*"}`, policy.ImplicitDeny},
		{"all but the action", `{"Effect":"Allow","NotAction":"dynamodb:GetItem","Resource":"*"}`, policy.ImplicitDeny},
		{"all but another action", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, policy.Allowed},
		{"all but the resource", `{"Effect":"Allow","Action":"*","NotResource":"` + table + `"}`, policy.ImplicitDeny},
		{"all but another resource", `{"Effect":"Allow","Action":"*","NotResource":["arn:aws:s3:::a"]}`, policy.Allowed},
		{"denied", `{"Effect":"Deny","Action":"*","Resource":"*"}`, policy.ExplicitDeny},
		{"something else denied", `{"Effect":"Deny","Action":"iam:*","Resource":"*"}`, policy.ImplicitDeny},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := policy.Evaluate([]policy.Document{parse(t, in2012(test.statement))}, get()); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			// Without the list, as AWS also takes it.
			alone := parse(t, `{"Statement":`+test.statement+`}`)
			if got := policy.Evaluate([]policy.Document{alone}, get()); got != test.want {
				t.Errorf("alone: %s, want %s", got, test.want)
			}
		})
	}
}

func TestPrincipals(t *testing.T) {
	t.Parallel()
	const (
		oidc = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com"
		root = "arn:aws:iam::000000000000:root"
	)
	tests := []struct {
		name, principal, who string
		named, itself        bool
	}{
		{"everybody", `"*"`, session, true, true},
		{"everybody, anonymously", `"*"`, "", true, true},
		{"every AWS principal", `{"AWS":"*"}`, "", true, true},
		{"the session", `{"AWS":"` + session + `"}`, session, true, true},
		{"the session's role", `{"AWS":"arn:aws:iam::000000000000:role/api"}`, session, true, true},
		{"the session's role on a path", `{"AWS":"arn:aws:iam::000000000000:role/team/a/api"}`, session, true, true},
		{"another role", `{"AWS":"arn:aws:iam::000000000000:role/api2"}`, session, false, false},
		{"the role of another account", `{"AWS":"arn:aws:iam::111111111111:role/api"}`, session, false, false},
		{"the account", `{"AWS":"` + root + `"}`, session, true, false},
		{"the account's id", `{"AWS":["000000000000"]}`, session, true, false},
		{"the account itself", `{"AWS":"000000000000"}`, root, true, true},
		{"another account", `{"AWS":"111111111111"}`, session, false, false},
		{"the account, anonymously", `{"AWS":"` + root + `"}`, "", false, false},
		{"a service", `{"Service":["lambda.amazonaws.com","s3.amazonaws.com"]}`, "lambda.amazonaws.com", true, true},
		{"another service", `{"Service":"s3.amazonaws.com"}`, "lambda.amazonaws.com", false, false},
		{"a service is no account", `{"AWS":"000000000000"}`, "lambda.amazonaws.com", false, false},
		{"a session is no service", `{"Service":"lambda.amazonaws.com"}`, session, false, false},
		{"an identity provider", `{"Federated":"` + oidc + `"}`, oidc, true, true},
		{"an identity provider is not its account", `{"AWS":"` + root + `"}`, oidc, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := get()
			req.Principal = test.who
			allow := []policy.Document{parse(t, in2012(`{"Effect":"Allow","Principal":`+test.principal+`,"Action":"*","Resource":"*"}`))}
			deny := []policy.Document{parse(t, in2012(`{"Effect":"Deny","Principal":`+test.principal+`,"Action":"*","Resource":"*"}`))}
			butNot := []policy.Document{parse(t, in2012(`{"Effect":"Deny","NotPrincipal":`+test.principal+`,"Action":"*","Resource":"*"}`))}
			type answers struct{ Allowed, Itself, Denied, ButNotDenied bool }
			want := answers{test.named, test.itself, test.named, !test.named}
			got := answers{
				policy.Evaluate(allow, req) == policy.Allowed, policy.Grants(allow, req),
				policy.Evaluate(deny, req) == policy.ExplicitDeny, policy.Evaluate(butNot, req) == policy.ExplicitDeny,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			everybody := parse(t, in2012(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`))
			if granted := policy.Grants(append(deny, everybody), req); granted != !test.named {
				t.Errorf("granted to everybody and denied to these: %v", granted)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	one := func(values ...string) map[string][]string { return map[string][]string{"AWS:key": values} }
	tests := []struct {
		condition string
		keys      map[string][]string
		want      bool
	}{
		{`"StringEquals":{"aws:Key":"a"}`, one("a"), true},
		{`"StringEquals":{"aws:key":["b","a"]}`, one("a"), true},
		{`"StringEquals":{"aws:key":"a"}`, one("A"), false},
		{`"StringEquals":{"aws:key":"a*"}`, one("ab"), false},
		{`"StringEquals":{"aws:key":"a"}`, nil, false},
		{`"StringEquals":{"aws:key":"a"}`, one(), false},
		{`"StringEqualsIfExists":{"aws:key":"a"}`, nil, true},
		{`"StringEqualsIfExists":{"aws:key":"a"}`, one("b"), false},
		{`"StringNotEquals":{"aws:key":["a","b"]}`, one("b"), false},
		{`"StringNotEquals":{"aws:key":["a","b"]}`, one("c"), true},
		{`"StringNotEquals":{"aws:key":"a"}`, nil, true},
		{`"StringEqualsIgnoreCase":{"aws:key":"a"}`, one("A"), true},
		{`"StringNotEqualsIgnoreCase":{"aws:key":"a"}`, one("A"), false},
		{`"StringLike":{"kms:ViaService":"dynamodb.*.amazonaws.com"}`, map[string][]string{"kms:viaservice": {"dynamodb.eu-west-1.amazonaws.com"}}, true},
		{`"StringLike":{"kms:ViaService":"dynamodb.*.amazonaws.com"}`, map[string][]string{"kms:viaservice": {"s3.eu-west-1.amazonaws.com"}}, false},
		{`"StringLike":{"aws:key":"A?"}`, one("ab"), false},
		{`"StringNotLike":{"aws:key":"a*"}`, one("ab"), false},
		{`"StringNotLike":{"aws:key":"a*"}`, nil, true},
		{`"ArnLike":{"aws:key":"arn:aws:s3:*:*:b*"}`, one("arn:aws:s3:::bucket/x:y"), true},
		{`"ArnEquals":{"aws:key":"arn:aws:s3:::b*"}`, one("arn:aws:s3:::bucket"), true},
		{`"ArnLike":{"aws:key":"arn:aws:s*:::x"}`, one("arn:aws:sns:eu-west-1:1:x"), false},
		{`"ArnLike":{"aws:key":"arn:aws:s*:*:*:x"}`, one("arn:aws:sns:eu-west-1:1:x"), true},
		{`"ArnNotEquals":{"aws:key":"arn:aws:s3:::x"}`, one("arn:aws:s3:::x"), false},
		{`"ArnNotLike":{"aws:key":"arn:aws:s3:::x"}`, nil, true},
		{`"NumericLessThan":{"aws:key":5}`, one("4.5"), true},
		{`"NumericLessThan":{"aws:key":"5"}`, one("5"), false},
		{`"NumericLessThanEquals":{"aws:key":"5"}`, one("5"), true},
		{`"NumericGreaterThan":{"aws:key":"5"}`, one("40"), true},
		{`"NumericGreaterThanEquals":{"aws:key":"5"}`, one("4"), false},
		{`"NumericEquals":{"aws:key":"5"}`, one("5.0"), true},
		{`"NumericNotEquals":{"aws:key":"5"}`, one("5.0"), false},
		{`"NumericEquals":{"aws:key":"5"}`, one("five"), false},
		{`"DateGreaterThan":{"aws:key":"2026-01-02"}`, one("2026-01-02T00:00:01Z"), true},
		{`"DateLessThan":{"aws:key":"2026-01-02T00:00:00Z"}`, one("2026-01-02T00:30:00+01:00"), true},
		{`"DateEquals":{"aws:key":"1970-01-01T00:01:00Z"}`, one("60"), true},
		{`"DateNotEquals":{"aws:key":"60"}`, one("60"), false},
		{`"DateLessThanEquals":{"aws:key":"60"}`, one("60"), true},
		{`"DateGreaterThanEquals":{"aws:key":"60"}`, one("59"), false},
		{`"Bool":{"aws:SecureTransport":true}`, map[string][]string{"aws:securetransport": {"true"}}, true},
		{`"Bool":{"aws:SecureTransport":"false"}`, map[string][]string{"aws:securetransport": {"true"}}, false},
		{`"Bool":{"aws:SecureTransport":"false"}`, nil, false},
		{`"IpAddress":{"aws:key":["203.0.113.0/24","2001:db8::/32"]}`, one("203.0.113.7"), true},
		{`"IpAddress":{"aws:key":["203.0.113.0/24","2001:db8::/32"]}`, one("2001:db8::1"), true},
		{`"IpAddress":{"aws:key":"203.0.113.7"}`, one("::ffff:203.0.113.7"), true},
		{`"IpAddress":{"aws:key":"203.0.113.7"}`, one("203.0.113.8"), false},
		{`"NotIpAddress":{"aws:key":"203.0.113.0/24"}`, one("203.0.113.7"), false},
		{`"NotIpAddress":{"aws:key":"203.0.113.0/24"}`, one("203.0.114.7"), true},
		{`"Null":{"aws:key":"true"}`, nil, true},
		{`"Null":{"aws:key":"true"}`, one("a"), false},
		{`"Null":{"aws:key":false}`, one("a"), true},
		{`"Null":{"aws:key":false}`, nil, false},
		{`"ForAllValues:StringEquals":{"aws:key":["a","b"]}`, one("a", "b", "a"), true},
		{`"ForAllValues:StringEquals":{"aws:key":["a","b"]}`, one("a", "c"), false},
		{`"ForAllValues:StringEquals":{"aws:key":["a","b"]}`, nil, true},
		{`"ForAllValues:StringNotEquals":{"aws:key":["a","b"]}`, one("c", "a"), false},
		{`"ForAllValues:StringNotLike":{"aws:key":"a*"}`, one("b", "c"), true},
		{`"ForAnyValue:StringEquals":{"aws:key":["a","b"]}`, one("c", "b"), true},
		{`"ForAnyValue:StringEquals":{"aws:key":["a","b"]}`, one("c"), false},
		{`"ForAnyValue:StringEquals":{"aws:key":"a"}`, nil, false},
		{`"ForAnyValue:StringNotEquals":{"aws:key":"a"}`, one("a", "b"), true},
		{`"ForAnyValue:StringNotEquals":{"aws:key":"a"}`, nil, false},
		{`"ForAnyValue:StringLikeIfExists":{"aws:key":"a*"}`, nil, true},
		{`"StringEquals":{"aws:key":"a"},"Bool":{"aws:other":"true"}`, map[string][]string{"aws:key": {"a"}}, false},
		{`"StringEquals":{"aws:key":"a","aws:other":"b"}`, map[string][]string{"aws:key": {"a"}, "aws:other": {"b"}}, true},
		{`"StringEquals":{"aws:key":"a","aws:other":"b"}`, map[string][]string{"aws:key": {"a"}, "aws:other": {"c"}}, false},
	}
	for _, test := range tests {
		t.Run(test.condition+fmt.Sprint(test.keys), func(t *testing.T) {
			t.Parallel()
			req := get()
			req.Keys = test.keys
			d := parse(t, in2012(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+test.condition+`}}`))
			if got := policy.Evaluate([]policy.Document{d}, req) == policy.Allowed; got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	allow := func(more string) string {
		return in2012(`{"Effect":"Allow","Action":"a:b","Resource":"*"` + more + `}`)
	}
	for name, document := range map[string]string{
		"no JSON":                    `x`,
		"a list":                     `[]`,
		"two documents":              allow("") + allow(""),
		"no statement":               `{"Version":"2012-10-17"}`,
		"an empty list":              `{"Version":"2012-10-17","Statement":[]}`,
		"a statement that is a text": `{"Statement":"x"}`,
		"another version":            `{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		"an unknown element":         allow(`,"Ressource":"*"`),
		"an unknown member":          `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"Extra":1}`,
		"another effect":             in2012(`{"Effect":"Maybe","Action":"*","Resource":"*"}`),
		"no effect":                  in2012(`{"Action":"*","Resource":"*"}`),
		"no action":                  in2012(`{"Effect":"Allow","Resource":"*"}`),
		"an empty list of actions":   in2012(`{"Effect":"Allow","Action":[],"Resource":"*"}`),
		"an empty list of resources": in2012(`{"Effect":"Allow","Action":"*","Resource":[]}`),
		"an action without service":  in2012(`{"Effect":"Allow","Action":"GetItem","Resource":"*"}`),
		"an action that is a map":    in2012(`{"Effect":"Allow","Action":{},"Resource":"*"}`),
		"both kinds of action":       allow(`,"NotAction":"a:c"`),
		"both kinds of resource":     allow(`,"NotResource":"*"`),
		"both kinds of principal":    allow(`,"Principal":"*","NotPrincipal":"*"`),
		"allowing all but one":       allow(`,"NotPrincipal":"*"`),
		"a principal by its name":    allow(`,"Principal":"me"`),
		"no principal":               allow(`,"Principal":{}`),
		"a canonical user":           allow(`,"Principal":{"CanonicalUser":"x"}`),
		"a wildcard in a principal":  allow(`,"Principal":{"AWS":"arn:aws:iam::000000000000:role/*"}`),
		"half an account":            allow(`,"Principal":{"AWS":"0000"}`),
		"an unknown operator":        allow(`,"Condition":{"StringIs":{"a:b":"c"}}`),
		"BinaryEquals":               allow(`,"Condition":{"BinaryEquals":{"a:b":"Yw=="}}`),
		"a quantified Null":          allow(`,"Condition":{"ForAllValues:Null":{"a:b":"true"}}`),
		"NullIfExists":               allow(`,"Condition":{"NullIfExists":{"a:b":"true"}}`),
		"Null of something":          allow(`,"Condition":{"Null":{"a:b":"c"}}`),
		"no number":                  allow(`,"Condition":{"NumericEquals":{"a:b":"c"}}`),
		"no date":                    allow(`,"Condition":{"DateEquals":{"a:b":"c"}}`),
		"no truth value":             allow(`,"Condition":{"Bool":{"a:b":"c"}}`),
		"no range":                   allow(`,"Condition":{"IpAddress":{"a:b":"10.0.0.0/99"}}`),
		"no ARN":                     allow(`,"Condition":{"ArnLike":{"a:b":"c"}}`),
		"no value":                   allow(`,"Condition":{"StringEquals":{"a:b":[]}}`),
		"a variable in a condition":  allow(`,"Condition":{"StringEquals":{"a:b":"${aws:username}"}}`),
		"a variable in a resource":   in2012(`{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3:::b/${aws:username}"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d, err := policy.Parse(document); err == nil {
				t.Errorf("%s was read as %+v", document, d)
			}
		})
	}
	// The older version has no variables: the text means itself.
	old := parse(t, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3:::b/${aws:username}"}}`)
	if got := policy.Evaluate([]policy.Document{old}, policy.Request{Action: "a:b", Resource: "arn:aws:s3:::b/${aws:username}"}); got != policy.Allowed {
		t.Errorf("%s in a document of 2008", got)
	}
}

func TestWhatADocumentIsFor(t *testing.T) {
	t.Parallel()
	type fits struct{ Identity, Trust, Resource bool }
	for statement, want := range map[string]fits{
		`{"Effect":"Allow","Action":"a:b","Resource":"*"}`:                                            {Identity: true},
		`{"Effect":"Allow","Action":"a:b","NotResource":"arn:aws:s3:::b"}`:                            {Identity: true},
		`{"Effect":"Allow","Action":"a:b","Resource":"b"}`:                                            {},
		`{"Effect":"Allow","Action":"a:b","Principal":"*"}`:                                           {Trust: true},
		`{"Effect":"Allow","Action":"a:b","Principal":"*","Resource":"execute-api:/*"}`:               {Resource: true},
		`{"Effect":"Allow","Action":"a:b"}`:                                                           {},
		`{"Effect":"Deny","Action":"a:b","NotPrincipal":{"AWS":"000000000000"},"Resource":["a","b"]}`: {Resource: true},
	} {
		d := parse(t, in2012(statement))
		if diff := cmp.Diff(want, fits{d.Identity() == nil, d.Trust() == nil, d.Resource() == nil}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", statement, diff)
		}
	}
	d := parse(t, in2012(`{"Effect":"Allow","Action":["B:c","a:*"],"Resource":"*","Condition":{"StringLike":{"X:y":"z"},"Bool":{"x:Y":true,"x:a":false}}}`,
		`{"Effect":"Deny","NotAction":"d:e","Resource":"*"}`))
	if diff := cmp.Diff([]string{"a:*", "b:c"}, d.Actions()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"x:a", "x:y"}, d.ConditionKeys()); diff != "" {
		t.Error(diff)
	}
}

// statements are random ones over a small world, so that they often meet.
func statements(effects ...string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		patterns := []string{"*", "s:a", "s:b", "s:?", "s:a*"}
		resources := []string{"*", "arn:aws:s:::x", "arn:aws:s:::y", "arn:aws:s:::?"}
		conditions := []string{`{}`, `{"StringEquals":{"k:v":"1"}}`, `{"StringNotEquals":{"k:v":"1"}}`, `{"Null":{"k:v":"true"}}`, `{"ForAllValues:StringLike":{"k:v":["1","2"]}}`}
		return fmt.Sprintf(`{"Effect":%q,%q:%q,%q:%q,"Condition":%s}`, rapid.SampledFrom(effects).Draw(t, "effect"),
			rapid.SampledFrom([]string{"Action", "NotAction"}).Draw(t, "kind"), rapid.SampledFrom(patterns).Draw(t, "action"),
			rapid.SampledFrom([]string{"Resource", "NotResource"}).Draw(t, "kind"), rapid.SampledFrom(resources).Draw(t, "resource"),
			rapid.SampledFrom(conditions).Draw(t, "condition"))
	})
}

func requests(t *rapid.T) policy.Request {
	req := policy.Request{
		Principal: session, Action: rapid.SampledFrom([]string{"s:a", "s:b", "S:A", "r:a"}).Draw(t, "action"),
		Resource: rapid.SampledFrom([]string{"arn:aws:s:::x", "arn:aws:s:::y", "arn:aws:s:::xy"}).Draw(t, "resource"),
	}
	if rapid.Bool().Draw(t, "key") {
		req.Keys = map[string][]string{"K:V": rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3"}), 0, 2).Draw(t, "values")}
	}
	return req
}

func documents(t *rapid.T, label string, effects ...string) []policy.Document {
	var all []policy.Document
	for i := range rapid.IntRange(0, 3).Draw(t, label) {
		all = append(all, parse(t, in2012(rapid.SliceOfN(statements(effects...), 1, 3).Draw(t, fmt.Sprint(label, i))...)))
	}
	return all
}

func TestOneDenialDecides(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		req := requests(t)
		have := documents(t, "have", "Allow", "Deny")
		deny := documents(t, "deny", "Deny")
		got := policy.Evaluate(append(have, deny...), req)
		if policy.Evaluate(deny, req) == policy.ExplicitDeny && got != policy.ExplicitDeny {
			t.Fatalf("%s though a statement denies", got)
		}
		// The order of documents does not matter.
		if reversed := policy.Evaluate(append(deny, have...), req); reversed != got {
			t.Fatalf("%s one way, %s the other", got, reversed)
		}
	})
}

func TestAllowingMoreTakesNothingAway(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		req := requests(t)
		have := documents(t, "have", "Allow", "Deny")
		before := policy.Evaluate(have, req)
		after := policy.Evaluate(append(have, documents(t, "more", "Allow")...), req)
		if before != policy.ImplicitDeny && after != before {
			t.Fatalf("%s before, %s after", before, after)
		}
	})
}

func TestOnlyAnAllowLetsIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if got := policy.Evaluate(documents(t, "deny", "Deny"), requests(t)); got == policy.Allowed {
			t.Fatal("allowed by statements that deny")
		}
	})
}

func TestWildcardsMatchAsTheRegularExpression(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab/:*?.é")), 0, 8, -1).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab/:*.é")), 0, 10, -1).Draw(t, "text")
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(text)
		if got := policy.Match(pattern, text); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, text, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(in2012(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"a:b","Resource":"*","Condition":{"Bool":{"a:b":true}}}`))
	f.Add(`{"Statement":{"Effect":"Deny","NotAction":["a:b"],"NotResource":"*"}}`)
	f.Fuzz(func(t *testing.T, document string) {
		d, err := policy.Parse(document)
		if err != nil {
			return
		}
		if len(d.Actions()) > 0 && policy.Evaluate([]policy.Document{d, parse(t, in2012(`{"Effect":"Deny","Action":"*","Resource":"*"}`))}, get()) != policy.ExplicitDeny {
			t.Error("a denial did not decide")
		}
	})
}
