package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (c *command) secretCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Short: "Set the application's secret"}
	cmd.AddCommand(c.secretPutCommand())
	return cmd
}

func (c *command) secretPutCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "put",
		Short: "Set the secret's value from standard input",
		Long: `put stores what standard input has as the secret's new value, without a line end
at its end. The value is never an argument, where every process of the machine
could read it, and is in no state, log, variable or journal. Running functions
read it again within function.secret_ttl.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.In == nil {
				return &usageError{cmd.CommandPath(), errors.New("standard input is closed")}
			}
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			done, err := a.PutSecret(cmd.Context(), c.In, dryRun)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(done)
			}
			if dryRun {
				c.printf("would store %d byte(s) in %s\nnext: tapctl secret put\n", done.Bytes, done.ARN)
				return nil
			}
			c.printf("stored version %s of %s\nread again by running functions within %v\nnext: tapctl status\n", done.Version, done.ARN, a.Config.Function.SecretTTL)
			return nil
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "read the value and store nothing")
	return cmd
}
