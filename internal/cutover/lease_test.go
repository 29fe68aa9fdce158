package cutover_test

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tapctl/tapctl/internal/cutover"
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
