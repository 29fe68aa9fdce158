package lambda_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/tapctl/tapctl/internal/localaws/lambda"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// guard is IAM that writes down what it is asked and denies one action.
type guard struct {
	mu     sync.Mutex
	asks   []string
	denied string
}

func (g *guard) ask(by string, ask wire.Ask) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	resource, _, _ := strings.Cut(ask.Resource, "[$")
	g.asks = append(g.asks, by+" "+ask.Action+" "+resource)
	if ask.Action == g.denied {
		return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "User: %s is not authorized to perform: %s", by, ask.Action)
	}
	return nil
}

func (g *guard) set(o *lambda.Options) {
	o.Authorize = func(_ context.Context, ask wire.Ask) error { return g.ask(ask.AccessKeyID, ask) }
	o.RoleAuthorize = func(_ context.Context, roleARN string, ask wire.Ask) error { return g.ask(roleARN, ask) }
}

func (g *guard) deny(action string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.denied = action
}

func (g *guard) count(prefix string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, ask := range g.asks {
		if strings.HasPrefix(ask, prefix) {
			n++
		}
	}
	return n
}

func (g *guard) wasAsked(prefix string) bool { return g.count(prefix) > 0 }

func TestInvokingIsAskedForOnTheAlias(t *testing.T) {
	t.Parallel()
	g := &guard{}
	f := newFixture(t, g.set)
	f.create(t, misbehaving(t), nil)
	if _, err := f.CreateAlias(t.Context(), &sdk.CreateAliasInput{FunctionName: aws.String("fn"), Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	dry := func() error {
		_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn"), Qualifier: aws.String("live"), InvocationType: types.InvocationTypeDryRun})
		return err
	}
	if err := dry(); err != nil || !g.wasAsked("test lambda:InvokeFunction arn:aws:lambda:eu-west-1:000000000000:function:fn:live") {
		t.Errorf("%v, asked %q", err, g.asks)
	}
	g.deny("lambda:InvokeFunction")
	wantCode(t, dry(), "AccessDeniedException")
}

// A function that may not log runs all the same, and its lines are lost.
func TestLinesAreWrittenByTheFunctionsRole(t *testing.T) {
	t.Parallel()
	const stream = "arn:aws:logs:eu-west-1:000000000000:log-group:/aws/lambda/fn:log-stream:2026/01/02/"
	for _, denied := range []string{"", "logs:CreateLogStream", "logs:PutLogEvents"} {
		g := &guard{denied: denied}
		f := newFixture(t, g.set)
		f.create(t, misbehaving(t), nil)
		out := f.invoke(t, "fn", `{}`)
		if aws.ToString(out.LogResult) == "" {
			t.Errorf("without %q: the caller gets no log", denied)
		}
		if logged := f.ports.logged("START RequestId: request-1"); logged != (denied == "") {
			t.Errorf("without %q: logged %v: %q", denied, logged, f.ports.lines)
		}
		if streams := g.count(role + " logs:CreateLogStream"); denied == "" && streams != 1 {
			t.Errorf("one stream was asked for %d times", streams)
		}
		if !g.wasAsked(role+" logs:CreateLogStream "+stream) || g.wasAsked(role+" logs:PutLogEvents "+stream) != (denied != "logs:CreateLogStream") {
			t.Errorf("without %q: asked %q", denied, g.asks)
		}
	}
}

func TestARoleThatLambdaCannotAssume(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	refused := ""
	refuse := func(arn string) {
		mu.Lock()
		defer mu.Unlock()
		refused = arn
	}
	f := newFixture(t, func(o *lambda.Options) {
		o.Credentials = func(roleARN string) (string, string, string, error) {
			mu.Lock()
			defer mu.Unlock()
			if roleARN == refused {
				return "", "", "", wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "The role defined for the function cannot be assumed by Lambda.")
			}
			return "KEY", "SECRET", "TOKEN", nil
		}
	})
	f.create(t, misbehaving(t), nil)
	refuse(role)
	_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "AccessDeniedException")
	_, err = f.CreateFunction(t.Context(), &sdk.CreateFunctionInput{
		FunctionName: aws.String("other"), Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023, Code: &types.FunctionCode{ZipFile: misbehaving(t)},
	})
	wantCode(t, err, "InvalidParameterValueException")
	refuse(role + "2")
	_, err = f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Role: aws.String(role + "2")})
	wantCode(t, err, "InvalidParameterValueException")
	// What does not touch the role is none of its business.
	if _, err := f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Timeout: aws.Int32(4)}); err != nil {
		t.Error(err)
	}
}

func TestAPrincipalThatIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	_, err := f.AddPermission(t.Context(), &sdk.AddPermissionInput{FunctionName: aws.String("fn"), StatementId: aws.String("s"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("arn:aws:iam::000000000000:role/*")})
	wantCode(t, err, "InvalidParameterValueException")
	_, err = f.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "ResourceNotFoundException")
}
