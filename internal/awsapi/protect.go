package awsapi

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// ProtectTable turns the deletion protection of a region's copy of a table on or
// off: the copies of a global table have one each. A copy that is not there needs
// none taken off.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html#WorkingWithTables.Basics.DeletionProtection
func (c *Clients) ProtectTable(ctx context.Context, region, table string, on bool) error {
	step := fmt.Sprintf("set the deletion protection of table %s in %s to %v", table, region, on)
	out, err := c.DynamoDB(region).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if code(err) == "ResourceNotFoundException" && !on {
		return nil
	}
	if err != nil {
		return trouble(step, err)
	}
	if aws.ToBool(out.Table.DeletionProtectionEnabled) == on {
		return nil
	}
	_, err = c.DynamoDB(region).UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &table, DeletionProtectionEnabled: &on})
	return trouble(step, err)
}
