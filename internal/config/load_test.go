package config_test

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/config"
)

// required is the smallest configuration that is right: key -> YAML value.
var required = map[string]string{
	"team_name": "Shop", "environment": "prod", "source_region": "eu-west-1", "target_region": "eu-central-1",
	"domain.name": "api.example.com", "domain.zone": "example.com",
}

// yamlOf renders flat keys as a file with sections.
func yamlOf(values map[string]string) string {
	sections := map[string][]string{}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		section, name, nested := strings.Cut(key, ".")
		if nested {
			sections[section] = append(sections[section], fmt.Sprintf("  %s: %s\n", name, values[key]))
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", key, values[key])
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		b.WriteString(section + ":\n" + strings.Join(sections[section], ""))
	}
	return b.String()
}

// with is the smallest right configuration with further values over it.
func with(more map[string]string) string {
	values := maps.Clone(required)
	maps.Copy(values, more)
	return yamlOf(values)
}

func without(key string) string {
	values := maps.Clone(required)
	delete(values, key)
	return yamlOf(values)
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "tapctl.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	// tools is what infra.pulumi may name; the CLI below plain cannot be run.
	for name, mode := range map[string]os.FileMode{"tools": 0o700, "plain": 0o600} {
		bin := filepath.Join(dir, name, "bin")
		if err := errors.Join(os.MkdirAll(bin, 0o700), os.WriteFile(filepath.Join(bin, "pulumi"), nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func load(t *testing.T, content string) (config.Config, error) {
	t.Helper()
	return config.Load(writeFile(t, content), nil)
}

// problems are those of the error, which must be a usage error.
func problems(t *testing.T, err error) []config.Problem {
	t.Helper()
	failed, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("want *config.Error, got %T: %v", err, err)
	}
	if failed.ExitCode() != 2 {
		t.Errorf("exit code: want 2, got %d", failed.ExitCode())
	}
	return failed.Problems
}

// packaged writes a zip with one file, as a Lambda package.
func packaged(t *testing.T, dir, name string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, "function.zip")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	header := &zip.FileHeader{Name: name}
	header.SetMode(mode)
	if _, err := archive.CreateHeader(header); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(t, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults()
	want.TeamName, want.Environment, want.Owner = "Shop", "prod", "Shop"
	want.SourceRegion, want.TargetRegion = "eu-west-1", "eu-central-1"
	want.Domain = config.Domain{Name: "api.example.com", Zone: "example.com"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// The thresholds are a promise to the operator, not an implementation detail.
func TestDefaultThresholds(t *testing.T) {
	t.Parallel()
	want := config.Alarms{LambdaErrors: 1, LambdaDuration: 3 * time.Second, API4XX: 5, API5XX: 1, API5XXRate: 0.05,
		APILatency: 2 * time.Second, DynamoDBThrottles: 1}
	if diff := cmp.Diff(want, config.Defaults().Alarms); diff != "" {
		t.Errorf("thresholds (-want +got):\n%s", diff)
	}
}

func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, `
team_name: my-team
source_region: eu-west-1
target_region: eu-west-1
allowed_cidr: [10.0.0.300/24, 192.168.1.1/16]
shfit: {step: 5}
domain: {name: api.example.org, zone: example.com}
shift: {bake: 5, step: ten, to: 200}
`)
	want := []config.Problem{
		{Key: "shfit.step", Value: "5", Reason: "unknown key; did you mean shift.step?"},
		{Key: "shift.bake", Value: "5", Reason: `want a duration with its unit, like "5m" or "90s"`},
		{Key: "shift.step", Value: "ten", Reason: "want a number"},
		{Key: "team_name", Value: "my-team", Reason: "want letters and digits, starting with a letter"},
		{Key: "environment", Value: "", Reason: "required: letters and digits, starting with a letter"},
		{Key: "target_region", Value: "eu-west-1", Reason: "must differ from source_region: one public name can be split only between regions"},
		{Key: "allowed_cidr", Value: "10.0.0.300/24", Reason: "not a CIDR: want an address and a prefix length, like 203.0.113.0/24"},
		{Key: "allowed_cidr", Value: "192.168.1.1/16", Reason: "has host bits set; did you mean 192.168.0.0/16?"},
		{Key: "domain.name", Value: "api.example.org", Reason: "must be a name inside the zone example.com"},
		{Key: "shift.to", Value: "200", Reason: "want 1 to 100"},
	}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for _, p := range want {
		if line := fmt.Sprintf("%s = %q: %s", p.Key, p.Value, p.Reason); !strings.Contains(err.Error(), line) {
			t.Errorf("the text lacks %q:\n%v", line, err)
		}
	}
}

func TestMissingKeys(t *testing.T) {
	t.Parallel()
	for key := range required {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, without(key))
			for _, p := range problems(t, err) {
				if p.Key == key && strings.HasPrefix(p.Reason, "required") {
					return
				}
			}
			t.Errorf("no problem says that %s is required: %v", key, err)
		})
	}
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, content, key, reason string }{
		{"typo", with(map[string]string{"target_regoin": "eu-north-1"}), "target_regoin", "unknown key; did you mean target_region?"},
		{"typo in a section", with(map[string]string{"shift.bakes": "5m"}), "shift.bakes", "unknown key; did you mean shift.bake?"},
		{"nothing close", with(map[string]string{"kubernetes": "yes"}), "kubernetes", "unknown key"},
		{"a section given as a value", with(map[string]string{"shift": "5m"}), "shift", "a section: put its keys, like shift.approve, under it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, test.content)
			want := []config.Problem{{Key: test.key, Reason: test.reason}}
			got := problems(t, err)
			for i := range got {
				got[i].Value = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFreezeForbidsWhatGoesBackByItself: one policy that never goes back is
// not undone by another that does.
func TestFreezeForbidsWhatGoesBackByItself(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"shift.on_incident": "freeze", "shift.on_signal": "hold"}
	if _, err := load(t, with(keys)); err != nil {
		t.Error(err)
	}
	keys["shift.on_signal"], keys["lease.on_expired"] = "rollback", "revert"
	_, err := load(t, with(keys))
	var got []string
	for _, p := range problems(t, err) {
		got = append(got, p.Key)
	}
	if diff := cmp.Diff([]string{"shift.on_signal", "lease.on_expired"}, got); diff != "" {
		t.Error(diff)
	}
}

// A section whose keys are all commented out is what a copied example becomes.
func TestEmptySection(t *testing.T) {
	t.Parallel()
	got, err := load(t, with(nil)+"shift:\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Defaults().Shift, got.Shift); diff != "" {
		t.Errorf("shift (-want +got):\n%s", diff)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "absent.yaml")
		_, err := config.Load(file, nil)
		want := []config.Problem{{Key: "config", Value: file, Reason: "no such file; name one with -c, or write one with 'tapctl init'"}}
		if diff := cmp.Diff(want, problems(t, err)); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
		failed, _ := errors.AsType[*config.Error](err)
		if want := "correct the keys above, then run: tapctl validate -c " + file; failed.Hint() != want {
			t.Errorf("hint: want %q, got %q", want, failed.Hint())
		}
	})
	t.Run("not YAML", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, "team_name: [")
		if got := problems(t, err); len(got) != 1 || got[0].Key != "config" {
			t.Errorf("want one problem with the file, got %+v", got)
		}
	})
	t.Run("a key twice", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, with(nil)+"team_name: Other\n")
		if got := problems(t, err); len(got) != 1 || got[0].Key != "config" {
			t.Errorf("want one problem with the file, got %+v", got)
		}
	})
	t.Run("a directory", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(t.TempDir(), nil)
		if got := problems(t, err); len(got) != 1 || got[0].Key != "config" {
			t.Errorf("want one problem with the file, got %+v", got)
		}
	})
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, entry string
		mode        fs.FileMode
		reason      string // "" where the package is right
	}{
		{"right", "bootstrap", 0o755, ""},
		{"not executable", "bootstrap", 0o644, "its bootstrap is not executable"},
		{"in a folder", "dist/bootstrap", 0o755, "has no file bootstrap at its root, which provided.al2023 runs"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := packaged(t, t.TempDir(), test.entry, test.mode)
			got, err := load(t, with(map[string]string{"function.api": path, "function.forward": path}))
			if test.reason == "" {
				if err != nil || got.Function.API != path || got.Function.Forward != path {
					t.Errorf("want %s for both, got %+v, %v", path, got.Function, err)
				}
				return
			}
			want := []config.Problem{{Key: "function.api", Value: path, Reason: test.reason}, {Key: "function.forward", Value: path, Reason: test.reason}}
			if diff := cmp.Diff(want, problems(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRelativePaths(t *testing.T) {
	file := writeFile(t, with(map[string]string{"function.api": "function.zip", "aws.ca_bundle": "ca.pem", "infra.pulumi": "tools"}))
	dir := filepath.Dir(file)
	packaged(t, dir, "bootstrap", 0o755)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("the file's are relative to the file", func(t *testing.T) {
		got, err := config.Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{filepath.Join(dir, "function.zip"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "tools")}
		if diff := cmp.Diff(want, []string{got.Function.API, got.AWS.CABundle, got.Infra.Pulumi}); diff != "" {
			t.Errorf("paths (-want +got):\n%s", diff)
		}
	})
	t.Run("absolute even where the file is named relatively", func(t *testing.T) {
		t.Chdir(dir)
		got, err := config.Load("tapctl.yaml", nil)
		if err != nil {
			t.Fatal(err)
		}
		if !filepath.IsAbs(got.Infra.Pulumi) || !filepath.IsAbs(got.Function.API) {
			t.Errorf("want absolute paths, got %q and %q", got.Infra.Pulumi, got.Function.API)
		}
	})
	t.Run("those of variables and flags are relative to where the command runs", func(t *testing.T) {
		elsewhere := t.TempDir()
		path := packaged(t, elsewhere, "bootstrap", 0o755)
		t.Chdir(elsewhere)
		t.Setenv("TAPCTL_FUNCTION_API", "function.zip")
		got, err := config.Load(file, map[string]any{"function.forward": "function.zip"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{path, path}, []string{got.Function.API, got.Function.Forward}); diff != "" {
			t.Errorf("paths (-want +got):\n%s", diff)
		}
	})
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, with(map[string]string{"shift.step": "5", "shift.bake": "5m", "shift.to": "50"}))
	t.Setenv("TAPCTL_SHIFT_BAKE", "7m")
	t.Setenv("TAPCTL_SHIFT_STEP", "7")
	t.Setenv("TAPCTL_LOGS_RETENTION_DAYS", "7")
	t.Setenv("TAPCTL_ALLOWED_CIDR", "10.0.0.0/8, 192.168.0.0/16")
	t.Setenv("TAPCTL_SHIFT_POLL", "") // set but empty: as if it were not set
	got, err := config.Load(file, map[string]any{"shift.step": 20.0})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults().Shift
	want.Step, want.Bake, want.To = 20, 7*time.Minute, 50 // the flag, the variable, the file
	if diff := cmp.Diff(want, got.Shift); diff != "" {
		t.Errorf("shift (-want +got):\n%s", diff)
	}
	if got.Logs.RetentionDays != 7 {
		t.Errorf("a variable of a key that the file lacks: want 7, got %d", got.Logs.RetentionDays)
	}
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.168.0.0/16"}, got.AllowedCIDR); diff != "" {
		t.Errorf("a list in a variable (-want +got):\n%s", diff)
	}
}

func TestBadVariable(t *testing.T) {
	t.Setenv("TAPCTL_SHIFT_BAKE", "5")
	_, err := load(t, with(nil))
	want := []config.Problem{{Key: "shift.bake", Value: "5", Reason: `want a duration with its unit, like "5m" or "90s"`}}
	if diff := cmp.Diff(want, problems(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// The examples are what a new user starts from: they must load as they are,
// without the packages that a build would have made.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("want both examples, got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			got, err := config.Load(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Function.API != "" || got.Function.Forward != "" {
				t.Errorf("want the default packages, got %+v", got.Function)
			}
			if got.Owner != "platform-team" || got.Shift.Step != 10 {
				t.Errorf("the file's values are not there: %+v", got)
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	c, err := load(t, with(nil))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Name("api"), c.RegionalName("api", "eu-west-1"), c.StackPrefix(), c.ProbeName("eu-west-1")}
	want := []string{"Shop-prod-api", "Shop-prod-api-eu-west-1", "shop-prod", "eu-west-1.api.example.com"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestEvidenceSilentOutlastsThePoll(t *testing.T) {
	t.Parallel()
	for poll, want := range map[string]time.Duration{"15s": time.Minute, "1m": 2 * time.Minute} {
		c, err := load(t, with(map[string]string{"shift.poll": poll}))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.EvidenceSilent(); got != want {
			t.Errorf("a poll of %s: %v, want %v", poll, got, want)
		}
	}
}

// TestTheLeaseOutlastsALivingRun: it is extended between two looks only.
func TestTheLeaseOutlastsALivingRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ ttl, heartbeat, poll, preflight, reason string }{
		{"30s", "10s", "1m", "true", "must be at least 4m10s, or a living run loses its lease: lease.heartbeat (10s), shift.poll (1m0s), a call of the retreat (1m0s) and the preflight (2m0s)"},
		{"250s", "10s", "1m", "true", ""},
		{"129s", "10s", "1m", "false", "must be at least 2m10s, or a living run loses its lease: lease.heartbeat (10s), shift.poll (1m0s), a call of the retreat (1m0s)"},
		{"130s", "10s", "1m", "false", ""},
		{"599s", "200s", "15s", "true", "must be at least three heartbeats (10m0s)"},
		{"600s", "200s", "5m", "false", ""},
	} {
		_, err := load(t, with(map[string]string{"lease.ttl": tt.ttl, "lease.heartbeat": tt.heartbeat, "shift.poll": tt.poll, "probe.preflight": tt.preflight}))
		var got []string
		if err != nil {
			for _, p := range problems(t, err) {
				got = append(got, p.Key+": "+p.Reason)
			}
		}
		var want []string
		if tt.reason != "" {
			want = []string{"lease.ttl: " + tt.reason}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt, diff)
		}
	}
}
