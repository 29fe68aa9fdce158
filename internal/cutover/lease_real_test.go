//go:build !simbug1 && !simbug2 && !simbug3

package cutover_test

// Left out of the builds with planted bugs, which would compile the AWS SDK's
// users once more for each.

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	localddb "github.com/tapctl/tapctl/internal/localaws/dynamodb"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// TestRealLease: awsapi's conditional writes on the embedded DynamoDB, by
// several runs at once.
func TestRealLease(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	control := newControl(t)
	log := &leaseLog{}
	var wg sync.WaitGroup
	for i, owner := range []string{"a", "b", "c", "d"} {
		wg.Go(func() { contend(t, control, log, owner, rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	wg.Wait()
	log.check(t)
	kinds := map[leaseAnswer]int{}
	for _, op := range log.ops {
		answer := op.Output.(leaseAnswer)
		kinds[leaseAnswer{held: answer.held, fenced: answer.fenced}]++
		if answer.unknown {
			t.Errorf("%+v got no answer", op.Input)
		}
	}
	if len(kinds) != 3 {
		t.Errorf("answers %v, want granted, held and fenced ones", kinds)
	}
}

func newControl(t *testing.T) *awsapi.Control {
	t.Helper()
	const region = "eu-central-1"
	k := clock.NewManual(start)
	service := localddb.New(localddb.Options{Clock: k})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name, scope, accessKey, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		call := wire.Call{Service: name, Region: scope, AccessKeyID: accessKey, RequestID: "r", Now: k.Now()}
		service.Handler().ServeHTTP(rw, r.WithContext(wire.NewContext(r.Context(), call)))
	}))
	t.Cleanup(server.Close)
	clients, err := awsapi.Load(t.Context(), config.AWS{EndpointURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	text := ddbtypes.ScalarAttributeTypeS
	_, err = clients.DynamoDB(region).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("control"), BillingMode: ddbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []ddbtypes.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: text}, {AttributeName: aws.String("sk"), AttributeType: text}},
		KeySchema: []ddbtypes.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: ddbtypes.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: ddbtypes.KeyTypeRange},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.Advance(time.Minute)
	return awsapi.NewControl(clients, "control", region, region)
}

// contend is one run that takes, beats, journals and gives up as it likes.
func contend(t *testing.T, control *awsapi.Control, log *leaseLog, owner string, rng *rand.Rand) {
	var held *awsapi.Held
	for range 40 {
		now := start.Add(time.Duration(rng.IntN(100)) * time.Second)
		want := cutover.Lease{Owner: owner, Expires: now.Add(10 * time.Second)}
		if held == nil || rng.IntN(5) == 0 {
			kind, acquire := takeLease, control.Take
			if rng.IntN(4) == 0 {
				kind, acquire = seizeLease, control.Seize
			}
			done := log.begin(leaseOp{kind: kind, owner: owner, now: now, until: want.Expires})
			got, err := acquire(t.Context(), want, now)
			if err != nil {
				done(0, err)
				continue
			}
			held = got
			done(held.Lease().Token, nil)
			continue
		}
		use(t.Context(), held, log, now, rng)
	}
}

func use(ctx context.Context, held *awsapi.Held, log *leaseLog, now time.Time, rng *rand.Rand) {
	token := held.Lease().Token
	switch rng.IntN(3) {
	case 0:
		done := log.begin(leaseOp{kind: saveLease, token: token})
		done(0, held.Save(ctx, cutover.State{ID: "s"}))
	case 1:
		held.Now = func() time.Time { return now }
		done := log.begin(leaseOp{kind: extendLease, token: token, until: now.Add(10 * time.Second)})
		done(0, held.Beat(ctx))
	default:
		done := log.begin(leaseOp{kind: extendLease, token: token, until: time.UnixMilli(0).UTC()})
		err := held.Release(ctx)
		done(0, err)
	}
}
