package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/configs"
	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/config"
)

const workflowFile = ".github/workflows/tapctl.yml"

func (c *command) initCommand() *cobra.Command {
	var local, github, dryRun bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a commented configuration to start from, and a workflow of GitHub Actions",
		Long: `init writes a configuration with every key and what it means, those that few need
commented out, to be edited; --local one that needs no editing, with what differs
from the defaults. It writes over nothing: where one of its files exists already,
it writes none.`,
		RunE: func(*cobra.Command, []string) error {
			files := map[string][]byte{c.configFile: configs.Production}
			names := []string{c.configFile}
			if local {
				files[c.configFile] = configs.Local
			}
			if github {
				files[workflowFile] = configs.GitHub
				names = append(names, workflowFile)
			}
			for _, name := range names {
				if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
					return &app.Refused{Cause: errors.Join(fmt.Errorf("init: %s is there already, and nothing was written", name), err), Next: "edit it, then: tapctl validate; or name another file with -c"}
				}
			}
			for _, name := range names {
				if dryRun {
					continue
				}
				if err := writeNew(name, files[name]); err != nil {
					return err
				}
			}
			if c.output == "json" {
				return c.json(map[string]any{"files": names, "dry_run": dryRun})
			}
			verb := map[bool]string{false: "wrote", true: "would write"}[dryRun]
			for _, name := range names {
				c.printf("%s %s\n", verb, name)
			}
			edit := map[bool]string{false: "edit it, then: ", true: ""}[local]
			c.printf("next: %stapctl validate -c %s\n", edit, c.configFile)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&local, "local", false, "a configuration for the embedded AWS, which needs no editing")
	flags.BoolVar(&github, "github", false, "a workflow too: "+workflowFile)
	flags.BoolVar(&dryRun, "dry-run", false, "say what would be written")
	return cmd
}

// writeNew writes a file that must not be there yet.
func writeNew(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	return nil
}

func (c *command) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: `schema prints the JSON Schema (2020-12) of the configuration: every key, its type,
what it means, its default and what it may be. An editor with a YAML language
server uses it with this as the file's first line:

  # yaml-language-server: $schema=tapctl.schema.json`,
		RunE: func(*cobra.Command, []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			return c.json(schema)
		},
	}
}
