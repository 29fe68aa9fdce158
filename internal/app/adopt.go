package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
)

// adoptBucket refuses a bucket whose replication would not come about, or whose
// own would be lost: S3 keeps one replication configuration, and a new one
// replaces it.
func (d *deployment) adoptBucket(ctx context.Context) error {
	c := d.Config
	if c.Assets.Adopt == "" {
		return nil
	}
	found, err := d.Clients.BucketState(ctx, c.SourceRegion, c.Assets.Adopt)
	if err != nil {
		return fmt.Errorf("adopt bucket %s in %s: %w; correct assets.adopt, or leave it out to have one made", c.Assets.Adopt, c.SourceRegion, err)
	}
	if why, next := unfit(found, infra.ReplicationRule(c.TargetRegion), c.BucketName(c.TargetRegion, d.input.Account)); why != "" {
		return &Refused{Cause: fmt.Errorf("adopt bucket %s in %s: %s", c.Assets.Adopt, c.SourceRegion, why), Next: next}
	}
	d.say(cutover.EventPlan, "adopting bucket %s in %s", c.Assets.Adopt, c.SourceRegion)
	return nil
}

// unfit says what keeps a bucket from being adopted, and what to do about it.
// rule and destination are those of tapctl's own replication.
func unfit(b awsapi.BucketState, rule, destination string) (why, next string) {
	theirs := slices.IndexFunc(b.Rules, func(r awsapi.ReplicationRule) bool { return r.ID != rule || r.Destination != destination })
	switch {
	case !b.Versioned:
		return "its versioning is not enabled, and replication needs it", "enable its versioning, then: tapctl deploy"
	case theirs >= 0:
		return fmt.Sprintf("its replication rule %s to %s would be replaced by tapctl's", b.Rules[theirs].ID, b.Rules[theirs].Destination),
			"take the rule away, or leave assets.adopt out to have a bucket made"
	default:
		return "", ""
	}
}

// adopt looks at what exists already and is to be used as it is.
func (d *deployment) adopt(ctx context.Context) error {
	if err := d.adoptTable(ctx); err != nil {
		return err
	}
	return d.adoptLoggingRole(ctx)
}

// adoptLoggingRole reads the setting that is one for all of the account, in the
// regions where base has not made it.
func (d *deployment) adoptLoggingRole(ctx context.Context) error {
	made, err := d.ask.Runner.Names(ctx, d.name("base"))
	if err != nil {
		return err
	}
	d.input.Adopted.LoggingRole = map[string]string{}
	for _, region := range []string{d.Config.SourceRegion, d.Config.TargetRegion} {
		if slices.Contains(made, infra.LoggingSetting(region)) {
			continue
		}
		role, err := d.Clients.LoggingRole(ctx, region)
		if err != nil {
			return err
		}
		if role != "" {
			d.input.Adopted.LoggingRole[region] = role
			d.say(cutover.EventPlan, "API Gateway logs in %s with %s, which stays", region, role)
		}
	}
	return nil
}

func (d *deployment) adoptTable(ctx context.Context) error {
	c := d.Config
	if c.Table.Adopt == "" {
		return nil
	}
	table, err := d.Clients.AdoptedTable(ctx, c.Table.Adopt, c.SourceRegion, c.TargetRegion)
	if err != nil {
		return err
	}
	outputs, err := d.ask.Runner.Outputs(ctx, d.name("base"))
	if err != nil {
		return err
	}
	if outputs.Text("adopted_replica") == table.Name {
		table.HasReplica = false // it is this stack's: without it in the program it would be deleted
	}
	d.input.Adopted.Table = table
	d.say(cutover.EventPlan, "adopting table %s in %s", table.Name, c.SourceRegion)
	return nil
}

// records reads what the public name leads to, and refuses what a deploy would
// take users away from or could not take over.
func (d *deployment) records(ctx context.Context) (awsapi.Records, error) {
	name := d.Config.Domain.Name
	found, err := d.Clients.PublicRecords(ctx, d.input.ZoneID, name)
	if err != nil {
		return found, err
	}
	return found, unfitRecords(name, found, d.Config.RecordTypes(), d.Config.Source.External)
}

// unfitRecords is the refusal of what the public name has, where there is one.
// types are those that tapctl makes and turns together: one that it does not
// turn would keep its users where they are, whatever the dials say.
func unfitRecords(name string, found awsapi.Records, types []string, external config.External) error {
	refuse := func(next, format string, args ...any) error {
		return &Refused{Cause: fmt.Errorf("%s "+format, append([]any{name}, args...)...), Next: next}
	}
	switch {
	case found.CNAME != "":
		return refuse("replace it by an A record (alias), which answers the same, then: tapctl deploy",
			"is a CNAME to %s, which cannot share its name with weighted address records", found.CNAME)
	case len(found.Plain) > 0 && !external.Set():
		return refuse("name what serves them today in source.external, then: tapctl deploy",
			"has a record that tapctl did not make (%s): its users would be taken to a new, empty blue", describe(found.Plain))
	case external.URL != "" && len(found.Plain) == 0 && len(found.Weighted) == 0:
		return refuse("name the target in source.external.alias_name and alias_zone",
			"has no record to take over, and source.external.url alone does not say where an address record leads")
	}
	for _, kind := range []string{"A", "AAAA"} {
		_, plain := found.Plain[kind]
		there, wanted := plain || found.Weighted[kind], slices.Contains(types, kind)
		switch {
		case there && !wanted:
			return refuse("set domain.dualstack to true", "has an %s record, which tapctl would not turn: who comes by it would stay where it leads", kind)
		case wanted && !there && external.Set() && len(found.Plain)+len(found.Blue) > 0:
			return refuse(map[string]string{"A": "add an A record that leads to the same place", "AAAA": "set domain.dualstack to false"}[kind],
				"has no %s record, so green's would take all of its users at once", kind)
		}
	}
	return nil
}

func describe(records map[string]infra.ExternalRecord) string {
	var parts []string
	for kind, r := range records {
		target := strings.Join(r.Values, ", ")
		if r.Alias != nil {
			target = "alias of " + r.Alias.Name
		}
		parts = append(parts, kind+": "+target)
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// external is what blue's records hold: what is live, or what the
// configuration says where there is none yet.
func (d *deployment) external(found awsapi.Records) map[string]infra.ExternalRecord {
	e := d.Config.Source.External
	if !e.Set() {
		return nil
	}
	content := map[string]infra.ExternalRecord{}
	for _, kind := range d.Config.RecordTypes() {
		if live, ok := found.Blue[kind]; ok {
			content[kind] = live
		} else if e.AliasName != "" {
			content[kind] = infra.ExternalRecord{Alias: &infra.RegionalDomain{Name: e.AliasName, ZoneID: e.AliasZone}}
		}
	}
	return content
}

// takeOver makes the plain record of an external blue its weighted one, before
// Pulumi adds green's beside it: the two kinds cannot share a name, and Pulumi
// cannot change both at once.
func (d *deployment) takeOver(ctx context.Context) error {
	found, err := d.records(ctx)
	if err != nil || len(found.Plain) == 0 {
		return err
	}
	if err := d.mine(ctx); err != nil {
		return err
	}
	d.say(cutover.EventWrite, "%s: the plain record (%s) becomes blue's weighted one, with the same target, in one batch", d.Config.Domain.Name, describe(found.Plain))
	return d.Clients.MakeWeighted(ctx, d.input.ZoneID, found)
}

// baseStays refuses an update that would delete or replace anything of base.
// Pulumi would refuse as well, but only when it came to that resource, in the
// middle of the update.
func (d *deployment) baseStays(ctx context.Context) error {
	outputs, err := d.ask.Runner.Outputs(ctx, d.name("base"))
	if err != nil || outputs.Text("control_table") == "" {
		return err
	}
	_, planned, err := d.ask.Runner.Preview(ctx, d.name("base"), infra.BaseProgram(d.input))
	if err := refuseLoss(d.name("base"), planned, err); err != nil {
		return refused(err)
	}
	return nil
}

// refuseLoss is the refusal of a preview that would lose something, or what
// the preview failed with. Where Pulumi itself refuses, because all of base is
// protected, its error says what would go.
func refuseLoss(stack string, planned []infra.Change, failed error) error {
	if e, ok := errors.AsType[*infra.StackError](failed); ok {
		planned = slices.Concat(e.Losses(), planned)
	}
	for _, change := range planned {
		if change.Op != "create" && change.Op != "update" {
			return &Refused{
				Cause: fmt.Errorf("stack %s: %s %s would be lost (%s), and nobody may lose what is in base", stack, change.Type, change.Name, change.Op),
				Next:  "undo the change of the configuration that asks for this; 'tapctl preview' shows the rest",
			}
		}
	}
	return failed
}
