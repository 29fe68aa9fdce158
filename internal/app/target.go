package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
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
func (a *App) target(top topology.Topology, v view, ask RollbackAsk) (target cutover.Setting, err error) {
	liveKnown := v.readErr == nil
	switch {
	case ask.ToBlue:
		return cutover.Setting{Base: cutover.Forwarder}, nil
	case ask.ToVersion != "":
		to := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: ask.ToVersion}
		if liveKnown {
			to.DNS = v.live.DNS // as a release goes back: the entrance stays
		}
		return to, nil
	}
	target = cutover.RetreatTarget(v.newest, v.found, v.live, liveKnown)
	if v.recordErr != nil {
		var known bool
		if target, known = a.blindTarget(top, v.live, v.readErr, v.recordErr); !known {
			return target, &noTarget{v.recordErr, v.live.LiveVersion, top.Retired}
		}
	}
	if top.Retired && (target.DNS != 100 || target.Base != cutover.Live) {
		// The journal is of the migration, whose way back has gone with blue.
		return cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live}, nil
	}
	return target, nil
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
func (a *App) awaitTarget(ctx context.Context, journal *cutover.LateJournal, top topology.Topology, v *view, ask RollbackAsk) (cutover.Setting, error) {
	wait, cancel := a.untilStop(ctx, 0)
	defer cancel()
	for try := 1; ; try++ {
		target, err := a.target(top, *v, ask)
		lost, isLost := errors.AsType[*noTarget](err)
		if !isLost || try == targetTries {
			return target, err
		}
		if try == 1 {
			a.say(cutover.EventTrouble, "%v; asking again for a minute; at once: %s", err, lost.Hint())
		}
		if a.Clock.Sleep(wait, targetPause) != nil {
			return target, err
		}
		// Non-fatal: the lease is asked for again with every record.
		_ = a.takeBriefly(wait, journal)
		v.record(wait, a)
	}
}

// undecided is the end of a rollback that knows no target.
func (a *App) undecided(err error, live cutover.Setting, readErr error) Report {
	unread := awsapi.UnreadOf(readErr)
	r := Report{Outcome: Uncertain, Dials: live.Dials, Exposure: live.Exposure(), Unseen: Unseen{unread.DNS != nil, unread.Stage != nil}, Reason: err.Error() + "; nothing was turned", Steps: []StepReport{}, Stopped: a.stopped(), NextCommand: "tapctl rollback --to-blue"}
	if lost, ok := errors.AsType[*noTarget](err); ok {
		r.NextCommand = lost.Hint()
	}
	a.say(cutover.EventFinish, "%s", r.Reason)
	return r
}

// versionFits refuses a version of green while blue answers outside the canary:
// that would send users up; and one that Lambda does not have: its retreat could
// not succeed, nor any after it, which goes where the journal says. Its look
// serves the rollback too.
func (a *App) versionFits(ctx context.Context, traffic *awsapi.Traffic, ask RollbackAsk) (v view, err error) {
	if ask.ToVersion == "" {
		return v, nil
	}
	look, cancel := a.rest(context.WithoutCancel(ctx), ctx)
	defer cancel()
	green := traffic.Topology().Target
	exists := true
	var asking sync.WaitGroup
	// What cannot be read does not keep a rollback from its target.
	asking.Go(func() {
		found, err := a.Clients.FunctionHas(look, green.Region, green.APIFunction, ask.ToVersion)
		exists = found || err != nil
	})
	v.live, v.readErr = traffic.Read(look)
	asking.Wait()
	if v.live.Base == cutover.Forwarder {
		return v, &Refused{Cause: fmt.Errorf("rollback: --to-version is for a green that answers by itself, and blue answers: %s", v.live), Next: "tapctl rollback"}
	}
	if !exists {
		return v, &Refused{
			Cause: fmt.Errorf("rollback: %s in %s has no version %s", green.APIFunction, green.Region, ask.ToVersion),
			Next:  "tapctl rollback --to-version N; aws lambda list-versions-by-function --region " + green.Region + " --function-name " + green.APIFunction,
		}
	}
	return v, nil
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
