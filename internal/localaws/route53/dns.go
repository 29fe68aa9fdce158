package route53

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxChase    = 8 // CNAMEs and aliases followed within one answer
	negativeTTL = 60
	ednsSize    = 4096
)

// ServeDNS answers one query from the zones in force. It implements
// dns.Handler.
func (s *Service) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	answer := s.Answer(s.options.Clock.Now(), query)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		answer.Truncate(size)
	}
	w.WriteMsg(answer) // Non-fatal: the asker has gone.
}

// Answer is the reply to a query at a time.
func (s *Service) Answer(now time.Time, query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.RecursionAvailable = false
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(ednsSize, false)
	}
	switch {
	case query.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
		return reply
	case len(query.Question) != 1:
		reply.Rcode = dns.RcodeFormatError
		return reply
	}
	question := query.Question[0]
	if question.Qclass != dns.ClassINET || question.Qtype == dns.TypeANY {
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resolve(now, reply, question.Name, question.Qtype)
	return reply
}

// resolve fills the reply for a name and type.
func (s *Service) resolve(now time.Time, reply *dns.Msg, asked string, qtype uint16) {
	owner := asked
	for range maxChase {
		if region, ok := s.options.RegionOf(strings.ToLower(strings.TrimSuffix(owner, "."))); ok {
			reply.Authoritative = true
			if !s.appendAddress(reply, owner, region, qtype) {
				reply.Ns = append(reply.Ns, gatewaySOA(region))
			}
			return
		}
		z, records := s.zoneFor(now, owner)
		if z == nil {
			if len(reply.Answer) == 0 {
				reply.Rcode = dns.RcodeRefused
			}
			return
		}
		reply.Authoritative = true
		name, exists := match(records, z.Name, normalName(owner))
		if !exists {
			reply.Rcode = dns.RcodeNameError
			reply.Ns = append(reply.Ns, soa(z, records))
			return
		}
		if s.appendRecords(reply, records, owner, name, dns.TypeToString[qtype]) {
			return
		}
		at := len(reply.Answer)
		if qtype == dns.TypeCNAME || !s.appendRecords(reply, records, owner, name, "CNAME") {
			reply.Ns = append(reply.Ns, soa(z, records))
			return
		}
		owner = reply.Answer[at].(*dns.CNAME).Target
	}
	reply.Rcode = dns.RcodeServerFailure
}

// zoneFor returns the closest zone in force that holds the name.
func (s *Service) zoneFor(now time.Time, name string) (*zone, []RecordSet) {
	name = normalName(name)
	var best *zone
	var records []RecordSet
	for _, z := range s.zones {
		if name != z.Name && !strings.HasSuffix(name, "."+z.Name) {
			continue
		}
		serving := z.serving(now)
		// Two zones of one name are told apart by delegation in AWS; here the
		// smaller id answers, so that it is always the same one.
		if serving != nil && (best == nil || len(z.Name) > len(best.Name) || (z.Name == best.Name && z.ID < best.ID)) {
			best, records = z, serving
		}
	}
	return best, records
}

// match returns the record name that answers for a name: itself, or the
// wildcard of its closest encloser. A name with names below it exists too.
func match(records []RecordSet, apex, name string) (string, bool) {
	exists := func(name string) bool {
		for _, r := range records {
			if r.Name == name || strings.HasSuffix(r.Name, "."+name) {
				return true
			}
		}
		return false
	}
	if exists(name) {
		return name, true
	}
	for parent := name; parent != apex; {
		_, parent, _ = strings.Cut(parent, ".")
		if exists(parent) {
			wildcard := `\052.` + parent
			return wildcard, exists(wildcard)
		}
	}
	return name, false
}

// appendRecords answers with the record set of the name and type, drawn by
// weight where there are several; false when there is nothing to say.
func (s *Service) appendRecords(reply *dns.Msg, records []RecordSet, owner, name, recordType string) bool {
	for range maxChase {
		chosen, ok := s.pick(records, name, recordType)
		if !ok {
			return false
		}
		if chosen.AliasTarget == nil {
			for _, value := range chosen.ResourceRecords {
				if rr, err := toRR(chosen, owner, value.Value); err == nil { // checked when it was written
					reply.Answer = append(reply.Answer, rr)
				}
			}
			return true
		}
		if region, ok := s.options.RegionOf(strings.TrimSuffix(chosen.AliasTarget.DNSName, ".")); ok {
			return s.appendAddress(reply, owner, region, dns.StringToType[recordType])
		}
		name = chosen.AliasTarget.DNSName
	}
	return false
}

// pick draws the member of the group that answers.
func (s *Service) pick(records []RecordSet, name, recordType string) (RecordSet, bool) {
	var members []RecordSet
	var group []candidate
	for _, r := range records {
		if r.Name != name || r.Type != recordType {
			continue
		}
		c := candidate{weight: 1, healthy: s.recordHealthy(records, r, maxChase)}
		if r.Weight != nil {
			c.weight = int(*r.Weight)
		}
		members = append(members, r)
		group = append(group, c)
	}
	i := choose(group, s.rng.IntN)
	if i < 0 {
		return RecordSet{}, false
	}
	return members[i], true
}

// recordHealthy folds the record's own check with, where asked for, the
// health of the records its alias leads to. EvaluateTargetHealth on API
// Gateway adds nothing, as in AWS.
func (s *Service) recordHealthy(records []RecordSet, r RecordSet, depth int) bool {
	if r.HealthCheckId != "" && !s.healthy(r.HealthCheckId) {
		return false
	}
	if r.AliasTarget == nil || !r.AliasTarget.EvaluateTargetHealth || depth == 0 {
		return true
	}
	found := false
	for _, target := range records {
		if target.Name == r.AliasTarget.DNSName && target.Type == r.Type {
			found = true
			if s.recordHealthy(records, target, depth-1) {
				return true
			}
		}
	}
	return !found
}

// appendAddress answers with the address of a region's front door.
func (s *Service) appendAddress(reply *dns.Msg, owner, region string, qtype uint16) bool {
	address, ok := s.options.AddressOf(region)
	if !ok {
		return false
	}
	header := dns.RR_Header{Name: owner, Rrtype: qtype, Class: dns.ClassINET, Ttl: uint32(s.options.AliasTTL.Seconds())}
	rr := addressRecord(header, address)
	if rr == nil {
		return false
	}
	reply.Answer = append(reply.Answer, rr)
	return true
}

func addressRecord(header dns.RR_Header, address netip.Addr) dns.RR {
	switch {
	case header.Rrtype == dns.TypeA && address.Is4():
		return &dns.A{Hdr: header, A: address.AsSlice()}
	case header.Rrtype == dns.TypeAAAA && address.Is6():
		return &dns.AAAA{Hdr: header, AAAA: address.AsSlice()}
	default:
		return nil
	}
}

// soa is the zone's SOA as a negative answer carries it.
func soa(z *zone, records []RecordSet) dns.RR {
	for _, r := range records {
		if r.Name == z.Name && r.Type == "SOA" {
			if rr, err := toRR(r, z.Name, r.ResourceRecords[0].Value); err == nil {
				return rr
			}
		}
	}
	return gatewaySOA("")
}

// gatewaySOA stands for the zone that AWS itself keeps for API Gateway names.
func gatewaySOA(region string) dns.RR {
	name := "execute-api." + region + ".amazonaws.com."
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: negativeTTL},
		Ns:  "ns-1.awsdns-01.com.", Mbox: "awsdns-hostmaster.amazon.com.",
		Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: negativeTTL,
	}
}

var _ dns.Handler = (*Service)(nil)
