package route53

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
)

// The patience of a checker is real time: real sockets answer in it.
const (
	connectTimeout = 4 * time.Second
	answerTimeout  = 2 * time.Second
)

// The rest is the embedded AWS's time.
const (
	alarmInterval   = 10 * time.Second
	publishInterval = time.Minute
	idleInterval    = time.Second
)

// healthRegion is the only region that carries health check metrics.
const healthRegion = "us-east-1"

// Run checks endpoints and alarms until the context ends. One checker stands
// for AWS's crowd of them, so a status needs no vote.
func (s *Service) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait()
	for {
		for _, p := range s.due(s.options.Clock.Now()) {
			probes.Go(func() {
				err := s.probe(ctx, p.config)
				if ctx.Err() == nil {
					s.observe(s.options.Clock.Now(), p.id, err)
				}
			})
		}
		s.publish(s.options.Clock.Now())
		if err := s.options.Clock.Sleep(ctx, idleInterval); err != nil {
			return nil // the end of the context is the end of the work
		}
	}
}

// due evaluates the alarms that are due and returns copies of the endpoint
// checks that are; those stay in flight until observe.
func (s *Service) due(now time.Time) []*healthCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	var endpoints []*healthCheck
	for _, check := range s.checks {
		if now.Before(check.nextAt) || check.inFlight {
			continue
		}
		switch check.config.Type {
		case typeAlarm:
			check.nextAt = now.Add(alarmInterval)
			check.followAlarm(now)
		case typeHTTP, typeHTTPS:
			check.nextAt = now.Add(time.Duration(*check.config.RequestInterval) * time.Second)
			if !isTrue(check.config.Disabled) {
				check.inFlight = true
				endpoints = append(endpoints, check.clone())
			}
		}
	}
	return endpoints
}

// followAlarm takes the status from the alarm's stream of data, never from
// the alarm's state: SetAlarmState cannot trip a health check.
func (c *healthCheck) followAlarm(now time.Time) {
	c.checkedAt = now
	breaching, hasData := c.eval(now)
	switch {
	case hasData:
		c.up = !breaching
	case c.config.InsufficientDataHealthStatus == insufficientHealthy:
		c.up = true
	case c.config.InsufficientDataHealthStatus == insufficientUnhealthy:
		c.up = false
	}
	c.reason = "Success: alarm is OK"
	if !c.up {
		c.reason = "Failure: alarm is breaching or has no data"
	}
}

// observe folds one probe into the check: the status turns only after
// FailureThreshold results in a row say so, in both directions.
func (s *Service) observe(now time.Time, id string, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	check, ok := s.checks[id]
	if !ok {
		return
	}
	check.inFlight = false
	check.checkedAt = now
	check.reason = "Success: HTTP Status Code 200, OK"
	if failure != nil {
		check.reason = "Failure: " + failure.Error()
	}
	if (failure == nil) == check.up {
		check.streak = 0
		return
	}
	if check.streak++; check.streak >= int(*check.config.FailureThreshold) {
		check.up = failure == nil
		check.streak = 0
	}
}

// publish records the status metrics of every check once a minute.
func (s *Service) publish(now time.Time) {
	if s.options.Metrics == nil {
		return
	}
	type point struct {
		id       string
		endpoint bool
		value    float64
		percent  float64
	}
	var points []point
	s.mu.Lock()
	for _, check := range s.checks {
		if !check.publishedAt.IsZero() && now.Sub(check.publishedAt) < publishInterval {
			continue
		}
		check.publishedAt = now
		p := point{id: check.id, endpoint: check.config.Type == typeHTTP || check.config.Type == typeHTTPS}
		if s.healthy(check.id) {
			p.value = 1
		}
		if check.up {
			p.percent = 100
		}
		points = append(points, p)
	}
	s.mu.Unlock()
	for _, p := range points {
		dimensions := map[string]string{"HealthCheckId": p.id}
		s.options.Metrics.Record(now, healthRegion, "AWS/Route53", "HealthCheckStatus", dimensions, p.value, "None")
		if p.endpoint {
			s.options.Metrics.Record(now, healthRegion, "AWS/Route53", "HealthCheckPercentageHealthy", dimensions, p.percent, "Percent")
		}
	}
}

// probe asks an endpoint once: connected within 4 s, and 2xx or 3xx within
// 2 s of that. The certificate is not validated, as in AWS.
func (s *Service) probe(ctx context.Context, config HealthCheckConfig) error {
	host := cmp.Or(config.IPAddress, config.FullyQualifiedDomainName)
	name := cmp.Or(config.FullyQualifiedDomainName, config.IPAddress)
	socket, err := s.connect(ctx, host, int(*config.Port))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", host, err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	if err := socket.SetDeadline(clock.Real{}.Now().Add(answerTimeout)); err != nil {
		return fmt.Errorf("set deadline of %s: %w", host, err)
	}
	conn := socket
	if config.Type == typeHTTPS {
		settings := &tls.Config{InsecureSkipVerify: true} // what the real checkers do
		if isTrue(config.EnableSNI) {
			settings.ServerName = name
		}
		conn = tls.Client(socket, settings)
	}
	path := cmp.Or(config.ResourcePath, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+name+path, nil)
	if err != nil {
		return fmt.Errorf("make request for %s%s: %w", name, path, err)
	}
	request.Header.Set("User-Agent", "Amazon-Route53-Health-Check-Service (ref embedded)")
	request.Close = true
	if err := request.Write(conn); err != nil {
		return fmt.Errorf("send request to %s: %w", name, err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return fmt.Errorf("read response of %s: %w", name, err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("HTTP Status Code %s", response.Status)
	}
	return nil
}

func (s *Service) connect(ctx context.Context, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if s.options.Dial != nil {
		return s.options.Dial(ctx, host, port)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}
