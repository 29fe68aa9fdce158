package items

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// DynamoDB is what a table needs of the DynamoDB client.
type DynamoDB interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// partition is the one partition of all items: it lets them be listed with
// Query, which the function's role allows, where Scan is not.
const partition = "ITEM"

// DynamoTable keeps items in DynamoDB: pk = "ITEM", sk = the id, and the
// document as one JSON string, so that numbers come back as they were sent.
type DynamoTable struct {
	Client DynamoDB
	Name   string
}

var _ Table = DynamoTable{}

func key(id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: partition},
		"sk": &types.AttributeValueMemberS{Value: id},
	}
}

// Get implements Table.
func (t DynamoTable) Get(ctx context.Context, id string) (Item, error) {
	out, err := t.Client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(t.Name), Key: key(id)})
	if err != nil {
		return Item{}, fmt.Errorf("get item %s: %w", id, err)
	}
	if len(out.Item) == 0 {
		return Item{}, ErrNotFound
	}
	return decode(out.Item)
}

// List implements Table.
func (t DynamoTable) List(ctx context.Context, limit int32, after string) ([]Item, bool, error) {
	in := &dynamodb.QueryInput{
		TableName:                 aws.String(t.Name),
		KeyConditionExpression:    aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: partition}},
		Limit:                     aws.Int32(limit),
	}
	if after != "" {
		in.ExclusiveStartKey = key(after)
	}
	out, err := t.Client.Query(ctx, in)
	if err != nil {
		return nil, false, fmt.Errorf("list items: %w", err)
	}
	items := make([]Item, 0, len(out.Items))
	for _, stored := range out.Items {
		item, err := decode(stored)
		if err != nil {
			return nil, false, err
		}
		items = append(items, item)
	}
	return items, len(out.LastEvaluatedKey) > 0, nil
}

// Create implements Table.
func (t DynamoTable) Create(ctx context.Context, item Item) error {
	document, err := json.Marshal(item.Fields)
	if err != nil {
		return fmt.Errorf("create item %s: %w", item.ID, err)
	}
	stored := key(item.ID)
	stored["document"] = &types.AttributeValueMemberS{Value: string(document)}
	stored["created_at"] = &types.AttributeValueMemberS{Value: item.CreatedAt.Format(time.RFC3339Nano)}
	if item.Signature != "" {
		stored["signature"] = &types.AttributeValueMemberS{Value: item.Signature}
		stored["signed_by"] = &types.AttributeValueMemberS{Value: item.SignedBy}
	}
	_, err = t.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: aws.String(t.Name), Item: stored,
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if refused, exists := errors.AsType[*types.ConditionalCheckFailedException](err); exists {
		// The SDK tries again where an answer was lost: the item that is there
		// may be this very one, of the try before.
		if maps.EqualFunc(refused.Item, stored, sameText) {
			return nil
		}
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("create item %s: %w", item.ID, err)
	}
	return nil
}

func sameText(a, b types.AttributeValue) bool {
	x, xText := a.(*types.AttributeValueMemberS)
	y, yText := b.(*types.AttributeValueMemberS)
	return xText && yText && x.Value == y.Value
}

func decode(stored map[string]types.AttributeValue) (Item, error) {
	text := func(name string) string {
		if s, ok := stored[name].(*types.AttributeValueMemberS); ok {
			return s.Value
		}
		return ""
	}
	item := Item{ID: text("sk"), Signature: text("signature"), SignedBy: text("signed_by")}
	if document := text("document"); document != "" {
		if err := json.Unmarshal([]byte(document), &item.Fields); err != nil {
			return Item{}, fmt.Errorf("decode item %s: %w", item.ID, err)
		}
	}
	if created := text("created_at"); created != "" {
		at, err := time.Parse(time.RFC3339Nano, created)
		if err != nil {
			return Item{}, fmt.Errorf("decode item %s: %w", item.ID, err)
		}
		item.CreatedAt = at
	}
	return item, nil
}
