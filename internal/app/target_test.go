package app_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

var (
	blueAnswers = cutover.Setting{Base: cutover.Forwarder}
	before      = cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1", NextVersion: "2"}
	promoted    = cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
)

// promotedWorld is green answering everybody by its candidate, the journal
// saying what answered before, and nobody to tell it.
func promotedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.Patience = time.Minute
	w.makeControl()
	w.keepCopy(t, w.top)
	w.weigh(0, 100)
	w.green.promote()
	w.journal(cutover.State{ID: "s", Phase: cutover.Completed, Target: cutover.TargetOf(before)})
	return w
}

// A journal that cannot be read is not an empty one: after a promotion the mode
// would say to stay on the version that is fled from, and call that done.
func TestRollbackThatCannotReadTheJournal(t *testing.T) {
	t.Parallel()
	w := promotedWorld(t)
	w.hideJournal(1000)
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "uncertain" || !strings.Contains(r.Reason, "the journal cannot be read") || !strings.Contains(r.Reason, "not allowed") || !strings.Contains(r.Reason, "nothing was turned") {
		t.Errorf("want uncertain with the cause, got %+v", r)
	}
	if want := "tapctl rollback --to-blue, or tapctl rollback --to-version N (not 2, which is live)"; r.NextCommand != want {
		t.Errorf("next: want %q, got %q", want, r.NextCommand)
	}
	if got := w.green.version() + " " + w.weights(); got != "2 0/100" {
		t.Errorf("something was turned: %s", got)
	}
	if !w.heard("asking again for a minute; at once: tapctl rollback --to-blue") {
		t.Errorf("nobody was told meanwhile: %q", w.told)
	}
	r = ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{ToVersion: "1"}))
	if r.Outcome != "rolled_back" || w.green.version() != "1" {
		t.Errorf("to version 1: %s at version %s: %s", r.Outcome, w.green.version(), r.Reason)
	}
}

func TestRollbackAsksTheJournalAgain(t *testing.T) {
	t.Parallel()
	w := promotedWorld(t)
	w.hideJournal(4) // twice, in both regions
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "rolled_back" || w.green.version() != "1" {
		t.Errorf("%s at version %s: %s", r.Outcome, w.green.version(), r.Reason)
	}
}

func TestRollbackByTheLocalCopyOfTheJournal(t *testing.T) {
	t.Parallel()
	w := promotedWorld(t)
	w.KeepShift(w.top, cutover.State{ID: "s", Target: cutover.TargetOf(before), Last: before})
	w.set(greenRegion+"/dynamodb", refuses)
	w.set(blueRegion, refuses)
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "rolled_back" || w.green.version() != "1" || !w.heard("using the local copy of the journal") {
		t.Errorf("%s at version %s: %s; told %q", r.Outcome, w.green.version(), r.Reason, w.told)
	}
}

// Going back to blue needs no journal: neither a copy nor a question is waited
// for.
func TestRollbackToBlueNeedsNoJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Config.Lease.Heartbeat = 10000 * time.Hour
	w.keepCopy(t, w.top)
	w.weigh(40, 60)
	w.set(greenRegion+"/dynamodb", refuses)
	w.set(blueRegion, refuses)
	go func() {
		<-w.batches
		w.time.Advance(time.Minute) // Route 53 is in sync
	}()
	r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{}))
	if r.Outcome != "rolled_back" || w.weights() != "100/0" || !w.heard("going on without the journal") || w.heard("asking again") {
		t.Errorf("%s with weights %s: %s; told %q", r.Outcome, w.weights(), r.Reason, w.told)
	}
}

func TestTargetWithoutTheJournal(t *testing.T) {
	t.Parallel()
	toOne := cutover.TargetOf(before)
	other := promoted
	other.LiveVersion, other.NextVersion = "5", "6"
	tests := []struct {
		name    string
		kept    *cutover.State
		live    cutover.Setting
		known   bool
		retired bool
		otherID bool // the copy is of another deployment
		lost    bool
		want    cutover.Setting
	}{
		{name: "blue answers", live: blueAnswers, known: true, want: blueAnswers},
		{name: "dials unread", want: blueAnswers},
		{name: "dials unread, blue retired", retired: true, lost: true},
		{name: "green answers", live: promoted, known: true, lost: true},
		{name: "green answers, copy of the shift that promoted", kept: &cutover.State{Target: toOne, Last: before}, live: promoted, known: true, want: toOne},
		{name: "green answers, copy of the shift under way", kept: &cutover.State{Target: toOne, Last: before}, live: before, known: true, want: toOne},
		{name: "green answers, copy of a migration", kept: &cutover.State{Target: blueAnswers, Last: before}, live: promoted, known: true, want: blueAnswers},
		{name: "green answers, copy of an older shift", kept: &cutover.State{Target: toOne, Last: before}, live: other, known: true, lost: true},
		{name: "green answers, copy of another deployment", kept: &cutover.State{Target: toOne, Last: before}, live: promoted, known: true, otherID: true, lost: true},
		{name: "dials unread, a copy", kept: &cutover.State{Target: toOne, Last: before}, want: toOne},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(greenRegion, refuses)
			w.set(blueRegion, refuses)
			top := w.top
			top.Retired = test.retired
			if test.kept != nil {
				of := w.top
				if test.otherID {
					of.Target.RestAPI = "xyz"
				}
				w.KeepShift(of, *test.kept)
			}
			got, err := w.Target(t.Context(), top, test.live, unreadUnless(test.known), app.RollbackAsk{})
			if (err != nil) != test.lost {
				t.Fatalf("target %v, error %v", got, err)
			}
			same(t, "target", test.want, got)
		})
	}
}

// That green answers by itself is known though Route 53 does not answer.
func TestTargetWithoutTheJournalAndDNS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(greenRegion, refuses)
	w.set(blueRegion, refuses)
	live := cutover.Setting{Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	if got, err := w.Target(t.Context(), w.top, live, &awsapi.Unread{DNS: errors.New("throttled")}, app.RollbackAsk{}); err == nil {
		t.Errorf("want no target, got %v", got)
	}
}

// A retire that told the table between a rollback's ids and its lease has the
// word: blue may be gone before its users are there.
func TestARetireInBetweenIsSeen(t *testing.T) {
	t.Parallel()
	for _, toBlue := range []bool{false, true} {
		w := promotedWorld(t)
		w.journal(cutover.State{ID: "m", Phase: cutover.Completed, Target: blueAnswers})
		stale := filepath.Join(w.StateDir, "stale.json")
		if err := os.WriteFile(stale, ok[[]byte](t)(json.Marshal(w.top)), 0o600); err != nil {
			t.Fatal(err)
		}
		gone := w.top
		gone.Retired = true
		if err := w.control().PutTopology(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		r, err := w.Rollback(t.Context(), app.RollbackAsk{Topology: stale, ToBlue: toBlue, Shaped: toBlue})
		if refused := exitCode(err) == 3; refused != toBlue || w.weights() != "0/100" || w.green.fn != "Shop-prod-api:live" {
			t.Errorf("to blue %v: %s (%s), %v; weights %s, base %s", toBlue, r.Outcome, r.Reason, err, w.weights(), w.green.fn)
		}
	}
}

// The dry run refuses where the run itself would not know.
func TestDryRunWithoutTheJournal(t *testing.T) {
	t.Parallel()
	w := promotedWorld(t)
	w.hideJournal(1000)
	_, err := w.Rollback(t.Context(), app.RollbackAsk{DryRun: true})
	if exitCode(err) != 3 || !strings.Contains(err.Error(), "the journal cannot be read") {
		t.Errorf("want a refusal, got %v", err)
	}
}

func TestVersionIsRefusedWhileBlueAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeControl()
	w.weigh(40, 60)
	_, err := w.Rollback(t.Context(), app.RollbackAsk{ToVersion: "1"})
	if exitCode(err) != 3 || !strings.Contains(err.Error(), "blue answers") {
		t.Errorf("want a refusal, got %v", err)
	}
	if lease := ok[cutover.Lease](t)(w.control().Lease(t.Context())); lease.Token != 0 {
		t.Errorf("what was refused took the lease: %+v", lease)
	}
}

// A retreat to a version that is not there cannot succeed, and the journal would
// send every later one there too. Who may not ask goes on.
func TestAVersionThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	w := promotedWorld(t)
	for _, dryRun := range []bool{true, false} {
		_, err := w.Rollback(t.Context(), app.RollbackAsk{ToVersion: "9", DryRun: dryRun})
		if exitCode(err) != 3 || !strings.Contains(err.Error(), "has no version 9") {
			t.Errorf("dry run %v: want a refusal, got %v", dryRun, err)
		}
	}
	if got := ok[cutover.Lease](t)(w.control().Lease(t.Context())); got.Purpose == "rollback" || w.green.version() != "2" {
		t.Errorf("something was changed: version %s, lease %+v", w.green.version(), got)
	}
	w.green.denies = true
	if r := ok[app.Report](t)(w.Rollback(t.Context(), app.RollbackAsk{ToVersion: "1"})); r.Outcome != "rolled_back" || w.green.version() != "1" {
		t.Errorf("%s at version %s: %s", r.Outcome, w.green.version(), r.Reason)
	}
}

// A copy that cannot be written is no reason to stop, and one is told.
func TestKeepShift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.KeepShift(w.top, cutover.State{ID: "s"}) // a rollback: no dials to tell it by
	file := filepath.Join(w.StateDir, "shop-prod.shift.json")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy of a rollback was kept: %v", err)
	}
	w.KeepShift(w.top, cutover.State{ID: "s", Last: before})
	if encoded := ok[[]byte](t)(os.ReadFile(file)); !json.Valid(encoded) {
		t.Errorf("not JSON: %s", encoded)
	}
	w.StateDir = file // no folder
	w.KeepShift(w.top, cutover.State{ID: "s", Last: before})
	if !w.heard("no local copy of the journal is kept") {
		t.Errorf("told %q", w.told)
	}
}

// unreadUnless is why no dial could be read.
func unreadUnless(known bool) error {
	if known {
		return nil
	}
	return errors.New("unread")
}
