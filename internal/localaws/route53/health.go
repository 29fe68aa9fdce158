package route53

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// The kinds of health check that are modelled.
const (
	typeHTTP       = "HTTP"
	typeHTTPS      = "HTTPS"
	typeAlarm      = "CLOUDWATCH_METRIC"
	typeCalculated = "CALCULATED"
)

const (
	insufficientHealthy   = "Healthy"
	insufficientUnhealthy = "Unhealthy"
	insufficientLastKnown = "LastKnownStatus"
)

// HealthCheckConfig is a health check's configuration as the API carries it.
type HealthCheckConfig struct {
	IPAddress                    string           `xml:",omitempty"`
	Port                         *int32           `xml:",omitempty"`
	Type                         string           `xml:",omitempty"`
	ResourcePath                 string           `xml:",omitempty"`
	FullyQualifiedDomainName     string           `xml:",omitempty"`
	RequestInterval              *int32           `xml:",omitempty"`
	FailureThreshold             *int32           `xml:",omitempty"`
	MeasureLatency               *bool            `xml:",omitempty"`
	Inverted                     *bool            `xml:",omitempty"`
	Disabled                     *bool            `xml:",omitempty"`
	HealthThreshold              *int32           `xml:",omitempty"`
	ChildHealthChecks            []string         `xml:"ChildHealthChecks>ChildHealthCheck,omitempty"`
	EnableSNI                    *bool            `xml:",omitempty"`
	Regions                      []string         `xml:"Regions>Region,omitempty"`
	AlarmIdentifier              *AlarmIdentifier `xml:",omitempty"`
	InsufficientDataHealthStatus string           `xml:",omitempty"`
	Others                       []otherElement   `xml:",any"`
}

// AlarmIdentifier names the alarm a check follows.
type AlarmIdentifier struct{ Name, Region string }

// update is UpdateHealthCheck's body: the configuration without its type, a
// version to compare, and elements to reset.
type update struct {
	XMLName            xml.Name `xml:"UpdateHealthCheckRequest"`
	HealthCheckVersion *int64
	ResetElements      []string `xml:"ResetElements>ResettableElementName"`
	HealthCheckConfig
}

// healthCheck is a check and what its checker has seen.
type healthCheck struct {
	id              string
	callerReference string
	version         int64
	config          HealthCheckConfig
	eval            func(now time.Time) (breaching, hasData bool)
	alarm           *AlarmConfiguration

	up          bool // before inversion and disabling
	streak      int  // consecutive observations against up
	reason      string
	checkedAt   time.Time
	nextAt      time.Time
	publishedAt time.Time
	inFlight    bool
}

func isTrue(b *bool) bool { return b != nil && *b }

func valueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

func noSuchCheck(id string) error {
	return wire.Errorf(http.StatusNotFound, "NoSuchHealthCheck", "A health check with id %s does not exist.", id)
}

// Healthy says whether DNS treats a record with this check as healthy.
func (s *Service) Healthy(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.healthy(id)
}

// healthy is Healthy under the lock. AWS leaves open what a deleted check
// counts as; here it is healthy.
func (s *Service) healthy(id string) bool {
	check, ok := s.checks[id]
	if !ok {
		return true
	}
	up := check.up
	if check.config.Type == typeCalculated {
		count := 0
		for _, child := range check.config.ChildHealthChecks {
			if s.healthy(child) {
				count++
			}
		}
		up = count >= int(valueOr(check.config.HealthThreshold, 0))
	}
	if isTrue(check.config.Disabled) {
		up = true
	}
	return up != isTrue(check.config.Inverted)
}

// createCheck makes a check; repeating the call with the same reference and
// configuration returns the first one.
func (s *Service) createCheck(callerReference string, config HealthCheckConfig) (*healthCheck, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if callerReference == "" {
		return nil, false, invalidInput("1 validation error detected: Value null at 'callerReference' failed to satisfy constraint: Member must not be null")
	}
	setDefaults(&config)
	for _, check := range s.checks {
		if check.callerReference != callerReference {
			continue
		}
		if fmt.Sprint(encoded(check.config)) == fmt.Sprint(encoded(config)) {
			return check.clone(), false, nil
		}
		return nil, false, wire.Errorf(http.StatusConflict, "HealthCheckAlreadyExists", "A health check with the specified caller reference already exists with different settings: %s", check.id)
	}
	if err := s.checkConfig("", config); err != nil {
		return nil, false, err
	}
	check := &healthCheck{id: s.newCheckID(), callerReference: callerReference, version: 1, config: config, up: true, reason: "Success"}
	if err := s.copyAlarm(check); err != nil {
		return nil, false, err
	}
	s.checks[check.id] = check
	return check.clone(), true, nil
}

func encoded(config HealthCheckConfig) string {
	body, err := xml.Marshal(config)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func (c *healthCheck) clone() *healthCheck {
	copied := *c
	return &copied
}

func (s *Service) newCheckID() string {
	a, b := s.rng.Uint64(), s.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffffffffffff)
}

// setDefaults fills what AWS fills, so that a read shows it.
func setDefaults(config *HealthCheckConfig) {
	set := func(p **int32, value int32) {
		if *p == nil {
			*p = &value
		}
	}
	setFlag := func(p **bool, value bool) {
		if *p == nil {
			*p = &value
		}
	}
	setFlag(&config.Inverted, false)
	setFlag(&config.Disabled, false)
	switch config.Type {
	case typeHTTP, typeHTTPS:
		port := int32(80)
		if config.Type == typeHTTPS {
			port = 443
		}
		set(&config.Port, port)
		set(&config.RequestInterval, 30)
		set(&config.FailureThreshold, 3)
		setFlag(&config.MeasureLatency, false)
		setFlag(&config.EnableSNI, config.Type == typeHTTPS)
	case typeAlarm:
		if config.InsufficientDataHealthStatus == "" {
			config.InsufficientDataHealthStatus = insufficientLastKnown
		}
	}
}

// checkConfig validates a configuration; id is "" for a new check.
func (s *Service) checkConfig(id string, config HealthCheckConfig) error {
	if len(config.Others) > 0 {
		s.options.Log.Warn("not implemented", "service", "route53", "member", config.Others[0].XMLName.Local)
		return invalidInput("Invalid parameter : the embedded AWS has no %s in a health check", config.Others[0].XMLName.Local)
	}
	switch config.Type {
	case typeHTTP, typeHTTPS:
		return checkEndpoint(config)
	case typeAlarm:
		if config.AlarmIdentifier == nil || config.AlarmIdentifier.Name == "" || config.AlarmIdentifier.Region == "" {
			return invalidInput("Invalid parameter : AlarmIdentifier must be specified for health checks of type CLOUDWATCH_METRIC.")
		}
		if !slices.Contains([]string{insufficientHealthy, insufficientUnhealthy, insufficientLastKnown}, config.InsufficientDataHealthStatus) {
			return invalidInput("Invalid parameter : InsufficientDataHealthStatus %q is not Healthy, Unhealthy or LastKnownStatus.", config.InsufficientDataHealthStatus)
		}
		return nil
	case typeCalculated:
		return s.checkChildren(id, config)
	default:
		s.options.Log.Warn("not implemented", "service", "route53", "health_check_type", config.Type)
		return invalidInput("Invalid parameter : the embedded AWS has no health check of type %q", config.Type)
	}
}

func checkEndpoint(config HealthCheckConfig) error {
	interval, threshold, port := *config.RequestInterval, *config.FailureThreshold, *config.Port
	switch {
	case config.FullyQualifiedDomainName == "" && config.IPAddress == "":
		return invalidInput("Invalid parameter : Either an IP address or a fully qualified domain name must be specified.")
	case interval != 10 && interval != 30:
		return invalidInput("Invalid parameter : RequestInterval must be 10 or 30.")
	case threshold < 1 || threshold > 10:
		return invalidInput("Invalid parameter : FailureThreshold must be between 1 and 10.")
	case port < 1 || port > 65535:
		return invalidInput("Invalid parameter : Port must be between 1 and 65535.")
	case config.ResourcePath != "" && !strings.HasPrefix(config.ResourcePath, "/"):
		return invalidInput("Invalid parameter : ResourcePath must start with /.")
	}
	if config.IPAddress != "" {
		if _, err := netip.ParseAddr(config.IPAddress); err != nil {
			return invalidInput("Invalid parameter : %s is not an IP address.", config.IPAddress)
		}
	}
	return nil
}

func (s *Service) checkChildren(id string, config HealthCheckConfig) error {
	if config.HealthThreshold == nil || *config.HealthThreshold < 0 || *config.HealthThreshold > 256 {
		return invalidInput("Invalid parameter : HealthThreshold must be between 0 and 256.")
	}
	for _, childID := range config.ChildHealthChecks {
		child, ok := s.checks[childID]
		switch {
		case !ok || childID == id:
			return invalidInput("Invalid parameter : child health check %s does not exist.", childID)
		case child.config.Type == typeCalculated:
			return invalidInput("Invalid parameter : a calculated health check cannot have the calculated health check %s as a child.", childID)
		}
	}
	return nil
}

// copyAlarm takes the alarm's definition as it is now; a later edit of the
// alarm reaches the check only through UpdateHealthCheck.
func (s *Service) copyAlarm(check *healthCheck) error {
	if check.config.Type != typeAlarm {
		return nil
	}
	alarm := check.config.AlarmIdentifier
	missing := invalidInput("Invalid parameter : the alarm %s in %s does not exist or cannot be used for a health check.", alarm.Name, alarm.Region)
	if s.options.Alarms == nil {
		return missing
	}
	eval, ok := s.options.Alarms.CopyAlarm(alarm.Region, alarm.Name)
	if !ok {
		return missing
	}
	check.eval = eval
	check.alarm = nil
	if s.options.DescribeAlarm != nil {
		if configuration, ok := s.options.DescribeAlarm(alarm.Region, alarm.Name); ok {
			check.alarm = &configuration
		}
	}
	if check.config.InsufficientDataHealthStatus == insufficientUnhealthy && check.checkedAt.IsZero() {
		check.up = false
	}
	return nil
}

// updateCheck changes what the request carries and leaves the rest.
func (s *Service) updateCheck(id string, in update) (*healthCheck, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	check, ok := s.checks[id]
	if !ok {
		return nil, noSuchCheck(id)
	}
	if in.HealthCheckVersion != nil && *in.HealthCheckVersion != check.version {
		return nil, wire.Errorf(http.StatusConflict, "HealthCheckVersionMismatch", "The value of HealthCheckVersion in the request doesn't match the value of HealthCheckVersion in the health check.")
	}
	changed := check.clone()
	changed.config = merged(check.config, in.HealthCheckConfig)
	for _, element := range in.ResetElements {
		switch element {
		case "ChildHealthChecks":
			changed.config.ChildHealthChecks = nil
		case "FullyQualifiedDomainName":
			changed.config.FullyQualifiedDomainName = ""
		case "Regions":
			changed.config.Regions = nil
		case "ResourcePath":
			changed.config.ResourcePath = ""
		default:
			return nil, invalidInput("Invalid parameter : ResetElements has no element %q.", element)
		}
	}
	if err := s.checkConfig(id, changed.config); err != nil {
		return nil, err
	}
	if err := s.copyAlarm(changed); err != nil {
		return nil, err
	}
	changed.version++
	*check = *changed
	return check.clone(), nil
}

// merged is the old configuration with the members of the new one that are set.
func merged(old, in HealthCheckConfig) HealthCheckConfig {
	old.IPAddress = override(old.IPAddress, in.IPAddress)
	old.ResourcePath = override(old.ResourcePath, in.ResourcePath)
	old.FullyQualifiedDomainName = override(old.FullyQualifiedDomainName, in.FullyQualifiedDomainName)
	old.InsufficientDataHealthStatus = override(old.InsufficientDataHealthStatus, in.InsufficientDataHealthStatus)
	old.Port = override(old.Port, in.Port)
	old.FailureThreshold = override(old.FailureThreshold, in.FailureThreshold)
	old.Inverted = override(old.Inverted, in.Inverted)
	old.Disabled = override(old.Disabled, in.Disabled)
	old.HealthThreshold = override(old.HealthThreshold, in.HealthThreshold)
	old.EnableSNI = override(old.EnableSNI, in.EnableSNI)
	old.AlarmIdentifier = override(old.AlarmIdentifier, in.AlarmIdentifier)
	old.Others = in.Others
	if in.ChildHealthChecks != nil {
		old.ChildHealthChecks = in.ChildHealthChecks
	}
	if in.Regions != nil {
		old.Regions = in.Regions
	}
	return old
}

func override[T comparable](old, in T) T {
	var zero T
	if in == zero {
		return old
	}
	return in
}

// deleteCheck removes a check. A record may still name it, as in AWS; a
// calculated check may not.
func (s *Service) deleteCheck(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.checks[id]; !ok {
		return noSuchCheck(id)
	}
	for _, parent := range s.checks {
		if slices.Contains(parent.config.ChildHealthChecks, id) {
			return wire.Errorf(http.StatusBadRequest, "HealthCheckInUse", "The health check %s is in use by the health check %s.", id, parent.id)
		}
	}
	delete(s.checks, id)
	delete(s.tags, "healthcheck/"+id)
	return nil
}

func (s *Service) check(id string) (*healthCheck, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	check, ok := s.checks[id]
	if !ok {
		return nil, noSuchCheck(id)
	}
	return check.clone(), nil
}

func (s *Service) checkList() []*healthCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*healthCheck
	for _, check := range s.checks {
		list = append(list, check.clone())
	}
	slices.SortFunc(list, func(a, b *healthCheck) int { return strings.Compare(a.id, b.id) })
	return list
}
