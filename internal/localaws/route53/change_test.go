package route53_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/route53"
)

func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	with := func(r *types.ResourceRecordSet, change func(*types.ResourceRecordSet)) *types.ResourceRecordSet {
		change(r)
		return r
	}
	tests := map[string]struct {
		change        types.Change
		code, message string
	}{
		"create existing": {do("CREATE", alias("blue", "eu-west-1", 100, "")), "InvalidChangeBatch",
			"Tried to create resource record set [name='api.example.com.', type='A', set identifier='blue'] but it already exists"},
		"delete missing": {do("DELETE", alias("red", "eu-west-1", 100, "")), "InvalidChangeBatch",
			"Tried to delete resource record set [name='api.example.com.', type='A', set identifier='red'] but it was not found"},
		"delete other weight": {do("DELETE", alias("blue", "eu-west-1", 99, "")), "InvalidChangeBatch", "but the values provided do not match the current values"},
		"delete other target": {do("DELETE", alias("blue", "eu-central-1", 100, "")), "InvalidChangeBatch", "but the values provided do not match the current values"},
		"delete other check":  {do("DELETE", alias("blue", "eu-west-1", 100, "c")), "InvalidChangeBatch", "but the values provided do not match the current values"},
		"delete the SOA": {do("DELETE", with(simple("example.com", "SOA", "ns-1.awsdns-01.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"),
			func(r *types.ResourceRecordSet) { r.TTL = aws.Int64(900) })), "InvalidChangeBatch", "must contain at least one SOA"},
		"outside the zone":       {do("CREATE", simple("api.example.org", "A", "192.0.2.1")), "InvalidChangeBatch", "RRSet with DNS name api.example.org. is not permitted in zone example.com."},
		"simple beside weighted": {do("CREATE", simple("api.example.com", "A", "192.0.2.1")), "InvalidChangeBatch", "cannot be created as other RRSets exist"},
		"weighted beside simple": {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.Name = aws.String("www.example.com") })),
			"InvalidChangeBatch", "cannot be created as a non-weighted set exists"},
		"CNAME beside A":  {do("CREATE", simple("www.example.com", "CNAME", "example.org")), "InvalidChangeBatch", "conflicts with other records"},
		"CNAME at apex":   {do("CREATE", simple("example.com", "CNAME", "example.org")), "InvalidChangeBatch", "not permitted at apex"},
		"bad address":     {do("CREATE", simple("bad.example.com", "A", "192.0.2")), "InvalidChangeBatch", "ARRDATAIllegalIPv4Address"},
		"TXT not quoted":  {do("CREATE", simple("bad.example.com", "TXT", "plain")), "InvalidChangeBatch", "enclosed in quotation marks"},
		"alias zone id":   {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.AliasTarget.HostedZoneId = aws.String("Z-eu-central-1") })), "InvalidChangeBatch", "does not lie within the target zone"},
		"alias unknown":   {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.AliasTarget.DNSName = aws.String("x.cloudfront.net") })), "InvalidChangeBatch", "does not lie within the target zone"},
		"alias with TTL":  {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.TTL = aws.Int64(60) })), "InvalidInput", "but found more than one"},
		"neither":         {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.AliasTarget = nil })), "InvalidInput", "but found none"},
		"weight 256":      {do("UPSERT", alias("blue", "eu-west-1", 256, "")), "InvalidInput", "less than or equal to 255"},
		"weight -1":       {do("UPSERT", alias("blue", "eu-west-1", -1, "")), "InvalidInput", "greater than or equal to 0"},
		"no identifier":   {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.SetIdentifier = nil })), "InvalidInput", "Missing field 'SetIdentifier'"},
		"identifier only": {do("CREATE", with(alias("x", "eu-west-1", 1, ""), func(r *types.ResourceRecordSet) { r.Weight = nil })), "InvalidInput", "Expected exactly one of [Weight"},
		"no such check":   {do("UPSERT", alias("blue", "eu-west-1", 1, "nope")), "InvalidInput", "The health check nope does not exist"},
		"latency routing": {do("CREATE", with(simple("l.example.com", "A", "192.0.2.1"), func(r *types.ResourceRecordSet) { r.SetIdentifier, r.Region = aws.String("x"), "eu-west-1" })), "InvalidInput", "the embedded AWS has no Region"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.mustChange(do("CREATE", alias("blue", "eu-west-1", 100, "")), do("CREATE", simple("www.example.com", "A", "192.0.2.9")))
			before := w.list()
			// The good change beside it must not survive: a batch is atomic.
			_, err := w.change(do("CREATE", simple("good.example.com", "A", "192.0.2.1")), tt.change)
			if codeOf(err) != tt.code || !strings.Contains(messageOf(err), tt.message) {
				t.Errorf("got %v, want %s with %q", err, tt.code, tt.message)
			}
			if diff := cmp.Diff(fmt.Sprint(len(before)), fmt.Sprint(len(w.list()))); diff != "" {
				t.Errorf("the refused batch left something behind:\n%s", diff)
			}
		})
	}
}

func TestDeleteIgnoringTheWeight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *route53.Options) { o.DeleteIgnoresWeight = true })
	w.mustChange(do("CREATE", alias("blue", "eu-west-1", 100, "")))
	w.mustChange(do("DELETE", alias("blue", "eu-west-1", 7, "")))
}

func TestCompareAndSwapBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.mustChange(do("CREATE", alias("blue", "eu-west-1", 100, "")), do("CREATE", alias("green", "eu-central-1", 0, "")))
	swap := []types.Change{
		do("DELETE", alias("blue", "eu-west-1", 100, "")), do("CREATE", alias("blue", "eu-west-1", 90, "")),
		do("DELETE", alias("green", "eu-central-1", 0, "")), do("CREATE", alias("green", "eu-central-1", 10, "")),
	}
	w.mustChange(swap...)
	if _, err := w.change(swap...); codeOf(err) != "InvalidChangeBatch" {
		t.Errorf("the stale writer's swap: %v", err)
	}
	weights := map[string]int64{}
	for _, r := range w.list() {
		if r.Weight != nil {
			weights[*r.SetIdentifier] = *r.Weight
		}
	}
	if diff := cmp.Diff(map[string]int64{"blue": 90, "green": 10}, weights); diff != "" {
		t.Error(diff)
	}
}

func TestUpsertReplacesTheWholeRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	check := w.endpointCheck("a.example.com", 1)
	w.mustChange(do("UPSERT", alias("blue", "eu-west-1", 100, check)))
	w.mustChange(do("UPSERT", alias("blue", "eu-west-1", 50, "")))
	for _, r := range w.list() {
		if r.Weight != nil && r.HealthCheckId != nil {
			t.Errorf("the health check survived an UPSERT without it: %s", *r.HealthCheckId)
		}
	}
}

func TestListOrderAndPaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.mustChange(
		do("CREATE", alias("green", "eu-central-1", 0, "")), do("CREATE", alias("blue", "eu-west-1", 100, "")),
		do("CREATE", simple("*.Example.com", "TXT", `"star"`)), do("CREATE", simple("a.b.example.com", "A", "192.0.2.1")),
		do("CREATE", simple("b.example.com", "A", "192.0.2.1")), do("CREATE", simple("api.example.com", "TXT", `"x"`)))
	var got []string
	input := &sdk.ListResourceRecordSetsInput{HostedZoneId: aws.String("/hostedzone/" + w.zone), MaxItems: aws.Int32(3)}
	pager := sdk.NewListResourceRecordSetsPaginator(w.client, input)
	for pager.HasMorePages() {
		page, err := pager.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.ResourceRecordSets {
			got = append(got, strings.TrimSpace(*r.Name+" "+string(r.Type)+" "+aws.ToString(r.SetIdentifier)))
		}
	}
	want := []string{
		"example.com. NS", "example.com. SOA", `\052.example.com. TXT`, "api.example.com. A blue", "api.example.com. A green",
		"api.example.com. TXT", "b.example.com. A", "a.b.example.com. A",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestChangeBecomesInsyncThenAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.mustChange(do("CREATE", simple("www.example.com", "A", "192.0.2.1")))
	status := func() types.ChangeStatus {
		out, err := w.client.GetChange(context.Background(), &sdk.GetChangeInput{Id: aws.String(id)})
		if err != nil {
			t.Fatal(err)
		}
		return out.ChangeInfo.Status
	}
	type seen struct{ Status, Answer string }
	look := func() seen { return seen{string(status()), w.ask("www.example.com.", 1)} }
	if diff := cmp.Diff(seen{"PENDING", "NXDOMAIN"}, look()); diff != "" {
		t.Error(diff)
	}
	w.clock.Advance(10 * time.Second)
	w.mustChange(do("UPSERT", simple("www.example.com", "A", "192.0.2.2")))
	if got := *w.list()[2].ResourceRecords[0].Value; got != "192.0.2.2" {
		t.Errorf("listed %s at once, want the new value", got)
	}
	for _, want := range []seen{{"INSYNC", "NOERROR 192.0.2.1"}, {"INSYNC", "NOERROR 192.0.2.2"}} {
		w.clock.Advance(20 * time.Second)
		if diff := cmp.Diff(want, look()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestErrorShapesAndLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *route53.Options) {
		o.RequestsPerSecond = route53.AccountRate
		o.ChangeBusy = time.Second
	})
	w.mustChange(do("CREATE", simple("a.example.com", "A", "192.0.2.1")))
	if _, err := w.change(do("CREATE", simple("b.example.com", "A", "192.0.2.1"))); codeOf(err) != "PriorRequestNotComplete" {
		t.Errorf("overlapping change: %v", err)
	}
	zone := w.zone
	w.zone = "ZNONE"
	if _, err := w.change(do("CREATE", simple("b.example.com", "A", "192.0.2.1"))); codeOf(err) != "NoSuchHostedZone" {
		t.Errorf("unknown zone: %v", err)
	}
	w.zone = zone
	for range 2 {
		w.list()
	}
	if _, err := w.change(do("CREATE", simple("c.example.com", "A", "192.0.2.1"))); codeOf(err) != "Throttling" {
		t.Errorf("sixth request of a second: %v", err)
	}
	w.clock.Advance(time.Second)
	w.list()
}

func TestZones(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := context.Background()
	create := &sdk.CreateHostedZoneInput{Name: aws.String("other.org"), CallerReference: aws.String("ref")}
	made, err := w.client.CreateHostedZone(ctx, create)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.ask("other.org.", 6); got != "REFUSED" {
		t.Errorf("a PENDING zone answered %s", got)
	}
	if _, err := w.client.CreateHostedZone(ctx, create); codeOf(err) != "HostedZoneAlreadyExists" {
		t.Errorf("same caller reference: %v", err)
	}
	byName, err := w.client.ListHostedZonesByName(ctx, &sdk.ListHostedZonesByNameInput{DNSName: aws.String("other.org")})
	if err != nil || len(byName.HostedZones) != 1 || *byName.HostedZones[0].Id != *made.HostedZone.Id {
		t.Errorf("list by name: %v %v", byName, err)
	}
	all, err := w.client.ListHostedZones(ctx, &sdk.ListHostedZonesInput{})
	if err != nil || len(all.HostedZones) != 2 {
		t.Errorf("list: %v %v", all, err)
	}
	got, err := w.client.GetHostedZone(ctx, &sdk.GetHostedZoneInput{Id: made.HostedZone.Id})
	if err != nil || *got.HostedZone.ResourceRecordSetCount != 2 || len(got.DelegationSet.NameServers) != 4 {
		t.Errorf("get: %v %v", got, err)
	}
	id := strings.TrimPrefix(*made.HostedZone.Id, "/hostedzone/")
	if _, err := w.client.ChangeTagsForResource(ctx, &sdk.ChangeTagsForResourceInput{ResourceType: "hostedzone", ResourceId: aws.String(id),
		AddTags: []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}}); err != nil {
		t.Fatal(err)
	}
	tags, err := w.client.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceType: "hostedzone", ResourceId: aws.String(id)})
	if err != nil || len(tags.ResourceTagSet.Tags) != 1 || *tags.ResourceTagSet.Tags[0].Value != "me" {
		t.Errorf("tags: %v %v", tags, err)
	}
	if _, err := w.client.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: made.HostedZone.Id}); err != nil {
		t.Error(err)
	}
	w.mustChange(do("CREATE", simple("a.example.com", "A", "192.0.2.1")))
	if _, err := w.client.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: aws.String(w.zone)}); codeOf(err) != "HostedZoneNotEmpty" {
		t.Errorf("delete a full zone: %v", err)
	}
	if _, err := w.client.ListTrafficPolicies(ctx, &sdk.ListTrafficPoliciesInput{}); codeOf(err) != "InvalidAction" {
		t.Errorf("unknown operation: %v", err)
	}
}
