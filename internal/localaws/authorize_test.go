package localaws_test

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	gatewaytypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// A deploy's session comes from a token without any credentials, and may then
// do what its role may: in every service that asks.
func TestAWebIdentityMayDoWhatItsRoleMay(t *testing.T) {
	t.Parallel()
	_, in := start(t)
	ctx, root := t.Context(), in("eu-west-1")
	identity := iam.NewFromConfig(root)
	provider, err := identity.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://example.com"), ClientIDList: []string{"sts.amazonaws.com"}})
	if err != nil {
		t.Fatal(err)
	}
	role, err := identity.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("deploy"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + *provider.OpenIDConnectProviderArn + `"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	anonymous := root.Copy()
	anonymous.Credentials = aws.AnonymousCredentials{}
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://example.com","aud":"sts.amazonaws.com","sub":"me"}`))
	session, err := sts.NewFromConfig(anonymous).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("run"), WebIdentityToken: aws.String("e30." + payload + ".x")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sts.NewFromConfig(anonymous).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if code(err) != "MissingAuthenticationToken" {
		t.Errorf("another request without a signature: %v", err)
	}
	as := root.Copy()
	as.Credentials = credentials.NewStaticCredentialsProvider(*session.Credentials.AccessKeyId, *session.Credentials.SecretAccessKey, *session.Credentials.SessionToken)
	calls := map[string]func() error{
		"dynamodb:ListTables": func() error {
			_, err := dynamodb.NewFromConfig(as).ListTables(ctx, &dynamodb.ListTablesInput{})
			return err
		},
		"kms:ListKeys": func() error {
			_, err := kms.NewFromConfig(as).ListKeys(ctx, &kms.ListKeysInput{})
			return err
		},
		"logs:DescribeLogGroups": func() error {
			_, err := cloudwatchlogs.NewFromConfig(as).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
			return err
		},
		"secretsmanager:ListSecrets": func() error {
			_, err := secretsmanager.NewFromConfig(as).ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
			return err
		},
		"s3:ListAllMyBuckets": func() error {
			_, err := s3.NewFromConfig(as).ListBuckets(ctx, &s3.ListBucketsInput{})
			return err
		},
		"iam:ListRoles": func() error {
			_, err := iam.NewFromConfig(as).ListRoles(ctx, &iam.ListRolesInput{})
			return err
		},
		// Allowed, it finds that there is no such function.
		"lambda:InvokeFunction": func() error {
			_, err := lambda.NewFromConfig(as).Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("absent")})
			if code(err) == "ResourceNotFoundException" {
				return nil
			}
			return err
		},
	}
	for action, call := range calls {
		api, refused := errors.AsType[smithy.APIError](call())
		if !refused || api.ErrorCode() != "AccessDeniedException" && api.ErrorCode() != "AccessDenied" {
			t.Errorf("%s without a policy: %v", action, api)
		}
		if _, err := identity.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("deploy"), PolicyName: aws.String("own"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`)}); err != nil {
			t.Fatal(err)
		}
		if err := call(); err != nil {
			t.Errorf("%s with a policy: %v", action, err)
		}
	}
}

// The services take roles and keys only as these let them.
func TestServicesNeedTrust(t *testing.T) {
	t.Parallel()
	_, in := start(t)
	ctx, root := t.Context(), in("eu-west-1")
	identity := iam.NewFromConfig(root)
	for name, service := range map[string]string{"logging": "apigateway.amazonaws.com", "function": "lambda.amazonaws.com"} {
		if _, err := identity.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String(name), PolicyArn: aws.String("arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")}); err != nil {
			t.Fatal(err)
		}
	}
	account := func(role string) error {
		_, err := apigateway.NewFromConfig(root).UpdateAccount(ctx, &apigateway.UpdateAccountInput{PatchOperations: []gatewaytypes.PatchOperation{{
			Op: gatewaytypes.OpReplace, Path: aws.String("/cloudwatchRoleArn"), Value: aws.String("arn:aws:iam::000000000000:role/" + role),
		}}})
		return err
	}
	if err := account("function"); code(err) != "BadRequestException" {
		t.Errorf("a role that does not trust API Gateway: %v", err)
	}
	if err := account("logging"); err != nil {
		t.Error(err)
	}
	// A new key's policy knows the account alone, not CloudWatch Logs.
	key, err := kms.NewFromConfig(root).CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	group := func(name string) error {
		_, err := cloudwatchlogs.NewFromConfig(root).CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(name), KmsKeyId: key.KeyMetadata.Arn})
		return err
	}
	if err := group("sealed"); code(err) != "AccessDeniedException" {
		t.Errorf("a key that does not let CloudWatch Logs in: %v", err)
	}
	if _, err := kms.NewFromConfig(root).PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: key.KeyMetadata.Arn, Policy: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logs.eu-west-1.amazonaws.com"},"Action":"kms:*","Resource":"*","Condition":{"ArnLike":{"kms:EncryptionContext:aws:logs:arn":"arn:aws:logs:eu-west-1:000000000000:log-group:sealed*"}}}]}`)}); err != nil {
		t.Fatal(err)
	}
	if err := group("sealed"); err != nil {
		t.Error(err)
	}
	if err := group("other"); code(err) != "AccessDeniedException" {
		t.Errorf("a group that the key's policy does not name: %v", err)
	}
}
