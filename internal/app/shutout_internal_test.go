package app

import (
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// here answers every name with this machine.
func here(t *testing.T) (address string) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetReply(query)
		if question := query.Question[0]; question.Qtype == dns.TypeA {
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(reply) // who asked asks again
	})}
	ended := make(chan error)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = socket.Close()
		<-ended
	})
	return socket.LocalAddr().String()
}

// TestAShiftFromOutsideIsRefused: all of its probes would be, and green would
// be blamed for it.
func TestAShiftFromOutsideIsRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var kind atomic.Value
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("x-amzn-errortype", kind.Load().(string))
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Defaults()
	c.Probe.Preflight = false
	c.AWS.CABundle = bundle
	if c.AWS.HTTPSPort, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	c.AWS.DNSServer = here(t)
	top := topology.Topology{Target: topology.Cell{ProbeName: "example.com", RegionalName: "d-green.example.com"}} // the first is of the server's certificate
	for name, tt := range map[string]struct {
		cidr, kind string
		state      cutover.State
		refused    bool
		asked      int64
	}{
		"shut out":                       {cidr: "203.0.113.0/24", kind: "AccessDeniedException", refused: true, asked: 1},
		"a door that is not there yet":   {cidr: "203.0.113.0/24", kind: "ForbiddenException", asked: 1},
		"open to all":                    {cidr: "0.0.0.0/0", kind: "AccessDeniedException"},
		"users are on their way":         {cidr: "203.0.113.0/24", kind: "AccessDeniedException", state: cutover.State{Touched: true}},
		"it goes back: nothing stops it": {cidr: "203.0.113.0/24", kind: "AccessDeniedException", state: cutover.State{Phase: cutover.Retreating}},
	} {
		asked.Store(0)
		kind.Store(tt.kind)
		c.AllowedCIDR = []string{tt.cidr}
		err := (&App{Config: c}).preflight(t.Context(), top, tt.state)
		no, refused := errors.AsType[*Refused](err)
		if refused != tt.refused || asked.Load() != tt.asked || !refused && err != nil {
			t.Errorf("%s: %v, asked %d time(s)", name, err, asked.Load())
		}
		if refused && (!strings.Contains(no.Error(), "allowed_cidr") || !strings.Contains(no.Hint(), "tapctl deploy")) {
			t.Errorf("%s: %v, next %q", name, no, no.Hint())
		}
	}
}
