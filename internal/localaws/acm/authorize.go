package acm

import (
	"context"
	"net/http"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// asked is what a question to IAM needs of any operation's input.
type asked struct {
	CertificateArn          string   `json:"CertificateArn"`
	DomainName              string   `json:"DomainName"`
	SubjectAlternativeNames []string `json:"SubjectAlternativeNames"`
	ValidationMethod        string   `json:"ValidationMethod"`
}

// guarded asks for an operation on the certificate that it names, "*" where it
// names none: one that does not exist yet has no ARN.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscertificatemanager.html
func (s *Service) guarded(all map[string]wire.Operation) map[string]wire.Operation {
	out := map[string]wire.Operation{}
	for name, serve := range all {
		out[name] = func(ctx context.Context, decode func(any) error) (any, error) {
			var in asked
			if err := decode(&in); err != nil {
				return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
			}
			resource, keys := in.CertificateArn, map[string][]string(nil)
			if resource == "" {
				resource = "*"
			}
			if name == "RequestCertificate" {
				names := []string{strings.ToLower(in.DomainName)}
				for _, other := range in.SubjectAlternativeNames {
					names = append(names, strings.ToLower(other))
				}
				keys = map[string][]string{"acm:domainnames": names, "acm:validationmethod": {in.ValidationMethod}}
			}
			if err := s.options.Authorize.Ask(ctx, "acm:"+name, resource, keys); err != nil {
				return nil, err
			}
			return serve(ctx, decode)
		}
	}
	return out
}
