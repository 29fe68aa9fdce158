package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
)

func (c *command) planCommand() *cobra.Command {
	var ask app.ShiftAsk
	var via string
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what shift would do: steps, times, and what a bad green would cost",
		Long: `plan shows the steps that shift would take from where the dials stand now, when
it would end, how many requests a bad green would be expected to harm before it
is sent back, and whether it fits the job's time limit and the credentials. It
changes nothing.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := viaOf(cmd, via, &ask); err != nil {
				return err
			}
			a, err := c.shifter(cmd, &ask)
			if err != nil {
				return err
			}
			done, err := a.Plan(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(done)
			}
			c.printPlan(done)
			return nil
		},
	}
	planFlags(cmd, &via, &ask)
	return cmd
}

func (c *command) printPlan(r app.PlanReport) {
	c.printf("%s by plan %s, from dns %v%%, canary %v%% (exposure %v%%)\n", r.Mode, r.Plan, r.From.DNS, r.From.Canary, r.Exposure)
	for i, step := range r.Steps {
		if step.Approval {
			c.printf("         waits for: tapctl approve\n")
		}
		c.printf("step %2d  dns %v%%  canary %v%%  exposure %.4g%%  settle %v  bake %v\n", i+1, step.Dials.DNS, step.Dials.Canary, float64(step.Exposure), seconds(step.SettleS), seconds(step.BakeS))
	}
	if r.Promote {
		c.printf("then     promote green's candidate, and confirm\n")
	}
	c.printf("ends     after %v at the earliest, %v likely; users are on the candidate for %v of it\n", seconds(r.EarliestS), seconds(r.LikelyS), seconds(r.ExposedS))
	c.printf("job      needs %v to begin any one step (then 'tapctl shift --resume' in the next), %v to begin all of them\n", seconds(r.StepJobS), seconds(r.AllJobS))
	if r.WorstHarmed != nil {
		c.printf("harm     %.3g requests expected of a green that is bad from the start, %.3g of one that turns bad at the end; %.3g requests a second, undone within %v\n",
			*r.WorstHarmed, *r.LateHarmed, *r.Rate, seconds(r.LatencyS))
	}
	if r.Unfit != "" {
		c.printf("unfit    %s\n", r.Unfit)
	}
	for _, note := range r.Notes {
		c.printf("note     %s\n", note)
	}
	c.printf("next: %s\n", r.NextCommand)
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}
