package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
)

func TestAskOf(t *testing.T) {
	t.Parallel()
	want := cutover.Ask{Step: 5, To: 80, MaxExposure: 50, Via: cutover.ViaBoth}
	if diff := cmp.Diff(want, app.AskOf(config.Shift{Step: 5, To: 80, MaxExposure: 50})); diff != "" {
		t.Errorf("what a configuration asks (-want +got):\n%s", diff)
	}
}

// A bundle without a certificate would refuse every front door, one by one.
func TestRoots(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for bundle, want := range map[string]string{"": "", empty: "no certificate in it", empty + ".gone": "read aws.ca_bundle"} {
		pool, err := app.Roots(bundle)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) || pool != nil {
			t.Errorf("%q: want %q, got %v, %v", bundle, want, pool, err)
		}
	}
}
