package app

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// resultsOf are the checks that did not pass, by name.
func resultsOf(checks []Check) map[string]CheckResult {
	found := map[string]CheckResult{}
	for _, c := range checks {
		if c.Result != CheckOK {
			found[c.Name] = c.Result
		}
	}
	return found
}

func theSides() [2]side {
	return [2]side{
		{Cell: topology.Cell{Region: "eu-west-1", SetID: "blue", HealthCheck: "hb", APIFunction: "f", Stage: "prod", AccessLog: "/log", Version: "v2"}, colour: topology.Blue},
		{Cell: topology.Cell{Region: "eu-central-1", SetID: "green", HealthCheck: "hg", APIFunction: "f", Stage: "prod", AccessLog: "/log", Forwarder: "w", Version: "v2"}, colour: topology.Green},
	}
}

// pair is a weighted pair of both types.
func pair(blue, green int) []awsapi.NameRecord {
	var all []awsapi.NameRecord
	for _, kind := range []string{"A", "AAAA"} {
		all = append(all,
			awsapi.NameRecord{Type: kind, SetID: "blue", Weighted: true, Weight: blue, Alias: "d-blue", HealthCheck: "hb"},
			awsapi.NameRecord{Type: kind, SetID: "green", Weighted: true, Weight: green, Alias: "dualstack.D-green", HealthCheck: "hg"})
	}
	return all
}

func TestDNSChecks(t *testing.T) {
	t.Parallel()
	done := recordOf(cutover.State{Phase: cutover.Completed, Last: cutover.Setting{Dials: cutover.Dials{DNS: 25}}}, true, nil)
	for name, tt := range map[string]struct {
		change func(*dnsFacts)
		want   map[string]CheckResult
	}{
		"as it should be": {change: func(*dnsFacts) {}},
		"one type alone has another weight": {func(f *dnsFacts) { f.records.value[3].Weight = 90 },
			map[string]CheckResult{"weights": CheckFail}},
		"a type is missing": {func(f *dnsFacts) { f.records.value = slices.Delete(f.records.value, 3, 4) },
			map[string]CheckResult{"records": CheckFail, "weights": CheckFail}},
		"a plain record": {func(f *dnsFacts) { f.records.value = append(f.records.value, awsapi.NameRecord{Type: "A"}) },
			map[string]CheckResult{"no other record": CheckFail}},
		"a record of another purpose": {change: func(f *dnsFacts) { f.records.value = append(f.records.value, awsapi.NameRecord{Type: "TXT"}) }},
		"the records are not read": {func(f *dnsFacts) { f.records = read[[]awsapi.NameRecord]{err: errors.New("no")} },
			map[string]CheckResult{"records": CheckFail, "no other record": CheckSkip, "blue leads to its region": CheckSkip,
				"green leads to its region": CheckSkip, "weights": CheckSkip, "weights as recorded": CheckSkip}},
		"blue's region does not answer": {func(f *dnsFacts) { f.domains[0].err = errors.New("no") },
			map[string]CheckResult{"blue leads to its region": CheckFail}},
		"blue is external": {func(f *dnsFacts) { f.sides[0].absent = "external" },
			map[string]CheckResult{"blue leads to its region": CheckSkip}},
		"blue is retired, and its record gone": {func(f *dnsFacts) {
			f.sides[0].absent, f.retired, f.records.value = "retired", true, slices.DeleteFunc(f.records.value, func(r awsapi.NameRecord) bool { return r.SetID == "blue" })
		}, map[string]CheckResult{"blue leads to its region": CheckSkip}},
		"blue is retired, and its record there": {func(f *dnsFacts) { f.sides[0].absent, f.retired = "retired", true },
			map[string]CheckResult{"blue leads to its region": CheckSkip, "no other record": CheckFail, "weights as recorded": CheckFail}},
		"a shift is open": {func(f *dnsFacts) { f.journal = recordOf(cutover.State{Phase: cutover.Turning}, true, nil) },
			map[string]CheckResult{"weights as recorded": CheckSkip}},
		"the last shift ended uncertain": {func(f *dnsFacts) { f.journal = recordOf(cutover.State{Phase: cutover.Uncertain}, true, nil) },
			map[string]CheckResult{"weights as recorded": CheckFail}},
		"the journal is not read": {func(f *dnsFacts) { f.journal = recordOf(cutover.State{}, false, errors.New("no")) },
			map[string]CheckResult{"weights as recorded": CheckFail}},
	} {
		f := dnsFacts{name: "api.example.com", types: []string{"A", "AAAA"}, sides: theSides(), records: read[[]awsapi.NameRecord]{value: pair(75, 25)}, journal: done}
		f.domains[0].value, f.domains[1].value = infra.RegionalDomain{Name: "d-blue"}, infra.RegionalDomain{Name: "d-green"}
		tt.change(&f)
		compare(t, name, tt.want, f.checks())
	}
}

// compare wants these checks, and no other, not to pass, and a next command
// with each failure.
func compare(t *testing.T, name string, want map[string]CheckResult, checks []Check) {
	t.Helper()
	got := resultsOf(checks)
	if !maps.Equal(want, got) {
		t.Errorf("%s (-want +got):\n%s", name, cmp.Diff(want, got))
	}
	for _, c := range checks {
		if c.Detail == "" || (c.Result == CheckFail) != (c.Next != "") {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// One good minute is no health.
func TestHealthNeedsData(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		minutes minutes
		want    CheckResult
		detail  string
	}{
		{minutes{true, 5}, CheckOK, "5 minute(s)"}, {minutes{true, 3}, CheckOK, "3 minute(s)"},
		{minutes{true, 2}, CheckFail, "insufficient data"}, {minutes{true, 1}, CheckFail, "insufficient data"},
		{minutes{false, 0}, CheckFail, "no data"}, {minutes{false, 1}, CheckFail, "unhealthy"}, {minutes{false, 5}, CheckFail, "unhealthy"},
	} {
		got := brakeFacts{}.well("healthy green", side{}, read[minutes]{value: tt.minutes})
		if got.Result != tt.want || !strings.Contains(got.Detail, tt.detail) || (got.Next != "") != (tt.want == CheckFail) {
			t.Errorf("%+v: %+v, want %s with %q", tt.minutes, got, tt.want, tt.detail)
		}
	}
}

func TestLifetimeChecks(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		ends time.Time
		need read[time.Duration]
		want map[string]CheckResult
	}{
		"no end":            {},
		"long enough":       {ends: now.Add(time.Hour), need: read[time.Duration]{value: time.Hour}},
		"a second too few":  {ends: now.Add(time.Hour - time.Second), need: read[time.Duration]{value: time.Hour}, want: map[string]CheckResult{"lifetime": CheckFail}},
		"nobody knows":      {ends: now.Add(time.Hour), need: read[time.Duration]{err: errors.New("no")}, want: map[string]CheckResult{"lifetime": CheckSkip}},
		"ended, not needed": {ends: now.Add(-time.Second), want: map[string]CheckResult{"lifetime": CheckFail}},
	} {
		compare(t, name, tt.want, credentialFacts{account: "1", want: "1", now: now, ends: tt.ends, need: tt.need}.checks())
	}
}

func TestStageChecksAfterPromotion(t *testing.T) {
	t.Parallel()
	promoted := recordOf(cutover.State{Phase: cutover.Completed, Last: cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live}}, true, nil)
	kept := read[retention]{value: retention{30, true}}
	log := func(s awsapi.StageSettings) read[awsapi.StageSettings] {
		s.AccessLog, s.AccessFormat = "/log", "format"
		return read[awsapi.StageSettings]{value: s}
	}
	f := stageFacts{sides: theSides(), journal: promoted, format: "format", retention: [2][2]read[retention]{{kept, kept}, {kept, kept}}}
	f.stages = [2]read[awsapi.StageSettings]{log(awsapi.StageSettings{Fn: "f:live"}), log(awsapi.StageSettings{Fn: "f:live"})}
	compare(t, "promoted", nil, f.checks())
	f.stages[1] = log(awsapi.StageSettings{Fn: "f:live", HasCanary: true, CanaryFn: "f:next"})
	compare(t, "deployed again", nil, f.checks())
	f.stages[1] = log(awsapi.StageSettings{Fn: "w:live"})
	compare(t, "the forwarder by hand, without a canary", map[string]CheckResult{"base side in eu-central-1": CheckFail, "candidate in eu-central-1": CheckFail}, f.checks())
	f.stages[1] = log(awsapi.StageSettings{Fn: "f:live"})
	f.retention[1][1] = read[retention]{}
	compare(t, "the canary's group is gone", map[string]CheckResult{"log groups in eu-central-1": CheckFail}, f.checks())
}

func TestVersionChecks(t *testing.T) {
	t.Parallel()
	const ok = 200
	base := func() pathFacts {
		f := pathFacts{sides: theSides(), name: "api.example.com", path: "/healthz"}
		for i := range f.live {
			f.live[i].value.Label, f.next[i].value.Label = "v1", "v2"
		}
		f.answers[0].value = []health.Answer{{Status: ok, Version: "v1", Alias: "live"}}
		f.answers[1].value = []health.Answer{{Status: ok, Version: "v1", Alias: "live", Via: "forward"}, {Status: ok, Version: "v2", Alias: "next"}}
		return f
	}
	for name, tt := range map[string]struct {
		change func(*pathFacts)
		want   map[string]CheckResult
	}{
		"as deployed":       {change: func(*pathFacts) {}},
		"an old candidate":  {func(f *pathFacts) { f.answers[1].value[1].Version = "v1" }, map[string]CheckResult{"version in eu-central-1": CheckFail}},
		"a silent function": {func(f *pathFacts) { f.answers[0].value[0].Version, f.live[0].value.Label = "", "" }, map[string]CheckResult{"version in eu-west-1": CheckFail, "version in eu-central-1": CheckFail}},
		"an external blue": {func(f *pathFacts) {
			f.external, f.sides[0].absent = true, "external"
			f.answers[1].value = f.answers[1].value[:1]
		}, map[string]CheckResult{"certificate in eu-west-1": CheckSkip, "GET /healthz in eu-west-1": CheckSkip, "version in eu-west-1": CheckSkip, "version in eu-central-1": CheckSkip}},
		"a deploy that kept no version": {change: func(f *pathFacts) { f.sides[1].Version = "" }},
		"nobody answers": {func(f *pathFacts) { f.answers[1] = read[[]health.Answer]{err: errors.New("refused")} },
			map[string]CheckResult{"certificate in eu-central-1": CheckFail, "GET /healthz in eu-central-1": CheckSkip, "version in eu-central-1": CheckSkip}},
	} {
		f := base()
		tt.change(&f)
		compare(t, name, tt.want, f.checks())
	}
}

func TestFunctionStatesAndRoom(t *testing.T) {
	t.Parallel()
	for state, want := range map[awsapi.AliasState]CheckResult{
		{State: "Active", Update: "Successful"}:               CheckOK,
		{State: "Pending", Update: "Successful"}:              CheckFail,
		{State: "Active", Update: "InProgress"}:               CheckFail,
		{State: "Active", Update: "Failed", Reason: "no key"}: CheckFail,
	} {
		if got := aliasWell("f:live", read[awsapi.AliasState]{value: state}); got.Result != want || !strings.Contains(got.Detail, state.Reason) {
			t.Errorf("%+v: %+v", state, got)
		}
	}
	none := 0
	f := functionFacts{sides: theSides()}
	f.capacity[0].value, f.capacity[1].value = awsapi.Capacity{Limit: 10, Free: 10, Peak: 6}, awsapi.Capacity{Limit: 10, Free: 9, Peak: 4}
	if got := []CheckResult{f.room("", 0).Result, f.room("", 1).Result}; !slices.Equal(got, []CheckResult{CheckOK, CheckFail}) {
		t.Errorf("room for 10 of 10 and of 9: %v", got)
	}
	f.capacity[0].value = awsapi.Capacity{Limit: 10, Free: 10, Reserved: &none}
	f.capacity[1].value.Peak = 0
	if got := f.room("", 0); got.Result != CheckFail {
		t.Errorf("no room at all passes: %+v", got)
	}
}

func TestTableChecks(t *testing.T) {
	t.Parallel()
	whole := func(other string) read[awsapi.TableState] {
		return read[awsapi.TableState]{value: awsapi.TableState{Status: "ACTIVE", Replicas: map[string]string{other: "ACTIVE"}, Encrypted: true, Recovery: true, Protected: true}}
	}
	for name, tt := range map[string]struct {
		change func(*tableFacts)
		want   map[string]CheckResult
	}{
		"whole": {change: func(*tableFacts) {}},
		"adopted, with its owner's choices": {func(f *tableFacts) {
			f.adopted, f.states[0][0].value.Encrypted, f.states[0][0].value.Recovery = true, false, false
		}, map[string]CheckResult{"encryption of items in b": CheckSkip, "recovery of items in b": CheckSkip, "protection of items in b": CheckSkip}},
		"a replica that can be deleted": {func(f *tableFacts) { f.states[0][1].value.Protected = false }, map[string]CheckResult{"protection of items in g": CheckFail}},
		"adopted, with a replica that can be": {func(f *tableFacts) { f.adopted, f.states[0][1].value.Protected = true, false },
			map[string]CheckResult{"encryption of items in b": CheckSkip, "recovery of items in b": CheckSkip, "protection of items in b": CheckSkip, "protection of items in g": CheckSkip}},
		"adopted, and its replica bare": {func(f *tableFacts) { f.adopted, f.states[0][1].value.Recovery = true, false },
			map[string]CheckResult{"encryption of items in b": CheckSkip, "recovery of items in b": CheckSkip, "protection of items in b": CheckSkip, "recovery of items in g": CheckFail}},
		"a replica under way": {func(f *tableFacts) { f.states[0][0].value.Replicas["g"] = "CREATING" }, map[string]CheckResult{"items in b": CheckFail}},
		"a third replica ill": {func(f *tableFacts) { f.states[0][0].value.Replicas["x"] = "REGION_DISABLED" }, map[string]CheckResult{"items in b": CheckFail}},
		"updating":            {func(f *tableFacts) { f.states[1][1].value.Status = "UPDATING" }, map[string]CheckResult{"control in g": CheckFail}},
	} {
		f := tableFacts{tables: [2]string{"items", "control"}, regions: [2]string{"b", "g"}}
		f.states = [2][2]read[awsapi.TableState]{{whole("g"), whole("b")}, {whole("g"), whole("b")}}
		tt.change(&f)
		compare(t, name, tt.want, f.checks())
	}
}

func TestTheKeyOfATable(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"b": "kb", "g": "kg"}
	for name, tt := range map[string]struct {
		facts tableFacts
		state awsapi.TableState
		want  CheckResult
	}{
		"its region's":                      {tableFacts{keys: keys}, awsapi.TableState{Encrypted: true, Key: "kg"}, CheckOK},
		"the other region's":                {tableFacts{keys: keys}, awsapi.TableState{Encrypted: true, Key: "kb"}, CheckFail},
		"AWS's":                             {tableFacts{keys: keys}, awsapi.TableState{}, CheckFail},
		"deployed before keys were kept":    {tableFacts{}, awsapi.TableState{Encrypted: true, Key: "any"}, CheckOK},
		"an adopted table's replica, any":   {tableFacts{keys: keys, adopted: true}, awsapi.TableState{Encrypted: true, Key: "theirs"}, CheckOK},
		"an adopted table's replica, AWS's": {tableFacts{keys: keys, adopted: true}, awsapi.TableState{}, CheckOK},
	} {
		if got := tt.facts.encrypted("encryption", tt.state, 0, "g"); got.Result != tt.want || (got.Result == CheckFail) != (got.Next != "") {
			t.Errorf("%s: %+v, want %s", name, got, tt.want)
		}
	}
	adopting := tableFacts{keys: keys, adopted: true}
	if got := adopting.encrypted("encryption", awsapi.TableState{Encrypted: true, Key: "kb"}, 1, "g"); got.Result != CheckFail {
		t.Errorf("the control table is nobody else's: %+v", got)
	}
}

func TestAlarmChecks(t *testing.T) {
	t.Parallel()
	const region, name = "g", "errors"
	for what, tt := range map[string]struct {
		state, evaluation string
		sparse            bool
		points            int
		definition        awsapi.AlarmDefinition
		want              CheckResult
	}{
		"well, with data":                  {state: "OK", points: 3, want: CheckOK},
		"well, and nobody calls":           {state: "OK", want: CheckOK},
		"well, of a stage without data":    {state: "OK", definition: awsapi.AlarmDefinition{Namespace: "AWS/ApiGateway"}, want: CheckFail},
		"well, of the base side, no data":  {state: "OK", definition: awsapi.AlarmDefinition{Namespace: "AWS/Lambda", Dimensions: map[string]string{"Resource": "w:live"}}, want: CheckFail},
		"well, of the other side, no data": {state: "OK", definition: awsapi.AlarmDefinition{Namespace: "AWS/Lambda", Dimensions: map[string]string{"Resource": "f:live"}}, want: CheckOK},
		"not evaluated yet":                {state: "INSUFFICIENT_DATA", points: 3, want: CheckFail},
		"sparse":                           {state: "INSUFFICIENT_DATA", sparse: true, want: CheckOK},
		"partial data":                     {state: "OK", evaluation: "PARTIAL_DATA", points: 3, want: CheckFail},
		"red":                              {state: "ALARM", points: 3, want: CheckFail},
		"not there":                        {want: CheckFail},
	} {
		f := alarmFacts{refs: []health.AlarmRef{{Name: name, Region: region, Sparse: tt.sparse}}, stage: read[awsapi.StageSettings]{value: awsapi.StageSettings{Fn: "w:live", Percent: 10}}}
		states := read[[]health.AlarmState]{}
		if tt.state != "" {
			states.value = []health.AlarmState{{Name: name, Region: region, State: tt.state, EvaluationState: tt.evaluation}}
		}
		f.states = map[string]*read[[]health.AlarmState]{region: &states}
		f.definitions = map[string]*read[map[string]awsapi.AlarmDefinition]{region: {value: map[string]awsapi.AlarmDefinition{name: tt.definition}}}
		f.points = map[string]*read[map[string]int]{region: {value: map[string]int{name: tt.points}}}
		if got := f.checks(); len(got) != 2 || got[0].Result != tt.want || got[1].Result != CheckSkip {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if got := (alarmFacts{}).checks(); got[0].Result != CheckFail {
		t.Error("no alarm at all passes")
	}
}

func TestBluesAlarmsMustBeThere(t *testing.T) {
	t.Parallel()
	there := map[string]awsapi.AlarmDefinition{"5xx": {}, "latency": {}}
	for name, tt := range map[string]struct {
		facts alarmFacts
		want  CheckResult
	}{
		"all":                   {alarmFacts{controls: []string{"5xx", "latency"}, compared: read[map[string]awsapi.AlarmDefinition]{value: there}}, CheckOK},
		"one is gone":           {alarmFacts{controls: []string{"5xx", "errors"}, compared: read[map[string]awsapi.AlarmDefinition]{value: there}}, CheckFail},
		"blue does not answer":  {alarmFacts{controls: []string{"5xx"}, compared: read[map[string]awsapi.AlarmDefinition]{err: errors.New("no")}}, CheckFail},
		"before they were kept": {alarmFacts{}, CheckSkip},
		"blue is retired":       {alarmFacts{controls: []string{"5xx"}, blue: side{absent: "blue is retired"}}, CheckSkip},
	} {
		if got := tt.facts.control("controls"); got.Result != tt.want || (got.Result == CheckFail) != (got.Next != "") {
			t.Errorf("%s: %+v, want %s", name, got, tt.want)
		}
	}
}

func TestBucketChecks(t *testing.T) {
	t.Parallel()
	base := func() bucketFacts {
		f := bucketFacts{regions: [2]string{"b", "g"}, buckets: [2]string{"bb", "bg"}, keys: [2]string{"kb", "kg"}}
		for i := range f.states {
			f.states[i].value = awsapi.BucketState{Versioned: true, Algorithm: "aws:kms", Key: f.keys[i], Rules: []awsapi.ReplicationRule{{ID: "r", Enabled: true, Destination: f.buckets[1-i]}}}
		}
		return f
	}
	for name, tt := range map[string]struct {
		change func(*bucketFacts)
		want   map[string]CheckResult
		unsent [2]bool
	}{
		"whole":   {change: func(*bucketFacts) {}},
		"adopted": {func(f *bucketFacts) { f.adopted, f.states[0].value.Algorithm = true, "AES256" }, map[string]CheckResult{"encryption in b": CheckSkip}, [2]bool{true, true}},
		"before there were buckets": {func(f *bucketFacts) { f.buckets = [2]string{} }, map[string]CheckResult{
			"versioning in b": CheckSkip, "encryption in b": CheckSkip, "replication b -> g": CheckSkip, "drained b -> g": CheckSkip,
			"versioning in g": CheckSkip, "encryption in g": CheckSkip, "replication g -> b": CheckSkip, "drained g -> b": CheckSkip}, [2]bool{true, true}},
		"another key":              {func(f *bucketFacts) { f.states[1].value.Key = "kb" }, map[string]CheckResult{"encryption in g": CheckFail}, [2]bool{}},
		"a rule to somewhere else": {func(f *bucketFacts) { f.states[1].value.Rules[0].Destination = "x" }, map[string]CheckResult{"replication g -> b": CheckFail, "drained g -> b": CheckSkip}, [2]bool{false, true}},
		"a backlog":                {func(f *bucketFacts) { f.pending[0].value = pending{3, true, 0} }, map[string]CheckResult{"drained b -> g": CheckFail}, [2]bool{}},
		"failures":                 {func(f *bucketFacts) { f.pending[1].value = pending{0, true, 2} }, map[string]CheckResult{"drained g -> b": CheckFail}, [2]bool{}},
	} {
		f := base()
		tt.change(&f)
		compare(t, name, tt.want, f.checks())
		for i, why := range f.unsent() {
			if (why != "") != tt.unsent[i] {
				t.Errorf("%s: sentinel %d: %q", name, i, why)
			}
		}
	}
}

func TestInfrastructureChecks(t *testing.T) {
	t.Parallel()
	const lease, locks, preview = "lease", "no update in flight", "preview touches no record and no stage"
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		facts infraFacts
		want  map[string]CheckResult
	}{
		"quiet":                    {},
		"fast":                     {infraFacts{fast: true}, map[string]CheckResult{preview: CheckSkip}},
		"a lease that has expired": {facts: infraFacts{lease: read[cutover.Lease]{value: cutover.Lease{Owner: "o", Expires: now.Add(-time.Second)}}}},
		"a lease that has not":     {infraFacts{lease: read[cutover.Lease]{value: cutover.Lease{Owner: "o", Expires: now.Add(time.Second)}}}, map[string]CheckResult{lease: CheckFail}},
		"a lock":                   {infraFacts{locks: read[[]string]{value: []string{"edge"}}}, map[string]CheckResult{locks: CheckFail, preview: CheckSkip}},
		"a function to update":     {facts: infraFacts{planned: read[[]infra.Change]{value: []infra.Change{{Op: "update", Type: "aws:lambda/function:Function"}}}}},
		"a record to replace":      {infraFacts{planned: read[[]infra.Change]{value: []infra.Change{{Op: "replace", Type: "aws:route53/record:Record"}}}}, map[string]CheckResult{preview: CheckFail}},
		"no preview":               {infraFacts{planned: read[[]infra.Change]{err: errors.New("no")}}, map[string]CheckResult{preview: CheckFail}},
	} {
		tt.facts.now = now
		compare(t, name, tt.want, tt.facts.checks())
	}
}
