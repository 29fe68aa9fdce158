package infra_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tapctl/tapctl/internal/infra"
)

// bucketsOf are the names of the two buckets by region.
func bucketsOf(t *testing.T, w *world) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, region := range []string{blueRegion, greenRegion} {
		names[region] = w.one(t, "s3/bucketV2:BucketV2", "assets-"+region).text("bucket")
	}
	return names
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	for region, name := range bucketsOf(t, w) {
		key := "arn:aws:kms:" + region + ":" + account + ":key/key-" + region
		same(t, "versioning", map[string]any{"bucket": name, "versioningConfiguration": map[string]any{"status": "Enabled"}},
			w.one(t, "s3/bucketVersioningV2:BucketVersioningV2", "assets-"+region).Inputs)
		same(t, "encryption", map[string]any{"bucket": name, "rules": []any{map[string]any{
			"bucketKeyEnabled": true, "applyServerSideEncryptionByDefault": map[string]any{"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key},
		}}}, w.one(t, "s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "assets-"+region).Inputs)
		same(t, "ownership", map[string]any{"bucket": name, "rule": map[string]any{"objectOwnership": "BucketOwnerEnforced"}},
			w.one(t, "s3/bucketOwnershipControls:BucketOwnershipControls", "assets-"+region).Inputs)
		lifecycle := w.one(t, "s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "assets-"+region)
		same(t, "lifecycle", map[string]any{"bucket": name, "rules": []any{map[string]any{
			"id": "old-versions", "status": "Enabled", "filter": map[string]any{"prefix": ""}, "noncurrentVersionExpiration": map[string]any{"noncurrentDays": 30.0},
			"abortIncompleteMultipartUpload": map[string]any{"daysAfterInitiation": 7.0}, "expiration": map[string]any{"expiredObjectDeleteMarker": true},
		}}}, lifecycle.Inputs)
	}
}

// Only the website's prefix is open, and only where the website is.
func TestPublicAccess(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	names := bucketsOf(t, w)
	for region, closed := range map[string]bool{blueRegion: false, greenRegion: true} {
		block := w.one(t, "s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "assets-"+region)
		same(t, "block in "+region, map[string]any{
			"bucket": names[region], "blockPublicAcls": true, "ignorePublicAcls": true, "blockPublicPolicy": closed, "restrictPublicBuckets": closed,
		}, block.Inputs)
		if after := w.one(t, "s3/bucketPolicy:BucketPolicy", "assets-"+region).After; !slices.Contains(after, block.Name) {
			t.Errorf("%s: the policy is refused while the account's default block stands: %v", region, after)
		}
	}
	plain := map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}
	arn := "arn:aws:s3:::" + names[blueRegion]
	site := []string{arn + "/site/*"}
	same(t, "source policy", []grant{
		{Sid: "Website", Effect: "Allow", Principal: "*", Action: []string{"s3:GetObject"}, Resource: site},
		{Sid: "TLSOnly", Effect: "Deny", Principal: "*", Action: []string{"s3:*"}, NotResource: site, Condition: plain},
		{Sid: "TLSOnlyWrites", Effect: "Deny", Principal: "*", NotAction: []string{"s3:GetObject"}, Resource: site, Condition: plain},
		{Sid: "SiteIsReadable", Effect: "Deny", Principal: "*", Action: []string{"s3:PutObject"}, Resource: site,
			Condition: map[string]any{"StringNotEquals": map[string]any{"s3:x-amz-server-side-encryption": "AES256"}}},
	}, parsePolicy(t, w.one(t, "s3/bucketPolicy:BucketPolicy", "assets-"+blueRegion).text("policy")).Statement)
	arn = "arn:aws:s3:::" + names[greenRegion]
	same(t, "target policy", []grant{{Sid: "TLSOnly", Effect: "Deny", Principal: "*", Action: []string{"s3:*"}, Resource: []string{arn, arn + "/*"}, Condition: plain}},
		parsePolicy(t, w.one(t, "s3/bucketPolicy:BucketPolicy", "assets-"+greenRegion).text("policy")).Statement)
	if sites := w.of("s3/bucketWebsiteConfigurationV2:BucketWebsiteConfigurationV2"); len(sites) != 1 || sites["assets-"+blueRegion].Name == "" {
		t.Errorf("websites: %v", sites)
	}
}

func TestReplicationBothWays(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	names := bucketsOf(t, w)
	key := func(region string) string { return "arn:aws:kms:" + region + ":" + account + ":key/key-" + region }
	for from, to := range map[string]string{blueRegion: greenRegion, greenRegion: blueRegion} {
		config := w.one(t, "s3/bucketReplicationConfig:BucketReplicationConfig", "assets-"+from)
		enabled := map[string]any{"status": "Enabled"}
		same(t, "rule from "+from, map[string]any{
			"bucket": names[from], "role": "arn:aws:iam::" + account + ":role/Shop-prod-replication-" + from,
			"rules": []any{map[string]any{
				"id": "to-" + to, "status": "Enabled", "priority": 1.0, "filter": map[string]any{"prefix": ""}, "deleteMarkerReplication": enabled,
				"sourceSelectionCriteria": map[string]any{"sseKmsEncryptedObjects": enabled},
				"destination": map[string]any{
					"bucket": "arn:aws:s3:::" + names[to], "encryptionConfiguration": map[string]any{"replicaKmsKeyId": key(to)},
					"metrics":         map[string]any{"status": "Enabled", "eventThreshold": map[string]any{"minutes": 15.0}},
					"replicationTime": map[string]any{"status": "Enabled", "time": map[string]any{"minutes": 15.0}},
				},
			}},
		}, config.Inputs)
		for _, first := range []string{"assets-" + blueRegion, "assets-" + greenRegion} {
			if !slices.Contains(config.After, first) {
				t.Errorf("from %s: S3 refuses a rule before both buckets have versions: %v", from, config.After)
			}
		}
		source, destination := "arn:aws:s3:::"+names[from], "arn:aws:s3:::"+names[to]
		through := func(region, arn string) map[string]any {
			return map[string]any{"StringLike": map[string]any{
				"kms:ViaService": "s3." + region + ".amazonaws.com", "kms:EncryptionContext:aws:s3:arn": []any{arn, arn + "/*"},
			}}
		}
		same(t, "rights from "+from, []grant{
			{Sid: "Rule", Effect: "Allow", Action: []string{"s3:GetReplicationConfiguration", "s3:ListBucket"}, Resource: []string{source}},
			{Sid: "Read", Effect: "Allow", Action: []string{"s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"}, Resource: []string{source + "/*"}},
			{Sid: "Write", Effect: "Allow", Action: []string{"s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"}, Resource: []string{destination + "/*"}},
			{Sid: "SourceKey", Effect: "Allow", Action: []string{"kms:Decrypt"}, Resource: []string{key(from)}, Condition: through(from, source)},
			{Sid: "ReplicaKey", Effect: "Allow", Action: []string{"kms:Encrypt", "kms:Decrypt"}, Resource: []string{key(to)}, Condition: through(to, destination)},
		}, parsePolicy(t, w.one(t, "iam/rolePolicy:RolePolicy", "replication-"+from).text("policy")).Statement)
	}
}

func TestAdoptedBucketKeepsItsSettings(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(adopting()))
	for _, m := range w.resources {
		if strings.HasPrefix(m.Type, "s3/") && m.Type != "s3/bucketReplicationConfig:BucketReplicationConfig" && m.Name == "assets-"+blueRegion {
			t.Errorf("the adopted bucket is given a %s", m.Type)
		}
	}
	rule := w.one(t, "s3/bucketReplicationConfig:BucketReplicationConfig", "assets-"+blueRegion)
	if rule.text("bucket") != "shop-website" {
		t.Errorf("replicates %v", rule.Inputs["bucket"])
	}
	// tapctl's key of the region has nothing to say about what the owner stores,
	// and everything about what comes from green.
	for from, want := range map[string][]string{
		blueRegion:  {"Rule", "Read", "Write", "ReplicaKey"},
		greenRegion: {"Rule", "Read", "Write", "SourceKey", "ReplicaKey"},
	} {
		var sids []string
		for _, s := range parsePolicy(t, w.one(t, "iam/rolePolicy:RolePolicy", "replication-"+from).text("policy")).Statement {
			sids = append(sids, s.Sid)
		}
		same(t, "statements from "+from, want, sids)
	}
}

// A value in the program would be in Pulumi's state.
func TestSecretIsMadeWithoutAValue(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	secret := w.one(t, "secretsmanager/secret:Secret", "secret")
	delete(secret.Inputs, "tags")
	delete(secret.Inputs, "description")
	key := func(region string) string { return "arn:aws:kms:" + region + ":" + account + ":key/key-" + region }
	same(t, "secret", map[string]any{
		"name": "Shop-prod-secret", "kmsKeyId": key(blueRegion), "recoveryWindowInDays": 30.0,
		"replicas": []any{map[string]any{"region": greenRegion, "kmsKeyId": key(greenRegion)}},
	}, secret.Inputs)
	if versions := w.of("secretsmanager/secretVersion:SecretVersion"); len(versions) != 0 {
		t.Errorf("a value is in the program: %v", versions)
	}
}

// A secret that waits for its deletion keeps its name from the next deploy.
func TestSecretGoesAtOnceWithBase(t *testing.T) {
	t.Parallel()
	in := input(settings())
	in.Unprotected = true
	w := provision(t, infra.BaseProgram(in))
	if days := w.one(t, "secretsmanager/secret:Secret", "secret").Inputs["recoveryWindowInDays"]; days != 0.0 {
		t.Errorf("on its way out with base the secret keeps its name for %v days", days)
	}
}
