package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
	localcw "github.com/tapctl/tapctl/internal/localaws/cloudwatch"
	localddb "github.com/tapctl/tapctl/internal/localaws/dynamodb"
	localiam "github.com/tapctl/tapctl/internal/localaws/iam"
	localr53 "github.com/tapctl/tapctl/internal/localaws/route53"
	"github.com/tapctl/tapctl/internal/localaws/wire"
	"github.com/tapctl/tapctl/internal/topology"
)

const (
	blueRegion  = "eu-west-1"
	greenRegion = "eu-central-1"
	public      = "api.example.com"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The SDK takes its credentials from the environment, and nothing else from
// the machine that the tests run on.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CA_BUNDLE": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// same reports a difference.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// ok fails the test on an error.
func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// mood is how a region answers.
type mood string

const (
	answers mood = ""
	silent  mood = "silent"  // no answer at all
	refuses mood = "refuses" // an answer that the SDK does not try again
)

// world is the services that the use-cases here need, on a clock that stands
// still, and an App whose own clock runs fast.
type world struct {
	*app.App
	t          *testing.T
	time       *clock.Manual
	cloudwatch *localcw.Service
	top        topology.Topology
	green      *green

	mu       sync.Mutex
	moods    map[string]mood // by region, or by region/service
	hidden   int             // questions for the journal that are refused yet
	released chan struct{}
	batches  chan string // bodies of what was sent to ChangeResourceRecordSets
	told     []string
	// hook is asked before a request is answered, and may answer it otherwise.
	hook func(service, operation string, body []byte) mood
}

func newWorld(t *testing.T, change ...func(*localddb.Options)) *world {
	t.Helper()
	w := &world{t: t, time: clock.NewManual(start), green: &green{fn: "Shop-prod-forward:live", live: "1", next: "2"}, moods: map[string]mood{}, released: make(chan struct{}), batches: make(chan string, 100)}
	w.cloudwatch = localcw.New(localcw.Options{Clock: w.time})
	names := localr53.New(localr53.Options{
		Clock: w.time, Seed: 1, AliasZoneID: func(region string) string { return "Z-" + region },
		RegionOf: func(host string) (string, bool) {
			_, rest, found := strings.Cut(strings.TrimSuffix(host, ".amazonaws.com"), ".execute-api.")
			return rest, found
		},
		AddressOf: func(string) (netip.Addr, bool) { return netip.MustParseAddr("127.0.0.1"), true },
	})
	tables := localddb.Options{Clock: w.time}
	for _, f := range change {
		f(&tables)
	}
	handlers := map[string]http.Handler{
		"dynamodb": localddb.New(tables).Handler(), "monitoring": w.cloudwatch.Handler(), "route53": names.Handler(),
		"apigateway": w.green, "lambda": w.green, "sts": localiam.New(localiam.Options{Clock: w.time}).Handler(),
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r, handlers) }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { w.set("", answers) }) // before the server waits for its requests
	c := config.Defaults()
	c.TeamName, c.Environment, c.SourceRegion, c.TargetRegion = "Shop", "prod", blueRegion, greenRegion
	c.Domain = config.Domain{Name: public, Zone: "example.com"}
	w.App = &app.App{
		Config: c, Clients: ok[*awsapi.Clients](t)(awsapi.Load(t.Context(), config.AWS{EndpointURL: server.URL})),
		Clock: clock.NewScaled(10000), Emit: w.hear, Owner: "me", StateDir: t.TempDir(), Patience: 300 * time.Millisecond,
	}
	w.top = topology.Topology{
		ZoneID: names.EnsureZone("example.com"), RecordName: public, RecordTypes: []string{"A"},
		Source: topology.Cell{Region: blueRegion, SetID: "blue"},
		Target: topology.Cell{
			Region: greenRegion, SetID: "green", RestAPI: "abc", Stage: "prod", APIFunction: "Shop-prod-api", Forwarder: "Shop-prod-forward",
			RegionalName: "d-green.execute-api." + greenRegion + ".amazonaws.com",
		},
	}
	return w
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request, handlers map[string]http.Handler) {
	service, region, key, err := wire.Scope(r)
	if err != nil {
		w.t.Error(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // its sender went away meanwhile
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	hook, special := w.hook, answers
	w.mu.Unlock()
	if hook != nil {
		special = hook(service, r.Header.Get("X-Amz-Target"), body)
	}
	call := wire.Call{Service: service, Region: region, AccessKeyID: key, RequestID: "r-1", Now: w.time.Now()}
	w.mu.Lock()
	how := w.moods[region]
	if own := w.moods[region+"/"+service]; own != answers {
		how = own
	}
	if how == answers && w.hidden > 0 && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetItem") && bytes.Contains(body, []byte(`{"S":"`+pkShift+`"}`)) {
		w.hidden--
		how = refuses
	}
	if special != answers {
		how = special
	}
	released := w.released
	w.mu.Unlock()
	switch how {
	case silent:
		<-released
		panic(http.ErrAbortHandler)
	case refuses:
		protocol := wire.RESTJSONProtocol
		switch service {
		case "dynamodb":
			protocol = wire.JSONProtocol
		case "sts":
			protocol = wire.QueryProtocol
		}
		wire.Refuse(rw, call, protocol, wire.Errorf(http.StatusForbidden, "AccessDeniedException", "not allowed"))
		return
	case answers:
	}
	handlers[service].ServeHTTP(rw, r.WithContext(wire.NewContext(r.Context(), call)))
	if service == "route53" && r.Method == http.MethodPost {
		w.batches <- r.URL.Path
	}
}

// set is how the region answers from now on, and who waits for it asks again.
func (w *world) set(region string, how mood) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moods[region] = how
	close(w.released)
	w.released = make(chan struct{})
}

// pkShift is the key of the journal's item.
const pkShift = "shift"

// hideJournal refuses the next questions for the journal, and no others.
func (w *world) hideJournal(questions int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hidden = questions
}

func (w *world) hear(e cutover.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, e.Text)
}

// heard tells whether something with this in it was told.
func (w *world) heard(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(strings.Join(w.told, "\n"), part)
}

func (w *world) control() *awsapi.Control {
	return awsapi.NewControl(w.Clients, "Shop-prod-control", greenRegion, blueRegion)
}

// makeControl makes the control table, with its replica, and stores the
// topology.
func (w *world) makeControl() {
	w.t.Helper()
	client, ctx, table := w.Clients.DynamoDB(greenRegion), w.t.Context(), aws.String("Shop-prod-control")
	ok[*dynamodb.CreateTableOutput](w.t)(client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: table, BillingMode: ddbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []ddbtypes.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: ddbtypes.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: ddbtypes.ScalarAttributeTypeS},
		},
		KeySchema: []ddbtypes.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: ddbtypes.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: ddbtypes.KeyTypeRange},
		},
		StreamSpecification: &ddbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewAndOldImages},
	}))
	w.time.Advance(time.Minute)
	ok[*dynamodb.UpdateTableOutput](w.t)(client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: table, ReplicaUpdates: []ddbtypes.ReplicationGroupUpdate{
		{Create: &ddbtypes.CreateReplicationGroupMemberAction{RegionName: aws.String(blueRegion)}},
	}}))
	w.time.Advance(time.Minute)
	if err := w.control().PutTopology(ctx, w.top); err != nil {
		w.t.Fatal(err)
	}
	w.time.Advance(time.Minute) // the replica has it too
}

// journal stores a shift as the newest.
func (w *world) journal(s cutover.State) {
	w.t.Helper()
	held := ok[*awsapi.Held](w.t)(w.control().Take(w.t.Context(), cutover.Lease{Owner: "me", Expires: w.time.Now().Add(time.Hour)}, w.time.Now()))
	if err := held.Save(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	w.time.Advance(time.Minute)
}

// weigh makes or changes the weighted pair, and returns the change's id.
func (w *world) weigh(blue, green int64) (change string) {
	w.t.Helper()
	var changes []r53types.Change
	for side, weight := range map[string]int64{"blue": blue, "green": green} {
		region := map[string]string{"blue": blueRegion, "green": greenRegion}[side]
		changes = append(changes, r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: &r53types.ResourceRecordSet{
			Name: aws.String(public), Type: r53types.RRTypeA, SetIdentifier: aws.String(side), Weight: aws.Int64(weight),
			AliasTarget: &r53types.AliasTarget{DNSName: aws.String("d-" + side + ".execute-api." + region + ".amazonaws.com"), HostedZoneId: aws.String("Z-" + region)},
		}})
	}
	sent := ok[*route53.ChangeResourceRecordSetsOutput](w.t)(w.Clients.Route53().ChangeResourceRecordSets(w.t.Context(), &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &w.top.ZoneID, ChangeBatch: &r53types.ChangeBatch{Changes: changes},
	}))
	<-w.batches
	return aws.ToString(sent.ChangeInfo.Id)
}

// weights are the pair's, as "blue/green".
func (w *world) weights() string {
	w.t.Helper()
	live := ok[*route53.ListResourceRecordSetsOutput](w.t)(w.Clients.Route53().ListResourceRecordSets(w.t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &w.top.ZoneID}))
	got := map[string]int64{}
	for _, r := range live.ResourceRecordSets {
		if r.Weight != nil {
			got[aws.ToString(r.SetIdentifier)] = aws.ToInt64(r.Weight)
		}
	}
	return fmt.Sprintf("%d/%d", got["blue"], got["green"])
}

// exitCode is what the error asks the process to end with, 0 for none.
func exitCode(err error) int {
	coded, found := errors.AsType[interface {
		error
		ExitCode() int
	}](err)
	if !found {
		return 0
	}
	return coded.ExitCode()
}
