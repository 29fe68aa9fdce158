package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
)

// s3: the buckets and what replicates them.
func (v *verification) s3(ctx context.Context) []Check {
	f := bucketFacts{regions: v.regions(), adopted: v.Config.Assets.Adopt != ""}
	var wait sync.WaitGroup
	for i, region := range f.regions {
		f.buckets[i], f.keys[i] = v.top.Bucket[region], v.top.Keys[region]
		if f.buckets[i] != "" {
			ask(ctx, &wait, &f.states[i], func(ctx context.Context) (awsapi.BucketState, error) {
				return v.Clients.BucketState(ctx, region, f.buckets[i])
			})
		}
	}
	wait.Wait()
	now := v.Clock.Now()
	for i, region := range f.regions {
		rule, ok := f.rule(i)
		if ok && rule.Enabled {
			ask(ctx, &wait, &f.pending[i], func(ctx context.Context) (pending, error) {
				n, found, err := v.Clients.PendingReplication(ctx, region, f.buckets[i], f.buckets[1-i], rule.ID, now.Add(-pendingWindow), now)
				if err != nil {
					return pending{}, err
				}
				gaveUp, err := v.Clients.FailedReplication(ctx, region, f.buckets[i], f.buckets[1-i], rule.ID, now.Add(-pendingWindow), now)
				return pending{n, found, gaveUp}, err
			})
		}
	}
	wait.Wait()
	checks := f.checks()
	return append(checks, v.sentinels(ctx, "%s -> %s, an object", f.unsent(), func(ctx context.Context, way int) (time.Duration, error) {
		return v.objectCrosses(ctx, f.buckets, way)
	})...)
}

// pendingWindow is how far back the newest datapoint is looked for: S3
// publishes it by the minute, while there is something to replicate.
const pendingWindow = 15 * time.Minute

// pending operations of one rule.
type pending struct {
	operations int
	known      bool
	failed     int
}

type bucketFacts struct {
	regions [2]string // source, target
	buckets [2]string
	keys    [2]string // the customer keys
	adopted bool      // the source's
	states  [2]read[awsapi.BucketState]
	pending [2]read[pending] // of what leaves the region
}

// rule is the one that leads from the region's bucket to the other's.
func (f bucketFacts) rule(i int) (awsapi.ReplicationRule, bool) {
	at := slices.IndexFunc(f.states[i].value.Rules, func(r awsapi.ReplicationRule) bool { return r.Destination == f.buckets[1-i] })
	if at < 0 {
		return awsapi.ReplicationRule{}, false
	}
	return f.states[i].value.Rules[at], true
}

// unsent are the reasons to send no sentinel, by way.
func (f bucketFacts) unsent() (why [2]string) {
	for i := range why {
		rule, ok := f.rule(i)
		switch {
		case f.buckets[0] == "" || f.buckets[1] == "":
			why[i] = "deployed before there were buckets: tapctl deploy"
		case f.adopted:
			why[i] = "the bucket is adopted: nothing is written to it"
		case f.states[i].err != nil:
			why[i] = "the bucket was not read"
		case !ok || !rule.Enabled || !f.states[1-i].value.Versioned:
			why[i] = "nothing is replicated this way"
		}
	}
	return why
}

func (f bucketFacts) checks() []Check {
	var checks []Check
	for i, region := range f.regions {
		way := fmt.Sprintf("%s -> %s", region, f.regions[1-i])
		names := []string{"versioning in " + region, "encryption in " + region, "replication " + way, "drained " + way}
		state := f.states[i]
		switch {
		case f.buckets[i] == "":
			checks = append(checks, allSkipped(names, "deployed before there were buckets: tapctl deploy")...)
			continue
		case state.err != nil:
			checks = append(append(checks, unread(names[0], state.err)), allSkipped(names[1:], "the bucket was not read")...)
			continue
		}
		checks = append(checks, is(names[0], state.value.Versioned, f.buckets[i], f.buckets[i]+" keeps no versions, and is not replicated"),
			f.encrypted(names[1], i), f.replicated(names[2], i), f.drained(names[3], i))
	}
	return checks
}

func (f bucketFacts) encrypted(name string, i int) Check {
	s := f.states[i].value
	switch {
	case f.adopted && i == 0:
		return skipped(name, "the bucket is adopted: its owner's choice")
	case s.Algorithm != "aws:kms" || s.Key != f.keys[i]:
		return failed(name, previewNext, "the default is %s", strings.TrimSpace(s.Algorithm+" "+s.Key))
	default:
		return passed(name, "by %s, unless an object names another", s.Key)
	}
}

func (f bucketFacts) replicated(name string, i int) Check {
	rule, ok := f.rule(i)
	switch {
	case !ok:
		return failed(name, previewNext, "%s has no rule that leads to %s", f.buckets[i], f.buckets[1-i])
	case !rule.Enabled:
		return failed(name, previewNext, "rule %s is disabled", rule.ID)
	default:
		return passed(name, "rule %s", rule.ID)
	}
}

func (f bucketFacts) drained(name string, i int) Check {
	rule, ok := f.rule(i)
	p := f.pending[i]
	switch {
	case !ok || !rule.Enabled:
		return skipped(name, "nothing is replicated this way")
	case p.err != nil:
		return unread(name, p.err)
	case p.value.failed > 0:
		return failed(name, "tapctl preview; then store again what has ReplicationStatus FAILED, or use S3 Batch Replication",
			"S3 gave up %d operation(s) in the last %v and does not try again: the role lacks a right, or %s refuses", p.value.failed, pendingWindow, f.buckets[1-i])
	case p.value.operations > 0:
		return failed(name, "tapctl verify, in a minute", "%d operation(s) or more were still to be replicated in every one of the last minutes", p.value.operations)
	case !p.value.known:
		return passed(name, "nothing was to be replicated in the last %v", pendingWindow)
	default:
		return passed(name, "it has caught up within the last minutes")
	}
}

// sentinelPrefix starts the keys that verify writes: outside the website,
// which everybody may read.
const sentinelPrefix = "tapctl/verify/"

// objectCrosses stores an object and waits for its replica. Both are deleted
// by their version, which leaves nothing behind.
func (v *verification) objectCrosses(ctx context.Context, buckets [2]string, way int) (took time.Duration, err error) {
	regions, key := v.regions(), sentinelPrefix+strings.ReplaceAll(v.Owner, "/", "-")+"-from-"+v.regions()[way]
	from, to := regions[way], regions[1-way]
	call, cancel := context.WithTimeout(ctx, questionPatience)
	defer cancel()
	version, err := v.Clients.PutSentinelObject(call, from, buckets[way], key)
	if err != nil {
		return 0, err
	}
	defer cleaned(ctx, &err, func(ctx context.Context) error {
		return errors.Join(v.Clients.DropVersion(ctx, from, buckets[way], key, version), v.Clients.DropVersion(ctx, to, buckets[1-way], key, version))
	})
	return v.arrives(ctx, objectBound, func(ctx context.Context) (bool, error) {
		arrived, err := v.Clients.HasVersion(ctx, to, buckets[1-way], key, version)
		if arrived || err != nil {
			return arrived, err
		}
		failed, err := v.Clients.ReplicationFailed(ctx, from, buckets[way], key, version)
		if failed {
			err = &Refused{Cause: fmt.Errorf("S3 could not replicate it: %s lacks a right, or %s refuses it", from, buckets[1-way]), Next: previewNext}
		}
		return false, err
	})
}
