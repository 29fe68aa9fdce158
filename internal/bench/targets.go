package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Target is a promise of docs/detection.md held against rows. Got and Limit
// are in Unit; Why is what a miss is due to.
type Target struct {
	Name  string  `json:"name"`
	Got   float64 `json:"got"`
	Op    string  `json:"op"` // "<=" or ">="
	Limit float64 `json:"limit"`
	Unit  string  `json:"unit"`
	Pass  bool    `json:"pass"`
	Why   string  `json:"why,omitempty"`
}

// String is a line: PASS or MISS first.
func (t Target) String() string {
	verdict := "MISS"
	if t.Pass {
		verdict = "PASS"
	}
	line := fmt.Sprintf("%s  %s: %.3g %s, want %s %.3g", verdict, t.Name, t.Got, t.Unit, t.Op, t.Limit)
	if t.Why != "" {
		line += " (" + t.Why + ")"
	}
	return line
}

// most and least are targets; a value that is not known misses.
func most(name string, got *float64, limit float64, unit string) Target {
	t := Target{Name: name, Op: "<=", Limit: limit, Unit: unit}
	if got == nil || math.IsNaN(*got) {
		t.Why = "never happened"
		return t
	}
	t.Got, t.Pass = *got, *got <= limit
	return t
}

func least(name string, got *float64, limit float64, unit string) Target {
	t := Target{Name: name, Op: ">=", Limit: limit, Unit: unit}
	if got == nil {
		t.Why = "tapctl harmed nobody: no ratio"
		t.Pass = true
		return t
	}
	t.Got, t.Pass = *got, *got >= limit
	return t
}

// results finds rows by policy, fault and rate.
type results []Row

func (t results) row(policy, fault string, rps int) *Row {
	i := slices.IndexFunc(t, func(r Row) bool { return r.Policy == policy && r.Fault == fault && r.RPS == rps })
	if i < 0 {
		return nil
	}
	return &t[i]
}

func (t results) rates() []int {
	var rates []int
	for _, r := range t {
		if !slices.Contains(rates, r.RPS) {
			rates = append(rates, r.RPS)
		}
	}
	return rates
}

// gross are the faults that the harm targets speak of.
var gross = []string{"5%", "50%", "100%"}

// Targets are the promises of docs/detection.md, as
// far as the rows cover them.
func Targets(rows []Row) []Target {
	t := results(rows)
	var targets []Target
	for _, rps := range t.rates() {
		if rps < 100 {
			continue // bound by statistics; shown, not promised
		}
		targets = append(targets, t.harm(Ours, rps)...)
		for _, fault := range []string{"50%", "100%"} {
			restored := most(fmt.Sprintf("T3 median seconds to restore, %s failing, %d rps", fault, rps), t.row(Ours, fault, rps).RestoreS, 25, "s")
			if !restored.Pass && restored.Why == "" {
				restored.Why = fmt.Sprintf("%.0f s are the loop, and the first weight is so small that a proof takes the rest: few are harmed meanwhile", OurLags(float64(rps)).Latency().Seconds())
			}
			targets = append(targets, restored)
		}
	}
	targets = append(targets, t.visible())
	if slices.Contains(t.rates(), 1000) {
		targets = append(targets, t.quick(1000)...)
		targets = append(targets, t.ratios(1000)...)
		late := most("T7 median seconds to restore, 1% failing from weight 50% on, 1000 rps", t.row(Ours, lateOne, 1000).RestoreS, 30, "s")
		if !late.Pass && late.Why == "" {
			late.Why = "the detectors of a late fault pay for the longest run that a plan allows, with every wait in it"
		}
		targets = append(targets, late)
	}
	return targets
}

// harm is T1: few harmed, at few false rollbacks.
func (t results) harm(policy string, rps int) []Target {
	mean, p95, at := math.Inf(-1), math.Inf(-1), ""
	for _, fault := range gross {
		r := t.row(policy, fault, rps)
		if r.HarmedMean > mean {
			mean, at = r.HarmedMean, fault
		}
		p95 = math.Max(p95, r.HarmedP95)
	}
	m := most(fmt.Sprintf("T1 mean harmed, worst of %v failing (%s), %d rps", gross, at, rps), &mean, 10, "requests")
	if !m.Pass {
		latency := OurLags(float64(rps)).Latency().Seconds()
		m.Why = fmt.Sprintf("the dials' finest weight of %g%% alone is %.1f requests in one latency of %.0f s", 100*dialGrain, latency*float64(rps)*dialGrain, latency)
	}
	w := t.row(policy, healthy, rps)
	upper := 100 * w.FalseUpper
	f := most(fmt.Sprintf("T1 false rollbacks, 95%% bound of %d healthy releases, %d rps", w.Seeds, rps), &upper, 1, "%")
	if !f.Pass && w.FalseRollback == 0 {
		f.Why = "none was blamed; more seeds are needed to say more"
	}
	return []Target{m, most(fmt.Sprintf("T1 95th percentile harmed, %d rps", rps), &p95, 25, "requests"), f}
}

// visible is T2: what probes can see harms nobody, at any rate.
func (t results) visible() Target {
	total := 0.0
	for _, rps := range t.rates() {
		for _, fault := range []string{visibleFew, visibleHalf} {
			total += t.row(Ours, fault, rps).ExposedMean
		}
	}
	return most("T2 requests exposed to a fault of 5% or more that probes see, all rates", &total, 0, "requests")
}

// quick is T4: the same in three minutes.
func (t results) quick(rps int) []Target {
	harm := t.harm(oursFast, rps)
	harm[0].Name = "T4 two-minute ramp: " + harm[0].Name
	harm[2].Name = "T4 two-minute ramp: " + harm[2].Name
	done := most(fmt.Sprintf("T4 two-minute ramp: mean seconds to promote, %d rps", rps), t.row(oursFast, healthy, rps).PromoteS, 180, "s")
	if !done.Pass {
		done.Why = "two minutes of dwells, but a budget of 5 grows by less than two times a dwell of one latency, and the last weight is watched for a minute"
	}
	return []Target{harm[0], harm[2], done}
}

// ratios are T6: tapctl's harm against two defaults.
func (t results) ratios(rps int) []Target {
	var targets []Target
	for _, policy := range []string{codeDeployLinear, flaggerDefault} {
		for fault, limit := range map[string]float64{"1%": 20, "5%": 100, "50%": 100, "100%": 100} {
			targets = append(targets, least(fmt.Sprintf("T6 times fewer harmed than %s, %s failing, %d rps", policy, fault, rps), t.row(policy, fault, rps).Ratio, limit, "times"))
		}
	}
	slices.SortFunc(targets, func(a, b Target) int { return cmp.Compare(a.Name, b.Name) })
	return targets
}

// Notes are what the rows cannot promise, and why.
func Notes(rows []Row) []string {
	t := results(rows)
	var notes []string
	for _, rps := range t.rates() {
		latency := OurLags(float64(rps)).Latency().Seconds()
		r := t.row(Ours, lateHalf, rps)
		floor := Fault("", float64(rps), 0.05).excess() * 0.5 * float64(rps) * latency
		notes = append(notes, fmt.Sprintf("a fault of 5%% that begins once green has half of the users is bound by physics at %d rps: excess x weight x rate x latency = 0.049 x 0.5 x %d x %.0f s = %.0f requests at least; tapctl harmed %.0f",
			rps, rps, latency, floor, r.HarmedMean))
	}
	notes = append(notes,
		"at 10 rps statistics bind: small faults are promoted (m) by everybody who does not also blame healthy releases",
		"faults that begin after the promotion are met by nobody here: see the column of 5% from 400 s",
		"every lag is an assumption, not a measurement of AWS; tapctl's are 5 s for a log line, 2 s for a look, 5 s more where the log is asked (above 500 rps), and 5 s for the canary percent",
		"latency is judged at evidence.slow, of which blue's answers exceed one in a hundred here; the row without it shows what that costs and saves")
	return notes
}
