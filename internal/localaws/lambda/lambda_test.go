package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const role = "arn:aws:iam::000000000000:role/function"

// ports records what the service says to metrics and logs.
type ports struct {
	mu      sync.Mutex
	metrics []string
	lines   []string
	groups  map[string]bool
}

func (p *ports) Record(_ time.Time, region, namespace, name string, dimensions map[string]string, value float64, unit string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == "Duration" {
		value = 0 // real milliseconds
	}
	encoded, _ := json.Marshal(dimensions)
	p.metrics = append(p.metrics, fmt.Sprintf("%s %s %s %s %v %s", region, namespace, name, encoded, value, unit))
}

func (p *ports) Append(_ time.Time, _, group, _ string, message string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.groups[group] {
		return errors.New("no such group")
	}
	p.lines = append(p.lines, message)
	return nil
}

func (p *ports) has(metric string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.metrics, metric)
}

func (p *ports) logged(part string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.lines, func(line string) bool { return strings.Contains(line, part) })
}

type fixture struct {
	*sdk.Client
	service *lambda.Service
	ports   *ports
	faults  *fault.Set
	clock   *clock.Manual
	stop    func()
}

func newFixture(t *testing.T, change func(*lambda.Options)) fixture {
	t.Helper()
	f := fixture{
		ports: &ports{groups: map[string]bool{"/aws/lambda/fn": true}}, faults: fault.NewSet(1),
		clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	opts := lambda.Options{
		Clock: f.clock, Metrics: f.ports, Logs: f.ports, Faults: f.faults, Endpoint: "http://127.0.0.1:9",
		Credentials: func(roleARN string) (string, string, string, error) { return "KEY", "SECRET", "TOKEN-" + roleARN, nil },
	}
	if change != nil {
		change(&opts)
	}
	f.service = lambda.New(opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.service.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.stop)
	handler := f.service.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, region, key, err := wire.Scope(r)
		if err != nil {
			t.Error(err)
		}
		handler.ServeHTTP(w, r.WithContext(wire.NewContext(r.Context(), wire.Call{
			Service: service, Region: region, AccessKeyID: key, RequestID: "request-1", Now: f.clock.Now(),
		})))
	}))
	t.Cleanup(server.Close)
	f.Client = sdk.New(sdk.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	return f
}

func zipped(name string, content []byte, mode os.FileMode) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: name, Method: zip.Deflate}
	header.SetMode(mode)
	w, err := archive.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	err = archive.Close()
	return out.Bytes(), err
}

func bundle(t testing.TB, name string, content []byte, mode os.FileMode) []byte {
	t.Helper()
	code, err := zipped(name, content, mode)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// compile builds a bootstrap once for all tests, and zips it once.
func compile(pkg string) func(t testing.TB) []byte {
	build := sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "lambda-test-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "bootstrap")
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-tags", "lambda.norpc", "-o", out, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, output)
		}
		program, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		return zipped("bootstrap", program, 0o755)
	})
	return func(t testing.TB) []byte {
		t.Helper()
		code, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
}

var (
	misbehaving = compile("./testdata/bootstrap")
	application = compile("github.com/tapctl/tapctl/function/api")
)

func (f fixture) create(t *testing.T, code []byte, change func(*sdk.CreateFunctionInput)) *sdk.CreateFunctionOutput {
	t.Helper()
	in := &sdk.CreateFunctionInput{
		FunctionName: aws.String("fn"), Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: code}, Publish: true,
	}
	if change != nil {
		change(in)
	}
	out, err := f.CreateFunction(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f fixture) invoke(t *testing.T, name, payload string) *sdk.InvokeOutput {
	t.Helper()
	out, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String(name), Payload: []byte(payload), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != code {
		t.Errorf("error %v, want %s", err, code)
		return
	}
	if api.ErrorMessage() == "" {
		t.Errorf("%s has no message", code)
	}
}

func TestTheApplicationAnswersThroughAnAlias(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, application(t), func(in *sdk.CreateFunctionInput) {
		in.Environment = &types.Environment{Variables: map[string]string{"TAPCTL_VERSION": "v1", "TAPCTL_SIDE": "blue", "TABLE_NAME": "items"}}
	})
	if _, err := f.CreateAlias(t.Context(), &sdk.CreateAliasInput{FunctionName: aws.String("fn"), Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	out := f.invoke(t, "fn:live", `{"httpMethod":"GET","path":"/healthz","requestContext":{"requestId":"r1"}}`)
	if out.FunctionError != nil || *out.ExecutedVersion != "1" {
		t.Fatalf("error %v, version %s: %s", aws.ToString(out.FunctionError), *out.ExecutedVersion, out.Payload)
	}
	var answer struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}
	if err := json.Unmarshal(out.Payload, &answer); err != nil {
		t.Fatal(err)
	}
	if want := `{"region":"eu-west-1","side":"blue","status":"ok","version":"v1"}`; answer.StatusCode != 200 || answer.Body != want || answer.Headers["X-Tapctl-Alias"] != "live" {
		t.Errorf("answer %+v", answer)
	}
	for _, dimensions := range []string{
		`{"FunctionName":"fn"}`, `{"FunctionName":"fn","Resource":"fn:live"}`, `{"ExecutedVersion":"1","FunctionName":"fn","Resource":"fn:live"}`,
	} {
		for _, metric := range []string{"Invocations %s 1 Count", "Errors %s 0 Count", "Duration %s 0 Milliseconds", "ConcurrentExecutions %s 1 Count"} {
			if line := "eu-west-1 AWS/Lambda " + fmt.Sprintf(metric, dimensions); !f.ports.has(line) {
				t.Errorf("no metric %s", line)
			}
		}
	}
	if !f.ports.logged("START RequestId: request-1 Version: 1") || !f.ports.logged("REPORT RequestId: request-1") {
		t.Errorf("the log lacks the runtime's lines: %q", f.ports.lines)
	}
}

func TestABootstrapSeesLambdasEnvironmentOnly(t *testing.T) {
	f := newFixture(t, nil)
	t.Setenv("SECRET_OF_THE_PARENT", "1")
	f.create(t, misbehaving(t), func(in *sdk.CreateFunctionInput) {
		in.Timeout, in.Environment = aws.Int32(7), &types.Environment{Variables: map[string]string{"OWN": "value"}}
	})
	var seen struct {
		PID            int
		Env            []string
		ARN, RequestID string
		LeftMS         int
	}
	if err := json.Unmarshal(f.invoke(t, "fn", `{}`).Payload, &seen); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_NAME=fn", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/fn", "AWS_ENDPOINT_URL=http://127.0.0.1:9",
		"AWS_ACCESS_KEY_ID=KEY", "AWS_SECRET_ACCESS_KEY=SECRET", "AWS_SESSION_TOKEN=TOKEN-" + role, "OWN=value",
	} {
		if !slices.Contains(seen.Env, want) {
			t.Errorf("the environment lacks %s: %q", want, seen.Env)
		}
	}
	if slices.ContainsFunc(seen.Env, func(s string) bool { return strings.HasPrefix(s, "SECRET_OF") || strings.HasPrefix(s, "HOME=") }) {
		t.Errorf("the parent's environment leaked: %q", seen.Env)
	}
	if seen.ARN != "arn:aws:lambda:eu-west-1:000000000000:function:fn" || seen.RequestID != "request-1" || seen.LeftMS < 5000 || seen.LeftMS > 7000 {
		t.Errorf("context %s %s, %d ms left", seen.ARN, seen.RequestID, seen.LeftMS)
	}
	first := seen.PID
	if err := json.Unmarshal(f.invoke(t, "fn", `{}`).Payload, &seen); err != nil || seen.PID != first {
		t.Errorf("the second invocation ran in process %d, the first in %d: %v", seen.PID, first, err)
	}
}

func TestFailuresAreFunctionErrorsAndTheProcessIsReplaced(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ event, kind, text string }{
		"exit":    {`{"Do":"exit"}`, "Runtime.ExitError", "RequestId: request-1 Error: Runtime exited with error: exit status 3"},
		"error":   {`{"Do":"error"}`, "errorString", "refused by the function"},
		"timeout": {`{"Do":"hang"}`, "Sandbox.Timedout", "RequestId: request-1 Error: Task timed out after 1.00 seconds"},
		"large":   {`{"Do":"large"}`, "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291456 bytes)."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.create(t, misbehaving(t), func(in *sdk.CreateFunctionInput) { in.Timeout = aws.Int32(1) })
			out := f.invoke(t, "fn", tt.event)
			var got struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal(out.Payload, &got); err != nil {
				t.Fatal(err)
			}
			if aws.ToString(out.FunctionError) != "Unhandled" || got.ErrorType != tt.kind || got.ErrorMessage != tt.text {
				t.Errorf("%s %+v", aws.ToString(out.FunctionError), got)
			}
			if !f.ports.has(`eu-west-1 AWS/Lambda Errors {"FunctionName":"fn"} 1 Count`) {
				t.Errorf("the error was not counted: %q", f.ports.metrics)
			}
			if again := f.invoke(t, "fn", `{"Do":"wait"}`); again.FunctionError != nil {
				t.Errorf("the next invocation failed too: %s", again.Payload)
			}
		})
	}
}

func TestCodeThatCannotStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code       []byte
		env        map[string]string
		kind, text string
	}{
		"other architecture": {bundle(t, "bootstrap", []byte("\x7fELF not for this machine"), 0o755), nil, "Runtime.InvalidEntrypoint", "exec format error"},
		"not executable":     {bundle(t, "bootstrap", []byte("#!/bin/sh\n"), 0o644), nil, "Runtime.InvalidEntrypoint", "permission denied"},
		"no bootstrap":       {bundle(t, "main", []byte("x"), 0o755), nil, "Runtime.InvalidEntrypoint", "valid bootstrap"},
		"outside the folder": {bundle(t, "../bootstrap", []byte("x"), 0o755), nil, "Runtime.InvalidEntrypoint", "out of the folder"},
		"exit in init":       {misbehaving(t), map[string]string{"FAIL_INIT": "1"}, "Runtime.ExitError", "exit status 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.create(t, tt.code, func(in *sdk.CreateFunctionInput) { in.Environment = &types.Environment{Variables: tt.env} })
			out := f.invoke(t, "fn", `{}`)
			var got struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal(out.Payload, &got); err != nil {
				t.Fatal(err)
			}
			if aws.ToString(out.FunctionError) != "Unhandled" || got.ErrorType != tt.kind || !strings.Contains(got.ErrorMessage, tt.text) {
				t.Errorf("%s %+v", aws.ToString(out.FunctionError), got)
			}
			if f.service.Processes() != 0 {
				t.Errorf("%d processes are left", f.service.Processes())
			}
		})
	}
}

func TestOutputGoesToTheLogGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	f.invoke(t, "fn", `{"Do":"print"}`)
	f.stop() // the pipe is drained before the process counts as gone
	if !f.ports.logged("printed by the function") {
		t.Errorf("the log lacks the output: %q", f.ports.lines)
	}
	if f.service.Processes() != 0 {
		t.Errorf("%d processes outlived Run", f.service.Processes())
	}
	_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "ServiceException")
}

func TestInvocationsRunSideBySideUpToTheBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *lambda.Options) { o.MaxConcurrency = 2 })
	f.create(t, misbehaving(t), func(in *sdk.CreateFunctionInput) { in.Timeout = aws.Int32(30) })
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if out := f.invoke(t, "fn", `{"Do":"wait"}`); out.FunctionError != nil {
				t.Errorf("%s", out.Payload)
			}
		})
	}
	wg.Wait()
	if n := f.service.Processes(); n != 2 {
		t.Errorf("%d processes, want 2", n)
	}
}

func TestIdleProcessesEnd(t *testing.T) {
	t.Parallel()
	machine := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	f := newFixture(t, func(o *lambda.Options) { o.Machine, o.IdleFor = machine, time.Minute })
	f.create(t, misbehaving(t), nil)
	f.invoke(t, "fn", `{}`)
	if n := f.service.Processes(); n != 1 {
		t.Fatalf("%d processes", n)
	}
	deadline := time.After(10 * time.Second)
	for f.service.Processes() > 0 {
		machine.Advance(time.Minute)
		select {
		case <-deadline:
			t.Fatal("the idle process is still there")
		case <-time.After(time.Millisecond):
		}
	}
	if out := f.invoke(t, "fn", `{}`); out.FunctionError != nil {
		t.Errorf("after the reaping: %s", out.Payload)
	}
}

func TestReservedConcurrencyThrottles(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	if _, err := f.PutFunctionConcurrency(t.Context(), &sdk.PutFunctionConcurrencyInput{FunctionName: aws.String("fn"), ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "TooManyRequestsException")
	if throttled, ok := errors.AsType[*types.TooManyRequestsException](err); !ok || throttled.Reason != types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded {
		t.Errorf("error %v", err)
	}
	if !f.ports.has(`eu-west-1 AWS/Lambda Throttles {"FunctionName":"fn"} 1 Count`) || f.ports.has(`eu-west-1 AWS/Lambda Invocations {"FunctionName":"fn"} 1 Count`) {
		t.Errorf("metrics %q", f.ports.metrics)
	}
	if _, err := f.DeleteFunctionConcurrency(t.Context(), &sdk.DeleteFunctionConcurrencyInput{FunctionName: aws.String("fn")}); err != nil {
		t.Fatal(err)
	}
	f.invoke(t, "fn", `{}`)
}

func TestFaultsStrikeOneAliasOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	for _, name := range []string{"live", "next"} {
		if _, err := f.CreateAlias(t.Context(), &sdk.CreateAliasInput{FunctionName: aws.String("fn"), Name: aws.String(name), FunctionVersion: aws.String("1")}); err != nil {
			t.Fatal(err)
		}
	}
	add := func(kind fault.Kind) {
		f.faults.Clear("")
		if err := f.faults.Add(fault.Fault{Region: "eu-west-1", Kind: kind, Target: "function/fn:next", Rate: 1, Latency: 300 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	add(fault.Error)
	out := f.invoke(t, "fn:next", `{}`)
	if want := `{"errorType":"Runtime.ExitError","errorMessage":"injected fault"}`; aws.ToString(out.FunctionError) != "Unhandled" || string(out.Payload) != want {
		t.Errorf("%s %s", aws.ToString(out.FunctionError), out.Payload)
	}
	if !f.ports.has(`eu-west-1 AWS/Lambda Errors {"FunctionName":"fn","Resource":"fn:next"} 1 Count`) {
		t.Errorf("metrics %q", f.ports.metrics)
	}
	if live := f.invoke(t, "fn:live", `{}`); live.FunctionError != nil {
		t.Errorf("live was struck: %s", live.Payload)
	}
	add(fault.Throttle)
	_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn:next")})
	wantCode(t, err, "TooManyRequestsException")
	add(fault.Latency)
	begin := time.Now()
	f.invoke(t, "fn:next", `{}`)
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("the late answer took %v", took)
	}
}

func TestInvokeAsAsksThePolicyOfTheQualifier(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	for _, name := range []string{"live", "next"} {
		if _, err := f.CreateAlias(t.Context(), &sdk.CreateAliasInput{FunctionName: aws.String("fn"), Name: aws.String(name), FunctionVersion: aws.String("1")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.AddPermission(t.Context(), &sdk.AddPermissionInput{
		FunctionName: aws.String("fn"), Qualifier: aws.String("live"), StatementId: aws.String("api"), Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("apigateway.amazonaws.com"), SourceArn: aws.String("arn:aws:execute-api:eu-west-1:000000000000:api123/prod/*/*"),
	}); err != nil {
		t.Fatal(err)
	}
	const fn, source = "arn:aws:lambda:eu-west-1:000000000000:function:fn", "arn:aws:execute-api:eu-west-1:000000000000:api123/prod/GET/items/1"
	for name, tt := range map[string]struct {
		principal, source, arn string
		allowed                bool
	}{
		"allowed":         {"apigateway.amazonaws.com", source, fn + ":live", true},
		"other qualifier": {"apigateway.amazonaws.com", source, fn + ":next", false},
		"unqualified":     {"apigateway.amazonaws.com", source, fn, false},
		"other principal": {"events.amazonaws.com", source, fn + ":live", false},
		"other stage":     {"apigateway.amazonaws.com", strings.Replace(source, "prod", "test", 1), fn + ":live", false},
		"other region":    {"apigateway.amazonaws.com", strings.Replace(source, "eu-west-1", "eu-west-2", 1), fn + ":live", false},
	} {
		response, functionError, err := f.service.InvokeAs(t.Context(), tt.principal, tt.source, tt.arn, []byte(`{}`))
		if tt.allowed {
			if err != nil || functionError != "" || !strings.Contains(string(response), `"ARN":"`+tt.arn+`"`) {
				t.Errorf("%s: %v %s %s", name, err, functionError, response)
			}
			continue
		}
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != "AccessDeniedException" {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWhatIsNotImplementedIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn"), InvocationType: types.InvocationTypeEvent})
	wantCode(t, err, "InvalidParameterValueException")
	_, err = f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Layers: []string{"arn:aws:lambda:eu-west-1:000000000000:layer:x:1"}})
	wantCode(t, err, "InvalidParameterValueException")
	_, err = f.ListEventSourceMappings(t.Context(), &sdk.ListEventSourceMappingsInput{})
	wantCode(t, err, "UnknownOperationException")
	out, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn"), InvocationType: types.InvocationTypeDryRun})
	if err != nil || out.StatusCode != http.StatusNoContent || f.service.Processes() != 0 {
		t.Errorf("dry run: %v, status %d, %d processes", err, out.StatusCode, f.service.Processes())
	}
	_, err = f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn"), Payload: bytes.Repeat([]byte("1"), 6<<20+1)})
	wantCode(t, err, "RequestTooLargeException")
}
