package secretsmanager_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
)

const (
	blueKey  = "arn:aws:kms:eu-west-1:000000000000:key/blue"
	greenKey = "arn:aws:kms:eu-central-1:000000000000:key/green"
)

func to(region, key string) []types.ReplicaRegionType {
	one := types.ReplicaRegionType{Region: &region}
	if key != "" {
		one.KmsKeyId = &key
	}
	return []types.ReplicaRegionType{one}
}

// status is the replication as "REGION STATUS".
func (a *account) status(id string) string {
	a.Helper()
	var out []string
	for _, r := range a.describe(blue, id).ReplicationStatus {
		out = append(out, *r.Region+" "+string(r.Status))
	}
	return strings.Join(out, ", ")
}

func (a *account) statusIs(want string) {
	a.Helper()
	if got := a.status("s"); got != want {
		a.Errorf("status %q, want %q", got, want)
	}
}

func TestAReplicaFollowsItsPrimary(t *testing.T) {
	t.Parallel()
	a := start(t)
	made := a.create(sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("one"), KmsKeyId: aws.String(blueKey), AddReplicaRegions: to(green, greenKey)})
	there := strings.Replace(*made.ARN, blue, green, 1)
	a.statusIs("eu-central-1 InProgress")
	_, err := a.get(green, there)
	a.refused("before it arrived", "ResourceNotFoundException", "can't find the specified secret.", err)
	_, err = a.get(green, "s")
	a.refused("by name before it arrived", "ResourceNotFoundException", "can't find the specified secret.", err)
	a.now.Advance(5 * time.Second)
	a.statusIs("eu-central-1 InSync")
	if got, err := a.get(green, there); got != "one" || err != nil {
		t.Errorf("by ARN %q, %v", got, err)
	}
	if d := a.describe(green, "s"); *d.ARN != there || *d.PrimaryRegion != blue || *d.KmsKeyId != greenKey {
		t.Errorf("the replica is %+v", d)
	}
	if d := a.describe(blue, "s"); *d.PrimaryRegion != blue || *d.ReplicationStatus[0].KmsKeyId != greenKey || d.ReplicationStatus[0].LastAccessedDate == nil {
		t.Errorf("the primary is %+v", d)
	}

	second, err := a.put(blue, "s", "two")
	a.must(nil, err)
	a.must(a.in(blue).TagResource(t.Context(), &sdk.TagResourceInput{SecretId: aws.String("s"), Tags: []types.Tag{{Key: aws.String("A"), Value: aws.String("1")}}}))
	a.statusIs("eu-central-1 InProgress")
	if got, _ := a.get(green, "s"); got != "one" {
		t.Errorf("the replica has %q at once", got)
	}
	a.now.Advance(5 * time.Second)
	a.statusIs("eu-central-1 InSync")
	d := a.describe(green, "s")
	if diff := cmp.Diff(map[string][]string{*made.VersionId: {"AWSPREVIOUS"}, second: {"AWSCURRENT"}}, d.VersionIdsToStages); diff != "" || len(d.Tags) != 1 {
		t.Errorf("%s, %d tags", diff, len(d.Tags))
	}
	_, err = a.put(blue, "s", "three")
	a.must(nil, err)
	if got, _ := a.get(green, "s"); got != "two" {
		t.Errorf("once in sync, the replica has %q at once", got)
	}
}

func TestAReplicaIsReadOnlyAndHoldsItsPrimary(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.create(sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("one"), AddReplicaRegions: to(green, "")})
	a.now.Advance(5 * time.Second)
	there, id := a.in(green), aws.String("s")
	_, put := a.put(green, "s", "x")
	_, update := there.UpdateSecret(t.Context(), &sdk.UpdateSecretInput{SecretId: id, Description: id})
	_, tag := there.TagResource(t.Context(), &sdk.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: id, Value: id}}})
	_, gone := there.DeleteSecret(t.Context(), &sdk.DeleteSecretInput{SecretId: id})
	_, forced := there.DeleteSecret(t.Context(), &sdk.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: aws.Bool(true)})
	_, on := there.ReplicateSecretToRegions(t.Context(), &sdk.ReplicateSecretToRegionsInput{SecretId: id, AddReplicaRegions: to("eu-west-2", "")})
	for name, err := range map[string]error{"put": put, "update": update, "tag": tag, "delete": gone, "force": forced, "replicate": on} {
		a.refused(name, "InvalidParameterException", "Operation not permitted on a replica secret", err)
	}
	for _, force := range []bool{true, false} {
		_, err := a.in(blue).DeleteSecret(t.Context(), &sdk.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: &force})
		a.refused("delete the primary", "InvalidParameterException", "still has replica regions [eu-central-1]", err)
	}
	_, err := a.in(blue).StopReplicationToReplica(t.Context(), &sdk.StopReplicationToReplicaInput{SecretId: id})
	a.refused("promote the primary", "InvalidParameterException", "", err)

	a.must(a.in(blue).RemoveRegionsFromReplication(t.Context(), &sdk.RemoveRegionsFromReplicationInput{SecretId: id, RemoveReplicaRegions: []string{green}}))
	a.statusIs("")
	_, err = a.get(green, "s")
	a.refused("after it was removed", "ResourceNotFoundException", "", err)
	a.must(a.in(blue).DeleteSecret(t.Context(), &sdk.DeleteSecretInput{SecretId: id}))
}

func TestAPromotedReplicaStandsAlone(t *testing.T) {
	t.Parallel()
	a := start(t)
	made := a.create(sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("one"), AddReplicaRegions: to(green, "")})
	a.now.Advance(5 * time.Second)
	_, err := a.in(green).StopReplicationToReplica(t.Context(), &sdk.StopReplicationToReplicaInput{SecretId: aws.String("s")})
	a.must(nil, err)
	a.statusIs("")
	_, err = a.put(green, "s", "green")
	a.must(nil, err)
	_, err = a.put(blue, "s", "blue")
	a.must(nil, err)
	a.now.Advance(time.Minute)
	if got, err := a.get(green, "s"); got != "green" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got := *a.describe(green, "s").ARN; got != strings.Replace(*made.ARN, blue, green, 1) {
		t.Errorf("its ARN became %s", got)
	}
	a.must(a.in(blue).DeleteSecret(t.Context(), &sdk.DeleteSecretInput{SecretId: aws.String("s"), ForceDeleteWithoutRecovery: aws.Bool(true)}))
	if got, err := a.get(green, "s"); got != "green" || err != nil {
		t.Errorf("without its old primary: %q, %v", got, err)
	}
}

func TestReplicationThatFails(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.must(a.in(green).CreateSecret(t.Context(), &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("taken")}))
	a.create(sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("one"), AddReplicaRegions: to(green, "")})
	a.now.Advance(time.Minute)
	a.statusIs("eu-central-1 Failed")
	if got := a.describe(blue, "s").ReplicationStatus[0]; !strings.Contains(aws.ToString(got.StatusMessage), "Secret name s already exists in region eu-central-1") {
		t.Errorf("%+v", got)
	}
	if got, _ := a.get(green, "s"); got != "taken" {
		t.Errorf("the secret that was there became %q", got)
	}
	again := func(key string, overwrite bool) {
		t.Helper()
		_, err := a.in(blue).ReplicateSecretToRegions(t.Context(), &sdk.ReplicateSecretToRegionsInput{SecretId: aws.String("s"), AddReplicaRegions: to(green, key), ForceOverwriteReplicaSecret: overwrite})
		a.must(nil, err)
	}
	again(blueKey, true)
	a.statusIs("eu-central-1 Failed") // a key of another region
	again(greenKey, true)
	a.now.Advance(5 * time.Second)
	a.statusIs("eu-central-1 InSync")
	if got, _ := a.get(green, "s"); got != "one" {
		t.Errorf("overwritten, it is %q", got)
	}
	_, err := a.in(blue).ReplicateSecretToRegions(t.Context(), &sdk.ReplicateSecretToRegionsInput{SecretId: aws.String("s"), AddReplicaRegions: to(green, "")})
	a.refused("replicated twice", "InvalidParameterException", "already replicated", err)
}
