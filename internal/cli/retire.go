package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) retireCommand() *cobra.Command {
	var ask app.RetireAsk
	cmd := &cobra.Command{
		Use:   "retire",
		Short: "The point of no return: delete blue's record and then blue's cell",
		Long: `retire ends a migration. It refuses unless green is promoted, has had all traffic
for retire.after, is healthy, and blue's access log shows nobody any more. Then it
deletes blue's record in the batch that makes green's the only one, waits until
resolvers have forgotten it, and deletes blue's cell. Base, the data included, is
not touched. A run that ended in the middle is finished by the next one.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !ask.DryRun {
				if err := c.confirm("retire deletes blue: no rollback leads there afterwards", "tapctl retire"); err != nil {
					return err
				}
			}
			return c.retire(cmd, ask)
		},
	}
	cmd.Flags().BoolVar(&ask.DryRun, "dry-run", false, "show the gates")
	cmd.Flags().BoolVar(&ask.ExternalQuiet, "external-quiet", false, "you have seen that an external source has no more requests; tapctl cannot")
	return cmd
}

func (c *command) retire(cmd *cobra.Command, ask app.RetireAsk) error {
	ctx := cmd.Context()
	cfg, err := c.loadUnpackaged()
	if err != nil {
		return err
	}
	a, err := c.app(ctx, cfg)
	if err != nil {
		return err
	}
	if !ask.DryRun {
		if ask.Runner, err = c.runner(ctx, cfg); err != nil {
			return err
		}
	}
	done, err := a.Retire(ctx, ask)
	if c.output != "json" {
		for _, gate := range done.Gates {
			c.printf("%-4s  %-22s  %s\n", okOrFail(gate.OK), gate.Name, gate.Detail)
		}
	}
	if err != nil {
		if _, refused := errors.AsType[*app.Refused](err); !refused && c.output != "json" {
			c.printf("next: tapctl retire\n")
		}
		return err
	}
	if c.output == "json" {
		return c.json(done)
	}
	if ask.DryRun {
		c.printf("every gate is open; nothing was changed\nnext: tapctl retire\n")
		return nil
	}
	c.printf("retired: blue is gone, %d resource(s) deleted; green answers everybody\nnext: tapctl status\n", done.Changes.Delete)
	return nil
}

func okOrFail(ok bool) string {
	if ok {
		return "OK"
	}
	return "FAIL"
}
