package app

import (
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/awsapi"
)

func TestUnfit(t *testing.T) {
	t.Parallel()
	own := awsapi.ReplicationRule{ID: "to-green", Enabled: true, Destination: "ours-green"}
	for _, tt := range []struct {
		name   string
		bucket awsapi.BucketState
		want   string // part of why, "" where it is fit
	}{
		{"versioned", awsapi.BucketState{Versioned: true}, ""},
		{"adopted before", awsapi.BucketState{Versioned: true, Rules: []awsapi.ReplicationRule{own}}, ""},
		{"not versioned", awsapi.BucketState{}, "versioning"},
		{"a rule of its own", awsapi.BucketState{Versioned: true, Rules: []awsapi.ReplicationRule{own, {ID: "backup", Destination: "elsewhere"}}}, "rule backup to elsewhere"},
		{"a rule of our name to somewhere else", awsapi.BucketState{Versioned: true, Rules: []awsapi.ReplicationRule{{ID: "to-green", Destination: "elsewhere"}}}, "rule to-green to elsewhere"},
	} {
		why, next := unfit(tt.bucket, own.ID, own.Destination)
		if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) || (why == "") != (next == "") {
			t.Errorf("%s: %q, next %q; want %q", tt.name, why, next, tt.want)
		}
	}
}
