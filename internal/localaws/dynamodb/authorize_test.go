package dynamodb_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/dynamodb"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// asked is IAM that writes down what it is asked, and denies one action.
type asked struct {
	mu     sync.Mutex
	asks   []wire.Ask
	denied string
}

func (a *asked) authorize(_ context.Context, ask wire.Ask) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asks = append(a.asks, ask)
	if ask.Action == a.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "User: me is not authorized to perform: %s", ask.Action)
	}
	return nil
}

func (a *asked) deny(ask string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied, _, _ = strings.Cut(ask, " ")
}

// take returns what was asked since, shortened: "action resource".
func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, ask := range a.asks {
		all = append(all, ask.Action+" "+ask.Resource[strings.LastIndex(ask.Resource, ":")+1:])
	}
	a.asks = nil
	return all
}

func guarded(t *testing.T) (*asked, *api.Client) {
	t.Helper()
	iam, now := &asked{}, clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	handler := dynamodb.New(dynamodb.Options{Clock: now, Authorize: iam.authorize}).Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(rw, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: name, Region: region, AccessKeyID: key, RequestID: "r", Now: now.Now()})))
	}))
	t.Cleanup(server.Close)
	client := api.New(api.Options{Region: blue, BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), RetryMaxAttempts: 1})
	for name, key := range map[string]string{"plain": "", "sealed": "1"} {
		in := &api.CreateTableInput{
			TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
			GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
				IndexName: aws.String("turned"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
				KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
			}},
		}
		if key != "" {
			in.SSESpecification = &types.SSESpecification{Enabled: aws.Bool(true), KMSMasterKeyId: aws.String(key)}
		}
		if _, err := client.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	now.Advance(time.Minute)
	return iam, client
}

// usesOf are calls of every operation on items, by name.
func usesOf(t *testing.T, c *api.Client, table string) map[string]func() error {
	key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a"}}
	name, ctx := aws.String(table), t.Context()
	query := func(index *string) func() error {
		return func() error {
			_, err := c.Query(ctx, &api.QueryInput{TableName: name, IndexName: index, KeyConditionExpression: aws.String("pk = :v"), ExpressionAttributeValues: map[string]types.AttributeValue{":v": key["pk"]}})
			return err
		}
	}
	return map[string]func() error{
		"GetItem": func() error {
			_, err := c.GetItem(ctx, &api.GetItemInput{TableName: name, Key: key})
			return err
		},
		"PutItem": func() error {
			_, err := c.PutItem(ctx, &api.PutItemInput{TableName: name, Item: key})
			return err
		},
		"UpdateItem": func() error {
			_, err := c.UpdateItem(ctx, &api.UpdateItemInput{TableName: name, Key: key})
			return err
		},
		"DeleteItem": func() error {
			_, err := c.DeleteItem(ctx, &api.DeleteItemInput{TableName: name, Key: key})
			return err
		},
		"Query":       query(nil),
		"Query index": query(aws.String("turned")),
		"Scan": func() error {
			_, err := c.Scan(ctx, &api.ScanInput{TableName: name})
			return err
		},
		"BatchGetItem": func() error {
			_, err := c.BatchGetItem(ctx, &api.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: {Keys: []map[string]types.AttributeValue{key}}}})
			return err
		},
		"BatchWriteItem": func() error {
			_, err := c.BatchWriteItem(ctx, &api.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: {{PutRequest: &types.PutRequest{Item: key}}}}})
			return err
		},
		"TransactGetItems": func() error {
			_, err := c.TransactGetItems(ctx, &api.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: name, Key: key}}}})
			return err
		},
		"TransactWriteItems": func() error {
			other := func(v string) map[string]types.AttributeValue {
				return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: v}}
			}
			_, err := c.TransactWriteItems(ctx, &api.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{ConditionCheck: &types.ConditionCheck{TableName: name, Key: other("c"), ConditionExpression: aws.String("attribute_not_exists(pk)")}},
				{Put: &types.Put{TableName: name, Item: other("p")}},
				{Update: &types.Update{TableName: name, Key: other("u"), UpdateExpression: aws.String("REMOVE x")}},
				{Delete: &types.Delete{TableName: name, Key: other("d")}},
			}})
			return err
		},
	}
}

func TestEveryUseOfItemsIsAskedFor(t *testing.T) {
	t.Parallel()
	iam, c := guarded(t)
	for operation, want := range map[string][]string{
		"GetItem": {"GetItem"}, "PutItem": {"PutItem"}, "UpdateItem": {"UpdateItem"}, "DeleteItem": {"DeleteItem"}, "Query": {"Query"}, "Query index": {"Query"}, "Scan": {"Scan"},
		"BatchGetItem": {"BatchGetItem"}, "BatchWriteItem": {"BatchWriteItem"}, "TransactGetItems": {"GetItem"},
		"TransactWriteItems": {"ConditionCheckItem", "PutItem", "UpdateItem", "DeleteItem"},
	} {
		for _, table := range []string{"plain", "sealed"} {
			iam.take()
			use := usesOf(t, c, table)[operation]
			if err := use(); err != nil {
				t.Fatal(err)
			}
			var expected []string
			for _, action := range want {
				resource := "table/" + table
				if operation == "Query index" {
					resource += "/index/turned"
				}
				expected = append(expected, "dynamodb:"+action+" "+resource)
				if table == "plain" {
					continue
				}
				key := []string{"Decrypt", "DescribeKey"}
				if slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"}, action) {
					key = append(key, "Encrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
				}
				for _, k := range key {
					expected = append(expected, "kms:"+k+" key/1")
				}
			}
			if diff := cmp.Diff(expected, iam.take()); diff != "" {
				t.Errorf("%s of %s (-want +got):\n%s", operation, table, diff)
			}
			// Each of them can refuse the whole.
			for _, ask := range expected {
				iam.deny(ask)
				if err := use(); code(err) != "AccessDeniedException" {
					t.Errorf("%s of %s without %s: %v", operation, table, ask, err)
				}
			}
			iam.deny("")
		}
	}
}

func TestAKeyIsAskedForInTheNameOfTheCaller(t *testing.T) {
	t.Parallel()
	iam, c := guarded(t)
	iam.take()
	if err := usesOf(t, c, "sealed")["GetItem"](); err != nil {
		t.Fatal(err)
	}
	iam.mu.Lock()
	defer iam.mu.Unlock()
	keys := map[string][]string{
		"kms:viaservice": {"dynamodb.eu-west-1.amazonaws.com"}, "kms:encryptioncontextkeys": {"aws:dynamodb:tableName", "aws:dynamodb:subscriberId"},
		"kms:encryptioncontext:aws:dynamodb:tablename": {"sealed"}, "kms:encryptioncontext:aws:dynamodb:subscriberid": {"000000000000"},
	}
	const key = "arn:aws:kms:eu-west-1:000000000000:key/1"
	want := []wire.Ask{
		{AccessKeyID: "key", Action: "dynamodb:GetItem", Resource: "arn:aws:dynamodb:eu-west-1:000000000000:table/sealed"},
		{AccessKeyID: "key", Action: "kms:Decrypt", Resource: key, Keys: keys},
		{AccessKeyID: "key", Action: "kms:DescribeKey", Resource: key, Keys: keys},
	}
	if diff := cmp.Diff(want, iam.asks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAdministrationIsAskedFor(t *testing.T) {
	t.Parallel()
	iam, c := guarded(t)
	for name, try := range map[string]struct {
		do   func() error
		want []string
	}{
		"DescribeTable": {func() error {
			_, err := c.DescribeTable(t.Context(), &api.DescribeTableInput{TableName: aws.String("plain")})
			return err
		}, []string{"dynamodb:DescribeTable table/plain"}},
		"ListTables": {func() error {
			_, err := c.ListTables(t.Context(), &api.ListTablesInput{})
			return err
		}, []string{"dynamodb:ListTables *"}},
		"ListTagsOfResource": {func() error {
			_, err := c.ListTagsOfResource(t.Context(), &api.ListTagsOfResourceInput{ResourceArn: aws.String("arn:aws:dynamodb:eu-west-1:000000000000:table/plain")})
			return err
		}, []string{"dynamodb:ListTagsOfResource table/plain"}},
		"UpdateTable": {func() error {
			_, err := c.UpdateTable(t.Context(), &api.UpdateTableInput{TableName: aws.String("plain"), SSESpecification: &types.SSESpecification{Enabled: aws.Bool(true), KMSMasterKeyId: aws.String("alias/mine")}})
			return err
		}, []string{
			"dynamodb:UpdateTable table/plain", "kms:Decrypt alias/mine", "kms:DescribeKey alias/mine", "kms:Encrypt alias/mine", "kms:ReEncryptFrom alias/mine", "kms:ReEncryptTo alias/mine",
			"kms:GenerateDataKey alias/mine", "kms:GenerateDataKeyWithoutPlaintext alias/mine", "kms:CreateGrant alias/mine",
		}},
	} {
		iam.take()
		if err := try.do(); err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(try.want, iam.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		last := try.want[len(try.want)-1]
		iam.deny(last)
		if err := try.do(); code(err) != "AccessDeniedException" {
			t.Errorf("%s without %s: %v", name, last, err)
		}
		iam.deny("")
	}
}
