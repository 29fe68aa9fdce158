package cli

import (
	"testing"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/cutover"
)

// A dial that nobody read is not printed, least of all as zero.
func TestTraffic(t *testing.T) {
	t.Parallel()
	const lost = "; how many users are on green's code is not known"
	for _, test := range []struct {
		outcome app.Outcome
		unseen  app.Unseen
		want    string
	}{
		{"completed", app.Unseen{}, "dns 40% to green, canary 50%, 20% of users on green's code"},
		{"uncertain", app.Unseen{}, "last seen at dns 40% to green, canary 50%, 20% of users on green's code"},
		{"uncertain", app.Unseen{DNS: true}, "last seen at canary 50%, dns not seen" + lost},
		{"uncertain", app.Unseen{Stage: true}, "last seen at dns 40% to green, canary not seen" + lost},
		{"uncertain", app.Unseen{DNS: true, Stage: true}, "not seen: neither Route 53 nor green's stage could be read"},
	} {
		r := app.Report{Outcome: test.outcome, Dials: cutover.Dials{DNS: 40, Canary: 50}, Exposure: 20, Unseen: test.unseen}
		if got := traffic(r); got != test.want {
			t.Errorf("%s, unseen %+v:\nwant %q\n got %q", test.outcome, test.unseen, test.want, got)
		}
	}
}
