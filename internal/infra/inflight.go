package infra

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
)

// Lister lists the keys of an S3 bucket under a prefix. region is "" where the
// backend's URL does not say it.
type Lister func(ctx context.Context, region, bucket, prefix string) ([]string, error)

// InFlight names the locks that updates of the stack hold, none where nobody
// updates it. It takes no lock and changes nothing. A backend of one's own has
// a file per lock; Pulumi Cloud tells by itself.
// https://www.pulumi.com/docs/iac/concepts/state-and-backends/
func (r Runner) InFlight(ctx context.Context, stack string, list Lister) ([]string, error) {
	backend, err := url.Parse(r.BackendURL)
	if err != nil {
		return nil, fmt.Errorf("read infra.backend_url: %w", err)
	}
	locks := path.Join(".pulumi/locks/organization", Project, stack)
	switch backend.Scheme {
	case "file":
		return localLocks(filepath.Join(backend.Host+filepath.FromSlash(backend.Path), filepath.FromSlash(locks)))
	case "s3":
		prefix := strings.TrimPrefix(path.Join(backend.Path, locks), "/") + "/"
		return list(ctx, backend.Query().Get("region"), backend.Host, prefix)
	}
	var summary auto.StackSummary
	_, err = r.operate(ctx, "look at", stack, nothing, func(ctx context.Context, s auto.Stack, _ chan<- events.EngineEvent) (err error) {
		summary, err = s.Info(ctx)
		return err
	})
	if err != nil || !summary.UpdateInProgress {
		return nil, err
	}
	return []string{summary.Name}, nil
}

func localLocks(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for locks: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, filepath.Join(dir, entry.Name()))
	}
	return names, nil
}
