package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// metaPrefix begins the headers of user metadata.
const metaPrefix = "X-Amz-Meta-"

// kept are the headers that an object keeps and answers with.
var kept = []string{"Content-Type", "Cache-Control", "Content-Encoding", "Content-Disposition", "Content-Language", "Expires"}

// version is one version of an object, or a delete marker. It never changes
// once the lock is given back, since a reader may still hold it: another one
// takes its place.
type version struct {
	key      string
	id       string // "null" outside of versioning
	marker   bool
	data     []byte
	etag     string // with its quotes
	headers  http.Header
	meta     map[string]string
	tags     map[string]string
	modified time.Time // first written: a replica has that of its source
	sse      encryption
	sums     checksums
	sumType  string      // FULL_OBJECT or COMPOSITE
	status   replication // "" where no rule applied
}

// nullVersion is the id of what is written outside of versioning.
const nullVersion = "null"

func noSuchKey(key string) *wire.Error {
	e := wire.Errorf(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	e.Fields = map[string]any{"Key": key}
	return e
}

// current is the newest version, nil where there is none or it is a marker.
func (b *bucket) current(key string) *version {
	if all := b.objects[key]; len(all) > 0 && !all[0].marker {
		return all[0]
	}
	return nil
}

func (b *bucket) versionOf(key, id string) *version {
	i := slices.IndexFunc(b.objects[key], func(v *version) bool { return v.id == id })
	if i < 0 {
		return nil
	}
	return b.objects[key][i]
}

// insert puts a version where its time belongs: replicas may arrive in another
// order than they were written in, and both sides of a two-way replication
// come to the same newest version this way [model: AWS does not say].
func (b *bucket) insert(v *version) {
	all := b.objects[v.key]
	at := slices.IndexFunc(all, func(other *version) bool {
		return v.modified.After(other.modified) || v.modified.Equal(other.modified) && v.id > other.id
	})
	if at < 0 {
		at = len(all)
	}
	b.objects[v.key] = slices.Insert(all, at, v)
	if v.modified.After(b.newest) {
		b.newest = v.modified
	}
}

// remove takes one version away for good.
func (b *bucket) remove(key, id string) *version {
	v := b.versionOf(key, id)
	if v == nil {
		return nil
	}
	b.objects[key] = slices.DeleteFunc(slices.Clone(b.objects[key]), func(other *version) bool { return other == v })
	if len(b.objects[key]) == 0 {
		delete(b.objects, key)
	}
	return v
}

// add writes a new version as the bucket's versioning says, and gives it its
// id and time.
func (s *Service) add(b *bucket, v *version, now time.Time) {
	v.id, v.modified = nullVersion, now
	if !now.After(b.newest) {
		v.modified = b.newest.Add(time.Nanosecond) // two writes of one instant keep their order
	}
	if b.versioning() == "Enabled" {
		v.id = s.token(32)
	} else {
		b.remove(v.key, nullVersion)
	}
	b.insert(v)
}

// idHeader tells the version that was written or read, if there is versioning.
func (b *bucket) idHeader(header http.Header, id string) {
	if b.versioning() != "" {
		header.Set("X-Amz-Version-Id", id)
	}
}

func etagOf(data []byte, sse encryption, id string) string {
	sum := md5.New()
	sum.Write(data)
	if sse.algorithm == sseKMS {
		sum.Write([]byte(id)) // AWS: the ETag of such an object is not the MD5 of its data
	}
	return `"` + hex.EncodeToString(sum.Sum(nil)) + `"`
}

// describe is the headers that tell of the version, for GET and HEAD.
func (v *version) describe(header http.Header) {
	maps.Copy(header, v.headers)
	for name, value := range v.meta {
		header[metaPrefix+http.CanonicalHeaderKey(name)] = []string{value}
	}
	header.Set("ETag", v.etag)
	header.Set("Last-Modified", v.modified.UTC().Format(http.TimeFormat))
	header.Set("Accept-Ranges", "bytes")
	if len(v.tags) > 0 {
		header.Set("X-Amz-Tagging-Count", strconv.Itoa(len(v.tags)))
	}
	if v.status != "" {
		header.Set("X-Amz-Replication-Status", string(v.status))
	}
	v.sse.describe(header)
}

// overrides are the query parameters that replace a header of the answer.
var overrides = map[string]string{
	"response-content-type": "Content-Type", "response-cache-control": "Cache-Control", "response-content-encoding": "Content-Encoding",
	"response-content-disposition": "Content-Disposition", "response-content-language": "Content-Language", "response-expires": "Expires",
}

// serve writes the content: ranges and conditions are those of HTTP.
func (v *version) serve(w http.ResponseWriter, r *request) {
	for parameter, header := range overrides {
		if r.signed && r.query.Has(parameter) {
			w.Header().Set(header, r.query.Get(parameter))
		}
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "binary/octet-stream")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(v.data)))
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Request = r.Clone(r.Context())
		r.Header.Del("Range") // S3 gives one range or everything
	}
	http.ServeContent(&errorsAsXML{ResponseWriter: w, request: r}, r.Request, "", v.modified, bytes.NewReader(v.data))
}

// errorsAsXML gives the refusals of http.ServeContent S3's own form.
type errorsAsXML struct {
	http.ResponseWriter
	request *request
	refused bool
}

// WriteHeader implements http.ResponseWriter.
func (w *errorsAsXML) WriteHeader(status int) {
	var err *wire.Error
	switch status {
	case http.StatusPreconditionFailed:
		err = wire.Errorf(status, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	case http.StatusRequestedRangeNotSatisfiable:
		err = wire.Errorf(status, "InvalidRange", "The requested range is not satisfiable")
	default:
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	w.Header().Del("Content-Length")
	w.Header().Del("Content-Encoding")
	WriteError(w.ResponseWriter, w.request.Request, w.request.call, err)
}

// Write implements http.ResponseWriter.
func (w *errorsAsXML) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}
