package cli

import (
	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) rollbackCommand() *cobra.Command {
	var ask app.RollbackAsk
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Send traffic back now; waits for no lock and needs no Pulumi",
		Long: `rollback sends canary and weights back at once to where the last shift started
from. It needs credentials and the topology (from either region's control table,
or the local copy); it consults no alarm and waits for no lease.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			done, err := a.Rollback(cmd.Context(), ask)
			if err != nil {
				return err
			}
			// Going back is what was asked for: it is done when it is read back.
			if done.Outcome != "rolled_back" && !done.DryRun {
				c.code = exitUncertain
			}
			return c.printReport(done)
		},
	}
	cmd.Flags().BoolVar(&ask.DryRun, "dry-run", false, "show where traffic would go")
	cmd.Flags().BoolVar(&ask.ToBlue, "to-blue", false, "send every user to blue, whatever the last shift started from")
	cmd.Flags().BoolVar(&ask.Shaped, "shaped", false, "take users back in the portions of shift.retreat_step, for a blue that all at once would overload")
	return cmd
}

func (c *command) promoteCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "promote",
		Short: "Make green's candidate live once every user is on it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			done, err := a.Promote(cmd.Context(), dryRun)
			if err != nil {
				return err
			}
			c.code = c.shiftCode(done)
			return c.printReport(done)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change")
	return cmd
}
