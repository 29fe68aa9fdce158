package app_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// stopAt sends the signal once a request with this in it arrives, which is then
// never answered.
func (w *world) stopAt(service, operation, part string) {
	stop := make(chan struct{})
	var once sync.Once
	w.Stop = stop
	w.hook = func(s, o string, body []byte) mood {
		if s != service || !strings.HasSuffix(o, operation) || !bytes.Contains(body, []byte(part)) {
			return answers
		}
		once.Do(func() { close(stop) })
		return silent
	}
}

func (w *world) leaseIsFree() bool {
	w.t.Helper()
	return !ok[cutover.Lease](w.t)(w.control().Lease(w.t.Context())).Expires.After(time.UnixMilli(0))
}

// What is asked before the driver begins ends at a signal, and nothing has
// changed then.
func TestASignalEndsTheQuestionsBeforeAShift(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, service, operation, part string }{
		{"who am I", "sts", "", "GetCallerIdentity"},
		{"the topology", "dynamodb", ".GetItem", `{"S":"topology"}`},
		{"the lease", "dynamodb", ".UpdateItem", "attribute_not_exists"},
		{"the journal", "dynamodb", ".GetItem", `{"S":"shift"}`},
		{"the dials", "apigateway", "", ""},
		{"the alarms", "monitoring", "", ""},
	} {
		for name, run := range map[string]func(*world) (app.Report, error){
			"shift": func(w *world) (app.Report, error) {
				return w.Shift(t.Context(), app.ShiftAsk{Ask: cutover.Ask{Step: 50, To: 100, Via: cutover.ViaBoth}})
			},
			"promote": func(w *world) (app.Report, error) { return w.Promote(t.Context(), false) },
		} {
			if name == "promote" && tt.service == "monitoring" {
				continue // it asks for none before it begins
			}
			t.Run(name+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.Config.Shift.Plan, w.Config.Probe.Preflight = config.PlanLockstep, false
				w.top.Alarms = append(w.top.Alarms, topology.Alarm{Name: "a", Region: greenRegion, Side: topology.Green})
				w.makeControl()
				w.weigh(100, 0)
				if name == "promote" {
					w.weigh(0, 100)
					w.green.turn(100)
				}
				before := w.weights()
				w.stopAt(tt.service, tt.operation, tt.part)
				r, err := run(w)
				if _, is := errors.AsType[*app.Interrupted](err); tt.service != "monitoring" && (!is || exitCode(err) != 1) {
					t.Errorf("want to be interrupted, got %+v, %v", r, err)
				}
				if tt.service == "monitoring" && (r.Outcome != "rolled_back" || r.Touched || !r.Stopped) { // the shift is known by then
					t.Errorf("want the end of an untouched shift, got %+v, %v", r, err)
				}
				same(t, "weights", before, w.weights())
				w.hook = nil
				if !w.leaseIsFree() {
					t.Error("the lease is still held")
				}
			})
		}
	}
}

// A shift with users on green is not left there for a question that hangs.
func TestASignalBeforeAResumeStillGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.makeControl()
	w.weigh(60, 40)
	w.green.turn(40)
	at := cutover.Setting{Dials: cutover.Dials{DNS: 40, Canary: 40}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	plan := cutover.Plan{Steps: []cutover.Dials{at.Dials, {DNS: 100, Canary: 100}}, Paced: true, Poll: time.Second, Linger: time.Minute, RetreatTries: 3, WriteTries: 3}
	w.journal(cutover.State{ID: "s", Phase: cutover.Baking, Touched: true, Plan: plan, Target: blueAnswers, Last: at, Want: at})
	w.stopAt("monitoring", "", "")
	r := ok[app.Report](t)(w.Shift(t.Context(), app.ShiftAsk{Resume: true}))
	if r.Outcome != "rolled_back" || !r.Touched || !r.Stopped || w.weights() != "100/0" {
		t.Errorf("%s with weights %s: %s", r.Outcome, w.weights(), r.Reason)
	}
	if r.Receipt == nil || !r.Receipt.TTLPassed.IsZero() {
		t.Errorf("receipt: %+v", r.Receipt)
	}
}

// signalled is a clock in whose first sleep the signal arrives.
type signalled struct {
	clock.Clock
	once *sync.Once
	stop chan struct{}
}

func (c signalled) Sleep(ctx context.Context, _ time.Duration) error {
	c.once.Do(func() { close(c.stop) })
	<-ctx.Done()
	return ctx.Err()
}

// A receipt says what was seen until the signal.
func TestASignalEndsTheReceipt(t *testing.T) {
	t.Parallel()
	back := cutover.State{Phase: cutover.RolledBack, Touched: true, Receipt: cutover.Receipt{Decided: start}}
	t.Run("in the wait for resolvers", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		stop := make(chan struct{})
		w.Clock, w.Stop = signalled{w.time, &sync.Once{}, stop}, stop
		same(t, "receipt", &app.Receipt{Decided: start}, w.Receipt(t.Context(), w.top, back))
	})
	t.Run("in the look-ups", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		stop := make(chan struct{})
		w.Stop = stop
		packets := ok[net.PacketConn](t)(net.ListenPacket("udp", "127.0.0.1:0"))
		t.Cleanup(func() { packets.Close() }) // Non-fatal: the test is over.
		go func() {
			if _, _, err := packets.ReadFrom(make([]byte, 512)); err == nil {
				close(stop) // and never an answer
			}
		}()
		w.Config.AWS.DNSServer = packets.LocalAddr().String()
		got := w.Receipt(t.Context(), w.top, back)
		if got.TTLPassed.IsZero() || got.ObservedShareBack != nil || w.heard("not known") {
			t.Errorf("receipt: %+v, told %q", got, w.told)
		}
	})
}

// Who comes next does not wait for the receipt.
func TestTheLeaseIsFreeBeforeTheReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat, w.Patience = 10000*time.Hour, time.Minute
	w.makeControl()
	w.weigh(100, 0)
	w.green.turn(60)
	w.journal(cutover.State{ID: "s", Phase: cutover.Baking, Target: blueAnswers})
	asked := false
	w.Emit = func(e cutover.Event) {
		if strings.Contains(e.Text, "waiting 1m0s for resolvers") {
			asked = true
			if !w.leaseIsFree() {
				t.Error("the lease is still held")
			}
		}
	}
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "rolled_back" || !asked {
		t.Errorf("%s, receipt begun %v: %s", r.Outcome, asked, r.Reason)
	}
}
