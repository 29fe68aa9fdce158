package apigateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

var contextVariable = regexp.MustCompile(`\$context(?:\.[A-Za-z][A-Za-z0-9_]*)+`)

// logAccess writes one line in the stage's format. A canary request goes to
// the group of the same name with /Canary appended.
func (s *Service) logAccess(x *exchange, r *http.Request, a answer, took time.Duration) {
	settings := x.stage.AccessLogSettings
	if s.options.Logs == nil || settings == nil || settings.DestinationARN == "" || settings.Format == "" {
		return
	}
	group, ok := logGroup(settings.DestinationARN)
	if !ok {
		return
	}
	if x.canary {
		group += "/Canary"
	}
	line := contextVariable.ReplaceAllStringFunc(settings.Format, func(variable string) string {
		return x.contextValue(strings.TrimPrefix(variable, "$context."), r, a, took)
	})
	if err := s.options.Logs.Append(x.now, x.region, group, x.apiID+"-"+x.stage.StageName, line); err != nil {
		// Non-fatal: AWS serves the request and drops the line.
		s.options.Log.Warn("append access log", "service", "apigateway", "region", x.region, "group", group, "error", err)
	}
}

// contextValue is the value of one $context variable, "-" for one that is
// unknown or empty.
func (x *exchange) contextValue(name string, r *http.Request, a answer, took time.Duration) string {
	value := ""
	switch name {
	case "requestId":
		value = x.requestID
	case "extendedRequestId":
		value = x.extendedID
	case "httpMethod":
		value = r.Method
	case "path":
		value = r.URL.Path
	case "protocol":
		value = r.Proto
	case "status":
		value = strconv.Itoa(a.status)
	case "responseLatency":
		value = strconv.FormatInt(took.Milliseconds(), 10)
	case "responseLength":
		value = strconv.Itoa(len(a.body))
	case "isCanaryRequest":
		value = strconv.FormatBool(x.canary)
	case "identity.sourceIp":
		value = x.source.String()
	case "identity.userAgent":
		value = r.UserAgent()
	case "stage":
		value = x.stage.StageName
	case "deploymentId":
		value = x.deploymentID()
	case "apiId":
		value = x.apiID
	case "accountId":
		value = wire.Account
	case "domainName":
		value = x.domainName
	case "domainPrefix":
		value, _, _ = strings.Cut(x.domainName, ".")
	case "requestTime":
		value = requestTime(x.now)
	case "requestTimeEpoch":
		value = strconv.FormatInt(x.now.UnixMilli(), 10)
	case "error.message":
		value = a.message
	case "error.messageString":
		if a.message != "" {
			value = fmt.Sprintf("%q", a.message)
		}
	case "error.responseType":
		value = a.errorType
	default:
		value = x.routeValue(name)
	}
	if value == "" {
		return "-"
	}
	return value
}

// routeValue is a variable that only a request with a route or an
// integration has.
func (x *exchange) routeValue(name string) string {
	switch {
	case name == "resourcePath" && x.route != nil:
		return x.route.path
	case name == "resourceId" && x.route != nil:
		return x.route.resourceID
	case (name == "integrationLatency" || name == "integration.latency") && x.integrationReached:
		return strconv.FormatInt(x.integrationTook.Milliseconds(), 10)
	case (name == "integrationStatus" || name == "integration.status" || name == "integration.integrationStatus") && x.integrationReached:
		return strconv.Itoa(x.integrationStatus)
	default:
		return ""
	}
}

func (x *exchange) deploymentID() string {
	if x.canary {
		return x.stage.CanarySettings.DeploymentID
	}
	return x.stage.DeploymentID
}
