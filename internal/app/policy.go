package app

import (
	"context"
	"errors"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/infra"
)

// PolicyReport is the IAM role of a CI job: what it may do, and, for GitHub,
// who may be it.
type PolicyReport struct {
	Policies []infra.Policy  `json:"policies"`
	Trust    *infra.Document `json:"trust,omitempty"`
}

// ShiftPolicy is the role of the jobs that move traffic. Its ids are those of
// the last deploy.
func (a *App) ShiftPolicy(ctx context.Context) (PolicyReport, string, error) {
	top, err := a.findTopology(ctx)
	if err != nil {
		return PolicyReport{}, "", a.notDeployed(err)
	}
	return PolicyReport{Policies: infra.ShiftPolicies(a.Config, top)}, top.Account, nil
}

// DeployPolicy is the role of the jobs that provision. Nothing need be there
// yet but the hosted zone; what is there makes it narrower, see
// infra.DeployPolicies.
func (a *App) DeployPolicy(ctx context.Context) (PolicyReport, string, error) {
	account, err := a.Clients.Account(ctx, a.Config.TargetRegion)
	if err != nil {
		return PolicyReport{}, "", refused(err)
	}
	zone, err := a.Clients.ZoneID(ctx, a.Config.Domain.Zone)
	if err != nil {
		return PolicyReport{}, "", refused(err)
	}
	top, err := a.findTopology(ctx)
	if err != nil && !errors.Is(err, awsapi.ErrNoTopology) {
		return PolicyReport{}, "", refused(err)
	}
	policies, err := infra.DeployPolicies(a.Config, account, zone, top.Keys)
	if err != nil {
		return PolicyReport{}, "", refused(err)
	}
	return PolicyReport{Policies: policies}, account, nil
}
