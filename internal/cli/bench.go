package cli

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/bench"
	"github.com/tapctl/tapctl/internal/clock"
)

func (c *command) benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure release policies against each other"}
	var seeds int
	var rates []int
	var svg string
	harm := &cobra.Command{
		Use:   "harm",
		Short: "Requests harmed per bad release, by policy, beside false rollbacks of healthy ones",
		Long: `harm plays healthy and bad releases against models of release policies: other
tools' and tapctl's budget ramp, which runs the very code of internal/ramp and
internal/evidence. Every lag is an assumption, written beside its model (see
docs/detection.md). It is a model, not a measurement of anybody's product, and
'tapctl shift --plan budget' is the policy itself. Harm and false rollback are
always shown together: neither means anything alone. At the end the targets are
held against the rows.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seeds < 0 || seeds > 10_000 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--seeds %d: want 0 (expectations) to 10000", seeds)}
			}
			for _, rps := range rates {
				if rps < 1 || rps > 100_000 {
					return &usageError{cmd.CommandPath(), fmt.Errorf("--rps %d: want 1 to 100000", rps)}
				}
			}
			began := (clock.Real{}).Now()
			rows, err := bench.Compare(cmd.Context(), seeds, rates)
			if err != nil {
				return err
			}
			if svg != "" {
				if err := os.WriteFile(svg, bench.SVG(rows), 0o644); err != nil {
					return fmt.Errorf("write the plot: %w", err)
				}
			}
			took := (clock.Real{}).Now().Sub(began)
			if c.output == "json" {
				return c.json(map[string]any{
					"rows": rows, "targets": bench.Targets(rows), "notes": bench.Notes(rows), "seeds": seeds, "took_s": took.Seconds(),
				})
			}
			c.printHarm(rows)
			c.printf("%d releases a row, in %.1f s; rerun with: tapctl bench harm --seeds %d\n", max(seeds, 1), took.Seconds(), seeds)
			return nil
		},
	}
	flags := harm.Flags()
	flags.IntVar(&seeds, "seeds", 200, "releases per policy and world; 0 plays expectations")
	flags.IntSliceVar(&rates, "rps", bench.Rates, "traffic levels, requests a second")
	flags.StringVar(&svg, "svg", "", "also write a plot to this `file`")
	cmd.AddCommand(harm)
	return cmd
}

// printHarm is two tables per traffic level, a row a policy and a column a
// fault; then the targets, and what they cannot promise.
func (c *command) printHarm(rows []bench.Row) {
	for _, table := range bench.Tables(rows) {
		c.printf("%d requests a second: harmed requests, mean (95th percentile), times tapctl's, median seconds to restore, m: releases missed\n", table.RPS)
		for _, part := range table.Text() {
			w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
			for _, cells := range part {
				for _, cell := range cells {
					fmt.Fprintf(w, "%s\t", cell)
				}
				fmt.Fprintln(w)
			}
			w.Flush() // Non-fatal: the reader has gone.
			c.printf("\n")
		}
	}
	c.printf("targets\n")
	for _, target := range bench.Targets(rows) {
		c.printf("%v\n", target)
	}
	c.printf("\nnotes\n")
	for _, note := range bench.Notes(rows) {
		c.printf("- %s\n", note)
	}
}
