package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// operation serves one call; a nil body is an empty answer.
type operation func(req *request) (status int, body any, err error)

// request is one API call with what the path says of it.
type request struct {
	*http.Request
	call wire.Call
	ref  reference // zero where the path names no function
	body []byte
}

// decode reads the JSON body. Members that are not known are refused: what
// they would have changed is not implemented.
func (r *request) decode(in any) error {
	if len(bytes.TrimSpace(r.body)) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: %v", err)
	}
	return nil
}

const (
	functions = "/2015-03-31/functions"
	one       = functions + "/{FunctionName}"
)

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, route := range map[string]struct {
		action string // as IAM names it
		serve  operation
	}{
		"POST " + functions:                                                  {"CreateFunction", s.createFunction},
		"GET " + functions:                                                   {"ListFunctions", s.listFunctions},
		"GET " + one:                                                         {"GetFunction", s.getFunction},
		"DELETE " + one:                                                      {"DeleteFunction", s.deleteFunction},
		"GET " + one + "/configuration":                                      {"GetFunctionConfiguration", s.getFunctionConfiguration},
		"PUT " + one + "/configuration":                                      {"UpdateFunctionConfiguration", s.updateFunctionConfiguration},
		"PUT " + one + "/code":                                               {"UpdateFunctionCode", s.updateFunctionCode},
		"POST " + one + "/versions":                                          {"PublishVersion", s.publishVersion},
		"GET " + one + "/versions":                                           {"ListVersionsByFunction", s.listVersions},
		"POST " + one + "/aliases":                                           {"CreateAlias", s.createAlias},
		"GET " + one + "/aliases":                                            {"ListAliases", s.listAliases},
		"GET " + one + "/aliases/{Name}":                                     {"GetAlias", s.getAlias},
		"PUT " + one + "/aliases/{Name}":                                     {"UpdateAlias", s.updateAlias},
		"DELETE " + one + "/aliases/{Name}":                                  {"DeleteAlias", s.deleteAlias},
		"POST " + one + "/policy":                                            {"AddPermission", s.addPermission},
		"GET " + one + "/policy":                                             {"GetPolicy", s.getPolicy},
		"DELETE " + one + "/policy/{StatementId}":                            {"RemovePermission", s.removePermission},
		"PUT /2017-10-31/functions/{FunctionName}/concurrency":               {"PutFunctionConcurrency", s.putConcurrency},
		"DELETE /2017-10-31/functions/{FunctionName}/concurrency":            {"DeleteFunctionConcurrency", s.deleteConcurrency},
		"GET /2019-09-30/functions/{FunctionName}/concurrency":               {"GetFunctionConcurrency", s.getConcurrency},
		"GET /2020-06-30/functions/{FunctionName}/code-signing-config":       {"GetFunctionCodeSigningConfig", s.getCodeSigningConfig},
		"GET /2021-07-20/functions/{FunctionName}/runtime-management-config": {"GetRuntimeManagementConfig", s.getRuntimeManagementConfig},
		"GET /2016-08-19/account-settings":                                   {"GetAccountSettings", s.getAccountSettings},
		"POST /2017-03-31/tags/{Resource}":                                   {"TagResource", s.tagResource},
		"DELETE /2017-03-31/tags/{Resource}":                                 {"UntagResource", s.untagResource},
		"GET /2017-03-31/tags/{Resource}":                                    {"ListTags", s.listTags},
	} {
		serve := s.serve(s.guarded(route.action, route.serve))
		mux.Handle(pattern, serve)
		mux.Handle(pattern+"/{$}", serve)
	}
	mux.HandleFunc("POST "+one+"/invocations", s.invocations)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		call := wire.FromContext(r.Context())
		wire.Unknown(s.options.Log, call, r.Method+" "+r.URL.Path)
		wire.WriteRESTJSONError(w, call, fail(http.StatusNotFound, "UnknownOperationException", "the embedded AWS has no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// read makes a request of an HTTP request.
func read(w http.ResponseWriter, r *http.Request) (*request, error) {
	req := &request{Request: r, call: wire.FromContext(r.Context())}
	var err error
	if req.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxBody)); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, fail(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than %d bytes", wire.MaxBody)
		}
		return nil, fail(http.StatusBadRequest, "InvalidRequestContentException", "%v", err)
	}
	if name := r.PathValue("FunctionName"); name != "" {
		req.ref, err = parseReference(req.call.Region, name, r.URL.Query().Get("Qualifier"))
	}
	return req, err
}

func (s *Service) serve(do operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		call := wire.FromContext(r.Context())
		req, err := read(w, r)
		if err != nil {
			wire.WriteRESTJSONError(w, call, err)
			return
		}
		status, body, err := do(req)
		if err != nil {
			wire.WriteRESTJSONError(w, call, err)
			return
		}
		wire.WriteRESTJSON(w, call, status, body)
	}
}

// page cuts a list as the Marker and MaxItems parameters say.
func page[T any](req *request, all []T, key func(T) string) (items []T, next string, err error) {
	query := req.URL.Query()
	limit := 50
	if text := query.Get("MaxItems"); text != "" {
		if err := json.Unmarshal([]byte(text), &limit); err != nil || limit < 1 {
			return nil, "", constraint("maxItems", text, "Member must have value greater than or equal to 1")
		}
		limit = min(limit, 50)
	}
	if marker := query.Get("Marker"); marker != "" {
		for len(all) > 0 && key(all[0]) != marker {
			all = all[1:]
		}
	}
	if len(all) > limit {
		return all[:limit], key(all[limit]), nil
	}
	return all, "", nil
}
