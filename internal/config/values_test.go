package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/config"
)

// valueRow is one key with values it takes and values it refuses (YAML ->
// part of the reason).
type valueRow struct {
	good []string
	bad  map[string]string
}

const (
	wantName     = "want letters and digits"
	wantRegion   = "an AWS region"
	wantDuration = "want a duration with its unit"
	wantNumber   = "want a number"
	wantInt      = "want a whole number"
	wantText     = "want a text"
	wantWhole    = "want a whole percent"
)

var longLabel = strings.Repeat("a", 63)

var values = map[string]valueRow{
	"team_name": {[]string{"Shop", "a1"}, map[string]string{
		`""`: "required", "my-team": wantName, "1shop": wantName, "Shöp": wantName, `"a b"`: wantName, "[a]": wantText,
	}},
	"environment": {[]string{"prod", "Staging2"}, map[string]string{`""`: "required", "pre_prod": wantName, "{a: b}": ""}},
	"owner":       {[]string{"team-a", `"a b"`, "größe"}, map[string]string{"[a]": wantText, "team#1": "a tag value"}},
	"purpose":     {[]string{"move"}, map[string]string{"[a]": wantText, `""`: "required", "move (phase 2)": "a tag value", strings.Repeat("a", 129): "a tag value"}},
	"source_region": {[]string{"us-east-1", "ap-southeast-2", "us-gov-west-1"}, map[string]string{
		`""`: "required", "eu-west": wantRegion, "EU-WEST-1": wantRegion, "eu-west-1a": wantRegion, "eu-west-0": wantRegion, "eu_west_1": wantRegion,
	}},
	"target_region": {[]string{"us-east-1"}, map[string]string{`""`: "required", "frankfurt": wantRegion, "eu-west-1": "must differ from source_region"}},
	"allowed_cidr": {[]string{"[0.0.0.0/0]", `["10.0.0.0/8", "2001:db8::/32"]`, "10.0.0.0/8", "203.0.113.7/32"}, map[string]string{
		"[]": "at least one CIDR", "[10.0.0.0]": "not a CIDR", "[10.0.0.0/33]": "not a CIDR", "[10.0.0/8]": "not a CIDR",
		"[10.1.2.3/8]": "did you mean 10.0.0.0/8?", `["2001:db8::1/32"]`: "did you mean 2001:db8::/32?", "5": "not a CIDR",
	}},
	"domain.name": {[]string{"shop.example.com", "a.b.example.com"}, map[string]string{
		`""`: "required", "api.example.org": "inside the zone example.com", "example.com": "inside the zone example.com",
		"xexample.com": "inside the zone example.com", "API.example.com": "a lower-case DNS name", "api_1.example.com": "a lower-case DNS name",
		"-a.example.com": "a lower-case DNS name", "api.example.com.": "a lower-case DNS name",
		longLabel + ".example.com": "longer than 64 characters", longLabel + "a.example.com": "a lower-case DNS name",
		strings.Repeat("a.", 115) + "example.com": "longer than 253 characters",
	}},
	"domain.zone":         {[]string{"example.com"}, map[string]string{`""`: "required", "com": "a lower-case DNS name", "example.com.": "a lower-case DNS name"}},
	"domain.dualstack":    {[]string{"true", "false"}, map[string]string{"maybe": "want true or false", "[true]": "want true or false"}},
	"domain.checker_cidr": {[]string{"[192.0.2.0/24]", `["2001:db8::/32"]`}, map[string]string{"[192.0.2.1/24]": "did you mean 192.0.2.0/24?", "[here]": "not a CIDR"}},
	"source.external.url": {[]string{"https://old.example.net", "https://old.example.net:8443/base"}, map[string]string{
		"http://old.example.net": "want an https URL", "old.example.net": "want an https URL", "https://u:p@old.example.net": "want an https URL",
		"https://old.example.net/?a=b": "want an https URL", "https://api.example.com": "is the public name itself",
	}},
	"source.external.alias_name": {nil, map[string]string{"D-ABC.example": "a DNS name"}},
	"source.external.alias_zone": {nil, map[string]string{"Z2FDTNDATAQYW2": "needs source.external.alias_name"}},
	"table.adopt":                {[]string{"orders", "Orders.v2_x-y"}, map[string]string{"a": "the name of a DynamoDB table", `"a b c"`: "the name of a DynamoDB table"}},
	"assets.adopt":               {[]string{"shop-website"}, map[string]string{"Shop": "the name of an S3 bucket", "ab": "the name of an S3 bucket"}},
	"assets.index_document":      {[]string{"home.html"}, map[string]string{"a/index.html": "without a slash", `""`: "required"}},
	"assets.error_document":      {[]string{"error.html"}, map[string]string{"/404.html": "without a slash", `""`: "required"}},
	"assets.cache_control":       {[]string{"no-cache"}, map[string]string{"[a]": wantText}},
	"assets.old_version_days":    {[]string{"1", "3650"}, map[string]string{"0": "want 1 to 3650", "3651": "want 1 to 3650", "month": wantInt}},
	"brake.kill_region":          {[]string{"us-east-1"}, map[string]string{"mars": wantRegion}},
	"retire.after":               {[]string{"0s", "2160h"}, map[string]string{"-1s": "want 0s to 2160h", "2161h": "want 0s to 2160h", "24": wantDuration}},
	"retire.quiet":               {[]string{"1m", "24h"}, map[string]string{"59s": "want 1m0s to 24h", "25h": "want 1m0s to 24h"}},
	"retire.max_requests":        {[]string{"0", "1000000"}, map[string]string{"-1": "want 0 to", "few": wantInt}},
	"function.secret_ttl":        {[]string{"1s", "24h"}, map[string]string{"0s": "want 1s to 24h", "300": wantDuration}},
	"function.api":               {nil, map[string]string{"missing.zip": "cannot be read as a zip", "tapctl.yaml": "cannot be read as a zip"}},
	"function.forward":           {nil, map[string]string{"missing.zip": "cannot be read as a zip"}},
	"function.architecture":      {[]string{"arm64", "x86_64"}, map[string]string{"amd64": "want one of: arm64, x86_64", `""`: "want one of"}},
	"function.memory_mb": {[]string{"128", "10240", `"512"`}, map[string]string{
		"127": "want 128 to 10240", "10241": "want 128 to 10240", "many": wantInt, "256.5": wantInt, "true": wantInt, "[256]": wantInt,
	}},
	"function.timeout":     {[]string{"1s", "29s"}, map[string]string{"30s": "want 1s to 29s", "999ms": "want 1s to 29s", "10": wantDuration, "ten": wantDuration}},
	"function.health_path": {[]string{"/", "/a/b"}, map[string]string{"healthz": "starting with /", `""`: "starting with /", `"/a b"`: "starting with /", `"/a?b"`: "starting with /", `"/*"`: "starting with /"}},
	"shift.plan":           {[]string{"lockstep", "dns-first", "budget", "tapctl.yaml"}, map[string]string{"fast": "want lockstep, dns-first, budget, or the path", "[a]": wantText}},
	"shift.harm_budget":    {[]string{"0.1", "20"}, map[string]string{"0": "want 0.1 to", "some": wantNumber}},
	"shift.rate":           {[]string{"0", "1000"}, map[string]string{"-1": "want 0 to", "high": wantNumber}},
	"shift.step": {[]string{"1", "100", `"25"`, "10.0"}, map[string]string{
		"0": "want 1 to 100", "101": "want 1 to 100", "-10": "want 1 to 100", "2.5": wantWhole, "ten": wantNumber, ".nan": "want 1 to 100", "true": wantNumber,
	}},
	"shift.to":           {[]string{"1", "100"}, map[string]string{"0": "want 1 to 100", "101": "want 1 to 100", "50.5": wantWhole, "all": wantNumber}},
	"shift.bake":         {[]string{"1s", "24h", "1h30m"}, map[string]string{"0s": "want 1s to 24h", "25h": "want 1s to 24h", "5": wantDuration, `"5"`: wantDuration, "5.5": wantDuration, "-5m": "want 1s to 24h"}},
	"shift.settle":       {[]string{"0s", "1h"}, map[string]string{"61m": "want 0s to 1h", "-1s": "want 0s to 1h", "2": wantDuration}},
	"shift.sync_timeout": {[]string{"10s", "1h"}, map[string]string{"9s": "want 10s to 1h", "61m": "want 10s to 1h", "5": wantDuration}},
	"shift.hold_timeout": {[]string{"1s", "24h"}, map[string]string{"0s": "want 1s to 24h", "25h": "want 1s to 24h", "5": wantDuration}},
	"shift.poll":         {[]string{"1s", "5m"}, map[string]string{"500ms": "want 1s to 5m", "6m": "want 1s to 5m", "15": wantDuration}},
	"shift.max_exposure": {[]string{"0.01", "100"}, map[string]string{"0": "want 0.01 to 100", "100.1": "want 0.01 to 100", "half": wantNumber}},
	"shift.on_signal":    {[]string{"rollback", "hold"}, map[string]string{"ignore": "want one of: rollback, hold", `""`: "want one of"}},
	"shift.on_alarm_at_start": {[]string{"refuse", "baseline", "ignore"}, map[string]string{
		"rollback": "want one of: refuse, baseline, ignore",
	}},
	"shift.canary_settle":       {[]string{"0s", "1h"}, map[string]string{"61m": "want 0s to 1h", "2": wantDuration}},
	"shift.on_incident":         {[]string{"rollback"}, map[string]string{"hold": "want one of: rollback, freeze"}},
	"shift.on_shared_incident":  {[]string{"hold", "rollback"}, map[string]string{"blame": "want one of: hold, rollback"}},
	"shift.on_count_alarm":      {[]string{"evidence", "rollback"}, map[string]string{"ignore": "want one of: evidence, rollback"}},
	"shift.on_inconclusive":     {[]string{"rollback", "hold"}, map[string]string{"pass": "want one of: rollback, hold"}},
	"shift.approve":             {[]string{"[0, 10, 50.5]", "25", "[]"}, map[string]string{"[50, 10]": "growing", "[10, 10]": "growing", "[100]": "want 0 to 99.99", "half": "want a list"}},
	"shift.approve_promotion":   {[]string{"true"}, map[string]string{"maybe": "want true or false"}},
	"shift.approve_timeout":     {[]string{"1m", "720h"}, map[string]string{"59s": "want 1m", "721h": "want 1m", "60": wantDuration}},
	"shift.retreat_step":        {[]string{"0", "12.5", "100"}, map[string]string{"-1": "want 0 to 100", "101": "want 0 to 100", "some": wantNumber}},
	"shift.retreat_pause":       {[]string{"1s", "1h"}, map[string]string{"0s": "want 1s", "61m": "want 1s", "30": wantDuration}},
	"shift.max_replication_lag": {[]string{"0s", "24h"}, map[string]string{"-1s": "want 0s to 24h", "25h": "want 0s to 24h", "30": wantDuration}},
	"shift.job_timeout":         {[]string{"0s", "1m", "168h"}, map[string]string{"59s": "want 1m", "169h": "want 1m", "60": wantDuration}},
	"lease.on_expired":          {[]string{"refuse", "finish", "revert"}, map[string]string{"steal": "want one of: refuse, finish, revert"}},
	"lease.ttl":                 {[]string{"255s", "1h"}, map[string]string{"254s": "must be at least 4m15s", "600": wantDuration}},
	"lease.heartbeat":           {[]string{"1s", "3m20s"}, map[string]string{"500ms": "want 1s to 1h", "61m": "want 1s to 1h", "60": wantDuration}},
	"evidence.enabled":          {[]string{"true", "false"}, map[string]string{"perhaps": "want true or false"}},
	"evidence.lag":              {[]string{"0s", "10m"}, map[string]string{"-1s": "want 0s to 10m", "11m": "want 0s to 10m", "10": wantDuration}},
	"evidence.poll":             {[]string{"1s", "1m"}, map[string]string{"999ms": "want 1s to 1m", "61s": "want 1s to 1m", "2": wantDuration}},
	"evidence.silent":           {[]string{"1s", "1h"}, map[string]string{"999ms": "want 1s to 1h", "61m": "want 1s to 1h"}},
	"evidence.alpha":            {[]string{"0.000001", "0.2"}, map[string]string{"0": "want 1e-06 to 0.2", "0.21": "want 1e-06 to 0.2", ".nan": "want 1e-06"}},
	"evidence.tolerated_ratio":  {[]string{"1", "10"}, map[string]string{"0.9": "want 1 to 10", "11": "want 1 to 10"}},
	"evidence.slo":              {[]string{"0.0001", "0.3"}, map[string]string{"0": "want 0.0001 to 0.3", "0.31": "want 0.0001 to 0.3"}},
	"evidence.slow":             {[]string{"0s", "1m"}, map[string]string{"-1s": "want 0s to 1m", "61s": "want 0s to 1m"}},
	"evidence.min_requests":     {[]string{"0", "1000000"}, map[string]string{"-1": "want 0 to", "few": wantInt}},
	"probe.count":               {[]string{"1", "100"}, map[string]string{"0": "want 1 to 100", "101": "want 1 to 100", "1.5": wantInt, "true": wantInt, `""`: wantInt}},
	"probe.timeout":             {[]string{"100ms", "1m"}, map[string]string{"99ms": "want 100ms to 1m", "61s": "want 100ms to 1m", "5": wantDuration}},
	"probe.preflight":           {[]string{"false"}, map[string]string{"often": "want true or false"}},
	"probe.paths":               {[]string{"[/, /items/1]", "/healthz"}, map[string]string{"[items]": "starting with /", `["/a?b"]`: "starting with /"}},
	"probe.max_failures": {[]string{"0", "1000"}, map[string]string{
		"-1": "want 0 to 1000", "1001": "want 0 to 1000", "none": wantInt, `""`: wantInt, "false": wantInt,
	}},
	"alarms.lambda_errors":      {[]string{"0.5", "1"}, map[string]string{"0": "want 0.001", "x": wantNumber}},
	"alarms.lambda_duration":    {[]string{"1ms", "15m"}, map[string]string{"0s": "want 1ms", "16m": "want 1ms to 15m", "3": wantDuration}},
	"alarms.api_4xx":            {[]string{"5"}, map[string]string{"0": "want 0.001", "x": wantNumber}},
	"alarms.api_5xx":            {[]string{"1"}, map[string]string{"-1": "want 0.001", "x": wantNumber}},
	"alarms.api_5xx_rate":       {[]string{"0.0001", "1"}, map[string]string{"5": "want 0.0001 to 1", "0": "want 0.0001 to 1", "5%": wantNumber}},
	"alarms.api_latency":        {[]string{"1ms", "1m"}, map[string]string{"61s": "want 1ms to 1m", "2": wantDuration}},
	"alarms.dynamodb_throttles": {[]string{"1"}, map[string]string{"0": "want 0.001", "x": wantNumber}},
	"logs.retention_days":       {[]string{"1", "3653"}, map[string]string{"31": "accepts only", "0": "accepts only", "month": wantInt}},
	"infra.provider":            {[]string{"auto", "aws", "local"}, map[string]string{"azure": "want one of: auto, aws, local"}},
	"infra.backend_url":         {[]string{"s3://bucket"}, map[string]string{"[a]": wantText}},
	"infra.secrets_provider":    {[]string{"passphrase"}, map[string]string{"[a]": wantText}},
	"infra.pulumi": {[]string{"tools", "./tools/"}, map[string]string{
		"[a]": wantText, "missing": "has no executable bin/pulumi", "tools/bin/pulumi": "has no executable bin/pulumi", "tools/bin": "has no executable bin/pulumi",
		"tapctl.yaml": "has no executable bin/pulumi", "plain": "has no executable bin/pulumi",
	}},
	"infra.timeout": {[]string{"1m", "6h"}, map[string]string{"59s": "want 1m", "7h": "want 1m", "30": wantDuration}},
	"aws.endpoint_url": {[]string{"http://127.0.0.1:4566", "https://aws.example.com"}, map[string]string{
		"127.0.0.1:4566": "want an http or https URL", "ftp://a": "want an http or https URL", "http://": "want an http or https URL",
	}},
	"aws.dns_server": {[]string{"127.0.0.1:53", `"[::1]:53"`, "dns.example.com:53"}, map[string]string{
		"127.0.0.1": "host:port", `":53"`: "host:port", `"127.0.0.1:"`: "host:port", "127.0.0.1:dns": "host:port",
	}},
	"aws.https_port": {[]string{"1", "65535"}, map[string]string{"0": "want 1 to 65535", "65536": "want 1 to 65535", "https": wantInt}},
	"aws.ca_bundle":  {nil, map[string]string{"missing.pem": "cannot be read"}},
}

func TestEveryKeyHasRows(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(config.Keys(), slices.Sorted(maps.Keys(values))); diff != "" {
		t.Errorf("keys without a row, rows without a key (-keys +rows):\n%s", diff)
	}
}

func TestGoodValues(t *testing.T) {
	t.Parallel()
	for key, row := range values {
		for _, value := range row.good {
			t.Run(key+"="+value, func(t *testing.T) {
				t.Parallel()
				if _, err := load(t, with(map[string]string{key: value})); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestBadValues(t *testing.T) {
	t.Parallel()
	for key, row := range values {
		for value, reason := range row.bad {
			t.Run(key+"="+value, func(t *testing.T) {
				t.Parallel()
				_, err := load(t, with(map[string]string{key: value}))
				found := problems(t, err)
				// A wrong zone and a name outside it are one mistake of two keys.
				at := slices.IndexFunc(found, func(p config.Problem) bool { return p.Key == key || strings.HasPrefix(p.Key, key+".") })
				if at < 0 {
					t.Fatalf("no problem with key %s: %+v", key, found)
				}
				if !strings.Contains(found[at].Reason, reason) {
					t.Errorf("reason: want %q in it, got %q", reason, found[at].Reason)
				}
			})
		}
	}
}
