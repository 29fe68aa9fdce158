package rehearse

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// Scenario is one play: what goes wrong, when, and how tapctl must end.
type Scenario struct {
	Name  string
	About string
	Fault Fault
	// At is the exposure, in percent, at which the fault begins: it begins with
	// the first user above it. Negative is before the shift.
	At cutover.Percent
	// For is how long the fault lasts; 0 is until the scenario's end.
	For time.Duration
	// Silent is a release that nobody uses.
	Silent bool
	// Config is laid over the configuration for the shift; Deploy over that of
	// a deployment of the scenario's own, nil where it needs none.
	Config, Deploy map[string]any
	// Ends are the outcomes that pass.
	Ends []cutover.Phase
	// NoModel is why the harm benchmark's model cannot say what to expect, ""
	// where it can.
	NoModel string
	// Within is how many times the model's mean it may harm, 0 any number: the
	// two are shown beside each other.
	Within float64
}

// Fault is what a scenario does to an application.
type Fault struct {
	Kind Kind
	Rate float64       // share of the answers
	Late time.Duration // of Slow, real time
	Both bool          // blue as well
}

// Kind is what goes wrong.
type Kind string

// The kinds of fault; the zero value is none.
const (
	Errors Kind = "errors" // green's own code fails
	Slow   Kind = "slow"   // green's own code answers late
	Down   Kind = "down"   // green's region does not answer at all
)

// Names of the scenarios that have one in code.
const (
	Clean = "clean"
	Bad   = "bad"
)

// byTime is of a plan whose steps wait for no evidence.
const byTime = "it climbs by time, and the model plays the budget ramp"

// Scenarios are all there are. rate and at are those of the bad one, which an
// operator may choose.
func Scenarios(rate float64, at cutover.Percent) []Scenario {
	back, paced := []cutover.Phase{cutover.RolledBack}, map[string]any{"shift.plan": "budget", "shift.step": "100"}
	return []Scenario{
		{Name: Clean, About: "a good green goes to 100 percent", Ends: []cutover.Phase{cutover.Completed}, NoModel: byTime},
		{Name: Bad, About: "green turns bad in the middle of a lockstep shift", Fault: Fault{Kind: Errors, Rate: rate}, At: at, Ends: back, NoModel: byTime},
		// The model has no probes that meet the fault, so this release has next to
		// none: with the usual five a look they find it before many users do.
		{Name: "bad-code", About: "green is bad for its first user, which no probe sees", Fault: Fault{Kind: Errors, Rate: rate},
			Config: with(paced, "probe.count", "1", "probe.max_failures", "1000"), Ends: back, Within: 3},
		{Name: "slow", About: "green answers late", Fault: Fault{Kind: Slow, Rate: 1, Late: 2500 * time.Millisecond},
			Config: paced, Ends: back},
		{Name: "bad-region", About: "green's region is lost in the middle of a shift", Fault: Fault{Kind: Down, Rate: 1}, At: at, Ends: []cutover.Phase{cutover.RolledBack, cutover.Uncertain},
			NoModel: "it climbs by time, and the model knows no region that does not answer"},
		{Name: "shared-incident", About: "both sides fail for a while: green is not to blame, and not to be promoted meanwhile",
			Fault: Fault{Kind: Errors, Rate: rate, Both: true}, At: at, For: 3 * time.Minute, Config: map[string]any{"shift.hold_timeout": "20m"},
			Ends: []cutover.Phase{cutover.Completed}, NoModel: byTime},
		{Name: "no-traffic", About: "nobody comes: silence is no proof", Silent: true,
			Config: map[string]any{"shift.plan": "budget", "shift.step": "100", "shift.on_inconclusive": "hold", "shift.hold_timeout": "3m"},
			Ends:   []cutover.Phase{cutover.Held}, NoModel: "nobody comes"},
		{Name: "late-onset", About: "green turns bad when half of the users are on it", Fault: Fault{Kind: Errors, Rate: rate}, At: 40, Config: paced, Ends: back},
		{Name: "flaky", About: "both sides fail a little, always: a good release of a flaky service is not sent back",
			Fault: Fault{Kind: Errors, Rate: 0.02, Both: true}, At: -1,
			Config: with(paced, "evidence.slo", "0.1", "probe.max_failures", "50"),
			Deploy: map[string]any{"alarms.api_5xx_rate": "0.3"},
			Ends:   []cutover.Phase{cutover.Completed}, NoModel: "whoever fails would fail at blue as well, and the model counts what green adds"},
	}
}

func with(base map[string]any, pairs ...string) map[string]any {
	all := map[string]any{}
	for key, value := range base {
		all[key] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

// Find picks the scenarios of the names, in their order.
func Find(all []Scenario, names []string) ([]Scenario, error) {
	var found []Scenario
	for _, name := range names {
		i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for j, s := range all {
				known[j] = s.Name
			}
			return nil, fmt.Errorf("scenario %q: want %s", name, strings.Join(known, ", "))
		}
		found = append(found, all[i])
	}
	return found, nil
}
