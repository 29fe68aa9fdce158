package app_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// addresses are the public name's records, whatever their kind.
func (w *world) addresses() []r53types.ResourceRecordSet {
	w.t.Helper()
	out := ok[*route53.ListResourceRecordSetsOutput](w.t)(w.Clients.Route53().ListResourceRecordSets(w.t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &w.top.ZoneID}))
	var found []r53types.ResourceRecordSet
	for _, r := range out.ResourceRecordSets {
		if aws.ToString(r.Name) == public+"." && r.Type == r53types.RRTypeA {
			found = append(found, r)
		}
	}
	return found
}

func (w *world) change(action r53types.ChangeAction, record r53types.ResourceRecordSet) {
	w.t.Helper()
	ok[*route53.ChangeResourceRecordSetsOutput](w.t)(w.Clients.Route53().ChangeResourceRecordSets(w.t.Context(), &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &w.top.ZoneID, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: action, ResourceRecordSet: &record}}},
	}))
}

// TestAnExternalRecordIsGivenBack: the record that the customer came with is
// taken over in one batch, and is the same record again after a destroy,
// however far the deploy had come.
func TestAnExternalRecordIsGivenBack(t *testing.T) {
	t.Parallel()
	theirs := r53types.ResourceRecordSet{
		Name: aws.String(public + "."), Type: r53types.RRTypeA, TTL: aws.Int64(300), ResourceRecords: []r53types.ResourceRecord{{Value: aws.String("192.0.2.7")}},
	}
	green := func(weight int64) *r53types.ResourceRecordSet {
		return &r53types.ResourceRecordSet{
			Name: aws.String(public + "."), Type: r53types.RRTypeA, SetIdentifier: aws.String("green"), Weight: aws.Int64(weight),
			TTL: aws.Int64(60), ResourceRecords: []r53types.ResourceRecord{{Value: aws.String("192.0.2.9")}},
		}
	}
	for _, tt := range []struct {
		name     string
		external bool // the configuration says so
		deployed bool // a topology was stored, which says so
		taken    bool
		green    *r53types.ResourceRecordSet
		refused  bool
		given    bool
	}{
		{"nothing was taken yet", true, false, false, nil, false, true},
		{"the deploy ended before green's record", true, false, true, nil, false, true},
		{"the deploy ended before the topology was stored", true, false, true, green(0), false, true},
		{"deployed", true, true, true, green(0), false, true},
		{"deployed, and the configuration forgot it", false, true, true, green(0), false, true},
		{"green has users", true, false, true, green(10), true, false},
		{"blue is tapctl's own", false, false, true, green(0), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.change(r53types.ChangeActionCreate, theirs)
			if tt.external {
				w.Config.Source.External.URL = "https://old.example.net"
			}
			if tt.deployed {
				w.top.External = "https://old.example.net"
			}
			if tt.taken {
				found, err := w.Clients.PublicRecords(t.Context(), w.top.ZoneID, public)
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Clients.MakeWeighted(t.Context(), w.top.ZoneID, found); err != nil {
					t.Fatal(err)
				}
			}
			if tt.green != nil {
				w.change(r53types.ChangeActionCreate, *tt.green)
			}
			before := w.addresses()
			if tt.deployed {
				w.makeControl()
			}
			if err := w.GiveBack(t.Context()); (err != nil) != tt.refused {
				t.Fatalf("refused %v: %v", tt.refused, err)
			}
			want := before
			if tt.given {
				want = []r53types.ResourceRecordSet{theirs}
			}
			if diff := cmp.Diff(want, w.addresses(), cmpopts.IgnoreUnexported(r53types.ResourceRecordSet{}, r53types.ResourceRecord{})); diff != "" {
				t.Errorf("the records (-want +got):\n%s", diff)
			}
		})
	}
}
