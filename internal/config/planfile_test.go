package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/config"
)

func loadPlan(t *testing.T, text string) ([]config.PlanStep, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadPlan(path)
}

func TestLoadPlan(t *testing.T) {
	t.Parallel()
	got, err := loadPlan(t, `
steps:
  - {dns: 10, canary: 0}
  - {dns: 100, bake: 2m}
  - pause: approval
    timeout: 30m
  - {canary: 0.5}
  - {canary: 100}
  - {pause: approval, timeout: 2m}
`)
	if err != nil {
		t.Fatal(err)
	}
	n := func(f float64) *float64 { return &f }
	want := []config.PlanStep{
		{DNS: n(10), Canary: n(0)}, {DNS: n(100), Bake: "2m", BakeTime: 2 * time.Minute},
		{Pause: "approval", Timeout: "30m", TimeoutTime: 30 * time.Minute}, {Canary: n(0.5)}, {Canary: n(100)},
		{Pause: "approval", Timeout: "2m", TimeoutTime: 2 * time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadPlanRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, key string }{
		{"nothing", "", "steps"},
		{"no steps", "steps: []", "steps"},
		{"an unknown key", "steps: [{weight: 10}]", "steps"},
		{"not YAML", "steps: [", "steps"},
		{"an empty step", "steps: [{bake: 5m}]", "steps[1]"},
		{"too much", "steps: [{dns: 101}]", "steps[1].dns"},
		{"below nothing", "steps: [{canary: -1}]", "steps[1].canary"},
		{"a part of a weight", "steps: [{dns: 2.5}]", "steps[1].dns"},
		{"going down", "steps: [{dns: 20}, {dns: 10}]", "steps[2].dns"},
		{"going down after a gap", "steps: [{canary: 20}, {dns: 5}, {canary: 10}]", "steps[3].canary"},
		{"a bake without unit", "steps: [{dns: 1, bake: 5}]", "steps[1].bake"},
		{"a timeout without pause", "steps: [{dns: 1, timeout: 5m}]", "steps[1].timeout"},
		{"another pause", "steps: [{dns: 1}, {pause: coffee}, {dns: 2}]", "steps[2].pause"},
		{"a pause with dials", "steps: [{dns: 1}, {pause: approval, dns: 2}, {dns: 3}]", "steps[2]"},
		{"a last pause's timeout without unit", "steps: [{dns: 1}, {pause: approval, timeout: 5}]", "steps[2].timeout"},
		{"a pause first", "steps: [{pause: approval}, {dns: 3}]", "steps[1].pause"},
	}
	for _, tt := range tests {
		_, err := loadPlan(t, tt.text)
		got := problems(t, err)
		if len(got) != 1 || got[0].Key != tt.key {
			t.Errorf("%s: %+v, want one problem with %s", tt.name, got, tt.key)
		}
	}
	if _, err := config.LoadPlan(filepath.Join(t.TempDir(), "missing.yaml")); problems(t, err)[0].Key != "shift.plan" {
		t.Errorf("a missing file: %v", err)
	}
}
