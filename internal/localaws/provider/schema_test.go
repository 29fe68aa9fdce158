package provider

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Every property this package has is one of the SDK's, of the same shape: an
// input of the Args struct, an output of the resource struct.
func TestPropertiesAreTheSDKs(t *testing.T) {
	t.Parallel()
	for token, k := range kinds {
		args, state, props := k.types()
		inputs, outputs := fields(args), fields(state)
		for name, f := range implemented(props) {
			if isOutput(f) {
				if _, ok := outputs[name]; !ok {
					t.Errorf("%s has no output %s", token, name)
				}
				continue
			}
			in, ok := inputs[name]
			if !ok {
				t.Errorf("%s has no input %s", token, name)
				continue
			}
			sameShape(t, token+" "+name, in, f.Type)
		}
	}
}

func sameShape(t *testing.T, where string, theirs, ours reflect.Type) {
	t.Helper()
	for theirs.Kind() == reflect.Pointer {
		theirs = theirs.Elem()
	}
	for ours.Kind() == reflect.Pointer {
		ours = ours.Elem()
	}
	switch theirs.Kind() {
	case reflect.Interface: // an archive, a resource or its id, a policy: text here
		if ours.Kind() != reflect.String {
			t.Errorf("%s is %s", where, ours)
		}
	case reflect.Slice, reflect.Map:
		if ours.Kind() != theirs.Kind() {
			t.Errorf("%s is %s, want %s", where, ours, theirs)
			return
		}
		sameShape(t, where+"[]", theirs.Elem(), ours.Elem())
	case reflect.Struct:
		known := fields(theirs)
		for name, f := range implemented(ours) {
			if _, ok := known[name]; !ok {
				t.Errorf("%s.%s is not the SDK's", where, name)
				continue
			}
			sameShape(t, where+"."+name, known[name], f.Type)
		}
	case reflect.Int:
		if k := ours.Kind(); k != reflect.Int32 && k != reflect.Int64 {
			t.Errorf("%s is %s, want an integer", where, ours)
		}
	default:
		if ours.Kind() != theirs.Kind() {
			t.Errorf("%s is %s, want %s", where, ours, theirs)
		}
	}
}

func object(pairs map[string]any) resource.PropertyMap { return resource.NewPropertyMapFromMap(pairs) }

func TestCheckIsStrict(t *testing.T) {
	t.Parallel()
	good := map[string]any{"name": "n", "comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 1.0}
	with := func(name string, v any) resource.PropertyMap {
		out := maps.Clone(good)
		if v == nil {
			delete(out, name)
		} else {
			out[name] = v
		}
		return object(out)
	}
	query := func(q map[string]any) []any { return []any{q} }
	for name, tt := range map[string]struct {
		inputs   resource.PropertyMap
		property string // "" is accepted
		reason   string
	}{
		"good":                  {object(good), "", ""},
		"secret and unknown":    {resource.PropertyMap{"name": resource.MakeSecret(resource.NewProperty("n")), "comparisonOperator": resource.MakeComputed(resource.NewProperty("")), "evaluationPeriods": resource.NewProperty(1.0)}, "", ""},
		"unknown property":      {with("colour", "red"), "colour", "not a property"},
		"output as input":       {with("arn", "a"), "arn", "not a property"},
		"not implemented":       {with("thresholdMetricId", "x"), "thresholdMetricId", "does not implement"},
		"string for int":        {with("evaluationPeriods", "1"), "evaluationPeriods", "integer"},
		"fraction for int":      {with("evaluationPeriods", 1.5), "evaluationPeriods", "integer"},
		"number for string":     {with("namespace", 1.0), "namespace", "a string"},
		"list for map":          {with("dimensions", []any{}), "dimensions", "a map"},
		"number in a map":       {with("dimensions", map[string]any{"A": 1.0}), "dimensions.A", "a string"},
		"string for list":       {with("alarmActions", "a"), "alarmActions", "a list"},
		"required":              {with("comparisonOperator", nil), "comparisonOperator", "required"},
		"no auto-naming":        {with("name", nil), "name", "required"},
		"nested unknown":        {with("metricQueries", query(map[string]any{"id": "m", "size": "1"})), "metricQueries[0].size", "not a property"},
		"nested required":       {with("metricQueries", query(map[string]any{"expression": "1"})), "metricQueries[0].id", "required"},
		"nested wrong type":     {with("metricQueries", query(map[string]any{"id": "m", "returnData": "true"})), "metricQueries[0].returnData", "boolean"},
		"nested not there yet":  {with("metricQueries", query(map[string]any{"id": "m", "accountId": "1"})), "metricQueries[0].accountId", "does not implement"},
		"list for nested block": {with("metricQueries", query(map[string]any{"id": "m", "metric": []any{}})), "metricQueries[0].metric", "an object"},
	} {
		failures := kinds["aws:cloudwatch/metricAlarm:MetricAlarm"].check(tt.inputs)
		switch {
		case tt.property == "" && len(failures) > 0:
			t.Errorf("%s: refused: %v", name, failures)
		case tt.property == "":
		case len(failures) != 1 || string(failures[0].Property) != tt.property || !strings.Contains(failures[0].Reason, tt.reason):
			t.Errorf("%s: %v, want %s: ...%s...", name, failures, tt.property, tt.reason)
		}
	}
}

func TestChangesAndReplacements(t *testing.T) {
	t.Parallel()
	record := map[string]any{"zoneId": "Z", "name": "a.example.com", "type": "A", "setIdentifier": "blue", "ttl": 60.0, "records": []any{"192.0.2.1"}, "weightedRoutingPolicies": []any{map[string]any{"weight": 100.0}}}
	for name, tt := range map[string]struct {
		key     string
		value   any
		changed bool
		replace bool
		clash   bool
	}{
		"nothing":        {"ttl", 60.0, false, false, true},
		"weight":         {"weightedRoutingPolicies", []any{map[string]any{"weight": 90.0}}, true, false, true},
		"set identifier": {"setIdentifier", "green", true, true, false},
		"unknown":        {"healthCheckId", resource.Computed{Element: resource.NewProperty("")}, true, false, true},
	} {
		now := maps.Clone(record)
		now[tt.key] = tt.value
		k := kinds["aws:route53/record:Record"]
		got, err := k.changes(object(record), object(now))
		if err != nil {
			t.Fatal(err)
		}
		if (len(got) == 1) != tt.changed || tt.changed && (string(got[0].key) != tt.key || got[0].replaces != tt.replace) {
			t.Errorf("%s: %+v", name, got)
		}
		if k.clashes(object(record), object(now)) != tt.clash {
			t.Errorf("%s: clash is not %v", name, tt.clash)
		}
	}
}

func TestPreviewKnowsWhatAnUpdateMayChange(t *testing.T) {
	t.Parallel()
	k := kinds["aws:lambda/function:Function"]
	out := k.preview(object(map[string]any{"name": "f", "role": "r"}), object(map[string]any{"arn": "a", "version": "3"}))
	if !out["version"].IsComputed() || out["arn"].IsComputed() || !k.preview(object(map[string]any{"name": "f"}), nil)["arn"].IsComputed() {
		t.Errorf("%v", out)
	}
	var computed []string
	for key, v := range out {
		if v.IsComputed() {
			computed = append(computed, string(key))
		}
	}
	if !slices.Contains(computed, "qualifiedArn") {
		t.Errorf("unknown are %v", computed)
	}
}
