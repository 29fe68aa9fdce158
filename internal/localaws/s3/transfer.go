package s3

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// stream is what the replication metrics are kept by.
type stream struct{ source, destination, rule string }

// transfer is one replica under way.
type transfer struct {
	stream
	key, id    string // of the version
	size       int
	begun, due time.Time
	role       string // ARN
	rule       replicationRule
}

// String implements fmt.Stringer.
func (t *transfer) String() string {
	return fmt.Sprintf("%s of %s to %s", t.key, t.source, t.destination)
}

// replicate sends the version to where the rules in force want it: what was
// written before a rule, and what is a replica itself, is never sent. Of the
// rules for one destination the highest priority counts.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-what-is-isnot-replicated.html
func (s *Service) replicate(b *bucket, v *version, now time.Time) {
	c, configured := b.config["replication"].(*replicationConfiguration)
	if !configured {
		return
	}
	chosen := map[string]replicationRule{}
	for _, rule := range c.Rules {
		other, taken := chosen[rule.Destination.bucket()]
		if rule.wants(v) && (!taken || *rule.Priority > *other.Priority) {
			chosen[rule.Destination.bucket()] = rule
		}
	}
	for _, to := range slices.Sorted(maps.Keys(chosen)) {
		v.status = pending
		s.pending = append(s.pending, &transfer{
			stream: stream{b.name, to, chosen[to].ID}, key: v.key, id: v.id, size: len(v.data),
			begun: now, due: now.Add(s.lag/2 + time.Duration(s.random.Float64()*float64(s.lag))), role: c.Role, rule: chosen[to],
		})
	}
}

// replicateTags sends the tags of a version that was sent before.
func (s *Service) replicateTags(b *bucket, v *version, now time.Time) {
	if v.status != "" && v.status != replica {
		s.replicate(b, v, now)
	}
}

// settle lets arrive what was due by now, in the order it was due, and
// publishes the metrics.
func (s *Service) settle(ctx context.Context, now time.Time) {
	slices.SortStableFunc(s.pending, func(a, b *transfer) int { return a.due.Compare(b.due) })
	for len(s.pending) > 0 && !s.pending[0].due.After(now) {
		t := s.pending[0]
		s.pending = s.pending[1:]
		s.arrive(ctx, t)
	}
	s.measure(now)
}

// arrive makes the replica and tells the source version what came of it.
func (s *Service) arrive(ctx context.Context, t *transfer) {
	from, found := s.buckets[t.source]
	if !found {
		return
	}
	v := from.versionOf(t.key, t.id)
	if v == nil {
		return // deleted for good before its turn came
	}
	outcome := completed
	if err := s.deliver(ctx, t, from, v); err != nil {
		s.options.Log.Warn("replication failed", "transfer", t.String(), "rule", t.stream.rule, "error", err)
		outcome = failed
		s.failures[t.stream]++
	} else {
		s.slowest[t.stream] = max(s.slowest[t.stream], t.due.Sub(t.begun).Seconds())
	}
	under := slices.ContainsFunc(s.pending, func(other *transfer) bool {
		return other.source == t.source && other.key == t.key && other.id == t.id
	})
	if v.status == failed || under && outcome == completed {
		return
	}
	changed := *v
	changed.status = outcome
	from.swap(v, &changed)
}

// deliver does by the rule's role what S3 does, and no more than it may.
func (s *Service) deliver(ctx context.Context, t *transfer, from *bucket, v *version) error {
	to, found := s.buckets[t.destination]
	if !found || to.versioning() != enabled {
		return fmt.Errorf("the destination bucket %s does not exist or keeps no versions", t.destination)
	}
	copied := *v
	copied.status = replica
	if v.sse.algorithm == sseKMS {
		// A replica's Bucket Key is that of the source or of the destination.
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
		key, err := s.keyARN(to.region, t.rule.Destination.key())
		if err != nil {
			return err
		}
		copied.sse = encryption{algorithm: sseKMS, key: key, bucketKey: v.sse.bucketKey || to.encryption().bucketKey}
		if !strings.Contains(v.etag, "-") {
			copied.etag = etagOf(v.data, copied.sse, v.id+to.name)
		}
	}
	for _, ask := range t.asks(from, to, v, &copied) {
		if err := s.askRole(ctx, t, to, ask); err != nil {
			return err
		}
	}
	if len(v.tags) > 0 && !s.mayTag(ctx, t, from, to) {
		copied.tags = nil
	}
	if old := to.versionOf(v.key, v.id); old != nil {
		to.swap(old, &copied) // its tags have changed
		return nil
	}
	to.insert(&copied)
	return nil
}

// asks are the rights that the replica takes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-config-for-kms-objects.html
func (t *transfer) asks(from, to *bucket, v, copied *version) []wire.Ask {
	source, destination := objectARN(from.name, t.key), objectARN(to.name, t.key)
	all := []wire.Ask{{Action: "s3:GetReplicationConfiguration", Resource: bucketARN(from.name)}, {Action: "s3:ListBucket", Resource: bucketARN(from.name)}}
	if v.marker {
		return append(all, wire.Ask{Action: "s3:ReplicateDelete", Resource: destination})
	}
	all = append(all,
		wire.Ask{Action: "s3:GetObjectVersionForReplication", Resource: source},
		wire.Ask{Action: "s3:GetObjectVersionAcl", Resource: source},
		wire.Ask{Action: "s3:ReplicateObject", Resource: destination},
	)
	if v.sse.algorithm == sseKMS && !v.sse.managed() {
		all = append(all, wire.Ask{Action: "kms:Decrypt", Resource: v.sse.key, Keys: v.sse.keysFor(from, t.key)})
	}
	if copied.sse.algorithm == sseKMS && !copied.sse.managed() {
		keys := copied.sse.keysFor(to, t.key)
		all = append(all, wire.Ask{Action: "kms:Encrypt", Resource: copied.sse.key, Keys: keys})
		if copied.sse.bucketKey { // which is itself kept under the KMS key
			all = append(all, wire.Ask{Action: "kms:Decrypt", Resource: copied.sse.key, Keys: keys})
		}
	}
	return all
}

// mayTag says whether the tags go along. Without their two rights the object
// is replicated and its tags are not.
func (s *Service) mayTag(ctx context.Context, t *transfer, from, to *bucket) bool {
	for _, ask := range []wire.Ask{
		{Action: "s3:GetObjectVersionTagging", Resource: objectARN(from.name, t.key)}, {Action: "s3:ReplicateTags", Resource: objectARN(to.name, t.key)},
	} {
		if err := s.askRole(ctx, t, to, ask); err != nil {
			s.options.Log.Warn("tags are not replicated", "transfer", t.String(), "rule", t.stream.rule, "error", err)
			return false
		}
	}
	return true
}

// askRole asks for the role's rights; of the policies of the two buckets a
// denial counts.
func (s *Service) askRole(ctx context.Context, t *transfer, to *bucket, ask wire.Ask) error {
	if strings.HasPrefix(ask.Action, "s3:") {
		ask.Keys = map[string][]string{
			"aws:securetransport": {"true"}, "aws:principalarn": {t.role}, "aws:principalaccount": {wire.Account},
		}
		b := s.buckets[t.source]
		if strings.HasPrefix(ask.Resource, bucketARN(to.name)+"/") {
			b = to
		}
		name := t.role[strings.LastIndex(t.role, "/")+1:]
		decision, err := b.decide("arn:aws:sts::"+wire.Account+":assumed-role/"+name+"/s3", ask.Action, ask.Resource, ask.Keys)
		if err != nil {
			return err
		}
		if decision == policy.ExplicitDeny {
			return fmt.Errorf("%s on %s is denied by the policy of %s", ask.Action, ask.Resource, b.name)
		}
	}
	if s.options.RoleAuthorize == nil {
		return nil
	}
	return s.options.RoleAuthorize(ctx, t.role, ask)
}

// measure publishes the metrics of every rule that wants them, once a minute,
// in the region of the source. AWS's units and dimensions:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
func (s *Service) measure(now time.Time) {
	if s.measured.IsZero() {
		s.measured = now
	}
	if now.Sub(s.measured) < time.Minute {
		return
	}
	s.measured = now
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		b := s.buckets[name]
		c, configured := b.config["replication"].(*replicationConfiguration)
		if !configured || s.options.Metrics == nil {
			continue
		}
		for _, rule := range c.Rules {
			if rule.Status == enabled && rule.measured() {
				s.publish(now, b.region, stream{name, rule.Destination.bucket(), rule.ID})
			}
		}
	}
	clear(s.slowest)
	clear(s.failures)
}

func (s *Service) publish(now time.Time, region string, of stream) {
	bytes, operations, latency := 0, 0, s.slowest[of]
	for _, t := range s.pending {
		if t.stream == of {
			bytes, operations, latency = bytes+t.size, operations+1, max(latency, now.Sub(t.begun).Seconds())
		}
	}
	dimensions := map[string]string{"SourceBucket": of.source, "DestinationBucket": of.destination, "RuleId": of.rule}
	record := func(name string, value float64, unit string) {
		s.options.Metrics.Record(now, region, "AWS/S3", name, dimensions, value, unit)
	}
	record("BytesPendingReplication", float64(bytes), "Bytes")
	record("OperationsPendingReplication", float64(operations), "Count")
	record("ReplicationLatency", latency, "Seconds")
	record("OperationsFailedReplication", float64(s.failures[of]), "Count")
}
