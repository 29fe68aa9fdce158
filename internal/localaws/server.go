// Package localaws is the embedded AWS: one process that the real SDKs, the
// AWS CLI, the Pulumi engine, DNS resolvers and HTTPS clients talk to. Each
// service is a package below; this one opens the sockets, wires the services
// to each other and runs their clocks.
//
// It knows nothing of cutover, so it cannot favour it, and it is not a model
// of all of AWS: what is not implemented answers with AWS's own error shape.
package localaws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/acm"
	"github.com/tapctl/tapctl/internal/localaws/fault"
)

// Options are how an embedded AWS is started. Zero ports are chosen by the
// system.
type Options struct {
	Log      *slog.Logger
	Speed    float64 // how many times faster its clock runs; 0 is 60
	Seed     uint64
	Zones    []string // hosted zones the account has from the start
	Regions  []string // front doors opened from the start; others on demand
	CAFile   string   // where the certificate of its own authority is written
	StateDir string   // told to clients as the place for Pulumi's state

	EndpointPort, DNSPort, HTTPSPort int
}

// Env is what a client needs to use an embedded AWS.
type Env struct {
	Endpoint  string `json:"endpoint"`   // URL of all AWS APIs
	DNSServer string `json:"dns_server"` // host:port, UDP and TCP
	HTTPSPort int    `json:"https_port"` // of every front door
	CAFile    string `json:"ca_file"`
	Clock     string `json:"clock"` // value of TAPCTL_CLOCK
	StateDir  string `json:"state_dir"`
}

// Server is a running embedded AWS.
type Server struct {
	options   Options
	log       *slog.Logger
	clock     clock.Scaled
	faults    *fault.Set
	authority *acm.Authority
	env       Env
	doors     *frontDoors
	checkers  checkers
	world     atomic.Pointer[world]

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex // serialises Reset
	failed error
}

// Start opens the sockets and runs until ctx ends; Wait returns then.
func Start(ctx context.Context, options Options) (*Server, error) {
	if options.Speed == 0 {
		options.Speed = 60
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: options, log: options.Log, clock: clock.NewScaled(options.Speed), faults: fault.NewSet(options.Seed)}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.start(); err != nil {
		s.cancel()
		s.done.Wait()
		return nil, err
	}
	return s, nil
}

func (s *Server) start() error {
	var err error
	if s.authority, err = acm.NewAuthority(s.clock.Now()); err != nil {
		return err
	}
	if s.options.CAFile != "" {
		if err := os.WriteFile(s.options.CAFile, s.authority.PEM(), 0o600); err != nil {
			return fmt.Errorf("write the certificate authority: %w", err)
		}
	}
	api, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.options.EndpointPort))
	if err != nil {
		return fmt.Errorf("open the endpoint: %w", err)
	}
	s.env = Env{
		Endpoint: "http://" + api.Addr().String(), CAFile: s.options.CAFile, Clock: s.clock.String(), StateDir: s.options.StateDir,
	}
	s.world.Store(s.newWorld())
	if s.doors, err = openDoors(s.log, liveDoor{s}, s.options.HTTPSPort, s.options.Regions); err != nil {
		api.Close() // Non-fatal: nothing was served yet.
		return err
	}
	s.env.HTTPSPort = s.doors.port
	if err := s.serveDNS(); err != nil {
		api.Close() // Non-fatal: as above.
		s.doors.close(0)
		return err
	}
	s.serveHTTP(api)
	return nil
}

// serveHTTP serves the endpoint and takes everything down when ctx ends.
func (s *Server) serveHTTP(listener net.Listener) {
	server := &http.Server{Handler: s.endpointHandler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	s.done.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed = err
			s.cancel()
		}
	})
	s.done.Go(func() {
		<-s.ctx.Done()
		s.doors.close(time.Second)
		server.Close() // Non-fatal: the process ends.
		s.world.Load().close()
	})
}

// serveDNS opens UDP and TCP on the same port.
func (s *Server) serveDNS() error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { s.world.Load().route53.ServeDNS(w, m) })
	var err error
	for range portTries {
		var packets net.PacketConn
		var stream net.Listener
		if packets, err = net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", s.options.DNSPort)); err != nil {
			break
		}
		address := packets.LocalAddr().String()
		if stream, err = net.Listen("tcp", address); err != nil {
			packets.Close() // Non-fatal: another port is tried.
			continue
		}
		s.env.DNSServer = address
		for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: stream, Handler: handler}} {
			s.done.Go(func() {
				if err := server.ActivateAndServe(); err != nil && s.ctx.Err() == nil {
					s.log.Error("dns", "error", err)
				}
			})
		}
		context.AfterFunc(s.ctx, func() {
			// The sockets, not dns.Server.Shutdown: that refuses a server whose
			// goroutine has not begun yet, which then serves for ever.
			packets.Close() // Non-fatal: the process ends.
			stream.Close()  // Non-fatal: as above.
		})
		return nil
	}
	return fmt.Errorf("open the DNS server: %w", err)
}

// Env is what clients need.
func (s *Server) Env() Env { return s.env }

// Clock is the clock of everything inside.
func (s *Server) Clock() clock.Scaled { return s.clock }

// Wait returns when the server has ended, with what ended it early.
func (s *Server) Wait() error {
	s.done.Wait()
	return s.failed
}

// Close ends the server and waits for it.
func (s *Server) Close() error {
	s.cancel()
	return s.Wait()
}

// Reset empties the account: every resource, every fault.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.Clear("")
	old := s.world.Swap(s.newWorld())
	old.close()
}

// addressOf is a region's front door; there is none while they are opened.
func (s *Server) addressOf(region string) (netip.Addr, bool) {
	if s.doors == nil {
		return netip.Addr{}, false
	}
	return s.doors.AddressOf(region)
}
