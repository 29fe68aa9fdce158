package infra_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

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
		"record-green": {"type": "CALCULATED", "childHealthThreshold": 2.0, "childHealthchecks": []any{"endpoint-green-id", "alarm-green-id"}},
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
