package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/clock"
)

// website asks for a path of the site as a browser would, whose DNS leads the
// bucket's website name to S3.
func website(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 3, "[!] website FILE-OF-PICK PATH STATUS")
	picked := strings.Fields(ts.ReadFile(args[0])) // a name and the URL
	want(ts, len(picked) == 2, "[!] website FILE-OF-PICK PATH STATUS")
	site, err := url.Parse(picked[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.Getenv("AWS_ENDPOINT_URL")+site.Path+args[1], nil)
	ts.Check(err)
	request.Host = site.Host
	response, err := http.DefaultTransport.RoundTrip(request)
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	ts.Logf("%s %s %s %s", response.Status, response.Header.Get("Content-Type"), response.Header.Get("Cache-Control"), body)
	if got := fmt.Sprint(response.StatusCode); (got == args[2]) == neg {
		ts.Fatalf("%s: %s, want %s", args[1], response.Status, args[2])
	}
}

// object waits until S3 says this of an object: its replication status, or
// that there is none.
func object(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 3, "object REGION KEY STATUS|none")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := s3.NewFromConfig(account(ctx, ts, args[0]), func(o *s3.Options) { o.UsePathStyle = true })
	buckets, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	ts.Check(err)
	for _, bucket := range buckets.Buckets {
		if !strings.Contains(aws.ToString(bucket.Name), args[0]) {
			continue
		}
		for {
			got := "none"
			if head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket.Name, Key: &args[1]}); err == nil {
				got = string(head.ReplicationStatus)
			}
			if got == args[2] {
				return
			}
			if err := (clock.Real{}).Sleep(ctx, 20*time.Millisecond); err != nil {
				ts.Fatalf("%s in %s is %s, want %s", args[1], args[0], got, args[2])
			}
		}
	}
	ts.Fatalf("no bucket in %s", args[0])
}

// headers writes what S3 says of objects of the website, a line each.
func headers(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "headers OUT KEY...")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, bucket := sourceBucket(ctx, ts)
	var out strings.Builder
	for _, key := range args[1:] {
		head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
		ts.Check(err)
		fmt.Fprintf(&out, "%s: %s, %s, %s\n", key, aws.ToString(head.ContentType), aws.ToString(head.CacheControl), head.ServerSideEncryption)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// restore stores an object's own bytes again, as a tool that knows nothing of
// types and caches would.
func restore(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "restore KEY")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, bucket := sourceBucket(ctx, ts)
	got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &args[0]})
	ts.Check(err)
	body, err := io.ReadAll(got.Body)
	ts.Check(err)
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &args[0], Body: bytes.NewReader(body), ContentType: aws.String("text/plain"), ServerSideEncryption: s3types.ServerSideEncryptionAes256,
	})
	ts.Check(err)
}

// sourceBucket is the bucket of the website.
func sourceBucket(ctx context.Context, ts *testscript.TestScript) (*s3.Client, string) {
	client := s3.NewFromConfig(account(ctx, ts, blueRegion), func(o *s3.Options) { o.UsePathStyle = true })
	buckets, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
	ts.Check(err)
	for _, bucket := range buckets.Buckets {
		if name := aws.ToString(bucket.Name); strings.Contains(name, blueRegion) {
			return client, name
		}
	}
	ts.Fatalf("no bucket in %s", blueRegion)
	return nil, ""
}
