package apigateway

import (
	"context"
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
	stream := x.apiID + "-" + x.stage.StageName
	err := s.mayLog(r.Context(), x.region, group, stream)
	if err == nil {
		// Dated when the request came, and read when CloudWatch has it, by the
		// clock of the embedded AWS; how long the request took is real time.
		err = s.options.Logs.Deliver(x.now, s.options.Clock.Now().Add(s.options.AccessLogDelay), x.region, group, stream, line)
	}
	if err != nil {
		// Non-fatal: AWS serves the request and drops the line.
		s.options.Log.Warn("append access log", "service", "apigateway", "region", x.region, "group", group, "error", err)
	}
}

// mayPush says whether a role can become the account's. What AWS tries it with
// is not documented: here it is a line in any group of the region.
func (s *Service) mayPush(r *request, role string) bool {
	if !strings.HasPrefix(role, "arn:aws:iam::") {
		return false
	}
	ask := wire.Ask{Action: "logs:PutLogEvents", Resource: "arn:aws:logs:" + r.region.name + ":" + wire.Account + ":*"}
	return s.options.RoleAuthorize == nil || s.options.RoleAuthorize(r.Context(), role, ask) == nil
}

// mayLog asks for what a line needs, by the role of the account's settings.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
func (s *Service) mayLog(ctx context.Context, region, group, stream string) error {
	if s.options.RoleAuthorize == nil {
		return nil
	}
	s.mu.Lock()
	role := s.region(region).cloudwatchRole
	s.mu.Unlock()
	if role == "" {
		return badRequest("CloudWatch Logs role ARN must be set in account settings to enable logging")
	}
	resource := "arn:aws:logs:" + region + ":" + wire.Account + ":log-group:" + group + ":log-stream:" + stream
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents"} {
		if err := s.options.RoleAuthorize(ctx, role, wire.Ask{Action: action, Resource: resource}); err != nil {
			return err
		}
	}
	return nil
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
		// "Present only when you have a canary enabled."
		// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
		if x.stage.CanarySettings != nil {
			value = strconv.FormatBool(x.canary)
		}
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
