package lambda_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/lambda"
)

func TestAVersionIsPublishedOnlyWhenSomethingChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	code := bundle(t, "bootstrap", []byte("one"), 0o755)
	if out := f.create(t, code, nil); *out.Version != "1" {
		t.Fatalf("version %s", *out.Version)
	}
	publish := func(want string) {
		t.Helper()
		out, err := f.PublishVersion(t.Context(), &sdk.PublishVersionInput{FunctionName: aws.String("fn"), Description: aws.String("another text")})
		if err != nil {
			t.Fatal(err)
		}
		if *out.Version != want {
			t.Errorf("version %s, want %s", *out.Version, want)
		}
	}
	publish("1")
	if _, err := f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Timeout: aws.Int32(9)}); err != nil {
		t.Fatal(err)
	}
	publish("2")
	out, err := f.UpdateFunctionCode(t.Context(), &sdk.UpdateFunctionCodeInput{FunctionName: aws.String("fn"), ZipFile: bundle(t, "bootstrap", []byte("two"), 0o755), Publish: true})
	if err != nil || *out.Version != "3" {
		t.Fatalf("version %v: %v", out, err)
	}
	publish("3")
	for version, timeout := range map[string]int32{"1": 3, "2": 9, "3": 9, "$LATEST": 9} {
		got, err := f.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("fn"), Qualifier: aws.String(version)})
		if err != nil {
			t.Fatal(err)
		}
		if *got.Timeout != timeout || *got.Version != version {
			t.Errorf("version %s: timeout %d, says version %s", version, *got.Timeout, *got.Version)
		}
	}
	listed, err := f.ListVersionsByFunction(t.Context(), &sdk.ListVersionsByFunctionInput{FunctionName: aws.String("fn"), MaxItems: aws.Int32(3)})
	if err != nil || len(listed.Versions) != 3 || aws.ToString(listed.NextMarker) == "" {
		t.Fatalf("%d versions, marker %v: %v", len(listed.Versions), listed.NextMarker, err)
	}
	rest, err := f.ListVersionsByFunction(t.Context(), &sdk.ListVersionsByFunctionInput{FunctionName: aws.String("fn"), Marker: listed.NextMarker})
	if err != nil || len(rest.Versions) != 1 || *rest.Versions[0].Version != "3" {
		t.Errorf("the second page %v: %v", rest, err)
	}
}

func TestAStaleWriterIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	code := bundle(t, "bootstrap", []byte("one"), 0o755)
	f.create(t, code, nil)
	before, err := f.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("fn")})
	if err != nil {
		t.Fatal(err)
	}
	configure := func() error {
		_, err := f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Timeout: aws.Int32(9), RevisionId: before.RevisionId})
		return err
	}
	if err := configure(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, configure(), "PreconditionFailedException")
	_, err = f.UpdateFunctionCode(t.Context(), &sdk.UpdateFunctionCodeInput{FunctionName: aws.String("fn"), ZipFile: code, RevisionId: before.RevisionId})
	wantCode(t, err, "PreconditionFailedException")
	_, err = f.PublishVersion(t.Context(), &sdk.PublishVersionInput{FunctionName: aws.String("fn"), RevisionId: before.RevisionId})
	wantCode(t, err, "PreconditionFailedException")
	_, err = f.PublishVersion(t.Context(), &sdk.PublishVersionInput{FunctionName: aws.String("fn"), CodeSha256: aws.String("another")})
	wantCode(t, err, "InvalidParameterValueException")
}

func TestAliasesLockAndWeigh(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	if _, err := f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), MemorySize: aws.Int32(256)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.PublishVersion(t.Context(), &sdk.PublishVersionInput{FunctionName: aws.String("fn")}); err != nil {
		t.Fatal(err)
	}
	created, err := f.CreateAlias(t.Context(), &sdk.CreateAliasInput{FunctionName: aws.String("fn"), Name: aws.String("live"), FunctionVersion: aws.String("1")})
	if err != nil {
		t.Fatal(err)
	}
	update := func(in sdk.UpdateAliasInput) error {
		in.FunctionName, in.Name = aws.String("fn"), aws.String("live")
		_, err := f.UpdateAlias(t.Context(), &in)
		return err
	}
	half := &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.5}}
	wantCode(t, update(sdk.UpdateAliasInput{RevisionId: aws.String("stale"), FunctionVersion: aws.String("2")}), "PreconditionFailedException")
	wantCode(t, update(sdk.UpdateAliasInput{FunctionVersion: aws.String("7")}), "ResourceNotFoundException")
	wantCode(t, update(sdk.UpdateAliasInput{FunctionVersion: aws.String("2"), RoutingConfig: half}), "InvalidParameterValueException")
	if err := update(sdk.UpdateAliasInput{RevisionId: created.RevisionId, RoutingConfig: half}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, update(sdk.UpdateAliasInput{RevisionId: created.RevisionId}), "PreconditionFailedException")
	seen := map[string]int{}
	for range 40 {
		seen[*f.invoke(t, "fn:live", `{}`).ExecutedVersion]++
	}
	// Each version misses 40 draws at one half with probability 2^-40.
	if seen["1"] == 0 || seen["2"] == 0 || seen["1"]+seen["2"] != 40 {
		t.Errorf("versions %v", seen)
	}
	_, err = f.DeleteFunction(t.Context(), &sdk.DeleteFunctionInput{FunctionName: aws.String("fn"), Qualifier: aws.String("2")})
	wantCode(t, err, "ResourceConflictException")
	none := &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{}}
	if err := update(sdk.UpdateAliasInput{RoutingConfig: none}); err != nil {
		t.Fatal(err)
	}
	got, err := f.GetAlias(t.Context(), &sdk.GetAliasInput{FunctionName: aws.String("fn"), Name: aws.String("live")})
	if err != nil || got.RoutingConfig != nil || *got.FunctionVersion != "1" {
		t.Errorf("alias %+v: %v", got, err)
	}
	listed, err := f.ListAliases(t.Context(), &sdk.ListAliasesInput{FunctionName: aws.String("fn"), FunctionVersion: aws.String("2")})
	if err != nil || len(listed.Aliases) != 0 {
		t.Errorf("aliases of version 2: %v: %v", listed.Aliases, err)
	}
	if _, err := f.DeleteAlias(t.Context(), &sdk.DeleteAliasInput{FunctionName: aws.String("fn"), Name: aws.String("live")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.GetAlias(t.Context(), &sdk.GetAliasInput{FunctionName: aws.String("fn"), Name: aws.String("live")})
	wantCode(t, err, "ResourceNotFoundException")
}

func TestPolicyIsWrittenAsAWSWritesIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.create(t, misbehaving(t), nil)
	add := func(qualifier *string, id string) error {
		_, err := f.AddPermission(t.Context(), &sdk.AddPermissionInput{
			FunctionName: aws.String("fn"), Qualifier: qualifier, StatementId: aws.String(id), Action: aws.String("lambda:InvokeFunction"),
			Principal: aws.String("apigateway.amazonaws.com"), SourceArn: aws.String("arn:aws:execute-api:eu-west-1:000000000000:a/*/*"),
		})
		return err
	}
	wantCode(t, add(aws.String("absent"), "s"), "ResourceNotFoundException")
	if err := add(aws.String("1"), "s"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, add(aws.String("1"), "s"), "ResourceConflictException")
	_, err := f.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "ResourceNotFoundException")
	out, err := f.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: aws.String("fn"), Qualifier: aws.String("1")})
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(*out.Policy), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s","Effect":"Allow",
		"Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction",
		"Resource":"arn:aws:lambda:eu-west-1:000000000000:function:fn:1",
		"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:execute-api:eu-west-1:000000000000:a/*/*"}}}]}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	remove := func() error {
		_, err := f.RemovePermission(t.Context(), &sdk.RemovePermissionInput{FunctionName: aws.String("fn"), Qualifier: aws.String("1"), StatementId: aws.String("s")})
		return err
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove(), "ResourceNotFoundException")
}

func TestAFunctionIsPendingFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *lambda.Options) { o.PendingFor = 5 * time.Second })
	if out := f.create(t, misbehaving(t), nil); out.State != types.StatePending {
		t.Errorf("state %s", out.State)
	}
	_, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "ResourceConflictException")
	f.clock.Advance(5 * time.Second)
	f.invoke(t, "fn", `{}`)
	updated, err := f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Timeout: aws.Int32(4)})
	if err != nil || updated.State != types.StateActive || updated.LastUpdateStatus != types.LastUpdateStatusInProgress {
		t.Fatalf("%+v: %v", updated, err)
	}
	_, err = f.UpdateFunctionConfiguration(t.Context(), &sdk.UpdateFunctionConfigurationInput{FunctionName: aws.String("fn"), Timeout: aws.Int32(5)})
	wantCode(t, err, "ResourceConflictException")
	f.invoke(t, "fn", `{}`)
	f.clock.Advance(5 * time.Second)
	got, err := f.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("fn")})
	if err != nil || got.Configuration.LastUpdateStatus != types.LastUpdateStatusSuccessful {
		t.Errorf("%+v: %v", got, err)
	}
}

func TestCreateRefusesWhatAWSRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := bundle(t, "bootstrap", []byte("x"), 0o755)
	for name, tt := range map[string]struct {
		change func(*sdk.CreateFunctionInput)
		code   string
	}{
		"name":         {func(in *sdk.CreateFunctionInput) { in.FunctionName = aws.String("a b") }, "ValidationException"},
		"role":         {func(in *sdk.CreateFunctionInput) { in.Role = aws.String("admin") }, "ValidationException"},
		"memory":       {func(in *sdk.CreateFunctionInput) { in.MemorySize = aws.Int32(64) }, "ValidationException"},
		"timeout":      {func(in *sdk.CreateFunctionInput) { in.Timeout = aws.Int32(901) }, "ValidationException"},
		"runtime":      {func(in *sdk.CreateFunctionInput) { in.Runtime = types.RuntimeNodejs20x }, "InvalidParameterValueException"},
		"not a zip":    {func(in *sdk.CreateFunctionInput) { in.Code.ZipFile = []byte("x") }, "InvalidParameterValueException"},
		"no code":      {func(in *sdk.CreateFunctionInput) { in.Code.ZipFile = nil }, "InvalidParameterValueException"},
		"code from S3": {func(in *sdk.CreateFunctionInput) { in.Code.S3Bucket = aws.String("b") }, "InvalidParameterValueException"},
		"reserved variable": {func(in *sdk.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"AWS_REGION": "x"}}
		}, "InvalidParameterValueException"},
		"VPC": {func(in *sdk.CreateFunctionInput) { in.VpcConfig = &types.VpcConfig{SubnetIds: []string{"subnet-1"}} }, "InvalidParameterValueException"},
	} {
		in := &sdk.CreateFunctionInput{
			FunctionName: aws.String("fn"), Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
			Code: &types.FunctionCode{ZipFile: good},
		}
		tt.change(in)
		_, err := f.CreateFunction(t.Context(), in)
		t.Log(name)
		wantCode(t, err, tt.code)
	}
	// What the Terraform provider sends for settings it leaves alone.
	f.create(t, good, func(in *sdk.CreateFunctionInput) {
		in.VpcConfig = &types.VpcConfig{SubnetIds: []string{}, SecurityGroupIds: []string{}}
		in.DeadLetterConfig, in.Layers = &types.DeadLetterConfig{TargetArn: aws.String("")}, []string{}
	})
	_, err := f.CreateFunction(t.Context(), &sdk.CreateFunctionInput{
		FunctionName: aws.String("fn"), Role: aws.String(role), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: good},
	})
	wantCode(t, err, "ResourceConflictException")
}

func TestWhatTheProviderReads(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	created := f.create(t, misbehaving(t), func(in *sdk.CreateFunctionInput) { in.Tags = map[string]string{"Owner": "team"} })
	if _, err := f.TagResource(t.Context(), &sdk.TagResourceInput{Resource: created.FunctionArn, Tags: map[string]string{"Purpose": "api"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UntagResource(t.Context(), &sdk.UntagResourceInput{Resource: created.FunctionArn, TagKeys: []string{"Owner"}}); err != nil {
		t.Fatal(err)
	}
	got, err := f.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: created.FunctionArn})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"Purpose": "api"}, got.Tags); diff != "" {
		t.Error(diff)
	}
	signing, err := f.GetFunctionCodeSigningConfig(t.Context(), &sdk.GetFunctionCodeSigningConfigInput{FunctionName: aws.String("fn")})
	if err != nil || signing.CodeSigningConfigArn != nil {
		t.Errorf("code signing %+v: %v", signing, err)
	}
	if _, err := f.PutFunctionConcurrency(t.Context(), &sdk.PutFunctionConcurrencyInput{FunctionName: aws.String("fn"), ReservedConcurrentExecutions: aws.Int32(200)}); err != nil {
		t.Fatal(err)
	}
	account, err := f.GetAccountSettings(t.Context(), &sdk.GetAccountSettingsInput{})
	if err != nil || account.AccountLimit.ConcurrentExecutions != 1000 || *account.AccountLimit.UnreservedConcurrentExecutions != 800 || account.AccountUsage.FunctionCount != 1 {
		t.Errorf("account %+v: %v", account, err)
	}
	if _, err := f.DeleteFunction(t.Context(), &sdk.DeleteFunctionInput{FunctionName: aws.String("fn")}); err != nil {
		t.Fatal(err)
	}
	_, err = f.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("fn")})
	wantCode(t, err, "ResourceNotFoundException")
}
