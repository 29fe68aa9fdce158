package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/config"
)

func TestNamesTooLong(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 29) // with -prod-assets-eu-central-1-01234567: 63
	if _, err := load(t, with(map[string]string{"team_name": longest})); err != nil {
		t.Errorf("63 characters are allowed: %v", err)
	}
	_, err := load(t, with(map[string]string{"team_name": longest + "a"}))
	got := problems(t, err)
	want := "the assets bucket in eu-central-1 would be named " + longest + "a-prod-assets-eu-central-1-e3b0c442: 64 characters, AWS allows 63"
	if len(got) != 1 || got[0].Key != "team_name" || got[0].Reason != want {
		t.Errorf("want team_name: %q, got %+v", want, got)
	}
}

func TestExternalSourceByAlias(t *testing.T) {
	t.Parallel()
	alias := map[string]string{"source.external.alias_name": "d-abc.execute-api.eu-west-1.amazonaws.com", "source.external.alias_zone": "Z2FDTNDATAQYW2"}
	got, err := load(t, with(alias))
	if err != nil || !got.Source.External.Set() {
		t.Errorf("an alias with its zone: %v, %+v", err, got.Source)
	}
	alias["source.external.url"] = "https://old.example.net"
	if _, err := load(t, with(alias)); !strings.Contains(fmt.Sprint(err), "not by both") {
		t.Errorf("both forms at once: %v", err)
	}
}

func TestDualstackNeedsSixForNarrowCIDR(t *testing.T) {
	t.Parallel()
	narrow := map[string]string{"domain.dualstack": "true", "allowed_cidr": "[203.0.113.0/24]"}
	if _, err := load(t, with(narrow)); !strings.Contains(fmt.Sprint(err), "every user who comes by IPv6 would be refused") {
		t.Errorf("IPv4 alone: %v", err)
	}
	for _, enough := range []string{`["203.0.113.0/24", "2001:db8::/32"]`, "[0.0.0.0/0]"} {
		narrow["allowed_cidr"] = enough
		if got, err := load(t, with(narrow)); err != nil || len(got.RecordTypes()) != 2 {
			t.Errorf("%s: %v", enough, err)
		}
	}
}

// The switch must not go down with either side of the migration.
func TestKillRegionIsAThirdOne(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"us-west-2", "eu-north-1", "eu-west-1"} {
		for _, target := range []string{"us-east-1", "eu-north-1", "us-west-2", "ap-southeast-2"} {
			c := config.Config{SourceRegion: source, TargetRegion: target}
			if k := c.KillRegion(); k == source || k == target || k == "" {
				t.Errorf("%s to %s: %q", source, target, k)
			}
		}
	}
	if c := (config.Config{Brake: config.Brake{KillRegion: "sa-east-1"}}); c.KillRegion() != "sa-east-1" {
		t.Errorf("configured: %s", c.KillRegion())
	}
}
