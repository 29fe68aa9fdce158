package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// noTarget means that nothing tells where a rollback is to go.
type noTarget struct {
	cause   error
	live    string // the version that is live, "" where it was not read
	retired bool
}

// Error implements error.
func (e *noTarget) Error() string {
	version := "green's own version"
	if e.live != "" {
		version += " (" + e.live + ")"
	}
	return fmt.Sprintf("rollback: %s answers, and what answered before is not known: the journal cannot be read: %v", version, e.cause)
}

// Unwrap gives the cause.
func (e *noTarget) Unwrap() error { return e.cause }

// Hint is the next command to type.
func (e *noTarget) Hint() string {
	version := "tapctl rollback --to-version N"
	if e.live != "" {
		version += " (not " + e.live + ", which is live)"
	}
	if e.retired {
		return version
	}
	return "tapctl rollback --to-blue, or " + version
}

// target is where a retreat goes: where it was asked to, where the last shift
// said, or, where no shift was ever begun, where the mode says. A journal that
// cannot be read is not an empty one: the local copy stands in for it, and
// *noTarget is the answer where green's own version answers and there is none.
//
// readErr is why the dials, or some of them, could not be read. newest is the
// journal's record, zero where it was not asked or did not answer.
func (a *App) target(ctx context.Context, top topology.Topology, live cutover.Setting, readErr error, ask RollbackAsk) (target cutover.Setting, newest cutover.State, err error) {
	liveKnown := readErr == nil
	switch {
	case ask.ToBlue:
		return cutover.Setting{Base: cutover.Forwarder}, newest, nil
	case ask.ToVersion != "":
		to := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: ask.ToVersion}
		if liveKnown {
			to.DNS = live.DNS // as a release goes back: the entrance stays
		}
		return to, newest, nil
	}
	call, cancel := a.briefly(ctx)
	defer cancel()
	newest, found, err := a.control().Shift(call)
	target = cutover.RetreatTarget(newest, found, live, liveKnown)
	if err != nil {
		var known bool
		if target, known = a.blindTarget(top, live, readErr, err); !known {
			return target, newest, &noTarget{err, live.LiveVersion, top.Retired}
		}
	}
	if top.Retired && (target.DNS != 100 || target.Base != cutover.Live) {
		// The journal is of the migration, whose way back has gone with blue.
		return cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live}, newest, nil
	}
	return target, newest, nil
}

// blindTarget is the target without the journal, and says what it went by.
func (a *App) blindTarget(top topology.Topology, live cutover.Setting, readErr, cause error) (target cutover.Setting, known bool) {
	unread := awsapi.UnreadOf(readErr)
	if shift, found := a.keptShift(top, live, unread.Live == nil && unread.Next == nil); found {
		a.say(cutover.EventTrouble, "using the local copy of the journal: %v", cause)
		return shift.Target, true
	}
	if top.Retired {
		return target, false // green answers, whether or not that could be read
	}
	if target, known = cutover.BlindTarget(live, unread.Stage == nil); known {
		a.say(cutover.EventTrouble, "going on without the journal: %v", cause)
	}
	return target, known
}

// The tries to learn the target, and the pause between two of them: a minute
// outlasts what a table's hiccup takes.
const (
	targetTries = 12
	targetPause = 5 * time.Second
)

// awaitTarget is target, asked again while nothing tells it: with no target
// there is nothing to do, and who knows one can say it.
func (a *App) awaitTarget(ctx context.Context, journal *cutover.LateJournal, top topology.Topology, live cutover.Setting, readErr error, ask RollbackAsk) (target cutover.Setting, newest cutover.State, err error) {
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.Stop:
			cancel()
		case <-wait.Done():
		}
	}()
	for try := 1; ; try++ {
		target, newest, err = a.target(wait, top, live, readErr, ask)
		lost, isLost := errors.AsType[*noTarget](err)
		if !isLost || try == targetTries {
			return target, newest, err
		}
		if try == 1 {
			a.say(cutover.EventTrouble, "%v; asking again for a minute; at once: %s", err, lost.Hint())
		}
		if a.Clock.Sleep(wait, targetPause) != nil {
			return target, newest, err
		}
		// Non-fatal: the lease is asked for again with every record.
		_ = a.takeBriefly(wait, journal)
	}
}

// undecided is the end of a rollback that knows no target.
func (a *App) undecided(err error, live cutover.Setting, readErr error) Report {
	unread := awsapi.UnreadOf(readErr)
	r := Report{Outcome: "uncertain", Dials: live.Dials, Exposure: live.Exposure(), Unseen: Unseen{unread.DNS != nil, unread.Stage != nil}, Reason: err.Error() + "; nothing was turned", Steps: []StepReport{}, Stopped: a.stopped(), NextCommand: "tapctl rollback --to-blue"}
	if lost, ok := errors.AsType[*noTarget](err); ok {
		r.NextCommand = lost.Hint()
	}
	a.say(cutover.EventFinish, "%s", r.Reason)
	return r
}

// versionFits refuses a version of green while blue answers outside the canary:
// that would send users up.
func (a *App) versionFits(ctx context.Context, traffic *awsapi.Traffic, ask RollbackAsk) error {
	if ask.ToVersion == "" {
		return nil
	}
	look, cancel := a.briefly(ctx)
	defer cancel()
	// What cannot be read does not keep a rollback from its target.
	if live, _ := traffic.Read(look); live.Base == cutover.Forwarder {
		return &Refused{Cause: fmt.Errorf("rollback: --to-version is for a green that answers by itself, and blue answers: %s", live), Next: "tapctl rollback"}
	}
	return nil
}

// keptShift is the local copy of the journal's newest shift, of one deployment:
// a later one counts its versions anew.
type keptShift struct {
	RestAPI string        `json:"rest_api"`
	Shift   cutover.State `json:"shift"`
}

// shiftFile is the local copy, for a rollback that cannot read the journal.
func (a *App) shiftFile() string {
	return filepath.Join(a.StateDir, a.Config.StackPrefix()+".shift.json")
}

// keepShift writes the local copy. A rollback by hand began from no dials that
// the copy could be told by.
func (a *App) keepShift(top topology.Topology, s cutover.State) {
	if s.Last.NextVersion == "" {
		return
	}
	encoded, err := json.Marshal(keptShift{top.Target.RestAPI, s})
	if err == nil {
		err = os.MkdirAll(a.StateDir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(a.shiftFile(), encoded, 0o600)
	}
	if err != nil {
		// Non-fatal: the journal has it.
		a.say(cutover.EventTrouble, "no local copy of the journal is kept: %v", err)
	}
}

// keptShift reads the local copy. Another runner may have shifted since: the
// copy counts where the versions that stand there are its own.
func (a *App) keptShift(top topology.Topology, live cutover.Setting, versionsKnown bool) (s cutover.State, found bool) {
	var kept keptShift
	encoded, err := os.ReadFile(a.shiftFile())
	if err != nil || json.Unmarshal(encoded, &kept) != nil || kept.RestAPI != top.Target.RestAPI {
		return s, false
	}
	began := kept.Shift.Last
	if versionsKnown && (live.NextVersion != began.NextVersion || live.LiveVersion != began.LiveVersion && live.LiveVersion != began.NextVersion && live.LiveVersion != kept.Shift.Target.LiveVersion) {
		return s, false
	}
	return kept.Shift, true
}
