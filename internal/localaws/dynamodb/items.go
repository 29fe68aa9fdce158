package dynamodb

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// request has the members of every operation on items.
type request struct {
	TableName                           string
	Key                                 Item
	Item                                Item
	ConditionExpression                 *string
	UpdateExpression                    *string
	KeyConditionExpression              *string
	FilterExpression                    *string
	ProjectionExpression                *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           Item
	ReturnValues                        string
	ReturnValuesOnConditionCheckFailure string
	ConsistentRead                      bool
	IndexName                           *string
	Limit                               *int
	ScanIndexForward                    *bool
	Select                              string
	ExclusiveStartKey                   Item
	Segment, TotalSegments              *int

	// What expressions replaced.
	AttributesToGet, AttributeUpdates, Expected, KeyConditions, QueryFilter, ScanFilter json.RawMessage
	ConditionalOperator                                                                 string
}

func (r *request) parser() *parser {
	return newParser(r.ExpressionAttributeNames, r.ExpressionAttributeValues)
}

func (r *request) legacy() error {
	for _, member := range []json.RawMessage{r.AttributesToGet, r.AttributeUpdates, r.Expected, r.KeyConditions, r.QueryFilter, r.ScanFilter} {
		if len(member) > 0 && string(member) != "null" {
			return validation("the embedded AWS takes expressions only, not the parameters they replaced")
		}
	}
	return nil
}

func conditionFailed(r *request, old Item) *wire.Error {
	e := wire.Errorf(http.StatusBadRequest, "ConditionalCheckFailedException", "The conditional request failed")
	if r.ReturnValuesOnConditionCheckFailure == "ALL_OLD" && old != nil {
		e.Fields = map[string]any{"Item": old}
	}
	return e
}

// change is a checked write that has not been made: transactions check all of
// theirs before making any.
type change struct {
	table    *table
	key      string
	old, now Item // nil: no item
	touched  []path
	check    bool // a ConditionCheck, which writes nothing
}

// plan checks a put, update, delete or condition check against the items as
// they are now.
func (s *Service) plan(now time.Time, region, kind string, r *request) (change, error) {
	t, err := s.usable(now, region, r.TableName)
	if err != nil {
		return change{}, err
	}
	c := change{table: t}
	subject, exact := r.Key, true
	if kind == "Put" {
		subject, exact = r.Item, false
	}
	p := r.parser()
	condition, err := p.condition("ConditionExpression", r.ConditionExpression)
	if err != nil {
		return c, err
	}
	var u update
	if r.UpdateExpression != nil {
		if u, err = p.update(*r.UpdateExpression); err != nil {
			return c, err
		}
	}
	if err := p.finish(); err != nil {
		return c, err
	}
	if c.key, err = t.keyOf(subject, exact); err != nil {
		return c, err
	}
	c.old = t.get(c.key)
	if !condition(c.old) {
		return c, conditionFailed(r, c.old)
	}
	switch kind {
	case "Put":
		c.now = r.Item
	case "Update":
		c.now, err = t.updated(c.old, r.Key, u)
		for _, clause := range u.clauses {
			c.touched = append(c.touched, clause.at)
		}
	case "ConditionCheck":
		c.now, c.check = c.old, true
	}
	if err == nil && c.now != nil && !c.check {
		err = t.checkItem(c.now)
	}
	return c, err
}

func (t *table) updated(old, key Item, u update) (Item, error) {
	for _, c := range u.clauses {
		if _, isKey := key[c.at[0].name]; isKey {
			return nil, validation("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", c.at[0].name)
		}
	}
	base := old
	if base == nil {
		base = key
	}
	return u.apply(base)
}

func (s *Service) commit(now time.Time, c change) {
	if c.check || c.now == nil && c.old == nil {
		return
	}
	s.write(now, c.table, c.key, c.now)
}

// returned is the Attributes member for a ReturnValues.
func (c change) returned(r *request, kind string) (Item, error) {
	allowed := []string{"", "NONE", "ALL_OLD"}
	if kind == "Update" {
		allowed = []string{"", "NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"}
	}
	if !slices.Contains(allowed, r.ReturnValues) {
		return nil, validation("Return values set to invalid value")
	}
	switch r.ReturnValues {
	case "ALL_OLD":
		return c.old, nil
	case "ALL_NEW":
		return c.now, nil
	case "UPDATED_OLD":
		return project(c.old, nonNil(c.touched)), nil
	case "UPDATED_NEW":
		return project(c.now, nonNil(c.touched)), nil
	default:
		return nil, nil
	}
}

func nonNil(paths []path) []path {
	if paths == nil {
		return []path{}
	}
	return paths
}

// writeOne serves PutItem, UpdateItem and DeleteItem.
func (s *Service) writeOne(call wire.Call, kind string, r *request) (any, error) {
	if err := r.legacy(); err != nil {
		return nil, err
	}
	c, err := s.plan(call.Now, call.Region, kind, r)
	if err != nil {
		return nil, err
	}
	attributes, err := c.returned(r, kind)
	if err != nil {
		return nil, err
	}
	s.commit(call.Now, c)
	out := map[string]any{}
	if len(attributes) > 0 {
		out["Attributes"] = attributes
	}
	return out, nil
}

func (s *Service) getOne(call wire.Call, r *request) (Item, error) {
	if err := r.legacy(); err != nil {
		return nil, err
	}
	t, err := s.usable(call.Now, call.Region, r.TableName)
	if err != nil {
		return nil, err
	}
	p := r.parser()
	var paths []path
	if r.ProjectionExpression != nil {
		if paths, err = p.paths(*r.ProjectionExpression); err != nil {
			return nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	key, err := t.keyOf(r.Key, true)
	if err != nil {
		return nil, err
	}
	item := t.get(key)
	if item == nil {
		return nil, nil
	}
	return project(item, paths), nil
}
