package rehearse

import (
	"testing"
	"time"
)

const greenDoor, blueDoor = "127.0.0.3", "127.0.0.2"

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestScore(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	incident := Incident{Injected: at(100), Cleared: at(400), Address: greenDoor, Decided: at(160), Exposure: 9, What: "green fails"}
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
		{"a 404 is a failure too", Request{At: at(10), Address: blueDoor, Status: 404}, Incident{}, 1, 0},
	}
	for _, tt := range tests {
		s := score("x", "completed", []Request{ok, tt.request}, tt.incident, 7)
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
	s := score(Bad, "rolled_back", []Request{harmed(95), harmed(5)}, incident, 0)
	if s.DetectSeconds == nil || *s.DetectSeconds != 90 || s.RestoreSeconds == nil || *s.RestoreSeconds != 95 {
		t.Errorf("detect %v restore %v, want 90 and 95", s.DetectSeconds, s.RestoreSeconds)
	}
	if !s.Passed() {
		t.Error("a bad green that was sent back is a pass")
	}
	s.Outcome = "completed"
	if s.Passed() {
		t.Error("a bad green that went through is not a pass")
	}
	if s := score(Clean, "completed", nil, Incident{}, 0); s.Passed() || s.DetectSeconds != nil {
		t.Error("no request at all proves nothing")
	}
}
