package relay_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/function/internal/relay"
	"github.com/tapctl/tapctl/function/internal/reply"
)

// old is a site that somebody else runs, and a relay to it.
func old(t *testing.T, base, connect string, serve http.HandlerFunc) (*relay.Handler, *httptest.Server) {
	t.Helper()
	server := httptest.NewTLSServer(serve)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = base
	if connect != "" {
		connect, u.Host = u.Hostname(), connect+":"+u.Port()
	}
	site, err := relay.NewSite(u.String(), connect)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	site.Transport().TLSClientConfig = &tls.Config{RootCAs: roots}
	return &relay.Handler{
		Identity: reply.Identity{Version: "v2", Region: "eu-central-1", Side: "green"},
		Blue:     site, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now,
	}, server
}

func send(t *testing.T, h *relay.Handler, event events.APIGatewayProxyRequest) events.APIGatewayProxyResponse {
	t.Helper()
	encoded, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := h.Invoke(t.Context(), encoded)
	if err != nil {
		t.Fatal(err)
	}
	var got events.APIGatewayProxyResponse
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSiteSeesTheRequest(t *testing.T) {
	t.Parallel()
	type seen struct {
		Line, Host, Body string
		Header           map[string][]string
	}
	var got seen
	h, _ := old(t, "/base", "", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Header.Del("User-Agent")
		got = seen{r.Method + " " + r.RequestURI, r.Host, string(body), maps.Clone(r.Header)}
	})
	answer := send(t, h, events.APIGatewayProxyRequest{
		HTTPMethod: "POST", Path: "/a b/c/", Body: base64.StdEncoding.EncodeToString([]byte("hi\xff")), IsBase64Encoded: true,
		MultiValueQueryStringParameters: map[string][]string{"q": {"1", "&"}},
		MultiValueHeaders: map[string][]string{
			"X-Many": {"a", "b"}, "Host": {"api.example.com"}, "X-Forwarded-For": {"203.0.113.9"}, "Cookie": {"c=1"},
			"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Te": {"trailers"}, "Content-Length": {"99"},
		},
	})
	if answer.StatusCode != 200 {
		t.Fatalf("%+v", answer)
	}
	want := seen{"POST /base/a%20b/c/?q=1&q=%26", got.Host, "hi\xff", map[string][]string{
		"X-Many": {"a", "b"}, "X-Forwarded-For": {"203.0.113.9"}, "Cookie": {"c=1"}, "Content-Length": {"3"}, "Accept-Encoding": {"gzip"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(got.Host, "example.com") {
		t.Errorf("the site was asked as %s", got.Host)
	}
}

func TestSiteAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		serve http.HandlerFunc
		want  events.APIGatewayProxyResponse
	}{
		"text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "grüße") // the test's own server
		}, events.APIGatewayProxyResponse{StatusCode: 418, MultiValueHeaders: map[string][]string{"Set-Cookie": {"a=1", "b=2"}}, Body: "grüße"}},
		"bytes": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0}) }, // the test's own server
			events.APIGatewayProxyResponse{StatusCode: 200, Body: "/wA=", IsBase64Encoded: true}},
		"a redirect is the user's to follow": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) },
			events.APIGatewayProxyResponse{StatusCode: 303, MultiValueHeaders: map[string][]string{"Location": {"/elsewhere"}}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := old(t, "", "", tt.serve)
			got := send(t, h, events.APIGatewayProxyRequest{HTTPMethod: "PUT", Path: "/"})
			if got.Headers["X-Tapctl-Via"] != "forward" {
				t.Errorf("headers %v do not say the answer was relayed", got.Headers)
			}
			got.Headers = nil
			delete(got.MultiValueHeaders, "Date")
			delete(got.MultiValueHeaders, "Content-Type")
			if len(got.MultiValueHeaders) == 0 {
				got.MultiValueHeaders = nil
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A page of a site grows by its escaped quotes at most.
func TestSitesPageStaysAsLargeAsItIs(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("<&>", 1000)
	h, _ := old(t, "", "", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) }) // the test's own server
	payload, err := h.Blue.Send(t.Context(), []byte(`{"httpMethod":"GET","path":"/"}`))
	if err != nil || !strings.Contains(string(payload), page) {
		t.Errorf("%v: %.80s", err, payload)
	}
}

// A connection that is older than servers keep one is not used again: what is
// no GET would fail on it.
func TestSiteForgetsIdleConnections(t *testing.T) {
	t.Parallel()
	site, err := relay.NewSite("https://old.example.net", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := site.Transport().IdleConnTimeout; got <= 0 || got >= 5*time.Second {
		t.Errorf("connections are kept for %v", got)
	}
}

// A connection that broke may have reached the site: only what may run twice
// is sent again.
func TestSiteTries(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]struct{ status, calls int }{"GET": {200, 2}, "POST": {502, 1}} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			calls := 0
			h, _ := old(t, "", "", func(http.ResponseWriter, *http.Request) {
				if calls++; calls == 1 {
					panic(http.ErrAbortHandler)
				}
			})
			got := send(t, h, events.APIGatewayProxyRequest{HTTPMethod: method, Path: "/", Body: "x"})
			if got.StatusCode != want.status || calls != want.calls {
				t.Errorf("status %d after %d calls, want %+v", got.StatusCode, calls, want)
			}
		})
	}
}

func TestSiteThatIsGone(t *testing.T) {
	t.Parallel()
	h, server := old(t, "", "", func(http.ResponseWriter, *http.Request) {})
	server.Close()
	if got := send(t, h, events.APIGatewayProxyRequest{HTTPMethod: "POST", Path: "/"}); got.StatusCode != 502 || strings.Contains(got.Body, server.URL) {
		t.Errorf("%+v", got)
	}
}

func TestAnswerThatIsTooLarge(t *testing.T) {
	t.Parallel()
	h, _ := old(t, "", "", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 5<<20)) // the test's own server
	})
	if got := send(t, h, events.APIGatewayProxyRequest{HTTPMethod: "POST", Path: "/"}); got.StatusCode != 502 {
		t.Errorf("status %d", got.StatusCode)
	}
}

// A user of blue is led to its address by DNS and asks there for the public
// name; so does the forwarder, by the alias target.
func TestSiteByAlias(t *testing.T) {
	t.Parallel()
	host := ""
	// example.com is a name of httptest's certificate, and not of its address.
	h, _ := old(t, "", "example.com", func(_ http.ResponseWriter, r *http.Request) { host = r.Host + " " + r.TLS.ServerName })
	if got := send(t, h, events.APIGatewayProxyRequest{HTTPMethod: "GET", Path: "/"}); got.StatusCode != 200 {
		t.Fatalf("%+v", got)
	}
	if !strings.HasPrefix(host, "example.com:") || !strings.HasSuffix(host, " example.com") {
		t.Errorf("asked as %q", host)
	}
}

func TestNewSite(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "http://old.example.net", "old.example.net", "https://"} {
		if _, err := relay.NewSite(bad, ""); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// The site below the base is all that a request reaches, however its path is
// written; what is no step up goes through as it was sent.
func TestSiteStaysBelowItsBase(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/../admin":            "/base/admin",
		"/a/../../../admin":    "/base/admin",
		"/%2e%2E/admin":        "/base/admin",
		"/./a/%2e/b":           "/base/a/b",
		"/a/..":                "/base/",
		"/..":                  "/base/",
		"..":                   "/base/",
		"/..%2fadmin":          "", // a step up for whoever decodes it: refused
		"/a%2F..%2F..%2Fadmin": "",
		`/..\admin`:            "",
		"/%2e%2e%5cadmin":      "",
		"":                     "/base/",
		"/":                    "/base/",
		"/a":                   "/base/a",
		"/a/":                  "/base/a/",
		"/a//b":                "/base/a//b",
		"//other.example/a":    "/base//other.example/a",
		"/a%2Fb":               "/base/a%2Fb",
		"/a%2fb c/%20":         "/base/a%2Fb%20c/%20",
		"/100%":                "/base/100%25",
		"/grüße":               "/base/gr%C3%BC%C3%9Fe",
		"/...":                 "/base/...",
		"/..a/b..":             "/base/..a/b..",
		"/a;v=1,2:3@4":         "/base/a;v=1,2:3@4",
		"/a?b#c":               "/base/a%3Fb%23c",
	} {
		for _, base := range []string{"/base", "/base/"} {
			got := ""
			h, _ := old(t, base, "", func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
			answer := send(t, h, events.APIGatewayProxyRequest{HTTPMethod: "GET", Path: path})
			status := map[bool]int{true: http.StatusBadRequest, false: http.StatusOK}[want == ""]
			if got != want || answer.StatusCode != status {
				t.Errorf("%q below %s: asked for %q and answered %d, want %q and %d", path, base, got, answer.StatusCode, want, status)
			}
		}
	}
	for _, base := range []string{"", "/"} { // the whole site
		got := ""
		h, _ := old(t, base, "", func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
		if send(t, h, events.APIGatewayProxyRequest{HTTPMethod: "GET", Path: "/../a%2Fb/"}); got != "/a%2Fb/" {
			t.Errorf("below %q: asked for %q", base, got)
		}
	}
}
