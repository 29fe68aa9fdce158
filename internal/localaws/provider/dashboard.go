package provider

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
)

var dashboardKinds = map[string]kind{
	"aws:cloudwatch/dashboard:Dashboard": entry[dashboard]{spec[dashboard]{args: sdk.DashboardArgs{}, state: sdk.Dashboard{}, identity: []string{"dashboardName"},
		create: func(ctx context.Context, s *session, p dashboard) (string, error) {
			return p.DashboardName, p.put(ctx, s)
		},
		read:   readDashboard,
		update: func(ctx context.Context, s *session, _ string, _, now dashboard) error { return now.put(ctx, s) },
		remove: func(ctx context.Context, s *session, id string, _ dashboard) error {
			_, err := s.cloudwatch().DeleteDashboards(ctx, &api.DeleteDashboardsInput{DashboardNames: []string{id}})
			return err
		}}},
}

type dashboard struct {
	DashboardName string   `json:"dashboardName" aws:"replace"`
	DashboardBody jsonText `json:"dashboardBody"`
	DashboardArn  string   `json:"dashboardArn" aws:"out"`
}

// jsonText is a JSON document: its order of members and its white space mean
// nothing.
type jsonText string

// Equal is equality of the documents.
func (a jsonText) Equal(b jsonText) bool { return samePolicy(string(a), string(b)) == string(b) }

func (p dashboard) put(ctx context.Context, s *session) error {
	_, err := s.cloudwatch().PutDashboard(ctx, &api.PutDashboardInput{DashboardName: aws.String(p.DashboardName), DashboardBody: aws.String(string(p.DashboardBody))})
	return err
}

func readDashboard(ctx context.Context, s *session, id string, p dashboard) (*dashboard, error) {
	out, err := s.cloudwatch().GetDashboard(ctx, &api.GetDashboardInput{DashboardName: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.DashboardName, p.DashboardArn, p.DashboardBody = id, aws.ToString(out.DashboardArn), jsonText(aws.ToString(out.DashboardBody))
	return &p, nil
}
