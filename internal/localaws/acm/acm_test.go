package acm_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/acm"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// zone is the DNS of the test: the records somebody has created.
type zone map[string]string

func (z zone) HasRecord(_ time.Time, name, recordType, value string) bool {
	return recordType == "CNAME" && z[name] == value
}

type fixture struct {
	service *acm.Service
	records zone
	clock   *clock.Manual
	inUse   map[string]bool
	client  func(region string) *sdk.Client
	pool    *x509.CertPool
}

func newFixture(t *testing.T, change ...func(*acm.Options)) *fixture {
	t.Helper()
	f := &fixture{records: zone{}, clock: clock.NewManual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)), inUse: map[string]bool{}}
	authority, err := acm.NewAuthority(f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.pool = x509.NewCertPool()
	f.pool.AppendCertsFromPEM(authority.PEM())
	options := acm.Options{Clock: f.clock, Authority: authority, Records: f.records, IssueDelay: time.Minute, InUse: func(arn string) bool { return f.inUse[arn] }}
	for _, c := range change {
		c(&options)
	}
	f.service = acm.New(options)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		f.service.Handler().ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "acm", Region: region, AccessKeyID: key, Now: f.clock.Now()})))
	}))
	t.Cleanup(server.Close)
	f.client = func(region string) *sdk.Client {
		return sdk.New(sdk.Options{Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	}
	return f
}

func (f *fixture) request(t *testing.T, region string) *types.CertificateDetail {
	t.Helper()
	out, err := f.client(region).RequestCertificate(context.Background(), &sdk.RequestCertificateInput{
		DomainName: aws.String("api.example.test"), SubjectAlternativeNames: []string{region + ".api.example.test"},
		ValidationMethod: types.ValidationMethodDns, Tags: []types.Tag{{Key: aws.String("Owner"), Value: aws.String("me")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f.describe(t, region, *out.CertificateArn)
}

func (f *fixture) describe(t *testing.T, region, arn string) *types.CertificateDetail {
	t.Helper()
	out, err := f.client(region).DescribeCertificate(context.Background(), &sdk.DescribeCertificateInput{CertificateArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	return out.Certificate
}

func (f *fixture) validate(c *types.CertificateDetail) {
	for _, o := range c.DomainValidationOptions {
		f.records[*o.ResourceRecord.Name] = *o.ResourceRecord.Value
	}
}

func TestIssuedOnlyOnceEveryRecordIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.request(t, "eu-west-1")
	if c.Status != types.CertificateStatusPendingValidation || len(c.DomainValidationOptions) != 2 {
		t.Fatalf("new certificate: %s with %d options", c.Status, len(c.DomainValidationOptions))
	}
	if _, err := f.service.TLSCertificate(*c.CertificateArn); err == nil {
		t.Error("a pending certificate was served")
	}
	f.records[*c.DomainValidationOptions[0].ResourceRecord.Name] = *c.DomainValidationOptions[0].ResourceRecord.Value
	f.describe(t, "eu-west-1", *c.CertificateArn)
	f.clock.Advance(time.Hour)
	if got := f.describe(t, "eu-west-1", *c.CertificateArn); got.Status != types.CertificateStatusPendingValidation {
		t.Errorf("issued with one of two records: %s", got.Status)
	}
	f.validate(c)
	f.describe(t, "eu-west-1", *c.CertificateArn)
	f.clock.Advance(59 * time.Second)
	if got := f.describe(t, "eu-west-1", *c.CertificateArn); got.Status != types.CertificateStatusPendingValidation {
		t.Errorf("issued before the delay: %s", got.Status)
	}
	f.clock.Advance(time.Second)
	if got := f.describe(t, "eu-west-1", *c.CertificateArn); got.Status != types.CertificateStatusIssued {
		t.Fatalf("not issued: %s", got.Status)
	}
	served, err := f.service.TLSCertificate(*c.CertificateArn)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api.example.test", "eu-west-1.api.example.test"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: f.pool, DNSName: name, CurrentTime: f.clock.Now()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: f.pool, DNSName: "other.example.test", CurrentTime: f.clock.Now()}); err == nil {
		t.Error("the certificate covers a name that was not asked for")
	}
}

func TestEveryRegionAsksForTheSameRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := f.request(t, "eu-west-1"), f.request(t, "eu-central-1")
	if *a.DomainValidationOptions[0].ResourceRecord.Name != *b.DomainValidationOptions[0].ResourceRecord.Name ||
		*a.DomainValidationOptions[0].ResourceRecord.Value != *b.DomainValidationOptions[0].ResourceRecord.Value {
		t.Error("two regions ask for two records for the public name")
	}
	if *a.CertificateArn == *b.CertificateArn {
		t.Error("two regions share a certificate")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	c := f.request(t, "eu-west-1")
	f.inUse[*c.CertificateArn] = true
	tests := []struct {
		name string
		call func() error
		code string
	}{
		{"bad name", func() error {
			_, err := f.client("eu-west-1").RequestCertificate(ctx, &sdk.RequestCertificateInput{DomainName: aws.String("not a name"), ValidationMethod: types.ValidationMethodDns})
			return err
		}, "ValidationException"},
		{"email", func() error {
			_, err := f.client("eu-west-1").RequestCertificate(ctx, &sdk.RequestCertificateInput{DomainName: aws.String("a.example.test"), ValidationMethod: types.ValidationMethodEmail})
			return err
		}, "InvalidParameterException"},
		{"other region", func() error {
			_, err := f.client("eu-central-1").DescribeCertificate(ctx, &sdk.DescribeCertificateInput{CertificateArn: c.CertificateArn})
			return err
		}, "ResourceNotFoundException"},
		{"in use", func() error {
			_, err := f.client("eu-west-1").DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: c.CertificateArn})
			return err
		}, "ResourceInUseException"},
		{"not implemented", func() error {
			_, err := f.client("eu-west-1").RenewCertificate(ctx, &sdk.RenewCertificateInput{CertificateArn: c.CertificateArn})
			return err
		}, "UnknownOperationException"},
	}
	for _, tt := range tests {
		err := tt.call()
		api, ok := errors.AsType[smithy.APIError](err)
		if !ok || api.ErrorCode() != tt.code {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
		}
	}
	tags, err := f.client("eu-west-1").ListTagsForCertificate(ctx, &sdk.ListTagsForCertificateInput{CertificateArn: c.CertificateArn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "me" {
		t.Errorf("tags %v, %v", tags, err)
	}
	f.inUse = map[string]bool{}
	if _, err := f.client("eu-west-1").DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: c.CertificateArn}); err != nil {
		t.Error(err)
	}
}
