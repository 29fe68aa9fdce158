package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) verifyCommand() *cobra.Command {
	var ask app.VerifyAsk
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Look at everything a shift depends on: OK, FAIL or SKIP, line by line",
		Long: `verify looks at credentials, records, health checks, the path that users will
take, stages, functions, tables, buckets, alarms and Pulumi's stacks. Every line is
OK, FAIL with the command that helps, or SKIP with the reason; one FAIL makes the
exit code 3.

It changes neither infrastructure nor traffic. It writes an item to the control
table and an object to each bucket, sees them replicated and deletes them again,
unless --no-sentinel is given.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.verify(cmd, ask) },
	}
	cmd.Flags().BoolVar(&ask.Fast, "fast", false, "without Pulumi's preview, which takes most of the time")
	cmd.Flags().BoolVar(&ask.NoSentinel, "no-sentinel", false, "write nothing at all, and do not see replication work")
	return cmd
}

func (c *command) verify(cmd *cobra.Command, ask app.VerifyAsk) error {
	ctx := cmd.Context()
	cfg, err := c.loadPackaged(nil)
	if err != nil {
		return err
	}
	if ask.API, ask.Forward, err = artifacts(cfg); err != nil {
		return err
	}
	a, runner, err := c.provisioner(ctx, cfg)
	if err != nil {
		return err
	}
	ask.Runner = runner
	done, err := a.Verify(ctx, ask)
	if err != nil {
		return err
	}
	if !done.OK {
		c.code = exitRefused
	}
	return c.printTree(done)
}

// printTree is the result, a line a check.
func (c *command) printTree(r app.VerifyReport) error {
	c.reporter.Flush()
	if c.output == "json" {
		return c.json(r)
	}
	words := map[app.CheckResult]string{app.CheckOK: "OK", app.CheckFail: "FAIL", app.CheckSkip: "SKIP"}
	for _, group := range r.Groups {
		c.printf("%s\n", group.Name)
		for _, check := range group.Checks {
			detail := check.Detail
			if check.Result == app.CheckSkip {
				detail = "(" + detail + ")"
			}
			c.printf("  %-4s  %s: %s\n", words[check.Result], check.Name, detail)
			if check.Next != "" {
				c.printf("        next: %s\n", check.Next)
			}
		}
	}
	verdict, next := "nothing stands in the way of a shift", "tapctl plan, then tapctl shift"
	if n := r.Failed(); n > 0 {
		verdict, next = fmt.Sprintf("%d check(s) failed", n), "what the failed lines say, then tapctl verify"
	}
	c.printf("%s\nnext: %s\n", verdict, next)
	return nil
}
