package infra

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/acm"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/dynamodb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// BaseProgram provisions what both regions share and nobody may lose: keys,
// the global table, the control table, the assets, the secret, the API Gateway
// account role and the certificates (shared because both regions validate the public name by the
// one and same DNS record).
func BaseProgram(in Input) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		providers, err := in.providers(ctx)
		if err != nil {
			return err
		}
		b := base{Input: in, ctx: ctx, providers: providers, keys: map[string]*kms.Key{}}
		return steps(b.accountRole, b.customerKeys, b.tables, b.assets, b.secret, b.certificates)
	}
}

type base struct {
	Input
	ctx       *pulumi.Context
	providers map[string]pulumi.ProviderResource
	keys      map[string]*kms.Key
}

func (b *base) regions() []string {
	return []string{b.Config.SourceRegion, b.Config.TargetRegion}
}

// in keeps a resource in its region and out of harm: base is protected.
func (b *base) in(region string, more ...pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Provider(b.providers[region]), pulumi.Protect(!b.Unprotected)}, more...)
}

// accountRole lets API Gateway write logs. The setting is one for the account and
// region, so no cell may own it, and where somebody else has made it, another
// environment perhaps, it stays as it is.
func (b *base) accountRole() error {
	regions := slices.DeleteFunc(b.regions(), func(region string) bool { return b.Adopted.LoggingRole[region] != "" })
	if len(regions) == 0 {
		return nil
	}
	var role pulumi.StringInput
	var after []pulumi.Resource
	for _, region := range b.regions() { // a role is every region's
		if theirs := b.Adopted.LoggingRole[region]; theirs != "" {
			role = pulumi.String(theirs)
		}
	}
	if role == nil {
		made, attachment, err := b.loggingRole()
		if err != nil {
			return err
		}
		role, after = made.Arn, []pulumi.Resource{attachment}
	}
	for _, region := range regions {
		if _, err := apigateway.NewAccount(b.ctx, LoggingSetting(region), &apigateway.AccountArgs{
			CloudwatchRoleArn: role,
		}, b.in(region, pulumi.DependsOn(after))...); err != nil {
			return err
		}
	}
	return nil
}

// LoggingSetting is the resource of a region's setting.
func LoggingSetting(region string) string { return "api-account-" + region }

// loggingRole stays when base goes: the setting still names it, and whoever else
// has an API in the account logs with it.
func (b *base) loggingRole() (*iam.Role, *iam.RolePolicyAttachment, error) {
	trust, err := trustPolicy("apigateway.amazonaws.com")
	if err != nil {
		return nil, nil, err
	}
	stays := b.in(b.Config.TargetRegion, pulumi.RetainOnDelete(true))
	role, err := iam.NewRole(b.ctx, "api-logging", &iam.RoleArgs{
		Name:             pulumi.String(b.Config.Name("api-logging")),
		AssumeRolePolicy: pulumi.String(trust),
		Description:      pulumi.String("API Gateway pushes its logs to CloudWatch with this role"),
		Tags:             b.tags("API Gateway logging"),
	}, stays...)
	if err != nil {
		return nil, nil, err
	}
	attachment, err := iam.NewRolePolicyAttachment(b.ctx, "api-logging", &iam.RolePolicyAttachmentArgs{
		Role:      role.Name,
		PolicyArn: pulumi.String("arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"),
	}, stays...)
	return role, attachment, err
}

// keyPurpose is in the tags of the keys, by which a CI role knows them before
// they are.
const keyPurpose = "encryption of the table and the logs"

// customerKeys are one key a region: DynamoDB cannot use another region's.
func (b *base) customerKeys() error {
	outputs := pulumi.StringMap{}
	for _, region := range b.regions() {
		policy, err := keyPolicy(b.Account, region)
		if err != nil {
			return err
		}
		key, err := kms.NewKey(b.ctx, "key-"+region, &kms.KeyArgs{
			Description:          pulumi.String(b.Config.Name("data") + " in " + region),
			EnableKeyRotation:    pulumi.Bool(true),
			DeletionWindowInDays: pulumi.Int(30),
			Policy:               pulumi.String(policy),
			Tags:                 b.tags(keyPurpose),
		}, b.in(region)...)
		if err != nil {
			return err
		}
		if _, err := kms.NewAlias(b.ctx, "key-"+region, &kms.AliasArgs{
			Name:        pulumi.String("alias/" + b.Config.Name("data")),
			TargetKeyId: key.KeyId,
		}, b.in(region)...); err != nil {
			return err
		}
		b.keys[region] = key
		outputs[region] = key.Arn
	}
	b.ctx.Export("key_arn", outputs)
	return nil
}

// tables are the application's global table and tapctl's control table. Each
// has a replica in the other region, its own key and recovery in both.
func (b *base) tables() error {
	source, target := b.Config.SourceRegion, b.Config.TargetRegion
	items, err := b.items()
	if err != nil {
		return err
	}
	// Conditional writes are local to a region: the lease lives in the target
	// region, and the replica keeps it readable when that region is gone.
	control, err := b.table("control", b.Config.Name("control"), target, source, "lease and journal and topology")
	if err != nil {
		return err
	}
	b.ctx.Export("table_name", items)
	b.ctx.Export("control_table", control.Name)
	return nil
}

// items is the name of the application's table. An adopted one is only given a
// replica, and only where it has none: Adopted.Replica tells.
func (b *base) items() (pulumi.StringOutput, error) {
	adopted := b.Adopted.Table
	if adopted == nil {
		made, err := b.table("table", b.Config.Name("items"), b.Config.SourceRegion, b.Config.TargetRegion, "application data")
		if err != nil {
			return pulumi.StringOutput{}, err
		}
		return made.Name, nil
	}
	name := pulumi.String(adopted.Name).ToStringOutput()
	if adopted.HasReplica {
		return name, nil
	}
	b.ctx.Export("adopted_replica", pulumi.String(adopted.Name))
	args := &dynamodb.TableReplicaArgs{
		GlobalTableArn:      pulumi.String(adopted.ARN),
		PointInTimeRecovery: pulumi.Bool(true), DeletionProtectionEnabled: pulumi.Bool(!b.Unprotected), Tags: b.tags("application data"),
	}
	// All copies have the same kind of key: a customer's, AWS's, or none that shows.
	if adopted.KeyARN != "" {
		args.KmsKeyArn = b.keys[b.Config.TargetRegion].Arn
	}
	_, err := dynamodb.NewTableReplica(b.ctx, "table-replica", args, b.in(b.Config.TargetRegion)...)
	return name, err
}

// table is a global table. The deletion protection of its replica, which is that
// copy's own and has no input here, deploy sets.
func (b *base) table(resource, name, home, replica, purpose string) (*dynamodb.Table, error) {
	return dynamodb.NewTable(b.ctx, resource, &dynamodb.TableArgs{
		Name:        pulumi.String(name),
		BillingMode: pulumi.String("PAY_PER_REQUEST"),
		HashKey:     pulumi.String("pk"),
		RangeKey:    pulumi.String("sk"),
		Attributes: dynamodb.TableAttributeArray{
			dynamodb.TableAttributeArgs{Name: pulumi.String("pk"), Type: pulumi.String("S")},
			dynamodb.TableAttributeArgs{Name: pulumi.String("sk"), Type: pulumi.String("S")},
		},
		StreamEnabled:             pulumi.Bool(true),
		StreamViewType:            pulumi.String("NEW_AND_OLD_IMAGES"),
		DeletionProtectionEnabled: pulumi.Bool(!b.Unprotected),
		PointInTimeRecovery:       &dynamodb.TablePointInTimeRecoveryArgs{Enabled: pulumi.Bool(true)},
		ServerSideEncryption: &dynamodb.TableServerSideEncryptionArgs{
			Enabled: pulumi.Bool(true), KmsKeyArn: b.keys[home].Arn,
		},
		Replicas: dynamodb.TableReplicaTypeArray{dynamodb.TableReplicaTypeArgs{
			RegionName: pulumi.String(replica), KmsKeyArn: b.keys[replica].Arn,
			PointInTimeRecovery: pulumi.Bool(true), PropagateTags: pulumi.Bool(true),
		}},
		Tags: b.tags(purpose),
	}, b.in(home)...)
}

// certificates cover the public name and the region's probe name, validated
// by DNS. ACM asks for the same record for the public name in every region, so
// it is created once.
func (b *base) certificates() error {
	validated := pulumi.StringMap{}
	var public *route53.Record
	for _, region := range b.regions() {
		probe := b.Config.ProbeName(region)
		certificate, err := acm.NewCertificate(b.ctx, "certificate-"+region, &acm.CertificateArgs{
			DomainName:              pulumi.String(b.Config.Domain.Name),
			SubjectAlternativeNames: pulumi.StringArray{pulumi.String(probe)},
			ValidationMethod:        pulumi.String("DNS"),
			Tags:                    b.tags("TLS of the public name in " + region),
		}, b.in(region)...)
		if err != nil {
			return err
		}
		if public == nil {
			// It is the same for every certificate of the name in this account,
			// somebody else's too: it stays when base goes.
			if public, err = b.validationRecord("validation-public", certificate, b.Config.Domain.Name, pulumi.RetainOnDelete(true)); err != nil {
				return err
			}
		}
		own, err := b.validationRecord("validation-"+region, certificate, probe)
		if err != nil {
			return err
		}
		validation, err := acm.NewCertificateValidation(b.ctx, "certificate-"+region, &acm.CertificateValidationArgs{
			CertificateArn:        certificate.Arn,
			ValidationRecordFqdns: pulumi.StringArray{public.Fqdn, own.Fqdn},
		}, b.in(region)...)
		if err != nil {
			return err
		}
		validated[region] = validation.CertificateArn
	}
	b.ctx.Export("certificate_arn", validated)
	return nil
}

// validationRecord is the record that ACM asks for, which is there already where
// another certificate of the name has been validated in this account: its content
// is the same.
// https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html
func (b *base) validationRecord(resource string, certificate *acm.Certificate, name string, options ...pulumi.ResourceOption) (*route53.Record, error) {
	option := func(pick func(acm.CertificateDomainValidationOption) *string) pulumi.StringOutput {
		return certificate.DomainValidationOptions.ApplyT(func(options []acm.CertificateDomainValidationOption) (string, error) {
			for _, o := range options {
				if o.DomainName != nil && *o.DomainName == name && pick(o) != nil {
					return *pick(o), nil
				}
			}
			return "", fmt.Errorf("certificate has no validation option for %s", name)
		}).(pulumi.StringOutput)
	}
	return route53.NewRecord(b.ctx, resource, &route53.RecordArgs{
		ZoneId:  pulumi.String(b.ZoneID),
		Name:    option(func(o acm.CertificateDomainValidationOption) *string { return o.ResourceRecordName }),
		Type:    option(func(o acm.CertificateDomainValidationOption) *string { return o.ResourceRecordType }).ToStringOutput(),
		Ttl:     pulumi.Int(300),
		Records: pulumi.StringArray{option(func(o acm.CertificateDomainValidationOption) *string { return o.ResourceRecordValue })},
		// Pulumi would else insist on making it.
		AllowOverwrite: pulumi.Bool(true),
	}, b.in(b.Config.TargetRegion, options...)...)
}

// keyPolicy leaves the key to the account's IAM policies and lets CloudWatch
// Logs of its region, which has a principal of its own, use it for the log
// groups. What the account may do is spelled out, AWS's lists for a key's
// administrators and users: without the first nobody could ever correct this
// policy, and PutKeyPolicy refuses such a one.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
func keyPolicy(account, region string) (string, error) {
	owner := map[string]any{"AWS": "arn:aws:iam::" + account + ":root"}
	use := []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"}
	return policyDocument(
		statement{Sid: "Administer", Effect: "Allow", Principal: owner, Resource: []string{"*"}, // in a key policy "*" is this key
			Action: []string{
				"kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias", "kms:DescribeKey", "kms:EnableKey", "kms:DisableKey",
				"kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases",
				"kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:RevokeGrant",
				"kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription",
			}},
		statement{Sid: "Use", Effect: "Allow", Principal: owner, Resource: []string{"*"}, Action: append(slices.Clone(use), "kms:CreateGrant")},
		statement{Sid: "Logs", Effect: "Allow", Principal: map[string]any{"Service": "logs." + region + ".amazonaws.com"},
			Action: use, Resource: []string{"*"},
			Condition: map[string]any{"ArnLike": map[string]any{
				"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:" + region + ":" + account + ":log-group:*",
			}}},
	)
}

type statement struct {
	Sid         string         `json:"Sid,omitempty"`
	Effect      string         `json:"Effect"`
	Principal   any            `json:"Principal,omitempty"`
	Action      []string       `json:"Action,omitempty"`
	NotAction   []string       `json:"NotAction,omitempty"`
	Resource    []string       `json:"Resource,omitempty"`
	NotResource []string       `json:"NotResource,omitempty"`
	Condition   map[string]any `json:"Condition,omitempty"`
}

func policyDocument(statements ...statement) (string, error) {
	encoded, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	return string(encoded), err
}

func trustPolicy(service string) (string, error) {
	return policyDocument(statement{
		Effect: "Allow", Principal: map[string]any{"Service": service}, Action: []string{"sts:AssumeRole"},
	})
}
