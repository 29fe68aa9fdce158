package provider

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

func (p healthCheck) alarm() *types.AlarmIdentifier {
	if p.CloudwatchAlarmName == "" {
		return nil
	}
	return &types.AlarmIdentifier{Name: aws.String(p.CloudwatchAlarmName), Region: types.CloudWatchRegion(p.CloudwatchAlarmRegion)}
}

func (p healthCheck) config() *types.HealthCheckConfig {
	return &types.HealthCheckConfig{Type: types.HealthCheckType(p.Type), FullyQualifiedDomainName: optional(p.Fqdn), IPAddress: optional(p.IPAddress), Port: p.Port, ResourcePath: optional(p.ResourcePath),
		SearchString: optional(p.SearchString), EnableSNI: p.EnableSni, RequestInterval: p.RequestInterval, FailureThreshold: p.FailureThreshold, Disabled: aws.Bool(p.Disabled), Inverted: aws.Bool(p.InvertHealthcheck),
		MeasureLatency: p.latency(), HealthThreshold: p.ChildHealthThreshold, ChildHealthChecks: p.ChildHealthchecks, AlarmIdentifier: p.alarm(),
		InsufficientDataHealthStatus: types.InsufficientDataHealthStatus(p.InsufficientDataHealthStatus)}
}

// latency is not for the kinds that reach no endpoint.
func (p healthCheck) latency() *bool {
	if p.Type == "CALCULATED" || p.Type == "CLOUDWATCH_METRIC" {
		return nil
	}
	return aws.Bool(p.MeasureLatency)
}

func createHealthCheck(ctx context.Context, s *session, p healthCheck) (string, error) {
	reference := rand.Text()
	if p.ReferenceName != "" {
		reference = p.ReferenceName + "-" + reference
	}
	out, err := s.route53().CreateHealthCheck(ctx, &api.CreateHealthCheckInput{CallerReference: aws.String(reference[:min(64, len(reference))]), HealthCheckConfig: p.config()})
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.HealthCheck.Id)
	return id, tagHealthCheck(ctx, s, id, nil, p.Tags)
}

func tagHealthCheck(ctx context.Context, s *session, id string, old, now map[string]string) error {
	in := &api.ChangeTagsForResourceInput{ResourceId: aws.String(id), ResourceType: types.TagResourceTypeHealthcheck}
	_ = retag(old, now, func(set map[string]string) error {
		for k, v := range set {
			in.AddTags = append(in.AddTags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
		}
		return nil
	}, func(keys []string) error { in.RemoveTagKeys = keys; return nil })
	if len(in.AddTags)+len(in.RemoveTagKeys) == 0 {
		return nil
	}
	_, err := s.route53().ChangeTagsForResource(ctx, in)
	return err
}

func readHealthCheck(ctx context.Context, s *session, id string, p healthCheck) (*healthCheck, error) {
	c := s.route53()
	out, err := c.GetHealthCheck(ctx, &api.GetHealthCheckInput{HealthCheckId: aws.String(id)})
	if err != nil {
		return nil, err
	}
	h := out.HealthCheck.HealthCheckConfig
	p.Arn = "arn:aws:route53:::healthcheck/" + id
	p.Type, p.Fqdn, p.IPAddress, p.ResourcePath, p.SearchString = string(h.Type), strings.TrimSuffix(aws.ToString(h.FullyQualifiedDomainName), "."), aws.ToString(h.IPAddress), aws.ToString(h.ResourcePath), aws.ToString(h.SearchString)
	p.Port, p.EnableSni, p.RequestInterval, p.FailureThreshold = h.Port, h.EnableSNI, h.RequestInterval, h.FailureThreshold
	p.Disabled, p.InvertHealthcheck, p.MeasureLatency = aws.ToBool(h.Disabled), aws.ToBool(h.Inverted), aws.ToBool(h.MeasureLatency)
	p.ChildHealthThreshold, p.ChildHealthchecks = h.HealthThreshold, sameSet(h.ChildHealthChecks, p.ChildHealthchecks)
	p.InsufficientDataHealthStatus = string(h.InsufficientDataHealthStatus)
	p.CloudwatchAlarmName, p.CloudwatchAlarmRegion = "", ""
	if a := h.AlarmIdentifier; a != nil {
		p.CloudwatchAlarmName, p.CloudwatchAlarmRegion = aws.ToString(a.Name), string(a.Region)
	}
	tags, err := c.ListTagsForResource(ctx, &api.ListTagsForResourceInput{ResourceId: aws.String(id), ResourceType: types.TagResourceTypeHealthcheck})
	if err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	if tags.ResourceTagSet != nil {
		for _, t := range tags.ResourceTagSet.Tags {
			p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return &p, nil
}

// updateHealthCheck sends everything that can be updated. For a check on an
// alarm this is also what makes Route 53 copy the alarm's definition anew,
// which is what a changed trigger asks for.
func updateHealthCheck(ctx context.Context, s *session, id string, old, now healthCheck) error {
	h := now.config()
	_, err := s.route53().UpdateHealthCheck(ctx, &api.UpdateHealthCheckInput{HealthCheckId: aws.String(id), FullyQualifiedDomainName: h.FullyQualifiedDomainName, IPAddress: h.IPAddress, Port: h.Port, ResourcePath: h.ResourcePath,
		SearchString: h.SearchString, EnableSNI: h.EnableSNI, FailureThreshold: h.FailureThreshold, Disabled: h.Disabled, Inverted: h.Inverted, HealthThreshold: h.HealthThreshold, ChildHealthChecks: h.ChildHealthChecks,
		AlarmIdentifier: h.AlarmIdentifier, InsufficientDataHealthStatus: h.InsufficientDataHealthStatus})
	if err != nil {
		return err
	}
	return tagHealthCheck(ctx, s, id, old.Tags, now.Tags)
}
