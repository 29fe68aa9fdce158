package awsapi_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
)

// A candidate is invoked once: what it did not answer is what the preflight
// counts. What Lambda refused has not run, and may be tried again.
func TestAnInvocationIsTriedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first http.HandlerFunc
		calls int32
		well  bool
	}{
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1, false},
		"a server's trouble": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-ErrorType", "ServiceException")
			w.WriteHeader(http.StatusInternalServerError)
		}, 1, false},
		"throttled": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-ErrorType", "TooManyRequestsException")
			w.WriteHeader(http.StatusTooManyRequests)
		}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					test.first(w, r)
					return
				}
				w.Write([]byte(`{"statusCode":204}`)) // the test's own server
			}))
			defer server.Close()
			clients := ok[*awsapi.Clients](t)(awsapi.Load(t.Context(), config.AWS{EndpointURL: server.URL}))
			status, err := clients.Invoke(t.Context(), greenRegion, "api", "next", "/")
			if got := calls.Load(); got != test.calls || (err == nil) != test.well || test.well && status != http.StatusNoContent {
				t.Errorf("status %d, %v after %d calls, want %d", status, err, got, test.calls)
			}
			if got := clients.InvokePatience(); got != 0 {
				t.Errorf("probe.timeout may be longer than the %v that an answer is waited for", got)
			}
		})
	}
}
