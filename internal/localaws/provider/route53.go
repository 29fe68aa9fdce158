package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
)

var route53Kinds = map[string]kind{
	"aws:route53/record:Record": entry[record]{spec[record]{args: sdk.RecordArgs{}, state: sdk.Record{}, identity: []string{"zoneId", "name", "type", "setIdentifier"}, create: createRecord, read: readRecord,
		update: func(ctx context.Context, s *session, _ string, _, now record) error {
			return changeRecord(ctx, s, now, types.ChangeActionUpsert)
		}, remove: removeRecord}},
	"aws:route53/healthCheck:HealthCheck": entry[healthCheck]{spec[healthCheck]{args: sdk.HealthCheckArgs{}, state: sdk.HealthCheck{}, create: createHealthCheck, read: readHealthCheck, update: updateHealthCheck,
		remove: func(ctx context.Context, s *session, id string, _ healthCheck) error {
			_, err := s.route53().DeleteHealthCheck(ctx, &api.DeleteHealthCheckInput{HealthCheckId: aws.String(id)})
			return err
		}}},
}

type record struct {
	ZoneID                  string         `json:"zoneId" aws:"replace"`
	Name                    string         `json:"name" aws:"replace"`
	Type                    string         `json:"type" aws:"replace"`
	TTL                     *int64         `json:"ttl"`
	Records                 []string       `json:"records"`
	Aliases                 []recordAlias  `json:"aliases"`
	AllowOverwrite          bool           `json:"allowOverwrite"`
	HealthCheckID           string         `json:"healthCheckId"`
	SetIdentifier           string         `json:"setIdentifier" aws:"replace"`
	WeightedRoutingPolicies []recordWeight `json:"weightedRoutingPolicies"`
	Fqdn                    string         `json:"fqdn" aws:"out"`
}

type recordAlias struct {
	Name                 string `json:"name"`
	ZoneID               string `json:"zoneId"`
	EvaluateTargetHealth bool   `json:"evaluateTargetHealth"`
}

type recordWeight struct {
	Weight int64 `json:"weight"`
}

func (p record) set() (*types.ResourceRecordSet, error) {
	out := &types.ResourceRecordSet{Name: aws.String(p.Name), Type: types.RRType(p.Type), TTL: p.TTL, HealthCheckId: optional(p.HealthCheckID), SetIdentifier: optional(p.SetIdentifier)}
	for _, value := range p.Records {
		if (p.Type == "TXT" || p.Type == "SPF") && !strings.HasPrefix(value, `"`) {
			value = `"` + value + `"`
		}
		out.ResourceRecords = append(out.ResourceRecords, types.ResourceRecord{Value: aws.String(value)})
	}
	if len(p.Aliases) > 1 || len(p.WeightedRoutingPolicies) > 1 || len(p.Aliases) == 1 && len(p.Records) > 0 {
		return nil, errors.New("a record has at most one alias, one weight, and not both an alias and records")
	}
	for _, a := range p.Aliases {
		out.AliasTarget = &types.AliasTarget{DNSName: aws.String(a.Name), HostedZoneId: aws.String(a.ZoneID), EvaluateTargetHealth: a.EvaluateTargetHealth}
	}
	for _, w := range p.WeightedRoutingPolicies {
		out.Weight = aws.Int64(w.Weight)
	}
	return out, nil
}

func createRecord(ctx context.Context, s *session, p record) (string, error) {
	action := types.ChangeActionCreate
	if p.AllowOverwrite {
		action = types.ChangeActionUpsert
	}
	if err := changeRecord(ctx, s, p, action); err != nil {
		return "", err
	}
	id := p.ZoneID + "_" + strings.ToLower(strings.TrimSuffix(p.Name, ".")) + "_" + p.Type
	if p.SetIdentifier != "" {
		id += "_" + p.SetIdentifier
	}
	return id, nil
}

// changeRecord writes the whole record and waits for INSYNC. An update is an
// UPSERT of everything: it puts back whatever somebody else has turned since,
// the weight included, exactly as the real provider does.
func changeRecord(ctx context.Context, s *session, p record, action types.ChangeAction) error {
	set, err := p.set()
	if err != nil {
		return err
	}
	return changeSet(ctx, s, p.ZoneID, set, action)
}

func changeSet(ctx context.Context, s *session, zone string, set *types.ResourceRecordSet, action types.ChangeAction) error {
	c := s.route53()
	var out *api.ChangeResourceRecordSetsOutput
	err := s.retry(ctx, "change "+aws.ToString(set.Name), func() (err error) {
		out, err = c.ChangeResourceRecordSets(ctx, &api.ChangeResourceRecordSetsInput{HostedZoneId: aws.String(zone),
			ChangeBatch: &types.ChangeBatch{Comment: aws.String("Managed by Pulumi"), Changes: []types.Change{{Action: action, ResourceRecordSet: set}}}})
		return err
	}, "PriorRequestNotComplete")
	if batch, ok := errors.AsType[*types.InvalidChangeBatch](err); ok {
		// What is wrong is in the messages, which the error's text leaves out.
		return fmt.Errorf("%w: %s", err, strings.Join(batch.Messages, "; "))
	}
	if err != nil {
		return err
	}
	return s.until(ctx, "change of "+aws.ToString(set.Name)+" is INSYNC", 10*time.Minute, func() (bool, error) {
		change, err := c.GetChange(ctx, &api.GetChangeInput{Id: out.ChangeInfo.Id})
		return err == nil && change.ChangeInfo.Status == types.ChangeStatusInsync, err
	})
}

// find returns the live record set, or nil.
func (p record) find(ctx context.Context, s *session) (*types.ResourceRecordSet, string, error) {
	c := s.route53()
	zone, err := c.GetHostedZone(ctx, &api.GetHostedZoneInput{Id: aws.String(p.ZoneID)})
	if err != nil {
		return nil, "", err
	}
	fqdn := strings.ToLower(strings.TrimSuffix(p.Name, "."))
	if apex := strings.TrimSuffix(aws.ToString(zone.HostedZone.Name), "."); fqdn != apex && !strings.HasSuffix(fqdn, "."+apex) {
		fqdn = strings.TrimPrefix(fqdn+"."+apex, ".")
	}
	in := &api.ListResourceRecordSetsInput{HostedZoneId: aws.String(p.ZoneID), StartRecordName: aws.String(fqdn), StartRecordType: types.RRType(p.Type)}
	pages := api.NewListResourceRecordSetsPaginator(c, in)
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, "", err
		}
		for _, set := range out.ResourceRecordSets {
			name := strings.TrimSuffix(strings.ReplaceAll(aws.ToString(set.Name), `\052`, "*"), ".")
			if name != fqdn || string(set.Type) != p.Type {
				return nil, fqdn, nil // sorted: past it
			}
			if aws.ToString(set.SetIdentifier) == p.SetIdentifier {
				return &set, fqdn, nil
			}
		}
	}
	return nil, fqdn, nil
}

func readRecord(ctx context.Context, s *session, _ string, p record) (*record, error) {
	set, fqdn, err := p.find(ctx, s)
	if err != nil || set == nil {
		return nil, err
	}
	p.Fqdn, p.TTL, p.HealthCheckID = fqdn, set.TTL, aws.ToString(set.HealthCheckId)
	var values []string
	for _, r := range set.ResourceRecords {
		value := aws.ToString(r.Value)
		if p.Type == "TXT" || p.Type == "SPF" {
			value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
		}
		values = append(values, value)
	}
	p.Records = sameSet(values, p.Records)
	wanted := p.Aliases
	p.Aliases = nil
	if a := set.AliasTarget; a != nil {
		live := recordAlias{strings.TrimSuffix(aws.ToString(a.DNSName), "."), aws.ToString(a.HostedZoneId), a.EvaluateTargetHealth}
		if len(wanted) == 1 && strings.EqualFold(strings.TrimSuffix(wanted[0].Name, "."), live.Name) {
			live.Name = wanted[0].Name
		}
		p.Aliases = []recordAlias{live}
	}
	p.WeightedRoutingPolicies = nil
	if set.Weight != nil {
		p.WeightedRoutingPolicies = []recordWeight{{*set.Weight}}
	}
	return &p, nil
}

// removeRecord deletes what is there: a DELETE must name the live values.
func removeRecord(ctx context.Context, s *session, _ string, p record) error {
	set, _, err := p.find(ctx, s)
	if err != nil || set == nil {
		return err
	}
	return changeSet(ctx, s, p.ZoneID, set, types.ChangeActionDelete)
}

type healthCheck struct {
	Type                         string            `json:"type" aws:"replace"`
	Fqdn                         string            `json:"fqdn"`
	IPAddress                    string            `json:"ipAddress"`
	Port                         *int32            `json:"port"`
	ResourcePath                 string            `json:"resourcePath"`
	SearchString                 string            `json:"searchString"`
	EnableSni                    *bool             `json:"enableSni"`
	RequestInterval              *int32            `json:"requestInterval" aws:"replace"`
	FailureThreshold             *int32            `json:"failureThreshold"`
	Disabled                     bool              `json:"disabled"`
	InvertHealthcheck            bool              `json:"invertHealthcheck"`
	MeasureLatency               bool              `json:"measureLatency" aws:"replace"`
	ReferenceName                string            `json:"referenceName" aws:"replace"`
	ChildHealthThreshold         *int32            `json:"childHealthThreshold"`
	ChildHealthchecks            []string          `json:"childHealthchecks"`
	CloudwatchAlarmName          string            `json:"cloudwatchAlarmName"`
	CloudwatchAlarmRegion        string            `json:"cloudwatchAlarmRegion"`
	InsufficientDataHealthStatus string            `json:"insufficientDataHealthStatus"`
	Triggers                     map[string]string `json:"triggers"`
	Tags                         map[string]string `json:"tags"`
	Arn                          string            `json:"arn" aws:"out"`
}
