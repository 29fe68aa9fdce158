package s3

import (
	"net"
	"net/http"
	"regexp"
	"strings"
)

// The names S3 answers to, under which a request says what it is for:
// BUCKET.s3.REGION.amazonaws.com and s3.REGION.amazonaws.com/BUCKET (also
// with dualstack, with a dash, and without a region), and the website
// endpoints BUCKET.s3-website-REGION and BUCKET.s3-website.REGION.
// https://docs.aws.amazon.com/general/latest/gr/s3.html
var (
	siteHost = regexp.MustCompile(`^(?:(.+)\.)?s3-website[.-]([a-z]{2}(?:-[a-z]+)+-\d+)\.amazonaws\.com$`)
	restHost = regexp.MustCompile(`^(?:(.+)\.)?s3(?:\.dualstack)?(?:[.-]([a-z]{2}(?:-[a-z]+)+-\d+))?\.amazonaws\.com$`)
)

// address is what a request's Host and path name.
type address struct {
	site   bool   // a website endpoint
	region string // in the host's name, "" where it has none
	bucket string
	key    string
}

func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

// addressOf reads a request's address. Any host that is not S3's own is the
// loopback endpoint: path-style, or virtual-host style under "localhost".
func addressOf(r *http.Request) address {
	host, path := hostOf(r), strings.TrimPrefix(r.URL.Path, "/")
	if m := siteHost.FindStringSubmatch(host); m != nil {
		return address{site: true, bucket: m[1], region: m[2], key: path}
	}
	a := address{}
	if m := restHost.FindStringSubmatch(host); m != nil {
		a.bucket, a.region = m[1], m[2]
	} else if name, found := strings.CutSuffix(host, ".localhost"); found {
		a.bucket = name
	}
	if a.bucket != "" {
		a.key = path
		return a
	}
	a.bucket, a.key, _ = strings.Cut(path, "/")
	return a
}

// Unsigned says whether a request is one for S3 that needs no signature, by
// its Host, and for which region: the endpoint cannot tell from a signature's
// scope. A website never reads a signature.
func Unsigned(r *http.Request) (region string, ok bool) {
	host := hostOf(r)
	if m := siteHost.FindStringSubmatch(host); m != nil {
		return m[2], true
	}
	m := restHost.FindStringSubmatch(host)
	if m == nil || signed(r) {
		return "", false
	}
	if m[2] == "" {
		return "us-east-1", true
	}
	return m[2], true
}

func signed(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || r.URL.Query().Get("X-Amz-Credential") != ""
}
