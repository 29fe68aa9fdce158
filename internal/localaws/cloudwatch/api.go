package cloudwatch

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Handler serves the rpc-v2-cbor protocol, which the SDK has used for
// CloudWatch since December 2025.
func (s *Service) Handler() http.Handler {
	return unzipped(wire.CBOR(s.opts.Log, map[string]wire.Operation{
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
	}))
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

type dashboard struct {
	body     string
	modified time.Time
}

func dashboardARN(name string) string {
	return "arn:aws:cloudwatch::" + wire.Account + ":dashboard/" + name
}

func jsonObject(text string) bool {
	var object map[string]any
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}

func (s *Service) putDashboard(ctx context.Context, in api.PutDashboardInput) (any, error) {
	name := aws.ToString(in.DashboardName)
	if name == "" || len(name) > 255 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return nil, badParameter("The value %s for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_).", name)
	}
	if !jsonObject(aws.ToString(in.DashboardBody)) {
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidParameterInput", "The field DashboardBody must be a valid JSON object")
	}
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(call.Region)
	r.dashboards[name] = dashboard{body: *in.DashboardBody, modified: call.Now}
	r.tag(dashboardARN(name), in.Tags)
	return map[string]any{"DashboardValidationMessages": []any{}}, nil
}

func (s *Service) getDashboard(ctx context.Context, in api.GetDashboardInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := aws.ToString(in.DashboardName)
	d, ok := s.in(wire.FromContext(ctx).Region).dashboards[name]
	if !ok {
		return nil, noDashboard(name)
	}
	return map[string]any{"DashboardArn": dashboardARN(name), "DashboardBody": d.body, "DashboardName": name}, nil
}

func noDashboard(name string) *wire.Error {
	return wire.Errorf(http.StatusNotFound, "ResourceNotFound", "Dashboard %s does not exist", name)
}

func (s *Service) deleteDashboards(ctx context.Context, in api.DeleteDashboardsInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	for _, name := range in.DashboardNames {
		if _, ok := r.dashboards[name]; !ok {
			return nil, noDashboard(name)
		}
	}
	for _, name := range in.DashboardNames {
		delete(r.dashboards, name)
		delete(r.tags, dashboardARN(name))
	}
	return nil, nil
}

func (s *Service) listDashboards(ctx context.Context, in api.ListDashboardsInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(wire.FromContext(ctx).Region)
	var entries []types.DashboardEntry
	for _, name := range slices.Sorted(maps.Keys(r.dashboards)) {
		d := r.dashboards[name]
		if strings.HasPrefix(name, aws.ToString(in.DashboardNamePrefix)) {
			entries = append(entries, types.DashboardEntry{DashboardArn: aws.String(dashboardARN(name)), DashboardName: aws.String(name),
				LastModified: aws.Time(d.modified), Size: aws.Int64(int64(len(d.body)))})
		}
	}
	entries, token, err := page(entries, in.NextToken, 1000)
	if err != nil {
		return nil, err
	}
	return wire.Members(api.ListDashboardsOutput{DashboardEntries: entries, NextToken: token}, nil), nil
}
