package s3

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// objectOperations are those on one object. The actions are those of
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func (s *Service) objectOperations() map[string]operation {
	write := slices.Concat(sseHeaders, []string{metaPrefix, "X-Amz-Acl", "X-Amz-Tagging", "X-Amz-Storage-Class"})
	copied := slices.Concat(write, []string{"X-Amz-Copy-Source", "X-Amz-Metadata-Directive", "X-Amz-Tagging-Directive", "X-Amz-Checksum-Algorithm"})
	begin := slices.Concat(write, []string{"X-Amz-Checksum-Algorithm", "X-Amz-Checksum-Type"})
	read := append(slices.Sorted(maps.Keys(overrides)), "versionId")
	return map[string]operation{
		"GET object":      {action: "s3:GetObject", query: read, headers: []string{"X-Amz-Checksum-Mode"}, serve: s.getObject},
		"HEAD object":     {action: "s3:GetObject", query: read, headers: []string{"X-Amz-Checksum-Mode"}, serve: s.getObject},
		"PUT object":      {action: "s3:PutObject", headers: write, serve: s.putObject},
		"PUT object copy": {action: "s3:PutObject", headers: copied, serve: s.copyObject},
		"DELETE object":   {action: "s3:DeleteObject", query: []string{"versionId"}, serve: s.deleteObject},

		"GET object acl":        {action: "s3:GetObjectAcl", query: []string{"versionId"}, serve: getObjectACL},
		"GET object tagging":    {action: "s3:GetObjectTagging", query: []string{"versionId"}, serve: getTags},
		"PUT object tagging":    {action: "s3:PutObjectTagging", query: []string{"versionId"}, serve: s.putTags},
		"DELETE object tagging": {action: "s3:DeleteObjectTagging", query: []string{"versionId"}, serve: s.deleteTags},

		"POST object uploads":    {action: "s3:PutObject", headers: begin, serve: s.createUpload},
		"PUT object uploadId":    {action: "s3:PutObject", query: []string{"partNumber"}, serve: s.uploadPart},
		"POST object uploadId":   {action: "s3:PutObject", headers: []string{"X-Amz-Checksum-Type"}, serve: s.completeUpload},
		"DELETE object uploadId": {action: "s3:AbortMultipartUpload", serve: s.abortUpload},
		"GET object uploadId":    {action: "s3:ListMultipartUploadParts", query: []string{"max-parts", "part-number-marker"}, serve: s.listParts},
	}
}

// incoming is the version that a write describes, without its data. It asks
// for the tags and the key of it.
func (s *Service) incoming(r *request) (*version, error) {
	ctx := r.Context()
	if len(r.key) > 1024 {
		return nil, wire.Errorf(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	}
	if err := r.noACL(r.in.ownership()); err != nil {
		return nil, err
	}
	if class := r.Header.Get("X-Amz-Storage-Class"); class != "" && class != "STANDARD" {
		return nil, notImplemented("storage class %s", class)
	}
	v := &version{key: r.key, headers: http.Header{}, meta: map[string]string{}, tags: map[string]string{}, sumType: "FULL_OBJECT"}
	v.describedBy(r.Header)
	if err := s.tagged(ctx, r, v); err != nil {
		return nil, err
	}
	var err error
	if v.sse, err = s.encryptionOf(r); err != nil {
		return nil, err
	}
	return v, s.askKey(ctx, r, v.sse, r.key, "kms:GenerateDataKey")
}

// describedBy takes the object's own headers and its user metadata.
func (v *version) describedBy(header http.Header) {
	for _, name := range kept {
		if value := header.Get(name); value != "" {
			v.headers.Set(name, value)
		}
	}
	for name, values := range header {
		if bare, found := strings.CutPrefix(name, metaPrefix); found {
			v.meta[strings.ToLower(bare)] = strings.Join(values, ",")
		}
	}
}

// tagged takes the tags of the X-Amz-Tagging header, which are a query.
func (s *Service) tagged(ctx context.Context, r *request, v *version) error {
	text := r.Header.Get("X-Amz-Tagging")
	if text == "" {
		return nil
	}
	parsed, err := url.ParseQuery(text)
	if err != nil {
		return invalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	set := tagSet{}
	for key, values := range parsed {
		for _, value := range values {
			set.Tag = append(set.Tag, tag{key, value})
			v.tags[key] = value
		}
	}
	if err := set.check(10); err != nil {
		return err
	}
	return s.authorize(ctx, r, "s3:PutObjectTagging", r.resource(), nil)
}

// store puts the version where it belongs and answers with what a writer is
// told. etag is "" for that of an object in one piece.
func (s *Service) store(r *request, v *version, etag string) (http.Header, error) {
	if len(v.sums) == 0 {
		v.sums = checksums{"Crc64nvme": checksumOf("Crc64nvme", v.data)} // as S3 does on its own
	}
	s.add(r.in, v, r.call.Now)
	if v.etag = etag; etag == "" {
		v.etag = etagOf(v.data, v.sse, v.id)
	}
	s.replicate(r.in, v, r.call.Now)
	header := http.Header{"Etag": {v.etag}}
	r.in.idHeader(header, v.id)
	v.sse.describe(header)
	v.sums.describe(header, v.sumType)
	return header, nil
}

func (s *Service) putObject(r *request) (reply, error) {
	if err := r.mayReplace(); err != nil {
		return reply{}, err
	}
	v, err := s.incoming(r)
	if err != nil {
		return reply{}, err
	}
	v.data, v.sums = r.body, r.sums
	header, err := s.store(r, v, "")
	return reply{header: header}, err
}

// noVersion is what answers for an object that the caller cannot have: what is
// not there is denied to who may not list the bucket.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (s *Service) noVersion(r *request) error {
	if s.authorize(r.Context(), r, "s3:ListBucket", bucketARN(r.bucket), nil) != nil {
		return accessDenied()
	}
	if r.query.Has("versionId") {
		e := wire.Errorf(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
		e.Fields = map[string]any{"Key": r.key, "VersionId": r.query.Get("versionId")}
		return e
	}
	e := noSuchKey(r.key)
	if all := r.in.objects[r.key]; len(all) > 0 {
		e.Fields["header"] = http.Header{"X-Amz-Delete-Marker": {"true"}, "X-Amz-Version-Id": {all[0].id}}
	}
	return e
}

// wanted is the version that a reader means.
func (s *Service) wanted(r *request) (*version, error) {
	v := r.in.current(r.key)
	if r.query.Has("versionId") {
		v = r.in.versionOf(r.key, r.query.Get("versionId"))
	}
	switch {
	case v == nil:
		return nil, s.noVersion(r)
	case v.marker:
		e := wire.Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		e.Fields = map[string]any{"header": http.Header{"X-Amz-Delete-Marker": {"true"}, "Allow": {"DELETE"}, "Last-Modified": {v.modified.UTC().Format(http.TimeFormat)}}}
		return nil, e
	}
	return v, s.mayDecrypt(r, v)
}

// mayDecrypt asks for the key of what is read. Nobody reads an object under a
// KMS key without a signature.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
func (s *Service) mayDecrypt(r *request, v *version) error {
	if v.sse.algorithm != sseKMS {
		return nil
	}
	if !r.signed {
		return accessDenied()
	}
	return s.askKey(r.Context(), r, v.sse, v.key, "kms:Decrypt")
}

func (s *Service) getObject(r *request) (reply, error) {
	v, err := s.wanted(r)
	if err != nil {
		return reply{}, err
	}
	header := http.Header{}
	v.describe(header)
	r.in.idHeader(header, v.id)
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && r.Header.Get("Range") == "" {
		v.sums.describe(header, v.sumType)
	}
	return reply{header: header, object: v}, nil
}

// copyObject copies between buckets of any regions.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
func (s *Service) copyObject(r *request) (reply, error) {
	if err := r.mayReplace(); err != nil {
		return reply{}, err
	}
	from, err := s.source(r)
	if err != nil {
		return reply{}, err
	}
	v, err := s.incoming(r)
	if err != nil {
		return reply{}, err
	}
	replaced := r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE"
	if !replaced {
		v.headers, v.meta = from.headers, from.meta
	}
	if r.Header.Get("X-Amz-Tagging-Directive") != "REPLACE" {
		v.tags = from.tags
	}
	if from == r.in.current(r.key) && !replaced && v.sse == from.sse {
		return reply{}, invalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	v.data = from.data
	header, err := s.store(r, v, "")
	if err != nil {
		return reply{}, err
	}
	header.Del("Etag")
	if from.id != nullVersion {
		header.Set("X-Amz-Copy-Source-Version-Id", from.id)
	}
	return reply{header: header, root: "CopyObjectResult", body: struct{ ETag, LastModified string }{v.etag, stamp(v.modified)}}, nil
}

// source finds what is copied and asks for the right to read it.
func (s *Service) source(r *request) (*version, error) {
	path, query, _ := strings.Cut(r.Header.Get("X-Amz-Copy-Source"), "?")
	path, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	parameters, queryErr := url.ParseQuery(query)
	name, key, found := strings.Cut(path, "/")
	if err != nil || queryErr != nil || !found || key == "" {
		return nil, invalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	reader := *r
	reader.bucket, reader.key, reader.query = name, key, parameters
	if reader.in, found = s.buckets[name]; !found {
		return nil, noSuchBucket(name)
	}
	read, tags := "s3:GetObject", "s3:GetObjectTagging"
	if parameters.Has("versionId") {
		read, tags = versioned[read], versioned[tags]
	}
	if err := s.authorize(r.Context(), &reader, read, reader.resource(), nil); err != nil {
		return nil, err
	}
	v, err := s.wanted(&reader)
	if err != nil || len(v.tags) == 0 || r.Header.Get("X-Amz-Tagging-Directive") == "REPLACE" {
		return v, err
	}
	if err := s.authorize(r.Context(), &reader, tags, reader.resource(), nil); err != nil {
		return nil, err
	}
	return v, s.authorize(r.Context(), r, "s3:PutObjectTagging", r.resource(), nil)
}
