package s3

import (
	"encoding/xml"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

type bucket struct {
	name    string
	region  string
	created time.Time
	// config is its sub-resources by name ("versioning"), as pointers to the
	// structs that their documents decode into; none where never set.
	config  map[string]any
	policy  string                // "" is none
	objects map[string][]*version // by key, newest first, never empty
	newest  time.Time             // of all versions: each next one is newer
}

func newBucket(name, region string, now time.Time) *bucket {
	b := &bucket{name: name, region: region, created: now, config: map[string]any{}, objects: map[string][]*version{}}
	// Since April 2023: https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html
	on := true
	b.config["publicAccessBlock"] = &publicAccessBlock{BlockPublicAcls: on, IgnorePublicAcls: on, BlockPublicPolicy: on, RestrictPublicBuckets: on}
	b.config["ownershipControls"] = &ownershipControls{Rules: []ownershipRule{{ObjectOwnership: "BucketOwnerEnforced"}}}
	b.config["encryption"] = defaultEncryption()
	return b
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// validName holds the rules for general purpose buckets.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func validName(name string) bool {
	if !bucketName.MatchString(name) || strings.Contains(name, "..") {
		return false
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

func noSuchBucket(name string) *wire.Error {
	e := wire.Errorf(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	e.Fields = map[string]any{"BucketName": name}
	return e
}

func (s *Service) createBucket(r *request) (reply, error) {
	var in struct {
		XMLName            xml.Name `xml:"CreateBucketConfiguration"`
		LocationConstraint string
		Tags               *tagSet `xml:"Tags"`
	}
	if len(r.body) > 0 {
		if err := decode(r.body, &in); err != nil {
			return reply{}, err
		}
	}
	region := r.call.Region
	switch {
	case !validName(r.bucket):
		return reply{}, wire.Errorf(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
	case in.LocationConstraint == "us-east-1":
		return reply{}, wire.Errorf(http.StatusBadRequest, "InvalidLocationConstraint", "The specified location-constraint is not valid")
	case in.LocationConstraint == "" && region != "us-east-1":
		return reply{}, wire.Errorf(http.StatusBadRequest, "IllegalLocationConstraintException", "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.")
	case in.LocationConstraint != "" && in.LocationConstraint != region:
		return reply{}, wire.Errorf(http.StatusBadRequest, "IllegalLocationConstraintException", "The %s location constraint is incompatible for the region specific endpoint this request was sent to.", in.LocationConstraint)
	}
	if err := r.noACL("BucketOwnerEnforced"); err != nil {
		return reply{}, err
	}
	out := reply{header: http.Header{"Location": {"/" + r.bucket}}}
	if old, exists := s.buckets[r.bucket]; exists {
		if region == "us-east-1" && old.region == region {
			return out, nil // legacy behaviour of that region
		}
		return reply{}, wire.Errorf(http.StatusConflict, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	}
	b := newBucket(r.bucket, region, r.call.Now)
	if ownership := r.Header.Get("X-Amz-Object-Ownership"); ownership != "" {
		controls := &ownershipControls{Rules: []ownershipRule{{ObjectOwnership: ownership}}}
		if err := controls.check(); err != nil {
			return reply{}, err
		}
		b.config["ownershipControls"] = controls
	}
	if in.Tags != nil {
		if err := in.Tags.check(50); err != nil {
			return reply{}, err
		}
		b.config["tagging"] = &tagging{TagSet: *in.Tags}
	}
	s.buckets[r.bucket] = b
	return out, nil
}

func (s *Service) deleteBucket(r *request) (reply, error) {
	b := r.in
	for _, u := range s.uploads {
		if u.bucket == b.name {
			delete(s.uploads, u.id) // S3 lets an unfinished upload go with its bucket
		}
	}
	if len(b.objects) > 0 {
		message := "The bucket you tried to delete is not empty"
		if b.versioning() != "" {
			message += ". You must delete all versions in the bucket."
		}
		return reply{}, wire.Errorf(http.StatusConflict, "BucketNotEmpty", "%s", message)
	}
	delete(s.buckets, b.name)
	return reply{status: http.StatusNoContent}, nil
}

func headBucket(r *request) (reply, error) {
	return reply{header: http.Header{"X-Amz-Bucket-Region": {r.in.region}, "X-Amz-Access-Point-Alias": {"false"}}}, nil
}

func bucketLocation(r *request) (reply, error) {
	location := r.in.region
	if location == "us-east-1" {
		location = ""
	}
	return reply{root: "LocationConstraint", body: struct {
		Value string `xml:",chardata"`
	}{location}}, nil
}

type owner struct {
	ID          string
	DisplayName string `xml:",omitempty"`
}

// accountOwner is the canonical user of the one account.
var accountOwner = owner{ID: "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"}

func (s *Service) listBuckets(r *request) (reply, error) {
	type entry struct {
		Name, CreationDate, BucketRegion string
	}
	out := struct {
		Buckets           []entry `xml:"Buckets>Bucket"`
		Owner             owner
		ContinuationToken string `xml:",omitempty"`
		Prefix            string `xml:",omitempty"`
	}{Owner: accountOwner, Prefix: r.query.Get("prefix")}
	most, err := r.number("max-buckets", 10000)
	if err != nil {
		return reply{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		b := s.buckets[name]
		if !strings.HasPrefix(name, out.Prefix) || name <= r.query.Get("continuation-token") || r.query.Has("bucket-region") && r.query.Get("bucket-region") != b.region {
			continue
		}
		if len(out.Buckets) == most {
			out.ContinuationToken = out.Buckets[most-1].Name
			break
		}
		out.Buckets = append(out.Buckets, entry{name, stamp(b.created), b.region})
	}
	return reply{root: "ListAllMyBucketsResult", body: out}, nil
}

// number reads a count from the query: from 0 to most, most if it is not there.
func (r *request) number(name string, most int) (int, error) {
	text := r.query.Get(name)
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, invalidArgument("Provided %s not an integer or within integer range", name)
	}
	return min(n, most), nil
}

// stamp is a time as S3's documents carry it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
