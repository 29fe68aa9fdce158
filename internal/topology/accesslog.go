package topology

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// AccessLogFormat is what a cell's stage writes: one JSON object a request,
// every value a string, since API Gateway puts "-" for what it does not know.
// isCanaryRequest is what tells base and canary apart: no metric has that
// dimension. ParseAccess reads it back.
const AccessLogFormat = `{"request_id":"$context.requestId","time":"$context.requestTimeEpoch","method":"$context.httpMethod",` +
	`"path":"$context.path","status":"$context.status","latency_ms":"$context.responseLatency",` +
	`"integration_latency_ms":"$context.integrationLatency","canary":"$context.isCanaryRequest","ip":"$context.identity.sourceIp"}`

// CanaryLog is where API Gateway writes the canary's requests of a stage whose
// access log is group.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/canary-release.html
func CanaryLog(group string) string { return group + "/Canary" }

// Access is one request of the access log.
type Access struct {
	RequestID string
	At        time.Time // when API Gateway received it
	Canary    bool
	Path      string // "-" where API Gateway does not know it
	Status    int
	Latency   time.Duration // until API Gateway answered
}

// ParseAccess reads one line of AccessLogFormat. A line without a time, a
// status or a side is an error: it can be counted on neither side.
func ParseAccess(line string) (Access, error) {
	var fields struct {
		RequestID string `json:"request_id"`
		Time      string `json:"time"`
		Status    string `json:"status"`
		Latency   string `json:"latency_ms"`
		Canary    string `json:"canary"`
		Path      string `json:"path"`
	}
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return Access{}, fmt.Errorf("access log line %.80q: %w", line, err)
	}
	milliseconds, err := strconv.ParseInt(fields.Time, 10, 64)
	if err != nil {
		return Access{}, fmt.Errorf("access log line: time %q: want milliseconds since the epoch", fields.Time)
	}
	a := Access{RequestID: fields.RequestID, Path: fields.Path, At: time.UnixMilli(milliseconds).UTC()}
	if a.Status, err = strconv.Atoi(fields.Status); err != nil || a.Status < 100 || a.Status > 599 {
		return Access{}, fmt.Errorf("access log line: status %q: want 100 to 599", fields.Status)
	}
	if a.Canary, err = strconv.ParseBool(fields.Canary); err != nil {
		return Access{}, fmt.Errorf("access log line: canary %q: want true or false", fields.Canary)
	}
	// Non-fatal: a request that API Gateway refused by itself may have none.
	latency, _ := strconv.ParseInt(fields.Latency, 10, 64)
	a.Latency = time.Duration(latency) * time.Millisecond
	return a, nil
}
