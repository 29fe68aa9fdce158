package bench

import (
	"fmt"
	"slices"
)

// Table is one traffic level.
type Table struct {
	RPS  int
	rows []Row
}

// Tables splits the rows by traffic level, in their order.
func Tables(rows []Row) []Table {
	var tables []Table
	for _, r := range rows {
		i := slices.IndexFunc(tables, func(t Table) bool { return t.RPS == r.RPS })
		if i < 0 {
			tables, i = append(tables, Table{RPS: r.RPS}), len(tables)
		}
		tables[i].rows = append(tables[i].rows, r)
	}
	return tables
}

// faults are the worlds of the table in which green is bad, in order.
func (t Table) faults() []string {
	var names []string
	for _, r := range t.rows {
		if r.Fault != healthy && r.Fault != shared && !slices.Contains(names, r.Fault) {
			names = append(names, r.Fault)
		}
	}
	return names
}

func (t Table) policies() []string {
	var names []string
	for _, r := range t.rows {
		if !slices.Contains(names, r.Policy) {
			names = append(names, r.Policy)
		}
	}
	return names
}

func (t Table) row(policy, fault string) Row {
	for _, r := range t.rows {
		if r.Policy == policy && r.Fault == fault {
			return r
		}
	}
	return Row{}
}

// fromStart is how many of the faults, which come first, are there from the
// first request on.
const fromStart = 6

// Text is the table's cells, in two parts that fit a screen: faults from the
// start, and the rest. Each is a header, then a line per policy.
func (t Table) Text() [][][]string {
	faults := t.faults()
	split := min(fromStart, len(faults))
	return [][][]string{t.part(faults[:split], false), t.part(faults[split:], true)}
}

func (t Table) part(faults []string, last bool) [][]string {
	header := append([]string{"policy", "false rollback"}, faults...)
	if last {
		header = append(header, "shared: blamed", "healthy done", "dial writes")
	}
	lines := [][]string{header}
	for _, policy := range t.policies() {
		well := t.row(policy, healthy)
		line := []string{policy, fmt.Sprintf("%.1f%% (<=%.3g%%)", 100*well.FalseRollback, 100*well.FalseUpper)}
		for _, fault := range faults {
			line = append(line, t.row(policy, fault).cell())
		}
		if last {
			blamed := t.row(policy, shared)
			line = append(line, fmt.Sprintf("%.0f%%", 100*blamed.FalseRollback), fmt.Sprintf("%.0f s", well.DoneS), fmt.Sprintf("%.0f", well.Writes))
		}
		lines = append(lines, line)
	}
	return lines
}

// cell is harm, its 95th percentile, how many times tapctl's it is, seconds to
// restore, and how many were missed.
func (r Row) cell() string {
	cell := fmt.Sprintf("%.1f", r.HarmedMean)
	if r.HarmedMean >= 100 {
		cell = fmt.Sprintf("%.0f", r.HarmedMean)
	}
	cell += fmt.Sprintf(" (%.0f)", r.HarmedP95)
	if r.Ratio != nil && r.Policy != Ours {
		cell += fmt.Sprintf(" x%.2g", *r.Ratio)
		if *r.Ratio >= 100 {
			cell = fmt.Sprintf("%.0f (%.0f) x%.0f", r.HarmedMean, r.HarmedP95, *r.Ratio)
		}
	}
	if r.RestoreS != nil {
		cell += fmt.Sprintf(" %.0fs", *r.RestoreS)
	}
	if r.Missed > 0 {
		cell += fmt.Sprintf(" m%d", r.Missed)
	}
	return cell
}
