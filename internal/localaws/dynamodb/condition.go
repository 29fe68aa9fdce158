package dynamodb

import (
	"slices"
	"strconv"
	"strings"
)

// condition is a parsed ConditionExpression or FilterExpression.
type condition func(Item) bool

// operand is a value in the light of an item; ok is false where the item has
// nothing there.
type operand func(Item) (v Value, ok bool)

// condition parses an expression; nil text is a condition that always holds.
func (p *parser) condition(label string, text *string) (condition, error) {
	if text == nil {
		return func(Item) bool { return true }, nil
	}
	if err := p.begin(label, *text); err != nil {
		return nil, err
	}
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	return c, p.end()
}

func (p *parser) or() (condition, error) {
	left, err := p.and()
	for err == nil && p.accept("OR") {
		var right condition
		a := left
		if right, err = p.and(); err == nil {
			left = func(i Item) bool { return a(i) || right(i) }
		}
	}
	return left, err
}

func (p *parser) and() (condition, error) {
	left, err := p.not()
	for err == nil && p.accept("AND") {
		var right condition
		a := left
		if right, err = p.not(); err == nil {
			left = func(i Item) bool { return a(i) && right(i) }
		}
	}
	return left, err
}

func (p *parser) not() (condition, error) {
	if p.accept("NOT") {
		c, err := p.not()
		return func(i Item) bool { return !c(i) }, err
	}
	if p.accept("(") {
		c, err := p.or()
		if err == nil {
			err = p.expect(")")
		}
		return c, err
	}
	if len(p.tokens) > 1 && p.tokens[1] == "(" && p.tokens[0] != "size" {
		return p.predicate()
	}
	return p.comparison()
}

func (p *parser) comparison() (condition, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	operator := strings.ToUpper(p.next())
	switch operator {
	case "BETWEEN":
		low, high, err := p.bounds()
		if err != nil {
			return nil, err
		}
		return func(i Item) bool {
			return test(">=", left, low)(i) && test("<=", left, high)(i)
		}, nil
	case "IN":
		return p.in(left)
	case "=", "<>", "<", "<=", ">", ">=":
		right, err := p.operand()
		return test(operator, left, right), err
	default:
		return nil, p.syntax(operator)
	}
}

func (p *parser) bounds() (low, high operand, err error) {
	if low, err = p.operand(); err != nil {
		return nil, nil, err
	}
	if err = p.expect("AND"); err != nil {
		return nil, nil, err
	}
	high, err = p.operand()
	return low, high, err
}

func (p *parser) in(left operand) (condition, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var tests []condition
	for {
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		tests = append(tests, test("=", left, right))
		if !p.accept(",") {
			break
		}
	}
	return func(i Item) bool {
		return slices.ContainsFunc(tests, func(c condition) bool { return c(i) })
	}, p.expect(")")
}

// operand is a path, a value or size(path).
func (p *parser) operand() (operand, error) {
	if strings.HasPrefix(p.peek(), ":") {
		v, err := p.value()
		return func(Item) (Value, bool) { return v, true }, err
	}
	if p.peek() == "size" && len(p.tokens) > 1 && p.tokens[1] == "(" {
		p.tokens = p.tokens[2:]
		of, err := p.path()
		if err != nil {
			return nil, err
		}
		return func(i Item) (Value, bool) {
			v, ok := of.get(i)
			return v.length(), ok && v.kind != "N" && v.kind != "BOOL" && v.kind != "NULL"
		}, p.expect(")")
	}
	at, err := p.path()
	return at.get, err
}

// length is size() of a value.
func (v Value) length() Value {
	n := len(v.text)
	if v.kind == "M" {
		n = len(v.m)
	} else if v.list != nil {
		n = len(v.list)
	}
	return Value{kind: "N", text: strconv.Itoa(n)}
}

func test(operator string, left, right operand) condition {
	return func(i Item) bool {
		a, okA := left(i)
		b, okB := right(i)
		if !okA || !okB {
			return operator == "<>" && (okA || okB)
		}
		switch operator {
		case "=":
			return a.equal(b)
		case "<>":
			return !a.equal(b)
		}
		order, ok := a.compare(b)
		return ok && ordered(operator, order)
	}
}

func ordered(operator string, order int) bool {
	switch operator {
	case "=":
		return order == 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default: // ">="
		return order >= 0
	}
}

func (p *parser) predicate() (condition, error) {
	name := p.next()
	p.next() // the parenthesis
	if _, known := predicates[name]; !known && name != "attribute_exists" && name != "attribute_not_exists" {
		return nil, validation("Invalid %s: Invalid function name; function: %s", p.label, name)
	}
	at, err := p.path()
	if err != nil {
		return nil, err
	}
	if f, binary := predicates[name]; binary {
		if err := p.expect(","); err != nil {
			return nil, err
		}
		argument, err := p.operand()
		if err != nil {
			return nil, err
		}
		return func(i Item) bool {
			v, ok := at.get(i)
			w, okW := argument(i)
			return ok && okW && f(v, w)
		}, p.expect(")")
	}
	return func(i Item) bool {
		_, ok := at.get(i)
		return ok == (name == "attribute_exists")
	}, p.expect(")")
}

var predicates = map[string]func(v, argument Value) bool{
	"attribute_type": func(v, t Value) bool { return t.kind == "S" && v.kind == t.text },
	"begins_with": func(v, prefix Value) bool {
		return v.kind == prefix.kind && (v.kind == "S" || v.kind == "B") && strings.HasPrefix(v.text, prefix.text)
	},
	"contains": func(v, part Value) bool {
		if v.kind == "L" || v.isSet() {
			return slices.ContainsFunc(v.list, part.equal)
		}
		return v.kind == part.kind && (v.kind == "S" || v.kind == "B") && strings.Contains(v.text, part.text)
	},
}

// keyCondition is a parsed KeyConditionExpression.
type keyCondition struct {
	hash  Value
	sorts func(Value) bool // nil without a condition on the sort key
}

// keyCondition parses hash = :v [AND a condition on the sort key].
func (p *parser) keyCondition(text, hashName, rangeName string) (keyCondition, error) {
	var out keyCondition
	if err := p.begin("KeyConditionExpression", text); err != nil {
		return out, err
	}
	found := false
	for {
		wrapped := p.accept("(")
		name, sorts, equal, err := p.keyTerm()
		if err == nil && wrapped {
			err = p.expect(")")
		}
		switch {
		case err != nil:
			return out, err
		case name == hashName && equal != nil && !found:
			out.hash, found = *equal, true
		case name == hashName:
			return out, validation("Query key condition not supported")
		case name == rangeName && out.sorts == nil:
			out.sorts = sorts
		default:
			return out, validation("Query condition missed key schema element: %s", hashName)
		}
		if !p.accept("AND") {
			break
		}
	}
	if !found {
		return out, validation("Query condition missed key schema element: %s", hashName)
	}
	return out, p.end()
}

// keyTerm reads one condition on one key attribute. equal is its value when
// it asks for equality.
func (p *parser) keyTerm() (name string, sorts func(Value) bool, equal *Value, err error) {
	prefix := p.peek() == "begins_with"
	if prefix {
		p.next()
		if err := p.expect("("); err != nil {
			return "", nil, nil, err
		}
	}
	if name, err = p.name(); err != nil {
		return "", nil, nil, err
	}
	operator := strings.ToUpper(p.next())
	low, err := p.value()
	if err != nil {
		return "", nil, nil, err
	}
	switch operator {
	case ",":
		if !prefix {
			return "", nil, nil, p.syntax(",")
		}
		return name, func(v Value) bool { return predicates["begins_with"](v, low) }, nil, p.expect(")")
	case "BETWEEN":
		if err := p.expect("AND"); err != nil {
			return "", nil, nil, err
		}
		high, err := p.value()
		return name, func(v Value) bool {
			a, okA := v.compare(low)
			b, okB := v.compare(high)
			return okA && okB && a >= 0 && b <= 0
		}, nil, err
	case "=", "<", "<=", ">", ">=":
		if operator == "=" {
			equal = &low
		}
		return name, func(v Value) bool {
			order, ok := v.compare(low)
			return ok && ordered(operator, order)
		}, equal, nil
	default:
		return "", nil, nil, p.syntax(operator)
	}
}
