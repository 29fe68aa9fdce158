// Package acm is the embedded AWS's Certificate Manager: certificates that are
// issued, by its own authority, once the validation records are in DNS. Email
// validation, imports and private authorities do not exist here.
package acm

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Records looks up validation records; route53 implements it.
type Records interface {
	HasRecord(now time.Time, name, recordType, value string) bool
}

// Options are the dependencies of a Service.
type Options struct {
	Log       *slog.Logger // nil: discarded
	Clock     clock.Clock  // dates the front doors' lookups
	Authority *Authority
	// Authorize answers whether the caller may; nil allows everything.
	Authorize wire.Authorizer
	Records   Records // nil: every record is found
	// IssueDelay is between the validation records being found and ISSUED.
	// AWS names no figure; minutes are usual.
	IssueDelay time.Duration
	// InUse tells whether a certificate serves a domain; nil is never.
	InUse func(arn string) bool
}

// Service is the state of all regions.
type Service struct {
	options Options
	mu      sync.Mutex
	all     map[string]*certificate // by ARN
	serial  int
}

// certificate is one certificate. Names[0] is the common name.
type certificate struct {
	arn         string
	region      string
	names       []string
	token       string // idempotency token
	tags        map[string]string
	requested   time.Time
	validatedAt time.Time // zero: a record is missing
	issued      *tls.Certificate
}

// New returns an empty account.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{options: options, all: map[string]*certificate{}}
}

// Status is a certificate's state.
type Status string

// The states that are modelled.
const (
	Pending Status = "PENDING_VALIDATION"
	Issued  Status = "ISSUED"
)

var domainPattern = regexp.MustCompile(`^(\*\.)?(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]{0,61}[a-zA-Z0-9])\.)+[a-zA-Z0-9][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]$`)

// maxNames is ACM's default quota of names on a certificate.
// https://docs.aws.amazon.com/acm/latest/userguide/acm-limits.html
const maxNames = 10

// Request asks for a certificate and returns its ARN. The same token within
// the account gives the same certificate.
func (s *Service) Request(now time.Time, region string, names []string, token string, tags map[string]string) (string, error) {
	for _, name := range names {
		if !domainPattern.MatchString(name) || len(name) > 253 {
			return "", wire.Errorf(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at 'domainName' failed to satisfy constraint: Member must satisfy regular expression pattern", name)
		}
	}
	if len(names[0]) > 64 {
		return "", wire.Errorf(http.StatusBadRequest, "InvalidDomainValidationOptionsException", "The first domain name can have at most 64 characters")
	}
	if len(names) > maxNames {
		return "", wire.Errorf(http.StatusBadRequest, "LimitExceededException", "The certificate has %d names, the limit is %d", len(names), maxNames)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if token != "" && c.token == token && c.region == region && slices.Equal(c.names, names) {
			return c.arn, nil
		}
	}
	s.serial++
	id := sha256.Sum256(fmt.Appendf(nil, "%s/%v/%d", region, names, s.serial))
	text := hex.EncodeToString(id[:])
	arn := fmt.Sprintf("arn:aws:acm:%s:%s:certificate/%s-%s-%s-%s-%s", region, wire.Account, text[:8], text[8:12], text[12:16], text[16:20], text[20:32])
	if tags == nil {
		tags = map[string]string{}
	}
	s.all[arn] = &certificate{arn: arn, region: region, names: names, token: token, tags: tags, requested: now}
	return arn, nil
}

// validation is the CNAME that proves control of the name. It depends on
// account and name alone, so every region asks for the same one.
func validation(name string) (record, value string) {
	name = strings.TrimPrefix(strings.ToLower(name), "*.")
	hash := sha256.Sum256([]byte(wire.Account + "/" + name))
	text := hex.EncodeToString(hash[:])
	return "_" + text[:32] + "." + name + ".", "_" + text[32:64] + ".acm-validations.aws."
}

// status brings the certificate up to date: found records start the delay,
// its end issues.
func (s *Service) status(now time.Time, c *certificate) (Status, error) {
	if c.issued != nil {
		return Issued, nil
	}
	for _, name := range c.names {
		record, value := validation(name)
		if s.options.Records != nil && !s.options.Records.HasRecord(now, record, "CNAME", value) {
			c.validatedAt = time.Time{}
			return Pending, nil
		}
	}
	if c.validatedAt.IsZero() {
		c.validatedAt = now
	}
	if now.Before(c.validatedAt.Add(s.options.IssueDelay)) {
		return Pending, nil
	}
	issued, err := s.options.Authority.Issue(c.names...)
	if err != nil {
		return Pending, err
	}
	c.issued = issued
	return Issued, nil
}

// find returns the certificate of a region; the lock is held.
func (s *Service) find(region, arn string) (*certificate, error) {
	c, found := s.all[arn]
	if !found || c.region != region {
		return nil, wire.Errorf(http.StatusBadRequest, "ResourceNotFoundException", "Could not find certificate %s.", arn)
	}
	return c, nil
}

// Delete removes a certificate that serves no domain.
func (s *Service) Delete(region, arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(region, arn); err != nil {
		return err
	}
	if s.options.InUse != nil && s.options.InUse(arn) {
		return wire.Errorf(http.StatusBadRequest, "ResourceInUseException", "Certificate %s in account %s is in use.", arn, wire.Account)
	}
	delete(s.all, arn)
	return nil
}

// TLSCertificate is what a front door serves; an error until it is issued.
func (s *Service) TLSCertificate(arn string) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, found := s.all[arn]
	if !found {
		return nil, fmt.Errorf("certificate %s does not exist", arn)
	}
	status, err := s.status(s.options.Clock.Now(), c)
	if err != nil {
		return nil, err
	}
	if status != Issued {
		return nil, fmt.Errorf("certificate %s is %s", arn, status)
	}
	return c.issued, nil
}
