package route53

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

type healthCheckXML struct {
	Id                           string
	CallerReference              string
	HealthCheckVersion           int64
	HealthCheckConfig            HealthCheckConfig
	CloudWatchAlarmConfiguration *AlarmConfiguration `xml:",omitempty"`
}

type oneCheck struct{ HealthCheck healthCheckXML }

func (c oneCheck) location() string { return "/healthcheck/" + c.HealthCheck.Id }

func (c *healthCheck) xml() healthCheckXML {
	return healthCheckXML{c.id, c.callerReference, c.version, c.config, c.alarm}
}

func (s *Service) serveCreateCheck(r *http.Request, _ wire.Call) (int, string, any, error) {
	var in struct {
		CallerReference   string
		HealthCheckConfig HealthCheckConfig
	}
	if err := decode(r, &in); err != nil {
		return 0, "", nil, err
	}
	check, created, err := s.createCheck(in.CallerReference, in.HealthCheckConfig)
	if err != nil {
		return 0, "", nil, err
	}
	status := http.StatusCreated
	if !created {
		status = http.StatusOK
	}
	return status, "CreateHealthCheckResponse", oneCheck{check.xml()}, nil
}

func (s *Service) serveGetCheck(r *http.Request, _ wire.Call) (int, string, any, error) {
	check, err := s.check(r.PathValue("id"))
	if err != nil {
		return 0, "", nil, err
	}
	return http.StatusOK, "GetHealthCheckResponse", oneCheck{check.xml()}, nil
}

func (s *Service) serveUpdateCheck(r *http.Request, _ wire.Call) (int, string, any, error) {
	var in update
	if err := decode(r, &in); err != nil {
		return 0, "", nil, err
	}
	check, err := s.updateCheck(r.PathValue("id"), in)
	if err != nil {
		return 0, "", nil, err
	}
	return http.StatusOK, "UpdateHealthCheckResponse", oneCheck{check.xml()}, nil
}

func (s *Service) serveDeleteCheck(r *http.Request, _ wire.Call) (int, string, any, error) {
	return http.StatusOK, "DeleteHealthCheckResponse", struct{}{}, s.deleteCheck(r.PathValue("id"))
}

func (s *Service) serveCheckCount(*http.Request, wire.Call) (int, string, any, error) {
	return http.StatusOK, "GetHealthCheckCountResponse", struct{ HealthCheckCount int }{len(s.checkList())}, nil
}

func (s *Service) serveListChecks(r *http.Request, _ wire.Call) (int, string, any, error) {
	most, err := limit(r, maxItems)
	if err != nil {
		return 0, "", nil, err
	}
	list := struct {
		HealthChecks []healthCheckXML `xml:"HealthChecks>HealthCheck"`
		Marker       string
		IsTruncated  bool
		NextMarker   string `xml:",omitempty"`
		MaxItems     int
	}{Marker: r.URL.Query().Get("marker"), MaxItems: most}
	for _, check := range s.checkList() {
		if check.id < list.Marker {
			continue
		}
		if len(list.HealthChecks) == most {
			list.IsTruncated, list.NextMarker = true, check.id
			break
		}
		list.HealthChecks = append(list.HealthChecks, check.xml())
	}
	return http.StatusOK, "ListHealthChecksResponse", list, nil
}

// checkerRegions are the regions whose checkers GetHealthCheckStatus names.
var checkerRegions = []string{"us-east-1", "us-west-2", "eu-west-1"}

type observation struct {
	Region       string
	IPAddress    string
	StatusReport statusReport
}

type statusReport struct {
	Status      string
	CheckedTime string `xml:",omitempty"`
}

func (s *Service) serveCheckStatus(r *http.Request, _ wire.Call) (int, string, any, error) {
	check, err := s.check(r.PathValue("id"))
	if err != nil {
		return 0, "", nil, err
	}
	if check.config.Type == typeCalculated {
		return 0, "", nil, invalidInput("Invalid parameter : GetHealthCheckStatus is not available for calculated health checks.")
	}
	report := statusReport{Status: check.reason}
	if !check.checkedAt.IsZero() {
		report.CheckedTime = timestamp(check.checkedAt)
	}
	out := struct {
		Observations []observation `xml:"HealthCheckObservations>HealthCheckObservation"`
	}{}
	for i, region := range checkerRegions {
		out.Observations = append(out.Observations, observation{region, "192.0.2." + string(rune('1'+i)), report})
	}
	return http.StatusOK, "GetHealthCheckStatusResponse", out, nil
}

type tag struct{ Key, Value string }

type tagSet struct {
	ResourceType string
	ResourceId   string
	Tags         []tag `xml:"Tags>Tag"`
}

// tagKey is where the tags of a resource are kept, if it exists.
func (s *Service) tagKey(kind, id string) (string, error) {
	switch kind {
	case "hostedzone":
		if _, ok := s.zones[id]; !ok {
			return "", noSuchZone(id)
		}
	case "healthcheck":
		if _, ok := s.checks[id]; !ok {
			return "", noSuchCheck(id)
		}
	default:
		return "", invalidInput("1 validation error detected: Value '%s' at 'resourceType' failed to satisfy constraint: Member must satisfy enum value set: [healthcheck, hostedzone]", kind)
	}
	return kind + "/" + id, nil
}

func (s *Service) serveChangeTags(r *http.Request, _ wire.Call) (int, string, any, error) {
	var in struct {
		AddTags       []tag    `xml:"AddTags>Tag"`
		RemoveTagKeys []string `xml:"RemoveTagKeys>Key"`
	}
	if err := decode(r, &in); err != nil {
		return 0, "", nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.tagKey(r.PathValue("kind"), r.PathValue("id"))
	if err != nil {
		return 0, "", nil, err
	}
	if s.tags[key] == nil {
		s.tags[key] = map[string]string{}
	}
	for _, t := range in.AddTags {
		s.tags[key][t.Key] = t.Value
	}
	for _, name := range in.RemoveTagKeys {
		delete(s.tags[key], name)
	}
	return http.StatusOK, "ChangeTagsForResourceResponse", struct{}{}, nil
}

func (s *Service) tagsOf(kind, id string) (tagSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.tagKey(kind, id)
	if err != nil {
		return tagSet{}, err
	}
	set := tagSet{ResourceType: kind, ResourceId: id}
	for name, value := range s.tags[key] {
		set.Tags = append(set.Tags, tag{name, value})
	}
	slices.SortFunc(set.Tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return set, nil
}

func (s *Service) serveListTags(r *http.Request, _ wire.Call) (int, string, any, error) {
	set, err := s.tagsOf(r.PathValue("kind"), r.PathValue("id"))
	return http.StatusOK, "ListTagsForResourceResponse", struct{ ResourceTagSet tagSet }{set}, err
}

func (s *Service) serveListTagsBatch(r *http.Request, _ wire.Call) (int, string, any, error) {
	var in struct {
		ResourceIds []string `xml:"ResourceIds>ResourceId"`
	}
	if err := decode(r, &in); err != nil {
		return 0, "", nil, err
	}
	out := struct {
		ResourceTagSets []tagSet `xml:"ResourceTagSets>ResourceTagSet"`
	}{}
	for _, id := range in.ResourceIds {
		if err := s.ask(r.Context(), "ListTagsForResources", "arn:aws:route53:::"+r.PathValue("kind")+"/"+id, nil); err != nil {
			return 0, "", nil, err
		}
		set, err := s.tagsOf(r.PathValue("kind"), id)
		if err != nil {
			return 0, "", nil, err
		}
		out.ResourceTagSets = append(out.ResourceTagSets, set)
	}
	return http.StatusOK, "ListTagsForResourcesResponse", out, nil
}
