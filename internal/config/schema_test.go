package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"
	"go.yaml.in/yaml/v3"

	"github.com/tapctl/tapctl/internal/config"
)

// compiled is the schema as another program reads it.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	made, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.ExtractAnnotations = true
	if err := compiler.AddResource("tapctl.json", bytes.NewReader(encoded)); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("tapctl.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestEveryKeyIsInTheSchema, with what it means.
func TestEveryKeyIsInTheSchema(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	var count func(s *jsonschema.Schema) int
	count = func(s *jsonschema.Schema) (keys int) {
		for _, property := range s.Properties {
			keys += max(1, count(property))
		}
		return keys
	}
	for _, key := range config.Keys() {
		at := schema
		for part := range strings.SplitSeq(key, ".") {
			if at = at.Properties[part]; at == nil {
				t.Fatalf("%s is not in the schema", key)
			}
		}
		if at.Description == "" {
			t.Errorf("%s: its field in config.go has no comment, so the schema does not say what it means", key)
		}
	}
	if got, want := count(schema), len(config.Keys()); got != want {
		t.Errorf("the schema has %d keys, the configuration %d", got, want)
	}
}

// TestTheSchemaAgreesWithLoad on files that are right and on ones with one
// thing wrong.
func TestTheSchemaAgreesWithLoad(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	const base = "team_name: Shop\nenvironment: demo\nsource_region: eu-west-1\ntarget_region: eu-central-1\ndomain: {name: api.example.test, zone: example.test}\n"
	var files []string
	for _, name := range []string{"local.yaml", "production.yaml"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "configs", name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, string(content))
	}
	good := append(files, base, base+"shift: {bake: 1m30s, approve: [1, 50], on_signal: hold}\nlogs: {retention_days: 7}\nfunction: {memory_mb: 512}\n")
	bad := []string{
		"team_name: Shop\n", base + "shift: {bake: 5}\n", base + "shift: {bake: soon}\n", base + "shift: {on_signal: wait}\n", base + "shift: {step: 0}\n",
		base + "shift: {stp: 10}\n", base + "logs: {retention_days: 8}\n", base + "function: {memory_mb: 256.5}\n", base + "purpose: '*'\n",
		strings.Replace(base, "eu-west-1", "Ireland", 1), base + "colour: green\n",
	}
	for i, content := range append(good, bad...) {
		file := filepath.Join(t.TempDir(), "tapctl.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var document any
		if err := yaml.Unmarshal([]byte(content), &document); err != nil {
			t.Fatal(err)
		}
		_, loaded := config.Load(file, nil)
		fits := schema.Validate(document)
		if right := i < len(good); (loaded == nil) != right || (fits == nil) != right {
			t.Errorf("%s\nwant right %v; Load: %v; schema: %v", content, right, loaded, fits)
		}
	}
}
