package bench

import (
	"math"
	"runtime"
	"sort"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"
)

// outcome is one release under one policy.
type outcome struct {
	harmed   float64 // green's errors beyond what blue would have had
	restore  float64 // seconds from first exposure to the fault until weight < 0.1 percent; NaN: never
	rejected bool
	promoted bool
	took     int
}

// longest bounds a release, in seconds. tail is how long the harm of a
// promoted bad release is counted: no policy here looks after promotion.
const (
	longest  = 3600
	tail     = 300
	settling = 1500 // an undo through DNS leaves stragglers for that long
	restored = 0.001
)

// release plays one release second by second.
func release(p Policy, w World, d *dice) outcome {
	decider := p.start(w, d)
	o := outcome{restore: math.NaN()}
	seen := &history{sums: make([]counts, 0, longest)}
	wanted, undoAt, promotedAt, exposedAt := 0.0, -1, -1, -1
	for t := 0; t < longest+settling; t++ {
		if undoAt < 0 && promotedAt < 0 {
			switch next := decider.decide(t, seen); {
			case next.rejected:
				undoAt, o.rejected, o.took = t, true, t
			case next.promoted || t >= longest:
				wanted, promotedAt, o.promoted, o.took = 1, t, true, t
			default:
				wanted = next.weight
			}
		}
		weight := wanted
		if undoAt >= 0 {
			weight *= p.Undo.residual(t - undoAt)
		}
		c := d.second(w, t, weight)
		seen.add(c)
		if w.greenRate(t) > w.blueRate(t) && weight > 0 {
			o.harmed += c.greenE - w.Base*c.greenN
			if exposedAt < 0 {
				exposedAt = t
			}
		}
		switch {
		case undoAt >= 0 && weight < restored:
			if exposedAt >= 0 {
				o.restore = float64(t - exposedAt)
			}
			return o
		case promotedAt >= 0 && (!w.Harmful() || t >= promotedAt+tail):
			return o
		}
	}
	return o
}

// Row is one policy in one world; its JSON is a contract.
type Row struct {
	Policy        string   `json:"policy"`
	RPS           int      `json:"rps"`
	Fault         string   `json:"fault"`
	HarmedMean    float64  `json:"harmed_mean"`
	HarmedP95     float64  `json:"harmed_p95"`
	FalseRollback float64  `json:"false_rollback"`       // of the healthy world at this rate
	FalseUpper    float64  `json:"false_rollback_upper"` // 95 percent upper bound (Clopper-Pearson)
	Missed        int      `json:"missed"`               // releases of a bad green that were promoted
	RestoreS      *float64 `json:"restore_s"`            // median; null where it never was
	DoneS         float64  `json:"done_s"`               // mean length of the release
	Seeds         int      `json:"seeds"`
}

// Compare plays every policy in every world, with the same seeds for each.
// seeds 0 plays expectations instead: one run, no randomness.
func Compare(seeds int, rates []int) []Row {
	type job struct {
		policy Policy
		world  World
		row    *Row
	}
	var jobs []job
	var rows []*Row
	for _, rps := range rates {
		for _, policy := range Policies() {
			for _, world := range Worlds(rps) {
				row := &Row{Policy: policy.Name, RPS: rps, Fault: world.Name, Seeds: seeds}
				rows = append(rows, row)
				jobs = append(jobs, job{policy, world, row})
			}
		}
	}
	queue := make(chan job)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range queue {
				j.row.fill(j.policy, j.world, seeds)
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	workers.Wait()
	return spreadFalse(rows)
}

func (r *Row) fill(p Policy, w World, seeds int) {
	outcomes := make([]outcome, 0, max(seeds, 1))
	if seeds == 0 {
		outcomes = append(outcomes, release(p, w, &dice{}))
	}
	for seed := range seeds {
		outcomes = append(outcomes, release(p, w, newDice(uint64(seed))))
	}
	var harmed, restores []float64
	rejected := 0
	for _, o := range outcomes {
		harmed = append(harmed, o.harmed)
		r.HarmedMean += o.harmed / float64(len(outcomes))
		r.DoneS += float64(o.took) / float64(len(outcomes))
		if !math.IsNaN(o.restore) {
			restores = append(restores, o.restore)
		}
		if o.rejected {
			rejected++
		} else if w.Harmful() {
			r.Missed++
		}
	}
	sort.Float64s(harmed)
	r.HarmedP95 = harmed[min(len(harmed)-1, len(harmed)*95/100)]
	if len(restores) > 0 {
		sort.Float64s(restores)
		r.RestoreS = &restores[len(restores)/2]
	}
	if !w.Harmful() {
		r.FalseRollback = float64(rejected) / float64(len(outcomes))
		r.FalseUpper = clopperPearson(rejected, len(outcomes))
	}
}

// clopperPearson is the one-sided 95 percent upper bound of a proportion.
// Clopper and Pearson (1934), Biometrika 26(4).
func clopperPearson(hits, n int) float64 {
	if hits >= n {
		return 1
	}
	return distuv.Beta{Alpha: float64(hits) + 1, Beta: float64(n - hits)}.Quantile(0.95)
}

// spreadFalse shows each policy's false rollbacks beside its harm in every
// row of the same traffic: neither number means anything alone.
func spreadFalse(rows []*Row) []Row {
	type key struct {
		policy string
		rps    int
	}
	healthy := map[key]*Row{}
	for _, r := range rows {
		if r.Fault == "healthy" {
			healthy[key{r.Policy, r.RPS}] = r
		}
	}
	all := make([]Row, 0, len(rows))
	for _, r := range rows {
		if r.Fault != "shared incident" {
			h := healthy[key{r.Policy, r.RPS}]
			r.FalseRollback, r.FalseUpper = h.FalseRollback, h.FalseUpper
		}
		all = append(all, *r)
	}
	return all
}
