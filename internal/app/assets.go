package app

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's entity tag is an MD5; nothing is secured by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// SyncAsk is what 'assets sync' is asked to do.
type SyncAsk struct {
	Dir string
	// Delete removes what the bucket has and the folder has not.
	Delete bool
	DryRun bool
	// Parallel uploads at a time.
	Parallel int
	// Progress is told of every file that is done. May be nil; it is called
	// from several goroutines.
	Progress func(key string, bytes int64)
	// Planned is told what there is to do before the first upload. May be nil.
	Planned func(files int, bytes int64)
}

// SyncReport is what 'assets sync' did; its JSON is a contract.
type SyncReport struct {
	Uploaded   int    `json:"uploaded"`
	Deleted    int    `json:"deleted"`
	Same       int    `json:"same"`
	Bytes      int64  `json:"bytes"`
	WebsiteURL string `json:"website_url"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

// siteFile is one file of the folder.
type siteFile struct {
	path string // on this machine
	key  string
	size int64
	etag string
}

// SyncAssets makes the website what the folder is. What has not changed is
// left alone, so a run that was interrupted is simply run again. Pages come
// after what they refer to, and deletions last: no visitor is sent to a file
// that is not there yet.
func (a *App) SyncAssets(ctx context.Context, ask SyncAsk) (SyncReport, error) {
	report := SyncReport{DryRun: ask.DryRun}
	files, err := readSite(ask.Dir)
	if err != nil {
		return report, refused(err)
	}
	top, err := a.control().Topology(ctx)
	if err != nil {
		return report, a.notDeployed(err)
	}
	bucket := top.Bucket[top.Source.Region]
	if bucket == "" {
		return report, &Refused{Cause: errors.New("assets sync: this environment was deployed without a bucket"), Next: "tapctl deploy"}
	}
	report.WebsiteURL = top.WebsiteURL
	there, err := a.Clients.Objects(ctx, top.Source.Region, bucket, infra.SitePrefix)
	if err != nil {
		return report, refused(err)
	}
	plan := planSync(files, there, ask.Delete)
	report.Same = len(files) - len(plan.upload)
	var total int64
	for _, f := range plan.upload {
		total += f.size
	}
	if ask.Planned != nil {
		ask.Planned(len(plan.upload), total)
	}
	if ask.DryRun {
		report.Uploaded, report.Deleted, report.Bytes = len(plan.upload), len(plan.remove), total
		return report, nil
	}
	return report, a.sync(ctx, top, bucket, plan, ask, &report)
}

// syncPlan is what differs.
type syncPlan struct {
	upload []siteFile // pages last
	remove []string
}

func planSync(files []siteFile, there map[string]string, remove bool) syncPlan {
	var plan syncPlan
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.key] = true
		if there[f.key] != f.etag {
			plan.upload = append(plan.upload, f)
		}
	}
	slices.SortStableFunc(plan.upload, func(a, b siteFile) int { return order(a) - order(b) })
	if remove {
		for key := range there {
			if !wanted[key] {
				plan.remove = append(plan.remove, key)
			}
		}
		slices.Sort(plan.remove)
	}
	return plan
}

func order(f siteFile) int {
	if isPage(f.key) {
		return 1
	}
	return 0
}

func isPage(key string) bool { return strings.HasPrefix(contentType(key, nil), "text/html") }

func (a *App) sync(ctx context.Context, top topology.Topology, bucket string, plan syncPlan, ask SyncAsk, report *SyncReport) error {
	pages := slices.IndexFunc(plan.upload, func(f siteFile) bool { return isPage(f.key) })
	if pages < 0 {
		pages = len(plan.upload)
	}
	for _, batch := range [][]siteFile{plan.upload[:pages], plan.upload[pages:]} {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(max(1, ask.Parallel))
		for _, f := range batch {
			group.Go(func() error {
				if err := a.upload(ctx, top.Source.Region, bucket, f); err != nil {
					return err
				}
				if ask.Progress != nil {
					ask.Progress(f.key, f.size)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("assets sync: %w; what was stored stays, run the same command again", err)
		}
		for _, f := range batch {
			report.Uploaded++
			report.Bytes += f.size
		}
	}
	for _, key := range plan.remove {
		if err := a.Clients.DeleteObject(ctx, top.Source.Region, bucket, key); err != nil {
			return err
		}
		report.Deleted++
	}
	return nil
}

func (a *App) upload(ctx context.Context, region, bucket string, f siteFile) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	cache := a.Config.Assets.CacheControl
	if isPage(f.key) {
		cache = "no-cache" // a page names the files of its version: it is always asked for again
	}
	return a.Clients.PutPublic(ctx, region, bucket, awsapi.Object{
		Key: f.key, ContentType: contentType(f.key, head[:n]), CacheControl: cache, Size: f.size, Body: file,
	})
}

// siteTypes are those that the machine's own table would decide, differently
// from one to the next.
var siteTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
	".svg": "image/svg+xml", ".ico": "image/x-icon", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
	".xml": "text/xml; charset=utf-8", ".woff": "font/woff", ".woff2": "font/woff2", ".wasm": "application/wasm",
}

// contentType goes by the name, and by the first bytes where it says nothing.
func contentType(name string, head []byte) string {
	extension := strings.ToLower(path.Ext(name))
	if known, ok := siteTypes[extension]; ok {
		return known
	}
	if known := mime.TypeByExtension(extension); known != "" {
		return known
	}
	return http.DetectContentType(head)
}

// readSite lists the folder's files with their tags. A link that leads out of
// the folder is refused: what it leads to would become public.
func readSite(dir string) ([]siteFile, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("assets sync: %w", err)
	}
	defer root.Close()
	var files []siteFile
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		hash := md5.New() //nolint:gosec // see above
		size, err := io.Copy(hash, file)
		if err != nil {
			return err
		}
		files = append(files, siteFile{
			path: filepath.Join(dir, filepath.FromSlash(name)), key: infra.SitePrefix + name, size: size, etag: hex.EncodeToString(hash.Sum(nil)),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("assets sync: read %s: %w", dir, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("assets sync: %s has no files", dir)
	}
	return files, nil
}

// SecretReport is what 'secret put' did; the value is not in it.
type SecretReport struct {
	ARN     string `json:"arn"`
	Version string `json:"version"` // "" in a dry run
	Bytes   int    `json:"bytes"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// secretMax is Secrets Manager's limit, in bytes.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
const secretMax = 65_536

// PutSecret stores what in has as the secret's new value. One line end at its
// end is not part of it: that is how a shell hands it over.
func (a *App) PutSecret(ctx context.Context, in io.Reader, dryRun bool) (SecretReport, error) {
	value, err := io.ReadAll(io.LimitReader(in, secretMax+2))
	if err != nil {
		return SecretReport{}, refused(fmt.Errorf("secret put: read standard input: %w", err))
	}
	value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
	switch {
	case len(value) == 0:
		return SecretReport{}, &Refused{Cause: errors.New("secret put: standard input is empty"), Next: "tapctl secret put < FILE"}
	case len(value) > secretMax:
		return SecretReport{}, &Refused{Cause: fmt.Errorf("secret put: more than %d bytes, the limit of Secrets Manager", secretMax)}
	}
	top, err := a.control().Topology(ctx)
	if err != nil {
		return SecretReport{}, a.notDeployed(err)
	}
	arn := top.Secret[top.Source.Region]
	if arn == "" {
		return SecretReport{}, &Refused{Cause: errors.New("secret put: this environment was deployed without a secret"), Next: "tapctl deploy"}
	}
	report := SecretReport{ARN: arn, Bytes: len(value), DryRun: dryRun}
	if dryRun {
		return report, nil
	}
	if report.Version, err = a.Clients.PutSecret(ctx, top.Source.Region, arn, value); err != nil {
		return report, refused(err)
	}
	return report, nil
}
