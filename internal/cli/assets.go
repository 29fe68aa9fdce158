package cli

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/report"
)

func (c *command) assetsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "assets", Short: "Store the website"}
	cmd.AddCommand(c.assetsSyncCommand())
	return cmd
}

func (c *command) assetsSyncCommand() *cobra.Command {
	var ask app.SyncAsk
	cmd := &cobra.Command{
		Use:   "sync DIR",
		Short: "Make the website what the folder is: only what changed, pages last",
		Long: `sync uploads the files of DIR under the website's prefix, several at a time and
only those that changed, with content type and cache headers, encrypted by S3
itself (what is encrypted with a KMS key cannot be read without signing). Pages
come after what they refer to. A run that was interrupted is simply run again.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("want one folder, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if ask.Parallel < 1 || ask.Parallel > 64 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--parallel %d: want 1 to 64", ask.Parallel)}
			}
			ask.Dir = args[0]
			return c.syncAssets(cmd, ask)
		},
	}
	cmd.Flags().BoolVar(&ask.Delete, "delete", false, "delete what the folder does not have")
	cmd.Flags().BoolVar(&ask.DryRun, "dry-run", false, "show what would change")
	cmd.Flags().IntVar(&ask.Parallel, "parallel", 8, "uploads at a time")
	return cmd
}

func (c *command) syncAssets(cmd *cobra.Command, ask app.SyncAsk) error {
	ctx := cmd.Context()
	a, err := c.ready(ctx)
	if err != nil {
		return err
	}
	ask.Planned, ask.Progress = c.uploadProgress(a)
	done, err := a.SyncAssets(ctx, ask)
	if err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(done)
	}
	verb, next := "synced", "tapctl status"
	if ask.DryRun {
		verb, next = "would sync", "tapctl assets sync "+ask.Dir
	}
	c.printf("%s: %d uploaded (%d bytes), %d deleted, %d unchanged\n", verb, done.Uploaded, done.Bytes, done.Deleted, done.Same)
	if done.WebsiteURL != "" {
		c.printf("  website  %s\n", done.WebsiteURL)
	}
	c.printf("next: %s\n", next)
	return nil
}

// uploadProgress is a bar for people and a line a file for logs.
func (c *command) uploadProgress(a *app.App) (planned func(int, int64), progress func(string, int64)) {
	if c.reporter.Format() == report.TTY {
		var bar *progressbar.ProgressBar
		planned = func(files int, bytes int64) {
			bar = progressbar.NewOptions64(bytes, progressbar.OptionSetWriter(c.Err), progressbar.OptionShowBytes(true),
				progressbar.OptionSetDescription(fmt.Sprintf("%d files", files)), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		return planned, func(_ string, bytes int64) { _ = bar.Add64(bytes) } // a bar that cannot be drawn stops no upload
	}
	var total int
	var count atomic.Int64
	planned = func(files int, bytes int64) {
		total = files
		c.emit(cutover.Event{At: a.Clock.Now(), Kind: cutover.EventPlan, Text: fmt.Sprintf("%d file(s) to upload, %d bytes", files, bytes)})
	}
	return planned, func(key string, bytes int64) {
		c.emit(cutover.Event{At: a.Clock.Now(), Kind: cutover.EventWrite, Text: fmt.Sprintf("%s (%d bytes), %d of %d", key, bytes, count.Add(1), total)})
	}
}
