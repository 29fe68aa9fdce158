package route53

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func noSuchZone(id string) error {
	return wire.Errorf(http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: %s", id)
}

// EnsureZone returns the id of the zone of that name, creating it in force
// when there is none.
func (s *Service) EnsureZone(name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = normalName(name)
	for _, z := range s.zones {
		if z.Name == name {
			return z.ID
		}
	}
	return s.addZone(time.Time{}, name, "seed:"+name, "").ID
}

// createZone makes a zone. The caller reference is unique for ever in AWS;
// here for as long as the zone lives.
func (s *Service) createZone(now time.Time, name, callerReference, comment string) (*zone, change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if callerReference == "" {
		return nil, change{}, wire.Errorf(http.StatusBadRequest, "InvalidInput", "1 validation error detected: Value null at 'callerReference' failed to satisfy constraint: Member must not be null")
	}
	normal := normalName(name)
	if strings.Trim(normal, ".") == "" || strings.Contains(normal, "..") {
		return nil, change{}, wire.Errorf(http.StatusBadRequest, "InvalidDomainName", "The domain name is invalid: %s", name)
	}
	for _, z := range s.zones {
		if z.CallerReference == callerReference {
			return nil, change{}, wire.Errorf(http.StatusConflict, "HostedZoneAlreadyExists", "A hosted zone has already been created with the specified caller reference.")
		}
	}
	c := s.newChange(now, "")
	return s.addZone(c.insyncAt, normal, callerReference, comment), c, nil
}

func (s *Service) addZone(inForce time.Time, name, callerReference, comment string) *zone {
	z := &zone{
		ID: s.newID("Z", 21), Name: name, CallerReference: callerReference, Comment: comment,
		nameServers: []string{"ns-1.awsdns-01.com.", "ns-2.awsdns-02.net.", "ns-3.awsdns-03.org.", "ns-4.awsdns-04.co.uk."},
	}
	nsTTL, soaTTL := int64(172800), int64(900)
	ns := RecordSet{Name: name, Type: "NS", TTL: &nsTTL}
	for _, server := range z.nameServers {
		ns.ResourceRecords = append(ns.ResourceRecords, ResourceRecord{server})
	}
	soa := RecordSet{Name: name, Type: "SOA", TTL: &soaTTL, ResourceRecords: []ResourceRecord{
		{z.nameServers[0] + " awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"},
	}}
	z.publish(inForce, []RecordSet{ns, soa})
	s.zones[z.ID] = z
	return z
}

// deleteZone removes a zone that holds nothing but its own NS and SOA.
func (s *Service) deleteZone(now time.Time, id string) (change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[id]
	if !ok {
		return change{}, noSuchZone(id)
	}
	for _, record := range z.records {
		if !z.isOwn(record) {
			return change{}, wire.Errorf(http.StatusBadRequest, "HostedZoneNotEmpty", "The specified hosted zone contains non-required resource record sets  and so cannot be deleted.")
		}
	}
	delete(s.zones, id)
	delete(s.tags, "hostedzone/"+id)
	return s.newChange(now, ""), nil
}

// isOwn says whether the record is the NS or SOA that the zone came with.
func (z *zone) isOwn(record RecordSet) bool {
	return record.Name == z.Name && (record.Type == "NS" || record.Type == "SOA")
}

// zoneView is a copy of a zone's facts, safe to use without the lock.
type zoneView struct {
	ID, Name, CallerReference, Comment string
	NameServers                        []string
	Count                              int
}

func (z *zone) view() zoneView {
	return zoneView{z.ID, z.Name, z.CallerReference, z.Comment, z.nameServers, len(z.records)}
}

func (s *Service) zone(id string) (zoneView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[id]
	if !ok {
		return zoneView{}, noSuchZone(id)
	}
	return z.view(), nil
}

// zonesByName lists the zones ordered as ListHostedZonesByName orders them.
func (s *Service) zonesByName() []zoneView {
	s.mu.Lock()
	defer s.mu.Unlock()
	var views []zoneView
	for _, z := range s.zones {
		views = append(views, z.view())
	}
	slices.SortFunc(views, func(a, b zoneView) int {
		return cmp.Or(cmp.Compare(sortName(a.Name), sortName(b.Name)), cmp.Compare(a.ID, b.ID))
	})
	return views
}

// recordsFrom returns the record sets of a zone from a start on, in order.
func (s *Service) recordsFrom(zoneID, name, recordType, identifier string) ([]RecordSet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z, ok := s.zones[zoneID]
	if !ok {
		return nil, noSuchZone(zoneID)
	}
	if name == "" {
		return z.records, nil
	}
	start := RecordSet{Name: normalName(name), Type: recordType, SetIdentifier: identifier}
	i := 0
	for i < len(z.records) && compareRecords(z.records[i], start) < 0 {
		i++
	}
	return z.records[i:], nil
}

// HasRecord says whether DNS answers this value for the name and type now.
func (s *Service) HasRecord(now time.Time, name, recordType, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = normalName(name)
	for _, z := range s.zones {
		for _, record := range z.serving(now) {
			if record.Name != name || record.Type != recordType {
				continue
			}
			for _, r := range record.ResourceRecords {
				if strings.EqualFold(strings.TrimSuffix(r.Value, "."), strings.TrimSuffix(value, ".")) {
					return true
				}
			}
		}
	}
	return false
}
