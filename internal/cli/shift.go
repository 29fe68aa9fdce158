package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/cutover"
)

func (c *command) shiftCommand() *cobra.Command {
	var ask app.ShiftAsk
	var via string
	cmd := &cobra.Command{
		Use:         "shift",
		Annotations: turnsDials(),
		Short:       "Move traffic to green step by step, watching; go back when it is unhealthy",
		Long: `shift probes green's candidate, moves the dials from where they stand to --to
percent, waits for Route 53 and for resolvers, watches alarms, green's requests
and its own probes for --bake, and goes on only while the verdict is healthy. A
green that is worse than blue sends everybody back (exit 4). At 100 percent
green's version is promoted.

--plan lockstep turns both dials together: exposure 1, 4, 9 ... 100 percent.
dns-first moves the whole entrance while the forwarder answers, then the users.
budget does so too, and takes users only as fast as the evidence so far keeps a
bad green from harming more than shift.harm_budget requests. A path names a file
of steps and pauses. 'tapctl plan' shows what each would do.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := viaOf(cmd, via, &ask); err != nil {
				return err
			}
			if err := c.resumesAsBegun(cmd, ask); err != nil {
				return err
			}
			return c.shift(cmd, ask)
		},
	}
	planFlags(cmd, &via, &ask)
	flags := cmd.Flags()
	flags.String("on-signal", "", "rollback or hold (shift.on_signal)")
	flags.String("on-alarm-at-start", "", "refuse, baseline or ignore (shift.on_alarm_at_start)")
	flags.String("on-incident", "", "rollback or freeze (shift.on_incident)")
	flags.String("on-inconclusive", "", "rollback or hold, without a verdict (shift.on_inconclusive)")
	flags.BoolVar(&ask.Once, "once", false, "do one step and hold")
	flags.BoolVar(&ask.Resume, "resume", false, "take up the shift that is open")
	flags.BoolVar(&ask.DryRun, "dry-run", false, "show the steps")
	return cmd
}

// resumesAsBegun refuses flags that a resumed shift has no use for: it goes on by
// the plan and the policies that it began with.
func (c *command) resumesAsBegun(cmd *cobra.Command, ask app.ShiftAsk) error {
	if !ask.Resume {
		return nil
	}
	for _, name := range c.typed {
		if slices.Contains([]string{
			"plan", "step", "to", "bake", "max-exposure", "harm-budget", "approve", "via", "no-promote", "on-signal", "on-incident", "on-inconclusive",
		}, name) {
			return &usageError{cmd.CommandPath(), fmt.Errorf("--%s with --resume: a shift goes on by the plan and the policies that it began with; 'tapctl rollback' and a new shift change them", name)}
		}
	}
	return nil
}

// planFlags are what shapes the plan of a shift.
func planFlags(cmd *cobra.Command, via *string, ask *app.ShiftAsk) {
	flags := cmd.Flags()
	flags.String("plan", "", "lockstep, dns-first, budget, or the path of a plan's file (shift.plan)")
	flags.Float64("step", 0, "percent per step (shift.step)")
	flags.Float64("to", 0, "percent to end at (shift.to)")
	flags.Duration("bake", 0, "how long a step is watched (shift.bake)")
	flags.Float64("max-exposure", 0, "cap on the percent of users on green's code (shift.max_exposure)")
	flags.Float64("harm-budget", 0, "requests that a bad green may harm by a budget plan (shift.harm_budget)")
	flags.String("approve", "", "exposures, in percent, that need 'tapctl approve' to go beyond: 10,50 (shift.approve)")
	flags.Duration("job-timeout", 0, "how long this process may run: no step that would outlive it is begun (shift.job_timeout)")
	flags.StringVar(via, "via", "both", "which dials to turn: both, dns or canary")
	flags.BoolVar(&ask.NoPromote, "no-promote", false, "stay at 100 percent without promoting")
}

func viaOf(cmd *cobra.Command, via string, ask *app.ShiftAsk) error {
	if !slices.Contains([]cutover.Via{cutover.ViaBoth, cutover.ViaDNS, cutover.ViaCanary}, cutover.Via(via)) {
		return &usageError{cmd.CommandPath(), fmt.Errorf("--via %q: want both, dns or canary", via)}
	}
	ask.Ask.Via = cutover.Via(via)
	return nil
}

// shiftOverrides are the flags that are configuration keys.
var shiftOverrides = map[string]string{
	"plan": "shift.plan", "harm-budget": "shift.harm_budget", "step": "shift.step", "to": "shift.to", "bake": "shift.bake", "max-exposure": "shift.max_exposure",
	"on-signal": "shift.on_signal", "on-alarm-at-start": "shift.on_alarm_at_start", "on-incident": "shift.on_incident",
	"on-inconclusive": "shift.on_inconclusive", "approve": "shift.approve", "job-timeout": "shift.job_timeout",
}

func overridesOf(cmd *cobra.Command, keys map[string]string) map[string]any {
	overrides := map[string]any{}
	for flag, key := range keys {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Changed {
			overrides[key] = f.Value.String()
		}
	}
	return overrides
}

// shifter wires one run and completes what it is asked.
func (c *command) shifter(cmd *cobra.Command, ask *app.ShiftAsk) (*app.App, error) {
	cfg, err := c.load(overridesOf(cmd, shiftOverrides))
	if err != nil {
		return nil, err
	}
	if cfg.Shift.PlanFile() != "" {
		for _, flag := range []string{"step", "to", "via"} {
			if cmd.Flags().Changed(flag) {
				return nil, &usageError{cmd.CommandPath(), fmt.Errorf("--%s: the steps are those of the plan's file %s", flag, cfg.Shift.PlanFile())}
			}
		}
	}
	via := ask.Ask.Via // no key of the configuration
	ask.Ask = app.AskOf(cfg.Shift)
	ask.Ask.Via = via
	return c.app(cmd.Context(), cfg)
}

func (c *command) shift(cmd *cobra.Command, ask app.ShiftAsk) error {
	a, err := c.shifter(cmd, &ask)
	if err != nil {
		return err
	}
	done, err := a.Shift(cmd.Context(), ask)
	if err != nil {
		return err
	}
	c.code = c.shiftCode(done)
	return c.printReport(done)
}

// shiftCode is the exit code of a shift or a promotion, by where it ended.
func (c *command) shiftCode(r app.Report) int {
	switch r.Outcome {
	case app.Completed:
		return exitDone
	case app.Held:
		return exitHeld
	case app.RolledBack:
		if !r.Touched && r.Stopped {
			return c.signalCode()
		}
		return exitRolledBack
	case app.Declined:
		return exitRefused
	case app.Failed:
		return exitUnexpected
	case app.Uncertain:
		return exitUncertain
	default: // nobody knows: a person has to look
		return exitUncertain
	}
}

// printReport is the last block of every run that may move traffic.
func (c *command) printReport(r app.Report) error {
	c.reporter.Flush()
	if c.output == "json" {
		return c.json(r)
	}
	if r.DryRun {
		for i, step := range r.Steps {
			c.printf("step %2d  dns %v%%  canary %v%%  exposure %v%%\n", i+1, step.Dials.DNS, step.Dials.Canary, step.Exposure)
		}
	}
	c.printf("outcome: %s: %s\n", r.Outcome, strings.ReplaceAll(r.Reason, "\n", "; "))
	c.printf("traffic: %s\n", traffic(r))
	if r.Receipt != nil {
		c.printReceipt(*r.Receipt)
	}
	c.printf("next: %s\n", r.NextCommand)
	return nil
}

// traffic is where the dials stand, or stood when they were last read.
func traffic(r app.Report) string {
	seen := ""
	if r.Outcome == app.Uncertain {
		seen = "last seen at " // nobody read it back
	}
	dns, canary := fmt.Sprintf("dns %v%% to green", r.Dials.DNS), fmt.Sprintf("canary %v%%", r.Dials.Canary)
	const lost = "; how many users are on green's code is not known"
	switch {
	case r.Unseen.DNS && r.Unseen.Stage:
		return "not seen: neither Route 53 nor green's stage could be read"
	case r.Unseen.DNS:
		return seen + canary + ", dns not seen" + lost
	case r.Unseen.Stage:
		return seen + dns + ", canary not seen" + lost
	default:
		return fmt.Sprintf("%s%s, %s, %v%% of users on green's code", seen, dns, canary, r.Exposure)
	}
}

func (c *command) printReceipt(r app.Receipt) {
	c.printf("receipt:\n")
	for _, part := range []struct {
		name string
		at   interface {
			IsZero() bool
			Format(string) string
		}
	}{
		{"fault seen", r.FaultSeen}, {"decided", r.Decided}, {"calls sent", r.CallsSent}, {"Route 53 INSYNC", r.InSync}, {"TTL passed", r.TTLPassed},
	} {
		text := "not seen"
		if !part.at.IsZero() {
			text = part.at.Format("15:04:05Z")
		}
		c.printf("  %-16s %s\n", part.name, text)
	}
	if r.ObservedShareBack != nil {
		c.printf("  %-16s %.0f%% of DNS answers\n", "share back", *r.ObservedShareBack)
	}
}
