package dynamodb

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

type batchGet struct {
	RequestItems map[string]struct {
		Keys                     []Item
		ConsistentRead           bool
		ExpressionAttributeNames map[string]string
		ProjectionExpression     *string
	}
}

func (s *Service) batchGetItem(call wire.Call, in batchGet) (any, error) {
	responses := map[string]any{}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		ask := in.RequestItems[name]
		found := []Item{}
		var seen []Item
		for _, key := range ask.Keys {
			if total++; total > 100 {
				return nil, validation("Too many items requested for the BatchGetItem call")
			}
			if slices.ContainsFunc(seen, func(k Item) bool { return maps.EqualFunc(k, key, Value.equal) }) {
				return nil, validation("Provided list of item keys contains duplicates")
			}
			seen = append(seen, key)
			item, err := s.getOne(call, &request{TableName: name, Key: key, ExpressionAttributeNames: ask.ExpressionAttributeNames, ProjectionExpression: ask.ProjectionExpression})
			if err != nil {
				return nil, err
			}
			if item != nil {
				found = append(found, item)
			}
		}
		responses[name] = found
	}
	return map[string]any{"Responses": responses, "UnprocessedKeys": map[string]any{}}, nil
}

type batchWrite struct {
	RequestItems map[string][]struct {
		PutRequest    *struct{ Item Item }
		DeleteRequest *struct{ Key Item }
	}
}

func (s *Service) batchWriteItem(call wire.Call, in batchWrite) (any, error) {
	var changes []change
	for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
		for _, ask := range in.RequestItems[name] {
			kind, r := "Put", &request{TableName: name}
			switch {
			case ask.PutRequest != nil && ask.DeleteRequest == nil:
				r.Item = ask.PutRequest.Item
			case ask.DeleteRequest != nil && ask.PutRequest == nil:
				kind, r.Key = "Delete", ask.DeleteRequest.Key
			default:
				return nil, validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
			}
			c, err := s.plan(call.Now, call.Region, kind, r)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(changes, c.same) {
				return nil, validation("Provided list of item keys contains duplicates")
			}
			if changes = append(changes, c); len(changes) > 25 {
				return nil, validation("Too many items requested for the BatchWriteItem call")
			}
		}
	}
	for _, c := range changes {
		s.commit(call.Now, c)
	}
	return map[string]any{"UnprocessedItems": map[string]any{}}, nil
}

func (c change) same(other change) bool { return c.table == other.table && c.key == other.key }

type transactWrite struct {
	TransactItems []struct {
		Put, Update, Delete, ConditionCheck *request
	}
	ClientRequestToken *string
}

func (s *Service) transactWriteItems(call wire.Call, in transactWrite) (any, error) {
	if len(in.TransactItems) < 1 || len(in.TransactItems) > 100 {
		return nil, validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and 100")
	}
	// A repeated token within ten minutes is a retry whose first answer was
	// lost: it succeeds and changes nothing.
	token := call.Region + "/" + aws.ToString(in.ClientRequestToken)
	for old, at := range s.tokens {
		if call.Now.Sub(at) >= 10*time.Minute {
			delete(s.tokens, old)
		}
	}
	if _, done := s.tokens[token]; done && in.ClientRequestToken != nil {
		return nil, nil
	}
	var changes []change
	reasons := make([]reason, len(in.TransactItems))
	failed := false
	for i, item := range in.TransactItems {
		kind, r := "", (*request)(nil)
		for name, one := range map[string]*request{"Put": item.Put, "Update": item.Update, "Delete": item.Delete, "ConditionCheck": item.ConditionCheck} {
			if one == nil {
				continue
			}
			if r != nil {
				return nil, validation("TransactItems can only contain one of Check, Put, Update or Delete")
			}
			kind, r = name, one
		}
		if r == nil {
			return nil, validation("TransactItems can only contain one of Check, Put, Update or Delete")
		}
		c, err := s.plan(call.Now, call.Region, kind, r)
		if err != nil {
			e := wire.AsError(err)
			if e.Code != "ConditionalCheckFailedException" {
				return nil, err
			}
			item, _ := e.Fields["Item"].(Item)
			reasons[i], failed = reason{Code: "ConditionalCheckFailed", Message: e.Message, Item: item}, true
			continue
		}
		if slices.ContainsFunc(changes, c.same) {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		}
		reasons[i].Code = "None"
		changes = append(changes, c)
	}
	if failed {
		return nil, cancelled(reasons)
	}
	for _, c := range changes {
		s.commit(call.Now, c)
	}
	s.tokens[token] = call.Now
	return nil, nil
}

// reason is one of a cancelled transaction's, in the order of its items.
type reason struct {
	Code    string
	Message string `json:",omitempty"`
	Item    Item   `json:",omitempty"`
}

func cancelled(reasons []reason) *wire.Error {
	text := ""
	for i, r := range reasons {
		if i > 0 {
			text += ", "
		}
		text += r.Code
	}
	e := wire.Errorf(http.StatusBadRequest, "TransactionCanceledException", "Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", text)
	e.Fields = map[string]any{"CancellationReasons": reasons}
	return e
}

type transactGet struct {
	TransactItems []struct{ Get *request }
}

func (s *Service) transactGetItems(call wire.Call, in transactGet) (any, error) {
	if len(in.TransactItems) < 1 || len(in.TransactItems) > 100 {
		return nil, validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length between 1 and 100")
	}
	out := []map[string]any{}
	for _, ask := range in.TransactItems {
		if ask.Get == nil {
			return nil, validation("TransactItems can only contain Get")
		}
		item, err := s.getOne(call, ask.Get)
		if err != nil {
			return nil, err
		}
		one := map[string]any{}
		if item != nil {
			one["Item"] = item
		}
		out = append(out, one)
	}
	return map[string]any{"Responses": out}, nil
}
