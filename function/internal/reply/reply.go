// Package reply builds the answers of the application's functions: JSON
// bodies, the error shape, and the headers that say which version, region and
// side gave the answer. It decides nothing about the application.
package reply

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// Identity is who answers: one deployed version of a function.
type Identity struct {
	Version string // the application's version, TAPCTL_VERSION
	Region  string
	Side    string // "blue" or "green"
}

// Headers are the headers every answer carries. Unknown values are left out.
func (i Identity) Headers(functionARN, requestID string) map[string]string {
	headers := map[string]string{"Content-Type": "application/json"}
	for name, value := range map[string]string{
		"X-Tapctl-Version": i.Version,
		"X-Tapctl-Region":  i.Region,
		"X-Tapctl-Side":    i.Side,
		"X-Tapctl-Alias":   Qualifier(functionARN),
		"X-Request-Id":     requestID,
	} {
		if value != "" {
			headers[name] = value
		}
	}
	return headers
}

// Qualifier is the alias or version at the end of a function's ARN, or "".
func Qualifier(functionARN string) string {
	// arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
	parts := strings.Split(functionARN, ":")
	if len(parts) != 8 {
		return ""
	}
	return parts[7]
}

// Failure is an answer that is not a success. Its message is written for the
// caller: the cause belongs in the log.
type Failure struct {
	Status  int
	Code    string
	Message string
	Headers map[string]string // added to the answer: Allow, Retry-After
}

// Error implements error.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// JSON is an answer with a JSON body.
func JSON(status int, headers map[string]string, body any) events.APIGatewayProxyResponse {
	encoded, err := json.Marshal(body)
	if err != nil {
		// Bodies are built from values that were decoded from JSON.
		return events.APIGatewayProxyResponse{StatusCode: http.StatusInternalServerError, Headers: headers}
	}
	return events.APIGatewayProxyResponse{StatusCode: status, Headers: headers, Body: string(encoded)}
}

// Error is the answer for a failure.
func Error(f *Failure, headers map[string]string, requestID string) events.APIGatewayProxyResponse {
	type inner struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	headers = maps.Clone(headers)
	maps.Copy(headers, f.Headers)
	return JSON(f.Status, headers, map[string]inner{"error": {f.Code, f.Message, requestID}})
}
