package cli

import (
	"github.com/spf13/cobra"
)

func (c *command) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration; all problems at once",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.loadPackaged(nil)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(map[string]any{"valid": true, "config": c.configFile})
			}
			c.printf("%s is valid: %s-%s moves %s from %s to %s\nnext: tapctl preview, then tapctl deploy\n", c.configFile, cfg.TeamName, cfg.Environment, cfg.Domain.Name, cfg.SourceRegion, cfg.TargetRegion)
			return nil
		},
	}
}
