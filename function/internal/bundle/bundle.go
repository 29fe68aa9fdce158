// Package bundle turns a Go program into the zip that Lambda runs. The same
// source gives the same bytes on every run and machine: Lambda publishes a
// version whenever the hash of the zip changes, so a build that differs by a
// time stamp would look like a release.
package bundle

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// modified is the time of every file in a bundle; zip cannot go below 1980.
var modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Write writes a zip with one executable named bootstrap.
func Write(w io.Writer, bootstrap []byte) error {
	archive := zip.NewWriter(w)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: modified}
	header.SetMode(0o755)
	file, err := archive.CreateHeader(header)
	if err != nil {
		return fmt.Errorf("zip bootstrap: %w", err)
	}
	if _, err := file.Write(bootstrap); err != nil {
		return fmt.Errorf("zip bootstrap: %w", err)
	}
	return archive.Close()
}

// Compile builds the package for Lambda's Linux on arch and returns the executable.
func Compile(ctx context.Context, pkg, arch string, progress io.Writer) ([]byte, error) {
	dir, err := os.MkdirTemp("", "bundle-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "bootstrap")
	// -buildvcs=false: the commit id would change the bytes on every commit.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid=", "-tags", "lambda.norpc", "-o", out, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	build.Stdout, build.Stderr = progress, progress
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build %s for linux/%s: %w", pkg, arch, err)
	}
	return os.ReadFile(out)
}

// File compiles the package and writes its bundle to path.
func File(ctx context.Context, pkg, arch, path string, progress io.Writer) error {
	bootstrap, err := Compile(ctx, pkg, arch, progress)
	if err != nil {
		return err
	}
	// Written beside and renamed: a deploy that runs meanwhile sees the old
	// bundle or the new one, never half of one.
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // Non-fatal: renamed away on success.
	if err := Write(file, bootstrap); err != nil {
		file.Close()
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(file.Name(), path)
}
