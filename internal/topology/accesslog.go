package topology

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// AccessLogFormat is what a cell's stage writes: one JSON object a request,
// every value a string, since API Gateway puts "-" for what it does not know.
// isCanaryRequest tells base and canary apart while the stage has a canary: no
// metric has that dimension. A client may choose its request id; the extended
// one is API Gateway's own. ParseAccess reads it back.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
const AccessLogFormat = `{"request_id":"$context.requestId","extended_request_id":"$context.extendedRequestId","time":"$context.requestTimeEpoch","method":"$context.httpMethod",` +
	`"path":"$context.path","status":"$context.status","latency_ms":"$context.responseLatency",` +
	`"integration_latency_ms":"$context.integrationLatency","canary":"$context.isCanaryRequest","ip":"$context.identity.sourceIp"}`

// CanaryLog is where API Gateway writes the canary's requests of a stage whose
// access log is group.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/canary-release.html
func CanaryLog(group string) string { return group + "/Canary" }

// unknown is what API Gateway writes for a variable that has no value.
const unknown = "-"

// Access is one request of the access log.
type Access struct {
	// ID is the same however the line was read, and another's for no client to
	// choose: the extended request id, or the whole line where it has none.
	ID      string
	At      time.Time // when API Gateway received it
	Canary  bool
	Path    string // "-" where API Gateway does not know it
	Status  int
	Latency time.Duration // until API Gateway answered
}

// ParseAccess reads one line of AccessLogFormat, found in the log group of the
// canary or of the stage itself. A line without a time or a status is an error:
// it cannot be counted.
//
// isCanaryRequest is there only while the stage has a canary; a promoted stage
// has none, and its lines say "-". Then the group tells the side. Where the line
// has a word, it wins: it is said of this very request, while which group it was
// sent to is a rule about names.
func ParseAccess(line string, canaryLog bool) (Access, error) {
	var fields struct {
		ID      string `json:"extended_request_id"`
		Time    string `json:"time"`
		Status  string `json:"status"`
		Latency string `json:"latency_ms"`
		Canary  string `json:"canary"`
		Path    string `json:"path"`
	}
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return Access{}, fmt.Errorf("access log line %.80q: %w", line, err)
	}
	milliseconds, err := strconv.ParseInt(fields.Time, 10, 64)
	if err != nil {
		return Access{}, fmt.Errorf("access log line: time %q: want milliseconds since the epoch", fields.Time)
	}
	a := Access{ID: fields.ID, Path: fields.Path, At: time.UnixMilli(milliseconds).UTC(), Canary: canaryLog}
	if a.ID == "" || a.ID == unknown {
		a.ID = line
	}
	if a.Status, err = strconv.Atoi(fields.Status); err != nil || a.Status < 100 || a.Status > 599 {
		return Access{}, fmt.Errorf("access log line: status %q: want 100 to 599", fields.Status)
	}
	switch fields.Canary {
	case "true", "false":
		a.Canary = fields.Canary == "true"
	case "", unknown:
	default:
		return Access{}, fmt.Errorf("access log line: canary %q: want true, false or -", fields.Canary)
	}
	// Non-fatal: a request that API Gateway refused by itself may have none.
	latency, _ := strconv.ParseInt(fields.Latency, 10, 64)
	a.Latency = time.Duration(latency) * time.Millisecond
	return a, nil
}
