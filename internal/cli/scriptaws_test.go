package cli_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/config"
	"github.com/tapctl/tapctl/internal/cutover"
)

// What the scripts' configurations agree on.
const (
	blueRegion, greenRegion = "eu-west-1", "eu-central-1"
	controlTable            = "Shop-demo-control"
)

// localenv does what eval "$(tapctl local env)" does in a shell.
func localenv(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "localenv")
	ts.Check(ts.Exec("tapctl", "local", "env", "-o", "json"))
	var variables []struct{ Name, Value string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &variables))
	for _, v := range variables {
		ts.Setenv(v.Name, v.Value)
	}
}

// ports puts the ports of the embedded AWS into variables.
func ports(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 0, "ports")
	endpoint, err := url.Parse(ts.Getenv("AWS_ENDPOINT_URL"))
	ts.Check(err)
	ts.Setenv("ENDPOINT_PORT", endpoint.Port())
	_, port, err := net.SplitHostPort(ts.Getenv("TAPCTL_AWS_DNS_SERVER"))
	ts.Check(err)
	ts.Setenv("DNS_PORT", port)
	ts.Setenv("HTTPS_PORT", ts.Getenv("TAPCTL_AWS_HTTPS_PORT"))
}

// ask is the A record that the embedded DNS server answers with, once.
func ask(ts *testscript.TestScript, name string) string {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	answer, err := dns.Exchange(query, ts.Getenv("TAPCTL_AWS_DNS_SERVER"))
	ts.Check(err)
	for _, record := range answer.Answer {
		if a, ok := record.(*dns.A); ok {
			return a.A.String()
		}
	}
	ts.Fatalf("no address for %s: %v", name, answer)
	return ""
}

// dnsSamples and dnsSigmas bound what chance does to the share of answers.
const (
	dnsSamples = 400
	dnsSigmas  = 5
)

// dnsShare asks for the public name many times and wants this percent of the
// answers to lead to green: exactly for 0 and 100, within chance otherwise.
func dnsShare(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "dns NAME PERCENT")
	percent, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	sides := map[string]string{ask(ts, blueRegion+"."+args[0]): "blue", ask(ts, greenRegion+"."+args[0]): "green"}
	counts := map[string]int{}
	for range dnsSamples {
		counts[sides[ask(ts, args[0])]]++
	}
	ts.Logf("dns %s: blue %d, green %d, neither %d", args[0], counts["blue"], counts["green"], counts[""])
	share := percent / 100
	allowed := dnsSigmas * math.Sqrt(share*(1-share)*dnsSamples)
	if len(sides) != 2 || counts[""] > 0 || math.Abs(float64(counts["green"])-share*dnsSamples) > allowed {
		ts.Fatalf("%d of %d answers lead to green, want %v%%", counts["green"], dnsSamples, percent)
	}
}

// world writes what is live - weights, canary, versions, journal - to a file,
// read from AWS and not from tapctl's status.
func world(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "world OUT")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	clients, err := awsapi.Load(ctx, config.AWS{EndpointURL: ts.Getenv("AWS_ENDPOINT_URL")})
	ts.Check(err)
	control := awsapi.NewControl(clients, controlTable, greenRegion, blueRegion)
	seen := struct {
		Deployed bool
		Live     cutover.Setting
		Shift    cutover.State
	}{}
	top, err := control.Topology(ctx)
	if seen.Deployed = err == nil; seen.Deployed {
		seen.Live, err = awsapi.NewTraffic(clients, top).Read(ctx)
		ts.Check(err)
		seen.Shift, _, err = control.Shift(ctx)
		ts.Check(err)
	} else if !errors.Is(err, awsapi.ErrNoTopology) {
		ts.Check(err)
	}
	encoded, err := json.MarshalIndent(seen, "", "  ")
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(encoded, '\n'), 0o600))
}

// weights waits until Route 53's records, and not only the answers that its
// health checks make of them, lead this percent to green.
func weights(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "weights NAME PERCENT")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	clients, err := awsapi.Load(ctx, config.AWS{EndpointURL: ts.Getenv("AWS_ENDPOINT_URL")})
	ts.Check(err)
	_, parent, _ := strings.Cut(args[0], ".")
	zone, err := clients.ZoneID(ctx, parent)
	ts.Check(err)
	for {
		live, err := clients.LiveEdge(ctx, zone, args[0])
		ts.Check(err)
		if live.GreenWeight+live.BlueWeight == 100 && strconv.Itoa(live.GreenWeight) == args[1] {
			return
		}
		ts.Check((clock.Real{}).Sleep(ctx, 20*time.Millisecond))
	}
}

// get asks for a path of a host N times, each over a connection of its own, as
// users do, and wants this status every time (or, with !, never).
func get(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 4, "[!] get HOST PATH STATUS TIMES")
	fetch(ts, neg, "127.0.0.1", args)
}

// getFrom is get from another address of 127/8, all of which are this machine.
func getFrom(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 5, "[!] getfrom ADDRESS HOST PATH STATUS TIMES")
	fetch(ts, neg, args[0], args[1:])
}

// visitor reaches a host where DNS leads now, over a connection for each request.
func visitor(ts *testscript.TestScript, from, host string) *http.Client {
	pem, err := os.ReadFile(ts.Getenv("TAPCTL_AWS_CA_BUNDLE"))
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	address := net.JoinHostPort(ask(ts, host), ts.Getenv("TAPCTL_AWS_HTTPS_PORT"))
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}}
}

func fetch(ts *testscript.TestScript, neg bool, from string, args []string) {
	times, err := strconv.Atoi(args[3])
	ts.Check(err)
	for range times {
		response, err := visitor(ts, from, args[0]).Get("https://" + args[0] + args[1])
		ts.Check(err)
		response.Body.Close() // Non-fatal: only the status counts.
		if got := fmt.Sprint(response.StatusCode); (got == args[2]) == neg {
			ts.Fatalf("%s%s from %s: %s, want %s", args[0], args[1], from, response.Status, args[2])
		}
	}
}
