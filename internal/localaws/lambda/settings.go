package lambda

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// fail is an error in Lambda's shape, whose model spells the member "Message".
func fail(status int, code, format string, args ...any) *wire.Error {
	e := wire.Errorf(status, code, format, args...)
	e.Fields = map[string]any{"Message": e.Message}
	return e
}

func invalid(format string, args ...any) *wire.Error {
	return fail(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

// settings are a function's configuration, fixed per version.
type settings struct {
	Description, Handler, Runtime, Role, KMSKeyARN string
	MemorySize, Timeout, EphemeralMB               int
	Environment                                    map[string]string
	Architecture, Tracing, SnapStart               string
	Logging                                        loggingConfig
}

type loggingConfig struct {
	LogFormat           string `json:",omitempty"`
	ApplicationLogLevel string `json:",omitempty"`
	SystemLogLevel      string `json:",omitempty"`
	LogGroup            string `json:",omitempty"`
}

func defaults() settings {
	return settings{
		MemorySize: 128, Timeout: 3, EphemeralMB: 512, Architecture: "x86_64", Tracing: "PassThrough", SnapStart: "None",
		Logging: loggingConfig{LogFormat: "Text"},
	}
}

func (s settings) logGroup(function string) string {
	if s.Logging.LogGroup != "" {
		return s.Logging.LogGroup
	}
	return "/aws/lambda/" + function
}

// sameBehaviour says whether two versions would behave alike. The description
// is not part of it: PublishVersion may set another one.
func (s settings) sameBehaviour(other settings) bool {
	s.Description, other.Description = "", ""
	if len(s.Environment) == 0 && len(other.Environment) == 0 {
		s.Environment, other.Environment = nil, nil
	}
	return reflect.DeepEqual(s, other)
}

// settingsInput is what CreateFunction and UpdateFunctionConfiguration share.
// An absent member leaves the setting as it is.
type settingsInput struct {
	Description      *string
	Environment      *struct{ Variables map[string]string }
	EphemeralStorage *struct{ Size int }
	Handler          *string
	KMSKeyArn        *string
	LoggingConfig    *loggingConfig
	MemorySize       *int
	Role             *string
	Runtime          *string
	SnapStart        *struct{ ApplyOn string }
	Timeout          *int
	TracingConfig    *struct{ Mode string }

	CapacityProviderConfig, DeadLetterConfig, DurableConfig, FileSystemConfigs json.RawMessage
	ImageConfig, Layers, TenancyConfig, VpcConfig                              json.RawMessage
}

var (
	rolePattern = regexp.MustCompile(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	keyPattern  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)
	runtimes    = []string{"provided.al2023", "provided.al2"}
	logFormats  = []string{"Text", "JSON"}
	tracings    = []string{"PassThrough", "Active"}

	// reserved are the variables Lambda sets itself and refuses from a user.
	reserved = []string{
		"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
		"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
	}
)

// apply returns the settings with the input's members put over them.
func (in settingsInput) apply(s settings) (settings, error) {
	if err := in.unsupported(); err != nil {
		return s, err
	}
	set(&s.Description, in.Description)
	set(&s.Handler, in.Handler)
	set(&s.KMSKeyARN, in.KMSKeyArn)
	set(&s.MemorySize, in.MemorySize)
	set(&s.Role, in.Role)
	set(&s.Runtime, in.Runtime)
	set(&s.Timeout, in.Timeout)
	if in.Environment != nil {
		s.Environment = maps.Clone(in.Environment.Variables)
	}
	if in.EphemeralStorage != nil {
		s.EphemeralMB = in.EphemeralStorage.Size
	}
	if in.LoggingConfig != nil {
		s.Logging = *in.LoggingConfig
		if s.Logging.LogFormat == "" {
			s.Logging.LogFormat = "Text"
		}
	}
	if in.SnapStart != nil && in.SnapStart.ApplyOn != "" {
		s.SnapStart = in.SnapStart.ApplyOn
	}
	if in.TracingConfig != nil && in.TracingConfig.Mode != "" {
		s.Tracing = in.TracingConfig.Mode
	}
	return s, s.validate()
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s settings) validate() error {
	switch {
	case !rolePattern.MatchString(s.Role):
		return constraint("role", s.Role, "Member must satisfy regular expression pattern: "+rolePattern.String())
	case s.MemorySize < 128 || s.MemorySize > 10240:
		return constraint("memorySize", s.MemorySize, "Member must have value between 128 and 10240")
	case s.Timeout < 1 || s.Timeout > 900:
		return constraint("timeout", s.Timeout, "Member must have value between 1 and 900")
	case s.EphemeralMB < 512 || s.EphemeralMB > 10240:
		return constraint("ephemeralStorage.size", s.EphemeralMB, "Member must have value between 512 and 10240")
	case len(s.Description) > 256:
		return constraint("description", s.Description, "Member must have length less than or equal to 256")
	case s.Handler == "":
		return invalid("Handler is mandatory for functions created with deployment packages.")
	case s.Runtime == "":
		return invalid("Runtime is mandatory for functions created with deployment packages.")
	case !slices.Contains(runtimes, s.Runtime):
		return invalid("The embedded AWS runs %v only, not %s", runtimes, s.Runtime)
	case !slices.Contains(logFormats, s.Logging.LogFormat):
		return constraint("loggingConfig.logFormat", s.Logging.LogFormat, "Member must satisfy enum value set: [JSON, Text]")
	case !slices.Contains(tracings, s.Tracing):
		return constraint("tracingConfig.mode", s.Tracing, "Member must satisfy enum value set: [Active, PassThrough]")
	case s.SnapStart != "None":
		return invalid("%s is not supported for SnapStart enabled functions.", s.Runtime)
	case s.Architecture != "x86_64" && s.Architecture != "arm64":
		return constraint("architectures", s.Architecture, "Member must satisfy enum value set: [x86_64, arm64]")
	}
	return s.validateEnvironment()
}

func (s settings) validateEnvironment() error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		size += len(name) + len(s.Environment[name])
		if !keyPattern.MatchString(name) {
			return constraint("environment.variables", name, "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "+keyPattern.String()+"]")
		}
		if slices.Contains(reserved, name) {
			return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", name)
		}
	}
	if size > 4096 {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit.")
	}
	return nil
}

func constraint(member string, value any, rule string) error {
	return fail(http.StatusBadRequest, "ValidationException",
		"1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: %s", value, member, rule)
}

// unsupported refuses members that would change what runs. Empty ones pass:
// the Terraform provider sends them on every update.
func (in settingsInput) unsupported() error {
	for name, raw := range map[string]json.RawMessage{
		"CapacityProviderConfig": in.CapacityProviderConfig, "DeadLetterConfig": in.DeadLetterConfig,
		"DurableConfig": in.DurableConfig, "FileSystemConfigs": in.FileSystemConfigs, "ImageConfig": in.ImageConfig,
		"Layers": in.Layers, "TenancyConfig": in.TenancyConfig, "VpcConfig": in.VpcConfig,
	} {
		var value any
		if len(bytes.TrimSpace(raw)) > 0 && json.Unmarshal(raw, &value) == nil && !empty(value) {
			return invalid("the embedded AWS does not implement %s", name)
		}
	}
	return nil
}

func empty(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			if !empty(member) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	case nil:
		return true
	default:
		return v == "" || v == false
	}
}
