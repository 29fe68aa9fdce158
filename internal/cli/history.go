package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (c *command) historyCommand() *cobra.Command {
	var limit int32
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show past shifts and rollbacks: who, how they ended, and each receipt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--limit %d: want 1 to 1000", limit)}
			}
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			shifts, err := a.History(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(map[string]any{"shifts": shifts})
			}
			if len(shifts) == 0 {
				c.printf("no shift has ended yet\n")
			}
			for _, s := range shifts {
				c.printf("%s  %-11s  dns %v%% canary %v%%  %s%s\n", s.ID, s.Outcome, s.Dials.DNS, s.Dials.Canary, s.Owner, because(s.Reason))
				if s.RunURL != "" {
					c.printf("  run      %s\n", s.RunURL)
				}
				if r := s.Receipt; r != nil {
					c.printf("  receipt  fault seen %s, decided %s, calls sent %s, in sync %s\n", moment(r.FaultSeen), moment(r.Decided), moment(r.CallsSent), moment(r.InSync))
				}
			}
			return nil
		},
	}
	cmd.Flags().Int32Var(&limit, "limit", 20, "shifts to show, the newest first")
	return cmd
}

// moment is a time of a receipt; a part that was not seen has none.
func moment(t time.Time) string {
	if t.IsZero() {
		return "not seen"
	}
	return t.UTC().Format(time.RFC3339)
}
