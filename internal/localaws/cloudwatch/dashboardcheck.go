package cloudwatch

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// The limits of a dashboard.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
const (
	widgetsMax       = 500
	widgetMetricsMax = 500
	gridColumns      = 24
	gridRows         = 1000
)

// widgetTypes are the types a widget can have. Only what this repository's
// dashboards are made of is looked into; the others need properties.
var widgetTypes = []string{"metric", "text", "log", "alarm", "explorer", "custom", "chart"}

// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
var (
	metricProperties = []string{"accountId", "annotations", "end", "labels", "legend", "liveData", "metrics", "period", "region", "setPeriodToTimeRange",
		"singleValueFullPrecision", "sparkline", "stacked", "start", "stat", "table", "timezone", "title", "trend", "view", "yAxis"}
	metricOptions = []string{"accountId", "color", "expression", "id", "label", "period", "region", "stat", "visible", "yAxis"}
)

// verdict collects what is wrong with one body. The texts of missing
// properties, metric widgets without a source and fields that are no text are
// those AWS was seen to give; the rest follows their manner [model].
type verdict struct {
	errors, warnings []types.DashboardValidationMessage
}

func message(path, format string, args ...any) types.DashboardValidationMessage {
	return types.DashboardValidationMessage{DataPath: aws.String(path), Message: aws.String(fmt.Sprintf(format, args...))}
}

func (v *verdict) fail(path, format string, args ...any) {
	v.errors = append(v.errors, message(path, format, args...))
}

// unknown warns of what CloudWatch keeps and does not draw.
func (v *verdict) unknown(path string, object map[string]any, known []string) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, name) {
			v.warnings = append(v.warnings, message(path+"/"+name, "Should NOT have additional properties"))
		}
	}
}

// checkDashboard returns the warnings, or the error with all errors in it.
func checkDashboard(body string) ([]types.DashboardValidationMessage, error) {
	var object map[string]any
	var v verdict
	if json.Unmarshal([]byte(body), &object) != nil || object == nil {
		return nil, dashboardInvalid("The field DashboardBody must be a valid JSON object", nil)
	}
	v.unknown("", object, []string{"widgets", "start", "end", "periodOverride", "variables"})
	widgets, isList := object["widgets"].([]any)
	switch {
	case object["widgets"] == nil:
		v.fail("", "Should have required property 'widgets'")
	case !isList:
		v.fail("/widgets", "Should be array")
	case len(widgets) > widgetsMax:
		v.fail("/widgets", "Should NOT have more than %d items", widgetsMax)
	}
	if object["end"] != nil && object["start"] == nil {
		v.fail("", "Should have required property 'start'")
	}
	for i, w := range widgets {
		v.widget(fmt.Sprintf("/widgets/%d", i), w)
	}
	if len(v.errors) == 0 {
		return v.warnings, nil
	}
	type shown struct {
		DataPath string `json:"dataPath"`
		Message  string `json:"message"`
	}
	var list []shown
	for _, e := range v.errors {
		list = append(list, shown{*e.DataPath, *e.Message})
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, err
	}
	return nil, dashboardInvalid(fmt.Sprintf("The dashboard body is invalid, there are %d validation errors:\n%s", len(list), text), v.errors)
}

func dashboardInvalid(text string, messages []types.DashboardValidationMessage) error {
	e := wire.Errorf(http.StatusBadRequest, "InvalidParameterInput", "%s", text)
	e.Fields = map[string]any{"__type": "DashboardInvalidInputError", "dashboardValidationMessages": wire.Members(messages, nil)}
	return e
}

func (v *verdict) widget(path string, w any) {
	widget, ok := w.(map[string]any)
	if !ok {
		v.fail(path, "Should be object")
		return
	}
	v.unknown(path, widget, []string{"type", "x", "y", "width", "height", "properties"})
	for _, side := range []struct {
		name     string
		min, max float64
	}{{"x", 0, gridColumns - 1}, {"y", 0, math.MaxInt32}, {"width", 1, gridColumns}, {"height", 1, gridRows}} {
		if n, isNumber := widget[side.name].(float64); widget[side.name] != nil && (!isNumber || n != math.Trunc(n) || n < side.min || n > side.max) {
			v.fail(path+"/"+side.name, "Should be an integer from %.0f to %.0f", side.min, side.max)
		}
	}
	properties, hasProperties := widget["properties"].(map[string]any)
	kind, isText := widget["type"].(string)
	switch {
	case widget["type"] == nil:
		v.fail(path, "Should have required property 'type'")
	case !isText || !slices.Contains(widgetTypes, kind):
		v.fail(path+"/type", "Should be equal to one of the allowed values")
	case !hasProperties:
		v.fail(path, "Should have required property 'properties'")
	case kind == "metric":
		v.metricWidget(path+"/properties", properties)
	default:
		for _, name := range map[string][]string{"text": {"markdown"}, "log": {"query", "region"}, "alarm": {"alarms"}}[kind] {
			if properties[name] == nil {
				v.fail(path+"/properties", "Should have required property '%s'", name)
			}
		}
	}
}

// metricWidget wants a region and something to draw: metrics, or an alarm.
func (v *verdict) metricWidget(path string, properties map[string]any) {
	v.unknown(path, properties, metricProperties)
	annotations, _ := properties["annotations"].(map[string]any)
	metrics, isList := properties["metrics"].([]any)
	hasMetrics, hasAlarm := properties["metrics"] != nil, annotations["alarms"] != nil
	region, _ := properties["region"].(string)
	if !hasMetrics && !hasAlarm {
		v.fail(path, "Should have required property 'metrics'")
	}
	if region == "" || !hasMetrics && !hasAlarm {
		v.fail(path, "The metric widget should have specified a region and a data source or an alarm annotation")
	}
	if !hasMetrics && !hasAlarm {
		v.fail(path, "Should have required property 'annotations'")
	}
	if hasMetrics && (!isList || len(metrics) == 0 || len(metrics) > widgetMetricsMax) {
		v.fail(path+"/metrics", "Should be array of 1 to %d items", widgetMetricsMax)
	}
	for i, m := range metrics {
		v.metric(fmt.Sprintf("%s/metrics/%d", path, i), m)
	}
}

// metric is [namespace, name, dimension, value, ..., {options}], or options
// alone with an expression. "..." stands for what the metric before has.
func (v *verdict) metric(path string, m any) {
	fields, ok := m.([]any)
	if !ok || len(fields) == 0 {
		v.fail(path, "Should be array of at least 1 item")
		return
	}
	options, hasOptions := fields[len(fields)-1].(map[string]any)
	if hasOptions {
		fields = fields[:len(fields)-1]
		v.unknown(fmt.Sprintf("%s/%d", path, len(fields)), options, metricOptions)
	}
	if len(fields) == 0 {
		if text, _ := options["expression"].(string); text == "" {
			v.fail(path+"/0", "Should have required property 'expression'")
		}
		return
	}
	shortened := false
	for i, field := range fields {
		text, isText := field.(string)
		if !isText || text == "" {
			v.fail(fmt.Sprintf("%s/%d", path, i), "Invalid metric field type, only \"String\" type is allowed")
		}
		shortened = shortened || text == "..."
	}
	switch {
	case shortened:
	case len(fields) < 2:
		v.fail(path, "Should NOT have fewer than 2 items")
	case len(fields)%2 != 0:
		v.fail(path, "Should have a value for every dimension")
	}
}
