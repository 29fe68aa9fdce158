package config_test

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/config"
)

// required is the smallest configuration that is right: key -> YAML value.
var required = map[string]string{
	"team_name": "Shop", "environment": "prod", "source_region": "eu-west-1", "target_region": "eu-central-1",
	"domain.name": "api.example.com", "domain.zone": "example.com",
}

// yamlOf renders flat keys as a file with sections.
func yamlOf(values map[string]string) string {
	sections := map[string][]string{}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		section, name, nested := strings.Cut(key, ".")
		if nested {
			sections[section] = append(sections[section], fmt.Sprintf("  %s: %s\n", name, values[key]))
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", key, values[key])
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		b.WriteString(section + ":\n" + strings.Join(sections[section], ""))
	}
	return b.String()
}

// with is the smallest right configuration with further values over it.
func with(more map[string]string) string {
	values := maps.Clone(required)
	maps.Copy(values, more)
	return yamlOf(values)
}

func without(key string) string {
	values := maps.Clone(required)
	delete(values, key)
	return yamlOf(values)
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tapctl.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func load(t *testing.T, content string) (config.Config, error) {
	t.Helper()
	return config.Load(writeFile(t, content), nil)
}

// problems are those of the error, which must be a usage error.
func problems(t *testing.T, err error) []config.Problem {
	t.Helper()
	failed, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("want *config.Error, got %T: %v", err, err)
	}
	if failed.ExitCode() != 2 {
		t.Errorf("exit code: want 2, got %d", failed.ExitCode())
	}
	return failed.Problems
}

// packaged writes a zip with one file, as a Lambda package.
func packaged(t *testing.T, dir, name string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, "function.zip")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	header := &zip.FileHeader{Name: name}
	header.SetMode(mode)
	if _, err := archive.CreateHeader(header); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(t, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults()
	want.TeamName, want.Environment, want.Owner = "Shop", "prod", "Shop"
	want.SourceRegion, want.TargetRegion = "eu-west-1", "eu-central-1"
	want.Domain = config.Domain{Name: "api.example.com", Zone: "example.com"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// The thresholds are a promise to the operator, not an implementation detail.
func TestDefaultThresholds(t *testing.T) {
	t.Parallel()
	want := config.Alarms{LambdaErrors: 1, LambdaDuration: 3 * time.Second, API4XX: 5, API5XX: 1, API5XXRate: 0.05,
		APILatency: 2 * time.Second, DynamoDBThrottles: 1}
	if diff := cmp.Diff(want, config.Defaults().Alarms); diff != "" {
		t.Errorf("thresholds (-want +got):\n%s", diff)
	}
}

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
	"infra.pulumi":              {[]string{"bin"}, map[string]string{"[a]": wantText}},
	"infra.timeout":             {[]string{"1m", "6h"}, map[string]string{"59s": "want 1m", "7h": "want 1m", "30": wantDuration}},
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

func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, `
team_name: my-team
source_region: eu-west-1
target_region: eu-west-1
allowed_cidr: [10.0.0.300/24, 192.168.1.1/16]
shfit: {step: 5}
domain: {name: api.example.org, zone: example.com}
shift: {bake: 5, step: ten, to: 200}
`)
	want := []config.Problem{
		{Key: "shfit.step", Value: "5", Reason: "unknown key; did you mean shift.step?"},
		{Key: "shift.bake", Value: "5", Reason: `want a duration with its unit, like "5m" or "90s"`},
		{Key: "shift.step", Value: "ten", Reason: "want a number"},
		{Key: "team_name", Value: "my-team", Reason: "want letters and digits, starting with a letter"},
		{Key: "environment", Value: "", Reason: "required: letters and digits, starting with a letter"},
		{Key: "target_region", Value: "eu-west-1", Reason: "must differ from source_region: one public name can be split only between regions"},
		{Key: "allowed_cidr", Value: "10.0.0.300/24", Reason: "not a CIDR: want an address and a prefix length, like 203.0.113.0/24"},
		{Key: "allowed_cidr", Value: "192.168.1.1/16", Reason: "has host bits set; did you mean 192.168.0.0/16?"},
		{Key: "domain.name", Value: "api.example.org", Reason: "must be a name inside the zone example.com"},
		{Key: "shift.to", Value: "200", Reason: "want 1 to 100"},
	}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for _, p := range want {
		if line := fmt.Sprintf("%s = %q: %s", p.Key, p.Value, p.Reason); !strings.Contains(err.Error(), line) {
			t.Errorf("the text lacks %q:\n%v", line, err)
		}
	}
}

func TestMissingKeys(t *testing.T) {
	t.Parallel()
	for key := range required {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, without(key))
			for _, p := range problems(t, err) {
				if p.Key == key && strings.HasPrefix(p.Reason, "required") {
					return
				}
			}
			t.Errorf("no problem says that %s is required: %v", key, err)
		})
	}
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, content, key, reason string }{
		{"typo", with(map[string]string{"target_regoin": "eu-north-1"}), "target_regoin", "unknown key; did you mean target_region?"},
		{"typo in a section", with(map[string]string{"shift.bakes": "5m"}), "shift.bakes", "unknown key; did you mean shift.bake?"},
		{"nothing close", with(map[string]string{"kubernetes": "yes"}), "kubernetes", "unknown key"},
		{"a section given as a value", with(map[string]string{"shift": "5m"}), "shift", "a section: put its keys, like shift.approve, under it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, test.content)
			want := []config.Problem{{Key: test.key, Reason: test.reason}}
			got := problems(t, err)
			for i := range got {
				got[i].Value = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFreezeForbidsWhatGoesBackByItself: one policy that never goes back is
// not undone by another that does.
func TestFreezeForbidsWhatGoesBackByItself(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"shift.on_incident": "freeze", "shift.on_signal": "hold"}
	if _, err := load(t, with(keys)); err != nil {
		t.Error(err)
	}
	keys["shift.on_signal"], keys["lease.on_expired"] = "rollback", "revert"
	_, err := load(t, with(keys))
	var got []string
	for _, p := range problems(t, err) {
		got = append(got, p.Key)
	}
	if diff := cmp.Diff([]string{"shift.on_signal", "lease.on_expired"}, got); diff != "" {
		t.Error(diff)
	}
}

// A section whose keys are all commented out is what a copied example becomes.
func TestEmptySection(t *testing.T) {
	t.Parallel()
	got, err := load(t, with(nil)+"shift:\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Defaults().Shift, got.Shift); diff != "" {
		t.Errorf("shift (-want +got):\n%s", diff)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "absent.yaml")
		_, err := config.Load(file, nil)
		want := []config.Problem{{Key: "config", Value: file, Reason: "no such file; name one with -c, or write one with 'tapctl init'"}}
		if diff := cmp.Diff(want, problems(t, err)); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
		failed, _ := errors.AsType[*config.Error](err)
		if want := "correct the keys above, then run: tapctl validate -c " + file; failed.Hint() != want {
			t.Errorf("hint: want %q, got %q", want, failed.Hint())
		}
	})
	t.Run("not YAML", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, "team_name: [")
		if got := problems(t, err); len(got) != 1 || got[0].Key != "config" {
			t.Errorf("want one problem with the file, got %+v", got)
		}
	})
	t.Run("a key twice", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, with(nil)+"team_name: Other\n")
		if got := problems(t, err); len(got) != 1 || got[0].Key != "config" {
			t.Errorf("want one problem with the file, got %+v", got)
		}
	})
	t.Run("a directory", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(t.TempDir(), nil)
		if got := problems(t, err); len(got) != 1 || got[0].Key != "config" {
			t.Errorf("want one problem with the file, got %+v", got)
		}
	})
}

func TestNamesTooLong(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 29) // with -prod-assets-eu-central-1-01234567: 63
	if _, err := load(t, with(map[string]string{"team_name": longest})); err != nil {
		t.Errorf("63 characters are allowed: %v", err)
	}
	_, err := load(t, with(map[string]string{"team_name": longest + "a"}))
	got := problems(t, err)
	want := "the assets bucket in eu-central-1 would be named " + longest + "a-prod-assets-eu-central-1-e3b0c442: 64 characters, AWS allows 63"
	if len(got) != 1 || got[0].Key != "team_name" || got[0].Reason != want {
		t.Errorf("want team_name: %q, got %+v", want, got)
	}
}

func TestExternalSourceByAlias(t *testing.T) {
	t.Parallel()
	alias := map[string]string{"source.external.alias_name": "d-abc.execute-api.eu-west-1.amazonaws.com", "source.external.alias_zone": "Z2FDTNDATAQYW2"}
	got, err := load(t, with(alias))
	if err != nil || !got.Source.External.Set() {
		t.Errorf("an alias with its zone: %v, %+v", err, got.Source)
	}
	alias["source.external.url"] = "https://old.example.net"
	if _, err := load(t, with(alias)); !strings.Contains(fmt.Sprint(err), "not by both") {
		t.Errorf("both forms at once: %v", err)
	}
}

func TestDualstackNeedsSixForNarrowCIDR(t *testing.T) {
	t.Parallel()
	narrow := map[string]string{"domain.dualstack": "true", "allowed_cidr": "[203.0.113.0/24]"}
	if _, err := load(t, with(narrow)); !strings.Contains(fmt.Sprint(err), "every user who comes by IPv6 would be refused") {
		t.Errorf("IPv4 alone: %v", err)
	}
	for _, enough := range []string{`["203.0.113.0/24", "2001:db8::/32"]`, "[0.0.0.0/0]"} {
		narrow["allowed_cidr"] = enough
		if got, err := load(t, with(narrow)); err != nil || len(got.RecordTypes()) != 2 {
			t.Errorf("%s: %v", enough, err)
		}
	}
}

// The switch must not go down with either side of the migration.
func TestKillRegionIsAThirdOne(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"us-west-2", "eu-north-1", "eu-west-1"} {
		for _, target := range []string{"us-east-1", "eu-north-1", "us-west-2", "ap-southeast-2"} {
			c := config.Config{SourceRegion: source, TargetRegion: target}
			if k := c.KillRegion(); k == source || k == target || k == "" {
				t.Errorf("%s to %s: %q", source, target, k)
			}
		}
	}
	if c := (config.Config{Brake: config.Brake{KillRegion: "sa-east-1"}}); c.KillRegion() != "sa-east-1" {
		t.Errorf("configured: %s", c.KillRegion())
	}
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, entry string
		mode        fs.FileMode
		reason      string // "" where the package is right
	}{
		{"right", "bootstrap", 0o755, ""},
		{"not executable", "bootstrap", 0o644, "its bootstrap is not executable"},
		{"in a folder", "dist/bootstrap", 0o755, "has no file bootstrap at its root, which provided.al2023 runs"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := packaged(t, t.TempDir(), test.entry, test.mode)
			got, err := load(t, with(map[string]string{"function.api": path, "function.forward": path}))
			if test.reason == "" {
				if err != nil || got.Function.API != path || got.Function.Forward != path {
					t.Errorf("want %s for both, got %+v, %v", path, got.Function, err)
				}
				return
			}
			want := []config.Problem{{Key: "function.api", Value: path, Reason: test.reason}, {Key: "function.forward", Value: path, Reason: test.reason}}
			if diff := cmp.Diff(want, problems(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRelativePaths(t *testing.T) {
	file := writeFile(t, with(map[string]string{"function.api": "function.zip", "aws.ca_bundle": "ca.pem", "infra.pulumi": "tools"}))
	dir := filepath.Dir(file)
	packaged(t, dir, "bootstrap", 0o755)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("the file's are relative to the file", func(t *testing.T) {
		got, err := config.Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{filepath.Join(dir, "function.zip"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "tools")}
		if diff := cmp.Diff(want, []string{got.Function.API, got.AWS.CABundle, got.Infra.Pulumi}); diff != "" {
			t.Errorf("paths (-want +got):\n%s", diff)
		}
	})
	t.Run("absolute even where the file is named relatively", func(t *testing.T) {
		t.Chdir(dir)
		got, err := config.Load("tapctl.yaml", nil)
		if err != nil {
			t.Fatal(err)
		}
		if !filepath.IsAbs(got.Infra.Pulumi) || !filepath.IsAbs(got.Function.API) {
			t.Errorf("want absolute paths, got %q and %q", got.Infra.Pulumi, got.Function.API)
		}
	})
	t.Run("those of variables and flags are relative to where the command runs", func(t *testing.T) {
		elsewhere := t.TempDir()
		path := packaged(t, elsewhere, "bootstrap", 0o755)
		t.Chdir(elsewhere)
		t.Setenv("TAPCTL_FUNCTION_API", "function.zip")
		got, err := config.Load(file, map[string]any{"function.forward": "function.zip"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{path, path}, []string{got.Function.API, got.Function.Forward}); diff != "" {
			t.Errorf("paths (-want +got):\n%s", diff)
		}
	})
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, with(map[string]string{"shift.step": "5", "shift.bake": "5m", "shift.to": "50"}))
	t.Setenv("TAPCTL_SHIFT_BAKE", "7m")
	t.Setenv("TAPCTL_SHIFT_STEP", "7")
	t.Setenv("TAPCTL_LOGS_RETENTION_DAYS", "7")
	t.Setenv("TAPCTL_ALLOWED_CIDR", "10.0.0.0/8, 192.168.0.0/16")
	t.Setenv("TAPCTL_SHIFT_POLL", "") // set but empty: as if it were not set
	got, err := config.Load(file, map[string]any{"shift.step": 20.0})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults().Shift
	want.Step, want.Bake, want.To = 20, 7*time.Minute, 50 // the flag, the variable, the file
	if diff := cmp.Diff(want, got.Shift); diff != "" {
		t.Errorf("shift (-want +got):\n%s", diff)
	}
	if got.Logs.RetentionDays != 7 {
		t.Errorf("a variable of a key that the file lacks: want 7, got %d", got.Logs.RetentionDays)
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.168.0.0/16"}, got.AllowedCIDR); diff != "" {
		t.Errorf("a list in a variable (-want +got):\n%s", diff)
	}
}

func TestBadVariable(t *testing.T) {
	t.Setenv("TAPCTL_SHIFT_BAKE", "5")
	_, err := load(t, with(nil))
	want := []config.Problem{{Key: "shift.bake", Value: "5", Reason: `want a duration with its unit, like "5m" or "90s"`}}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// The examples are what a new user starts from: they must load as they are,
// without the packages that a build would have made.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("want both examples, got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			got, err := config.Load(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Function.API != "" || got.Function.Forward != "" {
				t.Errorf("want the default packages, got %+v", got.Function)
			}
			if got.Owner != "platform-team" || got.Shift.Step != 10 {
				t.Errorf("the file's values are not there: %+v", got)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	c, err := load(t, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Name("api"), c.RegionalName("api", "eu-west-1"), c.StackPrefix(), c.ProbeName("eu-west-1")}
	want := []string{"Shop-prod-api", "Shop-prod-api-eu-west-1", "shop-prod", "eu-west-1.api.example.com"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestEvidenceSilentOutlastsThePoll(t *testing.T) {
	t.Parallel()
	for poll, want := range map[string]time.Duration{"15s": time.Minute, "1m": 2 * time.Minute} {
		c, err := load(t, with(map[string]string{"shift.poll": poll}))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.EvidenceSilent(); got != want {
			t.Errorf("a poll of %s: %v, want %v", poll, got, want)
		}
	}
}

// TestTheLeaseOutlastsALivingRun: it is extended between two looks only.
func TestTheLeaseOutlastsALivingRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ ttl, heartbeat, poll, preflight, reason string }{
		{"30s", "10s", "1m", "true", "must be at least 4m10s, or a living run loses its lease: lease.heartbeat (10s), shift.poll (1m0s), a call of the retreat (1m0s) and the preflight (2m0s)"},
		{"250s", "10s", "1m", "true", ""},
		{"129s", "10s", "1m", "false", "must be at least 2m10s, or a living run loses its lease: lease.heartbeat (10s), shift.poll (1m0s), a call of the retreat (1m0s)"},
		{"130s", "10s", "1m", "false", ""},
		{"599s", "200s", "15s", "true", "must be at least three heartbeats (10m0s)"},
		{"600s", "200s", "5m", "false", ""},
	} {
		_, err := load(t, with(map[string]string{"lease.ttl": tt.ttl, "lease.heartbeat": tt.heartbeat, "shift.poll": tt.poll, "probe.preflight": tt.preflight}))
		var got []string
		if err != nil {
			for _, p := range problems(t, err) {
				got = append(got, p.Key+": "+p.Reason)
			}
		}
		var want []string
		if tt.reason != "" {
			want = []string{"lease.ttl: " + tt.reason}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt, diff)
		}
	}
}
