package route53_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// guard is IAM that writes down what it is asked, and denies one action.
type guard struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

func (g *guard) authorize(_ context.Context, ask wire.Ask) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := ask.AccessKeyID + " " + ask.Action + " " + ask.Resource
	for _, key := range slices.Sorted(maps.Keys(ask.Keys)) {
		text += " " + key + "=" + strings.Join(ask.Keys[key], ",")
	}
	g.asks = append(g.asks, text)
	if ask.Action == g.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "User: me is not authorized to perform: %s", ask.Action)
	}
	return nil
}

// during is what was asked while do ran, with one action denied.
func (g *guard) during(denied string, do func() error) ([]string, error) {
	g.mu.Lock()
	g.asks, g.denied = nil, denied
	g.mu.Unlock()
	err := do()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asks, err
}

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

// proven makes each call, wants exactly its questions, and then a refusal of
// the call for each of them.
func (g *guard) proven(t *testing.T, key, code string, all []try) {
	t.Helper()
	for _, one := range all {
		var want []string
		for _, ask := range one.want {
			want = append(want, key+" "+ask)
		}
		// What the call answers is not this test's business, unless a denial.
		got, err := g.during("", one.do)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		for _, ask := range one.want {
			action, _, _ := strings.Cut(ask, " ")
			_, err := g.during(action, one.do)
			api, ok := errors.AsType[smithy.APIError](err)
			if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), action) {
				t.Errorf("without %s: %v", action, err)
			}
		}
	}
}

// call makes a try's function of an operation and its input.
func call[C, In, Out, Option any](t *testing.T, client C, operation func(C, context.Context, *In, ...func(*Option)) (Out, error), in *In) func() error {
	return func() error {
		_, err := operation(client, t.Context(), in)
		return err
	}
}

func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &guard{}
	w := newWorld(t, func(o *route53.Options) { o.Authorize = g.authorize })
	c, zone, check := w.client, &w.zone, aws.String("11111111-1111-1111-1111-111111111111")
	zoneARN, checkARN := " arn:aws:route53:::hostedzone/"+w.zone, " arn:aws:route53:::healthcheck/"+*check
	tagged := []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}
	g.proven(t, "test", "AccessDenied", []try{
		{call(t, c, (*sdk.Client).ListHostedZones, &sdk.ListHostedZonesInput{}), []string{"route53:ListHostedZones *"}},
		{call(t, c, (*sdk.Client).ListHostedZonesByName, &sdk.ListHostedZonesByNameInput{}), []string{"route53:ListHostedZonesByName *"}},
		{call(t, c, (*sdk.Client).GetHostedZoneCount, &sdk.GetHostedZoneCountInput{}), []string{"route53:GetHostedZoneCount *"}},
		{call(t, c, (*sdk.Client).CreateHostedZone, &sdk.CreateHostedZoneInput{Name: aws.String("other.com"), CallerReference: aws.String("1")}), []string{"route53:CreateHostedZone *"}},
		{call(t, c, (*sdk.Client).GetHostedZone, &sdk.GetHostedZoneInput{Id: zone}), []string{"route53:GetHostedZone" + zoneARN}},
		{call(t, c, (*sdk.Client).ListResourceRecordSets, &sdk.ListResourceRecordSetsInput{HostedZoneId: zone}), []string{"route53:ListResourceRecordSets" + zoneARN}},
		{call(t, c, (*sdk.Client).GetChange, &sdk.GetChangeInput{Id: aws.String("C1")}), []string{"route53:GetChange arn:aws:route53:::change/C1"}},
		{call(t, c, (*sdk.Client).CreateHealthCheck, &sdk.CreateHealthCheckInput{CallerReference: aws.String("1"), HealthCheckConfig: &types.HealthCheckConfig{Type: types.HealthCheckTypeHttps}}), []string{"route53:CreateHealthCheck *"}},
		{call(t, c, (*sdk.Client).ListHealthChecks, &sdk.ListHealthChecksInput{}), []string{"route53:ListHealthChecks *"}},
		{call(t, c, (*sdk.Client).GetHealthCheckCount, &sdk.GetHealthCheckCountInput{}), []string{"route53:GetHealthCheckCount *"}},
		{call(t, c, (*sdk.Client).GetHealthCheck, &sdk.GetHealthCheckInput{HealthCheckId: check}), []string{"route53:GetHealthCheck" + checkARN}},
		{call(t, c, (*sdk.Client).UpdateHealthCheck, &sdk.UpdateHealthCheckInput{HealthCheckId: check}), []string{"route53:UpdateHealthCheck" + checkARN}},
		{call(t, c, (*sdk.Client).DeleteHealthCheck, &sdk.DeleteHealthCheckInput{HealthCheckId: check}), []string{"route53:DeleteHealthCheck" + checkARN}},
		{call(t, c, (*sdk.Client).GetHealthCheckStatus, &sdk.GetHealthCheckStatusInput{HealthCheckId: check}), []string{"route53:GetHealthCheckStatus" + checkARN}},
		{call(t, c, (*sdk.Client).ListTagsForResource, &sdk.ListTagsForResourceInput{ResourceType: "healthcheck", ResourceId: check}), []string{"route53:ListTagsForResource" + checkARN}},
		{call(t, c, (*sdk.Client).ListTagsForResource, &sdk.ListTagsForResourceInput{ResourceType: "hostedzone", ResourceId: zone}), []string{"route53:ListTagsForResource" + zoneARN}},
		{call(t, c, (*sdk.Client).ListTagsForResources, &sdk.ListTagsForResourcesInput{ResourceType: "hostedzone", ResourceIds: []string{w.zone}}), []string{"route53:ListTagsForResources" + zoneARN}},
		{call(t, c, (*sdk.Client).ChangeTagsForResource, &sdk.ChangeTagsForResourceInput{ResourceType: "hostedzone", ResourceId: zone, AddTags: tagged}), []string{"route53:ChangeTagsForResource" + zoneARN}},
		// The keys have every value of the batch once: names in lower case,
		// without the dot at the end, with octal escapes.
		{func() error {
			_, err := w.change(
				do(types.ChangeActionUpsert, simple("*.API.Example.com.", types.RRTypeTxt, `"a"`)),
				do(types.ChangeActionCreate, simple("b.example.com", types.RRTypeA, "192.0.2.1")),
				do(types.ChangeActionDelete, simple("B.example.com.", types.RRTypeA, "192.0.2.1")))
			return err
		}, []string{"route53:ChangeResourceRecordSets" + zoneARN +
			" route53:changeresourcerecordsetsactions=UPSERT,CREATE,DELETE" +
			` route53:changeresourcerecordsetsnormalizedrecordnames=\052.api.example.com,b.example.com` +
			" route53:changeresourcerecordsetsrecordtypes=TXT,A"}},
		{call(t, c, (*sdk.Client).DeleteHostedZone, &sdk.DeleteHostedZoneInput{Id: zone}), []string{"route53:DeleteHostedZone" + zoneARN}},
	})
}
