package infra_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// alarmOf is what an alarm watches and when it rings, in one comparable value.
type alarmOf struct {
	Metric, Statistic, Dimensions string
	Threshold                     float64
}

func dimensions(m map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, name+"="+m[name].(string))
	}
	return strings.Join(parts, ",")
}

func alarmsOf(t *testing.T, w *world) map[string]alarmOf {
	t.Helper()
	got := map[string]alarmOf{}
	for _, m := range w.of("cloudwatch/metricAlarm:MetricAlarm") {
		if m.text("comparisonOperator") != "GreaterThanOrEqualToThreshold" || m.text("treatMissingData") != "notBreaching" {
			t.Errorf("alarm %s: %v", m.Name, m.Inputs)
		}
		if m.Inputs["metricQueries"] != nil {
			continue // the throttle alarm; it has a test of its own
		}
		if m.Inputs["period"] != 60.0 || m.Inputs["evaluationPeriods"] != 1.0 || m.Inputs["extendedStatistic"] != nil || m.Inputs["datapointsToAlarm"] != nil {
			t.Errorf("alarm %s: Route 53 can watch only plain alarms: %v", m.Name, m.Inputs)
		}
		watched, _ := m.Inputs["dimensions"].(map[string]any)
		got[m.text("name")] = alarmOf{m.text("namespace") + " " + m.text("metricName"), m.text("statistic"), dimensions(watched), m.Inputs["threshold"].(float64)}
	}
	return got
}

func expectedAlarms(functions ...string) map[string]alarmOf {
	const stage = "ApiName=Shop-prod-api,Stage=prod"
	want := map[string]alarmOf{
		"Shop-prod-api-4xx":      {"AWS/ApiGateway 4XXError", "Sum", stage, 5},
		"Shop-prod-api-5xx":      {"AWS/ApiGateway 5XXError", "Sum", stage, 1},
		"Shop-prod-api-5xx-rate": {"AWS/ApiGateway 5XXError", "Average", stage, 0.05},
		"Shop-prod-api-latency":  {"AWS/ApiGateway Latency", "Average", stage, 2000},
	}
	for _, f := range functions {
		name, alias, _ := strings.Cut(f, ":")
		by := "FunctionName=Shop-prod-" + name + ",Resource=Shop-prod-" + f
		want["Shop-prod-"+name+"-"+alias+"-errors"] = alarmOf{"AWS/Lambda Errors", "Sum", by, 1}
		want["Shop-prod-"+name+"-"+alias+"-duration"] = alarmOf{"AWS/Lambda Duration", "Average", by, 3000}
	}
	return want
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	t.Run("blue", func(t *testing.T) {
		t.Parallel()
		w := provision(t, infra.CellProgram(cellInput(t, topology.Blue)))
		same(t, "alarms", expectedAlarms("api:live", "api:next"), alarmsOf(t, w))
	})
	t.Run("green", func(t *testing.T) {
		t.Parallel()
		w := provision(t, infra.CellProgram(cellInput(t, topology.Green)))
		same(t, "alarms", expectedAlarms("api:live", "api:next", "forward:live"), alarmsOf(t, w))
	})
	t.Run("configured thresholds", func(t *testing.T) {
		t.Parallel()
		w := provision(t, infra.CellProgram(cellInput(t, topology.Green, func(in *infra.CellInput) {
			a := &in.Config.Alarms
			a.API4XX, a.API5XX, a.API5XXRate, a.APILatency = 11, 12, 0.13, 14*time.Second
			a.LambdaErrors, a.LambdaDuration, a.DynamoDBThrottles = 15, 16*time.Second, 17
		})))
		got := map[string]float64{}
		for _, m := range w.of("cloudwatch/metricAlarm:MetricAlarm") {
			got[strings.TrimPrefix(m.text("name"), "Shop-prod-")] = m.Inputs["threshold"].(float64)
		}
		same(t, "thresholds", map[string]float64{
			"api-4xx": 11, "api-5xx": 12, "api-5xx-rate": 0.13, "api-latency": 14000, "table-throttles": 17,
			"api-live-errors": 15, "api-live-duration": 16000, "api-next-errors": 15, "api-next-duration": 16000,
			"forward-live-errors": 15, "forward-live-duration": 16000,
		}, got)
	})
}

// TestAlarmsThatCountAreSaidTo: a sum of what single requests are answered
// counts, whatever its name; nothing else does.
func TestAlarmsThatCountAreSaidTo(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{"Errors": infra.CountsErrors, "5XXError": infra.CountsErrors, "4XXError": infra.CountsRefused}
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green)))
	counted := 0
	for _, m := range w.of("cloudwatch/metricAlarm:MetricAlarm") {
		want := ""
		if m.text("statistic") == "Sum" {
			want = kinds[m.text("metricName")]
		}
		if want != "" {
			counted++
		}
		if got := infra.AlarmCounts(m.text("name")); got != want {
			t.Errorf("%s counts %q, want %q", m.text("name"), got, want)
		}
	}
	if counted != 5 { // 4xx, 5xx, and the errors of live, next and the forwarder
		t.Errorf("%d alarms count, want 5", counted)
	}
}

// ThrottledRequests by table never has data, and one throttle metric alone
// could never leave ALARM.
func TestThrottleAlarmSumsReadsAndWrites(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green)))
	alarm := w.one(t, "cloudwatch/metricAlarm:MetricAlarm", "table-throttles")
	metric := func(name string) map[string]any {
		return map[string]any{"namespace": "AWS/DynamoDB", "metricName": name, "stat": "Sum", "period": 60.0, "dimensions": map[string]any{"TableName": "Shop-prod-items"}}
	}
	same(t, "queries", []any{
		map[string]any{"id": "reads", "returnData": false, "metric": metric("ReadThrottleEvents")},
		map[string]any{"id": "writes", "returnData": false, "metric": metric("WriteThrottleEvents")},
		map[string]any{"id": "throttles", "label": "throttled requests", "expression": "FILL(reads, 0) + FILL(writes, 0)", "returnData": true},
	}, alarm.Inputs["metricQueries"].([]any))
	// One red minute of the last three: FILL has the newest one at 0 before its
	// data arrives.
	got := []any{alarm.text("name"), alarm.Inputs["threshold"], alarm.Inputs["evaluationPeriods"], alarm.Inputs["datapointsToAlarm"]}
	same(t, "alarm", []any{"Shop-prod-table-throttles", 1.0, 3.0, 1.0}, got)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	logs := func(region, function string) grant {
		return grant{
			Sid: "Logs", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resource: []string{"arn:aws:logs:" + region + ":" + account + ":log-group:/aws/lambda/" + function + ":*"},
		}
	}
	application := func(region, key, secret string) []grant {
		table := "arn:aws:dynamodb:" + region + ":" + account + ":table/Shop-prod-items"
		return []grant{
			{Sid: "Items", Effect: "Allow", Resource: []string{table, table + "/index/*"}, Action: []string{
				"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query",
				"dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem",
			}},
			logs(region, "Shop-prod-api"),
			{
				Sid: "TableKey", Effect: "Allow", Resource: []string{key},
				Action:    []string{"kms:Decrypt", "kms:Encrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"},
				Condition: map[string]any{"StringLike": map[string]any{"kms:ViaService": "dynamodb.*.amazonaws.com"}},
			},
			{Sid: "Secret", Effect: "Allow", Action: []string{"secretsmanager:GetSecretValue"}, Resource: []string{secret}},
			{
				Sid: "SecretKey", Effect: "Allow", Resource: []string{key}, Action: []string{"kms:Decrypt"},
				Condition: map[string]any{"StringEquals": map[string]any{"kms:ViaService": "secretsmanager." + region + ".amazonaws.com"}},
			},
		}
	}
	forwarder := []grant{
		logs(greenRegion, "Shop-prod-forward"),
		{Sid: "Blue", Effect: "Allow", Action: []string{"lambda:InvokeFunction"}, Resource: []string{"arn:aws:lambda:" + blueRegion + ":" + account + ":function:Shop-prod-api:live"}},
	}
	tests := []struct {
		side topology.Side
		want map[string][]grant
	}{
		{topology.Blue, map[string][]grant{"Shop-prod-api-" + blueRegion: application(blueRegion, "arn:blue-key", "arn:blue-secret")}},
		{topology.Green, map[string][]grant{"Shop-prod-api-" + greenRegion: application(greenRegion, "arn:green-key", "arn:green-secret"), "Shop-prod-forward-" + greenRegion: forwarder}},
	}
	for _, test := range tests {
		t.Run(string(test.side), func(t *testing.T) {
			t.Parallel()
			w := provision(t, infra.CellProgram(cellInput(t, test.side)))
			got := map[string][]grant{}
			for _, m := range w.of("iam/rolePolicy:RolePolicy") {
				got[m.text("role")] = parsePolicy(t, m.text("policy")).Statement
			}
			same(t, "rights", test.want, got)
			for _, role := range w.of("iam/role:Role") {
				same(t, "trust of "+role.Name, []grant{{Effect: "Allow", Principal: map[string]any{"Service": "lambda.amazonaws.com"}, Action: []string{"sts:AssumeRole"}}},
					parsePolicy(t, role.text("assumeRolePolicy")).Statement)
			}
		})
	}
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green, func(in *infra.CellInput) {
		in.Config.Function.Architecture, in.Config.Function.MemoryMB, in.Config.Function.Timeout = "x86_64", 512, 7*time.Second
	})))
	blueLive := "arn:aws:lambda:" + blueRegion + ":" + account + ":function:Shop-prod-api:live"
	want := map[string]map[string]any{
		"api":     {"TABLE_NAME": "Shop-prod-items", "TAPCTL_VERSION": "api-1", "TAPCTL_SIDE": "green", "SECRET_ARN": "arn:green-secret", "SECRET_TTL_SECONDS": "300"},
		"forward": {"FORWARD_FUNCTION_ARN": blueLive, "TAPCTL_VERSION": "forward-1", "TAPCTL_SIDE": "green"},
	}
	timeouts := map[string]float64{"api": 7, "forward": 29} // blue may take as long as API Gateway waits
	if n := len(w.of("lambda/function:Function")); n != len(want) {
		t.Errorf("want %d functions, got %d", len(want), n)
	}
	for service, environment := range want {
		m := w.one(t, "lambda/function:Function", service)
		if !slices.Contains(m.After, "logs-"+service) {
			t.Errorf("%s: Lambda would make a log group without retention before ours: %v", service, m.After)
		}
		for _, attribute := range []string{"tags", "code"} {
			delete(m.Inputs, attribute)
		}
		same(t, service, map[string]any{
			"name": "Shop-prod-" + service, "runtime": "provided.al2023", "handler": "bootstrap", "architectures": []any{"x86_64"},
			"role": "arn:aws:iam::" + account + ":role/Shop-prod-" + service + "-" + greenRegion, "memorySize": 512.0, "timeout": timeouts[service],
			"publish": true, "environment": map[string]any{"variables": environment},
		}, m.Inputs)
	}
	if _, there := provision(t, infra.CellProgram(cellInput(t, topology.Blue))).of("lambda/function:Function")["forward"]; there {
		t.Error("blue has a forwarder")
	}
}

// versionsOf are the aliases and what they point at.
func versionsOf(w *world) map[string]string {
	got := map[string]string{}
	for _, m := range w.of("lambda/alias:Alias") {
		got[m.text("functionName")+":"+m.text("name")] = m.text("functionVersion")
	}
	return got
}

func TestAliases(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		side topology.Side
		live infra.LiveCell
		want map[string]string
	}{
		{"new blue", topology.Blue, infra.LiveCell{}, map[string]string{"Shop-prod-api:live": "7", "Shop-prod-api:next": "7"}},
		{"new green", topology.Green, infra.LiveCell{}, map[string]string{"Shop-prod-api:live": "7", "Shop-prod-api:next": "7", "Shop-prod-forward:live": "7"}},
		{
			"a deploy moves the candidate and no user", topology.Green, infra.LiveCell{Exists: true, Fn: "Shop-prod-api:live", LiveVersion: "3"},
			map[string]string{"Shop-prod-api:live": "3", "Shop-prod-api:next": "7", "Shop-prod-forward:live": "7"},
		},
		{
			"nor in blue", topology.Blue, infra.LiveCell{Exists: true, Fn: "Shop-prod-api:live", LiveVersion: "3"},
			map[string]string{"Shop-prod-api:live": "3", "Shop-prod-api:next": "7"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := provision(t, infra.CellProgram(cellInput(t, test.side, func(in *infra.CellInput) { in.Live = test.live })))
			same(t, "aliases", test.want, versionsOf(w))
		})
	}
}

func TestEveryAliasMayBeInvokedByTheStage(t *testing.T) {
	t.Parallel()
	want := map[topology.Side][]string{
		topology.Blue:  {"Shop-prod-api:live", "Shop-prod-api:next"},
		topology.Green: {"Shop-prod-api:live", "Shop-prod-api:next", "Shop-prod-forward:live"},
	}
	for side, functions := range want {
		w := provision(t, infra.CellProgram(cellInput(t, side)))
		var got []string
		for _, m := range w.of("lambda/permission:Permission") {
			got = append(got, m.text("function")+":"+m.text("qualifier"))
			source := "arn:aws:execute-api:" + m.Region + ":" + account + ":abc123/prod/*/*"
			if m.text("principal") != "apigateway.amazonaws.com" || m.text("action") != "lambda:InvokeFunction" || m.text("sourceArn") != source {
				t.Errorf("permission %s: %v", m.Name, m.Inputs)
			}
		}
		slices.Sort(got)
		same(t, string(side), functions, got)
	}
}

func TestStageKeepsWhatIsLive(t *testing.T) {
	t.Parallel()
	const forwarder, live = "Shop-prod-forward:live", "Shop-prod-api:live"
	tests := []struct {
		name    string
		side    topology.Side
		live    infra.LiveCell
		dns     float64
		fn      string
		percent any // nil: no canary
	}{
		{"new blue", topology.Blue, infra.LiveCell{}, 0, live, nil},
		{"live blue", topology.Blue, infra.LiveCell{Exists: true, Fn: live, LiveVersion: "1"}, 0, live, nil},
		{"new green, nobody there", topology.Green, infra.LiveCell{}, 0, forwarder, 10.0},
		{"new green, users there already", topology.Green, infra.LiveCell{}, 1, forwarder, 0.0},
		{"a shift in between", topology.Green, infra.LiveCell{Exists: true, Fn: forwarder, Canary: true, CanaryPercent: 35}, 40, forwarder, 35.0},
		{"closed canary", topology.Green, infra.LiveCell{Exists: true, Fn: forwarder, Canary: true, CanaryPercent: 0}, 0, forwarder, 0.0},
		{"promoted", topology.Green, infra.LiveCell{Exists: true, Fn: live}, 100, live, 0.0},
		{"promoted, then sent back by DNS", topology.Green, infra.LiveCell{Exists: true, Fn: live}, 0, live, 0.0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := provision(t, infra.CellProgram(cellInput(t, test.side, func(in *infra.CellInput) { in.Live, in.DNSPercent = test.live, test.dns })))
			stage := w.one(t, "apigateway/stage:Stage", "prod")
			same(t, "fn", map[string]any{"fn": test.fn}, stage.Inputs["variables"].(map[string]any))
			canary, _ := stage.Inputs["canarySettings"].(map[string]any)
			if test.percent == nil {
				if canary != nil {
					t.Errorf("want no canary, got %v", canary)
				}
				return
			}
			same(t, "canary", map[string]any{
				"deploymentId": "deployment-id", "percentTraffic": test.percent, "useStageCache": false,
				"stageVariableOverrides": map[string]any{"fn": "Shop-prod-api:next"},
			}, canary)
		})
	}
}

func TestStageLogs(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green)))
	stage := w.one(t, "apigateway/stage:Stage", "prod")
	if !slices.Contains(stage.After, "logs-access-canary") {
		t.Errorf("API Gateway would make the canary's log group before ours: %v", stage.After)
	}
	access, _ := stage.Inputs["accessLogSettings"].(map[string]any)
	if want := "arn:aws:logs:" + greenRegion + ":" + account + ":log-group:/tapctl/Shop-prod-api/access"; access["destinationArn"] != want {
		t.Errorf("access log goes to %v, want %s", access["destinationArn"], want)
	}
	if format, _ := access["format"].(string); !strings.Contains(format, `"canary":"$context.isCanaryRequest"`) {
		t.Errorf("the access log cannot tell the canary apart: %s", format)
	}
}

func TestAPIIsOneProxyWhoseFunctionIsAStageVariable(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green)))
	api := w.one(t, "apigateway/restApi:RestApi", "api")
	if api.text("name") != "Shop-prod-api" || api.Inputs["disableExecuteApiEndpoint"] != true {
		t.Errorf("api: %v", api.Inputs)
	}
	same(t, "bodies that are no text", []any{"*/*"}, api.Inputs["binaryMediaTypes"])
	uri := "arn:aws:apigateway:" + greenRegion + ":lambda:path/2015-03-31/functions/arn:aws:lambda:" + greenRegion + ":" + account + ":function:${stageVariables.fn}/invocations"
	for resource, id := range map[string]string{"root": "root", "proxy": "proxy-id"} {
		integration := w.one(t, "apigateway/integration:Integration", resource)
		same(t, "integration of "+resource, map[string]any{
			"restApi": "api-id", "resourceId": id, "httpMethod": "ANY", "type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": uri,
		}, integration.Inputs)
		deployment := w.one(t, "apigateway/deployment:Deployment", "deployment")
		if !slices.Contains(deployment.After, resource) {
			t.Errorf("the deployment's snapshot may be taken before %s: %v", resource, deployment.After)
		}
	}
}

func TestDomains(t *testing.T) {
	t.Parallel()
	for side, region := range map[topology.Side]string{topology.Blue: blueRegion, topology.Green: greenRegion} {
		w := provision(t, infra.CellProgram(cellInput(t, side)))
		for resource, name := range map[string]string{"public": "api.example.com", "probe": region + ".api.example.com"} {
			domain := w.one(t, "apigateway/domainName:DomainName", resource)
			if domain.text("domainName") != name || domain.text("regionalCertificateArn") != "arn:"+string(side)+"-certificate" || domain.text("securityPolicy") != "TLS_1_2" {
				t.Errorf("%s: domain %s: %v", side, resource, domain.Inputs)
			}
			mapping := w.one(t, "apigateway/basePathMapping:BasePathMapping", resource)
			same(t, "mapping of "+name, map[string]any{"domainName": name, "restApi": "api-id", "stageName": "prod"}, mapping.Inputs)
			if !slices.Contains(mapping.After, "prod") {
				t.Errorf("%s: the mapping of %s may outlive its stage: %v", side, name, mapping.After)
			}
		}
	}
}

func TestAllowedCIDR(t *testing.T) {
	t.Parallel()
	program := func(allowed ...string) *world {
		return provision(t, infra.CellProgram(cellInput(t, topology.Green, func(in *infra.CellInput) { in.Config.AllowedCIDR = allowed })))
	}
	definition := func(w *world) any {
		return w.one(t, "apigateway/deployment:Deployment", "deployment").Inputs["triggers"].(map[string]any)["definition"]
	}
	open, narrow := program("0.0.0.0/0"), program("203.0.113.0/24", "2001:db8::/32")
	if got := open.of("apigateway/restApiPolicy:RestApiPolicy"); len(got) != 0 {
		t.Errorf("an open API has a policy: %v", got)
	}
	arn := "arn:aws:execute-api:" + greenRegion + ":" + account + ":abc123"
	everyone := map[string]any{"AWS": "*"}
	written := narrow.one(t, "apigateway/restApiPolicy:RestApiPolicy", "allowed-cidr")
	same(t, "policy", policy{Version: "2012-10-17", Statement: []grant{
		{
			Sid: "Allowed", Effect: "Allow", Principal: everyone, Action: []string{"execute-api:Invoke"}, Resource: []string{arn + "/*"},
			Condition: map[string]any{"IpAddress": map[string]any{"aws:SourceIp": []any{"203.0.113.0/24", "2001:db8::/32"}}},
		},
		{
			Sid: "HealthPath", Effect: "Allow", Principal: everyone, Action: []string{"execute-api:Invoke"}, Resource: []string{arn + "/prod/GET/healthz"},
			Condition: map[string]any{"IpAddress": map[string]any{"aws:SourceIp": []any{checkerRange}}},
		},
	}}, parsePolicy(t, written.text("policy")))
	// A resource policy takes effect with the next deployment only.
	if definition(open) == definition(narrow) || definition(narrow) == definition(program("203.0.113.0/25")) {
		t.Error("a changed policy makes no new deployment")
	}
	if definition(narrow) != definition(program("203.0.113.0/24", "2001:db8::/32")) {
		t.Error("an unchanged policy makes a new deployment")
	}
	if after := narrow.one(t, "apigateway/deployment:Deployment", "deployment").After; !slices.Contains(after, "allowed-cidr") {
		t.Errorf("the deployment's snapshot may be taken before the policy: %v", after)
	}
}

func TestCheckersRanges(t *testing.T) {
	t.Parallel()
	ranges := func(change func(*infra.CellInput)) any {
		w := provision(t, infra.CellProgram(cellInput(t, topology.Green, func(in *infra.CellInput) {
			in.Config.AllowedCIDR = []string{"203.0.113.0/24", "2001:db8::/32"}
			change(in)
		})))
		statements := parsePolicy(t, w.one(t, "apigateway/restApiPolicy:RestApiPolicy", "allowed-cidr").text("policy")).Statement
		return statements[1].Condition["IpAddress"].(map[string]any)["aws:SourceIp"]
	}
	same(t, "published", any([]any{checkerRange}), ranges(func(*infra.CellInput) {}))
	same(t, "published, dualstack", any([]any{checkerRange, "2001:db8:c::/48"}), ranges(func(in *infra.CellInput) { in.Config.Domain.Dualstack = true }))
	same(t, "configured", any([]any{"198.51.100.0/24"}), ranges(func(in *infra.CellInput) { in.Config.Domain.CheckerCIDR = []string{"198.51.100.0/24"} }))
}

func TestDualstackDomains(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.CellProgram(cellInput(t, topology.Green, func(in *infra.CellInput) { in.Config.Domain.Dualstack = true })))
	for _, name := range []string{"public", "probe"} {
		same(t, name, map[string]any{"types": "REGIONAL", "ipAddressType": "dualstack"},
			w.one(t, "apigateway/domainName:DomainName", name).Inputs["endpointConfiguration"].(map[string]any))
	}
}

// An external source is called over HTTPS, so the forwarder may call nothing
// in the account.
func TestForwarderToAnExternalSource(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		external config.External
		want     map[string]any
	}{
		"url":   {config.External{URL: "https://old.example.net"}, map[string]any{"FORWARD_URL": "https://old.example.net"}},
		"alias": {config.External{AliasName: "d-abc.example.net", AliasZone: "Z1"}, map[string]any{"FORWARD_URL": "https://api.example.com", "FORWARD_CONNECT": "d-abc.example.net"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := provision(t, infra.CellProgram(cellInput(t, topology.Green, func(in *infra.CellInput) { in.Config.Source.External = test.external })))
			got := w.one(t, "lambda/function:Function", "forward").Inputs["environment"].(map[string]any)["variables"].(map[string]any)
			delete(got, "TAPCTL_VERSION")
			delete(got, "TAPCTL_SIDE")
			same(t, "environment", test.want, got)
			rights := parsePolicy(t, w.one(t, "iam/rolePolicy:RolePolicy", "forward").text("policy")).Statement
			if len(rights) != 1 || rights[0].Sid != "Logs" {
				t.Errorf("rights: %+v", rights)
			}
		})
	}
}

func TestAdoptedTableKey(t *testing.T) {
	t.Parallel()
	key := func(side topology.Side, own string, replica ...string) (resources []string) {
		w := provision(t, infra.CellProgram(cellInput(t, side, func(in *infra.CellInput) {
			in.Adopted.Table = &infra.AdoptedTable{Name: "orders", KeyARN: own}
			if len(replica) > 0 {
				in.Adopted.Table.HasReplica, in.Adopted.Table.ReplicaKeyARN = true, replica[0]
			}
		})))
		for _, s := range parsePolicy(t, w.one(t, "iam/rolePolicy:RolePolicy", "api").text("policy")).Statement {
			if s.Sid == "TableKey" {
				resources = s.Resource
			}
		}
		return resources
	}
	same(t, "blue, its own key", []string{"arn:orders-key"}, key(topology.Blue, "arn:orders-key"))
	same(t, "blue, AWS's key", []string(nil), key(topology.Blue, ""))
	same(t, "green, the key of the replica that tapctl makes", []string{"arn:green-key"}, key(topology.Green, "arn:orders-key"))
	same(t, "green, a replica that tapctl makes of a table under AWS's key", []string(nil), key(topology.Green, ""))
	same(t, "green, the key of a replica that was there", []string{"arn:theirs"}, key(topology.Green, "arn:orders-key", "arn:theirs"))
	same(t, "green, a replica under AWS's key", []string(nil), key(topology.Green, "arn:orders-key", ""))
	same(t, "blue, whatever the replica's", []string{"arn:orders-key"}, key(topology.Blue, "arn:orders-key", "arn:theirs"))
}
