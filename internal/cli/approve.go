package cli

import (
	"cmp"
	"os/user"

	"github.com/spf13/cobra"
)

func (c *command) approveCommand() *cobra.Command {
	var by string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "approve",
		Short: "Let the shift that waits at a gate go on",
		Long: `approve opens the next gate of the open shift (shift.approve,
shift.approve_promotion, or a pause of a plan's file). It moves no traffic: the
run that waits goes on, or the next 'tapctl shift --resume' does. Who says no
types 'tapctl rollback'; who says nothing for shift.approve_timeout says no.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			done, err := a.Approve(cmd.Context(), cmp.Or(by, c.person()), dryRun)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(done)
			}
			verb := "approved"
			if dryRun {
				verb = "would approve"
			}
			c.printf("%s by %s: %s of shift %s\nnext: tapctl shift --resume, where no run is waiting; or tapctl rollback\n", verb, done.By, done.Opens, done.Shift)
			return nil
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who approves (default: the CI's actor, or the user)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be approved")
	return cmd
}

// person names who runs this, for the journal.
func (c *command) person() string {
	if actor := cmp.Or(c.Env("GITHUB_ACTOR"), c.Env("GITLAB_USER_LOGIN"), c.Env("BUILD_USER_ID")); actor != "" {
		return actor
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	owner, _ := c.owner()
	return owner
}
