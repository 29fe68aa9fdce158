package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) deployCommand() *cobra.Command {
	var cells string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Provision base, green's cell and the edge; probe green; move no traffic",
		Long: `deploy provisions what both regions share, green's cell and the records, and
probes green directly. It creates blue's cell where there is none and leaves it
alone afterwards. It moves no traffic: weights, canary and versions are read
first and written back. It is refused while a shift is open.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := c.deploy(cmd, app.DeployAsk{Cells: cells, DryRun: dryRun})
			return err
		},
	}
	cellFlag(cmd, &cells, "which cell to update")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change")
	return cmd
}

// cellFlag is --cell of what deploys; deploy checks it.
func cellFlag(cmd *cobra.Command, cells *string, what string) {
	cmd.Flags().StringVar(cells, "cell", "target", what+" where both exist: target, source or all")
}

func (c *command) deploy(cmd *cobra.Command, ask app.DeployAsk) (app.DeployReport, error) {
	var none app.DeployReport
	if !slices.Contains([]string{"target", "source", "all"}, ask.Cells) {
		return none, &usageError{cmd.CommandPath(), fmt.Errorf("--cell %q: want target, source or all", ask.Cells)}
	}
	cfg, err := c.loadPackaged(nil)
	if err != nil {
		return none, err
	}
	ctx := cmd.Context()
	if ask.API, ask.Forward, err = artifacts(cfg); err != nil {
		return none, err
	}
	a, runner, err := c.provisioner(ctx, cfg)
	if err != nil {
		return none, err
	}
	ask.Runner = runner
	done, err := a.Deploy(ctx, ask)
	if err != nil {
		return none, err
	}
	if c.output == "json" {
		return done, c.json(done)
	}
	verb, next := "deployed", fmt.Sprintf("tapctl shift --step %v", cfg.Shift.Step)
	if ask.DryRun {
		verb, next = "would deploy", "tapctl deploy"
	}
	c.printf("%s: %d created, %d updated, %d deleted, %d unchanged, in %.0f s\n", verb,
		done.Changes.Create, done.Changes.Update, done.Changes.Delete, done.Changes.Same, done.DurationSeconds)
	c.printf("  api      %s\n", done.Outputs.APIURL)
	for _, region := range []string{cfg.SourceRegion, cfg.TargetRegion} {
		if url := done.Outputs.APIURLs[region]; url != "" {
			c.printf("           %s\n", url)
		}
	}
	if done.Outputs.WebsiteURL != "" {
		c.printf("  website  %s\n", done.Outputs.WebsiteURL)
	}
	c.printf("  table    %s\n", done.Outputs.TableName)
	c.printf("next: %s\n", next)
	return done, nil
}
