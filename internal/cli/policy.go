package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/infra"
)

// repositoryPattern is OWNER/NAME; a wildcard would let others in.
var repositoryPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)

func (c *command) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the least-privilege IAM policies of a CI role, as JSON",
		Long: `policy prints what the role of a CI job needs, with the ids and names of this
environment: managed policies to make and attach, each small enough for IAM. With
--only PART one document comes alone, for 'aws iam create-policy
--policy-document'. With --repo the trust policy for GitHub's OIDC tokens comes with it:
the jobs of one environment of one repository, and nobody else.`,
	}
	cmd.AddCommand(
		c.policyOf("shift", "Rights of shift, approve, rollback, promote, status and history; needs a deploy", infra.ShiftParts, (*app.App).ShiftPolicy),
		c.policyOf("deploy", "Rights of preview, deploy, verify, assets, secret, retire and destroy", infra.DeployParts, (*app.App).DeployPolicy))
	return cmd
}

func (c *command) policyOf(name, short string, parts []string, role func(*app.App, context.Context) (app.PolicyReport, string, error)) *cobra.Command {
	var repository, environment, only string
	choices := strings.Join(parts, ", ") + " or trust"
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case repository != "" && !repositoryPattern.MatchString(repository):
				return &usageError{cmd.CommandPath(), fmt.Errorf("--repo %q: want OWNER/NAME", repository)}
			case only != "" && only != "trust" && !slices.Contains(parts, only):
				return &usageError{cmd.CommandPath(), fmt.Errorf("--only %q: want %s", only, choices)}
			case only == "trust" && repository == "":
				return &usageError{cmd.CommandPath(), fmt.Errorf("--only trust needs --repo")}
			}
			a, err := c.ready(cmd.Context())
			if err != nil {
				return err
			}
			done, account, err := role(a, cmd.Context())
			if err != nil {
				return err
			}
			if repository != "" {
				trust := infra.GitHubTrust(account, repository, environment)
				done.Trust = &trust
			}
			for _, policy := range done.Policies {
				if policy.Part == only {
					return c.json(policy.Document)
				}
			}
			if only == "trust" {
				return c.json(done.Trust)
			}
			return c.json(done)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&repository, "repo", "", "GitHub repository whose jobs may assume the role: OWNER/NAME")
	flags.StringVar(&environment, "github-environment", "production", "GitHub environment that those jobs must run in")
	flags.StringVar(&only, "only", "", "print one document alone: "+choices)
	return cmd
}
