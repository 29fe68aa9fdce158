package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
)

// siteStatus is an answer that nothing of tapctl's gives.
const siteStatus = http.StatusNonAuthoritativeInfo

// site starts an application that tapctl did not make: SITE_URL is where it
// answers, OUT its certificate. It answers a POST with the bytes it was sent, the
// last one first.
func site(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "site OUT")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		slices.Reverse(body)
		w.WriteHeader(siteStatus)
		w.Write(body) // the test's own server
	}))
	ts.Defer(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), certificate, 0o600))
	ts.Setenv("SITE_URL", server.URL)
}

// plain makes a record without a weight, as somebody had it before tapctl.
func plain(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 3, "plain NAME TYPE VALUE")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := route53.NewFromConfig(account(ctx, ts, "us-east-1"))
	zone, _ := recordsOf(ctx, ts, client, args[0])
	_, err := client.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &r53types.ChangeBatch{
		Changes: []r53types.Change{{Action: r53types.ChangeActionCreate, ResourceRecordSet: &r53types.ResourceRecordSet{
			Name: &args[0], Type: r53types.RRType(args[1]), TTL: aws.Int64(300), ResourceRecords: []r53types.ResourceRecord{{Value: &args[2]}},
		}}},
	}})
	ts.Check(err)
}

// halfway leaves things as a deploy does that ended before its last step.
func halfway(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "halfway")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	clients, err := awsapi.Load(ctx, config.AWS{EndpointURL: ts.Getenv("AWS_ENDPOINT_URL")})
	ts.Check(err)
	ts.Check(awsapi.NewControl(clients, controlTable, greenRegion, blueRegion).Forget(ctx))
}

// allBytes is every byte there is: no text in any encoding of Unicode.
func allBytes() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// mirror sends every byte there is to the site through a host, and wants them
// back in the site's order. What the canary takes is not the site's to answer.
func mirror(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "mirror HOST")
	sent := allBytes()
	for range 20 {
		response, err := visitor(ts, "127.0.0.1", args[0]).Post("https://"+args[0]+"/mirror", "application/zip", bytes.NewReader(sent))
		ts.Check(err)
		got, err := io.ReadAll(response.Body)
		ts.Check(err)
		response.Body.Close() // Non-fatal: what was read counts.
		if response.StatusCode != siteStatus {
			continue
		}
		slices.Reverse(sent)
		if !bytes.Equal(got, sent) {
			ts.Fatalf("%s: %d bytes %q, want all 256 in the site's order", args[0], len(got), got)
		}
		return
	}
	ts.Fatalf("%s: the site did not answer", args[0])
}
