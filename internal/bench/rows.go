package bench

import (
	"context"
	"math"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"
)

// Row is one policy in one world; its JSON is a contract, fields may be added.
// Means and percentiles are over the releases played. Null where a thing never
// was.
type Row struct {
	Policy        string   `json:"policy"`
	Source        string   `json:"source"`
	RPS           int      `json:"rps"`
	Fault         string   `json:"fault"`
	HarmedMean    float64  `json:"harmed_mean"`
	HarmedP95     float64  `json:"harmed_p95"`
	Ratio         *float64 `json:"ratio"`                // harmed_mean by tapctl's in the same world
	FalseRollback float64  `json:"false_rollback"`       // of the healthy world at this rate
	FalseUpper    float64  `json:"false_rollback_upper"` // 95 percent upper bound (Clopper-Pearson)
	Missed        int      `json:"missed"`               // releases of a bad green that were promoted
	ExposedMean   float64  `json:"exposed_mean"`         // requests that a bad green answered
	DetectS       *float64 `json:"detect_s"`             // median, first exposure to the fault until the undo is ordered
	RestoreS      *float64 `json:"restore_s"`            // median, first exposure until green has < 0.1 percent
	PromoteS      *float64 `json:"promote_s"`            // mean length of the promoted releases
	DoneS         float64  `json:"done_s"`               // mean length of all
	Writes        float64  `json:"ctl_calls"`            // mean number of dial writes
	Seeds         int      `json:"seeds"`

	rejected int
}

// healthySeeds is how many times the seeds tapctl's healthy releases are
// played: none blamed of 200 would still allow one and a half percent.
const healthySeeds = 10

// claims tells whose false rollbacks are claimed to be below one percent.
func (p Policy) claims() bool { return p.Name == Ours || p.Name == oursFast }

// job is a row to be played.
type job struct {
	policy Policy
	world  World
	seeds  int
	row    *Row
}

// Compare plays every policy in every world, with the same seeds for each.
// seeds 0 plays expectations instead: one run, no randomness. It fails only
// where ctx ends it.
func Compare(ctx context.Context, seeds int, rates []int) ([]Row, error) {
	var jobs []job
	var rows []*Row
	for _, rps := range rates {
		for _, policy := range Policies() {
			if policy.Name == oursCoarse && !dialBinds(rps) {
				continue
			}
			for _, world := range Worlds(rps) {
				row := &Row{Policy: policy.Name, Source: policy.Source, RPS: rps, Fault: world.Name}
				rows = append(rows, row)
				n := seeds
				if policy.claims() && world.Name == healthy {
					n *= healthySeeds
				}
				jobs = append(jobs, job{policy, world, n, row})
			}
		}
	}
	play(ctx, jobs)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return relate(rows), nil
}

// play fills the rows, on every processor, until ctx ends.
func play(ctx context.Context, jobs []job) {
	queue := make(chan job)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			scratch := &history{sums: make([]counts, 0, longest+settling)}
			for j := range queue {
				j.row.fill(outcomes(ctx, j.policy, j.world, j.seeds, scratch), j.world)
				j.row.Seeds = j.seeds
			}
		})
	}
	for _, j := range jobs {
		select {
		case queue <- j:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()
}

func outcomes(ctx context.Context, p Policy, w World, seeds int, scratch *history) []outcome {
	if seeds == 0 {
		return []outcome{release(p, w, &dice{}, scratch)}
	}
	all := make([]outcome, 0, seeds)
	for seed := range seeds {
		if ctx.Err() != nil {
			break
		}
		all = append(all, release(p, w, newDice(uint64(seed)), scratch))
	}
	return all
}

func (r *Row) fill(outcomes []outcome, w World) {
	var harmed, detects, restores []float64
	n := float64(len(outcomes))
	promoted, promotedS := 0, 0.0
	for _, o := range outcomes {
		harmed = append(harmed, o.harmed)
		r.HarmedMean += o.harmed / n
		r.ExposedMean += o.exposed / n
		r.DoneS += float64(o.took) / n
		r.Writes += float64(o.writes) / n
		if !math.IsNaN(o.detect) {
			detects = append(detects, o.detect)
		}
		if !math.IsNaN(o.restore) {
			restores = append(restores, o.restore)
		}
		if o.rejected {
			r.rejected++
		}
		if o.promoted {
			promoted++
			promotedS += float64(o.took)
		}
	}
	if w.Harmful() {
		r.Missed = promoted
	}
	if promoted > 0 {
		mean := promotedS / float64(promoted)
		r.PromoteS = &mean
	}
	r.HarmedP95 = percentile(harmed, 95)
	r.DetectS, r.RestoreS = median(detects), median(restores)
	r.FalseRollback = float64(r.rejected) / n
	r.FalseUpper = clopperPearson(r.rejected, len(outcomes))
}

func median(of []float64) *float64 {
	if len(of) == 0 {
		return nil
	}
	middle := percentile(of, 50)
	return &middle
}

// clopperPearson is the one-sided 95 percent upper bound of a proportion.
// Clopper and Pearson (1934), Biometrika 26(4).
func clopperPearson(hits, n int) float64 {
	if hits >= n {
		return 1
	}
	return distuv.Beta{Alpha: float64(hits) + 1, Beta: float64(n - hits)}.Quantile(0.95)
}

// relate shows each policy's false rollbacks, and its harm as a multiple of
// tapctl's, beside its harm in every row of the same traffic: no number of
// these means anything alone. In the shared incident every rollback is false.
func relate(rows []*Row) []Row {
	type key struct {
		name string // policy or fault
		rps  int
	}
	well, ours := map[key]*Row{}, map[key]*Row{}
	for _, r := range rows {
		if r.Fault == healthy {
			well[key{r.Policy, r.RPS}] = r
		}
		if r.Policy == Ours {
			ours[key{r.Fault, r.RPS}] = r
		}
	}
	all := make([]Row, 0, len(rows))
	for _, r := range rows {
		if r.Fault != shared {
			h := well[key{r.Policy, r.RPS}]
			r.FalseRollback, r.FalseUpper = h.FalseRollback, h.FalseUpper
		}
		if o := ours[key{r.Fault, r.RPS}]; o != nil && o.HarmedMean > 0 {
			ratio := r.HarmedMean / o.HarmedMean
			r.Ratio = &ratio
		}
		all = append(all, *r)
	}
	return all
}
