package s3

import (
	"encoding/xml"
	"net/http"
	"net/url"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// deleted is what came of deleting one object or version.
type deleted struct {
	Key                   string `xml:",omitempty"`
	VersionId             string `xml:",omitempty"` // that the caller named
	DeleteMarker          bool   `xml:",omitempty"`
	DeleteMarkerVersionId string `xml:",omitempty"` // that was made, or removed
}

// erase removes the named version for good, or, where none is named, puts a
// delete marker on a bucket that keeps versions.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectVersions.html
func (s *Service) erase(r *request, key, id string) deleted {
	out := deleted{Key: key, VersionId: id}
	switch {
	case id != "":
		if gone := r.in.remove(key, id); gone != nil && gone.marker {
			out.DeleteMarker, out.DeleteMarkerVersionId = true, id
		}
	case r.in.versioning() == "":
		r.in.remove(key, nullVersion)
	default:
		v := &version{key: key, marker: true}
		s.add(r.in, v, r.call.Now)
		s.replicate(r.in, v, r.call.Now)
		out.DeleteMarker, out.DeleteMarkerVersionId = true, v.id
	}
	return out
}

func (s *Service) deleteObject(r *request) (reply, error) {
	if r.Header.Get("If-Match") != "" {
		if err := r.mayReplace(); err != nil {
			return reply{}, err
		}
	}
	out := s.erase(r, r.key, r.query.Get("versionId"))
	header := http.Header{}
	if out.DeleteMarker {
		header.Set("X-Amz-Delete-Marker", "true")
		header.Set("X-Amz-Version-Id", out.DeleteMarkerVersionId)
	} else if out.VersionId != "" {
		header.Set("X-Amz-Version-Id", out.VersionId)
	}
	return reply{status: http.StatusNoContent, header: header}, nil
}

// mostDeleted is how many one request may name.
const mostDeleted = 1000

// deleteObjects deletes many, each by its own right.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
func (s *Service) deleteObjects(r *request) (reply, error) {
	var in struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []struct{ Key, VersionId string }
	}
	if r.Header.Get("Content-Md5") == "" && len(r.sums) == 0 {
		return reply{}, invalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	if err := decode(r.body, &in); err != nil {
		return reply{}, err
	}
	if len(in.Object) == 0 || len(in.Object) > mostDeleted {
		return reply{}, malformedXML()
	}
	type failure struct {
		Key       string
		VersionId string `xml:",omitempty"`
		Code      string
		Message   string
	}
	var out struct {
		Deleted []deleted
		Error   []failure
	}
	for _, o := range in.Object {
		// Each is asked for as a request of its own would be.
		one := *r
		one.key, one.query = o.Key, url.Values{}
		action := "s3:DeleteObject"
		if o.VersionId != "" {
			action = versioned[action]
			one.query.Set("versionId", o.VersionId)
		}
		if err := s.authorize(r.Context(), &one, action, one.resource(), nil); err != nil {
			e := wire.AsError(err)
			out.Error = append(out.Error, failure{o.Key, o.VersionId, e.Code, e.Message})
			continue
		}
		gone := s.erase(r, o.Key, o.VersionId)
		if !in.Quiet {
			out.Deleted = append(out.Deleted, gone)
		}
	}
	return reply{root: "DeleteResult", body: out}, nil
}
