package acm_test

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
	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/acm"
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
	c := newFixture(t, func(o *acm.Options) { o.Authorize = g.authorize }).client("eu-west-1")
	const arn = "arn:aws:acm:eu-west-1:000000000000:certificate/1"
	tags := []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}
	g.proven(t, "a", "AccessDeniedException", []try{
		{call(t, c, (*sdk.Client).RequestCertificate, &sdk.RequestCertificateInput{DomainName: aws.String("API.example.test"), SubjectAlternativeNames: []string{"b.example.test"}, ValidationMethod: types.ValidationMethodDns}),
			[]string{"acm:RequestCertificate * acm:domainnames=api.example.test,b.example.test acm:validationmethod=DNS"}},
		{call(t, c, (*sdk.Client).ListCertificates, &sdk.ListCertificatesInput{}), []string{"acm:ListCertificates *"}},
		{call(t, c, (*sdk.Client).DescribeCertificate, &sdk.DescribeCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:DescribeCertificate " + arn}},
		{call(t, c, (*sdk.Client).GetCertificate, &sdk.GetCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:GetCertificate " + arn}},
		{call(t, c, (*sdk.Client).AddTagsToCertificate, &sdk.AddTagsToCertificateInput{CertificateArn: aws.String(arn), Tags: tags}), []string{"acm:AddTagsToCertificate " + arn}},
		{call(t, c, (*sdk.Client).RemoveTagsFromCertificate, &sdk.RemoveTagsFromCertificateInput{CertificateArn: aws.String(arn), Tags: tags}), []string{"acm:RemoveTagsFromCertificate " + arn}},
		{call(t, c, (*sdk.Client).ListTagsForCertificate, &sdk.ListTagsForCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:ListTagsForCertificate " + arn}},
		{call(t, c, (*sdk.Client).DeleteCertificate, &sdk.DeleteCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:DeleteCertificate " + arn}},
	})
}
