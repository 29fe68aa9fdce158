package lambda

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxUnzipped is AWS's bound on a function's unzipped code.
const maxUnzipped = 250 << 20

// errNoBootstrap is AWS's text for a zip without one.
//
//lint:ignore ST1005 the wording is AWS's own
var errNoBootstrap = errors.New("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")

// unzip writes the archive into a new folder below parent and returns it.
func unzip(zipped []byte, parent string) (string, error) {
	archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return "", fmt.Errorf("unzip the function: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "task-")
	if err != nil {
		return "", err
	}
	left, found := int64(maxUnzipped), false
	for _, file := range archive.File {
		if !filepath.IsLocal(file.Name) {
			return "", fmt.Errorf("unzip the function: %q leads out of the folder", file.Name)
		}
		if strings.HasSuffix(file.Name, "/") || !file.Mode().IsRegular() {
			continue
		}
		written, err := extract(file, filepath.Join(dir, file.Name), left)
		if err != nil {
			return "", fmt.Errorf("unzip %s: %w", file.Name, err)
		}
		if left -= written; left <= 0 {
			return "", fmt.Errorf("unzip the function: larger than %d bytes", maxUnzipped)
		}
		// Lambda too refuses a bootstrap that is not executable, with the
		// kernel's "permission denied".
		found = found || file.Name == "bootstrap"
	}
	if !found {
		return "", errNoBootstrap
	}
	return dir, nil
}

func extract(file *zip.File, path string, limit int64) (int64, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, err
	}
	in, err := file.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, file.Mode().Perm()|0o600)
	if err != nil {
		return 0, err
	}
	written, err := io.Copy(out, io.LimitReader(in, limit))
	return written, errors.Join(err, out.Close())
}
