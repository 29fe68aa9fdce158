package route53

import (
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	namespace = "https://route53.amazonaws.com/doc/2013-04-01/"
	base      = "/2013-04-01"
	maxItems  = 100
	recordMax = 300
	hostZone  = "/hostedzone/"
)

// operation serves one API operation: it returns the status, the name of the
// root element and its content.
type operation func(r *http.Request, call wire.Call) (status int, root string, body any, err error)

// Handler serves the REST-XML API.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, route := range map[string]struct {
		action string // as IAM names it
		serve  operation
	}{
		"POST " + base + "/hostedzone":                {"CreateHostedZone", s.serveCreateZone},
		"GET " + base + "/hostedzone":                 {"ListHostedZones", s.serveListZones},
		"GET " + base + "/hostedzonesbyname":          {"ListHostedZonesByName", s.serveListZonesByName},
		"GET " + base + "/hostedzonecount":            {"GetHostedZoneCount", s.serveZoneCount},
		"GET " + base + "/hostedzone/{id}":            {"GetHostedZone", s.serveGetZone},
		"DELETE " + base + "/hostedzone/{id}":         {"DeleteHostedZone", s.serveDeleteZone},
		"POST " + base + "/hostedzone/{id}/rrset":     {"ChangeResourceRecordSets", s.serveChange},
		"POST " + base + "/hostedzone/{id}/rrset/{$}": {"ChangeResourceRecordSets", s.serveChange},
		"GET " + base + "/hostedzone/{id}/rrset":      {"ListResourceRecordSets", s.serveListRecords},
		"GET " + base + "/change/{id}":                {"GetChange", s.serveGetChange},
		"POST " + base + "/tags/{kind}/{id}":          {"ChangeTagsForResource", s.serveChangeTags},
		"GET " + base + "/tags/{kind}/{id}":           {"ListTagsForResource", s.serveListTags},
		"POST " + base + "/tags/{kind}":               {"ListTagsForResources", s.serveListTagsBatch},
		"POST " + base + "/healthcheck":               {"CreateHealthCheck", s.serveCreateCheck},
		"GET " + base + "/healthcheck":                {"ListHealthChecks", s.serveListChecks},
		"GET " + base + "/healthcheckcount":           {"GetHealthCheckCount", s.serveCheckCount},
		"GET " + base + "/healthcheck/{id}":           {"GetHealthCheck", s.serveGetCheck},
		"POST " + base + "/healthcheck/{id}":          {"UpdateHealthCheck", s.serveUpdateCheck},
		"DELETE " + base + "/healthcheck/{id}":        {"DeleteHealthCheck", s.serveDeleteCheck},
		"GET " + base + "/healthcheck/{id}/status":    {"GetHealthCheckStatus", s.serveCheckStatus},
	} {
		mux.Handle(pattern, s.handle(s.guarded(route.action, route.serve)))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		call := wire.FromContext(r.Context())
		wire.Unknown(s.options.Log, call, r.Method+" "+r.URL.Path)
		wire.WriteXMLError(w, call, namespace, wire.Errorf(http.StatusBadRequest, "InvalidAction", "the embedded AWS has no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

func (s *Service) handle(serve operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := wire.FromContext(r.Context())
		w.Header().Set("X-Amzn-Requestid", call.RequestID)
		if !s.admit(call.Now) {
			wire.WriteXMLError(w, call, namespace, wire.Errorf(http.StatusBadRequest, "Throttling", "Rate exceeded"))
			return
		}
		status, root, body, err := serve(r, call)
		if batch, ok := errors.AsType[*batchError](err); ok {
			writeXML(w, http.StatusBadRequest, "InvalidChangeBatch", struct {
				Messages  []string `xml:"Messages>Message"`
				RequestId string
			}{batch.messages, call.RequestID})
			return
		}
		if err != nil {
			wire.WriteXMLError(w, call, namespace, wire.AsError(err))
			return
		}
		if created, ok := body.(interface{ location() string }); ok && status == http.StatusCreated {
			w.Header().Set("Location", "https://route53.amazonaws.com"+base+created.location())
		}
		writeXML(w, status, root, body)
	})
}

func writeXML(w http.ResponseWriter, status int, root string, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	io.WriteString(w, xml.Header) // Non-fatal: the caller has gone.
	start := xml.StartElement{Name: xml.Name{Local: root}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
	xml.NewEncoder(w).EncodeElement(body, start) // as above
}

func decode(r *http.Request, into any) error {
	if err := xml.NewDecoder(io.LimitReader(r.Body, wire.MaxBody)).Decode(into); err != nil {
		return wire.Errorf(http.StatusBadRequest, "MalformedInput", "Unable to parse the request: %v", err)
	}
	return nil
}

// limit reads maxitems.
func limit(r *http.Request, most int) (int, error) {
	text := cmp.Or(r.URL.Query().Get("maxitems"), r.URL.Query().Get("maxresults"))
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, invalidInput("1 validation error detected: Value '%s' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1", text)
	}
	return min(n, most), nil
}

type changeInfo struct {
	Id          string
	Status      string
	SubmittedAt string
	Comment     string `xml:",omitempty"`
}

func infoOf(c change, insync bool) changeInfo {
	info := changeInfo{"/change/" + c.ID, "PENDING", timestamp(c.SubmittedAt), c.Comment}
	if insync {
		info.Status = "INSYNC"
	}
	return info
}

type changed struct{ ChangeInfo changeInfo }

type hostedZone struct {
	Id                     string
	Name                   string
	CallerReference        string
	Config                 zoneConfig
	ResourceRecordSetCount int
}

type zoneConfig struct {
	Comment     string `xml:",omitempty"`
	PrivateZone bool
}

type delegation struct {
	NameServers []string `xml:"NameServers>NameServer"`
}

type createdZone struct {
	HostedZone    hostedZone
	ChangeInfo    changeInfo
	DelegationSet delegation
}

func (c createdZone) location() string { return c.HostedZone.Id }

func zoneXML(z zoneView) hostedZone {
	return hostedZone{hostZone + z.ID, z.Name, z.CallerReference, zoneConfig{Comment: z.Comment}, z.Count}
}

func delegationXML(z zoneView) delegation {
	var set delegation
	for _, server := range z.NameServers {
		set.NameServers = append(set.NameServers, strings.TrimSuffix(server, "."))
	}
	return set
}

func (s *Service) serveCreateZone(r *http.Request, call wire.Call) (int, string, any, error) {
	var in struct {
		Name, CallerReference string
		HostedZoneConfig      *zoneConfig
		Others                []otherElement `xml:",any"`
	}
	if err := decode(r, &in); err != nil {
		return 0, "", nil, err
	}
	if len(in.Others) > 0 || (in.HostedZoneConfig != nil && in.HostedZoneConfig.PrivateZone) {
		wire.Unknown(s.options.Log, call, "CreateHostedZone with a VPC or delegation set")
		return 0, "", nil, invalidInput("the embedded AWS has only public zones without a delegation set")
	}
	comment := ""
	if in.HostedZoneConfig != nil {
		comment = in.HostedZoneConfig.Comment
	}
	z, c, err := s.createZone(call.Now, in.Name, in.CallerReference, comment)
	if err != nil {
		return 0, "", nil, err
	}
	view, err := s.zone(z.ID)
	if err != nil {
		return 0, "", nil, err
	}
	return http.StatusCreated, "CreateHostedZoneResponse", createdZone{zoneXML(view), infoOf(c, false), delegationXML(view)}, nil
}

func (s *Service) serveGetZone(r *http.Request, _ wire.Call) (int, string, any, error) {
	z, err := s.zone(r.PathValue("id"))
	if err != nil {
		return 0, "", nil, err
	}
	return http.StatusOK, "GetHostedZoneResponse", struct {
		HostedZone    hostedZone
		DelegationSet delegation
	}{zoneXML(z), delegationXML(z)}, nil
}

func (s *Service) serveZoneCount(*http.Request, wire.Call) (int, string, any, error) {
	return http.StatusOK, "GetHostedZoneCountResponse", struct{ HostedZoneCount int }{len(s.zonesByName())}, nil
}

func (s *Service) serveDeleteZone(r *http.Request, call wire.Call) (int, string, any, error) {
	c, err := s.deleteZone(call.Now, r.PathValue("id"))
	return http.StatusOK, "DeleteHostedZoneResponse", changed{infoOf(c, false)}, err
}

type zoneList struct {
	HostedZones      []hostedZone `xml:"HostedZones>HostedZone"`
	IsTruncated      bool
	MaxItems         int
	Marker           string `xml:",omitempty"`
	NextMarker       string `xml:",omitempty"`
	DNSName          string `xml:",omitempty"`
	NextDNSName      string `xml:",omitempty"`
	NextHostedZoneId string `xml:",omitempty"`
}

func (s *Service) serveListZones(r *http.Request, _ wire.Call) (int, string, any, error) {
	most, err := limit(r, maxItems)
	if err != nil {
		return 0, "", nil, err
	}
	zones := s.zonesByName()
	slices.SortFunc(zones, func(a, b zoneView) int { return strings.Compare(a.ID, b.ID) })
	list := zoneList{MaxItems: most, Marker: r.URL.Query().Get("marker")}
	for _, z := range zones {
		if z.ID < list.Marker {
			continue
		}
		if len(list.HostedZones) == most {
			list.IsTruncated, list.NextMarker = true, z.ID
			break
		}
		list.HostedZones = append(list.HostedZones, zoneXML(z))
	}
	return http.StatusOK, "ListHostedZonesResponse", list, nil
}

func (s *Service) serveListZonesByName(r *http.Request, _ wire.Call) (int, string, any, error) {
	most, err := limit(r, maxItems)
	if err != nil {
		return 0, "", nil, err
	}
	query := r.URL.Query()
	list := zoneList{MaxItems: most, DNSName: query.Get("dnsname")}
	for _, z := range s.zonesByName() {
		if list.DNSName != "" {
			order := strings.Compare(sortName(z.Name), sortName(normalName(list.DNSName)))
			if order < 0 || (order == 0 && z.ID < query.Get("hostedzoneid")) {
				continue
			}
		}
		if len(list.HostedZones) == most {
			list.IsTruncated, list.NextDNSName, list.NextHostedZoneId = true, z.Name, z.ID
			break
		}
		list.HostedZones = append(list.HostedZones, zoneXML(z))
	}
	return http.StatusOK, "ListHostedZonesByNameResponse", list, nil
}

func (s *Service) serveChange(r *http.Request, call wire.Call) (int, string, any, error) {
	var in struct {
		ChangeBatch struct {
			Comment string
			Changes []Change `xml:"Changes>Change"`
		}
	}
	if err := decode(r, &in); err != nil {
		return 0, "", nil, err
	}
	if err := s.authorizeChange(r.Context(), r.PathValue("id"), in.ChangeBatch.Changes); err != nil {
		return 0, "", nil, err
	}
	c, err := s.changeRecords(call.Now, r.PathValue("id"), in.ChangeBatch.Comment, in.ChangeBatch.Changes)
	return http.StatusOK, "ChangeResourceRecordSetsResponse", changed{infoOf(c, false)}, err
}

func (s *Service) serveGetChange(r *http.Request, call wire.Call) (int, string, any, error) {
	id := r.PathValue("id")
	c, insync, ok := s.changeStatus(call.Now, id)
	if !ok {
		return 0, "", nil, wire.Errorf(http.StatusNotFound, "NoSuchChange", "Could not find resource with ID: %s", id)
	}
	return http.StatusOK, "GetChangeResponse", changed{infoOf(c, insync)}, nil
}

func (s *Service) serveListRecords(r *http.Request, _ wire.Call) (int, string, any, error) {
	most, err := limit(r, recordMax)
	if err != nil {
		return 0, "", nil, err
	}
	query := r.URL.Query()
	name, recordType, identifier := query.Get("name"), query.Get("type"), query.Get("identifier")
	if name == "" && recordType != "" {
		return 0, "", nil, invalidInput("The input is not valid: StartRecordType needs StartRecordName.")
	}
	if recordType == "" && identifier != "" {
		return 0, "", nil, invalidInput("The input is not valid: StartRecordIdentifier needs StartRecordName and StartRecordType.")
	}
	records, err := s.recordsFrom(r.PathValue("id"), name, recordType, identifier)
	if err != nil {
		return 0, "", nil, err
	}
	list := struct {
		ResourceRecordSets   []RecordSet `xml:"ResourceRecordSets>ResourceRecordSet"`
		IsTruncated          bool
		MaxItems             int
		NextRecordName       string `xml:",omitempty"`
		NextRecordType       string `xml:",omitempty"`
		NextRecordIdentifier string `xml:",omitempty"`
	}{ResourceRecordSets: records, MaxItems: most}
	if len(records) > most {
		next := records[most]
		list.ResourceRecordSets = records[:most]
		list.IsTruncated, list.NextRecordName, list.NextRecordType, list.NextRecordIdentifier = true, next.Name, next.Type, next.SetIdentifier
	}
	return http.StatusOK, "ListResourceRecordSetsResponse", list, nil
}

// timestamp is a time as REST-XML carries it.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
