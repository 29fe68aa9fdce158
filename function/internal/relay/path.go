package relay

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/function/internal/reply"
)

// errAbove refuses a path that some servers take for a step up: an escaped
// slash must go through as it was sent, and what is behind one too.
var errAbove = &reply.Failure{Status: http.StatusBadRequest, Code: "bad_request", Message: "The path leads out of the site."}

// below is the URL of a path below the base and never above it, as a browser
// resolves one below a root. Segments are kept as they were sent, escapes,
// empty ones and all; those that are not escaped as they should be are.
// https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4
func below(base *url.URL, path string) (*url.URL, error) {
	var kept []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			plain, segment = segment, "" // a percent sign that escapes nothing
		}
		switch {
		case plain == "." || plain == "..":
			if plain == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if i == len(segments)-1 {
				kept = append(kept, "")
			}
		case slices.Contains(strings.FieldsFunc(plain, isSlash), ".."):
			return nil, errAbove
		default:
			kept = append(kept, escaped(plain, segment))
		}
	}
	to := *base
	to.RawPath = strings.TrimSuffix(base.EscapedPath(), "/") + "/" + strings.Join(kept, "/")
	to.Path, _ = url.PathUnescape(to.RawPath) // of escapes made or checked above
	return &to, nil
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// escaped is a segment as it was sent, where that is a way to write it.
func escaped(plain, sent string) string {
	if u := (&url.URL{Path: "/" + plain, RawPath: "/" + sent}); sent != "" && u.EscapedPath() == u.RawPath {
		return sent
	}
	return url.PathEscape(plain)
}
