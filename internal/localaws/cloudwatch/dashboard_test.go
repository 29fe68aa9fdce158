package cloudwatch_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/google/go-cmp/cmp"
)

// told are validation messages as "PATH: MESSAGE".
func told(messages []types.DashboardValidationMessage) string {
	var out []string
	for _, m := range messages {
		out = append(out, aws.ToString(m.DataPath)+": "+aws.ToString(m.Message))
	}
	return strings.Join(out, "\n")
}

func metricWidget(properties string) string {
	return `{"widgets":[{"type":"metric","x":0,"y":0,"width":12,"height":6,"properties":{` + properties + `}}]}`
}

func TestDashboardBodiesAreValidated(t *testing.T) {
	t.Parallel()
	const noSource = "/widgets/0/properties: Should have required property 'metrics'\n" +
		"/widgets/0/properties: The metric widget should have specified a region and a data source or an alarm annotation\n" +
		"/widgets/0/properties: Should have required property 'annotations'"
	metric := func(m string) string { return metricWidget(`"region":"eu-west-1","metrics":[` + m + `]`) }
	for name, tt := range map[string]struct{ body, failed, warned string }{
		"empty":               {`{"widgets":[]}`, "", ""},
		"metric":              {metric(`["AWS/Lambda","Errors","FunctionName","f",{"stat":"Sum","label":"errors"}],[".","Duration",".","."],["..."],[{"expression":"m1/m2","id":"e1"}]`), "", ""},
		"alarm annotation":    {metricWidget(`"region":"eu-west-1","annotations":{"alarms":["arn"]}`), "", ""},
		"text":                {`{"widgets":[{"type":"text","properties":{"markdown":"#"}}]}`, "", ""},
		"no widgets":          {`{}`, ": Should have required property 'widgets'", ""},
		"widgets of a kind":   {`{"widgets":{}}`, "/widgets: Should be array", ""},
		"no source":           {metricWidget(`"region":"eu-west-1"`), noSource, ""},
		"no region":           {metricWidget(`"metrics":[["A","b"]]`), "/widgets/0/properties: The metric widget should have specified a region and a data source or an alarm annotation", ""},
		"dimension as object": {metric(`["AWS/ECS","CPU",{"ClusterName":"c"},"x"]`), "/widgets/0/properties/metrics/0/2: Invalid metric field type, only \"String\" type is allowed", ""},
		"dimension half":      {metric(`["AWS/ECS","CPU","ClusterName"]`), "/widgets/0/properties/metrics/0: Should have a value for every dimension", ""},
		"name missing":        {metric(`["AWS/ECS"]`), "/widgets/0/properties/metrics/0: Should NOT have fewer than 2 items", ""},
		"no metric":           {metric(``), "/widgets/0/properties/metrics: Should be array of 1 to 500 items", ""},
		"no type":             {`{"widgets":[{"properties":{}}]}`, "/widgets/0: Should have required property 'type'", ""},
		"unknown type":        {`{"widgets":[{"type":"graph","properties":{}}]}`, "/widgets/0/type: Should be equal to one of the allowed values", ""},
		"off the grid":        {`{"widgets":[{"type":"text","x":24,"width":1.5,"properties":{"markdown":"#"}}]}`, "/widgets/0/x: Should be an integer from 0 to 23\n/widgets/0/width: Should be an integer from 1 to 24", ""},
		"text without text":   {`{"widgets":[{"type":"text","properties":{}}]}`, "/widgets/0/properties: Should have required property 'markdown'", ""},
		"end without start":   {`{"end":"x","widgets":[]}`, ": Should have required property 'start'", ""},
		"a slip of the pen":   {metricWidget(`"region":"eu-west-1","metrics":[["A","b",{"colour":"red"}]],"titel":"x"`), "", "/widgets/0/properties/titel: Should NOT have additional properties\n/widgets/0/properties/metrics/0/2/colour: Should NOT have additional properties"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			out, err := w.client.PutDashboard(t.Context(), &api.PutDashboardInput{DashboardName: aws.String("d"), DashboardBody: &tt.body})
			_, missing := w.client.GetDashboard(t.Context(), &api.GetDashboardInput{DashboardName: aws.String("d")})
			if tt.failed == "" {
				if err != nil || missing != nil {
					t.Fatalf("refused: %v, %v", err, missing)
				}
				if diff := cmp.Diff(tt.warned, told(out.DashboardValidationMessages)); diff != "" {
					t.Error(diff)
				}
				return
			}
			invalid, ok := errors.AsType[*types.DashboardInvalidInputError](err)
			if !ok || invalid.ErrorCode() != "InvalidParameterInput" || !strings.Contains(err.Error(), "The dashboard body is invalid, there are ") {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(tt.failed, told(invalid.DashboardValidationMessages)); diff != "" {
				t.Error(diff)
			}
			if _, gone := errors.AsType[*types.DashboardNotFoundError](missing); !gone {
				t.Errorf("it was kept all the same: %v", missing)
			}
		})
	}
}

func TestDashboardsAreListedAndDeleted(t *testing.T) {
	t.Parallel()
	w := start(t)
	put := func(name string, tags ...types.Tag) {
		t.Helper()
		if _, err := w.client.PutDashboard(t.Context(), &api.PutDashboardInput{DashboardName: &name, DashboardBody: aws.String(`{"widgets":[]}`), Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	put("app-blue", types.Tag{Key: aws.String("Owner"), Value: aws.String("me")})
	put("app-green")
	w.clock.Advance(time.Minute)
	put("app-blue", types.Tag{Key: aws.String("Owner"), Value: aws.String("you")})
	put("other")
	out, err := w.client.ListDashboards(t.Context(), &api.ListDashboardsInput{DashboardNamePrefix: aws.String("app-")})
	if err != nil || len(out.DashboardEntries) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	first := out.DashboardEntries[0]
	if *first.DashboardArn != "arn:aws:cloudwatch::000000000000:dashboard/app-blue" || *first.Size != 14 || !first.LastModified.Equal(origin.Add(time.Minute)) {
		t.Errorf("%+v", first)
	}
	tags, err := w.client.ListTagsForResource(t.Context(), &api.ListTagsForResourceInput{ResourceARN: first.DashboardArn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "me" {
		t.Errorf("an update changed the tags: %+v, %v", tags, err)
	}
	remove := func(names ...string) error {
		_, err := w.client.DeleteDashboards(t.Context(), &api.DeleteDashboardsInput{DashboardNames: names})
		return err
	}
	if _, gone := errors.AsType[*types.DashboardNotFoundError](remove("app-blue", "absent")); !gone {
		t.Error("one of two dashboards was not there, and that is no error")
	}
	if err := remove("app-blue", "app-green"); err != nil {
		t.Fatal(err)
	}
	if out, err = w.client.ListDashboards(t.Context(), &api.ListDashboardsInput{}); err != nil || len(out.DashboardEntries) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}
