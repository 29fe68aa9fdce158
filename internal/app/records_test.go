package app_test

import (
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/infra"
)

// TestUnfitRecords is what a deploy refuses at the public name.
func TestUnfitRecords(t *testing.T) {
	t.Parallel()
	some := infra.ExternalRecord{Values: []string{"192.0.2.7"}, TTL: 300}
	of := func(kinds ...string) map[string]infra.ExternalRecord {
		records := map[string]infra.ExternalRecord{}
		for _, kind := range kinds {
			records[kind] = some
		}
		return records
	}
	weighted := func(kinds ...string) awsapi.Records {
		found := awsapi.Records{Blue: of(kinds...), Weighted: map[string]bool{}}
		for _, kind := range kinds {
			found.Weighted[kind] = true
		}
		return found
	}
	url, alias := config.External{URL: "https://old.example.net"}, config.External{AliasName: "d-1.cloudfront.net", AliasZone: "Z2FDTNDATAQYW2"}
	v4, both := []string{"A"}, []string{"A", "AAAA"}
	for name, tt := range map[string]struct {
		found    awsapi.Records
		types    []string
		external config.External
		refused  string // "" is fit
	}{
		"nothing there":                          {awsapi.Records{}, v4, config.External{}, ""},
		"its own pair":                           {weighted("A"), v4, config.External{}, ""},
		"a pair that gets AAAA":                  {weighted("A"), both, config.External{}, ""},
		"a pair that would lose AAAA":            {weighted("A", "AAAA"), v4, config.External{}, "has an AAAA record"},
		"a CNAME":                                {awsapi.Records{CNAME: "x.example.net"}, v4, url, "is a CNAME"},
		"a stranger's record":                    {awsapi.Records{Plain: of("A")}, v4, config.External{}, "that tapctl did not make (A: 192.0.2.7)"},
		"an external record":                     {awsapi.Records{Plain: of("A")}, v4, url, ""},
		"an external one of both types":          {awsapi.Records{Plain: of("A", "AAAA")}, both, url, ""},
		"its AAAA would stay on blue for ever":   {awsapi.Records{Plain: of("A", "AAAA")}, v4, url, "has an AAAA record"},
		"green's AAAA would be the only one":     {awsapi.Records{Plain: of("A")}, both, url, "has no AAAA record"},
		"the same, taken over already":           {weighted("A"), both, url, "has no AAAA record"},
		"green's A would be the only one":        {awsapi.Records{Plain: of("AAAA")}, both, alias, "has no A record"},
		"a URL, and nowhere that a record leads": {awsapi.Records{}, v4, url, "has no record to take over"},
		"an alias, and no record yet":            {awsapi.Records{}, both, alias, ""},
		"retired: green's is the only pair":      {awsapi.Records{Weighted: map[string]bool{"A": true}}, v4, url, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := app.UnfitRecords(tt.found, tt.types, tt.external)
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused) || exitCode(err) != 3):
				t.Errorf("got %v, want a refusal with %q", err, tt.refused)
			}
		})
	}
}

// TestBlueCannotChangeHands: whether blue is tapctl's is of the deployment.
// A configuration that says otherwise would leave a cell, or a record, behind.
func TestBlueCannotChangeHands(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		was, is string
		retired bool
		refused bool
	}{
		"tapctl's, and now a URL": {"", "https://old.example.net", false, true},
		"external, and forgotten": {"https://old.example.net", "", false, true},
		"retired, and forgotten":  {"https://old.example.net", "", true, false},
		"the same":                {"https://old.example.net", "https://old.example.net", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.top.External, w.top.Retired = tt.was, tt.retired
			w.Config.Source.External.URL = tt.is
			w.makeControl()
			w.weigh(100, 0)
			err := w.Guard(t.Context())
			if refused := err != nil && strings.Contains(err.Error(), "whose blue is cannot change"); refused != tt.refused || refused != (exitCode(err) == 3) {
				t.Errorf("got %v, want refused %v", err, tt.refused)
			}
		})
	}
}
