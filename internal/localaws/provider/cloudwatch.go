package provider

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
)

var cloudwatchKinds = map[string]kind{
	"aws:cloudwatch/logGroup:LogGroup": entry[logGroup]{spec[logGroup]{args: sdk.LogGroupArgs{}, state: sdk.LogGroup{}, identity: []string{"name"}, create: createLogGroup, read: readLogGroup, update: updateLogGroup,
		remove: func(ctx context.Context, s *session, id string, _ logGroup) error {
			_, err := s.logs().DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String(id)})
			return err
		}}},
	"aws:cloudwatch/metricAlarm:MetricAlarm": entry[metricAlarm]{spec[metricAlarm]{args: sdk.MetricAlarmArgs{}, state: sdk.MetricAlarm{}, identity: []string{"name"},
		create: func(ctx context.Context, s *session, p metricAlarm) (string, error) {
			in := p.input()
			for k, v := range p.Tags {
				in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
			}
			if _, err := s.cloudwatch().PutMetricAlarm(ctx, in); err != nil {
				return "", err
			}
			return p.Name, nil
		}, read: readMetricAlarm, update: updateMetricAlarm,
		remove: func(ctx context.Context, s *session, id string, _ metricAlarm) error {
			_, err := s.cloudwatch().DeleteAlarms(ctx, &api.DeleteAlarmsInput{AlarmNames: []string{id}})
			return err
		}}},
}

type logGroup struct {
	Name            string            `json:"name" aws:"replace" check:"required"`
	RetentionInDays int32             `json:"retentionInDays"`
	KmsKeyID        string            `json:"kmsKeyId"`
	Tags            map[string]string `json:"tags"`
	Arn             string            `json:"arn" aws:"out"`
}

func createLogGroup(ctx context.Context, s *session, p logGroup) (string, error) {
	if _, err := s.logs().CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(p.Name), KmsKeyId: optional(p.KmsKeyID), Tags: p.Tags}); err != nil {
		return "", err
	}
	return p.Name, retain(ctx, s, p)
}

func retain(ctx context.Context, s *session, p logGroup) error {
	if p.RetentionInDays == 0 {
		_, err := s.logs().DeleteRetentionPolicy(ctx, &cloudwatchlogs.DeleteRetentionPolicyInput{LogGroupName: aws.String(p.Name)})
		return err
	}
	_, err := s.logs().PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String(p.Name), RetentionInDays: aws.Int32(p.RetentionInDays)})
	return err
}

func readLogGroup(ctx context.Context, s *session, id string, p logGroup) (*logGroup, error) {
	c := s.logs()
	pages := cloudwatchlogs.NewDescribeLogGroupsPaginator(c, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(id)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range out.LogGroups {
			if aws.ToString(g.LogGroupName) != id {
				continue
			}
			p.Name, p.RetentionInDays, p.KmsKeyID = id, aws.ToInt32(g.RetentionInDays), aws.ToString(g.KmsKeyId)
			// The real provider's arn has no ":*" at its end.
			p.Arn = strings.TrimSuffix(aws.ToString(g.Arn), ":*")
			tags, err := c.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(p.Arn)})
			if err != nil {
				return nil, err
			}
			p.Tags = tags.Tags
			return &p, nil
		}
	}
	return nil, nil
}

func updateLogGroup(ctx context.Context, s *session, id string, old, now logGroup) error {
	c := s.logs()
	if old.RetentionInDays != now.RetentionInDays {
		if err := retain(ctx, s, now); err != nil {
			return err
		}
	}
	if old.KmsKeyID != now.KmsKeyID {
		var err error
		if now.KmsKeyID == "" {
			_, err = c.DisassociateKmsKey(ctx, &cloudwatchlogs.DisassociateKmsKeyInput{LogGroupName: aws.String(id)})
		} else {
			_, err = c.AssociateKmsKey(ctx, &cloudwatchlogs.AssociateKmsKeyInput{LogGroupName: aws.String(id), KmsKeyId: aws.String(now.KmsKeyID)})
		}
		if err != nil {
			return err
		}
	}
	return retag(old.Tags, now.Tags, func(set map[string]string) error {
		_, err := c.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: aws.String(old.Arn), Tags: set})
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: aws.String(old.Arn), TagKeys: keys})
		return err
	})
}

type metricAlarm struct {
	Name                              string            `json:"name" aws:"replace" check:"required"`
	AlarmDescription                  string            `json:"alarmDescription"`
	ActionsEnabled                    *bool             `json:"actionsEnabled"`
	AlarmActions                      []string          `json:"alarmActions"`
	OkActions                         []string          `json:"okActions"`
	InsufficientDataActions           []string          `json:"insufficientDataActions"`
	ComparisonOperator                string            `json:"comparisonOperator"`
	DatapointsToAlarm                 *int32            `json:"datapointsToAlarm"`
	Dimensions                        map[string]string `json:"dimensions"`
	EvaluateLowSampleCountPercentiles string            `json:"evaluateLowSampleCountPercentiles"`
	EvaluationPeriods                 int32             `json:"evaluationPeriods"`
	ExtendedStatistic                 string            `json:"extendedStatistic"`
	MetricName                        string            `json:"metricName"`
	MetricQueries                     []metricQuery     `json:"metricQueries"`
	Namespace                         string            `json:"namespace"`
	Period                            *int32            `json:"period"`
	Statistic                         string            `json:"statistic"`
	Threshold                         *float64          `json:"threshold"`
	TreatMissingData                  string            `json:"treatMissingData"`
	Unit                              string            `json:"unit"`
	Tags                              map[string]string `json:"tags"`
	Arn                               string            `json:"arn" aws:"out"`
}

type metricQuery struct {
	ID         string       `json:"id"`
	Expression string       `json:"expression,omitempty"`
	Label      string       `json:"label,omitempty"`
	Period     int32        `json:"period,omitempty"`
	ReturnData bool         `json:"returnData,omitempty"`
	Metric     *queryMetric `json:"metric,omitempty"`
}

type queryMetric struct {
	Dimensions map[string]string `json:"dimensions,omitempty"`
	MetricName string            `json:"metricName"`
	Namespace  string            `json:"namespace,omitempty"`
	Period     int32             `json:"period"`
	Stat       string            `json:"stat"`
	Unit       string            `json:"unit,omitempty"`
}

func dimensions(m map[string]string) []types.Dimension {
	var out []types.Dimension
	for k, v := range m {
		out = append(out, types.Dimension{Name: aws.String(k), Value: aws.String(v)})
	}
	return out
}

func dimensionMap(list []types.Dimension) map[string]string {
	out := map[string]string{}
	for _, d := range list {
		out[aws.ToString(d.Name)] = aws.ToString(d.Value)
	}
	return out
}

func (p metricAlarm) input() *api.PutMetricAlarmInput {
	in := &api.PutMetricAlarmInput{AlarmName: aws.String(p.Name), AlarmDescription: optional(p.AlarmDescription), ActionsEnabled: p.ActionsEnabled, AlarmActions: p.AlarmActions, OKActions: p.OkActions,
		InsufficientDataActions: p.InsufficientDataActions, ComparisonOperator: types.ComparisonOperator(p.ComparisonOperator), DatapointsToAlarm: p.DatapointsToAlarm, Dimensions: dimensions(p.Dimensions),
		EvaluateLowSampleCountPercentile: optional(p.EvaluateLowSampleCountPercentiles), EvaluationPeriods: aws.Int32(p.EvaluationPeriods), ExtendedStatistic: optional(p.ExtendedStatistic),
		MetricName: optional(p.MetricName), Namespace: optional(p.Namespace), Period: p.Period, Statistic: types.Statistic(p.Statistic), Threshold: p.Threshold,
		TreatMissingData: optional(p.TreatMissingData), Unit: types.StandardUnit(p.Unit)}
	for _, q := range p.MetricQueries {
		one := types.MetricDataQuery{Id: aws.String(q.ID), Expression: optional(q.Expression), Label: optional(q.Label), ReturnData: aws.Bool(q.ReturnData)}
		if q.Period != 0 {
			one.Period = aws.Int32(q.Period)
		}
		if m := q.Metric; m != nil {
			one.MetricStat = &types.MetricStat{Period: aws.Int32(m.Period), Stat: aws.String(m.Stat), Unit: types.StandardUnit(m.Unit),
				Metric: &types.Metric{MetricName: aws.String(m.MetricName), Namespace: optional(m.Namespace), Dimensions: dimensions(m.Dimensions)}}
		}
		in.Metrics = append(in.Metrics, one)
	}
	return in
}

func readMetricAlarm(ctx context.Context, s *session, id string, p metricAlarm) (*metricAlarm, error) {
	c := s.cloudwatch()
	out, err := c.DescribeAlarms(ctx, &api.DescribeAlarmsInput{AlarmNames: []string{id}, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm}})
	if err != nil || len(out.MetricAlarms) == 0 {
		return nil, err
	}
	a := out.MetricAlarms[0]
	p.Name, p.Arn, p.AlarmDescription, p.ActionsEnabled = id, aws.ToString(a.AlarmArn), aws.ToString(a.AlarmDescription), a.ActionsEnabled
	p.AlarmActions, p.OkActions, p.InsufficientDataActions = a.AlarmActions, a.OKActions, a.InsufficientDataActions
	p.ComparisonOperator, p.DatapointsToAlarm, p.Dimensions = string(a.ComparisonOperator), a.DatapointsToAlarm, dimensionMap(a.Dimensions)
	p.EvaluateLowSampleCountPercentiles, p.EvaluationPeriods, p.ExtendedStatistic = aws.ToString(a.EvaluateLowSampleCountPercentile), aws.ToInt32(a.EvaluationPeriods), aws.ToString(a.ExtendedStatistic)
	p.MetricName, p.Namespace, p.Period, p.Statistic, p.Threshold = aws.ToString(a.MetricName), aws.ToString(a.Namespace), a.Period, string(a.Statistic), a.Threshold
	p.Unit = string(a.Unit)
	if a.TreatMissingData != nil || p.TreatMissingData != "missing" {
		p.TreatMissingData = aws.ToString(a.TreatMissingData)
	}
	p.MetricQueries = nil
	for _, q := range a.Metrics {
		one := metricQuery{ID: aws.ToString(q.Id), Expression: aws.ToString(q.Expression), Label: aws.ToString(q.Label), Period: aws.ToInt32(q.Period), ReturnData: q.ReturnData == nil || *q.ReturnData}
		if m := q.MetricStat; m != nil {
			one.Metric = &queryMetric{MetricName: aws.ToString(m.Metric.MetricName), Namespace: aws.ToString(m.Metric.Namespace), Period: aws.ToInt32(m.Period), Stat: aws.ToString(m.Stat), Unit: string(m.Unit)}
			if len(m.Metric.Dimensions) > 0 {
				one.Metric.Dimensions = dimensionMap(m.Metric.Dimensions)
			}
		}
		p.MetricQueries = append(p.MetricQueries, one)
	}
	tags, err := c.ListTagsForResource(ctx, &api.ListTagsForResourceInput{ResourceARN: a.AlarmArn})
	if err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	for _, t := range tags.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return &p, nil
}

// updateMetricAlarm puts the whole alarm; its tags are apart, PutMetricAlarm
// takes them at creation only.
func updateMetricAlarm(ctx context.Context, s *session, _ string, old, now metricAlarm) error {
	c := s.cloudwatch()
	if _, err := c.PutMetricAlarm(ctx, now.input()); err != nil {
		return err
	}
	return retag(old.Tags, now.Tags, func(set map[string]string) error {
		in := &api.TagResourceInput{ResourceARN: aws.String(old.Arn)}
		for k, v := range set {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
		}
		_, err := c.TagResource(ctx, in)
		return err
	}, func(keys []string) error {
		_, err := c.UntagResource(ctx, &api.UntagResourceInput{ResourceARN: aws.String(old.Arn), TagKeys: keys})
		return err
	})
}
