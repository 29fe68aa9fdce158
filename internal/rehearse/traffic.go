// Package rehearse runs a deployment, a shift and a failure against the
// embedded AWS under live traffic, and scores what the users met. It is a
// user: it sees DNS answers and HTTP answers, nothing else.
package rehearse

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/clock"
)

// Target is what the clients call.
type Target struct {
	Host      string // public name
	DNSServer string
	Port      int
	Roots     *x509.CertPool
	Clock     clock.Clock // TTLs and connection lifetimes are in its time
}

// Load is how much they call. Rates are per second of real time: the embedded
// AWS answers in real milliseconds.
type Load struct {
	Clients int
	Rate    float64 // requests per second, all clients together
	Seed    uint64
	Name    string // of the scenario: marks the items its clients write
	// ConnectionLife is how long a client keeps a connection, in the clock's
	// time, whatever DNS says meanwhile.
	ConnectionLife time.Duration
}

// Request is what one request met.
type Request struct {
	At      time.Time // sent, by the clock
	Took    time.Duration
	Address string // front door that was dialled
	Status  int    // 0: no answer
	Side    string // who answered, by its own header
	Alias   string
	Err     string
}

// Failed is true for what a user would call an error.
func (r Request) Failed() bool { return r.Err != "" || r.Status >= 400 }

// requestTimeout is a user's patience, real time.
const requestTimeout = 15 * time.Second

// client is one user: one address until its TTL ends, one connection until its
// life ends.
type client struct {
	target Target
	life   time.Duration
	rng    *rand.Rand
	name   string

	address  string
	expires  time.Time
	http     *http.Client
	dialled  string
	connects time.Time
	sent     int
}

// address asks DNS when the last answer's TTL has passed.
func (c *client) resolve(ctx context.Context) (string, error) {
	if c.address != "" && c.target.Clock.Now().Before(c.expires) {
		return c.address, nil
	}
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(c.target.Host), dns.TypeA)
	answer, _, err := (&dns.Client{Timeout: 2 * time.Second}).ExchangeContext(ctx, query, c.target.DNSServer)
	if err != nil {
		return "", fmt.Errorf("dns: %w", err)
	}
	for _, record := range answer.Answer {
		if a, ok := record.(*dns.A); ok {
			c.address = a.A.String()
			c.expires = c.target.Clock.Now().Add(time.Duration(a.Hdr.Ttl) * time.Second)
			return c.address, nil
		}
	}
	return "", errors.New("dns: no address for " + c.target.Host)
}

// connect keeps the connection for its life, like any pool does, and dials the
// address of the day after it.
func (c *client) connect(ctx context.Context) error {
	now := c.target.Clock.Now()
	if c.http != nil && now.Sub(c.connects) < c.life {
		return nil
	}
	address, err := c.resolve(ctx)
	if err != nil {
		return err
	}
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	c.http = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.target.Roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, net.JoinHostPort(address, strconv.Itoa(c.target.Port)))
		},
		ForceAttemptHTTP2: true,
	}}
	c.dialled, c.connects = address, now
	return nil
}

// send makes the client's next request: reads mostly, and writes.
func (c *client) send(ctx context.Context) Request {
	c.sent++
	r := Request{At: c.target.Clock.Now()}
	began := (clock.Real{}).Now()
	err := c.connect(ctx)
	if err == nil {
		r.Address = c.dialled
		err = c.do(ctx, &r)
	}
	if err != nil {
		r.Err = err.Error()
	}
	r.Took = (clock.Real{}).Now().Sub(began)
	return r
}

func (c *client) do(ctx context.Context, r *Request) error {
	method, path, body := http.MethodGet, "/items/seed-"+strconv.Itoa(c.rng.IntN(SeedItems)), []byte(nil)
	switch c.rng.IntN(10) {
	case 0, 1:
		method, path = http.MethodPost, "/items"
		body = fmt.Appendf(nil, `{"id":"%s-%d","note":"rehearsal"}`, c.name, c.sent)
	case 2:
		path = "/items?limit=5"
	}
	response, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	r.Status, r.Side, r.Alias = response.StatusCode, response.Header.Get("X-Tapctl-Side"), response.Header.Get("X-Tapctl-Alias")
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// request asks the public name on the connection of the day.
func (c *client) request(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	url := "https://" + net.JoinHostPort(c.target.Host, strconv.Itoa(c.target.Port)) + path
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Host = c.target.Host
	request.Header.Set("Content-Type", "application/json")
	return c.http.Do(request)
}

// SeedItems is how many items exist before the traffic begins.
const SeedItems = 20

// Seed creates the items that clients read, through the public name.
func Seed(ctx context.Context, target Target) error {
	c := &client{target: target, life: time.Hour, rng: rand.New(rand.NewPCG(1, 1))}
	if err := c.connect(ctx); err != nil {
		return fmt.Errorf("seed items: %w", err)
	}
	for i := range SeedItems {
		body := fmt.Appendf(nil, `{"id":"seed-%d","note":"seeded"}`, i)
		response, err := c.request(ctx, http.MethodPost, "/items", body)
		if err != nil {
			return fmt.Errorf("seed items: %w", err)
		}
		response.Body.Close() // Non-fatal: the status is what counts.
		if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
			return fmt.Errorf("seed items: POST /items: %s", response.Status)
		}
	}
	return nil
}

// Users are clients that call until they are stopped.
type Users struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	log     []Request
}

// StartUsers lets the clients call. Their requests under way finish when they
// are stopped.
func StartUsers(ctx context.Context, target Target, load Load) *Users {
	ctx, cancel := context.WithCancel(ctx)
	u := &Users{cancel: cancel}
	gap := time.Duration(float64(load.Clients) / load.Rate * float64(time.Second))
	for number := range load.Clients {
		c := &client{target: target, life: load.ConnectionLife, name: fmt.Sprintf("%s-%d", load.Name, number), rng: rand.New(rand.NewPCG(load.Seed, uint64(number)))}
		u.running.Go(func() {
			// Spread over one gap, so that the clients do not call in step.
			pause := time.Duration(float64(gap) * c.rng.Float64())
			for (clock.Real{}).Sleep(ctx, pause) == nil {
				r := c.send(context.WithoutCancel(ctx))
				u.mu.Lock()
				u.log = append(u.log, r)
				u.mu.Unlock()
				pause = gap - r.Took
			}
		})
	}
	return u
}

// Stop waits for requests under way.
func (u *Users) Stop() {
	u.cancel()
	u.running.Wait()
}

// Requests returns what has been met so far.
func (u *Users) Requests() []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Request(nil), u.log...)
}
