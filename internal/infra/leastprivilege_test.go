package infra_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/topology"
)

// embedded is the account of the embedded AWS.
const embedded = "000000000000"

// ground is an embedded AWS with what the roles work on, made by its root.
type ground struct {
	endpoint string
	now      func() time.Time  // its clock
	base     *world            // what the base program asked for
	keys     map[string]string // region -> ARN
	secrets  map[string]string // region -> ARN
}

// in is the configuration of a caller in a region.
func (g *ground) in(region, keyID, secret, token string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(g.endpoint), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, token),
	}
}

func (g *ground) root(region string) aws.Config { return g.in(region, "test", "test", "") }

// inEmbedded puts the programs into the account of the embedded AWS.
func inEmbedded() infra.Input {
	in := input(settings())
	in.Account = embedded
	return in
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func newGround(t *testing.T) *ground {
	t.Helper()
	server, err := localaws.Start(t.Context(), localaws.Options{Seed: 1, Speed: 600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &ground{endpoint: server.Env().Endpoint, now: server.Clock().Now, base: provision(t, infra.BaseProgram(inEmbedded())), keys: map[string]string{}, secrets: map[string]string{}}
	for _, region := range []string{blueRegion, greenRegion} {
		key := must[*kms.CreateKeyOutput](t)(kms.NewFromConfig(g.root(region)).CreateKey(t.Context(), &kms.CreateKeyInput{
			Policy: aws.String(g.base.one(t, "kms/key:Key", "key-"+region).text("policy")),
		}))
		g.keys[region] = *key.KeyMetadata.Arn
		secret := must[*secretsmanager.CreateSecretOutput](t)(secretsmanager.NewFromConfig(g.root(region)).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
			Name: aws.String("Shop-prod-secret"), KmsKeyId: aws.String(g.keys[region]), SecretString: aws.String("s"),
		}))
		g.secrets[region] = *secret.ARN
		for _, function := range []string{"Shop-prod-api", "Shop-prod-forward"} {
			must[*cloudwatchlogs.CreateLogGroupOutput](t)(cloudwatchlogs.NewFromConfig(g.root(region)).CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{
				LogGroupName: aws.String("/aws/lambda/" + function), KmsKeyId: aws.String(g.keys[region]),
			}))
		}
		g.table(t, region)
	}
	return g
}

// table is the application's, with an index, which its policy covers too.
func (g *ground) table(t *testing.T, region string) {
	t.Helper()
	client := dynamodb.NewFromConfig(g.root(region))
	text := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS}
	}
	must[*dynamodb.CreateTableOutput](t)(client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("Shop-prod-items"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{text("pk"), text("sk")},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("turned"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("sk"), KeyType: types.KeyTypeHash}},
		}},
		SSESpecification: &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: aws.String(g.keys[region])},
	}))
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 50*time.Millisecond
	})
	if err := waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("Shop-prod-items")}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// use is one thing that a role does, and the rights it takes: "SID/ACTION" as
// the policy writes them.
type use struct {
	name  string
	needs []string
	do    func(ctx context.Context, as aws.Config) error
}

// The rights that a table's customer key adds to reading and to writing.
var (
	readKey  = []string{"TableKey/kms:Decrypt", "TableKey/kms:DescribeKey"}
	writeKey = slices.Concat(readKey, []string{"TableKey/kms:Encrypt", "TableKey/kms:ReEncrypt*", "TableKey/kms:GenerateDataKey*"})
)

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

var (
	items  = aws.String("Shop-prod-items")
	itemID = map[string]types.AttributeValue{"pk": text("a"), "sk": text("b")}
)

// onItems makes a use of the items' table out of an action and a call.
func onItems[In, Out any](action string, key []string, in *In, call func(*dynamodb.Client, context.Context, *In, ...func(*dynamodb.Options)) (Out, error)) use {
	return use{name: action, needs: append([]string{"Items/dynamodb:" + action}, key...), do: func(ctx context.Context, as aws.Config) error {
		_, err := call(dynamodb.NewFromConfig(as), ctx, in)
		return err
	}}
}

// applicationUses are what the user's code may do.
func applicationUses(g *ground, region string) []use {
	check := &types.ConditionCheck{TableName: items, Key: itemID, ConditionExpression: aws.String("attribute_exists(pk) OR attribute_not_exists(pk)")}
	query := func(index *string, name string) *dynamodb.QueryInput {
		return &dynamodb.QueryInput{TableName: items, IndexName: index, KeyConditionExpression: aws.String(name + " = :v"), ExpressionAttributeValues: map[string]types.AttributeValue{":v": text("b")}}
	}
	turned := onItems("Query", readKey, query(aws.String("turned"), "sk"), (*dynamodb.Client).Query)
	turned.name += " of an index"
	return append([]use{
		onItems("GetItem", readKey, &dynamodb.GetItemInput{TableName: items, Key: itemID}, (*dynamodb.Client).GetItem),
		onItems("PutItem", writeKey, &dynamodb.PutItemInput{TableName: items, Item: itemID}, (*dynamodb.Client).PutItem),
		onItems("UpdateItem", writeKey, &dynamodb.UpdateItemInput{TableName: items, Key: itemID, UpdateExpression: aws.String("REMOVE x")}, (*dynamodb.Client).UpdateItem),
		onItems("DeleteItem", writeKey, &dynamodb.DeleteItemInput{TableName: items, Key: itemID}, (*dynamodb.Client).DeleteItem),
		onItems("Query", readKey, query(nil, "pk"), (*dynamodb.Client).Query),
		turned,
		onItems("BatchGetItem", readKey, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*items: {Keys: []map[string]types.AttributeValue{itemID}}}}, (*dynamodb.Client).BatchGetItem),
		onItems("BatchWriteItem", writeKey, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*items: {{PutRequest: &types.PutRequest{Item: itemID}}}}}, (*dynamodb.Client).BatchWriteItem),
		onItems("ConditionCheckItem", readKey, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{ConditionCheck: check}}}, (*dynamodb.Client).TransactWriteItems),
		{"GetSecretValue", []string{"Secret/secretsmanager:GetSecretValue", "SecretKey/kms:Decrypt"}, func(ctx context.Context, as aws.Config) error {
			_, err := secretsmanager.NewFromConfig(as).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(g.secrets[region])})
			return err
		}},
	}, logUses(g, region, "Shop-prod-api")...)
}

// logUses are what Lambda does by a function's role.
func logUses(g *ground, region, function string) []use {
	group := aws.String("/aws/lambda/" + function)
	return []use{
		{"CreateLogStream", []string{"Logs/logs:CreateLogStream"}, func(ctx context.Context, as aws.Config) error {
			_, err := cloudwatchlogs.NewFromConfig(as).CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: aws.String("s")})
			if _, again := errors.AsType[*logtypes.ResourceAlreadyExistsException](err); again {
				return nil
			}
			return err
		}},
		{"PutLogEvents", []string{"Logs/logs:PutLogEvents"}, func(ctx context.Context, as aws.Config) error {
			// The stream is not this right's business.
			_, err := cloudwatchlogs.NewFromConfig(g.root(region)).CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: aws.String("s")})
			if _, again := errors.AsType[*logtypes.ResourceAlreadyExistsException](err); err != nil && !again {
				return err
			}
			_, err = cloudwatchlogs.NewFromConfig(as).PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
				LogGroupName: group, LogStreamName: aws.String("s"), LogEvents: []logtypes.InputLogEvent{{Timestamp: aws.Int64(0), Message: aws.String("m")}},
			})
			return err
		}},
	}
}

// forwarderUses are what green's forwarder may do.
func forwarderUses(g *ground, target string) []use {
	return append(logUses(g, greenRegion, "Shop-prod-forward"), use{"Invoke", []string{"Blue/lambda:InvokeFunction"}, func(ctx context.Context, as aws.Config) error {
		as.Region = blueRegion
		_, err := lambda.NewFromConfig(as).Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(target), InvocationType: lambdatypes.InvocationTypeDryRun})
		return err
	}})
}

// tried is a role under proof: the documents that a program gave it.
type tried struct {
	name          string
	policy, trust string
	region        string
	uses          []use
}

func (g *ground) roles(t *testing.T) []tried {
	t.Helper()
	of := func(side topology.Side) *world {
		return provision(t, infra.CellProgram(cellInput(t, side, func(in *infra.CellInput) {
			in.Account, in.Base.KeyARN, in.Base.SecretARN = embedded, g.keys, g.secrets
		})))
	}
	role := func(w *world, name, region string, uses []use) tried {
		return tried{name + " in " + region, w.one(t, "iam/rolePolicy:RolePolicy", name).text("policy"), w.one(t, "iam/role:Role", name).text("assumeRolePolicy"), region, uses}
	}
	blue, green := of(topology.Blue), of(topology.Green)
	target := infra.CellInput{Input: inEmbedded()}.ForwardTarget()
	g.storage(t)
	return []tried{
		g.replicationRole(t, blueRegion, greenRegion),
		g.replicationRole(t, greenRegion, blueRegion),
		role(blue, "api", blueRegion, applicationUses(g, blueRegion)),
		role(green, "api", greenRegion, applicationUses(g, greenRegion)),
		role(green, "forward", greenRegion, forwarderUses(g, target)),
	}
}

// assume makes the role and takes it: its trust policy also lets the account
// in here, which has no bearing on its rights.
func (g *ground) assume(t *testing.T, r tried) (aws.Config, func(policy string)) {
	t.Helper()
	client := iam.NewFromConfig(g.root(r.region))
	name := aws.String(strings.ReplaceAll(r.name, " ", "-"))
	var trust map[string]any
	if err := json.Unmarshal([]byte(r.trust), &trust); err != nil {
		t.Fatal(err)
	}
	trust["Statement"] = append(trust["Statement"].([]any), map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": embedded}, "Action": "sts:AssumeRole"})
	made := must[*iam.CreateRoleOutput](t)(client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(string(must[[]byte](t)(json.Marshal(trust))))}))
	session := must[*sts.AssumeRoleOutput](t)(sts.NewFromConfig(g.root(r.region)).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: made.Role.Arn, RoleSessionName: aws.String("proof")}))
	c := session.Credentials
	return g.in(r.region, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken), func(policy string) {
		t.Helper()
		must[*iam.PutRolePolicyOutput](t)(client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("own"), PolicyDocument: aws.String(policy)}))
	}
}

// without writes a policy without one action of one statement.
func without(t *testing.T, document, right string) string {
	t.Helper()
	var p struct {
		Version   string
		Statement []map[string]any
	}
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		t.Fatal(err)
	}
	sid, action, _ := strings.Cut(right, "/")
	var kept []map[string]any
	for _, s := range p.Statement {
		if s["Sid"] == sid {
			actions := slices.DeleteFunc(s["Action"].([]any), func(a any) bool { return a == action })
			if len(actions) == 0 {
				continue
			}
			s["Action"] = actions
		}
		kept = append(kept, s)
	}
	if len(kept) == 0 {
		t.Fatalf("the policy is nothing but %s", right)
	}
	p.Statement = kept
	return string(must[[]byte](t)(json.Marshal(p)))
}

// denials does everything and tells what was denied. Any other failure ends
// the test: it would hide a right that was not asked for.
func denials(t *testing.T, as aws.Config, uses []use) []string {
	t.Helper()
	denied := []string{}
	for _, u := range uses {
		err := u.do(t.Context(), as)
		api, isAPI := errors.AsType[smithy.APIError](err)
		switch {
		case err == nil:
		case isAPI && strings.HasPrefix(api.ErrorCode(), "AccessDenied"):
			denied = append(denied, u.name)
		default:
			t.Fatalf("%s: %v", u.name, err)
		}
	}
	return denied
}

// Each right of each role is needed, by exactly the uses that are said to: the
// whole policy lets everything through, and without one action just those
// uses are denied. A right that no use needs fails, and so does a use that
// needs a right which the policy has not.
func TestEveryRightOfARoleIsNeeded(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	roles := g.roles(t)
	g.blueFunction(t)
	for _, r := range roles {
		as, put := g.assume(t, r)
		if got := denials(t, as, r.uses); len(got) != len(r.uses) {
			t.Fatalf("%s without a policy: only %v were denied", r.name, got)
		}
		put(r.policy)
		same(t, r.name+": denied with the whole policy", []string{}, denials(t, as, r.uses))
		users := map[string][]string{}
		for _, u := range r.uses {
			for _, right := range u.needs {
				users[right] = append(users[right], u.name)
			}
		}
		rights := map[string]bool{}
		for _, s := range parsePolicy(t, r.policy).Statement {
			for _, action := range s.Action {
				rights[s.Sid+"/"+action] = true
			}
		}
		same(t, r.name+": rights and what uses need", slices.Sorted(maps.Keys(rights)), slices.Sorted(maps.Keys(users)))
		for _, right := range slices.Sorted(maps.Keys(rights)) {
			t.Run(r.name+"/"+right, func(t *testing.T) {
				put(without(t, r.policy, right))
				same(t, "denied", users[right], denials(t, as, r.uses))
			})
		}
	}
}

// Each resource of each statement is needed as well.
func TestEveryResourceOfARoleIsNeeded(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	roles := g.roles(t)
	g.blueFunction(t)
	for _, r := range roles {
		as, put := g.assume(t, r)
		for i, s := range parsePolicy(t, r.policy).Statement {
			for _, resource := range s.Resource {
				t.Run(fmt.Sprintf("%s/%s/%s", r.name, s.Sid, resource), func(t *testing.T) {
					p := parsePolicy(t, r.policy)
					// A resource that is not there stands in, so that a
					// statement of one resource stays whole.
					for n, one := range p.Statement[i].Resource {
						if one == resource {
							p.Statement[i].Resource[n] = "arn:aws:none:::none"
						}
					}
					put(string(must[[]byte](t)(json.Marshal(written(p)))))
					if got := denials(t, as, r.uses); len(got) == 0 {
						t.Error("nothing was denied without it")
					}
				})
			}
		}
	}
}

// written is a policy without its empty elements, which AWS refuses.
func written(p policy) map[string]any {
	var statements []map[string]any
	for _, s := range p.Statement {
		one := map[string]any{"Sid": s.Sid, "Effect": s.Effect, "Action": s.Action, "Resource": s.Resource}
		if s.Condition != nil {
			one["Condition"] = s.Condition
		}
		statements = append(statements, one)
	}
	return map[string]any{"Version": p.Version, "Statement": statements}
}

// blueFunction is the forwarder's target. It never runs: AWS's dry run ends
// after the question whether the caller may.
func (g *ground) blueFunction(t *testing.T) {
	t.Helper()
	var code bytes.Buffer
	archive := zip.NewWriter(&code)
	must[any](t)(archive.Create("bootstrap"))
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	role := must[*iam.CreateRoleOutput](t)(iam.NewFromConfig(g.root(blueRegion)).CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: aws.String("target"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`),
	}))
	client := lambda.NewFromConfig(g.root(blueRegion))
	made := must[*lambda.CreateFunctionOutput](t)(client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String("Shop-prod-api"), Role: role.Role.Arn, Handler: aws.String("bootstrap"), Runtime: lambdatypes.RuntimeProvidedal2023,
		Code: &lambdatypes.FunctionCode{ZipFile: code.Bytes()}, Publish: true,
	}))
	must[*lambda.CreateAliasOutput](t)(client.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: made.FunctionName, Name: aws.String("live"), FunctionVersion: made.Version}))
}
