package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlanSync(t *testing.T) {
	t.Parallel()
	files := []siteFile{
		{key: "site/a.html", etag: "1"}, {key: "site/app.js", etag: "2"}, {key: "site/index.html", etag: "3"}, {key: "site/same.css", etag: "4"},
	}
	there := map[string]string{"site/app.js": "old", "site/same.css": "4", "site/gone.html": "5", "site/gone.css": "6"}
	keys := func(p syncPlan) (got []string) {
		for _, f := range p.upload {
			got = append(got, f.key)
		}
		return append(append(got, "|"), p.remove...)
	}
	// Pages last, among themselves in order; nothing goes unless asked for.
	if diff := cmp.Diff([]string{"site/app.js", "site/a.html", "site/index.html", "|"}, keys(planSync(files, there, false))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"site/app.js", "site/a.html", "site/index.html", "|", "site/gone.css", "site/gone.html"}, keys(planSync(files, there, true))); diff != "" {
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
	files, err := readSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []siteFile{
		{filepath.Join(dir, "css", "a.css"), "site/css/a.css", 0, "d41d8cd98f00b204e9800998ecf8427e"},
		{filepath.Join(dir, "index.html"), "site/index.html", 5, "5d41402abc4b2a76b9719d911017c592"},
	}
	if diff := cmp.Diff(want, files, cmp.AllowUnexported(siteFile{})); diff != "" {
		t.Error(diff)
	}
	// What a link out of the folder leads to would become public.
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "leak.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := readSite(dir); err == nil || !strings.Contains(err.Error(), "leak.txt") {
		t.Errorf("a link out of the folder: %v", err)
	}
	if _, err := readSite(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no files") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := readSite(filepath.Join(dir, "absent")); err == nil {
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
