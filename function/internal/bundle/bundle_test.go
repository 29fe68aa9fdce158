package bundle_test

import (
	"archive/zip"
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/tapctl/tapctl/function/internal/bundle"
)

func TestTheSameProgramIsTheSameBundle(t *testing.T) {
	t.Parallel()
	program := bytes.Repeat([]byte("program"), 10_000)
	var first, second bytes.Buffer
	for _, w := range []io.Writer{&first, &second} {
		if err := bundle.Write(w, program); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two bundles of the same program differ")
	}
	archive, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.File) != 1 {
		t.Fatalf("%d files in the bundle", len(archive.File))
	}
	file := archive.File[0]
	if file.Name != "bootstrap" || file.Mode().Perm() != 0o755 || !file.Modified.Equal(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%s %v %v", file.Name, file.Mode(), file.Modified)
	}
	r, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if content, err := io.ReadAll(r); err != nil || !bytes.Equal(content, program) {
		t.Errorf("the program did not survive: %v", err)
	}
}
