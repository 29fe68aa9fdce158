package apigateway

import (
	"maps"
	"net/http"
)

func (s *Service) domainRoutes() map[string]operation {
	const (
		domains  = "/domainnames"
		one      = domains + "/{domain}"
		mappings = one + "/basepathmappings"
	)
	return map[string]operation{
		"POST " + domains:                s.serveCreateDomain,
		"GET " + domains:                 s.serveGetDomains,
		"GET " + one:                     s.serveGetDomain,
		"PATCH " + one:                   s.serveUpdateDomain,
		"DELETE " + one:                  s.serveDeleteDomain,
		"POST " + mappings:               s.serveCreateMapping,
		"GET " + mappings:                s.serveGetMappings,
		"GET " + mappings + "/{base}":    s.serveGetMapping,
		"PATCH " + mappings + "/{base}":  s.serveUpdateMapping,
		"DELETE " + mappings + "/{base}": s.serveDeleteMapping,
		"PUT /tags/{arn}":                s.serveTag,
		"DELETE /tags/{arn}":             s.serveUntag,
		"GET /tags/{arn}":                s.serveGetTags,
	}
}

type domainRequest struct {
	DomainName             string                 `json:"domainName"`
	RegionalCertificateARN string                 `json:"regionalCertificateArn"`
	EndpointConfiguration  *endpointConfiguration `json:"endpointConfiguration"`
	SecurityPolicy         string                 `json:"securityPolicy"`
	Tags                   map[string]string      `json:"tags"`
}

type domainView struct {
	domain
	Tags map[string]string `json:"tags,omitempty"`
}

func (r *request) viewDomain(d *domain) any {
	return domainView{*d, r.region.tags[domainPath(d)]}
}

func domainPath(d *domain) string { return "/domainnames/" + d.Name }

func (r *request) domain() (*domain, error) { return r.region.domain(r.PathValue("domain")) }

func (s *Service) serveCreateDomain(r *request) (int, any, error) {
	var in domainRequest
	if err := s.admitDomain(r.call.Now, r.region); err != nil {
		return 0, nil, err
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	d, err := s.createDomain(r.region, in)
	if err != nil {
		return 0, nil, err
	}
	r.setTags(domainPath(d), in.Tags)
	return http.StatusCreated, r.viewDomain(d), nil
}

func (s *Service) serveGetDomains(r *request) (int, any, error) {
	return pageOf(r, sorted(r.region.domains), r.viewDomain)
}

func (s *Service) serveGetDomain(r *request) (int, any, error) {
	d, err := r.domain()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.viewDomain(d), nil
}

func (s *Service) serveUpdateDomain(r *request) (int, any, error) {
	if err := s.admitDomain(r.call.Now, r.region); err != nil {
		return 0, nil, err
	}
	d, err := r.domain()
	if err != nil {
		return 0, nil, err
	}
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	if err := s.patchDomain(r.region, d, operations); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, r.viewDomain(d), nil
}

func (s *Service) serveDeleteDomain(r *request) (int, any, error) {
	d, err := r.domain()
	if err != nil {
		return 0, nil, err
	}
	delete(r.region.domains, d.Name)
	delete(r.region.tags, domainPath(d))
	return http.StatusAccepted, nil, nil
}

func (s *Service) serveCreateMapping(r *request) (int, any, error) {
	d, err := r.domain()
	if err != nil {
		return 0, nil, err
	}
	var in mapping
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	if err := r.region.putMapping(d, in, nil); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, in.view(), nil
}

func (s *Service) serveGetMappings(r *request) (int, any, error) {
	d, err := r.domain()
	if err != nil {
		return 0, nil, err
	}
	return pageOf(r, d.mappingList(), func(m mapping) any { return m })
}

func (r *request) mapping() (*domain, mapping, error) {
	d, err := r.domain()
	if err != nil {
		return nil, mapping{}, err
	}
	m, err := d.mapping(r.PathValue("base"))
	return d, m, err
}

func (s *Service) serveGetMapping(r *request) (int, any, error) {
	_, m, err := r.mapping()
	return http.StatusOK, m.view(), err
}

func (s *Service) serveUpdateMapping(r *request) (int, any, error) {
	d, m, err := r.mapping()
	if err != nil {
		return 0, nil, err
	}
	operations, err := r.patches()
	if err != nil {
		return 0, nil, err
	}
	m, err = r.region.patchMapping(d, m, operations)
	return http.StatusOK, m.view(), err
}

func (s *Service) serveDeleteMapping(r *request) (int, any, error) {
	d, m, err := r.mapping()
	if err != nil {
		return 0, nil, err
	}
	delete(d.mappings, m.BasePath)
	return http.StatusAccepted, nil, nil
}

func (s *Service) serveTag(r *request) (int, any, error) {
	path, err := s.tagPath(r.region, r.PathValue("arn"))
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Tags map[string]string `json:"tags"`
	}
	if err := r.decode(&in); err != nil {
		return 0, nil, err
	}
	if r.region.tags[path] == nil {
		r.region.tags[path] = map[string]string{}
	}
	maps.Copy(r.region.tags[path], in.Tags)
	return http.StatusNoContent, nil, nil
}

func (s *Service) serveUntag(r *request) (int, any, error) {
	path, err := s.tagPath(r.region, r.PathValue("arn"))
	if err != nil {
		return 0, nil, err
	}
	for _, key := range r.URL.Query()["tagKeys"] {
		delete(r.region.tags[path], key)
	}
	return http.StatusNoContent, nil, nil
}

func (s *Service) serveGetTags(r *request) (int, any, error) {
	path, err := s.tagPath(r.region, r.PathValue("arn"))
	if err != nil {
		return 0, nil, err
	}
	tags := r.region.tags[path]
	if tags == nil {
		tags = map[string]string{}
	}
	return http.StatusOK, map[string]any{"tags": tags}, nil
}
