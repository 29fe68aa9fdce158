package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

const ipRangesToken = "aws:index/getIpRanges:getIpRanges"

// Where AWS publishes its addresses, and where the embedded AWS does.
const (
	ipRangesURL  = "https://ip-ranges.amazonaws.com/ip-ranges.json"
	ipRangesPath = "/_tapctl/ip-ranges"
)

// ipRangesMax bounds the document; AWS's has about 3 MB.
const ipRangesMax = 32 << 20

type ipRangesArgs struct {
	Regions  []string `json:"regions"`
	Services []string `json:"services" check:"required"`
	URL      string   `json:"url"`
}

type ipRangesResult struct {
	ID             string   `json:"id"`
	CidrBlocks     []string `json:"cidrBlocks"`
	Ipv6CidrBlocks []string `json:"ipv6CidrBlocks"`
	CreateDate     string   `json:"createDate"`
	SyncToken      int      `json:"syncToken"`
	Regions        []string `json:"regions,omitempty"`
	Services       []string `json:"services"`
	URL            string   `json:"url"`
}

// Invoke implements plugin.Provider. The one function is getIpRanges.
func (p *provider) Invoke(ctx context.Context, r plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	if r.Tok != ipRangesToken {
		return plugin.InvokeResponse{}, fmt.Errorf("the embedded aws provider has no function %s", r.Tok)
	}
	var c checker
	c.object("", r.Args, reflect.TypeFor[sdk.GetIpRangesArgs](), reflect.TypeFor[ipRangesArgs]())
	if len(c.failures) > 0 {
		return plugin.InvokeResponse{Failures: c.failures}, nil
	}
	s, err := p.configured()
	if err != nil {
		return plugin.InvokeResponse{}, err
	}
	args, err := decode[ipRangesArgs](r.Args)
	if err != nil {
		return plugin.InvokeResponse{}, err
	}
	result, err := s.ipRanges(ctx, args)
	if err != nil {
		return plugin.InvokeResponse{}, fmt.Errorf("%s: %w", ipRangesToken, err)
	}
	out, err := encode(result)
	return plugin.InvokeResponse{Properties: out}, err
}

// rangesAt is where the ranges of this AWS are: beside the endpoint that
// stands for it, if there is one.
func (s *session) rangesAt(args ipRangesArgs) (string, error) {
	if args.URL != "" {
		return args.URL, nil
	}
	endpoint := aws.ToString(s.config.BaseEndpoint)
	for _, name := range slices.Sorted(maps.Keys(s.endpoints)) {
		if endpoint == "" {
			endpoint = s.endpoints[name]
		}
	}
	if endpoint == "" {
		return ipRangesURL, nil
	}
	at, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	return at.Scheme + "://" + at.Host + ipRangesPath, nil
}

// ipRanges are the ranges of these services, without regards to case, and
// regions; no region means all. As in the real provider nothing is an error.
func (s *session) ipRanges(ctx context.Context, args ipRangesArgs) (*ipRangesResult, error) {
	at, err := s.rangesAt(args)
	if err != nil {
		return nil, err
	}
	var document struct {
		SyncToken, CreateDate string
		Prefixes              []struct {
			Prefix  string `json:"ip_prefix"`
			Region  string
			Service string
		}
		IPv6Prefixes []struct {
			Prefix  string `json:"ipv6_prefix"`
			Region  string
			Service string
		} `json:"ipv6_prefixes"`
	}
	if err := s.fetch(ctx, at, &document); err != nil {
		return nil, err
	}
	out := &ipRangesResult{ID: document.SyncToken, CidrBlocks: []string{}, Ipv6CidrBlocks: []string{}, CreateDate: document.CreateDate,
		Regions: args.Regions, Services: args.Services, URL: at}
	if out.SyncToken, err = strconv.Atoi(document.SyncToken); err != nil {
		return nil, fmt.Errorf("syncToken of %s: %w", at, err)
	}
	wanted := func(region, service string) bool {
		among := func(list []string, name string) bool {
			return slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(l, name) })
		}
		return among(args.Services, service) && (len(args.Regions) == 0 || among(args.Regions, region))
	}
	for _, p := range document.Prefixes {
		if wanted(p.Region, p.Service) {
			out.CidrBlocks = append(out.CidrBlocks, p.Prefix)
		}
	}
	for _, p := range document.IPv6Prefixes {
		if wanted(p.Region, p.Service) {
			out.Ipv6CidrBlocks = append(out.Ipv6CidrBlocks, p.Prefix)
		}
	}
	if len(out.CidrBlocks)+len(out.Ipv6CidrBlocks) == 0 {
		return nil, errors.New("no IP ranges result from filters")
	}
	slices.Sort(out.CidrBlocks)
	slices.Sort(out.Ipv6CidrBlocks)
	return out, nil
}

func (s *session) fetch(ctx context.Context, at string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	var client aws.HTTPClient = http.DefaultClient
	if s.config.HTTPClient != nil { // only an environment that asks for one has it
		client = s.config.HTTPClient
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", at, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, ipRangesMax)).Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", at, err)
	}
	return nil
}
