package dynamodb

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// parser reads the expressions of one request. It is shared by all of them,
// because a name or value no expression uses is an error of the request.
type parser struct {
	names  map[string]string
	values Item
	used   map[string]bool

	label  string // "ConditionExpression": how errors name the expression
	tokens []string
}

func newParser(names map[string]string, values Item) *parser {
	return &parser{names: names, values: values, used: map[string]bool{}}
}

// path is a document path: name, then names and list indexes.
type path []step

type step struct {
	name  string
	index int // of a list when name is ""
}

func (p path) overlaps(q path) bool {
	n := min(len(p), len(q))
	return slices.Equal(p[:n], q[:n])
}

// get follows the path.
func (p path) get(item Item) (Value, bool) {
	v := Value{kind: "M", m: item}
	for _, s := range p {
		switch {
		case s.name != "" && v.kind == "M":
			next, ok := v.m[s.name]
			if !ok {
				return Value{}, false
			}
			v = next
		case s.name == "" && v.kind == "L" && s.index < len(v.list):
			v = v.list[s.index]
		default:
			return Value{}, false
		}
	}
	return v, true
}

func (p *parser) begin(label, text string) error {
	p.label, p.tokens = label, nil
	if strings.TrimSpace(text) == "" {
		return validation("Invalid %s: The expression can not be empty;", label)
	}
	for i := 0; i < len(text); {
		c := text[i]
		j := i + 1
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
			continue
		case isWord(c) || c == '#' || c == ':':
			for j < len(text) && isWord(text[j]) {
				j++
			}
		case c == '<' && j < len(text) && (text[j] == '>' || text[j] == '='), c == '>' && j < len(text) && text[j] == '=':
			j++
		case strings.IndexByte("()[],.=<>+-", c) < 0:
			return p.syntax(string(c))
		}
		p.tokens = append(p.tokens, text[i:j])
		i = j
	}
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *parser) syntax(token string) error {
	if token == "" {
		token = "<EOF>"
	}
	return validation("Invalid %s: Syntax error; token: %q", p.label, token)
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next token if it is this one; keywords in any case.
func (p *parser) accept(token string) bool {
	if strings.EqualFold(p.peek(), token) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(token string) error {
	if !p.accept(token) {
		return p.syntax(p.peek())
	}
	return nil
}

func (p *parser) end() error {
	if len(p.tokens) > 0 {
		return p.syntax(p.peek())
	}
	return nil
}

// finish checks that every name and value was used.
func (p *parser) finish() error {
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		if !p.used[name] {
			return validation("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.used[name] {
			return validation("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
	}
	return nil
}

func (p *parser) name() (string, error) {
	t := p.next()
	switch {
	case t == "":
		return "", p.syntax("")
	case t[0] == '#':
		p.used[t] = true
		name, ok := p.names[t]
		if !ok {
			return "", validation("Invalid %s: An expression attribute name used in the document path is not defined; attribute name: %s", p.label, t)
		}
		return name, nil
	case !isWord(t[0]) || t[0] >= '0' && t[0] <= '9' || t[0] == '_':
		return "", p.syntax(t)
	case reserved[strings.ToUpper(t)]:
		return "", validation("Invalid %s: Attribute name is a reserved keyword; reserved keyword: %s", p.label, t)
	}
	return t, nil
}

func (p *parser) path() (path, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	out := path{{name: name}}
	for {
		switch {
		case p.accept("."):
			if name, err = p.name(); err != nil {
				return nil, err
			}
			out = append(out, step{name: name})
		case p.accept("["):
			t := p.next()
			index, err := strconv.Atoi(t)
			if err != nil {
				return nil, p.syntax(t)
			}
			out = append(out, step{index: index})
			if err := p.expect("]"); err != nil {
				return nil, err
			}
		default:
			return out, nil
		}
	}
}

func (p *parser) value() (Value, error) {
	t := p.next()
	if t == "" || t[0] != ':' {
		return Value{}, p.syntax(t)
	}
	p.used[t] = true
	v, ok := p.values[t]
	if !ok {
		return Value{}, validation("Invalid %s: An expression attribute value used in expression is not defined; attribute value: %s", p.label, t)
	}
	return v, nil
}

// paths reads a ProjectionExpression.
func (p *parser) paths(text string) ([]path, error) {
	if err := p.begin("ProjectionExpression", text); err != nil {
		return nil, err
	}
	var out []path
	for {
		one, err := p.path()
		if err != nil {
			return nil, err
		}
		for _, other := range out {
			if other.overlaps(one) {
				return nil, validation("Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", other, one)
			}
		}
		out = append(out, one)
		if !p.accept(",") {
			return out, p.end()
		}
	}
}

// String is how AWS's errors write a path.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i] = s.name
		if s.name == "" {
			parts[i] = "[" + strconv.Itoa(s.index) + "]"
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// project keeps only the paths. Chosen list elements close up, as in AWS.
func project(item Item, paths []path) Item {
	if paths == nil {
		return item
	}
	out := Item{}
	groups := map[string][]path{}
	for _, p := range paths {
		groups[p[0].name] = append(groups[p[0].name], p[1:])
	}
	for name, rests := range groups {
		if v, ok := item[name]; ok {
			if cut, ok := v.project(rests); ok {
				out[name] = cut
			}
		}
	}
	return out
}

func (v Value) project(rests []path) (Value, bool) {
	groups := map[step][]path{}
	for _, r := range rests {
		if len(r) == 0 {
			return v, true
		}
		groups[r[0]] = append(groups[r[0]], r[1:])
	}
	out := Value{kind: v.kind}
	switch v.kind {
	case "M":
		out.m = Item{}
		for s, rest := range groups {
			if member, ok := v.m[s.name]; ok && s.name != "" {
				if cut, ok := member.project(rest); ok {
					out.m[s.name] = cut
				}
			}
		}
		return out, len(out.m) > 0
	case "L":
		for i, member := range v.list {
			if rest, ok := groups[step{index: i}]; ok {
				if cut, ok := member.project(rest); ok {
					out.list = append(out.list, cut)
				}
			}
		}
		return out, len(out.list) > 0
	default:
		return out, false
	}
}
