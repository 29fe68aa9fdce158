package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/cutover"
)

func (c *command) statusCommand() *cobra.Command {
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show where traffic is: dials, exposure, alarms, lease, DNS answers",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < time.Second {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--every %v: want at least 1s: each look asks AWS dozens of times", every)}
			}
			ctx := cmd.Context()
			a, err := c.ready(ctx)
			if err != nil {
				return err
			}
			for {
				status, err := a.Status(ctx)
				if err != nil && watch && c.interrupted() {
					return nil
				}
				if err != nil {
					return err
				}
				c.code = exitDone
				if len(status.Unread) > 0 {
					c.code = exitUncertain
				}
				if err := c.printStatus(status); err != nil {
					return err
				}
				if !watch || a.Clock.Sleep(ctx, every) != nil {
					return nil
				}
			}
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "again and again, until interrupted")
	cmd.Flags().DurationVar(&every, "every", 15*time.Second, "time between two looks of --watch")
	return cmd
}

func (c *command) printStatus(s app.Status) error {
	if c.output == "json" {
		return c.json(s)
	}
	c.printf("mode      %s\n", known(s.Mode))
	if s.LastEvent != nil {
		c.printf("shift     %s %s%s\n", s.LastEvent.Shift, s.Phase, because(s.LastEvent.Reason))
	}
	c.printf("dials     dns %s  canary %s  base %s\n", percent(s.Dials.DNS), percent(s.Dials.Canary), known(s.Base))
	for _, unread := range s.Unread {
		c.printf("unread    %s: %s\n", unread.Dial, unread.Reason)
	}
	c.printf("exposure  %s of users on green's code\n", percent(s.Exposure))
	if s.DNSGreen != nil {
		c.printf("dns       %.0f%% of sampled answers lead to green\n", *s.DNSGreen)
	}
	c.printf("verdict   %s\n", s.Verdict)
	for _, alarm := range s.Alarms {
		c.printf("alarm     %-18s %s (%s, %s)\n", alarm.State, alarm.Name, alarm.Side, alarm.Region)
	}
	if s.Lease != nil {
		c.printf("lease     %s for a %s until %s %s\n", s.Lease.Owner, s.Lease.Purpose, s.Lease.Expires.Format(time.RFC3339), s.Lease.RunURL)
	}
	c.printf("next: %s\n", s.NextCommand)
	for _, warning := range s.Warnings {
		fmt.Fprintf(c.Err, "warning: %s\n", warning)
	}
	return nil
}

// percent is a dial, or that nobody read it.
func percent(p *cutover.Percent) string {
	if p == nil {
		return "unknown"
	}
	return fmt.Sprintf("%v%%", *p)
}

// known is a name, or that nobody read it.
func known[T ~string](name T) T {
	if name == "" {
		return "unknown"
	}
	return name
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
