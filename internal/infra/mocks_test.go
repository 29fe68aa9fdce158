package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/topology"
)

const (
	blueRegion  = "eu-west-1"
	greenRegion = "eu-central-1"
	account     = "123456789012"
	zone        = "Z0EXAMPLE"
)

// made is one resource that a program asked the engine for.
type made struct {
	Type, Name string
	Region     string // of its provider; "" where it has the default one
	Inputs     map[string]any
	Protect    bool
	Retain     bool     // it stays when the stack goes
	After      []string // names of what it depends on
}

// text is an input that is a string, "" where it is none.
func (m made) text(name string) string {
	value, _ := m.Inputs[name].(string)
	return value
}

// world is the engine and AWS as the programs see them: it records what is
// registered and answers with the outputs that AWS would compute.
type world struct {
	mu        sync.Mutex
	regions   map[string]string // provider name -> region
	endpoints map[string]any    // provider name -> endpoints
	resources []made
}

// checkerRange is where AWS says that its health checkers come from.
const checkerRange = "192.0.2.0/24"

func (w *world) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if args.Token != "aws:index/getIpRanges:getIpRanges" {
		return nil, fmt.Errorf("unexpected call of %s", args.Token)
	}
	return resource.NewPropertyMapFromMap(map[string]any{
		"cidrBlocks": []any{checkerRange}, "ipv6CidrBlocks": []any{"2001:db8:c::/48"}, "services": args.Args.Mappable()["services"],
	}), nil
}

func (w *world) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	inputs, _ := resource.NewObjectProperty(args.Inputs).Mappable().(map[string]any)
	if args.TypeToken == "pulumi:providers:aws" {
		w.regions[args.Name], _ = inputs["region"].(string)
		w.endpoints[args.Name] = inputs["endpoints"]
		return args.Name, args.Inputs, nil
	}
	m := made{Type: strings.TrimPrefix(args.TypeToken, "aws:"), Name: args.Name, Inputs: inputs, Protect: args.RegisterRPC.GetProtect(), Retain: args.RegisterRPC.GetRetainOnDelete()}
	if parts := strings.Split(args.Provider, "::"); len(parts) > 2 {
		m.Region = w.regions[parts[len(parts)-2]]
	}
	if slices.ContainsFunc(w.resources, func(other made) bool { return other.Type == m.Type && other.Name == m.Name }) {
		return "", nil, fmt.Errorf("duplicate resource %s %s", m.Type, m.Name) // as the engine refuses it
	}
	for _, urn := range args.RegisterRPC.GetDependencies() {
		m.After = append(m.After, urn[strings.LastIndex(urn, "::")+2:])
	}
	w.resources = append(w.resources, m)
	outputs := args.Inputs.Copy()
	for name, value := range computed(m) {
		outputs[resource.PropertyKey(name)] = resource.NewPropertyValue(value)
	}
	return args.Name + "-id", outputs, nil
}

// computed are the outputs that the inputs do not have.
func computed(m made) map[string]any {
	arn := func(service, rest string) string {
		return "arn:aws:" + service + ":" + m.Region + ":" + account + ":" + rest
	}
	switch m.Type {
	case "kms/key:Key":
		return map[string]any{"arn": arn("kms", "key/"+m.Name), "keyId": m.Name}
	case "iam/role:Role":
		return map[string]any{"arn": "arn:aws:iam::" + account + ":role/" + m.text("name")}
	case "lambda/function:Function":
		return map[string]any{"arn": arn("lambda", "function:"+m.text("name")), "version": "7"}
	case "cloudwatch/logGroup:LogGroup":
		return map[string]any{"arn": arn("logs", "log-group:"+m.text("name"))}
	case "apigateway/restApi:RestApi":
		return map[string]any{"executionArn": arn("execute-api", "abc123"), "rootResourceId": "root"}
	case "route53/record:Record":
		return map[string]any{"fqdn": m.text("name")}
	case "s3/bucketV2:BucketV2":
		return map[string]any{"arn": "arn:aws:s3:::" + m.text("bucket")}
	case "s3/bucketWebsiteConfigurationV2:BucketWebsiteConfigurationV2":
		return map[string]any{"websiteEndpoint": m.text("bucket") + ".s3-website-" + m.Region + ".amazonaws.com"}
	case "secretsmanager/secret:Secret":
		return map[string]any{"arn": arn("secretsmanager", "secret:"+m.text("name")+"-AbCdEf")}
	case "acm/certificate:Certificate":
		names := append([]any{m.Inputs["domainName"]}, m.Inputs["subjectAlternativeNames"].([]any)...)
		var options []any
		for _, name := range names {
			options = append(options, map[string]any{
				"domainName": name, "resourceRecordName": "_check." + name.(string), "resourceRecordType": "CNAME", "resourceRecordValue": "_" + name.(string) + ".acm",
			})
		}
		return map[string]any{"arn": arn("acm", "certificate/"+m.Name), "domainValidationOptions": options}
	default:
		return nil
	}
}

// provision runs a program and returns what it asked for.
func provision(t *testing.T, program pulumi.RunFunc) *world {
	t.Helper()
	w := &world{regions: map[string]string{}, endpoints: map[string]any{}}
	if err := pulumi.RunErr(program, pulumi.WithMocks("tapctl", "test", w)); err != nil {
		t.Fatal(err)
	}
	return w
}

// of are the resources of a type, by name.
func (w *world) of(kind string) map[string]made {
	found := map[string]made{}
	for _, m := range w.resources {
		if m.Type == kind {
			found[m.Name] = m
		}
	}
	return found
}

// one is the resource of that type and name.
func (w *world) one(t *testing.T, kind, name string) made {
	t.Helper()
	found, ok := w.of(kind)[name]
	if !ok {
		t.Fatalf("no %s named %s; there are %v", kind, name, slices.Sorted(maps.Keys(w.of(kind))))
	}
	return found
}

// same reports a difference.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// policy is one IAM policy document as it was written.
type policy struct {
	Version   string
	Statement []grant
}

type grant struct {
	Sid         string
	Effect      string
	Principal   any
	Action      []string
	NotAction   []string
	Resource    []string
	NotResource []string
	Condition   map[string]any
}

func parsePolicy(t *testing.T, document string) policy {
	t.Helper()
	var p policy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		t.Fatalf("policy %q: %v", document, err)
	}
	return p
}

func settings() config.Config {
	c := config.Defaults()
	c.TeamName, c.Environment, c.Owner = "Shop", "prod", "team-a"
	c.SourceRegion, c.TargetRegion = blueRegion, greenRegion
	c.Domain = config.Domain{Name: "api.example.com", Zone: "example.com"}
	return c
}

func input(c config.Config) infra.Input {
	return infra.Input{Config: c, Account: account, ZoneID: zone}
}

func cellInput(t *testing.T, side topology.Side, change ...func(*infra.CellInput)) infra.CellInput {
	t.Helper()
	in := infra.CellInput{
		Input: input(settings()), Side: side,
		Base: infra.Base{
			TableName: "Shop-prod-items", ControlTable: "Shop-prod-control",
			KeyARN:         map[string]string{blueRegion: "arn:blue-key", greenRegion: "arn:green-key"},
			SecretARN:      map[string]string{blueRegion: "arn:blue-secret", greenRegion: "arn:green-secret"},
			CertificateARN: map[string]string{blueRegion: "arn:blue-certificate", greenRegion: "arn:green-certificate"},
		},
		API:     infra.Artifact{Path: "/artifacts/api.zip", Version: "api-1"},
		Forward: infra.Artifact{Path: "/artifacts/forward.zip", Version: "forward-1"},
	}
	for _, c := range change {
		c(&in)
	}
	return in
}

func edgeInput(change ...func(*infra.EdgeInput)) infra.EdgeInput {
	domain := func(name string) infra.RegionalDomain {
		return infra.RegionalDomain{Name: name + ".execute-api.amazonaws.com", ZoneID: "Z-" + name}
	}
	in := infra.EdgeInput{
		Input:  input(settings()),
		Public: map[topology.Side]infra.RegionalDomain{topology.Blue: domain("public-blue"), topology.Green: domain("public-green")},
		Probe:  map[topology.Side]infra.RegionalDomain{topology.Blue: domain("probe-blue"), topology.Green: domain("probe-green")},
		Table:  "Shop-prod-items", Bucket: map[string]string{blueRegion: "shop-blue", greenRegion: "shop-green"},
	}
	for _, c := range change {
		c(&in)
	}
	return in
}

// programs are all of them, for what holds everywhere.
func programs(t *testing.T) map[string]*world {
	t.Helper()
	closed := func(in *infra.CellInput) { in.Config.AllowedCIDR = []string{"203.0.113.0/24"} }
	dualstack := func(in *infra.EdgeInput) { in.Config.Domain.Dualstack = true }
	return map[string]*world{
		"base":              provision(t, infra.BaseProgram(input(settings()))),
		"adopting base":     provision(t, infra.BaseProgram(adopting())),
		"blue cell":         provision(t, infra.CellProgram(cellInput(t, topology.Blue))),
		"green cell":        provision(t, infra.CellProgram(cellInput(t, topology.Green))),
		"closed green cell": provision(t, infra.CellProgram(cellInput(t, topology.Green, closed))),
		"edge":              provision(t, infra.EdgeProgram(edgeInput())),
		"dualstack edge":    provision(t, infra.EdgeProgram(edgeInput(dualstack))),
	}
}

// adopting is a base that takes over a table and a bucket.
func adopting() infra.Input {
	in := input(settings())
	in.Config.Table.Adopt, in.Config.Assets.Adopt = "orders", "shop-website"
	in.Adopted.Table = &infra.AdoptedTable{Name: "orders", ARN: "arn:aws:dynamodb:" + blueRegion + ":" + account + ":table/orders", KeyARN: "arn:orders-key"}
	return in
}
