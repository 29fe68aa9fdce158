package lambda

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// result is what a caller gets of an invocation.
type result struct {
	outcome
	version string
	logTail []byte
}

// target is the version one invocation runs, and how it was named.
type target struct {
	reference
	release  *release
	isAlias  bool
	reserved *int
}

func (t target) faultTarget() string {
	if t.Qualifier == "" {
		return "function/" + t.Name
	}
	return "function/" + t.Name + ":" + t.Qualifier
}

// InvokeAs invokes a function as an AWS service does: the resource policy of
// exactly the ARN's qualifier must let it in.
func (s *Service) InvokeAs(ctx context.Context, principal, sourceARN, functionARN string, payload []byte) (response []byte, functionError string, err error) {
	r, err := parseARN(functionARN)
	if err != nil {
		return nil, "", err
	}
	allowed := false
	if err := s.store.with(r, func(f *function) error {
		allowed = f.allows(r.Qualifier, policy.Request{
			Principal: principal, Action: "lambda:InvokeFunction", Resource: r.arn(),
			Keys: map[string][]string{"aws:sourcearn": {sourceARN}, "aws:sourceaccount": {wire.Account}},
		})
		return nil
	}); err != nil {
		return nil, "", err
	}
	if !allowed {
		return nil, "", fail(http.StatusForbidden, "AccessDeniedException", "User: %s is not authorized to perform: lambda:InvokeFunction on resource: %s because no resource-based policy allows the lambda:InvokeFunction action", principal, r.arn())
	}
	out, err := s.invoke(ctx, r, newID(), "", payload)
	return out.payload, out.functionError, err
}

func parseARN(functionARN string) (reference, error) {
	var region string
	if n, _ := fmt.Sscanf(functionARN, "arn:aws:lambda:%s", &region); n == 1 {
		for i, c := range region {
			if c == ':' {
				return parseReference(region[:i], functionARN, "")
			}
		}
	}
	return reference{}, invalid("%q is not the ARN of a function", functionARN)
}

// resolve finds the version to run, drawing between those of a weighted alias.
func (s *Service) resolve(r reference, now time.Time) (target, error) {
	t := target{reference: r}
	drawn := s.draw()
	err := s.store.with(r, func(f *function) (err error) {
		if t.release, err = f.release(r, func() float64 { return drawn }); err != nil {
			return err
		}
		_, t.isAlias = f.Aliases[r.Qualifier]
		t.reserved = f.Reserved
		if creating, _ := t.release.pending(now); creating {
			return fail(http.StatusConflict, "ResourceConflictException", "The operation cannot be performed at this time. The function is currently in the following state: Pending")
		}
		return nil
	})
	return t, err
}

// invoke runs one synchronous invocation. It goes on to its end when the
// caller leaves, as it does on AWS; the function's timeout bounds it.
func (s *Service) invoke(ctx context.Context, r reference, requestID, clientContext string, payload []byte) (result, error) {
	if len(payload) > maxPayload {
		return result{}, fail(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "%d byte payload is too large for the RequestResponse invocation type (limit %d bytes)", len(payload), maxPayload)
	}
	now := s.options.Clock.Now()
	t, err := s.resolve(r, now)
	if err != nil {
		return result{}, err
	}
	ctx = context.WithoutCancel(ctx)
	if _, struck := s.options.Faults.Draw(r.Region, fault.Throttle, t.faultTarget()); struck {
		return result{}, s.throttled(now, t)
	}
	timeout := time.Duration(t.release.Settings.Timeout) * time.Second
	queue, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	concurrent, leave, err := s.exec.enter(queue, t.release, t.reserved)
	if err != nil {
		return result{}, s.throttled(now, t)
	}
	defer leave()
	inv := &invocation{
		id: requestID, functionARN: r.arn(), clientContext: clientContext, payload: payload, done: make(chan outcome, 1),
	}
	out, took, err := s.execute(ctx, t, inv, timeout)
	if err != nil {
		return result{}, err
	}
	out.version = t.release.Version
	// Dated by its beginning in real time before now: three real seconds are
	// minutes of a scaled clock, and would reach the metric when no alarm looks
	// back that far.
	s.measure(s.options.Clock.Now().Add(-took), t, out.functionError != "", took, concurrent)
	return out, nil
}

// execute runs the invocation, or the fault that struck it, and says how long
// that took: the init of a new process is not part of it.
func (s *Service) execute(ctx context.Context, t target, inv *invocation, timeout time.Duration) (result, time.Duration, error) {
	var delay time.Duration
	if f, struck := s.options.Faults.Draw(t.Region, fault.Latency, t.faultTarget()); struck {
		delay = min(f.Latency, timeout)
		if err := s.options.Machine.Sleep(ctx, delay); err != nil {
			return result{}, 0, err
		}
		if delay == timeout {
			return result{outcome: timedOut(inv.id, t.release.Settings.Timeout)}, delay, nil
		}
	}
	if _, struck := s.options.Faults.Draw(t.Region, fault.Error, t.faultTarget()); struck {
		return result{outcome: failure("Runtime.ExitError", "injected fault")}, delay, nil
	}
	for {
		out, took, err := s.attempt(ctx, t, inv, timeout-delay)
		if !errors.Is(err, errGone) {
			return out, delay + took, err
		}
	}
}

func (s *Service) attempt(ctx context.Context, t target, inv *invocation, timeout time.Duration) (result, time.Duration, error) {
	e, err := s.exec.acquire(ctx, t.release, inv.id)
	if failed, ok := errors.AsType[*initError](err); ok {
		return result{outcome: failed.outcome}, 0, nil
	}
	if err != nil {
		return result{}, 0, err
	}
	begin := s.options.Machine.Now()
	inv.deadline = begin.Add(timeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	e.takeTail()
	e.log(fmt.Sprintf("START RequestId: %s Version: %s", inv.id, t.release.Version))
	out, usable, err := e.invoke(ctx, inv)
	took := s.options.Machine.Now().Sub(begin)
	if err == nil {
		e.log("END RequestId: " + inv.id)
		e.log(report(inv.id, t.release.Settings.MemorySize, took, e.initTook))
		e.initTook = 0
	}
	done := result{outcome: out, logTail: e.takeTail()}
	if usable {
		s.exec.release(t.release, e)
	} else {
		s.exec.release(t.release, nil)
	}
	return done, took, err
}

// report is Lambda's REPORT line. The memory a process used is not measured,
// so the line does not say it.
func report(id string, memoryMB int, took, initTook time.Duration) string {
	ms := milliseconds(took)
	line := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\tMemory Size: %d MB\t", id, ms, math.Ceil(ms), memoryMB)
	if initTook > 0 {
		line += fmt.Sprintf("Init Duration: %.2f ms\t", milliseconds(initTook))
	}
	return line
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// dimensionSets are the sets AWS records each metric under.
func (t target) dimensionSets() []map[string]string {
	sets := []map[string]string{{"FunctionName": t.Name}}
	if t.Qualifier != "" {
		resource := t.Name + ":" + t.Qualifier
		sets = append(sets, map[string]string{"FunctionName": t.Name, "Resource": resource})
		if t.isAlias {
			sets = append(sets, map[string]string{"FunctionName": t.Name, "Resource": resource, "ExecutedVersion": t.release.Version})
		}
	}
	return sets
}

func (s *Service) record(now time.Time, t target, name string, value float64, unit string) {
	if s.options.Metrics == nil {
		return
	}
	for _, dimensions := range t.dimensionSets() {
		s.options.Metrics.Record(now, t.Region, "AWS/Lambda", name, dimensions, value, unit)
	}
}

// throttled records a refusal, which is neither an invocation nor an error.
func (s *Service) throttled(now time.Time, t target) error {
	s.record(now, t, "Throttles", 1, "Count")
	e := fail(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
	e.Fields["Reason"] = "ConcurrentInvocationLimitExceeded"
	if t.reserved != nil {
		e.Fields["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
	}
	return e
}

// measure records an invocation at the time it began. Zeros are recorded too,
// so that the average of Errors is the error rate.
func (s *Service) measure(now time.Time, t target, failed bool, took time.Duration, concurrent int) {
	errorCount := 0.0
	if failed {
		errorCount = 1
	}
	s.record(now, t, "Invocations", 1, "Count")
	s.record(now, t, "Errors", errorCount, "Count")
	s.record(now, t, "Throttles", 0, "Count")
	s.record(now, t, "Duration", milliseconds(took), "Milliseconds")
	s.record(now, t, "ConcurrentExecutions", float64(concurrent), "Count")
}

// environmentOf is a bootstrap's environment as Lambda sets it. Of this
// process's own it gets only what finding programs, temporary files and the
// machine's trust store needs.
// It fails if Lambda cannot assume the function's role.
func (s *Service) environmentOf(r *release, logStream string) ([]string, error) {
	set := r.Settings
	env := []string{
		"LANG=en_US.UTF-8", "TZ=:UTC", "_HANDLER=" + set.Handler,
		"AWS_REGION=" + r.Region, "AWS_DEFAULT_REGION=" + r.Region,
		"AWS_EXECUTION_ENV=AWS_Lambda_" + set.Runtime,
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_FUNCTION_NAME=" + r.Function,
		"AWS_LAMBDA_FUNCTION_VERSION=" + r.Version,
		fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", set.MemorySize),
		"AWS_LAMBDA_LOG_GROUP_NAME=" + set.logGroup(r.Function),
		"AWS_LAMBDA_LOG_STREAM_NAME=" + logStream,
	}
	for _, name := range []string{"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if s.options.Endpoint != "" {
		env = append(env, "AWS_ENDPOINT_URL="+s.options.Endpoint)
	}
	if s.options.Credentials != nil {
		key, secret, token, err := s.options.Credentials(set.Role)
		if err != nil {
			return nil, fail(http.StatusForbidden, "AccessDeniedException", "%s", wire.AsError(err).Message)
		}
		env = append(env, "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN="+token)
	}
	// Last, because the last of two values of one name counts: a function
	// may bring another endpoint.
	for name, value := range set.Environment {
		env = append(env, name+"="+value)
	}
	return env, nil
}
