package awsapi

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Headers are what a browser is told of an object and the way it is encrypted,
// none of which its entity tag tells.
type Headers struct {
	ContentType  string
	CacheControl string
	Encryption   string // AES256: by S3 itself
}

// Object is one object of the website to be stored.
type Object struct {
	Key string
	Headers
	Size int64
	Body io.ReadSeeker
}

// PublicEncryption is by S3 itself: an object that is encrypted with a KMS key
// cannot be read without signing.
const PublicEncryption = string(s3types.ServerSideEncryptionAes256)

// Objects lists the keys under the prefix with their entity tags. For an
// object encrypted by S3 itself and stored in one piece that is the MD5 of its
// bytes, in hex.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
func (c *Clients) Objects(ctx context.Context, region, bucket, prefix string) (map[string]string, error) {
	tags := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(c.S3(region), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, trouble("list the objects of "+bucket, err)
		}
		for _, object := range page.Contents {
			tags[aws.ToString(object.Key)] = strings.Trim(aws.ToString(object.ETag), `"`)
		}
	}
	return tags, nil
}

// HeadersOf looks at one object; the zero Headers where there is none.
func (c *Clients) HeadersOf(ctx context.Context, region, bucket, key string) (Headers, error) {
	head, err := c.S3(region).HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if _, absent := errors.AsType[*s3types.NotFound](err); absent {
		return Headers{}, nil
	}
	if err != nil {
		return Headers{}, trouble("look at "+key+" in "+bucket, err)
	}
	return Headers{aws.ToString(head.ContentType), aws.ToString(head.CacheControl), string(head.ServerSideEncryption)}, nil
}

// PutPublic stores one object of the website.
func (c *Clients) PutPublic(ctx context.Context, region, bucket string, o Object) error {
	_, err := c.S3(region).PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &o.Key, Body: o.Body, ContentLength: &o.Size, ContentType: &o.ContentType, CacheControl: &o.CacheControl,
		ServerSideEncryption: s3types.ServerSideEncryption(o.Encryption),
	})
	return trouble("store "+o.Key+" in "+bucket, err)
}

// DeleteObject puts a delete marker on the object; its versions stay until the
// bucket's lifecycle removes them.
func (c *Clients) DeleteObject(ctx context.Context, region, bucket, key string) error {
	_, err := c.S3(region).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return trouble("delete "+key+" of "+bucket, err)
}

// PutSecret stores a new version of the secret's value in its primary region
// and returns the version's id. The value is in no error.
func (c *Clients) PutSecret(ctx context.Context, region, arn string, value []byte) (string, error) {
	in := &secretsmanager.PutSecretValueInput{SecretId: &arn, SecretString: aws.String(string(value))}
	out, err := c.SecretsManager(region).PutSecretValue(ctx, in)
	if err != nil {
		return "", trouble("store the secret's value", err)
	}
	return aws.ToString(out.VersionId), nil
}
