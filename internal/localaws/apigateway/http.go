package apigateway

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// request is one control operation with the lock held and its region's state.
type request struct {
	*http.Request
	call   wire.Call
	region *regional
	body   []byte
	log    *slog.Logger
}

// operation serves one control operation: a status and what to encode.
type operation func(r *request) (status int, body any, err error)

// Handler serves the control plane.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, routes := range []map[string]operation{s.apiRoutes(), s.stageRoutes(), s.domainRoutes()} {
		for pattern, serve := range routes {
			mux.Handle(pattern, s.handle(serve))
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		call := wire.FromContext(r.Context())
		what := r.Method + " " + r.URL.Path
		wire.Unknown(s.options.Log, call, what)
		wire.WriteRESTJSONError(w, call, badRequest("the embedded AWS has no %s", what))
	})
	return mux
}

func (s *Service) handle(serve operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := wire.FromContext(r.Context())
		if !s.admit(call.Now, call.Region) {
			w.Header().Set("Retry-After", "1")
			wire.WriteRESTJSONError(w, call, tooMany())
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxBody))
		if err != nil {
			wire.WriteRESTJSONError(w, call, badRequest("read body: %v", err))
			return
		}
		if err := s.authorize(r, body); err != nil {
			wire.WriteRESTJSONError(w, call, err)
			return
		}
		s.mu.Lock()
		status, answer, err := serve(&request{Request: r, call: call, region: s.region(call.Region), body: body, log: s.options.Log})
		var encoded json.RawMessage
		if err == nil && answer != nil {
			// Encoded under the lock: the answer may share the state's maps.
			encoded, err = json.Marshal(answer)
		}
		s.mu.Unlock()
		switch {
		case err != nil:
			if wire.AsError(err).Status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "1")
			}
			wire.WriteRESTJSONError(w, call, err)
		case answer == nil:
			wire.WriteRESTJSON(w, call, status, nil)
		default:
			wire.WriteRESTJSON(w, call, status, encoded)
		}
	})
}

// decode reads the body and refuses members that are not modelled: one that
// was dropped in silence would be believed to be in force.
func (r *request) decode(into any) error {
	if len(r.body) == 0 {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(r.body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		r.log.Warn("request refused", "service", "apigateway", "region", r.region.name, "operation", r.Method+" "+r.URL.Path, "error", err)
		return badRequest("Invalid request body: %v", err)
	}
	return nil
}

func (r *request) patches() ([]patchOperation, error) {
	var in struct {
		PatchOperations []patchOperation `json:"patchOperations"`
	}
	err := r.decode(&in)
	return in.PatchOperations, err
}

func (r *request) api() (*restAPI, error) { return r.region.api(r.PathValue("api")) }

func (r *request) apiPath(api *restAPI) string { return "/restapis/" + api.id }

func (r *request) stagePath(api *restAPI, name string) string {
	return r.apiPath(api) + "/stages/" + name
}

func (r *request) setTags(path string, tags map[string]string) {
	if len(tags) > 0 {
		r.region.tags[path] = maps.Clone(tags)
	}
}

const (
	pageSize = 25
	maxPage  = 500
)

type page struct {
	Item     []any  `json:"item"`
	Position string `json:"position,omitempty"`
}

// pageOf cuts a list by the limit and position of the request.
func pageOf[T any](r *request, list []T, view func(T) any) (int, any, error) {
	query := r.URL.Query()
	size, from := pageSize, 0
	var err error
	if text := query.Get("limit"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 1 {
			return 0, nil, badRequest("Invalid limit %q", text)
		}
	}
	if text := query.Get("position"); text != "" {
		if from, err = strconv.Atoi(text); err != nil || from < 0 {
			return 0, nil, badRequest("Invalid position parameter specified")
		}
	}
	from = min(from, len(list))
	to := min(from+min(size, maxPage), len(list))
	out := page{Item: []any{}}
	for _, item := range list[from:to] {
		out.Item = append(out.Item, view(item))
	}
	if to < len(list) {
		out.Position = strconv.Itoa(to)
	}
	return http.StatusOK, out, nil
}

// sorted returns a map's values in the order of its keys.
func sorted[T any](m map[string]T) []T {
	var list []T
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[key])
	}
	return list
}
