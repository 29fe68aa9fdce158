package dynamodb

import (
	"slices"
	"strings"
)

// update is a parsed UpdateExpression: all its values are taken of the item
// before any of it is changed.
type update struct {
	clauses []clause
}

type clause struct {
	action string // SET REMOVE ADD DELETE
	at     path
	value  func(Item) (Value, error) // nil for REMOVE
}

func (p *parser) update(text string) (update, error) {
	var out update
	if err := p.begin("UpdateExpression", text); err != nil {
		return out, err
	}
	seen := map[string]bool{}
	for len(p.tokens) > 0 {
		action := strings.ToUpper(p.next())
		if !slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, action) {
			return out, p.syntax(action)
		}
		if seen[action] {
			return out, validation("Invalid UpdateExpression: The %q section can only be used once in an update expression;", action)
		}
		seen[action] = true
		for {
			c, err := p.clause(action)
			if err != nil {
				return out, err
			}
			for _, other := range out.clauses {
				if other.at.overlaps(c.at) {
					return out, validation("Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", other.at, c.at)
				}
			}
			out.clauses = append(out.clauses, c)
			if !p.accept(",") {
				break
			}
		}
	}
	return out, nil
}

func (p *parser) clause(action string) (clause, error) {
	at, err := p.path()
	c := clause{action: action, at: at}
	if err != nil {
		return c, err
	}
	switch action {
	case "SET":
		if err := p.expect("="); err != nil {
			return c, err
		}
		c.value, err = p.assigned()
	case "ADD", "DELETE":
		var v Value
		v, err = p.value()
		if err == nil && !(v.isSet() || action == "ADD" && v.kind == "N") {
			err = validation("Invalid UpdateExpression: Incorrect operand type for operator or function; operator: %s, operand type: %s", action, v.kind)
		}
		c.value = func(Item) (Value, error) { return v, nil }
	}
	return c, err
}

// assigned reads the right side of SET: a term, or the sum of two.
func (p *parser) assigned() (func(Item) (Value, error), error) {
	left, err := p.term()
	if err != nil {
		return nil, err
	}
	sign := int64(1)
	switch {
	case p.accept("+"):
	case p.accept("-"):
		sign = -1
	default:
		return left, nil
	}
	right, err := p.term()
	return func(i Item) (Value, error) {
		a, err := left(i)
		if err != nil {
			return a, err
		}
		b, err := right(i)
		if err != nil {
			return b, err
		}
		if a.kind != "N" || b.kind != "N" {
			return a, validation("An operand in the update expression has an incorrect data type")
		}
		return sum(a, b, sign)
	}, err
}

// term is a value, a path, if_not_exists or list_append.
func (p *parser) term() (func(Item) (Value, error), error) {
	if p.accept("(") {
		of, err := p.assigned()
		if err != nil {
			return nil, err
		}
		return of, p.expect(")")
	}
	if len(p.tokens) > 1 && p.tokens[1] == "(" {
		return p.function()
	}
	if strings.HasPrefix(p.peek(), ":") {
		v, err := p.value()
		return func(Item) (Value, error) { return v, nil }, err
	}
	at, err := p.path()
	return func(i Item) (Value, error) {
		v, ok := at.get(i)
		if !ok {
			return v, validation("The provided expression refers to an attribute that does not exist in the item")
		}
		return v, nil
	}, err
}

func (p *parser) function() (func(Item) (Value, error), error) {
	name := p.next()
	p.next() // the parenthesis
	if name != "if_not_exists" && name != "list_append" {
		return nil, validation("Invalid UpdateExpression: Invalid function name; function: %s", name)
	}
	var at path
	var first func(Item) (Value, error)
	var err error
	if name == "if_not_exists" {
		at, err = p.path()
	} else {
		first, err = p.term()
	}
	if err != nil {
		return nil, err
	}
	if err := p.expect(","); err != nil {
		return nil, err
	}
	second, err := p.term()
	if err != nil {
		return nil, err
	}
	return func(i Item) (Value, error) {
		if at != nil {
			if v, ok := at.get(i); ok {
				return v, nil
			}
			return second(i)
		}
		a, err := first(i)
		if err != nil {
			return a, err
		}
		b, err := second(i)
		if err == nil && (a.kind != "L" || b.kind != "L") {
			err = validation("An operand in the update expression has an incorrect data type")
		}
		return Value{kind: "L", list: slices.Concat(a.list, b.list)}, err
	}, p.expect(")")
}

// apply returns the item after the update. The item given is not changed.
func (u update) apply(item Item) (Item, error) {
	out := item.clone()
	if out == nil {
		out = Item{}
	}
	root := Value{kind: "M", m: out}
	var removed []path
	for _, c := range u.clauses {
		if c.action == "REMOVE" {
			removed = append(removed, c.at)
			continue
		}
		v, err := c.value(item)
		if err != nil {
			return nil, err
		}
		old, had := c.at.get(item)
		if c.action != "SET" {
			var keep bool
			if v, keep, err = c.merge(old, had, v); err != nil {
				return nil, err
			}
			if !keep {
				if had {
					removed = append(removed, c.at)
				}
				continue
			}
		}
		if root, err = root.put(c.at, v.clone()); err != nil {
			return nil, err
		}
	}
	// From the end of each list, so that the indexes still mean what they did.
	slices.SortFunc(removed, func(a, b path) int {
		for i := range min(len(a), len(b)) {
			if a[i].index != b[i].index {
				return b[i].index - a[i].index
			}
		}
		return 0
	})
	var err error
	for _, at := range removed {
		if root, err = root.remove(at); err != nil {
			return nil, err
		}
	}
	return root.m, nil
}

// merge is ADD and DELETE: keep is false when the attribute goes away.
func (c clause) merge(old Value, had bool, v Value) (merged Value, keep bool, err error) {
	if had && old.kind != v.kind {
		return v, false, validation("An operand in the update expression has an incorrect data type")
	}
	switch {
	case c.action == "ADD" && !had:
		return v, true, nil
	case c.action == "ADD" && v.kind == "N":
		merged, err = sum(old, v, 1)
		return merged, true, err
	case c.action == "ADD":
		merged = old.clone()
		for _, member := range v.list {
			if !slices.ContainsFunc(merged.list, member.equal) {
				merged.list = append(merged.list, member)
			}
		}
		return merged, true, nil
	case !had:
		return v, false, nil
	default:
		merged = old.clone()
		merged.list = slices.DeleteFunc(merged.list, func(x Value) bool { return slices.ContainsFunc(v.list, x.equal) })
		return merged, len(merged.list) > 0, nil
	}
}

func badPath() error {
	return validation("The document path provided in the update expression is invalid for update")
}

func (v Value) put(at path, x Value) (Value, error) {
	if len(at) == 0 {
		return x, nil
	}
	s := at[0]
	var old Value
	switch {
	case s.name != "" && v.kind == "M":
		var had bool
		if old, had = v.m[s.name]; !had && len(at) > 1 {
			return v, badPath()
		}
	case s.name == "" && v.kind == "L" && (s.index < len(v.list) || len(at) == 1):
		if s.index >= len(v.list) {
			v.list = append(v.list, x) // beyond the end appends
			return v, nil
		}
		old = v.list[s.index]
	default:
		return v, badPath()
	}
	changed, err := old.put(at[1:], x)
	if err != nil {
		return v, err
	}
	if s.name == "" {
		v.list[s.index] = changed
		return v, nil
	}
	if v.m == nil {
		v.m = Item{}
	}
	v.m[s.name] = changed
	return v, nil
}

func (v Value) remove(at path) (Value, error) {
	s := at[0]
	switch {
	case s.name != "" && v.kind == "M":
		old, had := v.m[s.name]
		if len(at) == 1 {
			delete(v.m, s.name)
			return v, nil
		}
		if !had {
			return v, badPath()
		}
		changed, err := old.remove(at[1:])
		v.m[s.name] = changed
		return v, err
	case s.name == "" && v.kind == "L":
		if s.index >= len(v.list) {
			return v, nil
		}
		if len(at) == 1 {
			v.list = slices.Delete(v.list, s.index, s.index+1)
			return v, nil
		}
		changed, err := v.list[s.index].remove(at[1:])
		v.list[s.index] = changed
		return v, err
	default:
		return v, badPath()
	}
}
