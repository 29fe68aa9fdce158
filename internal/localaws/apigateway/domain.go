package apigateway

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// domain is one regional custom domain name.
type domain struct {
	Name                  string                 `json:"domainName"`
	CertificateARN        string                 `json:"regionalCertificateArn"`
	RegionalDomainName    string                 `json:"regionalDomainName"`
	RegionalHostedZoneID  string                 `json:"regionalHostedZoneId"`
	EndpointConfiguration *endpointConfiguration `json:"endpointConfiguration"`
	SecurityPolicy        string                 `json:"securityPolicy"`
	Status                string                 `json:"domainNameStatus"`
	mappings              map[string]mapping     // by base path, "" is (none)
}

type mapping struct {
	BasePath string `json:"basePath"`
	APIID    string `json:"restApiId"`
	Stage    string `json:"stage,omitempty"`
}

const noBasePath = "(none)"

// hostedZones are AWS's own zones that regional domain names live in.
var hostedZones = map[string]string{
	"us-east-1": "Z1UJRXOUMOOFQ8", "us-east-2": "ZOJJZC49E0EPZ", "us-west-1": "Z2MUQ32089INYE", "us-west-2": "Z2OJLYMUO9EFXC",
	"ca-central-1": "Z19DQILCV0OWEC", "sa-east-1": "ZCMLWB8V5SYIT",
	"eu-west-1": "ZLY8HYME6SFDD", "eu-west-2": "ZJ5UAJN8Y3Z2Q", "eu-west-3": "Z3KY65QIEKYHQQ", "eu-central-1": "Z1U9ULNL0V5AJ3", "eu-north-1": "Z3UWIKFBOOGXPP",
	"ap-south-1": "Z3VO1THU9YC4UR", "ap-southeast-1": "ZL327KTPIQFUL", "ap-southeast-2": "Z2RPCDW04V8134", "ap-northeast-1": "Z1YSHQZHG15GKL", "ap-northeast-2": "Z20JF4UZKIW1U8",
}

// HostedZoneID is the hosted zone that an alias to the region's API Gateway
// names: AWS's for the common regions, a stable stand-in for the others.
func HostedZoneID(region string) string {
	if id, ok := hostedZones[region]; ok {
		return id
	}
	return "ZAPIGW" + strings.ToUpper(strings.ReplaceAll(region, "-", ""))
}

// RegionOf says which region's front door serves a host that AWS named:
// d-xxxx.execute-api.R.amazonaws.com and {apiid}.execute-api.R.amazonaws.com.
func (s *Service) RegionOf(host string) (region string, ok bool) {
	label, region, ok := splitHost(host)
	if !ok {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, exists := s.regions[region]
	if !exists {
		return "", false
	}
	if _, isAPI := r.apis[label]; isAPI {
		return region, true
	}
	for _, d := range r.domains {
		if d.RegionalDomainName == host {
			return region, true
		}
	}
	return "", false
}

// splitHost reads LABEL.execute-api.REGION.amazonaws.com.
func splitHost(host string) (label, region string, ok bool) {
	rest, ok := strings.CutSuffix(host, ".amazonaws.com")
	if !ok {
		return "", "", false
	}
	label, region, ok = strings.Cut(rest, ".execute-api.")
	return label, region, ok && label != "" && region != ""
}

func (r *regional) domain(name string) (*domain, error) {
	d, ok := r.domains[name]
	if !ok {
		return nil, notFound("Invalid domain name identifier specified")
	}
	return d, nil
}

func (s *Service) createDomain(r *regional, in domainRequest) (*domain, error) {
	if in.DomainName == "" || in.DomainName != strings.ToLower(in.DomainName) || !strings.Contains(in.DomainName, ".") {
		return nil, badRequest("The domain name %q is invalid: want a lower-case host name", in.DomainName)
	}
	if _, exists := r.domains[in.DomainName]; exists {
		return nil, badRequest("The domain name you provided already exists.")
	}
	endpoint, err := s.regionalOnly(r.name, in.EndpointConfiguration)
	if err != nil {
		return nil, err
	}
	if err := s.checkCertificate(r.name, in.DomainName, in.RegionalCertificateARN); err != nil {
		return nil, err
	}
	if in.SecurityPolicy == "" {
		in.SecurityPolicy = "TLS_1_2"
	}
	if in.SecurityPolicy != "TLS_1_2" {
		return nil, s.refuse(r.name, "security policy "+in.SecurityPolicy)
	}
	d := &domain{
		Name: in.DomainName, CertificateARN: in.RegionalCertificateARN,
		RegionalDomainName:   fmt.Sprintf("d-%s.execute-api.%s.amazonaws.com", s.newID(10), r.name),
		RegionalHostedZoneID: HostedZoneID(r.name), EndpointConfiguration: endpoint,
		SecurityPolicy: in.SecurityPolicy, Status: "AVAILABLE", mappings: map[string]mapping{},
	}
	r.domains[in.DomainName] = d
	return d, nil
}

// checkCertificate holds the certificate against the domain as AWS does when
// the domain is made: in the region, issued, and for this name.
func (s *Service) checkCertificate(region, name, arn string) error {
	if arn == "" {
		return badRequest("A regional certificate ARN must be specified for a regional endpoint.")
	}
	if parts := strings.Split(arn, ":"); len(parts) < 6 || parts[2] != "acm" || parts[3] != region {
		return badRequest("Invalid certificate ARN: %s. Certificate must be in '%s'.", arn, region)
	}
	if s.options.Certificates == nil {
		return badRequest("The certificate %s does not exist.", arn)
	}
	certificate, err := s.options.Certificates.TLSCertificate(arn)
	if err != nil {
		return badRequest("The certificate %s cannot be used: %v", arn, err)
	}
	if certificate.Leaf != nil && certificate.Leaf.VerifyHostname(name) != nil {
		return badRequest("The domain name to be created is not covered by the provided certificate.")
	}
	return nil
}

func (s *Service) patchDomain(r *regional, d *domain, operations []patchOperation) error {
	next := *d
	for _, op := range operations {
		if op.Op != "replace" {
			return op.invalid()
		}
		switch op.Path {
		case "/regionalCertificateArn":
			if err := s.checkCertificate(r.name, d.Name, op.Value); err != nil {
				return err
			}
			next.CertificateARN = op.Value
		case "/endpointConfiguration/ipAddressType":
			endpoint, err := s.regionalOnly(r.name, &endpointConfiguration{Types: []string{"REGIONAL"}, IPAddressType: op.Value})
			if err != nil {
				return err
			}
			next.EndpointConfiguration = endpoint
		default:
			return op.invalid()
		}
	}
	*d = next
	return nil
}

func basePathKey(text string) string {
	if text == noBasePath {
		return ""
	}
	return text
}

func (m mapping) view() mapping {
	if m.BasePath == "" {
		m.BasePath = noBasePath
	}
	return m
}

func (d *domain) mapping(basePath string) (mapping, error) {
	m, ok := d.mappings[basePathKey(basePath)]
	if !ok {
		return mapping{}, notFound("Invalid base path mapping identifier specified")
	}
	return m, nil
}

// putMapping adds a mapping; replacing names the one it takes the place of.
func (r *regional) putMapping(d *domain, m mapping, replacing *string) error {
	m.BasePath = basePathKey(m.BasePath)
	if strings.Contains(m.BasePath, "/") {
		return badRequest("Base path can only contain letters, numbers, and one of the following characters: -._~!$&'()*+,;=:@/")
	}
	api, ok := r.apis[m.APIID]
	if !ok {
		return badRequest("Invalid REST API identifier specified")
	}
	if m.Stage != "" {
		if _, ok := api.stages[m.Stage]; !ok {
			return badRequest("Invalid stage identifier specified")
		}
	}
	if _, taken := d.mappings[m.BasePath]; taken && (replacing == nil || *replacing != m.BasePath) {
		return conflict("Base path already exists for this domain name")
	}
	if replacing != nil {
		delete(d.mappings, *replacing)
	}
	d.mappings[m.BasePath] = m
	return nil
}

func (r *regional) patchMapping(d *domain, m mapping, operations []patchOperation) (mapping, error) {
	old := m.BasePath
	for _, op := range operations {
		if op.Op != "replace" {
			return m, op.invalid()
		}
		switch op.Path {
		case "/basePath":
			m.BasePath = basePathKey(op.Value)
		case "/restapiId":
			m.APIID = op.Value
		case "/stage":
			m.Stage = op.Value
		default:
			return m, op.invalid()
		}
	}
	return m, r.putMapping(d, m, &old)
}

// mapped says whether a base path mapping leads to the API (and stage).
func (r *regional) mapped(apiID, stage string) bool {
	for _, d := range r.domains {
		for _, m := range d.mappings {
			if m.APIID == apiID && (stage == "" || m.Stage == stage) {
				return true
			}
		}
	}
	return false
}

func (d *domain) mappingList() []mapping {
	var list []mapping
	for _, m := range d.mappings {
		list = append(list, m.view())
	}
	slices.SortFunc(list, func(a, b mapping) int { return strings.Compare(a.BasePath, b.BasePath) })
	return list
}

// TLSConfig is the TLS side of a region's front door. A name that is neither
// a custom domain of the region nor one of AWS's own ends the handshake.
func (s *Service) TLSConfig(region string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := strings.ToLower(hello.ServerName)
			s.mu.Lock()
			d, custom := s.region(region).domains[name]
			arn := ""
			if custom {
				arn = d.CertificateARN
			}
			s.mu.Unlock()
			if custom {
				return s.options.Certificates.TLSCertificate(arn)
			}
			if _, owner, ok := splitHost(name); ok && owner == region && s.options.DefaultCertificate != nil {
				return s.options.DefaultCertificate(name)
			}
			return nil, nil // crypto/tls answers with the alert unrecognized_name
		},
	}
}

// tagPath is the part of a resource's ARN that its tags are kept under.
func (s *Service) tagPath(r *regional, arn string) (string, error) {
	prefix := "arn:aws:apigateway:" + r.name + "::"
	path, ok := strings.CutPrefix(arn, prefix)
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if !ok {
		return "", badRequest("Invalid ARN specified in the request")
	}
	switch {
	case len(parts) == 2 && parts[0] == "restapis":
		_, err := r.api(parts[1])
		return path, err
	case len(parts) == 4 && parts[0] == "restapis" && parts[2] == "stages":
		api, err := r.api(parts[1])
		if err == nil {
			_, err = api.stage(parts[3])
		}
		return path, err
	case len(parts) == 2 && parts[0] == "domainnames":
		_, err := r.domain(parts[1])
		return path, err
	default:
		return "", wire.Errorf(http.StatusNotFound, "NotFoundException", "Invalid resource ARN specified: %s", arn)
	}
}
