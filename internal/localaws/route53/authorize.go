package route53

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// The condition keys of a change, each with all values of the batch. A policy
// names records as they are kept, in lower case and with octal escapes, and
// without the dot at the end.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-rrset-conditions.html
const (
	keyNames   = "route53:changeresourcerecordsetsnormalizedrecordnames"
	keyTypes   = "route53:changeresourcerecordsetsrecordtypes"
	keyActions = "route53:changeresourcerecordsetsactions"
)

// ask asks for an action on one resource; Route 53 writes a denial its own way.
func (s *Service) ask(ctx context.Context, action, resource string, keys map[string][]string) error {
	return wire.Denied(s.options.Authorize.Ask(ctx, "route53:"+action, resource, keys), http.StatusForbidden, "AccessDenied")
}

// guarded asks for what a path names, before it is served. A change of records
// and tags of several resources are asked for once their body is read.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html
func (s *Service) guarded(action string, serve operation) operation {
	return func(r *http.Request, call wire.Call) (int, string, any, error) {
		if action != "ChangeResourceRecordSets" && action != "ListTagsForResources" {
			if err := s.ask(r.Context(), action, resourceOf(action, r), nil); err != nil {
				return 0, "", nil, err
			}
		}
		return serve(r, call)
	}
}

// resourceOf is the ARN of what a path is about, "*" where it names nothing.
func resourceOf(action string, r *http.Request) string {
	id := r.PathValue("id")
	switch {
	case id == "":
		return "*"
	case r.PathValue("kind") != "":
		return "arn:aws:route53:::" + r.PathValue("kind") + "/" + id
	case action == "GetChange":
		return "arn:aws:route53:::change/" + id
	case strings.Contains(action, "HealthCheck"):
		return "arn:aws:route53:::healthcheck/" + id
	default:
		return zoneARN(id)
	}
}

func zoneARN(id string) string { return "arn:aws:route53:::hostedzone/" + id }

// authorizeChange asks for a whole batch at once.
func (s *Service) authorizeChange(ctx context.Context, zone string, changes []Change) error {
	keys := map[string][]string{}
	for _, c := range changes {
		for key, value := range map[string]string{
			keyNames: strings.TrimSuffix(normalName(c.ResourceRecordSet.Name), "."), keyTypes: c.ResourceRecordSet.Type, keyActions: c.Action,
		} {
			if !slices.Contains(keys[key], value) {
				keys[key] = append(keys[key], value)
			}
		}
	}
	return s.ask(ctx, "ChangeResourceRecordSets", zoneARN(zone), keys)
}
