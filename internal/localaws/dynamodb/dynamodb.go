// Package dynamodb is the DynamoDB of the embedded AWS: tables with their
// expressions, indexes and transactions, and global tables (2019.11.21) whose
// writes reach the other regions after a lag, the last writer winning.
//
// It does not expire items by TTL (AWS promises no time for it either), has
// no streams to read, no PartiQL, no backups to restore and none of the
// parameters that expressions replaced: asking for one is an error.
package dynamodb

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Metrics is where the data plane's metrics go.
type Metrics interface {
	Record(now time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string)
}

// Faults decides whether a call is to fail.
type Faults interface {
	Draw(region string, kind fault.Kind, target string) (fault.Fault, bool)
}

// Options configures a Service.
type Options struct {
	Log     *slog.Logger
	Clock   clock.Clock
	Metrics Metrics // nil records nothing
	Faults  Faults  // nil injects nothing
	// ReplicationLag is how long a write takes to the other regions.
	// Default 1 s; AWS says "usually within one second".
	ReplicationLag time.Duration
	// CreateDelay is how long a table is CREATING. Default 5 s [model].
	CreateDelay time.Duration
	// ReplicaDelay is how long a replica is CREATING. Default 20 s [model].
	ReplicaDelay time.Duration
	// Authorize says whether the caller may do this; nil allows everything.
	Authorize wire.Authorizer
}

// Service is DynamoDB in every region.
type Service struct {
	opts Options

	mu      sync.Mutex
	lag     time.Duration
	tables  map[tableKey]*table
	pending []replication
	tokens  map[string]time.Time // of the transactions of the last ten minutes
	serial  int                  // makes table ids
}

type tableKey struct{ region, name string }

// New returns an empty service.
func New(opts Options) *Service {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = clock.Real{}
	}
	if opts.ReplicationLag == 0 {
		opts.ReplicationLag = time.Second
	}
	if opts.CreateDelay == 0 {
		opts.CreateDelay = 5 * time.Second
	}
	if opts.ReplicaDelay == 0 {
		opts.ReplicaDelay = 20 * time.Second
	}
	return &Service{opts: opts, lag: opts.ReplicationLag, tables: map[tableKey]*table{}, tokens: map[string]time.Time{}}
}

// SetReplicationLag changes how long writes made from now on take to the
// other regions.
func (s *Service) SetReplicationLag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag
}

func validation(format string, args ...any) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

func tableARN(region, name string) string {
	return "arn:aws:dynamodb:" + region + ":" + wire.Account + ":table/" + name
}

// replication is one write on its way to another region.
type replication struct {
	due  time.Time
	from string
	to   tableKey
	key  string
	sent record
}

// record is what a region keeps under a key. A deletion is kept as well, or
// an older write arriving late would bring the item back.
type record struct {
	item    Item // nil when deleted
	written time.Time
	region  string // of the writer: ties go to the greater name
}

func (r record) newer(other record) bool {
	if !r.written.Equal(other.written) {
		return r.written.After(other.written)
	}
	return r.region > other.region
}

// settle brings everything that was due by now into effect: replicated writes
// arrive, tables become active, deleted ones go.
func (s *Service) settle(now time.Time) {
	kept := s.pending[:0]
	for _, p := range s.pending {
		if p.due.After(now) {
			kept = append(kept, p)
			continue
		}
		t, ok := s.tables[p.to]
		if !ok {
			continue // the replica has gone meanwhile
		}
		if old, had := t.records[p.key]; !had || p.sent.newer(old) {
			t.records[p.key] = p.sent
		}
		s.metric(p.due, p.from, "ReplicationLatency", map[string]string{"TableName": p.to.name, "ReceivingRegion": p.to.region},
			float64(p.due.Sub(p.sent.written).Milliseconds()), "Milliseconds")
	}
	clear(s.pending[len(kept):])
	s.pending = kept
	for key, t := range s.tables {
		if !t.goneAt.IsZero() && !t.goneAt.After(now) {
			delete(s.tables, key)
		}
	}
}

func (s *Service) metric(now time.Time, region, name string, dimensions map[string]string, value float64, unit string) {
	if s.opts.Metrics != nil {
		s.opts.Metrics.Record(now, region, "AWS/DynamoDB", name, dimensions, value, unit)
	}
}

// Run lets replicated writes arrive, and their latency be recorded, while
// nobody reads. It ends with ctx.
func (s *Service) Run(ctx context.Context) error {
	for {
		if err := s.opts.Clock.Sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		s.Settle(s.opts.Clock.Now())
	}
}

// Settle brings everything that was due by now into effect.
func (s *Service) Settle(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
}

// write stores an item (nil deletes) and sends it to the other replicas.
func (s *Service) write(now time.Time, t *table, key string, item Item) {
	r := record{item: item, written: now, region: t.region}
	if old, had := t.records[key]; had && !r.written.After(old.written) {
		// Two writes of one instant: this region's order is kept.
		r.written = old.written.Add(time.Nanosecond)
	}
	t.records[key] = r
	for region := range t.group.replicas {
		if region != t.region {
			s.pending = append(s.pending, replication{due: now.Add(s.lag), from: t.region, to: tableKey{region, t.name}, key: key, sent: r})
		}
	}
}
