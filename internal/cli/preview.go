package cli

import (
	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) previewCommand() *cobra.Command {
	var exitCode bool
	var cells string
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show what deploy would change, and change nothing",
		Long: `preview shows what deploy would create, update and delete. A stack that feeds on
one that does not exist yet can only be previewed after it. With --exit-code the
exit code is 6 when something would change, for a job that looks for drift.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := c.deploy(cmd, app.DeployAsk{Cells: cells, DryRun: true})
			if err == nil && exitCode && done.Changes.Any() {
				c.code = exitPending
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 6 when something would change")
	cellFlag(cmd, &cells, "which cell would be updated")
	return cmd
}
