package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// condition is one operator on one key.
type condition struct {
	key      string // in lower case
	set      quantifier
	ifExists bool
	null     *bool // Null's value; the other members do not count then
	negated  bool
	matches  func(value string) bool // any of the condition's values, before negation
}

// quantifier is how a key with several values is looked at.
type quantifier int

const (
	single quantifier = iota
	forAll
	forAny
)

// holds decides as AWS does. A key the request lacks fails a condition, except
// a negated one, one with IfExists and one with ForAllValues.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
func (c condition) holds(keys map[string][]string) bool {
	values, present := keys[c.key]
	present = present && len(values) > 0
	switch {
	case c.null != nil:
		return present != *c.null
	case !present:
		return c.ifExists || c.set == forAll || c.set == single && c.negated
	}
	fits := func(value string) bool { return c.matches(value) != c.negated }
	unfit := func(value string) bool { return !fits(value) }
	// Without a quantifier AWS leaves several values undefined: here one that
	// matches is enough, and with a negated operator none may.
	if c.set == forAll || c.set == single && c.negated {
		return !slices.ContainsFunc(values, unfit)
	}
	return slices.ContainsFunc(values, fits)
}

// operators make a matcher of one condition value. Their negated twins are
// made of them by newCondition.
var operators = map[string]func(want string) (func(got string) bool, error){
	"stringequals": func(want string) (func(string) bool, error) {
		return func(got string) bool { return got == want }, nil
	},
	"stringequalsignorecase": func(want string) (func(string) bool, error) {
		return func(got string) bool { return strings.EqualFold(got, want) }, nil
	},
	"stringlike": func(want string) (func(string) bool, error) {
		return func(got string) bool { return Match(want, got) }, nil
	},
	"arnequals":                arn,
	"arnlike":                  arn,
	"numericequals":            numeric(func(c int) bool { return c == 0 }),
	"numericlessthan":          numeric(func(c int) bool { return c < 0 }),
	"numericlessthanequals":    numeric(func(c int) bool { return c <= 0 }),
	"numericgreaterthan":       numeric(func(c int) bool { return c > 0 }),
	"numericgreaterthanequals": numeric(func(c int) bool { return c >= 0 }),
	"dateequals":               date(func(c int) bool { return c == 0 }),
	"datelessthan":             date(func(c int) bool { return c < 0 }),
	"datelessthanequals":       date(func(c int) bool { return c <= 0 }),
	"dategreaterthan":          date(func(c int) bool { return c > 0 }),
	"dategreaterthanequals":    date(func(c int) bool { return c >= 0 }),
	"bool":                     boolean,
	"ipaddress":                address,
}

// negations are the operators that say the contrary of another one.
var negations = map[string]string{
	"stringnotequals": "stringequals", "stringnotequalsignorecase": "stringequalsignorecase", "stringnotlike": "stringlike",
	"arnnotequals": "arnequals", "arnnotlike": "arnlike", "numericnotequals": "numericequals", "datenotequals": "dateequals",
	"notipaddress": "ipaddress",
}

// newCondition reads an operator with its prefix and suffix, as in
// ForAnyValue:StringLikeIfExists.
func newCondition(operator, key string, values []string) (condition, error) {
	c := condition{key: strings.ToLower(key)}
	name := strings.ToLower(operator)
	if rest, found := strings.CutPrefix(name, "forallvalues:"); found {
		name, c.set = rest, forAll
	} else if rest, found := strings.CutPrefix(name, "foranyvalue:"); found {
		name, c.set = rest, forAny
	}
	if name == "null" && c.set == single {
		if len(values) != 1 || values[0] != "true" && values[0] != "false" {
			return c, fmt.Errorf("condition Null of %s must be true or false", key)
		}
		absent := values[0] == "true"
		c.null = &absent
		return c, nil
	}
	name, c.ifExists = strings.CutSuffix(name, "ifexists")
	if positive, negative := negations[name]; negative {
		name, c.negated = positive, true
	}
	make, known := operators[name]
	if !known {
		return c, fmt.Errorf("condition operator %s is unknown", operator)
	}
	if len(values) == 0 {
		return c, fmt.Errorf("condition %s of %s has no value", operator, key)
	}
	var any []func(string) bool
	for _, value := range values {
		match, err := make(value)
		if err != nil {
			return c, fmt.Errorf("condition %s of %s: %w", operator, key, err)
		}
		any = append(any, match)
	}
	c.matches = func(got string) bool {
		return slices.ContainsFunc(any, func(match func(string) bool) bool { return match(got) })
	}
	return c, nil
}

// arn compares the six parts one by one, so that a wildcard stays in its own.
func arn(want string) (func(string) bool, error) {
	patterns := strings.SplitN(want, ":", 6)
	if want != "*" && len(patterns) != 6 {
		return nil, fmt.Errorf("%q is not an ARN", want)
	}
	return func(got string) bool {
		parts := strings.SplitN(got, ":", 6)
		return want == "*" || len(parts) == 6 && !slices.ContainsFunc([]int{0, 1, 2, 3, 4, 5}, func(i int) bool { return !Match(patterns[i], parts[i]) })
	}, nil
}

func numeric(fits func(comparison int) bool) func(string) (func(string) bool, error) {
	return func(want string) (func(string) bool, error) {
		limit, err := strconv.ParseFloat(want, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", want)
		}
		return func(got string) bool {
			n, err := strconv.ParseFloat(got, 64)
			if err != nil {
				return false
			}
			switch {
			case n < limit:
				return fits(-1)
			case n > limit:
				return fits(1)
			default:
				return fits(0)
			}
		}, nil
	}
}

func date(fits func(comparison int) bool) func(string) (func(string) bool, error) {
	return func(want string) (func(string) bool, error) {
		limit, err := parseDate(want)
		if err != nil {
			return nil, err
		}
		return func(got string) bool {
			at, err := parseDate(got)
			return err == nil && fits(at.Compare(limit))
		}, nil
	}
}

// parseDate reads the W3C forms of ISO 8601 and seconds since the epoch.
func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a date", text)
	}
	return time.Unix(seconds, 0), nil
}

func boolean(want string) (func(string) bool, error) {
	wanted := strings.ToLower(want)
	if wanted != "true" && wanted != "false" {
		return nil, fmt.Errorf("%q is neither true nor false", want)
	}
	return func(got string) bool { return strings.ToLower(got) == wanted }, nil
}

func address(want string) (func(string) bool, error) {
	prefix, err := parseRange(want)
	if err != nil {
		return nil, fmt.Errorf("%q is not a range of addresses", want)
	}
	return func(got string) bool {
		at, err := netip.ParseAddr(got)
		return err == nil && prefix.Contains(at.Unmap())
	}, nil
}

func parseRange(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		return prefix.Masked(), err
	}
	at, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return at.Prefix(at.BitLen())
}
