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
			if !slices.Contains([]string{"target", "source", "all"}, cells) {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--cell %q: want target, source or all", cells)}
			}
			_, err := c.deploy(cmd, app.DeployAsk{Cells: cells, DryRun: dryRun})
			return err
		},
	}
	cmd.Flags().StringVar(&cells, "cell", "target", "which cell to update where both exist: target, source or all")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change")
	return cmd
}

func (c *command) deploy(cmd *cobra.Command, ask app.DeployAsk) (app.DeployReport, error) {
	var none app.DeployReport
	cfg, err := c.loadPackaged(nil)
	if err != nil {
		return none, err
	}
	ctx, cancel := c.untilStopped(cmd.Context())
	defer cancel()
	if ask.API, err = artifact(cfg.Function.API); err != nil {
		return none, &app.Refused{Cause: err}
	}
	if ask.Forward, err = artifact(cfg.Function.Forward); err != nil {
		return none, &app.Refused{Cause: err}
	}
	a, err := c.app(ctx, cfg)
	if err != nil {
		return none, err
	}
	if ask.Runner, err = c.runner(ctx, cfg); err != nil {
		return none, err
	}
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
