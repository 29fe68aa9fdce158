package relay

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// Site is blue as an HTTPS site that somebody else runs.
type Site struct {
	base   *url.URL
	client *http.Client
}

// answerMax is the largest answer a function may give, in bytes; base64 takes
// a third more.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const answerMax = 6 << 20 * 3 / 4

// NewSite returns the site at base. With connect, a DNS name, that is where
// connections go, while the certificate and the Host header stay those of
// base: so a user of blue comes who was led there by DNS.
func NewSite(base, connect string) (*Site, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("site %q: want an https URL", base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 4 // an environment serves one request at a time
	transport.IdleConnTimeout = IdleTimeout
	if connect != "" {
		var d net.Dialer
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return d.DialContext(ctx, network, net.JoinHostPort(connect, port))
		}
	}
	return &Site{base: u, client: &http.Client{
		Transport: transport, Timeout: 29 * time.Second, // API Gateway waits no longer
		// A redirect is the site's answer to the user.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// String implements Blue.
func (s *Site) String() string { return s.base.String() }

// Send implements Blue.
func (s *Site) Send(ctx context.Context, event []byte) ([]byte, error) {
	var in events.APIGatewayProxyRequest
	if err := json.Unmarshal(event, &in); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	request, err := s.request(ctx, in)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", s.base.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", s.base.Host, err)
	}
	if len(body) > answerMax {
		return nil, fmt.Errorf("the answer of %s is larger than a function may return (%d bytes)", s.base.Host, answerMax)
	}
	return encode(proxyAnswer(response, body))
}

func (s *Site) request(ctx context.Context, in events.APIGatewayProxyRequest) (*http.Request, error) {
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return nil, fmt.Errorf("read the event's body: %w", err)
		}
	}
	if in.HTTPMethod == "" {
		return nil, errors.New("read the event: it has no method")
	}
	to, err := below(s.base, in.Path)
	if err != nil {
		return nil, err
	}
	to.RawQuery = url.Values(in.MultiValueQueryStringParameters).Encode()
	request, err := http.NewRequestWithContext(ctx, in.HTTPMethod, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = endToEnd(in.MultiValueHeaders)
	// The transport asks for compression itself and undoes it: a text answer
	// stays a text, which API Gateway passes on as it is.
	request.Header.Del("Accept-Encoding")
	request.Header.Del("Host")
	request.Header.Del("Content-Length")
	return request, nil
}

// endToEnd copies headers without those of one connection.
// https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
func endToEnd(all map[string][]string) http.Header {
	headers := http.Header{}
	for name, values := range all {
		for _, value := range values {
			headers.Add(name, value)
		}
	}
	for _, list := range headers.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			headers.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		headers.Del(name)
	}
	return headers
}

func proxyAnswer(response *http.Response, body []byte) events.APIGatewayProxyResponse {
	headers := endToEnd(response.Header)
	headers.Del("Content-Length") // API Gateway's own
	answer := events.APIGatewayProxyResponse{StatusCode: response.StatusCode, MultiValueHeaders: headers, Body: string(body)}
	if !utf8.Valid(body) {
		answer.Body, answer.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return answer
}
