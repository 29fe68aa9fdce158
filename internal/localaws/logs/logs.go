// Package logs is the embedded AWS's CloudWatch Logs: groups, streams and
// events, kept in memory up to a bound per group, read back or followed live.
// Metric filters, subscriptions and Insights do not exist here.
package logs

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Options are the dependencies of a Service.
type Options struct {
	Log   *slog.Logger // nil: discarded
	Clock clock.Clock  // paces Live Tail's sessions; nil: the machine's
	// Authorize says whether the caller may do this; nil allows everything.
	// What other services append is theirs to ask for.
	Authorize wire.Authorizer
	// KeyAuthorize says whether CloudWatch Logs itself may use a key, for
	// groups that are encrypted with one; nil allows it.
	KeyAuthorize func(ctx context.Context, region string, ask wire.Ask) error
	// EventsPerGroup bounds the memory; the oldest events go first. 0 is 20,000.
	EventsPerGroup int
	// Thin says whether FilterLogEvents answers short pages just now, the first of
	// them empty, as AWS may at any time. Nil is never.
	Thin func() bool
	// Broken says whether the region is down just now: Live Tail's connections
	// then end without a word. Nil is never.
	Broken func(region string) bool
}

const defaultEvents = 20_000

// Service is the log groups of all regions.
type Service struct {
	options Options
	mu      sync.Mutex
	groups  map[groupKey]*group
	tails   map[*tail]struct{}
	tailed  uint64                   // sessions so far, for their ids
	filters map[string]*rate.Limiter // of FilterLogEvents, by region
	ended   chan struct{}            // closed when Run ends
}

type groupKey struct{ region, name string }

type group struct {
	arn       string
	created   time.Time
	retention int // days; 0 is for ever
	kmsKey    string
	class     string
	tags      map[string]string
	streams   map[string]*stream
	events    []event // oldest first
	serial    uint64
}

type stream struct {
	created     time.Time
	first, last time.Time // event times
	ingested    time.Time
}

type event struct {
	id       uint64
	stream   string
	at       time.Time
	ingested time.Time
	message  string
}

// New returns an empty account.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.EventsPerGroup == 0 {
		options.EventsPerGroup = defaultEvents
	}
	if options.Clock == nil {
		options.Clock = clock.Real{}
	}
	return &Service{options: options, groups: map[groupKey]*group{}, tails: map[*tail]struct{}{}, filters: map[string]*rate.Limiter{}, ended: make(chan struct{})}
}

// Run waits for the end of the context and ends every Live Tail session with
// it. It is called once, or never.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	close(s.ended)
	return ctx.Err()
}

var (
	groupPattern = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	// retentions are the days PutRetentionPolicy accepts.
	retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)

func notFound(what string) error {
	return wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "The specified %s does not exist.", what)
}

func invalid(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func (s *Service) find(region, name string) (*group, error) {
	g, found := s.groups[groupKey{region, name}]
	if !found {
		return nil, notFound("log group")
	}
	return g, nil
}

// CreateGroup makes a group.
func (s *Service) CreateGroup(now time.Time, region, name, kmsKey, class string, tags map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !groupPattern.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+", name)
	}
	key := groupKey{region, name}
	if _, exists := s.groups[key]; exists {
		return wire.Errorf(http.StatusBadRequest, "ResourceAlreadyExistsException", "The specified log group already exists")
	}
	if class == "" {
		class = "STANDARD"
	}
	if tags == nil {
		tags = map[string]string{}
	}
	s.groups[key] = &group{
		arn: groupARN(region, name), created: now, kmsKey: kmsKey, class: class,
		tags: maps.Clone(tags), streams: map[string]*stream{},
	}
	return nil
}

// Append adds one event; the stream is made where it is missing, the group
// must exist.
func (s *Service) Append(now time.Time, region, groupName, streamName string, message string) error {
	return s.Deliver(now, now, region, groupName, streamName, message)
}

// Deliver is Append of an event of at that arrives later: nobody reads it
// before.
func (s *Service) Deliver(at, arrives time.Time, region, groupName, streamName string, message string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.find(region, groupName)
	if err != nil {
		return err
	}
	if _, exists := g.streams[streamName]; !exists {
		g.streams[streamName] = &stream{created: at}
	}
	s.put(g, streamName, at, arrives, message)
	return nil
}

// put adds an event in the order of time; the lock is held. It is there to be
// read once it is ingested.
func (s *Service) put(g *group, streamName string, at, now time.Time, message string) {
	g.serial++
	e := event{id: g.serial, stream: streamName, at: at, ingested: now, message: message}
	for t := range s.tails {
		t.offer(g.arn, e)
	}
	i := len(g.events)
	for i > 0 && g.events[i-1].at.After(at) {
		i--
	}
	g.events = slices.Insert(g.events, i, e)
	if excess := len(g.events) - s.options.EventsPerGroup; excess > 0 {
		// Copied, so that the dropped events do not stay in memory.
		g.events = append(make([]event, 0, s.options.EventsPerGroup+s.options.EventsPerGroup/4), g.events[excess+s.options.EventsPerGroup/10:]...)
	}
	st := g.streams[streamName]
	if st.first.IsZero() || at.Before(st.first) {
		st.first = at
	}
	if at.After(st.last) {
		st.last = at
	}
	st.ingested = now
}

// selection is which events a read wants. Zero times are open ends; End is
// exclusive, as in AWS.
type selection struct {
	now        time.Time // what is ingested later is not there yet
	streams    []string  // nil: all
	prefix     string
	start, end time.Time
	match      func(message string) bool
}

func (sel selection) wants(e event) bool {
	if e.ingested.After(sel.now) {
		return false
	}
	if sel.streams != nil && !slices.Contains(sel.streams, e.stream) {
		return false
	}
	if sel.prefix != "" && (len(e.stream) < len(sel.prefix) || e.stream[:len(sel.prefix)] != sel.prefix) {
		return false
	}
	if !sel.start.IsZero() && e.at.Before(sel.start) || !sel.end.IsZero() && !e.at.Before(sel.end) {
		return false
	}
	return sel.match == nil || sel.match(e.message)
}

// A page has 1 MB at most; AWS counts 26 bytes of overhead an event.
const (
	pageBytes     = 1 << 20
	eventOverhead = 26
)

// page returns up to limit events after the given id's place, and the last id
// looked at where there is more. An id that has left the memory starts over at
// the oldest event, all of which came after it.
func (g *group) page(sel selection, after uint64, limit int) (events []event, next uint64) {
	started := after == 0 || !slices.ContainsFunc(g.events, func(e event) bool { return e.id == after })
	bytes := 0
	for _, e := range g.events {
		if !started {
			started = e.id == after
			continue
		}
		if !sel.wants(e) {
			continue
		}
		if bytes += len(e.message) + eventOverhead; len(events) == limit || bytes > pageBytes && len(events) > 0 {
			return events, events[len(events)-1].id
		}
		events = append(events, e)
	}
	return events, 0
}
