package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Endpoint is one region's front door as tapctl's own requests reach it: the
// per-region name is resolved and dialled, and its certificate verified.
type Endpoint struct {
	Host    string // per-region name: eu-central-1.api.example.com
	Port    int
	Path    string
	Roots   *x509.CertPool // nil: the system's
	Timeout time.Duration  // of one request, real time
	// Resolve answers the host's address; nil asks the system.
	Resolve func(ctx context.Context, host string) (string, error)
}

// HTTPProber sends GET requests to an endpoint and tells canary and base side
// apart by the headers of the answer.
type HTTPProber struct {
	endpoint Endpoint
	client   *http.Client
}

// NewHTTPProber returns a prober that keeps its connections.
func NewHTTPProber(e Endpoint) *HTTPProber {
	dialer := &net.Dialer{Timeout: e.Timeout}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: e.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if e.Resolve != nil {
				if host, err = e.Resolve(ctx, host); err != nil {
					return nil, err
				}
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
		},
	}
	return &HTTPProber{endpoint: e, client: &http.Client{
		Transport: transport, Timeout: e.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Answer is one probe's answer.
type Answer struct {
	Status  int
	Version string
	Side    string // blue | green
	Alias   string // live | next
	Via     string // "forward" where the forwarder handed it on
}

// Canary is true where green's candidate answered.
func (a Answer) Canary() bool { return a.Alias == "next" && a.Via == "" }

// WellAnswered tells whether a probe with this HTTP status was answered well, as
// Route 53's health checkers have it: 2xx and 3xx. Everything that probes asks
// here, so that no probe passes what another refuses.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
func WellAnswered(status int) bool { return status >= 200 && status < 400 }

// Get sends one request and follows no redirect: where it leads to is another's
// answer. It is an error where it was not WellAnswered.
func (p *HTTPProber) Get(ctx context.Context) (Answer, error) {
	url := fmt.Sprintf("https://%s%s", net.JoinHostPort(p.endpoint.Host, fmt.Sprint(p.endpoint.Port)), p.endpoint.Path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, err
	}
	request.Host = p.endpoint.Host // API Gateway knows names, not ports
	response, err := p.client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	// Read to the end, so that the connection is used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return Answer{}, err
	}
	h := response.Header
	answer := Answer{response.StatusCode, h.Get("X-Tapctl-Version"), h.Get("X-Tapctl-Side"), h.Get("X-Tapctl-Alias"), h.Get("X-Tapctl-Via")}
	if response.StatusCode == http.StatusForbidden && h.Get("X-Amzn-Errortype") == shutOut {
		return answer, &ShutOutError{url}
	}
	if !WellAnswered(response.StatusCode) {
		return answer, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return answer, nil
}

// shutOut is the kind of error with which API Gateway refuses a caller whom
// the API's resource policy does not let in. A name or path that it does not
// know, which may pass, is another.
// https://repost.aws/knowledge-center/api-gateway-troubleshoot-403-forbidden
const shutOut = "AccessDeniedException"

// ShutOutError is a request that no code of ours has seen: the API's resource
// policy refused it.
type ShutOutError struct{ URL string }

// Error implements error.
func (e *ShutOutError) Error() string {
	return "GET " + e.URL + ": 403 Forbidden by API Gateway: allowed_cidr does not have the address that this machine is seen with"
}

// BadCertificate tells that a request failed for the endpoint's certificate:
// an untrusted chain, or a name that is not in it.
func BadCertificate(err error) bool {
	_, bad := errors.AsType[*tls.CertificateVerificationError](err)
	return bad
}

// Probe implements Prober: the requests go out together.
func (p *HTTPProber) Probe(ctx context.Context, requests int) ProbeCount {
	var mu sync.Mutex
	var wait sync.WaitGroup
	count := ProbeCount{Sent: requests}
	for range requests {
		wait.Go(func() {
			answer, err := p.Get(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				count.Failed++
				count.LastError = err.Error()
			case answer.Canary():
				count.Canary++
			default:
				count.Base++
			}
		})
	}
	wait.Wait()
	return count
}

var _ Prober = (*HTTPProber)(nil)
