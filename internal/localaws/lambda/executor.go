package lambda

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
)

// executor owns the processes: a pool of environments per release, and a
// bound on how many invocations of one function run at once.
type executor struct {
	limit   int
	machine clock.Clock
	envOf   func(r *release, logStream string) ([]string, error)
	log     func(ctx context.Context, e *environment, message string)
	started chan struct{}

	mu      sync.Mutex
	run     context.Context // of Run: the life of every process
	workDir string
	roots   map[string]*taskRoot // by code hash
	pools   map[*release]*pool
	slots   map[string]chan struct{} // by function
	running map[string]int           // invocations by function, queued ones too
	alive   map[*environment]bool
}

type pool struct {
	idle    []*environment // the most recently used last
	retired bool           // its release will not be invoked again
	busy    int
}

// taskRoot is an unzipped upload, shared by all versions with the same code.
type taskRoot struct {
	once sync.Once
	dir  string
	err  error
}

func newExecutor(limit int, machine clock.Clock, envOf func(*release, string) ([]string, error), log func(context.Context, *environment, string)) *executor {
	return &executor{
		limit: limit, machine: machine, envOf: envOf, log: log, started: make(chan struct{}),
		roots: map[string]*taskRoot{}, pools: map[*release]*pool{}, slots: map[string]chan struct{}{},
		running: map[string]int{}, alive: map[*environment]bool{},
	}
}

func (x *executor) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tapctl-lambda-")
	if err != nil {
		return fmt.Errorf("make the folder for function code: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.run != nil {
		return errors.New("lambda: Run was called twice")
	}
	x.run, x.workDir = ctx, dir
	close(x.started)
	return nil
}

// stop kills every process and waits for it.
func (x *executor) stop() {
	x.mu.Lock()
	doomed := make([]*environment, 0, len(x.alive))
	for e := range x.alive {
		doomed = append(doomed, e)
	}
	dir := x.workDir
	x.mu.Unlock()
	for _, e := range doomed {
		e.kill()
	}
	for _, e := range doomed {
		<-e.exited
	}
	os.RemoveAll(dir) // Non-fatal: a temporary folder.
}

func (x *executor) processes() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.alive)
}

// reap ends the environments that have been idle since before a time.
func (x *executor) reap(before time.Time) {
	x.mu.Lock()
	var doomed []*environment
	for r, p := range x.pools {
		kept := p.idle[:0]
		for _, e := range p.idle {
			if e.idleSince.Before(before) {
				doomed = append(doomed, e)
			} else {
				kept = append(kept, e)
			}
		}
		p.idle = kept
		x.forget(r, p)
	}
	x.mu.Unlock()
	for _, e := range doomed {
		e.kill()
	}
}

// retire ends the idle environments of releases that will not run again; busy
// ones end with their invocation.
func (x *executor) retire(releases ...*release) {
	x.mu.Lock()
	var doomed []*environment
	for _, r := range releases {
		if p := x.pools[r]; p != nil {
			p.retired = true
			doomed = append(doomed, p.idle...)
			p.idle = nil
			x.forget(r, p)
		}
	}
	x.mu.Unlock()
	for _, e := range doomed {
		e.kill()
	}
}

// forget drops an unused pool. Callers hold mu.
func (x *executor) forget(r *release, p *pool) {
	if len(p.idle) == 0 && p.busy == 0 {
		delete(x.pools, r)
	}
}

// errThrottled: the function is at its concurrency.
var errThrottled = errors.New("at its concurrency")

// enter takes a place among the function's running invocations and returns
// how many run with it. At the reserved concurrency it fails at once, as AWS
// does; at the bound of this machine it waits until ctx ends.
func (x *executor) enter(ctx context.Context, r *release, reserved *int) (concurrent int, leave func(), err error) {
	key := r.Region + "/" + r.Function
	x.mu.Lock()
	if reserved != nil && x.running[key] >= *reserved {
		x.mu.Unlock()
		return 0, nil, errThrottled
	}
	slots := x.slots[key]
	if slots == nil {
		slots = make(chan struct{}, x.limit)
		x.slots[key] = slots
	}
	x.running[key]++
	concurrent = x.running[key]
	x.mu.Unlock()
	done := func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.running[key]--; x.running[key] == 0 {
			delete(x.running, key)
		}
	}
	select {
	case slots <- struct{}{}:
		return concurrent, func() { <-slots; done() }, nil
	case <-ctx.Done():
		done()
		return 0, nil, errThrottled
	}
}

// errStopped: Run has ended.
var errStopped = fail(http.StatusInternalServerError, "ServiceException", "The embedded AWS is shutting down.")

// acquire returns an idle environment of the release, or a new one. The error
// is the function's own (see initError), that of a role which Lambda cannot
// assume, or errStopped.
func (x *executor) acquire(ctx context.Context, r *release, requestID string) (*environment, error) {
	select {
	case <-x.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	x.mu.Lock()
	if x.run.Err() != nil {
		x.mu.Unlock()
		return nil, errStopped
	}
	p := x.pools[r]
	if p == nil {
		p = &pool{}
		x.pools[r] = p
	}
	p.busy++
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		e := p.idle[last]
		p.idle = p.idle[:last]
		if !e.hasExited() {
			x.mu.Unlock()
			return e, nil
		}
	}
	x.mu.Unlock()
	e, err := x.spawn(ctx, r, requestID)
	if err != nil {
		x.release(r, nil)
		return nil, err
	}
	return e, nil
}

// release gives an environment back; nil is one that is gone.
func (x *executor) release(r *release, e *environment) {
	x.mu.Lock()
	p := x.pools[r]
	p.busy--
	keep := e != nil && !p.retired && x.run.Err() == nil
	if keep {
		e.idleSince = x.machine.Now()
		p.idle = append(p.idle, e)
	}
	x.forget(r, p)
	x.mu.Unlock()
	if e != nil && !keep {
		e.kill()
	}
}

// taskRoot unzips the release's code once.
func (x *executor) taskRoot(r *release) (string, error) {
	x.mu.Lock()
	root := x.roots[r.Code.SHA256]
	if root == nil {
		root = &taskRoot{}
		x.roots[r.Code.SHA256] = root
	}
	parent := x.workDir
	x.mu.Unlock()
	root.once.Do(func() { root.dir, root.err = unzip(r.Code.Zip, parent) })
	return root.dir, root.err
}

func (x *executor) track(e *environment) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.run.Err() != nil {
		return false
	}
	x.alive[e] = true
	return true
}

func (x *executor) untrack(e *environment) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.alive, e)
}
