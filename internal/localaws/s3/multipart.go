package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// upload is a multipart upload under way.
type upload struct {
	id, bucket string
	object     *version // without its data
	begun      time.Time
	algorithm  string // of its checksums, "" for S3's own
	parts      map[int]part
}

type part struct {
	data     []byte
	sum      []byte // MD5
	sums     checksums
	modified time.Time
}

func (p part) etag() string { return `"` + hex.EncodeToString(p.sum) + `"` }

// smallestPart is what every part but the last must have, in bytes.
const smallestPart = 5 << 20

func (s *Service) createUpload(r *request) (reply, error) {
	v, err := s.incoming(r)
	if err != nil {
		return reply{}, err
	}
	u := &upload{id: s.token(64), bucket: r.bucket, object: v, begun: r.call.Now, parts: map[int]part{}}
	header := http.Header{}
	if name := r.Header.Get("X-Amz-Checksum-Algorithm"); name != "" {
		at := slices.IndexFunc(algorithms, func(known string) bool { return strings.EqualFold(known, name) })
		if at < 0 {
			return reply{}, invalidRequest("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
		}
		u.algorithm, v.sumType = algorithms[at], "COMPOSITE"
		header.Set("X-Amz-Checksum-Algorithm", strings.ToUpper(u.algorithm))
	}
	switch kind := r.Header.Get("X-Amz-Checksum-Type"); {
	case u.algorithm == "Crc64nvme" && kind == "COMPOSITE", strings.HasPrefix(u.algorithm, "Sha") && kind == "FULL_OBJECT":
		return reply{}, invalidRequest("The %s checksum type cannot be used with the %s checksum algorithm.", kind, strings.ToLower(u.algorithm))
	case kind != "":
		v.sumType = kind
	case u.algorithm == "Crc64nvme":
		v.sumType = "FULL_OBJECT"
	}
	if u.algorithm != "" {
		header.Set("X-Amz-Checksum-Type", v.sumType)
	}
	v.sse.describe(header)
	s.uploads[u.id] = u
	return reply{header: header, root: "InitiateMultipartUploadResult", body: struct{ Bucket, Key, UploadId string }{r.bucket, r.key, u.id}}, nil
}

func (s *Service) uploadOf(r *request) (*upload, error) {
	u, found := s.uploads[r.query.Get("uploadId")]
	if !found || u.bucket != r.bucket || u.object.key != r.key {
		return nil, wire.Errorf(http.StatusNotFound, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
	}
	return u, nil
}

func (s *Service) uploadPart(r *request) (reply, error) {
	u, err := s.uploadOf(r)
	if err != nil {
		return reply{}, err
	}
	number, err := strconv.Atoi(r.query.Get("partNumber"))
	if err != nil || number < 1 || number > 10000 {
		return reply{}, invalidArgument("Part number must be an integer between 1 and 10000, inclusive")
	}
	if err := s.askKey(r.Context(), r, u.object.sse, r.key, "kms:GenerateDataKey", "kms:Decrypt"); err != nil {
		return reply{}, err
	}
	if u.algorithm != "" && u.object.sumType == "COMPOSITE" && r.sums[u.algorithm] == "" {
		return reply{}, invalidRequest("The upload was created using a %s checksum. The complete request must include the checksum for each part.", strings.ToLower(u.algorithm))
	}
	sum := md5.Sum(r.body)
	p := part{data: r.body, sum: sum[:], sums: r.sums, modified: r.call.Now}
	u.parts[number] = p
	header := http.Header{"Etag": {p.etag()}}
	p.sums.describe(header, "")
	header.Del("X-Amz-Checksum-Type")
	u.object.sse.describe(header)
	return reply{header: header}, nil
}

// completion is the body of CompleteMultipartUpload.
type completion struct {
	XMLName xml.Name `xml:"CompleteMultipartUpload"`
	Part    []struct {
		PartNumber                                                                     int
		ETag                                                                           string
		ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256 string
	}
}

// completeUpload makes the object of its parts.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
func (s *Service) completeUpload(r *request) (reply, error) {
	u, err := s.uploadOf(r)
	if err != nil {
		return reply{}, err
	}
	var in completion
	if err := decode(r.body, &in); err != nil {
		return reply{}, err
	}
	if err := r.mayReplace(); err != nil {
		return reply{}, err
	}
	parts, err := u.ordered(in)
	if err != nil {
		return reply{}, err
	}
	v := *u.object
	var sums []byte
	for _, p := range parts {
		v.data = append(v.data, p.data...)
		sums = append(sums, p.sum...)
	}
	if len(v.data) > wire.MaxBody {
		return reply{}, wire.Errorf(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	}
	if v.sums, err = u.checksum(parts, v.data); err != nil {
		return reply{}, err
	}
	for name, value := range v.sums {
		if sent := r.Header.Get(checksumHeader + name); sent != "" && sent != value {
			return reply{}, badDigest(strings.ToUpper(name))
		}
	}
	whole := md5.Sum(sums)
	header, err := s.store(r, &v, fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(whole[:]), len(parts)))
	if err != nil {
		return reply{}, err
	}
	delete(s.uploads, u.id)
	header.Del("Etag")
	return reply{header: header, root: "CompleteMultipartUploadResult", body: struct{ Location, Bucket, Key, ETag string }{
		"https://" + r.bucket + ".s3." + r.in.region + ".amazonaws.com/" + r.key, r.bucket, r.key, v.etag,
	}}, nil
}

// ordered are the parts the caller names, which have to be those that came.
func (u *upload) ordered(in completion) ([]part, error) {
	if len(in.Part) == 0 {
		return nil, malformedXML()
	}
	for i := range in.Part {
		if i > 0 && in.Part[i].PartNumber <= in.Part[i-1].PartNumber {
			return nil, wire.Errorf(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
	}
	var out []part
	for i, named := range in.Part {
		p, found := u.parts[named.PartNumber]
		sent := checksums{"Crc32": named.ChecksumCRC32, "Crc32c": named.ChecksumCRC32C, "Crc64nvme": named.ChecksumCRC64NVME, "Sha1": named.ChecksumSHA1, "Sha256": named.ChecksumSHA256}
		maps.DeleteFunc(sent, func(name, value string) bool { return value == "" || value == p.sums[name] })
		switch {
		case !found, strings.Trim(named.ETag, `"`) != strings.Trim(p.etag(), `"`), len(sent) > 0:
			return nil, wire.Errorf(http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
		case i < len(in.Part)-1 && len(p.data) < smallestPart:
			return nil, wire.Errorf(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		out = append(out, p)
	}
	return out, nil
}

// checksum is the object's: of the whole, or of the parts' own.
func (u *upload) checksum(parts []part, data []byte) (checksums, error) {
	algorithm := u.algorithm
	if algorithm == "" {
		algorithm = "Crc64nvme"
	}
	if u.object.sumType == "FULL_OBJECT" {
		return checksums{algorithm: checksumOf(algorithm, data)}, nil
	}
	h := newHash(algorithm)
	for _, p := range parts {
		raw, err := base64.StdEncoding.DecodeString(p.sums[algorithm])
		if err != nil {
			return nil, badDigest(strings.ToUpper(algorithm))
		}
		h.Write(raw)
	}
	return checksums{algorithm: fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(h.Sum(nil)), len(parts))}, nil
}

func (s *Service) abortUpload(r *request) (reply, error) {
	u, err := s.uploadOf(r)
	if err != nil {
		return reply{}, err
	}
	delete(s.uploads, u.id)
	return reply{status: http.StatusNoContent}, nil
}

func (s *Service) listParts(r *request) (reply, error) {
	u, err := s.uploadOf(r)
	if err != nil {
		return reply{}, err
	}
	type entry struct {
		PartNumber         int
		ETag, LastModified string
		Size               int
	}
	out := struct {
		Bucket, Key, UploadId string
		Initiator, Owner      owner
		StorageClass          string
		PartNumberMarker      int
		NextPartNumberMarker  int
		MaxParts              int
		IsTruncated           bool
		Part                  []entry
	}{Bucket: r.bucket, Key: r.key, UploadId: u.id, Initiator: accountOwner, Owner: accountOwner, StorageClass: "STANDARD"}
	if out.MaxParts, err = r.number("max-parts", 1000); err != nil {
		return reply{}, err
	}
	if r.query.Has("part-number-marker") {
		if out.PartNumberMarker, err = r.number("part-number-marker", 10000); err != nil {
			return reply{}, err
		}
	}
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		if number <= out.PartNumberMarker {
			continue
		}
		if len(out.Part) == out.MaxParts {
			out.IsTruncated = true
			break
		}
		p := u.parts[number]
		out.Part = append(out.Part, entry{number, p.etag(), stamp(p.modified), len(p.data)})
		out.NextPartNumberMarker = number
	}
	return reply{root: "ListPartsResult", body: out}, nil
}

func (s *Service) listUploads(r *request) (reply, error) {
	type entry struct {
		Key, UploadId    string
		Initiator, Owner owner
		StorageClass     string
		Initiated        string
	}
	out := struct {
		Bucket, Prefix string
		MaxUploads     int
		IsTruncated    bool
		Upload         []entry
	}{Bucket: r.bucket, Prefix: r.query.Get("prefix"), MaxUploads: 1000}
	for _, u := range s.uploads {
		if u.bucket == r.bucket && strings.HasPrefix(u.object.key, out.Prefix) {
			out.Upload = append(out.Upload, entry{u.object.key, u.id, accountOwner, accountOwner, "STANDARD", stamp(u.begun)})
		}
	}
	slices.SortFunc(out.Upload, func(a, b entry) int {
		return strings.Compare(a.Key+a.Initiated+a.UploadId, b.Key+b.Initiated+b.UploadId)
	})
	if len(out.Upload) > out.MaxUploads {
		return reply{}, notImplemented("second page of %d uploads", len(out.Upload))
	}
	return reply{root: "ListMultipartUploadsResult", body: out}, nil
}
