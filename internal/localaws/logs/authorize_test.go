package logs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/logs"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// asked is IAM that writes down what it is asked, for callers and for the
// service itself, and denies one action.
type asked struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

func (a *asked) authorize(_ context.Context, ask wire.Ask) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asks = append(a.asks, ask.Action+" "+ask.Resource+strings.Join(ask.Keys["kms:encryptioncontext:aws:logs:arn"], " for "))
	if ask.Action == a.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "not authorized to perform: %s", ask.Action)
	}
	return nil
}

func (a *asked) deny(action string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied, a.asks = action, nil
}

func TestEveryUseOfAGroupIsAskedFor(t *testing.T) {
	t.Parallel()
	iam := &asked{}
	service := logs.New(logs.Options{Authorize: iam.authorize, KeyAuthorize: func(ctx context.Context, region string, ask wire.Ask) error {
		ask.Resource = region + " " + ask.Resource + " "
		return iam.authorize(ctx, ask)
	}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		service.Handler().ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "logs", Region: region, AccessKeyID: key, Now: t0})))
	}))
	t.Cleanup(server.Close)
	c, ctx := sdk.New(sdk.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}), t.Context()
	const group = "arn:aws:logs:eu-west-1:000000000000:log-group:g"
	name, stream := aws.String("g"), aws.String("s")
	steps := []struct {
		want []string
		do   func() error
	}{
		{[]string{
			"logs:CreateLogGroup " + group + ":log-stream:", "kms:Encrypt eu-west-1 key " + group, "kms:Decrypt eu-west-1 key " + group,
			"kms:ReEncryptFrom eu-west-1 key " + group, "kms:ReEncryptTo eu-west-1 key " + group, "kms:GenerateDataKey eu-west-1 key " + group, "kms:DescribeKey eu-west-1 key " + group,
		}, func() error {
			_, err := c.CreateLogGroup(ctx, &sdk.CreateLogGroupInput{LogGroupName: name, KmsKeyId: aws.String("key")})
			return err
		}},
		{[]string{"logs:CreateLogStream " + group + ":log-stream:s"}, func() error {
			_, err := c.CreateLogStream(ctx, &sdk.CreateLogStreamInput{LogGroupName: name, LogStreamName: stream})
			return err
		}},
		{[]string{"logs:PutLogEvents " + group + ":log-stream:s"}, func() error {
			_, err := c.PutLogEvents(ctx, &sdk.PutLogEventsInput{LogGroupName: name, LogStreamName: stream, LogEvents: []types.InputLogEvent{{Timestamp: aws.Int64(1), Message: aws.String("m")}}})
			return err
		}},
		{[]string{"logs:FilterLogEvents " + group + ":log-stream:"}, func() error {
			_, err := c.FilterLogEvents(ctx, &sdk.FilterLogEventsInput{LogGroupName: name})
			return err
		}},
		{[]string{"logs:DescribeLogGroups arn:aws:logs:eu-west-1:000000000000:log-group::log-stream:"}, func() error {
			_, err := c.DescribeLogGroups(ctx, &sdk.DescribeLogGroupsInput{})
			return err
		}},
		{[]string{"logs:ListTagsForResource " + group}, func() error {
			_, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: aws.String(group)})
			return err
		}},
	}
	for _, step := range steps {
		for _, want := range step.want {
			action, _, _ := strings.Cut(want, " ")
			iam.deny(action)
			if err := step.do(); code(err) != "AccessDeniedException" {
				t.Errorf("%s when denied: %v", action, err)
			}
		}
		iam.deny("")
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		iam.mu.Lock()
		if diff := cmp.Diff(step.want, iam.asks); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		iam.mu.Unlock()
	}
}
