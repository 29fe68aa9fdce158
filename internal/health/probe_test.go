package health_test

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

func TestAProbeKnowsAShutDoor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status  int
		kind    string
		shutOut bool
	}{
		"by the resource policy":        {403, "AccessDeniedException", true},
		"a name that is not there yet":  {403, "ForbiddenException", false},
		"a path that it does not know":  {403, "MissingAuthenticationTokenException", false},
		"by the application":            {403, "", false},
		"the application's own failure": {500, "AccessDeniedException", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.kind != "" {
					w.Header().Set("x-amzn-errortype", test.kind)
				}
				w.WriteHeader(test.status)
			}))
			t.Cleanup(server.Close)
			host, port, err := net.SplitHostPort(server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			number, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			prober := health.NewHTTPProber(health.Endpoint{Host: host, Port: number, Path: "/healthz", Roots: roots, Timeout: 10 * time.Second})
			answer, err := prober.Get(t.Context())
			_, shutOut := errors.AsType[*health.ShutOutError](err)
			if answer.Status != test.status || err == nil || shutOut != test.shutOut {
				t.Errorf("%+v, %v: shut out %v, want %v", answer, err, shutOut, test.shutOut)
			}
			if got := prober.Probe(t.Context(), 2); got.Failed != 2 || strings.Contains(got.LastError, "allowed_cidr") != test.shutOut {
				t.Errorf("%+v", got)
			}
		})
	}
}
