package provider

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

type bucketEncryption struct {
	Bucket string           `json:"bucket" aws:"replace"`
	Rules  []encryptionRule `json:"rules" check:"required"`
}

type encryptionRule struct {
	ByDefault        *encryptionDefault `json:"applyServerSideEncryptionByDefault,omitempty"`
	BucketKeyEnabled bool               `json:"bucketKeyEnabled,omitempty"`
}

type encryptionDefault struct {
	SSEAlgorithm   string `json:"sseAlgorithm"`
	KMSMasterKeyID string `json:"kmsMasterKeyId,omitempty"`
}

func (p bucketEncryption) name() string { return p.Bucket }

func (p bucketEncryption) put(ctx context.Context, c *api.Client) error {
	in := &types.ServerSideEncryptionConfiguration{}
	for _, r := range p.Rules {
		rule := types.ServerSideEncryptionRule{BucketKeyEnabled: aws.Bool(r.BucketKeyEnabled)}
		if d := r.ByDefault; d != nil {
			rule.ApplyServerSideEncryptionByDefault = &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryption(d.SSEAlgorithm), KMSMasterKeyID: optional(d.KMSMasterKeyID)}
		}
		in.Rules = append(in.Rules, rule)
	}
	_, err := c.PutBucketEncryption(ctx, &api.PutBucketEncryptionInput{Bucket: aws.String(p.Bucket), ServerSideEncryptionConfiguration: in})
	return err
}

func (p bucketEncryption) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeleteBucketEncryption(ctx, &api.DeleteBucketEncryptionInput{Bucket: aws.String(p.Bucket)})
	return err
}

func readBucketEncryption(ctx context.Context, s *session, id string, _ bucketEncryption) (*bucketEncryption, error) {
	out, err := s.s3().GetBucketEncryption(ctx, &api.GetBucketEncryptionInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p := &bucketEncryption{Bucket: id}
	for _, r := range out.ServerSideEncryptionConfiguration.Rules {
		rule := encryptionRule{BucketKeyEnabled: aws.ToBool(r.BucketKeyEnabled)}
		if d := r.ApplyServerSideEncryptionByDefault; d != nil {
			rule.ByDefault = &encryptionDefault{SSEAlgorithm: string(d.SSEAlgorithm), KMSMasterKeyID: aws.ToString(d.KMSMasterKeyID)}
		}
		p.Rules = append(p.Rules, rule)
	}
	return p, nil
}

type bucketOwnership struct {
	Bucket string        `json:"bucket" aws:"replace"`
	Rule   ownershipRule `json:"rule"`
}

type ownershipRule struct {
	ObjectOwnership string `json:"objectOwnership"`
}

func (p bucketOwnership) name() string { return p.Bucket }

func (p bucketOwnership) put(ctx context.Context, c *api.Client) error {
	_, err := c.PutBucketOwnershipControls(ctx, &api.PutBucketOwnershipControlsInput{Bucket: aws.String(p.Bucket), OwnershipControls: &types.OwnershipControls{
		Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnership(p.Rule.ObjectOwnership)}},
	}})
	return err
}

func (p bucketOwnership) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeleteBucketOwnershipControls(ctx, &api.DeleteBucketOwnershipControlsInput{Bucket: aws.String(p.Bucket)})
	return err
}

func readBucketOwnership(ctx context.Context, s *session, id string, _ bucketOwnership) (*bucketOwnership, error) {
	out, err := s.s3().GetBucketOwnershipControls(ctx, &api.GetBucketOwnershipControlsInput{Bucket: aws.String(id)})
	if err != nil || len(out.OwnershipControls.Rules) == 0 {
		return nil, err
	}
	return &bucketOwnership{Bucket: id, Rule: ownershipRule{string(out.OwnershipControls.Rules[0].ObjectOwnership)}}, nil
}

type bucketLifecycle struct {
	Bucket string          `json:"bucket" aws:"replace"`
	Rules  []lifecycleRule `json:"rules" check:"required"`
}

type lifecycleRule struct {
	ID                    string             `json:"id"`
	Status                string             `json:"status"`
	Filter                *prefixFilter      `json:"filter,omitempty"`
	Expiration            *currentExpiration `json:"expiration,omitempty"`
	NoncurrentExpiration  *oldExpiration     `json:"noncurrentVersionExpiration,omitempty"`
	AbortIncompleteUpload *uploadExpiration  `json:"abortIncompleteMultipartUpload,omitempty"`
}

// prefixFilter says which objects a rule is for, of a lifecycle or of a
// replication.
type prefixFilter struct {
	Prefix string `json:"prefix,omitempty"`
}

func (f *prefixFilter) prefix() string {
	if f == nil {
		return ""
	}
	return f.Prefix
}

// Equal is that of the objects: no filter, an empty one and an empty prefix
// are every object.
func (f *prefixFilter) Equal(other *prefixFilter) bool { return f.prefix() == other.prefix() }

type currentExpiration struct {
	Days                      int32 `json:"days,omitempty"`
	ExpiredObjectDeleteMarker bool  `json:"expiredObjectDeleteMarker,omitempty"`
}

type oldExpiration struct {
	NoncurrentDays          int32 `json:"noncurrentDays"`
	NewerNoncurrentVersions int32 `json:"newerNoncurrentVersions,omitempty"`
}

type uploadExpiration struct {
	DaysAfterInitiation int32 `json:"daysAfterInitiation,omitempty"`
}

// positive leaves out what a program did not set: S3 refuses a zero.
func positive(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return aws.Int32(n)
}

func (p bucketLifecycle) name() string { return p.Bucket }

func (p bucketLifecycle) put(ctx context.Context, c *api.Client) error {
	in := &types.BucketLifecycleConfiguration{}
	for _, r := range p.Rules {
		// A rule without a filter is one of the old form, which S3 lets nobody mix.
		rule := types.LifecycleRule{ID: aws.String(r.ID), Status: types.ExpirationStatus(r.Status), Filter: &types.LifecycleRuleFilter{Prefix: aws.String(r.Filter.prefix())}}
		if e := r.Expiration; e != nil {
			rule.Expiration = &types.LifecycleExpiration{Days: positive(e.Days)}
			if e.ExpiredObjectDeleteMarker {
				rule.Expiration.ExpiredObjectDeleteMarker = aws.Bool(true)
			}
		}
		if e := r.NoncurrentExpiration; e != nil {
			rule.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(e.NoncurrentDays), NewerNoncurrentVersions: positive(e.NewerNoncurrentVersions)}
		}
		if e := r.AbortIncompleteUpload; e != nil {
			rule.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: positive(e.DaysAfterInitiation)}
		}
		in.Rules = append(in.Rules, rule)
	}
	_, err := c.PutBucketLifecycleConfiguration(ctx, &api.PutBucketLifecycleConfigurationInput{Bucket: aws.String(p.Bucket), LifecycleConfiguration: in})
	return err
}

func (p bucketLifecycle) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeleteBucketLifecycle(ctx, &api.DeleteBucketLifecycleInput{Bucket: aws.String(p.Bucket)})
	return err
}

func readBucketLifecycle(ctx context.Context, s *session, id string, p bucketLifecycle) (*bucketLifecycle, error) {
	out, err := s.s3().GetBucketLifecycleConfiguration(ctx, &api.GetBucketLifecycleConfigurationInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	var live []lifecycleRule
	for _, r := range out.Rules {
		rule := lifecycleRule{ID: aws.ToString(r.ID), Status: string(r.Status)}
		if r.Filter != nil {
			rule.Filter = &prefixFilter{aws.ToString(r.Filter.Prefix)}
		}
		if e := r.Expiration; e != nil {
			rule.Expiration = &currentExpiration{aws.ToInt32(e.Days), aws.ToBool(e.ExpiredObjectDeleteMarker)}
		}
		if e := r.NoncurrentVersionExpiration; e != nil {
			rule.NoncurrentExpiration = &oldExpiration{aws.ToInt32(e.NoncurrentDays), aws.ToInt32(e.NewerNoncurrentVersions)}
		}
		if e := r.AbortIncompleteMultipartUpload; e != nil {
			rule.AbortIncompleteUpload = &uploadExpiration{aws.ToInt32(e.DaysAfterInitiation)}
		}
		live = append(live, rule)
	}
	return &bucketLifecycle{Bucket: id, Rules: inOrder(live, p.Rules, func(r lifecycleRule) string { return r.ID })}, nil
}

type bucketWebsite struct {
	Bucket          string         `json:"bucket" aws:"replace"`
	IndexDocument   *indexDocument `json:"indexDocument"`
	ErrorDocument   *errorDocument `json:"errorDocument"`
	WebsiteEndpoint string         `json:"websiteEndpoint" aws:"out"`
	WebsiteDomain   string         `json:"websiteDomain" aws:"out"`
}

type indexDocument struct {
	Suffix string `json:"suffix"`
}

type errorDocument struct {
	Key string `json:"key"`
}

func (p bucketWebsite) name() string { return p.Bucket }

func (p bucketWebsite) put(ctx context.Context, c *api.Client) error {
	in := &types.WebsiteConfiguration{}
	if p.IndexDocument != nil {
		in.IndexDocument = &types.IndexDocument{Suffix: aws.String(p.IndexDocument.Suffix)}
	}
	if p.ErrorDocument != nil {
		in.ErrorDocument = &types.ErrorDocument{Key: aws.String(p.ErrorDocument.Key)}
	}
	_, err := c.PutBucketWebsite(ctx, &api.PutBucketWebsiteInput{Bucket: aws.String(p.Bucket), WebsiteConfiguration: in})
	return err
}

func (p bucketWebsite) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeleteBucketWebsite(ctx, &api.DeleteBucketWebsiteInput{Bucket: aws.String(p.Bucket)})
	return err
}

func readBucketWebsite(ctx context.Context, s *session, id string, _ bucketWebsite) (*bucketWebsite, error) {
	out, err := s.s3().GetBucketWebsite(ctx, &api.GetBucketWebsiteInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p := &bucketWebsite{Bucket: id, WebsiteDomain: siteDomain(s.region())}
	p.WebsiteEndpoint = id + "." + p.WebsiteDomain
	if out.IndexDocument != nil {
		p.IndexDocument = &indexDocument{aws.ToString(out.IndexDocument.Suffix)}
	}
	if out.ErrorDocument != nil {
		p.ErrorDocument = &errorDocument{aws.ToString(out.ErrorDocument.Key)}
	}
	return p, nil
}

// dashed are the regions whose website hosts have a dash before the region;
// later regions have a dot. S3 answers neither with any call.
// https://docs.aws.amazon.com/general/latest/gr/s3.html#s3_website_region_endpoints
var dashed = []string{"ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "eu-west-1", "sa-east-1", "us-east-1", "us-gov-west-1", "us-west-1", "us-west-2"}

func siteDomain(region string) string {
	_, suffix := partitionOf(region)
	if slices.Contains(dashed, region) {
		return "s3-website-" + region + "." + suffix
	}
	return "s3-website." + region + "." + suffix
}

// siteZones are the hosted zones of the website hosts, from the same page; a
// region that is not here has hostedZoneId "".
var siteZones = map[string]string{
	"af-south-1": "Z83WF9RJE8B12", "ap-east-1": "ZNB98KWMFR0R6", "ap-northeast-1": "Z2M4EHUR26P7ZW", "ap-northeast-2": "Z3W03O7B5YMIYP",
	"ap-northeast-3": "Z2YQB5RD63NC85", "ap-south-1": "Z11RGJOFQNVJUP", "ap-south-2": "Z02976202B4EZMXIPMXF7", "ap-southeast-1": "Z3O0J2DXBE1FTB",
	"ap-southeast-2": "Z1WCIGYICN2BYD", "ap-southeast-3": "Z01846753K324LI26A3VV", "ap-southeast-4": "Z0312387243XT5FE14WFO", "ap-southeast-5": "Z08660063OXLMA7F1FJHU",
	"ca-central-1": "Z1QDHH18159H29", "ca-west-1": "Z03565811Z33SLEZTHOUL", "cn-north-1": "Z5CN8UMXT92WN", "cn-northwest-1": "Z282HJ1KT0DH03",
	"eu-central-1": "Z21DNDUVLTQW6Q", "eu-central-2": "Z030506016YDQGETNASS", "eu-north-1": "Z3BAZG2TWCNX0D", "eu-south-1": "Z30OZKI7KPW7MI",
	"eu-south-2": "Z0081959F7139GRJC19J", "eu-west-1": "Z1BKCTXD74EZPE", "eu-west-2": "Z3GKZC51ZF0DB4", "eu-west-3": "Z3R1K369G5AVDG",
	"il-central-1": "Z09640613K4A3MN55U7GU", "me-central-1": "Z06143092I8HRXZRUZROF", "me-south-1": "Z1MPMWCPA7YB62", "sa-east-1": "Z7KQH4QJS55SO",
	"us-east-1": "Z3AQBSTGFYJSTF", "us-east-2": "Z2O1EMRO9K5GLX", "us-gov-east-1": "Z2NIFVYYW2VKV1", "us-gov-west-1": "Z31GFT0UA1I2HV",
	"us-west-1": "Z2F56UZL2M1ACD", "us-west-2": "Z3BJ6K6RIION7M",
}

type bucketReplication struct {
	Bucket string            `json:"bucket" aws:"replace"`
	Role   string            `json:"role"`
	Rules  []replicationRule `json:"rules" check:"required"`
}

type replicationRule struct {
	ID                      string                 `json:"id" check:"required"`
	Status                  string                 `json:"status"`
	Priority                int32                  `json:"priority,omitempty"`
	Filter                  *prefixFilter          `json:"filter,omitempty"`
	DeleteMarkerReplication *replicationSwitch     `json:"deleteMarkerReplication,omitempty"`
	SourceSelectionCriteria *replicationCriteria   `json:"sourceSelectionCriteria,omitempty"`
	Destination             replicationDestination `json:"destination"`
}

type replicationSwitch struct {
	Status string `json:"status"`
}

type replicationCriteria struct {
	SSEKMSEncryptedObjects *replicationSwitch `json:"sseKmsEncryptedObjects,omitempty"`
}

type replicationDestination struct {
	Bucket                  string                 `json:"bucket"`
	EncryptionConfiguration *replicationEncryption `json:"encryptionConfiguration,omitempty"`
	Metrics                 *replicationMetrics    `json:"metrics,omitempty"`
	ReplicationTime         *replicationTime       `json:"replicationTime,omitempty"`
}

type replicationEncryption struct {
	ReplicaKMSKeyID string `json:"replicaKmsKeyId"`
}

type replicationMetrics struct {
	Status         string              `json:"status"`
	EventThreshold *replicationMinutes `json:"eventThreshold,omitempty"`
}

type replicationTime struct {
	Status string             `json:"status"`
	Time   replicationMinutes `json:"time"`
}

type replicationMinutes struct {
	Minutes int32 `json:"minutes"`
}

func (p bucketReplication) name() string { return p.Bucket }

func (p bucketReplication) put(ctx context.Context, c *api.Client) error {
	in := &types.ReplicationConfiguration{Role: aws.String(p.Role)}
	for _, r := range p.Rules {
		if r.Filter == nil { // the old form, whose rules mean something else
			return fmt.Errorf("rule %s of bucket %s has no filter: the embedded aws provider implements only replication rules that have one", r.ID, p.Bucket)
		}
		rule := types.ReplicationRule{ID: aws.String(r.ID), Status: types.ReplicationRuleStatus(r.Status), Priority: aws.Int32(r.Priority),
			Filter: &types.ReplicationRuleFilter{Prefix: aws.String(r.Filter.Prefix)}, Destination: r.Destination.document()}
		if r.DeleteMarkerReplication != nil {
			rule.DeleteMarkerReplication = &types.DeleteMarkerReplication{Status: types.DeleteMarkerReplicationStatus(r.DeleteMarkerReplication.Status)}
		}
		if r.SourceSelectionCriteria != nil {
			rule.SourceSelectionCriteria = &types.SourceSelectionCriteria{}
			if k := r.SourceSelectionCriteria.SSEKMSEncryptedObjects; k != nil {
				rule.SourceSelectionCriteria.SseKmsEncryptedObjects = &types.SseKmsEncryptedObjects{Status: types.SseKmsEncryptedObjectsStatus(k.Status)}
			}
		}
		in.Rules = append(in.Rules, rule)
	}
	_, err := c.PutBucketReplication(ctx, &api.PutBucketReplicationInput{Bucket: aws.String(p.Bucket), ReplicationConfiguration: in})
	return err
}

func (p bucketReplication) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeleteBucketReplication(ctx, &api.DeleteBucketReplicationInput{Bucket: aws.String(p.Bucket)})
	return err
}

func (d replicationDestination) document() *types.Destination {
	out := &types.Destination{Bucket: aws.String(d.Bucket)}
	if e := d.EncryptionConfiguration; e != nil {
		out.EncryptionConfiguration = &types.EncryptionConfiguration{ReplicaKmsKeyID: aws.String(e.ReplicaKMSKeyID)}
	}
	if m := d.Metrics; m != nil {
		out.Metrics = &types.Metrics{Status: types.MetricsStatus(m.Status)}
		if m.EventThreshold != nil {
			out.Metrics.EventThreshold = &types.ReplicationTimeValue{Minutes: aws.Int32(m.EventThreshold.Minutes)}
		}
	}
	if t := d.ReplicationTime; t != nil {
		out.ReplicationTime = &types.ReplicationTime{Status: types.ReplicationTimeStatus(t.Status), Time: &types.ReplicationTimeValue{Minutes: aws.Int32(t.Time.Minutes)}}
	}
	return out
}

func readBucketReplication(ctx context.Context, s *session, id string, p bucketReplication) (*bucketReplication, error) {
	out, err := s.s3().GetBucketReplication(ctx, &api.GetBucketReplicationInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	var live []replicationRule
	for _, r := range out.ReplicationConfiguration.Rules {
		rule := replicationRule{ID: aws.ToString(r.ID), Status: string(r.Status), Priority: aws.ToInt32(r.Priority), Destination: destinationOf(r.Destination)}
		if r.Filter != nil {
			rule.Filter = &prefixFilter{aws.ToString(r.Filter.Prefix)}
		}
		if r.DeleteMarkerReplication != nil {
			rule.DeleteMarkerReplication = &replicationSwitch{string(r.DeleteMarkerReplication.Status)}
		}
		if r.SourceSelectionCriteria != nil {
			rule.SourceSelectionCriteria = &replicationCriteria{}
			if k := r.SourceSelectionCriteria.SseKmsEncryptedObjects; k != nil {
				rule.SourceSelectionCriteria.SSEKMSEncryptedObjects = &replicationSwitch{string(k.Status)}
			}
		}
		live = append(live, rule)
	}
	return &bucketReplication{Bucket: id, Role: aws.ToString(out.ReplicationConfiguration.Role),
		Rules: inOrder(live, p.Rules, func(r replicationRule) string { return r.ID })}, nil
}

func destinationOf(d *types.Destination) replicationDestination {
	out := replicationDestination{Bucket: aws.ToString(d.Bucket)}
	if e := d.EncryptionConfiguration; e != nil {
		out.EncryptionConfiguration = &replicationEncryption{aws.ToString(e.ReplicaKmsKeyID)}
	}
	if m := d.Metrics; m != nil {
		out.Metrics = &replicationMetrics{Status: string(m.Status)}
		if m.EventThreshold != nil {
			out.Metrics.EventThreshold = &replicationMinutes{aws.ToInt32(m.EventThreshold.Minutes)}
		}
	}
	if t := d.ReplicationTime; t != nil {
		out.ReplicationTime = &replicationTime{Status: string(t.Status)}
		if t.Time != nil {
			out.ReplicationTime.Time.Minutes = aws.ToInt32(t.Time.Minutes)
		}
	}
	return out
}
