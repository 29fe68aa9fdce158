package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
)

var s3Kinds = map[string]kind{
	"aws:s3/bucketV2:BucketV2": entry[bucket]{spec[bucket]{args: sdk.BucketV2Args{}, state: sdk.BucketV2{}, identity: []string{"bucket"},
		create: createBucket, read: readBucket, update: updateBucket, remove: removeBucket}},
	"aws:s3/bucketVersioningV2:BucketVersioningV2":                                               part(sdk.BucketVersioningV2Args{}, sdk.BucketVersioningV2{}, readBucketVersioning),
	"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock":                                     part(sdk.BucketPublicAccessBlockArgs{}, sdk.BucketPublicAccessBlock{}, readPublicAccessBlock),
	"aws:s3/bucketPolicy:BucketPolicy":                                                           part(sdk.BucketPolicyArgs{}, sdk.BucketPolicy{}, readBucketPolicy),
	"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2": part(sdk.BucketServerSideEncryptionConfigurationV2Args{}, sdk.BucketServerSideEncryptionConfigurationV2{}, readBucketEncryption),
	"aws:s3/bucketOwnershipControls:BucketOwnershipControls":                                     part(sdk.BucketOwnershipControlsArgs{}, sdk.BucketOwnershipControls{}, readBucketOwnership),
	"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2":                       part(sdk.BucketLifecycleConfigurationV2Args{}, sdk.BucketLifecycleConfigurationV2{}, readBucketLifecycle),
	"aws:s3/bucketWebsiteConfigurationV2:BucketWebsiteConfigurationV2":                           part(sdk.BucketWebsiteConfigurationV2Args{}, sdk.BucketWebsiteConfigurationV2{}, readBucketWebsite),
	"aws:s3/bucketReplicationConfig:BucketReplicationConfig":                                     part(sdk.BucketReplicationConfigArgs{}, sdk.BucketReplicationConfig{}, readBucketReplication),
}

// bucketPart is one sub-resource of a bucket, which goes by the bucket's name.
type bucketPart interface {
	name() string
	put(ctx context.Context, c *api.Client) error
	drop(ctx context.Context, c *api.Client) error
}

// part is the kind of a sub-resource. S3 takes each as a whole document, so a
// change is another put.
func part[P bucketPart](args, state any, read func(context.Context, *session, string, P) (*P, error)) kind {
	// S3 refuses a change of a bucket while it makes another one.
	patient := func(ctx context.Context, s *session, p P, call func(context.Context, *api.Client) error) error {
		return s.retry(ctx, "bucket "+p.name()+" takes its configuration", func() error { return call(ctx, s.s3()) }, "OperationAborted")
	}
	return entry[P]{spec[P]{
		args: args, state: state, identity: []string{"bucket"}, read: read,
		create: func(ctx context.Context, s *session, p P) (string, error) {
			if err := patient(ctx, s, p, p.put); err != nil {
				return "", err
			}
			return p.name(), nil
		},
		update: func(ctx context.Context, s *session, _ string, _, now P) error { return patient(ctx, s, now, now.put) },
		remove: func(ctx context.Context, s *session, _ string, p P) error { return patient(ctx, s, p, p.drop) },
	}}
}

type bucket struct {
	Bucket                   string            `json:"bucket" aws:"replace" check:"required"`
	ForceDestroy             bool              `json:"forceDestroy"`
	Tags                     map[string]string `json:"tags"`
	Arn                      string            `json:"arn" aws:"out"`
	BucketDomainName         string            `json:"bucketDomainName" aws:"out"`
	BucketRegionalDomainName string            `json:"bucketRegionalDomainName" aws:"out"`
	Region                   string            `json:"region" aws:"out"`
	HostedZoneID             string            `json:"hostedZoneId" aws:"out"`
}

func createBucket(ctx context.Context, s *session, p bucket) (string, error) {
	c := s.s3()
	in := &api.CreateBucketInput{Bucket: aws.String(p.Bucket)}
	if region := s.region(); region != "us-east-1" { // which S3 refuses to be told
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	err := s.retry(ctx, "bucket "+p.Bucket+" can be made", func() error {
		_, err := c.CreateBucket(ctx, in)
		return err
	}, "OperationAborted")
	if err != nil {
		return "", err
	}
	err = s.retry(ctx, "bucket "+p.Bucket+" is seen", func() error {
		_, err := c.HeadBucket(ctx, &api.HeadBucketInput{Bucket: in.Bucket})
		return err
	}, "NotFound", "NoSuchBucket")
	if err != nil {
		return p.Bucket, err
	}
	return p.Bucket, tagBucket(ctx, c, p.Bucket, nil, p.Tags)
}

// tagBucket puts the whole set: S3 has no call for one tag of a bucket.
func tagBucket(ctx context.Context, c *api.Client, name string, old, now map[string]string) error {
	var err error
	switch {
	case len(now) > 0:
		set := &types.Tagging{}
		for k, v := range now {
			set.TagSet = append(set.TagSet, types.Tag{Key: aws.String(k), Value: aws.String(v)})
		}
		_, err = c.PutBucketTagging(ctx, &api.PutBucketTaggingInput{Bucket: aws.String(name), Tagging: set})
	case len(old) > 0:
		_, err = c.DeleteBucketTagging(ctx, &api.DeleteBucketTaggingInput{Bucket: aws.String(name)})
	}
	return err
}

func readBucket(ctx context.Context, s *session, id string, p bucket) (*bucket, error) {
	c := s.s3()
	head, err := c.HeadBucket(ctx, &api.HeadBucketInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.Bucket, p.Region, p.HostedZoneID = id, aws.ToString(head.BucketRegion), siteZones[aws.ToString(head.BucketRegion)]
	partition, suffix := partitionOf(p.Region)
	p.Arn = "arn:" + partition + ":s3:::" + id
	p.BucketDomainName, p.BucketRegionalDomainName = id+".s3."+suffix, id+".s3."+p.Region+"."+suffix
	p.Tags = map[string]string{}
	tags, err := c.GetBucketTagging(ctx, &api.GetBucketTaggingInput{Bucket: aws.String(id)})
	if codeOf(err) == "NoSuchTagSet" {
		return &p, nil
	}
	if err != nil {
		return nil, err
	}
	for _, t := range tags.TagSet {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return &p, nil
}

func updateBucket(ctx context.Context, s *session, id string, old, now bucket) error {
	return tagBucket(ctx, s.s3(), id, old.Tags, now.Tags)
}

// removeBucket deletes a bucket with all it holds where the program said so
// beforehand; else S3 refuses it unless it is empty. What arrives in the
// meantime, as replicas do, is emptied out again.
func removeBucket(ctx context.Context, s *session, id string, p bucket) error {
	c := s.s3()
	remove := func() error {
		_, err := c.DeleteBucket(ctx, &api.DeleteBucketInput{Bucket: aws.String(id)})
		return err
	}
	if !p.ForceDestroy {
		return s.retry(ctx, "bucket "+id+" can be deleted", remove, "OperationAborted")
	}
	return s.retry(ctx, "bucket "+id+" stays empty until it is deleted", func() error {
		if err := emptyBucket(ctx, c, id); err != nil {
			return err
		}
		return remove()
	}, "BucketNotEmpty", "OperationAborted")
}

// emptyBucket deletes every version and every delete marker.
func emptyBucket(ctx context.Context, c *api.Client, name string) error {
	pages := api.NewListObjectVersionsPaginator(c, &api.ListObjectVersionsInput{Bucket: aws.String(name)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		var all []types.ObjectIdentifier
		for _, v := range page.Versions {
			all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range page.DeleteMarkers {
			all = append(all, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
		for some := range slices.Chunk(all, 1000) { // the most one call takes
			out, err := c.DeleteObjects(ctx, &api.DeleteObjectsInput{Bucket: aws.String(name), Delete: &types.Delete{Objects: some, Quiet: aws.Bool(true)}})
			if err != nil {
				return err
			}
			for _, e := range out.Errors {
				return fmt.Errorf("delete %s version %s: %s: %s", aws.ToString(e.Key), aws.ToString(e.VersionId), aws.ToString(e.Code), aws.ToString(e.Message))
			}
		}
	}
	return nil
}

// partitionOf is the first part of a region's ARNs and the end of its hosts.
// https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
func partitionOf(region string) (partition, suffix string) {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn", "amazonaws.com.cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov", "amazonaws.com"
	default:
		return "aws", "amazonaws.com"
	}
}

type bucketVersioning struct {
	Bucket                  string             `json:"bucket" aws:"replace"`
	VersioningConfiguration versioningSettings `json:"versioningConfiguration"`
}

type versioningSettings struct {
	Status string `json:"status"`
}

// neverVersioned is the provider's own word for a bucket that S3 gives no
// status for. There is no way back to it.
const neverVersioned = "Disabled"

func (p bucketVersioning) name() string { return p.Bucket }

func (p bucketVersioning) put(ctx context.Context, c *api.Client) error {
	status := p.VersioningConfiguration.Status
	if status == neverVersioned {
		out, err := c.GetBucketVersioning(ctx, &api.GetBucketVersioningInput{Bucket: aws.String(p.Bucket)})
		if err == nil && out.Status != "" {
			err = fmt.Errorf("versioning of %s is %s: it can be Suspended, not %s", p.Bucket, out.Status, neverVersioned)
		}
		return err
	}
	_, err := c.PutBucketVersioning(ctx, &api.PutBucketVersioningInput{Bucket: aws.String(p.Bucket),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatus(status)}})
	return err
}

// drop suspends: nearer a bucket does not come to never having been versioned.
func (p bucketVersioning) drop(ctx context.Context, c *api.Client) error {
	if p.VersioningConfiguration.Status == neverVersioned {
		return nil
	}
	p.VersioningConfiguration.Status = string(types.BucketVersioningStatusSuspended)
	return p.put(ctx, c)
}

func readBucketVersioning(ctx context.Context, s *session, id string, p bucketVersioning) (*bucketVersioning, error) {
	out, err := s.s3().GetBucketVersioning(ctx, &api.GetBucketVersioningInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.Bucket, p.VersioningConfiguration = id, versioningSettings{Status: string(out.Status)}
	if out.Status == "" {
		p.VersioningConfiguration.Status = neverVersioned
	}
	return &p, nil
}

type publicAccessBlock struct {
	Bucket                string `json:"bucket" aws:"replace"`
	BlockPublicAcls       bool   `json:"blockPublicAcls"`
	BlockPublicPolicy     bool   `json:"blockPublicPolicy"`
	IgnorePublicAcls      bool   `json:"ignorePublicAcls"`
	RestrictPublicBuckets bool   `json:"restrictPublicBuckets"`
}

func (p publicAccessBlock) name() string { return p.Bucket }

func (p publicAccessBlock) put(ctx context.Context, c *api.Client) error {
	_, err := c.PutPublicAccessBlock(ctx, &api.PutPublicAccessBlockInput{Bucket: aws.String(p.Bucket), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
		BlockPublicAcls: aws.Bool(p.BlockPublicAcls), BlockPublicPolicy: aws.Bool(p.BlockPublicPolicy),
		IgnorePublicAcls: aws.Bool(p.IgnorePublicAcls), RestrictPublicBuckets: aws.Bool(p.RestrictPublicBuckets),
	}})
	return err
}

func (p publicAccessBlock) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeletePublicAccessBlock(ctx, &api.DeletePublicAccessBlockInput{Bucket: aws.String(p.Bucket)})
	return err
}

func readPublicAccessBlock(ctx context.Context, s *session, id string, _ publicAccessBlock) (*publicAccessBlock, error) {
	out, err := s.s3().GetPublicAccessBlock(ctx, &api.GetPublicAccessBlockInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	live := out.PublicAccessBlockConfiguration
	return &publicAccessBlock{Bucket: id, BlockPublicAcls: aws.ToBool(live.BlockPublicAcls), BlockPublicPolicy: aws.ToBool(live.BlockPublicPolicy),
		IgnorePublicAcls: aws.ToBool(live.IgnorePublicAcls), RestrictPublicBuckets: aws.ToBool(live.RestrictPublicBuckets)}, nil
}

type bucketPolicy struct {
	Bucket string `json:"bucket" aws:"replace"`
	Policy string `json:"policy" check:"required"`
}

func (p bucketPolicy) name() string { return p.Bucket }

func (p bucketPolicy) put(ctx context.Context, c *api.Client) error {
	_, err := c.PutBucketPolicy(ctx, &api.PutBucketPolicyInput{Bucket: aws.String(p.Bucket), Policy: aws.String(p.Policy)})
	return err
}

func (p bucketPolicy) drop(ctx context.Context, c *api.Client) error {
	_, err := c.DeleteBucketPolicy(ctx, &api.DeleteBucketPolicyInput{Bucket: aws.String(p.Bucket)})
	return err
}

func readBucketPolicy(ctx context.Context, s *session, id string, p bucketPolicy) (*bucketPolicy, error) {
	out, err := s.s3().GetBucketPolicy(ctx, &api.GetBucketPolicyInput{Bucket: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.Bucket, p.Policy = id, samePolicy(aws.ToString(out.Policy), p.Policy)
	return &p, nil
}
