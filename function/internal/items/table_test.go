package items_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/function/internal/items"
)

// triedTwice is a DynamoDB whose first answer was lost: what the caller gets is
// the answer to its second try.
type triedTwice struct {
	items.DynamoDB
	there map[string]types.AttributeValue // before the first try; nil: nothing
}

func (d *triedTwice) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if d.there == nil {
		d.there = maps.Clone(in.Item)
	}
	refused := &types.ConditionalCheckFailedException{Message: aws.String("The conditional request failed")}
	if in.ReturnValuesOnConditionCheckFailure == types.ReturnValuesOnConditionCheckFailureAllOld {
		refused.Item = d.there
	}
	return nil, refused
}

// TestATryWhoseAnswerWasLostIsNoConflict: who created an item is not told that
// it exists; who comes later is, with the same content as well.
func TestATryWhoseAnswerWasLostIsNoConflict(t *testing.T) {
	t.Parallel()
	db := &triedTwice{}
	table := items.DynamoTable{Client: db, Name: "items"}
	at := time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)
	item := items.Item{ID: "a", CreatedAt: at}
	if err := table.Create(t.Context(), item); err != nil {
		t.Errorf("its own first try is in its way: %v", err)
	}
	item.CreatedAt = at.Add(time.Millisecond)
	if err := table.Create(t.Context(), item); !errors.Is(err, items.ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
}
