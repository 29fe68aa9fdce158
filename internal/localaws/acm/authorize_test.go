package acm_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"github.com/tapctl/tapctl/internal/localaws/acm"
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
	c := newFixture(t, func(o *acm.Options) { o.Authorize = g.Authorize }).client("eu-west-1")
	const arn = "arn:aws:acm:eu-west-1:000000000000:certificate/1"
	tags := []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}}
	for _, one := range []try{
		{asktest.Call(t, c, (*sdk.Client).RequestCertificate, &sdk.RequestCertificateInput{DomainName: aws.String("API.example.test"), SubjectAlternativeNames: []string{"b.example.test"}, ValidationMethod: types.ValidationMethodDns}),
			[]string{"acm:RequestCertificate * acm:domainnames=api.example.test,b.example.test acm:validationmethod=DNS"}},
		{asktest.Call(t, c, (*sdk.Client).ListCertificates, &sdk.ListCertificatesInput{}), []string{"acm:ListCertificates *"}},
		{asktest.Call(t, c, (*sdk.Client).DescribeCertificate, &sdk.DescribeCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:DescribeCertificate " + arn}},
		{asktest.Call(t, c, (*sdk.Client).GetCertificate, &sdk.GetCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:GetCertificate " + arn}},
		{asktest.Call(t, c, (*sdk.Client).AddTagsToCertificate, &sdk.AddTagsToCertificateInput{CertificateArn: aws.String(arn), Tags: tags}), []string{"acm:AddTagsToCertificate " + arn}},
		{asktest.Call(t, c, (*sdk.Client).RemoveTagsFromCertificate, &sdk.RemoveTagsFromCertificateInput{CertificateArn: aws.String(arn), Tags: tags}), []string{"acm:RemoveTagsFromCertificate " + arn}},
		{asktest.Call(t, c, (*sdk.Client).ListTagsForCertificate, &sdk.ListTagsForCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:ListTagsForCertificate " + arn}},
		{asktest.Call(t, c, (*sdk.Client).DeleteCertificate, &sdk.DeleteCertificateInput{CertificateArn: aws.String(arn)}), []string{"acm:DeleteCertificate " + arn}},
	} {
		g.Proven(t, "a", "AccessDeniedException", one.do, one.want)
	}
}
