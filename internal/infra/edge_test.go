package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

func TestWeightedRecords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		live        infra.LiveEdge
		blue, green float64
	}{
		{"a new pair leads to blue", infra.LiveEdge{}, 100, 0},
		{"live weights win", infra.LiveEdge{Exists: true, BlueWeight: 70, GreenWeight: 30}, 70, 30},
		{"all on green", infra.LiveEdge{Exists: true, GreenWeight: 100}, 0, 100},
		{"weights that sum to something else", infra.LiveEdge{Exists: true, BlueWeight: 3, GreenWeight: 1}, 3, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := provision(t, infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) { in.Live = test.live })))
			for side, weight := range map[string]float64{"blue": test.blue, "green": test.green} {
				same(t, side, map[string]any{
					"zoneId": zone, "name": "api.example.com", "type": "A", "setIdentifier": side, "healthCheckId": "record-" + side + "-id",
					"weightedRoutingPolicies": []any{map[string]any{"weight": weight}},
					"aliases":                 []any{map[string]any{"name": "public-" + side + ".execute-api.amazonaws.com", "zoneId": "Z-public-" + side, "evaluateTargetHealth": false}},
				}, w.one(t, "route53/record:Record", "weighted-"+side).Inputs)
			}
		})
	}
}

func TestAllZeroWeightsAreRefused(t *testing.T) {
	t.Parallel()
	w := &world{regions: map[string]string{}, endpoints: map[string]any{}}
	program := infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) { in.Live = infra.LiveEdge{Exists: true} }))
	err := pulumi.RunErr(program, pulumi.WithMocks("tapctl", "test", w))
	if err == nil || !strings.Contains(err.Error(), "both live weights are 0") {
		t.Errorf("want a refusal, got %v", err)
	}
	if len(w.resources) != 0 {
		t.Errorf("refused after %d resources", len(w.resources))
	}
}

func TestProbeRecords(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.EdgeProgram(edgeInput()))
	for side, region := range map[string]string{"blue": blueRegion, "green": greenRegion} {
		same(t, side, map[string]any{
			"zoneId": zone, "name": region + ".api.example.com", "type": "A",
			"aliases": []any{map[string]any{"name": "probe-" + side + ".execute-api.amazonaws.com", "zoneId": "Z-probe-" + side, "evaluateTargetHealth": false}},
		}, w.one(t, "route53/record:Record", "probe-"+side).Inputs)
	}
}

func TestHealthChecks(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.EdgeProgram(edgeInput()))
	endpoint := func(region string) map[string]any {
		return map[string]any{
			// Never the weighted name: it would check whichever side DNS picked.
			"type": "HTTPS", "fqdn": region + ".api.example.com", "port": 443.0, "resourcePath": "/healthz", "enableSni": true,
			"requestInterval": 30.0, "failureThreshold": 3.0,
		}
	}
	want := map[string]map[string]any{
		"endpoint-blue":  endpoint(blueRegion),
		"endpoint-green": endpoint(greenRegion),
		"alarm-green": {
			"type": "CLOUDWATCH_METRIC", "cloudwatchAlarmName": "Shop-prod-api-5xx-rate", "cloudwatchAlarmRegion": greenRegion,
			"insufficientDataHealthStatus": "Healthy", "triggers": map[string]any{"threshold": "0.05"},
		},
		// A few errors of blue must never send everybody to green.
		"record-blue":  {"type": "CALCULATED", "childHealthThreshold": 1.0, "childHealthchecks": []any{"endpoint-blue-id"}},
		"record-green": {"type": "CALCULATED", "childHealthThreshold": 3.0, "childHealthchecks": []any{"endpoint-green-id", "alarm-green-id", "kill-green-id"}},
		"kill-green": {
			"type": "CLOUDWATCH_METRIC", "cloudwatchAlarmName": "Shop-prod-green-kill", "cloudwatchAlarmRegion": "us-west-2",
			"insufficientDataHealthStatus": "Healthy",
		},
	}
	got := map[string]map[string]any{}
	for name, m := range w.of("route53/healthCheck:HealthCheck") {
		delete(m.Inputs, "tags")
		got[name] = m.Inputs
	}
	same(t, "health checks", want, got)
}

// The check keeps a copy of the alarm's definition: a changed threshold must
// change the check as well.
func TestChangedThresholdReachesTheBrake(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) { in.Config.Alarms.API5XXRate = 0.2 })))
	same(t, "triggers", map[string]any{"threshold": "0.2"}, w.one(t, "route53/healthCheck:HealthCheck", "alarm-green").Inputs["triggers"].(map[string]any))
}

// The brake's alarm must be one of those the cell has, and one that Route 53
// can watch.
func TestBrakeAlarmExists(t *testing.T) {
	t.Parallel()
	cell := provision(t, infra.CellProgram(cellInput(t, topology.Green)))
	edge := provision(t, infra.EdgeProgram(edgeInput()))
	name := edge.one(t, "route53/healthCheck:HealthCheck", "alarm-green").text("cloudwatchAlarmName")
	if alarm, found := alarmsOf(t, cell)[name]; !found || alarm.Statistic != "Average" {
		t.Errorf("the brake watches %q, of the cell's alarms that is %+v", name, alarm)
	}
}

// The operator's switch is a metric that anybody with one permission can send,
// in a region that the migration does not touch.
func TestKillSwitch(t *testing.T) {
	t.Parallel()
	alarm := provision(t, infra.EdgeProgram(edgeInput())).one(t, "cloudwatch/metricAlarm:MetricAlarm", "green-kill")
	if alarm.Region != "us-west-2" {
		t.Errorf("the alarm is in %s", alarm.Region)
	}
	delete(alarm.Inputs, "tags")
	delete(alarm.Inputs, "alarmDescription")
	same(t, "alarm", map[string]any{
		"name": "Shop-prod-green-kill", "namespace": "tapctl", "metricName": "GreenKill", "statistic": "Maximum", "period": 60.0, "evaluationPeriods": 1.0,
		"comparisonOperator": "GreaterThanOrEqualToThreshold", "threshold": 1.0, "treatMissingData": "notBreaching",
		"dimensions": map[string]any{"Environment": "Shop-prod"},
	}, alarm.Inputs)
}

func TestDualstackPairs(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) {
		in.Config.Domain.Dualstack = true
		in.Live = infra.LiveEdge{Exists: true, BlueWeight: 60, GreenWeight: 40}
	})))
	for _, side := range []string{"blue", "green"} {
		for _, name := range []string{"weighted-", "probe-"} {
			a, aaaa := w.one(t, "route53/record:Record", name+side), w.one(t, "route53/record:Record", name+side+"-aaaa")
			if a.text("type") != "A" || aaaa.text("type") != "AAAA" {
				t.Errorf("%s%s: %s and %s", name, side, a.text("type"), aaaa.text("type"))
			}
			delete(a.Inputs, "type")
			delete(aaaa.Inputs, "type")
			same(t, name+side+" but for its type", a.Inputs, aaaa.Inputs)
		}
	}
}

// TestTheServingRecordIsMadeFirst: while a type has one record only, that one
// is the answer to everybody, whatever its weight.
func TestTheServingRecordIsMadeFirst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		live   infra.LiveEdge
		first  string
		second string
	}{
		{infra.LiveEdge{}, "blue", "green"},
		{infra.LiveEdge{Exists: true, BlueWeight: 100}, "blue", "green"},
		{infra.LiveEdge{Exists: true, GreenWeight: 100}, "green", "blue"},
	} {
		w := provision(t, infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) { in.Config.Domain.Dualstack, in.Live = true, tt.live })))
		for _, kind := range []string{"", "-aaaa"} {
			if first, second := w.one(t, "route53/record:Record", "weighted-"+tt.first+kind), w.one(t, "route53/record:Record", "weighted-"+tt.second+kind); slices.Contains(first.After, second.Name) || !slices.Contains(second.After, first.Name) {
				t.Errorf("%+v: %s after %q, %s after %q", tt.live, first.Name, first.After, second.Name, second.After)
			}
		}
	}
}

func TestExternalBlue(t *testing.T) {
	t.Parallel()
	addresses := infra.ExternalRecord{Values: []string{"192.0.2.7"}, TTL: 300}
	alias := infra.ExternalRecord{Alias: &infra.RegionalDomain{Name: "d-old.example.net", ZoneID: "ZOLD"}}
	for name, test := range map[string]struct {
		external config.External
		record   infra.ExternalRecord
		want     map[string]any
		check    any
	}{
		"url, addresses": {config.External{URL: "https://old.example.net:8443/base"}, addresses,
			map[string]any{"records": []any{"192.0.2.7"}, "ttl": 300.0}, map[string]any{"fqdn": "old.example.net", "port": 8443.0, "resourcePath": "/base/healthz"}},
		"url without a path": {config.External{URL: "https://old.example.net"}, addresses,
			map[string]any{"records": []any{"192.0.2.7"}, "ttl": 300.0}, map[string]any{"fqdn": "old.example.net", "port": 443.0, "resourcePath": "/healthz"}},
		"url of the root": {config.External{URL: "https://old.example.net/"}, addresses,
			map[string]any{"records": []any{"192.0.2.7"}, "ttl": 300.0}, map[string]any{"fqdn": "old.example.net", "port": 443.0, "resourcePath": "/healthz"}},
		"alias": {config.External{AliasName: "d-old.example.net", AliasZone: "ZOLD"}, alias,
			map[string]any{"aliases": []any{map[string]any{"name": "d-old.example.net", "zoneId": "ZOLD", "evaluateTargetHealth": false}}}, nil},
		"alias that looks at its target": {config.External{AliasName: "d-old.example.net", AliasZone: "ZOLD"}, infra.ExternalRecord{Alias: alias.Alias, TargetHealth: true},
			map[string]any{"aliases": []any{map[string]any{"name": "d-old.example.net", "zoneId": "ZOLD", "evaluateTargetHealth": true}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := provision(t, infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) {
				in.Config.Source.External, in.External = test.external, map[string]infra.ExternalRecord{"A": test.record}
			})))
			want := map[string]any{
				"zoneId": zone, "name": "api.example.com", "type": "A", "setIdentifier": "blue", "allowOverwrite": true,
				"weightedRoutingPolicies": []any{map[string]any{"weight": 100.0}},
			}
			if test.check != nil {
				want["healthCheckId"] = "record-blue-id"
				check := w.one(t, "route53/healthCheck:HealthCheck", "endpoint-blue").Inputs
				same(t, "check", test.check, any(map[string]any{"fqdn": check["fqdn"], "port": check["port"], "resourcePath": check["resourcePath"]}))
			} else if _, there := w.of("route53/healthCheck:HealthCheck")["endpoint-blue"]; there {
				t.Error("a check of an alias target would check the public name")
			}
			for key, value := range test.want {
				want[key] = value
			}
			same(t, "record", want, w.one(t, "route53/record:Record", "weighted-blue").Inputs)
			if _, there := w.of("route53/record:Record")["probe-blue"]; there {
				t.Error("there is a probe name for a cell that is not ours")
			}
		})
	}
}

func TestRetiredEdgeHasGreenAlone(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.EdgeProgram(edgeInput(func(in *infra.EdgeInput) {
		in.Retired, in.Live = true, infra.LiveEdge{Exists: true, GreenWeight: 100}
	})))
	for kind, want := range map[string][]string{
		"route53/record:Record":           {"probe-green", "weighted-green"},
		"route53/healthCheck:HealthCheck": {"alarm-green", "endpoint-green", "kill-green", "record-green"},
	} {
		same(t, kind, want, slices.Sorted(maps.Keys(w.of(kind))))
	}
}

// The dashboard is JSON that CloudWatch takes, its graphs compare both sides,
// and no graph asks for a metric without its region.
func TestDashboard(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.EdgeProgram(edgeInput()))
	board := w.one(t, "cloudwatch/dashboard:Dashboard", "shift")
	if board.text("dashboardName") != "Shop-prod-shift" {
		t.Errorf("named %s", board.text("dashboardName"))
	}
	var body struct {
		Widgets []struct {
			X, Y, Width, Height int
			Properties          struct {
				Title, Region string
				Metrics       [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(board.text("dashboardBody")), &body); err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{}
	for _, widget := range body.Widgets {
		if widget.X+widget.Width > 24 {
			t.Errorf("%s is outside the grid", widget.Properties.Title)
		}
		for _, metric := range widget.Properties.Metrics {
			options, _ := metric[len(metric)-1].(map[string]any)
			if len(metric)%2 != 1 || options["region"] == nil || options["label"] == nil {
				t.Errorf("%s: %v", widget.Properties.Title, metric)
			}
			lines[widget.Properties.Title] = append(lines[widget.Properties.Title], fmt.Sprint(options["region"], " ", options["label"]))
		}
	}
	same(t, "requests", []string{blueRegion + " blue", greenRegion + " green"}, lines["Requests: where the traffic is"])
	same(t, "health", []string{"us-east-1 blue", "us-east-1 green"}, lines["Health of the records (1: answered)"])
	if len(lines) != 10 {
		t.Errorf("graphs: %v", slices.Sorted(maps.Keys(lines)))
	}
}
