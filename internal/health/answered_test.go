package health_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

// TestProbesAreAnsweredWellAlike: 2xx and 3xx are well, as Route 53's checkers
// have it, and a redirect is green's own answer.
func TestProbesAreAnsweredWellAlike(t *testing.T) {
	t.Parallel()
	for status, well := range map[int]bool{200: true, 204: true, 302: true, 399: true, 400: false, 403: false, 404: false, 500: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/healthz" {
					t.Errorf("followed to %s", r.URL)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}))
			t.Cleanup(server.Close)
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			_, port, err := net.SplitHostPort(server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			number, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			prober := health.NewHTTPProber(health.Endpoint{Host: "127.0.0.1", Port: number, Path: "/healthz", Roots: roots, Timeout: 10 * time.Second})
			if got := prober.Probe(t.Context(), 3); got.Failed == 0 != well || got.Sent != 3 {
				t.Errorf("%+v, well answered: %v", got, well)
			}
		})
	}
}
