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
			"requestId": "r", "extendedRequestId": "x", "requestTimeEpoch": "1772366400123", "status": "502", "responseLatency": "31", "path": "/healthz", "isCanaryRequest": "true",
		}
		values[name] = value
		return written(values)
	}
	at := time.UnixMilli(1772366400123).UTC()
	older := strings.ReplaceAll(whole("", ""), `"extended_request_id":"x",`, "")
	for name, tt := range map[string]struct {
		line   string
		canary bool // the group
		want   topology.Access
		bad    bool
	}{
		"canary":                             {line: whole("", ""), want: topology.Access{ID: "x", Path: "/healthz", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"base":                               {line: whole("isCanaryRequest", "false"), want: topology.Access{ID: "x", Path: "/healthz", At: at, Status: 502, Latency: 31 * time.Millisecond}},
		"no latency":                         {line: whole("responseLatency", "-"), want: topology.Access{ID: "x", Path: "/healthz", At: at, Canary: true, Status: 502}},
		"no path":                            {line: whole("path", "-"), want: topology.Access{ID: "x", Path: "-", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"no time":                            {line: whole("requestTimeEpoch", "-"), bad: true},
		"no status":                          {line: whole("status", "-"), bad: true},
		"status of 60":                       {line: whole("status", "60"), bad: true},
		"no word, in the stage's log":        {line: whole("isCanaryRequest", "-"), want: topology.Access{ID: "x", Path: "/healthz", At: at, Status: 502, Latency: 31 * time.Millisecond}},
		"no word, in the canary's log":       {line: whole("isCanaryRequest", "-"), canary: true, want: topology.Access{ID: "x", Path: "/healthz", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"base's word, in the canary's log":   {line: whole("isCanaryRequest", "false"), canary: true, want: topology.Access{ID: "x", Path: "/healthz", At: at, Status: 502, Latency: 31 * time.Millisecond}},
		"a word that is none":                {line: whole("isCanaryRequest", "maybe"), bad: true},
		"no id of API Gateway's":             {line: whole("extendedRequestId", "-"), want: topology.Access{ID: whole("extendedRequestId", "-"), Path: "/healthz", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"of before the extended id was kept": {line: older, want: topology.Access{ID: older, Path: "/healthz", At: at, Canary: true, Status: 502, Latency: 31 * time.Millisecond}},
		"not JSON":                           {line: "plain", bad: true},
	} {
		got, err := topology.ParseAccess(tt.line, tt.canary)
		if (err != nil) != tt.bad || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
