package localaws_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// applicationZip is the real api function as it is shipped.
func applicationZip(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", out, "github.com/tapctl/tapctl/function/api")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the function: %v\n%s", err, text)
	}
	code, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err == nil {
		_, err = file.Write(code)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// The function reads its secret with the rights of its role: the secret alone
// is not enough, its key is asked for too.
func TestTheFunctionReadsItsSecretAsItsRole(t *testing.T) {
	t.Parallel()
	const planted = "hunter2-planted-value"
	_, in := start(t)
	ctx, cfg := t.Context(), in("eu-west-1")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := kms.NewFromConfig(cfg).CreateKey(ctx, &kms.CreateKeyInput{})
	must(nil, err)
	secrets := secretsmanager.NewFromConfig(cfg)
	made, err := secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("app"), KmsKeyId: key.KeyMetadata.Arn})
	must(nil, err)
	put, err := secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String(planted)})
	must(nil, err)

	read := fmt.Sprintf(`{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":%q}`, *made.ARN)
	decrypt := fmt.Sprintf(`{"Effect":"Allow","Action":"kms:Decrypt","Resource":%q,"Condition":{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com"}}}`, *key.KeyMetadata.Arn)
	logs := `{"Effect":"Allow","Action":["logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}`
	code, identity, functions := applicationZip(t), iam.NewFromConfig(cfg), lambda.NewFromConfig(cfg)
	for want, statements := range map[string][]string{*put.VersionId: {logs, read, decrypt}, "unreadable": {logs, read}} {
		name := "fn-" + want[:8]
		role, err := identity.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
		must(nil, err)
		must(identity.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("p"),
			PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)}))
		group := "/aws/lambda/" + name
		must(cloudwatchlogs.NewFromConfig(cfg).CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}))
		must(functions.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &name, Role: role.Role.Arn, Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
			Code: &types.FunctionCode{ZipFile: code}, Timeout: aws.Int32(30), Environment: &types.Environment{Variables: map[string]string{"SECRET_ARN": *made.ARN, "TABLE_NAME": "items"}}}))
		event, err := json.Marshal(events.APIGatewayProxyRequest{HTTPMethod: "GET", Path: "/healthz"})
		must(nil, err)
		if err := lambda.NewFunctionActiveV2Waiter(functions).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, 1<<36); err != nil {
			t.Fatal(err)
		}
		// The first answer may be given before the read ends; the read goes on.
		var shown string
		for range 20 {
			out, err := functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: event})
			must(nil, err)
			var answer events.APIGatewayProxyResponse
			if err := json.Unmarshal(out.Payload, &answer); err != nil || answer.StatusCode != 200 {
				t.Fatalf("answered %s, %v", out.Payload, err)
			}
			var body struct{ Secret string }
			must(nil, json.Unmarshal([]byte(answer.Body), &body))
			if shown = body.Secret; shown == want && want != "unreadable" {
				break
			}
			if strings.Contains(string(out.Payload), planted) {
				t.Errorf("the value is in %s", out.Payload)
			}
		}
		if shown != want {
			t.Errorf("the health check shows %q, want %q", shown, want)
		}
		lines, err := cloudwatchlogs.NewFromConfig(cfg).FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
		must(nil, err)
		var log string
		for _, e := range lines.Events {
			log += aws.ToString(e.Message) + "\n"
		}
		if strings.Contains(log, planted) || strings.Contains(log, "Access to KMS is not allowed") != (want == "unreadable") {
			t.Errorf("%s: logged %s", want, log)
		}
	}
}
