package cloudwatch

import (
	"context"
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

type dashboard struct {
	body     string
	modified time.Time
}

func dashboardARN(name string) string {
	return "arn:aws:cloudwatch::" + wire.Account + ":dashboard/" + name
}

// putDashboard refuses a body with errors and keeps one with mere warnings.
func (s *Service) putDashboard(ctx context.Context, in api.PutDashboardInput) (any, error) {
	name := aws.ToString(in.DashboardName)
	if name == "" || len(name) > 255 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return nil, badParameter("The value %s for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_).", name)
	}
	warnings, err := checkDashboard(aws.ToString(in.DashboardBody))
	if err != nil {
		return nil, err
	}
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.in(call.Region)
	_, existed := r.dashboards[name]
	r.dashboards[name] = dashboard{body: *in.DashboardBody, modified: call.Now}
	if !existed { // AWS ignores the tags of an update
		r.tag(dashboardARN(name), in.Tags)
	}
	return wire.Members(api.PutDashboardOutput{DashboardValidationMessages: warnings}, nil), nil
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
	e := wire.Errorf(http.StatusNotFound, "ResourceNotFound", "Dashboard %s does not exist", name)
	e.Fields = map[string]any{"__type": "DashboardNotFoundError"}
	return e
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
