package localaws

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/s3"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// served is one service behind the endpoint.
type served struct {
	handler  http.Handler
	protocol wire.Protocol
	global   bool // not hurt by the loss of a region
	// refuse answers with an error before the service is reached; nil is the
	// protocol's own way. S3 speaks REST-XML with errors of its own shape.
	refuse func(http.ResponseWriter, *http.Request, wire.Call, error)
}

// endpoint is the one HTTP address of all services in all regions: the
// signature's scope tells which is meant. S3 is also reached by its hosts'
// names, as websites and anonymous readers do.
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
	if at, ok := s3.Unsigned(r); ok {
		service, region, accessKey, err = "s3", at, "", nil
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
		target.refused(w, r, call, wire.Errorf(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"))
		return
	}
	if _, struck := e.faults.Draw(region, fault.RegionDown, "endpoint"); struck && !target.global {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	target.handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), call)))
}

func (s served) refused(w http.ResponseWriter, r *http.Request, call wire.Call, err error) {
	if s.refuse != nil {
		s.refuse(w, r, call, err)
		return
	}
	wire.Refuse(w, call, s.protocol, err)
}
