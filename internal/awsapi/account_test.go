package awsapi_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/infra"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := ok[string](t)(w.clients.Account(t.Context(), greenRegion)); got != wire.Account {
		t.Errorf("account: %s", got)
	}
}

func TestTroubleIsClassified(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code string
		kind awsapi.TroubleKind
	}{
		{"ExpiredToken", awsapi.Expired},
		{"ExpiredTokenException", awsapi.Expired},
		{"AccessDenied", awsapi.Denied},
		{"InvalidClientTokenId", awsapi.NoIdentity},
		{"SignatureDoesNotMatch", awsapi.NoIdentity},
		{"ValidationError", awsapi.OtherFailed},
	}
	for _, test := range tests {
		t.Run(test.code, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.intercept(func(request) error { return wire.Errorf(http.StatusForbidden, test.code, "no") })
			_, err := w.clients.Account(t.Context(), greenRegion)
			failed, isTrouble := errors.AsType[*awsapi.Trouble](err)
			if !isTrouble || failed.Kind != test.kind {
				t.Fatalf("want %q, got %v", test.kind, err)
			}
			if hinted := failed.Hint() != ""; hinted != (test.kind != awsapi.OtherFailed) {
				t.Errorf("hint: %q", failed.Hint())
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	clients := ok[*awsapi.Clients](t)(awsapi.Load(t.Context(), config.AWS{EndpointURL: "http://127.0.0.1:1"}))
	_, err := clients.Account(t.Context(), greenRegion)
	if failed, isTrouble := errors.AsType[*awsapi.Trouble](err); !isTrouble || failed.Kind != awsapi.NoAnswer {
		t.Errorf("want %q, got %v", awsapi.NoAnswer, err)
	}
}

func TestZoneID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := w.route53.EnsureZone("example.com")
	w.route53.EnsureZone("a.example.com")
	if got := ok[string](t)(w.clients.ZoneID(t.Context(), "example.com")); got != want {
		t.Errorf("zone: want %s, got %s", want, got)
	}
	// AWS answers with the zones from there on, which are others.
	_, err := w.clients.ZoneID(t.Context(), "another.com")
	wantError(t, err, "this account has no public zone of that name")
}

func TestLiveCell(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	read := func(api, function string) infra.LiveCell {
		t.Helper()
		return ok[infra.LiveCell](t)(d.clients.LiveCell(t.Context(), greenRegion, api, function))
	}
	same(t, "no API yet", infra.LiveCell{}, read("", apiFunction))
	same(t, "an API that is gone", infra.LiveCell{}, read("gone", apiFunction))
	same(t, "no function yet", infra.LiveCell{}, read(d.top.Target.RestAPI, "gone"))
	want := infra.LiveCell{Exists: true, Fn: forwarder + ":live", Canary: true, CanaryPercent: 10, LiveVersion: "1"}
	same(t, "deployed", want, read(d.top.Target.RestAPI, apiFunction))
	d.patch(apitypes.OpRemove, "/canarySettings", "")
	want.Canary, want.CanaryPercent = false, 0
	same(t, "without a canary", want, read(d.top.Target.RestAPI, apiFunction))
	d.refuse("apigateway")
	_, err := d.clients.LiveCell(t.Context(), greenRegion, d.top.Target.RestAPI, apiFunction)
	wantError(t, err, "read stage prod in "+greenRegion+": access denied")
}

func TestLiveEdge(t *testing.T) {
	t.Parallel()
	d := newDeployed(t)
	same(t, "no records yet", infra.LiveEdge{}, ok[infra.LiveEdge](t)(d.clients.LiveEdge(t.Context(), d.top.ZoneID, "other.example.com")))
	d.weigh(70, 30)
	same(t, "deployed", infra.LiveEdge{Exists: true, BlueWeight: 70, GreenWeight: 30}, ok[infra.LiveEdge](t)(d.clients.LiveEdge(t.Context(), d.top.ZoneID, public)))
	r := d.record("green", "A", 5)
	r.SetIdentifier = aws.String("purple")
	d.change(r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: r})
	_, err := d.clients.LiveEdge(t.Context(), d.top.ZoneID, public)
	wantError(t, err, `a third record "purple" shares the name`)
}

func TestLoggingRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := func() string {
		t.Helper()
		return ok[string](t)(w.clients.LoggingRole(t.Context(), greenRegion))
	}
	if got := role(); got != "" {
		t.Errorf("none is set: %q", got)
	}
	const arn = "arn:aws:iam::000000000000:role/logging"
	ok[*apigateway.UpdateAccountOutput](t)(w.clients.APIGateway(greenRegion).UpdateAccount(t.Context(), &apigateway.UpdateAccountInput{
		PatchOperations: []apitypes.PatchOperation{{Op: apitypes.OpReplace, Path: aws.String("/cloudwatchRoleArn"), Value: aws.String(arn)}},
	}))
	if got := role(); got != "" {
		t.Errorf("the role is gone: %q", got)
	}
	ok[*iam.CreateRoleOutput](t)(w.clients.IAM().CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("logging"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))
	if got := role(); got != arn {
		t.Errorf("got %q, want %s", got, arn)
	}
	w.refuse("iam")
	if got := role(); got != arn {
		t.Errorf("a role that may not be looked at: %q", got)
	}
}
