package route53_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire/asktest"
)

// try is one call and what IAM is asked for it: "action resource [keys]".
type try struct {
	do   func() error
	want []string
}

func TestEveryOperationIsAskedFor(t *testing.T) {
	t.Parallel()
	g := &asktest.Guard{}
	w := newWorld(t, func(o *route53.Options) { o.Authorize = g.Authorize })
	c, zone, check := w.client, &w.zone, aws.String("11111111-1111-1111-1111-111111111111")
	zoneARN, checkARN := " arn:aws:route53:::hostedzone/"+w.zone, " arn:aws:route53:::healthcheck/"+*check
	tagged := []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}
	for _, one := range []try{
		{asktest.Call(t, c, (*sdk.Client).ListHostedZones, &sdk.ListHostedZonesInput{}), []string{"route53:ListHostedZones *"}},
		{asktest.Call(t, c, (*sdk.Client).ListHostedZonesByName, &sdk.ListHostedZonesByNameInput{}), []string{"route53:ListHostedZonesByName *"}},
		{asktest.Call(t, c, (*sdk.Client).GetHostedZoneCount, &sdk.GetHostedZoneCountInput{}), []string{"route53:GetHostedZoneCount *"}},
		{asktest.Call(t, c, (*sdk.Client).CreateHostedZone, &sdk.CreateHostedZoneInput{Name: aws.String("other.com"), CallerReference: aws.String("1")}), []string{"route53:CreateHostedZone *"}},
		{asktest.Call(t, c, (*sdk.Client).GetHostedZone, &sdk.GetHostedZoneInput{Id: zone}), []string{"route53:GetHostedZone" + zoneARN}},
		{asktest.Call(t, c, (*sdk.Client).ListResourceRecordSets, &sdk.ListResourceRecordSetsInput{HostedZoneId: zone}), []string{"route53:ListResourceRecordSets" + zoneARN}},
		{asktest.Call(t, c, (*sdk.Client).GetChange, &sdk.GetChangeInput{Id: aws.String("C1")}), []string{"route53:GetChange arn:aws:route53:::change/C1"}},
		{asktest.Call(t, c, (*sdk.Client).CreateHealthCheck, &sdk.CreateHealthCheckInput{CallerReference: aws.String("1"), HealthCheckConfig: &types.HealthCheckConfig{Type: types.HealthCheckTypeHttps}}), []string{"route53:CreateHealthCheck *"}},
		{asktest.Call(t, c, (*sdk.Client).ListHealthChecks, &sdk.ListHealthChecksInput{}), []string{"route53:ListHealthChecks *"}},
		{asktest.Call(t, c, (*sdk.Client).GetHealthCheckCount, &sdk.GetHealthCheckCountInput{}), []string{"route53:GetHealthCheckCount *"}},
		{asktest.Call(t, c, (*sdk.Client).GetHealthCheck, &sdk.GetHealthCheckInput{HealthCheckId: check}), []string{"route53:GetHealthCheck" + checkARN}},
		{asktest.Call(t, c, (*sdk.Client).UpdateHealthCheck, &sdk.UpdateHealthCheckInput{HealthCheckId: check}), []string{"route53:UpdateHealthCheck" + checkARN}},
		{asktest.Call(t, c, (*sdk.Client).DeleteHealthCheck, &sdk.DeleteHealthCheckInput{HealthCheckId: check}), []string{"route53:DeleteHealthCheck" + checkARN}},
		{asktest.Call(t, c, (*sdk.Client).GetHealthCheckStatus, &sdk.GetHealthCheckStatusInput{HealthCheckId: check}), []string{"route53:GetHealthCheckStatus" + checkARN}},
		{asktest.Call(t, c, (*sdk.Client).ListTagsForResource, &sdk.ListTagsForResourceInput{ResourceType: "healthcheck", ResourceId: check}), []string{"route53:ListTagsForResource" + checkARN}},
		{asktest.Call(t, c, (*sdk.Client).ListTagsForResource, &sdk.ListTagsForResourceInput{ResourceType: "hostedzone", ResourceId: zone}), []string{"route53:ListTagsForResource" + zoneARN}},
		{asktest.Call(t, c, (*sdk.Client).ListTagsForResources, &sdk.ListTagsForResourcesInput{ResourceType: "hostedzone", ResourceIds: []string{w.zone}}), []string{"route53:ListTagsForResources" + zoneARN}},
		{asktest.Call(t, c, (*sdk.Client).ChangeTagsForResource, &sdk.ChangeTagsForResourceInput{ResourceType: "hostedzone", ResourceId: zone, AddTags: tagged}), []string{"route53:ChangeTagsForResource" + zoneARN}},
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
		{asktest.Call(t, c, (*sdk.Client).DeleteHostedZone, &sdk.DeleteHostedZoneInput{Id: zone}), []string{"route53:DeleteHostedZone" + zoneARN}},
	} {
		g.Proven(t, "test", "AccessDenied", one.do, one.want)
	}
}
