package iam

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// issuer is an identity provider of OpenID Connect.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html
type issuer struct {
	arn, host   string // the URL without https://
	clients     []string
	thumbprints []string
	tags        map[string]string
	created     time.Time
}

func issuerARN(host string) string {
	return "arn:aws:iam::" + wire.Account + ":oidc-provider/" + host
}

// members are the values of a list in a form.
func members(form url.Values, name string) []string {
	var all []string
	for i := 1; form.Has(name + ".member." + strconv.Itoa(i)); i++ {
		all = append(all, form.Get(name+".member."+strconv.Itoa(i)))
	}
	return all
}

func (s *Service) createIssuer(ctx context.Context, form url.Values) (any, error) {
	host, https := strings.CutPrefix(form.Get("Url"), "https://")
	if at, err := url.Parse(form.Get("Url")); err != nil || !https || at.Host == "" || at.RawQuery != "" || at.Port() != "" {
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidInput", "Invalid Open ID Connect Provider URL")
	}
	host = strings.TrimSuffix(host, "/")
	p := &issuer{
		arn: issuerARN(host), host: host, clients: members(form, "ClientIDList"), thumbprints: members(form, "ThumbprintList"),
		tags: formTags(form), created: wire.FromContext(ctx).Now,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issuers[p.arn] != nil {
		return nil, wire.Errorf(http.StatusConflict, "EntityAlreadyExists", "Provider with url %s already exists.", form.Get("Url"))
	}
	s.issuers[p.arn] = p
	return struct {
		OpenIDConnectProviderArn string
		Tags                     []tagXML `xml:"Tags>member,omitempty"`
	}{p.arn, tagsXML(p.tags)}, nil
}

func (s *Service) listIssuers(context.Context, url.Values) (any, error) {
	type entry struct{ Arn string }
	var out struct {
		OpenIDConnectProviderList []entry `xml:"OpenIDConnectProviderList>member"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, arn := range slices.Sorted(maps.Keys(s.issuers)) {
		out.OpenIDConnectProviderList = append(out.OpenIDConnectProviderList, entry{arn})
	}
	return out, nil
}

// onIssuer makes an operation of a function on one identity provider.
func (s *Service) onIssuer(serve func(*issuer) (any, error)) func(context.Context, url.Values) (any, error) {
	return func(_ context.Context, form url.Values) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.issuers[form.Get("OpenIDConnectProviderArn")]
		if p == nil {
			return nil, wire.Errorf(http.StatusNotFound, "NoSuchEntity", "OpenIDConnect Provider not found for arn %s", form.Get("OpenIDConnectProviderArn"))
		}
		return serve(p)
	}
}

func getIssuer(p *issuer) (any, error) {
	return struct {
		Url            string
		ClientIDList   []string `xml:"ClientIDList>member"`
		ThumbprintList []string `xml:"ThumbprintList>member"`
		CreateDate     string
		Tags           []tagXML `xml:"Tags>member,omitempty"`
	}{p.host, p.clients, p.thumbprints, p.created.Format(time.RFC3339), tagsXML(p.tags)}, nil
}

func (s *Service) deleteIssuer(p *issuer) (any, error) {
	delete(s.issuers, p.arn)
	return nil, nil
}
