package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tapctl/tapctl/internal/config"
)

// Whoever asks for the packages is refused where one cannot be read: nothing
// has been changed by then.
func TestArtifactsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	there, gone := filepath.Join(t.TempDir(), "there.zip"), filepath.Join(t.TempDir(), "gone.zip")
	if err := os.WriteFile(there, []byte("package"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		api, forward string
		want         int
	}{{there, there, exitDone}, {gone, there, exitRefused}, {there, gone, exitRefused}} {
		api, forward, err := artifacts(config.Config{Function: config.Function{API: test.api, Forward: test.forward}})
		code := exitDone
		if err != nil {
			code = exitCodeOf(err)
		}
		if code != test.want {
			t.Errorf("%+v: exit code %d (%v)", test, code, err)
		}
		if err == nil && (api.Path != there || api.Version == "" || forward != api) {
			t.Errorf("api %+v, forward %+v", api, forward)
		}
	}
}
