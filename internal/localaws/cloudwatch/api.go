package cloudwatch

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Handler serves the rpc-v2-cbor protocol, which the SDK has used for
// CloudWatch since December 2025.
func (s *Service) Handler() http.Handler {
	return unzipped(wire.CBOR(s.opts.Log, s.guarded(map[string]wire.Operation{
		"PutMetricData":        wire.Op(s.putMetricData),
		"GetMetricData":        wire.Op(s.getMetricData),
		"GetMetricStatistics":  wire.Op(s.getMetricStatistics),
		"ListMetrics":          wire.Op(s.listMetrics),
		"PutMetricAlarm":       wire.Op(s.putMetricAlarm),
		"DescribeAlarms":       wire.Op(s.describeAlarms),
		"DescribeAlarmHistory": wire.Op(s.describeAlarmHistory),
		"DeleteAlarms":         wire.Op(s.deleteAlarms),
		"SetAlarmState":        wire.Op(s.setAlarmState),
		"EnableAlarmActions":   wire.Op(s.enableAlarmActions),
		"DisableAlarmActions":  wire.Op(s.disableAlarmActions),
		"ListTagsForResource":  wire.Op(s.listTagsForResource),
		"TagResource":          wire.Op(s.tagResource),
		"UntagResource":        wire.Op(s.untagResource),
		"PutDashboard":         wire.Op(s.putDashboard),
		"GetDashboard":         wire.Op(s.getDashboard),
		"DeleteDashboards":     wire.Op(s.deleteDashboards),
		"ListDashboards":       wire.Op(s.listDashboards),
	})))
}

// unzipped undoes the compression the SDK applies to large PutMetricData
// bodies.
func unzipped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") == "gzip" {
			if plain, err := gzip.NewReader(r.Body); err == nil {
				r.Body = plain // what is not gzip fails to decode, with AWS's error
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (r *region) tag(arn string, tags []types.Tag) {
	if r.tags[arn] == nil {
		r.tags[arn] = map[string]string{}
	}
	for _, t := range tags {
		r.tags[arn][aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
}

// taggable finds the alarm or dashboard behind an ARN.
func (r *region) taggable(arn string) error {
	for _, a := range r.alarms {
		if *a.AlarmArn == arn {
			return nil
		}
	}
	for name := range r.dashboards {
		if dashboardARN(name) == arn {
			return nil
		}
	}
	return wire.Errorf(http.StatusNotFound, "ResourceNotFoundException", "Unknown: %s", arn)
}

func (s *Service) listTagsForResource(ctx context.Context, in api.ListTagsForResourceInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	arn := aws.ToString(in.ResourceARN)
	if err := r.taggable(arn); err != nil {
		return nil, err
	}
	out := api.ListTagsForResourceOutput{Tags: []types.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(r.tags[arn])) {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(key), Value: aws.String(r.tags[arn][key])})
	}
	return wire.Members(out, nil), nil
}

func (s *Service) tagResource(ctx context.Context, in api.TagResourceInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	if err := r.taggable(aws.ToString(in.ResourceARN)); err != nil {
		return nil, err
	}
	r.tag(*in.ResourceARN, in.Tags)
	return nil, nil
}

func (s *Service) untagResource(ctx context.Context, in api.UntagResourceInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	if err := r.taggable(aws.ToString(in.ResourceARN)); err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		delete(r.tags[*in.ResourceARN], key)
	}
	return nil, nil
}

func jsonObject(text string) bool {
	var object map[string]any
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}
