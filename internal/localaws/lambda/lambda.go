// Package lambda is the Lambda of the embedded AWS. It runs the real
// bootstrap of an uploaded zip as a process of this machine, through the real
// Runtime API, one invocation at a time per process, and keeps versions,
// aliases, resource policies and metrics as AWS does.
//
// Non-goals: sandboxing (a function runs with the rights of whoever started
// the embedded AWS), layers, container images, VPCs, asynchronous invocation,
// event sources, and runtimes other than provided.al2 and provided.al2023.
package lambda

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Metrics takes the metrics of the invocations.
type Metrics interface {
	Record(now time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string)
}

// Logs takes the lines a function writes. It fails if the group does not exist.
type Logs interface {
	Append(now time.Time, region, group, stream string, message string) error
}

// Options are what the service is built from. Every port may be nil.
type Options struct {
	Log   *slog.Logger
	Clock clock.Clock // the embedded AWS's clock
	// Machine measures what real processes take: durations, deadlines and
	// idleness. Nil is the real clock.
	Machine clock.Clock
	Metrics Metrics
	Logs    Logs
	Faults  *fault.Set
	// Credentials returns the session credentials of a function's role, or the
	// error of a role that does not exist or does not trust Lambda.
	Credentials func(roleARN string) (accessKeyID, secret, token string, err error)
	// Authorize answers whether the caller may; nil allows everything.
	Authorize wire.Authorizer
	// RoleAuthorize decides what Lambda may do by a function's role: write its
	// log. Nil allows everything.
	RoleAuthorize func(ctx context.Context, roleARN string, ask wire.Ask) error
	// Endpoint is the URL of the embedded AWS, for the functions' own clients.
	Endpoint string
	// MaxConcurrency bounds the invocations of one function that run at once;
	// further ones wait. 0 is 32.
	MaxConcurrency int
	// IdleFor is how long a process may be idle before it is ended. 0 is 5 minutes.
	IdleFor time.Duration
	// PendingFor is how long, on Clock, a function is Pending after it was
	// created, and InProgress after an update. 0 leaves the phase out.
	PendingFor time.Duration
	Seed       uint64 // of the draws of weighted aliases
}

// Service is the Lambda of every region.
type Service struct {
	options Options
	store   *store
	exec    *executor

	mu      sync.Mutex
	rng     *rand.Rand
	dropped map[string]bool // log groups whose refusal was said
}

// New returns a service without functions. Invocations wait until Run is called.
func New(opts Options) *Service {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = clock.Real{}
	}
	if opts.Machine == nil {
		opts.Machine = clock.Real{}
	}
	if opts.MaxConcurrency <= 0 {
		opts.MaxConcurrency = 32
	}
	if opts.IdleFor <= 0 {
		opts.IdleFor = 5 * time.Minute
	}
	s := &Service{
		options: opts, store: newStore(opts.PendingFor), dropped: map[string]bool{},
		rng: rand.New(rand.NewPCG(opts.Seed, 0x1a4bda)),
	}
	s.exec = newExecutor(opts.MaxConcurrency, opts.Machine, s.environmentOf, s.appendLog)
	return s
}

// Handler serves Lambda's API. The request's context carries its wire.Call.
func (s *Service) Handler() http.Handler { return s.routes() }

// Run lets invocations run, ends idle processes, and on the end of ctx kills
// every process it started before it returns.
func (s *Service) Run(ctx context.Context) error {
	if err := s.exec.start(ctx); err != nil {
		return err
	}
	defer s.exec.stop()
	for {
		if err := s.options.Machine.Sleep(ctx, s.options.IdleFor/2); err != nil {
			return nil
		}
		s.exec.reap(s.options.Machine.Now().Add(-s.options.IdleFor))
	}
}

// Processes is how many bootstraps run now.
func (s *Service) Processes() int { return s.exec.processes() }

// draw returns a number in [0, 1).
func (s *Service) draw() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Float64()
}

// appendLog writes a line by the function's role, as Lambda does: what the
// role may not write is lost, and the function goes on.
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
func (s *Service) appendLog(ctx context.Context, e *environment, message string) {
	if s.options.Logs == nil {
		return
	}
	r := e.release
	group := r.Settings.logGroup(r.Function)
	err := s.mayLog(ctx, e, "arn:aws:logs:"+r.Region+":"+wire.Account+":log-group:"+group+":log-stream:"+e.logStream)
	if err == nil {
		err = s.options.Logs.Append(s.options.Clock.Now(), r.Region, group, e.logStream, message)
	}
	key := r.Region + " " + group
	s.mu.Lock()
	said := s.dropped[key]
	s.dropped[key] = err != nil
	s.mu.Unlock()
	if err != nil && !said {
		s.options.Log.Warn("function output dropped", "region", r.Region, "group", group, "error", err)
	}
}

// mayLog asks for the stream until it could be made, and for every line.
func (s *Service) mayLog(ctx context.Context, e *environment, streamARN string) error {
	if s.options.RoleAuthorize == nil {
		return nil
	}
	role := e.release.Settings.Role
	if !e.hasStream.Load() {
		if err := s.options.RoleAuthorize(ctx, role, wire.Ask{Action: "logs:CreateLogStream", Resource: streamARN}); err != nil {
			return err
		}
		e.hasStream.Store(true)
	}
	return s.options.RoleAuthorize(ctx, role, wire.Ask{Action: "logs:PutLogEvents", Resource: streamARN})
}

// assumable fails for a role that Lambda cannot run a function with.
func (s *Service) assumable(roleARN string) error {
	if s.options.Credentials == nil {
		return nil
	}
	if _, _, _, err := s.options.Credentials(roleARN); err != nil {
		return invalid("%s", wire.AsError(err).Message)
	}
	return nil
}
