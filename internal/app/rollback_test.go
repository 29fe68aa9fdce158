package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// keepCopy writes the local copy of the topology.
func (w *world) keepCopy(t *testing.T, top topology.Topology) {
	t.Helper()
	encoded := ok[[]byte](t)(json.Marshal(top))
	if err := os.WriteFile(filepath.Join(w.StateDir, "shop-prod.topology.json"), encoded, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The region a rollback flees from may be the one that holds lease, journal
// and stage, and it may simply not answer. DNS has to move all the same.
func TestRollbackFromARegionThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour // of its fast clock: no beat is due
	w.keepCopy(t, w.top)
	w.weigh(40, 60)
	w.set(greenRegion, silent)
	w.set(blueRegion, silent) // the control table's replica
	type ended struct {
		report app.Report
		err    error
	}
	done := make(chan ended, 1)
	go func() {
		report, err := w.Rollback(t.Context(), app.RollbackAsk{})
		done <- ended{report, err}
	}()
	limit, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-w.batches:
	case <-limit.Done():
		t.Error("no record was changed within 20 s")
	}
	if got := w.weights(); got != "100/0" {
		t.Errorf("weights: want 100/0, got %s", got)
	}
	// Now that it says no, the run ends: green's stage was never seen at its
	// target, and that is not called a rollback.
	w.set(greenRegion, refuses)
	w.set(blueRegion, refuses)
	end := <-done
	if end.err != nil || end.report.Outcome != "uncertain" {
		t.Errorf("want uncertain, got %+v, %v", end.report, end.err)
	}
	if want := "DNS is back, read back at green 0%; green's stage is not confirmed: read stage prod in eu-central-1: access denied"; !strings.HasPrefix(end.report.Reason, want) {
		t.Errorf("reason: want %q first, got %q", want, end.report.Reason)
	}
	same(t, "next", "tapctl rollback, again until it exits 0; to keep green out of the answers meanwhile, once a minute: "+
		"aws cloudwatch put-metric-data --region us-west-2 --namespace tapctl --metric-name GreenKill --dimensions Environment=Shop-prod --value 1", end.report.NextCommand)
	same(t, "dials", `{"dns":0,"canary":null} null`, dialsOf(t, end.report))
	if !w.heard("using the local copy of the topology") || !w.heard("going on without lease and journal") {
		t.Errorf("it was not told what the rollback went without: %q", w.told)
	}
}

// dialsOf is what the report's JSON says of the dials.
func dialsOf(t *testing.T, r app.Report) string {
	t.Helper()
	var said struct {
		Outcome         app.Outcome
		Dials, Exposure json.RawMessage
	}
	if err := json.Unmarshal(ok[[]byte](t)(json.Marshal(r)), &said); err != nil || said.Outcome != r.Outcome {
		t.Fatalf("outcome %q, error %v", said.Outcome, err)
	}
	return string(said.Dials) + " " + string(said.Exposure)
}

// Nobody saw a dial: none is told, least of all as zero.
func TestRollbackThatSeesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.keepCopy(t, w.top)
	w.weigh(40, 60)
	for _, region := range []string{greenRegion, blueRegion, "us-east-1"} { // the last is Route 53's
		w.set(region, refuses)
	}
	w.Emit = func(e cutover.Event) {
		if e.Live != nil {
			t.Errorf("%q is told of %v", e.Text, *e.Live)
		}
	}
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	same(t, "dials", `{"dns":null,"canary":null} null`, dialsOf(t, r))
	if r.Outcome != "uncertain" || !strings.HasPrefix(r.Reason, "DNS is not confirmed: list records of "+public+": ") || !strings.Contains(r.Reason, "; green's stage is not confirmed: read stage") {
		t.Errorf("%s: %s", r.Outcome, r.Reason)
	}
}

// What stands elsewhere is told as well as what is not known.
func TestRollbackWhoseStageDoesNotFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.keepCopy(t, w.top)
	w.weigh(100, 0)
	w.green.turn(60)
	w.green.stuck = true
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if want := "DNS is back, read back at green 0%; green's stage is not back: it stands at canary 60%, base forwarder; retreat to "; r.Outcome != "uncertain" || !strings.HasPrefix(r.Reason, want) {
		t.Errorf("%s: want %q first, got %q", r.Outcome, want, r.Reason)
	}
	same(t, "dials", `{"dns":0,"canary":60} 0`, dialsOf(t, r))
}

func TestTopologyIsFound(t *testing.T) {
	t.Parallel()
	kept := func(w *world) topology.Topology {
		top := w.top
		top.Team = "from the local copy"
		return top
	}
	t.Run("in the table", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.makeControl()
		w.keepCopy(t, kept(w))
		same(t, "topology", w.top, ok[topology.Topology](t)(w.FindTopology(t.Context())))
	})
	t.Run("in its replica", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.makeControl()
		w.keepCopy(t, kept(w))
		w.Patience = 2 * time.Second
		w.set(greenRegion, silent)
		same(t, "topology", w.top, ok[topology.Topology](t)(w.FindTopology(t.Context())))
	})
	t.Run("in the local copy", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.makeControl()
		w.keepCopy(t, kept(w))
		w.set(greenRegion, refuses)
		w.set(blueRegion, refuses)
		same(t, "topology", kept(w), ok[topology.Topology](t)(w.FindTopology(t.Context())))
	})
	t.Run("nowhere", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		if _, err := w.FindTopology(t.Context()); !errors.Is(err, awsapi.ErrNoTopology) {
			t.Errorf("want ErrNoTopology, got %v", err)
		}
		_, err := w.Rollback(t.Context(), app.RollbackAsk{})
		if exitCode(err) != 3 || !strings.Contains(err.Error(), "nothing is deployed under this team and environment") {
			t.Errorf("want a refusal, got %v", err)
		}
	})
	t.Run("incomplete", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		top := w.top
		top.Target.RestAPI = ""
		w.keepCopy(t, top)
		if _, err := w.FindTopology(t.Context()); err == nil || !strings.Contains(err.Error(), "target.rest_api is missing") {
			t.Errorf("want to be told what is missing, got %v", err)
		}
	})
}

// The target region's table is gone and its replica is not: the ids are there,
// and "nothing is deployed" would send the operator to deploy.
func TestRollbackWithoutTheTargetRegionsTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.Patience = time.Minute
	w.makeControl()
	w.weigh(100, 0)
	w.green.turn(60)
	w.journal(cutover.State{ID: "s", Phase: cutover.Completed, Target: cutover.Setting{Base: cutover.Forwarder}})
	ok[*dynamodb.DeleteTableOutput](t)(w.Clients.DynamoDB(greenRegion).DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("Shop-prod-control")}))
	w.time.Advance(time.Minute)
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "rolled_back" || r.Dials.Canary != 0 || !w.heard("going on without lease and journal") {
		t.Errorf("%s at %+v: %s", r.Outcome, r.Dials, r.Reason)
	}
	if past := ok[[]app.PastShift](t)(w.History(t.Context(), 10)); len(past) != 1 {
		t.Errorf("history: %+v", past)
	}
}

// The ids in a file are enough: there is no control table, and nothing local.
func TestRollbackByTheIdsInAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.weigh(100, 0)
	w.green.turn(60)
	file := filepath.Join(t.TempDir(), "carried.json")
	if err := os.WriteFile(file, ok[[]byte](t)(json.Marshal(w.top)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{Topology: file}))
	if r.Outcome != "rolled_back" || r.Dials.Canary != 0 || w.heard("local copy") {
		t.Errorf("%s at %+v: %s; told %q", r.Outcome, r.Dials, r.Reason, w.told)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	toBlue := cutover.Setting{Base: cutover.Forwarder}
	migrating := cutover.Setting{Dials: cutover.Dials{DNS: 40, Canary: 40}, Base: cutover.Forwarder, LiveVersion: "1"}
	releasing := cutover.Setting{Dials: cutover.Dials{DNS: 100, Canary: 20}, Base: cutover.Live, LiveVersion: "3", NextVersion: "4"}
	release := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2"}
	tests := []struct {
		name    string
		journal *cutover.State
		live    cutover.Setting
		known   bool
		ask     app.RollbackAsk
		want    cutover.Setting
	}{
		{"the journal's", &cutover.State{ID: "s", Target: release}, migrating, true, app.RollbackAsk{}, release},
		{"the journal's, the dials unseen", &cutover.State{ID: "s", Target: release}, cutover.Setting{}, false, app.RollbackAsk{}, release},
		{"no shift was ever begun, migrating", nil, migrating, true, app.RollbackAsk{}, toBlue},
		{"no shift was ever begun, releasing", nil, releasing, true, app.RollbackAsk{}, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "3"}},
		{"nothing is known", nil, cutover.Setting{}, false, app.RollbackAsk{}, toBlue},
		{"asked for a version", &cutover.State{ID: "s", Target: toBlue}, releasing, true, app.RollbackAsk{ToVersion: "1"}, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1"}},
		{"asked for a version, the dials unseen", nil, cutover.Setting{}, false, app.RollbackAsk{ToVersion: "1"}, cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1"}},
		{"asked for blue", &cutover.State{ID: "s", Target: release}, releasing, true, app.RollbackAsk{ToBlue: true}, toBlue},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Patience = time.Minute
			w.makeControl()
			if test.journal != nil {
				w.journal(*test.journal)
			}
			same(t, "target", test.want, ok[cutover.Setting](t)(w.Target(t.Context(), w.top, test.live, unreadUnless(test.known), test.ask)))
		})
	}
}

// serveDNS answers the green region's name with 127.0.0.3, and one of every
// n questions for the public name too; the others get 127.0.0.2. n = 0 is none.
func serveDNS(t *testing.T, top topology.Topology, n int64) (address string) {
	t.Helper()
	packets := ok[net.PacketConn](t)(net.ListenPacket("udp", "127.0.0.1:0"))
	var asked atomic.Int64
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		reply := new(dns.Msg).SetReply(question)
		q := question.Question[0]
		address := "127.0.0.3"
		switch {
		case q.Name != public+"." && q.Name != top.Target.RegionalName+".":
			reply.Rcode = dns.RcodeNameError
		case q.Qtype != dns.TypeA:
		default:
			if q.Name == public+"." && (n == 0 || asked.Add(1)%n != 0) {
				address = "127.0.0.2"
			}
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(address)}}
		}
		if err := w.WriteMsg(reply); err != nil {
			t.Error(err)
		}
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		packets.Close() // Non-fatal: the test is over.
		<-ended
	})
	return packets.LocalAddr().String()
}

func TestReceipt(t *testing.T) {
	t.Parallel()
	times := cutover.Receipt{FaultSeen: start, Decided: start.Add(time.Second), CallsSent: start.Add(2 * time.Second), InSync: start.Add(3 * time.Second)}
	back := cutover.State{Phase: cutover.RolledBack, Touched: true, Receipt: times}
	green := back
	green.Target.DNS = 100
	tests := []struct {
		name  string
		end   cutover.State
		every int64
		share float64
	}{
		{"all back", back, 0, 100},
		{"a quarter still gets green", back, 4, 75},
		{"a release stays on green", green, 1, 100},
		{"a release, half of it gone astray", green, 2, 50},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Config.AWS.DNSServer = serveDNS(t, w.top, test.every)
			before := w.Clock.Now()
			got := w.Receipt(t.Context(), w.top, test.end)
			if got.ObservedShareBack == nil || *got.ObservedShareBack != test.share {
				t.Errorf("observed share: want %v, got %v", test.share, got.ObservedShareBack)
			}
			if passed := got.TTLPassed.Sub(before); passed < time.Minute {
				t.Errorf("the TTL cannot have passed after %v", passed)
			}
			got.TTLPassed, got.ObservedShareBack = time.Time{}, nil
			same(t, "the core's times", &app.Receipt{FaultSeen: times.FaultSeen, Decided: times.Decided, CallsSent: times.CallsSent, InSync: times.InSync}, got)
		})
	}
}

func TestReceiptSaysOnlyWhatWasSeen(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	close(done)
	tests := []struct {
		name string
		end  cutover.State
		stop <-chan struct{}
	}{
		{"not back", cutover.State{Phase: cutover.Uncertain, Touched: true}, nil},
		{"nothing was changed", cutover.State{Phase: cutover.RolledBack}, nil},
		{"a signal wants the process gone", cutover.State{Phase: cutover.RolledBack, Touched: true}, done},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Config.AWS.DNSServer = serveDNS(t, w.top, 0)
			w.Stop = test.stop
			same(t, "receipt", &app.Receipt{}, w.Receipt(t.Context(), w.top, test.end))
		})
	}
	t.Run("DNS does not answer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.Config.AWS.DNSServer = serveDNS(t, topology.Topology{}, 0) // knows nothing of green
		got := w.Receipt(t.Context(), w.top, cutover.State{Phase: cutover.RolledBack, Touched: true})
		if got.ObservedShareBack != nil || got.TTLPassed.IsZero() || !w.heard("the observed share is not known") {
			t.Errorf("receipt: %+v, told %q", got, w.told)
		}
	})
}

// A retreat at a signal waits for nothing: who comes next waits for its change.
func TestTheChangeOfASignalledRetreatIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.Config.Shift.Plan = config.PlanLockstep
	w.Patience = time.Minute
	w.makeControl()
	change := w.weigh(100, 0)
	held := ok[*awsapi.Held](t)(w.control().Take(t.Context(), cutover.Lease{Owner: "me", Expires: w.time.Now().Add(time.Hour)}, w.time.Now()))
	signalled := cutover.State{ID: "s", Phase: cutover.RolledBack, Stopped: true, Touched: true, Change: change, Unsynced: true, Target: cutover.TargetOf(before), Ended: w.Clock.Now().Add(10000 * time.Hour)}
	if err := held.Save(t.Context(), signalled); err != nil {
		t.Fatal(err)
	}
	next := ok[cutover.State](t)(w.Prepare(t.Context(), w.top, app.ShiftAsk{Ask: cutover.Ask{Step: 50, To: 100}}))
	if next.Change != change || !next.Unsynced {
		t.Errorf("the next shift waits for %q (%v), want %q", next.Change, next.Unsynced, change)
	}
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "uncertain" || !strings.Contains(r.Reason, "Route 53 was not in sync") {
		t.Errorf("a rollback before it is in sync: %s: %s", r.Outcome, r.Reason)
	}
	w.time.Advance(2 * time.Minute)
	if r = ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{})); r.Outcome != "rolled_back" || r.Receipt == nil || r.Receipt.InSync.IsZero() {
		t.Errorf("a rollback after it: %s: %s, %+v", r.Outcome, r.Reason, r.Receipt)
	}
}
