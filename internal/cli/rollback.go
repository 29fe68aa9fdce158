package cli

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) rollbackCommand() *cobra.Command {
	var ask app.RollbackAsk
	cmd := &cobra.Command{
		Use:         "rollback",
		Annotations: turnsDials(),
		Short:       "Send traffic back now; waits for no lock and needs no Pulumi",
		Long: `rollback sends canary and weights back at once: in a migration every user to
blue, wherever the last shift began, and in a release to the version that was
live before it, the entrance staying where it is. It needs credentials and the topology: from either region's control table,
from the copy that deploy keeps in .tapctl/TEAM-ENV.topology.json, or from such a
file named by --topology. It consults no alarm and waits for no lease.

The last shift's target is in the journal. Going back to blue needs no journal.
Once green answers by itself it does: where neither the control table nor the
local copy has it, say --to-blue or --to-version.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := targetFits(cmd, ask); err != nil {
				return err
			}
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			done, err := a.Rollback(cmd.Context(), ask)
			if err != nil {
				return err
			}
			// Going back is what was asked for: it is done when it is read back.
			if done.Outcome != app.RolledBack && !done.DryRun {
				c.code = exitUncertain
			}
			return c.printReport(done)
		},
	}
	cmd.Flags().BoolVar(&ask.DryRun, "dry-run", false, "show where traffic would go")
	cmd.Flags().BoolVar(&ask.ToBlue, "to-blue", false, "send every user to blue, whatever the target of the last shift")
	cmd.Flags().StringVar(&ask.ToVersion, "to-version", "", "send green's users to this `number` of its function's versions, whatever the target of the last shift")
	cmd.Flags().StringVar(&ask.Topology, "topology", "", "the `file` with the ids, as deploy keeps it; asks neither control table nor local copy for them")
	cmd.Flags().BoolVar(&ask.Shaped, "shaped", false, "take users back in the portions of shift.retreat_step, for a blue that all at once would overload")
	return cmd
}

// versionNumber is a version as Lambda numbers them: $LATEST is none.
var versionNumber = regexp.MustCompile(`^[1-9][0-9]*$`)

func targetFits(cmd *cobra.Command, ask app.RollbackAsk) error {
	switch {
	case ask.ToVersion == "":
		return nil
	case ask.ToBlue:
		return &usageError{cmd.CommandPath(), errors.New("--to-blue and --to-version exclude each other")}
	case !versionNumber.MatchString(ask.ToVersion):
		return &usageError{cmd.CommandPath(), fmt.Errorf("--to-version %q: want a number of a published version", ask.ToVersion)}
	}
	return nil
}

func (c *command) promoteCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:         "promote",
		Annotations: turnsDials(),
		Short:       "Make green's candidate live once every user is on it",
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
