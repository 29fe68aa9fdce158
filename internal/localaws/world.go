package localaws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/acm"
	"github.com/tapctl/tapctl/internal/localaws/apigateway"
	"github.com/tapctl/tapctl/internal/localaws/cloudwatch"
	"github.com/tapctl/tapctl/internal/localaws/dynamodb"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/kms"
	"github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/logs"
	"github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/s3"
	"github.com/tapctl/tapctl/internal/localaws/secretsmanager"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// world is one account's services and what runs them. Reset makes a new one.
type world struct {
	services map[string]served
	route53  *route53.Service
	gateway  *apigateway.Service
	identity *iam.Service
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

func (s *Server) newWorld() *world {
	w := &world{}
	ctx, cancel := context.WithCancel(s.ctx)
	w.cancel = cancel
	log, seed := s.log, s.options.Seed
	var keys *kms.Service
	identity := iam.New(iam.Options{
		Log: log, Clock: s.clock,
		KeyPolicy:  func(id string) (string, string, bool) { return keys.PolicyOf(id) },
		KeyContext: func(id string) map[string][]string { return keys.ContextOf(id) },
	})
	metrics := cloudwatch.New(cloudwatch.Options{Log: log, Clock: s.clock, Authorize: identity.Authorize})
	keys = kms.New(kms.Options{Log: log, Clock: s.clock, Authorize: identity.Authorize})
	groups := logs.New(logs.Options{
		Log: log, Clock: s.clock, Authorize: identity.Authorize,
		KeyAuthorize: identity.ServiceAuthorizer(func(region string) string { return "logs." + region + ".amazonaws.com" }),
		Broken: func(region string) bool {
			_, struck := s.faults.Draw(region, fault.RegionDown, "endpoint")
			return struck
		},
	})
	functions := lambda.New(lambda.Options{
		Log: log, Clock: s.clock, Metrics: metrics, Logs: groups, Faults: s.faults, Credentials: identity.SessionFor,
		Authorize: identity.Authorize, RoleAuthorize: identity.RoleAuthorizer("lambda.amazonaws.com"),
		Endpoint: s.env.Endpoint, Seed: seed,
	})
	w.route53 = w.newRoute53(s, metrics, identity)
	certificates := acm.New(acm.Options{Log: log, Clock: s.clock, Authority: s.authority, Authorize: identity.Authorize, Records: w.route53, IssueDelay: 5 * time.Second})
	w.gateway = apigateway.New(apigateway.Options{
		Log: log, Clock: s.clock, Seed: seed, Invoker: functions, Metrics: metrics, Logs: groups, Certificates: certificates, Faults: s.faults,
		DefaultCertificate: func(host string) (*tls.Certificate, error) { return s.authority.Issue(host) },
		Authorize:          identity.Authorize,
		RoleAuthorize:      identity.RoleAuthorizer("apigateway.amazonaws.com"),
	})
	keyARN := func(arn string) (string, bool) {
		key, _, ok := keys.PolicyOf(arn)
		return key, ok
	}
	secrets := secretsmanager.New(secretsmanager.Options{Log: log, Clock: s.clock, Authorize: identity.Authorize, KeyARN: keyARN})
	storage := s3.New(s3.Options{
		Log: log, Clock: s.clock, Seed: seed, Metrics: metrics, Faults: s.faults, KeyARN: keyARN,
		Authorize: identity.Authorize, Principal: identity.Principal, RoleAuthorize: identity.RoleAuthorizer("s3.amazonaws.com"),
	})
	tables := dynamodb.New(dynamodb.Options{Log: log, Clock: s.clock, Metrics: metrics, Faults: s.faults, Authorize: identity.Authorize})
	for _, zone := range s.options.Zones {
		w.route53.EnsureZone(zone)
	}
	w.identity = identity
	w.services = map[string]served{
		"acm":            {handler: certificates.Handler(), protocol: wire.JSONProtocol},
		"apigateway":     {handler: w.gateway.Handler(), protocol: wire.RESTJSONProtocol},
		"dynamodb":       {handler: tables.Handler(), protocol: wire.JSONProtocol},
		"iam":            {handler: identity.Handler(), protocol: wire.QueryProtocol, global: true},
		"kms":            {handler: keys.Handler(), protocol: wire.JSONProtocol},
		"lambda":         {handler: functions.Handler(), protocol: wire.RESTJSONProtocol},
		"logs":           {handler: groups.Handler(), protocol: wire.JSONProtocol},
		"monitoring":     {handler: metrics.Handler(), protocol: wire.CBORProtocol},
		"route53":        {handler: w.route53.Handler(), protocol: wire.RESTXMLProtocol, global: true},
		"s3":             {handler: storage.Handler(), refuse: s3.WriteError},
		"secretsmanager": {handler: secrets.Handler(), protocol: wire.JSONProtocol},
		"sts":            {handler: identity.Handler(), protocol: wire.QueryProtocol, global: true},
	}
	w.run(ctx, log, map[string]func(context.Context) error{
		"cloudwatch": metrics.Run, "dynamodb": tables.Run, "lambda": functions.Run, "logs": groups.Run, "route53": w.route53.Run, "s3": storage.Run,
	})
	return w
}

// run runs what goes on while nobody calls, until ctx ends.
func (w *world) run(ctx context.Context, log *slog.Logger, services map[string]func(context.Context) error) {
	for name, run := range services {
		w.running.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				log.Error("service ended", "service", name, "error", err)
			}
		})
	}
}

func (w *world) newRoute53(s *Server, metrics *cloudwatch.Service, identity *iam.Service) *route53.Service {
	return route53.New(route53.Options{
		Log: s.log, Clock: s.clock, Seed: s.options.Seed, RequestsPerSecond: route53.AccountRate, Authorize: identity.Authorize,
		RegionOf:    func(host string) (string, bool) { return w.gateway.RegionOf(host) },
		AddressOf:   s.addressOf,
		AliasZoneID: apigateway.HostedZoneID, Dial: w.dialer(s), Metrics: metrics, Alarms: metrics,
		DescribeAlarm: describeAlarm(metrics),
	})
}

// describeAlarm is an alarm's definition as Route 53 shows it.
func describeAlarm(metrics *cloudwatch.Service) func(region, name string) (route53.AlarmConfiguration, bool) {
	return func(region, name string) (route53.AlarmConfiguration, bool) {
		d, ok := metrics.Definition(region, name)
		shown := route53.AlarmConfiguration{
			EvaluationPeriods: d.Evaluations, Threshold: d.Threshold, ComparisonOperator: d.Comparison, Period: d.Period,
			MetricName: d.Metric, Namespace: d.Namespace, Statistic: d.Statistic,
		}
		for _, dimension := range d.Dimensions {
			shown.Dimensions = append(shown.Dimensions, route53.Dimension{Name: dimension[0], Value: dimension[1]})
		}
		return shown, ok
	}
}

// dialer connects health checkers the way clients come: the name is resolved
// by the account's own DNS, and its region's front door is dialled. They come
// from addresses of their own, so that a policy can tell them from users.
func (w *world) dialer(s *Server) func(ctx context.Context, host string, port int) (net.Conn, error) {
	return func(ctx context.Context, host string, port int) (net.Conn, error) {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, s.env.DNSServer)
		}}
		addresses, err := resolver.LookupHost(ctx, host)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{LocalAddr: s.checkers.next()}
		if port == 443 { // the front doors stand for it
			port = s.env.HTTPSPort
		}
		return d.DialContext(ctx, "tcp", net.JoinHostPort(addresses[0], fmt.Sprint(port)))
	}
}

func (w *world) close() {
	w.cancel()
	w.running.Wait()
}

// endpointHandler serves whichever world there is now.
func (s *Server) endpointHandler() http.Handler {
	e := &endpoint{log: s.log, clock: s.clock, faults: s.faults, admin: s.adminHandler()}
	e.services = func() map[string]served { return s.world.Load().services }
	return e
}

// liveDoor serves the front doors of whichever world there is now.
type liveDoor struct{ server *Server }

// FrontDoor implements door.
func (d liveDoor) FrontDoor(region string) http.Handler {
	var cached sync.Map // *world -> http.Handler
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := d.server.world.Load()
		handler, ok := cached.Load(w)
		if !ok {
			handler, _ = cached.LoadOrStore(w, w.gateway.FrontDoor(region))
		}
		handler.(http.Handler).ServeHTTP(rw, r)
	})
}

// TLSConfig implements door.
func (d liveDoor) TLSConfig(region string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return d.server.world.Load().gateway.TLSConfig(region), nil
		},
	}
}
