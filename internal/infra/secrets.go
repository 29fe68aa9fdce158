package infra

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// secret is the application's secret with a replica and a key in each region.
// It is made without a value: one in the program would be in Pulumi's state.
// 'tapctl secret put' sets it.
//
// A secret that waits for its deletion keeps its name, and the next deploy is
// refused it for as long. So there is a way back for one that is deleted by
// mistake, and none for one that goes with base.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html
func (b *base) secret() error {
	source, target, recovery := b.Config.SourceRegion, b.Config.TargetRegion, 30 // days
	if b.Unprotected {
		recovery = 0
	}
	made, err := secretsmanager.NewSecret(b.ctx, "secret", &secretsmanager.SecretArgs{
		Name:                 pulumi.String(b.Config.Name("secret")),
		Description:          pulumi.String("read by " + b.Config.Name("api") + "; its value is set by tapctl secret put"),
		KmsKeyId:             b.keys[source].Arn,
		RecoveryWindowInDays: pulumi.Int(recovery),
		Replicas: secretsmanager.SecretReplicaArray{secretsmanager.SecretReplicaArgs{
			Region: pulumi.String(target), KmsKeyId: b.keys[target].Arn,
		}},
		Tags: b.tags("application secret"),
	}, b.in(source)...)
	if err != nil {
		return err
	}
	// A replica's ARN is its primary's but for the region.
	// https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html
	replica := made.Arn.ApplyT(func(arn string) (string, error) {
		parts := strings.Split(arn, ":")
		if len(parts) < 7 {
			return "", fmt.Errorf("secret has the ARN %q", arn)
		}
		parts[3] = target
		return strings.Join(parts, ":"), nil
	}).(pulumi.StringOutput)
	b.ctx.Export("secret_arn", pulumi.StringMap{source: made.Arn, target: replica})
	return nil
}

// secretStatements let a function read one secret, decrypted by its region's
// key through Secrets Manager alone.
func secretStatements(region, secretARN, keyARN string) []statement {
	return []statement{
		{Sid: "Secret", Effect: "Allow", Action: []string{"secretsmanager:GetSecretValue"}, Resource: []string{secretARN}},
		{Sid: "SecretKey", Effect: "Allow", Action: []string{"kms:Decrypt"}, Resource: []string{keyARN},
			Condition: map[string]any{"StringEquals": map[string]any{"kms:ViaService": "secretsmanager." + region + ".amazonaws.com"}}},
	}
}
