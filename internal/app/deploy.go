package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

// DeployAsk is what deploy is asked to do.
type DeployAsk struct {
	Runner       infra.Runner
	API, Forward infra.Artifact
	// Cells to update besides a source cell that does not exist yet:
	// "target", "source" or "all".
	Cells  string
	DryRun bool
}

// DeployReport is what deploy did; its JSON is a contract.
type DeployReport struct {
	Outputs         DeployOutputs `json:"outputs"`
	Changes         infra.Counts  `json:"changes"`
	DurationSeconds float64       `json:"duration_s"`
	DryRun          bool          `json:"dry_run,omitempty"`
}

// DeployOutputs are what users of the environment need.
type DeployOutputs struct {
	APIURL     string            `json:"api_url"`
	APIURLs    map[string]string `json:"api_urls"`
	WebsiteURL string            `json:"website_url"` // "" where the bucket is adopted
	TableName  string            `json:"table_name"`
}

// deployment is one deploy under way.
type deployment struct {
	*App
	ask    DeployAsk
	input  infra.Input
	counts infra.Counts
	top    topology.Topology
	// held is the lease, nil before the first deploy.
	held *awsapi.Held
	// retired is true where blue has gone for good: it is not made again.
	retired bool
	// planned is what a preview would do.
	planned []infra.Change
}

// Deploy provisions base, the cells and the edge, in this order, and probes
// green directly. It moves no traffic: what the dials stand at is read first
// and written back. It is refused while a shift is open.
func (a *App) Deploy(ctx context.Context, ask DeployAsk) (DeployReport, error) {
	began := (clock.Real{}).Now() // Pulumi works in real time, whatever clock AWS runs on
	d := &deployment{App: a, ask: ask}
	if err := d.preflight(ctx); err != nil {
		return DeployReport{}, refused(err)
	}
	held, err := d.guard(ctx)
	if err != nil {
		return DeployReport{}, refused(err)
	}
	if held != nil {
		defer a.release(ctx, held)
		var stop func()
		ctx, stop = d.hold(ctx, held)
		defer stop()
	}
	if ask.DryRun {
		err = d.preview(ctx)
	} else {
		err = d.provision(ctx)
	}
	if err != nil {
		return DeployReport{}, ended(ctx, err)
	}
	return DeployReport{
		Outputs: d.outputs(), Changes: d.counts, DryRun: ask.DryRun,
		DurationSeconds: (clock.Real{}).Now().Sub(began).Seconds(),
	}, nil
}

// preflight asks AWS the cheap questions first: a wrong endpoint or dead
// credentials would otherwise show after minutes, in the middle.
func (d *deployment) preflight(ctx context.Context) error {
	if err := d.identify(ctx); err != nil {
		return err
	}
	if _, err := d.records(ctx); err != nil {
		return err
	}
	return d.adopt(ctx)
}

// identify asks whose account and zone this is.
func (d *deployment) identify(ctx context.Context) error {
	account, err := d.Clients.Account(ctx, d.Config.TargetRegion)
	if err != nil {
		return err
	}
	zone, err := d.Clients.ZoneID(ctx, d.Config.Domain.Zone)
	if err != nil {
		return err
	}
	d.input = infra.Input{Config: d.Config, Account: account, ZoneID: zone}
	d.say(cutover.EventPlan, "account %s, zone %s (%s)", account, d.Config.Domain.Zone, zone)
	return nil
}

// guard refuses where a shift is open or users are on a candidate that this
// deploy would replace under them, and takes the lease. A dry run only looks: it
// changes nothing, and keeps nobody out. Before the first deploy there is no
// control table, and nothing to guard.
func (d *deployment) guard(ctx context.Context) (*awsapi.Held, error) {
	err := d.refuseOpen(ctx, "deploy")
	if errors.Is(err, awsapi.ErrNoTopology) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if d.ask.DryRun {
		return nil, d.refuseExposed(ctx)
	}
	held, err := d.take(ctx, "deploy")
	if err != nil {
		return nil, err
	}
	// A shift may have come and gone, or held, before the lease was this run's.
	if err = d.refuseOpen(ctx, "deploy"); err == nil {
		err = d.refuseExposed(ctx)
	}
	if err != nil {
		d.release(ctx, held)
		return nil, err
	}
	return held, nil
}

// refuseOpen refuses what no open shift may meet.
func (a *App) refuseOpen(ctx context.Context, purpose string) error {
	shift, found, err := a.control().Shift(ctx)
	if err == nil && found && shift.Phase.Open() {
		return openShift(purpose, shift)
	}
	return err
}

func (d *deployment) refuseExposed(ctx context.Context) error {
	top, err := d.control().Topology(ctx)
	if errors.Is(err, awsapi.ErrNoTopology) {
		return nil // an earlier deploy ended before it was complete
	}
	if err != nil {
		return err
	}
	d.retired = top.Retired
	if was, is := top.External, externalName(d.Config.Source.External); !top.Retired && (was == "") != (is == "") {
		return &Refused{
			Cause: fmt.Errorf("deploy: source.external is %q, and %s was deployed with %q: whose blue is cannot change under its users", is, top.RecordName, was),
			Next:  "set it back; or 'tapctl destroy' first, which leaves an external source as it was found",
		}
	}
	live, err := awsapi.NewTraffic(d.Clients, top).Read(ctx)
	if err != nil {
		return err
	}
	if live.CandidateExposure() > 0 {
		return &Refused{
			Cause: fmt.Errorf("deploy: %v%% of users are on the candidate this deploy would replace (%s)", live.CandidateExposure(), live),
			Next:  "finish with 'tapctl shift', or go back with 'tapctl rollback'",
		}
	}
	return nil
}

// stack is one stack operation, told as it begins and ends. It does not begin
// once another run has the lease: what it would write was read before.
func (d *deployment) stack(ctx context.Context, name string, program func() (infra.Result, error)) (infra.Result, error) {
	if err := d.mine(ctx); err != nil {
		return infra.Result{}, err
	}
	d.say(cutover.EventStep, "stack %s", name)
	result, err := program()
	if err != nil {
		return result, err
	}
	d.counts = d.counts.Add(result.Counts)
	d.say(cutover.EventStep, "stack %s: %d created, %d updated, %d deleted, %d unchanged", name,
		result.Counts.Create, result.Counts.Update, result.Counts.Delete, result.Counts.Same)
	return result, ctx.Err()
}

func (d *deployment) provision(ctx context.Context) error {
	base, err := d.base(ctx)
	if err != nil {
		return err
	}
	cells := map[topology.Side]infra.Outputs{}
	for _, side := range d.sides() {
		if cells[side], err = d.cell(ctx, side, base); err != nil {
			return err
		}
	}
	edge, err := d.edge(ctx, base)
	if err != nil {
		return err
	}
	d.assemble(base, cells, edge)
	if err := d.top.Validate(); err != nil {
		return err
	}
	if err := d.store(ctx); err != nil {
		return err
	}
	return d.smoke(ctx)
}

func (d *deployment) name(part string) string { return d.Config.StackPrefix() + "-" + part }

// sides are those whose cell is tapctl's.
func (d *deployment) sides() []topology.Side {
	if d.retired || d.Config.Source.External.Set() {
		return []topology.Side{topology.Green}
	}
	return []topology.Side{topology.Blue, topology.Green}
}

func (d *deployment) base(ctx context.Context) (infra.Base, error) {
	if err := d.baseStays(ctx); err != nil {
		return infra.Base{}, err
	}
	if err := d.adoptBucket(ctx); err != nil {
		return infra.Base{}, refused(err)
	}
	result, err := d.stack(ctx, d.name("base"), func() (infra.Result, error) {
		return d.ask.Runner.Up(ctx, d.name("base"), infra.BaseProgram(d.input))
	})
	if err != nil {
		return infra.Base{}, err
	}
	return baseOf(result.Outputs), d.protectReplicas(ctx, true)
}

// protectReplicas turns the deletion protection of the replicas that are base's
// on or off: Pulumi's table has an input for its own copy alone, and after a
// migration the replica is what everybody is on. An adopted table's is its own
// resource.
func (d *deployment) protectReplicas(ctx context.Context, on bool) error {
	c := d.Config
	if c.Table.Adopt == "" {
		if err := d.Clients.ProtectTable(ctx, c.TargetRegion, c.Name("items"), on); err != nil {
			return err
		}
	}
	return d.Clients.ProtectTable(ctx, c.SourceRegion, c.Name("control"), on)
}

func baseOf(o infra.Outputs) infra.Base {
	return infra.Base{
		TableName: o.Text("table_name"), ControlTable: o.Text("control_table"),
		KeyARN: o.Texts("key_arn"), CertificateARN: o.Texts("certificate_arn"),
		SecretARN: o.Texts("secret_arn"), Bucket: o.Texts("bucket"), WebsiteURL: o.Text("website_url"),
	}
}

// wanted tells whether this deploy updates the side's cell. Blue is created
// where it is missing, and left alone afterwards unless asked for: it is what
// users are on.
func (d *deployment) wanted(side topology.Side, exists bool) bool {
	switch side {
	case topology.Blue:
		return !exists || d.ask.Cells == "source" || d.ask.Cells == "all"
	case topology.Green:
		return !exists || d.ask.Cells != "source"
	default:
		return false
	}
}

func (d *deployment) cellInput(ctx context.Context, side topology.Side, base infra.Base, outputs infra.Outputs) (infra.CellInput, error) {
	in := infra.CellInput{Input: d.input, Side: side, Base: base, API: d.ask.API, Forward: d.ask.Forward}
	var err error
	if in.Live, err = d.Clients.LiveCell(ctx, in.Region(), outputs.Text("rest_api"), d.Config.Name("api")); err != nil {
		return in, err
	}
	edge, err := d.Clients.LiveEdge(ctx, d.input.ZoneID, d.Config.Domain.Name)
	if total := edge.BlueWeight + edge.GreenWeight; edge.Exists && total > 0 {
		in.DNSPercent = float64(100*edge.GreenWeight) / float64(total)
	}
	return in, err
}

func (d *deployment) cell(ctx context.Context, side topology.Side, base infra.Base) (infra.Outputs, error) {
	region := infra.CellInput{Input: d.input, Side: side}.Region()
	stack := d.name("cell-" + region)
	outputs, err := d.ask.Runner.Outputs(ctx, stack)
	if err != nil {
		return nil, err
	}
	if !d.wanted(side, outputs.Text("rest_api") != "") {
		d.say(cutover.EventStep, "stack %s: left alone, users are on it (--cell source updates it)", stack)
		return outputs, nil
	}
	in, err := d.cellInput(ctx, side, base, outputs)
	if err != nil {
		return nil, err
	}
	result, err := d.stack(ctx, stack, func() (infra.Result, error) {
		return d.ask.Runner.Up(ctx, stack, infra.CellProgram(in))
	})
	return result.Outputs, err
}

func (d *deployment) edgeInput(ctx context.Context, base infra.Base) (infra.EdgeInput, error) {
	in := infra.EdgeInput{
		Input: d.input, Public: map[topology.Side]infra.RegionalDomain{}, Probe: map[topology.Side]infra.RegionalDomain{},
		Retired: d.retired, Bucket: base.Bucket, Table: base.TableName,
	}
	for _, side := range d.sides() {
		region := infra.CellInput{Input: d.input, Side: side}.Region()
		var err error
		if in.Public[side], err = d.Clients.RegionalDomain(ctx, region, d.Config.Domain.Name); err != nil {
			return in, err
		}
		if in.Probe[side], err = d.Clients.RegionalDomain(ctx, region, d.Config.ProbeName(region)); err != nil {
			return in, err
		}
	}
	found, err := d.records(ctx)
	if err != nil {
		return in, err
	}
	in.External = d.external(found)
	in.Live, err = d.Clients.LiveEdge(ctx, d.input.ZoneID, d.Config.Domain.Name)
	return in, err
}

func (d *deployment) edge(ctx context.Context, base infra.Base) (infra.Outputs, error) {
	if err := d.takeOver(ctx); err != nil {
		return nil, err
	}
	in, err := d.edgeInput(ctx, base)
	if err != nil {
		return nil, err
	}
	d.top.Source.RegionalName, d.top.Target.RegionalName = in.Probe[topology.Blue].Name, in.Probe[topology.Green].Name
	result, err := d.stack(ctx, d.name("edge"), func() (infra.Result, error) {
		return d.ask.Runner.Up(ctx, d.name("edge"), infra.EdgeProgram(in))
	})
	return result.Outputs, err
}

func (d *deployment) assemble(base infra.Base, cells map[topology.Side]infra.Outputs, edge infra.Outputs) {
	c := d.Config
	cell := func(side topology.Side, region, regionalName string) topology.Cell {
		return topology.Cell{
			Region: region, RestAPI: cells[side].Text("rest_api"), Stage: infra.StageName, APIFunction: c.Name("api"),
			SetID: string(side), HealthCheck: edge.Text("health_check_" + string(side)),
			ProbeName: c.ProbeName(region), RegionalName: regionalName, AccessLog: infra.AccessLog(c), Version: cells[side].Text("version"),
		}
	}
	d.top = topology.Topology{
		Team: c.TeamName, Environment: c.Environment, Account: d.input.Account, ZoneID: d.input.ZoneID,
		RecordName: c.Domain.Name, RecordTypes: c.RecordTypes(), ControlTable: base.ControlTable, Table: base.TableName,
		HealthPath: c.Function.HealthPath, Bucket: base.Bucket, Secret: base.SecretARN, WebsiteURL: base.WebsiteURL, Keys: base.KeyARN,
		KillRegion: c.KillRegion(), Retired: d.retired,
		Source: cell(topology.Blue, c.SourceRegion, d.top.Source.RegionalName),
		Target: cell(topology.Green, c.TargetRegion, d.top.Target.RegionalName),
	}
	d.top.Target.Forwarder = c.Name("forward")
	if e := c.Source.External; e.Set() {
		d.top.External = externalName(e)
		d.top.Source = topology.Cell{Region: c.SourceRegion, SetID: string(topology.Blue), HealthCheck: edge.Text("health_check_blue")}
	}
	for _, name := range cells[topology.Green].List("alarms") {
		d.top.Alarms = append(d.top.Alarms, topology.Alarm{
			Name: name, Region: c.TargetRegion, Side: topology.Green, Sparse: strings.HasSuffix(name, "-table-throttles"), Counts: infra.AlarmCounts(name),
		})
	}
	d.top.Controls = slices.Sorted(slices.Values(cells[topology.Blue].List("alarms")))
	slices.SortFunc(d.top.Alarms, func(a, b topology.Alarm) int { return strings.Compare(a.Name, b.Name) })
}

// store keeps the topology in the control table, if the lease is still this
// run's, and beside the operator. Whether a call that failed has told the table
// nobody knows, and a copy that fails comes after it: neither is a refusal.
func (d *deployment) store(ctx context.Context) error {
	put := d.control().PutTopology
	if d.held != nil { // else this is the first deploy
		put = d.held.PutTopology
	}
	err := put(ctx, d.top)
	if errors.Is(err, cutover.ErrFenced) {
		return &Fenced{d.held.Lease().Purpose, err}
	}
	if err != nil {
		return err
	}
	encoded, err := json.MarshalIndent(d.top, "", "  ")
	if err == nil {
		err = os.MkdirAll(d.StateDir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(d.topologyFile(), encoded, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep a local copy of the topology, which the control table has: %w", err)
	}
	return nil
}

// outputs follow from the configuration, but for the website's address.
func (d *deployment) outputs() DeployOutputs {
	c := d.Config
	out := DeployOutputs{
		APIURL: "https://" + c.Domain.Name, APIURLs: map[string]string{},
		WebsiteURL: d.top.WebsiteURL, TableName: cmp.Or(c.Table.Adopt, c.Name("items")),
	}
	for _, side := range d.sides() {
		region := infra.CellInput{Input: d.input, Side: side}.Region()
		out.APIURLs[region] = "https://" + c.ProbeName(region)
	}
	return out
}
