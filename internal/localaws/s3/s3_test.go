package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/s3"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	blue  = "eu-west-1"
	green = "eu-central-1"
	owner = "000000000000"

	blueKey  = "arn:aws:kms:eu-west-1:000000000000:key/blue"
	greenKey = "arn:aws:kms:eu-central-1:000000000000:key/green"
	role     = "arn:aws:iam::000000000000:role/replication"
)

// point is one value that was published.
type point struct {
	region, name, dimensions, unit string
	value                          float64
}

type account struct {
	*testing.T
	service *s3.Service
	now     *clock.Manual
	url     string
	log     *bytes.Buffer
	asks    []string // of callers and of the role, "WHO ACTION RESOURCE KEYS"
	deny    string   // an action that is refused to callers and to the role
	points  []point
}

// Record implements s3.Metrics.
func (a *account) Record(_ time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string) {
	a.points = append(a.points, point{region, namespace + " " + name, fmt.Sprint(dimensions), unit, value})
}

func (a *account) answer(who string, ask wire.Ask) error {
	a.asks = append(a.asks, fmt.Sprint(who, " ", ask.Action, " ", ask.Resource, " ", ask.Keys))
	if ask.Action == a.deny {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "%s is not authorized to perform: %s", who, ask.Action)
	}
	return nil
}

func start(t *testing.T) *account {
	t.Helper()
	a := &account{T: t, now: clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), log: &bytes.Buffer{}}
	a.service = s3.New(s3.Options{
		Clock: a.now, Log: slog.New(slog.NewTextHandler(a.log, nil)), Metrics: a, ReplicationLag: 10 * time.Second,
		KeyARN:    func(arn string) (string, bool) { return arn, !strings.HasSuffix(arn, "/gone") },
		Authorize: func(_ context.Context, ask wire.Ask) error { return a.answer(ask.AccessKeyID, ask) },
		Principal: func(_ context.Context, key string) string {
			return "arn:aws:sts::" + owner + ":assumed-role/" + key + "/x"
		},
		RoleAuthorize: func(_ context.Context, role string, ask wire.Ask) error { return a.answer(role, ask) },
	})
	handler := a.service.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, region, key, err := wire.Scope(r)
		if at, ok := s3.Unsigned(r); ok {
			region, key, err = at, "", nil
		}
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "s3", Region: region, AccessKeyID: key, RequestID: "id", Now: a.now.Now()})))
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *account) in(region string) *sdk.Client {
	return sdk.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &a.url, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("caller", "b", ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
}

// refused checks that a call fails with this code and a message that has this
// text.
func (a *account) refused(what, code, text string, err error) {
	a.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), text) {
		a.Errorf("%s: %v, want %s: ...%s...", what, err, code, text)
	}
}

func (a *account) must(_ any, err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// bucket makes one; with versions if it says so.
func (a *account) bucket(region, name string, versioned bool) {
	a.Helper()
	in := &sdk.CreateBucketInput{Bucket: &name}
	if region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	a.must(a.in(region).CreateBucket(a.Context(), in))
	if versioned {
		a.must(a.in(region).PutBucketVersioning(a.Context(), &sdk.PutBucketVersioningInput{Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))
	}
}

// sealed gives a bucket the default of a KMS key, with a Bucket Key.
func (a *account) sealed(region, name, key string) {
	a.Helper()
	a.must(a.in(region).PutBucketEncryption(a.Context(), &sdk.PutBucketEncryptionInput{Bucket: &name, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{BucketKeyEnabled: aws.Bool(true), ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{
			SSEAlgorithm: types.ServerSideEncryptionAwsKms, KMSMasterKeyID: &key,
		}}},
	}}))
}

func (a *account) put(region, bucket, key, body string, more ...func(*sdk.PutObjectInput)) *sdk.PutObjectOutput {
	a.Helper()
	in := &sdk.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}
	for _, one := range more {
		one(in)
	}
	out, err := a.in(region).PutObject(a.Context(), in)
	if err != nil {
		a.Fatal(err)
	}
	return out
}

// plain asks for SSE-S3.
func plain(in *sdk.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAes256 }

func (a *account) get(region, bucket, key, version string) (string, error) {
	in := &sdk.GetObjectInput{Bucket: &bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := a.in(region).GetObject(a.Context(), in)
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return string(body), err
}

func (a *account) head(region, bucket, key string) *sdk.HeadObjectOutput {
	a.Helper()
	out, err := a.in(region).HeadObject(a.Context(), &sdk.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		a.Fatalf("head %s/%s: %v", bucket, key, err)
	}
	return out
}

func (a *account) remove(region, bucket, key string) *sdk.DeleteObjectOutput {
	a.Helper()
	out, err := a.in(region).DeleteObject(a.Context(), &sdk.DeleteObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		a.Fatal(err)
	}
	return out
}

// anonymous is a request without a signature.
func (a *account) anonymous(method, host, path string, header ...string) (status int, body string, got http.Header) {
	a.Helper()
	r, err := http.NewRequestWithContext(a.Context(), method, a.url+path, nil)
	if err != nil {
		a.Fatal(err)
	}
	r.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		a.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		a.Fatal(err)
	}
	return response.StatusCode, string(read), response.Header
}

// policy puts a bucket policy; open lifts Block Public Access first.
func (a *account) policy(region, bucket, statements string) {
	a.Helper()
	a.must(a.in(region).PutBucketPolicy(a.Context(), &sdk.PutBucketPolicyInput{Bucket: &bucket, Policy: aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)}))
}

func (a *account) open(region, bucket string, block types.PublicAccessBlockConfiguration) {
	a.Helper()
	a.must(a.in(region).PutPublicAccessBlock(a.Context(), &sdk.PutPublicAccessBlockInput{Bucket: &bucket, PublicAccessBlockConfiguration: &block}))
}

// actions are those that were asked for since, and forgets them.
func (a *account) actions() []string {
	var out []string
	for _, ask := range a.asks {
		out = append(out, strings.Join(strings.Fields(ask)[1:3], " "))
	}
	a.asks = nil
	return slices.Compact(out)
}
