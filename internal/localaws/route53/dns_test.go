package route53_test

import (
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.mustChange(
		do("CREATE", simple("www.example.com", "CNAME", "target.example.com")), do("CREATE", simple("target.example.com", "A", "192.0.2.1", "192.0.2.2")),
		do("CREATE", simple("*.example.com", "A", "192.0.2.99")), do("CREATE", simple("x.deep.example.com", "TXT", `"v=1; p=2"`)),
		do("CREATE", simple("mail.example.com", "MX", "10 mx.example.org.")), do("CREATE", simple("six.example.com", "AAAA", "2001:db8::1")),
		do("CREATE", simple("probe.example.com", "CNAME", "d-abc.execute-api.eu-central-1.amazonaws.com")),
		do("CREATE", alias("only", "eu-west-1", 1, "")))
	w.settle()
	tests := []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"www.example.com.", dns.TypeA, "NOERROR target.example.com. 192.0.2.1 192.0.2.2"},
		{"www.example.com.", dns.TypeCNAME, "NOERROR target.example.com."},
		{"WWW.Example.COM.", dns.TypeA, "NOERROR target.example.com. 192.0.2.1 192.0.2.2"},
		{"target.example.com.", dns.TypeTXT, "NOERROR"},
		{"random.example.com.", dns.TypeA, "NOERROR 192.0.2.99"},
		{"random.example.com.", dns.TypeAAAA, "NOERROR"},
		{"deep.example.com.", dns.TypeA, "NOERROR"},
		{"y.deep.example.com.", dns.TypeA, "NXDOMAIN"},
		{"x.deep.example.com.", dns.TypeTXT, `NOERROR "v=1; p=2"`},
		{"mail.example.com.", dns.TypeMX, "NOERROR 10 mx.example.org."},
		{"six.example.com.", dns.TypeAAAA, "NOERROR 2001:db8::1"},
		{"api.example.com.", dns.TypeA, "NOERROR 127.0.0.2"},
		{"api.example.com.", dns.TypeAAAA, "NOERROR"},
		{"d-abc.execute-api.eu-central-1.amazonaws.com.", dns.TypeA, "NOERROR 127.0.0.3"},
		{"probe.example.com.", dns.TypeA, "NOERROR d-abc.execute-api.eu-central-1.amazonaws.com. 127.0.0.3"},
		{"example.org.", dns.TypeA, "REFUSED"},
		{"example.com.", dns.TypeANY, "REFUSED"},
		{"example.com.", dns.TypeNS, "NOERROR ns-1.awsdns-01.com. ns-2.awsdns-02.net. ns-3.awsdns-03.org. ns-4.awsdns-04.co.uk."},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, w.ask(tt.name, tt.qtype)); diff != "" {
			t.Errorf("%s %s:\n%s", tt.name, dns.TypeToString[tt.qtype], diff)
		}
	}
	if !w.service.HasRecord(w.clock.Now(), "WWW.example.com", "CNAME", "target.example.com.") {
		t.Error("HasRecord misses a CNAME that differs by its trailing dot")
	}
	if w.service.HasRecord(w.clock.Now(), "www.example.com", "CNAME", "other.example.com") {
		t.Error("HasRecord finds a value that is not there")
	}
}

func TestNegativeAnswersCarryTheSOA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, name := range []string{"nope.example.com.", "example.com."} {
		query := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
		query.SetEdns0(1232, false)
		reply := w.service.Answer(w.clock.Now(), query)
		if len(reply.Ns) != 1 || reply.Ns[0].Header().Rrtype != dns.TypeSOA || !reply.Authoritative {
			t.Errorf("%s: authority %v, authoritative %v", name, reply.Ns, reply.Authoritative)
		}
		if reply.IsEdns0() == nil {
			t.Errorf("%s: EDNS0 was lost", name)
		}
	}
}

func TestAliasHasTheTTLOfItsTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.mustChange(do("CREATE", alias("blue", "eu-west-1", 1, "")))
	w.settle()
	reply := w.service.Answer(w.clock.Now(), new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA))
	if len(reply.Answer) != 1 || reply.Answer[0].Header().Ttl != 60 || reply.Answer[0].Header().Name != "api.example.com." {
		t.Errorf("got %v", reply.Answer)
	}
}

func TestWeightsSplitTheAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.mustChange(do("CREATE", alias("blue", "eu-west-1", 90, "")), do("CREATE", alias("green", "eu-central-1", 10, "")))
	w.settle()
	got := w.split("api.example.com.", 10_000)
	// Six standard deviations of Binomial(10000, 0.1) are 180.
	if green := got["NOERROR 127.0.0.3"]; green < 820 || green > 1180 || len(got) != 2 {
		t.Errorf("10%% of 10000 answers: %v", got)
	}
}

type packetWriter struct {
	dns.ResponseWriter
	address net.Addr
	sent    *dns.Msg
}

func (p *packetWriter) RemoteAddr() net.Addr        { return p.address }
func (p *packetWriter) WriteMsg(msg *dns.Msg) error { p.sent = msg; return nil }

func TestLongAnswersAreTruncatedOverUDPOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	record := simple("big.example.com", "A")
	for i := range 60 {
		record.ResourceRecords = append(record.ResourceRecords, simple("", "A", "192.0.2."+string(rune('0'+i/10))+string(rune('0'+i%10))).ResourceRecords...)
	}
	for i := range record.ResourceRecords { // 192.0.2.05 is not an address
		record.ResourceRecords[i].Value = aws.String(net.IPv4(192, 0, 2, byte(i)).String())
	}
	w.mustChange(do("CREATE", record))
	w.clock.Advance(time.Minute)
	for _, tt := range []struct {
		address net.Addr
		want    bool
	}{{&net.UDPAddr{}, true}, {&net.TCPAddr{}, false}} {
		writer := &packetWriter{address: tt.address}
		w.service.ServeDNS(writer, new(dns.Msg).SetQuestion("big.example.com.", dns.TypeA))
		if writer.sent.Truncated != tt.want {
			t.Errorf("%T: truncated %v, want %v", tt.address, writer.sent.Truncated, tt.want)
		}
	}
}
