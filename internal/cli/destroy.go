package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) destroyCommand() *cobra.Command {
	var ask app.DestroyAsk
	cmd := &cobra.Command{
		Use:   "destroy",
		Short: "Delete the records and both cells, never what serves traffic",
		Long: `destroy deletes the edge, then green's cell, then blue's, so that no record leads
to a cell that has gone. It refuses while a shift is open or the access logs show
users. Base (tables, buckets, keys, secret, certificates) stays; --base deletes it
as well, with its data and the secret, for good, once its name is typed with --confirm.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !ask.DryRun {
				what := "destroy deletes the records and both cells"
				if ask.Base {
					what += ", and base with all data in both regions"
				}
				if err := c.confirm(what, "tapctl destroy"); err != nil {
					return err
				}
			}
			return c.destroy(cmd, ask)
		},
	}
	cmd.Flags().BoolVar(&ask.DryRun, "dry-run", false, "show what would be deleted")
	cmd.Flags().BoolVar(&ask.Base, "base", false, "delete base as well, and the data in it")
	cmd.Flags().StringVar(&ask.Confirm, "confirm", "", "the `name` of the base stack, for --base")
	return cmd
}

func (c *command) destroy(cmd *cobra.Command, ask app.DestroyAsk) error {
	ctx := cmd.Context()
	cfg, err := c.loadUnpackaged()
	if err != nil {
		return err
	}
	a, runner, err := c.provisioner(ctx, cfg)
	if err != nil {
		return err
	}
	ask.Runner = runner
	done, err := a.Destroy(ctx, ask)
	if err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(done)
	}
	if ask.DryRun {
		c.printf("would delete, in this order: %s\nnext: tapctl destroy\n", strings.Join(done.Stacks, ", "))
		return nil
	}
	rest := fmt.Sprintf("base stays (tapctl destroy --base --confirm %s-base)", cfg.StackPrefix())
	if ask.Base {
		rest = "nothing is left, but for keys that wait 30 days for their deletion, the record that validates certificates of the public name and the role that API Gateway logs with; the secret's value is gone"
	}
	c.printf("destroyed: %d resource(s) deleted; %s\nnext: tapctl deploy\n", done.Changes.Delete, rest)
	return nil
}
