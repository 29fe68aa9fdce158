package route53

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// AliasTarget is where an alias record points.
type AliasTarget struct {
	HostedZoneId         string
	DNSName              string
	EvaluateTargetHealth bool
}

// ResourceRecord is one value of a record set.
type ResourceRecord struct{ Value string }

// RecordSet is a resource record set as the API carries it. Members of
// routing policies that are not modelled end in Others and are refused.
type RecordSet struct {
	Name            string
	Type            string
	SetIdentifier   string           `xml:",omitempty"`
	Weight          *int64           `xml:",omitempty"`
	TTL             *int64           `xml:",omitempty"`
	ResourceRecords []ResourceRecord `xml:"ResourceRecords>ResourceRecord,omitempty"`
	AliasTarget     *AliasTarget     `xml:",omitempty"`
	HealthCheckId   string           `xml:",omitempty"`
	Others          []otherElement   `xml:",any"`
}

type otherElement struct{ XMLName xml.Name }

// normalName is a name as Route 53 stores it: lower case, absolute, and what
// is not a letter, digit, hyphen or underscore escaped in octal ("*" is \052).
func normalName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		case c == '\\' && i+3 < len(name) && isOctal(name[i+1:i+4]):
			b.WriteString(name[i : i+4])
			i += 3
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return dns.Fqdn(b.String())
}

func isOctal(digits string) bool {
	for _, d := range digits {
		if d < '0' || d > '7' {
			return false
		}
	}
	return true
}

// sortName is the name with its labels reversed, which is the order of
// ListResourceRecordSets.
func sortName(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

func compareRecords(a, b RecordSet) int {
	return cmp.Or(
		cmp.Compare(sortName(a.Name), sortName(b.Name)),
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.SetIdentifier, b.SetIdentifier),
	)
}

// describe names the record the way the errors of Route 53 do.
func (r RecordSet) describe() string {
	if r.SetIdentifier == "" {
		return fmt.Sprintf("[name='%s', type='%s']", r.Name, r.Type)
	}
	return fmt.Sprintf("[name='%s', type='%s', set identifier='%s']", r.Name, r.Type, r.SetIdentifier)
}

// sameValues says whether a DELETE of r may remove current. The order of the
// values does not matter.
func (r RecordSet) sameValues(current RecordSet, ignoreWeight bool) bool {
	if r.HealthCheckId != current.HealthCheckId || !samePointer(r.TTL, current.TTL) {
		return false
	}
	if !ignoreWeight && !samePointer(r.Weight, current.Weight) {
		return false
	}
	if !samePointer(r.AliasTarget, current.AliasTarget) {
		return false
	}
	return slices.Equal(sortedValues(r), sortedValues(current))
}

func samePointer[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func sortedValues(r RecordSet) []string {
	values := make([]string, 0, len(r.ResourceRecords))
	for _, record := range r.ResourceRecords {
		values = append(values, record.Value)
	}
	slices.Sort(values)
	return values
}

// zone is one public hosted zone. records is the truth of the API; what DNS
// answers is the newest snapshot whose change is INSYNC. A slice once in a
// snapshot is never written again.
type zone struct {
	ID              string
	Name            string
	CallerReference string
	Comment         string
	nameServers     []string
	records         []RecordSet
	snapshots       []snapshot
	lastChange      time.Time
}

type snapshot struct {
	at      time.Time
	records []RecordSet
}

// publish puts records in force from at on. Changes come into force in the
// order in which they were submitted.
func (z *zone) publish(at time.Time, records []RecordSet) {
	z.records = records
	if n := len(z.snapshots); n > 0 && at.Before(z.snapshots[n-1].at) {
		at = z.snapshots[n-1].at
	}
	z.snapshots = append(z.snapshots, snapshot{at, records})
}

// serving returns what DNS answers from now, nil before the zone is in force.
func (z *zone) serving(now time.Time) []RecordSet {
	current := -1
	for i, s := range z.snapshots {
		if !s.at.After(now) {
			current = i
		}
	}
	if current < 0 {
		return nil
	}
	z.snapshots = z.snapshots[current:]
	return z.snapshots[0].records
}
