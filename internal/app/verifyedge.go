package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// dns: what resolvers are told.
func (v *verification) dns(ctx context.Context) []Check {
	f := dnsFacts{name: v.top.RecordName, types: v.top.RecordTypes, sides: v.sides(), retired: v.top.Retired, external: v.top.External != "", journal: v.journal}
	var wait sync.WaitGroup
	ask(ctx, &wait, &f.records, func(ctx context.Context) ([]awsapi.NameRecord, error) {
		return v.Clients.RecordsUnder(ctx, v.top.ZoneID, v.top.RecordName)
	})
	for i, s := range f.sides {
		if s.absent == "" {
			ask(ctx, &wait, &f.domains[i], func(ctx context.Context) (infra.RegionalDomain, error) {
				return v.Clients.RegionalDomain(ctx, s.Region, v.top.RecordName)
			})
		}
	}
	wait.Wait()
	return f.checks()
}

type dnsFacts struct {
	name              string
	types             []string
	sides             [2]side
	retired, external bool
	records           read[[]awsapi.NameRecord]
	domains           [2]read[infra.RegionalDomain] // of the public name, by side
	journal           recorded
}

const (
	deployNext  = "tapctl deploy"
	previewNext = "tapctl preview, then tapctl deploy"
)

func (f dnsFacts) checks() []Check {
	const expected, other, weights, asRecorded = "records", "no other record", "weights", "weights as recorded"
	leads := func(s side) string { return string(s.colour) + " leads to its region" }
	if f.records.err != nil {
		checks := []Check{unread(expected, f.records.err)}
		for _, name := range []string{other, leads(f.sides[0]), leads(f.sides[1]), weights, asRecorded} {
			checks = append(checks, skipped(name, "the records were not read"))
		}
		return checks
	}
	checks := []Check{f.expected(expected), f.other(other)}
	for i, s := range f.sides {
		checks = append(checks, f.leads(leads(s), i))
	}
	live, check := f.weights(weights)
	percent := func(p cutover.Percent) string { return fmt.Sprintf("%v%% to green", p) }
	want := f.journal.setting.DNS
	if f.retired {
		want = 100
	}
	return append(checks, check, f.journal.compare(asRecorded, live == want, percent(live), percent(want)))
}

// of are the weighted records of one side, by type.
func (f dnsFacts) of(s side) map[string]awsapi.NameRecord {
	found := map[string]awsapi.NameRecord{}
	for _, r := range f.records.value {
		if r.Weighted && r.SetID == s.SetID {
			found[r.Type] = r
		}
	}
	return found
}

// present are the sides that must have records.
func (f dnsFacts) present() []side {
	if f.retired {
		return f.sides[1:]
	}
	return f.sides[:]
}

func (f dnsFacts) expected(name string) Check {
	var problems, seen []string
	for _, s := range f.present() {
		found := f.of(s)
		for _, kind := range f.types {
			if _, ok := found[kind]; ok {
				seen = append(seen, s.SetID+" "+kind)
			} else {
				problems = append(problems, fmt.Sprintf("%s has no weighted %s record %q", f.name, kind, s.SetID))
			}
		}
	}
	return judged(name, deployNext, strings.Join(seen, ", "), problems)
}

func (f dnsFacts) other(name string) Check {
	var problems []string
	for _, r := range f.records.value {
		known := slices.ContainsFunc(f.present(), func(s side) bool { return s.SetID == r.SetID }) && slices.Contains(f.types, r.Type)
		shares := slices.Contains([]string{"A", "AAAA", "CNAME"}, r.Type)
		if shares && !(known && r.Weighted) {
			problems = append(problems, fmt.Sprintf("a %s record %q that tapctl did not make shares the name", r.Type, r.SetID))
		}
	}
	return judged(name, "find out whose it is and delete it, then: tapctl verify", "all are weighted and tapctl's", problems)
}

func (f dnsFacts) leads(name string, i int) Check {
	s, domain := f.sides[i], f.domains[i]
	found := f.of(s)
	switch {
	case s.absent != "":
		return skipped(name, s.absent)
	case domain.err != nil:
		return unread(name, domain.err)
	case len(found) == 0:
		return skipped(name, "it has no record")
	}
	var problems []string
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		// Route 53 answers dualstack.NAME where it was asked for that.
		if target := strings.TrimPrefix(found[kind].Alias, "dualstack."); !strings.EqualFold(target, domain.value.Name) {
			problems = append(problems, fmt.Sprintf("its %s record leads to %q, %s has %s", kind, target, s.Region, domain.value.Name))
		}
	}
	return judged(name, previewNext, domain.value.Name, problems)
}

// weights gives green's share too, of the first type: that the others agree is
// part of the check.
func (f dnsFacts) weights(name string) (cutover.Percent, Check) {
	var problems, seen []string
	share := cutover.Percent(-1)
	for _, kind := range f.types {
		blue, hasBlue := f.of(f.sides[0])[kind]
		green, hasGreen := f.of(f.sides[1])[kind]
		total := blue.Weight + green.Weight
		p := cutover.Percent(50)
		switch {
		case !hasBlue:
			p = 100 // a record that is alone is every answer, whatever its weight
		case !hasGreen:
			p = 0
		case total == 0:
			problems = append(problems, fmt.Sprintf("every %s weight is 0, which Route 53 answers with an even split", kind))
		default:
			p = cutover.Percent(100*green.Weight) / cutover.Percent(total)
		}
		if share >= 0 && p != share {
			problems = append(problems, fmt.Sprintf("the types disagree: %s leads %v%% to green, the other %v%%", kind, p, share))
		}
		if share < 0 {
			share = p
		}
		seen = append(seen, fmt.Sprintf("%s blue %d, green %d", kind, blue.Weight, green.Weight))
	}
	return share, judged(name, "tapctl status, then tapctl rollback", strings.Join(seen, "; "), problems)
}

// healthChecks: the brake that needs no tapctl.
func (v *verification) healthChecks(ctx context.Context) []Check {
	f := brakeFacts{sides: v.sides(), types: v.top.RecordTypes, retired: v.top.Retired, alarms: map[string]*read[map[string]awsapi.AlarmDefinition]{}}
	var wait sync.WaitGroup
	ask(ctx, &wait, &f.records, func(ctx context.Context) ([]awsapi.NameRecord, error) {
		return v.Clients.RecordsUnder(ctx, v.top.ZoneID, v.top.RecordName)
	})
	now := v.Clock.Now()
	for i, s := range f.sides {
		if f.reason(s) != "" {
			continue
		}
		ask(ctx, &wait, &f.checked[i], func(ctx context.Context) ([]awsapi.HealthCheck, error) {
			return v.Clients.HealthChecks(ctx, s.HealthCheck)
		})
		ask(ctx, &wait, &f.healthy[i], func(ctx context.Context) (minutes, error) {
			well, n, err := v.Clients.Healthy(ctx, s.HealthCheck, now.Add(-healthWindow), now)
			return minutes{well, n}, err
		})
	}
	wait.Wait()
	for region, names := range f.watched() {
		f.alarms[region] = &read[map[string]awsapi.AlarmDefinition]{}
		ask(ctx, &wait, f.alarms[region], func(ctx context.Context) (map[string]awsapi.AlarmDefinition, error) {
			return v.Clients.AlarmDefinitions(ctx, region, names)
		})
	}
	wait.Wait()
	return f.all()
}

// minutes of a health check's status.
type minutes struct {
	well bool // 1 in every one
	n    int
}

type brakeFacts struct {
	sides   [2]side
	types   []string
	retired bool
	records read[[]awsapi.NameRecord]
	checked [2]read[[]awsapi.HealthCheck]
	healthy [2]read[minutes]
	alarms  map[string]*read[map[string]awsapi.AlarmDefinition] // by region
}

// reason says why the side has no check to look at. That of an external blue
// is tapctl's, where its URL could be checked.
func (f brakeFacts) reason(s side) string {
	switch {
	case s.colour == topology.Blue && f.retired:
		return s.absent
	case s.HealthCheck == "":
		return "it has no health check: its address answers under the public name only"
	default:
		return ""
	}
}

// watched are the alarms that checks watch, by region.
func (f brakeFacts) watched() map[string][]string {
	names := map[string][]string{}
	for _, checked := range f.checked {
		for _, c := range checked.value {
			if c.AlarmName != "" {
				names[c.AlarmRegion] = append(names[c.AlarmRegion], c.AlarmName)
			}
		}
	}
	return names
}

func (f brakeFacts) all() []Check {
	var checks []Check
	for i, s := range f.sides {
		attached, enabled, healthy := "attached to "+string(s.colour), "enabled for "+string(s.colour), "healthy "+string(s.colour)
		if why := f.reason(s); why != "" {
			checks = append(checks, skipped(attached, why), skipped(enabled, why), skipped(healthy, why))
			continue
		}
		checks = append(checks, f.attached(attached, s), f.enabled(enabled, f.checked[i]), f.well(healthy, s, f.healthy[i]))
	}
	for _, checked := range f.checked {
		for _, c := range checked.value {
			if c.AlarmName != "" {
				checks = append(checks, f.copied(c))
			}
		}
	}
	return checks
}

func (f brakeFacts) attached(name string, s side) Check {
	if f.records.err != nil {
		return unread(name, f.records.err)
	}
	var problems []string
	seen := 0
	for _, r := range f.records.value {
		if r.SetID != s.SetID || !r.Weighted {
			continue
		}
		seen++
		if r.HealthCheck != s.HealthCheck {
			problems = append(problems, fmt.Sprintf("its %s record has the check %q", r.Type, r.HealthCheck))
		}
	}
	if seen == 0 {
		return skipped(name, "it has no record")
	}
	return judged(name, deployNext, s.HealthCheck, problems)
}

func (f brakeFacts) enabled(name string, checked read[[]awsapi.HealthCheck]) Check {
	if checked.err != nil {
		return unread(name, checked.err)
	}
	var problems []string
	for _, c := range checked.value {
		if c.Disabled {
			problems = append(problems, c.ID+" is disabled and counts as healthy")
		}
		if c.Inverted {
			problems = append(problems, c.ID+" is inverted")
		}
	}
	return judged(name, deployNext, fmt.Sprintf("the check and its %d parts", len(checked.value)-1), problems)
}

func (f brakeFacts) well(name string, s side, status read[minutes]) Check {
	switch m := status.value; {
	case status.err != nil:
		return unread(name, status.err)
	case m.n == 0:
		return failed(name, "tapctl verify, in a minute", "its health check has no data in the last %v", healthWindow)
	case !m.well:
		return failed(name, "tapctl status", "%s was unhealthy in the last %v", s.HealthCheck, healthWindow)
	case m.n < healthMinutes:
		return failed(name, "tapctl verify, in a minute", "insufficient data: its health check has %d minute(s) in the last %v, at least %d tell", m.n, healthWindow, healthMinutes)
	default:
		return passed(name, "in each of %d minute(s) of the last %v", m.n, healthWindow)
	}
}

// copied: Route 53 watches the definition that the alarm had when the check
// was made or last updated, not the alarm.
func (f brakeFacts) copied(c awsapi.HealthCheck) Check {
	name := "copy of alarm " + c.AlarmName
	alarms := f.alarms[c.AlarmRegion]
	if alarms.err != nil {
		return unread(name, alarms.err)
	}
	live, ok := alarms.value[c.AlarmName]
	if !ok {
		return failed(name, deployNext, "there is no such alarm in %s", c.AlarmRegion)
	}
	var problems []string
	differs := func(what string, stored, now any) {
		if stored != now {
			problems = append(problems, fmt.Sprintf("its %s is %v, the alarm's %v", what, stored, now))
		}
	}
	stored := c.Copy
	differs("metric", stored.Namespace+" "+stored.Metric, live.Namespace+" "+live.Metric)
	differs("statistic", stored.Statistic, live.Statistic)
	differs("threshold", stored.Threshold, live.Threshold)
	differs("comparison", stored.Comparison, live.Comparison)
	differs("period", stored.Period, live.Period)
	differs("number of periods", stored.Evaluations, live.Evaluations)
	differs("dimensions", fmt.Sprint(stored.Dimensions), fmt.Sprint(live.Dimensions))
	return judged(name, previewNext, fmt.Sprintf("%s %s of %s, threshold %v", live.Statistic, live.Metric, c.AlarmRegion, live.Threshold), problems)
}
