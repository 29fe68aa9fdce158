package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// replication is what S3 says of a version's replicas.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-status.html
type replication string

const (
	pending   replication = "PENDING"   // at the source, not everywhere yet
	completed replication = "COMPLETED" // at the source, everywhere
	failed    replication = "FAILED"    // at the source, for good
	replica   replication = "REPLICA"   // at the destination
)

type replicationConfiguration struct {
	XMLName xml.Name `xml:"ReplicationConfiguration"`
	Role    string
	Rules   []replicationRule `xml:"Rule"`
}

type replicationRule struct {
	ID                        string             `xml:",omitempty"`
	Priority                  *int               `xml:",omitempty"`
	Prefix                    *string            `xml:",omitempty"`
	Filter                    *replicationFilter `xml:",omitempty"`
	Status                    string
	SourceSelectionCriteria   *replicationCriteria `xml:",omitempty"`
	ExistingObjectReplication *status              `xml:",omitempty"`
	DeleteMarkerReplication   *status              `xml:",omitempty"`
	Destination               replicationDestination
}

type replicationFilter struct {
	Prefix *string `xml:",omitempty"`
	Tag    *tag    `xml:",omitempty"`
	And    *struct {
		Prefix *string `xml:",omitempty"`
		Tag    []tag
	} `xml:",omitempty"`
}

type replicationCriteria struct {
	SseKmsEncryptedObjects *status `xml:",omitempty"`
	ReplicaModifications   *status `xml:",omitempty"`
}

type replicationDestination struct {
	Bucket                  string // ARN
	Account                 string `xml:",omitempty"`
	StorageClass            string `xml:",omitempty"`
	EncryptionConfiguration *struct {
		ReplicaKmsKeyID string `xml:",omitempty"`
	} `xml:",omitempty"`
	ReplicationTime *struct {
		Status string
		Time   *minutes `xml:",omitempty"`
	} `xml:",omitempty"`
	Metrics *struct {
		Status         string
		EventThreshold *minutes `xml:",omitempty"`
	} `xml:",omitempty"`
}

type minutes struct{ Minutes int }

// promised is the one time that S3 lets a rule name, in minutes.
const promised = 15

// bucket is the destination's name.
func (d replicationDestination) bucket() string { return strings.TrimPrefix(d.Bucket, bucketARN("")) }

func (d replicationDestination) key() string {
	if d.EncryptionConfiguration == nil {
		return ""
	}
	return d.EncryptionConfiguration.ReplicaKmsKeyID
}

func (r replicationRule) sealed() bool {
	return r.SourceSelectionCriteria != nil && r.SourceSelectionCriteria.SseKmsEncryptedObjects.on()
}

func (r replicationRule) measured() bool {
	return r.Destination.Metrics != nil && r.Destination.Metrics.Status == enabled
}

// wants says whether a rule in force is for this version. A delete marker has
// neither tags nor a key.
func (r replicationRule) wants(v *version) bool {
	prefix, tags := r.Filter.parts()
	switch {
	case r.Status != enabled, !strings.HasPrefix(v.key, prefix):
		return false
	case v.marker:
		return r.DeleteMarkerReplication.on()
	case v.sse.algorithm == sseKMS && !r.sealed():
		return false
	}
	return !slices.ContainsFunc(tags, func(t tag) bool {
		value, tagged := v.tags[t.Key]
		return !tagged || value != t.Value
	})
}

func (f *replicationFilter) parts() (prefix string, tags []tag) {
	switch {
	case f == nil:
		return "", nil
	case f.Tag != nil:
		return "", []tag{*f.Tag}
	case f.And != nil && f.And.Prefix != nil:
		return *f.And.Prefix, f.And.Tag
	case f.And != nil:
		return "", f.And.Tag
	case f.Prefix != nil:
		return *f.Prefix, nil
	default:
		return "", nil
	}
}

// checkReplication holds a configuration to what S3 refuses. That a KMS key
// does not exist it does not refuse: the replicas fail.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketReplication.html
func checkReplication(s *Service, r *request, document any) error {
	c := document.(*replicationConfiguration)
	switch {
	case len(c.Rules) == 0 || len(c.Rules) > 1000:
		return malformedXML()
	case r.in.versioning() != enabled:
		return invalidRequest("Versioning must be 'Enabled' on the bucket to apply a replication configuration")
	case !strings.HasPrefix(c.Role, "arn:aws:iam::"+wire.Account+":role/"):
		return invalidArgument("Invalid Role: %s", c.Role)
	}
	if s.options.Authorize != nil {
		ask := wire.Ask{AccessKeyID: r.call.AccessKeyID, Action: "iam:PassRole", Resource: c.Role, Keys: map[string][]string{"iam:passedtoservice": {"s3.amazonaws.com"}}}
		if err := s.options.Authorize(r.Context(), ask); err != nil {
			return wire.Errorf(http.StatusForbidden, "AccessDenied", "%s", wire.AsError(err).Message)
		}
	}
	ids, priorities := map[string]bool{}, map[int]bool{}
	for i := range c.Rules {
		rule := &c.Rules[i]
		if rule.ID == "" {
			rule.ID = s.token(32)
		}
		if err := rule.check(); err != nil {
			return err
		}
		if ids[rule.ID] {
			return invalidArgument("Rule Id must be unique. Found same Id for more than one rule.")
		}
		if priorities[*rule.Priority] {
			return invalidRequest("Found duplicate priority across enabled rules: %d", *rule.Priority)
		}
		ids[rule.ID], priorities[*rule.Priority] = true, true
		if err := s.checkDestination(r.in, rule.Destination); err != nil {
			return err
		}
	}
	return nil
}

func (r *replicationRule) check() error {
	criteria := r.SourceSelectionCriteria
	if criteria == nil {
		criteria = &replicationCriteria{}
	}
	prefix, tags := r.Filter.parts()
	for _, s := range []*status{{r.Status}, criteria.SseKmsEncryptedObjects, criteria.ReplicaModifications, r.ExistingObjectReplication, r.DeleteMarkerReplication} {
		if !s.valid() {
			return malformedXML()
		}
	}
	switch {
	case len(r.ID) > 255:
		return invalidArgument("Rule Id must not be longer than 255 characters")
	case len(prefix) > 1024:
		return invalidArgument("Rule prefix must not be longer than 1024 characters")
	case r.Filter == nil, r.Prefix != nil:
		return notImplemented("replication rule without a filter, of the first version of the schema")
	case r.Priority == nil:
		return invalidRequest("Priority must be specified for this version of Cross Region Replication configuration schema. Please refer to S3 Developer Guide for more information.")
	case r.DeleteMarkerReplication == nil:
		return invalidRequest("DeleteMarkerReplication must be specified for this version of Cross Region Replication configuration schema. Please refer to S3 Developer Guide for more information.")
	case r.DeleteMarkerReplication.on() && len(tags) > 0:
		return invalidRequest("Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 Developer Guide for more information.")
	case criteria.ReplicaModifications.on():
		return notImplemented("replication of changes of replicas")
	case r.ExistingObjectReplication.on():
		return notImplemented("replication of existing objects")
	case r.sealed() && r.Destination.key() == "":
		return invalidRequest("ReplicaKmsKeyID must be specified if SseKmsEncryptedObjects tag is present.")
	case criteria.SseKmsEncryptedObjects == nil && r.Destination.EncryptionConfiguration != nil:
		return invalidRequest("SseKmsEncryptedObjects must be specified if EncryptionConfiguration tag is present.")
	}
	return r.Destination.check()
}

// check holds the times: with S3 Replication Time Control go the metrics, and
// both know one threshold.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-time-control.html
func (d replicationDestination) check() error {
	at := func(m *minutes) bool { return m != nil && m.Minutes == promised }
	time, metrics := d.ReplicationTime, d.Metrics
	switch {
	case d.Account != "" && d.Account != wire.Account:
		return notImplemented("replication to another account")
	case d.StorageClass != "" && d.StorageClass != "STANDARD":
		return notImplemented("storage class %s", d.StorageClass)
	case time != nil && (!(&status{time.Status}).valid() || !at(time.Time)):
		return invalidArgument("ReplicationTime must be of %d minutes", promised)
	case metrics != nil && !(&status{metrics.Status}).valid():
		return malformedXML()
	case metrics != nil && metrics.EventThreshold != nil && !at(metrics.EventThreshold):
		return invalidArgument("EventThreshold must be of %d minutes", promised)
	case time != nil && time.Status == enabled && (metrics == nil || metrics.Status != enabled):
		return invalidRequest("Replication destination must contain metrics if replication time is enabled")
	}
	return nil
}

func (s *Service) checkDestination(from *bucket, d replicationDestination) error {
	to, found := s.buckets[d.bucket()]
	switch {
	case !strings.HasPrefix(d.Bucket, bucketARN("")):
		return invalidArgument("Invalid bucket ARN: %s", d.Bucket)
	case !found:
		return invalidRequest("Destination bucket must exist.")
	case to == from:
		return invalidRequest("Destination bucket cannot be the same as the source bucket.")
	case to.versioning() != enabled:
		return invalidRequest("Destination bucket must have versioning enabled.")
	}
	return nil
}
