package kill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/tapctl/tapctl/internal/cutover"
)

// The operations that change something, by the names the proxy gives them.
const (
	save         = "Save" // the journal's transaction
	takeLease    = "TakeLease"
	releaseLease = "ReleaseLease"
	beat         = "Beat"
	sentinel     = "Sentinel" // the data's own items
	changeDNS    = "ChangeResourceRecordSets"
	updateStage  = "UpdateStage"
	updateAlias  = "UpdateAlias"
)

// turns are those that turn a dial.
var turns = []string{changeDNS, updateStage, updateAlias}

// byTime are heartbeats, and what follows green's log and the data beside the
// run.
var byTime = []string{beat, sentinel, "StartLiveTail", "FilterLogEvents", "DescribeTable", "GetMetricData"}

var changes = append([]string{save, takeLease, releaseLease, beat}, turns...)

// point names a call by where in the run it is made: timing moves the number
// of looks in a phase, and not the calls that change something.
type point struct {
	// Place is the phase and step that the process journalled last, "start"
	// before it did: "turning-1". What goes by time and not by phase has the
	// place "run".
	Place     string
	Operation string
	Nth       int // of this operation in this place, from 1
}

func (p point) String() string { return fmt.Sprintf("%s/%s/%d", p.Place, p.Operation, p.Nth) }

// call is one request that a process sent to AWS.
type call struct {
	point
	by       *process
	request  []byte
	answer   []byte // "" of streams and of what was not answered
	status   int    // 0: not answered
	arrived  int    // the two moments, in the order of everything in this world
	answered int
	saved    cutover.State // of a Save
}

// landed is true where AWS did what was asked.
func (c *call) landed() bool { return c.status >= 200 && c.status < 300 }

// The sides of a call that a strike can be at.
const (
	before = "before" // the request never reaches AWS
	after  = "after"  // AWS did it, and its answer is lost
)

// strike is what the proxy does to its process at a point, once.
type strike struct {
	at   point
	side string
	// do returns whether the request, or its answer, is passed on.
	do func(*process) bool
}

// proxy is one process's way to AWS.
type proxy struct {
	*httptest.Server
	world *world
	by    *process
	hit   chan struct{} // closed as it strikes

	mu     sync.Mutex
	strike *strike
	place  string
	counts map[point]int
}

type callKey struct{}

// newProxy opens a process's own endpoint.
func newProxy(w *world, by *process, s *strike) *proxy {
	p := &proxy{world: w, by: by, strike: s, place: "start", counts: map[point]int{}, hit: make(chan struct{})}
	target, err := url.Parse(w.server.Env().Endpoint)
	if err != nil {
		panic(err) // it was made by net.Listen
	}
	forward := &httputil.ReverseProxy{
		FlushInterval: -1, // updates of Live Tail come one by one
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: p.answered,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c := p.arrived(r)
		if !p.struck(c, before) {
			panic(http.ErrAbortHandler) // no answer
		}
		// What was sent takes effect, though its sender is gone.
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		forward.ServeHTTP(rw, r.WithContext(context.WithValue(ctx, callKey{}, c)))
	}))
	p.Config.ErrorLog = nothing
	p.Start()
	return p
}

// arrived names the request and keeps it.
func (p *proxy) arrived(r *http.Request) *call {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // its sender died meanwhile
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c := &call{by: p.by, request: body}
	c.Operation = operation(r, body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Operation == save {
		c.saved = savedState(body)
		p.place = fmt.Sprintf("%s-%d", c.saved.Phase, c.saved.Step+1)
	}
	c.Place = p.place
	if slices.Contains(byTime, c.Operation) {
		c.Place = "run"
	}
	p.counts[c.point]++
	c.Nth = p.counts[c.point]
	p.world.keep(c)
	return c
}

// answered keeps what AWS said.
func (p *proxy) answered(r *http.Response) error {
	c := r.Request.Context().Value(callKey{}).(*call)
	if c.Operation != "StartLiveTail" {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.answer = body
	}
	p.world.settle(c, r.StatusCode)
	if !p.struck(c, after) {
		return errors.New("the answer is lost")
	}
	return nil
}

// struck strikes where this is the point, and tells whether to go on.
func (p *proxy) struck(c *call, side string) (goOn bool) {
	p.mu.Lock()
	s := p.strike
	if s == nil || s.side != side || s.at != c.point {
		p.mu.Unlock()
		return true
	}
	p.strike = nil
	p.mu.Unlock()
	close(p.hit)
	return s.do(p.by)
}

// rest are the operations of the services that name them by method and path.
var rest = []struct {
	method, name string
	path         *regexp.Regexp
}{
	{"GET", "ListResourceRecordSets", regexp.MustCompile(`^/2013-04-01/hostedzone/[^/]+/rrset`)},
	{"POST", changeDNS, regexp.MustCompile(`^/2013-04-01/hostedzone/[^/]+/rrset`)},
	{"GET", "GetChange", regexp.MustCompile(`^/2013-04-01/change/`)},
	{"GET", "GetStage", regexp.MustCompile(`^/restapis/[^/]+/stages/`)},
	{"PATCH", updateStage, regexp.MustCompile(`^/restapis/[^/]+/stages/`)},
	{"GET", "GetAlias", regexp.MustCompile(`^/2015-03-31/functions/[^/]+/aliases/`)},
	{"PUT", updateAlias, regexp.MustCompile(`^/2015-03-31/functions/[^/]+/aliases/`)},
	{"POST", "Invoke", regexp.MustCompile(`^/2015-03-31/functions/[^/]+/invocations`)},
}

// operation is the name of what is asked.
func operation(r *http.Request, body []byte) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, name, _ := strings.Cut(target, ".")
		return control(name, string(body))
	}
	if _, name, found := strings.Cut(r.URL.Path, "/operation/"); found {
		return name
	}
	for _, o := range rest {
		if o.method == r.Method && o.path.MatchString(r.URL.Path) {
			return o.name
		}
	}
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
		return form.Get("Action")
	}
	return r.Method + " " + strings.ReplaceAll(r.URL.Path, "/", "|")
}

// control tells the operations on the control table apart.
func control(name, body string) string {
	switch {
	case strings.Contains(body, `"pk":{"S":"sentinel"}`):
		return sentinel
	case name == "TransactWriteItems":
		return save
	case name == "UpdateItem" && strings.Contains(body, "ADD fence"):
		return takeLease
	case name == "UpdateItem" && strings.Contains(body, `":expires":{"N":"0"}`):
		return releaseLease
	case name == "UpdateItem":
		return beat
	case name == "GetItem":
		for _, kind := range []string{"topology", "lease", "shift"} {
			if strings.Contains(body, `"pk":{"S":"`+kind+`"}`) {
				return name + "-" + kind
			}
		}
	}
	return name
}

// savedState is the journal's record in a Save.
func savedState(body []byte) cutover.State {
	var transaction struct {
		TransactItems []struct {
			Put struct {
				Item map[string]struct{ S string }
			}
		}
	}
	var s cutover.State
	if err := json.Unmarshal(body, &transaction); err != nil {
		panic(fmt.Sprintf("a Save that is not understood: %v: %s", err, body))
	}
	for _, item := range transaction.TransactItems {
		if item.Put.Item["pk"].S != "shift" {
			continue
		}
		if err := json.Unmarshal([]byte(item.Put.Item["document"].S), &s); err != nil {
			panic(fmt.Sprintf("a Save that is not understood: %v: %s", err, body))
		}
	}
	return s
}

// pointsOf are the points of a recorded run that a strike is tried at: of what
// changes something every one; of a row of identical reads the first, the
// middle and the last, or every one as well.
func pointsOf(calls []*call, every bool) []point {
	counts := map[point]int{}
	var order []point // as they first come
	for _, c := range calls {
		kind := point{Place: c.Place, Operation: c.Operation}
		if counts[kind]++; counts[kind] == 1 {
			order = append(order, kind)
		}
	}
	var points []point
	for _, kind := range order {
		n := counts[kind]
		for nth := 1; nth <= n; nth++ {
			if every || slices.Contains(changes, kind.Operation) || nth == 1 || nth == (n+1)/2 || nth == n {
				points = append(points, point{kind.Place, kind.Operation, nth})
			}
		}
	}
	return points
}
