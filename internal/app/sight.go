package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// Unseen names the dials that were never read.
type Unseen struct {
	DNS   bool
	Stage bool // canary and base
}

// MarshalJSON writes null for a dial that nobody saw.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	encoded := struct {
		Outcome Outcome `json:"outcome"`
		Dials   struct {
			DNS    *cutover.Percent `json:"dns"`
			Canary *cutover.Percent `json:"canary"`
		} `json:"dials"`
		Exposure *cutover.Percent `json:"exposure"`
		plain
	}{Outcome: r.Outcome, plain: plain(r)}
	if !r.Unseen.DNS {
		encoded.Dials.DNS = &r.Dials.DNS
	}
	if !r.Unseen.Stage {
		encoded.Dials.Canary = &r.Dials.Canary
	}
	if r.Unseen == (Unseen{}) {
		encoded.Exposure = &r.Exposure
	}
	return json.Marshal(encoded)
}

// sight is the dials as a run saw them: each part's last reading, which the
// state of the shift takes only together with all others. One goroutine reads.
type sight struct {
	*awsapi.Traffic
	last   cutover.Setting
	unseen Unseen
	unread awsapi.Unread // of the last look
	// had is the look that was made before the run began: its first one, once.
	had *view
}

// newSight begins with what the state has, which an earlier run may have read;
// a rollback by hand begins with nothing.
func newSight(traffic *awsapi.Traffic, s cutover.State) *sight {
	blind := s.Last.Base == ""
	return &sight{Traffic: traffic, last: s.Last, unseen: Unseen{blind, blind}}
}

// Read implements cutover.Traffic.
func (s *sight) Read(ctx context.Context) (cutover.Setting, error) {
	live, err := s.look(ctx)
	s.unread = awsapi.UnreadOf(err)
	if s.unread.DNS == nil {
		s.last.DNS, s.unseen.DNS = live.DNS, false
	}
	if s.unread.Stage == nil {
		s.last.Canary, s.last.Base, s.unseen.Stage = live.Canary, live.Base, false
	}
	if s.unread.Live == nil {
		s.last.LiveVersion = live.LiveVersion
	}
	return live, err
}

func (s *sight) look(ctx context.Context) (cutover.Setting, error) {
	if v := s.had; v != nil {
		s.had = nil
		return v.live, v.readErr
	}
	return s.Traffic.Read(ctx)
}

// InSync implements cutover.Traffic. What could not be read is not in sync, and
// a service that does not answer is not asked for that: nothing is decided by it.
func (s *sight) InSync(ctx context.Context, change string) (bool, error) {
	if err := s.unread.Unwrap(); err != nil {
		return false, fmt.Errorf("ask for change %s: the dials were not read: %w", change, errors.Join(err...))
	}
	return s.Traffic.InSync(ctx, change)
}

// unconfirmed completes the report of a run that ended uncertain. Which part of
// a retreat is back, and which is not known to be, tells what is left to do.
func (a *App) unconfirmed(r *Report, seen *sight, end cutover.State) {
	r.Dials, r.Exposure, r.Unseen = seen.last.Dials, seen.last.Exposure(), seen.unseen
	if end.Receipt.Decided.IsZero() || end.Reason == cutover.TakenOver {
		return // it did not go back, or another run does
	}
	if parts := seen.parts(end.Target); parts != "" {
		r.Reason = parts + "; " + r.Reason
	}
	top := seen.Topology()
	if end.Target.DNS == 0 && !top.Retired {
		r.NextCommand = "tapctl rollback, again until it exits 0; to keep green out of the answers meanwhile, once a minute: " + a.brake(top)
	}
}

// parts says of each part of a retreat to target whether it is back, "" where
// the last look found all of it there.
func (s *sight) parts(target cutover.Setting) string {
	part := func(name string, unread error, back bool, stands string) string {
		switch {
		case unread != nil:
			return name + " is not confirmed: " + strings.ReplaceAll(unread.Error(), "\n", "; ")
		case back:
			return name + " is back, read back at " + stands
		default:
			return name + " is not back: it stands at " + stands
		}
	}
	dns, stage := s.last.DNS == target.DNS, s.last.Canary == target.Canary && s.last.Base == target.Base
	version := target.LiveVersion == "" || s.last.LiveVersion == target.LiveVersion
	all := []string{
		part("DNS", s.unread.DNS, dns, fmt.Sprintf("green %v%%", s.last.DNS)),
		part("green's stage", s.unread.Stage, stage, fmt.Sprintf("canary %v%%, base %s", s.last.Canary, s.last.Base)),
	}
	if target.LiveVersion != "" {
		all = append(all, part("green's version", s.unread.Live, version, s.last.LiveVersion))
	}
	if s.unread == (awsapi.Unread{}) && dns && stage && version {
		return ""
	}
	return strings.Join(all, "; ")
}

// brake is the operator's switch, as a command: it needs neither tapctl, nor
// Route 53's control plane, nor either region.
func (a *App) brake(top topology.Topology) string {
	region := top.KillRegion
	if region == "" {
		region = a.Config.KillRegion()
	}
	return fmt.Sprintf("aws cloudwatch put-metric-data --region %s --namespace %s --metric-name %s --dimensions Environment=%s-%s --value 1",
		region, infra.KillNamespace, infra.KillMetric, a.Config.TeamName, a.Config.Environment)
}
