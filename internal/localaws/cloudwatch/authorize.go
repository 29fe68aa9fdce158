package cloudwatch

import (
	"context"
	"net/http"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// asked is what a question to IAM needs of any operation's input.
type asked struct {
	Namespace, AlarmName, DashboardName, ResourceARN string
	AlarmNames, DashboardNames                       []string
	AlarmActions, OKActions, InsufficientDataActions []string
}

// guarded asks for an operation on each thing that it names.
func (s *Service) guarded(all map[string]wire.Operation) map[string]wire.Operation {
	out := map[string]wire.Operation{}
	for name, serve := range all {
		out[name] = func(ctx context.Context, decode func(any) error) (any, error) {
			var in asked
			if err := decode(&in); err != nil {
				return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
			}
			for _, resource := range in.resources(wire.FromContext(ctx).Region, name) {
				err := s.opts.Authorize.Ask(ctx, "cloudwatch:"+name, resource, in.keys(name))
				if err := wire.Denied(err, http.StatusForbidden, "AccessDenied"); err != nil {
					return nil, err
				}
			}
			return serve(ctx, decode)
		}
	}
	return out
}

// resources are the ARNs that an operation is about. Metrics have none, and
// reading alarms is asked for all alarms of the region, named or not.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
func (in asked) resources(region, operation string) []string {
	var all []string
	switch operation {
	case "DescribeAlarms", "DescribeAlarmHistory":
		return []string{alarmARN(region, "*")}
	case "ListTagsForResource", "TagResource", "UntagResource":
		return []string{in.ResourceARN}
	case "PutMetricAlarm", "SetAlarmState":
		return []string{alarmARN(region, in.AlarmName)}
	case "DeleteAlarms", "EnableAlarmActions", "DisableAlarmActions":
		for _, name := range in.AlarmNames {
			all = append(all, alarmARN(region, name))
		}
		return all
	case "PutDashboard", "GetDashboard":
		return []string{dashboardARN(in.DashboardName)}
	case "DeleteDashboards":
		for _, name := range in.DashboardNames {
			all = append(all, dashboardARN(name))
		}
		return all
	default:
		return []string{"*"}
	}
}

// keys are the condition keys of an operation.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/iam-cw-condition-keys-namespace.html
func (in asked) keys(operation string) map[string][]string {
	switch operation {
	case "PutMetricData":
		return map[string][]string{"cloudwatch:namespace": {in.Namespace}}
	case "PutMetricAlarm":
		var actions []string
		for _, list := range [][]string{in.AlarmActions, in.OKActions, in.InsufficientDataActions} {
			actions = append(actions, list...)
		}
		if len(actions) > 0 {
			return map[string][]string{"cloudwatch:alarmactions": actions}
		}
	}
	return nil
}
