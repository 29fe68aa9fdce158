package app

import (
	"context"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/evidence"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/ramp"
	"github.com/tapctl/tapctl/internal/topology"
)

// usualSync is how long Route 53 usually takes: "generally within 60 seconds".
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
const usualSync = time.Minute

// report is what follows from the plan alone.
func report(live cutover.Setting, plan cutover.Plan) PlanReport {
	r := PlanReport{
		Mode: cutover.ModeOf(live), From: live.Dials, Exposure: live.CandidateExposure(), Steps: []PlannedStep{}, Promote: plan.Promote,
		EarliestS: plan.Length(0).Seconds(), StepJobS: plan.EachNeeds(0).Seconds(), AllJobS: plan.AllNeed(0).Seconds(), NextCommand: "tapctl shift",
		Notes: []string{"while 0 < dns < 100 both regions are written to: the last writer wins, and a user may not read his own write"},
	}
	gated := map[int]bool{}
	for _, g := range plan.Gates {
		gated[g.Step] = true
	}
	likely, before, exposedFrom := plan.Length(0), live.Dials, -1
	for i, dials := range plan.Steps {
		settle, bake := plan.Times(i)
		exposure := cutover.Setting{Dials: dials}.CandidateExposure()
		r.Steps = append(r.Steps, PlannedStep{Dials: dials, Exposure: exposure, SettleS: settle.Seconds(), BakeS: bake.Seconds(), Approval: gated[i]})
		if dials.DNS != before.DNS {
			likely += usualSync
		}
		if exposure > 0 && exposedFrom < 0 {
			exposedFrom = i
		}
		before = dials
	}
	r.LikelyS = likely.Seconds()
	if exposedFrom >= 0 {
		r.ExposedS = plan.Length(exposedFrom).Seconds()
	}
	if gated[len(plan.Steps)] {
		r.Notes = append(r.Notes, "the promotion waits for 'tapctl approve'")
	}
	return r
}

// probesAlone tells what a plan that paces by time does where nobody comes.
const probesAlone = "a step that no user's request reaches advances on tapctl's own probes alone, and says so; evidence.min_requests makes it wait for users"

// assumedBase is blue's failure rate where nobody measured it, worstLeast the
// smallest fault that a worst case is told for: below it, proof takes so long
// that only the traffic itself bounds the harm.
const (
	assumedBase = 0.001
	worstLeast  = 0.05
)

// harm tells what a bad green would cost, where the traffic is known.
func (a *App) harm(ctx context.Context, r *PlanReport, top topology.Topology, plan cutover.Plan, budget *ramp.Budget) {
	rate, err := a.rate(ctx, top)
	r.LatencyS = a.latency(plan.Poll, rate).Seconds()
	if err != nil || rate <= 0 {
		r.Notes = append(r.Notes, "how many requests a bad green would harm is not known: CloudWatch counts none; set shift.rate")
		return
	}
	r.Rate = &rate
	alpha := a.policy(plan).TestAlpha()
	b := ramp.Default(rate, a.latency(plan.Poll, rate))
	if budget != nil {
		b = *budget
	}
	worst, late := 0.0, b.Late(lastWeight(plan), 1, assumedBase, alpha)
	if budget != nil {
		worst = b.WorstCase(assumedBase, alpha, worstLeast).Harmed
	} else {
		worst = b.Late(firstWeight(plan), 1, assumedBase, alpha)
	}
	r.WorstHarmed, r.LateHarmed = &worst, &late
}

// policy is how sure the shift's judge wants to be.
func (a *App) policy(plan cutover.Plan) evidence.Policy {
	e := a.Config.Evidence
	p := evidence.Policy{Alpha: e.Alpha, R0: e.ToleratedRatio, P0: e.SLO, Probes: true, Alarms: a.requestsAnswer(), Ticks: ticks(plan)}
	if e.Slow > 0 {
		p.Slow = evidence.SlowShare
	}
	return p
}

// ticks is how many the longest run of the plan can have: one for each of the
// requests' TickLengths, and one more where a look divides it. The detectors of a
// late fault hold alpha for so many, and pay for them logarithmically.
func ticks(plan cutover.Plan) int {
	longest := plan.Longest()
	return 1 + int(longest/health.TickLength) + int(longest/max(plan.Poll, time.Second))
}

// firstWeight and lastWeight are the first and the last share of users, 0..1,
// that the plan exposes.
func firstWeight(plan cutover.Plan) float64 {
	for _, d := range plan.Steps {
		if e := (cutover.Setting{Dials: d}).CandidateExposure(); e > 0 {
			return float64(e) / 100
		}
	}
	return 0
}

func lastWeight(plan cutover.Plan) float64 {
	return float64(cutover.Setting{Dials: plan.Steps[len(plan.Steps)-1]}.CandidateExposure()) / 100
}
