// Package provider is an "aws" Pulumi provider that runs in this process. The
// engine attaches to it through PULUMI_DEBUG_PROVIDERS=aws:PORT where the real
// plugin cannot be downloaded. Every resource is created through the AWS
// endpoint the provider is configured with, by the real SDK.
//
// It is strict: a property the SDK's Args struct does not have, a value of the
// wrong type, a property this provider does not implement, an unknown resource
// type - each is an error that names the property. It does not auto-name, has
// no default tags and of functions (invokes) only getIpRanges.
//
// How the engine attaches (seen with 3.255.0): every provider instance of a
// program, one per region here, opens a connection of its own to the same
// port, calls Attach on it and configures it. State is therefore kept per
// connection; the SDK's provider server leaves Attach out and is given one.
// The caller also wants PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true: from
// the second operation on a stack, the engine otherwise tries to download the
// plugin its state names, which costs seconds each time and is then not used.
package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/tapctl/tapctl/internal/clock"
)

// Version is the version of the real provider whose schema this one follows.
const Version = "6.83.2"

// Options configures a provider.
type Options struct {
	Log *slog.Logger
	// Clock is what waits for AWS are measured and paced with. Default: real.
	Clock clock.Clock
}

// Serve serves the provider on a free loopback port until ctx ends, with
// waits in real time.
func Serve(ctx context.Context, log *slog.Logger) (port int, err error) {
	return ServeWith(ctx, Options{Log: log})
}

// ServeWith is Serve with options.
func ServeWith(ctx context.Context, opts Options) (port int, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = clock.Real{}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("serve the aws provider: %w", err)
	}
	context.AfterFunc(ctx, func() { listener.Close() }) // Non-fatal: the process is ending.
	go accept(ctx, listener, opts)
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// accept gives each connection a provider of its own.
func accept(ctx context.Context, listener net.Listener, opts Options) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed with ctx
		}
		go func() {
			server := grpc.NewServer(grpc.MaxRecvMsgSize(400 << 20))
			pulumirpc.RegisterResourceProviderServer(server, attachable{plugin.NewProviderServer(&provider{opts: opts})})
			stop := context.AfterFunc(ctx, server.Stop)
			defer stop()
			server.Serve(newSingle(conn)) // Non-fatal: ends with the connection.
			server.Stop()
		}()
	}
}

// attachable answers Attach, which the engine calls first on a provider it did
// not start and which the SDK's server leaves out.
type attachable struct {
	pulumirpc.ResourceProviderServer
}

// Attach implements pulumirpc.ResourceProviderServer. Nothing here talks back
// to the engine.
func (attachable) Attach(context.Context, *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// single is a listener of one connection: its second Accept fails once that
// connection has closed.
type single struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSingle(conn net.Conn) *single {
	s := &single{addr: conn.LocalAddr(), conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	s.conns <- &watched{Conn: conn, listener: s}
	return s
}

// Accept implements net.Listener.
func (s *single) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conns:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (s *single) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr implements net.Listener.
func (s *single) Addr() net.Addr { return s.addr }

type watched struct {
	net.Conn
	listener *single
}

// Close implements net.Conn.
func (w *watched) Close() error {
	return errors.Join(w.Conn.Close(), w.listener.Close())
}

// provider is one provider instance of a program.
type provider struct {
	plugin.UnimplementedProvider
	opts Options

	mu      sync.Mutex
	session *session
}

var _ plugin.Provider = (*provider)(nil)

// Close implements plugin.Provider.
func (p *provider) Close() error { return nil }

// Handshake implements plugin.Provider.
func (p *provider) Handshake(context.Context, plugin.ProviderHandshakeRequest) (*plugin.ProviderHandshakeResponse, error) {
	return &plugin.ProviderHandshakeResponse{AcceptSecrets: true, AcceptOutputs: true}, nil
}

// GetPluginInfo implements plugin.Provider.
func (p *provider) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	version := semver.MustParse(Version)
	return plugin.PluginInfo{Version: &version}, nil
}

// GetSchema implements plugin.Provider.
func (p *provider) GetSchema(context.Context, plugin.GetSchemaRequest) (plugin.GetSchemaResponse, error) {
	return plugin.GetSchemaResponse{Schema: []byte(`{"name":"aws","version":"` + Version + `"}`)}, nil
}

// SignalCancellation implements plugin.Provider. Calls end with their context.
func (p *provider) SignalCancellation(context.Context) error { return nil }

// CheckConfig implements plugin.Provider.
func (p *provider) CheckConfig(_ context.Context, r plugin.CheckConfigRequest) (plugin.CheckConfigResponse, error) {
	out := plugin.CheckConfigResponse{Properties: r.News}
	for key := range r.News {
		if !slices.Contains(configured, string(key)) {
			out.Failures = append(out.Failures, plugin.CheckFailure{Property: key, Reason: fmt.Sprintf("the embedded aws provider does not implement its configuration %q", key)})
		}
	}
	return out, nil
}

// DiffConfig implements plugin.Provider: another region is another provider,
// and what it made has to be made anew.
func (p *provider) DiffConfig(_ context.Context, r plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	out := plugin.DiffResult{Changes: plugin.DiffNone}
	for _, key := range union(r.OldInputs, r.NewInputs) {
		if r.OldInputs[key].DeepEquals(r.NewInputs[key]) {
			continue
		}
		out.Changes = plugin.DiffSome
		out.ChangedKeys = append(out.ChangedKeys, key)
		if key == "region" {
			out.ReplaceKeys = append(out.ReplaceKeys, key)
		}
	}
	return out, nil
}

// Configure implements plugin.Provider.
func (p *provider) Configure(ctx context.Context, r plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	s, err := newSession(ctx, r.Inputs, p.opts)
	if err != nil {
		return plugin.ConfigureResponse{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = s
	return plugin.ConfigureResponse{}, nil
}

func (p *provider) configured() (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil {
		return nil, errors.New("the aws provider is used before it is configured (its region may be unknown yet)")
	}
	return p.session, nil
}

func kindOf(urn resource.URN) (kind, error) {
	k, ok := kinds[string(urn.Type())]
	if !ok {
		return nil, fmt.Errorf("the embedded aws provider has no resource type %s", urn.Type())
	}
	return k, nil
}

// Check implements plugin.Provider.
func (p *provider) Check(_ context.Context, r plugin.CheckRequest) (plugin.CheckResponse, error) {
	k, err := kindOf(r.URN)
	if err != nil {
		return plugin.CheckResponse{}, err
	}
	return plugin.CheckResponse{Properties: r.News, Failures: k.check(r.News)}, nil
}

// Diff implements plugin.Provider.
func (p *provider) Diff(_ context.Context, r plugin.DiffRequest) (plugin.DiffResult, error) {
	k, err := kindOf(r.URN)
	if err != nil {
		return plugin.DiffResult{}, err
	}
	changed, err := k.changes(r.OldInputs, r.NewInputs)
	if err != nil {
		return plugin.DiffResult{}, err
	}
	out := plugin.DiffResult{Changes: plugin.DiffNone, DetailedDiff: map[string]plugin.PropertyDiff{}}
	for _, c := range changed {
		if slices.ContainsFunc(r.IgnoreChanges, func(path string) bool {
			return path == string(c.key) || strings.HasPrefix(path, string(c.key)+".") || strings.HasPrefix(path, string(c.key)+"[")
		}) {
			continue
		}
		out.Changes = plugin.DiffSome
		out.ChangedKeys = append(out.ChangedKeys, c.key)
		_, had := r.OldInputs[c.key]
		_, has := r.NewInputs[c.key]
		how := plugin.DiffUpdate
		switch {
		case !had:
			how = plugin.DiffAdd
		case !has:
			how = plugin.DiffDelete
		}
		if c.replaces {
			out.ReplaceKeys = append(out.ReplaceKeys, c.key)
			how = how.AsReplace()
		}
		out.DetailedDiff[string(c.key)] = plugin.PropertyDiff{Kind: how, InputDiff: true}
	}
	out.DeleteBeforeReplace = len(out.ReplaceKeys) > 0 && k.clashes(r.OldInputs, r.NewInputs)
	return out, nil
}

// Create implements plugin.Provider.
func (p *provider) Create(ctx context.Context, r plugin.CreateRequest) (plugin.CreateResponse, error) {
	k, err := kindOf(r.URN)
	if err != nil {
		return plugin.CreateResponse{Status: resource.StatusUnknown}, err
	}
	if r.Preview {
		return plugin.CreateResponse{Properties: k.preview(r.Properties, nil), Status: resource.StatusOK}, nil
	}
	s, err := p.configured()
	if err != nil {
		return plugin.CreateResponse{Status: resource.StatusUnknown}, err
	}
	id, outputs, err := k.create(ctx, s, r.Properties)
	switch {
	case err != nil && id != "":
		// It exists: the engine must know, or it would be made twice.
		return plugin.CreateResponse{ID: resource.ID(id), Properties: outputs, Status: resource.StatusPartialFailure},
			&plugin.InitError{Reasons: []string{fmt.Sprintf("create %s: %v", r.URN.Name(), err)}}
	case err != nil:
		return plugin.CreateResponse{Status: resource.StatusUnknown}, fmt.Errorf("create %s %s: %w", r.URN.Type(), r.URN.Name(), err)
	default:
		return plugin.CreateResponse{ID: resource.ID(id), Properties: outputs, Status: resource.StatusOK}, nil
	}
}

// Read implements plugin.Provider. A resource that has gone has no ID.
func (p *provider) Read(ctx context.Context, r plugin.ReadRequest) (plugin.ReadResponse, error) {
	k, err := kindOf(r.URN)
	if err != nil {
		return plugin.ReadResponse{Status: resource.StatusUnknown}, err
	}
	s, err := p.configured()
	if err != nil {
		return plugin.ReadResponse{Status: resource.StatusUnknown}, err
	}
	if r.Inputs == nil && r.State == nil {
		return plugin.ReadResponse{Status: resource.StatusUnknown}, fmt.Errorf("import %s: the embedded aws provider does not import", r.URN.Type())
	}
	inputs, outputs, found, err := k.read(ctx, s, string(r.ID), r.Inputs, r.State)
	if err != nil {
		return plugin.ReadResponse{Status: resource.StatusUnknown}, fmt.Errorf("read %s %s: %w", r.URN.Type(), r.URN.Name(), err)
	}
	if !found {
		return plugin.ReadResponse{Status: resource.StatusOK}, nil
	}
	return plugin.ReadResponse{ReadResult: plugin.ReadResult{ID: r.ID, Inputs: inputs, Outputs: outputs}, Status: resource.StatusOK}, nil
}

// Update implements plugin.Provider.
func (p *provider) Update(ctx context.Context, r plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	k, err := kindOf(r.URN)
	if err != nil {
		return plugin.UpdateResponse{Status: resource.StatusUnknown}, err
	}
	if r.Preview {
		return plugin.UpdateResponse{Properties: k.preview(r.NewInputs, r.OldOutputs), Status: resource.StatusOK}, nil
	}
	s, err := p.configured()
	if err != nil {
		return plugin.UpdateResponse{Status: resource.StatusUnknown}, err
	}
	outputs, err := k.update(ctx, s, string(r.ID), r.OldInputs, r.OldOutputs, r.NewInputs)
	if err != nil {
		return plugin.UpdateResponse{Status: resource.StatusUnknown}, fmt.Errorf("update %s %s: %w", r.URN.Type(), r.URN.Name(), err)
	}
	return plugin.UpdateResponse{Properties: outputs, Status: resource.StatusOK}, nil
}

// Delete implements plugin.Provider.
func (p *provider) Delete(ctx context.Context, r plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	k, err := kindOf(r.URN)
	if err != nil {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, err
	}
	s, err := p.configured()
	if err != nil {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, err
	}
	if err := k.remove(ctx, s, string(r.ID), r.Inputs, r.Outputs); err != nil {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("delete %s %s: %w", r.URN.Type(), r.URN.Name(), err)
	}
	return plugin.DeleteResponse{Status: resource.StatusOK}, nil
}
