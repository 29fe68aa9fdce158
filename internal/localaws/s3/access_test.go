package s3_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

// How an object is encrypted: as its writer says, else by the bucket's default.
func TestEncryptionOfAnObject(t *testing.T) {
	t.Parallel()
	const managed = "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-4000-8000-000000000053"
	for _, tt := range []struct {
		name, bucket   string // "" is the default of every bucket
		algorithm, key string // of the writer
		want, wantKey  string
		bucketKey      bool
		code           string
		asked          []string
	}{
		{name: "nothing said anywhere", want: "AES256"},
		{name: "the bucket's key", bucket: blueKey, want: "aws:kms", wantKey: blueKey, bucketKey: true, asked: []string{"kms:GenerateDataKey " + blueKey, "kms:Decrypt " + blueKey}},
		{name: "SSE-S3 in a bucket with a key", bucket: blueKey, algorithm: "AES256", want: "AES256"},
		{name: "a key of the writer's", algorithm: "aws:kms", key: blueKey, want: "aws:kms", wantKey: blueKey, asked: []string{"kms:GenerateDataKey " + blueKey, "kms:Decrypt " + blueKey}},
		{name: "the account's own key", algorithm: "aws:kms", want: "aws:kms", wantKey: managed},
		{name: "KMS in a bucket with a key", bucket: blueKey, algorithm: "aws:kms", want: "aws:kms", wantKey: blueKey, bucketKey: true, asked: []string{"kms:GenerateDataKey " + blueKey, "kms:Decrypt " + blueKey}},
		{name: "a key of another region", algorithm: "aws:kms", key: greenKey, code: "KMS.NotFoundException"},
		{name: "a key that does not exist", algorithm: "aws:kms", key: "gone", code: "KMS.NotFoundException"},
		{name: "SSE-S3 with a key", algorithm: "AES256", key: blueKey, code: "InvalidArgument"},
		{name: "two layers", algorithm: "aws:kms:dsse", code: "NotImplemented"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.bucket(blue, "assets", false)
			if tt.bucket != "" {
				a.sealed(blue, "assets", tt.bucket)
			}
			in := &sdk.PutObjectInput{Bucket: aws.String("assets"), Key: aws.String("k"), Body: strings.NewReader("x"), ServerSideEncryption: types.ServerSideEncryption(tt.algorithm)}
			if tt.key != "" {
				in.SSEKMSKeyId = &tt.key
			}
			a.asks = nil
			_, err := a.in(blue).PutObject(t.Context(), in)
			if tt.code != "" {
				a.refused(tt.name, tt.code, "", err)
				return
			}
			a.must(nil, err)
			head := a.head(blue, "assets", "k")
			if string(head.ServerSideEncryption) != tt.want || aws.ToString(head.SSEKMSKeyId) != tt.wantKey || aws.ToBool(head.BucketKeyEnabled) != tt.bucketKey {
				t.Errorf("%s %s %v", head.ServerSideEncryption, aws.ToString(head.SSEKMSKeyId), aws.ToBool(head.BucketKeyEnabled))
			}
			var keys []string
			for _, action := range a.actions() {
				if strings.HasPrefix(action, "kms:") {
					keys = append(keys, action)
				}
			}
			if diff := cmp.Diff(tt.asked, keys); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// With a Bucket Key what KMS is asked for is the bucket's, not the object's.
func TestTheContextOfAKey(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	a.sealed(blue, "assets", blueKey)
	a.put(blue, "assets", "k", "x", func(in *sdk.PutObjectInput) { in.BucketKeyEnabled = aws.Bool(false) })
	a.put(blue, "assets", "l", "x")
	all := strings.Join(a.asks, "\n")
	for _, want := range []string{
		"kms:GenerateDataKey " + blueKey + " map[kms:encryptioncontext:aws:s3:arn:[arn:aws:s3:::assets/k] kms:viaservice:[s3.eu-west-1.amazonaws.com]]",
		"kms:GenerateDataKey " + blueKey + " map[kms:encryptioncontext:aws:s3:arn:[arn:aws:s3:::assets] kms:viaservice:[s3.eu-west-1.amazonaws.com]]",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("nobody asked %s:\n%s", want, all)
		}
	}
	a.deny = "kms:Decrypt"
	_, err := a.get(blue, "assets", "l", "")
	a.refused("read without the key", "AccessDenied", "kms:Decrypt", err)
	a.deny = "kms:GenerateDataKey"
	_, err = a.in(blue).PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("assets"), Key: aws.String("m")})
	a.refused("write without the key", "AccessDenied", "kms:GenerateDataKey", err)
}

const everyone = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/site/*"}`

var unblocked = types.PublicAccessBlockConfiguration{BlockPublicAcls: aws.Bool(true), IgnorePublicAcls: aws.Bool(true)}

// Who reads without a signature: what a policy opens, of what is under no KMS
// key, while Block Public Access lets it.
func TestReadersWithoutASignature(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, policy, path string
		restricted, sealed bool
		status             int
	}{
		{"no policy", "", "/site/a.html", false, false, 403},
		{"open", everyone, "/site/a.html", false, false, 200},
		{"open elsewhere", everyone, "/private", false, false, 403},
		{"open and restricted", everyone, "/site/a.html", true, false, 403},
		{"open and under a key", everyone, "/site/a.html", false, true, 403},
		{"open to TLS only", everyone + `,{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::assets/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, "/site/a.html", false, false, 403},
		{"the listing", everyone, "/?list-type=2", false, false, 403},
		{"absent", everyone, "/site/b.html", false, false, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.bucket(blue, "assets", false)
			more := []func(*sdk.PutObjectInput){plain}
			if tt.sealed {
				a.sealed(blue, "assets", blueKey)
				more = nil
			}
			a.put(blue, "assets", "site/a.html", "page", more...)
			a.put(blue, "assets", "private", "page", more...)
			if tt.policy != "" {
				a.open(blue, "assets", unblocked)
				a.policy(blue, "assets", tt.policy)
				block := unblocked
				block.RestrictPublicBuckets = aws.Bool(tt.restricted)
				a.open(blue, "assets", block)
			}
			if status, body, _ := a.anonymous(http.MethodGet, "assets.s3.eu-west-1.amazonaws.com", tt.path); status != tt.status {
				t.Errorf("%d %s, want %d", status, body, tt.status)
			}
			if status, _, _ := a.anonymous(http.MethodPut, "assets.s3.eu-west-1.amazonaws.com", "/site/a.html"); status != 403 {
				t.Errorf("a write: %d", status)
			}
		})
	}
}

// A public policy is refused while Block Public Access blocks it.
func TestPublicPolicies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, statement string
		public          bool
	}{
		{"everyone", everyone, true},
		{"everyone of AWS", `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*"}`, true},
		{"the account", `{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*"}`, false},
		{"a denial", `{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::assets/*"}`, false},
		{"an address", `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}`, false},
		{"half of all addresses", `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*","Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := start(t)
			a.bucket(blue, "assets", false)
			document := aws.String(`{"Version":"2012-10-17","Statement":[` + tt.statement + `]}`)
			_, err := a.in(blue).PutBucketPolicy(t.Context(), &sdk.PutBucketPolicyInput{Bucket: aws.String("assets"), Policy: document})
			if tt.public {
				a.refused("blocked", "AccessDenied", "BlockPublicPolicy", err)
			} else if err != nil {
				t.Error(err)
			}
			a.open(blue, "assets", unblocked)
			a.policy(blue, "assets", tt.statement)
			out, err := a.in(blue).GetBucketPolicyStatus(t.Context(), &sdk.GetBucketPolicyStatusInput{Bucket: aws.String("assets")})
			if err != nil || aws.ToBool(out.PolicyStatus.IsPublic) != tt.public {
				t.Errorf("status %+v, %v", out, err)
			}
			got, err := a.in(blue).GetBucketPolicy(t.Context(), &sdk.GetBucketPolicyInput{Bucket: aws.String("assets")})
			if err != nil || *got.Policy != *document {
				t.Errorf("kept %+v, %v", got, err)
			}
		})
	}
}

// A bucket policy takes from callers what their own policies give, but never
// its own repair from the root.
func TestTheBucketsPolicyBindsItsAccount(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	a.policy(blue, "assets", `{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::assets/site/*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}}`)
	_, err := a.in(blue).PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("assets"), Key: aws.String("site/a")})
	a.refused("no SSE-S3", "AccessDenied", "explicit deny in a resource-based policy", err)
	a.put(blue, "assets", "site/a", "x", plain)
	a.put(blue, "assets", "b", "x")
	a.policy(blue, "assets", `{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*"}`)
	a.deny = "s3:GetObject"
	if got, err := a.get(blue, "assets", "b", ""); got != "x" || err != nil {
		t.Errorf("what the bucket's policy allows: %q, %v", got, err)
	}
}

// The website's answers, by path.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/IndexDocumentSupport.html
func TestWebsite(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, name := range []string{"assets", "plain-bucket"} {
		a.bucket(blue, name, true)
	}
	a.sealed(blue, "assets", blueKey)
	a.open(blue, "assets", unblocked)
	a.policy(blue, "assets", everyone)
	a.must(a.in(blue).PutBucketWebsite(t.Context(), &sdk.PutBucketWebsiteInput{Bucket: aws.String("assets"), WebsiteConfiguration: &types.WebsiteConfiguration{
		IndexDocument: &types.IndexDocument{Suffix: aws.String("index.html")}, ErrorDocument: &types.ErrorDocument{Key: aws.String("site/404.html")},
	}}))
	html := func(in *sdk.PutObjectInput) {
		in.ContentType, in.CacheControl = aws.String("text/html"), aws.String("no-cache")
	}
	a.put(blue, "assets", "site/index.html", "home", plain, html)
	a.put(blue, "assets", "site/docs/index.html", "docs", plain, html)
	a.put(blue, "assets", "site/404.html", "lost", plain, html)
	a.put(blue, "assets", "site/gone.html", "gone", plain, html)
	a.remove(blue, "assets", "site/gone.html")
	a.put(blue, "assets", "site/sealed.html", "sealed", html)
	a.put(blue, "assets", "private", "private", plain)
	const dash, dot = "assets.s3-website-eu-west-1.amazonaws.com", "assets.s3-website.eu-west-1.amazonaws.com"
	for _, tt := range []struct {
		name, method, host, path string
		status                   int
		body                     string
	}{
		{"the index", "GET", dash, "/site/", 200, "home"},
		{"by the other host", "GET", dot, "/site/index.html", 200, "home"},
		{"a head", "HEAD", dash, "/site/", 200, ""},
		{"a folder", "GET", dash, "/site/docs", 302, ""},
		{"a folder's index", "GET", dash, "/site/docs/", 200, "docs"},
		{"absent", "GET", dash, "/site/absent", 404, "lost"},
		{"behind a delete marker", "GET", dash, "/site/gone.html", 404, "lost"},
		{"under a KMS key", "GET", dash, "/site/sealed.html", 403, "lost"},
		{"not public", "GET", dash, "/private", 403, "lost"},
		{"a write", "PUT", dash, "/site/index.html", 405, "MethodNotAllowed"},
		{"another region", "GET", "assets.s3-website.eu-central-1.amazonaws.com", "/site/", 400, "IncorrectEndpoint"},
		{"no website", "GET", "plain-bucket.s3-website-eu-west-1.amazonaws.com", "/", 404, "NoSuchWebsiteConfiguration"},
		{"no bucket", "GET", "absent.s3-website-eu-west-1.amazonaws.com", "/", 404, "NoSuchBucket"},
	} {
		status, body, header := a.anonymous(tt.method, tt.host, tt.path)
		if status != tt.status || !strings.Contains(body, tt.body) || tt.body == "" && body != "" {
			t.Errorf("%s: %d %q, want %d %q", tt.name, status, body, tt.status, tt.body)
		}
		if tt.status == 302 && header.Get("Location") != "/site/docs/" {
			t.Errorf("%s: to %q", tt.name, header.Get("Location"))
		}
		if tt.body == "home" && (header.Get("Content-Type") != "text/html" || header.Get("Cache-Control") != "no-cache") {
			t.Errorf("%s: %v", tt.name, header)
		}
	}
	_, _, first := a.anonymous("GET", dash, "/site/")
	if status, _, _ := a.anonymous("GET", dash, "/site/", "If-None-Match", first.Get("ETag")); status != http.StatusNotModified {
		t.Errorf("asked again: %d", status)
	}
}

// call is one operation, and what IAM is asked for.
type call struct {
	do   func(ctx context.Context, c *sdk.Client) error
	asks []string
}

func on[In, Out any](in *In, do func(*sdk.Client, context.Context, *In, ...func(*sdk.Options)) (Out, error), asks ...string) call {
	return call{do: func(ctx context.Context, c *sdk.Client) error {
		_, err := do(c, ctx, in)
		return err
	}, asks: asks}
}

// The actions are those that AWS documents for each operation.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func TestWhatEachOperationAsksOfIAM(t *testing.T) {
	t.Parallel()
	b, k, id := aws.String("assets"), aws.String("k"), aws.String("null")
	const bucket, object = "arn:aws:s3:::assets", "arn:aws:s3:::assets/k"
	tags := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	site := &types.WebsiteConfiguration{IndexDocument: &types.IndexDocument{Suffix: aws.String("i")}}
	sealed := &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256}}}}
	life := &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{ID: aws.String("r"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)}}}}
	owned := &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced}}}
	calls := []call{
		on(&sdk.ListBucketsInput{}, (*sdk.Client).ListBuckets, "s3:ListAllMyBuckets *"),
		on(&sdk.CreateBucketInput{Bucket: aws.String("another"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: blue}}, (*sdk.Client).CreateBucket, "s3:CreateBucket arn:aws:s3:::another"),
		on(&sdk.DeleteBucketInput{Bucket: aws.String("another")}, (*sdk.Client).DeleteBucket, "s3:DeleteBucket arn:aws:s3:::another"),
		on(&sdk.HeadBucketInput{Bucket: b}, (*sdk.Client).HeadBucket, "s3:ListBucket "+bucket),
		on(&sdk.GetBucketLocationInput{Bucket: b}, (*sdk.Client).GetBucketLocation, "s3:GetBucketLocation "+bucket),
		on(&sdk.ListObjectsV2Input{Bucket: b}, (*sdk.Client).ListObjectsV2, "s3:ListBucket "+bucket),
		on(&sdk.ListObjectVersionsInput{Bucket: b}, (*sdk.Client).ListObjectVersions, "s3:ListBucketVersions "+bucket),
		on(&sdk.ListMultipartUploadsInput{Bucket: b}, (*sdk.Client).ListMultipartUploads, "s3:ListBucketMultipartUploads "+bucket),
		on(&sdk.PutObjectInput{Bucket: b, Key: k}, (*sdk.Client).PutObject, "s3:PutObject "+object),
		on(&sdk.PutObjectInput{Bucket: b, Key: k, Tagging: aws.String("a=b")}, (*sdk.Client).PutObject, "s3:PutObject "+object, "s3:PutObjectTagging "+object),
		on(&sdk.GetObjectInput{Bucket: b, Key: k}, (*sdk.Client).GetObject, "s3:GetObject "+object),
		on(&sdk.GetObjectInput{Bucket: b, Key: k, VersionId: id}, (*sdk.Client).GetObject, "s3:GetObjectVersion "+object),
		on(&sdk.HeadObjectInput{Bucket: b, Key: k}, (*sdk.Client).HeadObject, "s3:GetObject "+object),
		on(&sdk.GetObjectTaggingInput{Bucket: b, Key: k}, (*sdk.Client).GetObjectTagging, "s3:GetObjectTagging "+object),
		on(&sdk.GetObjectTaggingInput{Bucket: b, Key: k, VersionId: id}, (*sdk.Client).GetObjectTagging, "s3:GetObjectVersionTagging "+object),
		on(&sdk.PutObjectTaggingInput{Bucket: b, Key: k, Tagging: tags}, (*sdk.Client).PutObjectTagging, "s3:PutObjectTagging "+object),
		on(&sdk.CopyObjectInput{Bucket: b, Key: aws.String("l"), CopySource: aws.String("assets/k")}, (*sdk.Client).CopyObject,
			"s3:PutObject arn:aws:s3:::assets/l", "s3:GetObject "+object, "s3:GetObjectTagging "+object, "s3:PutObjectTagging arn:aws:s3:::assets/l"),
		on(&sdk.DeleteObjectTaggingInput{Bucket: b, Key: k}, (*sdk.Client).DeleteObjectTagging, "s3:DeleteObjectTagging "+object),
		on(&sdk.GetObjectAclInput{Bucket: b, Key: k}, (*sdk.Client).GetObjectAcl, "s3:GetObjectAcl "+object),
		on(&sdk.CreateMultipartUploadInput{Bucket: b, Key: k}, (*sdk.Client).CreateMultipartUpload, "s3:PutObject "+object),
		on(&sdk.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("l")}, {Key: k, VersionId: aws.String("x")}}}}, (*sdk.Client).DeleteObjects,
			"s3:DeleteObject arn:aws:s3:::assets/l", "s3:DeleteObjectVersion "+object),
		on(&sdk.DeleteObjectInput{Bucket: b, Key: k, VersionId: aws.String("x")}, (*sdk.Client).DeleteObject, "s3:DeleteObjectVersion "+object),
		on(&sdk.DeleteObjectInput{Bucket: b, Key: k}, (*sdk.Client).DeleteObject, "s3:DeleteObject "+object),
		on(&sdk.PutBucketTaggingInput{Bucket: b, Tagging: tags}, (*sdk.Client).PutBucketTagging, "s3:PutBucketTagging "+bucket),
		on(&sdk.GetBucketTaggingInput{Bucket: b}, (*sdk.Client).GetBucketTagging, "s3:GetBucketTagging "+bucket),
		on(&sdk.DeleteBucketTaggingInput{Bucket: b}, (*sdk.Client).DeleteBucketTagging, "s3:PutBucketTagging "+bucket),
		on(&sdk.PutBucketWebsiteInput{Bucket: b, WebsiteConfiguration: site}, (*sdk.Client).PutBucketWebsite, "s3:PutBucketWebsite "+bucket),
		on(&sdk.GetBucketWebsiteInput{Bucket: b}, (*sdk.Client).GetBucketWebsite, "s3:GetBucketWebsite "+bucket),
		on(&sdk.DeleteBucketWebsiteInput{Bucket: b}, (*sdk.Client).DeleteBucketWebsite, "s3:DeleteBucketWebsite "+bucket),
		on(&sdk.PutBucketEncryptionInput{Bucket: b, ServerSideEncryptionConfiguration: sealed}, (*sdk.Client).PutBucketEncryption, "s3:PutEncryptionConfiguration "+bucket),
		on(&sdk.GetBucketEncryptionInput{Bucket: b}, (*sdk.Client).GetBucketEncryption, "s3:GetEncryptionConfiguration "+bucket),
		on(&sdk.DeleteBucketEncryptionInput{Bucket: b}, (*sdk.Client).DeleteBucketEncryption, "s3:PutEncryptionConfiguration "+bucket),
		on(&sdk.PutBucketLifecycleConfigurationInput{Bucket: b, LifecycleConfiguration: life}, (*sdk.Client).PutBucketLifecycleConfiguration, "s3:PutLifecycleConfiguration "+bucket),
		on(&sdk.GetBucketLifecycleConfigurationInput{Bucket: b}, (*sdk.Client).GetBucketLifecycleConfiguration, "s3:GetLifecycleConfiguration "+bucket),
		on(&sdk.DeleteBucketLifecycleInput{Bucket: b}, (*sdk.Client).DeleteBucketLifecycle, "s3:PutLifecycleConfiguration "+bucket),
		on(&sdk.PutBucketOwnershipControlsInput{Bucket: b, OwnershipControls: owned}, (*sdk.Client).PutBucketOwnershipControls, "s3:PutBucketOwnershipControls "+bucket),
		on(&sdk.GetBucketOwnershipControlsInput{Bucket: b}, (*sdk.Client).GetBucketOwnershipControls, "s3:GetBucketOwnershipControls "+bucket),
		on(&sdk.PutPublicAccessBlockInput{Bucket: b, PublicAccessBlockConfiguration: &unblocked}, (*sdk.Client).PutPublicAccessBlock, "s3:PutBucketPublicAccessBlock "+bucket),
		on(&sdk.GetPublicAccessBlockInput{Bucket: b}, (*sdk.Client).GetPublicAccessBlock, "s3:GetBucketPublicAccessBlock "+bucket),
		on(&sdk.DeletePublicAccessBlockInput{Bucket: b}, (*sdk.Client).DeletePublicAccessBlock, "s3:PutBucketPublicAccessBlock "+bucket),
		on(&sdk.PutBucketPolicyInput{Bucket: b, Policy: aws.String(`{"Version":"2012-10-17","Statement":[` + everyone + `]}`)}, (*sdk.Client).PutBucketPolicy, "s3:PutBucketPolicy "+bucket),
		on(&sdk.GetBucketPolicyInput{Bucket: b}, (*sdk.Client).GetBucketPolicy, "s3:GetBucketPolicy "+bucket),
		on(&sdk.DeleteBucketPolicyInput{Bucket: b}, (*sdk.Client).DeleteBucketPolicy, "s3:DeleteBucketPolicy "+bucket),
		on(&sdk.GetBucketVersioningInput{Bucket: b}, (*sdk.Client).GetBucketVersioning, "s3:GetBucketVersioning "+bucket),
		on(&sdk.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}, (*sdk.Client).PutBucketVersioning, "s3:PutBucketVersioning "+bucket),
		on(&sdk.PutBucketReplicationInput{Bucket: b, ReplicationConfiguration: &types.ReplicationConfiguration{Role: aws.String(role), Rules: []types.ReplicationRule{rule("to-green", "copies")}}}, (*sdk.Client).PutBucketReplication,
			"s3:PutReplicationConfiguration "+bucket, "iam:PassRole "+role),
		on(&sdk.GetBucketReplicationInput{Bucket: b}, (*sdk.Client).GetBucketReplication, "s3:GetReplicationConfiguration "+bucket),
		on(&sdk.DeleteBucketReplicationInput{Bucket: b}, (*sdk.Client).DeleteBucketReplication, "s3:PutReplicationConfiguration "+bucket),
	}
	a := start(t)
	a.bucket(blue, "assets", false)
	a.bucket(green, "copies", true)
	for i, c := range calls {
		// Denied any of them, it does not go through; a list says it of each.
		for _, ask := range c.asks {
			a.deny = strings.Fields(ask)[0]
			err := c.do(t.Context(), a.in(blue))
			a.deny = ""
			if list := len(c.asks) > 1 && strings.HasPrefix(ask, "s3:DeleteObject"); !list && (err == nil || !strings.Contains(err.Error(), "StatusCode: 403")) {
				t.Errorf("without %s: %v", ask, err)
			}
		}
		a.asks = nil
		if err := c.do(t.Context(), a.in(blue)); err != nil {
			t.Fatalf("call %d, %v: %v", i, c.asks, err)
		}
		if diff := cmp.Diff(c.asks, a.actions()); diff != "" {
			t.Errorf("call %d: %s", i, diff)
		}
	}
	a.put(blue, "assets", "m", "x")
	a.deny = "s3:DeleteObject"
	out, err := a.in(blue).DeleteObjects(t.Context(), &sdk.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("m")}}}})
	if err != nil || len(out.Errors) != 1 || *out.Errors[0].Code != "AccessDenied" || len(out.Deleted) != 0 {
		t.Errorf("a list without the right: %+v, %v", out, err)
	}
}
