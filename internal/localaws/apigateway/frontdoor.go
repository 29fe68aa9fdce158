package apigateway

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const maxRequestBody = 10 << 20

// answer is a response before it is written.
type answer struct {
	status    int
	header    http.Header
	body      []byte
	errorType string
	message   string // what $context.error.message shows
}

// failure is an answer that API Gateway makes itself.
func failure(status int, errorType, message string) answer {
	return answer{status: status, errorType: errorType, message: message, body: []byte(`{"message": "` + message + `"}`)}
}

// forbidden is how API Gateway answers for a host or path it does not know.
func forbidden() answer {
	a := failure(http.StatusForbidden, "ForbiddenException", "Forbidden")
	a.body = []byte(`{"message":"Forbidden"}`)
	return a
}

func internalError(status int) answer {
	return failure(status, "InternalServerErrorException", "Internal server error")
}

// exchange is one request on its way through a stage.
type exchange struct {
	region     string
	domainName string
	requestID  string
	extendedID string
	now        time.Time // in the embedded AWS's time
	began      time.Time // in real time, which latencies are measured in
	source     netip.Addr

	apiID    string
	apiName  string
	stage    stageSettings
	content  *frozen
	canary   bool
	basePath string // of the mapping, with its slash
	parts    []string

	route              *route
	parameters         map[string]string
	integration        integration
	integrationTook    time.Duration
	integrationStatus  int
	integrationReached bool
}

// FrontDoor is the HTTP side of a region's API Gateway, for a listener that
// uses TLSConfig.
func (s *Service) FrontDoor(region string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, down := s.draw(region, fault.RegionDown, "frontdoor"); down {
			panic(http.ErrAbortHandler)
		}
		x := &exchange{
			region: region, requestID: newRequestID(), extendedID: newRequestID()[:15] + "=",
			now: s.options.Clock.Now(), began: clock.Real{}.Now(), source: s.sourceOf(r), domainName: hostOf(r),
		}
		w.Header().Set("X-Amzn-Requestid", x.requestID)
		w.Header().Set("X-Amz-Apigw-Id", x.extendedID)
		if !s.locate(x, r) {
			write(w, forbidden())
			return
		}
		a := s.serve(x, r)
		took := clock.Real{}.Now().Sub(x.began)
		// Before the answer leaves, so that whoever has it finds it counted.
		s.count(x, a, took)
		s.logAccess(x, r, a, took)
		write(w, a)
	})
}

func (s *Service) draw(region string, kind fault.Kind, target string) (fault.Fault, bool) {
	if s.options.Faults == nil {
		return fault.Fault{}, false
	}
	return s.options.Faults.Draw(region, kind, target)
}

func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // crypto/rand never fails
	text := hex.EncodeToString(b[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

func hostOf(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(host)
}

// sourceOf is the client's address: the TCP peer, or where the options trust
// it, the first address of X-Forwarded-For.
func (s *Service) sourceOf(r *http.Request) netip.Addr {
	if s.options.TrustForwardedFor {
		first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
		if address, err := netip.ParseAddr(strings.TrimSpace(first)); err == nil {
			return address
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// locate finds the API and stage of a host and path, and draws the canary.
func (s *Service) locate(x *exchange, r *http.Request) bool {
	parts := pathParts(r.URL.EscapedPath())
	s.mu.Lock()
	defer s.mu.Unlock()
	region := s.region(x.region)
	apiID, stageName := "", ""
	if d, custom := region.domains[x.domainName]; custom {
		m, ok := mapping{}, false
		if len(parts) > 0 {
			m, ok = d.mappings[parts[0]]
		}
		if ok && m.BasePath != "" {
			x.basePath, parts = "/"+parts[0], parts[1:]
		} else if m, ok = d.mappings[""]; !ok {
			return false
		}
		apiID, stageName = m.APIID, m.Stage
	} else {
		// A regional domain name (d-xxxx) under its own Host has no mapping.
		label, owner, ok := splitHost(x.domainName)
		if !ok || owner != x.region {
			return false
		}
		apiID = label
	}
	api, ok := region.apis[apiID]
	if !ok || (apiID+".execute-api."+x.region+".amazonaws.com" == x.domainName && api.DisableExecuteApiEndpoint) {
		return false
	}
	if stageName == "" {
		if len(parts) == 0 {
			return false
		}
		stageName, parts = parts[0], parts[1:]
	}
	st, ok := api.stages[stageName]
	if !ok {
		return false
	}
	served := st.served(x.now)
	x.apiID, x.apiName, x.stage, x.content, x.parts = api.id, api.Name, served.settings, served.base, parts
	if c := served.settings.CanarySettings; c != nil && s.rng.Float64()*100 < c.PercentTraffic {
		x.canary, x.content = true, served.canary
	}
	return true
}

// serve takes a located request through the stage.
func (s *Service) serve(x *exchange, r *http.Request) answer {
	target := "stage/" + x.apiName + "/" + x.stage.StageName
	if f, late := s.draw(x.region, fault.Latency, target); late {
		if err := (clock.Real{}).Sleep(r.Context(), f.Latency); err != nil {
			return internalError(http.StatusInternalServerError)
		}
	}
	if _, broken := s.draw(x.region, fault.Error, target); broken {
		return internalError(http.StatusInternalServerError)
	}
	x.route, x.parameters = match(x.content.routes, x.parts)
	ok := x.route != nil
	if ok {
		x.integration, ok = x.route.method(r.Method)
	}
	if !ok {
		a := failure(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
		a.body = []byte(`{"message":"Missing Authentication Token"}`)
		return a
	}
	if a, denied := x.authorize(r.Method); denied {
		return a
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	if err != nil {
		return failure(http.StatusBadRequest, "BadRequestException", "Bad Request")
	}
	if len(body) > maxRequestBody {
		return failure(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request Too Long")
	}
	return s.invoke(x, r, body)
}

// resourcePath is the path after the stage, as ARNs carry it.
func (x *exchange) resourcePath() string { return "/" + strings.Join(x.parts, "/") }

func (x *exchange) executeARN(account, verb string) string {
	return fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/%s/%s%s", x.region, account, x.apiID, x.stage.StageName, verb, x.resourcePath())
}

func (x *exchange) authorize(verb string) (answer, bool) {
	result := x.content.policy.evaluate(x.executeARN(wire.Account, verb), x.source)
	if result == policy.Allowed {
		return answer{}, false
	}
	masked := strings.Repeat("*", len(wire.Account)-4) + wire.Account[len(wire.Account)-4:]
	message := "User: anonymous is not authorized to perform: execute-api:Invoke on resource: " + x.executeARN(masked, verb)
	if result == policy.ExplicitDeny {
		message += " with an explicit deny"
	}
	a := failure(http.StatusForbidden, "AccessDeniedException", message)
	a.body = []byte(`{"Message":` + strconv.Quote(message) + `}`)
	return a, true
}

func write(w http.ResponseWriter, a answer) {
	header := w.Header()
	maps.Copy(header, a.header)
	if a.errorType != "" {
		header.Set("X-Amzn-Errortype", a.errorType)
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.status)
	w.Write(a.body) // Non-fatal: the client has gone.
}

// count records the request under both sets of dimensions AWS has. There is
// none for the canary.
//
// A datapoint is dated by its request's beginning, as AWS does. How long the
// request took is real time: dated by the scaled clock's own beginning, three
// real seconds would reach the metric minutes late, when no alarm looks back
// that far.
func (s *Service) count(x *exchange, a answer, took time.Duration) {
	if s.options.Metrics == nil {
		return
	}
	began := s.options.Clock.Now().Add(-took)
	one := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	for _, dimensions := range []map[string]string{{"ApiName": x.apiName}, {"ApiName": x.apiName, "Stage": x.stage.StageName}} {
		record := func(name string, value float64, unit string) {
			s.options.Metrics.Record(began, x.region, "AWS/ApiGateway", name, dimensions, value, unit)
		}
		record("Count", 1, "Count")
		record("4XXError", one(a.status >= 400 && a.status < 500), "Count")
		record("5XXError", one(a.status >= 500), "Count")
		record("Latency", milliseconds(took), "Milliseconds")
		if x.integrationReached {
			record("IntegrationLatency", milliseconds(x.integrationTook), "Milliseconds")
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// variables are the stage's variables as this request sees them.
func (x *exchange) variables() map[string]string {
	variables := maps.Clone(x.stage.Variables)
	if x.canary {
		if variables == nil {
			variables = map[string]string{}
		}
		maps.Copy(variables, x.stage.CanarySettings.StageVariableOverrides)
	}
	return variables
}

// matchesBinary says whether a media type is one of the API's binary ones.
func (f *frozen) matchesBinary(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	return slices.ContainsFunc(f.binaryMediaTypes, func(t string) bool {
		return t == "*/*" || (mediaType != "" && strings.EqualFold(t, mediaType))
	})
}
