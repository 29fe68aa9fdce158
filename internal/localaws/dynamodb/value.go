package dynamodb

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// Item is an item, or a key, or the values of an expression.
type Item map[string]Value

// Value is one attribute value. Numbers are kept as canonical decimal text,
// so that all 38 digits survive.
type Value struct {
	kind string // S N B BOOL NULL M L SS NS BS
	text string // S, N, B (raw bytes), BOOL ("true")
	m    Item
	list []Value // L, and the members of a set
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Value) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	if len(fields) != 1 {
		return validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	for kind, raw := range fields {
		v.kind = kind
		switch kind {
		case "S", "N", "B":
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return err
			}
			return v.scalar(text)
		case "BOOL", "NULL":
			var b bool
			if err := json.Unmarshal(raw, &b); err != nil {
				return err
			}
			if kind == "NULL" && !b {
				return validation("One or more parameter values were invalid: Null attribute value types must have the value of true")
			}
			v.text = fmt.Sprint(b)
			return nil
		case "M":
			return json.Unmarshal(raw, &v.m)
		case "L":
			return json.Unmarshal(raw, &v.list)
		case "SS", "NS", "BS":
			return v.set(raw)
		}
	}
	return validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

func (v *Value) scalar(text string) (err error) {
	switch v.kind {
	case "N":
		v.text, err = canonicalNumber(text)
	case "B":
		var raw []byte
		raw, err = base64.StdEncoding.DecodeString(text)
		v.text = string(raw)
	default:
		v.text = text
	}
	return err
}

func (v *Value) set(raw json.RawMessage) error {
	var texts []string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return err
	}
	if len(texts) == 0 {
		return validation("One or more parameter values were invalid: An %s set  may not be empty", map[string]string{"SS": "string", "NS": "number", "BS": "binary"}[v.kind])
	}
	for _, text := range texts {
		member := Value{kind: v.kind[:1]}
		if err := member.scalar(text); err != nil {
			return err
		}
		if slices.ContainsFunc(v.list, member.equal) {
			return validation("One or more parameter values were invalid: Input collection %s contains duplicates.", raw)
		}
		v.list = append(v.list, member)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) {
	var body any
	switch v.kind {
	case "B":
		body = []byte(v.text)
	case "BOOL", "NULL":
		body = v.text == "true"
	case "M":
		body = v.m
		if v.m == nil {
			body = Item{}
		}
	case "L":
		body = v.list
		if v.list == nil {
			body = []Value{}
		}
	case "SS", "NS":
		body = v.texts()
	case "BS":
		var raw [][]byte
		for _, text := range v.texts() {
			raw = append(raw, []byte(text))
		}
		body = raw
	default:
		body = v.text
	}
	return json.Marshal(map[string]any{v.kind: body})
}

func (v Value) texts() []string {
	out := make([]string, len(v.list))
	for i, member := range v.list {
		out[i] = member.text
	}
	return out
}

func (v Value) isSet() bool { return len(v.kind) == 2 && v.kind[1] == 'S' }

func (v Value) number() *big.Rat {
	r, _ := new(big.Rat).SetString(v.text) // canonical: always parses
	return r
}

func (v Value) equal(w Value) bool {
	if v.kind != w.kind || v.text != w.text || len(v.list) != len(w.list) || len(v.m) != len(w.m) {
		return false
	}
	if v.isSet() {
		return !slices.ContainsFunc(v.list, func(x Value) bool { return !slices.ContainsFunc(w.list, x.equal) })
	}
	for i := range v.list {
		if !v.list[i].equal(w.list[i]) {
			return false
		}
	}
	return maps.EqualFunc(v.m, w.m, Value.equal)
}

// compare orders two values of the same ordered kind; ok is false for others.
func (v Value) compare(w Value) (order int, ok bool) {
	if v.kind != w.kind {
		return 0, false
	}
	switch v.kind {
	case "N":
		return v.number().Cmp(w.number()), true
	case "S", "B":
		return strings.Compare(v.text, w.text), true
	default:
		return 0, false
	}
}

// size is what the value counts for the 400 KB limit, near enough to AWS's
// accounting: text by bytes, numbers by digit pairs, one byte of overhead per
// member and three per container.
func (v Value) size() int {
	switch v.kind {
	case "N":
		return (len(v.text)+1)/2 + 1
	case "BOOL", "NULL":
		return 1
	case "M":
		return 3 + len(v.m) + v.m.size()
	case "S", "B":
		return len(v.text)
	}
	total := 3
	if v.isSet() {
		total = 0
	}
	for _, member := range v.list {
		total += member.size()
		if v.kind == "L" {
			total++
		}
	}
	return total
}

func (i Item) size() int {
	total := 0
	for name, v := range i {
		total += len(name) + v.size()
	}
	return total
}

// clone copies deeply: what an expression changes is never shared.
func (i Item) clone() Item {
	if i == nil {
		return nil
	}
	out := make(Item, len(i))
	for name, v := range i {
		out[name] = v.clone()
	}
	return out
}

func (v Value) clone() Value {
	v.m = v.m.clone()
	v.list = slices.Clone(v.list)
	for i := range v.list {
		v.list[i] = v.list[i].clone()
	}
	return v
}

// keyText encodes a key value: equal values, and only they, have equal texts.
func (v Value) keyText() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d:%s", v.kind, len(v.text), v.text)
	return b.String()
}

// canonicalNumber checks a number as DynamoDB does: at most 38 significant
// digits, magnitude from 1E-130 to 9.9..9E+125.
func canonicalNumber(text string) (string, error) {
	mantissa, exponentText, hasExponent := strings.Cut(strings.ToLower(text), "e")
	exponent := 0
	if hasExponent {
		if n, err := fmt.Sscanf(exponentText+"\n", "%d\n", &exponent); n != 1 || err != nil {
			return "", notANumber(text)
		}
	}
	sign := ""
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		sign, mantissa = strings.TrimPrefix(mantissa[:1], "+"), mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", notANumber(text)
	}
	exponent -= len(fraction)
	digits = strings.TrimLeft(digits, "0")
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	switch {
	case trimmed == "":
		return "0", nil
	case len(trimmed) > 38:
		return "", validation("Attempting to store more than 38 significant digits in a Number")
	case len(trimmed)+exponent-1 > 125:
		return "", validation("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case len(trimmed)+exponent-1 < -130:
		return "", validation("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	case exponent >= 0:
		return sign + trimmed + strings.Repeat("0", exponent), nil
	case -exponent < len(trimmed):
		return sign + trimmed[:len(trimmed)+exponent] + "." + trimmed[len(trimmed)+exponent:], nil
	default:
		return sign + "0." + strings.Repeat("0", -exponent-len(trimmed)) + trimmed, nil
	}
}

func notANumber(text string) error {
	return validation("A value provided cannot be converted into a number: %s", text)
}

// sum adds two numbers, or subtracts for sign -1. Decimals stay decimals.
func sum(a, b Value, sign int64) (Value, error) {
	y := new(big.Rat).Mul(b.number(), big.NewRat(sign, 1))
	text, err := canonicalNumber(new(big.Rat).Add(a.number(), y).FloatString(168))
	return Value{kind: "N", text: text}, err
}
