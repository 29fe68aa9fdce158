package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"

	"github.com/tapctl/tapctl/internal/clock"
)

// configured are the provider's own properties that are understood. The skips
// ask for nothing here: no such check is made.
var configured = []string{"region", "accessKey", "secretKey", "token", "endpoints", "s3UsePathStyle", "skipCredentialsValidation", "skipMetadataApiCheck",
	"skipRegionValidation", "skipRequestingAccountId", "version", "pluginDownloadURL"}

// session is one configured provider: a region and the way to AWS there.
type session struct {
	config    aws.Config
	endpoints map[string]string // by the provider's names for the services
	pathStyle bool              // S3's buckets are in the path, not in the host
	clock     clock.Clock
	once      *accountOnce
	inputs    resource.PropertyMap // of the resource being worked on
}

func newSession(ctx context.Context, inputs resource.PropertyMap, opts Options) (*session, error) {
	text := func(key string) string {
		v := bare(inputs[resource.PropertyKey(key)])
		if v.IsString() {
			return v.StringValue()
		}
		return ""
	}
	var load []func(*config.LoadOptions) error
	if region := text("region"); region != "" {
		load = append(load, config.WithRegion(region))
	}
	if key := text("accessKey"); key != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(key, text("secretKey"), text("token"))))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("configure the aws provider: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("configure the aws provider: no region")
	}
	s := &session{config: cfg, endpoints: map[string]string{}, clock: opts.Clock, once: &accountOnce{}}
	// The engine passes a provider's own flags as text.
	flag := bare(inputs["s3UsePathStyle"])
	s.pathStyle = text("s3UsePathStyle") == "true" || flag.IsBool() && flag.BoolValue()
	return s, s.readEndpoints(inputs["endpoints"])
}

// readEndpoints takes the list itself, or as the JSON text the engine makes
// of a provider's nested properties.
func (s *session) readEndpoints(v resource.PropertyValue) error {
	v = bare(v)
	if v.IsNull() {
		return nil
	}
	var text []byte
	if v.IsString() {
		text = []byte(v.StringValue())
	} else {
		list, ok := plain(v)
		if !ok {
			return errors.New("configure the aws provider: its endpoints are not known yet")
		}
		var err error
		if text, err = json.Marshal(list); err != nil {
			return fmt.Errorf("configure the aws provider: endpoints: %w", err)
		}
	}
	var list []map[string]string
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("configure the aws provider: endpoints: %w", err)
	}
	for _, one := range list {
		for name, url := range one {
			s.endpoints[strings.ToLower(name)] = url
		}
	}
	return nil
}

// account is the caller's account number, for the ARNs AWS does not answer.
func (s *session) account(ctx context.Context) (string, error) {
	s.once.mu.Lock()
	defer s.once.mu.Unlock()
	if s.once.number == "" {
		client := sts.NewFromConfig(s.config, func(o *sts.Options) { s.base("sts", &o.BaseEndpoint) })
		out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return "", fmt.Errorf("find out the account: %w", err)
		}
		s.once.number = aws.ToString(out.Account)
	}
	return s.once.number, nil
}

// accountOnce remembers the account across the copies of a session.
type accountOnce struct {
	mu     sync.Mutex
	number string
}

func (s *session) with(inputs resource.PropertyMap) *session {
	copied := *s
	copied.inputs = inputs
	return &copied
}

func (s *session) region() string { return s.config.Region }

// base sets the endpoint of one service, where the program names one.
func (s *session) base(name string, at **string) {
	if url := s.endpoints[name]; url != "" {
		*at = aws.String(url)
	}
}

func (s *session) acm() *acm.Client {
	return acm.NewFromConfig(s.config, func(o *acm.Options) { s.base("acm", &o.BaseEndpoint) })
}

func (s *session) apigateway() *apigateway.Client {
	return apigateway.NewFromConfig(s.config, func(o *apigateway.Options) { s.base("apigateway", &o.BaseEndpoint) })
}

func (s *session) cloudwatch() *cloudwatch.Client {
	return cloudwatch.NewFromConfig(s.config, func(o *cloudwatch.Options) { s.base("cloudwatch", &o.BaseEndpoint) })
}

func (s *session) logs() *cloudwatchlogs.Client {
	return cloudwatchlogs.NewFromConfig(s.config, func(o *cloudwatchlogs.Options) {
		s.base("logs", &o.BaseEndpoint)
		s.base("cloudwatchlogs", &o.BaseEndpoint)
	})
}

// dynamodb is the client for a region: replicas have settings of their own.
func (s *session) dynamodb(region string) *dynamodb.Client {
	return dynamodb.NewFromConfig(s.config, func(o *dynamodb.Options) {
		o.Region = region
		s.base("dynamodb", &o.BaseEndpoint)
	})
}

func (s *session) iam() *iam.Client {
	return iam.NewFromConfig(s.config, func(o *iam.Options) { s.base("iam", &o.BaseEndpoint) })
}

func (s *session) kms() *kms.Client {
	return kms.NewFromConfig(s.config, func(o *kms.Options) { s.base("kms", &o.BaseEndpoint) })
}

func (s *session) lambda() *lambda.Client {
	return lambda.NewFromConfig(s.config, func(o *lambda.Options) { s.base("lambda", &o.BaseEndpoint) })
}

func (s *session) route53() *route53.Client {
	return route53.NewFromConfig(s.config, func(o *route53.Options) { s.base("route53", &o.BaseEndpoint) })
}

func (s *session) s3() *s3.Client {
	return s3.NewFromConfig(s.config, func(o *s3.Options) {
		s.base("s3", &o.BaseEndpoint)
		o.UsePathStyle = s.pathStyle
	})
}

func (s *session) secretsmanager() *secretsmanager.Client {
	return secretsmanager.NewFromConfig(s.config, func(o *secretsmanager.Options) { s.base("secretsmanager", &o.BaseEndpoint) })
}

// poll is how often a wait looks, in the clock's time.
const poll = 2 * time.Second

// until waits until done says so, at most for the limit of the clock's time.
func (s *session) until(ctx context.Context, what string, limit time.Duration, done func() (bool, error)) error {
	deadline := s.clock.Now().Add(limit)
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		if !s.clock.Now().Before(deadline) {
			return fmt.Errorf("%s: not so after %v", what, limit)
		}
		if err := s.clock.Sleep(ctx, poll); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// retry repeats a call while it fails with one of these codes: AWS services
// see each other's changes late.
func (s *session) retry(ctx context.Context, what string, call func() error, codes ...string) error {
	return s.until(ctx, what, 2*time.Minute, func() (bool, error) {
		err := call()
		if slices.Contains(codes, codeOf(err)) {
			return false, nil
		}
		return true, err
	})
}

// archive is the bytes of the zip in an archive property.
func (s *session) archive(key string) ([]byte, error) {
	v := bare(s.inputs[resource.PropertyKey(key)])
	if !v.IsArchive() {
		return nil, fmt.Errorf("%s is not an archive", key)
	}
	a := v.ArchiveValue()
	// A zip goes as it is: making it anew would lose the file modes, and a
	// bootstrap that is not executable does not start.
	if path, ok := a.GetPath(); ok && strings.HasSuffix(path, ".zip") {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		return content, nil
	}
	content, err := a.Bytes(archive.ZIPArchive)
	if err != nil {
		return nil, fmt.Errorf("zip %s: %w", key, err)
	}
	return content, nil
}

func codeOf(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// gone says that AWS has no such thing (any more).
func gone(err error) bool {
	return slices.Contains([]string{"ResourceNotFoundException", "ResourceNotFound", "NotFoundException", "NoSuchEntity", "NoSuchEntityException",
		"NoSuchHealthCheck", "NoSuchHostedZone", "TableNotFoundException",
		"NotFound", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchLifecycleConfiguration", "NoSuchPublicAccessBlockConfiguration", "NoSuchWebsiteConfiguration",
		"OwnershipControlsNotFoundError", "ReplicationConfigurationNotFoundError", "ServerSideEncryptionConfigurationNotFoundError"}, codeOf(err))
}

// samePolicy returns wanted if live says the same, else live: AWS gives policies
// back in a form of its own.
func samePolicy(live, wanted string) string {
	var a, b any
	if json.Unmarshal([]byte(live), &a) == nil && json.Unmarshal([]byte(wanted), &b) == nil && reflect.DeepEqual(canonical(a), canonical(b)) {
		return wanted
	}
	return live
}

// canonical writes what a policy may say in two ways in one: a list of one is
// its member, and everybody of AWS is everybody.
func canonical(v any) any {
	switch v := v.(type) {
	case []any:
		if len(v) == 1 {
			return canonical(v[0])
		}
		all := make([]any, len(v))
		for i, member := range v {
			all[i] = canonical(member)
		}
		return all
	case map[string]any:
		if everybody, only := v["AWS"]; only && len(v) == 1 && canonical(everybody) == "*" {
			return "*"
		}
		all := make(map[string]any, len(v))
		for key, member := range v {
			all[key] = canonical(member)
		}
		return all
	default:
		return v
	}
}

// sameSet returns wanted if live has the same members, else live: AWS gives
// sets back in an order of its own.
func sameSet(live, wanted []string) []string {
	if slices.Equal(slices.Sorted(slices.Values(live)), slices.Sorted(slices.Values(wanted))) {
		return wanted
	}
	return live
}
