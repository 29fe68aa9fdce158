package awsapi

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/cutover"
)

var _ cutover.Gates = (*Control)(nil)

// Approve opens the gate in front of a step. Asking twice changes nothing but
// the name.
func (c *Control) Approve(ctx context.Context, shift string, step int, by string, at time.Time) error {
	item := approvalKey(shift, step)
	item["by"], item["at"] = text(by), text(at.UTC().Format(time.RFC3339))
	_, err := c.clients.DynamoDB(c.home).PutItem(ctx, &dynamodb.PutItemInput{TableName: &c.table, Item: item})
	return trouble(fmt.Sprintf("approve step %d of shift %s", step+1, shift), err)
}

// ApprovedBy implements cutover.Gates.
func (c *Control) ApprovedBy(ctx context.Context, shift string, step int) (cutover.Approval, error) {
	consistent := true
	out, err := c.clients.DynamoDB(c.home).GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &c.table, Key: approvalKey(shift, step), ConsistentRead: &consistent,
	})
	if err != nil {
		return cutover.Approval{}, trouble(fmt.Sprintf("look for the approval of step %d of shift %s", step+1, shift), err)
	}
	by, _ := out.Item["by"].(*ddbtypes.AttributeValueMemberS)
	when, _ := out.Item["at"].(*ddbtypes.AttributeValueMemberS)
	if by == nil || when == nil {
		return cutover.Approval{}, nil
	}
	at, err := time.Parse(time.RFC3339, when.Value)
	if err != nil {
		return cutover.Approval{}, trouble(fmt.Sprintf("read when step %d of shift %s was approved", step+1, shift), err)
	}
	return cutover.Approval{Step: step, By: by.Value, At: at}, nil
}

func approvalKey(shift string, step int) map[string]ddbtypes.AttributeValue {
	return map[string]ddbtypes.AttributeValue{"pk": text(pkApproval), "sk": text(fmt.Sprintf("%s/%03d", shift, step))}
}
