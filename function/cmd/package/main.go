// Command package builds api.zip and forward.zip, the code of the two Lambda
// functions. Run it inside the module:
//
//	go run ./function/cmd/package -out build/function
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/tapctl/tapctl/function/internal/bundle"
)

const module = "github.com/tapctl/tapctl/function/"

func main() {
	out := flag.String("out", "build/function", "`folder` to write the zips to")
	arch := flag.String("arch", runtime.GOARCH, "`GOARCH` of the functions: arm64 or amd64")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, arch string) error {
	if arch != "arm64" && arch != "amd64" {
		return fmt.Errorf("-arch %q: Lambda runs arm64 and amd64", arch)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"api", "forward"} {
		if err := bundle.File(ctx, module+name, arch, filepath.Join(out, name+".zip"), os.Stderr); err != nil {
			return err
		}
	}
	return nil
}
