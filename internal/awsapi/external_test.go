package awsapi_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	localapi "github.com/tapctl/tapctl/internal/localaws/apigateway"
)

// An alias that looks at its target's health is written back as it was found.
func TestAnAliasKeepsItsTargetsHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	zone := w.route53.EnsureZone("example.com")
	ok[*route53.ChangeResourceRecordSetsOutput](t)(w.clients.Route53().ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &zone, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: r53types.ChangeActionCreate, ResourceRecordSet: &r53types.ResourceRecordSet{
			Name: aws.String(public), Type: r53types.RRTypeA,
			AliasTarget: &r53types.AliasTarget{DNSName: aws.String("d-old.execute-api." + blueRegion + ".amazonaws.com"), HostedZoneId: aws.String(localapi.HostedZoneID(blueRegion)), EvaluateTargetHealth: true},
		}}}},
	}))
	found, err := w.clients.PublicRecords(t.Context(), zone, public)
	if err != nil || !found.Plain["A"].TargetHealth {
		t.Errorf("%+v, %v", found.Plain, err)
	}
	if err := w.clients.MakeWeighted(t.Context(), zone, found); err != nil {
		t.Fatal(err)
	}
	found, err = w.clients.PublicRecords(t.Context(), zone, public)
	if err != nil || !found.Blue["A"].TargetHealth {
		t.Errorf("%+v, %v", found.Blue, err)
	}
}
