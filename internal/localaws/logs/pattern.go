package logs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// jsonPattern is one comparison: { $.status = 502 }, { $.canary = "true" }.
var jsonPattern = regexp.MustCompile(`^\{\s*\$\.([A-Za-z0-9_.]+)\s*(=|!=|>=|<=|>|<)\s*("(?:[^"\\]|\\.)*"|[^\s"]+)\s*\}$`)

// compile makes a filter pattern into a predicate: one JSON comparison, or
// terms that must all be there. Anything else AWS knows is an error here.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
func compile(pattern string) (func(message string) bool, error) {
	pattern = strings.TrimSpace(pattern)
	switch {
	case pattern == "":
		return nil, nil
	case strings.HasPrefix(pattern, "{"):
		return compileJSON(pattern)
	case strings.ContainsAny(pattern[:1], "[%?"):
		return nil, invalid("the embedded AWS has no filter pattern like %s", pattern)
	}
	terms, err := splitTerms(pattern)
	if err != nil {
		return nil, err
	}
	return func(message string) bool {
		for _, term := range terms {
			absent := strings.HasPrefix(term, "-") && len(term) > 1
			if strings.Contains(message, strings.TrimPrefix(term, "-")) == absent {
				return false
			}
		}
		return true
	}, nil
}

func splitTerms(pattern string) ([]string, error) {
	var terms []string
	for rest := pattern; rest != ""; rest = strings.TrimSpace(rest) {
		if rest[0] == '"' {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, invalid("Invalid character(s) in term '%s'", pattern)
			}
			term, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, invalid("Invalid character(s) in term '%s'", pattern)
			}
			terms, rest = append(terms, term), rest[len(quoted):]
			continue
		}
		term, after, _ := strings.Cut(rest, " ")
		terms, rest = append(terms, term), after
	}
	return terms, nil
}

func compileJSON(pattern string) (func(string) bool, error) {
	parts := jsonPattern.FindStringSubmatch(pattern)
	if parts == nil {
		return nil, invalid("the embedded AWS has only one comparison in a JSON pattern, got %s", pattern)
	}
	path, operator, operand := strings.Split(parts[1], "."), parts[2], parts[3]
	number, numberErr := strconv.ParseFloat(operand, 64)
	if text, err := strconv.Unquote(operand); err == nil {
		operand = text
	} else if numberErr != nil && operator != "=" && operator != "!=" {
		return nil, invalid("Invalid number %s in pattern", operand)
	}
	return func(message string) bool {
		value, found := lookup(message, path)
		if !found {
			return false
		}
		if actual, isNumber := value.(float64); isNumber && numberErr == nil {
			return compare(actual, operator, number)
		}
		equal := like(strings.TrimSpace(fmt.Sprint(value)), operand)
		return operator == "=" && equal || operator == "!=" && !equal
	}, nil
}

func lookup(message string, path []string) (any, bool) {
	var value any
	if json.Unmarshal([]byte(message), &value) != nil {
		return nil, false
	}
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[name]; !ok {
			return nil, false
		}
	}
	return value, true
}

func compare(a float64, operator string, b float64) bool {
	switch operator {
	case "=":
		return a == b
	case "!=":
		return a != b
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "<":
		return a < b
	default:
		return a <= b
	}
}

// like compares text; an asterisk in the pattern stands for anything.
func like(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return text == pattern
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
