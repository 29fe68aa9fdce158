package localaws_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tapctl/tapctl/internal/localaws"
)

// A website is reached at the endpoint by its name, without a signature, and
// goes with its region; a stranger to S3's names is still asked for one.
func TestAWebsiteIsReachedByItsName(t *testing.T) {
	t.Parallel()
	server, in := start(t)
	ctx, name := t.Context(), aws.String("site")
	c := s3.NewFromConfig(in("eu-west-1"))
	calls := []func() error{
		func() error {
			_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}})
			return err
		},
		func() error {
			_, err := c.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: name, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{}})
			return err
		},
		func() error {
			_, err := c.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: name, Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::site/*"}]}`)})
			return err
		},
		func() error {
			_, err := c.PutBucketWebsite(ctx, &s3.PutBucketWebsiteInput{Bucket: name, WebsiteConfiguration: &types.WebsiteConfiguration{IndexDocument: &types.IndexDocument{Suffix: aws.String("index.html")}}})
			return err
		},
		func() error {
			_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: aws.String("index.html"), Body: strings.NewReader("home")})
			return err
		},
	}
	for _, call := range calls {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	get := func(host, path string) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.Env().Endpoint+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	const site = "site.s3-website-eu-west-1.amazonaws.com"
	for _, tt := range []struct {
		host, path string
		want       int
	}{
		{site, "/", 200}, {"site.s3.eu-west-1.amazonaws.com", "/index.html", 200}, {"site.s3.eu-west-1.amazonaws.com", "/absent", 403},
		{"other.s3-website-eu-west-1.amazonaws.com", "/", 404}, {"site.example.com", "/index.html", 403},
	} {
		if got, err := get(tt.host, tt.path); got != tt.want || err != nil {
			t.Errorf("%s%s: %d, %v; want %d", tt.host, tt.path, got, err, tt.want)
		}
	}
	response, err := http.Post(server.Env().Endpoint+localaws.FaultsPath, "application/json", strings.NewReader(`{"region":"eu-west-1","kind":"region-down","target":"endpoint","rate":1}`))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	response.Body.Close() // Non-fatal: it was answered.
	if got, err := get(site, "/"); err == nil {
		t.Errorf("its region is down: %d", got)
	}
}
