package awsapi_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// deployedSetting is what a new deployment reads as.
var deployedSetting = cutover.Setting{Dials: cutover.Dials{DNS: 0, Canary: 10}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("want an error with %q, got %v", part, err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	same(t, "a new deployment", deployedSetting, ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
	d.weigh(3, 1) // weights need not sum to 100
	d.patch(apitypes.OpReplace, "/variables/fn", apiFunction+":live")
	d.patch(apitypes.OpRemove, "/canarySettings", "")
	want := cutover.Setting{Dials: cutover.Dials{DNS: 25}, Base: cutover.Live, LiveVersion: "1", NextVersion: "2"}
	same(t, "turned by somebody", want, ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
	d.weigh(0, 0)
	if got := ok[cutover.Setting](t)(d.traffic.Read(t.Context())); got.DNS != 50 {
		t.Errorf("Route 53 splits two zero weights evenly; read as %v%%", got.DNS)
	}
}

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	upsert := func(d *deployed, r *r53types.ResourceRecordSet) {
		d.change(r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: r})
	}
	tests := []struct {
		name   string
		change func(d *deployed)
		want   string
	}{
		{"a function nobody set", func(d *deployed) { d.patch(apitypes.OpReplace, "/variables/fn", "other:live") }, `its variable fn is "other:live"`},
		{"a third member", func(d *deployed) {
			r := d.record("green", "A", 5)
			r.SetIdentifier = new("purple")
			upsert(d, r)
		}, `unexpected member "purple"`},
		{"A and AAAA differ", func(d *deployed) { upsert(d, d.record("green", "AAAA", 100)) }, "A and AAAA disagree"},
		{"one of a pair is missing", func(d *deployed) {
			d.change(r53types.Change{Action: r53types.ChangeActionDelete, ResourceRecordSet: d.record("green", "AAAA", 0)})
		}, "the AAAA pair lacks blue or green"},
		{"no records at all", func(d *deployed) {
			for _, kind := range []string{"A", "AAAA"} {
				d.change(r53types.Change{Action: r53types.ChangeActionDelete, ResourceRecordSet: d.record("green", kind, 0)},
					r53types.Change{Action: r53types.ChangeActionDelete, ResourceRecordSet: d.record("blue", kind, 100)})
			}
		}, "no weighted records"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDeployed(t)
			test.change(d)
			_, err := d.traffic.Read(t.Context())
			wantError(t, err, test.want)
			if _, foreign := errors.AsType[*cutover.Foreign](err); foreign == strings.HasPrefix(test.want, "no weighted") {
				t.Errorf("somebody else's doing: %v", foreign)
			}
		})
	}
}

// batch is the body of a ChangeResourceRecordSets, in the order it was sent.
func batch(t *testing.T, r request) []string {
	t.Helper()
	var body struct {
		Changes []struct {
			Action string
			Record struct {
				Type, SetIdentifier string
				Weight              int
			} `xml:"ResourceRecordSet"`
		} `xml:"ChangeBatch>Changes>Change"`
	}
	if err := xml.Unmarshal([]byte(r.Body), &body); err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, c := range body.Changes {
		changes = append(changes, fmt.Sprintf("%s %s %s %d", c.Action, c.Record.Type, c.Record.SetIdentifier, c.Record.Weight))
	}
	return changes
}

func TestSetDNS(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	change := ok[string](t)(d.traffic.SetDNS(t.Context(), 0, 10))
	writes := d.writes("route53")
	if len(writes) != 1 {
		t.Fatalf("want one batch, got %d calls", len(writes))
	}
	same(t, "batch", []string{
		"DELETE A blue 100", "CREATE A blue 90", "DELETE A green 0", "CREATE A green 10",
		"DELETE AAAA blue 100", "CREATE AAAA blue 90", "DELETE AAAA green 0", "CREATE AAAA green 10",
	}, batch(t, writes[0]))
	same(t, "records", pairs(90, 10), d.records())
	if ok[bool](t)(d.traffic.InSync(t.Context(), change)) {
		t.Error("a change is in sync at once")
	}
	d.clock.Advance(time.Minute)
	if !ok[bool](t)(d.traffic.InSync(t.Context(), change)) {
		t.Error("the change never gets in sync")
	}
}

func TestSetDNSFromWeightsOfAnotherSum(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.weigh(100, 100)
	d.forget()
	ok[string](t)(d.traffic.SetDNS(t.Context(), 50, 100))
	same(t, "records", pairs(0, 100), d.records())
	d.weigh(90, 30)
	d.forget()
	ok[string](t)(d.traffic.SetDNS(t.Context(), 25, 10))
	// Blue stands at its weight already, and is guarded all the same.
	same(t, "batch", []string{
		"DELETE A blue 90", "CREATE A blue 90", "DELETE A green 30", "CREATE A green 10",
		"DELETE AAAA blue 90", "CREATE AAAA blue 90", "DELETE AAAA green 30", "CREATE AAAA green 10",
	}, batch(t, d.writes("route53")[0]))
}

func TestSetDNSRefuses(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	_, err := d.traffic.SetDNS(t.Context(), 20, 30)
	wantError(t, err, "green stands at 0%, not at 20% as before")
	for _, percent := range []cutover.Percent{2.5, -1, 101} {
		_, err := d.traffic.SetDNS(t.Context(), 0, percent)
		wantError(t, err, "is not a whole percent of 0..100")
	}
	if writes := d.writes("route53"); len(writes) != 0 {
		t.Errorf("a refused call was sent: %+v", writes)
	}
	same(t, "records", pairs(100, 0), d.records())
}

// A writer that read the same weights must not land after another one.
func TestSetDNSLosesToAConcurrentWriter(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.intercept(func(r request) error {
		if r.Service == "route53" && r.Method == http.MethodPost {
			d.intercept(nil)
			d.weigh(60, 40)
		}
		return nil
	})
	_, err := d.traffic.SetDNS(t.Context(), 0, 10)
	wantError(t, err, "the values provided do not match the current values")
	same(t, "the other's records", pairs(60, 40), d.records())
}

func TestSetCanary(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	if err := d.traffic.SetCanary(t.Context(), 10, 12.5); err != nil {
		t.Fatal(err)
	}
	same(t, "stage", stage{forwarder + ":live", true, 12.5, apiFunction + ":next"}, d.stage())
	wantError(t, d.traffic.SetCanary(t.Context(), 10, 20), "it stands at 12.5%, not at 10% as before")
	same(t, "stage", stage{forwarder + ":live", true, 12.5, apiFunction + ":next"}, d.stage())
}

// API Gateway makes a canary of the stage's own variables where there is none:
// the old code at that percent, which looks healthy.
func TestSetCanaryMakesARealCanary(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.patch(apitypes.OpRemove, "/canarySettings", "")
	wantError(t, d.traffic.SetCanary(t.Context(), 5, 10), "the stage has no canary, it had 5% before")
	if err := d.traffic.SetCanary(t.Context(), 0, 10); err != nil {
		t.Fatal(err)
	}
	same(t, "stage", stage{forwarder + ":live", true, 10, apiFunction + ":next"}, d.stage())
	d.patch(apitypes.OpReplace, "/canarySettings/stageVariableOverrides/fn", "other:next")
	if err := d.traffic.SetCanary(t.Context(), 10, 20); err != nil {
		t.Fatal(err)
	}
	same(t, "a foreign override is put right", stage{forwarder + ":live", true, 20, apiFunction + ":next"}, d.stage())
}

// promote does all parts of a promotion, each from what stands.
func (d *deployed) promote(t *testing.T) {
	t.Helper()
	for range 4 {
		live := ok[cutover.Setting](t)(d.traffic.Read(t.Context()))
		to := cutover.Setting{Dials: cutover.Dials{DNS: live.DNS}, Base: cutover.Live, LiveVersion: live.NextVersion, NextVersion: live.NextVersion}
		if live == to {
			return
		}
		if err := d.traffic.Promote(t.Context(), live, to); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("three parts do not promote")
}

// At every moment of a promotion each side of the stage has a function that
// works: first the alias, then the base side, then the canary goes.
func TestPromoteOrder(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.promote(t)
	if s := d.stage(); s.Canary {
		t.Errorf("the canary is still there: %+v", s)
	}
	var order []string
	d.mu.Lock()
	for _, r := range d.requests {
		switch {
		case r.Service == "lambda" && r.Method == http.MethodPut:
			order = append(order, "alias")
		case r.Service == "apigateway" && r.Method == http.MethodPatch && strings.Contains(r.Body, "/variables/fn"):
			order = append(order, "base")
		case r.Service == "apigateway" && r.Method == http.MethodPatch && strings.Contains(r.Body, "remove"):
			order = append(order, "canary")
		}
	}
	d.mu.Unlock()
	same(t, "order", []string{"alias", "base", "canary"}, order)
}

// TestPromoteOnlyWhatWasWatched: whatever moved since the look keeps the write
// from landing.
func TestPromoteOnlyWhatWasWatched(t *testing.T) {
	t.Parallel()
	to := cutover.Setting{Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	at := func(base cutover.Base, canary cutover.Percent, live string) cutover.Setting {
		return cutover.Setting{Dials: cutover.Dials{Canary: canary}, Base: base, LiveVersion: live, NextVersion: "2"}
	}
	for _, tt := range []struct {
		name  string
		moved func(t *testing.T, d *deployed)
		from  cutover.Setting
		want  string
	}{
		{"the candidate", func(t *testing.T, d *deployed) { d.point(t, "next", "1") }, at(cutover.Forwarder, 10, "1"), "promote version 2: the candidate is version 1 now"},
		{"live", func(t *testing.T, d *deployed) { d.point(t, "live", "2") }, at(cutover.Forwarder, 10, "1"), "live stands at version 2, not at 1 as before"},
		{"the canary, before the base", func(_ *testing.T, d *deployed) { d.patch(apitypes.OpReplace, "/canarySettings/percentTraffic", "30") }, at(cutover.Forwarder, 10, "2"), "it stands at base forwarder, canary 30%, not at forwarder, 10% as before"},
		{"the base, before the canary goes", func(*testing.T, *deployed) {}, at(cutover.Live, 10, "2"), "remove the canary of stage prod: it stands at base forwarder, canary 10%, not at live, 10% as before"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDeployed(t)
			tt.moved(t, d)
			before := ok[cutover.Setting](t)(d.traffic.Read(t.Context()))
			wantError(t, d.traffic.Promote(t.Context(), tt.from, to), tt.want)
			same(t, "nothing moved", before, ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
		})
	}
}

func TestPromoteStopsWhereItFails(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.intercept(func(r request) error {
		if r.Service == "lambda" && r.Method == http.MethodPut {
			return errForbidden()
		}
		return nil
	})
	to := cutover.Setting{Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	wantError(t, d.traffic.Promote(t.Context(), deployedSetting, to), "point alias "+apiFunction+":live at version 2")
	d.intercept(nil)
	same(t, "nothing moved", deployedSetting, ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
}

var toBlue = cutover.Setting{Base: cutover.Forwarder}

func TestRetreat(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	ok[string](t)(d.traffic.SetDNS(t.Context(), 0, 40))
	d.forget()
	change := ok[string](t)(d.traffic.Retreat(t.Context(), toBlue))
	if change == "" {
		t.Error("no change id, though the records changed")
	}
	same(t, "batch", []string{"UPSERT A blue 100", "UPSERT A green 0", "UPSERT AAAA blue 100", "UPSERT AAAA green 0"}, batch(t, d.writes("route53")[0]))
	same(t, "records", pairs(100, 0), d.records())
	same(t, "stage", stage{forwarder + ":live", true, 0, apiFunction + ":next"}, d.stage())
	d.forget()
	if change := ok[string](t)(d.traffic.Retreat(t.Context(), toBlue)); change != "" {
		t.Errorf("nothing had to change, yet change %q", change)
	}
	if writes := append(d.writes("route53"), d.writes("apigateway")...); len(writes) != 0 {
		t.Errorf("nothing had to change, yet %+v", writes)
	}
}

// TestRetreatBesideWhatSomebodyElseMade: a third record, and types that disagree,
// hold up nothing on the way back; what stands after it is still said.
func TestRetreatBesideWhatSomebodyElseMade(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	purple, lone := d.record("green", "A", 5), d.record("green", "AAAA", 30)
	purple.SetIdentifier = new("purple")
	for _, r := range []*r53types.ResourceRecordSet{purple, lone} {
		d.change(r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: r})
	}
	d.forget()
	ok[string](t)(d.traffic.Retreat(t.Context(), toBlue))
	same(t, "batch", []string{"UPSERT A blue 100", "UPSERT A green 0", "UPSERT AAAA blue 100", "UPSERT AAAA green 0"}, batch(t, d.writes("route53")[0]))
	_, err := d.traffic.Read(t.Context())
	wantError(t, err, `unexpected member "purple"`)
}

func TestRetreatAfterPromotion(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.weigh(0, 100)
	d.promote(t)
	ok[string](t)(d.traffic.Retreat(t.Context(), toBlue))
	want := cutover.Setting{Base: cutover.Forwarder, LiveVersion: "2", NextVersion: "2"}
	same(t, "setting", want, ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
	same(t, "records", pairs(100, 0), d.records())
}

func TestRetreatOfARelease(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.weigh(0, 100)
	d.patch(apitypes.OpReplace, "/variables/fn", apiFunction+":live")
	target := cutover.TargetOf(ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
	d.promote(t)
	ok[string](t)(d.traffic.Retreat(t.Context(), target))
	want := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "1", NextVersion: "2"}
	same(t, "setting", want, ok[cutover.Setting](t)(d.traffic.Read(t.Context())))
}

// One failing part of a retreat must not hold up the other.
func TestRetreatPartsAreApart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		failing, step string
		records       []string
		canary        float64
	}{
		{"apigateway", "stage prod", pairs(100, 0), 10},
		{"route53", "list records of " + public, pairs(60, 40), 0},
	}
	for _, test := range tests {
		t.Run(test.failing, func(t *testing.T) {
			t.Parallel()
			d := newDeployed(t)
			d.weigh(60, 40)
			d.refuse(test.failing)
			_, err := d.traffic.Retreat(t.Context(), toBlue)
			wantError(t, err, test.step)
			wantError(t, err, string(awsapi.Denied))
			d.intercept(nil)
			same(t, "records", test.records, d.records())
			if got := d.stage().Percent; got != test.canary {
				t.Errorf("canary: want %v, got %v", test.canary, got)
			}
		})
	}
}

// A stage that cannot be read may still take a write, and the alias too.
func TestRetreatOfStageAndAliasAreApart(t *testing.T) {
	t.Parallel()
	back := stage{forwarder + ":live", true, 0, apiFunction + ":next"}
	tests := []struct {
		name            string
		service, method string // what is refused; "" is every method
		step            string // of the error; "" where all was sent
		stage           stage
		version         string
	}{
		{"the stage is not patched", "apigateway", http.MethodPatch, "send stage prod back", stage{apiFunction + ":live", true, 10, apiFunction + ":next"}, "1"},
		{"the stage is not read", "apigateway", http.MethodGet, "", back, "1"},
		{"neither", "apigateway", "", "send stage prod back", stage{apiFunction + ":live", true, 10, apiFunction + ":next"}, "1"},
		{"the alias is not updated", "lambda", http.MethodPut, "point alias", back, "2"},
		{"the alias is not read", "lambda", http.MethodGet, "", back, "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDeployed(t)
			d.promote(t)
			if err := d.traffic.SetCanary(t.Context(), 0, 10); err != nil {
				t.Fatal(err)
			}
			d.intercept(func(r request) error {
				if r.Service == test.service && (test.method == "" || r.Method == test.method) {
					return errForbidden()
				}
				return nil
			})
			_, err := d.traffic.Retreat(t.Context(), cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1"})
			if test.step == "" && err != nil {
				t.Errorf("everything was sent, and %v", err)
			} else if test.step != "" {
				wantError(t, err, test.step)
			}
			d.intercept(nil)
			same(t, "stage", test.stage, d.stage())
			if got := d.version("live"); got != test.version {
				t.Errorf("the alias is at version %s, want %s", got, test.version)
			}
		})
	}
}

// Neither a stage nor an alias that leaves its question open costs the retreat
// its time.
func TestRetreatDoesNotWaitForALook(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.promote(t)
	d.intercept(func(r request) error {
		if r.Method == http.MethodGet && r.Service != "route53" {
			return errSilent
		}
		return nil
	})
	d.traffic.SetPatience(200 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ok[string](t)(d.traffic.Retreat(ctx, cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1"}))
	d.intercept(nil)
	if got := d.version("live"); got != "1" || d.stage().Fn != forwarder+":live" {
		t.Errorf("at version %s, stage %+v", got, d.stage())
	}
}

// A region that does not answer must not keep the loop from deciding.
func TestReadGivesUp(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.hang(greenRegion)
	d.traffic.SetPatience(200 * time.Millisecond)
	_, err := d.traffic.Read(t.Context())
	wantError(t, err, string(awsapi.NoAnswer))
}

// A connection that has gone silent must cost one try, not the retreat.
func TestRetreatTriesAgainWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	d.weigh(60, 40)
	d.intercept(func(r request) error {
		if r.Service == "route53" && r.Method == http.MethodPost {
			d.intercept(nil)
			return errSilent
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // what the driver gives a retreat
	defer cancel()
	ok[string](t)(d.traffic.Retreat(ctx, toBlue))
	same(t, "records", pairs(100, 0), d.records())
}

func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	before := d.clients.Calls()
	ok[cutover.Setting](t)(d.traffic.Read(t.Context()))
	// A and AAAA, the stage, two aliases.
	if got := d.clients.Calls() - before; got != 5 {
		t.Errorf("want 5 calls, got %d", got)
	}
}

// errForbidden is an answer that the SDK does not try again.
func errForbidden() error {
	return wire.Errorf(http.StatusForbidden, "AccessDeniedException", "not allowed")
}

// What one part refuses the others tell, and the error says which that was.
func TestReadTellsWhatItCould(t *testing.T) {
	t.Parallel()
	full := cutover.Setting{Dials: cutover.Dials{DNS: 40, Canary: 10}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}
	for service, want := range map[string]struct {
		setting cutover.Setting
		unread  [4]bool // DNS, stage, live, next
	}{
		"route53":    {cutover.Setting{Dials: cutover.Dials{Canary: 10}, Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}, [4]bool{true}},
		"apigateway": {cutover.Setting{Dials: cutover.Dials{DNS: 40}, LiveVersion: "1", NextVersion: "2"}, [4]bool{false, true}},
		"lambda":     {cutover.Setting{Dials: full.Dials, Base: cutover.Forwarder}, [4]bool{false, false, true, true}},
		"":           {full, [4]bool{}},
	} {
		d := newDeployed(t)
		d.weigh(60, 40)
		d.refuse(service)
		got, err := d.traffic.Read(t.Context())
		same(t, "setting without "+service, want.setting, got)
		unread := awsapi.UnreadOf(err)
		same(t, "unread without "+service, want.unread, [4]bool{unread.DNS != nil, unread.Stage != nil, unread.Live != nil, unread.Next != nil})
	}
	whole := awsapi.UnreadOf(errForbidden())
	if whole.DNS == nil || whole.Green() == nil {
		t.Errorf("an error that names no part is of every part: %+v", whole)
	}
}
