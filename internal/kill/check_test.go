package kill_test

import (
	"encoding/json"
	"encoding/xml"
	"slices"
	"sort"
	"strconv"
	"testing"

	"github.com/tapctl/tapctl/internal/cutover"
)

// batch is a change of records, as it is sent.
type batch struct {
	Changes []struct {
		Action string
		Set    struct {
			Type          string
			SetIdentifier string
			Weight        *int64
			HealthCheckId string // as AWS spells it
		} `xml:"ResourceRecordSet"`
	} `xml:"ChangeBatch>Changes>Change"`
}

// patches are a change of a stage, as it is sent.
type patches struct {
	PatchOperations []struct{ Op, Path, Value string }
}

// turn is one part of a call that turns something.
type turn struct {
	dial string
	to   string
}

// judge holds what a case sent against the promises of docs/cutover.md, by
// their names there. The dials stood at from when it began.
type judge struct {
	*testing.T
	world  *world
	from   cutover.Setting
	origin cutover.Setting            // from, as it was
	tokens map[*process]int64         // of the lease each was granted
	newest int64                      // granted to anybody so far
	intent map[*process]cutover.State // journalled last, and acknowledged
	back   map[string]bool            // shifts, by id, that a retreat of any run has begun
	stale  map[*process][]turn        // writes upward under a newer token
}

// held checks the calls in the order in which AWS answered them; what was not
// answered did not reach it.
func (w *world) held(t *testing.T, from cutover.Setting, calls []*call) *judge {
	t.Helper()
	j := &judge{
		T: t, world: w, from: from, origin: from, tokens: map[*process]int64{}, intent: map[*process]cutover.State{}, back: map[string]bool{}, stale: map[*process][]turn{},
	}
	calls = slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return !c.landed() })
	sort.SliceStable(calls, func(a, b int) bool { return calls[a].answered < calls[b].answered })
	for _, c := range calls {
		switch c.Operation {
		case takeLease:
			j.granted(c)
		case save:
			j.intent[c.by] = c.saved
			j.back[c.saved.ID] = j.back[c.saved.ID] || c.saved.Phase == cutover.Retreating
		case changeDNS:
			j.records(c)
		case updateStage:
			j.stage(c)
		case updateAlias:
			j.alias(c)
		}
	}
	for by, turns := range j.stale {
		if len(turns) > 1 {
			t.Errorf("one write of an older token at most: %s turned %v after a newer token was granted", by.name, turns)
		}
	}
	return j
}

func (j *judge) granted(c *call) {
	var answer struct {
		Attributes map[string]struct{ N string }
	}
	err := json.Unmarshal(c.answer, &answer)
	token, convErr := strconv.ParseInt(answer.Attributes["fence"].N, 10, 64)
	if err != nil || convErr != nil {
		j.Fatalf("a lease that is not understood: %s", c.answer)
	}
	if token <= j.newest {
		j.Errorf("the token grows with every holder: %d after %d", token, j.newest)
	}
	j.tokens[c.by], j.newest = token, token
}

// records holds a batch of weights.
func (j *judge) records(c *call) {
	var b batch
	if err := xml.Unmarshal(c.request, &b); err != nil {
		j.Fatalf("a batch that is not understood: %v: %s", err, c.request)
	}
	weights := map[string]map[string]int64{}
	for _, change := range b.Changes {
		set := change.Set
		if want := j.world.checks[set.Type+" "+set.SetIdentifier]; want == "" || set.HealthCheckId != want {
			j.Errorf("health checks stay attached: %s of %s %s has %q, want %q", change.Action, set.Type, set.SetIdentifier, set.HealthCheckId, want)
		}
		if change.Action == "DELETE" || set.Weight == nil {
			continue
		}
		if weights[set.Type] == nil {
			weights[set.Type] = map[string]int64{}
		}
		weights[set.Type][set.SetIdentifier] = *set.Weight
	}
	green := weights["A"][j.world.top.Target.SetID]
	for _, kind := range j.world.top.RecordTypes {
		blue, also := weights[kind][j.world.top.Source.SetID], weights[kind][j.world.top.Target.SetID]
		if len(weights[kind]) != 2 || also != green || blue+also != 100 {
			j.Errorf("both colours and types move in one batch: %v of %s", weights, c.request)
		}
		if blue+also == 0 {
			j.Errorf("weights are never all zero: %v", weights)
		}
	}
	to := cutover.Percent(green)
	if to > j.from.DNS {
		was := j.from.DNS
		j.upward(c, turn{"dns", strconv.FormatInt(green, 10)}, func(s cutover.State) bool {
			return s.Phase == cutover.Turning && s.Plan.Steps[s.Step].DNS == to && (s.Step == 0 || s.Plan.Steps[s.Step-1].DNS == was)
		})
	} else if to < j.from.DNS {
		j.back[j.intent[c.by].ID] = true
	}
	j.from.DNS = to
}

func (j *judge) stage(c *call) {
	var p patches
	if err := json.Unmarshal(c.request, &p); err != nil {
		j.Fatalf("a patch that is not understood: %v: %s", err, c.request)
	}
	for _, o := range p.PatchOperations {
		switch {
		case o.Path == "/canarySettings" && o.Op == "remove":
			j.from.Canary = 0
			j.upward(c, turn{"canary", "0"}, promoting)
		case o.Path == "/canarySettings/percentTraffic":
			percent, err := strconv.ParseFloat(o.Value, 64)
			if err != nil {
				j.Fatal(err)
			}
			to := cutover.Percent(percent)
			if was := j.from.Canary; to > was {
				j.upward(c, turn{"canary", o.Value}, func(s cutover.State) bool {
					return s.Phase == cutover.Turning && s.Plan.Steps[s.Step].Canary == to && (s.Step == 0 || s.Plan.Steps[s.Step-1].Canary == was)
				})
			} else if to < j.from.Canary {
				j.back[j.intent[c.by].ID] = true
			}
			j.from.Canary = to
		case o.Path == "/variables/fn" && o.Value == j.world.top.Target.FnLive():
			if j.from.Base != cutover.Live {
				j.upward(c, turn{"base", o.Value}, promoting)
			}
			j.from.Base = cutover.Live
		case o.Path == "/variables/fn":
			j.from.Base = cutover.Forwarder
			j.back[j.intent[c.by].ID] = true
		}
	}
}

func (j *judge) alias(c *call) {
	var to struct{ FunctionVersion string }
	if err := json.Unmarshal(c.request, &to); err != nil {
		j.Fatal(err)
	}
	switch to.FunctionVersion {
	case j.from.LiveVersion:
	case j.origin.LiveVersion:
		j.back[j.intent[c.by].ID] = true
	default:
		j.upward(c, turn{"live version", to.FunctionVersion}, promoting)
	}
	j.from.LiveVersion = to.FunctionVersion
}

func promoting(s cutover.State) bool { return s.Phase == cutover.Promoting }

// upward holds a write that gives users to green.
func (j *judge) upward(c *call, t turn, planned func(cutover.State) bool) {
	intent, journalled := j.intent[c.by]
	switch {
	case j.back[intent.ID]:
		j.Errorf("nothing rises after a retreat began: %s turns %v of %s at %v", c.by.name, t, intent.ID, c.point)
	case !journalled:
		j.Errorf("intent is journalled before a write upward: %s turns %v at %v", c.by.name, t, c.point)
	case !planned(intent):
		j.Errorf("only to the next planned value: %s turns %v in %s of step %d, where the dials stood at %s", c.by.name, t, intent.Phase, intent.Step+1, j.from)
	}
	if j.tokens[c.by] < j.newest {
		j.stale[c.by] = append(j.stale[c.by], t)
	}
}
