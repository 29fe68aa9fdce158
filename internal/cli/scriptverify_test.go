package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/topology"
)

// harm is one deliberate break of what was deployed.
type harm struct {
	name string
	// fails are the lines, GROUP/LINE, that must fail: with those of may, which
	// depend on how long it lasts, all that do.
	fails, may []string
	full       bool // wants Pulumi's preview too
	do         func(*accountOf) (undo func())
}

// accountOf is the embedded AWS as somebody with a console sees it.
type accountOf struct {
	ctx context.Context
	ts  *testscript.TestScript
	top topology.Topology
}

func (w *accountOf) route53() *route53.Client {
	return route53.NewFromConfig(account(w.ctx, w.ts, "us-east-1"))
}
func (w *accountOf) iam() *iam.Client { return iam.NewFromConfig(account(w.ctx, w.ts, "us-east-1")) }
func (w *accountOf) gateway(region string) *apigateway.Client {
	return apigateway.NewFromConfig(account(w.ctx, w.ts, region))
}
func (w *accountOf) lambda(region string) *lambda.Client {
	return lambda.NewFromConfig(account(w.ctx, w.ts, region))
}
func (w *accountOf) alarms(region string) *cloudwatch.Client {
	return cloudwatch.NewFromConfig(account(w.ctx, w.ts, region))
}
func (w *accountOf) logs(region string) *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(account(w.ctx, w.ts, region))
}
func (w *accountOf) tables(region string) *dynamodb.Client {
	return dynamodb.NewFromConfig(account(w.ctx, w.ts, region))
}
func (w *accountOf) s3(region string) *s3.Client {
	return s3.NewFromConfig(account(w.ctx, w.ts, region), func(o *s3.Options) { o.UsePathStyle = true })
}

func (w *accountOf) control() *awsapi.Control {
	clients, err := awsapi.Load(w.ctx, config.AWS{EndpointURL: w.ts.Getenv("AWS_ENDPOINT_URL")})
	w.ts.Check(err)
	return awsapi.NewControl(clients, controlTable, greenRegion, blueRegion)
}

// cell is the topology's of the region.
func (w *accountOf) cell(region string) topology.Cell {
	if region == blueRegion {
		return w.top.Source
	}
	return w.top.Target
}

// other is the other region.
func other(region string) string {
	if region == blueRegion {
		return greenRegion
	}
	return blueRegion
}

// must ends the script on an error and gives the value otherwise.
func must[T any](ts *testscript.TestScript) func(T, error) T {
	return func(value T, err error) T {
		ts.Check(err)
		return value
	}
}

// onlyHarms is a pattern of the breaks to do, by their names.
const onlyHarms = "TAPCTL_TEST_HARMS"

// harms breaks what verify looks at, one thing after the other, and wants
// exactly the lines that are about it to fail; it wants every line of the tree
// to have failed once.
func harms(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "harms")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	w := &accountOf{ctx: ctx, ts: ts}
	w.top = must[topology.Topology](ts)(w.control().Topology(ctx))
	whole := tree(ts, nil)
	if failing := failures(whole); len(failing) > 0 {
		ts.Fatalf("before any break %v fail", failing)
	}
	seen := map[string]bool{}
	only := regexp.MustCompile(os.Getenv(onlyHarms))
	for _, h := range slices.Concat(watchHarms(w), cellHarms(w), functionHarms(), dataHarms(w), pathHarms(), edgeHarms(w)) {
		if !only.MatchString(h.name) {
			continue
		}
		undo := h.do(w)
		h.expect(ts)
		undo()
		for _, line := range h.fails {
			seen[line] = true
		}
	}
	harm{name: "nothing"}.expect(ts)
	if only.String() != "" {
		return
	}
	if unseen := unbroken(whole, seen); len(unseen) > 0 {
		ts.Fatalf("lines of the tree that no break made fail: %q", unseen)
	}
}

// expect asks until exactly the lines that the break is about fail: what was
// broken before heals in its own time.
func (h harm) expect(ts *testscript.TestScript) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	flags := []string{"--fast"}
	if h.full {
		flags = nil
	}
	for {
		got := failures(tree(ts, flags))
		lacking := slices.DeleteFunc(slices.Clone(h.fails), func(line string) bool { return slices.Contains(got, line) })
		excess := slices.DeleteFunc(slices.Clone(got), func(line string) bool { return slices.Contains(h.fails, line) || slices.Contains(h.may, line) })
		if len(lacking)+len(excess) == 0 {
			ts.Logf("%s: %s", h.name, strings.Join(got, ", "))
			return
		}
		if (clock.Real{}).Sleep(ctx, 50*time.Millisecond) != nil {
			ts.Fatalf("%s broken: %q do not fail, %q fail and should not; alone: %s='^%s$' go test -run TestScripts/verify ./internal/cli", h.name, lacking, excess, onlyHarms, h.name)
		}
	}
}

// tree is what verify says, with the exit code that belongs to it.
func tree(ts *testscript.TestScript, flags []string) app.VerifyReport {
	err := ts.Exec("tapctl", append([]string{"verify", "-o", "json"}, flags...)...)
	var report app.VerifyReport
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &report))
	want := "3"
	if report.OK {
		want = "0"
	}
	if got := codeOf(ts, err); got != want || report.OK != (report.Failed() == 0) {
		ts.Fatalf("exit code %s with ok %v and %d failures", got, report.OK, report.Failed())
	}
	return report
}

// failures are the lines that failed, each with a next command.
func failures(r app.VerifyReport) []string {
	found := map[string]bool{}
	for _, g := range r.Groups {
		for _, c := range g.Checks {
			if c.Result == app.CheckFail {
				found[g.Name+"/"+c.Name] = true
			}
			if (c.Result == app.CheckFail) != (c.Next != "") || c.Detail == "" {
				found[fmt.Sprintf("%s/%s is %s with detail %q and next %q", g.Name, c.Name, c.Result, c.Detail, c.Next)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// unbroken are the lines of the tree that are not among those seen to fail.
func unbroken(r app.VerifyReport, seen map[string]bool) []string {
	var all []string
	for _, g := range r.Groups {
		for _, c := range g.Checks {
			if line := g.Name + "/" + c.Name; !seen[line] {
				all = append(all, line)
			}
		}
	}
	return all
}

// A line that is new in verify, and that no break makes fail, is found.
func TestALineThatNoBreakMakesFailIsFound(t *testing.T) {
	t.Parallel()
	report := app.VerifyReport{Groups: []app.CheckGroup{
		{Name: "dns", Checks: []app.Check{{Name: "records"}, {Name: "new"}}}, {Name: "s3", Checks: []app.Check{{Name: "records"}}},
	}}
	if got := unbroken(report, map[string]bool{"dns/records": true}); !slices.Equal(got, []string{"dns/new", "s3/records"}) {
		t.Errorf("not broken: %q", got)
	}
	if got := unbroken(report, map[string]bool{"dns/records": true, "dns/new": true, "s3/records": true}); len(got) != 0 {
		t.Errorf("all were broken, but for %q", got)
	}
}
