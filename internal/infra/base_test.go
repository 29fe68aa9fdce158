package infra_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/tapctl/tapctl/internal/infra"
)

func TestTablesAreGlobal(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	tests := []struct{ resource, name, home, replica string }{
		{"table", "Shop-prod-items", blueRegion, greenRegion},
		// The lease's conditional writes are local to a region: the target's.
		{"control", "Shop-prod-control", greenRegion, blueRegion},
	}
	if n := len(w.of("dynamodb/table:Table")); n != len(tests) {
		t.Errorf("want %d tables, got %d", len(tests), n)
	}
	for _, test := range tests {
		got := w.one(t, "dynamodb/table:Table", test.resource)
		if got.Region != test.home {
			t.Errorf("%s is at home in %s, want %s", test.name, got.Region, test.home)
		}
		delete(got.Inputs, "tags")
		key := func(region string) string { return "arn:aws:kms:" + region + ":" + account + ":key/key-" + region }
		same(t, test.name, map[string]any{
			"name": test.name, "billingMode": "PAY_PER_REQUEST", "hashKey": "pk", "rangeKey": "sk",
			"attributes":    []any{map[string]any{"name": "pk", "type": "S"}, map[string]any{"name": "sk", "type": "S"}},
			"streamEnabled": true, "streamViewType": "NEW_AND_OLD_IMAGES", "deletionProtectionEnabled": true,
			"pointInTimeRecovery":  map[string]any{"enabled": true},
			"serverSideEncryption": map[string]any{"enabled": true, "kmsKeyArn": key(test.home)},
			"replicas": []any{map[string]any{
				"regionName": test.replica, "kmsKeyArn": key(test.replica), "pointInTimeRecovery": true, "propagateTags": true,
			}},
		}, got.Inputs)
	}
}

func TestKeysPerRegion(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	for _, region := range []string{blueRegion, greenRegion} {
		key := w.one(t, "kms/key:Key", "key-"+region)
		if key.Region != region || key.Inputs["enableKeyRotation"] != true || key.Inputs["deletionWindowInDays"] != 30.0 {
			t.Errorf("key of %s: in %s, %v", region, key.Region, key.Inputs)
		}
		owner := map[string]any{"AWS": "arn:aws:iam::" + account + ":root"}
		want := policy{Version: "2012-10-17", Statement: []grant{
			{Sid: "Administer", Effect: "Allow", Principal: owner, Resource: []string{"*"}, Action: []string{
				"kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias", "kms:DescribeKey", "kms:EnableKey", "kms:DisableKey",
				"kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases",
				"kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:RevokeGrant",
				"kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription",
			}},
			{Sid: "Use", Effect: "Allow", Principal: owner, Resource: []string{"*"},
				Action: []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"}},
			{
				Sid: "Logs", Effect: "Allow", Principal: map[string]any{"Service": "logs." + region + ".amazonaws.com"},
				Action: []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"}, Resource: []string{"*"},
				Condition: map[string]any{"ArnLike": map[string]any{"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:" + region + ":" + account + ":log-group:*"}},
			},
		}}
		same(t, "key policy of "+region, want, parsePolicy(t, key.text("policy")))
		alias := w.one(t, "kms/alias:Alias", "key-"+region)
		if alias.text("name") != "alias/Shop-prod-data" || alias.Region != region || alias.text("targetKeyId") != "key-"+region {
			t.Errorf("alias of %s: in %s, %v", region, alias.Region, alias.Inputs)
		}
	}
}

func TestAccountRole(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	role := w.one(t, "iam/role:Role", "api-logging")
	same(t, "trust", []grant{{Effect: "Allow", Principal: map[string]any{"Service": "apigateway.amazonaws.com"}, Action: []string{"sts:AssumeRole"}}},
		parsePolicy(t, role.text("assumeRolePolicy")).Statement)
	attached := w.one(t, "iam/rolePolicyAttachment:RolePolicyAttachment", "api-logging")
	if !role.Retain || !attached.Retain {
		t.Errorf("the setting names a role that goes with base: %v, %v", role.Retain, attached.Retain)
	}
	same(t, "attached", "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs", attached.text("policyArn"))
	for _, region := range []string{blueRegion, greenRegion} {
		set := w.one(t, "apigateway/account:Account", "api-account-"+region)
		if set.Region != region || set.text("cloudwatchRoleArn") != "arn:aws:iam::"+account+":role/Shop-prod-api-logging" {
			t.Errorf("account setting of %s: in %s, %v", region, set.Region, set.Inputs)
		}
		if !slices.Contains(set.After, "api-logging") {
			t.Errorf("account setting of %s: API Gateway tries the role at once, so it must come after its rights: %v", region, set.After)
		}
	}
}

// The setting is the account's: whoever made it goes on logging with their role.
func TestALoggingRoleThatIsThereStays(t *testing.T) {
	t.Parallel()
	const theirs = "arn:aws:iam::" + account + ":role/theirs"
	for name, test := range map[string]struct {
		live map[string]string
		want map[string]string // region -> role that is set
	}{
		"in both regions": {map[string]string{blueRegion: theirs, greenRegion: theirs}, map[string]string{}},
		"in one":          {map[string]string{blueRegion: theirs}, map[string]string{greenRegion: theirs}},
	} {
		in := input(settings())
		in.Adopted.LoggingRole = test.live
		w := provision(t, infra.BaseProgram(in))
		if _, made := w.of("iam/role:Role")["api-logging"]; made {
			t.Errorf("%s: another role is made", name)
		}
		got := map[string]string{}
		for _, m := range w.of("apigateway/account:Account") {
			got[m.Region] = m.text("cloudwatchRoleArn")
		}
		same(t, name, test.want, got)
	}
}

// ACM asks for one and the same record for a name in every region.
func TestCertificatesShareOneRecordForThePublicName(t *testing.T) {
	t.Parallel()
	w := provision(t, infra.BaseProgram(input(settings())))
	records := map[string]string{}
	for _, m := range w.of("route53/record:Record") {
		if _, twice := records[m.text("name")]; twice {
			t.Errorf("two records are named %s", m.text("name"))
		}
		records[m.text("name")] = m.text("type") + " " + m.Inputs["records"].([]any)[0].(string)
		if m.text("zoneId") != zone {
			t.Errorf("%s is in zone %s", m.Name, m.text("zoneId"))
		}
		// Another certificate of the public name may have it and need it.
		if m.Inputs["allowOverwrite"] != true || m.Retain != (m.Name == "validation-public") {
			t.Errorf("%s: overwrites %v, stays %v", m.Name, m.Inputs["allowOverwrite"], m.Retain)
		}
	}
	same(t, "validation records", map[string]string{
		"_check.api.example.com":              "CNAME _api.example.com.acm",
		"_check.eu-west-1.api.example.com":    "CNAME _eu-west-1.api.example.com.acm",
		"_check.eu-central-1.api.example.com": "CNAME _eu-central-1.api.example.com.acm",
	}, records)
	same(t, "certificates", []string{"certificate-" + greenRegion, "certificate-" + blueRegion}, slices.Sorted(maps.Keys(w.of("acm/certificate:Certificate"))))
	for _, region := range []string{blueRegion, greenRegion} {
		certificate := w.one(t, "acm/certificate:Certificate", "certificate-"+region)
		if certificate.Region != region || certificate.text("domainName") != "api.example.com" || certificate.text("validationMethod") != "DNS" {
			t.Errorf("certificate of %s: in %s, %v", region, certificate.Region, certificate.Inputs)
		}
		same(t, "further names of "+region, []any{region + ".api.example.com"}, certificate.Inputs["subjectAlternativeNames"].([]any))
		validation := w.one(t, "acm/certificateValidation:CertificateValidation", "certificate-"+region)
		if validation.Region != region {
			t.Errorf("validation of %s is in %s", region, validation.Region)
		}
		same(t, "what validates "+region, []any{"_check.api.example.com", "_check." + region + ".api.example.com"}, validation.Inputs["validationRecordFqdns"].([]any))
	}
}

func TestAdoptedTableIsOnlyGivenAReplica(t *testing.T) {
	t.Parallel()
	in := adopting()
	w := provision(t, infra.BaseProgram(in))
	if tables := w.of("dynamodb/table:Table"); len(tables) != 1 || tables["control"].Name == "" {
		t.Errorf("want the control table alone, got %v", tables)
	}
	replica := w.one(t, "dynamodb/tableReplica:TableReplica", "table-replica")
	delete(replica.Inputs, "tags")
	same(t, "replica", map[string]any{
		"globalTableArn": in.Adopted.Table.ARN, "kmsKeyArn": "arn:aws:kms:" + greenRegion + ":" + account + ":key/key-" + greenRegion, "pointInTimeRecovery": true,
		"deletionProtectionEnabled": true,
	}, replica.Inputs)
	in.Adopted.Table.KeyARN = ""
	replica = provision(t, infra.BaseProgram(in)).one(t, "dynamodb/tableReplica:TableReplica", "table-replica")
	if got, given := replica.Inputs["kmsKeyArn"]; given {
		t.Errorf("the replica of a table under AWS's key has the key %v", got)
	}
	in.Adopted.Table.HasReplica = true
	if got := provision(t, infra.BaseProgram(in)).of("dynamodb/tableReplica:TableReplica"); len(got) != 0 {
		t.Errorf("a table that has its replica is given another: %v", got)
	}
}
