package app

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/md5" // S3's entity tag is an MD5; nothing is secured by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

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
	stored
}

// stored is what an object is besides its key: a browser sees all of it.
type stored struct {
	etag string
	awsapi.Headers
}

// SyncAssets makes the website what the folder is, its headers included. What
// has not changed is left alone, so a run that was interrupted is simply run again. Pages come
// after what they refer to, and deletions last: no visitor is sent to a file
// that is not there yet.
func (a *App) SyncAssets(ctx context.Context, ask SyncAsk) (SyncReport, error) {
	report := SyncReport{DryRun: ask.DryRun}
	files, err := readSite(ask.Dir, a.Config.Assets.CacheControl)
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
	there, err := a.storedSite(ctx, top.Source.Region, bucket, files, ask.Parallel)
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

// storedSite is what the bucket has of the site. The list has entity tags
// alone: an object whose bytes are right is looked at by itself, the others are
// stored again in any case.
func (a *App) storedSite(ctx context.Context, region, bucket string, files []siteFile, parallel int) (map[string]stored, error) {
	tags, err := a.Clients.Objects(ctx, region, bucket, infra.SitePrefix)
	if err != nil {
		return nil, err
	}
	there := map[string]stored{}
	for key, tag := range tags {
		there[key] = stored{etag: tag}
	}
	headers := make([]awsapi.Headers, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, parallel))
	for i, f := range files {
		if tags[f.key] != f.etag {
			continue
		}
		group.Go(func() (err error) {
			headers[i], err = a.Clients.HeadersOf(ctx, region, bucket, f.key)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, f := range files {
		if tags[f.key] == f.etag {
			there[f.key] = stored{f.etag, headers[i]}
		}
	}
	return there, nil
}

// syncPlan is what differs.
type syncPlan struct {
	upload []siteFile // pages last
	remove []string
}

func planSync(files []siteFile, there map[string]stored, remove bool) syncPlan {
	var plan syncPlan
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.key] = true
		if there[f.key] != f.stored {
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
			return unfinished(fmt.Errorf("assets sync: %w; what was stored stays", err))
		}
		for _, f := range batch {
			report.Uploaded++
			report.Bytes += f.size
		}
	}
	var err error
	report.Deleted, err = a.removeAll(ctx, top.Source.Region, bucket, plan.remove, ask.Parallel)
	return err
}

// removeAll deletes the objects and says how many are gone: a failure ends the
// rest, and those under way may have gone all the same.
func (a *App) removeAll(ctx context.Context, region, bucket string, keys []string, parallel int) (int, error) {
	var gone atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, parallel))
	for _, key := range keys {
		group.Go(func() error {
			if err := a.Clients.DeleteObject(ctx, region, bucket, key); err != nil {
				return err
			}
			gone.Add(1)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return int(gone.Load()), unfinished(fmt.Errorf("assets sync: %w; %d of %d are deleted and every file is stored", err, gone.Load(), len(keys)))
	}
	return int(gone.Load()), nil
}

// unfinished is a sync that ended in the middle: it is run again, and begins
// where it was.
func unfinished(cause error) error {
	return &advised{cause, cmp.Or(hintOf(cause), "tapctl assets sync, with the same arguments: it goes on where it was")}
}

func (a *App) upload(ctx context.Context, region, bucket string, f siteFile) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	return a.Clients.PutPublic(ctx, region, bucket, awsapi.Object{Key: f.key, Headers: f.Headers, Size: f.size, Body: file})
}

// headersOf are those of a file by its name, and its first bytes where the name
// says nothing. A page names the files of its version, so it is always asked
// for again.
func headersOf(name string, head []byte, cache string) awsapi.Headers {
	if isPage(name) {
		cache = "no-cache"
	}
	return awsapi.Headers{ContentType: contentType(name, head), CacheControl: cache, Encryption: awsapi.PublicEncryption}
}

// siteTypes are those of the web, as IANA and browsers know them. The table of
// the machine is never asked: it differs from one to the next, and two runners
// would store the same files again and again.
// https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/MIME_types/Common_types
var siteTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
	".svg": "image/svg+xml", ".ico": "image/x-icon", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
	".xml": "text/xml; charset=utf-8", ".woff": "font/woff", ".woff2": "font/woff2", ".wasm": "application/wasm",
	".ttf": "font/ttf", ".otf": "font/otf", ".eot": "application/vnd.ms-fontobject",
	".png": "image/png", ".apng": "image/apng", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".avif": "image/avif", ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
	".mp4": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg", ".mov": "video/quicktime", ".vtt": "text/vtt; charset=utf-8",
	".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".wav": "audio/wav",
	".csv": "text/csv; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".ics": "text/calendar; charset=utf-8",
	".xhtml": "application/xhtml+xml", ".rss": "application/rss+xml", ".atom": "application/atom+xml", ".jsonld": "application/ld+json",
	".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".tar": "application/x-tar",
}

// contentType goes by the name, and by the first bytes where it says nothing.
func contentType(name string, head []byte) string {
	extension := strings.ToLower(path.Ext(name))
	if known, ok := siteTypes[extension]; ok {
		return known
	}
	return http.DetectContentType(head)
}

// readSite lists the folder's files as they are to be stored; cache is the
// Cache-Control of all but pages. A link that leads out of
// the folder is refused: what it leads to would become public.
func readSite(dir, cache string) ([]siteFile, error) {
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
		reader := bufio.NewReader(file)
		head, err := reader.Peek(512) // as much as http.DetectContentType looks at
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		headers := headersOf(name, head, cache)
		hash := md5.New() // see above
		size, err := io.Copy(hash, reader)
		if err != nil {
			return err
		}
		files = append(files, siteFile{
			filepath.Join(dir, filepath.FromSlash(name)), infra.SitePrefix + name, size, stored{hex.EncodeToString(hash.Sum(nil)), headers},
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
