package s3

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// serveSite answers a website endpoint: anonymous, HTTP, GET and HEAD only.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteEndpoints.html
func (s *Service) serveSite(w http.ResponseWriter, r *request) {
	r.signed, r.secure = false, false
	page, location, err := s.page(r)
	switch {
	case err != nil:
		s.sitesError(w, r, err)
	case location != "":
		status := http.StatusFound
		if strings.Contains(location, "://") {
			status = http.StatusMovedPermanently
		}
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	default:
		page.describe(w.Header())
		page.serve(w, r)
	}
}

// page is what the path leads to, or where it is redirected to.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/IndexDocumentSupport.html
func (s *Service) page(r *request) (v *version, location string, err error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, "", wire.Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	if err := s.strike(r); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(r.Context(), r.call.Now)
	site, err := s.siteOf(r)
	if err != nil {
		return nil, "", err
	}
	if to := site.RedirectAllRequestsTo; to != nil {
		protocol := to.Protocol
		if protocol == "" {
			protocol = "http"
		}
		return nil, protocol + "://" + to.HostName + r.URL.RequestURI(), nil
	}
	path := r.key
	if path == "" || strings.HasSuffix(path, "/") {
		r.key += site.IndexDocument.Suffix
	}
	v, err = s.publicPage(r)
	if index := path + "/" + site.IndexDocument.Suffix; err != nil && r.key == path && r.in.current(path) == nil && r.in.current(index) != nil {
		return nil, "/" + path + "/", nil
	}
	return v, "", err
}

func (s *Service) siteOf(r *request) (*websiteConfiguration, error) {
	b, found := s.buckets[r.bucket]
	if !found {
		return nil, noSuchBucket(r.bucket)
	}
	if b.region != r.region {
		return nil, wire.Errorf(http.StatusBadRequest, "IncorrectEndpoint", "The specified bucket exists in another region. Please direct requests to the specified endpoint.")
	}
	r.in = b
	site, configured := b.config["website"].(*websiteConfiguration)
	if !configured {
		return nil, lacks("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration")
	}
	return site, nil
}

// publicPage reads r.key with the rights of everyone. What does not exist is
// 404 whatever the public may list: AWS's page on the permissions of websites
// says so, and the knowledge centre's s3-website-cloudfront-error-403 that it
// is 403 [U].
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteAccessPermissionsReqd.html
func (s *Service) publicPage(r *request) (*version, error) {
	v := r.in.current(r.key)
	if v == nil {
		return nil, noSuchKey(r.key)
	}
	if err := s.authorize(r.Context(), r, "s3:GetObject", objectARN(r.bucket, r.key), nil); err != nil {
		return nil, err
	}
	return v, s.mayDecrypt(r, v)
}

// sitesError answers with the site's error document, which is for all of 4XX,
// or with a page of S3's own.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/CustomErrorDocSupport.html
func (s *Service) sitesError(w http.ResponseWriter, r *request, err error) {
	e := wire.AsError(err)
	if document := s.errorDocument(r, e); document != nil {
		document.describe(w.Header())
		w.Header().Del("Accept-Ranges")
		w.WriteHeader(e.Status)
		if r.Method != http.MethodHead {
			w.Write(document.data) // Non-fatal: the caller has gone.
		}
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Amz-Error-Code", e.Code)
	w.Header().Set("X-Amz-Error-Message", e.Message)
	w.WriteHeader(e.Status)
	if r.Method == http.MethodHead {
		return
	}
	title := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	fmt.Fprintf(w, "<html>\n<head><title>%s</title></head>\n<body>\n<h1>%s</h1>\n<ul>\n<li>Code: %s</li>\n<li>Message: %s</li>\n<li>RequestId: %s</li>\n</ul>\n</body>\n</html>\n",
		title, title, html.EscapeString(e.Code), html.EscapeString(e.Message), html.EscapeString(r.call.RequestID)) // as above
}

func (s *Service) errorDocument(r *request, e *wire.Error) *version {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.in == nil || e.Status >= http.StatusInternalServerError {
		return nil
	}
	site, configured := r.in.config["website"].(*websiteConfiguration)
	if !configured || site.ErrorDocument == nil {
		return nil
	}
	r.key = site.ErrorDocument.Key
	v, err := s.publicPage(r)
	if err != nil {
		return nil
	}
	return v
}
