package cutover_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
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

// What a lease is, in one place: both the simulated table and the real adapter
// on the embedded DynamoDB must be linearizable to this.

type leaseKind string

const (
	takeLease   leaseKind = "take"
	seizeLease  leaseKind = "seize"
	extendLease leaseKind = "extend" // a beat, or the release
	saveLease   leaseKind = "save"
)

type leaseOp struct {
	kind       leaseKind
	owner      string
	token      int64 // the caller's
	now, until time.Time
}

type leaseAnswer struct {
	token   int64
	held    bool // refused: another run has it
	fenced  bool // refused: a newer token exists
	unknown bool // no answer: it may have taken effect, at any time since
}

var leaseModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{cutover.Lease{}} },
	Step: func(state, input, output any) []any {
		before, op, answer := state.(cutover.Lease), input.(leaseOp), output.(leaseAnswer)
		after, refused := before, false
		switch op.kind {
		case takeLease, seizeLease:
			refused = op.kind == takeLease && before.HeldBy(op.owner, op.now)
			after = cutover.Lease{Owner: op.owner, Token: before.Token + 1, Expires: op.until}
		case extendLease:
			refused = before.Token != op.token
			after.Expires = op.until
		case saveLease:
			refused = before.Token != op.token
		}
		switch {
		case answer.unknown && refused:
			return []any{before}
		case answer.unknown:
			return []any{before, after}
		case refused != (answer.held || answer.fenced):
			return nil
		case refused:
			return []any{before}
		case (op.kind == takeLease || op.kind == seizeLease) && answer.token != after.Token:
			return nil
		default:
			return []any{after}
		}
	},
}

// leaseLog keeps a history; the nil log keeps none.
type leaseLog struct {
	mu   sync.Mutex
	tick int64
	ops  []porcupine.Operation
}

// begin notes a call; what it returns notes the answer. A caller that crashed
// never heard one.
func (l *leaseLog) begin(op leaseOp) func(token int64, err error) {
	if l == nil {
		return func(int64, error) {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick++
	i := len(l.ops)
	l.ops = append(l.ops, porcupine.Operation{ClientId: i, Input: op, Call: l.tick, Output: leaseAnswer{unknown: true}, Return: math.MaxInt64})
	return func(token int64, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, held := errors.AsType[*cutover.LeaseHeld](err)
		fenced := errors.Is(err, cutover.ErrFenced)
		if err != nil && !held && !fenced {
			return
		}
		l.tick++
		l.ops[i].Return, l.ops[i].Output = l.tick, leaseAnswer{token: token, held: held, fenced: fenced}
	}
}

func (l *leaseLog) check(t *testing.T) {
	t.Helper()
	if got := porcupine.CheckOperationsTimeout(leaseModel.ToModel(), l.ops, 30*time.Second); got != porcupine.Ok {
		for _, op := range l.ops {
			t.Logf("%+v", op)
		}
		t.Errorf("history of %d operations: %s", len(l.ops), got)
	}
}

// TestSimulatedLease: the table that the simulation models.
func TestSimulatedLease(t *testing.T) {
	t.Parallel()
	contended := 0
	for seed := range uint64(500) {
		s := newSim(seed, nil)
		s.leases = &leaseLog{}
		s.play()
		s.leases.check(t)
		if s.table.lease.Token > 2 {
			contended++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if contended < 100 {
		t.Errorf("only %d histories had three tokens or more", contended)
	}
}

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
