package cli

import (
	"fmt"
	"slices"

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
			if !slices.Contains([]string{"target", "source", "all"}, cells) {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--cell %q: want target, source or all", cells)}
			}
			done, err := c.deploy(cmd, app.DeployAsk{Cells: cells, DryRun: true})
			if err == nil && exitCode && done.Changes.Any() {
				c.code = exitPending
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 6 when something would change")
	cmd.Flags().StringVar(&cells, "cell", "target", "which cell would be updated where both exist: target, source or all")
	return cmd
}
