package kill_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/rehearse"
	"github.com/tapctl/tapctl/internal/topology"
)

// atOnce is how many worlds there are: their processes mostly wait.
const atOnce = 2

// speed is how many times faster the worlds' clock runs. A retreat's 75 s are
// then a quarter of a second, and a look still fits between two polls.
const speed = 300

// settings is the smallest shift that makes every kind of call: two steps of
// both dials and types of record, and a promotion. The lease is as short as it
// may be; hold_timeout is long, so that a machine that is busy for a second does
// not send a shift back.
const settings = `team_name: Shop
environment: demo
source_region: eu-west-1
target_region: eu-central-1
domain: {name: api.example.test, zone: example.test, dualstack: true}
allowed_cidr: ["0.0.0.0/0", "::/0"]
shift: {step: 50, bake: 12s, settle: 2s, poll: 8s, hold_timeout: 6h, sync_timeout: 4m}
lease: {ttl: 4m, heartbeat: 30s}
evidence: {silent: 1h}
`

// world is an embedded AWS with both cells in it, and its users.
type world struct {
	number  int
	server  *localaws.Server
	dir     string
	binary  string
	home    string
	clients *awsapi.Clients
	control *awsapi.Control
	traffic *awsapi.Traffic
	top     topology.Topology
	checks  map[string]string // health check of each weighted record, by type and set
	users   *rehearse.Users
	judged  int // requests of the users that a case has answered for

	mu     sync.Mutex
	moment int
	calls  []*call
}

// worlds start once and are shared: a deploy costs more than all else here.
type worlds struct {
	ctx  context.Context
	dir  string
	once sync.Once
	err  error
	all  []*world
}

// get starts the worlds, or skips the test where they cannot be.
func (p *worlds) get(t *testing.T) []*world {
	t.Helper()
	at, err := home()
	if err != nil {
		t.Fatal(err)
	}
	if err := missing(at); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI must not skip: %v", err)
		}
		t.Skip(err)
	}
	p.once.Do(func() { p.err = p.start(at) })
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.all
}

func (p *worlds) start(home string) error {
	binary, err := build(p.dir)
	if err != nil {
		return err
	}
	n := atOnce
	if only != "" {
		n = 1
	}
	p.all = make([]*world, n)
	errs := make([]error, n)
	var starting sync.WaitGroup
	for i := range p.all {
		p.all[i] = &world{number: i, dir: filepath.Join(p.dir, fmt.Sprint(i)), binary: binary, home: home}
		starting.Go(func() { errs[i] = p.all[i].up(p.ctx) })
	}
	starting.Wait()
	return errors.Join(errs...)
}

func (p *worlds) close() {
	for _, w := range p.all {
		if w.users != nil {
			w.users.Stop()
		}
		if w.server != nil {
			w.server.Close() // Non-fatal: the tests are over.
		}
	}
}

// environment points a process at this world, by its own endpoint.
func (w *world) environment(endpoint string) []string {
	env := w.server.Env()
	var variables []string
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "TAPCTL_HOME": w.home, "TAPCTL_CLOCK": env.Clock,
		"TAPCTL_AWS_ENDPOINT_URL": endpoint, "TAPCTL_AWS_DNS_SERVER": env.DNSServer, "TAPCTL_AWS_HTTPS_PORT": fmt.Sprint(env.HTTPSPort),
		"TAPCTL_AWS_CA_BUNDLE": env.CAFile, "TAPCTL_INFRA_PROVIDER": "local", "TAPCTL_INFRA_BACKEND_URL": "file://" + env.StateDir,
		"TAPCTL_FUNCTION_ARCHITECTURE": map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH],
	} {
		variables = append(variables, name+"="+value)
	}
	return variables
}

// up starts the world: AWS, both cells, a second version in green, users.
func (w *world) up(ctx context.Context) error {
	state := filepath.Join(w.dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "tapctl.yaml"), []byte(settings), 0o600); err != nil {
		return err
	}
	var err error
	w.server, err = localaws.Start(ctx, localaws.Options{
		Speed: speed, Seed: uint64(w.number + 1), Zones: []string{"example.test"}, Regions: []string{"eu-west-1", "eu-central-1"},
		CAFile: filepath.Join(w.dir, "ca.pem"), StateDir: state,
	})
	if err != nil {
		return err
	}
	endpoint := w.server.Env().Endpoint
	deploy := exec.CommandContext(ctx, w.binary, "deploy")
	deploy.Dir, deploy.Env = w.dir, append(os.Environ(), w.environment(endpoint)...)
	if out, err := deploy.CombinedOutput(); err != nil {
		return fmt.Errorf("deploy: %w: %s", err, out)
	}
	if w.clients, err = awsapi.Load(ctx, config.AWS{EndpointURL: endpoint}); err != nil {
		return err
	}
	w.control = awsapi.NewControl(w.clients, "Shop-demo-control", "eu-central-1", "eu-west-1")
	if w.top, err = w.control.Topology(ctx); err != nil {
		return err
	}
	w.traffic = awsapi.NewTraffic(w.clients, w.top)
	if err := w.release(ctx); err != nil {
		return err
	}
	if w.checks, err = w.healthChecks(ctx); err != nil {
		return err
	}
	return w.populate(ctx)
}

// release publishes a second version and makes it the candidate, so that a
// promotion has an alias to move.
func (w *world) release(ctx context.Context) error {
	fn, client := &w.top.Target.APIFunction, w.clients.Lambda(w.top.Target.Region)
	if _, err := client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: fn, MemorySize: aws.Int32(320)}); err != nil {
		return err
	}
	published, err := client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: fn})
	if err != nil {
		return err
	}
	return w.point(ctx, "next", aws.ToString(published.Version))
}

func (w *world) point(ctx context.Context, alias, version string) error {
	_, err := w.clients.Lambda(w.top.Target.Region).UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: &w.top.Target.APIFunction, Name: &alias, FunctionVersion: &version,
	})
	return err
}

// healthChecks are those of the weighted records.
func (w *world) healthChecks(ctx context.Context) (map[string]string, error) {
	out, err := w.clients.Route53().ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &w.top.ZoneID})
	if err != nil {
		return nil, err
	}
	checks := map[string]string{}
	for _, r := range out.ResourceRecordSets {
		if r.Weight != nil {
			checks[string(r.Type)+" "+aws.ToString(r.SetIdentifier)] = aws.ToString(r.HealthCheckId)
		}
	}
	if len(checks) != 4 {
		return nil, fmt.Errorf("want two weighted records of two types, found %v", checks)
	}
	return checks, nil
}

func (w *world) populate(ctx context.Context) error {
	pem, err := os.ReadFile(w.server.Env().CAFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	target := rehearse.Target{
		Host: w.top.RecordName, DNSServer: w.server.Env().DNSServer, Port: w.server.Env().HTTPSPort, Roots: roots, Clock: w.server.Clock(),
	}
	if err := rehearse.Seed(ctx, target); err != nil {
		return err
	}
	w.users = rehearse.StartUsers(ctx, target, rehearse.Load{
		Clients: 5, Rate: 15, Seed: uint64(w.number + 1), Name: fmt.Sprintf("world-%d", w.number), ConnectionLife: 4 * time.Minute,
	})
	return nil
}

// keep notes a call as it arrives.
func (w *world) keep(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moment++
	c.arrived = w.moment
	w.calls = append(w.calls, c)
}

// settle notes how AWS answered it.
func (w *world) settle(c *call, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moment++
	c.status, c.answered = status, w.moment
}

// recorded are the calls since the last time; it is asked between processes.
func (w *world) recorded() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// seen is the world as it is, read past every proxy.
type seen struct {
	live  cutover.Setting
	shift cutover.State
	found bool
	lease cutover.Lease
}

func (w *world) look(t *testing.T) seen {
	t.Helper()
	var s seen
	var err error
	if s.live, err = w.traffic.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.shift, s.found, err = w.control.Shift(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.lease, err = w.control.Lease(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// outlast waits until the lease of a dead runner has expired.
func (w *world) outlast(t *testing.T, l cutover.Lease) {
	t.Helper()
	if err := w.server.Clock().Sleep(t.Context(), l.Expires.Sub(w.server.Clock().Now())+time.Second); err != nil {
		t.Fatal(err)
	}
}

// run runs a command to its end and wants one of these exit codes.
func (w *world) run(t *testing.T, env []string, want int, args ...string) *process {
	t.Helper()
	p := w.start(t, nil, env, args...)
	if got := p.code(t); got != want {
		t.Errorf("%s: exit code %d, want %d:\n%s", p.name, got, want, p.output.String())
	}
	return p
}

// restore sends everybody back to where each case begins: blue answers, the
// first version is live and no shift is open.
func (w *world) restore(t *testing.T) seen {
	t.Helper()
	now := w.look(t)
	if (now.live.Dials != cutover.Dials{}) || now.live.Base != cutover.Forwarder || now.found && now.shift.Phase.Open() {
		w.run(t, nil, 0, "rollback", "--to-blue")
	}
	// No case knows of the one before: --once would not begin again what that
	// one sent back.
	if err := errors.Join(w.point(t.Context(), "live", "1"), w.control.Forget(t.Context()), w.control.PutTopology(t.Context(), w.top)); err != nil {
		t.Fatal(err)
	}
	now = w.look(t)
	if want := (cutover.Setting{Base: cutover.Forwarder, LiveVersion: "1", NextVersion: "2"}); now.live != want {
		t.Fatalf("a case begins at %#v, want %#v", now.live, want)
	}
	return now
}

// migrated turns the dials as a migration leaves them, with the next version
// behind the canary.
func (w *world) migrated(t *testing.T) {
	t.Helper()
	_, dnsErr := w.traffic.SetDNS(t.Context(), 0, 100)
	if err := errors.Join(dnsErr, w.point(t.Context(), "live", "2")); err != nil {
		t.Fatal(err)
	}
	to := cutover.Setting{Dials: cutover.Dials{DNS: 100}, Base: cutover.Live, LiveVersion: "2", NextVersion: "2"}
	for live := w.look(t).live; live != to; live = w.look(t).live { // base, and the canary where there is one
		if err := w.traffic.Promote(t.Context(), live, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.point(t.Context(), "live", "1"); err != nil {
		t.Fatal(err)
	}
}

// unharmed holds every request of the users since the last time.
func (w *world) unharmed(t *testing.T) {
	t.Helper()
	all := w.users.Requests()
	for _, r := range all[w.judged:] {
		if r.Failed() {
			t.Errorf("a user's request failed at %s: status %d from %s (%s) at %s: %s", r.At.Format(time.TimeOnly), r.Status, r.Side, r.Alias, r.Address, r.Err)
		}
	}
	w.judged = len(all)
}

// answeredBy counts the users' requests by who answered.
func (w *world) answeredBy() map[string]int {
	counts := map[string]int{}
	for _, r := range w.users.Requests() {
		counts[r.Side+" "+r.Alias]++
	}
	return maps.Clone(counts)
}
