package topology_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/topology"
)

// written is what API Gateway makes of the format.
func written(values map[string]string) string {
	line := topology.AccessLogFormat
	for name, value := range values {
		line = strings.ReplaceAll(line, `"$context.`+name+`"`, `"`+value+`"`)
	}
	return line
}

func TestParseAccessReadsTheFormat(t *testing.T) {
	t.Parallel()
	whole := func(name, value string) string {
		values := map[string]string{
			"requestId": "r", "requestTimeEpoch": "1772366400123", "status": "502", "responseLatency": "31", "path": "/healthz", "isCanaryRequest": "true",
		}
		values[name] = value
		return written(values)
	}
	at := time.UnixMilli(1772366400123).UTC()
	for name, tt := range map[string]struct {
		line string
		want topology.Access
		bad  bool
	}{
		"canary":       {line: whole("", ""), want: topology.Access{RequestID: "r", Path: "/healthz", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"base":         {line: whole("isCanaryRequest", "false"), want: topology.Access{RequestID: "r", Path: "/healthz", At: at, Status: 502, Latency: 31 * time.Millisecond}},
		"no latency":   {line: whole("responseLatency", "-"), want: topology.Access{RequestID: "r", Path: "/healthz", At: at, Canary: true, Status: 502}},
		"no path":      {line: whole("path", "-"), want: topology.Access{RequestID: "r", Path: "-", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"no time":      {line: whole("requestTimeEpoch", "-"), bad: true},
		"no status":    {line: whole("status", "-"), bad: true},
		"status of 60": {line: whole("status", "60"), bad: true},
		"no side":      {line: whole("isCanaryRequest", "-"), bad: true},
		"not JSON":     {line: "plain", bad: true},
	} {
		got, err := topology.ParseAccess(tt.line)
		if (err != nil) != tt.bad || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
