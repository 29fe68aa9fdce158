package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/dynamodb"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	blue  = "eu-west-1"
	green = "eu-central-1"
)

var ctx = context.Background()

type metrics struct {
	mu   sync.Mutex
	seen map[string]float64
}

func (m *metrics) Record(_ time.Time, region, _, name string, dimensions map[string]string, value float64, _ string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[fmt.Sprint(region, " ", name, " ", dimensions)] = value
}

type world struct {
	*testing.T
	clock   *clock.Manual
	service *dynamodb.Service
	metrics *metrics
	faults  *fault.Set
	url     string
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, clock: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), metrics: &metrics{seen: map[string]float64{}}, faults: fault.NewSet(1)}
	w.service = dynamodb.New(dynamodb.Options{Clock: w.clock, Metrics: w.metrics, Faults: w.faults})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		call := wire.Call{Service: name, Region: region, AccessKeyID: key, RequestID: "r", Now: w.clock.Now()}
		w.service.Handler().ServeHTTP(rw, r.WithContext(wire.NewContext(r.Context(), call)))
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) client(region string) *api.Client {
	return api.New(api.Options{Region: region, BaseEndpoint: aws.String(w.url), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), RetryMaxAttempts: 1})
}

// table creates one with hash pk, range sk and an index on gk.
func (w *world) table() *api.Client {
	w.Helper()
	c := w.client(blue)
	attribute := func(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: kind}
	}
	_, err := c.CreateTable(ctx, &api.CreateTableInput{
		TableName: aws.String("items"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{attribute("pk", "S"), attribute("sk", "N"), attribute("gk", "S")},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{IndexName: aws.String("by-gk"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("gk"), KeyType: types.KeyTypeHash}}}},
		StreamSpecification:       &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
		SSESpecification:          &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: aws.String("arn:aws:kms:eu-west-1:000000000000:key/a")},
		DeletionProtectionEnabled: aws.Bool(true), Tags: []types.Tag{{Key: aws.String("Owner"), Value: aws.String("team")}},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.clock.Advance(10 * time.Second)
	return c
}

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }

type attributes = map[string]types.AttributeValue

func key(pk, sk string) attributes { return attributes{"pk": s(pk), "sk": n(sk)} }

func (w *world) put(c *api.Client, item attributes) {
	w.Helper()
	if _, err := c.PutItem(ctx, &api.PutItemInput{TableName: aws.String("items"), Item: item}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(c *api.Client, pk, sk string) attributes {
	w.Helper()
	out, err := c.GetItem(ctx, &api.GetItemInput{TableName: aws.String("items"), Key: key(pk, sk)})
	if err != nil {
		w.Fatal(err)
	}
	return out.Item
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func diff(want, got attributes) string { return cmp.Diff(show(want), show(got)) }

// show flattens the SDK's unions, which carry unexported fields.
func show(item attributes) map[string]string {
	out := map[string]string{}
	for name, v := range item {
		out[name] = text(v)
	}
	return out
}

func text(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return "S:" + v.Value
	case *types.AttributeValueMemberN:
		return "N:" + v.Value
	case *types.AttributeValueMemberL:
		var out []string
		for _, m := range v.Value {
			out = append(out, text(m))
		}
		return "L:" + strings.Join(out, ",")
	case *types.AttributeValueMemberM:
		return "M:" + fmt.Sprint(show(v.Value))
	case *types.AttributeValueMemberSS:
		return "SS:" + strings.Join(v.Value, ",")
	default:
		return fmt.Sprintf("%#v", v)
	}
}

func sample() attributes {
	return attributes{"pk": s("p"), "sk": n("1"), "gk": s("g"), "count": n("41"), "name": s("Ada"), "list": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("a"), s("b"), s("c")}},
		"map": &types.AttributeValueMemberM{Value: attributes{"x": n("1"), "y": n("2")}}, "set": &types.AttributeValueMemberSS{Value: []string{"u", "v"}}}
}

func TestQueriesAndPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	for i := range 12 {
		w.put(c, attributes{"pk": s("p"), "sk": n(fmt.Sprint(i)), "gk": s(fmt.Sprint("g", i%2)), "v": n(fmt.Sprint(i * i))})
	}
	query := func(in *api.QueryInput) []string {
		t.Helper()
		in.TableName = aws.String("items")
		var got []string
		pages := api.NewQueryPaginator(c, in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range out.Items {
				got = append(got, strings.TrimPrefix(text(item["sk"]), "N:"))
			}
		}
		return got
	}
	for name, tt := range map[string]struct {
		in   *api.QueryInput
		want string
	}{
		"range":    {&api.QueryInput{KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :a AND :b"), ExpressionAttributeValues: attributes{":p": s("p"), ":a": n("2"), ":b": n("10")}, Limit: aws.Int32(4)}, "2 3 4 5 6 7 8 9 10"},
		"backward": {&api.QueryInput{KeyConditionExpression: aws.String("sk > :a AND pk = :p"), ExpressionAttributeValues: attributes{":p": s("p"), ":a": n("8")}, ScanIndexForward: aws.Bool(false), Limit: aws.Int32(1)}, "11 10 9"},
		"filter":   {&api.QueryInput{KeyConditionExpression: aws.String("pk = :p"), FilterExpression: aws.String("v >= :v"), ExpressionAttributeValues: attributes{":p": s("p"), ":v": n("100")}, Limit: aws.Int32(5)}, "10 11"},
		"index":    {&api.QueryInput{IndexName: aws.String("by-gk"), KeyConditionExpression: aws.String("gk = :g"), ExpressionAttributeValues: attributes{":g": s("g1")}, Limit: aws.Int32(2)}, "1 3 5 7 9 11"},
	} {
		if d := cmp.Diff(strings.Fields(tt.want), query(tt.in)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	total := 0
	pages := api.NewScanPaginator(c, &api.ScanInput{TableName: aws.String("items"), Limit: aws.Int32(5)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		total += int(out.Count)
	}
	if total != 12 {
		t.Errorf("a scan in pages found %d of 12", total)
	}
	_, err := c.Query(ctx, &api.QueryInput{TableName: aws.String("items"), KeyConditionExpression: aws.String("sk = :a"), ExpressionAttributeValues: attributes{":a": n("1")}})
	if code(err) != "ValidationException" {
		t.Errorf("a query without the hash key: %v", err)
	}
}

func TestReturnedItemOfAFailedCondition(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	w.put(c, sample())
	_, err := c.PutItem(ctx, &api.PutItemInput{TableName: aws.String("items"), Item: key("p", "1"), ConditionExpression: aws.String("attribute_not_exists(pk)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok || text(failed.Item["name"]) != "S:Ada" {
		t.Errorf("%v carries %v", err, failed)
	}
}

func TestTransactionsAreAllOrNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	w.put(c, sample())
	items := []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("items"), Item: key("p", "2")}},
		{ConditionCheck: &types.ConditionCheck{TableName: aws.String("items"), Key: key("p", "1"), ConditionExpression: aws.String("attribute_exists(absent)")}},
	}
	_, err := c.TransactWriteItems(ctx, &api.TransactWriteItemsInput{TransactItems: items})
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok || len(cancelled.CancellationReasons) != 2 || aws.ToString(cancelled.CancellationReasons[0].Code) != "None" || aws.ToString(cancelled.CancellationReasons[1].Code) != "ConditionalCheckFailed" {
		t.Fatalf("%v", err)
	}
	if got := w.get(c, "p", "2"); got != nil {
		t.Errorf("half a transaction happened: %v", got)
	}
	increment := &api.TransactWriteItemsInput{ClientRequestToken: aws.String("once"), TransactItems: []types.TransactWriteItem{{Update: &types.Update{TableName: aws.String("items"), Key: key("p", "1"),
		UpdateExpression: aws.String("ADD #c :one"), ExpressionAttributeNames: map[string]string{"#c": "count"}, ExpressionAttributeValues: attributes{":one": n("1")}}}}}
	for range 2 {
		if _, err := c.TransactWriteItems(ctx, increment); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(w.get(c, "p", "1")["count"]); got != "N:42" {
		t.Errorf("a repeated token made it %s", got)
	}
}

func TestGlobalTable(t *testing.T) {
	t.Parallel()
	w := start(t)
	c, g := w.table(), w.client(green)
	w.put(c, sample())
	_, err := c.UpdateTable(ctx, &api.UpdateTableInput{TableName: aws.String("items"), ReplicaUpdates: []types.ReplicationGroupUpdate{{Create: &types.CreateReplicationGroupMemberAction{RegionName: aws.String(green), KMSMasterKeyId: aws.String("arn:aws:kms:eu-central-1:000000000000:key/b")}}}})
	if err != nil {
		t.Fatal(err)
	}
	replica := func() types.ReplicaDescription {
		t.Helper()
		out, err := c.DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String("items")})
		if err != nil || len(out.Table.Replicas) != 1 || aws.ToString(out.Table.GlobalTableVersion) != "2019.11.21" {
			t.Fatalf("%+v, %v", out, err)
		}
		return out.Table.Replicas[0]
	}
	if got := replica(); got.ReplicaStatus != types.ReplicaStatusCreating || !strings.HasSuffix(aws.ToString(got.KMSMasterKeyId), "key/b") {
		t.Errorf("a new replica is %+v", got)
	}
	w.clock.Advance(time.Minute)
	if got := replica(); got.ReplicaStatus != types.ReplicaStatusActive {
		t.Errorf("a minute later it is %s", got.ReplicaStatus)
	}
	if w.get(g, "p", "1") == nil {
		t.Error("the replica lacks an item from before it")
	}

	w.put(c, attributes{"pk": s("p"), "sk": n("1"), "from": s("blue")})
	if got := w.get(g, "p", "1")["from"]; got != nil {
		t.Error("a write was replicated at once")
	}
	w.clock.Advance(500 * time.Millisecond)
	w.put(g, attributes{"pk": s("p"), "sk": n("1"), "from": s("green")}) // later: wins
	w.clock.Advance(2 * time.Second)
	for name, client := range map[string]*api.Client{"blue": c, "green": g} {
		if got := text(w.get(client, "p", "1")["from"]); got != "S:green" {
			t.Errorf("%s has %s", name, got)
		}
	}
	if got := w.metrics.seen["eu-west-1 ReplicationLatency map[ReceivingRegion:eu-central-1 TableName:items]"]; got != 1000 {
		t.Errorf("ReplicationLatency %v ms; %v", got, w.metrics.seen)
	}

	// A delete beats an older write that arrives after it.
	w.service.SetReplicationLag(10 * time.Second)
	w.put(g, attributes{"pk": s("p"), "sk": n("1"), "from": s("late")})
	w.clock.Advance(time.Second)
	if _, err := c.DeleteItem(ctx, &api.DeleteItemInput{TableName: aws.String("items"), Key: key("p", "1")}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if a, b := w.get(c, "p", "1"), w.get(g, "p", "1"); a != nil || b != nil {
		t.Errorf("the deleted item is back: %v %v", a, b)
	}

	if _, err := c.UpdateTable(ctx, &api.UpdateTableInput{TableName: aws.String("items"), ReplicaUpdates: []types.ReplicationGroupUpdate{{Delete: &types.DeleteReplicationGroupMemberAction{RegionName: aws.String(green)}}}}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if _, err := g.DescribeTable(ctx, &api.DescribeTableInput{TableName: aws.String("items")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("the deleted replica: %v", err)
	}
}

func TestTableAdministration(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	name := aws.String("items")
	if _, err := c.DeleteTable(ctx, &api.DeleteTableInput{TableName: name}); code(err) != "ValidationException" {
		t.Errorf("a protected table was deleted: %v", err)
	}
	if _, err := c.UpdateContinuousBackups(ctx, &api.UpdateContinuousBackupsInput{TableName: name, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	backups, err := c.DescribeContinuousBackups(ctx, &api.DescribeContinuousBackupsInput{TableName: name})
	if err != nil || backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled {
		t.Errorf("%+v, %v", backups, err)
	}
	if _, err := c.UpdateTimeToLive(ctx, &api.UpdateTimeToLiveInput{TableName: name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	out, err := c.DescribeTable(ctx, &api.DescribeTableInput{TableName: name})
	if err != nil {
		t.Fatal(err)
	}
	d := out.Table
	if d.TableStatus != types.TableStatusActive || d.SSEDescription.Status != types.SSEStatusEnabled || !strings.HasSuffix(*d.SSEDescription.KMSMasterKeyArn, "key/a") || d.BillingModeSummary.BillingMode != types.BillingModePayPerRequest || d.LatestStreamArn == nil || d.CreationDateTime.Year() != 2026 {
		t.Errorf("%+v", d)
	}
	tags, err := c.ListTagsOfResource(ctx, &api.ListTagsOfResourceInput{ResourceArn: d.TableArn})
	if err != nil || len(tags.Tags) != 1 {
		t.Errorf("%+v, %v", tags, err)
	}
	if _, err := c.GetResourcePolicy(ctx, &api.GetResourcePolicyInput{ResourceArn: d.TableArn}); code(err) != "PolicyNotFoundException" {
		t.Errorf("%v", err)
	}
	if _, err := c.UpdateTable(ctx, &api.UpdateTableInput{TableName: name, DeletionProtectionEnabled: aws.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteTable(ctx, &api.DeleteTableInput{TableName: name}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	list, err := c.ListTables(ctx, &api.ListTablesInput{})
	if err != nil || len(list.TableNames) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestThrottlingIsAnErrorAndAMetric(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	w.put(c, sample())
	if err := w.faults.Add(fault.Fault{Region: blue, Kind: fault.Throttle, Target: "table/items", Rate: 1}); err != nil {
		t.Fatal(err)
	}
	_, err := c.GetItem(ctx, &api.GetItemInput{TableName: aws.String("items"), Key: key("p", "1")})
	if code(err) != "ProvisionedThroughputExceededException" {
		t.Errorf("%v", err)
	}
	if w.metrics.seen["eu-west-1 ReadThrottleEvents map[TableName:items]"] != 1 || w.metrics.seen["eu-west-1 WriteThrottleEvents map[TableName:items]"] != 0 {
		t.Errorf("%v", w.metrics.seen)
	}
}

// The SDK warns through its logger when an answer lacks its checksum.
func TestAnswersCarryTheirChecksum(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	options := c.Options()
	options.Logger = logging.LoggerFunc(func(_ logging.Classification, format string, v ...any) { t.Errorf(format, v...) })
	c = api.New(options)
	w.put(c, sample())
	if w.get(c, "p", "1") == nil {
		t.Error("no item")
	}
}

func TestInvalidRequestsAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.table()
	big := attributes{"pk": s("p"), "sk": n("1"), "v": s(strings.Repeat("x", 400<<10))}
	for name, item := range map[string]attributes{"no range key": {"pk": s("p")}, "wrong type": {"pk": s("p"), "sk": s("1")}, "empty key": {"pk": s(""), "sk": n("1")}, "too big": big,
		"index key": {"pk": s("p"), "sk": n("1"), "gk": n("1")}, "empty set": {"pk": s("p"), "sk": n("1"), "v": &types.AttributeValueMemberSS{}}} {
		if _, err := c.PutItem(ctx, &api.PutItemInput{TableName: aws.String("items"), Item: item}); code(err) != "ValidationException" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.GetItem(ctx, &api.GetItemInput{TableName: aws.String("items"), Key: key("p", "1"), ExpressionAttributeNames: map[string]string{"#x": "x"}}); code(err) != "ValidationException" {
		t.Errorf("an unused name: %v", err)
	}
	if _, err := c.GetItem(ctx, &api.GetItemInput{TableName: aws.String("none"), Key: key("p", "1")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("an unknown table: %v", err)
	}
	if _, err := c.ListBackups(ctx, &api.ListBackupsInput{}); code(err) != "UnknownOperationException" {
		t.Errorf("an unknown operation: %v", err)
	}
}
