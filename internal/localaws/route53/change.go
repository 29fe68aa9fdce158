package route53

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Change is one entry of a change batch.
type Change struct {
	Action            string
	ResourceRecordSet RecordSet
}

// batchError is a refused batch: it has an XML shape of its own.
type batchError struct{ messages []string }

func (e *batchError) Error() string { return "InvalidChangeBatch: " + strings.Join(e.messages, ", ") }

func invalidInput(format string, args ...any) error {
	return wire.Errorf(http.StatusBadRequest, "InvalidInput", format, args...)
}

const maxWeighted = 100

// changeRecords applies a batch, all of it or none.
func (s *Service) changeRecords(now time.Time, zoneID, comment string, changes []Change) (change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[zoneID]
	if !ok {
		return change{}, noSuchZone(zoneID)
	}
	if len(changes) == 0 {
		return change{}, invalidInput("1 validation error detected: Value '[]' at 'changeBatch.changes' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	if busy := s.options.ChangeBusy; busy > 0 && !z.lastChange.IsZero() && now.Sub(z.lastChange) < busy {
		return change{}, wire.Errorf(http.StatusBadRequest, "PriorRequestNotComplete", "The request was rejected because Route 53 was still processing a prior request.")
	}
	for i := range changes {
		normalize(&changes[i].ResourceRecordSet)
		if err := s.checkShape(i, changes[i]); err != nil {
			return change{}, err
		}
	}
	records := slices.Clone(z.records)
	var problems []string
	for _, c := range changes {
		next, problem := s.apply(z, records, c)
		if problem != "" {
			problems = append(problems, problem)
			continue
		}
		records = next
	}
	if len(problems) > 0 {
		return change{}, &batchError{problems}
	}
	slices.SortFunc(records, compareRecords)
	accepted := s.newChange(now, comment)
	z.publish(accepted.insyncAt, records)
	z.lastChange = now
	return accepted, nil
}

func normalize(r *RecordSet) {
	r.Name = normalName(r.Name)
	if r.AliasTarget != nil {
		target := *r.AliasTarget
		target.DNSName = normalName(target.DNSName)
		target.HostedZoneId = strings.TrimPrefix(target.HostedZoneId, "/hostedzone/")
		r.AliasTarget = &target
	}
}

var recordTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SPF", "SRV", "TXT"}

// checkShape refuses what AWS refuses before it looks at the zone.
func (s *Service) checkShape(index int, c Change) error {
	r := c.ResourceRecordSet
	where := fmt.Sprintf("changeBatch.changes.%d.member", index+1)
	identifier := r.SetIdentifier
	if identifier == "" {
		identifier = "null"
	}
	in := fmt.Sprintf("in Change with [Action=%s, Name=%s, Type=%s, SetIdentifier=%s]", c.Action, r.Name, r.Type, identifier)
	switch {
	case c.Action != "CREATE" && c.Action != "DELETE" && c.Action != "UPSERT":
		return invalidInput("1 validation error detected: Value '%s' at '%s.action' failed to satisfy constraint: Member must satisfy enum value set: [CREATE, DELETE, UPSERT]", c.Action, where)
	case !slices.Contains(recordTypes, r.Type):
		return invalidInput("1 validation error detected: Value '%s' at '%s.resourceRecordSet.type' failed to satisfy constraint: Member must satisfy enum value set: %v", r.Type, where, recordTypes)
	case len(r.Others) > 0:
		s.options.Log.Warn("not implemented", "service", "route53", "member", r.Others[0].XMLName.Local)
		return invalidInput("Invalid request: the embedded AWS has no %s %s", r.Others[0].XMLName.Local, in)
	case r.Weight != nil && *r.Weight < 0:
		return invalidInput("1 validation error detected: Value '%d' at '%s.resourceRecordSet.weight' failed to satisfy constraint: Member must have value greater than or equal to 0", *r.Weight, where)
	case r.Weight != nil && *r.Weight > 255:
		return invalidInput("1 validation error detected: Value '%d' at '%s.resourceRecordSet.weight' failed to satisfy constraint: Member must have value less than or equal to 255", *r.Weight, where)
	case r.Weight != nil && r.SetIdentifier == "":
		return invalidInput("Invalid request: Missing field 'SetIdentifier' %s", in)
	case r.Weight == nil && r.SetIdentifier != "":
		return invalidInput("Invalid request: Expected exactly one of [Weight, Region, Failover, GeoLocation, MultiValueAnswer, GeoProximityLocation, or CidrRoutingConfig], but found none %s", in)
	case r.AliasTarget != nil && (r.TTL != nil || len(r.ResourceRecords) > 0):
		return invalidInput("Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found more than one %s", in)
	case r.AliasTarget == nil && (r.TTL == nil || len(r.ResourceRecords) == 0):
		return invalidInput("Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none %s", in)
	}
	if r.HealthCheckId != "" && c.Action != "DELETE" {
		if _, exists := s.checks[r.HealthCheckId]; !exists {
			return invalidInput("Invalid request: The health check %s does not exist %s", r.HealthCheckId, in)
		}
	}
	return nil
}

// apply returns records with one change made, or what is wrong with it.
func (s *Service) apply(z *zone, records []RecordSet, c Change) (next []RecordSet, problem string) {
	r := c.ResourceRecordSet
	at := slices.IndexFunc(records, func(have RecordSet) bool { return compareRecords(have, r) == 0 })
	if c.Action == "DELETE" {
		switch {
		case at < 0:
			return nil, fmt.Sprintf("Tried to delete resource record set %s but it was not found", r.describe())
		case !r.sameValues(records[at], s.options.DeleteIgnoresWeight):
			return nil, fmt.Sprintf("Tried to delete resource record set %s but the values provided do not match the current values", r.describe())
		case z.isOwn(r):
			return nil, fmt.Sprintf("A HostedZone must contain at least one %s record for the zone itself.", r.Type)
		}
		return slices.Delete(slices.Clone(records), at, at+1), ""
	}
	if at >= 0 && c.Action == "CREATE" {
		return nil, fmt.Sprintf("Tried to create resource record set %s but it already exists", r.describe())
	}
	others := records
	if at >= 0 {
		others = slices.Delete(slices.Clone(records), at, at+1)
	}
	if problem := s.checkRecord(z, others, r); problem != "" {
		return nil, problem
	}
	return append(slices.Clone(others), r), ""
}

// checkRecord holds a record against the zone it is to join.
func (s *Service) checkRecord(z *zone, others []RecordSet, r RecordSet) string {
	if r.Name != z.Name && !strings.HasSuffix(r.Name, "."+z.Name) {
		return fmt.Sprintf("RRSet with DNS name %s is not permitted in zone %s", r.Name, z.Name)
	}
	if r.Type == "CNAME" && r.Name == z.Name {
		return fmt.Sprintf("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", r.Name, z.Name)
	}
	group := 0
	for _, have := range others {
		if have.Name != r.Name {
			continue
		}
		if have.Type != r.Type {
			if have.Type == "CNAME" || r.Type == "CNAME" {
				return fmt.Sprintf("RRSet of type %s with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone %s", r.Type, r.Name, z.Name)
			}
			continue
		}
		group++
		if r.Weight != nil && have.Weight == nil {
			return fmt.Sprintf("RRSet with DNS name %s, type %s, SetIdentifier %s cannot be created as a non-weighted set exists with the same name and type.", r.Name, r.Type, r.SetIdentifier)
		}
		if r.Weight == nil && have.Weight != nil {
			return fmt.Sprintf("RRSet with DNS name %s, type %s cannot be created as other RRSets exist with the same name and type.", r.Name, r.Type)
		}
	}
	if group >= maxWeighted {
		return fmt.Sprintf("RRSet with DNS name %s, type %s has more than %d weighted members", r.Name, r.Type, maxWeighted)
	}
	if r.AliasTarget != nil {
		return s.checkAlias(z, others, r)
	}
	return checkValues(r)
}

// checkAlias knows two kinds of target: API Gateway, and a record of the zone.
func (s *Service) checkAlias(z *zone, others []RecordSet, r RecordSet) string {
	target := r.AliasTarget
	outside := fmt.Sprintf("Tried to create an alias that targets %s, type %s in zone %s, but the alias target name does not lie within the target zone", target.DNSName, r.Type, target.HostedZoneId)
	if region, ok := s.options.RegionOf(strings.TrimSuffix(target.DNSName, ".")); ok {
		if s.options.AliasZoneID != nil && s.options.AliasZoneID(region) != target.HostedZoneId {
			return outside
		}
		if r.Type != "A" && r.Type != "AAAA" {
			return fmt.Sprintf("Tried to create an alias that targets %s, type %s in zone %s, but that target was not found", target.DNSName, r.Type, target.HostedZoneId)
		}
		return ""
	}
	if target.HostedZoneId != z.ID || (target.DNSName != z.Name && !strings.HasSuffix(target.DNSName, "."+z.Name)) {
		s.options.Log.Warn("alias target unknown", "service", "route53", "target", target.DNSName, "zone", target.HostedZoneId)
		return outside
	}
	for _, have := range others {
		if have.Name == target.DNSName && have.Type == r.Type {
			return ""
		}
	}
	return fmt.Sprintf("Tried to create an alias that targets %s, type %s in zone %s, but that target was not found", target.DNSName, r.Type, target.HostedZoneId)
}

func checkValues(r RecordSet) string {
	if r.Type == "CNAME" && len(r.ResourceRecords) > 1 {
		return fmt.Sprintf("RRSet of type CNAME with DNS name %s has more than one value", r.Name)
	}
	seen := map[string]bool{}
	for _, record := range r.ResourceRecords {
		value := record.Value
		if seen[value] {
			return fmt.Sprintf("Duplicate Resource Record: '%s'", value)
		}
		seen[value] = true
		if r.Type == "TXT" && !strings.HasPrefix(value, `"`) {
			return fmt.Sprintf("Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '%s''", value)
		}
		if _, err := toRR(r, ".", value); err != nil {
			return fmt.Sprintf("Invalid Resource Record: 'FATAL problem: %s encountered with '%s''", illegal(r.Type), value)
		}
	}
	return ""
}

func illegal(recordType string) string {
	switch recordType {
	case "A":
		return "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
	case "AAAA":
		return "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
	default:
		return "InvalidValue (Value is not valid " + recordType + " data)"
	}
}

// toRR makes the DNS form of one value under the owner name.
func toRR(r RecordSet, owner, value string) (dns.RR, error) {
	var ttl int64
	if r.TTL != nil {
		ttl = *r.TTL
	}
	switch r.Type {
	case "CNAME", "NS", "PTR":
		value = dns.Fqdn(value)
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", owner, ttl, r.Type, value))
	if err != nil {
		return nil, fmt.Errorf("parse %s value %q: %w", r.Type, value, err)
	}
	if rr == nil {
		return nil, fmt.Errorf("parse %s value %q: empty", r.Type, value)
	}
	return rr, nil
}
