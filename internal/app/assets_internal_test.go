package app

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
)

func TestPlanSync(t *testing.T) {
	t.Parallel()
	headers := awsapi.Headers{ContentType: "text/css", CacheControl: "max-age=60", Encryption: "AES256"}
	file := func(name, etag string) siteFile { return siteFile{key: "site/" + name, stored: stored{etag, headers}} }
	but := func(change func(*awsapi.Headers)) stored {
		other := headers
		change(&other)
		return stored{"4", other}
	}
	files := []siteFile{
		file("a.html", "1"), file("app.js", "2"), file("index.html", "3"), file("same.css", "4"),
		file("typed.css", "4"), file("cached.css", "4"), file("sealed.css", "4"), file("parts.css", "4"),
	}
	there := map[string]stored{
		"site/app.js": {"old", headers}, "site/same.css": {"4", headers}, "site/gone.html": {"5", headers}, "site/gone.css": {"6", headers},
		"site/typed.css":  but(func(h *awsapi.Headers) { h.ContentType = "text/plain" }),
		"site/cached.css": but(func(h *awsapi.Headers) { h.CacheControl = "" }),
		"site/sealed.css": but(func(h *awsapi.Headers) { h.Encryption = "aws:kms" }),
		"site/parts.css":  {"4-2", headers}, // stored in parts, it has no MD5
	}
	changed := []string{"site/app.js", "site/typed.css", "site/cached.css", "site/sealed.css", "site/parts.css", "site/a.html", "site/index.html", "|"}
	keys := func(p syncPlan) (got []string) {
		for _, f := range p.upload {
			got = append(got, f.key)
		}
		return append(append(got, "|"), p.remove...)
	}
	// Pages last, among themselves in order; nothing goes unless asked for.
	if diff := cmp.Diff(changed, keys(planSync(files, there, false))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(append(changed, "site/gone.css", "site/gone.html"), keys(planSync(files, there, true))); diff != "" {
		t.Error(diff)
	}
}

func TestReadSite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"index.html": "hello", "css/a.css": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := readSite(dir, "max-age=60")
	if err != nil {
		t.Fatal(err)
	}
	want := []siteFile{
		{filepath.Join(dir, "css", "a.css"), "site/css/a.css", 0, stored{"d41d8cd98f00b204e9800998ecf8427e", awsapi.Headers{ContentType: "text/css; charset=utf-8", CacheControl: "max-age=60", Encryption: "AES256"}}},
		{filepath.Join(dir, "index.html"), "site/index.html", 5, stored{"5d41402abc4b2a76b9719d911017c592", awsapi.Headers{ContentType: "text/html; charset=utf-8", CacheControl: "no-cache", Encryption: "AES256"}}},
	}
	if diff := cmp.Diff(want, files, cmp.AllowUnexported(siteFile{}, stored{})); diff != "" {
		t.Error(diff)
	}
	// What a link out of the folder leads to would become public.
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "leak.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := readSite(dir, "max-age=60"); err == nil || !strings.Contains(err.Error(), "leak.txt") {
		t.Errorf("a link out of the folder: %v", err)
	}
	if _, err := readSite(t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "has no files") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := readSite(filepath.Join(dir, "absent"), ""); err == nil {
		t.Error("an absent folder is read")
	}
}

func TestContentType(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.HTML": "text/html; charset=utf-8", "a.mjs": "text/javascript; charset=utf-8", "a.woff2": "font/woff2", "a.png": "image/png",
		"README": "text/plain; charset=utf-8", "data": "text/plain; charset=utf-8",
	} {
		if got := contentType(name, []byte("some text")); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := contentType("blob", []byte("\x89PNG\x0d\x0a\x1a\x0a")); got != "image/png" {
		t.Errorf("by its bytes: %s", got)
	}
}

// The machine's table knows types that another machine's does not.
func TestContentTypeAsksNoMachine(t *testing.T) {
	t.Parallel()
	for _, extension := range []string{".tapctl", ".webm"} {
		if err := mime.AddExtensionType(extension, "application/x-of-this-machine"); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"a.tapctl": "application/octet-stream", "a.webm": "video/webm"} {
		if got := contentType(name, []byte{0, 1, 2, 3}); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestDeletionsThatFailSayWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, denied, hint string
		status             int
	}{
		{"all go", "", "", 0},
		{"one is denied", "AccessDenied", "lacks a right", http.StatusForbidden},
		{"one is not understood", "InvalidRequest", "tapctl assets sync", http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var deleted []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if tt.denied != "" && strings.HasSuffix(r.URL.Path, "/site/b") {
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, "<Error><Code>"+tt.denied+"</Code><Message>no</Message></Error>")
					return
				}
				deleted = append(deleted, r.Method+" "+r.URL.Path)
				w.WriteHeader(http.StatusNoContent)
			}))
			t.Cleanup(server.Close)
			clients, err := awsapi.Load(t.Context(), config.AWS{EndpointURL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			gone, err := (&App{Clients: clients}).removeAll(t.Context(), "eu-west-1", "shop", []string{"site/a", "site/b", "site/c"}, 2)
			mu.Lock()
			defer mu.Unlock()
			if gone > len(deleted) || tt.denied == "" && (gone != 3 || err != nil) {
				t.Errorf("%d gone of %v: %v", gone, deleted, err)
			}
			if tt.denied == "" {
				return
			}
			hinted, ok := errors.AsType[*advised](err)
			if !ok || !strings.Contains(hinted.Hint(), tt.hint) || !strings.Contains(err.Error(), "delete site/b of shop") || !strings.Contains(err.Error(), "of 3 are deleted") {
				t.Errorf("%v", err)
			}
		})
	}
}
