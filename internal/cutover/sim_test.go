package cutover_test

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The simulation: one seed draws a world, its hurts and its runs, and plays
// the real driver through them. TAPCTL_SIM_SEED=N reruns one seed with its
// story, TAPCTL_SIM_SEEDS=N plays so many, TAPCTL_SIM_FROM=N from there on.
const (
	simRuns      = 10_000
	simRunsShort = 1_000
)

func TestSim(t *testing.T) {
	t.Parallel()
	if seed, set := envNumber(t, "TAPCTL_SIM_SEED"); set {
		story, broken := tell(seed)
		t.Logf("seed %d\n%s", seed, story)
		if broken != nil {
			t.Fatal(broken)
		}
		return
	}
	runs := uint64(simRuns)
	if testing.Short() || underRace {
		runs = simRunsShort
	}
	if n, set := envNumber(t, "TAPCTL_SIM_SEEDS"); set {
		runs = n
	}
	from, _ := envNumber(t, "TAPCTL_SIM_FROM")
	seeds := keptSeeds(t)
	for i := range runs {
		seeds = append(seeds, from+i)
	}
	total := playAll(t, seeds)
	if !t.Failed() && runs >= simRuns {
		reached(t, total)
	}
}

// playAll plays the seeds on every core and reports the first few that broke.
func playAll(t *testing.T, seeds []uint64) counts {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var undone time.Duration
	total := counts{}
	broken := map[uint64]error{}
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			mine, longest := counts{}, time.Duration(0)
			for i := w; i < len(seeds); i += workers {
				s := newSim(seeds[i], nil)
				s.play()
				for name, n := range s.seen {
					mine[name] += n
				}
				longest = max(longest, s.undone)
				if s.broken != nil {
					mu.Lock()
					broken[seeds[i]] = s.broken
					enough := len(broken) >= 5
					mu.Unlock()
					if enough {
						return
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			undone = max(undone, longest)
			for name, n := range mine {
				total[name] += n
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for seed, err := range broken {
		t.Errorf("seed %d: %v\nrerun with its story: TAPCTL_SIM_SEED=%d go test -run 'TestSim$' -v ./internal/cutover", seed, err, seed)
	}
	t.Logf("%d runs in %v, %.0f a second; a write of an older token exposed users for at most %v\n%s",
		len(seeds), took.Round(time.Millisecond), float64(len(seeds))/took.Seconds(), undone, total)
	return total
}

func (c counts) String() string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%9d  %s\n", c[name], name)
	}
	return b.String()
}

// reached fails where the worlds no longer contain what they are there for.
func reached(t *testing.T, total counts) {
	t.Helper()
	for _, name := range []string{
		"end: completed", "end: rolled_back", "end: held", "end: uncertain", "refused", "crashed", "suspended", "leapt", "signalled", "human",
		"lost", "late", "stale", "throttled", "outage", "healed: completed", "healed: rolled_back",
		"residual: canary of an older token", "rollbacks to blue",
	} {
		if total[name] < 20 {
			t.Errorf("only %d times in all runs: %s", total[name], name)
		}
	}
}

// tell plays a seed and returns its story.
func tell(seed uint64) (string, error) {
	var story strings.Builder
	s := newSim(seed, &story)
	s.play()
	return story.String(), s.broken
}

// TestSimRepeats plays seeds twice: the same story, byte for byte.
func TestSimRepeats(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		first, _ := tell(seed)
		if second, _ := tell(seed); first != second {
			t.Fatalf("seed %d tells two stories:\n%s\n---\n%s", seed, first, second)
		}
	}
}

func envNumber(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}

// keptSeeds are those that once found something.
func keptSeeds(t *testing.T) []uint64 {
	t.Helper()
	file, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var seeds []uint64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		number, _, _ := strings.Cut(lines.Text(), "#")
		if number = strings.TrimSpace(number); number == "" {
			continue
		}
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatalf("testdata/seeds.txt: %v", err)
		}
		seeds = append(seeds, seed)
	}
	return seeds
}
