// Package config reads and checks what the operator configured: one file,
// TAPCTL_* variables over it, flags over both. It reports every problem at
// once, each with its key, its value and the reason, before anything runs.
package config

import (
	"time"
)

// Config is everything the operator may set. Keys in the file and in TAPCTL_*
// variables follow the mapstructure tags (shift.bake, TAPCTL_SHIFT_BAKE).
type Config struct {
	TeamName     string   `mapstructure:"team_name"`     // names are <team_name>-<environment>-<service>
	Environment  string   `mapstructure:"environment"`   // the second part of every name
	Owner        string   `mapstructure:"owner"`         // tag Owner; default: team_name
	Purpose      string   `mapstructure:"purpose"`       // tag Purpose
	SourceRegion string   `mapstructure:"source_region"` // blue: where users are today
	TargetRegion string   `mapstructure:"target_region"` // green: where they go
	AllowedCIDR  []string `mapstructure:"allowed_cidr"`  // who may call the API; 0.0.0.0/0 is everybody

	Domain   Domain   `mapstructure:"domain"`
	Source   Source   `mapstructure:"source"`
	Table    Table    `mapstructure:"table"`
	Assets   Assets   `mapstructure:"assets"`
	Function Function `mapstructure:"function"`
	Shift    Shift    `mapstructure:"shift"`
	Lease    Lease    `mapstructure:"lease"`
	Probe    Probe    `mapstructure:"probe"`
	Evidence Evidence `mapstructure:"evidence"`
	Alarms   Alarms   `mapstructure:"alarms"`
	Brake    Brake    `mapstructure:"brake"`
	Retire   Retire   `mapstructure:"retire"`
	Logs     Logs     `mapstructure:"logs"`
	Infra    Infra    `mapstructure:"infra"`
	AWS      AWS      `mapstructure:"aws"`
}

// Domain names the public record whose weights move the traffic.
type Domain struct {
	Name string `mapstructure:"name"` // the name users call: api.example.com
	Zone string `mapstructure:"zone"` // the hosted zone it lives in: example.com
	// Dualstack adds IPv6: AAAA records beside the A records, turned together.
	Dualstack bool `mapstructure:"dualstack"`
	// CheckerCIDR is where Route 53's health checkers come from; empty asks
	// AWS for its published ranges. Only used where allowed_cidr is narrow.
	CheckerCIDR []string `mapstructure:"checker_cidr"`
}

// Source is the blue side where tapctl did not create it.
type Source struct {
	External External `mapstructure:"external"`
}

// External is a source that somebody else runs: tapctl creates no cell for it
// and never changes it. One of the two ways to name it is given.
type External struct {
	// URL is where the forwarder sends requests: https://old.example.net. The
	// weighted record of blue takes over what the public name's record holds.
	URL string `mapstructure:"url"`
	// AliasName and AliasZone are what an alias record would lead to (the
	// target's DNS name and its hosted zone id). The forwarder connects there
	// and speaks TLS under the public name, as a user of blue does.
	AliasName string `mapstructure:"alias_name"`
	AliasZone string `mapstructure:"alias_zone"` // of alias_name
}

// Set tells whether the source is external.
func (e External) Set() bool { return e.URL != "" || e.AliasName != "" }

// Table is the application's table.
type Table struct {
	// Adopt is the name of a table that exists in source_region: tapctl adds a
	// replica where it has none in target_region, and changes nothing else.
	Adopt string `mapstructure:"adopt"`
}

// Assets are the two buckets and the website in them.
type Assets struct {
	// Adopt is the name of a bucket that exists in source_region: tapctl
	// replicates it and leaves its settings alone.
	Adopt         string `mapstructure:"adopt"`
	IndexDocument string `mapstructure:"index_document"` // what the website answers for a folder
	ErrorDocument string `mapstructure:"error_document"` // what the website answers where there is no such object
	CacheControl  string `mapstructure:"cache_control"`  // of what 'assets sync' uploads, but for HTML
	// OldVersionDays is how long overwritten and deleted objects are kept.
	OldVersionDays int `mapstructure:"old_version_days"`
}

// Brake is the operator's switch that needs no tapctl.
type Brake struct {
	// KillRegion has the alarm on the metric GreenKill, which an operator can
	// send when both regions of the migration are in trouble. Default: a region
	// that is neither of them.
	KillRegion string `mapstructure:"kill_region"`
}

// Retire is what must be true before blue goes for good.
type Retire struct {
	After       time.Duration `mapstructure:"after"`        // green has had all traffic this long
	Quiet       time.Duration `mapstructure:"quiet"`        // the time looked back for requests at blue
	MaxRequests int           `mapstructure:"max_requests"` // more of them in that time, and somebody is still there
}

// Function is the application's own code and how it runs.
type Function struct {
	API          string        `mapstructure:"api"`          // zip with the bootstrap of the application
	Forward      string        `mapstructure:"forward"`      // zip with the bootstrap of the forwarder
	Architecture string        `mapstructure:"architecture"` // arm64 | x86_64, of both packages
	MemoryMB     int           `mapstructure:"memory_mb"`    // of both functions; CPU grows with it
	Timeout      time.Duration `mapstructure:"timeout"`      // of the application; API Gateway waits 29 s
	HealthPath   string        `mapstructure:"health_path"`  // what checkers and probes ask for
	SecretTTL    time.Duration `mapstructure:"secret_ttl"`   // how long the function keeps the secret's value
}

// Shift is the default plan of a shift. Percents are 0..100.
type Shift struct {
	// Plan is lockstep, dns-first, budget, or the path of a plan's file.
	Plan string `mapstructure:"plan"`
	// HarmBudget is how many requests a bad green may harm by a budget plan;
	// Rate is everybody's requests a second, 0 asks CloudWatch.
	HarmBudget  float64       `mapstructure:"harm_budget"`
	Rate        float64       `mapstructure:"rate"`         // of the budget plan
	Step        float64       `mapstructure:"step"`         // percent per step
	To          float64       `mapstructure:"to"`           // where the last step ends
	Bake        time.Duration `mapstructure:"bake"`         // time a step is watched
	Settle      time.Duration `mapstructure:"settle"`       // after INSYNC: TTL plus metric delay
	SyncTimeout time.Duration `mapstructure:"sync_timeout"` // longest wait for INSYNC
	HoldTimeout time.Duration `mapstructure:"hold_timeout"` // longest time without a verdict before a retreat
	Poll        time.Duration `mapstructure:"poll"`         // between two looks
	MaxExposure float64       `mapstructure:"max_exposure"` // cap on the share of users on green's code
	// CanarySettle is Settle for a step that turns the canary alone: there is
	// no answer of DNS to forget, only API Gateway's own delay.
	CanarySettle   time.Duration `mapstructure:"canary_settle"`
	OnSignal       string        `mapstructure:"on_signal"`         // rollback | hold
	OnAlarmAtStart string        `mapstructure:"on_alarm_at_start"` // refuse | baseline | ignore
	OnIncident     string        `mapstructure:"on_incident"`       // rollback | freeze
	// OnCountAlarm is about a red alarm whose threshold is a count of single
	// failures: evidence asks the requests whether they are more than is
	// tolerated, rollback takes the alarm's word.
	OnCountAlarm string `mapstructure:"on_count_alarm"`
	// OnSharedIncident is about a green that fails while blue fails too: hold
	// (for hold_timeout at most) | rollback.
	OnSharedIncident string `mapstructure:"on_shared_incident"`
	OnInconclusive   string `mapstructure:"on_inconclusive"` // rollback | hold, once hold_timeout passed without a verdict
	// Approve are the exposures, in percent, that a step may not go beyond
	// until somebody has approved it.
	Approve          []float64     `mapstructure:"approve"`
	ApprovePromotion bool          `mapstructure:"approve_promotion"` // the promotion waits for an approval too
	ApproveTimeout   time.Duration `mapstructure:"approve_timeout"`   // nobody answering that long is a no
	// RetreatStep is how many percent of green's requests go back at once, 0
	// is all; RetreatPause is between two such portions.
	RetreatStep  float64       `mapstructure:"retreat_step"`
	RetreatPause time.Duration `mapstructure:"retreat_pause"` // between two portions of a retreat
	// MaxReplicationLag is how long an item may take to the other region, either
	// way, before a shift waits for the data; 0 never asks.
	MaxReplicationLag time.Duration `mapstructure:"max_replication_lag"`
	// JobTimeout is how long this process may run, 0 is for ever: a step that
	// would outlive it is not begun.
	JobTimeout time.Duration `mapstructure:"job_timeout"`
}

// The plans that have a name.
const (
	PlanLockstep = "lockstep"  // both dials together
	PlanDNSFirst = "dns-first" // the entrance, then the users
	PlanBudget   = "budget"    // dns first, then as evidence and a budget of harm allow
)

// PlanFile is the path of the plan's file, "" where the plan has a name.
func (s Shift) PlanFile() string {
	switch s.Plan {
	case PlanLockstep, PlanDNSFirst, PlanBudget:
		return ""
	default:
		return s.Plan
	}
}

// Lease bounds how long a dead runner keeps others out.
type Lease struct {
	TTL       time.Duration `mapstructure:"ttl"`       // after which a run that says nothing is dead; longer than a living one may be silent
	Heartbeat time.Duration `mapstructure:"heartbeat"` // between two extensions
	// OnExpired is what a shift does about one whose runner died: refuse (and
	// say which commands help), finish it, or revert it.
	OnExpired string `mapstructure:"on_expired"`
}

// Probe is tapctl's own traffic at green, which judges a step even when no
// user is there.
type Probe struct {
	Count       int           `mapstructure:"count"`        // requests per poll
	Timeout     time.Duration `mapstructure:"timeout"`      // real time
	MaxFailures int           `mapstructure:"max_failures"` // more than this in one step, and than evidence.slo, is a red step
	// Preflight invokes the candidate itself, a few hundred times, before the
	// first user reaches it; Paths are what is asked for, the health path where
	// there is none.
	Preflight bool     `mapstructure:"preflight"`
	Paths     []string `mapstructure:"paths"` // of the preflight
}

// Evidence is how the requests in green's access log are judged, the canary's
// against the base side's.
type Evidence struct {
	Enabled bool          `mapstructure:"enabled"` // false leaves a step to alarms and probes
	Lag     time.Duration `mapstructure:"lag"`     // until dials that stand act; requests of before are not the step's
	Poll    time.Duration `mapstructure:"poll"`    // between two looks while a budget plan exposes users
	Silent  time.Duration `mapstructure:"silent"`  // without any request for longer, nothing is known
	// Alpha is the probability, over a whole shift, of sending a good green back.
	Alpha          float64 `mapstructure:"alpha"`
	ToleratedRatio float64 `mapstructure:"tolerated_ratio"` // of green's share of failures to blue's
	// SLO is the tolerated share of failures, 0..1, where there is no blue to
	// compare with.
	SLO float64 `mapstructure:"slo"`
	// Slow is the limit of latency: the canary may exceed it no more often than
	// blue. 0 judges none.
	Slow time.Duration `mapstructure:"slow"`
	// MinRequests is how many requests of users the canary must have answered for
	// a step to count as measured; with 0 tapctl's own probes do where nobody comes.
	MinRequests int `mapstructure:"min_requests"`
}

// Alarms are the thresholds of the alarms (docs/infrastructure.md).
type Alarms struct {
	LambdaErrors      float64       `mapstructure:"lambda_errors"`      // failed invocations a minute; a count of single failures
	LambdaDuration    time.Duration `mapstructure:"lambda_duration"`    // mean of a minute
	API4XX            float64       `mapstructure:"api_4xx"`            // answers a minute
	API5XX            float64       `mapstructure:"api_5xx"`            // answers a minute; a count of single failures (shift.on_count_alarm)
	API5XXRate        float64       `mapstructure:"api_5xx_rate"`       // 0..1; Route 53's own brake watches this one
	APILatency        time.Duration `mapstructure:"api_latency"`        // mean of a minute
	DynamoDBThrottles float64       `mapstructure:"dynamodb_throttles"` // requests a minute
}

// Logs is how long logs are kept.
type Logs struct {
	RetentionDays int `mapstructure:"retention_days"` // a value that CloudWatch Logs accepts
}

// Infra is how Pulumi is run.
type Infra struct {
	// Provider says whose AWS provider creates resources: "aws" is Pulumi's
	// own plugin, "local" the in-process one of the embedded AWS, "auto"
	// picks local where the embedded AWS answers.
	Provider        string        `mapstructure:"provider"`
	BackendURL      string        `mapstructure:"backend_url"`      // where Pulumi keeps its state: an s3:// URL or Pulumi Cloud
	SecretsProvider string        `mapstructure:"secrets_provider"` // awskms://KEY?region=REGION, or passphrase
	Pulumi          string        `mapstructure:"pulumi"`           // directory that has the CLI as bin/pulumi; default: beside tapctl, then PATH
	Timeout         time.Duration `mapstructure:"timeout"`          // of one stack operation, real time
}

// AWS redirects tapctl to something other than real AWS.
type AWS struct {
	EndpointURL string `mapstructure:"endpoint_url"` // of every service, as the embedded AWS has one; default: the real ones
	DNSServer   string `mapstructure:"dns_server"`   // host:port asked for the public name; default: the system's resolver
	HTTPSPort   int    `mapstructure:"https_port"`   // where the front doors listen; default 443
	CABundle    string `mapstructure:"ca_bundle"`    // PEM file of further roots for the front doors
}

// Defaults are the values of keys that are not set. Keys that have none are
// required or empty.
func Defaults() Config {
	return Config{
		Purpose:     "region migration",
		AllowedCIDR: []string{"0.0.0.0/0"},
		Function: Function{
			Architecture: "arm64", MemoryMB: 256, Timeout: 10 * time.Second, HealthPath: "/healthz", SecretTTL: 5 * time.Minute,
		},
		Assets: Assets{IndexDocument: "index.html", ErrorDocument: "404.html", CacheControl: "public, max-age=300", OldVersionDays: 30},
		Retire: Retire{After: 24 * time.Hour, Quiet: 15 * time.Minute, MaxRequests: 5},
		Shift: Shift{
			Plan: PlanLockstep, HarmBudget: 5, Step: 10, To: 100, Bake: 5 * time.Minute, Settle: 2 * time.Minute, SyncTimeout: 5 * time.Minute,
			HoldTimeout: 10 * time.Minute, Poll: 15 * time.Second, MaxExposure: 100,
			CanarySettle: time.Minute, OnSignal: "rollback", OnAlarmAtStart: "refuse", OnIncident: "rollback", OnInconclusive: "rollback", OnSharedIncident: "hold", OnCountAlarm: "evidence",
			Approve: []float64{}, ApproveTimeout: time.Hour, RetreatPause: 30 * time.Second, MaxReplicationLag: 30 * time.Second,
		},
		Lease: Lease{TTL: 10 * time.Minute, Heartbeat: time.Minute, OnExpired: "refuse"},
		Probe: Probe{Count: 5, Timeout: 5 * time.Second, MaxFailures: 2, Preflight: true, Paths: []string{}},
		Evidence: Evidence{
			Enabled: true, Lag: 10 * time.Second, Poll: 2 * time.Second, Silent: time.Minute, Alpha: 0.01, ToleratedRatio: 1.5, SLO: 0.01, Slow: 2 * time.Second,
		},
		Alarms: Alarms{LambdaErrors: 1, LambdaDuration: 3 * time.Second, API4XX: 5, API5XX: 1, API5XXRate: 0.05, APILatency: 2 * time.Second, DynamoDBThrottles: 1},
		Logs:   Logs{RetentionDays: 30},
		Infra:  Infra{Provider: "auto", Timeout: 30 * time.Minute},
		AWS:    AWS{HTTPSPort: 443},
	}
}
