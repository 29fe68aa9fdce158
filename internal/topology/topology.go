// Package topology is every id that shift, rollback and status need: what
// deploy learned, kept in the control table and in a local copy, so that a
// rollback needs neither Pulumi nor its state.
package topology

import (
	"errors"
	"fmt"
)

// Side is blue (the source region's cell) or green (the target region's).
type Side string

// The two sides.
const (
	Blue  Side = "blue"
	Green Side = "green"
)

// Topology is what one deploy built. Field names are the JSON contract of the
// control table's item; fields may be added, never renamed.
type Topology struct {
	Team         string   `json:"team"`
	Environment  string   `json:"environment"`
	Account      string   `json:"account"`
	ZoneID       string   `json:"zone_id"`
	RecordName   string   `json:"record_name"`  // the public name
	RecordTypes  []string `json:"record_types"` // "A", and "AAAA" when dualstack
	ControlTable string   `json:"control_table"`
	Table        string   `json:"table"`
	HealthPath   string   `json:"health_path"`
	Source       Cell     `json:"source"`
	Target       Cell     `json:"target"`
	Alarms       []Alarm  `json:"alarms"` // green's
	// Controls are the names of blue's alarms, to which a shift compares green's
	// red ones; none in what was deployed before they were kept, and where blue
	// is not a cell.
	Controls []string `json:"controls,omitempty"`
	// Retired means that blue is gone or going: green's record is the only one
	// that counts, and nothing may lead traffic back.
	Retired bool `json:"retired,omitempty"`
	// External is where the forwarder reaches a blue that tapctl did not
	// create; "" where blue is a cell.
	External string `json:"external,omitempty"`
	// Bucket and Secret are by region: the assets, and the secret's ARN there.
	Bucket     map[string]string `json:"bucket,omitempty"`
	Secret     map[string]string `json:"secret,omitempty"`
	WebsiteURL string            `json:"website_url,omitempty"`
	// Keys are the ARNs of the customer keys, by region.
	Keys map[string]string `json:"keys,omitempty"`
	// KillRegion has the alarm of the operator's switch.
	KillRegion string `json:"kill_region,omitempty"`
}

// Cell is the ids of one region.
type Cell struct {
	Region       string `json:"region"`
	RestAPI      string `json:"rest_api"`
	Stage        string `json:"stage"`
	APIFunction  string `json:"api_function"`
	SetID        string `json:"set_id"` // SetIdentifier of its weighted record
	HealthCheck  string `json:"health_check"`
	ProbeName    string `json:"probe_name"`
	RegionalName string `json:"regional_name"` // d-xxxx.execute-api.REGION.amazonaws.com
	// Forwarder is the function whose alias live answers the base side before
	// promotion; empty in the source cell.
	Forwarder string `json:"forwarder,omitempty"`
	// AccessLog is the log group of its requests; "" in what was deployed
	// before it was kept.
	AccessLog string `json:"access_log,omitempty"`
	// Version is the label of the candidate that the last deploy gave this
	// cell; "" in what was deployed before it was kept.
	Version string `json:"version,omitempty"`
}

// FnForwarder, FnLive and FnNext are the values the stage variable fn takes.
func (c Cell) FnForwarder() string { return c.Forwarder + ":live" }

// FnLive is the promoted version of the application.
func (c Cell) FnLive() string { return c.APIFunction + ":live" }

// FnNext is the candidate.
func (c Cell) FnNext() string { return c.APIFunction + ":next" }

// Alarm is one alarm a shift is judged by.
type Alarm struct {
	Name   string `json:"name"`
	Region string `json:"region"`
	Side   Side   `json:"side"`
	// Sparse alarms have no data while all is well (DynamoDB throttles):
	// INSUFFICIENT_DATA is then no reason to hold.
	Sparse bool `json:"sparse,omitempty"`
	// Counts is what the alarm counts one by one, "errors" or "refused"; ""
	// where its threshold is a rate or a time.
	Counts string `json:"counts,omitempty"`
}

// Validate says which id is missing.
func (t Topology) Validate() error {
	var errs []error
	need := func(name, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("topology: %s is missing", name))
		}
	}
	need("zone_id", t.ZoneID)
	need("record_name", t.RecordName)
	if len(t.RecordTypes) == 0 {
		need("record_types", "")
	}
	need("source.set_id", t.Source.SetID)
	need("target.set_id", t.Target.SetID)
	need("target.region", t.Target.Region)
	need("target.rest_api", t.Target.RestAPI)
	need("target.stage", t.Target.Stage)
	need("target.api_function", t.Target.APIFunction)
	need("target.forwarder", t.Target.Forwarder)
	return errors.Join(errs...)
}
