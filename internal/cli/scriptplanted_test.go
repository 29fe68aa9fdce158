package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tapctl/tapctl/internal/clock"
)

// place is where a secret could have ended, with all that is in it.
type place struct {
	name string
	text []byte
}

// planted wants a text in every place that a secret could leak to: state,
// events, and in both regions the logs, the functions' configurations and the
// control table. With !, it wants it in none. Each ! needs a text of the same
// script that is found, or it may have looked at nothing. Logs arrive late, so
// what is wanted is waited for.
func planted(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 1, "[!] planted FILE")
	text := strings.TrimSpace(ts.ReadFile(args[0]))
	want(ts, len(text) >= 4, "[!] planted FILE, with a text that nothing else is")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		places := places(ctx, ts)
		with, without := having(places, text)
		switch {
		case neg && len(with) > 0:
			ts.Fatalf("found in %s", strings.Join(with, ", "))
		case neg:
			ts.Logf("in none of %s", strings.Join(without, ", "))
			return
		case len(without) == 0:
			ts.Logf("in each of %s", strings.Join(with, ", "))
			return
		}
		if err := (clock.Real{}).Sleep(ctx, 50*time.Millisecond); err != nil {
			ts.Fatalf("not in %s", strings.Join(without, ", "))
		}
	}
}

// having tells the places apart by whether they have the text, as it is or in
// base64 at any of its three alignments.
func having(places []place, text string) (with, without []string) {
	forms := [][]byte{[]byte(text)}
	for lead := range 3 {
		// Only whole groups of three bytes look the same whatever is around them.
		inner := text[(3-lead)%3:]
		forms = append(forms, []byte(base64.StdEncoding.EncodeToString([]byte(inner[:len(inner)/3*3]))))
	}
	for _, p := range places {
		if slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(p.text, form) }) {
			with = append(with, p.name)
		} else {
			without = append(without, p.name)
		}
	}
	return with, without
}

func places(ctx context.Context, ts *testscript.TestScript) []place {
	events, err := os.ReadFile(ts.MkAbs(filepath.Join(".tapctl", "events.ndjson")))
	ts.Check(err)
	all := []place{{"Pulumi's state", stateOf(ts)}, {"the events", events}}
	for _, region := range []string{blueRegion, greenRegion} {
		cfg := account(ctx, ts, region)
		all = append(all,
			place{"the logs of " + region, logsOf(ctx, ts, cfg)},
			place{"the functions of " + region, functionsOf(ctx, ts, cfg)},
			place{"the control table in " + region, controlOf(ctx, ts, cfg)})
	}
	return all
}

func stateOf(ts *testscript.TestScript) (all []byte) {
	for _, f := range filesBelow(ts, filepath.Join(".tapctl", "local", "state")) {
		all = append(all, f.text...)
	}
	return all
}

// filesBelow are the files of a folder. Those of Pulumi's own log are
// encrypted, and nothing is found in them.
func filesBelow(ts *testscript.TestScript, dir string) (all []place) {
	ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, place{path, content})
		return err
	}))
	return all
}

func logsOf(ctx context.Context, ts *testscript.TestScript, cfg aws.Config) (all []byte) {
	client := cloudwatchlogs.NewFromConfig(cfg)
	groups := cloudwatchlogs.NewDescribeLogGroupsPaginator(client, &cloudwatchlogs.DescribeLogGroupsInput{})
	for groups.HasMorePages() {
		page, err := groups.NextPage(ctx)
		ts.Check(err)
		for _, group := range page.LogGroups {
			events := cloudwatchlogs.NewFilterLogEventsPaginator(client, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: group.LogGroupName})
			for events.HasMorePages() {
				page, err := events.NextPage(ctx)
				ts.Check(err)
				for _, event := range page.Events {
					all = fmt.Appendln(all, aws.ToString(event.Message))
				}
			}
		}
	}
	return all
}

// functionsOf is the configuration of every version of every function,
// environment included.
func functionsOf(ctx context.Context, ts *testscript.TestScript, cfg aws.Config) (all []byte) {
	pages := lambda.NewListFunctionsPaginator(lambda.NewFromConfig(cfg), &lambda.ListFunctionsInput{FunctionVersion: lambdatypes.FunctionVersionAll})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		ts.Check(err)
		encoded, err := json.Marshal(page.Functions)
		ts.Check(err)
		all = append(all, encoded...)
	}
	return all
}

func controlOf(ctx context.Context, ts *testscript.TestScript, cfg aws.Config) (all []byte) {
	pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(cfg), &dynamodb.ScanInput{TableName: aws.String("Shop-demo-control")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		ts.Check(err)
		encoded, err := json.Marshal(page.Items)
		ts.Check(err)
		all = append(all, encoded...)
	}
	return all
}

func TestHavingFindsAText(t *testing.T) {
	t.Parallel()
	const text = "planted-4711"
	for _, test := range []struct {
		name, in string
		found    bool
	}{
		{"as it is", `{"a":"` + text + `"}`, true},
		{"in base64", base64.StdEncoding.EncodeToString([]byte(text)), true},
		{"in base64, shifted by one", base64.StdEncoding.EncodeToString([]byte("x" + text + "yz")), true},
		{"in base64, shifted by two", base64.StdEncoding.EncodeToString([]byte("xx" + text + "y")), true},
		{"another text", "planted-4712", false},
		{"nothing", "", false},
	} {
		with, without := having([]place{{"here", []byte(test.in)}, {"elsewhere", nil}}, text)
		if (len(with) == 1) != test.found || len(with)+len(without) != 2 {
			t.Errorf("%s: in %v, not in %v", test.name, with, without)
		}
	}
}
