package s3

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// item is one entry of an object listing, as S3's documents have it.
type item struct {
	Key               string
	LastModified      string
	ETag              string
	ChecksumAlgorithm []string `xml:",omitempty"`
	ChecksumType      string   `xml:",omitempty"`
	Size              int
	StorageClass      string
	Owner             *owner `xml:",omitempty"`
}

func itemOf(v *version, name string) item {
	out := item{Key: name, LastModified: stamp(v.modified), ETag: v.etag, Size: len(v.data), StorageClass: "STANDARD", ChecksumType: v.sumType}
	for _, algorithm := range slices.Sorted(maps.Keys(v.sums)) {
		out.ChecksumAlgorithm = append(out.ChecksumAlgorithm, strings.ToUpper(algorithm))
	}
	return out
}

type commonPrefix struct{ Prefix string }

// groups tells the keys from the prefixes they are rolled up to.
type groups struct{ prefix, delimiter string }

// of is the common prefix that stands for the key, "" where the key stands for
// itself; ok is false for a key that is not asked for.
func (g groups) of(key string) (rolled string, ok bool) {
	rest, ok := strings.CutPrefix(key, g.prefix)
	if !ok || g.delimiter == "" {
		return "", ok
	}
	if before, _, found := strings.Cut(rest, g.delimiter); found {
		return g.prefix + before + g.delimiter, true
	}
	return "", true
}

// names encodes names as the caller asked.
func (r *request) names() (encode func(string) string, err error) {
	switch r.query.Get("encoding-type") {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }, nil
	default:
		return nil, invalidArgument("Invalid Encoding Method specified in Request")
	}
}

// listObjects is ListObjectsV2.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
func listObjects(r *request) (reply, error) {
	out := struct {
		Name, Prefix          string
		Delimiter             string `xml:",omitempty"`
		EncodingType          string `xml:",omitempty"`
		StartAfter            string `xml:",omitempty"`
		ContinuationToken     string `xml:",omitempty"`
		NextContinuationToken string `xml:",omitempty"`
		KeyCount, MaxKeys     int
		IsTruncated           bool
		Contents              []item
		CommonPrefixes        []commonPrefix
	}{Name: r.bucket, EncodingType: r.query.Get("encoding-type"), ContinuationToken: r.query.Get("continuation-token")}
	encode, err := r.names()
	if err != nil {
		return reply{}, err
	}
	if r.query.Get("list-type") != "2" {
		return reply{}, invalidArgument("list-type is 2")
	}
	if out.MaxKeys, err = r.number("max-keys", 1000); err != nil {
		return reply{}, err
	}
	after := r.query.Get("start-after")
	if out.ContinuationToken != "" {
		raw, err := base64.URLEncoding.DecodeString(out.ContinuationToken)
		if err != nil {
			return reply{}, invalidArgument("The continuation token provided is incorrect")
		}
		after = string(raw)
	}
	out.Prefix, out.Delimiter, out.StartAfter = encode(r.query.Get("prefix")), encode(r.query.Get("delimiter")), encode(r.query.Get("start-after"))
	grouping := groups{r.query.Get("prefix"), r.query.Get("delimiter")}
	last := ""
	for _, key := range slices.Sorted(maps.Keys(r.in.objects)) {
		v := r.in.current(key)
		rolled, wanted := grouping.of(key)
		name := key
		if rolled != "" {
			name = rolled
		}
		if v == nil || !wanted || name <= after || name == last {
			continue
		}
		if out.KeyCount == out.MaxKeys {
			out.IsTruncated = out.MaxKeys > 0
			break
		}
		out.KeyCount++
		last = name
		if rolled != "" {
			out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{encode(rolled)})
			continue
		}
		one := itemOf(v, encode(key))
		if r.query.Get("fetch-owner") == "true" {
			one.Owner = &accountOwner
		}
		out.Contents = append(out.Contents, one)
	}
	if out.IsTruncated {
		out.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(last))
	}
	return reply{root: "ListBucketResult", body: out}, nil
}

type versionItem struct {
	VersionId string
	IsLatest  bool
	item
}

type markerItem struct {
	Key, VersionId string
	IsLatest       bool
	LastModified   string
	Owner          owner
}

// listVersions is ListObjectVersions.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
func listVersions(r *request) (reply, error) {
	out := struct {
		Name, Prefix        string
		KeyMarker           string
		VersionIdMarker     string
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIdMarker string `xml:",omitempty"`
		Delimiter           string `xml:",omitempty"`
		EncodingType        string `xml:",omitempty"`
		MaxKeys             int
		IsTruncated         bool
		Version             []versionItem
		DeleteMarker        []markerItem
		CommonPrefixes      []commonPrefix
	}{Name: r.bucket, EncodingType: r.query.Get("encoding-type"), VersionIdMarker: r.query.Get("version-id-marker")}
	encode, err := r.names()
	if err != nil {
		return reply{}, err
	}
	if out.MaxKeys, err = r.number("max-keys", 1000); err != nil {
		return reply{}, err
	}
	out.Prefix, out.Delimiter, out.KeyMarker = encode(r.query.Get("prefix")), encode(r.query.Get("delimiter")), encode(r.query.Get("key-marker"))
	grouping, from := groups{r.query.Get("prefix"), r.query.Get("delimiter")}, r.query.Get("key-marker")
	count, last := 0, ""
	for _, key := range slices.Sorted(maps.Keys(r.in.objects)) {
		rolled, wanted := grouping.of(key)
		if !wanted || rolled != "" && (rolled == last || rolled <= from) || key < from {
			continue
		}
		passed := key != from || out.VersionIdMarker != "" && r.in.versionOf(key, out.VersionIdMarker) == nil
		for i, v := range r.in.objects[key] {
			if !passed { // up to the marker itself, all of the key without one
				passed = v.id == out.VersionIdMarker
				continue
			}
			if count == out.MaxKeys {
				out.IsTruncated = out.MaxKeys > 0
				return reply{root: "ListVersionsResult", body: out}, nil
			}
			count++
			out.NextKeyMarker, out.NextVersionIdMarker = encode(key), v.id
			if rolled != "" {
				last, out.NextKeyMarker, out.NextVersionIdMarker = rolled, encode(rolled), ""
				out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{encode(rolled)})
				break
			}
			if v.marker {
				out.DeleteMarker = append(out.DeleteMarker, markerItem{encode(key), v.id, i == 0, stamp(v.modified), accountOwner})
				continue
			}
			one := versionItem{v.id, i == 0, itemOf(v, encode(key))}
			one.Owner = &accountOwner
			out.Version = append(out.Version, one)
		}
	}
	out.NextKeyMarker, out.NextVersionIdMarker = "", ""
	return reply{root: "ListVersionsResult", body: out}, nil
}
