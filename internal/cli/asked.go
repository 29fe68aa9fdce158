package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/localaws"
)

func (c *command) localAskedCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "asked",
		Short: "Print what was asked of IAM for each role: the rights that it really used",
		Long: `asked prints, for each role of the embedded AWS, every action and resource that
a service asked IAM for, and whether the role's policies allowed it. A policy is
least privilege when nothing was denied and nothing in it is missing here.
'local reset' begins anew.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := c.findLocal(cmd.Context())
			if err != nil {
				return err
			}
			roles := []localaws.RoleUse{}
			if err := callLocal(cmd.Context(), http.MethodGet, env.Endpoint+localaws.AskedPath+"?role="+url.QueryEscape(role), nil, &roles); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(map[string]any{"roles": roles})
			}
			for _, r := range roles {
				c.printf("%s: %d question(s), %d dropped\n", r.Role, len(r.Asked), r.Dropped)
				for _, q := range r.Asked {
					answer := "allowed"
					if !q.Allowed {
						answer = "DENIED"
					}
					c.printf("  %-7s  %s  %s\n", answer, q.Action, q.Resource)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "of this role alone, by its name")
	return cmd
}
