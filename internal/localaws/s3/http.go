package s3

import (
	"context"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// request is one call with all that was read of it before the lock is taken.
type request struct {
	*http.Request
	address
	call   wire.Call
	signed bool
	secure bool // as aws:SecureTransport says
	query  url.Values
	body   []byte
	sums   checksums // that the body was sent with
	in     *bucket   // nil for ListBuckets and CreateBucket
}

// reply is what is to be answered, written after the lock is given back.
type reply struct {
	status int // 0 is 200
	header http.Header
	root   string // of the XML document, "" is none
	body   any
	text   string   // a body as it is, of Content-Type application/json
	object *version // an object's content
}

// Handler serves the REST-XML API and the website endpoints.
func (s *Service) Handler() http.Handler {
	operations := s.operations()
	return http.HandlerFunc(func(w http.ResponseWriter, raw *http.Request) {
		r := &request{Request: raw, address: addressOf(raw), call: wire.FromContext(raw.Context()), query: raw.URL.Query(), signed: signed(raw)}
		// The one loopback endpoint stands for AWS's TLS endpoints: what the SDK
		// signs counts as sent over TLS. A request without a signature is as
		// secure as it says it is, a website never.
		r.secure = r.signed || raw.TLS != nil || raw.Header.Get("X-Forwarded-Proto") == "https"
		w.Header().Set("X-Amz-Request-Id", r.call.RequestID)
		w.Header().Set("Server", "AmazonS3")
		if r.site {
			s.serveSite(w, r)
			return
		}
		out, err := s.answer(operations, r)
		if err != nil {
			WriteError(w, raw, r.call, err)
			return
		}
		out.write(w, r)
	})
}

// answer finds, authorises and runs the operation.
func (s *Service) answer(operations map[string]operation, r *request) (reply, error) {
	op, err := s.find(operations, r)
	if err != nil {
		return reply{}, err
	}
	if err := r.read(); err != nil {
		return reply{}, err
	}
	if err := s.strike(r); err != nil {
		return reply{}, err
	}
	ctx := r.Context()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(ctx, r.call.Now)
	if r.bucket != "" && op.action != "s3:CreateBucket" {
		if err := s.enter(r); err != nil {
			return reply{}, err
		}
	}
	if err := s.authorize(ctx, r, op.actionFor(r), r.resource(), nil); err != nil {
		return reply{}, err
	}
	return op.serve(r)
}

// strike injects the faults.
func (s *Service) strike(r *request) error {
	if s.options.Faults == nil || r.bucket == "" {
		return nil
	}
	if _, hit := s.options.Faults.Draw(r.call.Region, fault.Throttle, "bucket/"+r.bucket); hit {
		return wire.Errorf(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	}
	if _, hit := s.options.Faults.Draw(r.call.Region, fault.Error, "bucket/"+r.bucket); hit {
		return wire.Errorf(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.")
	}
	return nil
}

// enter finds the bucket, which has to be in the region that is called.
func (s *Service) enter(r *request) error {
	b, found := s.buckets[r.bucket]
	if !found {
		return noSuchBucket(r.bucket)
	}
	r.in = b
	switch {
	case b.region == r.call.Region:
		return nil
	case r.signed && r.region == b.region:
		e := wire.Errorf(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region '%s' is wrong; expecting '%s'", r.call.Region, b.region)
		e.Fields = map[string]any{"Region": b.region}
		return e
	default:
		e := wire.Errorf(http.StatusMovedPermanently, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.")
		e.Fields = map[string]any{"Endpoint": b.name + ".s3." + b.region + ".amazonaws.com", "Bucket": b.name, "Region": b.region}
		return e
	}
}

func (r *request) resource() string {
	switch {
	case r.bucket == "":
		return "*"
	case r.key == "":
		return bucketARN(r.bucket)
	default:
		return objectARN(r.bucket, r.key)
	}
}

// WriteError answers with S3's own error document, <Error>, which is not
// that of the other REST-XML services.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func WriteError(w http.ResponseWriter, r *http.Request, call wire.Call, err error) {
	e := wire.AsError(err)
	w.Header().Set("X-Amz-Request-Id", call.RequestID)
	if region, ok := e.Fields["Region"].(string); ok {
		w.Header().Set("X-Amz-Bucket-Region", region)
	}
	if e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	if extra, ok := e.Fields["header"].(http.Header); ok {
		maps.Copy(w.Header(), extra)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(e.Status)
	if r.Method == http.MethodHead {
		return
	}
	encoder := xml.NewEncoder(w)
	root := xml.StartElement{Name: xml.Name{Local: "Error"}}
	element := func(name, value string) {
		encoder.EncodeElement(value, xml.StartElement{Name: xml.Name{Local: name}}) // Non-fatal: the caller has gone.
	}
	io.WriteString(w, xml.Header) // as above
	encoder.EncodeToken(root)     // as above
	element("Code", e.Code)
	element("Message", e.Message)
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		if value, ok := e.Fields[name].(string); ok {
			element(name, value)
		}
	}
	element("Resource", r.URL.Path)
	element("RequestId", call.RequestID)
	encoder.EncodeToken(root.End()) // as above
	encoder.Flush()                 // as above
}

func (out reply) write(w http.ResponseWriter, r *request) {
	maps.Copy(w.Header(), out.header)
	switch {
	case out.object != nil:
		out.object.serve(w, r)
		return
	case out.text != "":
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, out.text) // Non-fatal: the caller has gone.
		return
	}
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	if out.root == "" {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	io.WriteString(w, xml.Header) // Non-fatal: the caller has gone.
	start := xml.StartElement{Name: xml.Name{Local: out.root}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
	if out.body == nil {
		out.body = struct{}{}
	}
	xml.NewEncoder(w).EncodeElement(out.body, start) // as above
}

// operation is one API operation.
type operation struct {
	action  string   // that IAM is asked for
	query   []string // parameters it takes, beside the one that names it
	headers []string // x-amz- headers it takes
	serve   func(r *request) (reply, error)
}

// versioned are the actions that have another name on a version.
var versioned = map[string]string{
	"s3:GetObject": "s3:GetObjectVersion", "s3:DeleteObject": "s3:DeleteObjectVersion", "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
	"s3:PutObjectTagging": "s3:PutObjectVersionTagging", "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging", "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
}

func (op operation) actionFor(r *request) string {
	if other, ok := versioned[op.action]; ok && r.query.Has("versionId") {
		return other
	}
	return op.action
}

// subresources are the query parameters that name an operation.
var subresources = []string{
	"accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "list-type",
	"location", "logging", "metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "replication",
	"requestPayment", "restore", "retention", "select", "tagging", "torrent", "uploadId", "uploads", "versioning", "versions", "website",
}

// common are the query parameters and headers of every request: those of the
// signature, of the SDK, and the account that the caller expects.
var (
	commonQuery   = []string{"x-id"}
	commonHeaders = []string{
		"X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token", "X-Amz-User-Agent", "X-Amz-Expected-Bucket-Owner", "X-Amz-Sdk-Checksum-Algorithm",
		"X-Amz-Trailer", "X-Amz-Decoded-Content-Length", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Crc32c", "X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Sha1", "X-Amz-Checksum-Sha256",
	}
)

// find tells the operation and refuses what it would not take into account.
func (s *Service) find(operations map[string]operation, r *request) (operation, error) {
	level := "object"
	switch {
	case r.bucket == "":
		level = "service"
	case r.key == "":
		level = "bucket"
	}
	name := r.Method + " " + level
	for _, sub := range subresources {
		if r.query.Has(sub) {
			name += " " + sub
		}
	}
	if r.Header.Get("X-Amz-Copy-Source") != "" {
		name += " copy"
	}
	op, known := operations[name]
	if !known {
		wire.Unknown(s.options.Log, r.call, name)
		return op, notImplemented("operation %s", name)
	}
	for parameter := range r.query {
		taken := slices.Contains(subresources, parameter) || slices.Contains(commonQuery, parameter) || strings.HasPrefix(parameter, "X-Amz-") || slices.Contains(op.query, parameter)
		if !taken {
			wire.Unknown(s.options.Log, r.call, name+" with "+parameter)
			return op, notImplemented("parameter %s of %s", parameter, name)
		}
	}
	for header := range r.Header {
		taken := !strings.HasPrefix(header, "X-Amz-") || slices.Contains(commonHeaders, header) || slices.Contains(op.headers, header) ||
			strings.HasPrefix(header, metaPrefix) && slices.Contains(op.headers, metaPrefix)
		if !taken {
			wire.Unknown(s.options.Log, r.call, name+" with "+header)
			return op, notImplemented("header %s of %s", header, name)
		}
	}
	if expected := r.Header.Get("X-Amz-Expected-Bucket-Owner"); expected != "" && expected != wire.Account {
		return op, accessDenied()
	}
	return op, nil
}

// operations is the whole API, by method, level and subresource.
func (s *Service) operations() map[string]operation {
	out := map[string]operation{
		"GET service":   {action: "s3:ListAllMyBuckets", query: []string{"prefix", "bucket-region", "max-buckets", "continuation-token"}, serve: s.listBuckets},
		"PUT bucket":    {action: "s3:CreateBucket", headers: []string{"X-Amz-Object-Ownership", "X-Amz-Acl"}, serve: s.createBucket},
		"HEAD bucket":   {action: "s3:ListBucket", serve: headBucket},
		"DELETE bucket": {action: "s3:DeleteBucket", serve: s.deleteBucket},

		"GET bucket location":  {action: "s3:GetBucketLocation", serve: bucketLocation},
		"GET bucket list-type": {action: "s3:ListBucket", query: []string{"prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"}, headers: []string{"X-Amz-Optional-Object-Attributes"}, serve: listObjects},
		"GET bucket versions":  {action: "s3:ListBucketVersions", query: []string{"prefix", "delimiter", "max-keys", "key-marker", "version-id-marker", "encoding-type"}, headers: []string{"X-Amz-Optional-Object-Attributes"}, serve: listVersions},
		"GET bucket uploads":   {action: "s3:ListBucketMultipartUploads", query: []string{"prefix"}, serve: s.listUploads},
		"POST bucket delete":   {action: "", serve: s.deleteObjects},
	}
	maps.Copy(out, s.objectOperations())
	maps.Copy(out, s.configOperations())
	return out
}

// authorize asks everyone who has a say: the caller's policies, the bucket's
// policy and Block Public Access. keys add to the request's own condition keys.
func (s *Service) authorize(ctx context.Context, r *request, action, resource string, keys map[string][]string) error {
	if action == "" {
		return nil // asked for each of its parts
	}
	all := r.conditionKeys()
	maps.Copy(all, keys)
	if !r.signed {
		return s.authorizePublic(r, action, resource, all)
	}
	return s.authorizeCaller(ctx, r, action, resource, all)
}
