package awsapi

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/topology"
)

// The simulated log: lines arrive 2 to 10 s after their request, a page has
// 1 MB of them and takes 50 to 400 ms.
const (
	simLength = 65 * time.Second
	simFrom   = 25 * time.Second // the fault begins
	simUntil  = 55 * time.Second // a shared one ends
	simPage   = 2600
	simShare  = 0.1 // of the canary
	simLook   = 2 * time.Second
)

var simStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// simulated is a polled access log, a clock that moves while it is waited for,
// and the verdict that is asked for meanwhile, whatever is under way.
type simulated struct {
	rng    *rand.Rand
	now    time.Time
	look   time.Time // the next one
	judge  *health.Evidence
	blamed time.Duration // when, 0: never
	detail string
	events []simEvent
	groups [2][]int // of events, the canary's first
}

type simEvent struct {
	at, ingested int64 // milliseconds
	status       int
	canary       bool
}

// newSimulated writes all that will be logged. While a fault lasts green's
// requests fail with probability bad, and base's too where it is shared.
func newSimulated(seed uint64, rps int, bad float64, shared bool) *simulated {
	s := &simulated{rng: rand.New(rand.NewPCG(seed, 0x7a11)), now: simStart, look: simStart}
	for i := range rps * int(simLength/time.Second) {
		since := time.Duration(i) * time.Second / time.Duration(rps)
		e := simEvent{at: simStart.Add(since).UnixMilli(), status: 200, canary: s.rng.Float64() < simShare}
		e.ingested = e.at + 2000 + s.rng.Int64N(8000)
		failing := 0.001
		if since >= simFrom && (e.canary && !shared || shared && since < simUntil) {
			failing = bad
		}
		if s.rng.Float64() < failing {
			e.status = 502
		}
		group := 1
		if e.canary {
			group = 0
		}
		s.groups[group] = append(s.groups[group], i)
		s.events = append(s.events, e)
	}
	return s
}

// Now implements clock.Clock.
func (s *simulated) Now() time.Time { return s.now }

// Sleep implements clock.Clock: looks fall due meanwhile.
func (s *simulated) Sleep(ctx context.Context, d time.Duration) error {
	end := s.now.Add(max(d, 0))
	for ; !s.look.After(end); s.look = s.look.Add(simLook) {
		s.now = s.look
		f := s.judge.Look(ctx, simStart, health.Sides{DialsAt: simStart, Base: true, Canary: true, Share: simShare})
		if f.Verdict == health.Unhealthy && s.blamed == 0 {
			s.blamed, s.detail = s.now.Sub(simStart), f.Detail
		}
	}
	s.now = end
	return nil
}

// FilterLogEvents implements cloudwatchlogs.FilterLogEventsAPIClient.
func (s *simulated) FilterLogEvents(ctx context.Context, in *cloudwatchlogs.FilterLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	if err := s.Sleep(ctx, 50*time.Millisecond+time.Duration(s.rng.Int64N(int64(350*time.Millisecond)))); err != nil {
		return nil, err
	}
	lines := s.groups[0]
	if *in.LogGroupName == "g" {
		lines = s.groups[1]
	}
	from := sort.Search(len(lines), func(i int) bool { return s.events[lines[i]].at >= *in.StartTime })
	if in.NextToken != nil {
		from, _ = strconv.Atoi(*in.NextToken)
	}
	out := &cloudwatchlogs.FilterLogEventsOutput{}
	for ; from < len(lines) && s.events[lines[from]].at <= *in.EndTime; from++ {
		if len(out.Events) == simPage {
			out.NextToken = aws.String(strconv.Itoa(from))
			break
		}
		if e := &s.events[lines[from]]; e.ingested <= s.now.UnixMilli() {
			out.Events = append(out.Events, types.FilteredLogEvent{Timestamp: &e.at, IngestionTime: &e.ingested, Message: aws.String(strconv.Itoa(lines[from]))})
		}
	}
	return out, nil
}

// access reads a line, which is an event's number.
func (s *simulated) access(line string, _ bool) (topology.Access, error) {
	i, err := strconv.Atoi(line)
	if err != nil {
		return topology.Access{}, err
	}
	e := s.events[i]
	return topology.Access{ID: line, At: time.UnixMilli(e.at), Canary: e.canary, Path: "/", Status: e.status}, nil
}

// run follows the log by polling, to its end.
func (s *simulated) run(ctx context.Context) {
	tail := NewTail(nil, "000000000000", topology.Cell{Region: "eu-west-1", AccessLog: "g"}, "", "/healthz", s)
	tail.access, tail.logs = s.access, func() cloudwatchlogs.FilterLogEventsAPIClient { return s }
	tail.from = s.now
	policy := evidence.DefaultPolicy(0.01, 1000)
	s.judge = health.NewEvidence(tail, s.Now, health.EvidenceOptions{Policy: policy, Silent: time.Minute, MinRequests: 1})
	tail.poll(ctx, simStart.Add(simLength))
}

// TestAPolledLogBlamesNobodyForASharedIncident: half a minute in which both sides
// fail one request in five, read page by page while the verdict is asked for. A
// side that is read ahead of the other, or a tick of what happened to arrive
// together, makes it green's. What green alone does is seen all the same.
func TestAPolledLogBlamesNobodyForASharedIncident(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rps, runs int }{{600, 10}, {1000, 10}, {3000, 3}, {10_000, 1}} {
		t.Run(fmt.Sprint(tt.rps), func(t *testing.T) {
			t.Parallel()
			blamed := 0
			for seed := range tt.runs {
				s := newSimulated(uint64(seed), tt.rps, 0.2, true)
				s.run(t.Context())
				if s.blamed > 0 {
					blamed++
					t.Logf("seed %d: blamed after %v: %s", seed, s.blamed, s.detail)
				}
			}
			if blamed > 0 { // alpha is one in a hundred runs
				t.Errorf("%d of %d healthy greens were blamed", blamed, tt.runs)
			}
			worst := time.Duration(0)
			for seed := range max(1, tt.runs/5) {
				s := newSimulated(uint64(seed), tt.rps, 0.05, false)
				s.run(t.Context())
				if s.blamed < simFrom {
					t.Fatalf("seed %d: a green that fails 5 %% from %v on was blamed after %v", seed, simFrom, s.blamed)
				}
				worst = max(worst, s.blamed-simFrom)
			}
			if worst > 25*time.Second {
				t.Errorf("a green that fails 5 %% was blamed after %v", worst)
			}
			t.Logf("blamed %d of %d; a bad green within %v", blamed, tt.runs, worst)
		})
	}
}
