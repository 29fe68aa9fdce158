package dynamodb_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestConditions(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	w.put(c, sample())
	values := attributes{":41": n("41.0"), ":40": n("40"), ":50": n("50"), ":a": s("a"), ":A": s("A"), ":u": s("u"), ":S": s("S"), ":three": n("3")}
	for expression, want := range map[string]bool{
		"#count = :41": true, "#count <> :41": false, "#count < :50": true, "#count >= :50": false, "#count = :a": false, "#count < :a": false,
		"#count BETWEEN :40 AND :50": true, "#count in (:40, :41)": true, "#count IN (:40)": false,
		"attribute_exists(#name)": true, "attribute_not_exists(#name)": false, "attribute_not_exists(absent)": true, "attribute_exists(#m.x)": true, "attribute_exists(#l[3])": false,
		"attribute_type(#name, :S)": true, "begins_with(#name, :A)": true, "contains(#set, :u)": true, "contains(#l, :a)": true, "contains(#name, :a)": true, "contains(#name, :u)": false,
		"size(#l) = :three": true, "size(#name) > :three": false, "absent = :a": false, "absent <> :a": true,
		"NOT #count = :41": false, "#count = :40 OR #count = :41 AND #name = :a": false, "(#count = :40 OR #count = :41) AND begins_with(#name, :A)": true,
	} {
		in := &api.DeleteItemInput{TableName: aws.String("items"), Key: key("p", "1"), ConditionExpression: aws.String(expression), ExpressionAttributeValues: attributes{}, ExpressionAttributeNames: map[string]string{}}
		for name, v := range values {
			for _, word := range strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune(" (),", r) }) {
				if word == name {
					in.ExpressionAttributeValues[name] = v
				}
			}
		}
		for name, attribute := range map[string]string{"#count": "count", "#name": "name", "#m": "map", "#l": "list", "#set": "set"} {
			if strings.Contains(expression, name) {
				in.ExpressionAttributeNames[name] = attribute
			}
		}
		if len(in.ExpressionAttributeNames) == 0 {
			in.ExpressionAttributeNames = nil
		}
		if len(in.ExpressionAttributeValues) == 0 {
			in.ExpressionAttributeValues = nil
		}
		_, err := c.DeleteItem(ctx, in)
		if got := err == nil; got != want || err != nil && code(err) != "ConditionalCheckFailedException" {
			t.Errorf("%s: %v, want %v (%v)", expression, got, want, err)
		}
		w.put(c, sample())
	}
}

func TestUpdates(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	values := attributes{":one": n("1"), ":l": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("d")}}, ":v": &types.AttributeValueMemberSS{Value: []string{"v"}}, ":big": n("0.0000000000000000000000000000000000001")}
	for expression, want := range map[string]attributes{
		"SET #c = #c + :one":                         {"count": n("42")},
		"SET #c = :one - #c":                         {"count": n("-40")},
		"set fresh = if_not_exists(fresh, :one)":     {"fresh": n("1")},
		"SET #c = if_not_exists(#c, :one)":           {"count": n("41")},
		"SET #l = list_append(#l, :l)":               {"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("a"), s("b"), s("c"), s("d")}}},
		"SET #m.x = :one, #l[9] = :one REMOVE #m.y":  {"map": &types.AttributeValueMemberM{Value: attributes{"x": n("1")}}, "list": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("a"), s("b"), s("c"), n("1")}}},
		"REMOVE #l[0], #l[2]":                        {"list": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("b")}}},
		"ADD #c :one, fresh :one":                    {"count": n("42"), "fresh": n("1")},
		"DELETE #set :v":                             {"set": &types.AttributeValueMemberSS{Value: []string{"u"}}},
		"SET fresh = #c, #c = :one":                  {"fresh": n("41"), "count": n("1")},
		"SET #l[0] = :one REMOVE #set SET #c = :one": nil, // SET twice
		"SET sk = :one":                              nil,
		"SET #c = absent + :one":                     nil,
		"SET absent.x = :one":                        nil,
		"SET #c = :undefined":                        nil,
		"SET #m = :one, #m.x = :one":                 nil,
		"SET status = :one":                          nil,
		"SET #c = #c + :one + :one":                  nil,
		"SET #c = :big - :one":                       {"count": n("-0.9999999999999999999999999999999999999")},
	} {
		w.put(c, sample())
		in := &api.UpdateItemInput{TableName: aws.String("items"), Key: key("p", "1"), UpdateExpression: aws.String(expression), ReturnValues: types.ReturnValueAllNew,
			ExpressionAttributeValues: attributes{}, ExpressionAttributeNames: map[string]string{}}
		for name, v := range values {
			if strings.Contains(expression+" ", name) && (name != ":l" || strings.Contains(expression, ":l)")) {
				in.ExpressionAttributeValues[name] = v
			}
		}
		for name, attribute := range map[string]string{"#c": "count", "#m": "map", "#l": "list", "#set": "set"} {
			if strings.Contains(expression, name) {
				in.ExpressionAttributeNames[name] = attribute
			}
		}
		if len(in.ExpressionAttributeValues) == 0 {
			in.ExpressionAttributeValues = nil
		}
		if len(in.ExpressionAttributeNames) == 0 {
			in.ExpressionAttributeNames = nil
		}
		out, err := c.UpdateItem(ctx, in)
		if want == nil {
			if code(err) != "ValidationException" {
				t.Errorf("%s was accepted: %v", expression, err)
			}
			if d := diff(sample(), w.get(c, "p", "1")); d != "" {
				t.Errorf("%s failed and still changed the item: %s", expression, d)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		expected := sample()
		for name, v := range want {
			expected[name] = v
		}
		if strings.Contains(expression, "REMOVE #set") {
			delete(expected, "set")
		}
		if d := diff(expected, out.Attributes); d != "" {
			t.Errorf("%s: %s", expression, d)
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	for in, want := range map[string]string{
		"12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
		"007.500":                                "7.5", "1e3": "1000", "-0": "0", "1.5E-3": "0.0015", ".5": "0.5", "1e126": "", "1e-131": "", "123456789012345678901234567890123456789": "", "ten": "", "": "", "1e": "", "NaN": "",
	} {
		_, err := c.PutItem(ctx, &api.PutItemInput{TableName: aws.String("items"), Item: attributes{"pk": s("p"), "sk": n("1"), "v": n(in)}})
		if want == "" {
			if code(err) != "ValidationException" {
				t.Errorf("%q was accepted: %v", in, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", in, err)
		} else if got := text(w.get(c, "p", "1")["v"]); got != "N:"+want {
			t.Errorf("%q became %s", in, got)
		}
	}
}
