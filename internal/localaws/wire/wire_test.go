package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func TestScope(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, header, query  string
		service, region, key string
		code                 string
	}{
		{name: "header", header: "AWS4-HMAC-SHA256 Credential=AKID/20260301/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=x", service: "dynamodb", region: "eu-west-1", key: "AKID"},
		{name: "query", query: "X-Amz-Credential=AKID%2F20260301%2Fus-east-1%2Fsts%2Faws4_request", service: "sts", region: "us-east-1", key: "AKID"},
		{name: "key with a slash", header: "AWS4-HMAC-SHA256 Credential=A/B/20260301/eu-west-1/s3/aws4_request, Signature=x", service: "s3", region: "eu-west-1", key: "A/B"},
		{name: "none", code: "MissingAuthenticationToken"},
		{name: "other scheme", header: "Bearer abc", code: "IncompleteSignature"},
		{name: "short scope", header: "AWS4-HMAC-SHA256 Credential=AKID/eu-west-1/dynamodb", code: "IncompleteSignature"},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodPost, "/?"+tt.query, nil)
		if tt.header != "" {
			r.Header.Set("Authorization", tt.header)
		}
		service, region, key, err := wire.Scope(r)
		if tt.code != "" {
			if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != tt.code {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
			}
			continue
		}
		if err != nil || service != tt.service || region != tt.region || key != tt.key {
			t.Errorf("%s: %q %q %q, %v", tt.name, service, region, key, err)
		}
	}
}

type in struct {
	Name string `json:"name"`
}

func failing(context.Context, in) (any, error) {
	return nil, fmt.Errorf("outer: %w", &wire.Error{Status: 400, Code: "NoSuchThing", Message: "none", Fields: map[string]any{"Item": "x"}})
}

func serve(t *testing.T, handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{Service: "svc", Region: "r", RequestID: "req-1"})))
	return w
}

func TestErrorsHaveTheirProtocolsShape(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	ops := map[string]wire.Operation{"Fail": wire.Op(failing)}
	post := func(target, path, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	query := wire.Query(log, "urn:x", map[string]func(context.Context, url.Values) (any, error){
		"Fail": func(ctx context.Context, _ url.Values) (any, error) { return failing(ctx, in{}) },
	})
	tests := []struct {
		name    string
		handler http.Handler
		request *http.Request
		status  int
		want    []string
	}{
		{"json", wire.JSONTarget(log, "1.1", ops), post("Svc.Fail", "/", "{}"), 400, []string{`"__type":"NoSuchThing"`, `"message":"none"`, `"Item":"x"`}},
		{"json unknown", wire.JSONTarget(log, "1.1", ops), post("Svc.Other", "/", "{}"), 400, []string{`"__type":"UnknownOperationException"`}},
		{"json garbage", wire.JSONTarget(log, "1.1", ops), post("Svc.Fail", "/", "{"), 400, []string{`"__type":"SerializationException"`}},
		{"query", query, post("", "/", "Action=Fail"), 400, []string{"<ErrorResponse xmlns=\"urn:x\">", "<Code>NoSuchThing</Code>", "<Type>Sender</Type>", "<RequestId>req-1</RequestId>"}},
		{"query unknown", query, post("", "/", "Action=Other"), 400, []string{"<Code>InvalidAction</Code>"}},
	}
	for _, tt := range tests {
		w := serve(t, tt.handler, tt.request)
		if w.Code != tt.status {
			t.Errorf("%s: status %d, want %d", tt.name, w.Code, tt.status)
		}
		for _, want := range tt.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %s lacks %s", tt.name, w.Body, want)
			}
		}
	}
	if got := strings.Count(logged.String(), "not implemented"); got != 2 {
		t.Errorf("%d unknown operations logged, want 2: %s", got, logged.String())
	}
}

func TestCBORErrorsAndTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	handler := wire.CBOR(slog.New(slog.DiscardHandler), map[string]wire.Operation{
		"Fail": wire.Op(failing),
		"Echo": wire.Op(func(_ context.Context, i in) (any, error) { return map[string]any{"name": i.Name, "at": at}, nil }),
	})
	call := func(operation string) (*httptest.ResponseRecorder, map[string]any) {
		body, err := cbor.Marshal(map[string]string{"name": "n"})
		if err != nil {
			t.Fatal(err)
		}
		w := serve(t, handler, httptest.NewRequest(http.MethodPost, "/service/X/operation/"+operation, bytes.NewReader(body)))
		var out map[string]any
		if err := cbor.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return w, out
	}
	w, out := call("Fail")
	if w.Code != 400 || out["__type"] != "NoSuchThing" || w.Header().Get("X-Amzn-Query-Error") != "NoSuchThing;Sender" || w.Header().Get("Smithy-Protocol") != "rpc-v2-cbor" {
		t.Errorf("%d %v %v", w.Code, out, w.Header())
	}
	if _, out := call("Other"); out["__type"] != "UnknownOperationException" {
		t.Errorf("unknown operation: %v", out)
	}
	_, out = call("Echo")
	if got, ok := out["at"].(time.Time); !ok || !got.Equal(at) || out["name"] != "n" {
		t.Errorf("echo %v: a time is CBOR tag 1", out)
	}
}

func TestRefuseSpeaksEveryProtocol(t *testing.T) {
	t.Parallel()
	for protocol, want := range map[wire.Protocol]string{
		wire.JSONProtocol: `"__type":"Expired"`, wire.QueryProtocol: "<Code>Expired</Code>", wire.RESTXMLProtocol: "<Code>Expired</Code>",
		wire.RESTJSONProtocol: `"message":"gone"`, wire.CBORProtocol: "Expired",
	} {
		w := httptest.NewRecorder()
		wire.Refuse(w, wire.Call{}, protocol, wire.Errorf(403, "Expired", "gone"))
		if w.Code != 403 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("protocol %d: %d %q lacks %q", protocol, w.Code, w.Body, want)
		}
		if protocol == wire.RESTJSONProtocol && w.Header().Get("X-Amzn-Errortype") != "Expired" {
			t.Errorf("REST-JSON names the error in a header: %v", w.Header())
		}
	}
	if e := wire.AsError(errors.New("boom")); e.Status != 500 || e.Code != "InternalFailure" {
		t.Errorf("a plain error is %v", e)
	}
}
