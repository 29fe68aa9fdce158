package config

import (
	"archive/zip"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var durationType = reflect.TypeFor[time.Duration]()

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[1-9]$`)
	// What every service takes as a tag's value; the purpose is continued by
	// what the resource is for, hence half of AWS's 256.
	// https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
	tagPattern = regexp.MustCompile(`^[\p{L}\p{N}_.:/=+@-][\p{L}\p{N} _.:/=+@-]{0,127}$`)
	// No character that a resource policy takes for a wildcard: the path is
	// open to everybody, and only it must be.
	pathPattern     = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)
	documentPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	bucketPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	tablePattern    = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	zonePattern     = regexp.MustCompile(`^[A-Z0-9]{4,32}$`)
	hostPattern     = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// retentionDays are the values CloudWatch Logs accepts.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
var retentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// checker collects problems; every method adds one where its rule fails.
type checker struct {
	problems []Problem
	rules    map[string]rule // what was asked of each key; nil keeps none
}

func (c *checker) keep(key string, r rule) {
	if c.rules != nil {
		c.rules[key] = r
	}
}

func (c *checker) add(key string, value any, format string, args ...any) {
	c.problems = append(c.problems, Problem{key, fmt.Sprint(value), fmt.Sprintf(format, args...)})
}

func (c *checker) matches(key, value string, pattern *regexp.Regexp, want string) {
	c.keep(key, rule{pattern: pattern.String()})
	switch {
	case value == "":
		c.add(key, value, "required: %s", want)
	case !pattern.MatchString(value):
		c.add(key, value, "want %s", want)
	}
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	c.keep(key, rule{choices: anyOf(allowed)})
	if !slices.Contains(allowed, value) {
		c.add(key, value, "want one of: %s", strings.Join(allowed, ", "))
	}
}

func anyOf[T any](values []T) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}

func (c *checker) between(key string, value, low, high float64) {
	c.keep(key, rule{low: &low, high: &high})
	if !(value >= low && value <= high) {
		c.add(key, value, "want %v to %v", low, high)
	}
}

func (c *checker) duration(key string, value, low, high time.Duration) {
	if value < low || value > high {
		c.add(key, value, "want %v to %v", low, high)
	}
}

// check returns every problem that can be found without asking AWS.
func (c Config) check() []Problem {
	var k checker
	c.checkAll(&k)
	if len(k.problems) == 0 {
		c.checkNames(&k)
	}
	return k.problems
}

// checkAll asks every rule of a key, and those that hold between keys.
func (c Config) checkAll(k *checker) {
	k.matches("team_name", c.TeamName, namePattern, "letters and digits, starting with a letter")
	k.matches("environment", c.Environment, namePattern, "letters and digits, starting with a letter")
	k.matches("source_region", c.SourceRegion, regionPattern, "an AWS region like eu-west-1")
	k.matches("target_region", c.TargetRegion, regionPattern, "an AWS region like eu-central-1")
	if c.SourceRegion != "" && c.SourceRegion == c.TargetRegion {
		k.add("target_region", c.TargetRegion, "must differ from source_region: one public name can be split only between regions")
	}
	const tagValue = "a tag value: 1 to 128 letters, digits, spaces and _ . : / = + - @"
	if c.Owner != c.TeamName { // its default, with a rule of its own
		k.matches("owner", c.Owner, tagPattern, tagValue)
	}
	k.matches("purpose", c.Purpose, tagPattern, tagValue)
	c.checkCIDR(k)
	c.checkDomain(k)
	c.checkSource(k)
	c.checkAssets(k)
	c.checkFunction(k)
	c.checkShift(k)
	c.checkRest(k)
}

func (c Config) checkCIDR(k *checker) {
	if len(c.AllowedCIDR) == 0 {
		k.add("allowed_cidr", "", "required: at least one CIDR; 0.0.0.0/0 lets everybody in")
	}
	k.prefixes("allowed_cidr", c.AllowedCIDR)
	k.prefixes("domain.checker_cidr", c.Domain.CheckerCIDR)
	v6 := func(text string) bool { p, err := netip.ParsePrefix(text); return err == nil && p.Addr().Is6() }
	if c.Domain.Dualstack && len(c.AllowedCIDR) > 0 && !c.OpenToAll() && !slices.ContainsFunc(c.AllowedCIDR, v6) {
		k.add("allowed_cidr", strings.Join(c.AllowedCIDR, ", "), "has no IPv6 network while domain.dualstack is on: every user who comes by IPv6 would be refused")
	}
}

func (c *checker) prefixes(key string, texts []string) {
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			c.add(key, text, "not a CIDR: want an address and a prefix length, like 203.0.113.0/24")
		case prefix.Masked() != prefix:
			c.add(key, text, "has host bits set; did you mean %s?", prefix.Masked())
		}
	}
}

// OpenToAll tells whether everybody may call the API.
func (c Config) OpenToAll() bool { return slices.Contains(c.AllowedCIDR, "0.0.0.0/0") }

func (c Config) checkDomain(k *checker) {
	k.matches("domain.name", c.Domain.Name, hostPattern, "a lower-case DNS name like api.example.com")
	k.matches("domain.zone", c.Domain.Zone, hostPattern, "a lower-case DNS name like example.com")
	if !strings.HasSuffix(c.Domain.Name, "."+c.Domain.Zone) && hostPattern.MatchString(c.Domain.Zone) {
		k.add("domain.name", c.Domain.Name, "must be a name inside the zone %s", c.Domain.Zone)
	}
	if longest := len(c.ProbeName(c.TargetRegion)); longest > 253 {
		k.add("domain.name", c.Domain.Name, "the per-region name %s would be longer than 253 characters", c.ProbeName(c.TargetRegion))
	}
	// ACM: the first name of a certificate becomes its common name.
	if len(c.Domain.Name) > 64 {
		k.add("domain.name", c.Domain.Name, "longer than 64 characters, the limit of a certificate's common name")
	}
}

func (c Config) checkFunction(k *checker) {
	checkArtifact(k, "function.api", c.Function.API)
	checkArtifact(k, "function.forward", c.Function.Forward)
	k.oneOf("function.architecture", c.Function.Architecture, "arm64", "x86_64")
	k.between("function.memory_mb", float64(c.Function.MemoryMB), 128, 10240)
	// API Gateway gives up after 29 s, so a longer function can only be billed.
	k.duration("function.timeout", c.Function.Timeout, time.Second, 29*time.Second)
	k.duration("function.secret_ttl", c.Function.SecretTTL, time.Second, 24*time.Hour)
	if !pathPattern.MatchString(c.Function.HealthPath) {
		k.add("function.health_path", c.Function.HealthPath, "want a path starting with /, of letters, digits and . _ ~ - /")
	}
}

func checkArtifact(k *checker, key, path string) {
	if path == "" {
		return // the default beside the tapctl binary; checked where it is used
	}
	if err := CheckArtifact(path); err != nil {
		k.add(key, path, "%v", err)
	}
}

// CheckArtifact says what keeps the file from being a Lambda package for
// provided.al2023: a zip with an executable file bootstrap at its root.
func CheckArtifact(path string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("cannot be read as a zip (%w); run: make build", err)
	}
	defer archive.Close()
	for _, file := range archive.File {
		if file.Name == "bootstrap" {
			if file.Mode()&0o111 == 0 {
				return fmt.Errorf("its bootstrap is not executable")
			}
			return nil
		}
	}
	return fmt.Errorf("has no file bootstrap at its root, which provided.al2023 runs")
}

func (c Config) checkSource(k *checker) {
	e := c.Source.External
	switch {
	case e.URL != "" && e.AliasName != "":
		k.add("source.external.url", e.URL, "name the external source by url or by alias_name, not by both")
	case e.URL != "":
		u, err := url.Parse(e.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			k.add("source.external.url", e.URL, "want an https URL without user, query and fragment, like https://old.example.net")
		} else if u.Hostname() == c.Domain.Name {
			k.add("source.external.url", e.URL, "is the public name itself: requests that the forwarder sends there would come back to it")
		}
	case e.AliasName != "":
		k.matches("source.external.alias_name", e.AliasName, hostPattern, "a DNS name")
		k.matches("source.external.alias_zone", e.AliasZone, zonePattern, "the hosted zone id of the alias target, like Z2FDTNDATAQYW2")
	case e.AliasZone != "":
		k.add("source.external.alias_zone", e.AliasZone, "needs source.external.alias_name")
	}
	if c.Table.Adopt != "" {
		k.matches("table.adopt", c.Table.Adopt, tablePattern, "the name of a DynamoDB table")
	}
	if c.Brake.KillRegion != "" {
		k.matches("brake.kill_region", c.Brake.KillRegion, regionPattern, "an AWS region like us-west-2")
	}
	k.duration("retire.after", c.Retire.After, 0, 90*24*time.Hour)
	k.duration("retire.quiet", c.Retire.Quiet, time.Minute, 24*time.Hour)
	k.between("retire.max_requests", float64(c.Retire.MaxRequests), 0, 1e6)
}

func (c Config) checkAssets(k *checker) {
	if c.Assets.Adopt != "" {
		k.matches("assets.adopt", c.Assets.Adopt, bucketPattern, "the name of an S3 bucket")
	}
	k.matches("assets.index_document", c.Assets.IndexDocument, documentPattern, "a file name without a slash")
	k.matches("assets.error_document", c.Assets.ErrorDocument, documentPattern, "a file name without a slash")
	k.between("assets.old_version_days", float64(c.Assets.OldVersionDays), 1, 3650)
}

func (c Config) checkShift(k *checker) {
	k.between("shift.step", c.Shift.Step, 1, 100)
	k.between("shift.to", c.Shift.To, 1, 100)
	k.between("shift.max_exposure", c.Shift.MaxExposure, 0.01, 100)
	if c.Shift.Step != float64(int(c.Shift.Step)) {
		k.add("shift.step", c.Shift.Step, "want a whole percent: Route 53 weights are integers")
	}
	if c.Shift.To != float64(int(c.Shift.To)) {
		k.add("shift.to", c.Shift.To, "want a whole percent: Route 53 weights are integers")
	}
	k.duration("shift.bake", c.Shift.Bake, time.Second, 24*time.Hour)
	k.duration("shift.settle", c.Shift.Settle, 0, time.Hour)
	k.duration("shift.sync_timeout", c.Shift.SyncTimeout, 10*time.Second, time.Hour)
	k.duration("shift.hold_timeout", c.Shift.HoldTimeout, time.Second, 24*time.Hour)
	k.duration("shift.poll", c.Shift.Poll, time.Second, 5*time.Minute)
	k.oneOf("shift.on_signal", c.Shift.OnSignal, "rollback", "hold")
	k.oneOf("shift.on_alarm_at_start", c.Shift.OnAlarmAtStart, "refuse", "baseline", "ignore")
	k.duration("shift.canary_settle", c.Shift.CanarySettle, 0, time.Hour)
	c.checkPolicies(k)
}

func (c Config) checkPolicies(k *checker) {
	s := c.Shift
	if path := s.PlanFile(); path != "" {
		if _, err := os.Stat(path); err != nil {
			k.add("shift.plan", s.Plan, "want lockstep, dns-first, budget, or the path of a plan's file: %v", err)
		}
	}
	k.between("shift.harm_budget", s.HarmBudget, 0.1, 1e6)
	k.between("shift.rate", s.Rate, 0, 1e7)
	k.oneOf("shift.on_incident", s.OnIncident, "rollback", "freeze")
	k.oneOf("shift.on_shared_incident", s.OnSharedIncident, "hold", "rollback")
	k.oneOf("shift.on_count_alarm", s.OnCountAlarm, "evidence", "rollback")
	k.oneOf("shift.on_inconclusive", s.OnInconclusive, "rollback", "hold")
	k.oneOf("lease.on_expired", c.Lease.OnExpired, "refuse", "finish", "revert")
	if s.OnIncident == "freeze" {
		if s.OnSignal == "rollback" {
			k.add("shift.on_signal", s.OnSignal, "must be hold while shift.on_incident is freeze: a cancelled job would go back")
		}
		if c.Lease.OnExpired == "revert" {
			k.add("lease.on_expired", c.Lease.OnExpired, "must be refuse or finish while shift.on_incident is freeze: the next run would go back")
		}
	}
	for i, exposure := range s.Approve {
		k.between("shift.approve", exposure, 0, 99.99)
		if i > 0 && exposure <= s.Approve[i-1] {
			k.add("shift.approve", exposure, "want growing exposures")
		}
	}
	k.duration("shift.approve_timeout", s.ApproveTimeout, time.Minute, 30*24*time.Hour)
	k.between("shift.retreat_step", s.RetreatStep, 0, 100)
	k.duration("shift.retreat_pause", s.RetreatPause, time.Second, time.Hour)
	k.duration("shift.max_replication_lag", s.MaxReplicationLag, 0, 24*time.Hour)
	if s.JobTimeout != 0 {
		k.duration("shift.job_timeout", s.JobTimeout, time.Minute, 7*24*time.Hour)
	}
}

// PreflightTimeout bounds a shift's preflight, real time: the longest that a run
// has the lease before its first heartbeat is due.
const PreflightTimeout = 2 * time.Minute

// longestCall is what cutover leaves a call of the retreat (its retreatTimeout):
// no heartbeat is sent meanwhile.
const longestCall = time.Minute

// checkLease keeps a living run's lease: two heartbeats may be lost, and one is
// only sent between two looks, after a call or the preflight.
func (c Config) checkLease(k *checker) {
	l, silence, and := c.Lease, c.Lease.Heartbeat+c.Shift.Poll+longestCall, ""
	if c.Probe.Preflight {
		silence, and = silence+PreflightTimeout, fmt.Sprintf(" and the preflight (%v)", PreflightTimeout)
	}
	switch {
	case l.TTL >= 3*l.Heartbeat && l.TTL >= silence:
	case 3*l.Heartbeat > silence:
		k.add("lease.ttl", l.TTL, "must be at least three heartbeats (%v)", 3*l.Heartbeat)
	default:
		k.add("lease.ttl", l.TTL, "must be at least %v, or a living run loses its lease: lease.heartbeat (%v), shift.poll (%v), a call of the retreat (%v)%s",
			silence, l.Heartbeat, c.Shift.Poll, longestCall, and)
	}
}

func (c Config) checkRest(k *checker) {
	k.duration("lease.heartbeat", c.Lease.Heartbeat, time.Second, time.Hour)
	c.checkLease(k)
	k.between("probe.count", float64(c.Probe.Count), 1, 100)
	k.duration("probe.timeout", c.Probe.Timeout, 100*time.Millisecond, time.Minute)
	for _, path := range c.Probe.Paths {
		if !pathPattern.MatchString(path) {
			k.add("probe.paths", path, "want a path starting with /, of letters, digits and . _ ~ - /")
		}
	}
	k.between("probe.max_failures", float64(c.Probe.MaxFailures), 0, 1000)
	c.checkEvidence(k)
	k.between("alarms.lambda_errors", c.Alarms.LambdaErrors, 0.001, 1e9)
	k.duration("alarms.lambda_duration", c.Alarms.LambdaDuration, time.Millisecond, 15*time.Minute)
	k.between("alarms.api_4xx", c.Alarms.API4XX, 0.001, 1e9)
	k.between("alarms.api_5xx", c.Alarms.API5XX, 0.001, 1e9)
	k.between("alarms.api_5xx_rate", c.Alarms.API5XXRate, 0.0001, 1)
	k.duration("alarms.api_latency", c.Alarms.APILatency, time.Millisecond, time.Minute)
	k.between("alarms.dynamodb_throttles", c.Alarms.DynamoDBThrottles, 0.001, 1e9)
	k.keep("logs.retention_days", rule{choices: anyOf(retentionDays)})
	if !slices.Contains(retentionDays, c.Logs.RetentionDays) {
		k.add("logs.retention_days", c.Logs.RetentionDays, "CloudWatch Logs accepts only %v", retentionDays)
	}
	k.oneOf("infra.provider", c.Infra.Provider, "auto", "aws", "local")
	if dir := c.Infra.Pulumi; dir != "" {
		cli, err := os.Stat(filepath.Join(dir, "bin", "pulumi"))
		if err != nil || !cli.Mode().IsRegular() || cli.Mode()&0o111 == 0 {
			k.add("infra.pulumi", dir, "has no executable bin/pulumi: want the directory above the CLI's bin; 'make pulumi' builds one")
		}
	}
	k.duration("infra.timeout", c.Infra.Timeout, time.Minute, 6*time.Hour)
	c.checkAWS(k)
}

func (c Config) checkEvidence(k *checker) {
	e := c.Evidence
	k.duration("evidence.lag", e.Lag, 0, 10*time.Minute)
	k.duration("evidence.poll", e.Poll, time.Second, time.Minute)
	k.duration("evidence.silent", e.Silent, time.Second, time.Hour)
	k.between("evidence.alpha", e.Alpha, 1e-6, 0.2)
	k.between("evidence.tolerated_ratio", e.ToleratedRatio, 1, 10)
	k.between("evidence.slo", e.SLO, 0.0001, 0.3)
	k.duration("evidence.slow", e.Slow, 0, time.Minute)
	k.between("evidence.min_requests", float64(e.MinRequests), 0, 1e6)
}

func (c Config) checkAWS(k *checker) {
	k.between("aws.https_port", float64(c.AWS.HTTPSPort), 1, 65535)
	if c.AWS.EndpointURL != "" {
		if u, err := url.Parse(c.AWS.EndpointURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			k.add("aws.endpoint_url", c.AWS.EndpointURL, "want an http or https URL")
		}
	}
	if server := c.AWS.DNSServer; server != "" {
		host, port, err := net.SplitHostPort(server)
		if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil {
			k.add("aws.dns_server", server, "want host:port, like 127.0.0.1:53")
		}
	}
	if bundle := c.AWS.CABundle; bundle != "" {
		if _, err := os.ReadFile(bundle); err != nil {
			k.add("aws.ca_bundle", bundle, "cannot be read: %v", err)
		}
	}
}
