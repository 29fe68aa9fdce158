package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Version is set by the linker for releases.
var Version = "dev"

func (c *command) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of tapctl and of what it is built with",
		RunE: func(*cobra.Command, []string) error {
			about := map[string]string{"tapctl": Version, "go": runtime.Version()}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, dep := range info.Deps {
					switch dep.Path {
					case "github.com/pulumi/pulumi/sdk/v3":
						about["pulumi"] = dep.Version
					case "github.com/pulumi/pulumi-aws/sdk/v6":
						about["pulumi-aws"] = dep.Version
					}
				}
			}
			if c.output == "json" {
				return c.json(about)
			}
			c.printf("tapctl %s (%s, pulumi %s, pulumi-aws %s)\n", about["tapctl"], about["go"], about["pulumi"], about["pulumi-aws"])
			return nil
		},
	}
}
