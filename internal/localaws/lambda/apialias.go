package lambda

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// aliasConfiguration is the AliasConfiguration of Lambda's model.
type aliasConfiguration struct {
	AliasArn, Name, FunctionVersion, Description, RevisionId string
	RoutingConfig                                            *routingConfig `json:",omitempty"`
}

func aliasOf(r reference, a alias) aliasConfiguration {
	out := aliasConfiguration{
		AliasArn: reference{r.Region, r.Name, a.Name}.arn(), Name: a.Name, FunctionVersion: a.Version,
		Description: a.Description, RevisionId: a.RevisionID,
	}
	if len(a.Weights) > 0 {
		out.RoutingConfig = &routingConfig{a.Weights}
	}
	return out
}

func (s *Service) createAlias(req *request) (int, any, error) {
	return s.putAlias(req, true, http.StatusCreated)
}

func (s *Service) updateAlias(req *request) (int, any, error) {
	return s.putAlias(req, false, http.StatusOK)
}

func (s *Service) putAlias(req *request, create bool, status int) (int, any, error) {
	var in aliasInput
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	r := reference{req.ref.Region, req.ref.Name, req.PathValue("Name")}
	if create {
		if in.Name == nil {
			return 0, nil, constraint("name", "null", "Member must not be null")
		}
		r.Qualifier = *in.Name
	}
	a, err := s.store.putAlias(r, in, create)
	if err != nil {
		return 0, nil, err
	}
	return status, aliasOf(r, a), nil
}

func (s *Service) getAlias(req *request) (int, any, error) {
	r := reference{req.ref.Region, req.ref.Name, req.PathValue("Name")}
	a, err := s.store.alias(r)
	return http.StatusOK, aliasOf(r, a), err
}

func (s *Service) deleteAlias(req *request) (int, any, error) {
	return http.StatusNoContent, nil, s.store.deleteAlias(reference{req.ref.Region, req.ref.Name, req.PathValue("Name")})
}

func (s *Service) listAliases(req *request) (int, any, error) {
	all, err := s.store.aliases(req.ref, req.URL.Query().Get("FunctionVersion"))
	if err != nil {
		return 0, nil, err
	}
	items, next, err := page(req, all, func(a alias) string { return a.Name })
	out := make([]aliasConfiguration, 0, len(items))
	for _, a := range items {
		out = append(out, aliasOf(req.ref, a))
	}
	return http.StatusOK, map[string]any{"Aliases": out, "NextMarker": optional(next)}, err
}

func (s *Service) addPermission(req *request) (int, any, error) {
	var in permissionInput
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	p, err := s.store.addPermission(req.ref, in)
	if err != nil {
		return 0, nil, err
	}
	statement, err := json.Marshal(p.statement())
	return http.StatusCreated, map[string]string{"Statement": string(statement)}, err
}

func (s *Service) removePermission(req *request) (int, any, error) {
	return http.StatusNoContent, nil, s.store.removePermission(req.ref, req.PathValue("StatementId"), req.URL.Query().Get("RevisionId"))
}

func (s *Service) getPolicy(req *request) (int, any, error) {
	document, revision, err := s.store.policy(req.ref)
	return http.StatusOK, map[string]string{"Policy": document, "RevisionId": revision}, err
}

// invocations serves Invoke, whose payload and answer are not Lambda's JSON.
func (s *Service) invocations(w http.ResponseWriter, r *http.Request) {
	call := wire.FromContext(r.Context())
	req, err := read(w, r)
	if err != nil {
		wire.WriteRESTJSONError(w, call, err)
		return
	}
	out, err := s.invocation(req)
	if err != nil {
		if wire.AsError(err).Status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		wire.WriteRESTJSONError(w, call, err)
		return
	}
	h := w.Header()
	h.Set("X-Amzn-Requestid", call.RequestID)
	h.Set("X-Amz-Executed-Version", out.version)
	if r.Header.Get("X-Amz-Invocation-Type") == "DryRun" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.Set("Content-Type", "application/json")
	if out.functionError != "" {
		h.Set("X-Amz-Function-Error", out.functionError)
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		h.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(out.logTail))
	}
	w.Write(out.payload) // Non-fatal: the caller has gone.
}

func (s *Service) invocation(req *request) (result, error) {
	if err := s.ask(req, "lambda:InvokeFunction", req.ref.arn(), nil); err != nil {
		return result{}, err
	}
	for _, header := range []string{"X-Amz-Durable-Execution-Name", "X-Amz-Tenant-Id"} {
		if req.Header.Get(header) != "" {
			wire.Unknown(s.options.Log, req.call, "Invoke with "+header)
			return result{}, invalid("the embedded AWS does not implement %s", header)
		}
	}
	switch kind := req.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
	case "DryRun":
		t, err := s.resolve(req.ref, req.call.Now)
		if err != nil {
			return result{}, err
		}
		return result{version: t.release.Version}, nil
	default:
		wire.Unknown(s.options.Log, req.call, fmt.Sprintf("Invoke with InvocationType %q", kind))
		return result{}, invalid("the embedded AWS does not implement the invocation type %q", kind)
	}
	clientContext, err := base64.StdEncoding.DecodeString(req.Header.Get("X-Amz-Client-Context"))
	if err != nil {
		return result{}, fail(http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
	}
	if len(req.body) > 0 && !json.Valid(req.body) {
		return result{}, fail(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: Could not parse payload into json")
	}
	payload := req.body
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	return s.invoke(req.Context(), req.ref, req.call.RequestID, string(clientContext), payload)
}
