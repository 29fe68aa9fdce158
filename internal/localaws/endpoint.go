package localaws

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// served is one service behind the endpoint.
type served struct {
	handler  http.Handler
	protocol wire.Protocol
	global   bool // not hurt by the loss of a region
}

// endpoint is the one HTTP address of all services in all regions: the
// signature's scope tells which is meant.
type endpoint struct {
	log      *slog.Logger
	clock    clock.Clock
	faults   *fault.Set
	services func() map[string]served // by signing name
	admin    http.Handler
	requests atomic.Uint64
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isAdmin(r.URL.Path) {
		e.admin.ServeHTTP(w, r)
		return
	}
	service, region, accessKey, err := wire.Scope(r)
	if err != nil && iam.WebIdentity(r) {
		service, region, err = "sts", "us-east-1", nil // a token stands for the signature
	}
	call := wire.Call{
		Service: service, Region: region, AccessKeyID: accessKey,
		RequestID: fmt.Sprintf("%08x-0000-4000-8000-%012x", e.requests.Load()>>32, e.requests.Add(1)), Now: e.clock.Now(),
	}
	if err != nil {
		wire.Refuse(w, call, wire.QueryProtocol, err)
		return
	}
	target, known := e.services()[service]
	if !known {
		wire.Unknown(e.log, call, r.Method+" "+r.URL.Path)
		wire.Refuse(w, call, wire.JSONProtocol, wire.Errorf(http.StatusBadRequest, "UnknownOperationException", "the embedded AWS has no service %q", service))
		return
	}
	if _, struck := e.faults.Draw(region, fault.ExpiredCredentials, "endpoint"); struck && accessKey != "" {
		wire.Refuse(w, call, target.protocol, wire.Errorf(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"))
		return
	}
	if _, struck := e.faults.Draw(region, fault.RegionDown, "endpoint"); struck && !target.global {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	target.handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), call)))
}
