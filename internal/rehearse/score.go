package rehearse

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// Score is one scenario's result; its JSON is a contract. Times are seconds of
// the embedded AWS's clock.
type Score struct {
	Name                string        `json:"name"`
	Outcome             cutover.Phase `json:"outcome"`
	Requests            int           `json:"requests"`
	Failed              int           `json:"failed"` // not explained by a fault: tapctl's own
	Harmed              int           `json:"harmed"` // failed at green while its fault was in force
	ExposureAtDetection *float64      `json:"exposure_at_detection"`
	DetectSeconds       *float64      `json:"detect_s"`  // fault to decision
	RestoreSeconds      *float64      `json:"restore_s"` // fault to the last harmed request
	APICalls            int           `json:"api_calls"` // by tapctl, to AWS
	Faults              []string      `json:"faults"`    // what was injected, in words
	// FirstFailure is the first failed request that no fault explains.
	FirstFailure string `json:"first_failure,omitempty"`
	// Sides is how many answers each side gave.
	Sides map[string]int `json:"sides"`
	// Model is what the harm benchmark's model expected, null where it has none.
	Model *Compared `json:"model,omitempty"`
	// NoModel is why it has none.
	NoModel string `json:"no_model,omitempty"`

	// Missed is why the scenario did not end as it must, "" where it did.
	Missed string `json:"missed,omitempty"`
}

// Forecast is what a model expects of a scenario.
type Forecast struct {
	Rate       float64  `json:"rps"` // requests a second of the clock
	HarmedMean float64  `json:"harmed_mean"`
	HarmedP95  float64  `json:"harmed_p95"`
	RestoreS   *float64 `json:"restore_s"` // median; null where it never was
	SentBack   float64  `json:"sent_back"` // share of the releases, 0..1
}

// Compared is a forecast beside what was measured.
type Compared struct {
	Forecast
	// Ratio is the harm measured over the model's mean, null where that is 0;
	// Difference is the harm measured less the mean, and RestoreDifferenceS the
	// time less the median, null where either never was.
	Ratio              *float64 `json:"ratio"`
	Difference         float64  `json:"difference"`
	RestoreDifferenceS *float64 `json:"restore_difference_s"`
}

func (s *Score) compare(f Forecast) {
	s.Model = &Compared{Forecast: f, Difference: float64(s.Harmed) - f.HarmedMean}
	if s.RestoreSeconds != nil && f.RestoreS != nil {
		difference := *s.RestoreSeconds - *f.RestoreS
		s.Model.RestoreDifferenceS = &difference
	}
	if f.HarmedMean > 0 {
		ratio := float64(s.Harmed) / f.HarmedMean
		s.Model.Ratio = &ratio
	}
}

// Passed tells whether the scenario ended as it must.
func (s Score) Passed() bool { return s.Missed == "" }

// missed says why the scenario did not end as it must: nobody may fail because
// of tapctl, and what was to be sent back must be, because of the fault and
// not before it, at no more than the model's price.
func (s Score) missed(scenario Scenario, incident Incident) string {
	switch {
	case s.Failed > 0:
		return fmt.Sprintf("%d requests failed that no fault explains", s.Failed)
	case !slices.Contains(scenario.Ends, s.Outcome):
		ends := make([]string, len(scenario.Ends))
		for i, end := range scenario.Ends {
			ends[i] = string(end)
		}
		return fmt.Sprintf("it was to end %s", strings.Join(ends, " or "))
	case s.Requests == 0 && !scenario.Silent:
		return "nobody came"
	case scenario.Fault.Kind != "" && incident.Injected.IsZero():
		return "the shift ended before the fault began"
	case s.Outcome == cutover.RolledBack && scenario.Fault.Kind != "" && incident.Decided.Before(incident.Injected):
		return "it was sent back before the fault"
	case scenario.Within > 0 && s.Model != nil && s.Model.Ratio != nil && *s.Model.Ratio > scenario.Within:
		return fmt.Sprintf("it harmed more than %v times what the model expects", scenario.Within)
	default:
		return ""
	}
}

// Incident is an injected fault and what was decided because of it.
type Incident struct {
	Injected time.Time // zero: none
	Cleared  time.Time // zero: still in force
	Address  string    // front door of the side it struck
	Decided  time.Time // retreat decided; zero: never
	Exposure float64   // percent, when decided
	What     string
	Fault    Fault
}

// score counts what the users met, and judges it beside the model where there
// is one.
func score(scenario Scenario, outcome cutover.Phase, requests []Request, incident Incident, apiCalls int, expected *Forecast) Score {
	s := count(scenario, outcome, requests, incident, apiCalls)
	s.NoModel = scenario.NoModel
	if expected != nil {
		s.compare(*expected)
	}
	s.Missed = s.missed(scenario, incident)
	return s
}

func count(scenario Scenario, outcome cutover.Phase, requests []Request, incident Incident, apiCalls int) Score {
	s := Score{Name: scenario.Name, Outcome: outcome, Requests: len(requests), APICalls: apiCalls, Faults: []string{}, Sides: map[string]int{}}
	sort.Slice(requests, func(i, j int) bool { return requests[i].At.Before(requests[j].At) })
	var lastHarm time.Time
	for _, r := range requests {
		if r.Side != "" {
			s.Sides[r.Side]++
		}
		switch {
		case !r.Failed() && !incident.slowed(r):
		case explained(r, incident):
			s.Harmed++
			lastHarm = r.At
		default:
			s.Failed++
			if s.FirstFailure == "" {
				s.FirstFailure = fmt.Sprintf("%s at %s: status %d %s", r.At.Format(time.RFC3339), r.Address, r.Status, r.Err)
			}
		}
	}
	if incident.Injected.IsZero() {
		return s
	}
	s.Faults = append(s.Faults, incident.What)
	if !incident.Decided.IsZero() {
		s.DetectSeconds = seconds(incident.Decided.Sub(incident.Injected))
		exposure := incident.Exposure
		s.ExposureAtDetection = &exposure
	}
	if !lastHarm.IsZero() {
		s.RestoreSeconds = seconds(lastHarm.Sub(incident.Injected))
	}
	return s
}

// slowed tells whether the answer was as late as the fault makes it. A slow
// answer that no fault explains is not held against anybody: this machine has
// slow moments of its own.
func (i Incident) slowed(r Request) bool {
	return i.Fault.Kind == Slow && r.Took >= i.Fault.Late && explained(r, i)
}

// explained tells whether the injected fault accounts for the failure: the
// request was at that side's front door, and sent or under way while it was in
// force.
func explained(r Request, i Incident) bool {
	if i.Injected.IsZero() || r.Address != i.Address && !i.Fault.Both {
		return false
	}
	const underWay = time.Minute // of the clock: the request may have been sent just before
	return r.At.After(i.Injected.Add(-underWay)) && (i.Cleared.IsZero() || r.At.Before(i.Cleared))
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}
