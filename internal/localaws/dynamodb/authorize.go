package dynamodb

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// use is what a request does with one table: the action that IAM knows for
// it, which in a transaction is that of each element.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
type use struct{ action, table, index string }

func one(action string) func(*request) []use {
	return func(r *request) []use { return []use{{action, tableName(r.TableName), aws.ToString(r.IndexName)}} }
}

func (in *batchGet) uses() []use { return batched("BatchGetItem", in.RequestItems) }

func (in *batchWrite) uses() []use { return batched("BatchWriteItem", in.RequestItems) }

func batched[T any](action string, items map[string]T) []use {
	var all []use
	for _, name := range slices.Sorted(maps.Keys(items)) {
		all = append(all, use{action: action, table: tableName(name)})
	}
	return all
}

func (in *transactWrite) uses() []use {
	var all []use
	for _, ask := range in.TransactItems {
		for _, element := range []struct {
			action string
			r      *request
		}{{"PutItem", ask.Put}, {"UpdateItem", ask.Update}, {"DeleteItem", ask.Delete}, {"ConditionCheckItem", ask.ConditionCheck}} {
			if element.r != nil {
				all = append(all, use{action: element.action, table: tableName(element.r.TableName)})
			}
		}
	}
	return all
}

func (in *transactGet) uses() []use {
	var all []use
	for _, ask := range in.TransactItems {
		if ask.Get != nil {
			all = append(all, use{action: "GetItem", table: tableName(ask.Get.TableName)})
		}
	}
	return all
}

// tablesOf are the tables of the uses, each once.
func tablesOf(all []use) []string {
	var names []string
	for _, u := range all {
		if !slices.Contains(names, u.table) {
			names = append(names, u.table)
		}
	}
	return names
}

// authorize asks for an action on one table, "" for none in particular.
func (s *Service) authorize(ctx context.Context, call wire.Call, action, table string) error {
	resource := "*"
	if table != "" {
		resource = tableARN(call.Region, table)
	}
	return s.ask(ctx, call, "dynamodb:"+action, resource, nil)
}

func (s *Service) ask(ctx context.Context, call wire.Call, action, resource string, keys map[string][]string) error {
	if s.opts.Authorize == nil {
		return nil
	}
	return s.opts.Authorize(ctx, wire.Ask{AccessKeyID: call.AccessKeyID, Action: action, Resource: resource, Keys: keys})
}

// What a principal needs of a table's customer key. AWS lists all of it, and
// CreateGrant, as what the principal must have at a minimum; its trail shows
// Decrypt alone for access to items, and the grants of AWS's own CDK give a
// reader the first list and a writer both. Which of them are asked at item time
// is unverified: here a reader is asked for the first list, a writer for both,
// and whoever creates an encrypted table for CreateGrant as well. AWS keeps a
// decrypted table key for five minutes per caller; this asks every time.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
var (
	readerOfKey = []string{"Decrypt", "DescribeKey"}
	writerOfKey = []string{"Encrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"}
)

// authorizeItems asks for every use, and for the customer keys of the tables.
func (s *Service) authorizeItems(ctx context.Context, call wire.Call, all []use) error {
	if s.opts.Authorize == nil {
		return nil
	}
	for _, u := range all {
		resource := tableARN(call.Region, u.table)
		if u.index != "" {
			resource += "/index/" + u.index
		}
		if err := s.ask(ctx, call, "dynamodb:"+u.action, resource, nil); err != nil {
			return err
		}
		actions := readerOfKey
		if !slices.Contains(reads, u.action) && u.action != "ConditionCheckItem" {
			actions = slices.Concat(readerOfKey, writerOfKey)
		}
		if err := s.useKey(ctx, call, s.customerKey(call, u.table), call.Region, u.table, actions); err != nil {
			return err
		}
	}
	return nil
}

// customerKey is the key of a table, "" for one of Amazon's own and for a
// table that does not exist, which is found out later.
func (s *Service) customerKey(call wire.Call, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(call.Now, call.Region, name)
	if err != nil || t.description.SSEDescription == nil {
		return ""
	}
	return aws.ToString(t.description.SSEDescription.KMSMasterKeyArn)
}

// useKey asks KMS on the caller's behalf, as its conditions see it.
func (s *Service) useKey(ctx context.Context, call wire.Call, key, region, table string, actions []string) error {
	if key == "" || strings.Contains(key, ":alias/aws/") {
		return nil
	}
	keys := map[string][]string{
		"kms:viaservice": {"dynamodb." + call.Region + ".amazonaws.com"},
		"kms:encryptioncontext:aws:dynamodb:tablename":    {table},
		"kms:encryptioncontext:aws:dynamodb:subscriberid": {wire.Account},
		"kms:encryptioncontextkeys":                       {"aws:dynamodb:tableName", "aws:dynamodb:subscriberId"},
	}
	for _, action := range actions {
		if action == "CreateGrant" { // by DynamoDB, for its own use of the key
			keys = maps.Clone(keys)
			keys["kms:grantisforawsresource"] = []string{"true"}
		}
		if err := s.ask(ctx, call, "kms:"+action, keyARN(region, key), keys); err != nil {
			e := wire.AsError(err)
			return wire.Errorf(http.StatusBadRequest, e.Code, "KMS key access denied error: %s", e.Message)
		}
	}
	return nil
}

// authorizeKeys asks for the customer keys that an administrator's request
// puts a table under.
func (s *Service) authorizeKeys(ctx context.Context, call wire.Call, in any) error {
	type chosen struct{ key, region string }
	var keys []chosen
	table := ""
	switch in := in.(type) {
	case *api.CreateTableInput:
		table = aws.ToString(in.TableName)
		if in.SSESpecification != nil {
			keys = append(keys, chosen{aws.ToString(in.SSESpecification.KMSMasterKeyId), call.Region})
		}
	case *api.UpdateTableInput:
		table = aws.ToString(in.TableName)
		if in.SSESpecification != nil {
			keys = append(keys, chosen{aws.ToString(in.SSESpecification.KMSMasterKeyId), call.Region})
		}
		for _, u := range in.ReplicaUpdates {
			if u.Create != nil {
				keys = append(keys, chosen{aws.ToString(u.Create.KMSMasterKeyId), aws.ToString(u.Create.RegionName)})
			}
		}
	}
	for _, k := range keys {
		if err := s.useKey(ctx, call, k.key, k.region, tableName(table), slices.Concat(readerOfKey, writerOfKey, []string{"CreateGrant"})); err != nil {
			return err
		}
	}
	return nil
}

// keyARN is the ARN of a key given as id, ARN or alias.
func keyARN(region, key string) string {
	switch {
	case strings.HasPrefix(key, "arn:"):
		return key
	case !strings.HasPrefix(key, "alias/"):
		key = "key/" + key
	}
	return "arn:aws:kms:" + region + ":" + wire.Account + ":" + key
}
