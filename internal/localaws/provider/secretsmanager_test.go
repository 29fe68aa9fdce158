package provider_test

import (
	"context"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	smapi "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/kms"
	sm "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/localaws"
	"github.com/tapctl/tapctl/internal/localaws/provider"
)

// whole is open against all of the embedded AWS.
func whole(t *testing.T, program pulumi.RunFunc, a *account) {
	t.Helper()
	root := pulumiRoot(t)
	a.T = t
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	server, err := localaws.Start(ctx, localaws.Options{Seed: 1, Speed: 600, Zones: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	a.url = server.Env().Endpoint
	port, err := provider.ServeWith(ctx, provider.Options{Clock: server.Clock()})
	if err != nil {
		t.Fatal(err)
	}
	a.engine(ctx, root, port, program)
}

func (a *account) config(region string) awssdk.Config {
	return awssdk.Config{Region: region, BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")}
}

// settled is that neither a second up nor a refresh finds anything to do.
func (a *account) settled(created int) {
	a.Helper()
	if diff := cmp.Diff(map[string]int{"same": created}, a.up()); diff != "" {
		a.Errorf("a second up: %s", diff)
	}
	refresh, err := a.stack.Refresh(context.Background())
	if err != nil {
		a.Fatalf("refresh: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"same": created}, *refresh.Summary.ResourceChanges); diff != "" {
		a.Errorf("a refresh without drift: %s\n%s", diff, refresh.StdOut)
	}
}

// secrets is a secret of blue with a replica in green.
type secrets struct {
	*account
	owner, description string
	regions            []string // of replicas
	window             int
}

func (a *secrets) program(ctx *pulumi.Context) error {
	keys := map[string]pulumi.StringOutput{}
	var in pulumi.ResourceOption
	for _, region := range []string{green, blue} {
		var err error
		if in, err = a.provider(ctx, region); err != nil {
			return err
		}
		key, err := kms.NewKey(ctx, "data-"+region, &kms.KeyArgs{}, in)
		if err != nil {
			return err
		}
		keys[region] = key.Arn
	}
	args := &sm.SecretArgs{Name: pulumi.String("app"), Description: pulumi.String(a.description), KmsKeyId: keys[blue], RecoveryWindowInDays: pulumi.Int(a.window),
		ForceOverwriteReplicaSecret: pulumi.Bool(false), Tags: pulumi.StringMap{"Owner": pulumi.String(a.owner)}}
	var replicas sm.SecretReplicaArray
	for _, region := range a.regions {
		one := sm.SecretReplicaArgs{Region: pulumi.String(region)}
		if region == green {
			one.KmsKeyId = keys[green]
		}
		replicas = append(replicas, one)
	}
	args.Replicas = replicas
	secret, err := sm.NewSecret(ctx, "app", args, in)
	if err != nil {
		return err
	}
	ctx.Export("arn", secret.Arn)
	ctx.Export("status", secret.Replicas.Index(pulumi.Int(0)).Status())
	return nil
}

func TestEngineKeepsASecretAndItsReplicas(t *testing.T) {
	t.Parallel()
	a := &secrets{account: &account{}, owner: "team", description: "one", regions: []string{green}, window: 7}
	whole(t, a.program, a.account)
	ctx := context.Background()
	created := a.up()["create"]
	outputs, err := a.stack.Outputs(ctx)
	arn, _ := outputs["arn"].Value.(string)
	if err != nil || !strings.HasPrefix(arn, "arn:aws:secretsmanager:eu-west-1:000000000000:secret:app-") || outputs["status"].Value != "InSync" {
		t.Errorf("outputs %v, %v", outputs, err)
	}
	there, here := smapi.NewFromConfig(a.config(green)), smapi.NewFromConfig(a.config(blue))
	replica, err := there.DescribeSecret(ctx, &smapi.DescribeSecretInput{SecretId: awssdk.String(strings.Replace(arn, blue, green, 1))})
	if err != nil || !strings.Contains(awssdk.ToString(replica.KmsKeyId), green) {
		t.Errorf("the replica is %+v, %v", replica, err)
	}
	a.settled(created)

	a.owner, a.description, a.regions = "other", "two", []string{"eu-west-2", green}
	if got := a.up(); got["update"] != 1 || got["replace"] != 0 {
		t.Errorf("other tags, description and replicas: %v", got)
	}
	a.settled(created)
	a.regions = []string{green}
	if got := a.up(); got["update"] != 1 {
		t.Errorf("a replica less: %v", got)
	}
	primary, err := here.DescribeSecret(ctx, &smapi.DescribeSecretInput{SecretId: &arn})
	if err != nil || len(primary.ReplicationStatus) != 1 || *primary.Description != "two" || *primary.Tags[0].Value != "other" {
		t.Errorf("the primary is %+v, %v", primary, err)
	}

	// A value put out of band is none of the program's business.
	if _, err := here.PutSecretValue(ctx, &smapi.PutSecretValueInput{SecretId: &arn, SecretString: awssdk.String("value")}); err != nil {
		t.Fatal(err)
	}
	if got := a.up(); got["same"] != created {
		t.Errorf("after a value was put: %v", got)
	}
	if _, err := a.stack.Destroy(ctx); err != nil {
		t.Fatalf("destroy: %v", err)
	}
	marked, err := here.DescribeSecret(ctx, &smapi.DescribeSecretInput{SecretId: &arn})
	if err != nil || marked.DeletedDate == nil {
		t.Errorf("after the destroy it is %+v, %v", marked, err)
	}
	if _, err := a.stack.Up(ctx); err == nil || !strings.Contains(err.Error(), "already scheduled for deletion") {
		t.Errorf("a name in its window was taken again: %v", err)
	}
}
