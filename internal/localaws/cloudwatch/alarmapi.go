package cloudwatch

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// page cuts list at the token, which is the number of items already given.
func page[T any](list []T, token *string, limit int) ([]T, *string, error) {
	from := 0
	if token != nil {
		n, err := strconv.Atoi(*token)
		if err != nil || n < 0 {
			return nil, nil, wire.Errorf(http.StatusBadRequest, "InvalidNextToken", "The value for parameter NextToken is not valid.")
		}
		from = min(n, len(list))
	}
	if to := from + limit; to < len(list) {
		return list[from:to], aws.String(strconv.Itoa(to)), nil
	}
	return list[from:], nil, nil
}

func (s *Service) describeAlarms(ctx context.Context, in api.DescribeAlarmsInput) (any, error) {
	limit := 50
	if in.MaxRecords != nil {
		if *in.MaxRecords < 1 || *in.MaxRecords > 100 {
			return nil, invalid("1 validation error detected: Value '%d' at 'maxRecords' failed to satisfy constraint: Member must have value between 1 and 100", *in.MaxRecords)
		}
		limit = int(*in.MaxRecords)
	}
	if len(in.AlarmNames) > 100 {
		return nil, invalid("1 validation error detected: Value at 'alarmNames' failed to satisfy constraint: Member must have length less than or equal to 100")
	}
	if len(in.AlarmNames) > 0 {
		if in.AlarmNamePrefix != nil {
			return nil, invalid("AlarmNamePrefix cannot be specified together with AlarmNames.")
		}
		limit = 100
	}
	if in.ChildrenOfAlarmName != nil || in.ParentsOfAlarmName != nil {
		return nil, invalid("the embedded AWS has no composite alarms")
	}
	out := api.DescribeAlarmsOutput{MetricAlarms: []types.MetricAlarm{}, CompositeAlarms: []types.CompositeAlarm{}}
	if len(in.AlarmTypes) > 0 && !slices.Contains(in.AlarmTypes, types.AlarmTypeMetricAlarm) {
		return wire.Members(out, nil), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	var matching []types.MetricAlarm
	for _, name := range slices.Sorted(maps.Keys(r.alarms)) {
		a := r.alarms[name].MetricAlarm
		switch {
		case len(in.AlarmNames) > 0 && !slices.Contains(in.AlarmNames, name),
			!strings.HasPrefix(name, aws.ToString(in.AlarmNamePrefix)),
			in.StateValue != "" && a.StateValue != in.StateValue,
			in.ActionPrefix != nil && !hasAction(a, *in.ActionPrefix):
			continue
		}
		matching = append(matching, a)
	}
	var err error
	if out.MetricAlarms, out.NextToken, err = page(matching, in.NextToken, limit); err != nil {
		return nil, err
	}
	if out.MetricAlarms == nil {
		out.MetricAlarms = []types.MetricAlarm{}
	}
	return wire.Members(out, nil), nil
}

func hasAction(a types.MetricAlarm, prefix string) bool {
	for _, list := range [][]string{a.AlarmActions, a.OKActions, a.InsufficientDataActions} {
		for _, action := range list {
			if strings.HasPrefix(action, prefix) {
				return true
			}
		}
	}
	return false
}

func (s *Service) describeAlarmHistory(ctx context.Context, in api.DescribeAlarmHistoryInput) (any, error) {
	limit := 100
	if in.MaxRecords != nil {
		if *in.MaxRecords < 1 || *in.MaxRecords > 100 {
			return nil, invalid("1 validation error detected: Value '%d' at 'maxRecords' failed to satisfy constraint: Member must have value between 1 and 100", *in.MaxRecords)
		}
		limit = int(*in.MaxRecords)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var matching []types.AlarmHistoryItem
	for _, item := range s.in(wire.FromContext(ctx).Region).history {
		switch {
		case in.AlarmName != nil && *in.AlarmName != *item.AlarmName,
			len(in.AlarmTypes) > 0 && !slices.Contains(in.AlarmTypes, item.AlarmType),
			in.HistoryItemType != "" && in.HistoryItemType != item.HistoryItemType,
			in.StartDate != nil && item.Timestamp.Before(*in.StartDate),
			in.EndDate != nil && item.Timestamp.After(*in.EndDate):
			continue
		}
		matching = append(matching, item.AlarmHistoryItem)
	}
	if in.ScanBy != types.ScanByTimestampAscending {
		slices.Reverse(matching)
	}
	items, token, err := page(matching, in.NextToken, limit)
	if err != nil {
		return nil, err
	}
	return wire.Members(api.DescribeAlarmHistoryOutput{AlarmHistoryItems: items, NextToken: token}, nil), nil
}

// named calls f for each alarm; one that does not exist is an error and none
// is changed then.
func (s *Service) named(ctx context.Context, names []string, f func(*region, *alarm)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	for _, name := range names {
		if r.alarms[name] == nil {
			return wire.Errorf(http.StatusNotFound, "ResourceNotFound", "Alarm %s does not exist", name)
		}
	}
	for _, name := range names {
		f(r, r.alarms[name])
	}
	return nil
}

func (s *Service) deleteAlarms(ctx context.Context, in api.DeleteAlarmsInput) (any, error) {
	now := wire.FromContext(ctx).Now
	return nil, s.named(ctx, in.AlarmNames, func(r *region, a *alarm) {
		r.remember(now, a, types.HistoryItemTypeConfigurationUpdate, `Alarm "`+*a.AlarmName+`" deleted`, map[string]any{"version": "1.0", "type": "Delete"})
		delete(r.alarms, *a.AlarmName)
		delete(r.tags, *a.AlarmArn)
	})
}

func (s *Service) setAlarmState(ctx context.Context, in api.SetAlarmStateInput) (any, error) {
	if !slices.Contains(in.StateValue.Values(), in.StateValue) {
		return nil, invalid("1 validation error detected: Value '%s' at 'stateValue' failed to satisfy constraint", in.StateValue)
	}
	if data := aws.ToString(in.StateReasonData); data != "" && !jsonObject(data) {
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidFormat", "StateReasonData was not valid JSON")
	}
	now := wire.FromContext(ctx).Now
	return nil, s.named(ctx, []string{aws.ToString(in.AlarmName)}, func(r *region, a *alarm) {
		r.transition(now, a, in.StateValue, aws.ToString(in.StateReason), aws.ToString(in.StateReasonData))
	})
}

func (s *Service) enableAlarmActions(ctx context.Context, in api.EnableAlarmActionsInput) (any, error) {
	return nil, s.named(ctx, in.AlarmNames, func(_ *region, a *alarm) { a.ActionsEnabled = aws.Bool(true) })
}

func (s *Service) disableAlarmActions(ctx context.Context, in api.DisableAlarmActionsInput) (any, error) {
	return nil, s.named(ctx, in.AlarmNames, func(_ *region, a *alarm) { a.ActionsEnabled = aws.Bool(false) })
}
