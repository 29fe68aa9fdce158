package app_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// What a region that hangs is asked for is asked at once: the first call of the
// way back waits for one patience in all, and a second for its record.
func TestRollbackWaitsOnceForARegionThatHangs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		silent []string
		table  bool // the control table has the ids, and the local copy has them too
		ask    app.RollbackAsk
	}{
		{"green, and the table's replica", []string{greenRegion, blueRegion}, false, app.RollbackAsk{}},
		{"green alone", []string{greenRegion}, true, app.RollbackAsk{}},
		{"green alone, and who asks knows where to", []string{greenRegion}, true, app.RollbackAsk{ToBlue: true}},
		{"green's table and stage, shaped", []string{greenRegion}, true, app.RollbackAsk{Shaped: true}},
		{"green, to a version", []string{greenRegion}, true, app.RollbackAsk{ToVersion: "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Config.Lease.Heartbeat, w.Patience = 10000*time.Hour, 3*time.Second // a busy machine takes some of it
			if tt.table {
				w.makeControl()
			}
			w.keepCopy(t, w.top)
			w.weigh(40, 60)
			for _, region := range tt.silent {
				w.set(region, silent)
			}
			done := make(chan struct{})
			began := clock.Real{}.Now()
			go func() {
				defer close(done)
				if _, err := w.Rollback(t.Context(), tt.ask); err != nil {
					t.Error(err)
				}
			}()
			limit, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			select {
			case <-w.batches:
			case <-limit.Done():
				t.Error("no record was changed")
			}
			if took := (clock.Real{}).Now().Sub(began); took > 3*w.Patience {
				t.Errorf("the first batch was sent after %v, with %v for the questions", took, w.Patience)
			}
			for _, region := range tt.silent {
				w.set(region, refuses)
			}
			<-done
		})
	}
}

// A shift that begins while the lease is asked for, and after the record was
// read: its target is the one to go to.
func TestRollbackReadsWhatWasWrittenBeforeItHadTheLease(t *testing.T) {
	t.Parallel()
	w := promotedWorld(t)
	read := make(chan struct{})
	var once, seized sync.Once
	w.hook = func(_, operation string, body []byte) mood {
		switch {
		case strings.HasSuffix(operation, ".GetItem") && bytes.Contains(body, []byte(`{"S":"`+pkShift+`"}`)):
			once.Do(func() { close(read) })
		case strings.HasSuffix(operation, ".UpdateItem") && bytes.Contains(body, []byte("rollback")):
			seized.Do(func() {
				<-read
				w.journal(cutover.State{ID: "t", Phase: cutover.Baking, Target: cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "7"}})
			})
		}
		return answers
	}
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "rolled_back" || w.green.version() != "7" {
		t.Errorf("%s at version %s, want 7: %s", r.Outcome, w.green.version(), r.Reason)
	}
}
