package rehearse

import (
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

const greenDoor, blueDoor = "127.0.0.3", "127.0.0.2"

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestScore(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	incident := Incident{Injected: at(100), Cleared: at(400), Address: greenDoor, Decided: at(160), Exposure: 9, What: "green fails"}
	shared, late := incident, incident
	shared.Fault = Fault{Kind: Errors, Both: true}
	late.Fault = Fault{Kind: Slow, Late: 2 * time.Second}
	ok := Request{At: at(10), Address: blueDoor, Status: 200, Side: "blue"}
	tests := []struct {
		name           string
		request        Request
		incident       Incident
		failed, harmed int
	}{
		{"answered", ok, incident, 0, 0},
		{"green fails under the fault", Request{At: at(120), Address: greenDoor, Status: 502}, incident, 0, 1},
		{"no answer under the fault", Request{At: at(120), Address: greenDoor, Err: "reset"}, incident, 0, 1},
		{"blue fails under green's fault", Request{At: at(120), Address: blueDoor, Status: 502}, incident, 1, 0},
		{"green fails long before the fault", Request{At: at(10), Address: greenDoor, Status: 502}, incident, 1, 0},
		{"green fails after the fault was cleared", Request{At: at(401), Address: greenDoor, Status: 502}, incident, 1, 0},
		{"green fails without a fault", Request{At: at(120), Address: greenDoor, Status: 502}, Incident{}, 1, 0},
		{"blue fails in a shared incident", Request{At: at(120), Address: blueDoor, Status: 502}, shared, 0, 1},
		{"a late answer under a fault that makes them late", Request{At: at(120), Address: greenDoor, Status: 200, Took: 3 * time.Second}, late, 0, 1},
		{"a late answer for no such reason", Request{At: at(120), Address: blueDoor, Status: 200, Took: 3 * time.Second}, late, 0, 0},
		{"a prompt answer under that fault", Request{At: at(120), Address: greenDoor, Status: 200, Took: time.Second}, late, 0, 0},
		{"a 404 is a failure too", Request{At: at(10), Address: blueDoor, Status: 404}, Incident{}, 1, 0},
	}
	for _, tt := range tests {
		s := score(Scenario{Name: "x", Ends: []cutover.Phase{cutover.Completed}}, "completed", []Request{ok, tt.request}, tt.incident, 7, nil)
		if s.Requests != 2 || s.Failed != tt.failed || s.Harmed != tt.harmed {
			t.Errorf("%s: failed %d harmed %d, want %d and %d", tt.name, s.Failed, s.Harmed, tt.failed, tt.harmed)
		}
		if (s.FirstFailure != "") != (tt.failed > 0) {
			t.Errorf("%s: first failure is %q", tt.name, s.FirstFailure)
		}
	}
}

func TestScoreTimes(t *testing.T) {
	t.Parallel()
	incident := Incident{Injected: t0, Address: greenDoor, Decided: t0.Add(90 * time.Second), Exposure: 9, What: "green fails"}
	harmed := func(s int) Request {
		return Request{At: t0.Add(time.Duration(s) * time.Second), Address: greenDoor, Status: 502}
	}
	s := score(Scenario{Name: Bad, Ends: []cutover.Phase{cutover.RolledBack}}, "rolled_back", []Request{harmed(95), harmed(5)}, incident, 0, nil)
	if s.DetectSeconds == nil || *s.DetectSeconds != 90 || s.RestoreSeconds == nil || *s.RestoreSeconds != 95 {
		t.Errorf("detect %v restore %v, want 90 and 95", s.DetectSeconds, s.RestoreSeconds)
	}
}

// TestWhatAScenarioMissed: it passes for what it is played for, and for nothing
// else.
func TestWhatAScenarioMissed(t *testing.T) {
	t.Parallel()
	fault := Fault{Kind: Errors, Rate: 0.5}
	incident := Incident{Injected: t0, Address: greenDoor, Decided: t0.Add(90 * time.Second), Fault: fault}
	fine := []Request{{At: t0, Address: blueDoor, Status: 200}}
	harmed := func(n int) []Request {
		all := fine
		for range n {
			all = append(all, Request{At: t0.Add(time.Second), Address: greenDoor, Status: 502})
		}
		return all
	}
	good, shown := Scenario{Ends: []cutover.Phase{cutover.Completed}}, Scenario{Ends: []cutover.Phase{cutover.RolledBack}, Fault: fault}
	bad := shown
	bad.Within = 3
	for _, tt := range []struct {
		name     string
		scenario Scenario
		outcome  cutover.Phase
		requests []Request
		incident Incident
		expected *Forecast
		want     string
	}{
		{"a good green is through", good, "completed", fine, Incident{}, nil, ""},
		{"nobody came", good, "completed", nil, Incident{}, nil, "nobody came"},
		{"nobody was to come", Scenario{Ends: []cutover.Phase{cutover.Held}, Silent: true}, "held", nil, Incident{}, nil, ""},
		{"a good green is sent back", good, "rolled_back", fine, Incident{}, nil, "to end completed"},
		{"a bad green is sent back", bad, "rolled_back", harmed(2), incident, nil, ""},
		{"a bad green is through", bad, "completed", harmed(2), incident, nil, "to end rolled_back"},
		{"tapctl fails somebody", bad, "rolled_back", append(harmed(2), Request{At: t0, Address: blueDoor, Status: 502}), incident, nil, "1 requests failed"},
		{"the fault never began", bad, "rolled_back", fine, Incident{Decided: t0}, nil, "before the fault began"},
		{"sent back for something else", bad, "rolled_back", fine, Incident{Injected: t0, Decided: t0.Add(-time.Second), Fault: fault}, nil, "before the fault"},
		{"as the model expects", bad, "rolled_back", harmed(12), incident, &Forecast{HarmedMean: 4}, ""},
		{"far above the model", bad, "rolled_back", harmed(13), incident, &Forecast{HarmedMean: 4}, "more than 3 times"},
		{"far above one that is only shown", shown, "rolled_back", harmed(13), incident, &Forecast{HarmedMean: 4}, ""},
		{"the model expects none", bad, "rolled_back", harmed(1), incident, &Forecast{}, ""},
	} {
		s := score(tt.scenario, tt.outcome, tt.requests, tt.incident, 0, tt.expected)
		if s.Passed() != (tt.want == "") || !strings.Contains(s.Missed, tt.want) {
			t.Errorf("%s: missed %q, want %q", tt.name, s.Missed, tt.want)
		}
	}
}

func TestEveryScenarioCanBeFoundAndFail(t *testing.T) {
	t.Parallel()
	all := Scenarios(0.5, 4)
	for _, scenario := range all {
		found, err := Find(all, []string{scenario.Name})
		if err != nil || len(found) != 1 || found[0].Name != scenario.Name || len(scenario.Ends) == 0 {
			t.Errorf("%s: %v, %v", scenario.Name, found, err)
		}
		if s := score(scenario, "refused", []Request{{At: t0, Address: blueDoor, Status: 200}}, Incident{}, 0, nil); s.Passed() {
			t.Errorf("%s passes without a shift", scenario.Name)
		}
	}
	if _, err := Find(all, []string{Clean, "worse"}); err == nil {
		t.Error("an unknown scenario is found")
	}
}

func TestAScoreBesideItsModel(t *testing.T) {
	t.Parallel()
	s := Score{Harmed: 6}
	s.compare(Forecast{HarmedMean: 4})
	if s.Model == nil || s.Model.Ratio == nil || *s.Model.Ratio != 1.5 {
		t.Errorf("%+v, want a ratio of 1.5", s.Model)
	}
	restored, median := 100.0, 70.0
	s.RestoreSeconds = &restored
	if s.compare(Forecast{HarmedMean: 4, RestoreS: &median}); s.Model.Difference != 2 || s.Model.RestoreDifferenceS == nil || *s.Model.RestoreDifferenceS != 30 {
		t.Errorf("%+v, want 2 more harmed and 30 s more", s.Model)
	}
	if s.compare(Forecast{}); s.Model.Difference != 6 || s.Model.RestoreDifferenceS != nil {
		t.Errorf("%+v, want 6 more harmed than none", s.Model)
	}
	if s.compare(Forecast{}); s.Model.Ratio != nil {
		t.Errorf("%v times nothing", *s.Model.Ratio)
	}
}
