package acm

import (
	"context"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Handler serves the JSON 1.1 API.
func (s *Service) Handler() http.Handler {
	return wire.JSONTarget(s.options.Log, "1.1", s.guarded(map[string]wire.Operation{
		"RequestCertificate":        wire.Op(s.requestCertificate),
		"DescribeCertificate":       wire.Op(s.describeCertificate),
		"ListCertificates":          wire.Op(s.listCertificates),
		"GetCertificate":            wire.Op(s.getCertificate),
		"DeleteCertificate":         wire.Op(s.deleteCertificate),
		"AddTagsToCertificate":      wire.Op(s.addTags),
		"RemoveTagsFromCertificate": wire.Op(s.removeTags),
		"ListTagsForCertificate":    wire.Op(s.listTags),
	}))
}

type tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

type arnInput struct {
	CertificateArn string `json:"CertificateArn"`
}

type tagInput struct {
	CertificateArn string `json:"CertificateArn"`
	Tags           []tag  `json:"Tags"`
}

type requestInput struct {
	DomainName              string   `json:"DomainName"`
	SubjectAlternativeNames []string `json:"SubjectAlternativeNames"`
	ValidationMethod        string   `json:"ValidationMethod"`
	IdempotencyToken        string   `json:"IdempotencyToken"`
	KeyAlgorithm            string   `json:"KeyAlgorithm"`
	CertificateAuthorityArn string   `json:"CertificateAuthorityArn"`
	Tags                    []tag    `json:"Tags"`
}

func (s *Service) requestCertificate(ctx context.Context, in requestInput) (any, error) {
	call := wire.FromContext(ctx)
	if in.CertificateAuthorityArn != "" || (in.ValidationMethod != "DNS" && in.ValidationMethod != "") {
		wire.Unknown(s.options.Log, call, "RequestCertificate with "+in.ValidationMethod+in.CertificateAuthorityArn)
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidParameterException", "the embedded AWS validates by DNS only")
	}
	names := []string{in.DomainName}
	for _, name := range in.SubjectAlternativeNames {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	arn, err := s.Request(call.Now, call.Region, names, in.IdempotencyToken, tags)
	if err != nil {
		return nil, err
	}
	return arnInput{arn}, nil
}

type resourceRecord struct {
	Name  string `json:"Name"`
	Type  string `json:"Type"`
	Value string `json:"Value"`
}

type domainValidation struct {
	DomainName       string         `json:"DomainName"`
	ValidationDomain string         `json:"ValidationDomain"`
	ValidationStatus string         `json:"ValidationStatus"`
	ValidationMethod string         `json:"ValidationMethod"`
	ResourceRecord   resourceRecord `json:"ResourceRecord"`
}

type detail struct {
	CertificateArn          string             `json:"CertificateArn"`
	DomainName              string             `json:"DomainName"`
	SubjectAlternativeNames []string           `json:"SubjectAlternativeNames"`
	DomainValidationOptions []domainValidation `json:"DomainValidationOptions"`
	Status                  Status             `json:"Status"`
	Type                    string             `json:"Type"`
	KeyAlgorithm            string             `json:"KeyAlgorithm"`
	SignatureAlgorithm      string             `json:"SignatureAlgorithm"`
	RenewalEligibility      string             `json:"RenewalEligibility"`
	CreatedAt               wire.Epoch         `json:"CreatedAt"`
	IssuedAt                *wire.Epoch        `json:"IssuedAt,omitempty"`
	NotBefore               *wire.Epoch        `json:"NotBefore,omitempty"`
	NotAfter                *wire.Epoch        `json:"NotAfter,omitempty"`
	InUseBy                 []string           `json:"InUseBy"`
	Options                 map[string]string  `json:"Options"`
}

func (s *Service) describeCertificate(ctx context.Context, in arnInput) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(call.Region, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	status, err := s.status(call.Now, c)
	if err != nil {
		return nil, err
	}
	out := detail{
		CertificateArn: c.arn, DomainName: c.names[0], SubjectAlternativeNames: c.names, Status: status,
		Type: "AMAZON_ISSUED", KeyAlgorithm: "EC_prime256v1", SignatureAlgorithm: "SHA256WITHECDSA", RenewalEligibility: "INELIGIBLE",
		CreatedAt: wire.Epoch(c.requested), InUseBy: []string{}, Options: map[string]string{"CertificateTransparencyLoggingPreference": "ENABLED"},
	}
	validated := "PENDING_VALIDATION"
	if status == Issued {
		validated = "SUCCESS"
		out.IssuedAt, out.NotBefore, out.NotAfter = epoch(c.validatedAt.Add(s.options.IssueDelay)), epoch(s.options.Authority.certificate.NotBefore), epoch(s.options.Authority.certificate.NotAfter)
	}
	for _, name := range c.names {
		record, value := validation(name)
		out.DomainValidationOptions = append(out.DomainValidationOptions, domainValidation{
			DomainName: name, ValidationDomain: name, ValidationStatus: validated, ValidationMethod: "DNS",
			ResourceRecord: resourceRecord{record, "CNAME", value},
		})
	}
	return map[string]detail{"Certificate": out}, nil
}

func epoch(t time.Time) *wire.Epoch {
	e := wire.Epoch(t)
	return &e
}

type summary struct {
	CertificateArn string `json:"CertificateArn"`
	DomainName     string `json:"DomainName"`
	Status         Status `json:"Status"`
}

type listInput struct {
	CertificateStatuses []Status `json:"CertificateStatuses"`
}

func (s *Service) listCertificates(ctx context.Context, in listInput) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []summary{}
	for _, c := range s.all {
		if c.region != call.Region {
			continue
		}
		status, err := s.status(call.Now, c)
		if err != nil {
			return nil, err
		}
		if len(in.CertificateStatuses) == 0 || slices.Contains(in.CertificateStatuses, status) {
			list = append(list, summary{c.arn, c.names[0], status})
		}
	}
	slices.SortFunc(list, func(a, b summary) int { return strings.Compare(a.CertificateArn, b.CertificateArn) })
	return map[string]any{"CertificateSummaryList": list}, nil
}

func (s *Service) getCertificate(ctx context.Context, in arnInput) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(call.Region, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	status, err := s.status(call.Now, c)
	if err != nil {
		return nil, err
	}
	if status != Issued {
		return nil, wire.Errorf(http.StatusBadRequest, "RequestInProgressException", "Certificate %s is not issued yet.", c.arn)
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.issued.Certificate[0]})
	return map[string]string{"Certificate": string(leaf), "CertificateChain": string(s.options.Authority.PEM())}, nil
}

func (s *Service) deleteCertificate(ctx context.Context, in arnInput) (any, error) {
	return nil, s.Delete(wire.FromContext(ctx).Region, in.CertificateArn)
}

func (s *Service) addTags(ctx context.Context, in tagInput) (any, error) {
	return s.changeTags(ctx, in, func(tags map[string]string, t tag) { tags[t.Key] = t.Value })
}

func (s *Service) removeTags(ctx context.Context, in tagInput) (any, error) {
	return s.changeTags(ctx, in, func(tags map[string]string, t tag) { delete(tags, t.Key) })
}

func (s *Service) changeTags(ctx context.Context, in tagInput, change func(map[string]string, tag)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(wire.FromContext(ctx).Region, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		change(c.tags, t)
	}
	return nil, nil
}

func (s *Service) listTags(ctx context.Context, in arnInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(wire.FromContext(ctx).Region, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	tags := []tag{}
	for key, value := range c.tags {
		tags = append(tags, tag{key, value})
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return map[string]any{"Tags": tags}, nil
}
