package s3_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAnObjectKeepsWhatItWasStoredWith(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	a.put(blue, "assets", "site/a b.html", "<p>hello", func(in *sdk.PutObjectInput) {
		in.ContentType, in.CacheControl, in.ContentEncoding = aws.String("text/html"), aws.String("no-cache"), aws.String("identity")
		in.Metadata, in.Tagging = map[string]string{"who": "me"}, aws.String("stage=one")
	})
	out, err := a.in(blue).GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("assets"), Key: aws.String("site/a b.html"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum([]byte("<p>hello"))
	got := []string{
		*out.ContentType, *out.CacheControl, *out.ContentEncoding, out.Metadata["who"], *out.ETag, fmt.Sprint(*out.ContentLength), fmt.Sprint(*out.TagCount),
		string(out.ServerSideEncryption), string(out.ChecksumType), fmt.Sprint(out.VersionId), string(out.ReplicationStatus),
	}
	want := []string{"text/html", "no-cache", "identity", "me", `"` + hex.EncodeToString(sum[:]) + `"`, "8", "1", "AES256", "FULL_OBJECT", "<nil>", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if out.ChecksumCRC32 == nil {
		t.Error("the SDK's CRC32 was not kept")
	}
	part, err := a.in(blue).GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("assets"), Key: aws.String("site/a b.html"), Range: aws.String("bytes=3-5")})
	if err != nil || *part.ContentRange != "bytes 3-5/8" {
		t.Errorf("a range: %+v, %v", part, err)
	}
	_, err = a.in(blue).GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("assets"), Key: aws.String("site/a b.html"), Range: aws.String("bytes=9-")})
	a.refused("a range beyond the end", "InvalidRange", "", err)
	_, err = a.in(blue).GetObject(t.Context(), &sdk.GetObjectInput{Bucket: aws.String("assets"), Key: aws.String("site/a b.html"), IfNoneMatch: out.ETag})
	if err == nil || !strings.Contains(err.Error(), "304") {
		t.Errorf("the same again: %v", err)
	}
	_, err = a.get(blue, "assets", "absent", "")
	a.refused("absent", "NoSuchKey", "", err)
	_, err = a.get(blue, "other", "absent", "")
	a.refused("no bucket", "NoSuchBucket", "", err)
	_, err = a.get(green, "assets", "site/a b.html", "")
	a.refused("another region", "PermanentRedirect", "specified endpoint", err)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	a.put(blue, "assets", "k", "zero")
	a.must(a.in(blue).PutBucketVersioning(t.Context(), &sdk.PutBucketVersioningInput{Bucket: aws.String("assets"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))
	one, two := *a.put(blue, "assets", "k", "one").VersionId, *a.put(blue, "assets", "k", "two").VersionId
	for version, want := range map[string]string{"": "two", "null": "zero", one: "one", two: "two"} {
		if got, err := a.get(blue, "assets", "k", version); got != want || err != nil {
			t.Errorf("version %q is %q, %v; want %q", version, got, err, want)
		}
	}
	marker := a.remove(blue, "assets", "k")
	if !aws.ToBool(marker.DeleteMarker) {
		t.Errorf("no delete marker: %+v", marker)
	}
	_, err := a.get(blue, "assets", "k", "")
	a.refused("behind a marker", "NoSuchKey", "", err)
	_, err = a.get(blue, "assets", "k", *marker.VersionId)
	a.refused("the marker itself", "MethodNotAllowed", "", err)
	_, err = a.get(blue, "assets", "k", "absent")
	a.refused("another version", "NoSuchVersion", "", err)
	listing, err := a.in(blue).ListObjectVersions(t.Context(), &sdk.ListObjectVersionsInput{Bucket: aws.String("assets")})
	if err != nil || len(listing.DeleteMarkers) != 1 || !*listing.DeleteMarkers[0].IsLatest {
		t.Fatalf("%+v, %v", listing, err)
	}
	var ids []string
	for _, v := range listing.Versions {
		ids = append(ids, *v.VersionId)
	}
	if diff := cmp.Diff([]string{two, one, "null"}, ids); diff != "" {
		t.Error(diff)
	}
	a.must(a.in(blue).DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("assets"), Key: aws.String("k"), VersionId: marker.VersionId}))
	if got, err := a.get(blue, "assets", "k", ""); got != "two" || err != nil {
		t.Errorf("without its marker: %q, %v", got, err)
	}
	_, err = a.in(blue).DeleteBucket(t.Context(), &sdk.DeleteBucketInput{Bucket: aws.String("assets")})
	a.refused("a bucket with versions", "BucketNotEmpty", "all versions", err)
	out, err := a.in(blue).DeleteObjects(t.Context(), &sdk.DeleteObjectsInput{Bucket: aws.String("assets"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("k"), VersionId: &one}, {Key: aws.String("k"), VersionId: &two}, {Key: aws.String("k"), VersionId: aws.String("null")}, {Key: aws.String("k"), VersionId: aws.String("absent")},
	}}})
	if err != nil || len(out.Deleted) != 4 || len(out.Errors) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	a.must(a.in(blue).DeleteBucket(t.Context(), &sdk.DeleteBucketInput{Bucket: aws.String("assets")}))
}

func TestWritesOnACondition(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	etag := a.put(blue, "assets", "k", "one").ETag
	for _, tt := range []struct {
		name, key, code string
		match, none     *string
	}{
		{"new, not there", "n", "", nil, aws.String("*")},
		{"new, there", "k", "PreconditionFailed", nil, aws.String("*")},
		{"the tag that is there", "k", "", etag, nil},
		{"another tag", "k", "PreconditionFailed", aws.String(`"other"`), nil},
		{"a tag, not there", "absent", "NoSuchKey", etag, nil},
		{"none with a tag", "k", "NotImplemented", nil, etag},
	} {
		_, err := a.in(blue).PutObject(t.Context(), &sdk.PutObjectInput{Bucket: aws.String("assets"), Key: &tt.key, Body: strings.NewReader("one"), IfMatch: tt.match, IfNoneMatch: tt.none})
		if tt.code != "" {
			a.refused(tt.name, tt.code, "", err)
		} else if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	_, err := a.in(blue).DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("assets"), Key: aws.String("k"), IfMatch: aws.String(`"other"`)})
	a.refused("delete another", "PreconditionFailed", "", err)
	a.must(a.in(blue).DeleteObject(t.Context(), &sdk.DeleteObjectInput{Bucket: aws.String("assets"), Key: aws.String("k"), IfMatch: etag}))
}

// Chunks and their trailer are of the transfer: neither is in the object.
func TestChunkedBodies(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	const whole = "5;chunk-signature=0\r\nhello\r\n6\r\n world\r\n0\r\n"
	for _, tt := range []struct {
		name, body, length, code string
	}{
		{"good", whole + "x-amz-checksum-crc32:DUoRhQ==\r\n\r\n", "11", ""},
		{"wrong checksum", whole + "x-amz-checksum-crc32:AAAAAA==\r\n\r\n", "11", "BadDigest"},
		{"wrong length", whole + "\r\n", "12", "IncompleteBody"},
		{"cut short", "b\r\nhello", "11", "IncompleteBody"},
		{"no chunk", "zz\r\nhello\r\n", "5", "InvalidRequest"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, a.url+"/assets/"+strings.ReplaceAll(tt.name, " ", "-"), strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Authorization": "AWS4-HMAC-SHA256 Credential=k/20260301/" + blue + "/s3/aws4_request, SignedHeaders=host, Signature=0", "Content-Encoding": "aws-chunked",
			"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length": tt.length, "X-Amz-Trailer": "x-amz-checksum-crc32",
		} {
			r.Header.Set(name, value)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close() // Non-fatal: it was answered.
		if tt.code == "" && response.StatusCode != http.StatusOK || tt.code != "" && response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", tt.name, response.Status)
		}
		if tt.code != "" {
			_, err := a.get(blue, "assets", strings.ReplaceAll(tt.name, " ", "-"), "")
			a.refused(tt.name+", afterwards", "NoSuchKey", "", err)
		}
	}
	if got, err := a.get(blue, "assets", "good", ""); got != "hello world" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if head := a.head(blue, "assets", "good"); head.ContentEncoding != nil {
		t.Errorf("the encoding is %q", *head.ContentEncoding)
	}
}

func TestUploadInParts(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", false)
	c, name, key := a.in(blue), aws.String("assets"), aws.String("big")
	begun, err := c.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: name, Key: key, ContentType: aws.String("text/plain")})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", 5<<20) + "end"
	var parts []types.CompletedPart
	for i, piece := range []string{body[:5<<20], body[5<<20:]} {
		part, err := c.UploadPart(t.Context(), &sdk.UploadPartInput{Bucket: name, Key: key, UploadId: begun.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: strings.NewReader(piece)})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: part.ETag, PartNumber: aws.Int32(int32(i + 1)), ChecksumCRC32: part.ChecksumCRC32})
	}
	_, err = c.CompleteMultipartUpload(t.Context(), &sdk.CompleteMultipartUploadInput{Bucket: name, Key: key, UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{parts[1], parts[0]}}})
	a.refused("out of order", "InvalidPartOrder", "", err)
	done, err := c.CompleteMultipartUpload(t.Context(), &sdk.CompleteMultipartUploadInput{Bucket: name, Key: key, UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	if err != nil || !strings.HasSuffix(*done.ETag, `-2"`) {
		t.Fatalf("%+v, %v", done, err)
	}
	if got, err := a.get(blue, "assets", "big", ""); got != body || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if head := a.head(blue, "assets", "big"); *head.ContentType != "text/plain" {
		t.Errorf("%+v", head)
	}
	_, err = c.AbortMultipartUpload(t.Context(), &sdk.AbortMultipartUploadInput{Bucket: name, Key: key, UploadId: begun.UploadId})
	a.refused("abort what is complete", "NoSuchUpload", "", err)
}

func TestCopies(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "the-source", true)
	a.bucket(green, "the-copy", false)
	old := *a.put(blue, "the-source", "k", "old", func(in *sdk.PutObjectInput) { in.Metadata = map[string]string{"who": "me"} }).VersionId
	a.put(blue, "the-source", "k", "new")
	out, err := a.in(green).CopyObject(t.Context(), &sdk.CopyObjectInput{Bucket: aws.String("the-copy"), Key: aws.String("copy"), CopySource: aws.String("the-source/k?versionId=" + old)})
	if err != nil || *out.CopySourceVersionId != old {
		t.Fatalf("%+v, %v", out, err)
	}
	if got, err := a.get(green, "the-copy", "copy", ""); got != "old" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if head := a.head(green, "the-copy", "copy"); head.Metadata["who"] != "me" {
		t.Errorf("%+v", head)
	}
	_, err = a.in(green).CopyObject(t.Context(), &sdk.CopyObjectInput{Bucket: aws.String("the-copy"), Key: aws.String("copy"), CopySource: aws.String("the-copy/copy")})
	a.refused("to itself", "InvalidRequest", "to itself", err)
}

// Whatever the pages, the listing is what is there, in order, each once.
func TestListingsInPages(t *testing.T) {
	t.Parallel()
	a := start(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		name := fmt.Sprintf("bucket-%d", n)
		a.bucket(blue, name, false)
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[ab/]{1,4}`), 1, 12, rapid.ID).Draw(rt, "keys")
		prefix, delimiter := rapid.SampledFrom([]string{"", "a", "a/"}).Draw(rt, "prefix"), rapid.SampledFrom([]string{"", "/"}).Draw(rt, "delimiter")
		want := map[string]bool{}
		for _, key := range keys {
			a.put(blue, name, key, "x")
			rest, ok := strings.CutPrefix(key, prefix)
			if !ok {
				continue
			}
			if i := strings.Index(rest, "/"); delimiter != "" && i >= 0 {
				key = prefix + rest[:i+1] + "*"
			}
			want[key] = true
		}
		pages := sdk.NewListObjectsV2Paginator(a.in(blue), &sdk.ListObjectsV2Input{Bucket: &name, Prefix: &prefix, Delimiter: &delimiter, MaxKeys: aws.Int32(int32(rapid.IntRange(1, 5).Draw(rt, "page")))})
		var got []string
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				rt.Fatal(err)
			}
			var some []string
			for _, o := range page.Contents {
				some = append(some, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				some = append(some, *p.Prefix+"*")
			}
			slices.Sort(some)
			got = append(got, some...)
		}
		var sorted []string
		for key := range want {
			sorted = append(sorted, key)
		}
		slices.Sort(sorted)
		slices.Sort(got)
		if !slices.Equal(sorted, got) {
			rt.Fatalf("of %q, prefix %q, delimiter %q: %q, want %q", keys, prefix, delimiter, got, sorted)
		}
	})
}

// What is not there is refused and told to the log.
func TestWhatIsNotImplementedIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.bucket(blue, "assets", true)
	c, name := a.in(blue), aws.String("assets")
	for what, call := range map[string]func() error{
		"an operation": func() error {
			_, err := c.GetBucketAnalyticsConfiguration(t.Context(), &sdk.GetBucketAnalyticsConfigurationInput{Bucket: name, Id: aws.String("x")})
			return err
		},
		"a header": func() error {
			_, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: name, Key: aws.String("k"), ObjectLockMode: types.ObjectLockModeGovernance})
			return err
		},
		"a parameter": func() error {
			_, err := c.GetObject(t.Context(), &sdk.GetObjectInput{Bucket: name, Key: aws.String("k"), PartNumber: aws.Int32(1)})
			return err
		},
	} {
		a.log.Reset()
		a.refused(what, "NotImplemented", "", call())
		if !strings.Contains(a.log.String(), "not implemented") {
			t.Errorf("%s: the log has %q", what, a.log)
		}
	}
	_, err := c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: name, Key: aws.String("k"), StorageClass: types.StorageClassGlacier})
	a.refused("a storage class", "NotImplemented", "", err)
	_, err = c.PutObject(t.Context(), &sdk.PutObjectInput{Bucket: name, Key: aws.String("k"), ACL: types.ObjectCannedACLPublicRead})
	a.refused("an ACL", "AccessControlListNotSupported", "", err)
}
