package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value of a metric math expression: a number, a time series, or an array of
// series (what METRICS() gives).
type value struct {
	scalar float64
	series []timeSeries
	kind   valueKind
}

type valueKind int

const (
	scalarValue valueKind = iota
	seriesValue
	arrayValue
)

// timeSeries maps period starts (Unix seconds) to values; a missing key is a
// missing datapoint.
type timeSeries map[int64]float64

// mathEnv is what an expression can refer to. ids is in the order of the
// request: METRICS() follows it.
type mathEnv struct {
	ids        []string
	isMetric   map[string]bool
	lookup     func(id string) (value, error)
	start, end time.Time
	period     time.Duration
}

func (e *mathEnv) slots() []int64 {
	var out []int64
	for at := e.start; at.Before(e.end); at = at.Add(e.period) {
		out = append(out, at.Unix())
	}
	return out
}

type mathParser struct {
	tokens []string
	env    *mathEnv
}

// evaluateMath evaluates an expression. An unknown function is an error.
func evaluateMath(expression string, env *mathEnv) (value, error) {
	tokens, err := tokenize(expression)
	if err != nil {
		return value{}, err
	}
	p := &mathParser{tokens: tokens, env: env}
	v, err := p.binary(0)
	if err != nil {
		return value{}, err
	}
	if len(p.tokens) > 0 {
		return value{}, fmt.Errorf("unexpected %q in expression", p.tokens[0])
	}
	return v, nil
}

func tokenize(text string) ([]string, error) {
	var out []string
	for i := 0; i < len(text); {
		c := text[i]
		j := i + 1
		switch {
		case c == ' ' || c == '\t' || c == '\n':
			i++
			continue
		case isDigit(c) || c == '.':
			for j < len(text) && (isDigit(text[j]) || text[j] == '.') {
				j++
			}
		case isLetter(c):
			for j < len(text) && (isLetter(text[j]) || isDigit(text[j])) {
				j++
			}
		case c == '"' || c == '\'':
			for j < len(text) && text[j] != c {
				j++
			}
			if j == len(text) {
				return nil, fmt.Errorf("unterminated string in expression")
			}
			j++
		case strings.ContainsRune("<>=!&|", rune(c)) && j < len(text) && (text[j] == '=' || text[j] == c):
			j++
		case !strings.ContainsRune("+-*/^(),<>[]", rune(c)):
			return nil, fmt.Errorf("unexpected %q in expression", string(c))
		}
		out = append(out, text[i:j])
		i = j
	}
	return out, nil
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// levels are the binary operators, loosest first.
var levels = [][]string{{"OR", "||"}, {"AND", "&&"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/"}, {"^"}}

func (p *mathParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *mathParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *mathParser) binary(level int) (value, error) {
	if level == len(levels) {
		return p.primary()
	}
	left, err := p.binary(level + 1)
	for err == nil && slices.Contains(levels[level], p.peek()) {
		operator := p.next()
		var right value
		if right, err = p.binary(level + 1); err == nil {
			left, err = combine(left, right, binaryOperators[operator])
		}
	}
	return left, err
}

func (p *mathParser) primary() (value, error) {
	t := p.next()
	switch {
	case t == "":
		return value{}, fmt.Errorf("the expression ends early")
	case t == "-":
		v, err := p.primary()
		if err != nil {
			return value{}, err
		}
		return v.each(func(x float64) float64 { return -x }), nil
	case t == "(":
		v, err := p.binary(0)
		if err == nil && p.next() != ")" {
			err = fmt.Errorf("missing ) in expression")
		}
		return v, err
	case t == "[":
		items, err := p.list("]")
		if err != nil {
			return value{}, err
		}
		out := value{kind: arrayValue}
		for _, item := range items {
			if item.kind == scalarValue {
				return value{}, fmt.Errorf("an array holds time series only")
			}
			out.series = append(out.series, item.series...)
		}
		return out, nil
	case isDigit(t[0]) || t[0] == '.':
		x, err := strconv.ParseFloat(t, 64)
		return value{scalar: x}, err
	case !isLetter(t[0]):
		return value{}, fmt.Errorf("unexpected %q in expression", t)
	case p.peek() == "(":
		p.next()
		return p.call(t)
	default:
		return p.env.lookup(t)
	}
}

func (p *mathParser) list(end string) ([]value, error) {
	var out []value
	if p.peek() == end {
		p.next()
		return nil, nil
	}
	for {
		v, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		switch t := p.next(); t {
		case ",":
		case end:
			return out, nil
		default:
			return nil, fmt.Errorf("unexpected %q in expression", t)
		}
	}
}

var binaryOperators = map[string]func(a, b float64) (float64, bool){
	"+":   func(a, b float64) (float64, bool) { return a + b, true },
	"-":   func(a, b float64) (float64, bool) { return a - b, true },
	"*":   func(a, b float64) (float64, bool) { return a * b, true },
	"/":   func(a, b float64) (float64, bool) { return a / b, b != 0 }, // CloudWatch drops the point
	"^":   func(a, b float64) (float64, bool) { return math.Pow(a, b), true },
	"==":  func(a, b float64) (float64, bool) { return truth(a == b), true },
	"!=":  func(a, b float64) (float64, bool) { return truth(a != b), true },
	"<":   func(a, b float64) (float64, bool) { return truth(a < b), true },
	"<=":  func(a, b float64) (float64, bool) { return truth(a <= b), true },
	">":   func(a, b float64) (float64, bool) { return truth(a > b), true },
	">=":  func(a, b float64) (float64, bool) { return truth(a >= b), true },
	"AND": func(a, b float64) (float64, bool) { return truth(a != 0 && b != 0), true },
	"OR":  func(a, b float64) (float64, bool) { return truth(a != 0 || b != 0), true },
	"&&":  func(a, b float64) (float64, bool) { return truth(a != 0 && b != 0), true },
	"||":  func(a, b float64) (float64, bool) { return truth(a != 0 || b != 0), true },
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// combine applies f pointwise: a point exists where both sides have one.
func combine(a, b value, f func(a, b float64) (float64, bool)) (value, error) {
	switch {
	case a.kind == scalarValue && b.kind == scalarValue:
		x, ok := f(a.scalar, b.scalar)
		if !ok {
			return value{}, fmt.Errorf("division by zero")
		}
		return value{scalar: x}, nil
	case a.kind == arrayValue && b.kind == arrayValue:
		return value{}, fmt.Errorf("an operator takes at most one array")
	case a.kind == scalarValue:
		return combine(b, a, func(x, y float64) (float64, bool) { return f(y, x) })
	}
	out := value{kind: max(a.kind, b.kind)}
	if len(a.series) == 0 || b.kind != scalarValue && len(b.series) == 0 {
		return out, nil
	}
	for i := range max(len(a.series), len(b.series)) {
		left := a.series[min(i, len(a.series)-1)]
		combined := timeSeries{}
		for at, x := range left {
			y := b.scalar
			if b.kind != scalarValue {
				other, ok := b.series[min(i, len(b.series)-1)][at]
				if !ok {
					continue
				}
				y = other
			}
			if z, ok := f(x, y); ok {
				combined[at] = z
			}
		}
		out.series = append(out.series, combined)
	}
	return out, nil
}

func (v value) each(f func(float64) float64) value {
	if v.kind == scalarValue {
		return value{scalar: f(v.scalar)}
	}
	out := value{kind: v.kind}
	for _, s := range v.series {
		mapped := timeSeries{}
		for at, x := range s {
			mapped[at] = f(x)
		}
		out.series = append(out.series, mapped)
	}
	return out
}
