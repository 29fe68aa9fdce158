package app_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/cutover"
)

// A region that is down takes some dials with it: the others are shown, and
// what is not known is named, with why, and never told as zero.
func TestStatusShowsWhatItRead(t *testing.T) {
	t.Parallel()
	const green = `dial "canary and base": read stage prod in eu-central-1: access denied`
	for name, tt := range map[string]struct {
		moods  map[string]mood
		dns    int64
		seen   string // mode, dials, exposure and base
		unread []string
	}{
		"all is read":       {nil, 40, `"migrate" {"dns":40,"canary":60} 24 "forwarder"`, nil},
		"the stage is not":  {map[string]mood{greenRegion + "/apigateway": refuses}, 40, `"" {"dns":40,"canary":null} null ""`, []string{green}},
		"green is not":      {map[string]mood{greenRegion: refuses}, 40, `"" {"dns":40,"canary":null} null ""`, []string{green, `dial "live version"`, `dial "candidate version"`}},
		"nobody is there":   {map[string]mood{greenRegion: refuses}, 0, `"" {"dns":0,"canary":null} 0 ""`, []string{green, `dial "live version"`, `dial "candidate version"`}},
		"Route 53 is not":   {map[string]mood{"us-east-1/route53": refuses}, 40, `"migrate" {"dns":null,"canary":60} null "forwarder"`, []string{`dial "dns": list records of ` + public + ": "}},
		"green is silent":   {map[string]mood{greenRegion: silent}, 40, `"" {"dns":40,"canary":null} null ""`, []string{`dial "canary and base": read stage prod in eu-central-1`, `dial "live version"`, `dial "candidate version"`}},
		"nothing, by right": {map[string]mood{greenRegion + "/apigateway": refuses, greenRegion + "/lambda": refuses, "us-east-1/route53": refuses}, 40, `"" {"dns":null,"canary":null} null ""`, []string{`dial "dns"`, green, `dial "live version"`, `dial "candidate version"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Config.AWS.DNSServer = "127.0.0.1:1" // nobody answers there
			w.makeControl()
			w.journal(cutover.State{ID: "1", Phase: cutover.Baking})
			w.weigh(100-tt.dns, tt.dns)
			w.green.turn(60)
			for where, how := range tt.moods {
				w.set(where, how)
			}
			s := ok[app.Status](t)(w.Status(t.Context()))
			var said struct{ Mode, Dials, Exposure, Base json.RawMessage }
			if err := json.Unmarshal(ok[[]byte](t)(json.Marshal(s)), &said); err != nil {
				t.Fatal(err)
			}
			same(t, "seen", tt.seen, strings.Join([]string{string(said.Mode), string(said.Dials), string(said.Exposure), string(said.Base)}, " "))
			if len(s.Unread) != len(tt.unread) {
				t.Fatalf("unread: want %d, got %+v", len(tt.unread), s.Unread)
			}
			for i, want := range tt.unread {
				if got := `dial "` + s.Unread[i].Dial + `": ` + s.Unread[i].Reason; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
					t.Errorf("unread %d: want %q, got %q", i, want, got)
				}
			}
			if s.LastEvent == nil || s.LastEvent.Shift != "1" {
				t.Errorf("the journal's shift is not shown: %+v, %q", s.LastEvent, s.Warnings)
			}
		})
	}
}

// Where AWS does not know the caller, every dial is unread for that one reason.
func TestStatusOfAnUnknownCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keepCopy(t, w.top)
	for _, region := range []string{greenRegion, blueRegion, "us-east-1"} {
		w.set(region, refuses)
	}
	_, err := w.Status(t.Context())
	if exitCode(err) != 3 || !strings.Contains(err.Error(), "ask for the caller's identity") {
		t.Errorf("exit code %d: %v", exitCode(err), err)
	}
}
