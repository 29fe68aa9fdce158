package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/tapctl/tapctl/internal/config"
)

// commented is a key that stands in a comment; prose does not begin with one
// word and a colon.
var commented = regexp.MustCompile(`(?m)^( *)# ( *[a-z_0-9]+:(?: .*)?)$`)

// TestTheExampleHasEveryKey: 'init' promises a configuration with every key, in
// force or commented out, and each with a value that it may have.
func TestTheExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "production.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(commented.ReplaceAll(text, []byte("$1$2")), &document); err != nil {
		t.Fatal(err)
	}
	if err := compiled(t).Validate(any(document)); err != nil {
		t.Error(err)
	}
	keys := keysOf("", document)
	slices.Sort(keys)
	if diff := cmp.Diff(config.Keys(), keys); diff != "" {
		t.Errorf("keys of the configuration, keys of the example (-want +got):\n%s", diff)
	}
}

func keysOf(prefix string, section map[string]any) (keys []string) {
	for name, value := range section {
		if below, ok := value.(map[string]any); ok {
			keys = append(keys, keysOf(prefix+name+".", below)...)
		} else {
			keys = append(keys, prefix+name)
		}
	}
	return keys
}
