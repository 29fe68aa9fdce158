package cli_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
)

// replica deletes a table's copy and makes it anew.
func replica(table, home, away string) func(w *accountOf) func() {
	return func(w *accountOf) func() {
		update := func(u ddbtypes.ReplicationGroupUpdate) {
			must[*dynamodb.UpdateTableOutput](w.ts)(w.tables(home).UpdateTable(w.ctx, &dynamodb.UpdateTableInput{TableName: &table, ReplicaUpdates: []ddbtypes.ReplicationGroupUpdate{u}}))
		}
		w.protection(table, away, false)
		update(ddbtypes.ReplicationGroupUpdate{Delete: &ddbtypes.DeleteReplicationGroupMemberAction{RegionName: &away}})
		return func() {
			w.ts.Check(dynamodb.NewTableNotExistsWaiter(w.tables(away), fastWait).Wait(w.ctx, &dynamodb.DescribeTableInput{TableName: &table}, patience))
			update(ddbtypes.ReplicationGroupUpdate{Create: &ddbtypes.CreateReplicationGroupMemberAction{RegionName: &away, KMSMasterKeyId: aws.String(w.top.Keys[away])}})
			w.ts.Check(dynamodb.NewTableExistsWaiter(w.tables(away), func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 1, 1 }).Wait(w.ctx, &dynamodb.DescribeTableInput{TableName: &table}, patience))
			w.recovery(table, away, true)
			w.protection(table, away, true)
		}
	}
}

func fastWait(o *dynamodb.TableNotExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 1, 1 }

func (w *accountOf) recovery(table, region string, on bool) {
	must[*dynamodb.UpdateContinuousBackupsOutput](w.ts)(w.tables(region).UpdateContinuousBackups(w.ctx, &dynamodb.UpdateContinuousBackupsInput{
		TableName: &table, PointInTimeRecoverySpecification: &ddbtypes.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: &on},
	}))
}

func (w *accountOf) protection(table, region string, on bool) {
	must[*dynamodb.UpdateTableOutput](w.ts)(w.tables(region).UpdateTable(w.ctx, &dynamodb.UpdateTableInput{TableName: &table, DeletionProtectionEnabled: &on}))
}

// sealed sets a table's encryption, once it can be.
func (w *accountOf) sealed(table, region string, spec *ddbtypes.SSESpecification) {
	w.ts.Check(dynamodb.NewTableExistsWaiter(w.tables(region), func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 1, 1 }).Wait(w.ctx, &dynamodb.DescribeTableInput{TableName: &table}, patience))
	must[*dynamodb.UpdateTableOutput](w.ts)(w.tables(region).UpdateTable(w.ctx, &dynamodb.UpdateTableInput{TableName: &table, SSESpecification: spec}))
}

func dataHarms(w *accountOf) []harm {
	items := "Shop-demo-items"
	both := func(table string) []string {
		return []string{"dynamodb/" + table + " in eu-west-1", "dynamodb/" + table + " in eu-central-1"}
	}
	all := []harm{
		{name: "the replica of the items", fails: both(items), do: replica(items, blueRegion, greenRegion)},
		{name: "the replica of the control table", do: replica(controlTable, greenRegion, blueRegion), fails: append(both(controlTable),
			"dynamodb/sentinel eu-west-1 -> eu-central-1, an item of the control table", "dynamodb/sentinel eu-central-1 -> eu-west-1, an item of the control table")},
	}
	for _, region := range []string{blueRegion, greenRegion} {
		for _, table := range []string{items, controlTable} {
			all = append(all,
				harm{name: "the key of " + table, fails: []string{fmt.Sprintf("dynamodb/encryption of %s in %s", table, region)}, do: func(w *accountOf) func() {
					w.sealed(table, region, &ddbtypes.SSESpecification{Enabled: aws.Bool(false)})
					return func() {
						w.sealed(table, region, &ddbtypes.SSESpecification{Enabled: aws.Bool(true), SSEType: ddbtypes.SSETypeKms, KMSMasterKeyId: aws.String(w.top.Keys[region])})
					}
				}},
				harm{name: "another key of " + table, fails: []string{fmt.Sprintf("dynamodb/encryption of %s in %s", table, region)}, do: func(w *accountOf) func() {
					made := must[*kms.CreateKeyOutput](w.ts)(kms.NewFromConfig(account(w.ctx, w.ts, region)).CreateKey(w.ctx, &kms.CreateKeyInput{}))
					w.sealed(table, region, &ddbtypes.SSESpecification{Enabled: aws.Bool(true), SSEType: ddbtypes.SSETypeKms, KMSMasterKeyId: made.KeyMetadata.Arn})
					return func() {
						w.sealed(table, region, &ddbtypes.SSESpecification{Enabled: aws.Bool(true), SSEType: ddbtypes.SSETypeKms, KMSMasterKeyId: aws.String(w.top.Keys[region])})
					}
				}},
				harm{name: "recovery of " + table, fails: []string{fmt.Sprintf("dynamodb/recovery of %s in %s", table, region)}, do: func(w *accountOf) func() {
					w.recovery(table, region, false)
					return func() { w.recovery(table, region, true) }
				}},
				harm{name: "protection of " + table, fails: []string{fmt.Sprintf("dynamodb/protection of %s in %s", table, region)}, do: func(w *accountOf) func() {
					w.protection(table, region, false)
					return func() { w.protection(table, region, true) }
				}})
		}
		all = append(all, bucketHarms(w.top.Bucket[region], region)...)
	}
	return all
}

// bucketHarms are those of the region's bucket and of what leaves it.
func bucketHarms(bucket, region string) []harm {
	way := region + " -> " + other(region)
	return []harm{
		{name: "versions in " + region, fails: []string{"s3/versioning in " + region, "s3/replication " + way}, do: func(w *accountOf) func() {
			back := w.rules(bucket, region, nil)
			w.versions(bucket, region, s3types.BucketVersioningStatusSuspended)
			return func() { w.versions(bucket, region, s3types.BucketVersioningStatusEnabled); back() }
		}},
		{name: "the key in " + region, fails: []string{"s3/encryption in " + region}, do: func(w *accountOf) func() {
			before := must[*s3.GetBucketEncryptionOutput](w.ts)(w.s3(region).GetBucketEncryption(w.ctx, &s3.GetBucketEncryptionInput{Bucket: &bucket}))
			must[*s3.DeleteBucketEncryptionOutput](w.ts)(w.s3(region).DeleteBucketEncryption(w.ctx, &s3.DeleteBucketEncryptionInput{Bucket: &bucket}))
			return func() {
				must[*s3.PutBucketEncryptionOutput](w.ts)(w.s3(region).PutBucketEncryption(w.ctx, &s3.PutBucketEncryptionInput{Bucket: &bucket, ServerSideEncryptionConfiguration: before.ServerSideEncryptionConfiguration}))
			}
		}},
		{name: "the rule " + way, fails: []string{"s3/replication " + way}, do: func(w *accountOf) func() {
			return w.rules(bucket, region, func(rule *s3types.ReplicationRule) { rule.Status = s3types.ReplicationRuleStatusDisabled })
		}},
		{name: "a backlog " + way, fails: []string{"s3/drained " + way}, do: func(w *accountOf) func() { return w.flood(bucket, region) }},
		{name: "the role " + way, fails: []string{"s3/sentinel " + way + ", an object", "s3/drained " + way}, do: func(w *accountOf) func() {
			role, policy := "Shop-demo-replication-"+region, "replication"
			before := must[*iam.GetRolePolicyOutput](w.ts)(w.iam().GetRolePolicy(w.ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &policy}))
			put := func(document string) {
				must[*iam.PutRolePolicyOutput](w.ts)(w.iam().PutRolePolicy(w.ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &document}))
			}
			document := unescaped(w, aws.ToString(before.PolicyDocument))
			put(strings.ReplaceAll(document, "s3:ReplicateObject", "s3:GetObject"))
			return func() { put(document) }
		}},
	}
}

// rules changes the bucket's replication rules, or, without a change, deletes
// them.
func (w *accountOf) rules(bucket, region string, change func(*s3types.ReplicationRule)) (undo func()) {
	client := w.s3(region)
	read := func() *s3types.ReplicationConfiguration {
		return must[*s3.GetBucketReplicationOutput](w.ts)(client.GetBucketReplication(w.ctx, &s3.GetBucketReplicationInput{Bucket: &bucket})).ReplicationConfiguration
	}
	put := func(c *s3types.ReplicationConfiguration) {
		must[*s3.PutBucketReplicationOutput](w.ts)(client.PutBucketReplication(w.ctx, &s3.PutBucketReplicationInput{Bucket: &bucket, ReplicationConfiguration: c}))
	}
	before := read()
	if change == nil {
		must[*s3.DeleteBucketReplicationOutput](w.ts)(client.DeleteBucketReplication(w.ctx, &s3.DeleteBucketReplicationInput{Bucket: &bucket}))
	} else {
		changed := read()
		change(&changed.Rules[0])
		put(changed)
	}
	return func() { put(before) }
}

func (w *accountOf) versions(bucket, region string, status s3types.BucketVersioningStatus) {
	must[*s3.PutBucketVersioningOutput](w.ts)(w.s3(region).PutBucketVersioning(w.ctx, &s3.PutBucketVersioningInput{
		Bucket: &bucket, VersioningConfiguration: &s3types.VersioningConfiguration{Status: status},
	}))
}

// flood stores objects until it is undone: there is always one on its way.
func (w *accountOf) flood(bucket, region string) (undo func()) {
	ctx, stop := context.WithCancel(w.ctx)
	ended := make(chan error)
	client, key := w.s3(region), "tapctl/flood"
	go func() {
		for {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("drop")})
			if err == nil {
				err = (clock.Real{}).Sleep(ctx, 2*time.Millisecond)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() {
		stop()
		if err := <-ended; ctx.Err() == nil {
			w.ts.Check(err)
		}
	}
}

// watchHarms are those of alarms and of Pulumi's stacks.
func watchHarms(w *accountOf) []harm {
	all := []harm{
		{name: "the lease", fails: []string{"infrastructure/lease"}, do: func(w *accountOf) func() {
			now := must[time.Time](w.ts)(w.now())
			held := must[*awsapi.Held](w.ts)(w.control().Take(w.ctx, cutover.Lease{Owner: "somebody", Purpose: "shift", Expires: now.Add(24 * time.Hour)}, now))
			return func() { w.ts.Check(held.Release(w.ctx)) }
		}},
		{name: "an update in flight", fails: []string{"infrastructure/no update in flight"}, do: func(w *accountOf) func() {
			dir := filepath.Join(strings.TrimPrefix(w.ts.Getenv("TAPCTL_INFRA_BACKEND_URL"), "file://"), ".pulumi/locks/organization/tapctl/shop-demo-edge")
			w.ts.Check(os.MkdirAll(dir, 0o700))
			w.ts.Check(os.WriteFile(filepath.Join(dir, "lock.json"), []byte("{}"), 0o600))
			return func() { w.ts.Check(os.RemoveAll(dir)) }
		}},
	}
	// That of the brake alone, since its copy fails with it; the others, which
	// are told apart by their names, at once.
	brake, others := harm{name: "the brake's alarm", fails: []string{"health checks/copy of alarm Shop-demo-api-5xx-rate"}}, harm{name: "the other alarms"}
	var brakeNames, otherNames []string
	for _, alarm := range w.top.Alarms {
		line := fmt.Sprintf("alarms/%s in %s", alarm.Name, alarm.Region)
		if strings.HasSuffix(alarm.Name, "-api-5xx-rate") {
			brake.fails, brakeNames = append(brake.fails, line), append(brakeNames, alarm.Name)
		} else {
			others.fails, otherNames = append(others.fails, line), append(otherNames, alarm.Name)
		}
	}
	brake.do, others.do = unwatched(greenRegion, brakeNames), unwatched(greenRegion, otherNames)
	return append(all, brake, others,
		harm{name: "an alarm of blue's", fails: []string{"alarms/blue's alarms, to compare with"}, do: unwatched(blueRegion, w.top.Controls[:1])},
		harm{name: "the alarm of the switch", fails: []string{"health checks/copy of alarm Shop-demo-green-kill"}, do: unwatched(w.top.KillRegion, []string{"Shop-demo-green-kill"})})
}

// unwatched deletes alarms and puts them again.
func unwatched(region string, names []string) func(w *accountOf) func() {
	return func(w *accountOf) func() {
		var before []*cloudwatch.PutMetricAlarmInput
		for _, name := range names {
			before = append(before, w.alarm(region, name))
		}
		must[*cloudwatch.DeleteAlarmsOutput](w.ts)(w.alarms(region).DeleteAlarms(w.ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: names}))
		return func() {
			for _, alarm := range before {
				w.put(region, *alarm)
			}
		}
	}
}

// now is the embedded AWS's time.
func (w *accountOf) now() (time.Time, error) {
	k, err := clock.Parse(w.ts.Getenv("TAPCTL_CLOCK"))
	if err != nil {
		return time.Time{}, err
	}
	return k.Now(), nil
}

// unescaped is a policy document as it was put: IAM answers it URL-encoded.
func unescaped(w *accountOf, document string) string {
	return must[string](w.ts)(url.QueryUnescape(document))
}
