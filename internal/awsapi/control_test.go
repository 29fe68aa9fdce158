package awsapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/localaws/wire"
	"github.com/tapctl/tapctl/internal/topology"
)

const controlTable = "Shop-prod-control"

// newControl makes the control table in the target region with a replica in
// the source region, as the base stack does.
func newControl(t *testing.T) (*world, *awsapi.Control) {
	t.Helper()
	w := newWorld(t)
	client := w.clients.DynamoDB(greenRegion)
	ok[*dynamodb.CreateTableOutput](t)(client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(controlTable), BillingMode: ddbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []ddbtypes.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: ddbtypes.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: ddbtypes.ScalarAttributeTypeS},
		},
		KeySchema: []ddbtypes.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: ddbtypes.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: ddbtypes.KeyTypeRange},
		},
		StreamSpecification: &ddbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages},
	}))
	w.clock.Advance(time.Minute)
	ok[*dynamodb.UpdateTableOutput](t)(client.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName: aws.String(controlTable), ReplicaUpdates: []ddbtypes.ReplicationGroupUpdate{
			{Create: &ddbtypes.CreateReplicationGroupMemberAction{RegionName: aws.String(blueRegion)}},
		},
	}))
	w.clock.Advance(time.Minute)
	return w, awsapi.NewControl(w.clients, controlTable, greenRegion, blueRegion)
}

// replicate lets what was written reach the replica.
func (w *world) replicate() {
	w.clock.Advance(time.Minute)
	w.dynamodb.Settle(w.clock.Now())
}

const ttl = 10 * time.Minute

func (w *world) lease(owner string) cutover.Lease {
	return cutover.Lease{Owner: owner, RunURL: "https://ci/" + owner, Purpose: "shift", Expires: w.clock.Now().Add(ttl)}
}

// take acquires the lease, with a clock to beat by.
func (w *world) take(control *awsapi.Control, owner string) (*awsapi.Held, error) {
	held, err := control.Take(w.t.Context(), w.lease(owner), w.clock.Now())
	if held != nil {
		held.Now = w.clock.Now
	}
	return held, err
}

func TestTake(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	if got := ok[cutover.Lease](t)(control.Lease(t.Context())); got != (cutover.Lease{}) {
		t.Errorf("a lease that nobody took: %+v", got)
	}
	first := ok[*awsapi.Held](t)(w.take(control, "a"))
	want := w.lease("a")
	want.Token = 1
	same(t, "granted", want, first.Lease())
	same(t, "stored", want, ok[cutover.Lease](t)(control.Lease(t.Context())))

	_, err := w.take(control, "b")
	refused, isHeld := errors.AsType[*cutover.LeaseHeld](err)
	if !isHeld {
		t.Fatalf("want *cutover.LeaseHeld, got %v", err)
	}
	same(t, "who holds it", want, refused.Lease)

	again := ok[*awsapi.Held](t)(w.take(control, "a"))
	if again.Lease().Token != 2 {
		t.Errorf("its own lease again: want token 2, got %d", again.Lease().Token)
	}
	w.clock.Advance(ttl - time.Millisecond)
	if _, err := w.take(control, "b"); err == nil {
		t.Error("taken before it expired")
	}
	w.clock.Advance(time.Millisecond)
	third := ok[*awsapi.Held](t)(w.take(control, "b"))
	if third.Lease().Token != 3 || third.Lease().Owner != "b" {
		t.Errorf("an expired lease: want token 3 for b, got %+v", third.Lease())
	}
	if err := third.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	fourth := ok[*awsapi.Held](t)(w.take(control, "c"))
	if fourth.Lease().Token != 4 {
		t.Errorf("a released lease: want token 4, got %d", fourth.Lease().Token)
	}
}

func TestBeatExtends(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	w.clock.Advance(ttl - time.Minute)
	if err := held.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want, got := w.clock.Now().Add(ttl), ok[cutover.Lease](t)(control.Lease(t.Context())).Expires; !got.Equal(want) {
		t.Errorf("expires: want %v, got %v", want, got)
	}
	w.clock.Advance(ttl - time.Minute)
	if _, err := w.take(control, "b"); err == nil {
		t.Error("the lease was extended, and taken")
	}
}

func TestSeizeFences(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	old := ok[*awsapi.Held](t)(w.take(control, "a"))
	state := cutover.State{ID: "one", Phase: cutover.Baking}
	if err := old.Save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	newer := ok[*awsapi.Held](t)(control.Seize(t.Context(), w.lease("b"), w.clock.Now()))
	if newer.Lease().Token != old.Lease().Token+1 {
		t.Errorf("seized: want token %d, got %d", old.Lease().Token+1, newer.Lease().Token)
	}
	for name, call := range map[string]func(context.Context) error{
		"save":     func(ctx context.Context) error { return old.Save(ctx, cutover.State{ID: "stale"}) },
		"topology": func(ctx context.Context) error { return old.PutTopology(ctx, topology.Topology{}) },
		"beat":     old.Beat,
		"release":  old.Release,
	} {
		if err := call(t.Context()); !errors.Is(err, cutover.ErrFenced) {
			t.Errorf("%s of the old holder: want ErrFenced, got %v", name, err)
		}
	}
	got, found, err := control.Shift(t.Context())
	if err != nil || !found || got.ID != "one" {
		t.Errorf("the journal: %+v, %v, %v", got, found, err)
	}
	if err := newer.Save(t.Context(), cutover.State{ID: "two"}); err != nil {
		t.Errorf("the new holder's save: %v", err)
	}
	if lease := ok[cutover.Lease](t)(control.Lease(t.Context())); lease.Owner != "b" || !lease.Expires.After(w.clock.Now()) {
		t.Errorf("the lease after the old holder's calls: %+v", lease)
	}
}

// A lease that expired is still held until somebody takes it: the journal must
// not lose its last entries to a slow heartbeat.
func TestSaveAfterExpiry(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	w.clock.Advance(2 * ttl)
	if err := held.Save(t.Context(), cutover.State{ID: "late"}); err != nil {
		t.Error(err)
	}
	ok[*awsapi.Held](t)(w.take(control, "b"))
	if err := held.Save(t.Context(), cutover.State{ID: "too late"}); !errors.Is(err, cutover.ErrFenced) {
		t.Errorf("want ErrFenced, got %v", err)
	}
}

func TestJournalRoundTrip(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	if _, found, err := control.Shift(t.Context()); found || err != nil {
		t.Fatalf("a journal nobody wrote: %v, %v", found, err)
	}
	want := cutover.Start("20260301T120000Z", deployedSetting, cutover.Plan{
		Steps: []cutover.Dials{{DNS: 10, Canary: 10}, {DNS: 100, Canary: 100}}, Bake: 5 * time.Minute, Promote: true,
	}, start)
	want.Receipt.FaultSeen = start.Add(time.Second)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	if err := held.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, found, err := control.Shift(t.Context())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	same(t, "state", want, got)
}

var stored = topology.Topology{
	Team: "Shop", ZoneID: "Z1", RecordName: public, RecordTypes: []string{"A"},
	Target: topology.Cell{Region: greenRegion, RestAPI: "abc", Forwarder: forwarder},
	Alarms: []topology.Alarm{{Name: "a", Region: greenRegion, Side: topology.Green, Sparse: true}},
}

func TestTopologyRoundTrip(t *testing.T) {
	t.Parallel()
	_, control := newControl(t)
	if _, err := control.Topology(t.Context()); !errors.Is(err, awsapi.ErrNoTopology) {
		t.Fatalf("a table without the item: want ErrNoTopology, got %v", err)
	}
	if err := control.PutTopology(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	same(t, "topology", stored, ok[topology.Topology](t)(control.Topology(t.Context())))
}

// TestForget: what was destroyed leaves neither ids nor a target behind for what
// is deployed next.
func TestForget(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(control.Take(t.Context(), w.lease("one"), w.clock.Now()))
	if err := errors.Join(control.PutTopology(t.Context(), stored), held.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.RolledBack}), control.Forget(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Topology(t.Context()); !errors.Is(err, awsapi.ErrNoTopology) {
		t.Errorf("the topology is still there: %v", err)
	}
	if s, found, err := control.Shift(t.Context()); found || err != nil {
		t.Errorf("the shift is still there: %v, %v", s, err)
	}
	if past := ok[[]awsapi.Past](t)(control.History(t.Context(), 10)); len(past) != 1 {
		t.Errorf("the history has gone: %v", past)
	}
}

func TestApprovals(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	if by := ok[cutover.Approval](t)(control.ApprovedBy(t.Context(), "s1", 2)).By; by != "" {
		t.Errorf("approved by %q before anybody did", by)
	}
	if err := control.Approve(t.Context(), "s1", 2, "ann", w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		shift string
		step  int
		want  string
	}{{"s1", 2, "ann"}, {"s1", 3, ""}, {"s2", 2, ""}} {
		if by := ok[cutover.Approval](t)(control.ApprovedBy(t.Context(), tt.shift, tt.step)); by.By != tt.want || tt.want != "" && !by.At.Equal(w.clock.Now().Truncate(time.Second)) {
			t.Errorf("step %d of %s is approved by %+v, want %q", tt.step, tt.shift, by, tt.want)
		}
	}
}

func TestNoTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	control := awsapi.NewControl(w.clients, "Other-prod-control", greenRegion, blueRegion)
	for name, call := range map[string]func() error{
		"topology": func() error { _, err := control.Topology(t.Context()); return err },
		"shift":    func() error { _, _, err := control.Shift(t.Context()); return err },
		"lease":    func() error { _, err := control.Lease(t.Context()); return err },
		"history":  func() error { _, err := control.History(t.Context(), 10); return err },
	} {
		if err := call(); !errors.Is(err, awsapi.ErrNoTopology) {
			t.Errorf("%s: want ErrNoTopology, got %v", name, err)
		}
	}
}

// The region that is gone is the very one a rollback flees from.
func TestReadsFallBackToTheReplica(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	if err := control.PutTopology(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	w.replicate()
	t.Run("home refuses", func(t *testing.T) {
		w.intercept(func(r request) error {
			if r.Region == greenRegion {
				return errForbidden()
			}
			return nil
		})
		same(t, "topology", stored, ok[topology.Topology](t)(control.Topology(t.Context())))
	})
	t.Run("home does not answer", func(t *testing.T) {
		w.hang(greenRegion)
		// The replica has its turn within the caller's time.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		same(t, "topology", stored, ok[topology.Topology](t)(control.Topology(ctx)))
	})
	t.Run("both refuse", func(t *testing.T) {
		w.refuse("dynamodb")
		_, err := control.Topology(t.Context())
		wantError(t, err, "read topology from table "+controlTable+": access denied")
		if errors.Is(err, awsapi.ErrNoTopology) {
			t.Error("what could not be read is not what is not there")
		}
	})
	t.Run("writes do not", func(t *testing.T) {
		w.intercept(func(r request) error {
			if r.Region == greenRegion {
				return errForbidden()
			}
			return nil
		})
		if _, err := w.take(control, "a"); err == nil {
			t.Error("a lease was taken in the replica, where another run may have it as well")
		}
	})
}

// A table that is gone in one region is not one that never was: the replica has
// the ids to flee by.
func TestReadsOfATableThatIsGoneInOneRegion(t *testing.T) {
	t.Parallel()
	gone := func(region string) func(request) error {
		return func(r request) error {
			if r.Service == "dynamodb" && r.Region == region {
				return wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Requested resource not found")
			}
			return nil
		}
	}
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	if err := errors.Join(control.PutTopology(t.Context(), stored), held.Save(t.Context(), cutover.State{ID: "one", Phase: cutover.RolledBack})); err != nil {
		t.Fatal(err)
	}
	w.replicate()
	t.Run("the replica is read", func(t *testing.T) {
		w.intercept(gone(greenRegion))
		same(t, "topology", stored, ok[topology.Topology](t)(control.Topology(t.Context())))
		if s, found, err := control.Shift(t.Context()); err != nil || !found || s.ID != "one" {
			t.Errorf("journal: %+v, %v, %v", s, found, err)
		}
		if past := ok[[]awsapi.Past](t)(control.History(t.Context(), 10)); len(past) != 1 {
			t.Errorf("history: %+v", past)
		}
	})
	t.Run("and refuses", func(t *testing.T) {
		w.intercept(func(r request) error {
			if r.Region == blueRegion {
				return errForbidden()
			}
			return gone(greenRegion)(r)
		})
		_, err := control.Topology(t.Context())
		wantError(t, err, "read topology from table "+controlTable+" in "+blueRegion+", as there is none in "+greenRegion+": access denied")
		_, historyErr := control.History(t.Context(), 10)
		if historyErr == nil || errors.Is(errors.Join(err, historyErr), awsapi.ErrNoTopology) {
			t.Errorf("what could not be read is not what is not there: %v", historyErr)
		}
	})
}

// An item that the replica does not have may be one it does not have yet.
func TestTheReplicaAloneDoesNotSayNo(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	w.intercept(func(r request) error {
		if r.Region == greenRegion {
			return errForbidden()
		}
		return nil
	})
	if _, found, err := control.Shift(t.Context()); err == nil {
		t.Errorf("the journal: found %v, and no error", found)
	}
}

// A shift that was killed, or that lost the lease, writes no end of its own: who
// takes its place does.
func TestHistoryHasWhatWasSuperseded(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		newest cutover.State
		want   []string // ids, outcomes and reasons, the newest first
	}{
		{"killed in a bake", cutover.State{ID: "1", Phase: cutover.Baking}, []string{"2 rolled_back asked for", "1 uncertain superseded by 2, a rollback of b, while baking"}},
		{"killed in a retreat", cutover.State{ID: "1", Phase: cutover.Retreating, Reason: "red"}, []string{"2 rolled_back asked for", "1 uncertain superseded by 2, a rollback of b, while retreating: red"}},
		{"held", cutover.State{ID: "1", Phase: cutover.Held, Reason: "one step"}, []string{"2 rolled_back asked for", "1 held one step"}},
		{"itself, resumed", cutover.State{ID: "2", Phase: cutover.Baking}, []string{"2 rolled_back asked for"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, control := newControl(t)
			old := ok[*awsapi.Held](t)(w.take(control, "a"))
			if err := old.Save(t.Context(), test.newest); err != nil {
				t.Fatal(err)
			}
			lease := w.lease("b")
			lease.Purpose = "rollback"
			held := ok[*awsapi.Held](t)(control.Seize(t.Context(), lease, w.clock.Now()))
			for _, phase := range []cutover.Phase{cutover.Retreating, cutover.RolledBack} {
				if err := held.Save(t.Context(), cutover.State{ID: "2", Phase: phase, Reason: "asked for"}); err != nil {
					t.Fatal(err)
				}
			}
			if err := old.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.Uncertain}); !errors.Is(err, cutover.ErrFenced) {
				t.Errorf("the old holder's end: want ErrFenced, got %v", err)
			}
			var got []string
			for _, p := range ok[[]awsapi.Past](t)(control.History(t.Context(), 10)) {
				got = append(got, p.State.ID+" "+string(p.State.Phase)+" "+p.State.Reason)
			}
			same(t, "history", test.want, got)
		})
	}
}

// One answer of the table has 1 MB: a longer history takes several, and the rest
// was once left out without a word.
func TestHistoryIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	const shifts = 8
	for i := range shifts {
		if err := held.Save(t.Context(), cutover.State{ID: strconv.Itoa(i), Phase: cutover.RolledBack, Reason: strings.Repeat("r", 300<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int32{5, shifts, 100} {
		past := ok[[]awsapi.Past](t)(control.History(t.Context(), limit))
		if len(past) != min(int(limit), shifts) || past[0].State.ID != "7" || past[len(past)-1].State.ID != strconv.Itoa(shifts-len(past)) {
			t.Errorf("of %d: %d shift(s)", limit, len(past))
		}
	}
}

// land lets a request that its caller gave up on reach the table after all. It
// returns the answer's status.
func (w *world) land(r request) int {
	arrives := httptest.NewRequest(r.Method, "/", strings.NewReader(r.Body))
	arrives.Header.Set("X-Amz-Target", r.Target)
	r.Now = w.clock.Now()
	answer := httptest.NewRecorder()
	w.dynamodb.Handler().ServeHTTP(answer, arrives.WithContext(wire.NewContext(w.t.Context(), r.Call)))
	return answer.Code
}

// A record that was given up on, at a signal, may land after the end was
// recorded: whoever resumed what it says would turn green up again.
func TestALateSaveChangesNothing(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	var sent []request
	w.intercept(func(r request) error {
		if !strings.HasSuffix(r.Target, ".TransactWriteItems") {
			return nil
		}
		if sent = append(sent, r); len(sent) == 1 {
			return errForbidden() // it is on its way, and nobody waits for it
		}
		return nil
	})
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	if err := held.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.Turning}); err == nil {
		t.Fatal("the first save was answered")
	}
	if err := held.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.RolledBack}); err != nil {
		t.Fatal(err)
	}
	stands := func(when, want string) {
		t.Helper()
		if s, _, err := control.Shift(t.Context()); err != nil || string(s.Phase) != want {
			t.Errorf("%s: the journal says %q (%v), want %s", when, s.Phase, err, want)
		}
	}
	if code := w.land(sent[0]); code == http.StatusOK {
		t.Error("the overtaken record was taken")
	}
	stands("after the late record", "rolled_back")
	w.clock.Advance(11 * time.Minute) // longer than DynamoDB knows a request again
	if code := w.land(sent[1]); code != http.StatusOK {
		t.Errorf("the newest record, sent once more: %d", code)
	}
	stands("after a second copy", "rolled_back")
	if err := held.Beat(t.Context()); err != nil {
		t.Errorf("beat: %v", err)
	}
	next := ok[*awsapi.Held](t)(control.Seize(t.Context(), w.lease("b"), w.clock.Now()))
	if err := next.Save(t.Context(), cutover.State{ID: "2", Phase: cutover.Turning}); err != nil {
		t.Errorf("the first record of a newer token: %v", err)
	}
	w.clock.Advance(11 * time.Minute)
	if code := w.land(sent[1]); code == http.StatusOK {
		t.Error("a record of an older token was taken")
	}
	stands("under the newer token", "turning")
}

// A journal from before records had a number is one to go on from.
func TestSaveOverARecordWithoutANumber(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	_, err := w.clients.DynamoDB(greenRegion).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(controlTable), Item: map[string]ddbtypes.AttributeValue{
		"pk": &ddbtypes.AttributeValueMemberS{Value: "shift"}, "sk": &ddbtypes.AttributeValueMemberS{Value: "current"}, "document": &ddbtypes.AttributeValueMemberS{Value: `{"id":"0"}`},
	}})
	if err := errors.Join(err, held.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.Turning})); err != nil {
		t.Error(err)
	}
}

// The history is worth no journal: where it cannot be completed, the state is
// stored all the same.
func TestSaveGoesOnWithoutTheHistory(t *testing.T) {
	t.Parallel()
	w, control := newControl(t)
	held := ok[*awsapi.Held](t)(w.take(control, "a"))
	w.intercept(func(r request) error {
		if strings.HasSuffix(r.Target, ".GetItem") {
			return errForbidden()
		}
		return nil
	})
	if err := held.Save(t.Context(), cutover.State{ID: "1", Phase: cutover.Turning}); err != nil {
		t.Error(err)
	}
}
